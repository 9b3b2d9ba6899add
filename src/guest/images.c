/* The images of a running guest, brought in line with its record: a disk whose record says that it stands on a new
 * layer has an overlay beside the file that its hypervisor still writes to (ADR 6), and goes over to it here. Which
 * disks these are is found by asking, so that it does not matter who made the overlays, or when.
 *
 *     end jobs of a dead daemon -> close overlays that wait for nobody -> ask which images are open -> pool thread:
 * open the overlays -> a script for each -> quiet -> all go over -> wake
 *
 * What fails leaves every disk where it was. Loop thread. */
#include <event2/event.h>

#include "base/fp.h"
#include "base/log.h"
#include "guest/attach.h"
#include "guest/guest_priv.h"
#include "guest/still.h"
#include "task/pool.h"

#define JOB_LOOK_MS 100u

struct images {
    struct guest_mgr *m;
    uint32_t vmid;
    struct still *still;  /* NULL: nobody is held still for it */
    struct ram *ram;      /* whose end comes with it; NULL: none */
    struct config drives; /* what disks' options point into */
    struct chains chains;
    struct engine_disk *disks; /* those that have layers; then those that go over */
    size_t n_disks, at;
    struct event *timer;
    bool is_over;
    guest_live_done_fn fn;
    void *arg;
    int r;
    struct err err;
};

static void end_images(struct images *im)
{
    guest_live_done_fn fn = im->fn;
    void *arg = im->arg;
    struct err e = im->err;
    int r = im->r;

    for (size_t i = 0; i < im->n_disks; i++)
        engine_disk_done(&im->disks[i]);
    free(im->disks);
    if (im->timer)
        event_free(im->timer);
    chains_done(&im->chains);
    config_done(&im->drives);
    still_free(im->still);
    free(im);
    fn(arg, r, &e);
}

static void fail(struct images *im, int r, const struct err *e)
{
    im->r = r;
    im->err = *e;
}

/* Runs the engine's script for one disk, or all; false: im has the error. */
static bool run(struct images *im, enum engine_live what, size_t first, size_t n, guest_answer_fn fn)
{
    struct guest *g = guest_find(im->m, im->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct err e = ERR_INIT;
    struct engine_script s;

    if (!engine || !engine->live) {
        fail(im, err_set(&e, -ESRCH, "guest.gone", "the guest has ended"), &e);
        return false;
    }
    struct engine_vm vm = {.vmid = g->vmid,
                           .machine = g->machine,
                           .config = g->config.items,
                           .n_config = g->config.n,
                           .disks = im->disks ? &im->disks[first] : NULL,
                           .n_disks = n};
    int r = engine->live(&vm, what, n ? vm.disks[0].key : "", 0, &s, &e);
    if (r < 0) {
        fail(im, r, &e);
        return false;
    }
    guest_script(im->m, im->vmid, &s, fn, im);
    buf_done(&s.fields);
    return true;
}

/* ---- back ---- */

static void leave(struct images *im);

static void on_left(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    leave(arg);
}

/* Overlays that were opened and not gone over to, the last first; the result is the caller's to set. */
static void leave(struct images *im)
{
    struct err why = im->err;
    int r = im->r;

    while (im->at > 0) {
        if (run(im, ENGINE_LEAVE, --im->at, 1, on_left))
            return;
        fail(im, r, &why);
    }
    end_images(im);
}

/* ---- over ---- */

static void on_awake(void *arg, int r, const struct err *e)
{
    struct images *im = arg;

    if (im->r < 0 && !im->is_over)
        leave(im);
    else
        end_images(im);
}

static void on_saved(void *arg, int r, const struct err *e)
{
    struct images *im = arg;

    if (r < 0 && im->r == 0) {
        im->r = err_set(&im->err, r, SNAPSHOT_WITHOUT_MEMORY, "the snapshot has the disks, but no memory: %s", e->text);
        im->is_over = true;
    }
    on_awake(im, 0, e);
}

static void wake(struct images *im)
{
    if (im->ram)
        ram_finish(im->ram, im->r < 0, on_saved, im);
    else if (im->still)
        still_end(im->still, on_awake, im);
    else
        on_awake(im, 0, &im->err);
}

static void on_switched(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;

    (void)FP("guest.images.switched"); /* for kill: an error here would be a lie */
    im->is_over = r == 0;
    if (r < 0)
        fail(im, r, e);
    wake(im);
}

static void on_quiet(void *arg, int r, const struct err *e)
{
    struct images *im = arg;

    if (r < 0) {
        fail(im, r, e);
        wake(im);
        return;
    }
    if (!im->n_disks) {
        wake(im);
        return;
    }
    if (FP("guest.images.switch")) {
        fail(im, err_set(&im->err, -EIO, NULL, "fail point"), &im->err);
        wake(im);
        return;
    }
    if (!run(im, ENGINE_SWITCH, 0, im->n_disks, on_switched))
        wake(im);
}

static void next_overlay(struct images *im);

static void on_overlay(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;

    if (r < 0) {
        fail(im, r, e);
        leave(im); /* this one has taken itself back */
        return;
    }
    im->at++;
    next_overlay(im);
}

static void next_overlay(struct images *im)
{
    if (im->at < im->n_disks) {
        if (!run(im, ENGINE_OVERLAY, im->at, 1, on_overlay))
            leave(im);
    } else if (im->ram) {
        ram_begin(im->ram, on_quiet, im);
    } else if (im->still) {
        still_quiet(im->still, on_quiet, im);
    } else {
        on_quiet(im, 0, &im->err);
    }
}

/* ---- which ---- */

static void open_all(void *arg)
{
    struct images *im = arg;

    for (size_t i = 0; im->r == 0 && i < im->n_disks; i++) {
        struct volume_id v;
        const struct chain *c = guest_drive_volume(im->disks[i].options, &v) ? chains_find(&im->chains, &v) : NULL;
        im->r = c ? attach_overlay(im->m->env.storages, c, &im->disks[i], &im->err) : 0;
        if (im->r < 0)
            err_wrap(&im->err, im->r, "%s", im->disks[i].key);
    }
}

static void opened(void *arg)
{
    struct images *im = arg;

    if (im->r < 0)
        end_images(im);
    else
        next_overlay(im);
}

/* One disk: on its image already, to go over, or neither, which is a chain that we did not make. */
static int look_at(const struct engine *engine, const struct engine_disk *d, const char *answer, size_t n,
                   bool *ret_is_due, struct err *e)
{
    bool own = false, below = false;
    int r = engine->has_image(answer, n, d->key, engine_disk_on(d, 0), &own, e);

    if (r == 0)
        r = engine->has_image(answer, n, d->key, engine_disk_on(d, 1), &below, e);
    if (r == 0 && !own && !below)
        r = err_set(e, -EINVAL, "image.chain", "%s: the guest runs on other images than its record names", d->key);
    *ret_is_due = !own;
    return r;
}

static void on_images(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;
    struct guest *g = guest_find(im->m, im->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    size_t n_due = 0;
    struct err why = *e;

    for (size_t i = 0; r == 0 && engine && i < im->n_disks; i++) {
        bool is_due = false;
        r = look_at(engine, &im->disks[i], body, n, &is_due, &why);
        if (is_due) {
            struct engine_disk d = im->disks[i];
            im->disks[i] = im->disks[n_due];
            im->disks[n_due++] = d;
        }
    }
    while (im->n_disks > n_due)
        engine_disk_done(&im->disks[--im->n_disks]);
    im->at = 0;
    if (r == 0 && n_due)
        r = pool_submit(im->m->env.pool, open_all, opened, im, &why);
    else if (r == 0 && im->ram)
        next_overlay(im);
    else if (r == 0)
        end_images(im);
    if (r < 0) {
        fail(im, r, &why);
        end_images(im);
    }
}

static void close_next(struct images *im);

static void on_closed(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;

    im->at++;
    close_next(im);
}

/* One that the last daemon opened, and died before it took over; those in use refuse. */
static void close_next(struct images *im)
{
    if (im->at < im->n_disks ? !run(im, ENGINE_LEAVE, im->at, 1, on_closed) : !run(im, ENGINE_IMAGES, 0, 0, on_images))
        end_images(im);
}

/* ---- jobs that nobody looks at any more (shorten_live.c) ---- */

static void ask_jobs(struct images *im);

static void on_job_told(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;
    struct timeval later = {.tv_usec = JOB_LOOK_MS * 1000};

    evtimer_add(im->timer, &later);
}

static void on_job_timer(evutil_socket_t fd, short what, void *arg)
{
    ask_jobs(arg);
}

static void on_jobs(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;
    struct guest *g = guest_find(im->m, im->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct engine_job job = {0};
    struct err why = *e;
    size_t i = 0;

    for (; r == 0 && engine && i < im->n_disks; i++) {
        r = engine->job(body, n, im->disks[i].key, &job, &why);
        if (job.state != ENGINE_JOB_NONE)
            break;
    }
    if (r < 0) {
        fail(im, r, &why);
        end_images(im);
    } else if (job.state == ENGINE_JOB_NONE) {
        close_next(im);
    } else if (!run(im, job.state == ENGINE_JOB_DONE ? ENGINE_DISMISS : ENGINE_CANCEL, i, 1, on_job_told)) {
        end_images(im);
    }
}

static void ask_jobs(struct images *im)
{
    if (!run(im, ENGINE_JOBS, 0, 0, on_jobs))
        end_images(im);
}

static int add_drives(struct images *im, struct err *e)
{
    int r = 0;

    im->disks = calloc(im->chains.n ? im->chains.n : 1, sizeof(*im->disks));
    if (!im->disks)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; r == 0 && i < im->drives.n; i++) {
        const struct config_item *it = &im->drives.items[i];
        struct engine_disk *d = &im->disks[im->n_disks];
        struct volume_id v;
        const struct chain *c = guest_drive_volume(it->value, &v) ? chains_find(&im->chains, &v) : NULL;
        if (c && im->n_disks < im->chains.n && launch_drive(it, d)) {
            im->n_disks++;
            r = attach_names(c, d, e);
        }
    }
    return r;
}

static bool is_up(const struct guest *g)
{
    return g->state == GUEST_RUNNING || g->state == GUEST_PAUSED;
}

int guest_images_check(const struct guest *g, struct err *e)
{
    const struct engine *engine = engine_find(g->engine);

    if (engine && engine->live && engine->has_image)
        return 0;
    return err_set(e, -EOPNOTSUPP, "engine.live", "the engine %s keeps the qcow2 images of a running guest as they are",
                   g->engine);
}

void guest_images_settle(struct guest_mgr *m, uint32_t vmid, struct task *quiet, struct ram *ram, guest_live_done_fn fn,
                         void *arg)
{
    struct guest *g = guest_find(m, vmid);
    bool is_due = g && is_up(g) && (g->layers.n || ram);
    struct images *im = is_due ? calloc(1, sizeof(*im)) : NULL;
    struct err e = ERR_INIT;

    if (!im) {
        int r = is_due ? err_set(&e, -ENOMEM, NULL, "out of memory")
                : ram  ? err_set(&e, -ESRCH, "guest.gone", "the guest has ended")
                       : 0;
        fn(arg, r, &e);
        return;
    }
    *im = (struct images){.m = m, .vmid = vmid, .ram = ram, .fn = fn, .arg = arg};
    im->r = chains_of(m, g, &g->config, &im->chains, &im->err);
    if (im->r == 0 && config_copy(&g->config, &im->drives) < 0)
        im->r = err_set(&im->err, -ENOMEM, NULL, "out of memory");
    if (im->r == 0)
        im->r = add_drives(im, &im->err);
    if (im->r == 0 && im->n_disks && quiet && !ram && g->state == GUEST_RUNNING)
        im->r = still_new(m, vmid, quiet, &im->still, &im->err);
    if (im->r == 0 && im->n_disks)
        im->r = guest_images_check(g, &im->err);
    if (im->r == 0 && !(im->timer = evtimer_new(m->env.base, on_job_timer, im)))
        im->r = err_set(&im->err, -ENOMEM, NULL, "out of memory");
    const struct engine *engine = engine_find(g->engine);
    if (im->r < 0 || (!im->n_disks && !ram))
        end_images(im);
    else if (!im->n_disks)
        next_overlay(im);
    else if (engine->job)
        ask_jobs(im);
    else
        close_next(im);
}
