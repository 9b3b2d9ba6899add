/* The other ends of devices; see device_end.h. */
#include "device_end.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DISK_BYTES (64u << 10)

static void disk_options(struct end *d, char *text, size_t size)
{
    d->disk_fd = memfd_create("disk", MFD_CLOEXEC);
    if (d->disk_fd < 0 || ftruncate(d->disk_fd, DISK_BYTES) < 0)
        abort();
    snprintf(text, size, "fd=%d", dup(d->disk_fd));
}

static int make_pair(struct end *d, unsigned index, int type)
{
    int pair[2];

    if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    d->peers[index] = pair[1];
    return pair[0];
}

static void net_options(struct end *d, char *text, size_t size)
{
    snprintf(text, size, "fd=%d", make_pair(d, 0, SOCK_SEQPACKET));
}

static void net_two_options(struct end *d, char *text, size_t size)
{
    int first = make_pair(d, 0, SOCK_DGRAM);

    snprintf(text, size, "fds=%d:%d", first, make_pair(d, 1, SOCK_DGRAM));
}

static void console_options(struct end *d, char *text, size_t size)
{
    snprintf(text, size, "fd=%d", make_pair(d, 0, SOCK_STREAM));
}

static void vsock_options(struct end *d, char *text, size_t size)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX}; /* the kernel chooses a name that is no file */

    d->listener_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->listener_fd < 0 || bind(d->listener_fd, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0 ||
        listen(d->listener_fd, 16) < 0)
        abort();
    snprintf(text, size, "fd=%d", dup(d->listener_fd));
}

static void no_options(struct end *d, char *text, size_t size)
{
    (void)d;
    (void)size;
    text[0] = '\0';
}

static const struct variant {
    const char *kind;
    void (*options)(struct end *d, char *text, size_t size);
    const char *more; /* options */
    bool is_alone;    /* its peers are gone from the start */
} variants[] = {
    {"balloon", no_options, "on", false},
    {"balloon", no_options, "on,stats=1,reporting=off,deflate-on-oom=off", false},
    {"disk", disk_options, ",queues=2,serial=fuzz", false},
    {"disk", disk_options, ",queues=2,engine=threads", false},
    {"disk", disk_options, ",readonly=on", false},
    {"disk", disk_options, ",discard=off,engine=threads", false},
    {"net", net_options, "", false},
    {"net", net_two_options, ",mtu=1500,mac=52:54:00:aB:Cd:01", false},
    {"net", net_options, ",rate=0.01,link_down=on", false},
    {"net", net_options, "", true},
    {"rng", no_options, "", false},
    {"vconsole", console_options, "", false},
    {"vconsole", console_options, "", true},
    {"vsock", vsock_options, ",cid=3", false},
};

unsigned end_variants(const char *kind)
{
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(variants); i++)
        n += streq(variants[i].kind, kind);
    if (!n || n > END_VARIANTS)
        abort();
    return n;
}

static void leave(struct end *d, unsigned index)
{
    if (d->peers[index] >= 0)
        close(d->peers[index]);
    d->peers[index] = -1;
}

void end_init(struct end *d, const char *kind, unsigned variant)
{
    const struct variant *v = variants;
    unsigned skip = variant;
    struct err e = ERR_INIT;
    char text[256];
    size_t n;

    while (!streq(v->kind, kind) || skip--)
        v++;
    *d = (struct end){.kind = kind, .variant = variant, .peers = {-1, -1, -1, -1}, .listener_fd = -1, .disk_fd = -1};
    v->options(d, text, sizeof(text));
    n = strlen(text);
    snprintf(text + n, sizeof(text) - n, "%s", v->more);
    if (harness_init(&d->harness, kind, text, &e) < 0) {
        fprintf(stderr, "%s %s: %s\n", kind, text, e.text);
        abort();
    }
    /* Somebody counts the interrupts of the first two vectors. */
    (void)virtio_test_interrupt_fd(d->harness.device, 0);
    (void)virtio_test_interrupt_fd(d->harness.device, 1);
    for (unsigned i = 0; i < END_PEERS && v->is_alone; i++)
        leave(d, i);
}

void end_remake(struct end *d)
{
    harness_done(&d->harness);
    for (unsigned i = 0; i < END_PEERS; i++)
        leave(d, i);
    if (d->listener_fd >= 0)
        close(d->listener_fd);
    if (d->disk_fd >= 0)
        close(d->disk_fd);
    end_init(d, d->kind, d->variant);
}

/* A new connection if the last one is gone. */
static void call(struct end *d, unsigned index)
{
    struct sockaddr_un name;
    socklen_t n = sizeof(name);

    if (d->listener_fd < 0 || d->peers[index] >= 0 || getsockname(d->listener_fd, (struct sockaddr *)&name, &n) < 0)
        return;
    d->peers[index] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->peers[index] >= 0 && connect(d->peers[index], (struct sockaddr *)&name, n) < 0)
        leave(d, index);
}

void end_say(struct end *d, struct program *p)
{
    unsigned n = (unsigned)take(p, 1), zeroes = (unsigned)take(p, 1), index = zeroes / 64 % END_PEERS;
    char bytes[256];

    n %= 200;
    zeroes %= 32;
    call(d, index);
    memset(bytes, 0, sizeof(bytes));
    if (d->listener_fd >= 0 && zeroes < 4)
        n = (unsigned)snprintf(bytes, sizeof(bytes), "%s %u\n", zeroes < 2 ? "CONNECT" : "LISTEN", n);
    else
        for (unsigned i = zeroes < n ? zeroes : 0; i < n; i++)
            bytes[i] = (char)take(p, 1);
    if (d->peers[index] >= 0)
        (void)send(d->peers[index], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    d->is_spent = d->is_spent || !n;
}

static void drain(struct end *d, unsigned index)
{
    char bytes[4096];
    ssize_t n = 1;

    for (unsigned i = 0; d->peers[index] >= 0 && i < 100 && n > 0; i++)
        n = recv(d->peers[index], bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0 && d->listener_fd >= 0)
        leave(d, index);
}

void end_hear(struct end *d, unsigned how)
{
    unsigned index = how % END_PEERS;

    if (d->listener_fd >= 0 && d->peers[index] >= 0 && how / END_PEERS == 1)
        leave(d, index);
    else if (d->listener_fd >= 0 && d->peers[index] >= 0 && how / END_PEERS > 1)
        (void)shutdown(d->peers[index], how / END_PEERS == 2 ? SHUT_RD : SHUT_WR);
    else
        for (unsigned i = 0; i < END_PEERS; i++)
            drain(d, i);
}

/* What a verb changed is as it was, but for a disk that was told to be larger: its file is shorter than it thinks, as
 * after a truncation behind its back. */
void end_begin(struct end *d)
{
    const struct virtio_ops *ops = virtio_ops_of(d->harness.device);
    struct err e = ERR_INIT;

    if (d->disk_fd >= 0 && ftruncate(d->disk_fd, DISK_BYTES) < 0)
        abort();
    if (ops->link && ops->link(virtio_device(d->harness.device), true, &e) < 0)
        abort();
}

void end_finish(struct end *d)
{
    for (unsigned i = 0; i < END_PEERS; i++) {
        drain(d, i);
        if (d->listener_fd >= 0)
            leave(d, i);
    }
}
