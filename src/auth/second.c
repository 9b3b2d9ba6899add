/* Second factors: which are asked for, whether an answer is right, and what a wrong one leads to. The limits are
 * Proxmox VE's: eight wrong one-time passwords in a row lock those until a recovery code is used, a hundred wrong
 * answers lock the user for an hour. Nothing is stored here: the caller commits the changed copy
 * (src/api/access_second.c). */
#include "auth/second.h"

#include <ctype.h>
#include <sodium.h>

#include "auth/auth_priv.h"

const struct auth_tfa *auth_tfa_of(const struct auth *a, const char *user)
{
    return auth_find(a, AUTH_TFA, user);
}

bool auth_tfa_is_needed(const struct auth *a, const char *user)
{
    const struct auth_tfa *t = auth_tfa_of(a, user);

    if (!t)
        return a->is_out_of_memory; /* his record may be what there was no room for */
    for (size_t i = 0; i < t->n_totp; i++)
        if (t->totp[i].is_enabled)
            return true;
    return t->is_damaged || (t->recovery.is_there && t->recovery.is_enabled);
}

bool auth_tfa_is_locked(const struct auth_tfa *t)
{
    return t->locked_until > clock_wall_s();
}

static bool has_totp(const struct auth_tfa *t)
{
    for (size_t i = 0; i < t->n_totp && !t->is_totp_locked; i++)
        if (t->totp[i].is_enabled)
            return true;
    return false;
}

void auth_tfa_write_challenge(const struct auth_tfa *t, struct jw *w)
{
    jw_object(w);
    jw_key(w, "totp");
    jw_bool(w, has_totp(t));
    if (t->recovery.is_there && t->recovery.is_enabled) {
        jw_key(w, "recovery");
        jw_array(w);
        for (unsigned i = 0; i < AUTH_RECOVERY_CODES; i++)
            if (!t->recovery.is_used[i])
                jw_int(w, i);
        jw_array_end(w);
    }
    jw_object_end(w);
}

static void hash_code(const struct auth_tfa_recovery *r, const char *code, unsigned char hash[AUTH_RECOVERY_HASH])
{
    crypto_generichash(hash, AUTH_RECOVERY_HASH, (const unsigned char *)code, strlen(code), r->salt, sizeof(r->salt));
}

void auth_recovery_make(struct auth_tfa_recovery *r, char codes[AUTH_RECOVERY_CODES][AUTH_RECOVERY_CAP])
{
    unsigned char b[8];

    *r = (struct auth_tfa_recovery){.is_there = true, .is_enabled = true, .created = clock_wall_s()};
    randombytes_buf(r->salt, sizeof(r->salt));
    for (unsigned i = 0; i < AUTH_RECOVERY_CODES; i++) {
        randombytes_buf(b, sizeof(b));
        snprintf(codes[i], AUTH_RECOVERY_CAP, "%02x%02x-%02x%02x-%02x%02x-%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5],
                 b[6], b[7]);
        hash_code(r, codes[i], r->hashes[i]);
    }
    mem_wipe(b, sizeof(b));
}

static bool use_totp(struct auth_tfa *t, const char *code)
{
    int64_t now = clock_wall_s();

    for (size_t i = 0; i < t->n_totp; i++) {
        struct auth_tfa_totp *o = &t->totp[i];
        if (o->is_enabled && totp_match(&o->totp, code, now, o->last_step, &o->last_step))
            return true;
    }
    return false;
}

static bool use_recovery(struct auth_tfa *t, const char *given)
{
    struct auth_tfa_recovery *r = &t->recovery;
    unsigned char hash[AUTH_RECOVERY_HASH];
    char code[AUTH_RECOVERY_CAP];
    bool is_right = false;

    if (!r->is_there || !r->is_enabled || str_copy(code, sizeof(code), given) < 0)
        return false;
    for (char *p = code; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    hash_code(r, code, hash);
    for (unsigned i = 0; i < AUTH_RECOVERY_CODES; i++) {
        bool is_equal = mem_equal_constant_time(hash, r->hashes[i], sizeof(hash));
        if (!is_equal || r->is_used[i])
            continue;
        r->is_used[i] = is_right = true;
        mem_wipe(r->hashes[i], sizeof(r->hashes[i]));
    }
    mem_wipe(code, sizeof(code));
    return is_right;
}

static const char *count_failure(struct auth_tfa *t, bool is_totp)
{
    const char *why = is_totp ? "wrong one-time password" : "wrong recovery code";

    if (is_totp && ++t->totp_failures >= AUTH_TOTP_FAILURES) {
        t->totp_failures = 0;
        t->is_totp_locked = true;
        why = "wrong one-time password, and too many of them: they are locked now";
    }
    if (++t->failures >= AUTH_TFA_FAILURES) {
        t->failures = 0;
        t->locked_until = clock_wall_s() + AUTH_TFA_LOCK_S;
        why = "wrong second factor, and too many of them: locked for an hour";
    }
    return why;
}

enum auth_tfa_verdict auth_tfa_answer(struct auth_tfa *t, const char *answer, const char **ret_why)
{
    bool is_totp = str_starts(answer, "totp:"), is_recovery = str_starts(answer, "recovery:");

    *ret_why = t->is_damaged            ? "the record of the second factors cannot be read"
               : auth_tfa_is_locked(t)  ? "second factors are locked"
               : is_totp || is_recovery ? is_totp && t->is_totp_locked ? "one-time passwords are locked" : NULL
                                        : "no second factor that is known";
    if (*ret_why)
        return AUTH_TFA_REFUSED;
    if (is_totp ? !use_totp(t, answer + 5) : !use_recovery(t, answer + 9)) {
        *ret_why = count_failure(t, is_totp);
        return AUTH_TFA_WRONG;
    }
    t->failures = t->totp_failures = 0;
    t->locked_until = 0;
    if (is_recovery)
        t->is_totp_locked = false;
    return AUTH_TFA_RIGHT;
}
