/* See totp.h. */
#include "auth/totp.h"

#include <ctype.h>
#include <sodium.h>

#include "auth/sha1.h"
#include "base/base32.h"

#define PREFIX      "otpauth://totp/"
#define HASH_MAX    crypto_auth_hmacsha512_BYTES
#define VALUE_MAX   256u
#define WINDOW_STEP 1

static const char *const names[] = {[TOTP_SHA1] = "SHA1", [TOTP_SHA256] = "SHA256", [TOTP_SHA512] = "SHA512"};

const char *totp_algorithm_name(enum totp_algorithm a)
{
    return names[a];
}

bool totp_algorithm_find(const char *name, enum totp_algorithm *ret)
{
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (!streq(names[i], name))
            continue;
        *ret = (enum totp_algorithm)i;
        return true;
    }
    return false;
}

bool totp_is_valid(const struct totp *t)
{
    return (unsigned)t->algorithm < ARRAY_SIZE(names) && t->digits >= 6 && t->digits <= TOTP_DIGITS_MAX &&
           t->period_s >= TOTP_PERIOD_MIN_S && t->period_s <= TOTP_PERIOD_MAX_S && t->secret_n >= TOTP_SECRET_MIN &&
           t->secret_n <= TOTP_SECRET_MAX;
}

static void hmac_sha256(const struct totp *t, const unsigned char counter[8], unsigned char *mac)
{
    crypto_auth_hmacsha256_state st;

    crypto_auth_hmacsha256_init(&st, t->secret, t->secret_n);
    crypto_auth_hmacsha256_update(&st, counter, 8);
    crypto_auth_hmacsha256_final(&st, mac);
    mem_wipe(&st, sizeof(st));
}

static void hmac_sha512(const struct totp *t, const unsigned char counter[8], unsigned char *mac)
{
    crypto_auth_hmacsha512_state st;

    crypto_auth_hmacsha512_init(&st, t->secret, t->secret_n);
    crypto_auth_hmacsha512_update(&st, counter, 8);
    crypto_auth_hmacsha512_final(&st, mac);
    mem_wipe(&st, sizeof(st));
}

/* MAC of the step as eight bytes; returns its length. */
static size_t make_mac(const struct totp *t, uint64_t step, unsigned char mac[HASH_MAX])
{
    unsigned char counter[8];

    for (unsigned i = 0; i < sizeof(counter); i++)
        counter[i] = (unsigned char)(step >> (56 - 8 * i));
    switch (t->algorithm) {
    case TOTP_SHA256:
        hmac_sha256(t, counter, mac);
        return crypto_auth_hmacsha256_BYTES;
    case TOTP_SHA512:
        hmac_sha512(t, counter, mac);
        return crypto_auth_hmacsha512_BYTES;
    case TOTP_SHA1:
        break;
    }
    sha1_hmac(t->secret, t->secret_n, counter, sizeof(counter), mac);
    return SHA1_BYTES;
}

/* RFC 4226, 5.3 */
void totp_code(const struct totp *t, uint64_t step, char ret[TOTP_CODE_CAP])
{
    unsigned char mac[HASH_MAX];
    size_t n = make_mac(t, step, mac), at = mac[n - 1] & 15;
    uint32_t number = (uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8 |
                      (uint32_t)mac[at + 3];

    for (unsigned i = t->digits; i-- > 0; number /= 10)
        ret[i] = (char)('0' + number % 10);
    ret[t->digits] = 0;
    mem_wipe(mac, sizeof(mac));
}

bool totp_match(const struct totp *t, const char *code, int64_t now_s, int64_t after_step, int64_t *ret_step)
{
    int64_t step = now_s / t->period_s, found = TOTP_NO_STEP;
    char expected[TOTP_CODE_CAP];

    if (now_s < 0 || strlen(code) != t->digits)
        return false;
    /* All of them are looked at, whichever fits; the earliest counts, so that the next one stays good. */
    for (int64_t s = step + WINDOW_STEP; s >= step - WINDOW_STEP && s >= 0; s--) {
        totp_code(t, (uint64_t)s, expected);
        if (mem_equal_constant_time(code, expected, t->digits) && s > after_step)
            found = s;
    }
    mem_wipe(expected, sizeof(expected));
    if (found == TOTP_NO_STEP)
        return false;
    *ret_step = found;
    return true;
}

static int refuse(struct err *e, const char *why)
{
    return err_set(e, -EINVAL, "tfa.uri", "not a usable otpauth URI: %s", why);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes %XX; false for what is no URI text, NUL, control characters or too much of it. */
static bool unescape(const char *s, size_t n, char dst[VALUE_MAX + 1])
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '%') {
            int high = i + 2 < n ? hex_value(s[i + 1]) : -1, low = i + 2 < n ? hex_value(s[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (unsigned char)(high * 16 + low);
            i += 2;
        } else if (c >= 0x7f || strchr(" \"#<>[]\\^`{|}", c)) {
            return false;
        }
        if (c < 0x20 || c == 0x7f || len == VALUE_MAX)
            return false;
        dst[len++] = (char)c;
    }
    dst[len] = 0;
    return true;
}

/* One to three digits without a zero in front. */
static bool parse_number(const char *s, unsigned *ret)
{
    size_t n = strlen(s);
    unsigned v = 0;

    if (n == 0 || n > 3 || s[0] == '0')
        return false;
    for (; *s; s++) {
        if (!isdigit((unsigned char)*s))
            return false;
        v = v * 10 + (unsigned)(*s - '0');
    }
    *ret = v;
    return true;
}

enum { HAS_SECRET = 1, HAS_ISSUER = 2, HAS_ALGORITHM = 4, HAS_DIGITS = 8, HAS_PERIOD = 16 };

/* Takes one parameter; NULL or what is wrong with it. */
static const char *take_param(struct totp *t, unsigned *seen, const char *name, const char *value)
{
    static const char *const known[] = {"secret", "issuer", "algorithm", "digits", "period"};
    unsigned i = 0;

    while (i < ARRAY_SIZE(known) && !streq(known[i], name))
        i++;
    if (i == ARRAY_SIZE(known))
        return "it has a parameter that is not known";
    if (*seen & 1u << i)
        return "it has a parameter twice";
    *seen |= 1u << i;
    switch (1u << i) {
    case HAS_SECRET:
        return base32_decode(value, strlen(value), t->secret, sizeof(t->secret), &t->secret_n) < 0 ||
                       t->secret_n < TOTP_SECRET_MIN
                   ? "the secret must be 16 to 64 bytes in base32"
                   : NULL;
    case HAS_ALGORITHM:
        return totp_algorithm_find(value, &t->algorithm) ? NULL : "the algorithm is none of SHA1, SHA256 and SHA512";
    case HAS_DIGITS:
        return parse_number(value, &t->digits) ? NULL : "digits is not a number";
    case HAS_PERIOD:
        return parse_number(value, &t->period_s) ? NULL : "period is not a number";
    default:
        return NULL;
    }
}

static const char *take_params(struct totp *t, const char *query, unsigned *seen)
{
    char name[VALUE_MAX + 1], value[VALUE_MAX + 1];
    const char *wrong = NULL;

    while (!wrong) {
        size_t n = strcspn(query, "&"), name_n = strcspn(query, "=&");
        if (name_n == n || !unescape(query, name_n, name) || !unescape(query + name_n + 1, n - name_n - 1, value))
            wrong = "a parameter is malformed";
        else
            wrong = take_param(t, seen, name, value);
        if (!query[n])
            break;
        query += n + 1;
    }
    mem_wipe(value, sizeof(value));
    return wrong;
}

int totp_parse_uri(const char *uri, struct totp *ret, struct err *e)
{
    struct totp t = {.algorithm = TOTP_SHA1, .digits = 6, .period_s = 30};
    char label[VALUE_MAX + 1];
    unsigned seen = 0;

    if (strnlen(uri, TOTP_URI_MAX + 1) > TOTP_URI_MAX)
        return refuse(e, "it is too long");
    if (!str_starts(uri, PREFIX))
        return refuse(e, "it does not begin with " PREFIX);
    const char *p = uri + strlen(PREFIX);
    size_t n = strcspn(p, "?");
    if (n == 0 || !unescape(p, n, label))
        return refuse(e, "its label is malformed");
    if (!p[n])
        return refuse(e, "it has no secret");
    const char *wrong = take_params(&t, p + n + 1, &seen);
    if (!wrong && !(seen & HAS_SECRET))
        wrong = "it has no secret";
    if (!wrong && !totp_is_valid(&t))
        wrong = "digits must be 6 to 8 and the period 10 to 120 seconds";
    if (!wrong)
        *ret = t;
    mem_wipe(&t, sizeof(t));
    return wrong ? refuse(e, wrong) : 0;
}
