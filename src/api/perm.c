/* Permission expressions of the routes (pve-conventions 6.6). Default deny: a route without one is for root@pam. */
#include "api/route.h"
#include "auth/model.h"

/* Fills "{name}" in a path template from the call's parameters; NULL when one is absent. */
static const char *expand(struct api_call *c, const char *template)
{
    struct buf b;
    const char *p = template;

    buf_init(&b, AUTH_PATH_MAX);
    while (*p) {
        size_t n = strcspn(p, "{");
        buf_append(&b, p, n);
        p += n;
        if (!*p)
            break;
        char name[64];
        size_t len = strcspn(++p, "}");
        if (len >= sizeof(name))
            break;
        memcpy(name, p, len);
        name[len] = 0;
        const char *value = api_path_param(c, name);
        if (!value) {
            buf_done(&b);
            return NULL;
        }
        buf_append_str(&b, value);
        p += len + (p[len] == '}');
    }
    const char *path = b.is_failed ? NULL : arena_strdup(&c->arena, buf_str(&b));
    buf_done(&b);
    return path;
}

static int denied(struct err *e)
{
    return err_set(e, -EPERM, "auth.denied", "Permission check failed");
}

static int check_perm(struct api_call *c, const struct api_perm *p, struct err *e)
{
    if (p->require_param && !api_raw_get(c, p->require_param))
        return denied(e); /* this branch of an "or" is about that parameter */
    const char *path = expand(c, p->path);
    return path ? auth_require(c->api->auth, &c->who, path, p->mask, p->is_any, e) : denied(e);
}

static const char *userid_param(struct api_call *c)
{
    return api_path_param(c, "userid");
}

static int check_userid_realm(struct api_call *c, const struct api_perm *p, struct err *e)
{
    const char *user = userid_param(c), *at = user ? strrchr(user, '@') : NULL;
    const char *path = at ? arena_printf(&c->arena, "/access/realm/%s", at + 1) : NULL;

    return path ? auth_require(c->api->auth, &c->who, path, p->mask, false, e) : denied(e);
}

/* A request that says which groups somebody is in needs the right on each of them, and has to name at least one. */
static int check_named_groups(struct api_call *c, const struct api_perm *p, struct err *e)
{
    const char *pos = api_raw_get(c, "groups");
    char group[AUTH_USER_MAX + 1], path[AUTH_PATH_MAX];
    size_t n = 0;

    for (; pos && auth_list_next(&pos, group, sizeof(group)); n++) {
        snprintf(path, sizeof(path), "/access/groups/%s", group);
        int r = auth_require(c->api->auth, &c->who, path, p->mask, true, e);
        if (r == 0 && !auth_find(c->api->auth, AUTH_GROUP, group))
            r = denied(e);
        if (r < 0)
            return r;
    }
    return n ? 0 : auth_require(c->api->auth, &c->who, "/access/groups", p->mask, true, e);
}

/* On /access/groups itself, or through groups: creating asks for every group named in the request, changing for one of
 * the user's own and every one named, anything else for one of his own. */
static int check_userid_group(struct api_call *c, const struct api_perm *p, struct err *e)
{
    struct auth *auth = c->api->auth;
    bool is_create = p->is_groups_param && !p->is_update;

    if (auth_has(auth, &c->who, "/access/groups", p->mask, true))
        return 0;
    int r = p->is_groups_param ? check_named_groups(c, p, e) : 0;
    if (r == 0 && !is_create && !auth_has_on_groups(auth, &c->who, p->mask, NULL, userid_param(c)))
        r = denied(e);
    return r;
}

static int check(struct api_call *c, const struct api_perm *p, struct err *e)
{
    int r = 0;

    switch (p->kind) {
    case PERM_WORLD:
    case PERM_ALL:
        return 0;
    case PERM_ROOT:
        return api_require_root(c, e);
    case PERM_AND:
        for (const struct api_perm *k = p->children; r == 0 && k->kind != PERM_END; k++)
            r = check(c, k, e);
        return r;
    case PERM_OR: {
        bool is_told = false; /* PVE says what is missing only of an "and" in here */
        r = denied(e);
        for (const struct api_perm *k = p->children; r < 0 && k->kind != PERM_END; k++) {
            r = check(c, k, e);
            is_told = k->kind == PERM_AND;
        }
        return r < 0 && !is_told ? denied(e) : r;
    }
    case PERM_PERM:
        return check_perm(c, p, e);
    case PERM_USERID_SELF: {
        const char *user = userid_param(c);
        /* A token is not its user: a weak one could make itself a strong one. */
        return user && streq(user, c->who.user) && !c->who.token[0] ? 0 : denied(e);
    }
    case PERM_USERID_REALM:
        return check_userid_realm(c, p, e);
    case PERM_USERID_GROUP:
        return check_userid_group(c, p, e);
    case PERM_MODIFY: {
        char path[AUTH_PATH_MAX + 1];
        const char *given = expand(c, p->path);
        return given && auth_path_normalize(given, path, sizeof(path), e) == 0
                   ? auth_check_perm_modify(c->api->auth, &c->who, path, e)
                   : denied(e);
    }
    case PERM_GROUP:
        return auth_require(c->api->auth, &c->who, expand(c, "/access/groups/{groupid}"), p->mask, true, e);
    case PERM_END:
        break;
    }
    return denied(e);
}

int api_perm_check(struct api_call *c, const struct api_route *route, struct err *e)
{
    return check(c, route->permission, e);
}
