/* The store's generic half: a queue to one writer thread, group commit, watches and leases.
 *
 * Threads: the loop thread owns everything but the two queues; the writer thread takes whole batches from `queue`,
 * commits them through the backend and puts them on `finished`; an eventfd wakes the loop. Lock: `lock` guards the two
 * queues and the flags beside them, nothing else. */
#include "state/state_priv.h"

#include <event2/event.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/list.h"

#define BATCH_MAX  64u
#define LEASES_MAX 1024u

struct state_watch {
    struct list_node node;
    struct state *state;
    char *prefix;
    state_watch_fn fn;
    void *arg;
};

struct lease {
    struct list_node node;
    uint64_t id, ttl_ms, expires_ms;
};

struct state {
    struct state_backend *backend;
    struct event *wake;
    struct event *lease_timer;
    int wake_fd;
    struct list_node watches, leases;
    uint64_t next_lease;
    size_t n_leases;

    pthread_t writer;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* queue grew, or the writer became idle, or stop */
    struct state_txn *queue, **queue_tail;
    struct state_txn *finished, **finished_tail;
    bool is_stopping, is_writing;
    unsigned n_scans; /* the loop thread reads: the writer waits, for the backend serves one at a time */
};

/* Takes up to BATCH_MAX transactions; waits for one. NULL = stop. */
static struct state_txn *take_batch(struct state *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_writing = false;
    pthread_cond_broadcast(&s->changed);
    while (s->queue ? s->n_scans > 0 : !s->is_stopping)
        pthread_cond_wait(&s->changed, &s->lock);
    struct state_txn *first = s->queue, *last = first;
    for (size_t n = 1; last && last->next && n < BATCH_MAX; n++)
        last = last->next;
    if (last) {
        s->queue = last->next;
        if (!s->queue)
            s->queue_tail = &s->queue;
        last->next = NULL;
        s->is_writing = true;
    }
    pthread_mutex_unlock(&s->lock);
    return first;
}

static void *writer_main(void *arg)
{
    struct state *s = arg;
    uint64_t one = 1;

    for (struct state_txn *batch; (batch = take_batch(s));) {
        s->backend->ops->commit(s->backend, batch);
        pthread_mutex_lock(&s->lock);
        *s->finished_tail = batch;
        while (*s->finished_tail)
            s->finished_tail = &(*s->finished_tail)->next;
        pthread_mutex_unlock(&s->lock);
        if (write(s->wake_fd, &one, sizeof(one)) < 0)
            continue; /* the counter is full: the loop is awake anyway */
    }
    return NULL;
}

static void notify_watches(struct state *s, const struct state_txn *t)
{
    for (size_t i = 0; i < t->n_ops; i++) {
        const struct state_op *op = &t->ops[i];
        if (op->kind != STATE_OP_PUT && op->kind != STATE_OP_DELETE)
            continue;
        LIST_FOREACH_SAFE(w, &s->watches, struct state_watch, node)
        if (state_prefix_matches(w->prefix, op->key))
            w->fn(w->arg, op->key, op->kind == STATE_OP_PUT ? op->value : NULL, t->revision);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct state *s = arg;
    uint64_t count;

    if (read(s->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
    pthread_mutex_lock(&s->lock);
    struct state_txn *t = s->finished;
    s->finished = NULL;
    s->finished_tail = &s->finished;
    pthread_mutex_unlock(&s->lock);
    while (t) {
        struct state_txn *next = t->next;
        if (t->result == 0)
            notify_watches(s, t);
        if (t->done)
            t->done(t->arg, t->result, t->revision, &t->err);
        state_txn_free(t);
        t = next;
    }
}

static void enqueue(struct state *s, struct state_txn *t, bool is_finished)
{
    uint64_t one = 1;

    t->next = NULL;
    pthread_mutex_lock(&s->lock);
    struct state_txn ***tail = is_finished ? &s->finished_tail : &s->queue_tail;
    **tail = t;
    *tail = &t->next;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (is_finished && write(s->wake_fd, &one, sizeof(one)) < 0)
        return;
}

static const struct err no_memory = {
    .num = -ENOMEM, .code = "host.memory", .text = "out of memory for a state transaction"};

struct late_failure {
    state_done_fn done;
    void *arg;
};

static void report_late(evutil_socket_t fd, short what, void *ctx)
{
    struct late_failure *l = ctx;

    l->done(l->arg, no_memory.num, 0, &no_memory);
    free(l);
}

/* There is no transaction to queue: the answer still comes from the loop, unless not even that can be had. */
static void fail_without_txn(struct state *s, state_done_fn done, void *arg)
{
    struct late_failure *l = done ? malloc(sizeof(*l)) : NULL;
    struct timeval now = {0};

    if (l)
        *l = (struct late_failure){.done = done, .arg = arg};
    if (l && event_base_once(event_get_base(s->wake), -1, EV_TIMEOUT, report_late, l, &now) == 0)
        return;
    free(l);
    if (done)
        done(arg, no_memory.num, 0, &no_memory);
}

void state_commit(struct state *s, struct state_txn *t, state_done_fn done, void *arg)
{
    if (!t) {
        fail_without_txn(s, done, arg);
        return;
    }
    t->done = done;
    t->arg = arg;
    if (t->broken == -E2BIG)
        t->result = err_set(&t->err, -E2BIG, "state.too-large", "more than %u changes or %u bytes in one transaction",
                            STATE_TXN_OPS_MAX, STATE_TXN_BYTES_MAX);
    else if (t->broken)
        t->result = err_set(&t->err, t->broken, NULL, "%s", no_memory.text);
    else if (FP("state.commit"))
        t->result = err_set(&t->err, -EIO, NULL, "fail point");
    enqueue(s, t, t->result < 0);
}

static int scan_to_watch(void *arg, const char *key, const char *value, uint64_t revision, struct err *e)
{
    struct state_watch *w = arg;

    w->fn(w->arg, key, value, revision);
    return 0;
}

int state_watch(struct state *s, const char *prefix, state_watch_fn fn, void *arg, struct state_watch **ret,
                struct err *e)
{
    struct state_watch *w = calloc(1, sizeof(*w));

    if (!w || !(w->prefix = strdup(prefix))) {
        free(w);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    w->state = s;
    w->fn = fn;
    w->arg = arg;
    /* Nothing may be committed between the scan and the first event: wait until the writer is idle, and keep it so.
     * What fn commits meanwhile is written behind the scan. */
    pthread_mutex_lock(&s->lock);
    while (!s->n_scans && (s->queue || s->is_writing))
        pthread_cond_wait(&s->changed, &s->lock);
    s->n_scans++;
    pthread_mutex_unlock(&s->lock);
    int r = s->backend->ops->scan(s->backend, prefix, scan_to_watch, w, e);
    pthread_mutex_lock(&s->lock);
    s->n_scans--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (r < 0) {
        free(w->prefix);
        free(w);
        return r;
    }
    list_add_tail(&s->watches, &w->node);
    if (ret)
        *ret = w;
    return 0;
}

void state_unwatch(struct state_watch *w)
{
    if (!w)
        return;
    list_remove(&w->node);
    free(w->prefix);
    free(w);
}

static void arm_lease_timer(struct state *s)
{
    uint64_t now = clock_boot_ms(), next = UINT64_MAX;

    LIST_FOREACH(l, &s->leases, struct lease, node)
    if (l->expires_ms < next)
        next = l->expires_ms;
    if (next == UINT64_MAX)
        return;
    uint64_t wait = next > now ? next - now : 1;
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    evtimer_add(s->lease_timer, &tv);
}

static void end_lease(struct state *s, struct lease *l)
{
    struct state_txn *t = state_txn_new();

    if (t && state_txn_add(t, (struct state_op){.kind = STATE_OP_DELETE_LEASE, .lease = l->id}, NULL, NULL) == 0)
        state_commit(s, t, NULL, NULL);
    else
        state_txn_free(t); /* out of memory: the keys go at the next start */
    list_remove(&l->node);
    free(l);
    s->n_leases--;
}

static void on_lease_timer(evutil_socket_t fd, short what, void *arg)
{
    struct state *s = arg;
    uint64_t now = clock_boot_ms();

    LIST_FOREACH_SAFE(l, &s->leases, struct lease, node)
    if (l->expires_ms <= now)
        end_lease(s, l);
    arm_lease_timer(s);
}

int state_lease_grant(struct state *s, uint32_t ttl_ms, uint64_t *ret_lease, struct err *e)
{
    if (s->n_leases == LEASES_MAX)
        return err_set(e, -EAGAIN, "state.leases", "too many leases");
    struct lease *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    l->id = ++s->next_lease;
    l->ttl_ms = ttl_ms;
    l->expires_ms = clock_boot_ms() + ttl_ms;
    list_add_tail(&s->leases, &l->node);
    s->n_leases++;
    arm_lease_timer(s);
    *ret_lease = l->id;
    return 0;
}

static struct lease *find_lease(struct state *s, uint64_t id)
{
    LIST_FOREACH(l, &s->leases, struct lease, node)
    if (l->id == id)
        return l;
    return NULL;
}

int state_lease_keepalive(struct state *s, uint64_t lease, struct err *e)
{
    struct lease *l = find_lease(s, lease);

    if (!l)
        return err_set(e, -ENOENT, "state.lease", "lease %" PRIu64 " has ended", lease);
    l->expires_ms = clock_boot_ms() + l->ttl_ms;
    arm_lease_timer(s);
    return 0;
}

void state_lease_revoke(struct state *s, uint64_t lease)
{
    struct lease *l = find_lease(s, lease);

    if (l)
        end_lease(s, l);
}

int state_new(struct event_base *base, struct state_backend *b, struct state **ret, struct err *e)
{
    struct state *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    s->backend = b;
    list_init(&s->watches);
    list_init(&s->leases);
    s->queue_tail = &s->queue;
    s->finished_tail = &s->finished;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->wake = s->wake_fd >= 0 ? event_new(base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s) : NULL;
    s->lease_timer = evtimer_new(base, on_lease_timer, s);
    if (!s->wake || !s->lease_timer || event_add(s->wake, NULL) < 0 ||
        pthread_create(&s->writer, NULL, writer_main, s) != 0) {
        int r = err_set(e, -ENOMEM, NULL, "cannot start the state writer");
        if (s->wake)
            event_free(s->wake);
        if (s->lease_timer)
            event_free(s->lease_timer);
        if (s->wake_fd >= 0)
            close(s->wake_fd);
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void state_close(struct state *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->writer, NULL);
    for (struct state_txn *t = s->finished, *next; t; t = next) {
        next = t->next;
        state_txn_free(t);
    }
    LIST_FOREACH_SAFE(w, &s->watches, struct state_watch, node)
    state_unwatch(w);
    LIST_FOREACH_SAFE(l, &s->leases, struct lease, node)
    {
        list_remove(&l->node);
        free(l);
    }
    event_free(s->wake);
    event_free(s->lease_timer);
    close(s->wake_fd);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    s->backend->ops->close(s->backend);
    free(s);
}
