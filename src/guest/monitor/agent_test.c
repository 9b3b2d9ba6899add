/* Unit tests of agent_message.c: what a guest may say in place of its agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "guest/monitor/agent_message.h"

static int body_of(const char *line, enum agent_mode mode, struct buf *out, bool *ret_is_eof)
{
    struct agent_message m;
    struct err e = ERR_INIT;
    int r = agent_message_parse(line, strlen(line), &m, &e);

    buf_init(out, 1 << 20);
    if (r < 0)
        return r;
    r = m.kind == AGENT_RETURN ? agent_message_body(&m, mode, out, ret_is_eof, &e) : -EIO;
    agent_message_done(&m);
    return r;
}

static void check_body(const char *line, enum agent_mode mode, const char *expected)
{
    autobuf struct buf b;
    bool is_eof;

    assert_int_equal(body_of(line, mode, &b, &is_eof), 0);
    assert_string_equal(buf_str(&b), expected);
    assert_true(mode == AGENT_READ || json_is_value(buf_str(&b), b.len, 24));
}

static void test_answers(void **state)
{
    autobuf struct buf b;
    bool is_eof = false;

    check_body("{\"return\": {\"name\" : \"Debian\", \"n\": [1, 2.5, null, true]}}", AGENT_JSON,
               "{\"name\":\"Debian\",\"n\":[1,2.5,null,1]}");
    check_body("{\"return\": [false, {\"a\": [true]}]}", AGENT_JSON, "[0,{\"a\":[1]}]");
    check_body("{\"return\": 7}", AGENT_JSON, "7");
    check_body("{\"return\":{\"exited\":true,\"exitcode\":3,\"out-data\":\"aGkK5A==\",\"out-truncated\":false}}",
               AGENT_EXEC, "{\"exited\":1,\"exitcode\":3,\"out-data\":\"hi\\n\xc3\xa4\",\"out-truncated\":0}");
    check_body("{\"return\":{\"exited\":false}}", AGENT_EXEC, "{\"exited\":0}");
    assert_int_equal(body_of("{\"return\":{\"count\":3,\"buf-b64\":\"AGEK\",\"eof\":true}}", AGENT_READ, &b, &is_eof),
                     0);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "\0a\n", 3);
    assert_true(is_eof);
}

static void test_base64(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } cases[] = {{"", ""},       {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}, {"YWJjZA==", "abcd"},
                 {"YQ=", NULL},  {"YQ", NULL},  {"====", NULL}, {"Y===", NULL},  {"YW==YWJj", NULL},
                 {"Y Q=", NULL}, {"YW-j", NULL}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autobuf struct buf b;
        bool is_eof;
        char line[80];
        snprintf(line, sizeof(line), "{\"return\":{\"buf-b64\":\"%s\"}}", cases[i].text);
        int r = body_of(line, AGENT_READ, &b, &is_eof);
        if ((r == 0) != (cases[i].bytes != NULL))
            fail_msg("'%s': %d", cases[i].text, r);
        if (r == 0)
            assert_string_equal(buf_str(&b), cases[i].bytes);
    }
}

static void test_hostile(void **state)
{
    static const char *const bad[] = {"", "x", "[]", "{", "{}x", "{\"return\":1,\"return\":2}", "{\"a\":\"\xff\"}"};
    struct agent_message m;
    struct err e = ERR_INIT;
    char deep[200] = "{\"return\":";

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (agent_message_parse(bad[i], strlen(bad[i]), &m, &e) == 0)
            fail_msg("accepted %s", bad[i]);
    memset(deep + 10, '[', sizeof(deep) - 10);
    assert_int_equal(agent_message_parse(deep, sizeof(deep), &m, &e), -EPROTO);
    autofree char *wide = malloc(AGENT_LINE_MAX);
    assert_non_null(wide);
    for (size_t i = 0; i < AGENT_LINE_MAX; i++)
        wide[i] = "{},"[i % 3];
    memcpy(wide, "{\"return\":[", 11);
    assert_int_equal(agent_message_parse(wide, AGENT_LINE_MAX, &m, &e), -EMSGSIZE);
    assert_null(m.root);
    autofree char *big = calloc(1, AGENT_LINE_MAX + 1);
    memset(big, ' ', AGENT_LINE_MAX + 1);
    assert_int_equal(agent_message_parse(big, AGENT_LINE_MAX + 1, &m, &e), -EMSGSIZE);
    assert_int_equal(agent_message_parse("{\"error\":{\"desc\":\"a\\u001bb\\n\"}}", 31, &m, &e), 0);
    assert_int_equal(m.kind, AGENT_ERROR);
    assert_string_equal(m.text, "a b ");
    assert_false(agent_message_is_sync(&m, 0));
    agent_message_done(&m);
    assert_int_equal(agent_message_parse("{\"error\":7}", 11, &m, &e), 0);
    assert_int_equal(m.kind, AGENT_OTHER);
    agent_message_done(&m);
}

static void test_sync(void **state)
{
    struct agent_message m;
    struct err e = ERR_INIT;

    assert_int_equal(agent_message_parse("{\"return\": 12345}", 17, &m, &e), 0);
    assert_true(agent_message_is_sync(&m, 12345));
    assert_false(agent_message_is_sync(&m, 1234));
    agent_message_done(&m);
    assert_int_equal(agent_message_parse("{\"return\": \"12345\"}", 19, &m, &e), 0);
    assert_false(agent_message_is_sync(&m, 12345));
    agent_message_done(&m);
}

/* Lines in pieces of every size; 0xff throws away what came before it. */
static void test_lines(void **state)
{
    static const char stream[] = "rest of old\xff{\"return\":1}\n{}\nhalf";

    for (size_t piece = 1; piece < sizeof(stream); piece++) {
        struct agent_lines l;
        char seen[64] = "";
        agent_lines_init(&l);
        for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
            const uint8_t *p = (const uint8_t *)stream + at;
            size_t left = sizeof(stream) - 1 - at < piece ? sizeof(stream) - 1 - at : piece;
            while (left) {
                bool is_complete;
                size_t used = agent_lines_feed(&l, p, left, &is_complete);
                p += used;
                left -= used;
                if (!is_complete)
                    continue;
                snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "<%s>", buf_str(&l.line));
                agent_lines_reset(&l);
            }
        }
        assert_string_equal(seen, "<{\"return\":1}><{}>");
        agent_lines_done(&l);
    }
}

static void test_endless_line(void **state)
{
    struct agent_lines l;
    uint8_t junk[65536];
    bool is_complete = false;

    memset(junk, 'x', sizeof(junk));
    agent_lines_init(&l);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(agent_lines_feed(&l, junk, sizeof(junk), &is_complete), sizeof(junk));
        assert_false(is_complete);
        assert_true(l.line.cap <= 2 * AGENT_LINE_MAX);
    }
    assert_int_equal(agent_lines_feed(&l, (const uint8_t *)"\n", 1, &is_complete), 1);
    assert_true(is_complete && l.is_too_long && l.line.len == 0);
    agent_lines_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_base64),
                                       cmocka_unit_test(test_hostile), cmocka_unit_test(test_sync),
                                       cmocka_unit_test(test_lines),   cmocka_unit_test(test_endless_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
