/* Stopping a task because somebody asks for it, and waiting for the end of one: see task.h. Loop thread only. */
#include "task/task_priv.h"

void task_when_ended(struct task *t, void (*fn)(void *arg, int r, const struct err *e), void *arg)
{
    t->when_ended = fn;
    t->when_ended_arg = arg;
}

const char *task_abort_reason(const struct task *t)
{
    return t->abort_reason[0] ? t->abort_reason : "aborted";
}

int task_cancel_error(const struct task *t, struct err *e)
{
    return err_set(e, -ECANCELED, "task.aborted", "%s", task_abort_reason(t));
}

static int unstoppable(const struct task *t, struct err *e, const char *why)
{
    return err_set(e, -EBUSY, "task.unstoppable", "a task of type '%s' cannot be stopped%s", t->upid.type, why);
}

static int cancel_plan(struct task *t, struct err *e)
{
    if (t->direction == PLAN_FORWARD)
        return unstoppable(t, e, ": what it has begun to remove it removes");
    if (t->is_committing || t->result < 0 || t->is_recovered)
        return unstoppable(t, e, " any more: it is ending");
    t->is_cancelled = true;
    step_abort(t);
    if (t->phase == TASK_QUEUED && t->is_journalled)
        plan_give_up(t);
    return 0; /* a running one looks after each step, one that is not journalled yet when it begins */
}

static int cancel_live(struct task *t, struct err *e)
{
    struct err reason = ERR_INIT;

    if (t->phase == TASK_QUEUED) {
        task_finish(t, task_cancel_error(t, &reason), &reason);
        return 0;
    }
    if (t->cancel)
        return t->cancel(t, t->arg, e);
    if (!t->abort || t->is_aborting)
        return t->is_aborting ? 0 : unstoppable(t, e, "");
    t->is_aborting = true;
    t->abort(t, t->arg);
    return 0;
}

int task_cancel(struct task_mgr *m, const char *upid, const char *user, struct err *e)
{
    struct task_view v;

    LIST_FOREACH(t, &m->active, struct task, node)
    if (streq(t->text, upid)) {
        if (t->is_cancelled)
            return 0;
        snprintf(t->abort_reason, sizeof(t->abort_reason), "stopped by %s", user);
        int r = t->steps ? cancel_plan(t, e) : cancel_live(t, e);
        if (r < 0)
            t->abort_reason[0] = 0; /* refused, so it lives */
        return r;
    }
    return task_find(m, upid, &v) ? 0 : err_set(e, -ENOENT, "task.missing", "no such task");
}
