/* ACLs, roles, groups, realms, effective permissions. PVE: pve-access-control, API2/ACL.pm, Role.pm, Group.pm, Domains.pm. */
#include <jansson.h>

#include "api/access_lists.h"

static const char *const acl_kinds[] = {"users", "groups", "tokens"};
static const char *const acl_types[] = {"user", "group", "token"};

static bool may_modify(struct api_call *c, const char *path)
{
    priv_mask mask = PRIV_M(PERMISSIONS_MODIFY);

    if (str_starts(path, "/storage"))
        mask |= PRIV_M(DATASTORE_ALLOCATE);
    if (str_starts(path, "/vms"))
        mask |= PRIV_M(VM_ALLOCATE);
    if (str_starts(path, "/pool"))
        mask |= PRIV_M(POOL_ALLOCATE);
    return auth_has(c->api->auth, &c->who, path, mask, true);
}

static void write_acl(struct api_call *c, const char *path, json_t *acl)
{
    struct jw *w = &c->out;

    for (size_t k = 0; k < ARRAY_SIZE(acl_kinds); k++) {
        json_t *ids = json_object_get(acl, acl_kinds[k]);
        for (const char **id = access_sorted_ids(c, ids); id && *id; id++) {
            json_t *roles = json_object_get(ids, *id);
            for (const char **role = access_sorted_ids(c, roles); role && *role; role++) {
                jw_object(w);
                jw_kv_str(w, "path", path);
                jw_kv_str(w, "type", acl_types[k]);
                jw_kv_str(w, "ugid", *id);
                jw_kv_str(w, "roleid", *role);
                jw_kv_int(w, "propagate", json_integer_value(json_object_get(roles, *role)) != 0);
                jw_object_end(w);
            }
        }
    }
}

int api_access_acl_list(struct api_call *c, const struct api_access_acl_list_args *a, struct err *e)
{
    json_t *acls = auth_objects(c->api->auth, AUTH_ACL);
    bool sees_all = auth_has(c->api->auth, &c->who, "/access", PRIV_M(SYS_AUDIT), true);

    jw_array(&c->out);
    for (const char **path = access_sorted_ids(c, acls); path && *path; path++)
        if (sees_all || may_modify(c, *path))
            write_acl(c, *path, json_object_get(acls, *path));
    jw_array_end(&c->out);
    return 0;
}

/* "//vms/100/" -> "/vms/100" */
static const char *normalize(struct api_call *c, const char *path)
{
    char *dst = arena_alloc(&c->arena, strlen(path) + 2);
    size_t n = 0;

    if (!dst)
        return NULL;
    dst[n++] = '/';
    for (const char *p = path; *p; p++)
        if (*p != '/' || dst[n - 1] != '/')
            dst[n++] = *p;
    while (n > 1 && dst[n - 1] == '/')
        n--;
    dst[n] = 0;
    return dst;
}

/* Nobody hands out what he does not have himself, unless he may change permissions there. */
static int check_roles(struct api_call *c, const char *path, const char *roles, struct err *e)
{
    char role[80];
    priv_mask mask, own = auth_privileges(c->api->auth, &c->who, path, NULL);
    bool is_free = c->who.is_root || (own & PRIV_M(PERMISSIONS_MODIFY));

    for (const char *p = roles; access_list_next(&p, role, sizeof(role));) {
        if (!auth_role_mask(c->api->auth, role, &mask))
            return err_set(e, -ENOENT, "role.missing", "role '%s' does not exist", role);
        if (!is_free && (mask & ~own))
            return err_set(e, -EPERM, "auth.denied", "Permission check failed (%s, Permissions.Modify)", path);
        if (c->who.token[0] && (mask & ~own))
            return err_set(e, -EPERM, "auth.denied", "Permission check failed (a token cannot grant what it lacks)");
    }
    return 0;
}

static bool exists(struct api_call *c, size_t kind, const char *id)
{
    static const enum auth_kind kinds[] = {AUTH_USER, AUTH_GROUP, AUTH_TOKEN};

    return auth_object(c->api->auth, kinds[kind], id) != NULL;
}

static int change_kind(struct api_call *c, const struct api_access_acl_update_args *a, json_t *acl, size_t kind,
                       const char *ids, struct err *e)
{
    char id[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2], role[80];

    for (const char *p = ids ? ids : ""; access_list_next(&p, id, sizeof(id));) {
        if (!a->delete && !exists(c, kind, id))
            return err_set(e, -ENOENT, "acl.unknown", "%s '%s' does not exist", acl_types[kind], id);
        if (!json_object_get(acl, acl_kinds[kind]))
            json_object_set_new(acl, acl_kinds[kind], json_object());
        json_t *all = json_object_get(acl, acl_kinds[kind]);
        if (!json_object_get(all, id))
            json_object_set_new(all, id, json_object());
        json_t *roles = json_object_get(all, id);
        for (const char *q = a->roles; access_list_next(&q, role, sizeof(role));) {
            if (a->delete)
                json_object_del(roles, role);
            else
                json_object_set_new(roles, role, json_integer(a->propagate));
        }
        if (!json_object_size(roles))
            json_object_del(all, id);
    }
    return 0;
}

int api_access_acl_update(struct api_call *c, const struct api_access_acl_update_args *a, struct err *e)
{
    const char *path = normalize(c, a->path);
    int r = path ? auth_path_check(path, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r < 0)
        return path ? api_param_error(c, e, "path", "invalid ACL path '%.100s'", a->path) : r;
    if (!a->users && !a->groups && !a->tokens)
        return api_param_error(c, e, "users", "specify at least one of 'users', 'groups' or 'tokens'");
    if (!may_modify(c, path))
        return err_set(e, -EPERM, "auth.denied", "Permission check failed (%s, Permissions.Modify)", path);
    r = check_roles(c, path, a->roles, e);
    if (r < 0)
        return r;
    json_t *old = auth_object(c->api->auth, AUTH_ACL, path), *acl = old ? json_deep_copy(old) : json_object();
    const char *ids[] = {a->users, a->groups, a->tokens};
    for (size_t k = 0; r == 0 && k < ARRAY_SIZE(ids); k++)
        r = change_kind(c, a, acl, k, ids[k], e);
    struct state_txn *t = r < 0 ? NULL : state_txn_new();
    if (!t) {
        json_decref(acl);
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    }
    auth_txn_put(t, AUTH_ACL, path, acl);
    return api_commit(c, t);
}

/* ---- roles ---- */

static void write_privs(struct jw *w, const char *id, priv_mask mask, bool is_special)
{
    char names[2048] = "";
    size_t n = 0;

    for (unsigned bit = 0; priv_name(bit) && n < sizeof(names); bit++)
        if (mask & (UINT64_C(1) << bit))
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? "," : "", priv_name(bit));
    jw_object(w);
    jw_kv_str(w, "roleid", id);
    jw_kv_str(w, "privs", names);
    jw_kv_int(w, "special", is_special);
    jw_object_end(w);
}

int api_access_roles_list(struct api_call *c, const struct api_access_roles_list_args *a, struct err *e)
{
    json_t *roles = auth_objects(c->api->auth, AUTH_ROLE);
    priv_mask mask;

    jw_array(&c->out);
    for (size_t i = 0; i < auth_role_builtin_count(); i++) {
        const char *id = auth_role_builtin(i, &mask);
        write_privs(&c->out, id, mask, true);
    }
    for (const char **id = access_sorted_ids(c, roles); id && *id; id++)
        if (auth_role_mask(c->api->auth, *id, &mask))
            write_privs(&c->out, *id, mask, false);
    jw_array_end(&c->out);
    return 0;
}

int api_access_roles_read(struct api_call *c, const struct api_access_roles_read_args *a, struct err *e)
{
    priv_mask mask;

    if (!auth_role_mask(c->api->auth, a->roleid, &mask))
        return err_set(e, -ENOENT, "role.missing", "role '%s' does not exist", a->roleid);
    jw_object(&c->out);
    for (unsigned bit = 0; priv_name(bit); bit++)
        if (mask & (UINT64_C(1) << bit))
            jw_kv_int(&c->out, priv_name(bit), 1);
    jw_object_end(&c->out);
    return 0;
}

static int write_role(struct api_call *c, const char *id, const char *privs, const char *before, struct err *e)
{
    struct state_txn *t = state_txn_new();
    struct buf list;
    char name[64];

    if (!t)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    buf_init(&list, 8192);
    buf_append_str(&list, before);
    for (const char *p = privs ? privs : ""; access_list_next(&p, name, sizeof(name));)
        buf_printf(&list, "%s%s", list.len ? "," : "", name);
    auth_txn_put(t, AUTH_ROLE, id, json_pack("{s:s}", "privs", buf_str(&list)));
    buf_done(&list);
    return api_commit(c, t);
}

int api_access_roles_create(struct api_call *c, const struct api_access_roles_create_args *a, struct err *e)
{
    if (auth_role_is_builtin(a->roleid) || auth_object(c->api->auth, AUTH_ROLE, a->roleid))
        return err_set(e, -EEXIST, "role.exists", "role '%s' already exists", a->roleid);
    if (strncasecmp(a->roleid, "PVE", 3) == 0)
        return api_param_error(c, e, "roleid", "role IDs starting with (case-insensitive) 'PVE' are reserved");
    return write_role(c, a->roleid, a->privs, "", e);
}

static int find_own_role(struct api_call *c, const char *id, json_t **ret, struct err *e)
{
    if (auth_role_is_builtin(id))
        return err_set(e, -EPERM, "role.builtin", "auto-generated role '%s' cannot be modified", id);
    *ret = auth_object(c->api->auth, AUTH_ROLE, id);
    return *ret ? 0 : err_set(e, -ENOENT, "role.missing", "role '%s' does not exist", id);
}

int api_access_roles_update(struct api_call *c, const struct api_access_roles_update_args *a, struct err *e)
{
    json_t *role;
    int r = find_own_role(c, a->roleid, &role, e);
    const char *before = r < 0 || !a->append ? NULL : json_string_value(json_object_get(role, "privs"));

    return r < 0 ? r : write_role(c, a->roleid, a->privs, before ? before : "", e);
}

int api_access_roles_delete(struct api_call *c, const struct api_access_roles_delete_args *a, struct err *e)
{
    json_t *role;
    int r = find_own_role(c, a->roleid, &role, e);
    struct state_txn *t = r < 0 ? NULL : state_txn_new();

    if (t)
        auth_txn_delete(t, AUTH_ROLE, a->roleid);
    return r < 0 ? r : api_commit(c, t);
}

/* ---- groups ---- */

static bool in_group(json_t *user, const char *group)
{
    return access_array_has(json_object_get(user, "groups"), group);
}

static const char *comment_of(json_t *object)
{
    const char *comment = json_string_value(json_object_get(object, "comment"));

    return comment ? comment : "";
}

int api_access_groups_list(struct api_call *c, const struct api_access_groups_list_args *a, struct err *e)
{
    json_t *groups = auth_objects(c->api->auth, AUTH_GROUP), *users = auth_objects(c->api->auth, AUTH_USER);
    priv_mask see = PRIV_M(USER_MODIFY) | PRIV_M(SYS_AUDIT) | PRIV_M(GROUP_ALLOCATE);
    const char **all_users = access_sorted_ids(c, users);
    char path[AUTH_PATH_MAX];

    jw_array(&c->out);
    for (const char **id = access_sorted_ids(c, groups); id && *id; id++) {
        struct buf members;
        snprintf(path, sizeof(path), "/access/groups/%s", *id);
        if (!auth_has(c->api->auth, &c->who, path, see, true))
            continue;
        buf_init(&members, 1024u * 1024u);
        for (const char **u = all_users; u && *u; u++)
            if (in_group(json_object_get(users, *u), *id))
                buf_printf(&members, "%s%s", members.len ? "," : "", *u);
        jw_object(&c->out);
        jw_kv_str(&c->out, "groupid", *id);
        if (*comment_of(json_object_get(groups, *id)))
            jw_kv_str(&c->out, "comment", comment_of(json_object_get(groups, *id)));
        jw_kv_str(&c->out, "users", buf_str(&members));
        jw_object_end(&c->out);
        buf_done(&members);
    }
    jw_array_end(&c->out);
    return 0;
}

static int find_group(struct api_call *c, const char *id, json_t **ret, struct err *e)
{
    *ret = auth_object(c->api->auth, AUTH_GROUP, id);
    return *ret ? 0 : err_set(e, -ENOENT, "group.missing", "group '%s' does not exist", id);
}

int api_access_groups_read(struct api_call *c, const struct api_access_groups_read_args *a, struct err *e)
{
    json_t *group, *users = auth_objects(c->api->auth, AUTH_USER);
    int r = find_group(c, a->groupid, &group, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    if (*comment_of(group))
        jw_kv_str(&c->out, "comment", comment_of(group));
    jw_key(&c->out, "members");
    jw_array(&c->out);
    for (const char **u = access_sorted_ids(c, users); u && *u; u++)
        if (in_group(json_object_get(users, *u), a->groupid))
            jw_str(&c->out, *u);
    jw_array_end(&c->out);
    jw_object_end(&c->out);
    return 0;
}

static int put_group(struct api_call *c, const char *id, const char *comment)
{
    struct state_txn *t = state_txn_new();

    if (t)
        auth_txn_put(t, AUTH_GROUP, id, json_pack("{s:s}", "comment", comment ? comment : ""));
    return api_commit(c, t);
}

int api_access_groups_create(struct api_call *c, const struct api_access_groups_create_args *a, struct err *e)
{
    if (auth_object(c->api->auth, AUTH_GROUP, a->groupid))
        return err_set(e, -EEXIST, "group.exists", "group '%s' already exists", a->groupid);
    return put_group(c, a->groupid, a->comment);
}

int api_access_groups_update(struct api_call *c, const struct api_access_groups_update_args *a, struct err *e)
{
    json_t *group;
    int r = find_group(c, a->groupid, &group, e);

    return r < 0 ? r : put_group(c, a->groupid, a->comment ? a->comment : comment_of(group));
}

int api_access_groups_delete(struct api_call *c, const struct api_access_groups_delete_args *a, struct err *e)
{
    json_t *group, *users = auth_objects(c->api->auth, AUTH_USER);
    int r = find_group(c, a->groupid, &group, e);
    struct state_txn *t = r < 0 ? NULL : state_txn_new();

    if (!t)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    auth_txn_delete(t, AUTH_GROUP, a->groupid);
    access_acl_forget(c, t, "groups", a->groupid);
    for (const char **u = access_sorted_ids(c, users); u && *u; u++) {
        if (!in_group(json_object_get(users, *u), a->groupid))
            continue;
        json_t *copy = json_deep_copy(json_object_get(users, *u)), *list = json_object_get(copy, "groups");
        for (size_t i = json_array_size(list); i-- > 0;)
            if (streq(json_string_value(json_array_get(list, i)), a->groupid))
                json_array_remove(list, i);
        auth_txn_put(t, AUTH_USER, *u, copy);
    }
    return api_commit(c, t);
}

/* ---- realms ---- */

int api_access_domains_list(struct api_call *c, const struct api_access_domains_list_args *a, struct err *e)
{
    json_t *realms = auth_objects(c->api->auth, AUTH_REALM);

    jw_array(&c->out);
    for (const char **id = access_sorted_ids(c, realms); id && *id; id++) {
        json_t *realm = json_object_get(realms, *id);
        jw_object(&c->out);
        jw_kv_str(&c->out, "realm", *id);
        jw_kv_str(&c->out, "type", json_string_value(json_object_get(realm, "type")));
        if (*comment_of(realm))
            jw_kv_str(&c->out, "comment", comment_of(realm));
        if (json_integer_value(json_object_get(realm, "default")))
            jw_kv_int(&c->out, "default", 1);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

int api_access_domains_read(struct api_call *c, const struct api_access_domains_read_args *a, struct err *e)
{
    json_t *realm = auth_object(c->api->auth, AUTH_REALM, a->realm);

    if (!realm)
        return err_set(e, -ENOENT, "realm.missing", "domain '%s' does not exist", a->realm);
    jw_object(&c->out);
    jw_kv_str(&c->out, "type", json_string_value(json_object_get(realm, "type")));
    if (*comment_of(realm))
        jw_kv_str(&c->out, "comment", comment_of(realm));
    if (json_integer_value(json_object_get(realm, "default")))
        jw_kv_int(&c->out, "default", 1);
    jw_object_end(&c->out);
    return 0;
}

/* ---- effective permissions ---- */

static void write_path(struct api_call *c, const struct auth_subject *s, const char *path)
{
    priv_mask propagate, mask = auth_privileges(c->api->auth, s, path, &propagate);

    if (!mask)
        return;
    jw_key(&c->out, path);
    jw_object(&c->out);
    for (unsigned bit = 0; priv_name(bit); bit++)
        if (mask & (UINT64_C(1) << bit))
            jw_kv_int(&c->out, priv_name(bit), (propagate & (UINT64_C(1) << bit)) != 0);
    jw_object_end(&c->out);
}

static bool subject_of(const char *text, struct auth_subject *ret)
{
    const char *bang = strrchr(text, '!'), *at = strrchr(text, '@');
    struct auth_subject s = {.is_root = streq(text, "root@pam")};
    int n = bang && at && bang > at ? (int)(bang - text) : (int)strlen(text);

    if (!at || (size_t)n > AUTH_USER_MAX || (text[n] && strlen(bang + 1) > AUTH_TOKEN_MAX))
        return false;
    snprintf(s.user, sizeof(s.user), "%.*s", n, text);
    if (text[n])
        snprintf(s.token, sizeof(s.token), "%s", bang + 1);
    *ret = s;
    return true;
}

int api_access_permissions_read(struct api_call *c, const struct api_access_permissions_read_args *a, struct err *e)
{
    static const char *const usual[] = {"/",      "/access", "/access/groups", "/mapping", "/nodes",
                                        "/pool",  "/sdn",    "/storage",       "/vms"};
    json_t *acls = auth_objects(c->api->auth, AUTH_ACL);
    struct auth_subject s = c->who;

    if (a->userid && !subject_of(a->userid, &s))
        return api_param_error(c, e, "userid", "value does not look like a valid user name");
    if (a->userid && !auth_object(c->api->auth, AUTH_USER, s.user))
        return err_set(e, -ENOENT, "user.missing", "no such user ('%s')", s.user);
    if (!streq(s.user, c->who.user) || (c->who.token[0] && !streq(s.token, c->who.token))) {
        int r = api_require(c, "/access", PRIV_M(SYS_AUDIT), true, e);
        if (r < 0)
            return r;
    }
    const char *path = a->path ? normalize(c, a->path) : NULL;
    if (path && auth_path_check(path, e) < 0)
        return api_param_error(c, e, "path", "invalid ACL path '%.100s'", a->path);
    jw_object(&c->out);
    if (path) {
        write_path(c, &s, path);
    } else {
        for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
            write_path(c, &s, usual[i]);
        for (const char **id = access_sorted_ids(c, acls); id && *id; id++) {
            bool is_usual = false;
            for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
                is_usual = is_usual || streq(usual[i], *id);
            if (!is_usual)
                write_path(c, &s, *id);
        }
    }
    jw_object_end(&c->out);
    return 0;
}
