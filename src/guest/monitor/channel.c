/* Serial ports and the agent's channel; see channel.h. The far end is the guest: it may write without end, so reading
 * is bounded per wake-up and per second, and what is kept is a ring. */
#include "guest/monitor/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "guest/monitor/monitor.h"

#define READ_BYTES         16384u
#define READS_PER_WAKE     4
#define WINDOW_MS          100u
#define WINDOW_BYTES       (1024u * 1024u) /* read at most this much per window: 10 MiB/s */
#define INPUT_BYTES_MAX    (256u * 1024u)
#define INPUT_BYTES_ENOUGH 32768u /* more is not taken from clients until the guest reads */

static void on_event(void *arg, short revents);

static void update_events(struct channel *c)
{
    if (c->fd < 0)
        return;
    bool is_paused = !list_is_empty(&c->pause.node);
    loop_events(&c->m->loop, c->fd, (short)((is_paused ? 0 : POLLIN) | (c->input.len ? POLLOUT : 0)));
}

static void on_pause_over(void *arg)
{
    update_events(arg);
}

int channel_new(struct monitor *m, const char *name, struct channel **ret, int *ret_peer, struct err *e)
{
    int pair[2];
    struct channel *c = calloc(1, sizeof(*c));

    if (!c || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        free(c);
        return err_errno(e, c ? errno : ENOMEM, "make channel %s", name);
    }
    *c = (struct channel){.m = m, .fd = pair[0], .is_silent = !str_starts(name, "serial")};
    snprintf(c->name, sizeof(c->name), "%s", name);
    buf_init(&c->input, INPUT_BYTES_MAX);
    list_init(&c->clients);
    loop_timer_init(&c->pause, on_pause_over, c);
    if (!c->is_silent)
        c->ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->ring == MAP_FAILED)
        c->ring = NULL;
    int r = !c->is_silent && !c->ring ? -ENOMEM : fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (r == 0)
        r = loop_watch(&m->loop, c->fd, POLLIN, on_event, c);
    if (r < 0) {
        channel_free(c);
        close(pair[1]);
        return err_set(e, r, NULL, "make channel %s", name);
    }
    *ret = c;
    *ret_peer = pair[1];
    return 0;
}

static void close_fd(struct channel *c)
{
    if (c->fd < 0)
        return;
    loop_unwatch(&c->m->loop, c->fd);
    close(TAKE_FD(c->fd));
    loop_timer_stop(&c->pause);
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    client_close_all(c);
    close_fd(c);
    if (c->ring)
        munmap(c->ring, RING_BYTES);
    buf_done(&c->input);
    free(c);
}

static void keep(struct channel *c, const uint8_t *p, size_t n)
{
    if (!c->ring)
        return;
    size_t at = (size_t)(c->total % RING_BYTES), first = n < RING_BYTES - at ? n : RING_BYTES - at;
    memcpy(c->ring + at, p, first);
    memcpy(c->ring, p + first, n - first);
    c->total += n;
}

/* 1 = got bytes, 0 = nothing now, -1 = the hypervisor's end is closed. */
static int read_once(struct channel *c)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = read(c->fd, bytes, sizeof(bytes));

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0)
        return -1;
    keep(c, bytes, (size_t)n);
    if (c->on_bytes)
        c->on_bytes(c->on_bytes_arg, bytes, (size_t)n);
    c->window_bytes += (size_t)n;
    return 1;
}

static void limit_rate(struct channel *c)
{
    uint64_t now = clock_boot_ms();

    if (now - c->window_ms >= WINDOW_MS) {
        c->window_ms = now;
        c->window_bytes = 0;
    } else if (c->window_bytes >= WINDOW_BYTES) {
        loop_timer_set(&c->m->loop, &c->pause, c->window_ms + WINDOW_MS - now);
    }
}

static void flush_input(struct channel *c)
{
    while (c->fd >= 0 && c->input.len) {
        ssize_t n = write(c->fd, c->input.data, c->input.len);
        if (n <= 0)
            break;
        buf_consume(&c->input, (size_t)n);
    }
    if (!c->input.len)
        buf_done(&c->input); /* idle guests cost no buffer */
}

static void on_event(void *arg, short revents)
{
    struct channel *c = arg;
    int r = 1;

    if (revents & POLLOUT) {
        flush_input(c);
        client_update_all(c);
    }
    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        for (int i = 0; r == 1 && i < READS_PER_WAKE; i++)
            r = read_once(c);
        limit_rate(c);
        client_update_all(c);
    }
    if (r < 0)
        close_fd(c);
    else
        update_events(c);
}

void channel_end(struct channel *c)
{
    /* At most what a socket buffer holds. */
    for (int i = 0; c->fd >= 0 && i < 64; i++)
        if (read_once(c) != 1)
            break;
    close_fd(c);
    client_update_all(c);
}

bool channel_has_room(const struct channel *c)
{
    return c->input.len < INPUT_BYTES_ENOUGH;
}

void channel_write(struct channel *c, const uint8_t *p, size_t n)
{
    if (c->fd < 0)
        return;
    buf_append(&c->input, p, n);
    if (c->input.is_failed) /* clients stop at INPUT_BYTES_ENOUGH, so this is memory */
        buf_reset(&c->input);
    flush_input(c);
    update_events(c);
}

size_t channel_peek(const struct channel *c, uint64_t pos, const uint8_t **ret)
{
    size_t at = (size_t)(pos % RING_BYTES), n = (size_t)(c->total - pos);

    *ret = c->ring + at;
    return n < RING_BYTES - at ? n : RING_BYTES - at;
}
