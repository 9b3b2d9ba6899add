/* /access/users (PVE: pve-access-control, API2/User.pm). Loop thread. */
#include "api/access_second.h"

#define GROUPS_AT_ONCE_MAX 40u

static void write_token(struct jw *w, const struct auth_token *k)
{
    jw_kv_int(w, "expire", k->expire);
    jw_kv_int(w, "privsep", k->is_separated);
    if (k->comment[0])
        jw_kv_str(w, "comment", k->comment);
}

static void write_tokens(struct api_call *c, const char *user, bool is_list)
{
    const struct auth_set *set = auth_objects(c->api->auth, AUTH_TOKEN);
    const char *prefix = arena_printf(&c->arena, "%s!", user);
    struct jw *w = &c->out;

    jw_key(w, "tokens");
    is_list ? jw_array(w) : jw_object(w);
    for (size_t i = prefix ? auth_lower_bound(set, prefix) : set->n; i < set->n; i++) {
        const char *key = set->sorted[i]->key;
        if (!str_starts(key, prefix))
            break;
        if (!is_list)
            jw_key(w, key + strlen(prefix));
        jw_object(w);
        if (is_list)
            jw_kv_str(w, "tokenid", key + strlen(prefix));
        write_token(w, container_of(set->sorted[i], struct auth_token, item));
        jw_object_end(w);
    }
    is_list ? jw_array_end(w) : jw_object_end(w);
}

/* Lists give groups as a text, one user as an array. */
static void write_groups(struct api_call *c, const char *user, bool is_text)
{
    const struct auth_member *m = auth_find(c->api->auth, AUTH_MEMBER, user);
    struct buf text;

    buf_init(&text, c->body.max);
    jw_key(&c->out, "groups");
    if (!is_text)
        jw_array(&c->out);
    for (size_t i = 0; m && i < m->n; i++) {
        if (!auth_find(c->api->auth, AUTH_GROUP, m->refs[i]))
            continue;
        if (is_text)
            buf_printf(&text, "%s%s", text.len ? "," : "", m->refs[i]);
        else
            jw_str(&c->out, m->refs[i]);
    }
    if (is_text)
        jw_str(&c->out, buf_str(&text));
    else
        jw_array_end(&c->out);
    buf_done(&text);
}

static void write_text(struct jw *w, const char *key, const char *value)
{
    if (value[0])
        jw_kv_str(w, key, value);
}

static void write_user(struct api_call *c, const struct auth_user *u)
{
    struct jw *w = &c->out;

    jw_kv_int(w, "enable", u->is_enabled);
    jw_kv_int(w, "expire", u->expire);
    write_text(w, "firstname", u->firstname);
    write_text(w, "lastname", u->lastname);
    write_text(w, "email", u->email);
    write_text(w, "comment", u->comment);
    write_text(w, "keys", u->keys);
}

int api_access_users_list(struct api_call *c, const struct api_access_users_list_args *a, struct err *e)
{
    const struct auth_set *users = auth_objects(c->api->auth, AUTH_USER);
    priv_mask mask = PRIV_M(USER_MODIFY) | PRIV_M(SYS_AUDIT);
    bool sees_all = auth_has(c->api->auth, &c->who, "/access/groups", mask, true);

    jw_array(&c->out);
    for (size_t i = 0; i < users->n; i++) {
        const struct auth_user *u = container_of(users->sorted[i], struct auth_user, item);
        const char *id = u->item.key;
        if (a->has_enabled && a->enabled != u->is_enabled)
            continue;
        bool is_self = streq(id, c->who.user) && !c->who.token[0];
        if (!sees_all && !is_self && !auth_has_on_groups(c->api->auth, &c->who, mask, NULL, id))
            continue;
        jw_object(&c->out);
        jw_kv_str(&c->out, "userid", id);
        write_user(c, u);
        if (a->full) {
            write_groups(c, id, true);
            write_tokens(c, id, true);
        }
        access_second_write_lock(&c->out, auth_tfa_of(c->api->auth, id));
        const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, auth_realm_of(id));
        if (realm)
            jw_kv_str(&c->out, "realm-type", realm->type);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

int api_access_users_read(struct api_call *c, const struct api_access_users_read_args *a, struct err *e)
{
    const struct auth_user *u;
    int r = access_need_user(c, "", a->userid, &u, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    write_user(c, u);
    write_groups(c, a->userid, false);
    write_tokens(c, a->userid, false);
    jw_object_end(&c->out);
    return 0;
}

/* Adds memberships; the groups must be there, now and at the commit. */
static int join_groups(struct api_call *c, struct state_txn *t, const char *user, const char *groups, struct err *e)
{
    char group[AUTH_USER_MAX + 1];
    size_t n = 0;

    for (const char *pos = groups; pos && auth_list_next(&pos, group, sizeof(group));) {
        const struct auth_group *g = auth_find(c->api->auth, AUTH_GROUP, group);
        if (!g)
            return err_set(e, -ENOENT, "group.missing", "no such group '%s'", group);
        if (++n > GROUPS_AT_ONCE_MAX)
            return err_set(e, -E2BIG, "access.too-many", "more than %u groups at once", GROUPS_AT_ONCE_MAX);
        auth_txn_expect(t, AUTH_GROUP, group, g->item.revision);
        auth_txn_group_member(t, group, user, true);
    }
    return 0;
}

static bool list_has(const char *list, const char *wanted)
{
    char item[AUTH_USER_MAX + 1];

    for (const char *pos = list; auth_list_next(&pos, item, sizeof(item));)
        if (streq(item, wanted))
            return true;
    return false;
}

static int leave_groups(struct api_call *c, struct state_txn *t, const char *user, const char *but, struct err *e)
{
    const struct auth_member *m = auth_find(c->api->auth, AUTH_MEMBER, user);

    for (size_t i = 0; m && i < m->n; i++)
        if (!list_has(but, m->refs[i]))
            auth_txn_group_member(t, m->refs[i], user, false);
    return 0;
}

static int build_create(struct api_call *c, const struct api_access_users_create_args *a, struct state_txn *t,
                        struct err *e)
{
    const struct auth_user u = {.item.key = (char *)a->userid,
                                .is_enabled = !a->has_enable || a->enable,
                                .expire = a->has_expire ? a->expire : 0,
                                .firstname = (char *)a->firstname,
                                .lastname = (char *)a->lastname,
                                .email = (char *)a->email,
                                .comment = (char *)a->comment,
                                .keys = (char *)a->keys};

    if (!t)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = access_forget_old(c, t, AUTH_USER, a->userid, e);
    if (r == 0)
        r = join_groups(c, t, a->userid, a->groups, e);
    if (r < 0)
        return err_wrap(e, r, "create user failed");
    const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, auth_realm_of(a->userid));
    auth_txn_expect(t, AUTH_REALM, auth_realm_of(a->userid), realm ? realm->item.revision : UINT64_MAX);
    auth_txn_expect(t, AUTH_USER, a->userid, 0);
    auth_txn_user(t, &u);
    return 0;
}

static int check_create(struct api_call *c, const struct api_access_users_create_args *a, struct err *e)
{
    const char *realm_id = auth_realm_of(a->userid);
    const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, realm_id);

    if (!realm)
        return err_set(e, -ENOENT, "realm.missing", "create user failed: auth domain '%s' does not exist", realm_id);
    if (access_user(c, a->userid))
        return err_set(e, -EEXIST, "user.exists", "create user failed: user '%s' already exists", a->userid);
    if (a->password && !streq(realm->type, "pve"))
        return err_set(e, -EINVAL, "realm.password", "create user failed: can't set password on auth domain '%s'",
                       realm_id);
    return 0;
}

static int commit_create(struct api_call *c, const struct api_access_users_create_args *a, const char *hash,
                         struct err *e)
{
    struct state_txn *t = state_txn_new();
    int r = build_create(c, a, t, e);

    if (r < 0) {
        state_txn_free(t);
        return r;
    }
    if (hash)
        auth_txn_password(t, a->userid, hash);
    return api_commit(c, t);
}

static void on_hashed(struct api_call *c, int r, const char *hash, void *arg, const struct err *result)
{
    const struct api_access_users_create_args *a = arg;
    struct err e = *result;

    if (r == 0)
        r = check_create(c, a, &e); /* things may have changed meanwhile */
    if (r == 0)
        r = commit_create(c, a, hash, &e);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

int api_access_users_create(struct api_call *c, const struct api_access_users_create_args *a, struct err *e)
{
    int r = check_create(c, a, e);

    if (r < 0)
        return r;
    /* a lives as long as the call: it is in its arena */
    return a->password ? access_password(c, a->password, NULL, on_hashed, (void *)a, e) : commit_create(c, a, NULL, e);
}

/* Besides what the route asks (rights on the groups of the request): rights on the user as he is. */
static int check_update(struct api_call *c, const char *userid, struct err *e)
{
    if (auth_has_on_groups(c->api->auth, &c->who, PRIV_M(USER_MODIFY), NULL, userid))
        return access_guard_root(c, userid, e);
    return err_set(e, -EPERM, "auth.denied", "Permission check failed");
}

static const char *pick(const char *given, const char *now)
{
    return given ? given : now;
}

int api_access_users_update(struct api_call *c, const struct api_access_users_update_args *a, struct err *e)
{
    const struct auth_user *u;
    int r = access_need_user(c, "update user failed: ", a->userid, &u, e);

    if (r == 0)
        r = check_update(c, a->userid, e);
    if (r < 0)
        return r;
    struct auth_user next = {.item.key = (char *)a->userid,
                             .is_enabled = a->has_enable ? a->enable : u->is_enabled,
                             .expire = a->has_expire ? a->expire : u->expire,
                             .firstname = (char *)pick(a->firstname, u->firstname),
                             .lastname = (char *)pick(a->lastname, u->lastname),
                             .email = (char *)pick(a->email, u->email),
                             .comment = (char *)pick(a->comment, u->comment),
                             .keys = (char *)pick(a->keys, u->keys)};
    struct state_txn *t = state_txn_new();
    r = t ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0 && a->groups && !a->append)
        r = leave_groups(c, t, a->userid, a->groups, e);
    if (r == 0)
        r = join_groups(c, t, a->userid, a->groups, e);
    if (r < 0) {
        state_txn_free(t);
        return err_wrap(e, r, "update user failed");
    }
    auth_txn_expect(t, AUTH_USER, a->userid, u->item.revision);
    auth_txn_user(t, &next);
    return api_commit(c, t);
}

int api_access_users_delete(struct api_call *c, const struct api_access_users_delete_args *a, struct err *e)
{
    const struct auth_user *u;
    int r = access_need_user(c, "delete user failed: ", a->userid, &u, e);

    if (r == 0)
        r = access_guard_root(c, a->userid, e);
    if (r == 0 && streq(a->userid, "root@pam"))
        return err_set(e, -EPERM, "user.root", "delete user failed: root@pam cannot be deleted");
    return r < 0 ? r : access_delete(c, AUTH_USER, a->userid, u->item.revision);
}
