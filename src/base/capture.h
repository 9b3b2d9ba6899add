/* Runs a program of the host and takes what it writes to standard output: journalctl, systemctl, QEMU asked for what it
 * can. Blocking: pool threads only. Never used with a guest's or an image's bytes as input. */
#ifndef HOLM_BASE_CAPTURE_H
#define HOLM_BASE_CAPTURE_H

#include <sys/types.h>

#include "base/err.h"

struct capture {
    const char *path;
    const char *const *argv; /* ended by NULL */
    uid_t uid;               /* 0: as root */
    const char *input;       /* standard input, at most 32 KiB; NULL: none */
    uint32_t timeout_ms;
    uint64_t max_bytes; /* the program is ended when it writes more */
    /* Each piece as it comes. Returns false when no more is wanted: the program is ended, which is no error. */
    bool (*take)(void *arg, const char *data, size_t n);
    void *arg;
    bool has_errors; /* what it writes to standard error is taken too */
    /* NULL: how it ends is not looked at, only what it wrote. Otherwise it may end by itself until the time is over,
     * and this gets its exit status, or -1 if it was killed. */
    int *ret_status;
};

/* 0 when the program closed its output or no more was wanted; -ETIMEDOUT, -EFBIG, or why it could not be started. */
MUST_CHECK int capture_run(const struct capture *c, struct err *e);

#endif
