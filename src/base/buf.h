/* A byte buffer that grows up to a fixed maximum. The first failure (maximum or memory) sticks: later appends do
 * nothing, and the writer checks once at the end with buf_is_failed(). Contents are always NUL-terminated. */
#ifndef HOLM_BASE_BUF_H
#define HOLM_BASE_BUF_H

#include <stdarg.h>

#include "base/util.h"

struct buf {
    char *data; /* NULL while empty */
    size_t len;
    size_t cap;
    size_t max; /* bytes, without the NUL */
    bool is_failed;
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_reset(struct buf *b); /* keeps memory, clears failure */
/* Room for n more bytes at data+len, or NULL; the caller adds to len what it wrote. */
char *buf_reserve(struct buf *b, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
void buf_consume(struct buf *b, size_t n); /* drops n bytes from the front */
/* The string (never NULL). */
const char *buf_str(const struct buf *b);
/* Hands the memory over; b becomes empty. NULL when failed. */
char *buf_take(struct buf *b);

/* In the header: a reply of megabytes is made of appends of a few bytes. */
static inline void buf_append(struct buf *b, const void *p, size_t n)
{
    bool has_room = !b->is_failed && n < b->cap && b->len < b->cap - n;
    char *dst = has_room ? b->data + b->len : buf_reserve(b, n);

    if (!dst)
        return;
    if (n)
        memcpy(dst, p, n);
    b->len += n;
    b->data[b->len] = 0;
}

static inline void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

static inline void buf_append_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

#define autobuf __attribute__((cleanup(buf_done)))

#endif
