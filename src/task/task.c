/* The task manager: queues per guest, starting, ending, listing; see task.h. Loop thread only. */
#include <event2/event.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/proc.h"
#include "task/pool.h"
#include "task/task_priv.h"

struct waiter {
    struct list_node node;
    uint32_t vmid;
    uint64_t deadline_ms;
    void (*fn)(void *arg, int r, const struct err *e);
    void *arg;
    struct task *task; /* that lets plans pass meanwhile; NULL: nobody, or it has ended */
};

static void run_next(struct task_mgr *m, uint32_t vmid);
static void observe(struct task_mgr *m, const struct task *t);
static void tell(struct task_mgr *m, const struct task *t);
static void check_waiters(struct task_mgr *m);

struct task *task_alloc(struct task_mgr *m)
{
    struct task *t = calloc(1, sizeof(*t));

    if (t) {
        t->mgr = m;
        list_init(&t->node);
    }
    return t;
}

void task_free(struct task *t)
{
    if (!t)
        return;
    list_remove(&t->node);
    json_decref(t->steps);
    json_decref(t->final_deletes);
    state_txn_free(t->initial);
    state_txn_free(t->final);
    free(t->status);
    free(t->error_hint);
    free(t);
}

const char *task_upid(const struct task *t)
{
    return t->text;
}

void *task_arg(const struct task *t)
{
    return t->arg;
}

uint32_t task_vmid(const struct task *t)
{
    return t->vmid;
}

static void log_line(struct task *t, const char *prefix, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
static void log_line(struct task *t, const char *prefix, const char *fmt, va_list ap)
{
    char line[1024];
    int n = snprintf(line, sizeof(line), "%s", prefix);

    vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    task_log_append(t->mgr->log, t->text, line);
}

void task_log(struct task *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(t, "", fmt, ap);
    va_end(ap);
}

void task_warn(struct task *t, const char *fmt, ...)
{
    va_list ap;

    t->n_warnings++;
    va_start(ap, fmt);
    log_line(t, "WARNING: ", fmt, ap);
    va_end(ap);
}

void task_progress(struct task *t, const char *phase, uint64_t done_bytes, uint64_t total_bytes)
{
    snprintf(t->progress_phase, sizeof(t->progress_phase), "%s", phase);
    t->done_bytes = done_bytes;
    t->total_bytes = total_bytes;
}

static void trim_finished(struct task_mgr *m)
{
    while (m->n_finished > TASK_FINISHED_KEPT) {
        struct task *old = container_of(m->finished.prev, struct task, node);
        task_log_remove(m->log, old->text);
        task_free(old);
        m->n_finished--;
    }
}

/* Fills status from the result, as PVE words it. */
static void set_status(struct task *t, int r, const struct err *e)
{
    char text[600];

    if (r < 0)
        snprintf(text, sizeof(text), "%s", e->text);
    else if (t->n_warnings)
        snprintf(text, sizeof(text), "WARNINGS: %u", t->n_warnings);
    else
        snprintf(text, sizeof(text), "OK");
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = ' ';
    free(t->status);
    t->status = strdup(text);
    if (r < 0) {
        snprintf(t->error_code, sizeof(t->error_code), "%s", e->code);
        free(t->error_hint);
        t->error_hint = e->hint[0] ? strdup(e->hint) : NULL;
    }
}

void task_write_end(struct task *t, int r)
{
    char line[UPID_MAX + 700];

    snprintf(line, sizeof(line),
             r < 0           ? "TASK ERROR: %s"
             : t->n_warnings ? "TASK %s"
                             : "TASK OK",
             t->status ? t->status : "out of memory");
    task_log_append(t->mgr->log, t->text, line);
    snprintf(line, sizeof(line), "E %s %08llX %s", t->text, (unsigned long long)t->endtime,
             t->status ? t->status : "unknown");
    task_log_index(t->mgr->log, line);
}

void task_finish(struct task *t, int r, const struct err *e)
{
    struct task_mgr *m = t->mgr;
    uint32_t vmid = t->vmid;

    t->phase = TASK_ENDED;
    t->endtime = clock_wall_s();
    set_status(t, r, e);
    if (r < 0 && e->hint[0])
        task_log(t, "hint: %s", e->hint);
    task_write_end(t, r);
    list_remove(&t->node);
    m->n_active--;
    LIST_FOREACH(w, &m->waiters, struct waiter, node)
    if (w->task == t)
        w->task = NULL;
    if (t->ended)
        t->ended(t, t->arg, r, e);
    if (t->when_ended)
        t->when_ended(t->when_ended_arg, r, e);
    t->arg = t->when_ended_arg = NULL;
    t->when_ended = NULL;
    json_decref(t->steps);
    json_decref(t->final_deletes);
    t->steps = t->final_deletes = NULL;
    state_txn_free(t->final);
    t->final = NULL;
    list_add_head(&m->finished, &t->node);
    m->n_finished++;
    observe(m, t);
    trim_finished(m);
    if (vmid)
        run_next(m, vmid);
    check_waiters(m);
}

void task_end(struct task *t, int r, const struct err *e)
{
    static const struct err none = ERR_INIT;

    task_finish(t, r, e ? e : &none);
}

static void run_now(struct task *t)
{
    t->phase = TASK_RUNNING;
    if (t->steps)
        plan_begin(t);
    else
        t->begin(t, t->arg);
}

/* Does o, which came earlier, keep t from running? A plan was made for the configuration as it is now and holds it, so
 * it passes what has not begun, and what waits for that very configuration. */
static bool is_in_the_way(const struct task *o, const struct task *t)
{
    if (o->steps)
        return true;
    if (o->is_overtaking || t->is_overtaking)
        return false;
    return !t->steps || (o->phase == TASK_RUNNING && !o->is_yielding);
}

static bool must_wait(struct task *t)
{
    bool is_earlier = true;

    if (t->steps && !t->is_journalled)
        return true;
    if (!t->vmid)
        return false;
    LIST_FOREACH(o, &t->mgr->active, struct task, node)
    {
        if (o == t)
            is_earlier = false;
        else if (o->vmid == t->vmid && is_earlier && is_in_the_way(o, t))
            return true;
        else if (o->vmid == t->vmid && o->steps && o->phase == TASK_RUNNING)
            return true; /* a plan that passed t */
    }
    return false;
}

static void run_next(struct task_mgr *m, uint32_t vmid)
{
    LIST_FOREACH(t, &m->active, struct task, node)
    if (t->vmid == vmid && t->phase == TASK_QUEUED && !must_wait(t)) {
        run_now(t);
        return; /* its end, or the next start, calls again; t may be gone */
    }
}

void task_try_run(struct task *t)
{
    if (t->phase == TASK_QUEUED && !must_wait(t))
        run_now(t);
}

bool task_is_accepted(const struct task *t)
{
    return !t->steps || t->is_journalled;
}

void task_when_accepted(struct task *t, void (*fn)(void *arg, int r, const struct err *e), void *arg)
{
    struct err none = ERR_INIT;

    if (task_is_accepted(t)) {
        fn(arg, 0, &none);
        return;
    }
    t->accepted = fn;
    t->accepted_arg = arg;
}

void task_tell_accepted(struct task *t, int r, const struct err *e)
{
    void (*fn)(void *arg, int r, const struct err *e) = t->accepted;

    t->accepted = NULL;
    if (fn)
        fn(t->accepted_arg, r, e);
}

static void abort_others(struct task *t)
{
    LIST_FOREACH_SAFE(o, &t->mgr->active, struct task, node)
    if (o != t && o->vmid == t->vmid && o->phase == TASK_RUNNING) {
        if (t->is_cancelling && o->is_between && !o->is_committing && !o->is_cancelled) {
            snprintf(o->abort_reason, sizeof(o->abort_reason), "aborted by another task");
            o->is_cancelled = true;
        } else if (o->abort && !o->is_aborting) {
            o->is_aborting = true;
            snprintf(o->abort_reason, sizeof(o->abort_reason), "aborted by another task");
            o->abort(o, o->arg);
            return; /* tasks of a guest run one at a time */
        }
    }
}

static void start_on_loop(evutil_socket_t fd, short what, void *arg)
{
    struct task *t = arg;

    /* Never from inside task_start: the caller gets its UPID before anything happens. */
    if (t->phase == TASK_ENDED)
        return; /* cancelled meanwhile */
    if (t->is_overtaking)
        abort_others(t);
    if (t->steps)
        plan_write_journal(t);
    else
        task_try_run(t);
}

static int fill(struct task *t, const struct task_spec *spec)
{
    struct task_mgr *m = t->mgr;
    struct upid *u = &t->upid;

    u->pid = ++m->next_pid;
    u->pstart = m->pstart;
    u->starttime = clock_wall_s();
    if (str_copy(u->node, sizeof(u->node), m->node) < 0 || str_copy(u->type, sizeof(u->type), spec->type) < 0 ||
        str_copy(u->id, sizeof(u->id), spec->id) < 0 || str_copy(u->user, sizeof(u->user), spec->user) < 0)
        return -EINVAL;
    for (char *c = u->id; *c; c++) /* the UPID's own separator, and what a path may not hold */
        if (*c == ':' || *c == '/')
            *c = '_';
    upid_format(u, t->text, sizeof(t->text));
    t->vmid = spec->vmid;
    t->is_overtaking = spec->is_overtaking;
    t->is_cancelling = spec->is_cancelling;
    t->steps = json_incref(spec->steps);
    t->direction = spec->direction;
    t->initial = spec->initial;
    t->final = spec->final;
    t->final_deletes = json_incref(spec->final_deletes);
    snprintf(t->record_key, sizeof(t->record_key), "%s", spec->record_key ? spec->record_key : "");
    t->before = spec->before;
    t->between = spec->between;
    t->after = spec->after;
    t->begin = spec->begin;
    t->abort = spec->abort;
    t->cancel = spec->cancel;
    t->ended = spec->ended;
    t->arg = spec->arg;
    return 0;
}

int task_start(struct task_mgr *m, const struct task_spec *spec, struct task **ret, struct err *e)
{
    struct task *t = m->n_active < TASK_ACTIVE_MAX ? task_alloc(m) : NULL;
    struct timeval now = {0};
    char line[UPID_MAX + 4];

    if (!t || fill(t, spec) < 0) {
        if (!t) {
            state_txn_free(spec->initial);
            state_txn_free(spec->final);
        }
        task_free(t);
        return err_set(e, -EAGAIN, "host.busy", "too many tasks");
    }
    if (event_base_once(m->base, -1, EV_TIMEOUT, start_on_loop, t, &now) < 0) {
        task_free(t);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    list_add_tail(&m->active, &t->node);
    m->n_active++;
    snprintf(line, sizeof(line), "S %s", t->text);
    task_log_index(m->log, line);
    tell(m, t);
    if (ret)
        *ret = t;
    return 0;
}

struct task_hold {
    struct list_node node;
    struct task_mgr *mgr;
    uint32_t vmid;
    char name[16];
};

struct task_hold *task_hold(struct task_mgr *m, uint32_t vmid, const char *name)
{
    struct task_hold *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->mgr = m;
    h->vmid = vmid;
    snprintf(h->name, sizeof(h->name), "%s", name);
    list_add_tail(&m->holds, &h->node);
    return h;
}

void task_hold_release(struct task_hold *h)
{
    if (!h)
        return;
    struct task_mgr *m = h->mgr;
    list_remove(&h->node);
    free(h);
    check_waiters(m);
}

const char *task_guest_lock(struct task_mgr *m, uint32_t vmid)
{
    LIST_FOREACH(h, &m->holds, struct task_hold, node)
    if (h->vmid == vmid)
        return h->name;
    LIST_FOREACH(t, &m->active, struct task, node)
    if (t->vmid == vmid && t->steps)
        return streq(t->upid.type, "qmcreate") ? "create" : streq(t->upid.type, "qmdestroy") ? "destroyed" : "config";
    return NULL;
}

bool task_guest_has(struct task_mgr *m, uint32_t vmid, const char *type)
{
    LIST_FOREACH(t, &m->active, struct task, node)
    if (t->vmid == vmid && streq(t->upid.type, type))
        return true;
    return false;
}

static void arm_waiter_timer(struct task_mgr *m)
{
    uint64_t now = clock_boot_ms(), next = UINT64_MAX;

    LIST_FOREACH(w, &m->waiters, struct waiter, node)
    if (w->deadline_ms < next)
        next = w->deadline_ms;
    if (next == UINT64_MAX)
        return;
    uint64_t wait = next > now ? next - now : 1;
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    evtimer_add(m->waiter_timer, &tv);
}

/* Answers one waiter whose guest is free or whose time is up; false when there is none. */
static bool answer_one(struct task_mgr *m, uint64_t now)
{
    struct err e = ERR_INIT;

    LIST_FOREACH(w, &m->waiters, struct waiter, node)
    {
        const char *lock = task_guest_lock(m, w->vmid);
        if (lock && now < w->deadline_ms)
            continue;
        int r = lock ? err_set(&e, -EBUSY, "guest.locked", "VM is locked (%s)", lock) : 0;
        list_remove(&w->node);
        if (w->task)
            w->task->is_yielding = false;
        w->fn(w->arg, r, &e);
        free(w);
        return true; /* the list may have changed */
    }
    return false;
}

static void check_waiters(struct task_mgr *m)
{
    uint64_t now = clock_boot_ms();

    while (answer_one(m, now))
        continue;
    arm_waiter_timer(m);
}

static void on_waiter_timer(evutil_socket_t fd, short what, void *arg)
{
    check_waiters(arg);
}

static void wait_unlocked(struct task_mgr *m, struct task *t, uint32_t vmid, uint32_t timeout_ms,
                          void (*fn)(void *arg, int r, const struct err *e), void *arg)
{
    struct err e = ERR_INIT;

    if (m->is_abandoned) {
        fn(arg, err_set(&e, -EINTR, TASK_DAEMON_ENDING, "the daemon is ending"), &e);
        return;
    }
    if (!task_guest_lock(m, vmid)) {
        fn(arg, 0, &e);
        return;
    }
    struct waiter *w = malloc(sizeof(*w));
    if (!w) {
        fn(arg, err_set(&e, -ENOMEM, NULL, "out of memory"), &e);
        return;
    }
    *w = (struct waiter){.vmid = vmid, .deadline_ms = clock_boot_ms() + timeout_ms, .fn = fn, .arg = arg, .task = t};
    list_add_tail(&m->waiters, &w->node);
    arm_waiter_timer(m);
    if (t) {
        t->is_yielding = true;
        run_next(m, vmid);
    }
}

void task_when_unlocked(struct task_mgr *m, uint32_t vmid, uint32_t timeout_ms,
                        void (*fn)(void *arg, int r, const struct err *e), void *arg)
{
    wait_unlocked(m, NULL, vmid, timeout_ms, fn, arg);
}

void task_wait_unlocked(struct task *t, uint32_t timeout_ms, void (*fn)(void *arg, int r, const struct err *e),
                        void *arg)
{
    wait_unlocked(t->mgr, t, t->vmid, timeout_ms, fn, arg);
}

void task_mgr_set_observer(struct task_mgr *m, void (*fn)(void *arg, const struct task_view *v), void *arg)
{
    m->observer = fn;
    m->observer_arg = arg;
}

static void view(const struct task *t, struct task_view *v)
{
    *v = (struct task_view){
        .upid = t->upid,
        .text = t->text,
        .is_running = t->phase != TASK_ENDED,
        .endtime = t->endtime,
        .status = t->status,
        .phase = t->progress_phase,
        .done_bytes = t->done_bytes,
        .total_bytes = t->total_bytes,
        .error_code = t->error_code,
        .error_hint = t->error_hint ? t->error_hint : "",
    };
}

void task_mgr_set_listener(struct task_mgr *m, void (*fn)(void *arg, const struct task_view *v), void *arg)
{
    m->listener = fn;
    m->listener_arg = arg;
}

static void tell(struct task_mgr *m, const struct task *t)
{
    struct task_view v;

    if (!m->listener)
        return;
    view(t, &v);
    m->listener(m->listener_arg, &v);
}

static void observe(struct task_mgr *m, const struct task *t)
{
    struct task_view v;

    tell(m, t);
    if (!m->observer)
        return;
    view(t, &v);
    m->observer(m->observer_arg, &v);
}

void task_each(struct task_mgr *m, bool (*fn)(void *arg, const struct task_view *v), void *arg)
{
    struct task_view v;

    for (struct list_node *n = m->active.prev; n != &m->active; n = n->prev) {
        view(container_of(n, struct task, node), &v);
        if (!fn(arg, &v))
            return;
    }
    LIST_FOREACH(t, &m->finished, struct task, node)
    {
        view(t, &v);
        if (!fn(arg, &v))
            return;
    }
}

bool task_find(struct task_mgr *m, const char *upid, struct task_view *ret)
{
    struct list_node *lists[] = {&m->active, &m->finished};

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        LIST_FOREACH(t, lists[i], struct task, node)
    if (streq(t->text, upid)) {
        view(t, ret);
        return true;
    }
    return false;
}

int task_log_read(struct task_mgr *m, const char *upid, uint64_t start, uint64_t limit,
                  void (*done)(void *arg, int r, const char *text, size_t n, uint64_t total, const struct err *e),
                  void *arg, struct err *e)
{
    return task_log_lines(m->log, upid, start, limit, done, arg, e);
}

/* A line of the index: "S UPID" or "E UPID ENDTIME STATUS". */
static void load_line(void *arg, char *line)
{
    struct task_mgr *m = arg;
    struct upid u;

    if (strlen(line) < 3 || line[1] != ' ')
        return;
    char *text = line + 2, *rest = strchr(text, ' ');
    if (rest)
        *rest++ = 0;
    if (upid_parse(text, &u) < 0)
        return;
    struct task *t = NULL;
    LIST_FOREACH(o, &m->finished, struct task, node)
    if (streq(o->text, text)) {
        t = o;
        break;
    }
    if (!t) {
        t = task_alloc(m);
        if (!t)
            return;
        t->upid = u;
        t->phase = TASK_ENDED;
        snprintf(t->text, sizeof(t->text), "%s", text);
        list_add_head(&m->finished, &t->node);
        m->n_finished++;
    }
    if (line[0] == 'E' && rest) {
        char *end;
        t->endtime = (int64_t)strtoull(rest, &end, 16);
        free(t->status);
        t->status = strdup(*end == ' ' ? end + 1 : "unknown");
    }
    trim_finished(m);
}

static void on_end(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct task_mgr *m = arg;

    if (value && m->is_recovering)
        plan_recover_end(m, key + strlen("local/ended/"), value);
}

/* Tasks that were running when the last daemon ended, and are not in the journal, did not survive it. */
static void end_interrupted(struct task_mgr *m)
{
    struct err e = ERR_INIT;

    err_set(&e, -EINTR, "task.interrupted", "interrupted by a restart of the daemon");
    LIST_FOREACH(t, &m->finished, struct task, node)
    if (!t->status) {
        t->endtime = clock_wall_s();
        set_status(t, e.num, &e);
        task_write_end(t, e.num);
    }
}

static int compact_index(struct task_mgr *m, struct err *e)
{
    struct buf b;

    buf_init(&b, 64u * 1024u * 1024u);
    for (struct list_node *n = m->finished.prev; n != &m->finished; n = n->prev) {
        struct task *t = container_of(n, struct task, node);
        buf_printf(&b, "S %s\n", t->text);
        if (t->status)
            buf_printf(&b, "E %s %08llX %s\n", t->text, (unsigned long long)t->endtime, t->status);
    }
    int r = b.is_failed ? err_set(e, -ENOMEM, NULL, "out of memory") : task_log_rewrite_index(m->log, &b, e);
    buf_done(&b);
    return r;
}

int task_mgr_new(struct event_base *base, struct state *s, struct pool *pool, const char *root_dir, const char *node,
                 struct task_mgr **ret, struct err *e)
{
    struct task_mgr *m = calloc(1, sizeof(*m));
    int r;

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    m->base = base;
    m->state = s;
    m->pool = pool;
    list_init(&m->active);
    list_init(&m->finished);
    list_init(&m->waiters);
    list_init(&m->holds);
    m->waiter_timer = evtimer_new(base, on_waiter_timer, m);
    m->written_ends = json_array();
    if (!m->waiter_timer || !m->written_ends || str_copy(m->node, sizeof(m->node), node) < 0 ||
        proc_start_time(getpid(), &m->pstart) < 0)
        r = err_set(e, -EINVAL, NULL, "cannot start the task manager");
    else
        r = task_log_open(base, root_dir, &m->log, e);
    if (r == 0)
        r = task_log_load_index(m->log, load_line, m, e);
    if (r == 0)
        r = compact_index(m, e);
    if (r < 0) {
        task_mgr_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

void task_mgr_stop(struct task_mgr *m)
{
    if (m)
        m->is_stopping = true;
}

bool task_mgr_drain(struct task_mgr *m)
{
    return m && m->long_pool && pool_drain(m->long_pool);
}

void task_mgr_abandon(struct task_mgr *m)
{
    struct err e = ERR_INIT;

    if (!m)
        return;
    m->is_abandoned = true; /* who begins to wait from now on is told at once */
    err_set(&e, -EINTR, "daemon.ending", "the daemon is ending");
    LIST_FOREACH_SAFE(w, &m->waiters, struct waiter, node)
    {
        list_remove(&w->node);
        w->fn(w->arg, e.num, &e);
        free(w);
    }
    LIST_FOREACH_SAFE(t, &m->active, struct task, node)
    {
        void (*ended)(struct task * t, void *arg, int r, const struct err *e) = t->ended;
        task_tell_accepted(t, e.num, &e);
        t->ended = NULL;
        if (ended && !t->is_recovered)
            ended(t, t->arg, e.num, &e);
    }
}

void task_mgr_free(struct task_mgr *m)
{
    if (!m)
        return;
    if (m->long_pool)
        pool_free(m->long_pool);
    task_log_close(m->log);
    LIST_FOREACH_SAFE(t, &m->active, struct task, node)
    task_free(t);
    LIST_FOREACH_SAFE(t, &m->finished, struct task, node)
    task_free(t);
    LIST_FOREACH_SAFE(w, &m->waiters, struct waiter, node)
    free(w);
    LIST_FOREACH_SAFE(h, &m->holds, struct task_hold, node)
    free(h);
    if (m->waiter_timer)
        event_free(m->waiter_timer);
    json_decref(m->written_ends);
    free(m);
}

void task_mgr_set_steps(struct task_mgr *m, const struct task_step_type *const *types, void *ctx)
{
    m->step_types = types;
    m->step_ctx = ctx;
}

bool task_mgr_is_recovering(struct task_mgr *m)
{
    return m->is_recovering;
}

static void on_journal(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct task_mgr *m = arg;

    if (value && m->is_recovering)
        plan_recover_entry(m, key + strlen("local/journal/"), value);
}

void task_mgr_recover(struct task_mgr *m, void (*done)(void *arg), void *arg)
{
    struct err e = ERR_INIT;
    struct state_watch *w = NULL;

    m->recovered = done;
    m->recovered_arg = arg;
    m->is_recovering = true;
    m->n_recovering = 1; /* ours, until all entries are seen */
    if (state_watch(m->state, "local/ended/", on_end, m, &w, &e) == 0)
        state_unwatch(w);
    if (state_watch(m->state, "local/journal/", on_journal, m, &w, &e) == 0)
        state_unwatch(w);
    end_interrupted(m);
    if (--m->n_recovering == 0) {
        m->is_recovering = false;
        done(arg);
    }
}
