/* The balloon on the harness: pages given and taken, statistics, free pages reported, and a driver that breaks the
 * rules or says nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/mman.h>

#include "vmm/harness.h"

enum { INFLATE, DEFLATE, STATS, REPORT };

#define ALL_FEATURES 0x3full
#define F_STATS      (1ull << 1)
#define F_HINT       (1ull << 3)
#define F_REPORTING  (1ull << 5)
#define CONFIG       0x2000u
#define NEEDS_RESET  0x40
#define FAR          (HARNESS_MEMORY_GPA + (1u << 20)) /* pages that no queue lies in */
#define PAGE         4096u

struct told {
    char names[32][24];
    uint64_t values[32];
    unsigned n;
};

static void tell(void *arg, const char *name, uint64_t value)
{
    struct told *t = arg;

    assert_true(t->n < 32);
    snprintf(t->names[t->n], sizeof(t->names[0]), "%s", name);
    t->values[t->n++] = value;
}

static struct told stats_of(struct harness *h)
{
    struct told t = {0};

    virtio_ops_of(h->device)->balloon_stats(virtio_device(h->device), tell, &t);
    return t;
}

static uint64_t counter(struct harness *h, const char *name)
{
    struct told t = {0};

    virtio_ops_of(h->device)->counters(virtio_device(h->device), tell, &t);
    for (unsigned i = 0; i < t.n; i++)
        if (streq(t.names[i], name))
            return t.values[i];
    fail();
    return 0;
}

static bool has(const struct told *t, const char *name, uint64_t *ret_value)
{
    for (unsigned i = 0; i < t->n; i++)
        if (streq(t->names[i], name)) {
            *ret_value = t->values[i];
            return true;
        }
    return false;
}

static void expect_stat(struct harness *h, const char *name, uint64_t wanted)
{
    struct told t = stats_of(h);
    uint64_t value;

    assert_true(has(&t, name, &value));
    assert_int_equal(value, wanted);
}

static void make(struct harness *h, const char *text)
{
    struct err e = ERR_INIT;

    if (harness_init(h, "balloon", text, &e) < 0)
        fail_msg("%s", e.text);
}

static int setup(void **state)
{
    struct harness *h = calloc(1, sizeof(*h));

    make(h, "on");
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_done(*state);
    free(*state);
    return 0;
}

/* What the test puts there itself, without the driver's queues. */
static void touch(struct harness *h, uint64_t gpa, unsigned pages)
{
    memset(harness_at(h, gpa), 0xa5, pages * PAGE);
}

static unsigned resident(struct harness *h, uint64_t gpa, unsigned pages)
{
    unsigned char there[256];
    unsigned n = 0;

    assert_true(pages <= sizeof(there));
    assert_int_equal(mincore(harness_at(h, gpa), pages * PAGE, there), 0);
    for (unsigned i = 0; i < pages; i++)
        n += there[i] & 1;
    return n;
}

static void send_pages(struct harness *h, unsigned queue, const uint32_t *pages, unsigned n)
{
    struct harness_piece piece = {harness_alloc(h, n * 4), n * 4, false};
    uint32_t written;
    uint16_t head;

    memcpy(harness_at(h, piece.gpa), pages, n * 4);
    harness_add(h, queue, &piece, 1);
    harness_kick(h, queue);
    assert_int_equal(harness_take(h, queue, &head, &written), 1);
    assert_int_equal(written, 0);
}

/* 5.5.6.1: named upwards, downwards and twice; the rest of memory stays. */
static void test_inflate(void **state)
{
    struct harness *h = *state;
    uint32_t pages[48];

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    touch(h, FAR, 64);
    for (unsigned i = 0; i < 16; i++) {
        pages[i] = (uint32_t)(FAR / PAGE) + 8 + i;       /* 8 … 23 */
        pages[16 + i] = (uint32_t)(FAR / PAGE) + 47 - i; /* 47 … 32 */
        pages[32 + i] = (uint32_t)(FAR / PAGE) + 8 + i;  /* again */
    }
    send_pages(h, INFLATE, pages, 48);
    assert_int_equal(resident(h, FAR, 64), 32);
    assert_int_equal(resident(h, FAR + 8 * PAGE, 16), 0);
    assert_int_equal(resident(h, FAR + 32 * PAGE, 16), 0);
    assert_int_equal(*(uint8_t *)harness_at(h, FAR + 7 * PAGE), 0xa5);
    assert_int_equal(*(uint8_t *)harness_at(h, FAR + 24 * PAGE), 0xa5);
    assert_int_equal(*(uint8_t *)harness_at(h, FAR + 8 * PAGE), 0);
    assert_int_equal(counter(h, "inflated-pages"), 48);
    assert_int_equal(counter(h, "returned-bytes"), 48 * PAGE);
    send_pages(h, DEFLATE, pages, 16);
    touch(h, FAR + 8 * PAGE, 16);
    assert_int_equal(resident(h, FAR, 64), 48);
    assert_int_equal(harness_status(h), 0x0f);
}

/* Pages outside of RAM, at its very ends, and beyond what an address can say. */
static void test_pages_outside(void **state)
{
    struct harness *h = *state;
    const uint32_t last = (uint32_t)((HARNESS_MEMORY_GPA + HARNESS_MEMORY_BYTES) / PAGE);
    const uint32_t pages[] = {0, 1, 0xff, last, last + 1, UINT32_MAX, UINT32_MAX - 1, 0x80000000, last - 1};

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    touch(h, HARNESS_MEMORY_GPA + HARNESS_MEMORY_BYTES - 2 * PAGE, 2);
    send_pages(h, INFLATE, pages, ARRAY_SIZE(pages));
    assert_int_equal(resident(h, HARNESS_MEMORY_GPA + HARNESS_MEMORY_BYTES - 2 * PAGE, 2), 1);
    assert_int_equal(counter(h, "returned-bytes"), PAGE);
    send_pages(h, DEFLATE, pages, ARRAY_SIZE(pages));
    assert_int_equal(harness_status(h), 0x0f);
}

/* A list in pieces that cut a number in two; one longer than a request may be is cut short, not worked for ever. */
static void test_shapes(void **state)
{
    struct harness *h = *state;
    uint32_t pages[2] = {(uint32_t)(FAR / PAGE), (uint32_t)(FAR / PAGE) + 1}, written;
    uint64_t at;
    uint16_t head;

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    touch(h, FAR, 3);
    at = harness_alloc(h, 8);
    memcpy(harness_at(h, at), pages, 8);
    struct harness_piece pieces[] = {{at, 3, false}, {at + 3, 5, false}};
    harness_add(h, INFLATE, pieces, 2);
    harness_kick(h, INFLATE);
    assert_int_equal(harness_take(h, INFLATE, &head, &written), 1);
    assert_int_equal(resident(h, FAR, 3), 1);
    /* 2 MiB of numbers, all the page 0. */
    struct harness_piece large = {FAR, 2u << 20, false};
    memset(harness_at(h, FAR), 0, 2u << 20);
    for (unsigned i = 0; i < 3; i++)
        harness_add(h, INFLATE, &large, 1);
    harness_kick(h, INFLATE);
    assert_int_equal(harness_take(h, INFLATE, &head, &written), 1);
    assert_int_equal(harness_take(h, INFLATE, &head, &written), 0); /* one in a turn */
    harness_turn(h);
    assert_int_equal(harness_take(h, INFLATE, &head, &written), 1);
    harness_turn(h);
    assert_int_equal(harness_take(h, INFLATE, &head, &written), 1);
    assert_int_equal(counter(h, "inflated-pages"), 2 + 3 * 4096);
    assert_int_equal(harness_status(h), 0x0f);
}

/* Each is against the rules; a reset makes the device good again. */
static void test_broken_requests(void **state)
{
    struct harness *h = *state;
    const struct {
        unsigned queue;
        uint32_t length;
        bool is_in;
    } bad[] = {
        {INFLATE, 7, false}, {INFLATE, 8, true}, {DEFLATE, 5, false},   {DEFLATE, 8, true},
        {STATS, 11, false},  {STATS, 10, true},  {REPORT, 4096, false},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        uint32_t written;
        uint16_t head;

        assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
        struct harness_piece piece = {harness_alloc(h, 4096), bad[i].length, bad[i].is_in};
        harness_add(h, bad[i].queue, &piece, 1);
        harness_kick(h, bad[i].queue);
        assert_int_equal(harness_status(h), 0x0f | NEEDS_RESET);
        assert_int_equal(harness_take(h, bad[i].queue, &head, &written), 1); /* completed all the same */
        /* Nothing more is done. */
        const uint32_t page = FAR / PAGE;
        struct harness_piece good = {harness_alloc(h, 4), 4, false};
        memcpy(harness_at(h, good.gpa), &page, 4);
        touch(h, FAR, 1);
        harness_add(h, INFLATE, &good, 1);
        harness_kick(h, INFLATE);
        assert_int_equal(resident(h, FAR, 1), 1);
        harness_reset(h);
    }
    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    const uint32_t page = FAR / PAGE;
    send_pages(h, INFLATE, &page, 1);
}

static void test_target(void **state)
{
    struct harness *h = *state;
    const struct virtio_ops *ops = virtio_ops_of(h->device);
    void *d = virtio_device(h->device);
    struct err e = ERR_INIT;
    uint64_t generation;

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    assert_int_equal(harness_read(h, CONFIG, 4), 0);
    generation = harness_read(h, 0x15, 1);
    assert_int_equal(ops->balloon(d, 1u << 20, &e), 0);
    assert_int_equal(harness_read(h, CONFIG, 4), (3u << 20) / PAGE);
    assert_int_not_equal(harness_read(h, 0x15, 1), generation);
    assert_int_equal(harness_read(h, 0x1000, 1), 2); /* the interrupt for a configuration change */
    expect_stat(h, "target-bytes", 1u << 20);
    assert_int_equal(ops->balloon(d, HARNESS_MEMORY_BYTES + 1, &e), -EINVAL);
    assert_string_equal(e.code, "balloon.target");
    assert_int_equal(ops->balloon(d, 0, &e), -EINVAL);
    assert_int_equal(ops->balloon(d, UINT64_MAX, &e), -EINVAL);
    expect_stat(h, "target-bytes", 1u << 20);
    /* It is the host's: a driver cannot change it, and a reset does not. */
    harness_write(h, CONFIG, 4, 77);
    harness_reset(h);
    assert_int_equal(harness_read(h, CONFIG, 4), (3u << 20) / PAGE);
}

/* Pitfall 7: whatever a driver says it has, no number of ours goes below zero or beyond the memory. */
static void test_actual(void **state)
{
    struct harness *h = *state;

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    harness_write(h, CONFIG + 4, 4, 256);
    assert_int_equal(harness_read(h, CONFIG + 4, 4), 256);
    expect_stat(h, "actual-bytes", HARNESS_MEMORY_BYTES - 256 * PAGE);
    harness_write(h, CONFIG + 4, 4, UINT32_MAX);
    expect_stat(h, "actual-bytes", 0);
    harness_write(h, CONFIG + 4, 4, HARNESS_MEMORY_BYTES / PAGE + 1);
    expect_stat(h, "actual-bytes", 0);
    /* By bytes, across its ends, and past the configuration space. */
    harness_write(h, CONFIG + 4, 4, 0);
    harness_write(h, CONFIG + 5, 1, 1);
    assert_int_equal(harness_read(h, CONFIG + 4, 4), 256);
    harness_write(h, CONFIG + 6, 4, 0xffffffff);
    harness_write(h, CONFIG + 252, 4, 0xffffffff);
    assert_int_equal(harness_read(h, CONFIG + 4, 4), 0xffff0100);
    assert_int_equal(harness_read(h, CONFIG, 4), 0);
    harness_reset(h);
    assert_int_equal(harness_read(h, CONFIG + 4, 4), 0);
}

static struct harness_piece stats_message(struct harness *h, const uint16_t *tags, const uint64_t *values, unsigned n)
{
    struct harness_piece piece = {harness_alloc(h, n * 10), n * 10, false};
    uint8_t *at = harness_at(h, piece.gpa);

    for (unsigned i = 0; i < n; i++, at += 10) {
        memcpy(at, &tags[i], 2);
        memcpy(at + 2, &values[i], 8);
    }
    return piece;
}

static void test_statistics(void **state)
{
    struct harness *h = *state;
    const uint16_t tags[] = {4, 5, 0xffff, 10, 0};
    const uint64_t values[] = {1000, 2000, 3, 4, UINT64_MAX};
    struct told t;
    uint64_t value;
    uint32_t written;
    uint16_t head;

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    t = stats_of(h);
    assert_false(has(&t, "free-bytes", &value));
    assert_false(has(&t, "age-seconds", &value));
    struct harness_piece piece = stats_message(h, tags, values, 5);
    harness_add(h, STATS, &piece, 1);
    harness_kick(h, STATS);
    /* It is kept until new ones are wanted (5.5.6.3), and asking gives what is known. */
    assert_int_equal(harness_take(h, STATS, &head, &written), 0);
    t = stats_of(h);
    assert_int_equal(t.n, 7); /* memory, target, actual; free, total, swapped in; age: no tags that nobody knows */
    assert_true(has(&t, "free-bytes", &value) && value == 1000);
    assert_true(has(&t, "total-bytes", &value) && value == 2000);
    assert_true(has(&t, "swap-in-bytes", &value) && value == UINT64_MAX);
    assert_true(has(&t, "age-seconds", &value) && value < 100);
    assert_int_equal(harness_take(h, STATS, &head, &written), 1);
    assert_int_equal(written, 0);
    /* Asked while the driver has it: nothing to give back. */
    stats_of(h);
    assert_int_equal(harness_take(h, STATS, &head, &written), 0);
    const uint64_t later[] = {1001, 2000, 3, 4, 0};
    piece = stats_message(h, tags, later, 5);
    harness_add(h, STATS, &piece, 1);
    harness_kick(h, STATS);
    expect_stat(h, "free-bytes", 1001);
    assert_int_equal(harness_take(h, STATS, &head, &written), 1);
    assert_int_equal(harness_status(h), 0x0f);
}

/* Pitfall 7, the other half: a message of any length, and two at once. */
static void test_statistics_hostile(void **state)
{
    struct harness *h = *state;
    uint16_t tags[200] = {0};
    uint64_t values[200] = {0};

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    for (unsigned i = 0; i < 200; i++)
        values[i] = i;
    struct harness_piece piece = stats_message(h, tags, values, 200), none = {harness_alloc(h, 10), 10, false};
    harness_add(h, STATS, &piece, 1);
    harness_kick(h, STATS);
    assert_int_equal(harness_status(h), 0x0f);
    struct told t = stats_of(h); /* gives it back */
    assert_true(has(&t, "swap-in-bytes", &values[0]));
    assert_int_equal(values[0], 63); /* the 64th: no more of one message count */
    harness_add(h, STATS, &none, 1);
    harness_add(h, STATS, &none, 1);
    harness_kick(h, STATS);
    assert_int_equal(harness_status(h), 0x0f | NEEDS_RESET);
    stats_of(h);
    harness_reset(h);
    t = stats_of(h);
    assert_false(has(&t, "swap-in-bytes", &values[0]));
}

static void test_statistics_period(void **state)
{
    struct harness *h = calloc(1, sizeof(*h));
    const uint16_t tag = 4;
    const uint64_t value = 9;
    uint32_t written;
    uint16_t head;

    (void)state;
    make(h, "stats=1");
    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    for (unsigned i = 0; i < 2; i++) {
        struct harness_piece piece = stats_message(h, &tag, &value, 1);
        harness_add(h, STATS, &piece, 1);
        harness_kick(h, STATS);
        assert_int_equal(harness_wait(h, STATS, &head, &written), 1);
    }
    harness_done(h);
    free(h);
}

/* 5.5.6.7: whole pages of what is reported go; the device writes nothing there. */
static void report_at(struct harness *h, unsigned queue)
{
    struct harness_piece pieces[] = {{FAR, 8 * PAGE, true}, {FAR + 16 * PAGE + 100, 2 * PAGE, true}};
    uint64_t before = counter(h, "returned-bytes");
    uint32_t written;
    uint16_t head;

    touch(h, FAR, 32);
    harness_add(h, queue, pieces, 2);
    harness_kick(h, queue);
    assert_int_equal(harness_take(h, queue, &head, &written), 1);
    assert_int_equal(written, 0);
    assert_int_equal(resident(h, FAR, 8), 0);
    assert_int_equal(resident(h, FAR + 8 * PAGE, 24), 23);
    assert_int_equal(*(uint8_t *)harness_at(h, FAR + 16 * PAGE), 0xa5);
    assert_int_equal(*(uint8_t *)harness_at(h, FAR + 18 * PAGE), 0xa5);
    assert_int_equal(*(uint8_t *)harness_at(h, FAR + 17 * PAGE), 0);
    assert_int_equal(counter(h, "returned-bytes") - before, 10 * PAGE);
    assert_int_equal(harness_status(h), 0x0f);
}

/* The queue's number: as the specification counts, as Linux does, and without statistics. */
static void test_reports(void **state)
{
    struct harness *h = *state;

    assert_int_equal(harness_offered(h) & F_HINT, 0);
    assert_int_equal(harness_start(h, ALL_FEATURES, 5, 64), 0x0f);
    report_at(h, 3);
    report_at(h, 4);
    harness_reset(h);
    assert_int_equal(harness_start(h, F_REPORTING, 3, 64), 0x0f);
    report_at(h, 2);
    harness_reset(h);
    /* Not without the feature. */
    assert_int_equal(harness_start(h, F_STATS, 4, 64), 0x0f);
    struct harness_piece piece = {FAR, PAGE, true};
    touch(h, FAR, 1);
    harness_add(h, 3, &piece, 1);
    harness_kick(h, 3);
    assert_int_equal(harness_status(h), 0x0f | NEEDS_RESET);
    assert_int_equal(resident(h, FAR, 1), 1);
}

static void test_report_outside(void **state)
{
    struct harness *h = *state;
    struct harness_piece piece = {HARNESS_MEMORY_GPA + HARNESS_MEMORY_BYTES - PAGE, 2 * PAGE, true};

    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    harness_add(h, REPORT, &piece, 1);
    harness_kick(h, REPORT);
    assert_int_equal(harness_status(h), 0x0f | NEEDS_RESET);
}

static void load_into(struct harness *h, const struct buf *b, int wanted)
{
    struct state_reader r = {(const uint8_t *)b->data, (const uint8_t *)b->data + b->len, false};
    struct err e = ERR_INIT;
    int result = virtio_load(h->device, &r, &e);

    assert_int_equal(result, wanted);
    if (result == 0)
        assert_int_equal(state_reader_end(&r, "balloon", &e), 0);
}

/* Saved with a message at hand and restored elsewhere: the driver goes on as if nothing had been. */
static void test_save_and_load(void **state)
{
    struct harness *h = *state, *other = calloc(1, sizeof(*other));
    const uint16_t tag = 4;
    const uint64_t value = 9;
    struct buf b;
    struct err e = ERR_INIT;
    uint32_t written;
    uint16_t head;

    make(other, "on");
    buf_init(&b, 4096);
    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    assert_int_equal(virtio_ops_of(h->device)->balloon(virtio_device(h->device), 1u << 20, &e), 0);
    harness_write(h, CONFIG + 4, 4, 7);
    struct harness_piece piece = stats_message(h, &tag, &value, 1);
    uint16_t added = harness_add(h, STATS, &piece, 1);
    harness_kick(h, STATS);
    virtio_save(h->device, &b);
    memcpy(other->ram, h->ram, HARNESS_MEMORY_BYTES);
    memcpy(other->queues, h->queues, sizeof(h->queues));
    other->next_gpa = h->next_gpa;
    load_into(other, &b, 0);
    harness_turn(other);
    assert_int_equal(harness_status(other), 0x0f);
    assert_int_equal(harness_read(other, CONFIG, 4), (3u << 20) / PAGE);
    assert_int_equal(harness_read(other, CONFIG + 4, 4), 7);
    stats_of(other);
    assert_int_equal(harness_take(other, STATS, &head, &written), 1);
    assert_int_equal(head, added);
    touch(other, FAR, 1);
    const uint32_t page = FAR / PAGE;
    send_pages(other, INFLATE, &page, 1);
    assert_int_equal(resident(other, FAR, 1), 0);
    /* Every shortened and some damaged ones are refused or are as good as any driver's state. */
    for (size_t n = 0; n < b.len; n++) {
        struct state_reader r = {(const uint8_t *)b.data, (const uint8_t *)b.data + n, false};

        assert_int_equal(virtio_load(other->device, &r, &e), -EBADMSG);
    }
    b.data[b.len - 12] = 2; /* version */
    load_into(other, &b, -EBADMSG);
    b.data[b.len - 12] = 1;
    memset(b.data + b.len - 11, 0xff, 4); /* more pages than there are */
    load_into(other, &b, -EBADMSG);
    buf_done(&b);
    harness_done(other);
    free(other);
}

static void test_options(void **state)
{
    static const char *const bad[] = {"off",      "stats=4000", "stats=x",       "target=8M",
                                      "target=0", "on,size=1",  "on,reporting=2"};
    struct harness *h = calloc(1, sizeof(*h));
    struct err e = ERR_INIT;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(harness_init(h, "balloon", bad[i], &e) < 0);
    make(h, "on,target=3M,reporting=off,deflate-on-oom=off");
    assert_int_equal(harness_read(h, CONFIG, 4), (1u << 20) / PAGE);
    assert_int_equal(harness_offered(h) & ALL_FEATURES, F_STATS);
    harness_done(h);
    free(h);
}

/* Rings written over by the balloon itself, doorbells of queues that are off, rubbish in every place. */
static void test_noise(void **state)
{
    struct harness *h = *state;
    uint32_t seed = 1;

    for (unsigned round = 0; round < 200; round++) {
        (void)harness_start(h, ALL_FEATURES, round % 6, 64);
        for (unsigned i = 0; i < 2000; i++) {
            seed = seed * 1664525 + 1013904223;
            h->ram[seed % (64u << 10)] = (uint8_t)(seed >> 24);
        }
        for (unsigned q = 0; q < 5; q++) {
            const uint32_t pages[] = {(uint32_t)(HARNESS_MEMORY_GPA / PAGE) + q * 3 + round % 3, seed};

            if (h->queues[q].size && harness_status(h) == 0x0f) {
                struct harness_piece piece = {FAR, 8, q == 3};

                memcpy(harness_at(h, FAR), pages, 8);
                harness_add(h, q, &piece, 1);
            }
            harness_kick(h, q);
            harness_turn(h);
        }
        stats_of(h);
        harness_reset(h);
    }
    assert_int_equal(harness_start(h, ALL_FEATURES, 4, 64), 0x0f);
    const uint32_t page = FAR / PAGE;
    send_pages(h, INFLATE, &page, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_inflate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_target, setup, teardown),
        cmocka_unit_test_setup_teardown(test_actual, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statistics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statistics_hostile, setup, teardown),
        cmocka_unit_test(test_statistics_period),
        cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_report_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_and_load, setup, teardown),
        cmocka_unit_test(test_options),
        cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
