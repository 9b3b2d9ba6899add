/* See still.h: disks of a running guest are copied by its hypervisor, which goes on copying what the guest writes
 * meanwhile. Loop thread, but for opening the volumes.
 *
 *     pool thread: open the volumes -> a job for each disk -> look at them until all are ready -> file systems quiet ->
 * CPUs still -> the jobs end, each copy is what its disk is -> the hypervisor closes the copies
 *
 * A job never takes the copy's place by itself: whoever wants a disk to go over has the record say so, and images.c do
 * it. */
#include <event2/event.h>

#include "base/fp.h"
#include "guest/attach.h"
#include "guest/guest_priv.h"
#include "guest/still.h"
#include "task/pool.h"

#define LOOK_MS     100u
#define LOG_PERCENT 10u

enum phase { COPYING, QUIETING, ENDING, GIVING_UP };

struct mirror {
    struct guest_mgr *m;
    uint32_t vmid;
    struct task *task;
    uint64_t bwlimit;
    bool is_quiet;
    struct config drives; /* what disks' options point into */
    struct chains chains;
    struct engine_disk disks[MIRROR_DISKS_MAX];
    struct volume_id to[MIRROR_DISKS_MAX];
    size_t n, at, n_begun;
    struct still *still;
    struct event *timer;
    enum phase phase;
    unsigned logged_percent;
    void (*next)(struct mirror *r);
    guest_live_done_fn fn;
    void *arg;
    int r;
    struct err err;
};

static void look(struct mirror *r);
static void give_up(struct mirror *r);

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    look(arg);
}

int mirror_new(struct guest_mgr *m, uint32_t vmid, struct task *t, uint64_t bwlimit, struct mirror **ret, struct err *e)
{
    struct mirror *r = calloc(1, sizeof(*r));
    struct guest *g;

    if (!r || !(r->timer = evtimer_new(m->env.base, on_timer, r))) {
        free(r);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    r->m = m;
    r->vmid = vmid;
    r->task = t;
    r->bwlimit = bwlimit;
    int error = guest_get(m, vmid, &g, e);
    if (error == 0)
        error = still_new(m, vmid, t, &r->still, e);
    if (error == 0 && config_copy(&g->config, &r->drives) < 0)
        error = err_set(e, -ENOMEM, NULL, "out of memory");
    if (error == 0)
        error = chains_of(m, g, &r->drives, &r->chains, e);
    if (error < 0) {
        mirror_free(r);
        return error;
    }
    *ret = r;
    return 0;
}

void mirror_free(struct mirror *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        engine_disk_done(&r->disks[i]);
    event_free(r->timer);
    still_free(r->still);
    chains_done(&r->chains);
    config_done(&r->drives);
    free(r);
}

int mirror_add(struct mirror *r, const char *key, const struct volume_id *to, struct err *e)
{
    struct guest *g = guest_find(r->m, r->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    const struct config_item it = {key, config_get(&r->drives, key)};
    struct engine_disk *d = &r->disks[r->n], copy = {.fd = -1};
    struct volume_id v;

    if (!engine || !engine->live || !engine->sweep) {
        err_set(e, -EOPNOTSUPP, "engine.live", "%s: the engine %s does not copy disks of a running guest", key,
                g ? g->engine : "");
        return err_hint(e, "shut VM %u down first", r->vmid);
    }
    if (r->n == MIRROR_DISKS_MAX)
        return err_set(e, -E2BIG, "guest.disks", "more than %u drives", MIRROR_DISKS_MAX);
    if (!it.value || !launch_drive(&it, d) || !d->origin[0] || !guest_drive_volume(it.value, &v))
        return err_set(e, -EOPNOTSUPP, "engine.live", "%s cannot be copied while the guest runs", key);
    launch_origin(to, &copy);
    if (streq(copy.origin, d->origin))
        return err_set(e, -EAGAIN, "volume.name", "%s: the volume '%s' cannot be told from the old one: try again", key,
                       to->name);
    int error = attach_names(chains_find(&r->chains, &v), d, e);
    r->to[r->n++] = *to;
    return error;
}

static void done(struct mirror *r)
{
    struct err e = r->err;

    r->fn(r->arg, r->r, &e); /* may free r */
}

static void note_error(struct mirror *r, int error, const struct err *e)
{
    if (r->r == 0) {
        r->r = error;
        r->err = *e;
    }
}

/* False: the error is noted. */
static bool run(struct mirror *r, enum engine_live what, size_t first, size_t n, guest_answer_fn fn)
{
    struct err e = ERR_INIT;
    int error =
        guest_images_run(r->m, r->vmid, what, &r->disks[first], n, what == ENGINE_COPY ? r->bwlimit : 0, fn, r, &e);

    if (error < 0)
        note_error(r, error, &e);
    return error == 0;
}

/* ---- the end ---- */

static void on_awake(void *arg, int error, const struct err *e)
{
    done(arg); /* with the error that is noted */
}

static void drop_next(struct mirror *r);

static void on_dropped(void *arg, int error, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct mirror *r = arg;

    r->at++;
    drop_next(r);
}

/* The hypervisor closes the copies. Then: the guest stands still and they are whole, or it goes on. */
static void drop_next(struct mirror *r)
{
    if (r->at < r->n_begun && run(r, ENGINE_COPY_DROP, r->at, 1, on_dropped))
        return;
    for (size_t i = 0; i < r->n; i++)
        engine_disk_done(&r->disks[i]);
    if (r->r < 0) {
        still_end(r->still, on_awake, r);
        return;
    }
    (void)FP("guest.mirror.same"); /* for kill: an error here would be a lie */
    done(r);
}

static void drop(struct mirror *r)
{
    r->at = 0;
    drop_next(r);
}

static void cancel_next(struct mirror *r);

static void on_cancelled(void *arg, int error, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct mirror *r = arg;

    r->at++;
    cancel_next(r);
}

static void cancel_next(struct mirror *r)
{
    if (r->at < r->n_begun && run(r, ENGINE_CANCEL, r->at, 1, on_cancelled))
        return;
    look(r);
}

/* With the error that is noted: the jobs are ended, and waited for. */
static void give_up(struct mirror *r)
{
    r->phase = GIVING_UP;
    r->at = 0;
    cancel_next(r);
}

/* ---- the guest stands still ---- */

static void end_next(struct mirror *r);

static void on_ended(void *arg, int error, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct mirror *r = arg;

    if (error < 0) {
        note_error(r, error, e);
        give_up(r);
        return;
    }
    r->at++;
    end_next(r);
}

static void end_next(struct mirror *r)
{
    if (r->at == r->n)
        look(r);
    else if (!run(r, ENGINE_COPY_END, r->at, 1, on_ended))
        give_up(r);
}

static void on_paused(void *arg, int error, const struct err *e)
{
    struct mirror *r = arg;

    if (error < 0) {
        note_error(r, error, e);
        give_up(r);
        return;
    }
    (void)FP("guest.mirror.still");
    r->phase = ENDING;
    r->at = 0;
    end_next(r);
}

static void on_quiet(void *arg, int error, const struct err *e)
{
    struct mirror *r = arg;

    if (error < 0) {
        note_error(r, error, e);
        give_up(r);
        return;
    }
    still_pause(r->still, on_paused, r);
}

static void ready(struct mirror *r)
{
    (void)FP("guest.mirror.ready");
    r->phase = QUIETING;
    if (r->is_quiet)
        still_quiet(r->still, on_quiet, r);
    else
        on_quiet(r, 0, &r->err);
}

/* ---- the jobs ---- */

static void show(struct mirror *r, uint64_t done_bytes, uint64_t total_bytes)
{
    unsigned percent = total_bytes ? (unsigned)((double)done_bytes / (double)total_bytes * 100) : 0;

    if (!r->task || r->phase != COPYING)
        return;
    task_progress(r->task, "mirror", done_bytes, total_bytes);
    if (percent < r->logged_percent + LOG_PERCENT)
        return;
    r->logged_percent = percent;
    task_log(r->task, "mirror: transferred %llu MiB of %llu MiB (%u%%)", (unsigned long long)(done_bytes >> 20),
             (unsigned long long)(total_bytes >> 20), percent);
}

struct tally {
    size_t n_ready, n_done, n_none;
    uint64_t done_bytes, total_bytes;
};

static int count(struct mirror *r, const struct engine *engine, const char *answer, size_t n, struct tally *t,
                 struct err *e)
{
    for (size_t i = 0; i < r->n_begun; i++) {
        struct engine_job job;
        if (engine->job(answer, n, r->disks[i].key, &job, e) < 0)
            return e->num;
        t->n_ready += job.state == ENGINE_JOB_READY;
        t->n_done += job.state == ENGINE_JOB_DONE;
        t->n_none += job.state == ENGINE_JOB_NONE;
        t->done_bytes += job.done_bytes;
        t->total_bytes += job.total_bytes;
        if (job.state == ENGINE_JOB_DONE && r->phase != GIVING_UP && (job.error[0] || r->phase != ENDING))
            return err_set(e, -EIO, "image.copy", "%s: the hypervisor cannot copy the disk: %s", r->disks[i].key,
                           job.error[0] ? job.error : "its job has ended");
    }
    if (t->n_none && r->phase != GIVING_UP)
        return err_set(e, -EIO, "image.copy", "the hypervisor has forgotten that it copies a disk");
    return 0;
}

static void on_jobs(void *arg, int error, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct mirror *r = arg;
    struct guest *g = guest_find(r->m, r->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct timeval later = {.tv_usec = LOOK_MS * 1000};
    struct err why = *e;
    struct tally t = {0};

    if (error == 0 && !engine)
        error = err_set(&why, -ESRCH, "guest.gone", "the guest has ended");
    if (error == 0)
        error = count(r, engine, body, n, &t, &why);
    if (error == 0 && r->task && task_is_cancelled(r->task) && r->phase == COPYING)
        error = err_set(&why, -ECANCELED, "task.aborted", "%s", task_abort_reason(r->task));
    if (error < 0) {
        note_error(r, error, &why);
        if (r->phase == GIVING_UP)
            drop(r); /* nobody is there to be asked */
        else
            give_up(r);
        return;
    }
    show(r, t.done_bytes, t.total_bytes);
    if (r->phase == COPYING && t.n_ready == r->n)
        ready(r);
    else if (r->phase != COPYING && t.n_done + t.n_none == r->n_begun)
        drop(r);
    else
        evtimer_add(r->timer, &later);
}

static void look(struct mirror *r)
{
    if (!run(r, ENGINE_JOBS, 0, 0, on_jobs))
        drop(r);
}

static void copy_next(struct mirror *r);

static void on_begun(void *arg, int error, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct mirror *r = arg;

    if (error < 0) {
        note_error(r, error, e);
        give_up(r); /* this one has taken itself back */
        return;
    }
    r->n_begun++;
    copy_next(r);
}

static void copy_next(struct mirror *r)
{
    if (r->n_begun == r->n)
        look(r);
    else if (!run(r, ENGINE_COPY, r->n_begun, 1, on_begun))
        give_up(r);
}

/* ---- before them ---- */

/* Without its lock, which would stay with descriptors: nobody else knows the volume yet. */
static int open_volume(struct mirror *r, size_t i, struct err *e)
{
    char id[VOLUME_ID_MAX + 1];
    struct volume_attachment a;

    volume_id_format(&r->to[i], id, sizeof(id));
    int error = attach_volume(r->m->env.storages, id, false, &a, e);
    if (error < 0)
        return err_wrap(e, error, "%s", r->disks[i].key);
    r->disks[i].fd = a.fd;
    r->disks[i].is_qcow2 = a.format == VOLUME_QCOW2;
    r->disks[i].size_bytes = a.size_bytes;
    return 0;
}

static void open_in_thread(void *arg)
{
    struct mirror *r = arg;

    for (size_t i = 0; r->r == 0 && i < r->n; i++)
        r->r = open_volume(r, i, &r->err);
}

static void opened(void *arg)
{
    struct mirror *r = arg;

    if (r->r < 0)
        done(r);
    else
        copy_next(r);
}

void mirror_begin(struct mirror *r, bool is_quiet, guest_live_done_fn fn, void *arg)
{
    r->is_quiet = is_quiet;
    r->fn = fn;
    r->arg = arg;
    if (pool_submit(r->m->env.pool, open_in_thread, opened, r, &r->err) < 0) {
        r->r = r->err.num;
        done(r);
    }
}

/* ---- it goes on ---- */

static void close_next(struct mirror *r);

static void on_closed(void *arg, int error, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct mirror *r = arg;

    r->at++;
    close_next(r);
}

/* Once more: the hypervisor kept their descriptors while the guest stood still. */
static void close_next(struct mirror *r)
{
    if (r->at == r->n_begun || !run(r, ENGINE_COPY_DROP, r->at, 1, on_closed))
        done(r);
}

static void on_awake_again(void *arg, int error, const struct err *e)
{
    struct mirror *r = arg;

    r->r = error;
    r->err = *e;
    r->at = 0;
    close_next(r);
}

void mirror_end(struct mirror *r, guest_live_done_fn fn, void *arg)
{
    r->fn = fn;
    r->arg = arg;
    still_end(r->still, on_awake_again, r);
}
