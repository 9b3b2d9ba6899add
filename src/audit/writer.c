/* See writer_priv.h. */
#include "audit/writer_priv.h"

#include <fcntl.h>
#include <signal.h>

#include "base/fs.h"
#include "base/log.h"

#define BATCH_MAX 512u

void audit_queue_init(struct audit_queue *q)
{
    q->first = NULL;
    q->tail = &q->first;
}

void audit_queue_add(struct audit_queue *q, struct audit_item *it)
{
    it->next = NULL;
    *q->tail = it;
    q->tail = &it->next;
}

void audit_queue_join(struct audit_queue *q, struct audit_queue *other)
{
    if (!other->first)
        return;
    *q->tail = other->first;
    q->tail = other->tail;
    audit_queue_init(other);
}

void audit_item_free(struct audit_item *it)
{
    if (it)
        free(it->body);
    free(it);
}

void audit_queue_done(struct audit_queue *q)
{
    for (struct audit_item *it = q->first, *next; it; it = next) {
        next = it->next;
        audit_item_free(it);
    }
    audit_queue_init(q);
}

static size_t take_batch(struct audit_writer *w, struct audit_item **batch)
{
    size_t n = 0;

    pthread_mutex_lock(&w->lock);
    w->is_writing = false;
    pthread_cond_broadcast(&w->changed);
    while (!w->queue.first && !w->is_stopping)
        pthread_cond_wait(&w->changed, &w->lock);
    while (w->queue.first && n < BATCH_MAX) {
        batch[n++] = w->queue.first;
        w->queue.first = w->queue.first->next;
    }
    if (!w->queue.first)
        audit_queue_init(&w->queue);
    w->is_writing = n > 0;
    pthread_mutex_unlock(&w->lock);
    return n;
}

static void publish(struct audit_writer *w, const struct err *low)
{
    pthread_mutex_lock(&w->lock);
    w->dirfd = w->segment.dirfd;
    w->bound = (struct audit_bound){.file = w->segment.number, .bytes = w->segment.bytes};
    w->head = w->segment.chain;
    w->low = *low;
    pthread_mutex_unlock(&w->lock);
}

static void add_note(void *arg, const char *text)
{
    struct audit_writer *w = arg;
    struct buf b;

    log_error("audit: %s", text);
    buf_init(&b, 2048);
    audit_note_body(&b, "note", text);
    char *body = w->n_notes < AUDIT_NOTES_MAX ? buf_take(&b) : NULL;
    if (body)
        w->notes[w->n_notes++] = body;
    buf_done(&b);
}

static void drop_notes(struct audit_writer *w)
{
    while (w->n_notes)
        free(w->notes[--w->n_notes]);
}

/* A folder that was not there, or could not be read, may be there now. */
static int need_folder(struct audit_writer *w, struct err *e)
{
    int fd, r;

    if (w->segment.dirfd >= 0)
        return 0;
    r = fs_open_dir(AT_FDCWD, w->dir, 0700, &fd, e);
    if (r < 0)
        return r;
    w->segment.dirfd = fd;
    r = audit_segment_open(&w->segment, add_note, w, e);
    if (r < 0) {
        close(fd);
        w->segment.dirfd = -EBADF;
    }
    return r;
}

static int append(struct audit_writer *w, struct audit_item **items, size_t n, struct err *e)
{
    const char *bodies[AUDIT_NOTES_MAX + BATCH_MAX];
    size_t k = 0;

    for (size_t i = 0; i < w->n_notes; i++)
        bodies[k++] = w->notes[i];
    for (size_t i = 0; i < n; i++)
        bodies[k++] = items[i]->body;
    int r = audit_segment_append(&w->segment, bodies, k, e);
    if (r == 0)
        drop_notes(w);
    return r;
}

static void write_batch(struct audit_writer *w, struct audit_item **batch, size_t n)
{
    struct audit_item *chosen[BATCH_MAX];
    struct err e = ERR_INIT, low = ERR_INIT;
    size_t n_chosen = 0;
    int r = need_folder(w, &e);

    if (r == 0 && w->segment.is_low)
        w->segment.is_low = audit_segment_reserve(&w->segment, &low) < 0;
    for (size_t i = 0; i < n; i++) {
        if (batch[i]->is_probe && w->segment.is_low) {
            batch[i]->r = low.num;
            batch[i]->err = low;
        } else {
            chosen[n_chosen++] = batch[i];
        }
    }
    if (r == 0 && n_chosen)
        r = append(w, chosen, n_chosen, &e);
    for (size_t i = 0; i < n_chosen; i++) {
        chosen[i]->r = r;
        chosen[i]->err = e;
    }
    low = (struct err)ERR_INIT;
    if (r == 0)
        w->segment.is_low = audit_segment_reserve(&w->segment, &low) < 0;
    publish(w, &low);
}

static void *thread_main(void *arg)
{
    struct audit_writer *w = arg;
    struct audit_item *batch[BATCH_MAX];
    uint64_t one = 1;

    for (size_t n; (n = take_batch(w, batch)) > 0;) {
        write_batch(w, batch, n);
        pthread_mutex_lock(&w->lock);
        for (size_t i = 0; i < n; i++)
            audit_queue_add(&w->finished, batch[i]);
        pthread_mutex_unlock(&w->lock);
        if (write(w->wake_fd, &one, sizeof(one)) < 0)
            continue; /* the counter is full: the loop is awake anyway */
    }
    return NULL;
}

void audit_writer_init(struct audit_writer *w, const struct audit_options *o)
{
    audit_queue_init(&w->queue);
    audit_queue_init(&w->finished);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->dir = strdup(o->dir);
    w->dirfd = -EBADF;
    w->wake_fd = -EBADF;
    w->segment =
        (struct audit_segment){.dirfd = -EBADF, .fd = -EBADF, .max_bytes = o->segment_bytes, .kept = o->segments_kept};
}

void audit_writer_done(struct audit_writer *w)
{
    audit_segment_close(&w->segment);
    if (w->segment.dirfd >= 0)
        close(w->segment.dirfd);
    drop_notes(w);
    audit_queue_done(&w->queue);
    audit_queue_done(&w->finished);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
    free(w->dir);
}

void audit_writer_open(struct audit_writer *w)
{
    struct err e = ERR_INIT, none = ERR_INIT;

    if (need_folder(w, &e) < 0)
        log_err(LOG_ERROR, &e, "audit");
    publish(w, &none);
}

int audit_writer_start(struct audit_writer *w, struct err *e)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    w->has_thread = pthread_create(&w->thread, NULL, thread_main, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return w->has_thread ? 0 : err_set(e, -EAGAIN, NULL, "cannot start the audit thread");
}

void audit_writer_wait(struct audit_writer *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->queue.first || w->is_writing)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void audit_writer_stop(struct audit_writer *w)
{
    if (!w->has_thread)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    w->has_thread = false;
}
