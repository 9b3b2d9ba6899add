/* API tokens: "user@realm!id=secret". The secret is a random UUID of which only a hash is kept; it needs no salt and no
 * slow hash, because it is not a word that somebody chose. Loop thread. */
#include "auth/auth_priv.h"

#include <sodium.h>

#define SECRET_MAX 128u /* ours are 36; longer ones are not looked at */

static const unsigned char no_secret[AUTH_SECRET_BYTES];

static void hash_secret(const char *secret, unsigned char hash[AUTH_SECRET_BYTES])
{
    crypto_generichash(hash, AUTH_SECRET_BYTES, (const unsigned char *)secret, strlen(secret), NULL, 0);
}

static int refuse(struct err *e)
{
    return err_set(e, -EACCES, "auth.failed", "invalid token value!");
}

/* The parts of "user@realm!id=secret". */
static int split(const char *token, struct auth_subject *ret, const char **ret_secret, struct err *e)
{
    char id[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    /* A user's name may contain '=', the rest not: the secret begins behind the first '=' after the last '!'. */
    const char *bang = strrchr(token, '!'), *equals = bang ? strchr(bang, '=') : NULL;

    if (!equals || (size_t)(equals - token) >= sizeof(id) || strlen(equals + 1) > SECRET_MAX)
        return refuse(e);
    memcpy(id, token, (size_t)(equals - token));
    id[equals - token] = 0;
    if (auth_subject_parse(id, ret, e) < 0 || !ret->token[0])
        return refuse(e);
    *ret_secret = equals + 1;
    return 0;
}

int auth_token_verify(struct auth *a, const char *token, struct auth_subject *ret, struct err *e)
{
    unsigned char hash[AUTH_SECRET_BYTES];
    char id[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    const char *text = "";
    struct auth_subject s;
    int r = split(token, &s, &text, e);

    if (r < 0)
        return r;
    auth_subject_format(&s, id, sizeof(id));
    hash_secret(text, hash);
    const struct auth_token *k = auth_find(a, AUTH_TOKEN, id);
    const struct auth_secret *secret = auth_find(a, AUTH_SECRET, id);
    /* A token that does not exist is compared too: how long the answer takes says nothing. */
    bool is_right = mem_equal_constant_time(hash, secret ? secret->hash : no_secret, sizeof(hash));
    if (!k || !secret || !is_right)
        return refuse(e);
    /* Whoever gets here holds the secret and may know why it does not help. */
    if (k->expire && k->expire <= clock_wall_s())
        return err_set(e, -EACCES, "auth.expired", "token '%s' access expired", id);
    if (!auth_user_is_active(a, s.user))
        return err_set(e, -EACCES, "auth.inactive", "user '%s' is disabled or expired", s.user);
    *ret = s;
    return 0;
}

void auth_txn_token_secret(struct state_txn *t, const char *full_id, char dst[AUTH_TOKEN_SECRET_CAP])
{
    unsigned char b[16], hash[AUTH_SECRET_BYTES];
    char hex[33], hash_hex[2 * AUTH_SECRET_BYTES + 1], key[STATE_KEY_MAX + 1], value[160];

    randombytes_buf(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    sodium_bin2hex(hex, sizeof(hex), b, sizeof(b));
    snprintf(dst, AUTH_TOKEN_SECRET_CAP, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    hash_secret(dst, hash);
    sodium_bin2hex(hash_hex, sizeof(hash_hex), hash, sizeof(hash));
    snprintf(key, sizeof(key), "shared/secret/token/%s", full_id);
    snprintf(value, sizeof(value), "{\"format\":1,\"hash\":\"%s\"}", hash_hex);
    state_txn_put(t, key, value);
    mem_wipe(b, sizeof(b));
    mem_wipe(hex, sizeof(hex));
}
