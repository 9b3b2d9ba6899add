/* Clocks; see clock.h. */
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

static uint64_t boot_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_boot_ms(void)
{
    return boot_ns() / 1000000u;
}

uint64_t clock_boot_us(void)
{
    return boot_ns() / 1000u;
}

int64_t clock_wall_ms(void)
{
    struct timespec ts;
    const char *offset = getenv("HOLM_CLOCK_OFFSET");

    clock_gettime(CLOCK_REALTIME, &ts);
    return ((int64_t)ts.tv_sec + (offset ? atoll(offset) : 0)) * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}
