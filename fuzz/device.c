/* A virtio device of dev/table.c behind its registers: the input is a program of a driver. Which device it is says the
 * name of the program (fuzz-disk, fuzz-rng, …): a new kind is one row in src/vmm/meson.build and, if it needs options,
 * one in `kinds`. The device lives on between inputs and is reset as a driver does it: after whatever an input did, a
 * reset and a good start must work. */
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/harness.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define DISK_BYTES (64u << 10)

static struct harness harness;
static int disk_fd = -1;

static void disk_options(char *text, size_t size)
{
    disk_fd = memfd_create("disk", MFD_CLOEXEC);
    if (disk_fd < 0 || ftruncate(disk_fd, DISK_BYTES) < 0)
        abort();
    snprintf(text, size, "fd=%d,queues=2,serial=fuzz", disk_fd);
}

/* What is at the other end of the device: takes what comes, says what the input says. -1: there is nothing. */
static int peer_fd = -1, listener_fd = -1;

static void pair_options(char *text, size_t size, int type)
{
    int pair[2];

    if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    peer_fd = pair[1];
    snprintf(text, size, "fd=%d", pair[0]);
}

static void net_options(char *text, size_t size)
{
    pair_options(text, size, SOCK_SEQPACKET);
}

static void console_options(char *text, size_t size)
{
    pair_options(text, size, SOCK_STREAM);
}

static void vsock_options(char *text, size_t size)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX}; /* the kernel chooses a name that is no file */

    listener_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener_fd < 0 || bind(listener_fd, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0 ||
        listen(listener_fd, 16) < 0)
        abort();
    snprintf(text, size, "cid=3,fd=%d", dup(listener_fd));
}

static const struct {
    const char *kind;
    void (*options)(char *text, size_t size);
} kinds[] = {{"disk", disk_options}, {"net", net_options}, {"vconsole", console_options}, {"vsock", vsock_options}};

/* vsock's peer is a new connection each time the last one is gone. */
static void peer_connect(void)
{
    struct sockaddr_un name;
    socklen_t n = sizeof(name);

    if (listener_fd < 0 || peer_fd >= 0 || getsockname(listener_fd, (struct sockaddr *)&name, &n) < 0)
        return;
    peer_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (peer_fd >= 0 && connect(peer_fd, (struct sockaddr *)&name, n) < 0) {
        close(peer_fd);
        peer_fd = -1;
    }
}

static void peer_drain(void)
{
    char bytes[4096];

    for (unsigned i = 0; peer_fd >= 0 && i < 100; i++) {
        ssize_t n = recv(peer_fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n > 0)
            continue;
        if (n == 0 && listener_fd >= 0) {
            close(peer_fd);
            peer_fd = -1;
        }
        return;
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = strrchr((*argv)[0], '/');
    struct err e = ERR_INIT;
    char text[256] = "";

    (void)argc;
    name = (name ? name + 1 : (*argv)[0]) + strlen("fuzz-");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (streq(name, kinds[i].kind))
            kinds[i].options(text, sizeof(text));
    if (harness_init(&harness, name, text, &e) < 0) {
        fprintf(stderr, "%s: %s\n", name, e.text);
        abort();
    }
    return 0;
}

struct program {
    const uint8_t *at, *end;
};

static uint64_t take(struct program *p, unsigned n)
{
    uint64_t v = 0;

    for (; n && p->at < p->end; n--)
        v = v << 8 | *p->at++;
    return v;
}

/* Until the device's threads have taken their doorbells, or for a while. */
static void settle(struct harness *h)
{
    unsigned n = (unsigned)harness_read(h, 0x12, 2);

    for (unsigned i = 0; i < n; i++) {
        struct pollfd p = {.fd = virtio_doorbell(h->device, i), .events = POLLIN};

        for (unsigned j = 0; j < 300 && poll(&p, 1, 0) == 1; j++) {
            harness_turn(h);
            sched_yield();
        }
    }
    harness_turn(h);
}

static void reset(struct harness *h)
{
    harness_write(h, 0x14, 1, 0);
    if (harness_status(h) != 0)
        abort();
    h->next_gpa = HARNESS_MEMORY_GPA;
    memset(h->queues, 0, sizeof(h->queues));
    (void)madvise(h->ram, HARNESS_MEMORY_BYTES, MADV_DONTNEED);
}

static void start(struct harness *h, uint64_t features)
{
    unsigned n = (unsigned)harness_read(h, 0x12, 2);

    reset(h);
    if (harness_start(h, features, n, 16) != 0x0f)
        abort();
}

/* A small header at the start of the data is what most devices look at first. */
static void add_chain(struct harness *h, struct program *p)
{
    struct harness_piece pieces[8];
    unsigned queue = (unsigned)take(p, 1) % VIRTIO_QUEUES_MAX, n = 1 + (unsigned)take(p, 1) % ARRAY_SIZE(pieces);
    uint64_t shape = take(p, 1);

    if (!h->queues[queue].size)
        return;
    for (unsigned i = 0; i < n; i++) {
        pieces[i].gpa = HARNESS_MEMORY_GPA + 0x100000 + take(p, 1) * 0x100 + i * 0x10000;
        pieces[i].length = (uint32_t)(take(p, 1) % 4 ? take(p, 1) : take(p, 3));
        pieces[i].is_in = shape >> i & 1;
    }
    /* The first 32 bytes of the first piece. */
    for (unsigned i = 0, k = (unsigned)take(p, 1) % 33; i < k; i++)
        ((uint8_t *)harness_at(h, pieces[0].gpa))[i] = (uint8_t)take(p, 1);
    harness_add(h, queue, pieces, n);
}

/* Bytes to the device from its other end: those of the input, or a line that vsock knows. */
static void peer_say(struct harness *h, struct program *p)
{
    char bytes[256];
    unsigned n = (unsigned)take(p, 1) % 200, zeroes = (unsigned)take(p, 1) % 32;
    int length;

    peer_connect();
    if (peer_fd < 0)
        return;
    memset(bytes, 0, sizeof(bytes));
    for (unsigned i = zeroes < n ? zeroes : 0; i < n; i++)
        bytes[i] = (char)take(p, 1);
    length = (int)n;
    if (listener_fd >= 0 && zeroes < 4)
        length = snprintf(bytes, sizeof(bytes), "%s %u\n", zeroes < 2 ? "CONNECT" : "LISTEN", n);
    (void)send(peer_fd, bytes, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
    harness_turn(h);
}

static void step(struct harness *h, struct program *p)
{
    static const unsigned sizes[] = {1, 2, 4, 8};
    uint64_t at, ecam = 0xe0000000 + ((uint64_t)virtio_slot(h->device) << 15);
    unsigned size, queue;
    uint32_t written;
    uint16_t head;

    switch (take(p, 1) % 15) {
    case 0: /* any register */
        at = take(p, 2);
        harness_write(h, at % 0x6000, sizes[take(p, 1) % 4], take(p, 8));
        break;
    case 1:
        at = take(p, 2);
        (void)harness_read(h, at % 0x6000, sizes[take(p, 1) % 4]);
        break;
    case 2: /* one of the common ones */
        at = take(p, 1) % 0x38;
        harness_write(h, at, sizes[take(p, 1) % 4], take(p, 4));
        break;
    case 3: /* memory of the guest */
        at = take(p, 3) % HARNESS_MEMORY_BYTES;
        for (size = 1 + (unsigned)take(p, 1) % 40; size && at < HARNESS_MEMORY_BYTES; size--, at++)
            h->ram[at] = (uint8_t)take(p, 1);
        break;
    case 4:
        start(h, take(p, 1) << 28 | take(p, 3));
        break;
    case 5:
    case 6:
        add_chain(h, p);
        break;
    case 7:
    case 8:
        queue = (unsigned)take(p, 1) % (unsigned)harness_read(h, 0x12, 2);
        harness_kick(h, queue);
        settle(h);
        break;
    case 9:
        queue = (unsigned)take(p, 1) % VIRTIO_QUEUES_MAX;
        if (h->queues[queue].size)
            (void)harness_take(h, queue, &head, &written);
        break;
    case 10:
        reset(h);
        break;
    case 11: /* configuration space of PCI and, through it, the window into the registers */
        at = take(p, 1);
        bus_write(&h->mmio, ecam + at, sizes[take(p, 1) % 3], take(p, 4));
        break;
    case 13:
        peer_say(h, p);
        break;
    case 14:
        peer_drain();
        harness_turn(h);
        break;
    default:
        at = take(p, 1);
        (void)bus_read(&h->mmio, ecam + at, sizes[take(p, 1) % 3]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct program p = {data, data + n};

    if (disk_fd >= 0 && ftruncate(disk_fd, DISK_BYTES) < 0)
        abort();
    start(&harness, UINT64_MAX);
    for (unsigned i = 0; p.at < p.end && i < 200; i++)
        step(&harness, &p);
    settle(&harness);
    peer_drain();
    if (listener_fd >= 0 && peer_fd >= 0) {
        close(peer_fd);
        peer_fd = -1;
    }
    start(&harness, UINT64_MAX);
    pci_bus_reset(harness.pci);
    return 0;
}
