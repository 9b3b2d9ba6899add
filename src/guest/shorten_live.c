/* A running guest's hypervisor merges two images of a disk (ADR 6). Loop thread.
 *
 *     pool thread: open the two that are written -> the job -> look at it until both are the same
 *     the guest does not write to the upper one: it is done, the lower one has taken its place
 *     it does: hold the guest still -> tell the hypervisor to go over -> done
 *     -> a plan: the lower one's file gets the upper one's name, the record says so -> the guest goes on
 *
 * Until that plan is committed the upper image with the lower one below holds what the lower one holds alone, and a
 * guest that writes stands still: whoever finds the guest later may begin anew from either (images.c). A job that a
 * dead daemon left behind is given up first. */
#include "guest/shorten_priv.h"

#include <event2/event.h>
#include <sys/stat.h>

#include "base/fp.h"
#include "base/log.h"
#include "guest/attach.h"
#include "guest/guest_priv.h"
#include "image/lock.h"
#include "image/qcow2.h"
#include "task/pool.h"

#define LOOK_MS 200u

enum phase { RUNNING, PIVOTING, GIVING_UP };

struct live_merge {
    struct merge w;
    char user[160];
    struct chain chain;
    struct engine_disk disk;
    size_t index; /* of the upper image in the disk */
    char *options;
    struct qcow2_info above; /* its header says what the upper one is called */
    struct still *still;
    struct event *timer;
    enum phase phase;
    bool is_over; /* the hypervisor has gone over: the names are to follow */
    int r;
    struct err err;
};

static void look(struct live_merge *l);

static void done(struct live_merge *l)
{
    guest_live_done_fn fn = l->w.fn;
    void *arg = l->w.arg;
    struct err e = l->err;
    int r = l->r;

    engine_disk_done(&l->disk);
    chain_done(&l->chain);
    still_free(l->still);
    if (l->timer)
        event_free(l->timer);
    free(l->options);
    free(l);
    fn(arg, r, &e);
}

static void on_forgotten(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    done(arg);
}

static void on_awake(void *arg, int r, const struct err *e)
{
    struct live_merge *l = arg;
    struct err ignored = ERR_INIT;

    if (l->r < 0 ||
        guest_images_run(l->w.m, l->w.vmid, ENGINE_FORGET, &l->disk, 1, l->index, on_forgotten, l, &ignored) < 0)
        done(l);
}

static void wake(struct live_merge *l)
{
    if (l->still)
        still_end(l->still, on_awake, l);
    else
        done(l);
}

static void on_images(void *arg, int r, const struct err *e)
{
    struct live_merge *l = arg;

    if (r < 0)
        log_err(LOG_WARN, e, "guest %u: its images", l->w.vmid);
    wake(l);
}

/* What went wrong behind the pivot: back to the image of the record. */
static void fail(struct live_merge *l, int r, const struct err *e)
{
    if (l->r == 0) {
        l->r = r;
        l->err = *e;
    }
    if (l->is_over)
        guest_images_settle(l->w.m, l->w.vmid, NULL, NULL, on_images, l);
    else
        wake(l);
}

static void run(struct live_merge *l, enum engine_live what, guest_answer_fn fn)
{
    struct err e = ERR_INIT;
    int r = guest_images_run(l->w.m, l->w.vmid, what, &l->disk, 1, l->index, fn, l, &e);

    if (r < 0)
        fail(l, r, &e);
}

/* ---- the end ---- */

static void on_committed(void *arg, int r, const struct err *e)
{
    struct live_merge *l = arg;

    if (r < 0)
        fail(l, r, e);
    else
        wake(l);
}

static void commit(struct live_merge *l)
{
    json_t *steps = json_array();
    struct err why = ERR_INIT;

    if (json_array_append_new(steps, guest_step_volume_replace(&l->w.layer, l->w.child)) < 0) {
        json_decref(steps);
        steps = NULL;
    }
    if (merge_commit(&l->w, steps, on_committed, l, &why) < 0)
        fail(l, why.num, &why);
}

static void on_closed(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    (void)FP("guest.merge.over"); /* for kill: an error here would be a lie */
    commit(arg);
}

static void on_dismissed(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct live_merge *l = arg;

    if (l->r < 0 || r < 0)
        fail(l, r, e);
    else
        run(l, ENGINE_LEAVE, on_closed);
}

/* ---- the job ---- */

static void on_told(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct live_merge *l = arg;

    if (r < 0)
        fail(l, r, e);
    else
        look(l);
}

static void give_up(struct live_merge *l, int r, const struct err *e)
{
    l->r = r;
    l->err = *e;
    l->phase = GIVING_UP;
    run(l, ENGINE_CANCEL, on_told);
}

static void on_paused(void *arg, int r, const struct err *e)
{
    struct live_merge *l = arg;

    if (r < 0) {
        give_up(l, r, e);
        return;
    }
    (void)FP("guest.merge.still");
    l->phase = PIVOTING;
    run(l, ENGINE_PIVOT, on_told);
}

static void pivot(struct live_merge *l)
{
    struct err e = ERR_INIT;

    if (still_new(l->w.m, l->w.vmid, l->w.task, &l->still, &e) < 0)
        give_up(l, e.num, &e);
    else
        still_pause(l->still, on_paused, l);
}

static void concluded(struct live_merge *l, const struct engine_job *job)
{
    struct err e = ERR_INIT;

    if (job->error[0] && l->r == 0) {
        l->r = err_set(&e, -EIO, "image.merge", "the hypervisor cannot merge two images: %s", job->error);
        l->err = e;
    }
    l->is_over = l->r == 0;
    run(l, ENGINE_DISMISS, on_dismissed);
}

static void on_jobs(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct live_merge *l = arg;
    struct guest *g = guest_find(l->w.m, l->w.vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct timeval later = {.tv_usec = LOOK_MS * 1000};
    struct engine_job job = {0};
    struct err why = *e;

    if (r == 0)
        r = engine ? engine->job(body, n, l->disk.key, &job, &why) : err_set(&why, -ESRCH, NULL, "the guest has ended");
    if (r == 0 && job.state == ENGINE_JOB_NONE)
        r = err_set(&why, -EIO, "image.merge", "the hypervisor has forgotten that it merges two images");
    if (r < 0) {
        fail(l, r, &why);
        return;
    }
    if (l->w.task)
        task_progress(l->w.task, "merge", job.done_bytes, job.total_bytes);
    if (job.state == ENGINE_JOB_DONE)
        concluded(l, &job);
    else if (job.state == ENGINE_JOB_READY && l->phase == RUNNING)
        pivot(l);
    else
        evtimer_add(l->timer, &later);
}

static void look(struct live_merge *l)
{
    run(l, ENGINE_JOBS, on_jobs);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    look(arg);
}

/* ---- before it ---- */

/* Number i of the chain, 0 the image itself. */
static int open_image(struct storage *s, const struct chain *c, size_t i, bool is_read_only, int *ret_fd, struct err *e)
{
    struct volume_attachment a;
    int r = volume_open_on(s, i ? &c->below[i - 1] : &c->volume, i < c->n ? &c->below[i] : NULL, is_read_only, &a, e);

    if (r == 0)
        *ret_fd = a.fd;
    return r;
}

/* What the one above calls the upper one. */
static int read_name(struct live_merge *l, int fd, struct err *e)
{
    uint8_t head[QCOW2_HEADER_BYTES];
    struct stat st;
    ssize_t n = pread(fd, head, sizeof(head), 0);

    if (n < 0 || fstat(fd, &st) < 0)
        return err_errno(e, errno, "read the image's header");
    int r = qcow2_header_parse(head, (size_t)n, (uint64_t)st.st_size, &l->above, e);
    l->disk.below[l->index - 1].file = l->above.backing;
    return r;
}

/* The lower one, and the one above the upper, whose header is changed; descriptors beside the hypervisor's own. */
static int open_two(struct live_merge *l, struct storage *s, struct err *e)
{
    size_t i = l->index;
    int r = open_image(s, &l->chain, i + 1, false, &l->disk.below[i].fd, e);

    if (r == 0 && i == 0) /* the image from then on */
        return image_lock(l->disk.below[0].fd, true, e);
    if (r < 0)
        return r;
    r = open_image(s, &l->chain, i - 1, i == 1, i > 1 ? &l->disk.below[i - 2].fd : &l->disk.fd, e);
    return r < 0 ? r : read_name(l, i > 1 ? l->disk.below[i - 2].fd : l->disk.fd, e);
}

static void open_in_thread(void *arg)
{
    struct live_merge *l = arg;
    struct storage *s;

    l->r = storage_mgr_ref(l->w.m->env.storages, l->chain.volume.storage, &s, &l->err);
    if (l->r < 0)
        return;
    l->r = open_two(l, s, &l->err);
    storage_unref(s);
}

static void on_known(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct live_merge *l = arg;
    struct guest *g = guest_find(l->w.m, l->w.vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct err why = *e;

    if (!engine && r == 0)
        r = err_set(&why, -ESRCH, "guest.gone", "the guest has ended");
    enum engine_place place = ENGINE_PLACE_OPEN;
    if (r == 0)
        r = engine->has_image(body, n, l->disk.key, engine_disk_on(&l->disk, l->index), &place, &why);
    if (r < 0)
        fail(l, r, &why);
    else if (place == ENGINE_PLACE_NONE && l->index > 0)
        commit(l); /* for a daemon that died before it could say so */
    else
        run(l, ENGINE_MERGE, on_told);
}

static void opened(void *arg)
{
    struct live_merge *l = arg;

    if (l->r < 0)
        done(l);
    else
        run(l, ENGINE_IMAGES, on_known);
}

bool merge_is_live(const struct merge *w, const struct guest *g, const struct config_item **ret_drive,
                   size_t *ret_index)
{
    const struct engine *engine = engine_find(g->engine);
    const struct layers_row *row = layers_find(&g->layers, &w->layer);
    uint32_t at = row ? row->top : 0;
    struct engine_disk d;
    struct volume_id v;

    if (g->state == GUEST_STOPPED || !engine || !engine->job)
        return false;
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_item *it = &g->config.items[i];
        if (!launch_drive(it, &d) || !guest_drive_volume(it->value, &v) || !row || layers_find(&g->layers, &v) != row)
            continue;
        for (size_t index = 0; at; index++) {
            struct volume_id below;
            if (at == w->layer.layer) {
                *ret_drive = it;
                *ret_index = index;
                return true;
            }
            at = layers_below(row, at, &below) ? below.layer : 0;
        }
    }
    return false;
}

static int fill(struct live_merge *l, const struct guest *g, const struct config_item *drive, struct err *e)
{
    struct config_item it = {.key = drive->key};
    struct volume_id v = volume_layer(&l->w.layer, 0);

    l->options = strdup(drive->value);
    l->timer = evtimer_new(l->w.m->env.base, on_timer, l);
    if (!l->options || !l->timer)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    it.value = l->options;
    if (!launch_drive(&it, &l->disk))
        return err_set(e, -EINVAL, NULL, "no drive");
    int r = chain_of(l->w.m, g, &v, &l->chain, e);
    return r < 0 ? r : attach_names(&l->chain, &l->disk, e);
}

void merge_live(const struct merge *w, const struct config_item *drive, size_t index)
{
    struct live_merge *l = calloc(1, sizeof(*l));
    struct guest *g = guest_find(w->m, w->vmid);
    struct err e = ERR_INIT;

    if (!l || !g) {
        free(l);
        w->fn(w->arg, err_set(&e, -ENOMEM, NULL, "out of memory"), &e);
        return;
    }
    *l = (struct live_merge){.w = *w, .index = index, .disk = {.fd = -1}};
    snprintf(l->user, sizeof(l->user), "%s", w->user);
    l->w.user = l->user;
    l->r = fill(l, g, drive, &l->err);
    if (l->r < 0) {
        done(l);
    } else if (pool_submit(w->m->env.pool, open_in_thread, opened, l, &e) < 0) {
        l->r = e.num; /* else it is the thread's already */
        l->err = e;
        done(l);
    }
}
