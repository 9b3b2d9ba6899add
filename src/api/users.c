/* Users and their API tokens. PVE: pve-access-control, API2/User.pm. */
#include <jansson.h>

#include "api/access_lists.h"
#include "task/workers.h"

#define USERS_MAX         10000u
#define TOKENS_USER_MAX   64u

int api_access_index(struct api_call *c, const struct api_access_index_args *a, struct err *e)
{
    static const char *const names[] = {"acl", "domains", "groups", "password", "permissions", "roles", "ticket", "users",
                                        NULL};

    return api_reply_index(c, "subdir", names);
}

static int find_user(struct api_call *c, const char *user, json_t **ret, struct err *e)
{
    *ret = auth_object(c->api->auth, AUTH_USER, user);
    return *ret ? 0 : err_set(e, -ENOENT, "user.missing", "no such user ('%s')", user);
}

static void write_members(struct jw *w, json_t *user, bool is_list)
{
    static const char *const texts[] = {"firstname", "lastname", "email", "comment", "keys"};
    json_t *enable = json_object_get(user, "enable"), *groups = json_object_get(user, "groups"), *g;
    size_t i;

    jw_kv_int(w, "enable", !enable || json_integer_value(enable) != 0);
    jw_kv_int(w, "expire", json_integer_value(json_object_get(user, "expire")));
    for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
        const char *text = json_string_value(json_object_get(user, texts[k]));
        if (text && *text)
            jw_kv_str(w, texts[k], text);
    }
    if (is_list)
        return;
    jw_key(w, "groups");
    jw_array(w);
    json_array_foreach(groups, i, g)
    {
        jw_str(w, json_string_value(g));
    }
    jw_array_end(w);
}

static void write_token(struct jw *w, json_t *token)
{
    const char *comment = json_string_value(json_object_get(token, "comment"));
    json_t *privsep = json_object_get(token, "privsep");

    jw_kv_int(w, "privsep", !privsep || json_integer_value(privsep) != 0);
    jw_kv_int(w, "expire", json_integer_value(json_object_get(token, "expire")));
    if (comment && *comment)
        jw_kv_str(w, "comment", comment);
}

/* Calls fn for each token of a user, in order. */
static void each_token(struct api_call *c, const char *user, void (*fn)(struct api_call *c, const char *id, json_t *t))
{
    json_t *tokens = auth_objects(c->api->auth, AUTH_TOKEN);
    size_t n = strlen(user);
    const char **ids = access_sorted_ids(c, tokens);

    for (; ids && *ids; ids++)
        if (strncmp(*ids, user, n) == 0 && (*ids)[n] == '!')
            fn(c, *ids + n + 1, json_object_get(tokens, *ids));
}

static void list_token(struct api_call *c, const char *id, json_t *token)
{
    jw_object(&c->out);
    jw_kv_str(&c->out, "tokenid", id);
    write_token(&c->out, token);
    jw_object_end(&c->out);
}

static void keyed_token(struct api_call *c, const char *id, json_t *token)
{
    jw_key(&c->out, id);
    jw_object(&c->out);
    write_token(&c->out, token);
    jw_object_end(&c->out);
}

int api_access_users_list(struct api_call *c, const struct api_access_users_list_args *a, struct err *e)
{
    json_t *users = auth_objects(c->api->auth, AUTH_USER);
    priv_mask see = PRIV_M(USER_MODIFY) | PRIV_M(SYS_AUDIT);
    bool sees_all = auth_has(c->api->auth, &c->who, "/access/groups", see, true);
    struct buf groups;

    jw_array(&c->out);
    for (const char **id = access_sorted_ids(c, users); id && *id; id++) {
        json_t *user = json_object_get(users, *id);
        bool is_active = auth_user_is_active(c->api->auth, *id);
        if (!sees_all && !streq(*id, c->who.user) && !auth_has_on_groups(c->api->auth, &c->who, see, NULL, *id))
            continue;
        if (a->has_enabled && a->enabled != is_active)
            continue;
        jw_object(&c->out);
        jw_kv_str(&c->out, "userid", *id);
        jw_kv_str(&c->out, "realm-type", streq(strrchr(*id, '@') + 1, "pam") ? "pam" : "pve");
        write_members(&c->out, user, true);
        if (a->full) {
            size_t i;
            json_t *g;
            buf_init(&groups, 65536);
            json_array_foreach(json_object_get(user, "groups"), i, g)
            {
                buf_printf(&groups, "%s%s", i ? "," : "", json_string_value(g));
            }
            jw_kv_str(&c->out, "groups", buf_str(&groups));
            buf_done(&groups);
            jw_key(&c->out, "tokens");
            jw_array(&c->out);
            each_token(c, *id, list_token);
            jw_array_end(&c->out);
        }
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

int api_access_users_read(struct api_call *c, const struct api_access_users_read_args *a, struct err *e)
{
    json_t *user;
    int r = find_user(c, a->userid, &user, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    write_members(&c->out, user, false);
    jw_key(&c->out, "tokens");
    jw_object(&c->out);
    each_token(c, a->userid, keyed_token);
    jw_object_end(&c->out);
    jw_object_end(&c->out);
    return 0;
}

static int set_groups(struct api_call *c, json_t *user, const char *list, bool is_append, struct err *e)
{
    char name[80];
    json_t *groups = is_append ? json_incref(json_object_get(user, "groups")) : json_array();

    if (!groups)
        groups = json_array();
    json_object_set_new(user, "groups", groups);
    for (const char *p = list; access_list_next(&p, name, sizeof(name));) {
        if (!auth_object(c->api->auth, AUTH_GROUP, name))
            return err_set(e, -ENOENT, "group.missing", "no such group '%s'", name);
        if (!access_array_has(groups, name))
            json_array_append_new(groups, json_string(name));
    }
    return 0;
}

static void set_text(json_t *object, const char *key, const char *value)
{
    if (value)
        json_object_set_new(object, key, json_string(value));
}

struct new_user {
    struct api_call *call;
    char id[AUTH_USER_MAX + 1];
    json_t *user;
};

static void on_password(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct new_user *n = arg;
    struct state_txn *t = r == 0 ? state_txn_new() : NULL;

    if (r < 0) {
        json_decref(n->user);
        api_finish(n->call, r, e);
        return;
    }
    if (t) {
        auth_txn_put(t, AUTH_USER, n->id, n->user);
        auth_txn_put(t, AUTH_PASSWORD, n->id, json_stringn(a->secret, a->secret_len));
    } else {
        json_decref(n->user);
    }
    api_commit(n->call, t);
}

static int check_new_user(struct api_call *c, const struct api_access_users_create_args *a, struct err *e)
{
    struct auth *auth = c->api->auth;
    const char *realm = strrchr(a->userid, '@') + 1;

    if (!auth_object(auth, AUTH_REALM, realm))
        return err_set(e, -ENOENT, "realm.missing", "domain '%s' does not exist", realm);
    if (auth_object(auth, AUTH_USER, a->userid))
        return err_set(e, -EEXIST, "user.exists", "create user failed: user '%s' already exists", a->userid);
    if (json_object_size(auth_objects(auth, AUTH_USER)) >= USERS_MAX)
        return err_set(e, -ENOSPC, "user.many", "there are %u users already", USERS_MAX);
    if (a->password && !streq(realm, "pve"))
        return api_param_error(c, e, "password", "a password can only be set for users of realm 'pve'");
    if (a->keys && *a->keys)
        return api_param_error(c, e, "keys", "second factors are not supported");
    return 0;
}

int api_access_users_create(struct api_call *c, const struct api_access_users_create_args *a, struct err *e)
{
    int r = check_new_user(c, a, e);
    json_t *user = r < 0 ? NULL : json_pack("{s:i,s:I}", "enable", (int)a->enable, "expire", (json_int_t)a->expire);

    if (r < 0)
        return r;
    set_text(user, "firstname", a->firstname);
    set_text(user, "lastname", a->lastname);
    set_text(user, "email", a->email);
    set_text(user, "comment", a->comment);
    r = set_groups(c, user, a->groups ? a->groups : "", false, e);
    struct new_user *n = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*n));
    if (!n) {
        json_decref(user);
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    }
    *n = (struct new_user){.call = c, .user = user};
    snprintf(n->id, sizeof(n->id), "%s", a->userid);
    if (a->password) {
        struct worker_request q = {.verb = "argon2id-hash", .secret = a->password, .secret_len = strlen(a->password)};
        r = workers_call(c->api->workers, &q, on_password, n, e);
        if (r < 0)
            json_decref(user);
        return r < 0 ? r : API_LATER;
    }
    struct state_txn *t = state_txn_new();
    if (t)
        auth_txn_put(t, AUTH_USER, n->id, user);
    else
        json_decref(user);
    return api_commit(c, t);
}

int api_access_users_update(struct api_call *c, const struct api_access_users_update_args *a, struct err *e)
{
    json_t *old;
    int r = find_user(c, a->userid, &old, e);

    if (r == 0 && streq(a->userid, "root@pam"))
        r = api_require_root(c, e);
    if (r == 0 && a->keys && *a->keys)
        r = api_param_error(c, e, "keys", "second factors are not supported");
    if (r < 0)
        return r;
    json_t *user = json_deep_copy(old);
    if (a->has_enable)
        json_object_set_new(user, "enable", json_integer(a->enable));
    if (a->has_expire)
        json_object_set_new(user, "expire", json_integer(a->expire));
    set_text(user, "firstname", a->firstname);
    set_text(user, "lastname", a->lastname);
    set_text(user, "email", a->email);
    set_text(user, "comment", a->comment);
    if (a->groups || a->append)
        r = set_groups(c, user, a->groups ? a->groups : "", a->append, e);
    struct state_txn *t = r < 0 ? NULL : state_txn_new();
    if (!t) {
        json_decref(user);
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    }
    auth_txn_put(t, AUTH_USER, a->userid, user);
    return api_commit(c, t);
}

int api_access_users_delete(struct api_call *c, const struct api_access_users_delete_args *a, struct err *e)
{
    struct auth *auth = c->api->auth;
    size_t n = strlen(a->userid);
    json_t *user;
    int r = find_user(c, a->userid, &user, e);

    if (r == 0 && streq(a->userid, "root@pam"))
        r = err_set(e, -EPERM, "user.root", "root@pam cannot be removed");
    struct state_txn *t = r < 0 ? NULL : state_txn_new();
    if (!t)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    auth_txn_delete(t, AUTH_USER, a->userid);
    auth_txn_delete(t, AUTH_PASSWORD, a->userid);
    for (const char **id = access_sorted_ids(c, auth_objects(auth, AUTH_TOKEN)); id && *id; id++)
        if (strncmp(*id, a->userid, n) == 0 && (*id)[n] == '!') {
            auth_txn_delete(t, AUTH_TOKEN, *id);
            auth_txn_delete(t, AUTH_SECRET, *id);
        }
    access_acl_forget(c, t, "users", a->userid);
    return api_commit(c, t);
}

/* ---- tokens ---- */

static const char *full_id(struct api_call *c, const char *user, const char *token)
{
    return arena_printf(&c->arena, "%s!%s", user, token);
}

static int find_token(struct api_call *c, const char *user, const char *id, json_t **ret, struct err *e)
{
    const char *full = full_id(c, user, id);

    *ret = full ? auth_object(c->api->auth, AUTH_TOKEN, full) : NULL;
    return *ret ? 0 : err_set(e, -ENOENT, "token.missing", "no such token '%s' for user '%s'", id, user);
}

int api_access_tokens_list(struct api_call *c, const struct api_access_tokens_list_args *a, struct err *e)
{
    json_t *user;
    int r = find_user(c, a->userid, &user, e);

    if (r < 0)
        return r;
    jw_array(&c->out);
    each_token(c, a->userid, list_token);
    jw_array_end(&c->out);
    return 0;
}

int api_access_tokens_read(struct api_call *c, const struct api_access_tokens_read_args *a, struct err *e)
{
    json_t *token;
    int r = find_token(c, a->userid, a->tokenid, &token, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    write_token(&c->out, token);
    jw_object_end(&c->out);
    return 0;
}

static size_t count_tokens(struct api_call *c, const char *user)
{
    size_t count = 0, n = strlen(user);
    const char *id;
    json_t *token;

    json_object_foreach(auth_objects(c->api->auth, AUTH_TOKEN), id, token)
    {
        count += strncmp(id, user, n) == 0 && id[n] == '!';
    }
    return count;
}

int api_access_tokens_create(struct api_call *c, const struct api_access_tokens_create_args *a, struct err *e)
{
    const char *full = full_id(c, a->userid, a->tokenid);
    char secret[37], hash[65];
    json_t *user;
    int r = find_user(c, a->userid, &user, e);

    if (r < 0)
        return r;
    if (!full || auth_object(c->api->auth, AUTH_TOKEN, full))
        return api_param_error(c, e, "tokenid", "Token already exists.");
    if (strlen(a->tokenid) > AUTH_TOKEN_MAX || count_tokens(c, a->userid) >= TOKENS_USER_MAX)
        return err_set(e, -ENOSPC, "token.many", "a user has at most %u tokens, with names of at most %u characters",
                       TOKENS_USER_MAX, AUTH_TOKEN_MAX);
    struct state_txn *t = state_txn_new();
    if (!t)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    json_t *token = json_pack("{s:i,s:I}", "privsep", (int)a->privsep, "expire", (json_int_t)a->expire);
    set_text(token, "comment", a->comment);
    auth_token_secret_make(secret);
    auth_token_secret_hash(secret, hash);
    jw_object(&c->out);
    jw_kv_str(&c->out, "full-tokenid", full);
    jw_key(&c->out, "info");
    jw_object(&c->out);
    write_token(&c->out, token);
    jw_object_end(&c->out);
    jw_kv_str(&c->out, "value", secret);
    jw_object_end(&c->out);
    mem_wipe(secret, sizeof(secret));
    auth_txn_put(t, AUTH_TOKEN, full, token);
    auth_txn_put(t, AUTH_SECRET, full, json_string(hash));
    return api_commit(c, t);
}

int api_access_tokens_update(struct api_call *c, const struct api_access_tokens_update_args *a, struct err *e)
{
    const char *full = full_id(c, a->userid, a->tokenid);
    char secret[37], hash[65], name[40];
    json_t *old;
    int r = find_token(c, a->userid, a->tokenid, &old, e);
    struct state_txn *t = r < 0 ? NULL : state_txn_new();

    if (!t)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    json_t *token = json_deep_copy(old);
    if (a->has_privsep)
        json_object_set_new(token, "privsep", json_integer(a->privsep));
    if (a->has_expire)
        json_object_set_new(token, "expire", json_integer(a->expire));
    set_text(token, "comment", a->comment);
    for (const char *p = a->delete ? a->delete : ""; access_list_next(&p, name, sizeof(name));)
        json_object_del(token, name);
    jw_object(&c->out);
    write_token(&c->out, token);
    if (a->regenerate) {
        auth_token_secret_make(secret);
        auth_token_secret_hash(secret, hash);
        auth_txn_put(t, AUTH_SECRET, full, json_string(hash));
        jw_kv_str(&c->out, "full-tokenid", full);
        jw_kv_str(&c->out, "value", secret);
        mem_wipe(secret, sizeof(secret));
    }
    jw_object_end(&c->out);
    auth_txn_put(t, AUTH_TOKEN, full, token);
    return api_commit(c, t);
}

int api_access_tokens_delete(struct api_call *c, const struct api_access_tokens_delete_args *a, struct err *e)
{
    const char *full = full_id(c, a->userid, a->tokenid);
    json_t *token;
    int r = find_token(c, a->userid, a->tokenid, &token, e);
    struct state_txn *t = r < 0 ? NULL : state_txn_new();

    if (!t)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    auth_txn_delete(t, AUTH_TOKEN, full);
    auth_txn_delete(t, AUTH_SECRET, full);
    access_acl_forget(c, t, "tokens", full);
    return api_commit(c, t);
}
