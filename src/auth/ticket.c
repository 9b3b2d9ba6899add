/* Login tickets and CSRF tokens: texts signed with HMAC-SHA-512-256 (libsodium's crypto_auth) under keys that are kept
 * in shared/secret/ticket. The newest key signs; an older one verifies as long as a ticket that it signed can live.
 * What is signed begins with what it is for, so that a proof of one kind never passes as another.
 *
 * A proof is verified by making it again and comparing whole texts, so there is exactly one text for each. Loop thread.
 */
#include "auth/auth_priv.h"

#include <ctype.h>
#include <inttypes.h>
#include <sodium.h>

#include "auth/second.h"

#define MAC_TEXT_CAP 48u /* base64 of 32 bytes */
#define TIME_CHARS   8u

#define CHALLENGE_PREFIX  "PVE:!tfa!"
#define CHALLENGE_EARLY_S 5 /* a clock that was set back a little */

_Static_assert(crypto_auth_KEYBYTES == TICKET_KEY_BYTES, "key size");

static bool load_key(const json_t *v, struct ticket_key *ret)
{
    const char *text = auth_record_str(v, "key");
    size_t n;

    ret->created = json_integer_value(json_object_get(v, "created"));
    return text &&
           sodium_base642bin(ret->key, sizeof(ret->key), text, strlen(text), NULL, &n, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           n == sizeof(ret->key);
}

int auth_ticket_keys_load(struct auth *a, const char *value, uint64_t revision)
{
    json_t *root = value ? auth_record_parse(value) : NULL;
    const json_t *list = json_object_get(root, "keys"), *v;
    size_t i;
    int r = value && !json_is_array(list) ? -EINVAL : 0;

    a->n_ticket_keys = 0;
    a->ticket_revision = value ? revision : 0;
    json_array_foreach(list, i, v)
    {
        if (i == TICKET_KEYS_MAX || !load_key(v, &a->ticket_keys[a->n_ticket_keys])) {
            r = i == TICKET_KEYS_MAX ? r : -EINVAL;
            break;
        }
        a->n_ticket_keys++;
    }
    if (r < 0)
        a->n_ticket_keys = 0;
    json_decref(root);
    return r;
}

/* A key from the future (the clock was wrong once) must not sign for ever. */
bool auth_ticket_keys_are_due(const struct auth *a)
{
    int64_t age = a->n_ticket_keys ? clock_wall_s() - a->ticket_keys[0].created : INT64_MAX;

    return age >= TICKET_KEY_ROTATE_S || age < -TICKET_EARLY_S;
}

static void write_key(struct jw *w, int64_t created, const unsigned char key[TICKET_KEY_BYTES])
{
    char text[MAC_TEXT_CAP];

    sodium_bin2base64(text, sizeof(text), key, TICKET_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
    jw_object(w);
    jw_kv_int(w, "created", created);
    jw_kv_str(w, "key", text);
    jw_object_end(w);
    mem_wipe(text, sizeof(text));
}

/* A new key in front; those stay whose successor is young enough for a ticket of theirs to be alive. */
void auth_txn_ticket_keys(struct auth *a, struct state_txn *t)
{
    unsigned char key[TICKET_KEY_BYTES];
    int64_t now = clock_wall_s(), successor = now;
    struct buf b;
    struct jw w;

    randombytes_buf(key, sizeof(key));
    buf_init(&b, 4096);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_int(&w, "format", 1);
    jw_key(&w, "keys");
    jw_array(&w);
    write_key(&w, now, key);
    for (size_t i = 0; i < a->n_ticket_keys && i + 1 < TICKET_KEYS_MAX; i++) {
        if (now - successor > TICKET_LIFE_S + TICKET_EARLY_S)
            break;
        write_key(&w, a->ticket_keys[i].created, a->ticket_keys[i].key);
        successor = a->ticket_keys[i].created;
    }
    jw_array_end(&w);
    jw_object_end(&w);
    state_txn_expect(t, "shared/secret/ticket", a->ticket_revision);
    state_txn_put(t, "shared/secret/ticket", buf_str(&b));
    mem_wipe(b.data, b.len);
    buf_done(&b);
    mem_wipe(key, sizeof(key));
}

/* base64 of the MAC over "PURPOSE\n" and text. */
static void sign(const struct ticket_key *k, const char *purpose, const char *text, size_t n, char ret[MAC_TEXT_CAP])
{
    crypto_auth_hmacsha512256_state st;
    unsigned char mac[crypto_auth_hmacsha512256_BYTES];

    crypto_auth_hmacsha512256_init(&st, k->key, sizeof(k->key));
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)purpose, strlen(purpose));
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)"\n", 1);
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)text, n);
    crypto_auth_hmacsha512256_final(&st, mac);
    sodium_bin2base64(ret, MAC_TEXT_CAP, mac, sizeof(mac), sodium_base64_VARIANT_ORIGINAL);
    mem_wipe(&st, sizeof(st));
}

/* A key whose successor is older than a ticket can be signs nothing that counts, also when it is still in the list. */
static bool is_retired(const struct auth *a, size_t i)
{
    return i > 0 && clock_wall_s() - a->ticket_keys[i - 1].created > TICKET_LIFE_S + TICKET_EARLY_S;
}

/* Is proof the MAC of text under one of the keys? Each key takes the same time. */
static bool is_signed(const struct auth *a, const char *purpose, const char *text, size_t n, const char *proof)
{
    char expected[MAC_TEXT_CAP];
    bool ok = false;

    for (size_t i = 0; i < a->n_ticket_keys; i++) {
        sign(&a->ticket_keys[i], purpose, text, n, expected);
        size_t len = strlen(expected);
        if (strlen(proof) == len && mem_equal_constant_time(proof, expected, len) && !is_retired(a, i))
            ok = true;
    }
    return ok;
}

/* Eight upper-case hexadecimal digits; anything may follow. */
static bool parse_time(const char *s, int64_t *ret)
{
    uint64_t t = 0;

    for (size_t i = 0; i < TIME_CHARS; i++) {
        if (!isdigit((unsigned char)s[i]) && !(s[i] >= 'A' && s[i] <= 'F'))
            return false;
        t = t * 16 + (uint64_t)(s[i] <= '9' ? s[i] - '0' : s[i] - 'A' + 10);
    }
    *ret = (int64_t)t;
    return true;
}

static bool is_fresh(int64_t made)
{
    int64_t age = clock_wall_s() - made;

    return age >= -TICKET_EARLY_S && age <= TICKET_LIFE_S;
}

static int need_key(const struct auth *a, struct err *e)
{
    return a->n_ticket_keys ? 0 : err_set(e, -EIO, "auth.no-key", "there is no key to sign tickets with");
}

int auth_ticket_make(struct auth *a, const char *user, char *dst, size_t cap, struct err *e)
{
    char mac[MAC_TEXT_CAP];
    int r = need_key(a, e);

    if (r < 0)
        return r;
    int n = snprintf(dst, cap, "PVE:%s:%08" PRIX32, user, (uint32_t)clock_wall_s());
    if (n < 0 || (size_t)n + 2 + MAC_TEXT_CAP > cap)
        return err_set(e, -ENOBUFS, NULL, "no room for a ticket");
    sign(&a->ticket_keys[0], "ticket", dst, (size_t)n, mac);
    snprintf(dst + n, cap - (size_t)n, "::%s", mac);
    return 0;
}

static int refuse(struct err *e, const char *code)
{
    return err_set(e, -EACCES, code, "permission denied - invalid PVE ticket");
}

int auth_ticket_verify(struct auth *a, const char *ticket, struct auth_subject *ret, struct err *e)
{
    const char *proof = strstr(ticket, "::");
    size_t n = proof ? (size_t)(proof - ticket) : 0;
    struct auth_subject s = {.token = ""};
    int64_t made;

    if (!str_starts(ticket, "PVE:") || n < 4 + 1 + TIME_CHARS + 1 || n > 4 + AUTH_USER_MAX + 1 + TIME_CHARS ||
        ticket[n - TIME_CHARS - 1] != ':' || !parse_time(ticket + n - TIME_CHARS, &made))
        return refuse(e, "auth.failed");
    if (!is_signed(a, "ticket", ticket, n, proof + 2))
        return refuse(e, "auth.failed");
    if (!is_fresh(made))
        return refuse(e, "auth.expired");
    memcpy(s.user, ticket + 4, n - TIME_CHARS - 1 - 4);
    s.ticket_s = made;
    if (!auth_subject_is_active(a, &s))
        return refuse(e, "auth.inactive");
    s.is_root = streq(s.user, "root@pam");
    *ret = s;
    return 0;
}

/* What is signed goes on behind the challenge's text: whose it is, and the revision of his password. */
static int sign_challenge(const struct auth *a, const char *user, const char *text, struct buf *signed_text)
{
    const struct auth_password *p = auth_find(a, AUTH_PASSWORD, user);

    buf_init(signed_text, AUTH_CHALLENGE_CAP + AUTH_USER_MAX + 32);
    buf_printf(signed_text, "%s:%s:%" PRIu64, text, user, p ? p->item.revision : 0);
    return signed_text->is_failed ? -ENOBUFS : 0;
}

/* Everything but letters, digits and "-._~" as %XX, as JavaScript's decodeURIComponent reads it. */
static void escape(struct buf *dst, const char *s)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~", *s))
            buf_append_char(dst, *s);
        else
            buf_printf(dst, "%%%02X", (unsigned char)*s);
    }
}

int auth_challenge_make(struct auth *a, const char *user, char dst[AUTH_CHALLENGE_CAP], struct err *e)
{
    const struct auth_tfa *t = auth_tfa_of(a, user);
    autobuf struct buf json = {0}, text = {0}, signed_text = {0};
    char mac[MAC_TEXT_CAP];
    struct jw w;
    int r = need_key(a, e);

    if (r < 0)
        return r;
    if (!t)
        return err_set(e, -ENOENT, NULL, "the second factors of this user are not known");
    buf_init(&json, AUTH_CHALLENGE_CAP);
    jw_init(&w, &json);
    auth_tfa_write_challenge(t, &w);
    buf_init(&text, AUTH_CHALLENGE_CAP);
    buf_append_str(&text, CHALLENGE_PREFIX);
    escape(&text, buf_str(&json));
    buf_printf(&text, ":%08" PRIX32, (uint32_t)clock_wall_s());
    if (json.is_failed || text.is_failed || text.len + 2 + MAC_TEXT_CAP > AUTH_CHALLENGE_CAP ||
        sign_challenge(a, user, buf_str(&text), &signed_text) < 0)
        return err_set(e, -ENOBUFS, NULL, "no room for a challenge");
    sign(&a->ticket_keys[0], "tfa", signed_text.data, signed_text.len, mac);
    snprintf(dst, AUTH_CHALLENGE_CAP, "%s::%s", text.data, mac);
    return 0;
}

int auth_challenge_verify(struct auth *a, const char *challenge, const char *user, struct err *e)
{
    const char *proof = strnlen(challenge, AUTH_CHALLENGE_CAP) < AUTH_CHALLENGE_CAP ? strstr(challenge, "::") : NULL;
    size_t n = proof ? (size_t)(proof - challenge) : 0;
    autobuf struct buf signed_text = {0};
    char text[AUTH_CHALLENGE_CAP];
    int64_t made;

    if (!str_starts(challenge, CHALLENGE_PREFIX) || n < strlen(CHALLENGE_PREFIX) + 1 + TIME_CHARS ||
        challenge[n - TIME_CHARS - 1] != ':' || !parse_time(challenge + n - TIME_CHARS, &made))
        return refuse(e, "auth.failed");
    memcpy(text, challenge, n);
    text[n] = 0;
    if (sign_challenge(a, user, text, &signed_text) < 0 ||
        !is_signed(a, "tfa", signed_text.data, signed_text.len, proof + 2))
        return refuse(e, "auth.failed");
    int64_t age = clock_wall_s() - made;
    return age >= -CHALLENGE_EARLY_S && age <= AUTH_CHALLENGE_LIFE_S ? 0 : refuse(e, "auth.expired");
}

int auth_csrf_make(struct auth *a, const char *user, char *dst, size_t cap, struct err *e)
{
    char text[TIME_CHARS + 1 + AUTH_USER_MAX + 1], mac[MAC_TEXT_CAP];
    int r = need_key(a, e);

    if (r < 0)
        return r;
    int n = snprintf(text, sizeof(text), "%08" PRIX32 ":%s", (uint32_t)clock_wall_s(), user);
    if (n < 0 || (size_t)n >= sizeof(text) || TIME_CHARS + 1 + MAC_TEXT_CAP > cap)
        return err_set(e, -ENOBUFS, NULL, "no room for a token");
    sign(&a->ticket_keys[0], "csrf", text, (size_t)n, mac);
    snprintf(dst, cap, "%.8s:%s", text, mac);
    return 0;
}

int auth_csrf_verify(struct auth *a, const char *csrf, const struct auth_subject *s, struct err *e)
{
    char text[TIME_CHARS + 1 + AUTH_USER_MAX + 1];
    int64_t made;

    if (parse_time(csrf, &made) && csrf[TIME_CHARS] == ':') {
        int n = snprintf(text, sizeof(text), "%.8s:%s", csrf, s->user);
        if (n > 0 && (size_t)n < sizeof(text) && is_signed(a, "csrf", text, (size_t)n, csrf + TIME_CHARS + 1) &&
            is_fresh(made))
            return 0;
    }
    return err_set(e, -EACCES, "auth.csrf", "Permission denied - invalid csrf token");
}
