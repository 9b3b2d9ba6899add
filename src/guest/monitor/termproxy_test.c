/* Unit tests of termproxy.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "guest/monitor/termproxy.h"

/* What the bytes mean, in pieces of `piece` bytes: data as it is, <COLSxROWS>, <alive>. */
static char *meaning(const char *bytes, size_t piece)
{
    struct termproxy t;
    struct termproxy_out out;
    struct buf text;
    size_t n = strlen(bytes);

    termproxy_init(&t);
    buf_init(&text, 1 << 20);
    for (size_t at = 0; at < n; at += piece) {
        const uint8_t *p = (const uint8_t *)bytes + at;
        size_t left = n - at < piece ? n - at : piece;
        while (left) {
            size_t used = termproxy_feed(&t, p, left, &out);
            assert_true(used > 0 && used <= left);
            p += used;
            left -= used;
            if (out.event == TERMPROXY_DATA)
                buf_append(&text, out.data, out.len);
            else if (out.event == TERMPROXY_RESIZE)
                buf_printf(&text, "<%ux%u>", out.columns, out.rows);
            else if (out.event == TERMPROXY_KEEP_ALIVE)
                buf_append_str(&text, "<alive>");
        }
    }
    return buf_take(&text);
}

static void check(const char *bytes, const char *expected)
{
    for (size_t piece = 1; piece <= strlen(bytes) + 1; piece++) {
        char *text = meaning(bytes, piece);
        assert_string_equal(text ? text : "", expected);
        free(text);
    }
}

static void test_messages(void **state)
{
    check("0:5:hello", "hello");
    check("1:80:24:", "<80x24>");
    check("2", "<alive>");
    check("0:2:ab0:1:c1:100:30:2220:3:0:1", "abc<100x30><alive><alive><alive>0:1");
    check("0:0:0:1:x", "x");
    check("0:7:a:b\n\xc3\xa4.", "a:b\n\xc3\xa4.");
}

static void test_other_bytes_are_skipped(void **state)
{
    check("xyz0:1:a", "a");
    check("0:x:0:1:b", "b");
    check("00:1:c", "c");
    check("0::1:80:24:", "<80x24>");
    check("1:0:24:0:1:d", "d");
    check("1:80:", "");
    check("0:-x2", "<alive>");
}

static void test_caps(void **state)
{
    check("0:65537:0:1:a", "a");
    check("0:99999999999:2", "<alive>");
    check("1:99999:2", "<alive>");
    check("1:10000:1:x", "x"); /* the zero that is too much begins a message */
}

static void test_longest_message(void **state)
{
    char *bytes = malloc(TERMPROXY_DATA_MAX + 16);
    int head = snprintf(bytes, 16, "0:%u:", TERMPROXY_DATA_MAX);

    memset(bytes + head, 'x', TERMPROXY_DATA_MAX);
    bytes[head + TERMPROXY_DATA_MAX] = 0;
    char *text = meaning(bytes, 4096);
    assert_int_equal(strlen(text), TERMPROXY_DATA_MAX);
    free(text);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages), cmocka_unit_test(test_other_bytes_are_skipped),
                                       cmocka_unit_test(test_caps), cmocka_unit_test(test_longest_message)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
