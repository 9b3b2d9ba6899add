/* Unit tests of table.c and host.c: each row is whole, and `auto` says why nothing fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/engine.h"

static void test_rows_are_whole(void **state)
{
    for (size_t i = 0; engine_table[i]; i++) {
        const struct engine *x = engine_table[i];
        assert_true(x->name && *x->name && x->driver && *x->driver);
        assert_true(x->check_host && x->resolve && x->check_config && x->launch && x->caps);
        assert_ptr_equal(engine_find(x->name), x);
        assert_false(streq(x->name, "auto"));
    }
    assert_null(engine_find("auto"));
    assert_null(engine_find(""));
}

static void test_choose(void **state)
{
    struct engine_host h = {.qemu_path = "/usr/bin/qemu-system-x86_64", .qemu_version = "7.2.22"};
    const struct config_item unknown_bios[] = {{"bios", "coreboot"}};
    const struct engine *x = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(engine_choose(&h, "auto", NULL, 0, &x, &e), 0);
    assert_string_equal(x->name, "qemu");
    assert_int_equal(engine_choose(&h, NULL, NULL, 0, &x, &e), 0);
    assert_int_equal(engine_choose(&h, "qemu", NULL, 0, &x, &e), 0);
    assert_int_equal(engine_choose(&h, "bochs", NULL, 0, &x, &e), -EINVAL);
    assert_string_equal(e.code, "param.invalid");
    assert_int_equal(engine_choose(&h, "auto", unknown_bios, 1, &x, &e), -EINVAL);
    assert_string_equal(e.code, "param.unsupported");
    h.qemu_path[0] = 0;
    assert_int_equal(engine_choose(&h, "auto", NULL, 0, &x, &e), -ENOENT);
    assert_string_equal(e.code, "engine.missing");
    assert_true(e.hint[0]);
}

static void test_probe(void **state)
{
    struct engine_host h;

    engine_host_probe(&h);
    assert_true(h.n_cpus > 0 && h.memory_bytes > 0 && h.accel_reason[0]);
    assert_int_equal(h.qemu_version[0], 0);
    if (h.has_kvm)
        assert_string_equal(h.accel_reason, "hardware KVM");
}

static void test_probe_version(void **state)
{
    struct engine_host h;
    struct err e = ERR_INIT;

    engine_host_probe(&h);
    if (h.qemu_path[0]) {
        assert_int_equal(engine_host_probe_qemu(&h, &e), 0);
        assert_true(h.qemu_version[0] >= '1' && h.qemu_version[0] <= '9');
    }
    h.qemu_path[0] = 0;
    assert_int_equal(engine_host_probe_qemu(&h, &e), -ENOENT);
    snprintf(h.qemu_path, sizeof(h.qemu_path), "/bin/true");
    assert_int_equal(engine_host_probe_qemu(&h, &e), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_are_whole), cmocka_unit_test(test_choose),
                                       cmocka_unit_test(test_probe), cmocka_unit_test(test_probe_version)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
