/* /access/users/U/token (PVE: pve-access-control, API2/User.pm). A secret leaves the daemon in the reply that made it,
 * never again. Loop thread. */
#include "api/access_common.h"

#define TOKENS_OF_USER_MAX 256u

static void write_info(struct jw *w, const struct auth_token *k)
{
    jw_kv_int(w, "expire", k->expire);
    jw_kv_int(w, "privsep", k->is_separated);
    if (k->comment && k->comment[0])
        jw_kv_str(w, "comment", k->comment);
}

static const char *full_id(struct api_call *c, const char *user, const char *token)
{
    return arena_printf(&c->arena, "%s!%s", user, token);
}

/* A user's tokens are his to change, but not a token's, whose rights may be less than his: it would make itself one
 * that has them all. A token needs what another user would need. */
static int guard(struct api_call *c, const char *user, struct err *e)
{
    if (c->who.token[0] && !auth_has_on_groups(c->api->auth, &c->who, PRIV_M(USER_MODIFY), NULL, user))
        return err_set(e, -EPERM, "auth.denied", "Permission check failed");
    return access_guard_root(c, user, e);
}

static int need_token(struct api_call *c, const char *prefix, const char *user, const char *token,
                      const struct auth_token **ret, struct err *e)
{
    const char *id = full_id(c, user, token);
    const struct auth_user *u;
    int r = access_need_user(c, prefix, user, &u, e);

    if (r < 0)
        return r;
    *ret = id ? auth_find(c->api->auth, AUTH_TOKEN, id) : NULL;
    return *ret ? 0 : err_set(e, -ENOENT, "token.missing", "%sno such token '%s' for user '%s'", prefix, token, user);
}

int api_access_tokens_list(struct api_call *c, const struct api_access_tokens_list_args *a, struct err *e)
{
    const struct auth_set *set = auth_objects(c->api->auth, AUTH_TOKEN);
    const char *prefix = full_id(c, a->userid, "");
    const struct auth_user *u;
    int r = access_need_user(c, "", a->userid, &u, e);

    if (r < 0 || !prefix)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    jw_array(&c->out);
    for (size_t i = auth_lower_bound(set, prefix); i < set->n && str_starts(set->sorted[i]->key, prefix); i++) {
        jw_object(&c->out);
        jw_kv_str(&c->out, "tokenid", set->sorted[i]->key + strlen(prefix));
        write_info(&c->out, container_of(set->sorted[i], struct auth_token, item));
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

int api_access_tokens_read(struct api_call *c, const struct api_access_tokens_read_args *a, struct err *e)
{
    const struct auth_token *k;
    int r = need_token(c, "", a->userid, a->tokenid, &k, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    write_info(&c->out, k);
    jw_object_end(&c->out);
    return 0;
}

static size_t count_tokens(struct api_call *c, const char *user)
{
    const struct auth_set *set = auth_objects(c->api->auth, AUTH_TOKEN);
    const char *prefix = full_id(c, user, "");
    size_t n = 0;

    for (size_t i = prefix ? auth_lower_bound(set, prefix) : set->n;
         i < set->n && str_starts(set->sorted[i]->key, prefix); i++)
        n++;
    return n;
}

static int check_create(struct api_call *c, const struct api_access_tokens_create_args *a, const char *id,
                        struct err *e)
{
    const struct auth_user *u;
    int r = auth_tokenid_check(a->tokenid, e);

    if (r < 0)
        return api_param_error(c, e, "tokenid", "value does not look like a valid token ID");
    r = access_need_user(c, "", a->userid, &u, e);
    if (r == 0)
        r = guard(c, a->userid, e);
    if (r == 0 && auth_find(c->api->auth, AUTH_TOKEN, id))
        return api_param_error(c, e, "tokenid", "Token already exists.");
    if (r == 0 && count_tokens(c, a->userid) >= TOKENS_OF_USER_MAX)
        return err_set(e, -E2BIG, "access.too-many", "user '%s' has %u tokens already", a->userid, TOKENS_OF_USER_MAX);
    return r;
}

/* Puts a token into t and expects what must not change until the commit. */
static int put_token(struct api_call *c, struct state_txn *t, const char *user, const struct auth_token *k,
                     uint64_t revision, struct err *e)
{
    const struct auth_user *u = access_user(c, user);

    if (!t || !u)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    auth_txn_expect(t, AUTH_USER, user, u->item.revision);
    auth_txn_expect(t, AUTH_TOKEN, k->item.key, revision);
    auth_txn_token(t, k);
    return 0;
}

int api_access_tokens_create(struct api_call *c, const struct api_access_tokens_create_args *a, struct err *e)
{
    const char *id = full_id(c, a->userid, a->tokenid);
    char secret[AUTH_TOKEN_SECRET_CAP];
    struct auth_token k = {.item.key = (char *)id,
                           .is_separated = !a->has_privsep || a->privsep,
                           .has_expire = a->has_expire,
                           .expire = a->has_expire ? a->expire : 0,
                           .comment = (char *)a->comment};
    int r = id ? check_create(c, a, id, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r < 0)
        return r;
    struct state_txn *t = state_txn_new();
    r = t ? access_forget_old(c, t, AUTH_TOKEN, id, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = put_token(c, t, a->userid, &k, 0, e);
    if (r < 0) {
        state_txn_free(t);
        return r;
    }
    c->has_secret = true;
    auth_txn_token_secret(t, id, secret);
    jw_object(&c->out);
    jw_kv_str(&c->out, "full-tokenid", id);
    jw_key(&c->out, "info");
    jw_object(&c->out);
    write_info(&c->out, &k);
    jw_object_end(&c->out);
    jw_kv_str(&c->out, "value", secret);
    jw_object_end(&c->out);
    mem_wipe(secret, sizeof(secret));
    return api_commit(c, t);
}

/* The settings that the request removes: "comment" and "expire". */
static int apply_delete(struct api_call *c, const char *list, struct auth_token *k, struct err *e)
{
    char item[64];

    for (const char *pos = list; pos && auth_list_next(&pos, item, sizeof(item));) {
        if (streq(item, "comment"))
            k->comment = NULL;
        else if (streq(item, "expire"))
            k->expire = 0, k->has_expire = false;
        else
            return api_param_error(c, e, "delete", "unknown setting '%s'", item);
    }
    return 0;
}

int api_access_tokens_update(struct api_call *c, const struct api_access_tokens_update_args *a, struct err *e)
{
    const struct auth_token *k;
    char secret[AUTH_TOKEN_SECRET_CAP];
    int r = need_token(c, "", a->userid, a->tokenid, &k, e);

    if (r == 0)
        r = guard(c, a->userid, e);
    if (r < 0)
        return r;
    struct auth_token next = *k;
    next.is_separated = a->has_privsep ? a->privsep : k->is_separated;
    next.has_expire = a->has_expire || k->has_expire;
    next.expire = a->has_expire ? a->expire : k->expire;
    next.comment = a->comment ? (char *)a->comment : k->comment;
    r = apply_delete(c, a->delete, &next, e);
    if (r < 0)
        return r;
    struct state_txn *t = state_txn_new();
    r = put_token(c, t, a->userid, &next, k->item.revision, e);
    if (r < 0) {
        state_txn_free(t);
        return r;
    }
    jw_object(&c->out);
    write_info(&c->out, &next);
    if (a->regenerate) {
        c->has_secret = true;
        auth_txn_token_secret(t, k->item.key, secret);
        jw_kv_str(&c->out, "full-tokenid", k->item.key);
        jw_kv_str(&c->out, "value", secret);
        mem_wipe(secret, sizeof(secret));
    }
    jw_object_end(&c->out);
    return api_commit(c, t);
}

int api_access_tokens_delete(struct api_call *c, const struct api_access_tokens_delete_args *a, struct err *e)
{
    const struct auth_token *k;
    int r = need_token(c, "", a->userid, a->tokenid, &k, e);

    if (r == 0)
        r = guard(c, a->userid, e);
    return r < 0 ? r : access_delete(c, AUTH_TOKEN, k->item.key, k->item.revision);
}
