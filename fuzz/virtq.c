/* A split queue alone: the input is a program of a driver that writes anything anywhere and of a device that takes,
 * returns and gives back. Whatever comes out of virtq_pop must lie in memory and within the bounds the header states.
 */
#include "program.h"
#include "vmm/virtq.h"

#define GPA   0x10000ull
#define BYTES 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct virtq *q, const uint8_t *ram, const struct virtq_chain *c)
{
    uint64_t sums[2] = {0, 0};

    if (c->n_out + c->n_in > q->size || c->n_out + c->n_in == 0 || c->head >= q->size)
        abort();
    for (unsigned i = 0; i < c->n_out + c->n_in; i++) {
        const uint8_t *base = c->iov[i].iov_base;

        if (!c->iov[i].iov_len || base < ram || base >= ram + BYTES || c->iov[i].iov_len > (size_t)(ram + BYTES - base))
            abort();
        sums[i >= c->n_out] += c->iov[i].iov_len;
    }
    if (sums[0] != c->out_bytes || sums[1] != c->in_bytes)
        abort();
}

static void pop(struct virtq *q, uint8_t *ram, struct program *p)
{
    struct virtq_chain c;
    uint8_t bytes[64];
    int r = virtq_pop(q, &c);

    if ((r == -EPROTO) != q->is_broken && r != 0)
        abort();
    if (r != 1)
        return;
    check(q, ram, &c);
    if (virtq_read(&c, take(p, 1), bytes, sizeof(bytes)) > c.out_bytes ||
        virtq_write(&c, take(p, 1), bytes, sizeof(bytes)) > c.in_bytes)
        abort();
    switch (take(p, 1) % 3) {
    case 0:
        virtq_push(q, c.head, (uint32_t)c.in_bytes);
        break;
    case 1:
        virtq_unpop(q);
        break;
    default: /* it is still on its way */
        break;
    }
}

static void step(struct virtq *q, uint8_t *ram, struct program *p)
{
    uint64_t at, value;
    unsigned size;

    switch (take(p, 1) % 9) {
    case 0: /* the driver writes memory */
        at = take(p, 2) % BYTES;
        for (size = 1 + take(p, 1) % 32; size && at < BYTES; size--, at++)
            ram[at] = (uint8_t)take(p, 1);
        break;
    case 1: /* a descriptor, mostly a good one */
        at = take(p, 1) % 64 * 16;
        value = GPA + take(p, 2);
        memcpy(ram + at, &value, 8);
        value = take(p, 2) | take(p, 1) % 8 << 32 | take(p, 1) % 64 << 48;
        memcpy(ram + at + 8, &value, 8);
        break;
    case 2: { /* makes a head available */
        uint16_t *avail = (uint16_t *)(void *)(ram + 0x1000);

        avail[2 + avail[1] % (q->size && q->size <= 256 ? q->size : 1)] = (uint16_t)take(p, 1);
        avail[1]++;
        break;
    }
    case 3:
        pop(q, ram, p);
        break;
    case 4:
        (void)virtq_should_signal(q);
        break;
    case 5:
        if (virtq_notify_enable(q) != (virtq_waiting(q) > 0))
            abort();
        break;
    case 6:
        virtq_notify_disable(q);
        break;
    case 7:
        virtq_push(q, (uint16_t)take(p, 2), (uint32_t)take(p, 4));
        break;
    default: /* a new queue */
        virtq_reset(q);
        q->size = (uint16_t)(take(p, 1) % 16 ? 1u << take(p, 1) % 9 : take(p, 2));
        q->desc_gpa = GPA + take(p, 1) % 4;
        q->avail_gpa = GPA + 0x1000;
        q->used_gpa = GPA + 0x2000 + take(p, 1) % 2 * 0x5ff8;
        value = take(p, 1);
        if (virtq_enable(q, value << 28 & (VIRTQ_F_INDIRECT | VIRTQ_F_EVENT_IDX)) == 0 &&
            (!q->size || q->size > 256 || (q->size & (q->size - 1))))
            abort();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static _Alignas(4096) uint8_t ram[BYTES];
    struct program p = {data, data + n};
    struct memory memory;
    struct virtq q;

    memset(ram, 0, sizeof(ram));
    memory_init_fake(&memory, GPA, ram, BYTES);
    virtq_init(&q, &memory, 256);
    q.size = 16;
    q.desc_gpa = GPA;
    q.avail_gpa = GPA + 0x1000;
    q.used_gpa = GPA + 0x2000;
    if (virtq_enable(&q, VIRTQ_F_INDIRECT | (n % 2 ? VIRTQ_F_EVENT_IDX : 0)) < 0)
        abort();
    for (unsigned i = 0; p.at < p.end && i < 2000; i++)
        step(&q, ram, &p);
    return 0;
}
