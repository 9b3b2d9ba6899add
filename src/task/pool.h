/* A small pool of threads for work that blocks. work runs in a pool thread; done runs on the loop thread afterwards, in
 * the order in which work finished. A pool of one thread is a serial queue. Threads start on demand.
 *
 * pool_free waits for queued work; done callbacks that did not run yet are called from pool_free itself. */
#ifndef HOLM_TASK_POOL_H
#define HOLM_TASK_POOL_H

#include "base/err.h"

struct event_base;
struct pool;

MUST_CHECK int pool_new(struct event_base *base, unsigned max_threads, size_t max_queued, struct pool **ret,
                        struct err *e);
void pool_free(struct pool *p);
/* done may be NULL. -EAGAIN "host.busy" when max_queued jobs wait; ctx stays the caller's then. */
MUST_CHECK int pool_submit(struct pool *p, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx, struct err *e);
/* The first waiting job for which is_it is true: its work never runs, its done does, later on the loop. False when none
 * waits. is_it is asked with the pool's lock held. */
bool pool_skip(struct pool *p, bool (*is_it)(void *ctx, void *arg), void *arg);
size_t pool_pending(struct pool *p);
/* Waits until no work is queued or running and makes the done calls; true if there were any. For shutting down. */
bool pool_drain(struct pool *p);

#endif
