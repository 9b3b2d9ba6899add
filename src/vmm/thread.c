/* See thread.h. What is static here is of the whole process, as the jail is. */
#include "vmm/thread.h"

#include <signal.h>
#include <sys/prctl.h>

/* A vCPU's thread calls devices, whose largest frames are a chain's pieces of memory. */
#define STACK_BYTES (256u << 10)

static struct {
    bool are_held, are_filtered;
    struct thread *first; /* held back */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned n_starting; /* under lock: without their filter yet */
} threads = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct err e = ERR_INIT;

    prctl(PR_SET_NAME, t->name);
    t->result = threads.are_filtered ? calls_load(calls_kind_find(t->name), &e) : 0;
    pthread_mutex_lock(&threads.lock);
    threads.n_starting--;
    pthread_cond_signal(&threads.changed);
    pthread_mutex_unlock(&threads.lock);
    if (t->result == 0)
        t->run(t->arg);
    return NULL;
}

static int start(struct thread *t, struct err *e)
{
    pthread_attr_t attributes;
    sigset_t blocked, before;
    int r;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&blocked);
    if (t->signal)
        sigdelset(&blocked, t->signal);
    pthread_mutex_lock(&threads.lock);
    threads.n_starting++;
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    r = pthread_create(&t->id, &attributes, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    threads.n_starting -= r != 0;
    pthread_mutex_unlock(&threads.lock);
    pthread_attr_destroy(&attributes);
    t->is_started = r == 0;
    return r ? err_errno(e, r, "start the thread %s", t->name) : 0;
}

int thread_start(struct thread *t, struct err *e)
{
    if (!calls_kind_find(t->name))
        return err_set(e, -EINVAL, NULL, "the thread %s has no list of system calls", t->name);
    if (!threads.are_held)
        return start(t, e);
    t->is_held = true;
    t->next = threads.first;
    threads.first = t;
    return 0;
}

void thread_join(struct thread *t)
{
    for (struct thread **at = &threads.first; t->is_held && *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            break;
        }
    if (t->is_started)
        pthread_join(t->id, NULL);
    t->is_started = t->is_held = false;
}

void threads_hold(void)
{
    threads.are_held = true;
}

int threads_release(bool are_filtered, struct err *e)
{
    struct thread *first = threads.first;
    int r = 0;

    threads.first = NULL;
    threads.are_held = false;
    threads.are_filtered = are_filtered;
    for (struct thread *t = first; t; t = t->next) {
        t->is_held = false;
        if (r == 0)
            r = start(t, e);
    }
    if (r == 0 && are_filtered)
        r = calls_load(CALLS_MAIN, e);
    pthread_mutex_lock(&threads.lock);
    while (threads.n_starting)
        pthread_cond_wait(&threads.changed, &threads.lock);
    pthread_mutex_unlock(&threads.lock);
    for (struct thread *t = first; t && r == 0; t = t->next)
        if (t->result < 0)
            r = err_errno(e, -t->result, "filter the system calls of the thread %s", t->name);
    return r;
}
