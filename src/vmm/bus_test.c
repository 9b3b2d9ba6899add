/* Address ranges: what overlaps, where an access goes, and changes while others look things up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vmm/bus.h"

struct device {
    uint64_t offset, value;
    unsigned size, n_writes;
};

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    *(struct device *)device = (struct device){.offset = offset, .size = size};
    return 0x1122334455667788ull;
}
static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct device *d = device;

    *d = (struct device){.offset = offset, .size = size, .value = value, .n_writes = d->n_writes + 1};
}
static const struct bus_ops ops = {.read = device_read, .write = device_write};

static void test_overlaps(void **state)
{
    struct device d = {0};
    struct bus b;

    (void)state;
    bus_init(&b);
    assert_int_equal(bus_add(&b, 0x1000, 0x100, &ops, &d), 0);
    assert_int_equal(bus_add(&b, 0x1000, 0x100, &ops, &d), -EEXIST);
    assert_int_equal(bus_add(&b, 0x10ff, 1, &ops, &d), -EEXIST);
    assert_int_equal(bus_add(&b, 0xfff, 2, &ops, &d), -EEXIST);
    assert_int_equal(bus_add(&b, 0, UINT64_MAX, &ops, &d), -EEXIST);
    assert_int_equal(bus_add(&b, 0x1100, 1, &ops, &d), 0);
    assert_int_equal(bus_add(&b, 0xfff, 1, &ops, &d), 0);
    assert_int_equal(bus_add(&b, 0x5000, 0, &ops, &d), -EINVAL);
    assert_int_equal(bus_add(&b, UINT64_MAX, 2, &ops, &d), -EINVAL);
    assert_int_equal(bus_add(&b, UINT64_MAX, 1, &ops, &d), 0);
    bus_remove(&b, 0x1001); /* no range begins there */
    assert_int_equal(bus_add(&b, 0x1000, 1, &ops, &d), -EEXIST);
    bus_remove(&b, 0x1000);
    assert_int_equal(bus_add(&b, 0x1000, 0x100, &ops, &d), 0);
    for (unsigned i = b.n_ranges; i < BUS_RANGES_MAX; i++)
        assert_int_equal(bus_add(&b, 0x100000 + i * 16ull, 16, &ops, &d), 0);
    assert_int_equal(bus_add(&b, 0x200000, 16, &ops, &d), -ENOSPC);
    bus_done(&b);
}

static void test_accesses(void **state)
{
    struct device d = {0};
    struct bus b;

    (void)state;
    bus_init(&b);
    assert_int_equal(bus_add(&b, 0x1000, 0x10, &ops, &d), 0);
    assert_int_equal(bus_read(&b, 0x1008, 8), 0x1122334455667788ull);
    assert_int_equal(d.offset, 8);
    assert_int_equal(d.size, 8);
    /* Over the end, before, after, and sizes that are none: the rest of an access over the end of a page. */
    assert_true(bus_read(&b, 0x1009, 8) == UINT64_MAX);
    assert_true(bus_read(&b, 0xfff, 2) == UINT64_MAX);
    assert_true(bus_read(&b, 0x1010, 1) == UINT64_MAX);
    assert_true(bus_read(&b, UINT64_MAX, 8) == UINT64_MAX);
    for (unsigned size = 0; size < 20; size++) {
        bool is_good = size == 1 || size == 2 || size == 4 || size == 8;
        unsigned before = d.n_writes = 5;

        bus_write(&b, 0x1000, size, 7);
        assert_int_equal(d.n_writes, before + is_good);
    }
    bus_done(&b);
}

static void *come_and_go(void *arg)
{
    struct bus *b = arg;
    static struct device d;

    for (unsigned i = 0; i < 20000; i++) {
        if (bus_add(b, 0x800, 0x100, &ops, &d) == 0)
            bus_remove(b, 0x800);
    }
    return NULL;
}

static void test_changes_while_used(void **state)
{
    struct device d = {0};
    pthread_t thread;
    struct bus b;

    (void)state;
    bus_init(&b);
    assert_int_equal(bus_add(&b, 0x1000, 0x10, &ops, &d), 0);
    assert_int_equal(pthread_create(&thread, NULL, come_and_go, &b), 0);
    for (unsigned i = 0; i < 20000; i++)
        assert_int_equal(bus_read(&b, 0x1000 + i % 8, 1), 0x1122334455667788ull);
    pthread_join(thread, NULL);
    bus_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_accesses),
        cmocka_unit_test(test_changes_while_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
