/* otpauth URIs: whatever is accepted is within the bounds, makes codes of the right form, and reads back to the same
 * parameters when written out again. */
#include <sodium.h>

#include "auth/totp.h"
#include "base/base32.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void check_round_trip(const struct totp *t)
{
    char uri[TOTP_URI_MAX + 1], secret[BASE32_CHARS(TOTP_SECRET_MAX) + 1];
    struct totp again = {.digits = 0};
    struct err e = ERR_INIT;

    base32_encode(t->secret, t->secret_n, secret);
    snprintf(uri, sizeof(uri), "otpauth://totp/x?secret=%s&algorithm=%s&digits=%u&period=%u", secret,
             totp_algorithm_name(t->algorithm), t->digits, t->period_s);
    need(totp_parse_uri(uri, &again, &e) == 0);
    need(again.algorithm == t->algorithm && again.digits == t->digits && again.period_s == t->period_s &&
         again.secret_n == t->secret_n && memcmp(again.secret, t->secret, t->secret_n) == 0);
}

static void check_codes(const struct totp *t)
{
    char code[TOTP_CODE_CAP];
    int64_t step = TOTP_NO_STEP;

    totp_code(t, 1234567, code);
    need(strlen(code) == t->digits && strspn(code, "0123456789") == t->digits);
    need(totp_match(t, code, 1234567 * (int64_t)t->period_s, TOTP_NO_STEP, &step) && step <= 1234568 &&
         step >= 1234566);
    need(!totp_match(t, code, 1234567 * (int64_t)t->period_s, 1234568, &step));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    autofree char *text = strndup((const char *)data, n);
    struct totp t = {.digits = 0};
    struct err e = ERR_INIT;

    need(text && sodium_init() >= 0);
    if (totp_parse_uri(text, &t, &e) < 0) {
        need(streq(e.code, "tfa.uri") && t.digits == 0);
        return 0;
    }
    need(totp_is_valid(&t));
    check_round_trip(&t);
    check_codes(&t);
    return 0;
}
