/* HOLM_WATCHDOG=MS, for tests: says in the log when the loop was held for longer than MS milliseconds at a stretch, and
 * at the end how long the longest stretch was. The loop is then turned by hand: wait for its epoll descriptor, run what
 * is due without waiting, measure that. Timers are as late as one turn of 5 ms at most. */
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"

#define TURN_MS 5

/* The descriptor that base waits on: the one that appeared when it was made. */
int watchdog_find_epoll(void)
{
    char path[64], target[64];

    for (int fd = 255; fd >= 3; fd--) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = 0;
        if (streq(target, "anon_inode:[eventpoll]"))
            return fd;
    }
    return -ENOENT;
}

void watchdog_dispatch(struct event_base *base, int epoll_fd)
{
    const char *limit_text = getenv("HOLM_WATCHDOG");
    uint64_t limit_us = limit_text ? strtoull(limit_text, NULL, 10) * 1000u : 0, longest_us = 0;

    if (!limit_us || epoll_fd < 0) {
        event_base_dispatch(base);
        return;
    }
    while (!event_base_got_break(base)) {
        struct pollfd p = {.fd = epoll_fd, .events = POLLIN};
        if (poll(&p, 1, TURN_MS) < 0 && errno != EINTR)
            break;
        uint64_t before = clock_boot_us();
        event_base_loop(base, EVLOOP_NONBLOCK);
        uint64_t held_us = clock_boot_us() - before;
        if (held_us > longest_us)
            longest_us = held_us;
        if (held_us > limit_us)
            log_warn("watchdog: the loop was held for %llu us", (unsigned long long)held_us);
    }
    log_note("watchdog: longest stretch %llu us", (unsigned long long)longest_us);
}
