/* Property strings: PVE's "key=value,key=value" form of one configuration value, where one item may stand without its
 * key ("local:32,format=raw": the default key is "file"). Pure parsing of text that came from a client: bounded, total,
 * strict. What the keys mean is the caller's business; a value is kept as it was written and never unescaped.
 * (PVE: JSONSchema.pm, parse_property_string and parse_size.) */
#ifndef HOLM_BASE_PROPSTR_H
#define HOLM_BASE_PROPSTR_H

#include "base/err.h"

#define PROPSTR_ITEMS_MAX 64u
#define PROPSTR_BYTES_MAX 4096u

struct propstr_item {
    const char *key, *value; /* into text, or the caller's default key */
};

/* Self-contained (about 5 KiB), but holds pointers into itself: do not copy it by assignment. */
struct propstr {
    struct propstr_item items[PROPSTR_ITEMS_MAX]; /* in the order written */
    size_t n;
    char text[PROPSTR_BYTES_MAX + 1];
};

/* default_key (NULL: none) must outlive ret. Blank items are skipped, as PVE does. Refused with "param.format": more
 * than 64 items or 4 KiB, a key outside [A-Za-z0-9_.-]{1,64}, an empty value, a second item of one key, control
 * characters, an item without '=' when there is no default key. */
MUST_CHECK int propstr_parse(const char *text, const char *default_key, struct propstr *ret, struct err *e);

/* The value, or NULL if absent. */
const char *propstr_get(const struct propstr *p, const char *key);

/* Typed values; `fallback` is stored when the key is absent. A value of the wrong form is "param.format". */
MUST_CHECK int propstr_get_bool(const struct propstr *p, const char *key, bool fallback, bool *ret, struct err *e);
MUST_CHECK int propstr_get_u64(const struct propstr *p, const char *key, uint64_t fallback, uint64_t *ret,
                               struct err *e);
MUST_CHECK int propstr_get_size(const struct propstr *p, const char *key, uint64_t fallback_bytes, uint64_t *ret_bytes,
                                struct err *e);

/* One value by itself: 1 on yes true / 0 off no false (any case); -EINVAL otherwise. */
MUST_CHECK int propstr_bool(const char *s, bool *ret);
/* Digits, optionally a fraction and one of K M G T (powers of 1024); a fraction of a byte is cut off. -EINVAL, -ERANGE.
 */
MUST_CHECK int propstr_size(const char *s, uint64_t *ret_bytes);

#endif
