/* Unit tests of output.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "guest/monitor/output.h"

static void expect_text(const char *written, const char *expected)
{
    struct output o;
    char text[OUTPUT_TEXT_MAX + 1];

    output_init(&o, -1);
    output_add(&o, written, strlen(written));
    output_last_text(&o, text);
    assert_string_equal(text, expected);
}

static void test_last_lines(void **state)
{
    expect_text("", "");
    expect_text("\n\n", "");
    expect_text("one\ntwo\n", "one; two");
    expect_text("a\nb\nc\nd", "b; c; d");
    expect_text("2026-11-21T05:36:59.269727Z qemu-system-x86_64: -device x: no such thing\n",
                "-device x: no such thing");
    expect_text("bad\x1b[31m\x07\r\n", "bad [31m ");
}

static void test_long_line_keeps_its_end(void **state)
{
    struct output o;
    char line[1000], text[OUTPUT_TEXT_MAX + 1];

    memset(line, 'x', sizeof(line));
    snprintf(line + sizeof(line) - 20, 20, ": Permission denied");
    output_init(&o, -1);
    output_add(&o, line, sizeof(line) - 1);
    output_last_text(&o, text);
    assert_int_equal(strlen(text), OUTPUT_TEXT_MAX);
    assert_true(str_starts(text, "...") && str_ends(text, ": Permission denied"));
}

static void test_flood_is_capped(void **state)
{
    struct output o;
    char name[] = "/tmp/holm-output-test.XXXXXX", chunk[1000], text[OUTPUT_TEXT_MAX + 1];
    int fd = mkstemp(name);
    struct stat st;

    memset(chunk, 'y', sizeof(chunk));
    output_init(&o, fd);
    for (int i = 0; i < 1000; i++)
        output_add(&o, chunk, sizeof(chunk));
    output_add(&o, "\nthe end\n", 9);
    output_last_text(&o, text);
    assert_string_equal(text, "the end");
    assert_int_equal(stat(name, &st), 0);
    assert_true(st.st_size <= OUTPUT_FILE_BYTES && st.st_size > OUTPUT_FILE_BYTES - 100);
    output_done(&o);
    unlink(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_last_lines),
                                       cmocka_unit_test(test_long_line_keeps_its_end),
                                       cmocka_unit_test(test_flood_is_capped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
