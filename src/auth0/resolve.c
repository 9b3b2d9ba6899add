/* Who may do what: Proxmox VE's resolver (pve-access-control, roles()). Levels of a path from / down; at each level the
 * token's entry, else the user's, else the union of his groups' REPLACES what was inherited; an entry counts on its own
 * level, below only with propagate; NoAccess wipes. A pool's roles are then added on its members. */
#include "auth0/auth0_priv.h"

#define ALL_PRIVS ((UINT64_C(1) << 47) - 1)

struct grant {
    priv_mask mask, propagate;
    bool is_set, is_denied;
};

/* ACL value: {"users":{ID:{ROLE:propagate}},"groups":{…},"tokens":{…}} */
static bool add_roles(struct auth *a, json_t *roles, bool is_final, struct grant *g)
{
    bool any = false;
    const char *role;
    json_t *propagate;

    json_object_foreach(roles, role, propagate)
    {
        bool is_propagated = json_integer_value(propagate) != 0;
        priv_mask mask;
        if ((!is_final && !is_propagated) || !auth_role_mask(a, role, &mask))
            continue;
        any = true;
        if (streq(role, "NoAccess"))
            g->is_denied = true;
        g->mask |= mask;
        if (is_propagated)
            g->propagate |= mask;
    }
    return any;
}

static bool level_of_groups(struct auth *a, json_t *acl, const char *user, bool is_final, struct grant *g)
{
    json_t *groups = json_object_get(auth_object(a, AUTH_USER, user), "groups"), *name;
    bool any = false;
    size_t i;

    json_array_foreach(groups, i, name)
    {
        if (add_roles(a, json_object_get(json_object_get(acl, "groups"), json_string_value(name)), is_final, g))
            any = true;
    }
    return any;
}

/* One level; replaces g when it has something to say. */
static void apply_level(struct auth *a, const char *path, const char *user, const char *full_token, bool is_final,
                        struct grant *g)
{
    json_t *acl = auth_object(a, AUTH_ACL, path);
    struct grant here = {0};

    if (!acl)
        return;
    if (full_token ? add_roles(a, json_object_get(json_object_get(acl, "tokens"), full_token), is_final, &here)
                   : (add_roles(a, json_object_get(json_object_get(acl, "users"), user), is_final, &here) ||
                      level_of_groups(a, acl, user, is_final, &here))) {
        here.is_set = true;
        *g = here;
    }
}

static void walk(struct auth *a, const char *path, const char *user, const char *full_token, struct grant *g)
{
    char level[AUTH_PATH_MAX + 1];
    size_t n = strlen(path);

    apply_level(a, "/", user, full_token, n == 1, g);
    for (size_t i = 1; i <= n && n > 1; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(level, path, i);
        level[i] = 0;
        apply_level(a, level, user, full_token, path[i] == 0, g);
    }
    if (g->is_denied)
        g->mask = g->propagate = 0;
}

static const char *pool_of_path(struct auth *a, const char *path)
{
    uint64_t vmid;

    if (str_starts(path, "/vms/") && str_to_u64(path + 5, &vmid) == 0 && vmid <= UINT32_MAX)
        return auth_pool_of_guest(a, (uint32_t)vmid);
    if (str_starts(path, "/storage/"))
        return auth_pool_of_storage(a, path + 9);
    return NULL;
}

static priv_mask resolve(struct auth *a, const char *user, const char *full_token, const char *path,
                         priv_mask *ret_propagate)
{
    struct grant g = {0}, p = {0};
    char pool_path[AUTH_PATH_MAX + 1];

    walk(a, path, user, full_token, &g);
    const char *pool = pool_of_path(a, path);
    if (pool && !g.is_denied) {
        snprintf(pool_path, sizeof(pool_path), "/pool/%s", pool);
        walk(a, pool_path, user, full_token, &p);
        if (p.is_denied)
            g.mask = g.propagate = 0;
        else
            g.mask |= p.mask;
    }
    *ret_propagate = g.propagate;
    return g.mask;
}

priv_mask auth_privileges(struct auth *a, const struct auth_subject *s, const char *path, priv_mask *ret_propagate)
{
    char full[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    priv_mask propagate = ALL_PRIVS, mask = ALL_PRIVS, token_propagate;

    if (strlen(path) > AUTH_PATH_MAX)
        mask = propagate = 0;
    else if (!streq(s->user, "root@pam"))
        mask = resolve(a, s->user, NULL, path, &propagate);
    if (s->token[0] && mask) {
        auth_subject_format(s, full, sizeof(full));
        json_t *token = auth_object(a, AUTH_TOKEN, full), *separated = json_object_get(token, "privsep");
        if (!token)
            mask = propagate = 0;
        else if (!separated || json_integer_value(separated)) {
            mask &= resolve(a, s->user, full, path, &token_propagate);
            propagate &= token_propagate;
        }
    }
    if (ret_propagate)
        *ret_propagate = propagate;
    return mask;
}

bool auth_has(struct auth *a, const struct auth_subject *s, const char *path, priv_mask mask, bool any)
{
    if (s->is_root)
        return true;
    priv_mask have = auth_privileges(a, s, path, NULL);
    return any ? (have & mask) != 0 : (have & mask) == mask;
}

int auth_require(struct auth *a, const struct auth_subject *s, const char *path, priv_mask mask, bool any,
                 struct err *e)
{
    char names[200] = "";
    size_t n = 0;

    if (auth_has(a, s, path, mask, any))
        return 0;
    for (unsigned bit = 0; priv_name(bit) && n < sizeof(names); bit++)
        if (mask & (UINT64_C(1) << bit))
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? "|" : "", priv_name(bit));
    return err_set(e, -EPERM, "auth.denied", "Permission check failed (%s, %s)", path, names);
}

static bool user_in_group(struct auth *a, const char *user, const char *group)
{
    json_t *groups = json_object_get(auth_object(a, AUTH_USER, user), "groups"), *name;
    size_t i;

    json_array_foreach(groups, i, name)
    {
        if (streq(json_string_value(name), group))
            return true;
    }
    return false;
}

bool auth_has_on_groups(struct auth *a, const struct auth_subject *s, priv_mask mask, const char *groups,
                        const char *user)
{
    char path[AUTH_PATH_MAX + 1], name[80];
    const char *id;
    json_t *group;
    bool any = false;

    if (!groups) {
        json_object_foreach(auth_objects(a, AUTH_GROUP), id, group)
        {
            snprintf(path, sizeof(path), "/access/groups/%s", id);
            if (user && user_in_group(a, user, id) && auth_has(a, s, path, mask, true))
                return true;
        }
        return false;
    }
    for (const char *p = groups; *p;) {
        size_t n = strcspn(p, ",; ");
        if (n && n < sizeof(name)) {
            snprintf(path, sizeof(path), "/access/groups/%.*s", (int)n, p);
            if (!auth_has(a, s, path, mask, true))
                return false;
            any = true;
        }
        p += n + (p[n] != 0);
    }
    return any;
}

static bool is_word(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
              strchr(".-_@", s[i])))
            return false;
    return n > 0;
}

/* Second level below each top, and how many more names may follow it (pve-access-control, check_path). */
int auth_path_check(const char *path, struct err *e)
{
    static const struct {
        const char *top;
        unsigned max_more;
    } tops[] = {{"access", 2}, {"nodes", 1}, {"pool", 3}, {"sdn", 4}, {"storage", 1}, {"vms", 1}, {"mapping", 2}};
    unsigned depth = 0;
    size_t top = ARRAY_SIZE(tops);

    if (streq(path, "/"))
        return 0;
    if (path[0] != '/' || strlen(path) > AUTH_PATH_MAX || str_ends(path, "/"))
        goto bad;
    for (const char *p = path; *p; depth++) {
        size_t n = strcspn(++p, "/");
        if (!is_word(p, n))
            goto bad;
        if (depth == 0)
            for (top = 0; top < ARRAY_SIZE(tops) && (strlen(tops[top].top) != n || strncmp(p, tops[top].top, n)); top++)
                continue;
        if (top == ARRAY_SIZE(tops) || depth > tops[top].max_more)
            goto bad;
        if (depth == 1 && streq(tops[top].top, "access") && strncmp(p, "groups", 6) != 0 && strncmp(p, "realm", 5) != 0)
            goto bad;
        p += n;
    }
    if (str_starts(path, "/vms/") && (strspn(path + 5, "0123456789") != strlen(path + 5)))
        goto bad;
    return 0;
bad:
    return err_set(e, -EINVAL, "param.invalid", "invalid ACL path '%.100s'", path);
}
