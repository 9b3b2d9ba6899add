/* /access/acl and /access/permissions (PVE: pve-access-control, API2/ACL.pm, AccessControl.pm). Loop thread. */
#include "api/access_common.h"

static void write_entry(struct jw *w, const char *path, const struct auth_acl_entry *entry)
{
    jw_object(w);
    jw_kv_str(w, "path", path);
    jw_kv_str(w, "type", auth_acl_type_name(entry->type));
    jw_kv_str(w, "ugid", entry->id);
    jw_kv_str(w, "roleid", entry->role);
    jw_kv_int(w, "propagate", entry->is_propagated);
    jw_object_end(w);
}

int api_access_acl_list(struct api_call *c, const struct api_access_acl_list_args *a, struct err *e)
{
    const struct auth_set *acls = auth_objects(c->api->auth, AUTH_ACL);
    bool sees_all = auth_has(c->api->auth, &c->who, "/access", PRIV_M(SYS_AUDIT), true);
    struct err ignored = ERR_INIT;

    jw_array(&c->out);
    for (size_t i = 0; i < acls->n; i++) {
        const struct auth_acl *acl = container_of(acls->sorted[i], struct auth_acl, item);
        if (!sees_all && auth_check_perm_modify(c->api->auth, &c->who, acl->item.key, &ignored) < 0)
            continue;
        for (size_t k = 0; k < acl->n; k++)
            write_entry(&c->out, acl->item.key, &acl->entries[k]);
    }
    jw_array_end(&c->out);
    return 0;
}

struct acl_change {
    struct api_call *call;
    struct state_txn *t;
    char path[AUTH_PATH_MAX];
    bool is_delete, is_propagated;
};

/* The subject must be there, now and at the commit. */
static int check_subject(struct acl_change *ch, enum auth_acl_type type, const char *id, struct err *e)
{
    static const enum auth_kind kinds[] = {
        [AUTH_ACL_USER] = AUTH_USER, [AUTH_ACL_GROUP] = AUTH_GROUP, [AUTH_ACL_TOKEN] = AUTH_TOKEN};
    const struct auth_item *item = auth_find(ch->call->api->auth, kinds[type], id);

    if (!item)
        return err_set(e, -ENOENT, "acl.subject", "ACL update failed: %s '%s' does not exist", auth_acl_type_name(type),
                       id);
    auth_txn_expect(ch->t, kinds[type], id, item->revision);
    return 0;
}

/* Nobody grants what he does not have, nor further down than he has it. */
static int check_role(struct acl_change *ch, const struct auth_role *role, struct err *e)
{
    struct api_call *c = ch->call;
    priv_mask propagated, own = auth_privileges(c->api->auth, &c->who, ch->path, &propagated);

    if (ch->is_delete || c->who.is_root || (role->mask & ~(ch->is_propagated ? own & propagated : own)) == 0)
        return 0;
    return err_set(e, -EPERM, "auth.denied", "Permission check failed (%s, cannot grant role '%s' without having it)",
                   ch->path, role->item.key);
}

static int change_subject(struct acl_change *ch, enum auth_acl_type type, const char *id, const char *role,
                          struct err *e)
{
    int r = check_subject(ch, type, id, e);

    if (r == 0 && ch->is_delete)
        auth_txn_acl_delete(ch->t, ch->path, type, id, role);
    else if (r == 0)
        auth_txn_acl(ch->t, ch->path, type, id, role, ch->is_propagated);
    return r;
}

static int change_role(struct acl_change *ch, const char *role, const struct api_access_acl_update_args *a,
                       struct err *e)
{
    const struct auth_role *found = auth_find(ch->call->api->auth, AUTH_ROLE, role);
    const char *const lists[] = {
        [AUTH_ACL_USER] = a->users, [AUTH_ACL_GROUP] = a->groups, [AUTH_ACL_TOKEN] = a->tokens};
    char id[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    int r = 0;

    if (!found)
        return err_set(e, -ENOENT, "role.missing", "ACL update failed: role '%s' does not exist", role);
    r = check_role(ch, found, e);
    if (!found->is_special)
        auth_txn_expect(ch->t, AUTH_ROLE, role, found->item.revision);
    for (unsigned type = 0; r == 0 && type < ARRAY_SIZE(lists); type++)
        for (const char *pos = lists[type]; r == 0 && pos && auth_list_next(&pos, id, sizeof(id));)
            r = change_subject(ch, (enum auth_acl_type)type, id, role, e);
    return r;
}

static int check_path(struct acl_change *ch, const struct api_access_acl_update_args *a, struct err *e)
{
    struct api_call *c = ch->call;

    if (auth_path_normalize(a->path, ch->path, sizeof(ch->path), e) < 0 ||
        (!ch->is_delete && auth_path_check(ch->path, e) < 0))
        return api_param_error(c, e, "path", "invalid ACL path '%.200s'", a->path);
    /* The route's check saw the path as it was sent; this is what will be written. */
    return auth_check_perm_modify(c->api->auth, &c->who, ch->path, e);
}

int api_access_acl_update(struct api_call *c, const struct api_access_acl_update_args *a, struct err *e)
{
    static const char *const names[] = {"users", "groups", "tokens"};
    struct acl_change ch = {
        .call = c, .is_delete = a->has_delete && a->delete, .is_propagated = !a->has_propagate || a->propagate};
    const char *roles = a->roles;
    char role[AUTH_USER_MAX + 1];

    if (!auth_list_next(&roles, role, sizeof(role)))
        return api_param_error(c, e, "roles", "a role is required");
    if (!a->users && !a->groups && !a->tokens) {
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
            api_param_error(c, e, names[i], "either 'users', 'groups' or 'tokens' is required.");
        return -EINVAL;
    }
    int r = check_path(&ch, a, e);
    if (r < 0)
        return r;
    ch.t = state_txn_new();
    r = ch.t ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
    for (const char *pos = a->roles; r == 0 && auth_list_next(&pos, role, sizeof(role));)
        r = change_role(&ch, role, a, e);
    if (r < 0) {
        state_txn_free(ch.t);
        return r;
    }
    return api_commit(c, ch.t);
}

struct paths {
    struct api_call *call;
    struct auth_subject who;
    const char **v;
    size_t n, cap;
};

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_path(struct paths *p, const char *path)
{
    if (path && p->n < p->cap)
        p->v[p->n++] = path;
}

static void add_members(struct paths *p, enum auth_kind kind, const char *prefix)
{
    const struct auth_set *set = auth_objects(p->call->api->auth, kind);

    for (size_t i = 0; i < set->n; i++)
        add_path(p, arena_printf(&p->call->arena, "%s%s", prefix, set->sorted[i]->key));
}

/* The top of each tree, what ACL entries name, and members of pools. */
static int collect(struct paths *p, struct err *e)
{
    static const char *const top[] = {"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"};
    const struct auth *a = p->call->api->auth;
    const struct auth_set *acls = auth_objects(a, AUTH_ACL);

    p->cap = ARRAY_SIZE(top) + acls->n + auth_objects(a, AUTH_GUEST)->n + auth_objects(a, AUTH_STORAGE)->n;
    p->v = calloc(p->cap, sizeof(*p->v));
    if (!p->v)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; i < ARRAY_SIZE(top); i++)
        add_path(p, top[i]);
    for (size_t i = 0; i < acls->n; i++)
        add_path(p, acls->sorted[i]->key);
    add_members(p, AUTH_GUEST, "/vms/");
    add_members(p, AUTH_STORAGE, "/storage/");
    qsort(p->v, p->n, sizeof(*p->v), compare_paths);
    return 0;
}

/* A client takes what is handed down for what holds below, unless it is told otherwise. */
static bool is_cut_off(struct paths *p, const char *path)
{
    char above[AUTH_PATH_MAX];
    priv_mask propagated = 0;

    if (str_copy(above, sizeof(above), path) < 0 || streq(above, "/"))
        return false;
    char *slash = strrchr(above, '/');
    slash[slash == above] = 0;
    (void)auth_privileges(p->call->api->auth, &p->who, above, &propagated);
    return propagated;
}

/* PVE leaves out where the user has nothing; here that is said where there would be something by what stands above. */
static void write_path(struct paths *p, const char *path, bool is_always)
{
    priv_mask propagated, mask = auth_privileges(p->call->api->auth, &p->who, path, &propagated);

    if (!mask && !is_always && !is_cut_off(p, path))
        return;
    jw_key(&p->call->out, path);
    access_write_privs(&p->call->out, mask, propagated);
}

/* Whose permissions: one's own and those of one's own tokens, others' with Sys.Audit on /access. */
static int find_subject(struct api_call *c, const char *userid, struct auth_subject *ret, struct err *e)
{
    *ret = c->who;
    if (!userid)
        return 0;
    if (auth_subject_parse(userid, ret, e) < 0)
        return api_param_error(c, e, "userid", "value does not match the regex pattern");
    bool is_own = streq(ret->user, c->who.user) && (!c->who.token[0] || streq(ret->token, c->who.token));
    return is_own ? 0 : api_require(c, "/access", PRIV_M(SYS_AUDIT), false, e);
}

int api_access_permissions_read(struct api_call *c, const struct api_access_permissions_read_args *a, struct err *e)
{
    struct paths p = {.call = c};
    char path[AUTH_PATH_MAX];
    int r = find_subject(c, a->userid, &p.who, e);

    if (r == 0 && a->path && auth_path_normalize(a->path, path, sizeof(path), e) < 0)
        return api_param_error(c, e, "path", "invalid ACL path '%.200s'", a->path);
    if (r == 0 && !a->path)
        r = collect(&p, e);
    if (r < 0)
        return r;
    jw_object(&c->out);
    if (a->path)
        write_path(&p, path, true);
    for (size_t i = 0; i < p.n; i++)
        if (i == 0 || !streq(p.v[i], p.v[i - 1]))
            write_path(&p, p.v[i], false);
    jw_object_end(&c->out);
    free(p.v);
    return 0;
}
