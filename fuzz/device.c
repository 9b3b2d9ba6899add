/* A virtio device of dev/table.c behind its registers: the input is a program of a driver, and of who holds the machine
 * (save and load, verbs). Which device it is says the name of the program (fuzz-disk, fuzz-rng, …): a new kind is one
 * row in src/vmm/meson.build and rows of `variants` in device_end.c; the last byte of the input says which variant it
 * is for. A device lives on between inputs and is reset as a driver does it: after whatever an input did, a reset and a
 * good start must work, and what was saved must load. */
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "device_end.h"
#include "vmm/dev/vsock_priv.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define ECAM      0xe0000000ull
#define BAR       0xc0000000ull
#define WINDOW_AT 0x88u /* the capability that reaches into the BAR, in configuration space */
#define STATE_MAX (64u << 10)

static struct end ends[END_VARIANTS];
static unsigned n_ends;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = strrchr((*argv)[0], '/');

    (void)argc;
    signal(SIGPIPE, SIG_IGN); /* as holm-vmm does */
    name = (name ? name + 1 : (*argv)[0]) + strlen("fuzz-");
    n_ends = end_variants(name);
    for (unsigned i = 0; i < n_ends; i++)
        end_init(&ends[i], name, i);
    return 0;
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
    unsigned queue = (unsigned)take(p, 1) % VIRTIO_QUEUES_MAX, n = 1 + (unsigned)take(p, 1) % ARRAY_SIZE(pieces), k;
    uint64_t shape = take(p, 1);

    if (!h->queues[queue].size)
        return;
    for (unsigned i = 0; i < n; i++) {
        pieces[i].gpa = HARNESS_MEMORY_GPA + 0x100000 + take(p, 1) * 0x100 + i * 0x10000;
        pieces[i].length = (uint32_t)(take(p, 1) % 4 ? take(p, 1) : take(p, 3));
        pieces[i].is_in = shape >> i & 1;
    }
    k = (unsigned)take(p, 1);
    for (unsigned i = 0; i < (k <= 32 ? k : k % 49); i++)
        ((uint8_t *)harness_at(h, pieces[0].gpa))[i] = (uint8_t)take(p, 1);
    harness_add(h, queue, pieces, n);
}

/* --- Devices with ports: an answer to what was heard last ------------------------------------------------------------
 */

static struct virtio_vsock_hdr heard;

static void answer(struct harness *h, struct program *p)
{
    static const uint64_t at = HARNESS_MEMORY_GPA + 0x300000;
    struct virtio_vsock_hdr said = {.src_cid = 3, .dst_cid = VSOCK_HOST_CID};
    const struct harness_queue *q = &h->queues[0];
    uint32_t written;
    uint16_t head;

    if (!q->size || !h->queues[1].size)
        return;
    while (harness_take(h, 0, &head, &written)) {
        uint64_t gpa = *(uint64_t *)harness_at(h, q->desc_gpa + 16u * (head % q->size));

        if (written >= sizeof(heard) && gpa >= HARNESS_MEMORY_GPA &&
            gpa - HARNESS_MEMORY_GPA < HARNESS_MEMORY_BYTES - sizeof(heard))
            memcpy(&heard, harness_at(h, gpa), sizeof(heard));
    }
    said.src_port = heard.dst_port;
    said.dst_port = heard.src_port ? heard.src_port : (uint32_t)take(p, 1);
    said.type = VIRTIO_VSOCK_TYPE_STREAM;
    said.op = (uint16_t)(take(p, 1) % 9);
    said.flags = (uint32_t)take(p, 1) % 4;
    said.len = (uint32_t)take(p, 1) << take(p, 1) % 10;
    said.buf_alloc = (uint32_t)take(p, 1) << 8;
    memcpy(harness_at(h, at), &said, sizeof(said));
    harness_add(h, 1, &(struct harness_piece){.gpa = at, .length = (uint32_t)sizeof(said) + said.len}, 1);
    harness_kick(h, 1);
    harness_turn(h);
}

/* A second of its clock. */
static void tick(struct harness *h)
{
    struct vsock *d = virtio_device(h->device);

    pthread_mutex_lock(&d->lock);
    vsock_catch_up(d);
    (void)vsock_links_tick(d);
    vsock_work(d);
    pthread_mutex_unlock(&d->lock);
}

/* --- Who holds the machine -------------------------------------------------------------------------------------------
 */

/* What it wrote about itself it must take; with one byte changed it may refuse. */
static void save_and_load(struct harness *h, bool is_changed, struct program *p)
{
    struct state_reader reader;
    struct err e = ERR_INIT;
    struct buf b;

    buf_init(&b, STATE_MAX);
    virtio_save(h->device, &b);
    if (b.is_failed)
        abort();
    if (is_changed)
        b.data[take(p, 2) % b.len] ^= (char)take(p, 1);
    reader = (struct state_reader){.at = (uint8_t *)b.data, .end = (uint8_t *)b.data + b.len};
    if ((virtio_load(h->device, &reader, &e) < 0 || state_reader_end(&reader, "a device", &e) < 0) && !is_changed) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    buf_done(&b);
}

static void tell_nobody(void *arg, const char *name, uint64_t value)
{
    (void)arg;
    (void)value;
    if (!name)
        abort();
}

static void verb(struct harness *h, struct program *p)
{
    const struct virtio_ops *ops = virtio_ops_of(h->device);
    void *device = virtio_device(h->device);
    uint64_t value = take(p, 3);
    struct err e = ERR_INIT;
    int r = 0;

    if (ops->counters)
        ops->counters(device, tell_nobody, NULL);
    if (ops->balloon_stats)
        ops->balloon_stats(device, tell_nobody, NULL);
    if (ops->resize && value < 1u << 20)
        r = ops->resize(device, value, &e);
    if (ops->balloon)
        r = ops->balloon(device, value, &e);
    if (ops->link)
        r = ops->link(device, value & 1, &e);
    if (r < 0 && !e.code[0])
        abort();
    harness_turn(h);
}

static void hold(struct end *d, unsigned which, struct program *p)
{
    struct harness *h = &d->harness;
    uint64_t ecam = ECAM + ((uint64_t)virtio_slot(h->device) << 15), at;

    switch (which) {
    case 0:
        at = take(p, 1);
        (void)bus_read(&h->mmio, ecam + at, 1u << take(p, 1) % 3);
        break;
    case 1:
    case 2:
        save_and_load(h, which == 2, p);
        break;
    case 3:
    case 4:
        verb(h, p);
        break;
    case 5: /* a register through the window */
        bus_write(&h->mmio, ecam + WINDOW_AT + 8, 4, take(p, 2));
        bus_write(&h->mmio, ecam + WINDOW_AT + 12, 4, 1u << take(p, 1) % 3);
        bus_write(&h->mmio, ecam + WINDOW_AT + 16, 4, take(p, 4));
        (void)bus_read(&h->mmio, ecam + WINDOW_AT + 16, 4);
        break;
    case 6: /* the BAR from outside, MSI-X too */
        at = take(p, 2);
        at = BAR + virtio_slot(h->device) * 0x8000ull + (at & 0x8000 ? 0x6000 + at % 0x60 : at);
        bus_write(&h->mmio, at, 1u << take(p, 1) % 4, take(p, 4));
        (void)bus_read(&h->mmio, at, 1u << take(p, 1) % 4);
        break;
    case 7: /* MSI-X on, off, masked */
        bus_write(&h->mmio, ecam + 0x42, 2, take(p, 2));
        break;
    default:
        if (!streq(d->kind, "vsock"))
            break;
        if (which % 8 == 1)
            tick(h);
        else
            answer(h, p);
        break;
    }
}

/* --- The driver ------------------------------------------------------------------------------------------------------
 */

static void step(struct end *d, struct program *p)
{
    static const unsigned sizes[] = {1, 2, 4, 8};
    struct harness *h = &d->harness;
    unsigned size, queue, what = (unsigned)take(p, 1);
    uint64_t at;
    uint32_t written;
    uint16_t head;

    switch (what % 15) {
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
    case 11: /* configuration space of PCI */
        at = take(p, 1);
        bus_write(&h->mmio, ECAM + ((uint64_t)virtio_slot(h->device) << 15) + at, sizes[take(p, 1) % 3], take(p, 4));
        break;
    case 13:
        end_say(d, p);
        harness_turn(h);
        break;
    case 14:
        end_hear(d, what / 15);
        harness_turn(h);
        break;
    default:
        hold(d, what / 15, p);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct end *d = &ends[n ? data[n - 1] % n_ends : 0];
    struct program p = {data, data + (n ? n - 1 : 0)};

    heard = (struct virtio_vsock_hdr){0};
    end_begin(d);
    start(&d->harness, UINT64_MAX);
    for (unsigned i = 0; p.at < p.end && i < 200; i++)
        step(d, &p);
    if (d->is_spent || (n && data[n - 1] >= 0xf8)) { /* it ends in the middle of its work */
        end_remake(d);
        return 0;
    }
    settle(&d->harness);
    end_finish(d);
    start(&d->harness, UINT64_MAX);
    pci_bus_reset(d->harness.pci);
    return 0;
}
