/* One step of a plan, in a thread: see task.h. Long ones have a pool of their own, so that a copy of hours does not
 * take a thread from what everybody waits for.
 *
 * The step's thread writes how far it is into two numbers; the loop reads them twice a second while a long step runs.
 * Nothing of the task is touched by the thread, but its steps and its text, which do not change. */
#include <event2/event.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "task/pool.h"
#include "task/task_priv.h"

#define LONG_THREADS 4u
#define TICK_MS      500
#define LOG_PERCENT  5u /* a line in the task's log for each so many */

struct step_run {
    struct task *task;
    size_t index;
    bool is_undo;
    const struct task_step_type *type; /* NULL: unknown */
    step_done_fn done;
    int r;
    struct err err;
    /* of a long one */
    int abort_fd; /* an eventfd */
    struct event *tick;
    atomic_uint_least64_t done_bytes, total_bytes;
    unsigned logged_percent;
};

static _Thread_local struct step_run *current;

void task_step_progress(uint64_t done_bytes, uint64_t total_bytes)
{
    if (!current)
        return;
    atomic_store(&current->total_bytes, total_bytes);
    atomic_store(&current->done_bytes, done_bytes);
}

int task_step_abort_fd(void)
{
    return current && current->abort_fd >= 0 ? current->abort_fd : -1;
}

void step_abort(struct task *t)
{
    if (t->step && t->step->abort_fd >= 0)
        eventfd_write(t->step->abort_fd, 1);
}

static int run(struct step_run *s)
{
    struct task *t = s->task;
    json_t *args = json_object_get(json_array_get(t->steps, s->index), "args");
    int r;

    if (!s->type)
        return err_set(&s->err, -EINVAL, "task.step", "unknown step in the journal");
    if (s->is_undo && plan_fp_step(t, "undo.", s->index, ""))
        return err_set(&s->err, -EIO, NULL, "fail point");
    if (s->is_undo)
        return s->type->undo ? s->type->undo(t->mgr->step_ctx, args, t->text, &s->err) : 0;
    if (plan_fp_step(t, "", s->index, ""))
        return err_set(&s->err, -EIO, NULL, "fail point");
    r = s->type->run(t->mgr->step_ctx, args, t->text, &s->err);
    if (r == 0 && plan_fp_step(t, "", s->index, ".done"))
        r = err_set(&s->err, -EIO, NULL, "fail point");
    return r;
}

/* In a pool thread. */
static void run_in_thread(void *ctx)
{
    struct step_run *s = ctx;

    current = s;
    s->r = run(s);
    current = NULL;
}

static void step_free(struct step_run *s)
{
    if (s->tick)
        event_free(s->tick);
    if (s->abort_fd >= 0)
        close(s->abort_fd);
    free(s);
}

/* On the loop. */
static void show_progress(struct step_run *s)
{
    uint64_t total = atomic_load(&s->total_bytes), done = atomic_load(&s->done_bytes);

    if (!total)
        return;
    if (done > total)
        done = total;
    unsigned percent = (unsigned)((double)done / (double)total * 100);
    task_progress(s->task, s->type->name, done, total);
    if (percent < s->logged_percent + LOG_PERCENT && !(done == total && s->logged_percent < 100))
        return;
    s->logged_percent = percent;
    task_log(s->task, "transferred %llu MiB of %llu MiB (%u%%)", (unsigned long long)(done >> 20),
             (unsigned long long)(total >> 20), percent);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    show_progress(arg);
}

static void finished(void *ctx)
{
    struct step_run *s = ctx;
    struct task *t = s->task;
    size_t index = s->index;
    bool is_undo = s->is_undo;
    step_done_fn done = s->done;
    struct err e = s->err;
    int r = s->r;

    if (s->tick)
        show_progress(s);
    t->step = NULL;
    step_free(s);
    if (t->mgr->is_abandoned) /* the journal has it */
        return;
    done(t, index, is_undo, r, &e);
}

static int prepare_long(struct step_run *s, struct err *e)
{
    struct task_mgr *m = s->task->mgr;
    struct timeval period = {.tv_usec = TICK_MS * 1000};

    s->abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->tick = event_new(m->base, -1, EV_PERSIST, on_tick, s);
    if (s->abort_fd < 0 || !s->tick || event_add(s->tick, &period) < 0)
        return err_set(e, -ENOMEM, NULL, "no memory or descriptor for a step");
    return m->long_pool ? 0 : pool_new(m->base, LONG_THREADS, TASK_ACTIVE_MAX, &m->long_pool, e);
}

int step_submit(struct task *t, size_t index, bool is_undo, step_done_fn done, struct err *e)
{
    const char *name = json_string_value(json_object_get(json_array_get(t->steps, index), "step"));
    struct step_run *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    s->task = t;
    s->index = index;
    s->is_undo = is_undo;
    s->type = plan_step_find(t->mgr, name);
    s->done = done;
    s->abort_fd = -EBADF;
    bool is_long = s->type && s->type->is_long && !is_undo;
    int r = is_long ? prepare_long(s, e) : 0;
    if (r == 0)
        r = pool_submit(is_long ? t->mgr->long_pool : t->mgr->pool, run_in_thread, finished, s, e);
    if (r < 0)
        step_free(s);
    else
        t->step = s;
    return r;
}
