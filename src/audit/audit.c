/* The log's health, its records' ends, requests under way and counted refusals; see audit.h. Loop thread. The files are
 * written by the thread of writer.c. A record that could not be written is told to its caller, kept, and queued again
 * before the next one. */
#include "audit/writer_priv.h"

#include <event2/event.h>
#include <sodium.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"

#define LATE_MAX 4096u
#define FLOOD_S  5

struct waiter {
    struct waiter *next;
    audit_done_fn done;
    void *arg;
};

struct audit {
    /* loop */
    struct event *wake, *flood_timer;
    struct audit_pending *pending;
    struct audit_flood *flood, *user_flood;
    struct audit_queue late;
    size_t n_late;
    struct waiter *waiters; /* of the probe under way */
    uint64_t n_refused;     /* since the log cannot be written */
    struct err failure;     /* num 0: healthy */
    uint64_t next_id;
    struct audit_writer w;
};

/* ---- loop: ends of records ---- */

static void set_failure(struct audit *a, const struct err *why)
{
    bool was_healthy = a->failure.num == 0;

    err_set(&a->failure, -EIO, "audit.failed", "cannot write the audit log: %.400s", why->text);
    err_hint(&a->failure, "writes are refused until %.100s can be written; guests and reads go on", a->w.dir);
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

static void keep_late(struct audit *a, struct audit_item *it)
{
    if (a->n_late == LATE_MAX) {
        log_error("an audit record is lost: %.900s", it->body);
        audit_item_free(it);
        return;
    }
    a->n_late++;
    audit_queue_add(&a->late, it);
}

static void end_item(struct audit *a, struct audit_item *it)
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
        audit_item_free(it);
}

static void run_finished(struct audit *a)
{
    struct audit_queue q;
    struct err low;
    const struct err *why = NULL;

    audit_queue_init(&q);
    pthread_mutex_lock(&a->w.lock);
    audit_queue_join(&q, &a->w.finished);
    low = a->w.low;
    pthread_mutex_unlock(&a->w.lock);
    for (struct audit_item *it = q.first; it; it = it->next)
        why = it->r < 0 ? &it->err : NULL;
    if (q.first && (why || low.num))
        set_failure(a, why ? why : &low);
    else if (q.first)
        set_healthy(a);
    for (struct audit_item *it = q.first, *next; it; it = next) {
        next = it->next;
        end_item(a, it);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct audit *a = arg;
    uint64_t count;

    if (read(a->w.wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
    run_finished(a);
}

/* ---- loop: new records ---- */

static void enqueue(struct audit *a, struct audit_item *it)
{
    pthread_mutex_lock(&a->w.lock);
    audit_queue_join(&a->w.queue, &a->late);
    audit_queue_add(&a->w.queue, it);
    pthread_cond_broadcast(&a->w.changed);
    pthread_mutex_unlock(&a->w.lock);
    a->n_late = 0;
}

static struct audit_item *item_new(const char *body, int slot, audit_done_fn done, void *arg)
{
    struct audit_item *it = calloc(1, sizeof(*it));

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
    struct audit_item *it = item_new(body, slot, done, arg);
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

static struct audit_item *probe_new(struct audit *a)
{
    char text[160];
    struct buf b;

    snprintf(text, sizeof(text), "the log could not be written; %llu requests were refused meanwhile",
             (unsigned long long)a->n_refused);
    buf_init(&b, 1024);
    audit_note_body(&b, "note", text);
    struct audit_item *it = b.is_failed ? NULL : item_new(buf_str(&b), -1, NULL, NULL);
    buf_done(&b);
    if (it)
        it->is_probe = true;
    return it;
}

void audit_recover(struct audit *a, audit_done_fn done, void *arg)
{
    struct waiter *w = calloc(1, sizeof(*w));
    struct audit_item *it = w && !a->waiters ? probe_new(a) : NULL;

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

void audit_cancel(struct audit *a, int slot)
{
    audit_pending_clear(a->pending, slot);
}

void audit_settle(struct audit *a, void (*describe)(void *arg, const char *object, json_t *record), void *arg)
{
    audit_settle_pending(a, a->pending, describe, arg);
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

static void submit_user_count(void *arg, const char *source, uint64_t count)
{
    char text[60 + AUDIT_SOURCE_MAX];
    struct audit *a = arg;

    snprintf(text, sizeof(text), "%llu more refused requests: %s", (unsigned long long)count, source);
    submit_note(a, "flood", text);
}

static bool flush_floods(struct audit *a, uint64_t now_ms, bool is_end)
{
    bool is_left = audit_flood_flush(a->flood, now_ms, is_end, submit_count, a);

    return audit_flood_flush(a->user_flood, now_ms, is_end, submit_user_count, a) || is_left;
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

    if (flush_floods(a, clock_boot_ms(), false))
        arm_flood_timer(a);
}

static bool check_flood(struct audit *a, struct audit_flood *f, const char *source)
{
    bool is_flood = audit_flood_check(f, source, clock_boot_ms());

    if (is_flood)
        arm_flood_timer(a);
    return is_flood;
}

bool audit_is_flood(struct audit *a, const char *address)
{
    return check_flood(a, a->flood, address);
}

bool audit_is_user_flood(struct audit *a, const char *source)
{
    return check_flood(a, a->user_flood, source);
}

/* ---- start and end ---- */

int audit_open(struct event_base *base, const struct audit_options *o, struct audit **ret, struct err *e)
{
    struct audit *a = calloc(1, sizeof(*a));

    if (!a)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    audit_queue_init(&a->late);
    audit_writer_init(&a->w, o);
    randombytes_buf(&a->next_id, sizeof(a->next_id));
    a->flood = audit_flood_new();
    a->user_flood = audit_flood_new();
    a->w.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a->wake = a->w.wake_fd >= 0 ? event_new(base, a->w.wake_fd, EV_READ | EV_PERSIST, on_wake, a) : NULL;
    a->flood_timer = evtimer_new(base, on_flood_timer, a);
    int r = !a->w.dir || !a->flood || !a->user_flood || !a->flood_timer || !a->wake || event_add(a->wake, NULL) < 0
                ? err_set(e, -ENOMEM, NULL, "out of memory")
                : 0;
    if (r == 0) {
        audit_writer_open(&a->w);
        if (a->w.dirfd >= 0)
            a->pending = audit_pending_open(a->w.dirfd);
        submit_note(a, "start", NULL);
        r = audit_writer_start(&a->w, e);
    }
    if (r < 0)
        audit_close(a);
    else
        *ret = a;
    return r;
}

bool audit_drain(struct audit *a)
{
    if (!a || !a->w.has_thread)
        return false;
    audit_writer_wait(&a->w);
    pthread_mutex_lock(&a->w.lock);
    bool any = a->w.finished.first != NULL;
    pthread_mutex_unlock(&a->w.lock);
    run_finished(a);
    return any;
}

static void stop(struct audit *a)
{
    flush_floods(a, 0, true);
    submit_note(a, "stop", NULL);
    audit_drain(a);
    audit_log_head(a);
    audit_writer_stop(&a->w);
}

void audit_close(struct audit *a)
{
    if (!a)
        return;
    if (a->w.has_thread)
        stop(a);
    audit_pending_close(a->pending);
    audit_flood_free(a->flood);
    audit_flood_free(a->user_flood);
    audit_queue_done(&a->late);
    if (a->wake)
        event_free(a->wake);
    if (a->flood_timer)
        event_free(a->flood_timer);
    if (a->w.wake_fd >= 0)
        close(a->w.wake_fd);
    audit_writer_done(&a->w);
    free(a);
}

void audit_get_bound(struct audit *a, struct audit_bound *ret)
{
    pthread_mutex_lock(&a->w.lock);
    *ret = a->w.bound;
    pthread_mutex_unlock(&a->w.lock);
}

int audit_dirfd(struct audit *a)
{
    pthread_mutex_lock(&a->w.lock);
    int fd = a->w.dirfd;
    pthread_mutex_unlock(&a->w.lock);
    return fd;
}

void audit_log_head(struct audit *a)
{
    struct audit_chain head;

    pthread_mutex_lock(&a->w.lock);
    head = a->w.head;
    pthread_mutex_unlock(&a->w.lock);
    log_note("audit head: record %llu, hash %s", (unsigned long long)head.seq, head.hash);
}
