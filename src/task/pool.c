/* Threads for blocking work; see pool.h. `lock` guards the two lists and the counters. */
#include "task/pool.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#define POOL_THREADS_MAX 16u

struct job {
    struct job *next;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wake, finished_one;
    struct job *queue, **queue_tail;
    struct job *finished, **finished_tail;
    size_t n_queued, max_queued, n_running;
    unsigned n_threads, n_idle, max_threads;
    pthread_t threads[POOL_THREADS_MAX];
    bool is_stopping;
    int event_fd;
    struct event *event;
};

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    uint64_t one = 1;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->queue && !p->is_stopping) {
            p->n_idle++;
            pthread_cond_wait(&p->wake, &p->lock);
            p->n_idle--;
        }
        struct job *j = p->queue;
        if (!j)
            break;
        p->queue = j->next;
        if (!p->queue)
            p->queue_tail = &p->queue;
        p->n_queued--;
        p->n_running++;
        pthread_mutex_unlock(&p->lock);
        j->work(j->ctx);
        pthread_mutex_lock(&p->lock);
        p->n_running--;
        j->next = NULL;
        *p->finished_tail = j;
        p->finished_tail = &j->next;
        pthread_cond_broadcast(&p->finished_one);
        if (write(p->event_fd, &one, sizeof(one)) < 0)
            continue; /* the counter is full: the loop is awake anyway */
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void run_finished(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct job *j = p->finished;
    p->finished = NULL;
    p->finished_tail = &p->finished;
    pthread_mutex_unlock(&p->lock);
    while (j) {
        struct job *next = j->next;
        if (j->done)
            j->done(j->ctx);
        free(j);
        j = next;
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct pool *p = arg;
    uint64_t count;

    if (read(p->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
    run_finished(p);
}

int pool_new(struct event_base *base, unsigned max_threads, size_t max_queued, struct pool **ret, struct err *e)
{
    struct pool *p = calloc(1, sizeof(*p));

    if (!p)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    p->max_threads = max_threads < POOL_THREADS_MAX ? max_threads : POOL_THREADS_MAX;
    p->max_queued = max_queued;
    p->queue_tail = &p->queue;
    p->finished_tail = &p->finished;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->finished_one, NULL);
    p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->event = p->event_fd >= 0 ? event_new(base, p->event_fd, EV_READ | EV_PERSIST, on_event, p) : NULL;
    if (!p->event || event_add(p->event, NULL) < 0) {
        pool_free(p);
        return err_set(e, -ENOMEM, NULL, "cannot make a thread pool");
    }
    *ret = p;
    return 0;
}

/* Called with the lock held. Signals are for the loop thread only. */
static void start_thread(struct pool *p)
{
    pthread_attr_t attr;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512u * 1024u);
    if (pthread_create(&p->threads[p->n_threads], &attr, pool_thread, p) == 0)
        p->n_threads++;
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int pool_submit(struct pool *p, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx, struct err *e)
{
    struct job *j = malloc(sizeof(*j));

    if (!j)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *j = (struct job){.work = work, .done = done, .ctx = ctx};
    pthread_mutex_lock(&p->lock);
    if (p->n_idle <= p->n_queued && p->n_threads < p->max_threads)
        start_thread(p);
    if (p->n_threads == 0 || p->n_queued >= p->max_queued) {
        pthread_mutex_unlock(&p->lock);
        free(j);
        return err_set(e, -EAGAIN, "host.busy", "too much work is waiting");
    }
    *p->queue_tail = j;
    p->queue_tail = &j->next;
    p->n_queued++;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

/* Called with the lock held. */
static void finish_unrun(struct pool *p, struct job **at)
{
    struct job *j = *at;

    *at = j->next;
    if (p->queue_tail == &j->next)
        p->queue_tail = at;
    p->n_queued--;
    j->next = NULL;
    *p->finished_tail = j;
    p->finished_tail = &j->next;
    pthread_cond_broadcast(&p->finished_one);
}

bool pool_skip(struct pool *p, bool (*is_it)(void *ctx, void *arg), void *arg)
{
    uint64_t one = 1;

    pthread_mutex_lock(&p->lock);
    struct job **at = &p->queue;
    while (*at && !is_it((*at)->ctx, arg))
        at = &(*at)->next;
    bool is_found = *at != NULL;
    if (is_found)
        finish_unrun(p, at);
    pthread_mutex_unlock(&p->lock);
    if (is_found && write(p->event_fd, &one, sizeof(one)) < 0)
        return true; /* the counter is full: the loop is awake anyway */
    return is_found;
}

size_t pool_pending(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->n_queued + p->n_running;
    pthread_mutex_unlock(&p->lock);
    return n;
}

bool pool_drain(struct pool *p)
{
    bool any = false;

    if (!p)
        return false;
    pthread_mutex_lock(&p->lock);
    while (p->n_queued || p->n_running)
        pthread_cond_wait(&p->finished_one, &p->lock);
    any = p->finished != NULL;
    pthread_mutex_unlock(&p->lock);
    run_finished(p);
    return any;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->is_stopping = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    while (p->finished)
        run_finished(p);
    if (p->event)
        event_free(p->event);
    if (p->event_fd >= 0)
        close(p->event_fd);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->finished_one);
    free(p);
}
