/* Text that came from a client: UTF-8 and percent-encoding. Pure: no I/O, no allocation but the given buf. */
#ifndef HOLM_PROTO_TEXT_H
#define HOLM_PROTO_TEXT_H

#include "base/buf.h"
#include "base/err.h"

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool text_is_utf8(const char *s, size_t n);

/* Appends s with each %XX replaced; with plus_is_space also '+' by a blank. -EINVAL for a '%' that two hexadecimal
 * digits do not follow, -E2BIG when out is full. */
MUST_CHECK int text_percent_decode(const char *s, size_t n, bool plus_is_space, struct buf *out, struct err *e);

/* ASCII only, whatever the locale. */
bool text_equal_nocase(const char *a, size_t n_a, const char *b);

/* The value of parameter `name` in "value; name=token; other=\"quoted\"", as in Content-Type and
 * Content-Disposition. In a quoted string \" and \\ stand for " and \; any other backslash is kept (browsers send
 * Windows paths so). Returns 0, -ENOENT when it is absent, -EINVAL when the header is malformed, has it twice, or the
 * value does not fit dst. */
MUST_CHECK int text_header_param(const char *value, const char *name, char *dst, size_t cap, struct err *e);

#endif
