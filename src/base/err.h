/* The one form of an error: a negative errno for code, a stable dotted code for the API and the docs, a text for
 * people and, where it helps, a hint. Caller-owned, fixed size, never NULL. Whoever ends the chain reports it once. */
#ifndef HOLM_BASE_ERR_H
#define HOLM_BASE_ERR_H

#include "base/util.h"

struct err {
    int num;       /* negative errno, 0 = no error */
    char code[48]; /* "pool.full": stable, documented */
    char text[512];
    char hint[192];
};

#define ERR_INIT                                                                                                       \
    {                                                                                                                  \
        0                                                                                                              \
    }

/* Fills e and returns num, which must be negative. code may be NULL (then derived from num). */
int err_set(struct err *e, int num, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Like err_set with num = -errno_value and ": strerror" appended to the text. */
int err_errno(struct err *e, int errno_value, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the text and returns r. Keeps code and hint. */
int err_wrap(struct err *e, int r, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Adds a hint ("free space on …"). Returns e->num. */
int err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
