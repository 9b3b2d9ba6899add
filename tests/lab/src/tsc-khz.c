// Prints the rate of this machine's time stamp counter in kHz, which is also that of a machine under TCG: the outer
// machine is told instead of measuring it, which goes wrong when the host is busy.
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
    double ns;
    unsigned long long ticks;
};

// Reads both clocks; of many tries the one in which least time passed between the two readings of the counter.
static struct moment take(void)
{
    struct moment best = {0};
    unsigned long long least = ~0ULL;
    for (int i = 0; i < 200; i++) {
        struct timespec t;
        unsigned long long before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC_RAW, &t);
        unsigned long long after = __rdtsc();
        if (after - before >= least)
            continue;
        least = after - before;
        best = (struct moment){t.tv_sec * 1e9 + (double)t.tv_nsec, before + least / 2};
    }
    return best;
}

int main(void)
{
    struct moment a = take();
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    struct moment b = take();
    printf("%.0f\n", (double)(b.ticks - a.ticks) / (b.ns - a.ns) * 1e6);
    return 0;
}
