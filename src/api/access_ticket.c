/* /access/ticket and /access/password (PVE: pve-access-control, API2/AccessControl.pm). Every refusal of a login is the
 * same 401 after the same wait; what was wrong stands in the log only. Loop thread; passwords are a worker's business.
 */
#include "api/access_common.h"
#include "base/log.h"

#define PASSWORD_MAX 4096u /* a ticket may stand in its place */
#define DELAY_MS     3000u

int api_access_index(struct api_call *c, const struct api_access_index_args *a, struct err *e)
{
    static const char *const names[] = {"users",       "groups", "roles",    "acl", "domains",
                                        "permissions", "ticket", "password", NULL};

    return api_reply_index(c, "subdir", names);
}

int api_access_ticket_get(struct api_call *c, const struct api_access_ticket_get_args *a, struct err *e)
{
    return 0;
}

struct login {
    struct auth_subject who;
    const char *path;
    priv_mask privs;
    bool is_cookie; /* the ticket goes into a cookie, not into the body */
    bool is_check;  /* path and privs were given: no new ticket */
    bool is_known;  /* there is such a user with a password */
};

static int refuse(struct api_call *c, const char *user, const char *reason, struct err *e)
{
    log_note("authentication failure; rhost=%s user=%.80s msg=%s", c->peer ? c->peer : "local", user, reason);
    c->delay_ms = DELAY_MS;
    return err_set(e, -EACCES, "auth.failed", "authentication failure");
}

/* Which privileges make a part of a user interface useful: bits whose names begin like this. */
static const struct cap {
    const char *name, *path;
    const char *begins[3];
} caps[] = {
    {"access", "/access", {"User.", "Group."}},
    {"dc", "/", {"Sys.Audit", "Sys.Modify", "SDN."}},
    {"mapping", "/mapping", {"Mapping."}},
    {"nodes", "/nodes", {"Sys."}},
    {"sdn", "/sdn", {"SDN."}},
    {"storage", "/storage", {"Datastore."}},
    {"vms", "/vms", {"VM."}},
};

static bool belongs(const struct cap *cap, const char *priv)
{
    for (size_t i = 0; i < ARRAY_SIZE(cap->begins) && cap->begins[i]; i++)
        if (str_starts(priv, cap->begins[i]))
            return true;
    return streq(priv, "Permissions.Modify") && !streq(cap->name, "dc");
}

/* Is the path one of this cap's, or a pool, which may hold guests and storages? */
static bool counts(const struct cap *cap, const char *path)
{
    size_t n = strlen(cap->path);

    if (streq(cap->name, "dc"))
        return streq(path, "/");
    if (str_starts(path, "/pool/"))
        return streq(cap->name, "vms") || streq(cap->name, "storage");
    return strncmp(path, cap->path, n) == 0 && (!path[n] || path[n] == '/');
}

static priv_mask cap_mask(struct api_call *c, const struct cap *cap, const struct auth_subject *s)
{
    const struct auth_set *acls = auth_objects(c->api->auth, AUTH_ACL);
    priv_mask mask = auth_privileges(c->api->auth, s, cap->path, NULL);

    if (streq(cap->name, "access"))
        mask |= auth_privileges(c->api->auth, s, "/access/groups", NULL);
    if (streq(s->user, "root@pam"))
        return mask;
    for (size_t i = 0; i < acls->n; i++)
        if (counts(cap, acls->sorted[i]->key))
            mask |= auth_privileges(c->api->auth, s, acls->sorted[i]->key, NULL);
    return mask;
}

static void write_caps(struct api_call *c, const struct auth_subject *s)
{
    jw_key(&c->out, "cap");
    jw_object(&c->out);
    for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
        priv_mask mask = cap_mask(c, &caps[i], s);
        jw_key(&c->out, caps[i].name);
        jw_object(&c->out);
        for (unsigned bit = 0; priv_name(bit); bit++)
            if ((mask & (UINT64_C(1) << bit)) && belongs(&caps[i], priv_name(bit)))
                jw_kv_int(&c->out, priv_name(bit), 1);
        jw_object_end(&c->out);
    }
    jw_object_end(&c->out);
}

/* Who it is, is proved: the reply. */
static int accept_login(struct api_call *c, const struct login *l, struct err *e)
{
    char ticket[256], csrf[128];
    int r;

    if (!auth_user_is_active(c->api->auth, l->who.user))
        return refuse(c, l->who.user, "user is disabled or expired", e);
    if (l->is_check && !auth_has(c->api->auth, &l->who, l->path, l->privs, false))
        return refuse(c, l->who.user, "no permission", e);
    jw_object(&c->out);
    if (!l->is_check) {
        r = auth_ticket_make(c->api->auth, l->who.user, ticket, sizeof(ticket), e);
        if (r == 0)
            r = auth_csrf_make(c->api->auth, l->who.user, csrf, sizeof(csrf), e);
        if (r < 0)
            return r;
        if (!l->is_cookie)
            jw_kv_str(&c->out, "ticket", ticket);
        else if ((r = access_cookie(c, ticket, e)) < 0)
            return r;
        jw_kv_str(&c->out, "CSRFPreventionToken", csrf);
    }
    jw_kv_str(&c->out, "username", l->who.user);
    write_caps(c, &l->who);
    jw_object_end(&c->out);
    log_info("successful auth for user '%s'", l->who.user);
    return 0;
}

static void on_verified(struct api_call *c, int r, const char *hash, void *arg, const struct err *result)
{
    const struct login *l = arg;
    struct err e = *result;

    if (r == -EACCES || (r == 0 && !l->is_known))
        r = refuse(c, l->who.user, l->is_known ? "invalid credentials" : "no such user", &e);
    else if (r == 0)
        r = accept_login(c, l, &e);
    api_finish(c, r, &e);
}

/* An unknown user costs as much time as a wrong password: the password is hashed with the same effort, for nothing. */
static int verify_password(struct api_call *c, struct login *l, const char *password, struct err *e)
{
    const char *realm = auth_realm_of(l->who.user);
    const struct auth_realm *known = auth_find(c->api->auth, AUTH_REALM, realm);
    const char *hash = auth_password_hash(c->api->auth, l->who.user);

    if (known && streq(known->type, "pam"))
        return refuse(c, l->who.user,
                      "realm 'pam' cannot verify passwords in this version: use an API token, or the "
                      "holm command as root",
                      e);
    l->is_known = known && hash && access_user(c, l->who.user);
    return access_password(c, password, l->is_known ? hash : NULL, on_verified, l, e);
}

static int fill_login(struct api_call *c, const struct api_access_ticket_create_args *a, struct login *l, struct err *e)
{
    char path[AUTH_PATH_MAX];
    const char *user = a->username;

    if (a->realm && *a->realm)
        user = arena_printf(&c->arena, "%s@%s", a->username, a->realm);
    if (!user)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (auth_subject_parse(user, &l->who, e) < 0 || l->who.token[0])
        return refuse(c, "?", "not a user name", e); /* nor anything to put into a log */
    if (!a->path || !a->privs)
        return 0;
    l->is_check = true;
    l->privs = access_privs_mask(a->privs);
    if (auth_path_normalize(a->path, path, sizeof(path), e) < 0 || !l->privs)
        return refuse(c, l->who.user, "invalid path or privileges", e);
    l->path = arena_strdup(&c->arena, path);
    return l->path ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

int api_access_ticket_create(struct api_call *c, const struct api_access_ticket_create_args *a, struct err *e)
{
    struct login *l = arena_alloc(&c->arena, sizeof(*l));
    struct auth_subject bearer;

    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    l->is_cookie = a->cookie;
    int r = fill_login(c, a, l, e);
    if (r < 0)
        return r;
    if (a->tfa_challenge)
        return refuse(c, l->who.user, "no second factor was asked for", e);
    if (strlen(a->password) > PASSWORD_MAX)
        return refuse(c, l->who.user, "password too long", e);
    if (!str_starts(a->password, "PVE:"))
        return verify_password(c, l, a->password, e);
    /* A ticket in place of the password renews it; root@pam's makes tickets for anybody. */
    if (auth_ticket_verify(c->api->auth, a->password, &bearer, e) < 0)
        return refuse(c, l->who.user, "invalid ticket", e);
    if (!streq(bearer.user, l->who.user) && (!bearer.is_root || l->is_check))
        return refuse(c, l->who.user, "ticket of another user", e);
    return accept_login(c, l, e);
}

struct change {
    const char *user, *password;
};

static void on_hashed(struct api_call *c, int r, const char *hash, void *arg, const struct err *result)
{
    const struct change *ch = arg;
    const struct auth_user *u = NULL;
    struct err e = *result;

    if (r == 0)
        r = access_need_user(c, "", ch->user, &u, &e);
    if (r < 0) {
        api_finish(c, r, &e);
        return;
    }
    struct state_txn *t = state_txn_new();
    if (t) {
        auth_txn_expect(t, AUTH_USER, ch->user, u->item.revision);
        auth_txn_password(t, ch->user, hash);
    }
    api_commit(c, t);
}

static void on_confirmed(struct api_call *c, int r, const char *hash, void *arg, const struct err *result)
{
    const struct change *ch = arg;
    struct err e = *result;

    if (r == -EACCES)
        r = refuse(c, c->who.user, "invalid confirmation password", &e);
    else if (r == 0)
        r = access_password(c, ch->password, NULL, on_hashed, arg, &e);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

static int check_change(struct api_call *c, const char *userid, struct err *e)
{
    const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, auth_realm_of(userid));
    const struct auth_user *u;
    int r = access_need_user(c, "", userid, &u, e);

    if (r == 0)
        r = access_guard_root(c, userid, e);
    if (r == 0 && (!realm || !streq(realm->type, "pve")))
        return err_set(e, -EINVAL, "realm.password", "can't set password on auth domain '%s'", auth_realm_of(userid));
    return r;
}

/* Everybody but root@pam confirms with his own password, so that a stolen ticket is not enough (PVE 9). */
int api_access_password_update(struct api_call *c, const struct api_access_password_update_args *a, struct err *e)
{
    struct change *ch = arena_alloc(&c->arena, sizeof(*ch));
    const char *own = auth_password_hash(c->api->auth, c->who.user);

    if (!ch)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *ch = (struct change){.user = a->userid, .password = a->password};
    int r = check_change(c, a->userid, e);
    if (r < 0)
        return r;
    if (c->who.is_root)
        return access_password(c, a->password, NULL, on_hashed, ch, e);
    if (!a->confirmation_password)
        return api_param_error(c, e, "confirmation-password", "password is required to modify user");
    if (!own)
        return refuse(c, c->who.user, "no password to confirm", e);
    return access_password(c, a->confirmation_password, own, on_confirmed, ch, e);
}
