/* The token bucket, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vmm/throttle.h"

#define SECOND 1000000000ull

static void test_rate(void **state)
{
    struct throttle t;
    uint64_t now = 5 * SECOND, went = 0;

    (void)state;
    throttle_init(&t);
    assert_int_equal(throttle_wait_ns(&t, now), 0); /* none by itself */
    throttle_charge(&t, UINT64_MAX);
    assert_int_equal(throttle_wait_ns(&t, now), 0);
    throttle_set(&t, 1000, 100);
    /* Things of 30: what goes within ten seconds is ten seconds' worth, the burst and the last one. */
    for (uint64_t end = now + 10 * SECOND; now < end;) {
        uint64_t wait = throttle_wait_ns(&t, now);

        if (wait) {
            now += wait;
            continue;
        }
        throttle_charge(&t, 30);
        went += 30;
    }
    assert_in_range(went, 10000, 10000 + 100 + 60);
    throttle_done(&t);
}

static void test_burst(void **state)
{
    struct throttle t;
    uint64_t now = SECOND, n = 0;

    (void)state;
    throttle_init(&t);
    throttle_set(&t, 1000, 100);
    for (; !throttle_wait_ns(&t, now); n++)
        throttle_charge(&t, 10);
    assert_int_equal(n, 10);
    now += 3600 * SECOND; /* a pause does not save up more than the burst */
    for (n = 0; !throttle_wait_ns(&t, now); n++)
        throttle_charge(&t, 10);
    assert_int_equal(n, 10);
    /* One thing larger than the burst goes, and is paid for afterwards. */
    now += SECOND;
    assert_int_equal(throttle_wait_ns(&t, now), 0);
    throttle_charge(&t, 10100);
    assert_in_range(throttle_wait_ns(&t, now), 10 * SECOND, 10 * SECOND + SECOND / 100);
    throttle_set(&t, 0, 0);
    assert_int_equal(throttle_wait_ns(&t, now), 0);
    throttle_done(&t);
}

/* The extremes neither overflow nor wait for ever. */
static void test_extremes(void **state)
{
    struct throttle t;

    (void)state;
    throttle_init(&t);
    throttle_set(&t, UINT64_MAX, UINT64_MAX);
    assert_int_equal(throttle_wait_ns(&t, UINT64_MAX / 2), 0);
    throttle_charge(&t, UINT64_MAX);
    throttle_charge(&t, UINT64_MAX);
    throttle_charge(&t, UINT64_MAX);
    assert_in_range(throttle_wait_ns(&t, UINT64_MAX / 2), 1, 4 * SECOND);
    assert_int_equal(throttle_wait_ns(&t, UINT64_MAX), 0);
    throttle_set(&t, 1, 1);
    assert_int_equal(throttle_wait_ns(&t, 1), 0);
    throttle_charge(&t, 1);
    assert_in_range(throttle_wait_ns(&t, 1), SECOND, SECOND + 1);
    throttle_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
