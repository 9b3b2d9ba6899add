/* Samples in, files, replies out; against a naive reckoning of the same samples, and with files that are damaged. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/fs.h"
#include "rrd/rrd.h"

#define NAME "100"
#define T0   INT64_C(1800057600) /* midnight: all steps begin there */

struct fixture {
    char dir[32];
    int dirfd;
    struct rrd rrd;
};

static int setup(void **arg)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/holm-rrd-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rrd_init(&f->rrd, 2);
    *arg = f;
    return 0;
}

static int teardown(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;

    rrd_done(&f->rrd);
    close(f->dirfd);
    int r = fs_remove_tree(AT_FDCWD, f->dir, &e);
    free(f);
    return r;
}

static void write_out(struct fixture *f)
{
    struct err e = ERR_INIT;
    autobuf struct buf writes;

    buf_init(&writes, 1 << 20);
    rrd_take(&f->rrd, &writes);
    assert_int_equal(rrd_write(f->dirfd, NAME, &writes, &e), 0);
}

/* A sample every ten seconds, written once a minute as the samplers do. */
static void feed(struct fixture *f, int64_t from, int64_t to, double (*value)(int64_t t))
{
    for (int64_t t = from; t < to; t += 10) {
        double v[2] = {value(t), NAN};
        rrd_add(&f->rrd, t, v);
        if (f->rrd.has_new_minute)
            write_out(f);
    }
}

static double ramp(int64_t t)
{
    return (double)(t - T0);
}

static double saw(int64_t t)
{
    return (double)(t % 3600) / 36.0;
}

static struct rrd_series read_it(struct fixture *f, const char *timeframe, bool is_max, int64_t now)
{
    struct rrd_series s;
    struct err e = ERR_INIT;

    assert_int_equal(rrd_read(f->dirfd, NAME, 2, timeframe, is_max, now, &s, &e), 0);
    return s;
}

/* Average and maximum of the samples of [from, from + step). */
static double naive(int64_t from, uint32_t step, bool is_max, double (*value)(int64_t t))
{
    double sum = 0, max = -1;
    unsigned n = 0;

    for (int64_t t = from; t < from + step; t += 10, n++) {
        sum += value(t);
        max = value(t) > max ? value(t) : max;
    }
    return is_max ? max : sum / n;
}

static void check(struct fixture *f, const char *timeframe, int64_t from, int64_t now, double (*value)(int64_t t))
{
    for (int is_max = 0; is_max < 2; is_max++) {
        struct rrd_series s = read_it(f, timeframe, is_max, now);
        unsigned n_known = 0;
        assert_true(s.n_rows <= RRD_ROWS_MAX);
        assert_int_equal(s.start_s % s.step_s, 0);
        assert_true(s.start_s + (int64_t)s.n_rows * s.step_s <= now);
        assert_true(s.start_s + ((int64_t)s.n_rows + 1) * s.step_s > now);
        for (unsigned i = 0; i < s.n_rows; i++) {
            int64_t t = s.start_s + (int64_t)i * s.step_s;
            float got = s.values[i * 2];
            assert_true(isnan(s.values[i * 2 + 1]));
            if (t >= from) {
                double want = naive(t, s.step_s, is_max, value);
                assert_true(fabs((double)got - want) <= fabs(want) * 1e-5 + 1e-3);
                n_known++;
            } else if (t + s.step_s <= from) {
                assert_true(isnan(got));
            }
        }
        assert_true(n_known > 0);
        rrd_series_done(&s);
    }
}

static void test_rows(void **arg)
{
    struct fixture *f = *arg;
    const int64_t from = T0, now = T0 + INT64_C(5) * 86400 + 10;

    feed(f, from, now, saw);
    check(f, "hour", from, now, saw);
    check(f, "day", from, now, saw);
    check(f, "week", from, now, saw);
    check(f, "month", from, now, saw);
    check(f, "year", from, now, saw);
}

/* Rings wrap: only the newest rows are there, and none of them is an old one. */
static void test_wrap(void **arg)
{
    struct fixture *f = *arg;

    feed(f, T0, T0 + 3 * 86400 + 10, ramp);
    check(f, "hour", T0, T0 + 3 * 86400, ramp);
    check(f, "day", T0, T0 + 3 * 86400, ramp);
    /* Two days of silence: what is older than the ring must not come back as new. */
    struct rrd_series s = read_it(f, "day", false, T0 + 5 * 86400);
    for (unsigned i = 0; i < s.n_rows; i++)
        assert_true(isnan(s.values[i * 2]));
    rrd_series_done(&s);
}

static void test_restart(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;

    for (int64_t t = T0; t < T0 + 86400; t += 1200) {
        feed(f, t, t + 1200, saw);
        write_out(f);
        rrd_done(&f->rrd);
        rrd_init(&f->rrd, 2);
        assert_int_equal(rrd_load(f->dirfd, NAME, &f->rrd, &e), 0);
    }
    feed(f, T0 + 86400, T0 + 86400 + 20, saw);
    write_out(f);
    check(f, "hour", T0, T0 + 86400 + 20, saw);
    check(f, "week", T0, T0 + 86400 + 20, saw);
}

static void test_clock_goes_back(void **arg)
{
    struct fixture *f = *arg;

    feed(f, T0 + 7200, T0 + 9000, ramp);
    feed(f, T0, T0 + 3620, saw);
    check(f, "hour", T0, T0 + 3620, saw);
}

static void test_unknown(void **arg)
{
    struct fixture *f = *arg;
    struct rrd_series s = read_it(f, "hour", false, T0); /* no file */
    struct err e = ERR_INIT;

    assert_int_equal(s.n_rows, 60);
    for (unsigned i = 0; i < s.n_rows * 2; i++)
        assert_true(isnan(s.values[i]));
    rrd_series_done(&s);
    assert_int_equal(rrd_read(f->dirfd, NAME, 2, "century", false, T0, &s, &e), -EINVAL);
}

/* Any byte of the file may be wrong: the answer is right or absent, and the rest of the file is used on. */
static void test_damage(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    unsigned n_lost = 0;

    feed(f, T0, T0 + 3660, saw);
    autoclose int fd = openat(f->dirfd, NAME, O_RDWR | O_CLOEXEC);
    for (int64_t at = 4096; at < 4096 + 1440 * 24; at += 7) {
        unsigned char c, wrong;
        if (pread(fd, &c, 1, at) != 1)
            break;
        wrong = c ^ 0x10;
        assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
        struct rrd_series s = read_it(f, "hour", false, T0 + 3660);
        for (unsigned i = 0; i < s.n_rows; i++) {
            double want = naive(s.start_s + (int64_t)i * 60, 60, false, saw);
            n_lost += isnan(s.values[i * 2]);
            assert_true(isnan(s.values[i * 2]) || fabs((double)s.values[i * 2] - want) < 1e-3);
        }
        rrd_series_done(&s);
        assert_int_equal(pwrite(fd, &c, 1, at), 1);
    }
    assert_true(n_lost > 20);
    /* A damaged header: the file is begun anew. */
    assert_int_equal(pwrite(fd, "X", 1, 20), 1);
    struct rrd r;
    rrd_init(&r, 2);
    assert_int_equal(rrd_load(f->dirfd, NAME, &r, &e), 0);
    assert_int_equal(r.slots[0].number, 0);
    assert_int_equal(faccessat(f->dirfd, NAME, F_OK, 0), -1);
    rrd_done(&r);
}

static void test_full_disk(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    autobuf struct buf writes;

    buf_init(&writes, 1 << 20);
    feed(f, T0, T0 + 50, saw);
    rrd_take(&f->rrd, &writes);
    assert_int_equal(symlinkat("/dev/full", f->dirfd, "full"), 0);
    assert_true(rrd_write(f->dirfd, "full", &writes, &e) < 0); /* nor is a link followed */
    assert_true(e.text[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
