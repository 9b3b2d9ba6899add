/* Parameters from forms and JSON, shown as "k:name=value|". */
#include "proto/params.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void show(const struct buf *out, struct buf *ret)
{
    struct field_reader r;
    struct field f;
    struct param_view v;

    buf_reset(ret);
    field_reader_init(&r, out->data, out->len);
    while (field_next(&r, &f) == 1) {
        assert_int_equal(f.tag, FIELD_PARAM);
        assert_int_equal(field_get_param(&f, &v), 0);
        buf_printf(ret, "%c:%.*s=%.*s|", (char)v.kind, (int)v.key_len, v.key, (int)v.value_len, v.value);
    }
}

struct params_case {
    const char *text, *shown; /* shown NULL: refused */
};

static void run(const struct params_case *cases, size_t n,
                int (*parse)(struct params *, const char *, size_t, struct err *))
{
    for (size_t i = 0; i < n; i++) {
        autobuf struct buf out, text;
        struct params p;
        struct err e = ERR_INIT;
        buf_init(&out, 1u << 20);
        buf_init(&text, 1u << 20);
        params_init(&p, &out);
        int r = parse(&p, cases[i].text, strlen(cases[i].text), &e);
        if ((r == 0) != (cases[i].shown != NULL))
            fail_msg("%s: %d %s", cases[i].text, r, e.text);
        show(&out, &text);
        if (r == 0)
            assert_string_equal(buf_str(&text), cases[i].shown);
    }
}

static const struct params_case forms[] = {
    {"", ""},
    {"a=1&b=2", "s:a=1|s:b=2|"},
    {"a=1;b=2&&;&c", "s:a=1|s:b=2|s:c=|"},
    {"a=x+y%2b%26&a=2", "s:a=x y+&|s:a=2|"},
    {"a==b&_dc=12&_dcx=1", "s:a==b|s:_dcx=1|"},
    {"net0=virtio%3dBC%3A24,bridge=vmbr0", "s:net0=virtio=BC:24,bridge=vmbr0|"},
    {"%61=%C3%A4", "s:a=\xc3\xa4|"},
    {"=x", NULL},
    {"a=%00", NULL},
    {"%00=a", NULL},
    {"a=%ff", NULL},
    {"%ff=a", NULL},
    {"a=%4", NULL},
    {"a%=1", NULL},
};

static const struct params_case jsons[] = {
    {"{}", ""},
    {"{\"a\":\"x\",\"b\":12,\"c\":true,\"d\":false,\"e\":null}", "s:a=x|n:b=12|b:c=1|b:d=0|"},
    {"{\"a\":1.5,\"b\":-3,\"c\":0.1}", "n:a=1.5|n:b=-3|n:c=0.1|"},
    {"{\"a\":[1,\"x\",true,null],\"b\":[]}", "n:a=1|s:a=x|b:a=1|"},
    {"{\"_dc\":1,\"a\":\"\"}", "s:a=|"},
    {" {\"a\" : \"\\u00e4\"} ", "s:a=\xc3\xa4|"},
    {"", NULL},
    {"[]", NULL},
    {"1", NULL},
    {"null", NULL},
    {"{\"a\":{}}", NULL},
    {"{\"a\":[[1]]}", NULL},
    {"{\"a\":[{\"b\":1}]}", NULL},
    {"{\"a\":1,\"a\":2}", NULL},
    {"{\"a\":1} x", NULL},
    {"{\"a\":1", NULL},
    {"{\"a\":\"\\u0000\"}", NULL},
    {"{\"\\u0000\":1}", NULL},
    {"{\"a\":\"\xff\"}", NULL},
    {"{\"\":1}", NULL},
    {"{\"a\":123456789012345678901234567890}", NULL},
    {"{\"a\":1e999}", NULL},
    {"{\"a\":[[[[[[[[[[1]]]]]]]]]]}", NULL},
    {"{'a':1}", NULL},
};

static void test_forms(void **state)
{
    run(forms, ARRAY_SIZE(forms), params_add_urlencoded);
}

static void test_json(void **state)
{
    run(jsons, ARRAY_SIZE(jsons), params_add_json);
}

/* n parameters of a form or a JSON array; the result of parsing them. */
static int parse_many(size_t n, bool is_json)
{
    autobuf struct buf text, out;
    struct params p;
    struct err e = ERR_INIT;

    buf_init(&text, 1u << 20);
    buf_init(&out, 1u << 20);
    params_init(&p, &out);
    buf_append_str(&text, is_json ? "{\"a\":[" : "");
    for (size_t i = 0; i < n; i++)
        buf_append_str(&text, is_json ? (i ? ",1" : "1") : "a=1&");
    buf_append_str(&text, is_json ? "]}" : "");
    return is_json ? params_add_json(&p, text.data, text.len, &e) : params_add_urlencoded(&p, text.data, text.len, &e);
}

static void test_count(void **state)
{
    assert_int_equal(parse_many(512, false), 0);
    assert_int_equal(parse_many(513, false), -E2BIG);
    assert_int_equal(parse_many(512, true), 0);
    assert_int_equal(parse_many(513, true), -E2BIG);
    assert_int_equal(parse_many(200000, true), -E2BIG);
}

static void test_deep_json_is_not_parsed(void **state)
{
    autobuf struct buf text, out;
    struct params p;
    struct err e = ERR_INIT;

    buf_init(&text, 1u << 20);
    buf_init(&out, 1u << 20);
    params_init(&p, &out);
    for (size_t i = 0; i < 500000; i++)
        buf_append_char(&text, '[');
    assert_int_equal(params_add_json(&p, text.data, text.len, &e), -EINVAL);
    assert_string_equal(e.code, "param.deep");
}

static void test_sizes(void **state)
{
    autobuf struct buf out;
    struct params p;
    struct err e = ERR_INIT;
    char name[300];
    static char value[700000];

    memset(name, 'n', sizeof(name));
    memset(value, 'v', sizeof(value));
    buf_init(&out, 1u << 20);
    params_init(&p, &out);
    assert_int_equal(params_add(&p, PARAM_STRING, name, 256, "v", 1, &e), 0);
    assert_int_equal(params_add(&p, PARAM_STRING, name, 257, "v", 1, &e), -EINVAL);
    assert_int_equal(params_add(&p, PARAM_STRING, "a", 1, value, sizeof(value), &e), 0);
    assert_int_equal(params_add(&p, PARAM_STRING, "a", 1, value, sizeof(value), &e), -E2BIG);
    assert_false(out.is_failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_json),
        cmocka_unit_test(test_count), cmocka_unit_test(test_deep_json_is_not_parsed),
        cmocka_unit_test(test_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
