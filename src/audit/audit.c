/* The queue to the appending thread, the log's health, and what happens at its start and end; see audit.h.
 *
 * Threads: the loop owns everything but what stands below `lock`, and the segment, which is the appending thread's once
 * that runs. A batch is written whole or not at all. A record that could not be written is told to its caller, kept,
 * and queued again before the next one. */
#include "audit/audit_priv.h"

#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"

#define BATCH_MAX   512u
#define LATE_MAX    4096u
#define NOTES_MAX   4u
#define FLOOD_S     5
#define SETTLE_SCAN 8192u /* more records than requests can be under way */

struct item {
    struct item *next;
    char *body;
    int slot;
    bool is_probe; /* only worth writing if there is room for more */
    audit_done_fn done;
    void *arg;
    int r;
    struct err err;
};

struct queue {
    struct item *first, **tail;
};

struct waiter {
    struct waiter *next;
    audit_done_fn done;
    void *arg;
};

struct audit {
    /* loop */
    struct event *wake, *flood_timer;
    struct audit_pending *pending;
    struct audit_flood *flood;
    struct queue late;
    size_t n_late;
    struct waiter *waiters; /* of the probe under way */
    uint64_t n_refused;     /* since the log cannot be written */
    struct err failure;     /* num 0: healthy */
    uint64_t next_id;
    char *dir;

    /* appending thread */
    struct audit_segment segment;
    char *notes[NOTES_MAX]; /* bodies about what was found at the start */
    size_t n_notes;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct queue queue, finished;
    bool is_stopping, is_writing;
    int dirfd;
    struct audit_bound bound;
    struct audit_chain head;
    struct err low; /* the last reservation failed */

    pthread_t thread;
    bool has_thread;
    int wake_fd;
};

static void queue_init(struct queue *q)
{
    q->first = NULL;
    q->tail = &q->first;
}

static void queue_add(struct queue *q, struct item *it)
{
    it->next = NULL;
    *q->tail = it;
    q->tail = &it->next;
}

static void queue_join(struct queue *q, struct queue *other)
{
    if (!other->first)
        return;
    *q->tail = other->first;
    q->tail = other->tail;
    queue_init(other);
}

static void item_free(struct item *it)
{
    if (it)
        free(it->body);
    free(it);
}

/* ---- appending thread ---- */

static size_t take_batch(struct audit *a, struct item **batch)
{
    size_t n = 0;

    pthread_mutex_lock(&a->lock);
    a->is_writing = false;
    pthread_cond_broadcast(&a->changed);
    while (!a->queue.first && !a->is_stopping)
        pthread_cond_wait(&a->changed, &a->lock);
    while (a->queue.first && n < BATCH_MAX) {
        batch[n++] = a->queue.first;
        a->queue.first = a->queue.first->next;
    }
    if (!a->queue.first)
        queue_init(&a->queue);
    a->is_writing = n > 0;
    pthread_mutex_unlock(&a->lock);
    return n;
}

static void publish(struct audit *a, const struct err *low)
{
    pthread_mutex_lock(&a->lock);
    a->dirfd = a->segment.dirfd;
    a->bound = (struct audit_bound){.file = a->segment.number, .bytes = a->segment.bytes};
    a->head = a->segment.chain;
    a->low = *low;
    pthread_mutex_unlock(&a->lock);
}

static void add_note(void *arg, const char *text)
{
    struct audit *a = arg;
    struct buf b;

    log_error("audit: %s", text);
    buf_init(&b, 2048);
    audit_note_body(&b, "note", text);
    char *body = a->n_notes < NOTES_MAX ? buf_take(&b) : NULL;
    if (body)
        a->notes[a->n_notes++] = body;
    buf_done(&b);
}

static void drop_notes(struct audit *a)
{
    while (a->n_notes)
        free(a->notes[--a->n_notes]);
}

/* A folder that was not there, or could not be read, may be there now. */
static int need_folder(struct audit *a, struct err *e)
{
    int fd, r;

    if (a->segment.dirfd >= 0)
        return 0;
    r = fs_open_dir(AT_FDCWD, a->dir, 0700, &fd, e);
    if (r < 0)
        return r;
    a->segment.dirfd = fd;
    r = audit_segment_open(&a->segment, add_note, a, e);
    if (r < 0) {
        close(fd);
        a->segment.dirfd = -EBADF;
    }
    return r;
}

static int append(struct audit *a, struct item **items, size_t n, struct err *e)
{
    const char *bodies[NOTES_MAX + BATCH_MAX];
    size_t k = 0;

    for (size_t i = 0; i < a->n_notes; i++)
        bodies[k++] = a->notes[i];
    for (size_t i = 0; i < n; i++)
        bodies[k++] = items[i]->body;
    int r = audit_segment_append(&a->segment, bodies, k, e);
    if (r == 0)
        drop_notes(a);
    return r;
}

static void write_batch(struct audit *a, struct item **batch, size_t n)
{
    struct item *chosen[BATCH_MAX];
    struct err e = ERR_INIT, low = ERR_INIT;
    size_t n_chosen = 0;
    int r = need_folder(a, &e);

    if (r == 0 && a->segment.is_low)
        a->segment.is_low = audit_segment_reserve(&a->segment, &low) < 0;
    for (size_t i = 0; i < n; i++) {
        if (batch[i]->is_probe && a->segment.is_low) {
            batch[i]->r = low.num;
            batch[i]->err = low;
        } else {
            chosen[n_chosen++] = batch[i];
        }
    }
    if (r == 0 && n_chosen)
        r = append(a, chosen, n_chosen, &e);
    for (size_t i = 0; i < n_chosen; i++) {
        chosen[i]->r = r;
        chosen[i]->err = e;
    }
    if (r == 0)
        a->segment.is_low = audit_segment_reserve(&a->segment, &low) < 0;
    publish(a, &low);
}

static void *thread_main(void *arg)
{
    struct audit *a = arg;
    struct item *batch[BATCH_MAX];
    uint64_t one = 1;

    for (size_t n; (n = take_batch(a, batch)) > 0;) {
        write_batch(a, batch, n);
        pthread_mutex_lock(&a->lock);
        for (size_t i = 0; i < n; i++)
            queue_add(&a->finished, batch[i]);
        pthread_mutex_unlock(&a->lock);
        if (write(a->wake_fd, &one, sizeof(one)) < 0)
            continue; /* the counter is full: the loop is awake anyway */
    }
    return NULL;
}

/* ---- loop: ends of records ---- */

static void set_failure(struct audit *a, const struct err *why)
{
    bool was_healthy = a->failure.num == 0;

    err_set(&a->failure, -EIO, "audit.failed", "cannot write the audit log: %.400s", why->text);
    err_hint(&a->failure, "writes are refused until %.100s can be written; guests and reads go on", a->dir);
    if (was_healthy)
        log_err(LOG_ERROR, &a->failure, "audit");
}

static void set_healthy(struct audit *a)
{
    if (a->failure.num)
        log_note("the audit log can be written again");
    a->failure = (struct err)ERR_INIT;
}

static void end_probe(struct audit *a, int r)
{
    struct waiter *w = a->waiters, *next;
    struct err e = a->failure;

    a->waiters = NULL;
    for (; w; w = next) {
        next = w->next;
        a->n_refused += r < 0;
        w->done(w->arg, r < 0 ? e.num : 0, &e);
        free(w);
    }
    if (r == 0)
        a->n_refused = 0;
}

static void keep_late(struct audit *a, struct item *it)
{
    if (a->n_late == LATE_MAX) {
        log_error("an audit record is lost: %.900s", it->body);
        item_free(it);
        return;
    }
    a->n_late++;
    queue_add(&a->late, it);
}

static void end_item(struct audit *a, struct item *it)
{
    audit_done_fn done = it->done;
    int r = it->r;

    it->done = NULL;
    if (r == 0)
        audit_pending_clear(a->pending, it->slot);
    if (it->is_probe)
        end_probe(a, r);
    if (done)
        done(it->arg, r < 0 ? a->failure.num : 0, &a->failure);
    if (r < 0 && !it->is_probe)
        keep_late(a, it);
    else
        item_free(it);
}

static void run_finished(struct audit *a)
{
    struct queue q;
    struct err low;
    const struct err *why = NULL;

    queue_init(&q);
    pthread_mutex_lock(&a->lock);
    queue_join(&q, &a->finished);
    low = a->low;
    pthread_mutex_unlock(&a->lock);
    for (struct item *it = q.first; it; it = it->next)
        why = it->r < 0 ? &it->err : NULL;
    if (q.first && (why || low.num))
        set_failure(a, why ? why : &low);
    else if (q.first)
        set_healthy(a);
    for (struct item *it = q.first, *next; it; it = next) {
        next = it->next;
        end_item(a, it);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct audit *a = arg;
    uint64_t count;

    if (read(a->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
    run_finished(a);
}

/* ---- loop: new records ---- */

static void enqueue(struct audit *a, struct item *it)
{
    pthread_mutex_lock(&a->lock);
    queue_join(&a->queue, &a->late);
    queue_add(&a->queue, it);
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    a->n_late = 0;
}

static struct item *item_new(const char *body, int slot, audit_done_fn done, void *arg)
{
    struct item *it = calloc(1, sizeof(*it));

    if (!it || !(it->body = strdup(body))) {
        free(it);
        return NULL;
    }
    it->slot = slot;
    it->done = done;
    it->arg = arg;
    return it;
}

void audit_submit(struct audit *a, const char *body, int slot, audit_done_fn done, void *arg)
{
    struct item *it = item_new(body, slot, done, arg);
    struct err e = ERR_INIT;

    if (it) {
        enqueue(a, it);
        return;
    }
    err_set(&e, -ENOMEM, "audit.failed", "cannot write the audit log: out of memory");
    if (done)
        done(arg, e.num, &e);
}

static void submit_note(struct audit *a, const char *event, const char *text)
{
    struct buf b;

    buf_init(&b, AUDIT_BODY_MAX);
    audit_note_body(&b, event, text);
    if (!b.is_failed)
        audit_submit(a, buf_str(&b), -1, NULL, NULL);
    buf_done(&b);
}

static struct item *probe_new(struct audit *a)
{
    char text[160];
    struct buf b;

    snprintf(text, sizeof(text), "the log could not be written; %llu requests were refused meanwhile",
             (unsigned long long)a->n_refused);
    buf_init(&b, 1024);
    audit_note_body(&b, "note", text);
    struct item *it = b.is_failed ? NULL : item_new(buf_str(&b), -1, NULL, NULL);
    buf_done(&b);
    if (it)
        it->is_probe = true;
    return it;
}

void audit_recover(struct audit *a, audit_done_fn done, void *arg)
{
    struct waiter *w = calloc(1, sizeof(*w));
    struct item *it = w && !a->waiters ? probe_new(a) : NULL;

    if (!w || (!a->waiters && !it)) {
        free(w);
        done(arg, a->failure.num ? a->failure.num : -ENOMEM, &a->failure);
        return;
    }
    *w = (struct waiter){.next = a->waiters, .done = done, .arg = arg};
    a->waiters = w;
    if (it)
        enqueue(a, it);
}

int audit_is_healthy(struct audit *a, struct err *e)
{
    *e = a->failure;
    return a->failure.num;
}

/* ---- requests under way ---- */

uint64_t audit_next_id(struct audit *a)
{
    return a->next_id++;
}

int audit_begin(struct audit *a, uint64_t id, const char *object, const char *body)
{
    return audit_pending_put(a->pending, id, object, body);
}

struct old {
    uint64_t id;
    int slot;
    bool is_recorded;
    char object[AUDIT_OBJECT_MAX + 1];
    json_t *record;
};

struct settle {
    struct old *olds;
    size_t n;
};

static void collect_old(void *arg, int slot, uint64_t id, const char *object, const char *body)
{
    struct settle *s = arg;
    struct old *o = &s->olds[s->n++];
    json_error_t je;

    *o = (struct old){.id = id, .slot = slot, .record = json_loads(body, 0, &je)};
    snprintf(o->object, sizeof(o->object), "%s", object);
}

static void mark_recorded(void *arg, json_t *record)
{
    struct settle *s = arg;
    const char *text = json_string_value(json_object_get(record, "id"));
    char id[20];

    for (size_t i = 0; text && i < s->n; i++) {
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)s->olds[i].id);
        s->olds[i].is_recorded = s->olds[i].is_recorded || streq(text, id);
    }
}

static void settle_one(struct audit *a, struct old *o, void (*describe)(void *arg, const char *object, json_t *record),
                       void *arg)
{
    if (o->is_recorded || !json_is_object(o->record)) {
        audit_pending_clear(a->pending, o->slot);
        return;
    }
    json_object_set_new(o->record, "interrupted", json_integer(1));
    json_object_set_new(o->record, "error", json_string("holmd ended before the answer was sent"));
    describe(arg, o->object, o->record);
    autofree char *body = json_dumps(o->record, JSON_COMPACT);
    if (body)
        audit_submit(a, body, o->slot, NULL, NULL);
}

void audit_settle(struct audit *a, void (*describe)(void *arg, const char *object, json_t *record), void *arg)
{
    struct settle s = {.olds = calloc(AUDIT_SLOTS, sizeof(struct old))};
    struct audit_filter f = {.limit = SETTLE_SCAN, .scan_max = SETTLE_SCAN};
    struct err e = ERR_INIT;

    if (!s.olds)
        return;
    audit_pending_each_old(a->pending, collect_old, &s);
    if (s.n && audit_dirfd(a) >= 0 && audit_list(audit_dirfd(a), NULL, &f, mark_recorded, &s, &e) < 0)
        log_err(LOG_WARN, &e, "audit");
    for (size_t i = 0; i < s.n; i++) {
        settle_one(a, &s.olds[i], describe, arg);
        json_decref(s.olds[i].record);
    }
    free(s.olds);
}

/* ---- counted refusals ---- */

static void submit_count(void *arg, const char *address, uint64_t count)
{
    char text[120];
    struct audit *a = arg;

    snprintf(text, sizeof(text), "%llu more refused requests without proof of identity from %.64s",
             (unsigned long long)count, address);
    submit_note(a, "flood", text);
}

static void arm_flood_timer(struct audit *a)
{
    struct timeval tv = {.tv_sec = FLOOD_S};

    if (a->flood_timer && !evtimer_pending(a->flood_timer, NULL))
        evtimer_add(a->flood_timer, &tv);
}

static void on_flood_timer(evutil_socket_t fd, short what, void *arg)
{
    struct audit *a = arg;

    if (audit_flood_flush(a->flood, clock_boot_ms(), false, submit_count, a))
        arm_flood_timer(a);
}

bool audit_is_flood(struct audit *a, const char *address)
{
    bool is_flood = audit_flood_check(a->flood, address, clock_boot_ms());

    if (is_flood)
        arm_flood_timer(a);
    return is_flood;
}

/* ---- start and end ---- */

static int start_thread(struct audit *a, struct err *e)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    a->has_thread = pthread_create(&a->thread, NULL, thread_main, a) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return a->has_thread ? 0 : err_set(e, -EAGAIN, NULL, "cannot start the audit thread");
}

/* Before the thread runs. */
static void open_files(struct audit *a, const struct audit_options *o)
{
    struct err e = ERR_INIT, none = ERR_INIT;

    a->segment.max_bytes = o->segment_bytes;
    a->segment.kept = o->segments_kept;
    if (need_folder(a, &e) < 0)
        log_err(LOG_ERROR, &e, "audit");
    else
        a->pending = audit_pending_open(a->segment.dirfd);
    publish(a, &none);
}

int audit_open(struct event_base *base, const struct audit_options *o, struct audit **ret, struct err *e)
{
    struct audit *a = calloc(1, sizeof(*a));

    if (!a)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    queue_init(&a->queue);
    queue_init(&a->finished);
    queue_init(&a->late);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    a->segment.dirfd = a->segment.fd = a->dirfd = -EBADF;
    randombytes_buf(&a->next_id, sizeof(a->next_id));
    a->dir = strdup(o->dir);
    a->flood = audit_flood_new();
    a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a->wake = a->wake_fd >= 0 ? event_new(base, a->wake_fd, EV_READ | EV_PERSIST, on_wake, a) : NULL;
    a->flood_timer = evtimer_new(base, on_flood_timer, a);
    int r = !a->dir || !a->flood || !a->flood_timer || !a->wake || event_add(a->wake, NULL) < 0
                ? err_set(e, -ENOMEM, NULL, "out of memory")
                : 0;
    if (r == 0) {
        open_files(a, o);
        submit_note(a, "start", NULL);
        r = start_thread(a, e);
    }
    if (r < 0)
        audit_close(a);
    else
        *ret = a;
    return r;
}

bool audit_drain(struct audit *a)
{
    bool any;

    if (!a || !a->has_thread)
        return false;
    pthread_mutex_lock(&a->lock);
    while (a->queue.first || a->is_writing)
        pthread_cond_wait(&a->changed, &a->lock);
    any = a->finished.first != NULL;
    pthread_mutex_unlock(&a->lock);
    run_finished(a);
    return any;
}

static void free_queue(struct queue *q)
{
    for (struct item *it = q->first, *next; it; it = next) {
        next = it->next;
        item_free(it);
    }
    queue_init(q);
}

static void stop(struct audit *a)
{
    audit_flood_flush(a->flood, 0, true, submit_count, a);
    submit_note(a, "stop", NULL);
    audit_drain(a);
    audit_log_head(a);
    pthread_mutex_lock(&a->lock);
    a->is_stopping = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
}

void audit_close(struct audit *a)
{
    if (!a)
        return;
    if (a->has_thread)
        stop(a);
    audit_segment_close(&a->segment);
    if (a->segment.dirfd >= 0)
        close(a->segment.dirfd);
    audit_pending_close(a->pending);
    audit_flood_free(a->flood);
    drop_notes(a);
    free_queue(&a->queue);
    free_queue(&a->finished);
    free_queue(&a->late);
    if (a->wake)
        event_free(a->wake);
    if (a->flood_timer)
        event_free(a->flood_timer);
    if (a->wake_fd >= 0)
        close(a->wake_fd);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    free(a->dir);
    free(a);
}

void audit_get_bound(struct audit *a, struct audit_bound *ret)
{
    pthread_mutex_lock(&a->lock);
    *ret = a->bound;
    pthread_mutex_unlock(&a->lock);
}

int audit_dirfd(struct audit *a)
{
    pthread_mutex_lock(&a->lock);
    int fd = a->dirfd;
    pthread_mutex_unlock(&a->lock);
    return fd;
}

void audit_log_head(struct audit *a)
{
    struct audit_chain head;

    pthread_mutex_lock(&a->lock);
    head = a->head;
    pthread_mutex_unlock(&a->lock);
    log_note("audit head: record %llu, hash %s", (unsigned long long)head.seq, head.hash);
}
