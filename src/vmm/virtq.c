/* Split virtqueue, device side; see virtq.h. Section numbers are those of virtio 1.2. Fuzzed by fuzz/virtq.c. */
#include "vmm/virtq.h"

#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u
#define NO_INTERRUPT  1u /* avail.flags */
#define NO_NOTIFY     1u /* used.flags */

struct desc { /* 2.7.5 */
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
struct used_entry { /* 2.7.8 */
    uint32_t id, length;
};

void virtq_init(struct virtq *q, const struct memory *m, uint16_t size_max)
{
    *q = (struct virtq){.memory = m, .size_max = size_max, .size = size_max};
}

void virtq_reset(struct virtq *q)
{
    virtq_init(q, q->memory, q->size_max);
}

/* Places in the rings, which are little-endian words of the guest's: each is read or written once, whole. */
static uint16_t *avail_word(const struct virtq *q, unsigned i)
{
    return (uint16_t *)q->avail + i; /* flags, idx, ring[size], used_event */
}
static uint16_t *used_word(const struct virtq *q, unsigned i)
{
    return (uint16_t *)q->used + i; /* flags, idx, then entries, then avail_event */
}
static uint16_t *avail_event(const struct virtq *q)
{
    return used_word(q, 2 + q->size * 4u);
}
static uint16_t load16(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static void store16(uint16_t *p, uint16_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

int virtq_enable(struct virtq *q, uint64_t features)
{
    uint64_t n = q->size;

    /* 2.7: a power of two; 2.7.1: alignments. */
    if (!n || (n & (n - 1)) || n > q->size_max || q->desc_gpa % 16 || q->avail_gpa % 2 || q->used_gpa % 4)
        return -EINVAL;
    q->desc = memory_at(q->memory, q->desc_gpa, 16 * n);
    q->avail = memory_at(q->memory, q->avail_gpa, 6 + 2 * n);
    q->used = memory_at(q->memory, q->used_gpa, 6 + 8 * n);
    if (!q->desc || !q->avail || !q->used)
        return -EINVAL;
    q->has_event_idx = features & VIRTQ_F_EVENT_IDX;
    q->has_indirect = features & VIRTQ_F_INDIRECT;
    q->is_enabled = true;
    return 0;
}

static int broken(struct virtq *q)
{
    q->is_broken = true;
    return -EPROTO;
}

/* How many the driver made available; more than the queue holds is against 2.7.13.3. */
static int waiting(struct virtq *q)
{
    uint16_t n = (uint16_t)(__atomic_load_n(avail_word(q, 1), __ATOMIC_ACQUIRE) - q->next_avail);

    return n > q->size ? broken(q) : n;
}

unsigned virtq_waiting(struct virtq *q)
{
    int n = q->is_enabled && !q->is_broken ? waiting(q) : 0;

    return n > 0 ? (unsigned)n : 0;
}

static void copy_desc(struct desc *to, const void *table, unsigned i)
{
    const struct desc *from = (const struct desc *)table + i;

    to->address = __atomic_load_n(&from->address, __ATOMIC_RELAXED);
    to->length = __atomic_load_n(&from->length, __ATOMIC_RELAXED);
    to->flags = load16(&from->flags);
    to->next = load16(&from->next);
}

/* Adds a piece; in pieces come after all out pieces (2.7.4.2). */
static bool add_piece(const struct virtq *q, struct virtq_chain *c, const struct desc *d)
{
    unsigned n = c->n_out + c->n_in;
    void *host = memory_at(q->memory, d->address, d->length);

    if (!host || n == ARRAY_SIZE(c->iov))
        return false;
    c->iov[n] = (struct iovec){.iov_base = host, .iov_len = d->length};
    if (d->flags & DESC_WRITE) {
        c->n_in++;
        c->in_bytes += d->length;
        return true;
    }
    c->n_out++;
    c->out_bytes += d->length;
    return c->n_in == 0;
}

/* Follows a chain in a table of n descriptors: at most n steps, so a loop ends. */
static bool follow(const struct virtq *q, const void *table, unsigned n, unsigned at, struct virtq_chain *c)
{
    struct desc d;

    for (unsigned steps = 0; steps < n; steps++) {
        if (at >= n)
            return false;
        copy_desc(&d, table, at);
        if ((d.flags & DESC_INDIRECT) || !add_piece(q, c, &d))
            return false;
        if (!(d.flags & DESC_NEXT))
            return true;
        at = d.next;
    }
    return false;
}

/* A table of its own for this chain (2.7.5.3): whole descriptors, no more than the queue's size, nothing after it. */
static bool follow_indirect(const struct virtq *q, const struct desc *d, struct virtq_chain *c)
{
    unsigned n = d->length / sizeof(struct desc);
    const void *table;

    if (!q->has_indirect || (d->flags & (DESC_NEXT | DESC_WRITE)) || d->length % sizeof(struct desc) || !n ||
        n > q->size || d->address % 16)
        return false;
    table = memory_at(q->memory, d->address, d->length);
    return table && follow(q, table, n, 0, c);
}

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    struct desc first;
    uint16_t head;
    int n;

    if (!q->is_enabled || q->is_broken)
        return 0;
    n = waiting(q);
    if (n <= 0)
        return n;
    head = load16(avail_word(q, 2 + (q->next_avail & (q->size - 1u))));
    if (head >= q->size)
        return broken(q);
    c->head = head;
    c->n_out = c->n_in = 0;
    c->out_bytes = c->in_bytes = 0;
    copy_desc(&first, q->desc, head);
    if (first.flags & DESC_INDIRECT ? !follow_indirect(q, &first, c) : !follow(q, q->desc, q->size, head, c))
        return broken(q);
    q->next_avail++;
    /* 2.7.10: the driver need not ring before this one is taken. */
    if (q->has_event_idx)
        store16(avail_event(q), q->next_avail);
    return 1;
}

void virtq_unpop(struct virtq *q)
{
    q->next_avail--;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    struct used_entry *entries;

    if (!q->is_enabled)
        return;
    entries = (struct used_entry *)(void *)used_word(q, 2);
    entries[q->next_used & (q->size - 1u)] = (struct used_entry){.id = head, .length = written};
    q->next_used++;
    __atomic_store_n(used_word(q, 1), q->next_used, __ATOMIC_RELEASE);
}

bool virtq_should_signal(struct virtq *q)
{
    uint16_t event, before = q->signalled_used, now = q->next_used;
    bool was_valid = q->is_signalled_valid;

    if (!q->is_enabled)
        return false;
    /* The index must be out before the driver's wish is read: it does the opposite. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!q->has_event_idx)
        return !(load16(avail_word(q, 0)) & NO_INTERRUPT);
    q->signalled_used = now;
    q->is_signalled_valid = true;
    event = load16(avail_word(q, 2 + q->size));
    /* 2.7.7.2: the event lies among what was pushed since the last look. */
    return !was_valid || (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

bool virtq_notify_enable(struct virtq *q)
{
    if (!q->is_enabled || q->is_broken)
        return false;
    if (q->has_event_idx)
        store16(avail_event(q), q->next_avail);
    else
        store16(used_word(q, 0), 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return virtq_waiting(q) > 0;
}

void virtq_notify_disable(struct virtq *q)
{
    if (q->is_enabled && !q->has_event_idx)
        store16(used_word(q, 0), NO_NOTIFY);
}

/* Copies between a part of the pieces and a buffer. */
static size_t copy_pieces(const struct iovec *iov, unsigned n, uint64_t offset, uint8_t *buffer, size_t length,
                          bool is_in)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < length; i++) {
        size_t piece = iov[i].iov_len, part;

        if (offset >= piece) {
            offset -= piece;
            continue;
        }
        part = piece - offset < length - done ? piece - offset : length - done;
        if (is_in)
            memcpy((uint8_t *)iov[i].iov_base + offset, buffer + done, part);
        else
            memcpy(buffer + done, (uint8_t *)iov[i].iov_base + offset, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t virtq_read(const struct virtq_chain *c, uint64_t offset, void *to, size_t length)
{
    return copy_pieces(c->iov, c->n_out, offset, to, length, false);
}

size_t virtq_write(const struct virtq_chain *c, uint64_t offset, const void *from, size_t length)
{
    return copy_pieces(c->iov + c->n_out, c->n_in, offset, (uint8_t *)(uintptr_t)from, length, true);
}
