/* Passwords: hashed and compared by holm-worker for realms of type pve, verified and set by holm-pam for the host's
 * accounts. What is asked here is answered later on the loop; nothing of it blocks. Called by the login, by what a
 * password confirms, and by what sets one. Whether a user may do something is not decided here. Loop thread. */
#include "api/access_common.h"
#include "api/access_limit.h"
#include "base/log.h"

#define PASSWORD_MAX     4096u /* a worker's limit */
#define PAM_PASSWORD_MAX 511u  /* libpam's */
#define PAM_TIMEOUT_MS   10000u

struct password_job {
    struct api_call *call;
    access_password_fn done;
    void *arg;
};

static void on_password(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct password_job *j = arg;
    char hash[256] = "";

    if (r == 0 && a->secret && a->secret_len < sizeof(hash))
        memcpy(hash, a->secret, a->secret_len);
    j->done(j->call, r, hash, j->arg, e);
    mem_wipe(hash, sizeof(hash));
}

int access_password(struct api_call *c, const char *password, const char *hash, access_password_fn done, void *arg,
                    struct err *e)
{
    struct password_job *j = arena_alloc(&c->arena, sizeof(*j));
    /* It may have to wait, and the stored hash may change meanwhile. */
    const char *copy = hash ? arena_strdup(&c->arena, hash) : NULL;
    struct worker_request q = {.verb = hash ? "argon2id-verify" : "argon2id-hash",
                               .args = {copy},
                               .n_args = hash ? 1 : 0,
                               .secret = password,
                               .secret_len = strlen(password)};

    if (!j || (hash && !copy))
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *j = (struct password_job){.call = c, .done = done, .arg = arg};
    int r = password_gate_submit(c->api->passwords, c, &q, on_password, j, e);
    return r < 0 ? r : API_LATER;
}

bool access_is_pam(struct api_call *c, const char *user)
{
    const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, auth_realm_of(user));

    return realm && streq(realm->type, "pam");
}

struct verification {
    struct api_call *call;
    access_verify_fn done;
    void *arg;
    const char *refusal; /* decided before the work: the work is done all the same, so that it takes as long */
};

static void on_verified(struct api_call *c, int r, const char *hash, void *arg, const struct err *result)
{
    const struct verification *v = arg;
    struct err e = *result;

    if ((r == 0 || r == -EACCES) && v->refusal)
        r = err_set(&e, -EACCES, "auth.failed", "%s", v->refusal);
    else if (r == -EACCES)
        r = err_set(&e, -EACCES, "auth.failed", "invalid credentials");
    v->done(c, r, v->arg, &e);
}

/* A host that lacks the service is told so once, with what to do; each login only says that it failed. */
static void report_pam(const struct err *e)
{
    static bool is_reported;

    if (streq(e->code, "auth.failed") || streq(e->code, "pam.name") || streq(e->code, "worker.cancelled"))
        return;
    if (streq(e->code, "pam.service") && is_reported)
        return;
    is_reported = is_reported || streq(e->code, "pam.service");
    log_err(LOG_ERROR, e, "holm-pam");
}

/* To the client, PAM out of order is a wrong password. */
static void on_pam_verified(void *arg, int r, const struct worker_reply *a, const struct err *result)
{
    const struct verification *v = arg;
    struct err e = *result;

    if (r < 0) {
        report_pam(result);
        r = err_set(&e, -EACCES, "auth.failed", "%.300s", v->refusal ? v->refusal : result->text);
    }
    v->done(v->call, r, v->arg, &e);
}

/* The account's name on the host, which holm-pam checks. */
static char *account_of(struct api_call *c, const char *user)
{
    return arena_strndup(&c->arena, user, strlen(user) - strlen(auth_realm_of(user)) - 1);
}

static int verify_by_pam(struct api_call *c, struct verification *v, const char *user, const char *password,
                         struct err *e)
{
    const char *name = account_of(c, user);
    struct worker_request q = {.verb = v->refusal ? "refuse" : "authenticate",
                               .args = {name, c->peer},
                               .secret = password,
                               .secret_len = strlen(password),
                               .timeout_ms = PAM_TIMEOUT_MS};

    if (!name)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (!v->refusal)
        q.n_args = c->peer ? 2 : 1;
    int r = password_gate_submit(c->api->pam_passwords, c, &q, on_pam_verified, v, e);
    return r < 0 ? r : API_LATER;
}

int access_verify(struct api_call *c, const char *user, const char *password, access_verify_fn done, void *arg,
                  struct err *e)
{
    const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, auth_realm_of(user));
    const char *hash = auth_password_hash(c->api->auth, user);
    struct verification *v = arena_alloc(&c->arena, sizeof(*v));
    bool is_pam = access_is_pam(c, user);

    if (!v)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *v = (struct verification){.call = c, .done = done, .arg = arg};
    if (!realm || !access_user(c, user))
        v->refusal = "no such user";
    else if (strlen(password) > (is_pam ? PAM_PASSWORD_MAX : PASSWORD_MAX))
        v->refusal = "password too long";
    else if (!is_pam && !streq(realm->type, "pve"))
        v->refusal = "realm of an unknown type";
    else if (!is_pam && !hash)
        v->refusal = "user has no password";
    if (v->refusal && strlen(password) > PAM_PASSWORD_MAX)
        password = "";
    if (is_pam)
        return verify_by_pam(c, v, user, password, e);
    return access_password(c, password, v->refusal ? NULL : hash, on_verified, v, e);
}

static void on_pam_changed(void *arg, int r, const struct worker_reply *a, const struct err *result)
{
    const struct verification *v = arg;

    if (r < 0)
        report_pam(result);
    v->done(v->call, r, v->arg, result);
}

int access_set_pam_password(struct api_call *c, const char *user, const char *password, access_verify_fn done,
                            void *arg, struct err *e)
{
    struct verification *v = arena_alloc(&c->arena, sizeof(*v));
    const char *name = account_of(c, user);
    struct worker_request q = {.verb = "set-password",
                               .args = {name},
                               .n_args = 1,
                               .secret = password,
                               .secret_len = strlen(password),
                               .timeout_ms = PAM_TIMEOUT_MS};

    if (!v || !name)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *v = (struct verification){.call = c, .done = done, .arg = arg};
    int r = password_gate_submit(c->api->pam_passwords, c, &q, on_pam_changed, v, e);
    return r < 0 ? r : API_LATER;
}

int access_refuse(struct api_call *c, const char *user, const char *reason, struct err *e)
{
    log_note("authentication failure; rhost=%s user=%.80s msg=%s", c->peer ? c->peer : "local", user, reason);
    c->delay_ms = access_limit_delay_ms(c);
    return err_set(e, -EACCES, "auth.failed", "authentication failure");
}

struct confirmation {
    access_verify_fn done;
    void *arg;
};

static void on_confirmed(struct api_call *c, int r, void *arg, const struct err *result)
{
    const struct confirmation *f = arg;
    struct err e = *result;

    if (r == -EACCES)
        r = access_refuse(c, c->who.user, result->text, &e);
    else if (r < 0)
        access_limit_undo(c, c->who.user);
    else
        access_limit_succeeded(c, c->who.user);
    f->done(c, r, f->arg, &e);
}

int access_confirm(struct api_call *c, const char *password, access_verify_fn done, void *arg, struct err *e)
{
    struct confirmation *f = arena_alloc(&c->arena, sizeof(*f));

    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *f = (struct confirmation){.done = done, .arg = arg};
    int r = access_limit_check(c, c->who.user, e);
    return r < 0 ? r : access_verify(c, c->who.user, password, on_confirmed, f, e);
}
