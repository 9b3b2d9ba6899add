/* Limits of a drive by their keys in a configuration: bytes and requests a second, bursts. Shared by the engines. Pure.
 */
#ifndef HOLM_ENGINE_LIMITS_H
#define HOLM_ENGINE_LIMITS_H

#include "base/propstr.h"

struct limit {
    const char *key, *name; /* name: QEMU's, in ThrottleLimits */
    unsigned scale;         /* bytes, requests or seconds a unit of the value */
};

/* NULL: the key is of something else. */
const struct limit *limit_find(const char *key);
/* "1.5" with a scale of a mebibyte; more than three decimals are cut off. */
MUST_CHECK int limit_parse(const struct limit *limit, const char *s, uint64_t *ret);
/* One item of the drive `key`: -EINVAL "param.invalid" for a limit that is none, or a burst without its limit. */
MUST_CHECK int limit_check(const char *key, const struct propstr *p, const struct propstr_item *item, struct err *e);
/* Two values of a drive say the same but for their limits. */
bool limit_is_all_that_differs(const char *a, const char *b);

#endif
