/* /access/groups (PVE: pve-access-control, API2/Group.pm). Loop thread. */
#include "api/access_common.h"

/* Members of every group at once: one pass over the users instead of one for each group. */
struct member_lists {
    struct buf *texts; /* one for each group, in the order of the set */
    size_t n;
};

static size_t group_index(const struct auth_set *groups, const char *id)
{
    size_t i = auth_lower_bound(groups, id);

    return i < groups->n && streq(groups->sorted[i]->key, id) ? i : groups->n;
}

static int collect_members(struct api_call *c, struct member_lists *l, struct err *e)
{
    const struct auth_set *groups = auth_objects(c->api->auth, AUTH_GROUP);
    const struct auth_set *members = auth_objects(c->api->auth, AUTH_MEMBER);

    l->n = groups->n;
    l->texts = calloc(l->n ? l->n : 1, sizeof(*l->texts));
    if (!l->texts)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; i < l->n; i++)
        buf_init(&l->texts[i], c->body.max);
    for (size_t i = 0; i < members->n; i++) {
        const struct auth_member *m = container_of(members->sorted[i], struct auth_member, item);
        for (size_t k = 0; k < m->n; k++) {
            size_t g = group_index(groups, m->refs[k]);
            if (g < groups->n)
                buf_printf(&l->texts[g], "%s%s", l->texts[g].len ? "," : "", m->item.key);
        }
    }
    return 0;
}

int api_access_groups_list(struct api_call *c, const struct api_access_groups_list_args *a, struct err *e)
{
    const struct auth_set *groups = auth_objects(c->api->auth, AUTH_GROUP);
    priv_mask mask = PRIV_M(USER_MODIFY) | PRIV_M(SYS_AUDIT) | PRIV_M(GROUP_ALLOCATE);
    struct member_lists l;
    char path[AUTH_PATH_MAX];
    int r = collect_members(c, &l, e);

    if (r < 0)
        return r;
    jw_array(&c->out);
    for (size_t i = 0; i < groups->n; i++) {
        const struct auth_group *g = container_of(groups->sorted[i], struct auth_group, item);
        snprintf(path, sizeof(path), "/access/groups/%s", g->item.key);
        if (!auth_has(c->api->auth, &c->who, path, mask, true))
            continue;
        jw_object(&c->out);
        jw_kv_str(&c->out, "groupid", g->item.key);
        if (g->comment[0])
            jw_kv_str(&c->out, "comment", g->comment);
        jw_kv_str(&c->out, "users", buf_str(&l.texts[i]));
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    for (size_t i = 0; i < l.n; i++)
        buf_done(&l.texts[i]);
    free(l.texts);
    return 0;
}

static int need_group(struct api_call *c, const char *prefix, const char *id, const struct auth_group **ret,
                      struct err *e)
{
    *ret = auth_find(c->api->auth, AUTH_GROUP, id);
    return *ret ? 0 : err_set(e, -ENOENT, "group.missing", "%sgroup '%s' does not exist", prefix, id);
}

int api_access_groups_read(struct api_call *c, const struct api_access_groups_read_args *a, struct err *e)
{
    const struct auth_set *members = auth_objects(c->api->auth, AUTH_MEMBER);
    const struct auth_group *g;
    int r = need_group(c, "", a->groupid, &g, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    if (g->comment[0])
        jw_kv_str(&c->out, "comment", g->comment);
    jw_key(&c->out, "members");
    jw_array(&c->out);
    for (size_t i = 0; i < members->n; i++)
        if (auth_member_of(container_of(members->sorted[i], struct auth_member, item), a->groupid))
            jw_str(&c->out, members->sorted[i]->key);
    jw_array_end(&c->out);
    jw_object_end(&c->out);
    return 0;
}

static int commit_group(struct api_call *c, const char *id, const char *comment, uint64_t revision, struct err *e)
{
    struct auth_group g = {.item.key = (char *)id, .comment = (char *)comment};
    struct state_txn *t = state_txn_new();
    int r = t ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0 && revision == 0)
        r = access_forget_old(c, t, AUTH_GROUP, id, e);
    if (r < 0) {
        state_txn_free(t);
        return r;
    }
    auth_txn_expect(t, AUTH_GROUP, id, revision);
    auth_txn_group(t, &g);
    return api_commit(c, t);
}

int api_access_groups_create(struct api_call *c, const struct api_access_groups_create_args *a, struct err *e)
{
    if (auth_groupid_check(a->groupid, e) < 0)
        return api_param_error(c, e, "groupid", "group name contains invalid characters");
    if (auth_find(c->api->auth, AUTH_GROUP, a->groupid))
        return err_set(e, -EEXIST, "group.exists", "create group failed: group '%s' already exists", a->groupid);
    return commit_group(c, a->groupid, a->comment, 0, e);
}

int api_access_groups_update(struct api_call *c, const struct api_access_groups_update_args *a, struct err *e)
{
    const struct auth_group *g;
    int r = need_group(c, "update group failed: ", a->groupid, &g, e);

    return r < 0 ? r : commit_group(c, a->groupid, a->comment ? a->comment : g->comment, g->item.revision, e);
}

int api_access_groups_delete(struct api_call *c, const struct api_access_groups_delete_args *a, struct err *e)
{
    const struct auth_group *g;
    int r = need_group(c, "delete group failed: ", a->groupid, &g, e);

    return r < 0 ? r : access_delete(c, AUTH_GROUP, a->groupid, g->item.revision);
}
