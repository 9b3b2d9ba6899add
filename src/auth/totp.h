/* One-time passwords of authenticators: TOTP (RFC 6238) over HOTP (RFC 4226), and the otpauth:// URIs in which their
 * parameters travel. Pure: whether a step was used before is remembered by the caller. */
#ifndef HOLM_AUTH_TOTP_H
#define HOLM_AUTH_TOTP_H

#include "base/err.h"

#define TOTP_SECRET_MIN   16u /* RFC 4226, R6: at least 128 bits */
#define TOTP_SECRET_MAX   64u
#define TOTP_DIGITS_MAX   8u
#define TOTP_CODE_CAP     (TOTP_DIGITS_MAX + 1)
#define TOTP_PERIOD_MIN_S 10u
#define TOTP_PERIOD_MAX_S 120u
#define TOTP_URI_MAX      1024u
#define TOTP_NO_STEP      (-1) /* no step was used yet */

enum totp_algorithm { TOTP_SHA1, TOTP_SHA256, TOTP_SHA512 };

struct totp {
    enum totp_algorithm algorithm;
    unsigned digits, period_s;
    size_t secret_n;
    unsigned char secret[TOTP_SECRET_MAX];
};

const char *totp_algorithm_name(enum totp_algorithm a); /* "SHA1" */
/* Are the parameters within the bounds above? Secrets come from strangers, records from a disk. */
bool totp_is_valid(const struct totp *t);

/* The code of a step (HOTP with this counter). */
void totp_code(const struct totp *t, uint64_t step, char ret[TOTP_CODE_CAP]);
/* Is code that of the step at now_s, the one before or the one after, and later than after_step? Takes the same time
 * for every code of the right form. */
bool totp_match(const struct totp *t, const char *code, int64_t now_s, int64_t after_step, int64_t *ret_step);

/* By its name as in a URI. */
bool totp_algorithm_find(const char *name, enum totp_algorithm *ret);
/* "otpauth://totp/LABEL?secret=…[&issuer=…][&algorithm=…][&digits=…][&period=…]"; the rest is refused: -EINVAL
 * "tfa.uri". The error never holds a part of the URI, which is a secret. */
MUST_CHECK int totp_parse_uri(const char *uri, struct totp *ret, struct err *e);

#endif
