/* A token bucket; see throttle.h. */
#include "vmm/throttle.h"

#include <sys/timerfd.h>
#include <time.h>

#define SECOND    1000000000ull
#define RATE_MAX  (1ull << 50)
#define BURST_MAX (1ull << 50)

void throttle_init(struct throttle *t)
{
    *t = (struct throttle){0};
    pthread_mutex_init(&t->lock, NULL);
}

void throttle_done(struct throttle *t)
{
    pthread_mutex_destroy(&t->lock);
}

void throttle_set(struct throttle *t, uint64_t per_second, uint64_t burst)
{
    pthread_mutex_lock(&t->lock);
    t->per_second = per_second < RATE_MAX ? per_second : RATE_MAX;
    t->burst = burst < 1 ? 1 : burst < BURST_MAX ? burst : BURST_MAX;
    t->tokens = (int64_t)t->burst;
    t->filled_ns = 0;
    pthread_mutex_unlock(&t->lock);
}

/* Time that is worth less than a token stays for the next time. */
static void fill(struct throttle *t, uint64_t now_ns)
{
    uint64_t past = t->filled_ns && now_ns > t->filled_ns ? now_ns - t->filled_ns : 0;
    unsigned __int128 tokens = (unsigned __int128)past * t->per_second / SECOND;

    if (!t->filled_ns || t->tokens + (__int128)tokens >= (__int128)t->burst) {
        t->tokens = !t->filled_ns ? t->tokens : (int64_t)t->burst;
        t->filled_ns = now_ns;
        return;
    }
    t->tokens += (int64_t)tokens;
    t->filled_ns += (uint64_t)(tokens * SECOND / t->per_second);
}

uint64_t throttle_wait_ns(struct throttle *t, uint64_t now_ns)
{
    uint64_t wait = 0;

    pthread_mutex_lock(&t->lock);
    if (t->per_second) { /* it changes under the lock only */
        fill(t, now_ns);
        if (t->tokens <= 0)
            wait = (uint64_t)(((unsigned __int128)(1 - (__int128)t->tokens) * SECOND) / t->per_second) + 1;
    }
    pthread_mutex_unlock(&t->lock);
    return wait;
}

uint64_t throttle_wait(struct throttle *t)
{
    return t->per_second ? throttle_wait_ns(t, throttle_now()) : 0;
}

void throttle_charge(struct throttle *t, uint64_t amount)
{
    if (!t->per_second)
        return;
    pthread_mutex_lock(&t->lock);
    t->tokens -= (int64_t)(amount < BURST_MAX ? amount : BURST_MAX);
    if (t->tokens < -(int64_t)BURST_MAX)
        t->tokens = -(int64_t)BURST_MAX;
    pthread_mutex_unlock(&t->lock);
}

uint64_t throttle_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void throttle_arm(int timer_fd, uint64_t ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)}};

    if (!ns)
        when.it_value.tv_nsec = 1;
    (void)timerfd_settime(timer_fd, 0, &when, NULL);
}
