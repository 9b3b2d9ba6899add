/* The poll loop; see loop.h. A handler may watch, unwatch and set timers. A descriptor number that is closed and opened
 * again within one round can see a stale event once; every handler reads without blocking, so that costs one EAGAIN. */
#include "guest/monitor/loop.h"

#include <poll.h>

#include "base/clock.h"

void loop_init(struct loop *l)
{
    l->n = 0;
    list_init(&l->timers);
}

static struct loop_watch *find(struct loop *l, int fd)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->watches[i].fd == fd)
            return &l->watches[i];
    return NULL;
}

int loop_watch(struct loop *l, int fd, short events, void (*fn)(void *arg, short revents), void *arg)
{
    struct loop_watch *w = find(l, fd);

    if (!w && l->n == LOOP_WATCHES_MAX)
        return -EMFILE;
    if (!w)
        w = &l->watches[l->n++];
    *w = (struct loop_watch){fd, events, fn, arg};
    return 0;
}

void loop_events(struct loop *l, int fd, short events)
{
    struct loop_watch *w = find(l, fd);

    if (w)
        w->events = events;
}

void loop_unwatch(struct loop *l, int fd)
{
    struct loop_watch *w = find(l, fd);

    if (w)
        *w = l->watches[--l->n];
}

void loop_timer_init(struct loop_timer *t, void (*fn)(void *arg), void *arg)
{
    *t = (struct loop_timer){.fn = fn, .arg = arg};
    list_init(&t->node);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ms)
{
    list_remove(&t->node);
    t->at_ms = clock_boot_ms() + after_ms;
    list_add_tail(&l->timers, &t->node);
}

void loop_timer_stop(struct loop_timer *t)
{
    list_remove(&t->node);
}

/* Milliseconds until the next timer, or -1. */
static int wait_ms(const struct loop *l)
{
    uint64_t now = clock_boot_ms(), next = UINT64_MAX;

    LIST_FOREACH(t, &l->timers, struct loop_timer, node)
    {
        if (t->at_ms < next)
            next = t->at_ms;
    }
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : next - now > 60000 ? 60000 : (int)(next - now);
}

/* The due timer that was set longest ago, taken off the list. */
static struct loop_timer *take_due(struct loop *l, uint64_t now)
{
    LIST_FOREACH(t, &l->timers, struct loop_timer, node)
    {
        if (t->at_ms <= now) {
            list_remove(&t->node);
            return t;
        }
    }
    return NULL;
}

void loop_once(struct loop *l)
{
    struct pollfd fds[LOOP_WATCHES_MAX];
    size_t n = l->n;

    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = l->watches[i].fd, .events = l->watches[i].events};
    int ready = poll(fds, n, wait_ms(l));
    for (size_t i = 0; ready > 0 && i < n; i++) {
        struct loop_watch *w = fds[i].revents ? find(l, fds[i].fd) : NULL;
        if (w)
            w->fn(w->arg, fds[i].revents);
    }
    uint64_t now = clock_boot_ms();
    /* At most as many as there can be, so that a timer set to 0 again and again does not hold the loop. */
    for (int i = 0; i < 64; i++) {
        struct loop_timer *t = take_due(l, now);
        if (!t)
            break;
        t->fn(t->arg);
    }
}
