/* See access_common.h. */
#include "api/access_common.h"

#include "api/access_limit.h"

const struct auth_user *access_user(struct api_call *c, const char *userid)
{
    return auth_find(c->api->auth, AUTH_USER, userid);
}

int access_need_user(struct api_call *c, const char *prefix, const char *userid, const struct auth_user **ret,
                     struct err *e)
{
    *ret = access_user(c, userid);
    return *ret ? 0 : err_set(e, -ENOENT, "user.missing", "%sno such user ('%s')", prefix, userid);
}

int access_guard_root(struct api_call *c, const char *userid, struct err *e)
{
    return streq(userid, "root@pam") ? api_require_root(c, e) : 0;
}

int access_forget_old(struct api_call *c, struct state_txn *t, enum auth_kind kind, const char *id, struct err *e)
{
    if (auth_txn_forget(c->api->auth, t, kind, id, ACCESS_FORGET_MAX) < ACCESS_FORGET_MAX)
        return 0;
    return err_set(e, -EAGAIN, "access.being-deleted", "'%s' is still being deleted, try again", id);
}

struct deletion {
    struct api_call *call;
    enum auth_kind kind;
    char id[AUTH_PATH_MAX];
    uint64_t revision;
    bool is_gone;
};

static void on_deleted(void *arg, int r, uint64_t revision, const struct err *e);

/* One commit: what refers to the object, and the object itself with the last of it. After that it looks once more for
 * what somebody else added in between. */
static void delete_step(struct deletion *d)
{
    struct api_call *c = d->call;
    struct state_txn *t = state_txn_new();
    size_t n = t ? auth_txn_forget(c->api->auth, t, d->kind, d->id, ACCESS_FORGET_MAX) : 0;

    if (t && d->is_gone && n == 0) {
        state_txn_free(t);
        api_finish(c, 0, NULL);
        free(d);
        return;
    }
    if (t && !d->is_gone && n < ACCESS_FORGET_MAX) {
        auth_txn_expect(t, d->kind, d->id, d->revision);
        auth_txn_delete(t, d->kind, d->id);
        d->is_gone = true;
    }
    state_commit(c->api->state, t, on_deleted, d);
}

static void on_deleted(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct deletion *d = arg;
    struct err conflict = ERR_INIT;

    if (r == 0) {
        delete_step(d);
        return;
    }
    if (r == -EAGAIN)
        r = err_set(&conflict, r, "state.conflict",
                    "detected modified configuration - file changed by other user? Try again.");
    api_finish(d->call, r, r == -EAGAIN ? &conflict : e);
    free(d);
}

int access_delete(struct api_call *c, enum auth_kind kind, const char *id, uint64_t revision)
{
    struct deletion *d = calloc(1, sizeof(*d));
    struct err e = ERR_INIT;

    if (!d || str_copy(d->id, sizeof(d->id), id) < 0) {
        free(d);
        api_finish(c, err_set(&e, -ENOMEM, NULL, "out of memory"), &e);
        return API_LATER;
    }
    d->call = c;
    d->kind = kind;
    d->revision = revision;
    delete_step(d);
    return API_LATER;
}

void access_write_privs(struct jw *w, priv_mask mask, priv_mask propagated)
{
    jw_object(w);
    for (unsigned bit = 0; priv_name(bit); bit++)
        if (mask & (UINT64_C(1) << bit))
            jw_kv_int(w, priv_name(bit), (propagated >> bit) & 1);
    jw_object_end(w);
}

priv_mask access_privs_mask(const char *list)
{
    char name[64];
    priv_mask mask = 0;
    unsigned bit;

    for (const char *pos = list; auth_list_next(&pos, name, sizeof(name));)
        if (priv_find(name, &bit))
            mask |= UINT64_C(1) << bit;
    return mask;
}

int access_password(struct api_call *c, const char *password, const char *hash, access_password_fn done, void *arg,
                    struct err *e)
{
    /* It may have to wait, and the stored hash may change meanwhile. */
    const char *copy = hash ? arena_strdup(&c->arena, hash) : NULL;

    if (hash && !copy)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = password_gate_submit(c->api->passwords, c, password, copy, done, arg, e);
    return r < 0 ? r : API_LATER;
}
