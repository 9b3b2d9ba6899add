/* The split queue against the text of virtio 1.2: a test for each clause, named after it, and a slow model written from
 * the text alone that must say the same as virtq.c about random chains, good and bad. HOLM_TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#include "vmm/virtq.h"

#define GPA      0x10000ull
#define BYTES    0x20000u
#define SIZE     8u
#define DESC     (GPA)
#define AVAIL    (GPA + 0x1000)
#define USED     (GPA + 0x2000)
#define TABLE    (GPA + 0x3000)
#define DATA     (GPA + 0x4000)
#define ALL      (VIRTQ_F_INDIRECT | VIRTQ_F_EVENT_IDX)
#define NEXT     1
#define WRITE    2
#define INDIRECT 4

static _Alignas(4096) uint8_t ram[BYTES];

struct fixture {
    struct memory memory;
    struct virtq q;
    struct virtq_chain chain;
};

static void *at(uint64_t gpa)
{
    return ram + (gpa - GPA);
}

static void put_desc(uint64_t table, unsigned i, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    uint8_t *p = (uint8_t *)at(table) + 16 * i;

    memcpy(p, &address, 8);
    memcpy(p + 8, &length, 4);
    memcpy(p + 12, &flags, 2);
    memcpy(p + 14, &next, 2);
}

static uint16_t *avail_at(unsigned i)
{
    return (uint16_t *)at(AVAIL) + i;
}
static uint16_t *used_at(unsigned i)
{
    return (uint16_t *)at(USED) + i;
}

static void make_available(uint16_t head)
{
    uint16_t *index = avail_at(1);

    *avail_at(2 + *index % SIZE) = head;
    (*index)++;
}

static void begin(struct fixture *f, uint64_t features)
{
    memset(ram, 0, sizeof(ram));
    memory_init_fake(&f->memory, GPA, ram, BYTES);
    virtq_init(&f->q, &f->memory, 256);
    f->q.size = SIZE;
    f->q.desc_gpa = DESC;
    f->q.avail_gpa = AVAIL;
    f->q.used_gpa = USED;
    assert_int_equal(virtq_enable(&f->q, features), 0);
}

static int pop_one(struct fixture *f, uint16_t head)
{
    make_available(head);
    return virtq_pop(&f->q, &f->chain);
}

static int enable_with(uint16_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
    struct fixture f;

    memory_init_fake(&f.memory, GPA, ram, BYTES);
    virtq_init(&f.q, &f.memory, 256);
    f.q.size = size;
    f.q.desc_gpa = desc;
    f.q.avail_gpa = avail;
    f.q.used_gpa = used;
    return virtq_enable(&f.q, 0);
}

/* "Queue Size is always a power of 2. The maximum Queue Size value is 32768"; ours is what the device offers. */
static void test_2_7_queue_size(void **state)
{
    (void)state;
    for (unsigned size = 0; size <= 1024; size++) {
        bool is_good = size && !(size & (size - 1)) && size <= 256;

        assert_int_equal(enable_with((uint16_t)size, DESC, AVAIL, USED) == 0, is_good);
    }
    assert_int_equal(enable_with(32768, DESC, AVAIL, USED), -EINVAL);
}

/* Alignments of the three parts: 16, 2, 4; all of each lies in memory. */
static void test_2_7_1_alignment(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(enable_with(SIZE, DESC + i, AVAIL, USED) == 0, i == 0);
        assert_int_equal(enable_with(SIZE, DESC, AVAIL + i, USED) == 0, i % 2 == 0);
        assert_int_equal(enable_with(SIZE, DESC, AVAIL, USED + i) == 0, i % 4 == 0);
    }
    assert_int_equal(enable_with(256, GPA + BYTES - 4096, AVAIL, USED), 0);
    assert_int_equal(enable_with(256, GPA + BYTES - 4096 + 16, AVAIL, USED), -EINVAL);
    assert_int_equal(enable_with(256, DESC, GPA + BYTES - 518, USED), 0);
    assert_int_equal(enable_with(256, DESC, GPA + BYTES - 516, USED), -EINVAL);
    assert_int_equal(enable_with(256, DESC, AVAIL, GPA + BYTES - 2056), 0);
    assert_int_equal(enable_with(256, DESC, AVAIL, GPA + BYTES - 2052), -EINVAL);
    assert_int_equal(enable_with(256, UINT64_MAX - 15, AVAIL, USED), -EINVAL);
}

/* "The driver MUST place any device-writable descriptor elements after any device-readable" ones. */
static void test_2_7_4_2_order_of_pieces(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, ALL);
    put_desc(DESC, 0, DATA, 10, NEXT, 1);
    put_desc(DESC, 1, DATA + 100, 20, NEXT | WRITE, 2);
    put_desc(DESC, 2, DATA + 200, 30, WRITE, 0);
    assert_int_equal(pop_one(&f, 0), 1);
    assert_int_equal(f.chain.n_out, 1);
    assert_int_equal(f.chain.n_in, 2);
    assert_int_equal(f.chain.out_bytes, 10);
    assert_int_equal(f.chain.in_bytes, 50);
    assert_ptr_equal(f.chain.iov[2].iov_base, at(DATA + 200));
    begin(&f, ALL);
    put_desc(DESC, 0, DATA, 10, NEXT | WRITE, 1);
    put_desc(DESC, 1, DATA + 100, 20, 0, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
    assert_true(f.q.is_broken);
    /* Broken for good: nothing more comes out of it. */
    assert_int_equal(virtq_pop(&f.q, &f.chain), 0);
    assert_int_equal(virtq_waiting(&f.q), 0);
}

/* "A driver MUST NOT add a descriptor chain longer than 2^32 bytes in total; this implies that loops are forbidden." */
static void test_2_7_5_1_total_length(void **state)
{
    struct fixture f;
    struct memory large;

    (void)state;
    begin(&f, ALL);
    /* Memory that is only promised: nothing touches the data of a chain here. */
    large = f.memory;
    large.regions[large.n_regions++] =
        (struct memory_region){.gpa = 1ull << 40, .size_bytes = 1ull << 34, .host = (uint8_t *)(1ull << 44)};
    f.q.memory = &large;
    put_desc(DESC, 0, 1ull << 40, 0x80000000u, NEXT, 1);
    put_desc(DESC, 1, 1ull << 40, 0x7fffffffu, WRITE, 0);
    assert_int_equal(pop_one(&f, 0), 1);
    put_desc(DESC, 1, 1ull << 40, 0x80000001u, WRITE, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
}

static void test_2_7_5_1_loops(void **state)
{
    struct fixture f;

    (void)state;
    for (uint16_t back = 0; back < SIZE; back++) {
        begin(&f, ALL);
        for (uint16_t i = 0; i < SIZE; i++)
            put_desc(DESC, i, DATA, 1, NEXT, i + 1 < (int)SIZE ? i + 1 : back);
        assert_int_equal(pop_one(&f, 0), -EPROTO);
    }
    /* All of the queue in one chain is allowed. */
    begin(&f, ALL);
    for (uint16_t i = 0; i < SIZE; i++)
        put_desc(DESC, i, DATA, 1, i + 1 < (int)SIZE ? NEXT : 0, (uint16_t)(i + 1));
    assert_int_equal(pop_one(&f, 0), 1);
    assert_int_equal(f.chain.n_out, SIZE);
}

/* Places outside of memory, of nothing, and around its end; next and head outside of the table. */
static void test_2_7_5_addresses(void **state)
{
    static const struct {
        uint64_t address;
        uint32_t length;
        bool is_good;
    } cases[] = {
        {GPA + BYTES - 1, 1, true},
        {GPA + BYTES - 1, 2, false},
        {GPA + BYTES, 1, false},
        {GPA - 1, 1, false},
        {GPA - 1, 2, false},
        {DATA, 0, false},
        {0, 0, false},
        {UINT64_MAX, 1, false},
        {UINT64_MAX, 2, false},
        {DATA, UINT32_MAX, false},
        {GPA, BYTES, true},
        {GPA, BYTES + 1, false},
    };
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        begin(&f, ALL);
        put_desc(DESC, 3, cases[i].address, cases[i].length, 0, 0);
        assert_int_equal(pop_one(&f, 3), cases[i].is_good ? 1 : -EPROTO);
    }
    begin(&f, ALL);
    assert_int_equal(pop_one(&f, SIZE), -EPROTO);
    begin(&f, ALL);
    assert_int_equal(pop_one(&f, 0xffff), -EPROTO);
    begin(&f, ALL);
    put_desc(DESC, 0, DATA, 1, NEXT, SIZE);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
}

/* What a driver must not do with tables. */
static void test_2_7_5_3_1_indirect_driver(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, VIRTQ_F_EVENT_IDX); /* not negotiated */
    put_desc(DESC, 0, TABLE, 16, INDIRECT, 0);
    put_desc(TABLE, 0, DATA, 1, 0, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
    begin(&f, ALL); /* a table within a table */
    put_desc(DESC, 0, TABLE, 32, INDIRECT, 0);
    put_desc(TABLE, 0, TABLE + 16, 16, INDIRECT, 0);
    put_desc(TABLE, 1, DATA, 1, 0, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
    begin(&f, ALL); /* and one that is the queue's own, which is itself */
    put_desc(DESC, 0, DESC, 16, INDIRECT, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
    begin(&f, ALL); /* INDIRECT and NEXT at once */
    put_desc(DESC, 0, TABLE, 16, INDIRECT | NEXT, 1);
    put_desc(DESC, 1, DATA, 1, 0, 0);
    put_desc(TABLE, 0, DATA, 1, 0, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
    begin(&f, ALL); /* longer than the queue */
    put_desc(DESC, 0, TABLE, 16 * (SIZE + 1), INDIRECT, 0);
    for (uint16_t i = 0; i <= SIZE; i++)
        put_desc(TABLE, i, DATA, 1, i < SIZE ? NEXT : 0, (uint16_t)(i + 1));
    assert_int_equal(pop_one(&f, 0), -EPROTO);
}

static void test_2_7_5_3_table(void **state)
{
    static const uint32_t bad_lengths[] = {0, 1, 15, 17, 31, 0xfffffff0u};
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_lengths); i++) {
        begin(&f, ALL);
        put_desc(DESC, 0, TABLE, bad_lengths[i], INDIRECT, 0);
        put_desc(TABLE, 0, DATA, 1, 0, 0);
        assert_int_equal(pop_one(&f, 0), -EPROTO);
    }
    begin(&f, ALL); /* next beyond the table */
    put_desc(DESC, 0, TABLE, 32, INDIRECT, 0);
    put_desc(TABLE, 0, DATA, 1, NEXT, 2);
    put_desc(TABLE, 2, DATA, 1, 0, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
    begin(&f, ALL); /* a loop in it */
    put_desc(DESC, 0, TABLE, 32, INDIRECT, 0);
    put_desc(TABLE, 0, DATA, 1, NEXT, 1);
    put_desc(TABLE, 1, DATA, 1, NEXT, 0);
    assert_int_equal(pop_one(&f, 0), -EPROTO);
    begin(&f, ALL); /* it begins with its first; no alignment is asked of it */
    put_desc(DESC, 5, TABLE + 1, 32, INDIRECT, 0);
    put_desc(TABLE + 1, 0, DATA, 3, NEXT, 1);
    put_desc(TABLE + 1, 1, DATA, 4, WRITE, 0);
    assert_int_equal(pop_one(&f, 5), 1);
    assert_int_equal(f.chain.head, 5);
    assert_int_equal(f.chain.out_bytes, 3);
    assert_int_equal(f.chain.in_bytes, 4);
}

/* "The device MUST ignore the write-only flag in the descriptor that refers to an indirect table." */
static void test_2_7_5_3_2_write_flag_of_the_table(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, ALL);
    put_desc(DESC, 0, TABLE, 16, INDIRECT | WRITE, 0);
    put_desc(TABLE, 0, DATA, 7, 0, 0);
    assert_int_equal(pop_one(&f, 0), 1);
    assert_int_equal(f.chain.out_bytes, 7);
    assert_int_equal(f.chain.n_in, 0);
}

/* "The device MUST handle the case of zero or more normal chained descriptors followed by a single descriptor with
 * INDIRECT." */
static void test_2_7_5_3_2_table_after_others(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, ALL);
    put_desc(DESC, 0, DATA, 5, NEXT, 1);
    put_desc(DESC, 1, DATA + 100, 6, NEXT, 2);
    put_desc(DESC, 2, TABLE, 32, INDIRECT, 0);
    put_desc(TABLE, 0, DATA + 200, 7, NEXT, 1);
    put_desc(TABLE, 1, DATA + 300, 8, WRITE, 0);
    assert_int_equal(pop_one(&f, 0), 1);
    assert_int_equal(f.chain.n_out, 3);
    assert_int_equal(f.chain.out_bytes, 18);
    assert_int_equal(f.chain.n_in, 1);
    assert_int_equal(f.chain.in_bytes, 8);
}

/* Without EVENT_IDX the flag NO_INTERRUPT decides; nothing is told when nothing was given back. */
static void test_2_7_7_1_no_interrupt(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, 0);
    assert_false(virtq_should_signal(&f.q));
    virtq_push(&f.q, 0, 0);
    assert_true(virtq_should_signal(&f.q));
    assert_false(virtq_should_signal(&f.q));
    *avail_at(0) = 1;
    virtq_push(&f.q, 0, 0);
    assert_false(virtq_should_signal(&f.q));
    *avail_at(0) = 0;
    /* With it the flag counts for nothing. */
    begin(&f, VIRTQ_F_EVENT_IDX);
    *avail_at(0) = 1;
    virtq_push(&f.q, 0, 0);
    assert_true(virtq_should_signal(&f.q));
}

/* used_event: "when the used index passes it, the device MUST send"; all distances, over the end of 16 bits. */
static void test_2_7_7_2_used_event(void **state)
{
    struct fixture f;

    (void)state;
    for (uint32_t start = 0; start < 65536; start += 13107)
        for (int distance = -4; distance < 6; distance++)
            for (unsigned n = 0; n < 4; n++) {
                begin(&f, VIRTQ_F_EVENT_IDX);
                f.q.next_used = f.q.signalled_used = (uint16_t)start;
                *avail_at(2 + SIZE) = (uint16_t)((int)start + distance);
                for (unsigned i = 0; i < n; i++)
                    virtq_push(&f.q, 0, 0);
                /* Entries start … start+n-1 are new; the wish names one of them or not. */
                assert_int_equal(virtq_should_signal(&f.q), distance >= 0 && distance < (int)n);
            }
}

/* id and length of an entry, the index after it, each at its place. */
static void test_2_7_8_used_ring(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, ALL);
    for (uint16_t i = 0; i < 3 * SIZE; i++) {
        uint32_t entry[2];

        virtq_push(&f.q, (uint16_t)(i % SIZE), 1000u + i);
        memcpy(entry, used_at(2 + i % SIZE * 4u), sizeof(entry));
        assert_int_equal(entry[0], i % SIZE);
        assert_int_equal(entry[1], 1000 + i);
        assert_int_equal(*used_at(1), i + 1);
    }
}

/* avail_event: where the device sleeps, and that it looks again. Without EVENT_IDX: the flag. */
static void test_2_7_10_avail_event(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, ALL);
    put_desc(DESC, 0, DATA, 1, 0, 0);
    for (unsigned i = 0; i < 3; i++)
        make_available(0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(virtq_pop(&f.q, &f.chain), 1);
    assert_int_equal(virtq_pop(&f.q, &f.chain), 0);
    /* The next one (number 3) is what wakes us. */
    assert_int_equal(*used_at(2 + SIZE * 4), 3);
    assert_false(virtq_notify_enable(&f.q));
    make_available(0);
    assert_true(virtq_notify_enable(&f.q));
    assert_int_equal(virtq_waiting(&f.q), 1);
    begin(&f, 0);
    virtq_notify_disable(&f.q);
    assert_int_equal(*used_at(0), 1);
    assert_false(virtq_notify_enable(&f.q));
    assert_int_equal(*used_at(0), 0);
}

/* "The driver MUST NOT decrement the available idx"; more than the queue holds cannot be. */
static void test_2_7_13_3_available_index(void **state)
{
    struct fixture f;

    (void)state;
    for (unsigned i = 0; i < 65536; i += i < 20 || i > 65500 ? 1 : 97) {
        begin(&f, ALL);
        put_desc(DESC, 0, DATA, 1, 0, 0);
        *avail_at(1) = (uint16_t)i;
        assert_int_equal(virtq_waiting(&f.q), i < SIZE ? i : SIZE);
        assert_int_equal(virtq_pop(&f.q, &f.chain), i == 0 ? 0 : i <= SIZE ? 1 : -EPROTO);
        assert_int_equal(f.q.is_broken, i > SIZE);
    }
    /* A device that asks first still hears of it. */
    begin(&f, ALL);
    *avail_at(1) = SIZE + 1;
    assert_true(virtq_notify_enable(&f.q));
    assert_int_equal(virtq_pop(&f.q, &f.chain), -EPROTO);
}

static void test_unpop(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, ALL);
    put_desc(DESC, 2, DATA, 9, 0, 0);
    assert_int_equal(pop_one(&f, 2), 1);
    virtq_unpop(&f.q);
    assert_int_equal(virtq_waiting(&f.q), 1);
    assert_int_equal(virtq_pop(&f.q, &f.chain), 1);
    assert_int_equal(f.chain.head, 2);
    assert_int_equal(virtq_pop(&f.q, &f.chain), 0);
}

static void test_off(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, ALL);
    put_desc(DESC, 0, DATA, 1, 0, 0);
    make_available(0);
    virtq_reset(&f.q);
    assert_int_equal(virtq_pop(&f.q, &f.chain), 0);
    assert_int_equal(virtq_waiting(&f.q), 0);
    assert_false(virtq_notify_enable(&f.q));
    virtq_push(&f.q, 0, 0);
    assert_int_equal(*used_at(1), 0);
    assert_false(virtq_should_signal(&f.q));
    assert_int_equal(f.q.size, 256);
}

static void test_copies(void **state)
{
    struct fixture f;
    uint8_t bytes[64];

    (void)state;
    begin(&f, ALL);
    put_desc(DESC, 0, DATA, 3, NEXT, 1);
    put_desc(DESC, 1, DATA + 10, 4, NEXT, 2);
    put_desc(DESC, 2, DATA + 20, 5, NEXT | WRITE, 3);
    put_desc(DESC, 3, DATA + 30, 6, WRITE, 0);
    memcpy(at(DATA), "abc", 3);
    memcpy(at(DATA + 10), "defg", 4);
    assert_int_equal(pop_one(&f, 0), 1);
    for (unsigned offset = 0; offset < 9; offset++)
        for (unsigned length = 0; length < 10; length++) {
            unsigned expected = offset >= 7 ? 0 : length < 7 - offset ? length : 7 - offset;

            assert_int_equal(virtq_read(&f.chain, offset, bytes, length), expected);
            assert_memory_equal(bytes, &"abcdefg"[offset < 7 ? offset : 0], expected);
        }
    assert_int_equal(virtq_write(&f.chain, 4, "XYZ", 3), 3);
    assert_memory_equal(at(DATA + 20), "\0\0\0\0X", 6);
    assert_memory_equal(at(DATA + 30), "YZ\0", 3);
    assert_int_equal(virtq_write(&f.chain, 9, "12345", 5), 2);
    assert_int_equal(virtq_write(&f.chain, UINT64_MAX, "1", 1), 0);
}

/* --- The model -----------------------------------------------------------------------------------------------------
 */

/* What the text says of a chain, byte by byte and without hurry. False: it is against the rules. */
struct model {
    unsigned n;
    struct {
        uint64_t gpa;
        uint32_t length;
        bool is_in;
    } pieces[256];
};

static uint64_t number_at(uint64_t gpa, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)ram[gpa - GPA + i] << 8 * i;
    return v;
}

static bool is_memory(uint64_t gpa, uint64_t length)
{
    for (uint64_t i = 0; i < length && i <= BYTES; i++)
        if (gpa + i < GPA || gpa + i >= GPA + BYTES)
            return false;
    return length > 0 && length <= BYTES;
}

static bool model_chain(unsigned size, unsigned head, bool has_indirect, struct model *m)
{
    uint64_t table = DESC, entries = size, total = 0;
    bool was_in = false, is_inside = false;
    unsigned i = head;

    for (m->n = 0;;) {
        uint64_t address, length, flags;

        if (i >= entries)
            return false;
        address = number_at(table + 16 * i, 8);
        length = number_at(table + 16 * i + 8, 4);
        flags = number_at(table + 16 * i + 12, 2);
        if (flags & INDIRECT) {
            if (!has_indirect || is_inside || (flags & NEXT) || length % 16 || !is_memory(address, length))
                return false;
            is_inside = true;
            table = address;
            entries = length / 16;
            i = 0;
            continue;
        }
        total += length;
        if (m->n == size || total >> 32 || !is_memory(address, length) || (was_in && !(flags & WRITE)))
            return false;
        was_in = flags & WRITE;
        m->pieces[m->n].gpa = address;
        m->pieces[m->n].length = (uint32_t)length;
        m->pieces[m->n++].is_in = was_in;
        if (!(flags & NEXT))
            return true;
        i = (unsigned)number_at(table + 16 * i + 14, 2);
    }
}

static uint64_t random_state;
static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 20) % n;
}

/* Mostly good: a mistake in about one of thirty descriptors, so that both sides are met. */
static void random_table(uint64_t table, unsigned n, bool may_nest)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t address = DATA + random_below(0x8000);
        uint32_t length = 1 + random_below(600);
        uint16_t flags = random_below(3) ? NEXT : 0, next = (uint16_t)(i + 1 + random_below(2));

        flags |= random_below(n) < i ? WRITE : 0;
        if (may_nest && !random_below(5)) {
            flags = (uint16_t)(INDIRECT | (random_below(4) ? 0 : WRITE));
            address = TABLE + random_below(40);
            length = 16 * (1 + random_below(SIZE + 2));
        }
        switch (random_below(150)) {
        case 0:
            address = (uint64_t)random_below(UINT32_MAX) << random_below(33);
            break;
        case 1:
            length = random_below(2) ? random_below(UINT32_MAX) : 0;
            break;
        case 2:
            flags ^= (uint16_t)(1u << random_below(16));
            break;
        case 3:
            next = (uint16_t)random_below(65536);
            break;
        case 4:
            address = GPA + BYTES - random_below(700);
            break;
        default:
            break;
        }
        put_desc(table, i, address, length, flags, next);
    }
}

static bool agree(const struct virtq_chain *c, const struct model *m)
{
    uint64_t sums[2] = {0, 0};
    unsigned counts[2] = {0, 0};

    for (unsigned i = 0; i < m->n; i++) {
        if (c->iov[i].iov_base != at(m->pieces[i].gpa) || c->iov[i].iov_len != m->pieces[i].length)
            return false;
        sums[m->pieces[i].is_in] += m->pieces[i].length;
        counts[m->pieces[i].is_in]++;
    }
    return counts[0] == c->n_out && counts[1] == c->n_in && sums[0] == c->out_bytes && sums[1] == c->in_bytes;
}

static void test_model(void **state)
{
    const char *given = getenv("HOLM_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    unsigned n_good = 0, n_bad = 0;
    struct fixture f;
    struct model m;

    (void)state;
    print_message("HOLM_TEST_SEED=%" PRIu64 "\n", seed);
    random_state = seed ? seed : 1;
    begin(&f, ALL);
    for (unsigned round = 0; round < 60000; round++) {
        bool has_indirect = random_below(8), is_good;
        uint16_t head = (uint16_t)(random_below(200) ? random_below(SIZE) : random_below(65536));
        int r;

        f.q.has_indirect = has_indirect;
        random_table(DESC, SIZE, true);
        random_table(TABLE + random_below(2) * 8, SIZE + 2, !random_below(20));
        is_good = head < SIZE && model_chain(SIZE, head, has_indirect, &m);
        r = pop_one(&f, head);
        if (r != (is_good ? 1 : -EPROTO) || (r == 1 && (f.chain.head != head || !agree(&f.chain, &m))))
            fail_msg("round %u of seed %" PRIu64 ": virtq says %d, the text %d", round, seed, r, is_good);
        n_good += is_good;
        n_bad += !is_good;
        if (!is_good) { /* a new queue at the same index */
            f.q.is_broken = false;
            f.q.next_avail = *avail_at(1);
        }
    }
    /* Neither side of the rules was missed. */
    assert_true(n_good > 5000 && n_bad > 5000);
}

/* --- Two sleepers ------------------------------------------------------------------------------------------------- */

/* A driver that rings only if the device asks for it and sleeps until it is interrupted, and a device that sleeps until
 * it is rung for: as long as both keep to the text (2.7.7.2, 2.7.10), none sleeps for ever. */
#define ROUND_TRIPS 30000u

struct sleepers {
    struct fixture f;
    int doorbell, interrupt;
    bool is_device_lost;
};

static bool sleep_on(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t n;

    return poll(&p, 1, 20000) == 1 && read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

static void wake(int fd)
{
    uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one));
}

static void *sleepy_device(void *arg)
{
    struct sleepers *s = arg;

    for (unsigned n = 0; n < ROUND_TRIPS;) {
        while (virtq_pop(&s->f.q, &s->f.chain) == 1) {
            virtq_push(&s->f.q, s->f.chain.head, 0);
            n++;
            if (virtq_should_signal(&s->f.q))
                wake(s->interrupt);
        }
        if (n < ROUND_TRIPS && !sleep_on(s->doorbell)) {
            s->is_device_lost = true;
            break;
        }
    }
    return NULL;
}

static uint16_t load(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* One more request; the device is rung for when it asked to be (2.7.10.1). */
static void offer(struct sleepers *s, uint16_t number)
{
    __atomic_store_n(avail_at(2 + number % SIZE), 0, __ATOMIC_RELAXED);
    __atomic_store_n(avail_at(1), (uint16_t)(number + 1), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (load(used_at(2 + SIZE * 4)) == number)
        wake(s->doorbell);
}

/* Sleeps until request `number` is back. */
static bool await(struct sleepers *s, uint16_t number)
{
    for (;;) {
        __atomic_store_n(avail_at(2 + SIZE), number, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (load(used_at(1)) == (uint16_t)(number + 1))
            return true;
        if (!sleep_on(s->interrupt))
            return false;
    }
}

static void test_nobody_sleeps_for_ever(void **state)
{
    struct sleepers s = {.doorbell = eventfd(0, 0), .interrupt = eventfd(0, 0)};
    bool is_driver_lost = false;
    pthread_t device;

    (void)state;
    begin(&s.f, ALL);
    put_desc(DESC, 0, DATA, 1, 0, 0);
    assert_int_equal(pthread_create(&device, NULL, sleepy_device, &s), 0);
    for (unsigned i = 0; i < ROUND_TRIPS && !is_driver_lost; i++) {
        offer(&s, (uint16_t)i);
        is_driver_lost = !await(&s, (uint16_t)i);
    }
    pthread_join(device, NULL);
    close(s.doorbell);
    close(s.interrupt);
    assert_false(s.is_device_lost);
    assert_false(is_driver_lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_2_7_queue_size),
        cmocka_unit_test(test_2_7_1_alignment),
        cmocka_unit_test(test_2_7_4_2_order_of_pieces),
        cmocka_unit_test(test_2_7_5_1_total_length),
        cmocka_unit_test(test_2_7_5_1_loops),
        cmocka_unit_test(test_2_7_5_addresses),
        cmocka_unit_test(test_2_7_5_3_1_indirect_driver),
        cmocka_unit_test(test_2_7_5_3_table),
        cmocka_unit_test(test_2_7_5_3_2_write_flag_of_the_table),
        cmocka_unit_test(test_2_7_5_3_2_table_after_others),
        cmocka_unit_test(test_2_7_7_1_no_interrupt),
        cmocka_unit_test(test_2_7_7_2_used_event),
        cmocka_unit_test(test_2_7_8_used_ring),
        cmocka_unit_test(test_2_7_10_avail_event),
        cmocka_unit_test(test_2_7_13_3_available_index),
        cmocka_unit_test(test_unpop),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_nobody_sleeps_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
