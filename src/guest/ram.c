/* See still.h: the memory of a running guest is written to a volume while it runs; for the last of it, and while its
 * disks go over to their overlays, it stands still. A guest that writes faster than the volume is stopped for the rest.
 * Loop thread, but for opening and syncing the volume. */
#include <event2/event.h>

#include "base/fp.h"
#include "guest/attach.h"
#include "guest/guest_priv.h"
#include "guest/still.h"
#include "task/pool.h"

#define LOOK_MS 100u
#define ROUNDS  2u /* times its memory: then it is stopped */

struct ram {
    struct guest_mgr *m;
    uint32_t vmid;
    struct task *task;
    char volume[VOLUME_ID_MAX + 1];
    int fd;
    struct still *still;
    struct event *timer;
    bool was_running, is_stopping, is_rest;
    guest_live_done_fn fn;
    void *arg;
    int r;
    struct err err;
};

static void look(struct ram *s);

int ram_new(struct guest_mgr *m, uint32_t vmid, struct task *t, const char *volume, struct ram **ret, struct err *e)
{
    struct ram *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *s = (struct ram){.m = m, .vmid = vmid, .task = t, .fd = -1};
    snprintf(s->volume, sizeof(s->volume), "%s", volume);
    int r = still_new(m, vmid, t, &s->still, e);
    if (r < 0) {
        ram_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void ram_free(struct ram *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    if (s->timer)
        event_free(s->timer);
    still_free(s->still);
    free(s);
}

static void done(struct ram *s, int r, const struct err *e)
{
    struct err copy = *e;

    s->fn(s->arg, r, &copy); /* may free s */
}

static void run(struct ram *s, enum engine_live what, guest_answer_fn fn)
{
    struct guest *g = guest_find(s->m, s->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct err e = ERR_INIT;
    struct engine_script script;

    if (!engine || !engine->live || !engine->saved) {
        fn(s, err_set(&e, -ESRCH, "guest.gone", "the guest has ended"), "", 0, false, &e);
        return;
    }
    struct engine_vm vm = {
        .vmid = g->vmid, .machine = g->machine, .config = g->config.items, .n_config = g->config.n, .ram_fd = s->fd};
    int r = engine->live(&vm, what, "", 0, &script, &e);
    if (r < 0) {
        fn(s, r, "", 0, false, &e);
        return;
    }
    guest_script(s->m, s->vmid, &script, fn, s);
    buf_done(&script.fields);
}

/* ---- begin ---- */

static void finished(struct ram *s, int r, const struct err *e);

/* What there was to wait for, or why it will not come. */
static void looked(struct ram *s, int r, const struct err *e)
{
    if (s->is_rest)
        finished(s, r, e);
    else
        done(s, r, e);
}

static void on_stopped(void *arg, int r, const struct err *e)
{
    look(arg);
}

static void on_state(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct ram *s = arg;
    struct guest *g = guest_find(s->m, s->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct timeval later = {.tv_usec = LOOK_MS * 1000};
    struct engine_save save = {0};
    struct err why = *e;

    if (r == 0)
        r = engine ? engine->saved(body, n, &save, &why) : err_set(&why, -ESRCH, "guest.gone", "the guest has ended");
    if (r == 0 && save.state == ENGINE_SAVE_FAILED)
        r = err_set(&why, -EIO, "guest.memory", "the guest's memory cannot be saved: %s", save.error);
    if (r < 0) {
        looked(s, r, &why);
        return;
    }
    if (s->task)
        task_progress(s->task, "memory", save.done_bytes, save.total_bytes);
    if (save.state == (s->is_rest ? ENGINE_SAVE_DONE : ENGINE_SAVE_STILL)) {
        looked(s, 0, &why);
    } else if (!s->is_stopping && !s->is_rest && save.total_bytes && save.done_bytes > ROUNDS * save.total_bytes) {
        s->is_stopping = true;
        still_pause(s->still, on_stopped, s);
    } else {
        evtimer_add(s->timer, &later);
    }
}

static void look(struct ram *s)
{
    run(s, ENGINE_SAVED, on_state);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    look(arg);
}

static void on_begun(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct ram *s = arg;

    if (r < 0)
        done(s, r, e);
    else
        look(s);
}

static void on_noted(void *arg, int r, const struct err *e)
{
    struct ram *s = arg;

    if (r < 0)
        done(s, r, e);
    else
        run(s, ENGINE_SAVE, on_begun);
}

static void open_volume(void *arg)
{
    struct ram *s = arg;
    struct volume_attachment a;

    s->r = attach_volume(s->m->env.storages, s->volume, false, &a, &s->err);
    if (s->r == 0)
        s->fd = a.fd;
}

static void opened(void *arg)
{
    struct ram *s = arg;
    struct err e = s->err;

    if (s->r < 0)
        done(s, s->r, &e);
    else
        still_note(s->still, on_noted, s);
}

void ram_begin(struct ram *s, guest_live_done_fn fn, void *arg)
{
    struct guest *g = guest_find(s->m, s->vmid);
    struct err e = ERR_INIT;

    s->fn = fn;
    s->arg = arg;
    s->was_running = g && g->state == GUEST_RUNNING;
    s->timer = evtimer_new(s->m->env.base, on_timer, s);
    if (!s->timer || pool_submit(s->m->env.pool, open_volume, opened, s, &e) < 0)
        done(s, s->timer ? e.num : err_set(&e, -ENOMEM, NULL, "out of memory"), &e);
}

/* ---- finish ---- */

static void on_awake(void *arg, int r, const struct err *e)
{
    struct ram *s = arg;
    struct err why = s->r < 0 ? s->err : *e;

    done(s, s->r < 0 ? s->r : r, &why);
}

static void on_resumed(void *arg, int r, const void *payload, size_t n, const struct err *e)
{
    struct ram *s = arg;

    if (r < 0 && r != -EPIPE && s->r == 0) {
        s->r = r;
        s->err = *e;
    }
    still_end(s->still, on_awake, s);
}

static void wake(struct ram *s)
{
    struct guest *g = guest_find(s->m, s->vmid);

    if (s->was_running && g && g->monitor)
        monitor_command(g->monitor, "resume", on_resumed, s);
    else
        still_end(s->still, on_awake, s);
}

static void sync_volume(void *arg)
{
    struct ram *s = arg;

    if (s->r == 0 && fsync(s->fd) < 0)
        s->r = err_errno(&s->err, errno, "write the guest's memory");
}

static void synced(void *arg)
{
    wake(arg);
}

static void finished(struct ram *s, int r, const struct err *e)
{
    struct err why = ERR_INIT;

    s->r = r;
    s->err = *e;
    (void)FP("guest.ram.saved"); /* for kill */
    if (pool_submit(s->m->env.pool, sync_volume, synced, s, &why) < 0) {
        s->r = why.num;
        s->err = why;
        wake(s);
    }
}

static void on_rest(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct ram *s = arg;

    if (r < 0)
        looked(s, r, e);
    else
        look(s);
}

static void on_cancelled(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    wake(arg);
}

void ram_finish(struct ram *s, bool is_cancelled, guest_live_done_fn fn, void *arg)
{
    s->fn = fn;
    s->arg = arg;
    s->r = 0;
    s->err = (struct err)ERR_INIT;
    if (is_cancelled) {
        run(s, ENGINE_SAVE_CANCEL, on_cancelled);
        return;
    }
    s->is_rest = true;
    run(s, ENGINE_SAVE_REST, on_rest);
}

/* ---- after adoption ---- */

struct settle {
    struct ram ram;
    guest_live_done_fn fn;
    void *arg;
};

static void on_settled(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct settle *t = arg;
    guest_live_done_fn fn = t->fn;
    void *fn_arg = t->arg;
    struct err none = ERR_INIT;

    free(t);
    fn(fn_arg, 0, &none); /* mostly there was nothing to cancel */
}

void ram_settle(struct guest_mgr *m, uint32_t vmid, guest_live_done_fn fn, void *arg)
{
    struct guest *g = guest_find(m, vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct settle *t = g && g->is_still && engine && engine->saved ? calloc(1, sizeof(*t)) : NULL;
    struct err none = ERR_INIT;

    if (!t) {
        fn(arg, 0, &none);
        return;
    }
    *t = (struct settle){.ram = {.m = m, .vmid = vmid, .fd = -1}, .fn = fn, .arg = arg};
    run(&t->ram, ENGINE_SAVE_CANCEL, on_settled);
}
