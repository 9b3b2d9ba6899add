/* The limits of a disk on the harness, with a clock of the test's own: what goes at once, what waits and for how long,
 * that a queue that waits does nothing, loses nothing, and can be stopped, saved and let go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

#include "vmm/dev/disk_limit.h"
#include "vmm/harness.h"

#define SECOND     1000000000ull
#define DISK_BYTES (4u << 20)
#define SLOT       8192u /* header, status and data of a request */
#define WAIT_MS    10000

/* --- The clock -------------------------------------------------------------------------------------------------------
 */

static _Atomic uint64_t now_ns, armed_ns; /* armed: when the timer is to go off; 0: it is not set */
static _Atomic int timer_fd;
static _Atomic unsigned n_armed;

int clock_gettime(clockid_t id, struct timespec *ret)
{
    if (!now_ns)
        return (int)syscall(SYS_clock_gettime, id, ret);
    *ret = (struct timespec){.tv_sec = (time_t)(now_ns / SECOND), .tv_nsec = (long)(now_ns % SECOND)};
    return 0;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
    if (!now_ns)
        return (int)syscall(SYS_timerfd_settime, fd, flags, when, old);
    timer_fd = fd;
    n_armed++;
    armed_ns = now_ns + (uint64_t)when->it_value.tv_sec * SECOND + (uint64_t)when->it_value.tv_nsec;
    return 0;
}

/* The clock goes on to the time that the timer was set to. */
static void go_off(void)
{
    struct itimerspec at_once = {.it_value.tv_nsec = 1};

    assert_true(armed_ns > now_ns);
    now_ns = armed_ns;
    armed_ns = 0;
    assert_int_equal(syscall(SYS_timerfd_settime, timer_fd, 0, &at_once, NULL), 0);
}

/* --- A driver --------------------------------------------------------------------------------------------------------
 */

struct fixture {
    struct harness h;
    int fd;
    unsigned n_added, n_done;
};

static const char *engine;

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    now_ns = 1000 * SECOND;
    armed_ns = 0;
    n_armed = 0;
    return 0;
}

static void open_disk(struct fixture *f, const char *limits)
{
    struct err e = ERR_INIT;
    char text[256];

    f->fd = memfd_create("disk", MFD_CLOEXEC);
    assert_int_equal(ftruncate(f->fd, DISK_BYTES), 0);
    snprintf(text, sizeof(text), "fd=%d,engine=%s,queues=2,%s", f->fd, engine, limits);
    if (harness_init(&f->h, "disk", text, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(harness_start(&f->h, UINT64_MAX, 2, 128), 0x0f);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    harness_done(&f->h);
    now_ns = 0;
    free(f);
    return 0;
}

static void add(struct fixture *f, unsigned queue, uint32_t type, uint32_t bytes)
{
    uint64_t gpa = HARNESS_MEMORY_GPA + (1u << 20) + f->n_added % 128 * SLOT;
    struct virtio_blk_outhdr header = {.type = type, .sector = 8};
    struct harness_piece pieces[] = {
        {gpa, sizeof(header), false}, {gpa + 4096, bytes, type == VIRTIO_BLK_T_IN}, {gpa + 32, 1, true}};

    memcpy(harness_at(&f->h, gpa), &header, sizeof(header));
    *(uint8_t *)harness_at(&f->h, gpa + 32) = 0xaa;
    if (bytes) {
        harness_add(&f->h, queue, pieces, 3);
    } else {
        pieces[1] = pieces[2];
        harness_add(&f->h, queue, pieces, 2);
    }
    f->n_added++;
}

static void add_many(struct fixture *f, unsigned n, uint32_t type, uint32_t bytes)
{
    for (unsigned i = 0; i < n; i++)
        add(f, 0, type, bytes);
    harness_kick(&f->h, 0);
}

static void take_done(struct fixture *f)
{
    uint32_t written;
    uint16_t head;

    for (unsigned queue = 0; queue < 2; queue++)
        while (harness_take(&f->h, queue, &head, &written))
            f->n_done++;
}

/* Until so many are done in all, and the timer is set for the next if there are more. */
static void expect_done(struct fixture *f, unsigned n, bool is_waiting)
{
    for (unsigned ms = 0; ms < WAIT_MS; ms++) {
        take_done(f);
        if (f->n_done >= n && (!is_waiting || armed_ns))
            break;
        (void)poll(NULL, 0, 1);
        harness_turn(&f->h);
    }
    assert_int_equal(f->n_done, n);
    assert_int_equal(armed_ns != 0, is_waiting);
}

static int set_limits(struct fixture *f, const char *text, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(text, NULL, &p, e);

    return r < 0 ? r : virtio_ops_of(f->h.device)->limit(virtio_device(f->h.device), &p, e);
}

/* --- Tests -----------------------------------------------------------------------------------------------------------
 */

/* Ten a second, one at a time, in order; the thread asks for its timer once for each and does nothing in between. */
static void test_requests_a_second(void **state)
{
    struct fixture *f = *state;
    uint64_t begin = now_ns;

    open_disk(f, "iops=10");
    add_many(f, 12, VIRTIO_BLK_T_OUT, 512);
    for (unsigned i = 1; i < 12; i++) {
        expect_done(f, i, true);
        go_off();
    }
    expect_done(f, 12, false);
    assert_in_range(now_ns - begin, 11 * SECOND / 10, 11 * SECOND / 10 + 100);
    assert_in_range(n_armed, 11, 24); /* once more where a completion woke it in between */
    add_many(f, 1, VIRTIO_BLK_T_FLUSH, 0);
    expect_done(f, 13, false); /* flushes are free */
    for (unsigned i = 0; i < f->n_added; i++)
        assert_int_equal(*(uint8_t *)harness_at(&f->h, HARNESS_MEMORY_GPA + (1u << 20) + i * SLOT + 32), 0);
}

/* Doorbells while a queue waits change nothing, and the guest is told that it need not ring. */
static void test_bytes_a_second(void **state)
{
    struct fixture *f = *state;
    uint64_t begin = now_ns;
    unsigned n;

    open_disk(f, "bps=4096");
    add_many(f, 40, VIRTIO_BLK_T_IN, 512);
    expect_done(f, 1, true);
    for (unsigned i = 0; i < 20; i++)
        harness_kick(&f->h, 0);
    while (armed_ns) {
        go_off();
        n = f->n_done + 1;
        expect_done(f, n, n < 40);
    }
    /* A tenth of a second's is in the bucket at the beginning, and the last may go when there is anything in it. */
    assert_in_range(now_ns - begin, (39 * 512 - 410) * SECOND / 4096, 39 * 512 * SECOND / 4096 + 100);
}

static void test_ways_are_apart(void **state)
{
    struct fixture *f = *state;

    open_disk(f, "iops_wr=1,bps_rd=1048576,bps_rd_max=2097152,bps_rd_max_length=2");
    add_many(f, 10, VIRTIO_BLK_T_IN, 4096);
    expect_done(f, 10, false);
    add_many(f, 2, VIRTIO_BLK_T_OUT, 4096);
    expect_done(f, 11, true);
    /* What the other queue reads does not wait; what it writes does. */
    add(f, 1, VIRTIO_BLK_T_IN, 4096);
    harness_kick(&f->h, 1);
    armed_ns = 0;
    expect_done(f, 12, false);
    add(f, 1, VIRTIO_BLK_T_WRITE_ZEROES, 16);
    harness_kick(&f->h, 1);
    expect_done(f, 12, true);
    assert_int_equal(set_limits(f, "iops_rd=1", &(struct err)ERR_INIT), 0);
    armed_ns = 0;
    expect_done(f, 14, false);
}

/* Lets the clock go on until so many are done: the time that took. `more` are added when half of them are done. */
static uint64_t time_for(struct fixture *f, unsigned n, unsigned more)
{
    uint64_t begin = now_ns;
    unsigned seen = UINT32_MAX; /* when the clock went on last: what that let go comes first */

    for (unsigned ms = 0; ms < WAIT_MS && f->n_done < n; ms++) {
        take_done(f);
        if (f->n_done >= n / 2 && more) {
            add_many(f, more, VIRTIO_BLK_T_IN, 512);
            more = 0;
        }
        if (armed_ns && f->n_done != seen) {
            seen = f->n_done;
            go_off();
        } else {
            (void)poll(NULL, 0, 1);
        }
    }
    assert_in_range(f->n_done, n, n + 4); /* the clock may go on before we look */
    return now_ns - begin;
}

/* Three times the rate for two seconds, not all of it at once; then the rate. */
static void test_burst(void **state)
{
    struct fixture *f = *state;

    open_disk(f, "iops=10,iops_max=30,iops_max_length=2");
    add_many(f, 40, VIRTIO_BLK_T_IN, 512);
    assert_in_range(time_for(f, 59, 31), 17 * SECOND / 10, 24 * SECOND / 10);
    add_many(f, 20, VIRTIO_BLK_T_IN, 512);
    assert_in_range(time_for(f, 79, 0), 14 * SECOND / 10, 26 * SECOND / 10);
}

/* A driver that resets gets rid of what waits, but not of the limit; nothing of it is done later. */
static void test_reset(void **state)
{
    struct fixture *f = *state;

    open_disk(f, "iops=1");
    add_many(f, 20, VIRTIO_BLK_T_IN, 512);
    expect_done(f, 1, true);
    for (unsigned i = 0; i < 50; i++) {
        armed_ns = 0;
        harness_reset(&f->h);
        assert_int_equal(harness_start(&f->h, UINT64_MAX, 2, 128), 0x0f);
        f->n_added = f->n_done = 0;
        add_many(f, 20, VIRTIO_BLK_T_IN, 512);
        expect_done(f, 0, true);
    }
    harness_reset(&f->h);
    memset(f->h.ram, 0, HARNESS_MEMORY_BYTES);
    go_off();
    assert_int_equal(harness_start(&f->h, UINT64_MAX, 2, 128), 0x0f);
    f->n_added = f->n_done = 0;
    add_many(f, 1, VIRTIO_BLK_T_IN, 512);
    expect_done(f, 1, false); /* the second that passed */
}

/* Written down while requests wait: they are still the driver's, and go when their time comes. */
static void test_save(void **state)
{
    struct fixture *f = *state;
    struct buf b;

    open_disk(f, "iops=10");
    add_many(f, 20, VIRTIO_BLK_T_IN, 512);
    expect_done(f, 1, true);
    for (unsigned i = 1; i < 20; i++) {
        buf_init(&b, 1u << 16);
        virtio_save(f->h.device, &b);
        assert_false(b.is_failed);
        buf_done(&b);
        expect_done(f, i, true);
        go_off();
        expect_done(f, i + 1, i < 19);
    }
}

static void test_change(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;

    open_disk(f, "readonly=on");
    add_many(f, 5, VIRTIO_BLK_T_IN, 512);
    expect_done(f, 5, false);
    assert_int_equal(set_limits(f, "iops=1", &e), 0);
    add_many(f, 5, VIRTIO_BLK_T_IN, 512);
    expect_done(f, 6, true);
    assert_int_equal(set_limits(f, "iops=2,raw=/dev/null", &e), -EINVAL);
    assert_int_equal(set_limits(f, "iops=2,iops_max=1", &e), -EINVAL);
    assert_int_equal(f->n_done, 6);
    assert_int_equal(set_limits(f, "", &e), 0);
    armed_ns = 0;
    expect_done(f, 10, false);
    harness_done(&f->h); /* and the end, with requests that wait */
    f->n_added = f->n_done = 0;
    open_disk(f, "iops=1");
    add_many(f, 5, VIRTIO_BLK_T_IN, 512);
    expect_done(f, 1, true);
}

static void test_refused(void **state)
{
    static const char *const texts[] = {"iops=x",
                                        "iops=-1",
                                        "bps=1.5",
                                        "iops=1125899906842625",
                                        "iops_max=5",
                                        "iops=5,iops_max=4",
                                        "bps_max_length=2",
                                        "bps=5,bps_max_length=2",
                                        "iops=1,bps_max=5",
                                        "bps=1,bps_max=2,bps_max_length=0",
                                        "bps=1,bps_max=2,bps_max_length=3601",
                                        "iops_rd_max=5,iops=3"};
    struct disk_limits l = {0};

    (void)state;
    disk_limits_init(&l);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct err e = ERR_INIT;
        struct propstr p;

        assert_int_equal(propstr_parse(texts[i], NULL, &p, &e), 0);
        if (disk_limits_set(&l, &p, &e) != -EINVAL)
            fail_msg("%s", texts[i]);
        assert_false(l.is_on);
    }
    disk_limits_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ways_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_burst, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change, setup, teardown),
        cmocka_unit_test(test_refused),
    };
    int n_failed;

    engine = "uring";
    n_failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
    engine = "threads";
    return n_failed + cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
