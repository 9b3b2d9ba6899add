/* What a machine is to be: from the command line or a file of the same words (one option in a line, without dashes).
 * One path for both, and for the daemon, which hands over descriptors ("fd=7") instead of paths. */
#ifndef HOLM_VMM_OPTIONS_H
#define HOLM_VMM_OPTIONS_H

#include "base/err.h"

#define OPTIONS_DEVICES_MAX 28u
#define OPTIONS_TEXT_MAX    4096u

struct option_device {
    char *kind; /* "disk": a row of dev/table.c */
    char *text; /* "raw=root.img,readonly=on" */
};

struct options {
    int kernel_fd, initrd_fd; /* opened here; -1 */
    char *cmdline;
    unsigned n_cpus;
    uint64_t memory_bytes, page_bytes;
    char *console;     /* "stdio", "fd=N", "none": the serial port */
    int control_fd;    /* connected socket for verbs; -1 */
    bool is_paused;    /* made, but not begun */
    bool is_rebooting; /* a guest that resets goes on; else the machine ends */
    bool has_jail;
    unsigned jail_uid, jail_gid; /* whom to become, when started by root */
    struct option_device devices[OPTIONS_DEVICES_MAX];
    unsigned n_devices;
};

/* argv after the verb `run`. Opens the files it names. -EINVAL "option.…" with what is wrong and a hint. */
MUST_CHECK int options_parse(struct options *o, int argc, char **argv, struct err *e);
void options_done(struct options *o);
/* All there are, those of devices last: for the usage and the manual page. */
void options_each(void (*fn)(void *arg, const char *name, const char *value, const char *help), void *arg);
void options_usage(FILE *to);

#endif
