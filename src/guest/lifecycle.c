/* Start, stop, shutdown, reboot, reset, suspend, resume: tasks that are not journalled, because what they change is
 * found again by looking (reconcile.c). Each is a small state machine on the loop, driven by the monitor's events, the
 * answers to its commands, and one timer on CLOCK_BOOTTIME. */
#include <event2/event.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/log.h"
#include "base/proc.h"
#include "guest/clone.h"
#include "guest/guest_priv.h"
#include "task/pool.h"

#include <signal.h>

#define START_TIMEOUT_S    60u
#define READ_MIB_S         50u /* a slow storage gives as much of a snapshot's memory each second */
#define SHUTDOWN_TIMEOUT_S 60u
#define LOCK_WAIT_MS       3000u
#define QUIT_TIMEOUT_S     5u
#define KILL_TIMEOUT_S     10u
#define AGENT_SHUTDOWN_MS  3000u /* an agent that has not refused by then has obeyed */

struct op;
struct op_kind {
    const char *type;
    void (*begin)(struct op *o);
    void (*changed)(struct op *o, struct guest *g, const char *event, const char *text);
    void (*timeout)(struct op *o);
    bool can_abort;
};

enum op_phase { OP_BEGIN, OP_LAUNCH, OP_WAIT_RUNNING, OP_WAIT_POWERDOWN, OP_WAIT_QUIT, OP_WAIT_KILL };

struct op {
    struct list_node node; /* in mgr->waiters while it runs */
    struct guest_mgr *mgr;
    struct task *task;
    const struct op_kind *kind;
    struct guest_op args;
    char user[160];
    char ram[VOLUME_ID_MAX + 1];
    enum op_phase phase;
    struct event *timer;
    uint64_t deadline_ms;
    bool is_reboot;
    bool has_command; /* an answer is still to come: o must stay */
    bool is_ended;
    bool is_cancelled; /* start */
    uint32_t uid_slot; /* start: taken until a monitor has it */
    struct launch_job *job;
    struct task_hold *hold; /* while pending changes are written */
};

static void op_release(struct op *o)
{
    if (o->is_ended && !o->has_command && !o->job) {
        if (o->timer)
            event_free(o->timer);
        free(o);
    }
}

static void op_end(struct op *o, int r, const struct err *e)
{
    struct task *t = o->task;

    if (o->is_ended)
        return;
    o->is_ended = true;
    list_remove(&o->node);
    if (o->timer)
        event_del(o->timer);
    task_end(t, r, e); /* op_ended frees o, unless an answer is on its way */
}

static void op_ended(struct task *t, void *arg, int r, const struct err *e)
{
    struct op *o = arg;

    o->is_ended = true;
    op_release(o);
}

static void op_fail(struct op *o, int num, const char *code, const char *text)
{
    struct err e = ERR_INIT;

    op_end(o, err_set(&e, num, code, "%s", text), &e);
}

static void op_fail_vm(struct op *o, int num, const char *code, const char *what)
{
    char text[200];

    snprintf(text, sizeof(text), "VM %u %s", o->args.vmid, what);
    op_fail(o, num, code, text);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct op *o = arg;

    if (!o->is_ended)
        o->kind->timeout(o);
}

static void op_timer(struct op *o, uint32_t seconds)
{
    struct timeval tv = {.tv_sec = seconds};

    evtimer_add(o->timer, &tv);
}

static struct guest *op_guest(struct op *o)
{
    return guest_find(o->mgr, o->args.vmid);
}

/* Answers of commands: o may have ended meanwhile. */
static void on_answer(void *arg, int r, const void *payload, size_t n, const struct err *e)
{
    struct op *o = arg;

    o->has_command = false;
    if (o->is_ended) {
        op_release(o);
        return;
    }
    if (r < 0 && r != -EPIPE) {
        task_log(o->task, "%s", e->text);
        if (o->phase == OP_BEGIN)
            op_end(o, r, e);
    } else if (o->phase == OP_BEGIN && r == 0) {
        op_end(o, 0, NULL); /* reset, suspend, resume: the answer is the end */
    } else if (o->phase == OP_BEGIN) {
        op_end(o, r, e);
    }
}

static void op_command(struct op *o, const char *verb)
{
    struct guest *g = op_guest(o);

    o->has_command = true;
    monitor_command(g ? g->monitor : NULL, verb, on_answer, o);
}

/* ---- start ---- */

static void launched(void *ctx)
{
    struct launch_job *j = ctx;
    struct op *o = task_arg(j->task);
    struct guest *g = op_guest(o);
    struct err e = j->err;
    int r = j->r;

    o->job = NULL;
    if (r == 0 && g) {
        task_log(o->task, "%s", j->result.note);
        if (j->result.warning[0])
            task_warn(o->task, "%s", j->result.warning);
        r = monitor_attach(o->mgr, g, j->result.control_fd, j->result.pid, j->result.pidfd, j->result.cookie,
                           j->uid_slot, true, &e);
        if (r == 0) {
            guest_summary_forget(g);
            config_done(&g->running);
            g->running = j->config;
            j->config = (struct config){0};
            o->phase = OP_WAIT_RUNNING;
        }
    } else if (r < 0) {
        guest_uid_mark(o->mgr, j->uid_slot, false);
        if (g && g->state == GUEST_STARTING) {
            g->state = GUEST_STOPPED;
            guest_tell(o->mgr, g->vmid);
        }
    }
    launch_job_free(j);
    if (r < 0)
        op_end(o, r, &e);
}

static struct launch_job *launch_job_new(struct op *o, struct guest *g, struct err *e)
{
    const struct engine *engine = engine_find(g->engine);
    struct launch_job *j = calloc(1, sizeof(*j));
    int r = !j        ? err_set(e, -ENOMEM, NULL, "out of memory")
            : !engine ? err_set(e, -EINVAL, "engine.unknown", "engine '%s' is not known", g->engine)
            : config_copy(&g->config, &j->config) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory")
                                                      : 0;

    if (r == 0)
        r = chains_of(o->mgr, g, &j->config, &j->chains, e);
    if (r == 0)
        r = engine->check_host(o->mgr->env.host, e);
    if (r == 0)
        r = engine->check_config(o->mgr->env.host, j->config.items, j->config.n, e);
    if (r == 0 && guest_uid_take(o->mgr, &j->uid_slot) < 0)
        r = err_set(e, -EAGAIN, "host.busy", "no free user id for the guest");
    if (r < 0) {
        if (j)
            launch_job_free(j);
        return NULL;
    }
    j->mgr = o->mgr;
    j->vmid = g->vmid;
    j->engine = engine;
    j->task = o->task;
    snprintf(j->engine_machine, sizeof(j->engine_machine), "%s", g->machine);
    snprintf(j->uuid, sizeof(j->uuid), "%s", g->uuid);
    snprintf(j->ram, sizeof(j->ram), "%s", o->ram);
    j->cpu_model = cpu_models_expand(o->mgr->cpu_models, config_get(&j->config, "cpu"));
    return j;
}

static uint32_t start_seconds(const struct op *o, const struct guest *g)
{
    if (o->args.timeout_s)
        return o->args.timeout_s;
    return START_TIMEOUT_S + (o->ram[0] ? (uint32_t)(guest_memory_bytes(g) / ((uint64_t)READ_MIB_S << 20)) : 0);
}

/* A stopped guest takes its pending changes before it starts: they are written first. */
static void start_launch(struct op *o)
{
    struct guest *g = op_guest(o);
    struct err e = ERR_INIT;

    if (!g || g->is_dropped) {
        op_fail(o, -ENOENT, "guest.missing", "the guest was destroyed meanwhile");
        return;
    }
    struct launch_job *j = launch_job_new(o, g, &e);
    if (!j) {
        op_end(o, e.num, &e);
        return;
    }
    g->state = GUEST_STARTING;
    guest_tell(o->mgr, g->vmid);
    g->pid = 0;
    g->started_boot_ms = 0;
    g->cpu_sample_ms = 0;
    g->disk_read = g->disk_write = g->net_in = g->net_out = 0;
    o->phase = OP_LAUNCH;
    o->job = j;
    op_timer(o, start_seconds(o, g));
    if (pool_submit(o->mgr->env.pool, launch_run, launched, j, &e) < 0) {
        o->job = NULL;
        g->state = GUEST_STOPPED;
        guest_uid_mark(o->mgr, j->uid_slot, false);
        launch_job_free(j);
        op_end(o, e.num, &e);
    }
}

/* What o waited for is there, or failed: on with it, unless it ended meanwhile. */
static void op_continue(struct op *o, int r, const struct err *e, void (*next)(struct op *o))
{
    o->has_command = false;
    if (o->is_ended)
        op_release(o);
    else if (r < 0)
        op_end(o, r, e);
    else
        next(o);
}

static void on_pending_applied(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct op *o = arg;
    struct task_hold *hold = TAKE_PTR(o->hold);

    op_continue(o, r, e, start_launch);
    task_hold_release(hold);
}

static void start_unlocked(void *arg, int r, const struct err *e);

/* A change of the configuration that is under way comes first. */
static void start_begin(struct op *o)
{
    o->has_command = true;
    task_wait_unlocked(o->task, LOCK_WAIT_MS, start_unlocked, o);
}

static void start_configured(struct op *o)
{
    struct guest *g = op_guest(o);
    const char *lock = g ? config_get(&g->config, "lock") : NULL;
    struct config wanted = {0};

    if (!g || g->is_dropped) {
        op_fail(o, -ENOENT, "guest.missing", "the guest does not exist");
        return;
    }
    if (guest_is_running(g)) {
        op_fail_vm(o, -EEXIST, "guest.running", "already running");
        return;
    }
    if (lock) {
        char text[80];
        snprintf(text, sizeof(text), "VM is locked (%s)", lock);
        op_fail(o, -EBUSY, "guest.locked", text);
        return;
    }
    if (!g->pending.n) {
        start_launch(o);
        return;
    }
    struct guest_record record = guest_record_of(g);
    record.config = &wanted;
    record.pending = NULL;
    bool is_merged = config_copy(&g->config, &wanted) == 0 && guest_config_merge(&wanted, &g->pending, g->vmid) == 0;
    struct state_txn *t = is_merged ? guest_txn(o->mgr->env.node, g->vmid, g->revision, &record) : NULL;
    config_done(&wanted);
    o->has_command = true;
    o->hold = task_hold(o->mgr->env.tasks, g->vmid, "config");
    state_commit(o->mgr->env.state, t, on_pending_applied, o);
}

static void start_unlocked(void *arg, int r, const struct err *e)
{
    op_continue(arg, r, e, start_configured);
}

static void start_changed(struct op *o, struct guest *g, const char *event, const char *text)
{
    struct err e = ERR_INIT;

    if (o->phase != OP_WAIT_RUNNING)
        return;
    if (g->state == GUEST_RUNNING || g->state == GUEST_PAUSED) {
        (void)FP("guest.start.running");
        op_end(o, 0, NULL);
        return;
    }
    if (streq(event, "cleaned") && o->is_cancelled) {
        op_fail(o, -ECANCELED, "task.aborted", task_abort_reason(o->task));
    } else if (streq(event, "cleaned")) {
        err_set(&e, -EIO, "guest.start", "start failed%s%s", text[0] ? ": " : "", text);
        op_end(o, e.num, &e);
    }
}

static void start_timeout(struct op *o)
{
    struct guest *g = op_guest(o);

    if (o->phase == OP_LAUNCH) { /* a storage hangs: the job cannot be called back, only waited for */
        op_timer(o, START_TIMEOUT_S);
        task_log(o->task, "still waiting for the storage");
        return;
    }
    task_log(o->task, "the guest did not come up in time: ending it");
    if (g && g->monitor)
        proc_pidfd_kill(g->monitor->pidfd, SIGKILL);
    op_timer(o, KILL_TIMEOUT_S);
}

/* ---- stop, shutdown, reboot ---- */

static void kill_now(struct op *o)
{
    struct guest *g = op_guest(o);

    task_log(o->task, "VM still running - terminating now with SIGKILL");
    o->phase = OP_WAIT_KILL;
    if (g && g->monitor)
        proc_pidfd_kill(g->monitor->pidfd, SIGKILL); /* QEMU dies with its parent */
    rundir_cgroup_kill(o->mgr, o->args.vmid);
    op_timer(o, KILL_TIMEOUT_S);
}

static void quit_now(struct op *o)
{
    o->phase = OP_WAIT_QUIT;
    op_timer(o, QUIT_TIMEOUT_S);
    op_command(o, "quit");
}

static void stopped(struct op *o)
{
    if (!o->is_reboot) {
        op_end(o, 0, NULL);
        return;
    }
    struct err e = ERR_INIT;
    struct guest_op again = {.vmid = o->args.vmid, .user = o->user};
    int r = guest_start(o->mgr, &again, NULL, &e);
    op_end(o, r, &e);
}

static void stop_begin(struct op *o)
{
    struct guest *g = op_guest(o);

    if (!g || !guest_is_running(g))
        stopped(o);
    else if (g->state == GUEST_STOPPING)
        o->phase = OP_WAIT_KILL, op_timer(o, KILL_TIMEOUT_S);
    else if (g->state == GUEST_LOST)
        kill_now(o);
    else
        quit_now(o);
}

/* The agent has taken the order, or there is none to take it: then the button. */
static void on_agent_told(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct op *o = arg;

    o->has_command = false;
    if (o->is_ended) {
        op_release(o);
        return;
    }
    if (r == 0)
        return;
    task_log(o->task, "guest agent: %s; pressing the power button", e->text);
    op_command(o, "powerdown");
}

static void tell_guest(struct op *o, struct guest *g)
{
    struct err e = ERR_INIT;

    if (guest_has_agent(g) && g->state == GUEST_RUNNING) {
        task_log(o->task, "asking the guest agent to shut down");
        o->has_command = true;
        if (guest_agent(o->mgr, g->vmid, "guest-shutdown", "{\"mode\":\"powerdown\"}", "none", AGENT_SHUTDOWN_MS,
                        on_agent_told, o, &e) == 0)
            return;
        o->has_command = false;
    }
    op_command(o, "powerdown");
}

static void shutdown_begin(struct op *o)
{
    struct guest *g = op_guest(o);

    if (!g || !guest_is_running(g)) {
        if (o->is_reboot)
            op_fail_vm(o, -ESRCH, "guest.stopped", "not running");
        else
            stopped(o);
        return;
    }
    if (g->state == GUEST_PAUSED && !o->args.is_forced) {
        op_fail(o, -EBUSY, "guest.paused", "VM is paused - cannot shutdown");
        return;
    }
    o->phase = OP_WAIT_POWERDOWN;
    uint32_t down_s = guest_down_s(g);
    op_timer(o, o->args.timeout_s ? o->args.timeout_s : down_s ? down_s : SHUTDOWN_TIMEOUT_S);
    tell_guest(o, g);
}

static void stop_changed(struct op *o, struct guest *g, const char *event, const char *text)
{
    if (streq(event, "cleaned") || !guest_is_running(g))
        stopped(o);
}

static void stop_timeout(struct op *o)
{
    if (o->phase == OP_WAIT_POWERDOWN && !o->args.is_forced) {
        op_fail(o, -ETIMEDOUT, "guest.timeout", "VM quit/powerdown failed - got timeout");
    } else if (o->phase == OP_WAIT_POWERDOWN) {
        task_log(o->task, "VM quit/powerdown failed - terminating now");
        quit_now(o);
    } else if (o->phase == OP_WAIT_QUIT) {
        kill_now(o);
    } else {
        op_fail(o, -ETIMEDOUT, "guest.alive", "the guest's processes do not end");
    }
}

/* ---- reset, suspend, resume: one command ---- */

static void command_begin(struct op *o)
{
    struct guest *g = op_guest(o);

    if (!g || (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)) {
        op_fail_vm(o, -ESRCH, "guest.stopped", "not running");
        return;
    }
    op_timer(o, QUIT_TIMEOUT_S * 4);
    op_command(o, streq(o->kind->type, "qmreset") ? "reset" : streq(o->kind->type, "qmpause") ? "pause" : "resume");
}

/* By itself, when its storage has room again: what happened to it meanwhile is somebody's wish. */
static void go_on_begin(struct op *o)
{
    struct guest *g = op_guest(o);
    struct err none = ERR_INIT;

    if (g && g->full_disk[0]) {
        task_log(o->task, "the storage of %s, which was full, has room again", g->full_disk);
        command_begin(o);
        return;
    }
    task_log(o->task, "the guest does not wait for room any more");
    op_end(o, 0, &none);
}

static void command_changed(struct op *o, struct guest *g, const char *event, const char *text)
{
    if (streq(event, "cleaned"))
        op_fail_vm(o, -ESRCH, "guest.stopped", "not running");
}

static void command_timeout(struct op *o)
{
    op_fail(o, -ETIMEDOUT, "guest.timeout", "the hypervisor did not answer - got timeout");
}

static const struct op_kind kind_start = {"qmstart", start_begin, start_changed, start_timeout, false};
static const struct op_kind kind_stop = {"qmstop", stop_begin, stop_changed, stop_timeout, false};
static const struct op_kind kind_shutdown = {"qmshutdown", shutdown_begin, stop_changed, stop_timeout, true};
static const struct op_kind kind_reboot = {"qmreboot", shutdown_begin, stop_changed, stop_timeout, true};
static const struct op_kind kind_reset = {"qmreset", command_begin, command_changed, command_timeout, false};
static const struct op_kind kind_suspend = {"qmpause", command_begin, command_changed, command_timeout, false};
static const struct op_kind kind_resume = {"qmresume", command_begin, command_changed, command_timeout, false};
static const struct op_kind kind_go_on = {"qmresume", go_on_begin, command_changed, command_timeout, false};

static void op_begin(struct task *t, void *arg)
{
    struct op *o = arg;

    o->task = t;
    list_add_tail(&o->mgr->waiters, &o->node);
    o->kind->begin(o);
}

static void op_abort(struct task *t, void *arg)
{
    op_fail(arg, -ECANCELED, "task.aborted", task_abort_reason(t));
}

/* A start that has launched the guest ends it; what comes before that is short. */
static int start_cancel(struct task *t, void *arg, struct err *e)
{
    struct op *o = arg;
    struct guest *g = op_guest(o);

    if (o->phase != OP_WAIT_RUNNING || !g || !g->monitor)
        return err_set(e, -EBUSY, "task.unstoppable", "the guest is being launched just now: try again");
    task_log(t, "%s: ending the guest", task_abort_reason(t));
    o->is_cancelled = true;
    proc_pidfd_kill(g->monitor->pidfd, SIGKILL); /* the end comes with its event */
    return 0;
}

static int op_start(struct guest_mgr *m, const struct guest_op *args, const struct op_kind *kind, bool is_overtaking,
                    struct task **ret, struct err *e)
{
    struct op *o = calloc(1, sizeof(*o));
    char id[16];

    if (!o || !(o->timer = evtimer_new(m->env.base, on_timer, o))) {
        free(o);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    list_init(&o->node);
    o->mgr = m;
    o->kind = kind;
    o->args = *args;
    snprintf(o->user, sizeof(o->user), "%s", args->user);
    snprintf(o->ram, sizeof(o->ram), "%s", args->ram ? args->ram : "");
    o->is_reboot = kind == &kind_reboot;
    snprintf(id, sizeof(id), "%u", args->vmid);
    struct task_spec spec = {.type = kind->type,
                             .id = id,
                             .user = args->user,
                             .vmid = args->vmid,
                             .is_overtaking = is_overtaking,
                             .is_cancelling = kind == &kind_stop,
                             .begin = op_begin,
                             .abort = kind->can_abort ? op_abort : NULL,
                             .cancel = kind == &kind_start ? start_cancel : NULL,
                             .ended = op_ended,
                             .arg = o};
    int r = task_start(m->env.tasks, &spec, ret, e);
    if (r < 0) {
        event_free(o->timer);
        free(o);
    }
    return r;
}

int guest_start(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    const struct guest *g = guest_find(m, op->vmid);

    if (g && guest_is_template(g))
        return err_set(e, -EINVAL, "guest.template", "you can't start a vm if it's a template");
    return op_start(m, op, &kind_start, false, ret, e);
}

int guest_stop(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    return op_start(m, op, &kind_stop, true, ret, e);
}

int guest_shutdown(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    return op_start(m, op, &kind_shutdown, false, ret, e);
}

int guest_reboot(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    return op_start(m, op, &kind_reboot, false, ret, e);
}

int guest_reset(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    return op_start(m, op, &kind_reset, true, ret, e);
}

int guest_suspend(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    return op_start(m, op, &kind_suspend, false, ret, e);
}

int guest_resume(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    return op_start(m, op, &kind_resume, false, ret, e);
}

int guest_go_on(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e)
{
    return op_start(m, op, &kind_go_on, false, ret, e);
}

/* A waiter may end, and with it another one be started, inside its callback: look again from the front after each. */
void guest_state_changed(struct guest_mgr *m, struct guest *g, const char *event, const char *text)
{
    uint32_t vmid = g->vmid;

    guest_tell(m, vmid);
    LIST_FOREACH_SAFE(o, &m->waiters, struct op, node)
    if (o->args.vmid == vmid && !o->is_ended)
        o->kind->changed(o, g, event, text);
}
