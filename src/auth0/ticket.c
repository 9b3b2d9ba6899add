/* Tickets: PVE:USER:TIME::SIGNATURE, signed with HMAC-SHA512-256 under keys that rotate daily; CSRF tokens; console
 * tickets (single use, kept only in this process); API tokens. The text of a ticket is hostile input. */
#include <sodium.h>

#include "auth0/auth0_priv.h"
#include "base/clock.h"

#define SIG_BYTES crypto_auth_BYTES
#define SIG_B64   sodium_base64_ENCODED_LEN(crypto_auth_BYTES, sodium_base64_VARIANT_ORIGINAL)

static int refused(struct err *e, const char *text)
{
    return err_set(e, -EACCES, "auth.failed", "%s", text);
}

static bool signing_key(struct auth *a, size_t i, unsigned char key[TICKET_KEY_BYTES])
{
    json_t *keys = json_object_get(auth_object(a, AUTH_KEYS, ""), "keys");
    const char *hex = json_string_value(json_object_get(json_array_get(keys, i), "key"));
    size_t n = 0;

    return hex && sodium_hex2bin(key, TICKET_KEY_BYTES, hex, strlen(hex), NULL, &n, NULL) == 0 && n == TICKET_KEY_BYTES;
}

static void sign(const char *purpose, const char *text, const unsigned char key[TICKET_KEY_BYTES],
                 unsigned char sig[SIG_BYTES])
{
    crypto_auth_hmacsha512256_state st;

    crypto_auth_hmacsha512256_init(&st, key, TICKET_KEY_BYTES);
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)purpose, strlen(purpose) + 1);
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)text, strlen(text));
    crypto_auth_hmacsha512256_final(&st, sig);
}

/* Constant-time comparison against every key that is still valid. */
static bool verify(struct auth *a, const char *purpose, const char *text, const char *b64)
{
    unsigned char given[SIG_BYTES], want[SIG_BYTES], key[TICKET_KEY_BYTES];
    size_t n = 0;
    bool ok = false;

    if (strlen(b64) != SIG_B64 - 1 || sodium_base642bin(given, sizeof(given), b64, strlen(b64), NULL, &n, NULL,
                                                         sodium_base64_VARIANT_ORIGINAL) != 0 || n != SIG_BYTES)
        return false;
    for (size_t i = 0; i < 2; i++)
        if (signing_key(a, i, key)) {
            sign(purpose, text, key, want);
            ok |= sodium_memcmp(given, want, SIG_BYTES) == 0;
        }
    sodium_memzero(key, sizeof(key));
    return ok;
}

static int make(struct auth *a, const char *purpose, const char *text, const char *separator, char *dst, size_t cap,
                struct err *e)
{
    unsigned char key[TICKET_KEY_BYTES], sig[SIG_BYTES];
    char b64[SIG_B64];

    if (!signing_key(a, 0, key))
        return err_set(e, -ENOKEY, "auth.no-key", "there is no signing key yet");
    sign(purpose, text, key, sig);
    sodium_memzero(key, sizeof(key));
    sodium_bin2base64(b64, sizeof(b64), sig, sizeof(sig), sodium_base64_VARIANT_ORIGINAL);
    int n = snprintf(dst, cap, "%s%s%s", text, separator, b64);
    return n < 0 || (size_t)n >= cap ? err_set(e, -ENAMETOOLONG, NULL, "ticket too long") : 0;
}

/* Eight upper-case hex digits. */
static bool parse_time(const char *p, int64_t *ret)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) {
        const char *digit = p[i] ? strchr("0123456789ABCDEF", p[i]) : NULL;
        if (!digit)
            return false;
        v = v << 4 | (uint64_t)(digit - "0123456789ABCDEF");
    }
    *ret = (int64_t)v;
    return true;
}

static bool is_fresh(int64_t time, int64_t life_s)
{
    int64_t age = clock_wall_s() - time;

    return age >= -TICKET_EARLY_S && age <= life_s;
}

int auth_ticket_make(struct auth *a, const char *user, char *dst, size_t cap, struct err *e)
{
    char text[AUTH_USER_MAX + 32];

    snprintf(text, sizeof(text), "PVE:%s:%08llX", user, (unsigned long long)clock_wall_s());
    return make(a, "ticket", text, "::", dst, cap, e);
}

int auth_ticket_verify(struct auth *a, const char *ticket, struct auth_subject *ret, struct err *e)
{
    char text[AUTH_USER_MAX + 32];
    const char *end = strstr(ticket, "::");
    size_t n = end ? (size_t)(end - ticket) : 0;
    int64_t time;

    if (!str_starts(ticket, "PVE:") || n < 4 + 3 + 9 || n >= sizeof(text))
        return refused(e, "permission denied - invalid PVE ticket");
    memcpy(text, ticket, n);
    text[n] = 0;
    if (text[n - 9] != ':' || !parse_time(text + n - 8, &time) || !verify(a, "ticket", text, end + 2))
        return refused(e, "permission denied - invalid PVE ticket");
    if (!is_fresh(time, TICKET_LIFE_S))
        return err_set(e, -EACCES, "auth.expired", "permission denied - ticket expired");
    struct auth_subject s = {.is_root = false};
    size_t len = n - 9 - 4;
    if (len > AUTH_USER_MAX)
        return refused(e, "permission denied - invalid PVE ticket");
    memcpy(s.user, text + 4, len);
    if (!auth_user_is_active(a, s.user))
        return refused(e, "permission denied - user is disabled or expired");
    s.is_root = streq(s.user, "root@pam");
    *ret = s;
    return 0;
}

int auth_csrf_make(struct auth *a, const char *user, char *dst, size_t cap, struct err *e)
{
    char text[16], purpose[AUTH_USER_MAX + 8];

    snprintf(text, sizeof(text), "%08llX", (unsigned long long)clock_wall_s());
    snprintf(purpose, sizeof(purpose), "csrf:%s", user);
    return make(a, purpose, text, ":", dst, cap, e);
}

int auth_csrf_verify(struct auth *a, const char *csrf, const struct auth_subject *s, struct err *e)
{
    char text[9], purpose[AUTH_USER_MAX + 8];
    int64_t time;

    snprintf(purpose, sizeof(purpose), "csrf:%s", s->user);
    if (strlen(csrf) > 9 && csrf[8] == ':' && parse_time(csrf, &time) && is_fresh(time, TICKET_LIFE_S)) {
        memcpy(text, csrf, 8);
        text[8] = 0;
        if (verify(a, purpose, text, csrf + 9))
            return 0;
    }
    return err_set(e, -EACCES, "auth.csrf", "Permission denied - invalid csrf token");
}

/* ---- API tokens ---- */

void auth_token_secret_make(char dst[37])
{
    unsigned char b[16];

    randombytes_buf(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    char hex[33];
    sodium_bin2hex(hex, sizeof(hex), b, sizeof(b));
    snprintf(dst, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* A secret of 122 random bits needs no slow hash. */
void auth_token_secret_hash(const char *secret, char hex[65])
{
    unsigned char hash[32];

    crypto_generichash(hash, sizeof(hash), (const unsigned char *)secret, strlen(secret), NULL, 0);
    sodium_bin2hex(hex, 65, hash, sizeof(hash));
}

int auth_token_verify(struct auth *a, const char *token, struct auth_subject *ret, struct err *e)
{
    char full[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2], hex[65];
    const char *eq = strchr(token, '='), *bang = strchr(token, '!');
    struct auth_subject s = {.is_root = false};
    static const char dummy[65] = "0000000000000000000000000000000000000000000000000000000000000000";

    if (!eq || !bang || bang > eq || (size_t)(eq - token) >= sizeof(full) || (size_t)(bang - token) > AUTH_USER_MAX ||
        (size_t)(eq - bang - 1) > AUTH_TOKEN_MAX || strlen(eq + 1) > 128)
        return refused(e, "no such API token");
    snprintf(full, sizeof(full), "%.*s", (int)(eq - token), token);
    snprintf(s.user, sizeof(s.user), "%.*s", (int)(bang - token), token);
    snprintf(s.token, sizeof(s.token), "%.*s", (int)(eq - bang - 1), bang + 1);
    json_t *object = auth_object(a, AUTH_TOKEN, full);
    const char *stored = json_string_value(auth_object(a, AUTH_SECRET, full));
    auth_token_secret_hash(eq + 1, hex);
    if (!stored || strlen(stored) != 64)
        stored = dummy;
    bool ok = sodium_memcmp(stored, hex, 64) == 0;
    json_int_t expire = json_integer_value(json_object_get(object, "expire"));
    if (!ok || !object || (expire && expire <= (json_int_t)clock_wall_s()) || !auth_user_is_active(a, s.user))
        return refused(e, ok ? "token expired or user disabled" : "invalid token value!");
    *ret = s;
    return 0;
}

/* ---- console tickets: PVEVNC:TIME:NONCE::SIGNATURE ---- */

static void console_text(const struct auth_subject *s, const char *path, unsigned port, const char *head, char *dst,
                         size_t cap)
{
    snprintf(dst, cap, "%s:%s!%s:%s:%u", head, s->user, s->token, path, port);
}

int auth_console_ticket_make(struct auth *a, const struct auth_subject *s, const char *path, unsigned port, char *dst,
                             size_t cap, struct err *e)
{
    unsigned char nonce[12], sig[SIG_BYTES];
    char head[64], hex[25], text[512], b64[SIG_B64];

    randombytes_buf(nonce, sizeof(nonce));
    sodium_bin2hex(hex, sizeof(hex), nonce, sizeof(nonce));
    snprintf(head, sizeof(head), "PVEVNC:%08llX:%s", (unsigned long long)clock_wall_s(), hex);
    console_text(s, path, port, head, text, sizeof(text));
    sign("console", text, a->console_key, sig);
    sodium_bin2base64(b64, sizeof(b64), sig, sizeof(sig), sodium_base64_VARIANT_ORIGINAL);
    int n = snprintf(dst, cap, "%s::%s", head, b64);
    return n < 0 || (size_t)n >= cap ? err_set(e, -ENAMETOOLONG, NULL, "ticket too long") : 0;
}

/* Remembers a nonce until its ticket would expire; false when it was used before, or nothing more fits. */
static bool use_nonce(struct auth *a, const unsigned char nonce[12])
{
    int64_t now = clock_wall_s();
    size_t kept = 0;
    bool is_used = false;

    for (size_t i = 0; i < a->n_used; i++) {
        is_used |= sodium_memcmp(a->used[i].nonce, nonce, 12) == 0;
        if (a->used[i].expires >= now)
            a->used[kept++] = a->used[i];
    }
    a->n_used = kept;
    if (is_used || a->n_used == CONSOLE_USED_MAX)
        return false;
    memcpy(a->used[a->n_used].nonce, nonce, 12);
    a->used[a->n_used++].expires = now + CONSOLE_LIFE_S + TICKET_EARLY_S;
    return true;
}

int auth_console_ticket_use(struct auth *a, const char *ticket, const struct auth_subject *s, const char *path,
                            unsigned port, struct err *e)
{
    unsigned char given[SIG_BYTES], want[SIG_BYTES], nonce[12];
    char head[64], text[512];
    const char *end = strstr(ticket, "::");
    size_t n = 0;
    int64_t time;

    if (!end || (size_t)(end - ticket) != 7 + 8 + 1 + 24 || !str_starts(ticket, "PVEVNC:") ||
        !parse_time(ticket + 7, &time) || ticket[15] != ':' || strlen(end + 2) != SIG_B64 - 1)
        return refused(e, "permission denied - invalid PVEVNC ticket");
    snprintf(head, sizeof(head), "%.*s", (int)(end - ticket), ticket);
    if (sodium_hex2bin(nonce, sizeof(nonce), head + 16, 24, NULL, &n, NULL) != 0 || n != 12 ||
        sodium_base642bin(given, sizeof(given), end + 2, SIG_B64 - 1, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 || n != SIG_BYTES)
        return refused(e, "permission denied - invalid PVEVNC ticket");
    console_text(s, path, port, head, text, sizeof(text));
    sign("console", text, a->console_key, want);
    int64_t age = clock_wall_s() - time;
    if (sodium_memcmp(given, want, SIG_BYTES) != 0 || age < -20 || age > CONSOLE_LIFE_S || !use_nonce(a, nonce))
        return refused(e, "permission denied - invalid PVEVNC ticket");
    return 0;
}
