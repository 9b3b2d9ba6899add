/* The record of a user's second factors: JSON to struct auth_tfa and back. Everything is checked, and nothing is left
 * out that is not known: an entry of an unknown type would otherwise no longer be asked for. Loop thread. */
#include <sodium.h>

#include "auth/auth_priv.h"
#include "auth/second.h"
#include "base/base32.h"

#define DESCRIPTION_MAX 1024u /* 255 characters */

static bool get_int(const json_t *root, const char *key, int64_t min, int64_t max, int64_t absent, int64_t *ret)
{
    const json_t *v = json_object_get(root, key);

    *ret = v ? json_integer_value(v) : absent;
    return (!v || json_is_integer(v)) && *ret >= min && *ret <= max;
}

static bool get_flag(const json_t *root, const char *key, bool absent, bool *ret)
{
    int64_t v;

    if (!get_int(root, key, 0, 1, absent, &v))
        return false;
    *ret = v;
    return true;
}

/* What entries of both types have. */
static bool get_common(const json_t *v, char **ret_description, int64_t *ret_created, bool *ret_enabled)
{
    const char *text = auth_record_str(v, "description");

    if (!text || strlen(text) > DESCRIPTION_MAX || !(*ret_description = strdup(text)))
        return false;
    return get_int(v, "created", 0, INT64_MAX, 0, ret_created) && get_flag(v, "enable", true, ret_enabled);
}

static bool get_totp(const json_t *v, struct auth_tfa_totp *o)
{
    const char *id = auth_record_str(v, "id"), *secret = auth_record_str(v, "secret");
    const char *algorithm = auth_record_str(v, "algorithm");
    int64_t digits, period;

    if (!get_common(v, &o->description, &o->created, &o->is_enabled) || !id || !*id || !secret || !algorithm ||
        str_copy(o->id, sizeof(o->id), id) < 0 || !totp_algorithm_find(algorithm, &o->totp.algorithm) ||
        base32_decode(secret, strlen(secret), o->totp.secret, sizeof(o->totp.secret), &o->totp.secret_n) < 0 ||
        !get_int(v, "digits", 0, 99, 0, &digits) || !get_int(v, "period", 0, 999, 0, &period) ||
        !get_int(v, "last", TOTP_NO_STEP, INT64_MAX, TOTP_NO_STEP, &o->last_step))
        return false;
    o->totp.digits = (unsigned)digits;
    o->totp.period_s = (unsigned)period;
    return totp_is_valid(&o->totp);
}

static bool get_hex(const char *hex, unsigned char *dst, size_t n)
{
    size_t len;

    return hex && strlen(hex) == 2 * n && sodium_hex2bin(dst, n, hex, 2 * n, NULL, &len, NULL) == 0 && len == n;
}

static bool get_recovery(const json_t *v, struct auth_tfa_recovery *r)
{
    const json_t *codes = json_object_get(v, "codes");

    r->is_there = true;
    if (!get_common(v, &r->description, &r->created, &r->is_enabled) ||
        !get_hex(auth_record_str(v, "salt"), r->salt, sizeof(r->salt)) || !json_is_array(codes) ||
        json_array_size(codes) != AUTH_RECOVERY_CODES)
        return false;
    for (size_t i = 0; i < AUTH_RECOVERY_CODES; i++) {
        const char *hex = json_string_value(json_array_get(codes, i));
        r->is_used[i] = hex && !*hex;
        if (!r->is_used[i] && !get_hex(hex, r->hashes[i], sizeof(r->hashes[i])))
            return false;
    }
    return true;
}

static bool get_entry(const json_t *v, struct auth_tfa *t)
{
    const char *type = auth_record_str(v, "type");

    if (type && streq(type, "totp") && t->n_totp < AUTH_TFA_TOTP_MAX)
        return get_totp(v, &t->totp[t->n_totp++]);
    return type && streq(type, "recovery") && !t->recovery.is_there && get_recovery(v, &t->recovery);
}

int auth_record_tfa(struct auth_item *item, const json_t *root)
{
    struct auth_tfa *t = container_of(item, struct auth_tfa, item);
    const json_t *entries = json_object_get(root, "entries"), *v;
    int64_t totp_failures, failures;
    size_t i;

    if (!json_is_array(entries) || !get_int(root, "totp-failures", 0, AUTH_TOTP_FAILURES, 0, &totp_failures) ||
        !get_int(root, "failures", 0, AUTH_TFA_FAILURES, 0, &failures) ||
        !get_flag(root, "totp-locked", false, &t->is_totp_locked) ||
        !get_int(root, "tfa-locked-until", 0, INT64_MAX, 0, &t->locked_until))
        return -EINVAL;
    t->totp_failures = (unsigned)totp_failures;
    t->failures = (unsigned)failures;
    json_array_foreach(entries, i, v)
    {
        if (!get_entry(v, t))
            return -EINVAL;
    }
    return 0;
}

void auth_tfa_free(struct auth_item *item)
{
    struct auth_tfa *t = container_of(item, struct auth_tfa, item);

    for (size_t i = 0; i < AUTH_TFA_TOTP_MAX; i++)
        free(t->totp[i].description);
    free(t->recovery.description);
    free(t->item.key);
    mem_wipe(t, sizeof(*t));
    free(t);
}

void auth_tfa_note_damage(struct auth_item *item)
{
    container_of(item, struct auth_tfa, item)->is_damaged = true;
}

static void put_common(struct jw *w, const char *id, const char *type, const char *description, int64_t created,
                       bool is_enabled)
{
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "type", type);
    if (description && *description)
        jw_kv_str(w, "description", description);
    jw_kv_int(w, "created", created);
    jw_kv_int(w, "enable", is_enabled);
}

static void put_totp(struct jw *w, const struct auth_tfa_totp *o)
{
    char secret[BASE32_CHARS(TOTP_SECRET_MAX) + 1];

    base32_encode(o->totp.secret, o->totp.secret_n, secret);
    jw_object(w);
    put_common(w, o->id, "totp", o->description, o->created, o->is_enabled);
    jw_kv_str(w, "secret", secret);
    jw_kv_str(w, "algorithm", totp_algorithm_name(o->totp.algorithm));
    jw_kv_int(w, "digits", o->totp.digits);
    jw_kv_int(w, "period", o->totp.period_s);
    if (o->last_step != TOTP_NO_STEP)
        jw_kv_int(w, "last", o->last_step);
    jw_object_end(w);
    mem_wipe(secret, sizeof(secret));
}

static void put_recovery(struct jw *w, const struct auth_tfa_recovery *r)
{
    char hex[2 * AUTH_RECOVERY_HASH + 1];

    jw_object(w);
    put_common(w, AUTH_TFA_RECOVERY_ID, "recovery", r->description, r->created, r->is_enabled);
    jw_kv_str(w, "salt", sodium_bin2hex(hex, sizeof(hex), r->salt, sizeof(r->salt)));
    jw_key(w, "codes");
    jw_array(w);
    for (unsigned i = 0; i < AUTH_RECOVERY_CODES; i++)
        jw_str(w, r->is_used[i] ? "" : sodium_bin2hex(hex, sizeof(hex), r->hashes[i], sizeof(r->hashes[i])));
    jw_array_end(w);
    jw_object_end(w);
}

void auth_tfa_put(struct jw *w, const struct auth_tfa *t)
{
    jw_key(w, "entries");
    jw_array(w);
    for (size_t i = 0; i < t->n_totp; i++)
        put_totp(w, &t->totp[i]);
    if (t->recovery.is_there)
        put_recovery(w, &t->recovery);
    jw_array_end(w);
    if (t->totp_failures)
        jw_kv_int(w, "totp-failures", t->totp_failures);
    if (t->failures)
        jw_kv_int(w, "failures", t->failures);
    if (t->is_totp_locked)
        jw_kv_int(w, "totp-locked", 1);
    if (t->locked_until)
        jw_kv_int(w, "tfa-locked-until", t->locked_until);
}
