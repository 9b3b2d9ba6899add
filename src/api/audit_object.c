/* Which object a request changes, and its digest before and after, for the audit log. A digest is SHA-256 of the stored
 * value (src/audit/digest.c), a guest's its own, as clients know it. Pools and users have members and groups besides
 * their record: where there are any, the digest is over "DIGEST\n" and a line for each, sorted. Secrets have none: not
 * even whether a password is another one than before shows. Called by audit.c on the loop thread. */
#include "api/audit_object.h"

#include <sodium.h>

#include "api/common.h"
#include "auth/model.h"

#define POOL_KEY "shared/auth/pool/"
#define USER_KEY "shared/auth/user/"

/* param NULL: the key is whole. The first row counts that the route begins with. */
static const struct object_kind {
    const char *method, *path, *param, *key;
} object_kinds[] = {
    {NULL, "/access/users/{userid}/token/{tokenid}", "tokenid", NULL},
    {NULL, "/access/users", "userid", USER_KEY},
    {NULL, "/access/groups", "groupid", "shared/auth/group/"},
    {NULL, "/access/roles", "roleid", "shared/auth/role/"},
    {NULL, "/access/domains", "realm", "shared/auth/realm/"},
    {NULL, "/access/acl", "path", "shared/auth/acl"},
    {NULL, "/pools", "poolid", POOL_KEY},
    {NULL, "/storage", "storage", "shared/storage/"},
    {NULL, "/cluster/options", NULL, "shared/options"},
    {NULL, "/nodes/{node}/config", "node", "shared/node/"},
    {NULL, "/nodes/{node}/network/{iface}", NULL, "local/network/pending"},
    {"PUT", "/nodes/{node}/network", NULL, "local/network/active"},
    {NULL, "/nodes/{node}/network", NULL, "local/network/pending"},
    {NULL, "/nodes/{node}/qemu", "vmid", "shared/guest/"},
};

static const char *key_of(struct api_call *c, const struct object_kind *k, const char *value)
{
    char path[AUTH_PATH_MAX];
    struct err e = ERR_INIT;

    if (!k->param)
        return k->key;
    if (!k->key)
        return arena_printf(&c->arena, "shared/auth/token/%s!%s", api_raw_get(c, "userid"), value);
    if (!streq(k->param, "path"))
        return arena_printf(&c->arena, "%s%s", k->key, value);
    return auth_path_normalize(value, path, sizeof(path), &e) == 0 ? arena_printf(&c->arena, "%s%s ", k->key, path)
                                                                   : NULL;
}

const char *api_audit_object(struct api_call *c)
{
    for (size_t i = 0; c->route && i < ARRAY_SIZE(object_kinds); i++) {
        const struct object_kind *k = &object_kinds[i];
        const char *value = k->param ? api_raw_get(c, k->param) : "";
        if (!value || !str_starts(c->route->path, k->path) || (k->method && !streq(k->method, c->method)))
            continue;
        const char *key = key_of(c, k, value);
        return key ? key : "";
    }
    return "";
}

/* ---- digests ---- */

struct lines {
    crypto_hash_sha256_state state;
    bool any;
};

static void add_line(struct lines *l, const char *digest, const char *kind, const char *name)
{
    if (!l->any) {
        crypto_hash_sha256_init(&l->state);
        crypto_hash_sha256_update(&l->state, (const unsigned char *)digest, strlen(digest));
        crypto_hash_sha256_update(&l->state, (const unsigned char *)"\n", 1);
        l->any = true;
    }
    crypto_hash_sha256_update(&l->state, (const unsigned char *)kind, strlen(kind));
    crypto_hash_sha256_update(&l->state, (const unsigned char *)name, strlen(name));
    crypto_hash_sha256_update(&l->state, (const unsigned char *)"\n", 1);
}

static void end_lines(struct lines *l, char hex[AUDIT_HASH_HEX])
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    if (!l->any)
        return;
    crypto_hash_sha256_final(&l->state, hash);
    sodium_bin2hex(hex, AUDIT_HASH_HEX, hash, sizeof(hash));
}

static void add_pool_members(struct api *api, const char *pool, char hex[AUDIT_HASH_HEX])
{
    static const struct {
        enum auth_kind kind;
        const char *name;
    } kinds[] = {{AUTH_GUEST, "guest "}, {AUTH_STORAGE, "storage "}};
    struct lines l = {.any = false};

    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        const struct auth_set *set = auth_objects(api->auth, kinds[k].kind);
        for (size_t i = 0; i < set->n; i++)
            if (auth_member_of(container_of(set->sorted[i], struct auth_member, item), pool))
                add_line(&l, hex, kinds[k].name, set->sorted[i]->key);
    }
    end_lines(&l, hex);
}

static void add_user_groups(struct api *api, const char *user, char hex[AUDIT_HASH_HEX])
{
    const struct auth_member *m = auth_find(api->auth, AUTH_MEMBER, user);
    struct lines l = {.any = false};

    for (size_t i = 0; m && i < m->n; i++)
        add_line(&l, hex, "group ", m->refs[i]);
    end_lines(&l, hex);
}

static bool guest_digest(struct api *api, const char *number, char hex[AUDIT_HASH_HEX])
{
    uint64_t vmid;
    const struct guest *g =
        str_to_u64(number, &vmid) == 0 && vmid <= UINT32_MAX ? guest_find(api->guests, (uint32_t)vmid) : NULL;

    if (g && !g->is_dropped)
        snprintf(hex, AUDIT_HASH_HEX, "%s", g->digest);
    return g && !g->is_dropped;
}

bool api_audit_digest(struct api *api, const char *object, char hex[AUDIT_HASH_HEX])
{
    if (str_starts(object, "shared/guest/"))
        return guest_digest(api, object + strlen("shared/guest/"), hex);
    if (!*object || !audit_digest(api->digests, object, hex))
        return false;
    if (str_starts(object, POOL_KEY))
        add_pool_members(api, object + strlen(POOL_KEY), hex);
    else if (str_starts(object, USER_KEY))
        add_user_groups(api, object + strlen(USER_KEY), hex);
    return true;
}
