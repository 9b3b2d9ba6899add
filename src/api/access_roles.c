/* /access/roles (PVE: pve-access-control, API2/Role.pm). Loop thread. */
#include "api/access_common.h"

static void write_list(struct api_call *c, priv_mask mask)
{
    struct buf text;

    buf_init(&text, 4096);
    for (unsigned bit = 0; priv_name(bit); bit++)
        if (mask & (UINT64_C(1) << bit))
            buf_printf(&text, "%s%s", text.len ? "," : "", priv_name(bit));
    jw_kv_str(&c->out, "privs", buf_str(&text));
    buf_done(&text);
}

int api_access_roles_list(struct api_call *c, const struct api_access_roles_list_args *a, struct err *e)
{
    const struct auth_set *roles = auth_objects(c->api->auth, AUTH_ROLE);

    jw_array(&c->out);
    for (size_t i = 0; i < roles->n; i++) {
        const struct auth_role *role = container_of(roles->sorted[i], struct auth_role, item);
        jw_object(&c->out);
        jw_kv_str(&c->out, "roleid", role->item.key);
        write_list(c, role->mask);
        jw_kv_int(&c->out, "special", role->is_special);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

static int need_role(struct api_call *c, const char *prefix, const char *id, const struct auth_role **ret,
                     struct err *e)
{
    *ret = auth_find(c->api->auth, AUTH_ROLE, id);
    return *ret ? 0 : err_set(e, -ENOENT, "role.missing", "%srole '%s' does not exist", prefix, id);
}

int api_access_roles_read(struct api_call *c, const struct api_access_roles_read_args *a, struct err *e)
{
    const struct auth_role *role;
    int r = need_role(c, "", a->roleid, &role, e);

    if (r == 0)
        access_write_privs(&c->out, role->mask, role->mask);
    return r;
}

static int commit_role(struct api_call *c, const char *id, priv_mask mask, uint64_t revision, struct err *e)
{
    struct auth_role role = {.item.key = (char *)id, .mask = mask};
    struct state_txn *t = state_txn_new();
    int r = t ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0 && revision == 0)
        r = access_forget_old(c, t, AUTH_ROLE, id, e);
    if (r < 0) {
        state_txn_free(t);
        return r;
    }
    auth_txn_expect(t, AUTH_ROLE, id, revision);
    auth_txn_role(t, &role);
    return api_commit(c, t);
}

int api_access_roles_create(struct api_call *c, const struct api_access_roles_create_args *a, struct err *e)
{
    if (auth_roleid_check(a->roleid, e) < 0)
        return api_param_error(c, e, "roleid", "role name contains invalid characters");
    if (strncasecmp(a->roleid, "PVE", 3) == 0)
        return api_param_error(c, e, "roleid",
                               "cannot use role ID starting with the (case-insensitive) 'PVE' namespace");
    if (auth_find(c->api->auth, AUTH_ROLE, a->roleid))
        return err_set(e, -EEXIST, "role.exists", "create role failed: role '%s' already exists", a->roleid);
    return commit_role(c, a->roleid, a->privs ? access_privs_mask(a->privs) : 0, 0, e);
}

int api_access_roles_update(struct api_call *c, const struct api_access_roles_update_args *a, struct err *e)
{
    const struct auth_role *role;
    priv_mask mask = a->privs ? access_privs_mask(a->privs) : 0;
    int r = need_role(c, "update role failed: ", a->roleid, &role, e);

    if (r < 0)
        return r;
    if (role->is_special)
        return err_set(e, -EPERM, "role.builtin", "auto-generated role '%s' cannot be modified", a->roleid);
    if (a->has_append && a->append)
        mask |= role->mask;
    return commit_role(c, a->roleid, mask, role->item.revision, e);
}

int api_access_roles_delete(struct api_call *c, const struct api_access_roles_delete_args *a, struct err *e)
{
    const struct auth_role *role;
    int r = need_role(c, "delete role failed: ", a->roleid, &role, e);

    if (r < 0)
        return r;
    if (role->is_special)
        return err_set(e, -EPERM, "role.builtin", "auto-generated role '%s' cannot be deleted", a->roleid);
    return access_delete(c, AUTH_ROLE, a->roleid, role->item.revision);
}
