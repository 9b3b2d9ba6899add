/* Threads of the machine: all signals but one blocked, small stacks, a name, and the list of system calls that belongs
 * to the name (calls.h). Devices start theirs when they are made; before the jail there must be only one, so the
 * machine holds them back and lets them go when everything is closed that is to be closed. */
#ifndef HOLM_VMM_THREAD_H
#define HOLM_VMM_THREAD_H

#include <pthread.h>

#include "base/err.h"
#include "vmm/calls.h"

struct thread {
    char name[16]; /* as top(1) shows it; without digits: a kind of calls.h */
    void (*run)(void *arg);
    void *arg;
    int signal; /* the one it takes; 0: none */
    /* Private. */
    pthread_t id;
    bool is_started, is_held;
    int result; /* of its filter */
    struct thread *next;
};

/* name, run, arg and signal are set; the thread lives until thread_join. Starts at once, or is held back. */
MUST_CHECK int thread_start(struct thread *t, struct err *e);
/* Waits for its end; harmless for one that was never started. */
void thread_join(struct thread *t);

/* Main thread only, no other running: thread_start only takes note from here on … */
void threads_hold(void);
/* … until here: starts them all, filtered or not, loads our own filter, the main thread's, meanwhile, and returns when
 * every one has its. */
MUST_CHECK int threads_release(bool are_filtered, struct err *e);

#endif
