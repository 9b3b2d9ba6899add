/* The entropy device on the harness: requests of all shapes, and a driver that breaks the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vmm/harness.h"

static int setup(void **state)
{
    struct harness *h = calloc(1, sizeof(*h));
    struct err e = ERR_INIT;

    assert_int_equal(harness_init(h, "rng", "", &e), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_done(*state);
    free(*state);
    return 0;
}

static void test_fills(void **state)
{
    struct harness *h = *state;
    uint32_t written;
    uint16_t head;

    assert_int_equal(harness_start(h, 0, 1, 8), 0x0f);
    struct harness_piece pieces[] = {{harness_alloc(h, 100), 100, true}, {harness_alloc(h, 70000), 70000, true}};
    uint16_t added = harness_add(h, 0, pieces, 2);
    harness_kick(h, 0);
    assert_int_equal(harness_take(h, 0, &head, &written), 1);
    assert_int_equal(head, added);
    /* No more than 64 KiB for one request. */
    assert_int_equal(written, 65536);
    const uint8_t *bytes = harness_at(h, pieces[1].gpa);
    unsigned n_zero = 0;
    for (unsigned i = 0; i < 65436; i++)
        n_zero += bytes[i] == 0;
    assert_true(n_zero < 1000);
    for (unsigned i = 65436; i < 70000; i++)
        assert_int_equal(bytes[i], 0);
}

static void test_outside_memory(void **state)
{
    struct harness *h = *state;
    uint32_t written;
    uint16_t head;

    assert_int_equal(harness_start(h, 0, 1, 8), 0x0f);
    struct harness_piece piece = {HARNESS_MEMORY_GPA + HARNESS_MEMORY_BYTES - 10, 11, true};
    harness_add(h, 0, &piece, 1);
    harness_kick(h, 0);
    assert_int_equal(harness_status(h) & 0x40, 0x40);
    assert_int_equal(harness_take(h, 0, &head, &written), 0);
    /* A reset makes it good again. */
    harness_reset(h);
    assert_int_equal(harness_start(h, 0, 1, 8), 0x0f);
    piece = (struct harness_piece){harness_alloc(h, 16), 16, true};
    harness_add(h, 0, &piece, 1);
    harness_kick(h, 0);
    assert_int_equal(harness_take(h, 0, &head, &written), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fills, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outside_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
