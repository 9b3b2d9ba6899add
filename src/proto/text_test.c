/* UTF-8, percent-encoding and header parameters. */
#include "proto/text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_utf8(void **state)
{
    static const struct {
        const char *text;
        bool is_valid;
    } cases[] = {
        {"", true},
        {"abc", true},
        {"\xc3\xa4", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false},
        {"\xc3", false},
        {"\xc0\xaf", false},
        {"\xc1\xbf", false},
        {"\xe0\x80\xaf", false},
        {"\xed\xa0\x80", false},
        {"\xf0\x80\x80\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xe2\x82", false},
        {"\xe2\x28\xa1", false},
        {"a\xff", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(text_is_utf8(cases[i].text, strlen(cases[i].text)), cases[i].is_valid);
}

static void test_percent(void **state)
{
    static const struct {
        const char *text, *plain; /* plain NULL: refused */
    } cases[] = {{"a%20b+c", "a b c"}, {"%41%5a%7A", "AZz"}, {"%", NULL}, {"%4", NULL}, {"%4g", NULL},
                 {"a%", NULL},         {"%%41", NULL},       {"", ""},    {"%+1", NULL}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autobuf struct buf out;
        struct err e = ERR_INIT;
        buf_init(&out, 64);
        int r = text_percent_decode(cases[i].text, strlen(cases[i].text), true, &out, &e);
        assert_int_equal(r, cases[i].plain ? 0 : -EINVAL);
        if (cases[i].plain)
            assert_string_equal(buf_str(&out), cases[i].plain);
    }
    autobuf struct buf small;
    struct err e = ERR_INIT;
    buf_init(&small, 2);
    assert_int_equal(text_percent_decode("abc", 3, false, &small, &e), -E2BIG);
}

static void test_header_param(void **state)
{
    static const struct {
        const char *header, *name, *value;
        int r;
    } cases[] = {
        {"multipart/form-data; boundary=xyz", "boundary", "xyz", 0},
        {"multipart/form-data;boundary=\"x y\"", "boundary", "x y", 0},
        {"form-data; name=\"a\"; filename=\"b;c.iso\"", "filename", "b;c.iso", 0},
        {"form-data; NAME=a ; x=y", "name", "a", 0},
        {"form-data; name=\"a\\\"b\\\\c\\d\"", "name", "a\"b\\c\\d", 0},
        {"form-data; ; name=a;", "name", "a", 0},
        {"form-data", "name", NULL, -ENOENT},
        {"form-data; filename*=x", "filename", NULL, -ENOENT},
        {"form-data; name=a; name=b", "name", NULL, -EINVAL},
        {"form-data; name=\"a", "name", NULL, -EINVAL},
        {"form-data; name", "name", NULL, -EINVAL},
        {"form-data; =a", "name", NULL, -EINVAL},
        {"form-data; name=a b=c", "name", NULL, -EINVAL},
        {"form-data; name=\"a\"b", "name", NULL, -EINVAL},
        {"form-data; name=a\"b", "name", NULL, -EINVAL},
        {"form\"data; name=a", "name", NULL, -EINVAL},
        {"form-data; name=12345678901234567", "name", NULL, -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char value[16] = "";
        struct err e = ERR_INIT;
        int r = text_header_param(cases[i].header, cases[i].name, value, sizeof(value), &e);
        if (r != cases[i].r)
            fail_msg("%s: %d", cases[i].header, r);
        if (cases[i].value)
            assert_string_equal(value, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_header_param),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
