/* A thread's event loop: descriptors and timers with a callback. One thread runs it; add and remove only from that
 * thread or before it runs. Callbacks do a bounded piece of work and return; a source that still has work is called
 * again after the others had their turn. */
#ifndef HOLM_VMM_LOOP_H
#define HOLM_VMM_LOOP_H

#include <sys/epoll.h>

#include "vmm/thread.h"

struct loop_source {
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT */
    void (*on_ready)(void *context, uint32_t events);
    void *context;
    bool is_added;
};

struct loop {
    int epoll_fd;
    struct loop_source stop;
    bool is_ending;
    /* Instead of epoll_wait, if somebody else waits (block/uring.c): how many events are in ret_events. */
    int (*wait)(void *waiter, struct epoll_event *ret_events);
    void *waiter;
    struct thread thread;
};

MUST_CHECK int loop_init(struct loop *l, struct err *e);
void loop_done(struct loop *l); /* stops and joins its thread, if it has one */
/* The source stays the caller's and must live until it is removed, and then until the callback that removed it has
 * returned and the rest of its round is over: to free one, keep it for the next turn. */
MUST_CHECK int loop_add(struct loop *l, struct loop_source *s);
MUST_CHECK int loop_change(struct loop *l, struct loop_source *s, uint32_t events);
void loop_remove(struct loop *l, struct loop_source *s);
/* Until loop_stop. */
void loop_run(struct loop *l);
/* On a thread of its own; its name tells which system calls it may make (thread.h). */
MUST_CHECK int loop_start(struct loop *l, const char *name, struct err *e);
void loop_stop(struct loop *l); /* from any thread */

/* A descriptor of our own for a program's standard input or output that does not block, or -1 and errno. Terminals and
 * pipes are opened again, because whether one blocks belongs to all who share it, and the shell is one of them. Before
 * the jail. */
MUST_CHECK int loop_own_stdio(int fd);
/* An eventfd's number is of no interest: reads it away. */
void loop_drain(int event_fd);
/* Adds one to an eventfd. Async-signal-safe. */
void loop_wake(int event_fd);

#endif
