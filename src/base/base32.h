/* Base32 (RFC 4648, 6) as secrets of authenticators are written: letters of either case, padding optional. */
#ifndef HOLM_BASE_BASE32_H
#define HOLM_BASE_BASE32_H

#include "base/util.h"

/* Characters for n bytes, without padding and NUL. */
#define BASE32_CHARS(n) (((n)*8 + 4) / 5)

/* n characters into bytes: -EINVAL for anything that base32_encode would not write (but for case and padding), -ENOBUFS
 * for more than cap bytes. */
MUST_CHECK int base32_decode(const char *text, size_t n, unsigned char *dst, size_t cap, size_t *ret_n);
/* Upper case, no padding; dst has room for BASE32_CHARS(n) + 1. */
void base32_encode(const unsigned char *src, size_t n, char *dst);

#endif
