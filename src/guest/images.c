/* The images of a running guest, brought in line with its record: a disk whose record says that it stands on a new
 * layer has an overlay beside the file that its hypervisor still writes to (ADR 6), and goes over to it here; and so
 * does one whose record names another volume, which holds the same, while the guest is held still (mirror.c). Which
 * disks these are is found by asking, so that it does not matter who made the images, or when.
 *
 *     end jobs of a dead daemon -> close overlays that wait for nobody -> ask which images are open -> close those that
 * are no image of their drive any more -> pool thread: open the new ones -> a script for each -> quiet -> all go over
 * -> wake
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

/* What a disk waits for: its overlay, its new volume, which may be open already. Or it is on its own image, or not
 * there at all. */
enum due { DUE_OVERLAY, DUE_MOVE, DUE_MOVE_OPEN, DUE_NOTHING, DUE_ABSENT };

struct images {
    struct guest_mgr *m;
    uint32_t vmid;
    struct still *still;  /* NULL: nobody is held still for it */
    struct ram *ram;      /* whose end comes with it; NULL: none */
    struct config drives; /* what disks' options point into */
    struct chains chains;
    struct engine_disk *disks; /* then in the order of enum due */
    size_t n_disks, n_due[3], at;
    enum due *due; /* of each disk */
    char *answer;  /* to ENGINE_IMAGES */
    size_t answer_bytes;
    void (*swept)(struct images *im);
    struct event *timer;
    bool is_over;
    guest_live_done_fn fn;
    void *arg;
    int r;
    struct err err;
};

/* To go over. */
static size_t n_waiting(const struct images *im)
{
    return im->n_due[DUE_OVERLAY] + im->n_due[DUE_MOVE] + im->n_due[DUE_MOVE_OPEN];
}

static void end_images(struct images *im)
{
    guest_live_done_fn fn = im->fn;
    void *arg = im->arg;
    struct err e = im->err;
    int r = im->r;

    for (size_t i = 0; i < im->n_disks; i++)
        engine_disk_done(&im->disks[i]);
    free(im->disks);
    free(im->due);
    free(im->answer);
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

int guest_images_run(struct guest_mgr *m, uint32_t vmid, enum engine_live what, const struct engine_disk *disks,
                     size_t n, uint64_t number, guest_answer_fn fn, void *arg, struct err *e)
{
    struct guest *g = guest_find(m, vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct engine_script s;

    if (!engine || !engine->live)
        return err_set(e, -ESRCH, "guest.gone", "the guest has ended");
    struct engine_vm vm = {.vmid = g->vmid,
                           .machine = g->machine,
                           .config = g->config.items,
                           .n_config = g->config.n,
                           .disks = disks,
                           .n_disks = n};
    int r = engine->live(&vm, what, n ? disks[0].key : "", number, &s, e);
    if (r < 0)
        return r;
    guest_script(m, vmid, &s, fn, arg);
    buf_done(&s.fields);
    return 0;
}

/* For one disk, or all; false: im has the error. */
static bool run(struct images *im, enum engine_live what, size_t first, size_t n, guest_answer_fn fn)
{
    struct err e = ERR_INIT;
    int r = guest_images_run(im->m, im->vmid, what, im->disks ? &im->disks[first] : NULL, n, 0, fn, im, &e);

    if (r < 0)
        fail(im, r, &e);
    return r == 0;
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

/* ---- what is no image of its drive any more ---- */

static void sweep_next(struct images *im);

static void on_swept(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;

    im->at++;
    sweep_next(im);
}

/* Of a drive that is on another image than its own nothing is known. QEMU keeps the descriptors of closed images for as
 * long as the guest stands still, and does not look at them again when it goes on: so that waits. */
static bool sweep_one(struct images *im, const struct guest *g, const struct engine *engine)
{
    struct err e = ERR_INIT;
    struct engine_script s;

    if (im->due[im->at] != DUE_NOTHING || g->state != GUEST_RUNNING || !engine->sweep ||
        engine->sweep(im->answer, im->answer_bytes, &im->disks[im->at], &s, &e) < 0)
        return false;
    guest_script(im->m, g->vmid, &s, on_swept, im);
    buf_done(&s.fields);
    return true;
}

static void sweep_next(struct images *im)
{
    const struct guest *g = guest_find(im->m, im->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;

    while (engine && im->at < im->n_disks) {
        if (sweep_one(im, g, engine))
            return;
        im->at++;
    }
    im->swept(im);
}

static void sweep(struct images *im, const char *answer, size_t n, void (*swept)(struct images *im))
{
    free(im->answer);
    im->answer = n ? malloc(n) : NULL;
    im->answer_bytes = im->answer ? n : 0;
    if (im->answer)
        memcpy(im->answer, answer, n);
    im->swept = swept;
    im->at = 0;
    sweep_next(im); /* without an answer it finds nothing */
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

static void on_switched(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e);

/* Moved ones one after the other: the guest stands still. */
static void on_moved(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;

    if (r < 0 || ++im->at == n_waiting(im) || !run(im, ENGINE_MOVE, im->at, 1, on_moved))
        on_switched(im, r, body, n, is_eof, e);
}

static void on_switched(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;

    (void)FP("guest.images.switched"); /* for kill: an error here would be a lie */
    im->is_over = r == 0 && im->r == 0;
    im->at = n_waiting(im); /* all are open */
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
    if (!n_waiting(im)) {
        wake(im);
        return;
    }
    if (FP("guest.images.switch")) {
        fail(im, err_set(&im->err, -EIO, NULL, "fail point"), &im->err);
        wake(im);
        return;
    }
    size_t n = im->n_due[DUE_OVERLAY];
    im->at = n ? n - 1 : 0;
    if (!run(im, n ? ENGINE_SWITCH : ENGINE_MOVE, 0, n ? n : 1, on_moved))
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
    if (im->at < n_waiting(im) - im->n_due[DUE_MOVE_OPEN]) {
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

/* As at a start, but for the limits, which hang on what stays. */
static int open_moved(struct images *im, struct engine_disk *d, struct err *e)
{
    struct config_item it = {d->key, d->options};
    struct launch_device device = {.disk = {.fd = -1}};
    int r = launch_device(im->m, im->vmid, 0, &it, &im->chains, &device, e);

    if (r < 0)
        return r;
    engine_disk_done(d);
    *d = device.disk;
    d->options = it.value;
    return 0;
}

static void open_all(void *arg)
{
    struct images *im = arg;

    for (size_t i = 0; im->r == 0 && i < n_waiting(im) - im->n_due[DUE_MOVE_OPEN]; i++) {
        struct engine_disk *d = &im->disks[i];
        struct volume_id v;
        const struct chain *c = guest_drive_volume(d->options, &v) ? chains_find(&im->chains, &v) : NULL;
        if (i >= im->n_due[DUE_OVERLAY])
            im->r = open_moved(im, d, &im->err);
        else if (c)
            im->r = attach_overlay(im->m->env.storages, c, d, &im->err);
        if (im->r < 0)
            err_wrap(&im->err, im->r, "%s", d->key);
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

/* One disk. What stands on nothing and is not there may be on its way to or from the guest (live.c), unless the guest
 * is held still for it. */
static int look_at(const struct engine *engine, const struct guest *g, const struct engine_disk *d, const char *answer,
                   size_t n, enum due *ret, struct err *e)
{
    enum engine_place own = ENGINE_PLACE_NONE, below = ENGINE_PLACE_NONE, drive = ENGINE_PLACE_NONE;
    int r = engine->has_image(answer, n, d->key, engine_disk_on(d, 0), &own, e);

    if (r == 0)
        r = engine->has_image(answer, n, d->key, engine_disk_on(d, 1), &below, e);
    if (r == 0)
        r = engine->has_image(answer, n, d->key, NULL, &drive, e);
    if (r < 0)
        return r;
    bool is_moved = !d->n_below && g->is_still;
    if (drive == ENGINE_PLACE_NONE)
        *ret = DUE_ABSENT;
    else if (own == ENGINE_PLACE_TOP || (own == ENGINE_PLACE_OPEN && !is_moved))
        *ret = DUE_NOTHING;
    else if (is_moved)
        *ret = own == ENGINE_PLACE_OPEN ? DUE_MOVE_OPEN : DUE_MOVE;
    else if (d->n_below && below == ENGINE_PLACE_NONE)
        return err_set(e, -EINVAL, "image.chain", "%s: the guest runs on other images than its record names", d->key);
    else
        *ret = d->n_below ? DUE_OVERLAY : DUE_ABSENT;
    return 0;
}

/* In the order of what they wait for. */
static int sort_disks(struct images *im, struct err *e)
{
    struct engine_disk *sorted = calloc(im->n_disks ? im->n_disks : 1, sizeof(*sorted));
    size_t n = 0;

    if (!sorted)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (enum due due = DUE_OVERLAY; due <= DUE_ABSENT; due++)
        for (size_t i = 0; i < im->n_disks; i++)
            if (im->due[i] == due)
                sorted[n++] = im->disks[i];
    free(im->disks);
    im->disks = sorted;
    n = 0;
    size_t count[DUE_ABSENT + 1] = {0};
    for (size_t i = 0; i < im->n_disks; i++)
        count[im->due[i]]++;
    for (enum due due = DUE_OVERLAY; due <= DUE_ABSENT; due++)
        for (size_t k = 0; k < count[due]; k++)
            im->due[n++] = due;
    for (enum due due = DUE_OVERLAY; due <= DUE_MOVE_OPEN; due++)
        im->n_due[due] = count[due];
    return 0;
}

static void open_due(struct images *im)
{
    struct err e = ERR_INIT;

    im->at = 0;
    if (n_waiting(im) && pool_submit(im->m->env.pool, open_all, opened, im, &e) < 0) {
        fail(im, e.num, &e);
        end_images(im);
    } else if (!n_waiting(im) && im->ram) {
        next_overlay(im);
    } else if (!n_waiting(im)) {
        end_images(im);
    }
}

static void on_images(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;
    struct guest *g = guest_find(im->m, im->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct err why = *e;

    if (r == 0 && !engine)
        r = err_set(&why, -ESRCH, "guest.gone", "the guest has ended");
    for (size_t i = 0; r == 0 && i < im->n_disks; i++)
        r = look_at(engine, g, &im->disks[i], body, n, &im->due[i], &why);
    if (r == 0)
        r = sort_disks(im, &why);
    if (r < 0) {
        fail(im, r, &why);
        end_images(im);
    } else {
        sweep(im, body, n, open_due);
    }
}

static void close_next(struct images *im);

static void on_closed(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct images *im = arg;

    im->at++;
    close_next(im);
}

/* One that the last daemon opened, and died before it took over; those in use refuse. A moved disk's new volume, which
 * could not be opened again at once, is kept. */
static void close_next(struct images *im)
{
    const struct guest *g = guest_find(im->m, im->vmid);

    while (g && g->is_still && im->at < im->n_disks && !im->disks[im->at].n_below)
        im->at++;
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

/* Every disk with an image of one's own. */
static int add_drives(struct images *im, struct err *e)
{
    int r = 0;

    im->disks = calloc(im->drives.n ? im->drives.n : 1, sizeof(*im->disks));
    im->due = calloc(im->drives.n ? im->drives.n : 1, sizeof(*im->due));
    if (!im->disks || !im->due)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; r == 0 && i < im->drives.n; i++) {
        const struct config_item *it = &im->drives.items[i];
        struct engine_disk *d = &im->disks[im->n_disks];
        struct volume_id v;
        if (launch_drive(it, d) && d->origin[0] && guest_drive_volume(it->value, &v)) {
            im->n_disks++;
            r = attach_names(chains_find(&im->chains, &v), d, e);
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
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    bool is_due = g && is_up(g) && (g->layers.n || ram || (engine && engine->has_image));
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
    if (im->r == 0 && im->chains.n && quiet && !ram && g->state == GUEST_RUNNING)
        im->r = still_new(m, vmid, quiet, &im->still, &im->err);
    if (im->r == 0 && im->chains.n)
        im->r = guest_images_check(g, &im->err);
    if (im->r == 0 && !(im->timer = evtimer_new(m->env.base, on_job_timer, im)))
        im->r = err_set(&im->err, -ENOMEM, NULL, "out of memory");
    if (im->r < 0 || !engine || !engine->has_image || (!im->n_disks && !ram))
        end_images(im);
    else if (!im->n_disks)
        next_overlay(im);
    else if (engine->job)
        ask_jobs(im);
    else
        close_next(im);
}
