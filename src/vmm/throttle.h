/* A limit of so much a second, shared by the threads of a device: a bucket that fills at the rate up to a burst, and
 * may go below empty by the last thing taken, so that a thing larger than the burst passes too. Any thread. */
#ifndef HOLM_VMM_THROTTLE_H
#define HOLM_VMM_THROTTLE_H

#include <pthread.h>

#include "base/err.h"

struct throttle {
    pthread_mutex_t lock;
    _Atomic uint64_t per_second; /* 0: no limit */
    uint64_t burst;
    int64_t tokens;
    uint64_t filled_ns;
};

void throttle_init(struct throttle *t);
void throttle_done(struct throttle *t);
/* Also while others use it. 0: no limit from now on. The burst is what passes at once after a pause; at least 1. */
void throttle_set(struct throttle *t, uint64_t per_second, uint64_t burst);
/* 0: the next thing may go now; else how long it has to wait. now_ns: throttle_now, or a test's own clock. */
uint64_t throttle_wait_ns(struct throttle *t, uint64_t now_ns);
/* The same by the real clock, and nearly free while there is no limit. */
uint64_t throttle_wait(struct throttle *t);
/* It went. */
void throttle_charge(struct throttle *t, uint64_t amount);
uint64_t throttle_now(void);

/* Makes a timerfd fire once, after ns (at least 1). */
void throttle_arm(int timer_fd, uint64_t ns);

#endif
