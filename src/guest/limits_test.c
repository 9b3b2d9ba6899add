/* Unit tests of limits.c: the keys, and the unified hierarchy on a folder that looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "guest/limits.h"

static int parse(const char *key, const char *value, struct guest_limits *ret)
{
    struct config c = {0};
    struct err e = ERR_INIT;

    assert_int_equal(config_set(&c, key, value), 0);
    int r = limits_parse(&c, ret, &e);
    config_done(&c);
    return r;
}

static void test_keys(void **state)
{
    static const char *const bad[][2] = {
        {"cpulimit", "x"},    {"cpulimit", "129"},    {"cpulimit", "nan"},  {"cpulimit", "-1"},    {"cpulimit", "1 "},
        {"cpuunits", "0"},    {"cpuunits", "262145"}, {"affinity", ""},     {"affinity", "1-"},    {"affinity", "2-1"},
        {"affinity", "1,,2"}, {"affinity", "1-2-3"},  {"affinity", "9999"}, {"affinity", "12345"}, {"affinity", "1,"}};
    struct guest_limits l;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (parse(bad[i][0], bad[i][1], &l) != -EINVAL)
            fail_msg("%s=%s was taken", bad[i][0], bad[i][1]);
    assert_int_equal(parse("cpulimit", "1.5", &l), 0);
    assert_int_equal(l.limit_permille, 1500);
    assert_false(l.has_affinity);
    assert_int_equal(parse("cpulimit", "0", &l), 0);
    assert_int_equal(l.limit_permille, 0);
    assert_int_equal(parse("affinity", "0,2-3", &l), 0);
    assert_int_equal(CPU_COUNT(&l.affinity), 3);
    assert_true(CPU_ISSET(0, &l.affinity) && !CPU_ISSET(1, &l.affinity) && CPU_ISSET(3, &l.affinity));
    assert_int_equal(limits_weight(50), 50);
    assert_int_equal(limits_weight(262144), 10000);
}

static void put(const char *dir, const char *name, const char *text)
{
    char path[300];
    struct err e = ERR_INIT;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text), &e), 0);
}

static void check(const char *dir, const char *name, const char *expected)
{
    char path[300];
    struct err e = ERR_INIT;
    autobuf struct buf text;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    buf_init(&text, 4096);
    assert_int_equal(fs_read_file(AT_FDCWD, path, &text, &e), 0);
    assert_string_equal(buf_str(&text), expected);
}

static void test_unified(void **state)
{
    const struct guest_limits l = {.limit_permille = 1500, .units = 20000};
    char top[] = "/tmp/holm-limits.XXXXXX", base[100], guest[140];
    struct err e = ERR_INIT;

    assert_non_null(mkdtemp(top));
    snprintf(base, sizeof(base), "%s/holm-0001", top);
    snprintf(guest, sizeof(guest), "%s/guest-100", base);
    assert_int_equal(mkdir(base, 0755), 0);
    assert_int_equal(mkdir(guest, 0755), 0);
    put(base, "cgroup.controllers", "cpuset io\n");
    put(base, "cgroup.subtree_control", "");
    put(guest, "cpu.max", "");
    put(guest, "cpu.weight", "");
    /* The folder above does not pass the controller on. */
    assert_true(limits_apply_unified(&l, base, 100, &e) < 0);
    put(top, "cgroup.subtree_control", "");
    assert_int_equal(limits_apply_unified(&l, base, 100, &e), 0);
    check(top, "cgroup.subtree_control", "+cpu");
    check(base, "cgroup.subtree_control", "+cpu");
    check(guest, "cpu.max", "150000 100000");
    check(guest, "cpu.weight", "10000");
    /* It has it already. */
    put(base, "cgroup.controllers", "cpuset cpu io\n");
    put(top, "cgroup.subtree_control", "");
    assert_int_equal(limits_apply_unified(&l, base, 100, &e), 0);
    check(top, "cgroup.subtree_control", "");
    assert_int_equal(fs_remove_tree(AT_FDCWD, top, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_unified)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
