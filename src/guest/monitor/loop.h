/* The poll loop of holm-guest: a fixed table of descriptors and a list of timers. One thread; handlers never block. */
#ifndef HOLM_GUEST_MONITOR_LOOP_H
#define HOLM_GUEST_MONITOR_LOOP_H

#include "base/list.h"

#define LOOP_WATCHES_MAX 64u

struct loop_watch {
    int fd;
    short events;
    void (*fn)(void *arg, short revents);
    void *arg;
};

struct loop_timer {
    struct list_node node; /* loop_timer_init first */
    uint64_t at_ms;
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    struct loop_watch watches[LOOP_WATCHES_MAX];
    size_t n;
    struct list_node timers;
};

void loop_init(struct loop *l);
/* Adds fd or changes its events (0: hang-ups only). -EMFILE when the table is full. */
MUST_CHECK int loop_watch(struct loop *l, int fd, short events, void (*fn)(void *arg, short revents), void *arg);
/* Changes the events of a watched fd. */
void loop_events(struct loop *l, int fd, short events);
/* Before the fd is closed. */
void loop_unwatch(struct loop *l, int fd);
void loop_timer_init(struct loop_timer *t, void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ms);
void loop_timer_stop(struct loop_timer *t);
/* Waits for one round of events and timers. */
void loop_once(struct loop *l);

#endif
