/* Holding a guest still: its agent freezes the file systems, the hypervisor stops its CPUs. Both have an end that must
 * not be forgotten: while the CPUs stand still the state has a row local/still/ID, and an adopted guest that has one is
 * woken (still_settle). Loop thread. */
#include "base/log.h"
#include "guest/guest_priv.h"
#include "guest/still.h"

#define PING_MS   3000u
#define FREEZE_MS 60000u
#define THAW_MS   10000u /* it comes at once or, from an agent that is stuck, never */

struct still {
    struct guest_mgr *m;
    uint32_t vmid;
    struct task *task;
    bool is_noted, is_frozen, is_paused;
    void (*next)(struct still *s);
    guest_live_done_fn fn;
    void *arg;
    int r; /* of what is being ended or begun */
    struct err err;
};

int still_new(struct guest_mgr *m, uint32_t vmid, struct task *t, struct still **ret, struct err *e)
{
    struct still *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *s = (struct still){.m = m, .vmid = vmid, .task = t};
    *ret = s;
    return 0;
}

void still_free(struct still *s)
{
    free(s);
}

static void begin(struct still *s, guest_live_done_fn fn, void *arg)
{
    s->fn = fn;
    s->arg = arg;
    s->r = 0;
    s->err = (struct err)ERR_INIT;
}

static void done(struct still *s)
{
    struct err e = s->err;

    if (s->fn)
        s->fn(s->arg, s->r, &e); /* may free s */
}

static void warn(struct still *s, const char *what, const struct err *e)
{
    if (s->task)
        task_warn(s->task, "%s: %s", what, e->text);
    else
        log_info("guest %u: %s: %s", s->vmid, what, e->text);
}

/* ---- the note ---- */

static void note_key(const struct still *s, char dst[32])
{
    snprintf(dst, 32, STILL_KEY "%u", s->vmid);
}

static void on_noted(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct still *s = arg;

    s->is_noted = r == 0;
    s->r = r;
    s->err = *e;
    s->next(s);
}

/* Then next, which looks at s->r. */
static void note(struct still *s, void (*next)(struct still *s))
{
    struct state_txn *t;
    char key[32];

    s->next = next;
    if (s->is_noted) {
        next(s);
        return;
    }
    t = state_txn_new();
    note_key(s, key);
    if (t)
        state_txn_put(t, key, "{}");
    state_commit(s->m->env.state, t, on_noted, s);
}

/* ---- file systems ---- */

static void on_frozen(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct still *s = arg;

    /* An agent that refused may have frozen some. */
    s->is_frozen = true;
    if (r < 0)
        warn(s, "the guest's agent does not freeze its file systems", e);
    else if (s->task)
        task_log(s->task, "the file systems are frozen by the guest's agent");
    done(s);
}

static void freeze(struct still *s)
{
    struct err e = ERR_INIT;

    if (s->r < 0 || guest_agent(s->m, s->vmid, "guest-fsfreeze-freeze", NULL, "json", FREEZE_MS, on_frozen, s, &e) < 0)
        done(s);
}

static void on_pinged(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct still *s = arg;

    if (r == 0) {
        note(s, freeze);
        return;
    }
    warn(s, "the guest's agent does not answer: its file systems are not frozen", e);
    done(s);
}

void still_quiet(struct still *s, guest_live_done_fn fn, void *arg)
{
    struct guest *g = guest_find(s->m, s->vmid);
    struct err e = ERR_INIT;

    begin(s, fn, arg);
    if (!g || g->state != GUEST_RUNNING || !guest_has_agent(g) ||
        guest_agent(s->m, s->vmid, "guest-ping", NULL, "json", PING_MS, on_pinged, s, &e) < 0)
        done(s);
}

/* ---- CPUs ---- */

static void on_paused(void *arg, int r, const void *payload, size_t n, const struct err *e)
{
    struct still *s = arg;

    s->is_paused = r == 0;
    s->r = r;
    s->err = *e;
    done(s);
}

static void pause_now(struct still *s)
{
    struct guest *g = guest_find(s->m, s->vmid);

    if (s->r < 0 || !g || !g->monitor)
        done(s);
    else
        monitor_command(g->monitor, "pause", on_paused, s);
}

void still_pause(struct still *s, guest_live_done_fn fn, void *arg)
{
    struct guest *g = guest_find(s->m, s->vmid);

    begin(s, fn, arg);
    if (g && g->state == GUEST_RUNNING)
        note(s, pause_now);
    else
        done(s);
}

void still_note(struct still *s, guest_live_done_fn fn, void *arg)
{
    begin(s, fn, arg);
    note(s, done);
}

/* ---- the end ---- */

static void on_forgotten(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct still *s = arg;

    if (r < 0)
        warn(s, "the note that the guest stands still stays until the next start of the daemon", e);
    done(s);
}

static void forget(struct still *s)
{
    struct state_txn *t = s->is_noted ? state_txn_new() : NULL;
    char key[32];

    if (!s->is_noted) {
        done(s);
        return;
    }
    s->is_noted = false;
    note_key(s, key);
    if (t)
        state_txn_delete(t, key);
    state_commit(s->m->env.state, t, on_forgotten, s);
}

static void on_thawed(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct still *s = arg;

    if (r < 0)
        warn(s, "the guest's agent does not thaw its file systems", e);
    else if (s->task)
        task_log(s->task, "and thawed");
    forget(s);
}

static void thaw(struct still *s)
{
    struct err e = ERR_INIT;

    if (!s->is_frozen) {
        forget(s);
        return;
    }
    s->is_frozen = false;
    if (guest_agent(s->m, s->vmid, "guest-fsfreeze-thaw", NULL, "json", THAW_MS, on_thawed, s, &e) < 0)
        on_thawed(s, e.num, NULL, 0, true, &e);
}

static void on_resumed(void *arg, int r, const void *payload, size_t n, const struct err *e)
{
    struct still *s = arg;

    if (r < 0 && r != -EPIPE) {
        s->r = r;
        s->err = *e;
        warn(s, "the guest does not go on", e);
    }
    thaw(s);
}

void still_end(struct still *s, guest_live_done_fn fn, void *arg)
{
    struct guest *g = guest_find(s->m, s->vmid);

    begin(s, fn, arg);
    if (!s->is_paused || !g || !g->monitor) {
        thaw(s);
        return;
    }
    s->is_paused = false;
    monitor_command(g->monitor, "resume", on_resumed, s);
}

/* ---- after adoption ---- */

struct settling {
    struct still *still;
    guest_live_done_fn fn;
    void *arg;
};

static void on_settled(void *arg, int r, const struct err *e)
{
    struct settling s = *(struct settling *)arg;

    free(arg);
    still_free(s.still);
    s.fn(s.arg, r, e);
}

void still_settle(struct guest_mgr *m, uint32_t vmid, guest_live_done_fn fn, void *arg)
{
    struct guest *g = guest_find(m, vmid);
    struct settling *settling = calloc(1, sizeof(*settling));
    struct err e = ERR_INIT;
    struct still *s;

    if (!settling || !g || !g->is_still || still_new(m, vmid, NULL, &s, &e) < 0) {
        free(settling);
        fn(arg, 0, &e);
        return;
    }
    log_info("guest %u: was held still when the daemon ended; it goes on", vmid);
    s->is_noted = true;
    s->is_paused = g->state == GUEST_PAUSED;
    s->is_frozen = guest_has_agent(g);
    *settling = (struct settling){s, fn, arg};
    still_end(s, on_settled, settling);
}
