/* Starting, shutting down and suspending many guests in their order: the tasks of /nodes/N/startall, stopall and
 * suspendall and of /cluster/bulk-action, and the start of guests with the host. Order as PVE: by the order of
 * `startup`, those without one last, then by vmid; stopping is the reverse. `up` seconds are waited after a start
 * before the next guest; a shutdown may take `down` seconds. Guests of one order go together, as many at once as
 * allowed; the next order begins when all of the one before are done. Each guest has a task of its own, which this one
 * only waits for. Loop thread. */
#include <event2/event.h>

#include "base/propstr.h"
#include "guest/guest_priv.h"

#define ORDER_LAST     UINT64_MAX
#define UP_MAX_S       86400u
#define DOWN_DEFAULT_S 180u

struct bulk;

struct bulk_entry {
    struct bulk *bulk;
    uint32_t vmid;
    uint64_t order, up_s, down_s; /* down_s 0: not given */
    struct task *child;           /* while it runs */
};

struct bulk {
    struct guest_mgr *mgr;
    struct task *task;
    struct event *timer; /* pending: nothing is started until then */
    struct bulk_entry *entries;
    size_t n, next, n_running;
    enum guest_bulk_action action;
    bool is_forced;
    uint32_t workers, timeout_s, delay_s;
    char user[160];
};

static void go_on(struct bulk *b);

static void bulk_free(struct bulk *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n; i++)
        if (b->entries[i].child)
            task_when_ended(b->entries[i].child, NULL, NULL);
    if (b->timer)
        event_free(b->timer);
    free(b->entries);
    free(b);
}

static void bulk_ended(struct task *t, void *arg, int r, const struct err *e)
{
    bulk_free(arg);
}

static void child_ended(void *arg, int r, const struct err *e)
{
    struct bulk_entry *en = arg;
    struct bulk *b = en->bulk;

    en->child = NULL;
    b->n_running--;
    if (r < 0)
        task_warn(b->task, "VM %u: %s", en->vmid, e->text);
    go_on(b);
}

static void wait_s(struct bulk *b, uint64_t seconds)
{
    struct timeval tv = {.tv_sec = (time_t)seconds};

    evtimer_add(b->timer, &tv);
}

static bool has_work(const struct bulk *b, const struct guest *g)
{
    if (!g || g->is_dropped)
        return false;
    if (b->action == GUEST_BULK_SUSPEND)
        return g->state == GUEST_RUNNING;
    return guest_is_running(g) == (b->action == GUEST_BULK_SHUTDOWN);
}

static const struct {
    const char *doing, *idle; /* for the task's log */
    int (*fn)(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
} actions[] = {
    [GUEST_BULK_START] = {"Starting", "runs already", guest_start},
    [GUEST_BULK_SHUTDOWN] = {"Stopping", "does not run", guest_shutdown},
    [GUEST_BULK_SUSPEND] = {"Suspending", "does not run", guest_suspend},
};

/* Its own task; what cannot be begun is a warning, the others go on. */
static void begin_one(struct bulk *b, struct bulk_entry *en)
{
    struct guest_op op = {.vmid = en->vmid, .user = b->user};
    struct err e = ERR_INIT;

    if (!has_work(b, guest_find(b->mgr, en->vmid))) {
        task_log(b->task, "VM %u %s", en->vmid, actions[b->action].idle);
        return;
    }
    if (b->action == GUEST_BULK_START)
        op.timeout_s = b->timeout_s;
    if (b->action == GUEST_BULK_SHUTDOWN) {
        op.is_forced = b->is_forced;
        op.timeout_s = en->down_s ? (uint32_t)en->down_s : b->timeout_s ? b->timeout_s : DOWN_DEFAULT_S;
    }
    int r = actions[b->action].fn(b->mgr, &op, &en->child, &e);
    if (r < 0) {
        en->child = NULL;
        task_warn(b->task, "VM %u: %s", en->vmid, e.text);
        return;
    }
    task_log(b->task, "%s VM %u (%s)", actions[b->action].doing, en->vmid, task_upid(en->child));
    b->n_running++;
    task_when_ended(en->child, child_ended, en);
    if (b->action == GUEST_BULK_START && en->up_s && b->next < b->n)
        wait_s(b, en->up_s);
}

static bool may_begin(const struct bulk *b)
{
    if (b->next == b->n || evtimer_pending(b->timer, NULL) || b->n_running >= b->workers)
        return false;
    return b->n_running == 0 || b->entries[b->next].order == b->entries[b->next - 1].order;
}

/* After anything happened. Ends the task, and with it b, when there is nothing left. */
static void go_on(struct bulk *b)
{
    while (may_begin(b))
        begin_one(b, &b->entries[b->next++]);
    if (b->next == b->n && b->n_running == 0)
        task_end(b->task, 0, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    go_on(arg);
}

static void bulk_begin(struct task *t, void *arg)
{
    struct bulk *b = arg;

    b->task = t;
    if (b->delay_s && b->n) {
        task_log(t, "waiting %u seconds before the first guest", b->delay_s);
        wait_s(b, b->delay_s);
    }
    go_on(b);
}

/* Guests that it has started, or told to shut down, have tasks of their own, which go on. */
static int bulk_cancel(struct task *t, void *arg, struct err *e)
{
    struct err reason = ERR_INIT;

    task_end(t, err_set(&reason, -ECANCELED, "task.aborted", "%s", task_abort_reason(t)), &reason);
    return 0;
}

static void read_startup(const struct guest *g, struct bulk_entry *en)
{
    const char *value = config_get(&g->config, "startup");
    struct err e = ERR_INIT;
    struct propstr p;

    if (!value || propstr_parse(value, "order", &p, &e) < 0)
        return;
    if (propstr_get_u64(&p, "order", ORDER_LAST, &en->order, &e) < 0)
        en->order = ORDER_LAST;
    if (propstr_get_u64(&p, "up", 0, &en->up_s, &e) < 0 || en->up_s > UP_MAX_S)
        en->up_s = 0;
    if (propstr_get_u64(&p, "down", 0, &en->down_s, &e) < 0 || en->down_s > UP_MAX_S)
        en->down_s = 0;
}

uint32_t guest_down_s(const struct guest *g)
{
    struct bulk_entry en = {0};

    read_startup(g, &en);
    return (uint32_t)en.down_s;
}

static int by_order(const void *x, const void *y)
{
    const struct bulk_entry *a = x, *b = y;

    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    return a->vmid < b->vmid ? -1 : 1;
}

static int by_order_reversed(const void *x, const void *y)
{
    return by_order(y, x);
}

static bool is_on(const struct guest *g, const char *key)
{
    const char *value = config_get(&g->config, key);
    bool on;

    return value && propstr_bool(value, &on) == 0 && on;
}

/* In the list of numbers, or there is no list. */
static bool is_listed(const char *list, uint32_t vmid)
{
    char number[16];
    size_t len = (size_t)snprintf(number, sizeof(number), "%u", vmid);

    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",; \t\n");
        if (n == len && strncmp(p, number, n) == 0)
            return true;
        p += n + (p[n] != 0);
    }
    return !list;
}

static void collect(struct bulk *b, const struct guest_bulk *o)
{
    for (size_t i = 0; i < b->mgr->n; i++) {
        const struct guest *g = b->mgr->guests[i];
        bool is_meant = b->action != GUEST_BULK_START ? has_work(b, g) : o->is_forced || is_on(g, "onboot");
        if (g->is_dropped || !is_meant || is_on(g, "template") || !is_listed(o->vmids, g->vmid))
            continue;
        struct bulk_entry *en = &b->entries[b->n++];
        *en = (struct bulk_entry){.bulk = b, .vmid = g->vmid, .order = ORDER_LAST};
        read_startup(g, en);
    }
    if (b->n)
        qsort(b->entries, b->n, sizeof(*b->entries), b->action == GUEST_BULK_START ? by_order : by_order_reversed);
}

int guest_bulk(struct guest_mgr *m, const struct guest_bulk *o, struct task **ret, struct err *e)
{
    struct bulk *b = calloc(1, sizeof(*b));

    if (!b || !(b->entries = calloc(m->n + 1, sizeof(*b->entries))) ||
        !(b->timer = evtimer_new(m->env.base, on_timer, b))) {
        bulk_free(b);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    b->mgr = m;
    b->action = o->action;
    b->is_forced = o->is_forced;
    b->workers = o->workers ? o->workers : 1;
    b->timeout_s = o->timeout_s;
    b->delay_s = o->delay_s;
    snprintf(b->user, sizeof(b->user), "%s", o->user);
    collect(b, o);
    struct task_spec spec = {.type = o->type,
                             .id = "",
                             .user = o->user,
                             .begin = bulk_begin,
                             .cancel = bulk_cancel,
                             .ended = bulk_ended,
                             .arg = b};
    int r = task_start(m->env.tasks, &spec, ret, e);
    if (r < 0)
        bulk_free(b);
    return r;
}
