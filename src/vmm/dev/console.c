/* Console device: virtio 1.2, 5.3, one port (hvc0 of Linux). Option: stdio or fd=N, a terminal, pipe or socket. On the
 * main loop. Bytes go straight between the driver's memory and the descriptor; nothing waits in host memory: when the
 * reader is full the driver's buffers wait, and when the driver has none the writer does. */
#include <fcntl.h>
#include <sys/uio.h>

#include "vmm/dev/table.h"

#define BYTES_A_TURN  (64u << 10)
#define CHAINS_A_TURN 16u

enum { RX, TX };

struct console {
    struct virtio_host *host;
    struct virtio *virtio;
    struct loop_source rx_bell, tx_bell, in, out;
    pthread_mutex_t lock; /* the loop's work against stop */
    bool is_running, is_kept, is_in_gone, is_out_gone;
    /* The driver's first chain that is not done yet is written up to here. */
    uint64_t sent_bytes;
};

/* A plain file cannot be watched and is always ready: then its doorbell stands for it. */
static void watch(struct console *d, struct loop_source *s, int bell, bool is_on)
{
    int r;

    if (!is_on || s->is_added) {
        if (!is_on)
            loop_remove(d->host->main, s);
        return;
    }
    r = loop_add(d->host->main, s);
    if (r == -EPERM)
        loop_wake(bell);
}

/* The pieces of a part from an offset on, at most BYTES_A_TURN. */
static unsigned slice(const struct iovec *from, unsigned n, uint64_t skip, struct iovec *to)
{
    size_t left = BYTES_A_TURN;
    unsigned used = 0;

    for (unsigned i = 0; i < n && left; i++) {
        size_t bytes;

        if (skip >= from[i].iov_len) {
            skip -= from[i].iov_len;
            continue;
        }
        bytes = from[i].iov_len - skip < left ? from[i].iov_len - skip : left;
        to[used++] = (struct iovec){.iov_base = (uint8_t *)from[i].iov_base + skip, .iov_len = bytes};
        left -= bytes;
        skip = 0;
    }
    return used;
}

/* --- From the guest -------------------------------------------------------------------------------------------------
 */

/* Writes on where it stopped. 1: the chain is done. 0: there is more of it. -EAGAIN: the reader is full. */
static int write_chain(struct console *d, const struct virtq_chain *c)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    unsigned n = slice(c->iov, c->n_out, d->sent_bytes, iov);
    ssize_t r = 0;

    if (d->is_out_gone || !n)
        return 1; /* nobody reads: the guest does not wait for him */
    do
        r = writev(d->out.fd, iov, (int)n);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN)
        return -EAGAIN;
    if (r < 0) {
        d->is_out_gone = true;
        return 1;
    }
    d->sent_bytes += (uint64_t)r;
    return d->sent_bytes >= c->out_bytes;
}

static int step_out(struct console *d)
{
    struct virtq *q = virtio_queue(d->virtio, TX);
    struct virtq_chain c;
    int r = virtq_pop(q, &c);

    if (r <= 0)
        return r;
    if (c.n_in)
        return -EPROTO;
    r = write_chain(d, &c);
    if (r == 1) {
        virtq_push(q, c.head, 0);
        d->sent_bytes = 0;
        return 1;
    }
    virtq_unpop(q);
    return r == 0 ? 1 : r;
}

static void transmit(struct console *d)
{
    int r = 1;

    for (unsigned i = 0; i < CHAINS_A_TURN && r > 0; i++)
        r = step_out(d);
    if (r == -EPROTO)
        virtio_fail(d->virtio);
    virtio_signal(d->virtio, TX);
    if (r > 0)
        loop_wake(d->tx_bell.fd); /* the others first */
    watch(d, &d->out, d->tx_bell.fd, r == -EAGAIN);
}

/* --- To the guest ---------------------------------------------------------------------------------------------------
 */

/* 1: bytes came. 0: there is nothing to read into. -EAGAIN: nothing to read. */
static int step_in(struct console *d)
{
    struct virtq *q = virtio_queue(d->virtio, RX);
    struct iovec iov[VIRTQ_SIZE_MAX];
    struct virtq_chain c;
    ssize_t bytes;
    int r = virtq_pop(q, &c);

    if (r <= 0)
        return r;
    if (c.n_out || !c.in_bytes)
        return -EPROTO;
    do
        bytes = readv(d->in.fd, iov, (int)slice(c.iov, c.n_in, 0, iov));
    while (bytes < 0 && errno == EINTR);
    if (bytes > 0) {
        virtq_push(q, c.head, (uint32_t)bytes);
        return 1;
    }
    virtq_unpop(q);
    if (bytes == 0 || errno != EAGAIN)
        d->is_in_gone = true;
    return -EAGAIN;
}

static void receive(struct console *d)
{
    int r = d->is_in_gone ? 0 : step_in(d);

    if (r == -EPROTO)
        virtio_fail(d->virtio);
    virtio_signal(d->virtio, RX);
    watch(d, &d->in, d->rx_bell.fd, r == 1 || (r == -EAGAIN && !d->is_in_gone));
}

/* --- The device -----------------------------------------------------------------------------------------------------
 */

static void work(struct console *d, struct loop_source *bell, bool is_rx)
{
    if (bell)
        loop_drain(bell->fd);
    pthread_mutex_lock(&d->lock);
    if (!d->is_running || virtio_is_failed(d->virtio)) {
        loop_remove(d->host->main, &d->in);
        loop_remove(d->host->main, &d->out);
    } else if (is_rx) {
        receive(d);
    } else {
        transmit(d);
    }
    pthread_mutex_unlock(&d->lock);
}

static void on_rx_bell(void *context, uint32_t events)
{
    struct console *d = context;
    (void)events;
    work(d, &d->rx_bell, true);
}
static void on_tx_bell(void *context, uint32_t events)
{
    struct console *d = context;
    (void)events;
    work(d, &d->tx_bell, false);
}
static void on_in(void *context, uint32_t events)
{
    (void)events;
    work(context, NULL, true);
}
static void on_out(void *context, uint32_t events)
{
    (void)events;
    work(context, NULL, false);
}

static void set_running(struct console *d, bool is_running)
{
    pthread_mutex_lock(&d->lock);
    d->is_running = is_running;
    pthread_mutex_unlock(&d->lock);
}

static int console_start(void *device, uint64_t features)
{
    struct console *d = device;

    (void)features;
    if (!d->is_kept)
        d->sent_bytes = 0;
    d->is_kept = false;
    set_running(d, true);
    loop_wake(d->rx_bell.fd);
    loop_wake(d->tx_bell.fd);
    return 0;
}

static void console_stop(void *device)
{
    set_running(device, false);
}

static void console_save(void *device, struct buf *b)
{
    struct console *d = device;

    state_put_u64(b, d->sent_bytes);
    d->is_kept = true; /* the next start goes on */
}

static void console_load(void *device, struct state_reader *r)
{
    struct console *d = device;

    d->sent_bytes = state_get_u64(r);
    d->is_kept = true;
}

static void console_free(void *device)
{
    struct console *d = device;
    struct loop_source *all[] = {&d->rx_bell, &d->tx_bell, &d->in, &d->out};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        loop_remove(d->host->main, all[i]);
    if (d->in.fd > STDERR_FILENO)
        close(d->in.fd);
    if (d->out.fd > STDERR_FILENO)
        close(d->out.fd);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const struct virtio_ops console_ops = {.name = "vconsole",
                                              .id = 3,
                                              .class_code = 0x078000,
                                              .queue_size = 64,
                                              .start = console_start,
                                              .stop = console_stop,
                                              .save = console_save,
                                              .load = console_load,
                                              .free = console_free};

/* An epoll has a descriptor once: one that is read and written needs another number for the second way. */
static int open_ends(struct console *d, const struct propstr *p, struct err *e)
{
    const char *to = propstr_get(p, "to");
    int fd, r = device_open(p, "path", O_RDWR, &fd, e);

    if (r < 0)
        return r;
    if ((fd >= 0) == (to != NULL) || (to && !streq(to, "stdio")))
        return err_set(e, -EINVAL, "option.value", "a console needs stdio or fd=N");
    d->in.fd = to ? loop_own_stdio(STDIN_FILENO) : fd;
    d->out.fd = to ? loop_own_stdio(STDOUT_FILENO) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (d->in.fd < 0 || d->out.fd < 0 ||
        (!to && (fcntl(d->in.fd, F_SETFL, fcntl(d->in.fd, F_GETFL) | O_NONBLOCK) < 0 ||
                 fcntl(d->out.fd, F_SETFL, fcntl(d->out.fd, F_GETFL) | O_NONBLOCK) < 0)))
        return err_errno(e, errno, "use the console's descriptor");
    return 0;
}

static int add_bell(struct console *d, struct loop_source *s, unsigned index,
                    void (*on_ready)(void *context, uint32_t events))
{
    *s = (struct loop_source){
        .fd = virtio_doorbell(d->virtio, index), .events = EPOLLIN, .on_ready = on_ready, .context = d};
    return loop_add(d->host->main, s);
}

static int console_new(struct virtio_host *h, const struct propstr *p, struct virtio **ret_virtio, struct err *e)
{
    static const char *const keys[] = {"to", "fd", NULL};
    struct console *d;
    int r = device_check_keys(p, keys, e);

    if (r < 0)
        return r;
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->host = h;
    d->in = (struct loop_source){.fd = -1, .events = EPOLLIN, .on_ready = on_in, .context = d};
    d->out = (struct loop_source){.fd = -1, .events = EPOLLOUT, .on_ready = on_out, .context = d};
    pthread_mutex_init(&d->lock, NULL);
    r = open_ends(d, p, e);
    if (r < 0) {
        console_free(d);
        return r;
    }
    r = virtio_new(h, &console_ops, d, 0, 2, &d->virtio, e);
    if (r < 0)
        return r;
    if ((r = add_bell(d, &d->rx_bell, RX, on_rx_bell)) < 0 || (r = add_bell(d, &d->tx_bell, TX, on_tx_bell)) < 0) {
        virtio_free(d->virtio);
        return err_errno(e, -r, "watch a doorbell");
    }
    *ret_virtio = d->virtio;
    return 0;
}

const struct device_type device_console = {
    .option = "vconsole", .usage = "stdio|fd=N", .help = "a console (hvc0)", .new = console_new, .default_key = "to"};
