/* Passwords: hashed and compared for realms of type pve by a worker, and verified for a user of any realm. What is
 * asked here is answered later on the loop; nothing of it blocks. Called by the login, by what a password confirms, and
 * by what sets one. Whether a user may do something is not decided here. Loop thread. */
#include "api/access_common.h"
#include "task/workers.h"

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
    free(j);
}

int access_password(struct api_call *c, const char *password, const char *hash, access_password_fn done, void *arg,
                    struct err *e)
{
    struct password_job *j = calloc(1, sizeof(*j));
    struct worker_request q = {.verb = hash ? "argon2id-verify" : "argon2id-hash",
                               .args = {hash},
                               .n_args = hash ? 1 : 0,
                               .secret = password,
                               .secret_len = strlen(password)};

    if (!j)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *j = (struct password_job){.call = c, .done = done, .arg = arg};
    int r = workers_call(c->api->workers, &q, on_password, j, e);
    if (r < 0) {
        free(j);
        return r;
    }
    return API_LATER;
}

struct verification {
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

int access_verify(struct api_call *c, const char *user, const char *password, access_verify_fn done, void *arg,
                  struct err *e)
{
    const struct auth_realm *realm = auth_find(c->api->auth, AUTH_REALM, auth_realm_of(user));
    const char *hash = auth_password_hash(c->api->auth, user);
    struct verification *v = arena_alloc(&c->arena, sizeof(*v));

    if (!v)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *v = (struct verification){.done = done, .arg = arg};
    if (!realm || !access_user(c, user))
        v->refusal = "no such user";
    else if (!streq(realm->type, "pve"))
        v->refusal =
            "this realm cannot verify passwords in this version: use an API token, or the holm command as root";
    else if (!hash)
        v->refusal = "user has no password";
    return access_password(c, password, v->refusal ? NULL : hash, on_verified, v, e);
}
