/* Console tickets: "PVEVNC:HEX8::base64", for one user, path and port, valid for 30 s and once. The base64 text is a
 * nonce and a MAC over everything; the key is this process's own, because so is the memory of used tickets: after a
 * restart a used ticket would otherwise be good again. Loop thread. */
#include "auth/auth_priv.h"

#include <inttypes.h>
#include <sodium.h>

#define MAC_BYTES    crypto_auth_hmacsha512256_BYTES
#define PROOF_BYTES  (CONSOLE_NONCE_BYTES + MAC_BYTES)
#define PROOF_CHARS  (sodium_base64_ENCODED_LEN(PROOF_BYTES, sodium_base64_VARIANT_ORIGINAL) - 1)
#define PREFIX       "PVEVNC:"
#define PREFIX_CHARS (sizeof(PREFIX) - 1)
#define HEAD_CHARS   (PREFIX_CHARS + 8 + 2)

static void sign(const struct auth *a, const struct auth_subject *s, const char *path, unsigned port,
                 const char time_text[8], unsigned char proof[PROOF_BYTES])
{
    char text[AUTH_USER_MAX + AUTH_TOKEN_MAX + AUTH_PATH_MAX + 64], user[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    crypto_auth_hmacsha512256_state st;

    auth_subject_format(s, user, sizeof(user));
    /* No part can hold the blank that separates them. */
    snprintf(text, sizeof(text), "console %.8s %s %s %u ", time_text, user, path, port);
    crypto_auth_hmacsha512256_init(&st, a->console_key, sizeof(a->console_key));
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)text, strlen(text));
    crypto_auth_hmacsha512256_update(&st, proof, CONSOLE_NONCE_BYTES);
    crypto_auth_hmacsha512256_final(&st, proof + CONSOLE_NONCE_BYTES);
    mem_wipe(&st, sizeof(st));
}

int auth_console_ticket_make(struct auth *a, const struct auth_subject *s, const char *path, unsigned port, char *dst,
                             size_t cap, struct err *e)
{
    unsigned char proof[PROOF_BYTES];
    char time_text[9];

    if (cap < HEAD_CHARS + PROOF_CHARS + 1 || strlen(path) >= AUTH_PATH_MAX)
        return err_set(e, -ENOBUFS, NULL, "no room for a ticket");
    snprintf(time_text, sizeof(time_text), "%08" PRIX32, (uint32_t)clock_wall_s());
    randombytes_buf(proof, CONSOLE_NONCE_BYTES);
    sign(a, s, path, port, time_text, proof);
    snprintf(dst, cap, PREFIX "%s::", time_text);
    sodium_bin2base64(dst + HEAD_CHARS, cap - HEAD_CHARS, proof, sizeof(proof), sodium_base64_VARIANT_ORIGINAL);
    return 0;
}

static int refuse(struct err *e)
{
    return err_set(e, -EACCES, "auth.failed", "permission denied - invalid PVEVNC ticket");
}

static void drop_expired(struct auth *a, int64_t now)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n_used; i++)
        if (a->used[i].expires >= now)
            a->used[n++] = a->used[i];
    a->n_used = n;
}

size_t auth_console_used_count(const struct auth *a)
{
    return a->n_used;
}

static bool was_used(const struct auth *a, const unsigned char *nonce)
{
    for (size_t i = 0; i < a->n_used; i++)
        if (memcmp(a->used[i].nonce, nonce, CONSOLE_NONCE_BYTES) == 0)
            return true;
    return false;
}

/* Remembers a ticket as used; refuses when there is no room to remember. */
static int use_once(struct auth *a, const struct auth_subject *s, const unsigned char *nonce, int64_t expires,
                    struct err *e)
{
    uint64_t user = auth_hash(s->user, strlen(s->user));
    size_t of_user = 0;

    drop_expired(a, clock_wall_s());
    for (size_t i = 0; i < a->n_used; i++)
        of_user += a->used[i].user_hash == user;
    if (a->n_used == CONSOLE_USED_MAX || of_user == CONSOLE_USED_USER_MAX)
        return err_set(e, -EACCES, "auth.busy", "too many consoles were opened at once, try again in %d s",
                       CONSOLE_LIFE_S);
    struct console_used *u = &a->used[a->n_used++];
    memcpy(u->nonce, nonce, CONSOLE_NONCE_BYTES);
    u->expires = expires;
    u->user_hash = user;
    return 0;
}

/* There is exactly one text for each proof: what was read is written again and compared. */
static bool parse(const char *ticket, uint32_t *ret_made, unsigned char proof[PROOF_BYTES])
{
    char again[HEAD_CHARS + PROOF_CHARS + 1];
    size_t n;

    if (strlen(ticket) != HEAD_CHARS + PROOF_CHARS ||
        sodium_base642bin(proof, PROOF_BYTES, ticket + HEAD_CHARS, PROOF_CHARS, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) < 0 ||
        n != PROOF_BYTES)
        return false;
    *ret_made = (uint32_t)strtoul(ticket + PREFIX_CHARS, NULL, 16);
    snprintf(again, sizeof(again), PREFIX "%08" PRIX32 "::", *ret_made);
    sodium_bin2base64(again + HEAD_CHARS, PROOF_CHARS + 1, proof, PROOF_BYTES, sodium_base64_VARIANT_ORIGINAL);
    return streq(again, ticket);
}

/* Signed for this subject, path and port, young enough, not used; its nonce comes first in proof. */
static int check(const struct auth *a, const char *ticket, const struct auth_subject *s, const char *path,
                 unsigned port, uint32_t *ret_made, unsigned char proof[PROOF_BYTES], struct err *e)
{
    unsigned char expected[PROOF_BYTES];

    if (strlen(path) >= AUTH_PATH_MAX || !parse(ticket, ret_made, proof))
        return refuse(e);
    memcpy(expected, proof, CONSOLE_NONCE_BYTES);
    sign(a, s, path, port, ticket + PREFIX_CHARS, expected);
    if (!mem_equal_constant_time(proof, expected, PROOF_BYTES))
        return refuse(e);
    int64_t age = clock_wall_s() - (int64_t)*ret_made;
    if (age < 0 || age > CONSOLE_LIFE_S)
        return err_set(e, -EACCES, "auth.expired", "permission denied - invalid PVEVNC ticket");
    return was_used(a, proof) ? refuse(e) : 0;
}

int auth_console_ticket_check(struct auth *a, const char *ticket, const struct auth_subject *s, const char *path,
                              unsigned port, struct err *e)
{
    unsigned char proof[PROOF_BYTES];
    uint32_t made = 0;
    int r = check(a, ticket, s, path, port, &made, proof, e);

    return r == 0 && !auth_subject_is_active(a, s) ? refuse(e) : r;
}

int auth_console_ticket_use(struct auth *a, const char *ticket, const struct auth_subject *s, const char *path,
                            unsigned port, struct err *e)
{
    unsigned char proof[PROOF_BYTES];
    uint32_t made = 0;
    int r = check(a, ticket, s, path, port, &made, proof, e);

    if (r < 0)
        return r;
    if (!auth_user_is_active(a, s->user))
        return refuse(e);
    return use_once(a, s, proof, (int64_t)made + CONSOLE_LIFE_S, e);
}
