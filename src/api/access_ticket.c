/* /access/ticket and /access/password (PVE: pve-access-control, API2/AccessControl.pm). Every refusal of a login is the
 * same 401 after the same wait; what was wrong stands in the log only. Loop thread; passwords are a worker's business.
 */
#include "api/access_limit.h"
#include "api/access_second.h"
#include "base/log.h"

#define PASSWORD_MAX 4096u /* a ticket may stand in its place */

int api_access_index(struct api_call *c, const struct api_access_index_args *a, struct err *e)
{
    static const char *const names[] = {"users",       "groups", "roles",    "acl", "domains",
                                        "permissions", "ticket", "password", "tfa", NULL};

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
    const char *otp; /* second factor given at once, as old clients do; NULL if not */
    bool is_cookie;  /* the ticket goes into a cookie, not into the body */
    bool is_check;   /* path and privs were given: no new ticket */
};

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
    int r;

    if (!auth_user_is_active(c->api->auth, l->who.user))
        return access_refuse(c, l->who.user, "user is disabled or expired", e);
    if (l->is_check && !auth_has(c->api->auth, &l->who, l->path, l->privs, false))
        return access_refuse(c, l->who.user, "no permission", e);
    jw_object(&c->out);
    if (!l->is_check) {
        r = access_session_write(c, l->who.user, l->is_cookie, e);
        if (r < 0)
            return r;
    }
    jw_kv_str(&c->out, "username", l->who.user);
    write_caps(c, &l->who);
    jw_object_end(&c->out);
    access_limit_succeeded(c, l->who.user);
    log_info("successful auth for user '%s'", l->who.user);
    return 0;
}

static void on_second(struct api_call *c, int r, void *arg, const struct err *result)
{
    const struct login *l = arg;
    struct err e = *result;

    if (r == -EACCES)
        r = access_refuse(c, l->who.user, result->text, &e);
    else if (r == 0)
        r = accept_login(c, l, &e);
    else
        access_limit_undo(c, l->who.user);
    api_finish(c, r, &e);
}

/* The password was right: is it enough? */
static int after_password(struct api_call *c, struct login *l, struct err *e)
{
    const char *user = l->who.user;

    if (!auth_user_is_active(c->api->auth, user) || !auth_tfa_is_needed(c->api->auth, user))
        return accept_login(c, l, e);
    if (l->otp)
        return access_second_otp(c, user, l->otp, on_second, l);
    if (l->is_check)
        return access_refuse(c, user, "a password alone is not enough", e);
    access_limit_undo(c, user); /* the code that follows is the attempt */
    return access_second_ask(c, user, e);
}

static void on_verified(struct api_call *c, int r, void *arg, const struct err *result)
{
    struct login *l = arg;
    struct err e = *result;

    if (r == -EACCES)
        r = access_refuse(c, l->who.user, result->text, &e);
    else if (r == 0)
        r = after_password(c, l, &e);
    else
        access_limit_undo(c, l->who.user);
    if (r != API_LATER)
        api_finish(c, r, &e);
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
        return access_refuse(c, "?", "not a user name", e); /* nor anything to put into a log */
    if (!a->path || !a->privs)
        return 0;
    l->is_check = true;
    l->privs = access_privs_mask(a->privs);
    if (auth_path_normalize(a->path, path, sizeof(path), e) < 0 || !l->privs)
        return access_refuse(c, l->who.user, "invalid path or privileges", e);
    l->path = arena_strdup(&c->arena, path);
    return l->path ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

int api_access_ticket_create(struct api_call *c, const struct api_access_ticket_create_args *a, struct err *e)
{
    struct login *l = arena_alloc(&c->arena, sizeof(*l));
    struct auth_subject bearer;

    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    c->has_secret = true;
    l->is_cookie = a->cookie;
    int r = fill_login(c, a, l, e);
    if (r == 0 && !str_starts(a->password, "PVE:")) /* a ticket cannot be guessed */
        r = access_limit_check(c, l->who.user, e);
    if (r < 0)
        return r;
    if (strlen(a->password) > PASSWORD_MAX)
        return access_refuse(c, l->who.user, "password too long", e);
    if (a->tfa_challenge && auth_challenge_verify(c->api->auth, a->tfa_challenge, l->who.user, e) < 0)
        return access_refuse(c, l->who.user, "invalid second factor challenge", e);
    if (a->tfa_challenge) /* the password stands for the answer */
        return access_second_answer(c, l->who.user, a->password, on_second, l);
    l->otp = a->otp && *a->otp ? a->otp : NULL;
    if (!str_starts(a->password, "PVE:"))
        return access_verify(c, l->who.user, a->password, on_verified, l, e);
    /* A ticket in place of the password renews it; root@pam's makes tickets for anybody. */
    if (auth_ticket_verify(c->api->auth, a->password, &bearer, e) < 0)
        return access_refuse(c, l->who.user, "invalid ticket", e);
    if (!streq(bearer.user, l->who.user) && (!bearer.is_root || l->is_check))
        return access_refuse(c, l->who.user, "ticket of another user", e);
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

static void on_set(struct api_call *c, int r, void *arg, const struct err *result)
{
    api_finish(c, r, result);
}

static int set_password(struct api_call *c, struct change *ch, struct err *e)
{
    if (access_is_pam(c, ch->user))
        return access_set_pam_password(c, ch->user, ch->password, on_set, NULL, e);
    return access_password(c, ch->password, NULL, on_hashed, ch, e);
}

static void on_confirmed(struct api_call *c, int r, void *arg, const struct err *result)
{
    struct err e = *result;

    if (r == 0)
        r = set_password(c, arg, &e);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

/* An account of the host is more than a user of Holm: nobody changes another's but root@pam (as PVE). */
static int check_change(struct api_call *c, const char *userid, struct err *e)
{
    const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, auth_realm_of(userid));
    const struct auth_user *u;
    int r = access_need_user(c, "", userid, &u, e);

    if (r == 0)
        r = access_guard_root(c, userid, e);
    if (r == 0 && access_is_pam(c, userid))
        return streq(userid, c->who.user) ? 0 : api_require_root(c, e);
    if (r == 0 && (!realm || !streq(realm->type, "pve")))
        return err_set(e, -EINVAL, "realm.password", "can't set password on auth domain '%s'", auth_realm_of(userid));
    return r;
}

/* Everybody but root@pam confirms with his own password, so that a stolen ticket is not enough (PVE 9). */
int api_access_password_update(struct api_call *c, const struct api_access_password_update_args *a, struct err *e)
{
    struct change *ch = arena_alloc(&c->arena, sizeof(*ch));

    if (!ch)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *ch = (struct change){.user = a->userid, .password = a->password};
    int r = check_change(c, a->userid, e);
    if (r < 0)
        return r;
    if (c->who.is_root)
        return set_password(c, ch, e);
    if (!a->confirmation_password)
        return api_param_error(c, e, "confirmation-password", "password is required to modify user");
    return access_confirm(c, a->confirmation_password, on_confirmed, ch, e);
}
