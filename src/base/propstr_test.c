/* Unit tests of propstr.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/propstr.h"

static void test_items_in_order(void **state)
{
    struct propstr p;
    struct err e = ERR_INIT;

    assert_int_equal(propstr_parse("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,mtu=1500", NULL, &p, &e), 0);
    assert_int_equal(p.n, 4);
    assert_string_equal(p.items[0].key, "virtio");
    assert_string_equal(p.items[0].value, "BC:24:11:00:00:01");
    assert_string_equal(propstr_get(&p, "bridge"), "vmbr0");
    assert_null(propstr_get(&p, "tag"));
    assert_null(propstr_get(&p, "bridg"));
}

static void test_default_key(void **state)
{
    struct propstr p;
    struct err e = ERR_INIT;

    assert_int_equal(propstr_parse("local:100/vm-100-disk-0.qcow2,size=4G,", "file", &p, &e), 0);
    assert_int_equal(p.n, 2);
    assert_string_equal(propstr_get(&p, "file"), "local:100/vm-100-disk-0.qcow2");
    assert_int_equal(propstr_parse("", "file", &p, &e), 0);
    assert_int_equal(p.n, 0);
    assert_int_equal(propstr_parse("args=a=b=c", NULL, &p, &e), 0);
    assert_string_equal(propstr_get(&p, "args"), "a=b=c");
}

static void test_refusals(void **state)
{
    static const char *const bad[] = {"a,b=1", "a=",       "=a",     "a=1,a=2", "a b=1",
                                      "a=1\n", "file=x,y", "\x01=2", "a=\x7f",  "ä=1"};
    struct propstr p;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e = ERR_INIT;
        const char *default_key = i == 6 ? "file" : NULL;
        if (propstr_parse(bad[i], default_key, &p, &e) != -EINVAL)
            fail_msg("accepted '%s'", bad[i]);
        assert_string_equal(e.code, "param.format");
        assert_int_equal(p.n, 0);
    }
}

static void test_caps(void **state)
{
    char text[PROPSTR_BYTES_MAX + 2] = "";
    struct propstr p;
    struct err e = ERR_INIT;
    size_t at = 0;

    for (unsigned i = 0; i < PROPSTR_ITEMS_MAX; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "k%u=1,", i);
    assert_int_equal(propstr_parse(text, NULL, &p, &e), 0);
    assert_int_equal(p.n, PROPSTR_ITEMS_MAX);
    snprintf(text + at, sizeof(text) - at, "more=1");
    assert_int_equal(propstr_parse(text, NULL, &p, &e), -EINVAL);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(propstr_parse(text, "file", &p, &e), -EINVAL);
    text[PROPSTR_BYTES_MAX] = 0;
    assert_int_equal(propstr_parse(text, "file", &p, &e), 0);
}

static void test_booleans(void **state)
{
    struct propstr p;
    struct err e = ERR_INIT;
    bool v = false;

    assert_int_equal(propstr_parse("a=1,b=on,c=YES,d=true,e=0,f=off,g=no,h=False,i=2", NULL, &p, &e), 0);
    for (char key[2] = "a"; key[0] <= 'h'; key[0]++) {
        assert_int_equal(propstr_get_bool(&p, key, false, &v, &e), 0);
        assert_int_equal(v, key[0] <= 'd');
    }
    assert_int_equal(propstr_get_bool(&p, "i", false, &v, &e), -EINVAL);
    assert_int_equal(propstr_get_bool(&p, "z", true, &v, &e), 0);
    assert_true(v);
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"17", 17},
                {"4K", 4096},
                {"1.5G", 1610612736},
                {"0.5M", 524288},
                {"2T", 2199023255552},
                {"1.9999999999999999999K", 2047},
                {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {"", "K", "1KB", "-1", "1.", ".5", "1 G", "1g", "0x1", "1.5.5"};
    uint64_t v;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(propstr_size(good[i].text, &v), 0);
        assert_int_equal(v, good[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (propstr_size(bad[i], &v) != -EINVAL)
            fail_msg("accepted '%s'", bad[i]);
    assert_int_equal(propstr_size("18446744073709551616", &v), -ERANGE);
    assert_int_equal(propstr_size("18446744073709551615K", &v), -ERANGE);
    assert_int_equal(propstr_size("16777216T", &v), -ERANGE);
}

static void test_numbers(void **state)
{
    struct propstr p;
    struct err e = ERR_INIT;
    uint64_t v;

    assert_int_equal(propstr_parse("mtu=1500,size=3G,bad=x", NULL, &p, &e), 0);
    assert_int_equal(propstr_get_u64(&p, "mtu", 0, &v, &e), 0);
    assert_int_equal(v, 1500);
    assert_int_equal(propstr_get_size(&p, "size", 0, &v, &e), 0);
    assert_int_equal(v, 3ull << 30);
    assert_int_equal(propstr_get_size(&p, "none", 7, &v, &e), 0);
    assert_int_equal(v, 7);
    assert_int_equal(propstr_get_u64(&p, "bad", 0, &v, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_in_order), cmocka_unit_test(test_default_key), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_caps),           cmocka_unit_test(test_booleans),    cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
