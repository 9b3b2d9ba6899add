/* Copies of the keys of users, roles, ACLs … as JSON objects in memory, fed by watches. Loop thread. */
#include "auth0/auth0_priv.h"

#include <sodium.h>

#include "base/clock.h"

static const char *const prefixes[AUTH_N_KINDS] = {
    [AUTH_USER] = "shared/auth/user/",         [AUTH_GROUP] = "shared/auth/group/",
    [AUTH_ROLE] = "shared/auth/role/",         [AUTH_REALM] = "shared/auth/realm/",
    [AUTH_TOKEN] = "shared/auth/token/",       [AUTH_ACL] = "shared/auth/acl",
    [AUTH_POOL] = "shared/auth/pool/",         [AUTH_PASSWORD] = "shared/secret/password/",
    [AUTH_SECRET] = "shared/secret/token/",    [AUTH_KEYS] = "shared/secret/ticket",
};

json_t *auth_objects(struct auth *a, enum auth_kind kind)
{
    return a->kinds[kind];
}

json_t *auth_object(struct auth *a, enum auth_kind kind, const char *id)
{
    return json_object_get(a->kinds[kind], id);
}

static void state_key(enum auth_kind kind, const char *id, char dst[STATE_KEY_MAX + 1])
{
    snprintf(dst, STATE_KEY_MAX + 1, "%s%s", prefixes[kind], id);
}

void auth_txn_put(struct state_txn *t, enum auth_kind kind, const char *id, json_t *value)
{
    char key[STATE_KEY_MAX + 1];
    autofree char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    state_key(kind, id, key);
    state_txn_put(t, text ? key : "", text ? text : ""); /* an empty key fails the transaction */
    json_decref(value);
}

void auth_txn_delete(struct state_txn *t, enum auth_kind kind, const char *id)
{
    char key[STATE_KEY_MAX + 1];

    state_key(kind, id, key);
    state_txn_delete(t, key);
}

static void on_change(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct auth *a = arg;
    json_error_t je;

    for (size_t k = 0; k < AUTH_N_KINDS; k++) {
        if (!str_starts(key, prefixes[k]))
            continue;
        const char *id = key + strlen(prefixes[k]);
        if (value)
            json_object_set_new(a->kinds[k], id, json_loads(value, JSON_DECODE_ANY, &je));
        else
            json_object_del(a->kinds[k], id);
        return;
    }
}

int auth_new(struct state *s, struct auth **ret, struct err *e)
{
    static const char *const watched[] = {"shared/auth/", "shared/secret/"};
    struct auth *a = calloc(1, sizeof(*a));
    int r = 0;

    if (!a || sodium_init() < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    a->state = s;
    randombytes_buf(a->console_key, sizeof(a->console_key));
    for (size_t k = 0; k < AUTH_N_KINDS; k++)
        a->kinds[k] = json_object();
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(watched); i++)
        r = state_watch(s, watched[i], on_change, a, &a->watches[i], e);
    if (r < 0) {
        auth_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(a->watches); i++)
        state_unwatch(a->watches[i]);
    for (size_t k = 0; k < AUTH_N_KINDS; k++)
        json_decref(a->kinds[k]);
    free(a);
}

static void add_missing(struct auth *a, struct state_txn **t, enum auth_kind kind, const char *id, json_t *value)
{
    if (auth_object(a, kind, id) || (!*t && !(*t = state_txn_new()))) {
        json_decref(value);
        return;
    }
    auth_txn_put(*t, kind, id, value);
}

/* {"keys":[{"created":…,"key":HEX},…]}, newest first: the first signs, the others still verify. */
static json_t *rotated_keys(struct auth *a)
{
    json_t *old = json_object_get(auth_object(a, AUTH_KEYS, ""), "keys"), *keys = json_array();
    json_int_t now = (json_int_t)clock_wall_s();
    unsigned char key[TICKET_KEY_BYTES];
    char hex[2 * TICKET_KEY_BYTES + 1];

    json_t *newest = json_array_get(old, 0);
    if (newest && json_integer_value(json_object_get(newest, "created")) + TICKET_KEY_ROTATE_S > now) {
        json_decref(keys);
        return NULL;
    }
    randombytes_buf(key, sizeof(key));
    sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
    json_array_append_new(keys, json_pack("{s:I,s:s}", "created", now, "key", hex));
    if (newest) /* it signed until now: valid for the life of its tickets, that is until the next rotation at most */
        json_array_append(keys, newest);
    return json_pack("{s:o}", "keys", keys);
}

struct state_txn *auth_upkeep(struct auth *a)
{
    struct state_txn *t = NULL;
    json_t *keys = rotated_keys(a);

    add_missing(a, &t, AUTH_REALM, "pam", json_pack("{s:s,s:s}", "type", "pam", "comment", "Linux PAM standard authentication"));
    add_missing(a, &t, AUTH_REALM, "pve", json_pack("{s:s,s:s,s:i}", "type", "pve", "comment", "Holm authentication server", "default", 1));
    add_missing(a, &t, AUTH_USER, "root@pam", json_pack("{s:i,s:i}", "enable", 1, "expire", 0));
    if (keys && (t || (t = state_txn_new())))
        auth_txn_put(t, AUTH_KEYS, "", keys);
    return t;
}

const char *auth_password_hash(struct auth *a, const char *user)
{
    return json_string_value(auth_object(a, AUTH_PASSWORD, user));
}

static bool is_past(json_t *object)
{
    json_int_t expire = json_integer_value(json_object_get(object, "expire"));

    return expire && expire <= (json_int_t)clock_wall_s();
}

bool auth_user_is_active(struct auth *a, const char *user)
{
    json_t *u = auth_object(a, AUTH_USER, user), *enable = json_object_get(u, "enable");

    return u && (!enable || json_integer_value(enable) != 0) && !is_past(u);
}

const char *auth_default_realm(struct auth *a)
{
    const char *id;
    json_t *realm;

    json_object_foreach(auth_objects(a, AUTH_REALM), id, realm)
    {
        if (json_integer_value(json_object_get(realm, "default")))
            return id;
    }
    return "pam";
}

void auth_subject_format(const struct auth_subject *s, char *dst, size_t cap)
{
    snprintf(dst, cap, "%s%s%s", s->user, s->token[0] ? "!" : "", s->token);
}

/* ---- pools ---- */

static bool has_member(json_t *pool, const char *what, json_int_t vmid, const char *name)
{
    size_t i;
    json_t *m;

    json_array_foreach(json_object_get(pool, what), i, m)
    {
        if (name ? streq(json_string_value(m), name) : json_integer_value(m) == vmid)
            return true;
    }
    return false;
}

static const char *pool_of(struct auth *a, const char *what, json_int_t vmid, const char *name)
{
    const char *id;
    json_t *pool;

    json_object_foreach(auth_objects(a, AUTH_POOL), id, pool)
    {
        if (has_member(pool, what, vmid, name))
            return id;
    }
    return NULL;
}

const char *auth_pool_of_guest(struct auth *a, uint32_t vmid)
{
    return pool_of(a, "vms", vmid, NULL);
}

const char *auth_pool_of_storage(struct auth *a, const char *storage)
{
    return pool_of(a, "storage", 0, storage);
}

bool auth_pool_exists(struct auth *a, const char *pool)
{
    return auth_object(a, AUTH_POOL, pool) != NULL;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

void auth_each_pool(struct auth *a, bool (*fn)(void *arg, const char *pool), void *arg)
{
    json_t *pools = auth_objects(a, AUTH_POOL), *pool;
    const char **ids = calloc(json_object_size(pools) + 1, sizeof(*ids)), *id;
    size_t n = 0;

    if (!ids)
        return;
    json_object_foreach(pools, id, pool)
        ids[n++] = id;
    qsort(ids, n, sizeof(*ids), by_name);
    for (size_t i = 0; i < n && fn(arg, ids[i]); i++)
        continue;
    free(ids);
}

static void remove_member(json_t *pool, uint32_t vmid)
{
    json_t *vms = json_object_get(pool, "vms");

    for (size_t i = json_array_size(vms); i-- > 0;)
        if (json_integer_value(json_array_get(vms, i)) == vmid)
            json_array_remove(vms, i);
}

void auth_txn_guest_pool(struct auth *a, struct state_txn *t, uint32_t vmid, const char *pool)
{
    const char *old = auth_pool_of_guest(a, vmid);

    if (old && (!pool || !streq(old, pool))) {
        json_t *copy = json_deep_copy(auth_object(a, AUTH_POOL, old));
        remove_member(copy, vmid);
        auth_txn_put(t, AUTH_POOL, old, copy);
    }
    if (!pool || (old && streq(old, pool)))
        return;
    json_t *copy = json_deep_copy(auth_object(a, AUTH_POOL, pool));
    if (!copy)
        return;
    if (!json_object_get(copy, "vms"))
        json_object_set_new(copy, "vms", json_array());
    json_array_append_new(json_object_get(copy, "vms"), json_integer(vmid));
    auth_txn_put(t, AUTH_POOL, pool, copy);
}

void auth_txn_guest_purge(struct auth *a, struct state_txn *t, uint32_t vmid)
{
    char path[24];

    auth_txn_guest_pool(a, t, vmid, NULL);
    snprintf(path, sizeof(path), "/vms/%u", vmid);
    if (auth_object(a, AUTH_ACL, path))
        auth_txn_delete(t, AUTH_ACL, path);
}
