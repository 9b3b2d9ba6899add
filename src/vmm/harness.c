/* The driver's side for tests; see harness.h. */
#include "vmm/harness.h"

#include <poll.h>
#include <sys/mman.h>
#include <time.h>

#define WAIT_MS 20000

#define STATUS_AT 0x14u
#define SELECT_AT 0x16u
#define NOTIFY_AT 0x3000u

struct desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

int harness_init(struct harness *h, const char *kind, const char *text, struct err *e)
{
    const struct device_type *type = device_type_find(kind);
    struct propstr options;
    int r;

    *h = (struct harness){.next_gpa = HARNESS_MEMORY_GPA};
    h->ram = mmap(NULL, HARNESS_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (h->ram == MAP_FAILED || !type)
        return err_set(e, -EINVAL, NULL, "no memory, or no device '%s'", kind);
    memory_init_fake(&h->memory, HARNESS_MEMORY_GPA, h->ram, HARNESS_MEMORY_BYTES);
    bus_init(&h->mmio);
    r = loop_init(&h->loop, e);
    if (r == 0)
        r = pci_bus_new(NULL, &h->mmio, 0xe0000000, 0xc0000000, &h->pci, e);
    h->host = (struct virtio_host){.memory = &h->memory, .pci = h->pci, .main = &h->loop};
    if (r == 0)
        r = propstr_parse(text, type->default_key, &options, e);
    if (r == 0)
        r = type->new (&h->host, &options, &h->device, e);
    if (r < 0)
        harness_done(h);
    return r;
}

void harness_done(struct harness *h)
{
    virtio_free(h->device);
    pci_bus_free(h->pci);
    loop_done(&h->loop);
    bus_done(&h->mmio);
    munmap(h->ram, HARNESS_MEMORY_BYTES);
}

uint64_t harness_read(struct harness *h, uint64_t offset, unsigned size)
{
    return virtio_test_read(h->device, offset, size);
}

void harness_write(struct harness *h, uint64_t offset, unsigned size, uint64_t value)
{
    virtio_test_write(h->device, offset, size, value);
}

uint8_t harness_status(struct harness *h)
{
    return (uint8_t)harness_read(h, STATUS_AT, 1);
}

void harness_reset(struct harness *h)
{
    harness_write(h, STATUS_AT, 1, 0);
    h->next_gpa = HARNESS_MEMORY_GPA;
    memset(h->queues, 0, sizeof(h->queues));
    memset(h->ram, 0, HARNESS_MEMORY_BYTES);
}

uint64_t harness_offered(struct harness *h)
{
    uint64_t low;

    harness_write(h, 0x00, 4, 0);
    low = harness_read(h, 0x04, 4);
    harness_write(h, 0x00, 4, 1);
    return low | harness_read(h, 0x04, 4) << 32;
}

static void make_queue(struct harness *h, unsigned index, uint16_t size)
{
    struct harness_queue *q = &h->queues[index];

    q->size = size;
    q->desc_gpa = harness_alloc(h, 16u * size);
    q->avail_gpa = harness_alloc(h, 6 + 2u * size);
    q->used_gpa = harness_alloc(h, 6 + 8u * size);
    harness_write(h, SELECT_AT, 2, index);
    harness_write(h, 0x18, 2, size);
    harness_write(h, 0x1a, 2, index + 1);
    harness_write(h, 0x20, 8, q->desc_gpa);
    harness_write(h, 0x28, 8, q->avail_gpa);
    harness_write(h, 0x30, 8, q->used_gpa);
    harness_write(h, 0x1c, 2, 1);
}

uint8_t harness_start(struct harness *h, uint64_t wanted, unsigned n_queues, uint16_t size)
{
    uint64_t features = harness_offered(h) & (wanted | VIRTIO_VERSION_1);

    harness_write(h, STATUS_AT, 1, 1);
    harness_write(h, STATUS_AT, 1, 3);
    for (unsigned half = 0; half < 2; half++) {
        harness_write(h, 0x08, 4, half);
        harness_write(h, 0x0c, 4, features >> 32 * half & UINT32_MAX);
    }
    harness_write(h, STATUS_AT, 1, 0x0b);
    for (unsigned i = 0; i < n_queues; i++)
        make_queue(h, i, size);
    harness_write(h, STATUS_AT, 1, 0x0f);
    return harness_status(h);
}

uint64_t harness_alloc(struct harness *h, uint32_t bytes)
{
    uint64_t at = h->next_gpa;

    if (bytes > HARNESS_MEMORY_BYTES || at + bytes > HARNESS_MEMORY_GPA + HARNESS_MEMORY_BYTES)
        return 0;
    h->next_gpa = (at + bytes + 4095) & ~4095ull;
    memset(harness_at(h, at), 0, bytes);
    return at;
}

void *harness_at(struct harness *h, uint64_t gpa)
{
    return h->ram + (gpa - HARNESS_MEMORY_GPA);
}

uint16_t harness_add(struct harness *h, unsigned queue, const struct harness_piece *pieces, unsigned n)
{
    struct harness_queue *q = &h->queues[queue];
    struct desc *table = harness_at(h, q->desc_gpa);
    uint16_t *avail = harness_at(h, q->avail_gpa), head = q->next_free;

    for (unsigned i = 0; i < n; i++) {
        uint16_t at = q->next_free;

        q->next_free = (uint16_t)((at + 1) % q->size);
        table[at] = (struct desc){.address = pieces[i].gpa,
                                  .length = pieces[i].length,
                                  .flags = (uint16_t)((i + 1 < n ? 1 : 0) | (pieces[i].is_in ? 2 : 0)),
                                  .next = q->next_free};
    }
    avail[2 + q->avail % q->size] = head;
    q->avail++;
    __atomic_store_n(&avail[1], q->avail, __ATOMIC_RELEASE);
    return head;
}

void harness_turn(struct harness *h)
{
    struct epoll_event events[16];
    int n = epoll_wait(h->loop.epoll_fd, events, 16, 0);

    for (int i = 0; i < n; i++) {
        struct loop_source *s = events[i].data.ptr;

        if (s->is_added)
            s->on_ready(s->context, events[i].events);
    }
}

void harness_kick(struct harness *h, unsigned queue)
{
    harness_write(h, NOTIFY_AT + 4 * queue, 2, queue);
    harness_turn(h);
}

int harness_take(struct harness *h, unsigned queue, uint16_t *ret_head, uint32_t *ret_written)
{
    struct harness_queue *q = &h->queues[queue];
    uint16_t *used = harness_at(h, q->used_gpa);
    uint32_t *entry;

    if (__atomic_load_n(&used[1], __ATOMIC_ACQUIRE) == q->used_seen)
        return 0;
    entry = (uint32_t *)(void *)(used + 2) + 2 * (q->used_seen % q->size);
    *ret_head = (uint16_t)entry[0];
    *ret_written = entry[1];
    q->used_seen++;
    return 1;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int harness_wait(struct harness *h, unsigned queue, uint16_t *ret_head, uint32_t *ret_written)
{
    int64_t end = now_ms() + WAIT_MS;

    while (!harness_take(h, queue, ret_head, ret_written)) {
        struct pollfd p = {.fd = h->loop.epoll_fd, .events = POLLIN};

        if (now_ms() > end)
            return 0;
        (void)poll(&p, 1, 1);
        harness_turn(h);
    }
    return 1;
}
