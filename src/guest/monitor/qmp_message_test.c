/* Unit tests of qmp_message.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest/monitor/qmp_message.h"

static struct qmp_message parse(const char *line)
{
    struct qmp_message m;
    struct err e = ERR_INIT;

    assert_int_equal(qmp_message_parse(line, strlen(line), &m, &e), 0);
    return m;
}

static void test_kinds(void **state)
{
    struct qmp_message m = parse("{\"QMP\": {\"version\": {}, \"capabilities\": []}}");

    assert_int_equal(m.kind, QMP_GREETING);
    qmp_message_done(&m);
    m = parse("{\"return\": {\"status\": \"running\"}, \"id\": 7}");
    assert_int_equal(m.kind, QMP_RETURN);
    assert_int_equal(m.id, 7);
    char text[16];
    qmp_get_text(m.data, "status", text, sizeof(text));
    assert_string_equal(text, "running");
    qmp_get_text(m.data, "nothing", text, sizeof(text));
    assert_string_equal(text, "");
    qmp_message_done(&m);
    m = parse("{\"id\": 8, \"error\": {\"class\": \"GenericError\", \"desc\": \"No\\u001b such\\nthing\"}}");
    assert_int_equal(m.kind, QMP_ERROR);
    assert_string_equal(m.text, "No  such thing");
    qmp_message_done(&m);
    m = parse("{\"event\": \"STOP\", \"timestamp\": {}}");
    assert_int_equal(m.kind, QMP_EVENT);
    assert_string_equal(m.name, "STOP");
    assert_null(m.data);
    qmp_message_done(&m);
    m = parse("{\"event\": 5}");
    assert_int_equal(m.kind, QMP_OTHER);
    qmp_message_done(&m);
}

static void test_bad_lines(void **state)
{
    static const char *const bad[] = {
        "", "x", "[]", "{", "{}x", "{\"id\":1,\"id\":2}", "\"event\"", "{\"a\":\"\xff\"}"};
    struct qmp_message m;
    struct err e = ERR_INIT;
    char deep[200];

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (qmp_message_parse(bad[i], strlen(bad[i]), &m, &e) == 0)
            fail_msg("accepted %s", bad[i]);
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"event\":", 9);
    assert_int_equal(qmp_message_parse(deep, sizeof(deep), &m, &e), -EPROTO);
    autofree char *big = calloc(1, QMP_LINE_MAX + 1);
    memset(big, ' ', QMP_LINE_MAX + 1);
    assert_int_equal(qmp_message_parse(big, QMP_LINE_MAX + 1, &m, &e), -EMSGSIZE);
}

static void test_wrong_types_count_nothing(void **state)
{
    struct qmp_message m =
        parse("{\"return\":[{\"stats\":{\"rd_bytes\":5,\"wr_bytes\":7}},{\"stats\":{\"rd_bytes\":-1}},"
              "{\"stats\":[]},5,{\"stats\":{\"rd_bytes\":\"9\",\"wr_bytes\":1.5}},{},"
              "{\"stats\":{\"rd_bytes\":10,\"wr_bytes\":1}}],\"id\":-3}");
    uint64_t rd, wr;

    qmp_sum_blockstats(m.data, &rd, &wr);
    assert_int_equal(rd, 15);
    assert_int_equal(wr, 8);
    assert_int_equal(m.id, 0);
    assert_false(qmp_get_u64(m.data, "x", &rd));
    qmp_message_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_bad_lines),
                                       cmocka_unit_test(test_wrong_types_count_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
