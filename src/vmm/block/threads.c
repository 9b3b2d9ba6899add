/* A queue worked by threads, for hosts that refuse io_uring: the same promises, a system call for each request. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "vmm/block/queue_priv.h"

#define THREADS 4u

struct thread_queue {
    struct block_queue base;
    pthread_mutex_t lock;
    pthread_cond_t waiting;
    struct loop_source finished;
    /* Under lock. */
    struct block_request *first, **last; /* to be done */
    struct block_request *done;
    bool is_ending;
    struct thread threads[THREADS];
    unsigned n_threads;
};

static int transfer(struct block_image *image, struct block_request *r)
{
    int result;

    for (;;) {
        int fd = block_image_fd(image, r);
        ssize_t n = r->op == BLOCK_READ ? preadv(fd, r->iov, (int)r->n_iov, (off_t)(r->offset + r->moved))
                                        : pwritev(fd, r->iov, (int)r->n_iov, (off_t)(r->offset + r->moved));

        int moved = n < 0 ? -errno : (int)n;

        if (!block_image_is_retried(image, r, moved) && block_request_advance(r, moved, &result))
            return result;
    }
}

static int change_range(int fd, int mode, const struct block_request *r)
{
    while (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->length) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int perform(struct block_image *image, struct block_request *r)
{
    int fd = image->fd;

    switch (r->op) {
    case BLOCK_FLUSH:
        return fdatasync(fd) < 0 ? -errno : 0;
    case BLOCK_DISCARD:
        return change_range(fd, FALLOC_FL_PUNCH_HOLE, r);
    case BLOCK_WRITE_ZEROES:
        return change_range(fd, r->may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, r);
    case BLOCK_READ:
    case BLOCK_WRITE:
    default:
        return transfer(image, r);
    }
}

static void thread_main(void *arg)
{
    struct thread_queue *t = arg;

    pthread_mutex_lock(&t->lock);
    for (;;) {
        struct block_request *r = t->first;

        if (!r && t->is_ending)
            break;
        if (!r) {
            pthread_cond_wait(&t->waiting, &t->lock);
            continue;
        }
        t->first = r->next;
        if (!t->first)
            t->last = &t->first;
        pthread_mutex_unlock(&t->lock);
        int result = perform(t->base.image, r);
        pthread_mutex_lock(&t->lock);
        r->moved = (uint64_t)(int64_t)result; /* its part is over: now it carries the result */
        r->next = t->done;
        t->done = r;
        loop_wake(t->finished.fd);
    }
    pthread_mutex_unlock(&t->lock);
}

static void threads_submit(struct block_queue *q, struct block_request *r)
{
    struct thread_queue *t = (struct thread_queue *)q;

    r->next = NULL;
    pthread_mutex_lock(&t->lock);
    *t->last = r;
    t->last = &r->next;
    pthread_cond_signal(&t->waiting);
    pthread_mutex_unlock(&t->lock);
}

/* Edges: a doorbell that nobody reads away wakes once for each ring. */
static int threads_watch(struct block_queue *q, struct loop_source *s)
{
    s->events = EPOLLIN | EPOLLET;
    s->on_ready = q->woken->on_ready;
    s->context = q->woken->context;
    return loop_add(q->loop, s);
}

static void threads_poll(struct block_queue *q)
{
    struct thread_queue *t = (struct thread_queue *)q;
    struct block_request *done, *next;

    pthread_mutex_lock(&t->lock);
    done = t->done;
    t->done = NULL;
    pthread_mutex_unlock(&t->lock);
    for (; done; done = next) {
        next = done->next;
        done->done(done, (int)(int64_t)done->moved);
    }
}

static void threads_free(struct block_queue *q)
{
    struct thread_queue *t = (struct thread_queue *)q;

    pthread_mutex_lock(&t->lock);
    t->is_ending = true;
    pthread_cond_broadcast(&t->waiting);
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < t->n_threads; i++)
        thread_join(&t->threads[i]);
    if (t->finished.fd >= 0)
        close(t->finished.fd);
    pthread_cond_destroy(&t->waiting);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static const struct block_engine_ops thread_ops = {
    .submit = threads_submit, .watch = threads_watch, .poll = threads_poll, .free = threads_free};

static int start_threads(struct thread_queue *t, struct err *e)
{
    int r = 0;

    for (; t->n_threads < THREADS && r == 0; t->n_threads += r == 0) {
        t->threads[t->n_threads] = (struct thread){.name = "block", .run = thread_main, .arg = t};
        r = thread_start(&t->threads[t->n_threads], e);
    }
    return t->n_threads ? 0 : r;
}

int block_threads_new(const struct block_queue *base, struct block_queue **ret_queue, struct err *e)
{
    struct thread_queue *t = calloc(1, sizeof(*t));
    int r;

    if (!t)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    t->base = *base;
    t->base.ops = &thread_ops;
    t->finished.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->last = &t->first;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->waiting, NULL);
    r = t->finished.fd < 0 ? -errno : threads_watch(&t->base, &t->finished);
    r = r < 0 ? err_errno(e, -r, "watch requests") : start_threads(t, e);
    if (r < 0) {
        threads_free(&t->base);
        return r;
    }
    *ret_queue = &t->base;
    return 0;
}
