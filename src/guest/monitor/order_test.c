/* Unit tests of order.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest/monitor/order.h"
#include "proto/frame.h"

static void put_good(struct buf *b)
{
    static const unsigned char cookie[COOKIE_BYTES] = {1};

    field_str(b, FIELD_DRIVER, "qmp");
    field_u32(b, FIELD_VMID, 100);
    field_bytes(b, FIELD_COOKIE, cookie, sizeof(cookie));
    field_str(b, FIELD_ARG, "/bin/true");
    field_str(b, FIELD_ARG, "");
    field_u32(b, FIELD_FD_TARGET, 20);
    field_str(b, FIELD_CHANNEL, "serial0=11");
    field_str(b, FIELD_VERB, "resume");
}

static void test_good(void **state)
{
    struct buf b;
    struct order *o = malloc(sizeof(*o));
    struct err e = ERR_INIT;

    buf_init(&b, 1 << 20);
    put_good(&b);
    assert_int_equal(order_parse(b.data, b.len, o, &e), 0);
    assert_int_equal(o->n_args, 2);
    assert_null(o->args[2]);
    assert_string_equal(o->channels[0].name, "serial0");
    assert_int_equal(o->channels[0].target, 11);
    assert_int_equal(o->fds[0], 20);
    order_done(o);
    /* Each cut is refused or, at the end of a field, lacks nothing but what comes later. */
    for (size_t n = 0; n < b.len; n++)
        if (order_parse(b.data, n, o, &e) == 0)
            order_done(o);
    buf_done(&b);
    free(o);
}

static void test_helper(void **state)
{
    struct order *o = malloc(sizeof(*o));
    struct err e = ERR_INIT;
    struct buf b;

    buf_init(&b, 1 << 20);
    put_good(&b);
    field_u32(&b, FIELD_HELPER_FD, 21);
    assert_true(order_parse(b.data, b.len, o, &e) < 0); /* whose? */
    field_str(&b, FIELD_HELPER_ARG, "/bin/false");
    assert_true(order_parse(b.data, b.len, o, &e) < 0); /* and nobody to talk to */
    field_u32(&b, FIELD_HELPER_PEER, 16);
    assert_int_equal(order_parse(b.data, b.len, o, &e), 0);
    assert_int_equal(o->n_helper_args, 1);
    assert_int_equal(o->helper_fds[0], 21);
    assert_int_equal(o->helper_peer, 16);
    order_done(o);
    field_str(&b, FIELD_HELPER_ARG, "x");
    for (int i = 0; i < 5; i++)
        field_u32(&b, FIELD_HELPER_FD, 22);
    assert_true(order_parse(b.data, b.len, o, &e) < 0);
    buf_done(&b);
    free(o);
}

static void refuse(enum field_tag tag, const char *text, unsigned times)
{
    struct buf b;
    struct order *o = malloc(sizeof(*o));
    struct err e = ERR_INIT;

    buf_init(&b, 1 << 20);
    put_good(&b);
    for (unsigned i = 0; i < times; i++)
        field_str(&b, tag, text);
    assert_true(order_parse(b.data, b.len, o, &e) < 0);
    assert_string_equal(e.code, "launch.malformed");
    buf_done(&b);
    free(o);
}

static void test_bad(void **state)
{
    struct order *o = malloc(sizeof(*o));
    struct err e = ERR_INIT;

    assert_true(order_parse("", 0, o, &e) < 0);
    free(o);
    refuse(FIELD_ARG, "x", ORDER_ARGS_MAX);
    refuse(FIELD_ENV, "A=b", ORDER_ENVS_MAX + 1);
    refuse(FIELD_VERB, "x", ORDER_VERBS_MAX);
    refuse(FIELD_CHANNEL, "x=20", ORDER_CHANNELS_MAX);
    refuse(FIELD_CHANNEL, "serial0", 1);
    refuse(FIELD_CHANNEL, "=4", 1);
    refuse(FIELD_CHANNEL, "a=999", 1);
    refuse(FIELD_CHANNEL, "averyveryverylongname=5", 1);
    refuse(FIELD_FD_TARGET, "four", 1); /* four bytes, but a wild number */
    refuse(FIELD_COOKIE, "short", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_helper),
                                       cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
