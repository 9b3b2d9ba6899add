/* The second step of a login (PVE: pve-access-control, authenticate_2nd_new). An answer is judged by a copy of the
 * user's record, and what follows (a used step, a used code, one more failure) is committed under the condition that
 * the record is still the one that was judged; only after that the caller learns the verdict. So of two logins with one
 * code one loses and is judged again, now by a record in which the code is used, and guesses cannot be made side by
 * side without being counted. Called by access_ticket.c. Loop thread. */
#include "api/access_second.h"

#include "base/fp.h"
#include "base/log.h"

/* How often an answer is judged again because another one came in between. Then it is refused, whatever it was. */
#define ATTEMPTS_MAX 64u

int access_second_ask(struct api_call *c, const char *user, struct err *e)
{
    char challenge[AUTH_CHALLENGE_CAP];
    int r = auth_challenge_make(c->api->auth, user, challenge, e);

    if (r < 0)
        return r;
    c->audit.is_half_login = true;
    jw_object(&c->out);
    jw_kv_str(&c->out, "ticket", challenge);
    jw_kv_str(&c->out, "username", user);
    jw_kv_int(&c->out, "NeedTFA", 1);
    jw_object_end(&c->out);
    return 0;
}

struct answer {
    struct api_call *call;
    const char *user, *text;
    access_second_fn done;
    void *arg;
    unsigned attempts;
    const char *why; /* NULL: it is right */
};

static void finish(const struct answer *a, int r, const struct err *e)
{
    a->done(a->call, r, a->arg, e);
}

static void refuse(const struct answer *a, const char *why)
{
    struct err e = ERR_INIT;

    finish(a, err_set(&e, -EACCES, "auth.failed", "%s", why), &e);
}

static void attempt(struct answer *a);

static void on_committed(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct answer *a = arg;

    if (r == -EAGAIN && a->attempts < ATTEMPTS_MAX) {
        attempt(a);
    } else if (r == -EAGAIN) {
        refuse(a, "too many answers at once");
    } else if (r < 0) {
        finish(a, r, e);
    } else if (a->why) {
        refuse(a, a->why);
    } else {
        (void)FP("access.second.used"); /* used for good, and nobody has a ticket for it yet */
        finish(a, 0, e);
    }
}

static void attempt(struct answer *a)
{
    struct auth *auth = a->call->api->auth;
    const struct auth_tfa *now = auth_tfa_of(auth, a->user);

    if (!now) { /* gone since the question was asked: nothing is left that could be answered */
        refuse(a, "no second factors");
        return;
    }
    struct auth_tfa next = *now;
    enum auth_tfa_verdict verdict = auth_tfa_answer(&next, a->text, &a->why);
    if (verdict == AUTH_TFA_REFUSED) {
        refuse(a, a->why);
        return;
    }
    struct state_txn *t = state_txn_new();
    if (t) {
        auth_txn_expect(t, AUTH_TFA, a->user, now->item.revision);
        auth_txn_tfa(t, a->user, &next);
    }
    mem_wipe(&next, sizeof(next));
    a->attempts++;
    state_commit(a->call->api->state, t, on_committed, a);
}

int access_second_answer(struct api_call *c, const char *user, const char *answer, access_second_fn done, void *arg)
{
    struct answer *a = arena_alloc(&c->arena, sizeof(*a));
    struct err e = ERR_INIT;

    if (!a) {
        done(c, err_set(&e, -ENOMEM, NULL, "out of memory"), arg, &e);
        return API_LATER;
    }
    *a = (struct answer){.call = c, .user = user, .text = answer, .done = done, .arg = arg};
    attempt(a);
    return API_LATER;
}

int access_second_otp(struct api_call *c, const char *user, const char *otp, access_second_fn done, void *arg)
{
    bool has_kind = str_starts(otp, "totp:") || str_starts(otp, "recovery:");
    const char *answer = has_kind ? otp : arena_printf(&c->arena, "totp:%s", otp);
    struct err e = ERR_INIT;

    if (answer)
        return access_second_answer(c, user, answer, done, arg);
    done(c, err_set(&e, -ENOMEM, NULL, "out of memory"), arg, &e);
    return API_LATER;
}

void access_second_write_lock(struct jw *w, const struct auth_tfa *t)
{
    if (t && t->is_totp_locked)
        jw_kv_int(w, "totp-locked", 1);
    if (t && auth_tfa_is_locked(t))
        jw_kv_int(w, "tfa-locked-until", t->locked_until);
}
