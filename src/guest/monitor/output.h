/* What the hypervisor writes to its standard output and error: the last 8 KiB in memory, the first 64 KiB in a file. */
#ifndef HOLM_GUEST_MONITOR_OUTPUT_H
#define HOLM_GUEST_MONITOR_OUTPUT_H

#include "base/util.h"

#define OUTPUT_RING_BYTES 8192u
#define OUTPUT_FILE_BYTES 65536u
#define OUTPUT_TEXT_MAX   190u

struct output {
    char ring[OUTPUT_RING_BYTES];
    uint64_t total_bytes;
    int file; /* -1: none */
    size_t file_bytes;
};

void output_init(struct output *o, int file);
void output_done(struct output *o);
void output_add(struct output *o, const char *p, size_t n);
/* The last lines, newest kept whole as far as it fits, without time stamps and program name; "" if there are none. */
void output_last_text(const struct output *o, char ret[OUTPUT_TEXT_MAX + 1]);

#endif
