/* One stored value (JSON, format 1) into an object. Unknown members are ignored, so that a newer program's records can
 * be read after a step back; a wrong type or a missing necessary member makes the record unreadable, and what auth does
 * then is model.c's business. */
#include <sodium.h>

#include "auth/auth_priv.h"

#define RECORD_DEPTH_MAX 8u

json_t *auth_record_parse(const char *value)
{
    size_t n = strlen(value);
    json_t *root = json_depth(value, n) > RECORD_DEPTH_MAX ? NULL : json_loadb(value, n, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(root) && json_integer_value(json_object_get(root, "format")) == 1)
        return root;
    json_decref(root);
    return NULL;
}

/* "" when absent, NULL when it is not a string. */
const char *auth_record_str(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);

    return v ? json_string_value(v) : "";
}

static bool get_str(const json_t *root, const char *key, char **ret)
{
    const char *s = auth_record_str(root, key);

    return s && (*ret = strdup(s));
}

static bool get_bool(const json_t *root, const char *key, bool absent, bool *ret)
{
    const json_t *v = json_object_get(root, key);

    *ret = v ? json_is_true(v) || json_integer_value(v) != 0 : absent;
    return !v || json_is_boolean(v) || json_is_integer(v);
}

static bool get_int(const json_t *root, const char *key, int64_t *ret)
{
    const json_t *v = json_object_get(root, key);

    *ret = json_integer_value(v);
    return !v || json_is_integer(v);
}

int auth_record_user(struct auth_item *item, const json_t *root)
{
    struct auth_user *u = container_of(item, struct auth_user, item);
    bool ok = get_bool(root, "enable", true, &u->is_enabled) && get_int(root, "expire", &u->expire) &&
              get_str(root, "firstname", &u->firstname) && get_str(root, "lastname", &u->lastname) &&
              get_str(root, "email", &u->email) && get_str(root, "comment", &u->comment) &&
              get_str(root, "keys", &u->keys);

    return ok ? 0 : -EINVAL;
}

int auth_record_group(struct auth_item *item, const json_t *root)
{
    struct auth_group *g = container_of(item, struct auth_group, item);

    return get_str(root, "comment", &g->comment) ? 0 : -EINVAL;
}

/* Privileges that this program does not know (a newer one's) are left out: they grant nothing here. */
int auth_record_role(struct auth_item *item, const json_t *root)
{
    struct auth_role *role = container_of(item, struct auth_role, item);
    const json_t *list = json_object_get(root, "privs"), *v;
    size_t i;
    unsigned bit;

    if (!json_is_array(list))
        return -EINVAL;
    json_array_foreach(list, i, v)
    {
        const char *name = json_string_value(v);
        if (!name)
            return -EINVAL;
        if (priv_find(name, &bit))
            role->mask |= UINT64_C(1) << bit;
    }
    return 0;
}

int auth_record_realm(struct auth_item *item, const json_t *root)
{
    struct auth_realm *r = container_of(item, struct auth_realm, item);
    bool ok = get_str(root, "type", &r->type) && r->type[0] && get_str(root, "comment", &r->comment) &&
              get_bool(root, "default", false, &r->is_default);

    return ok ? 0 : -EINVAL;
}

int auth_record_token(struct auth_item *item, const json_t *root)
{
    struct auth_token *k = container_of(item, struct auth_token, item);

    k->has_expire = json_object_get(root, "expire") != NULL;
    bool ok = get_bool(root, "privsep", true, &k->is_separated) && get_int(root, "expire", &k->expire) &&
              get_str(root, "comment", &k->comment);
    return ok ? 0 : -EINVAL;
}

int auth_record_pool(struct auth_item *item, const json_t *root)
{
    struct auth_pool *p = container_of(item, struct auth_pool, item);

    return get_str(root, "comment", &p->comment) ? 0 : -EINVAL;
}

int auth_record_password(struct auth_item *item, const json_t *root)
{
    struct auth_password *p = container_of(item, struct auth_password, item);

    return get_str(root, "hash", &p->hash) && p->hash[0] && get_int(root, "changed", &p->changed) ? 0 : -EINVAL;
}

int auth_record_secret(struct auth_item *item, const json_t *root)
{
    struct auth_secret *k = container_of(item, struct auth_secret, item);
    const char *hex = auth_record_str(root, "hash");
    size_t n;

    if (!hex || strlen(hex) != 2 * AUTH_SECRET_BYTES ||
        sodium_hex2bin(k->hash, sizeof(k->hash), hex, strlen(hex), NULL, &n, NULL) < 0 || n != sizeof(k->hash))
        return -EINVAL;
    return 0;
}
