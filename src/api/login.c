/* /access/ticket and /access/password. PVE: pve-access-control, API2/AccessControl.pm. Passwords are checked by a worker. */
#include <jansson.h>

#include "api/common.h"
#include "auth0/objects.h"
#include "task/workers.h"

/* What an unknown user's password is checked against, so that the time tells nothing. Any valid argon2id string. */
#define DUMMY_HASH                                                                                                     \
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b1ejQ3xZPxB1ODJ8pQXBSjtK8I"

int api_access_ticket_get(struct api_call *c, const struct api_access_ticket_get_args *a, struct err *e)
{
    return 0;
}

struct login {
    struct api_call *call;
    char user[AUTH_USER_MAX + 1];
    const char *path, *privs;
    bool is_known;
};

static const struct {
    const char *cap, *path;
} caps[] = {{"access", "/access"}, {"dc", "/"},           {"mapping", "/mapping"}, {"nodes", "/nodes"},
            {"sdn", "/sdn"},       {"storage", "/storage"}, {"vms", "/vms"}};

static void write_caps(struct api_call *c, const struct auth_subject *s)
{
    struct jw *w = &c->out;

    jw_key(w, "cap");
    jw_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
        priv_mask mask = auth_privileges(c->api->auth, s, caps[i].path, NULL);
        jw_key(w, caps[i].cap);
        jw_object(w);
        for (unsigned bit = 0; priv_name(bit); bit++)
            if (mask & (UINT64_C(1) << bit))
                jw_kv_int(w, priv_name(bit), 1);
        jw_object_end(w);
    }
    jw_object_end(w);
}

static int write_ticket(struct api_call *c, const char *user, struct err *e)
{
    struct auth_subject s = {.is_root = streq(user, "root@pam")};
    char ticket[512], csrf[256];
    struct jw *w = &c->out;
    int r = auth_ticket_make(c->api->auth, user, ticket, sizeof(ticket), e);

    if (r == 0)
        r = auth_csrf_make(c->api->auth, user, csrf, sizeof(csrf), e);
    if (r < 0)
        return r;
    snprintf(s.user, sizeof(s.user), "%s", user);
    jw_object(w);
    jw_kv_str(w, "username", user);
    jw_kv_str(w, "ticket", ticket);
    jw_kv_str(w, "CSRFPreventionToken", csrf);
    write_caps(c, &s);
    jw_object_end(w);
    return 0;
}

static int failed(struct err *e)
{
    return err_set(e, -EACCES, "auth.failed", "authentication failure");
}

/* path and privs: the caller only wants to know whether this user has these privileges there. */
static int finish_login(struct login *l, struct err *e)
{
    struct api_call *c = l->call;
    struct auth_subject s = {.is_root = false};
    char name[64];
    unsigned bit;

    if (!l->path)
        return write_ticket(c, l->user, e);
    snprintf(s.user, sizeof(s.user), "%s", l->user);
    for (const char *p = l->privs; p && *p;) {
        size_t n = strcspn(p, ",; ");
        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        if (n && (n >= sizeof(name) || !priv_find(name, &bit) ||
                  !auth_has(c->api->auth, &s, l->path, UINT64_C(1) << bit, false)))
            return failed(e);
        p += n + (p[n] != 0);
    }
    jw_object(&c->out);
    jw_kv_str(&c->out, "username", l->user);
    jw_object_end(&c->out);
    return 0;
}

static void on_verified(void *arg, int r, const struct worker_reply *a, const struct err *worker_err)
{
    struct login *l = arg;
    struct err e = ERR_INIT;

    if (r < 0 && r != -EACCES) { /* a worker that could not be started is not a wrong password */
        e = *worker_err;
    } else if (r < 0 || !l->is_known || !auth_user_is_active(l->call->api->auth, l->user)) {
        r = failed(&e);
    } else {
        r = finish_login(l, &e);
    }
    api_finish(l->call, r, &e);
}

static int login_user(struct api_call *c, const struct api_access_ticket_create_args *a, struct login *l, struct err *e)
{
    const char *at = strrchr(a->username, '@');
    const char *realm = a->realm ? a->realm : at ? at + 1 : auth_default_realm(c->api->auth);
    bool has_realm = at && (!a->realm || streq(at + 1, a->realm));
    int n = has_realm ? snprintf(l->user, sizeof(l->user), "%s", a->username)
                      : snprintf(l->user, sizeof(l->user), "%s@%s", a->username, realm);

    return n < 0 || (size_t)n >= sizeof(l->user) ? failed(e) : 0;
}

int api_access_ticket_create(struct api_call *c, const struct api_access_ticket_create_args *a, struct err *e)
{
    struct login *l = arena_alloc(&c->arena, sizeof(*l));
    struct auth_subject s;
    struct err ignored = ERR_INIT;

    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *l = (struct login){.call = c, .path = a->path, .privs = a->privs};
    int r = login_user(c, a, l, e);
    if (r < 0)
        return r;
    if (a->otp || a->tfa_challenge) /* no user has a second factor here, so nobody can pass one */
        return failed(e);
    /* A ticket as password renews it. */
    if (str_starts(a->password, "PVE:") && auth_ticket_verify(c->api->auth, a->password, &s, &ignored) == 0)
        return streq(s.user, l->user) || s.is_root ? finish_login(l, e) : failed(e);
    const char *hash = str_ends(l->user, "@pve") ? auth_password_hash(c->api->auth, l->user) : NULL;
    l->is_known = hash != NULL;
    struct worker_request q = {.verb = "argon2id-verify",
                               .args = {hash ? hash : DUMMY_HASH},
                               .n_args = 1,
                               .secret = a->password,
                               .secret_len = strlen(a->password)};
    r = workers_call(c->api->workers, &q, on_verified, l, e);
    return r < 0 ? r : API_LATER;
}

struct password {
    struct api_call *call;
    const char *user, *password;
};

static void on_hashed(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct password *p = arg;
    struct state_txn *t = r == 0 ? state_txn_new() : NULL;

    if (r < 0) {
        api_finish(p->call, r, e);
        return;
    }
    if (t)
        auth_txn_put(t, AUTH_PASSWORD, p->user, json_stringn(a->secret, a->secret_len));
    api_commit(p->call, t);
}

static int hash_password(struct password *p, struct err *e)
{
    struct worker_request q = {.verb = "argon2id-hash", .secret = p->password, .secret_len = strlen(p->password)};
    int r = workers_call(p->call->api->workers, &q, on_hashed, p, e);

    return r < 0 ? r : API_LATER;
}

static void on_confirmed(void *arg, int r, const struct worker_reply *a, const struct err *worker_err)
{
    struct password *p = arg;
    struct err e = *worker_err;

    if (r == -EACCES)
        err_set(&e, r, "auth.failed", "authentication failure");
    if (r == 0)
        r = hash_password(p, &e);
    if (r != API_LATER)
        api_finish(p->call, r, &e);
}

int api_access_password_update(struct api_call *c, const struct api_access_password_update_args *a, struct err *e)
{
    struct password *p = arena_alloc(&c->arena, sizeof(*p));

    if (!auth_object(c->api->auth, AUTH_USER, a->userid))
        return err_set(e, -ENOENT, "user.missing", "no such user ('%s')", a->userid);
    if (!str_ends(a->userid, "@pve"))
        return err_set(e, -EINVAL, "user.realm", "can't change the password of a user of another realm");
    if (streq(a->userid, "root@pam") && api_require_root(c, e) < 0)
        return e->num;
    if (!p)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *p = (struct password){.call = c, .user = a->userid, .password = a->password};
    const char *own = auth_password_hash(c->api->auth, c->who.user);
    if (c->is_local || c->who.is_root)
        return hash_password(p, e);
    /* Somebody who found an open session must not be able to keep it. */
    if (!a->confirmation_password)
        return api_param_error(c, e, "confirmation-password", "missing property required by 'password'");
    struct worker_request q = {.verb = "argon2id-verify",
                               .args = {own ? own : DUMMY_HASH},
                               .n_args = 1,
                               .secret = a->confirmation_password,
                               .secret_len = strlen(a->confirmation_password)};
    int r = workers_call(c->api->workers, &q, on_confirmed, p, e);
    return r < 0 ? r : API_LATER;
}
