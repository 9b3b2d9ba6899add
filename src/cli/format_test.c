/* Values for people, cleaning for terminals, suggestions. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cli/follow_priv.h"
#include "cli/output_priv.h"
#include "cli/text_priv.h"

static void expect_formatted(const char *key, const char *json, bool is_exact, const char *wanted)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    struct buf b;

    buf_init(&b, 4096);
    format_value(key, value, is_exact, &b);
    assert_string_equal(buf_str(&b), wanted);
    buf_done(&b);
    json_decref(value);
}

static void values_are_humanised(void **state)
{
    expect_formatted("mem", "0", false, "0 B");
    expect_formatted("mem", "1023", false, "1023 B");
    expect_formatted("mem", "1024", false, "1 KiB");
    expect_formatted("mem", "1610612736", false, "1.5 GiB");
    expect_formatted("maxdisk", "9223372036854775807", false, "8 EiB");
    expect_formatted("maxdisk", "-1", false, "-1 B");
    expect_formatted("mem", "1048575", false, "1 MiB"); /* not 1024.0 KiB */
    expect_formatted("uptime", "93784", false, "1d 02:03:04");
    expect_formatted("uptime", "-5", false, "-5");
    expect_formatted("cpu", "0.125", false, "12.5%");
    expect_formatted("cpu", "\"host\"", false, "host");
    expect_formatted("enable", "1", false, "yes");
    expect_formatted("expire", "0", false, "never");
    expect_formatted("starttime", "1e12", false, "1000000000000");
    expect_formatted("vmid", "100", false, "100");
    expect_formatted("x", "null", false, "");
    expect_formatted("x", "true", false, "yes");
    expect_formatted("x", "[1,\"a\",{\"id\":\"qemu/1\"},{\"z\":1}]", false, "1, a, qemu/1, {\"z\":1}");
    expect_formatted("mem", "1610612736", true, "1610612736");
    expect_formatted("cpu", "0.1", true, "0.1");
}

static void expect_clean(const char *in, size_t n, const char *wanted)
{
    struct buf b;

    buf_init(&b, 4096);
    text_append_clean(&b, in, n);
    assert_string_equal(buf_str(&b), wanted);
    buf_done(&b);
}

#define BAD "\xEF\xBF\xBD"

static void text_is_cleaned(void **state)
{
    expect_clean("grün €", strlen("grün €"), "grün €");
    expect_clean("a\x1b[2Jb", 6, "a" BAD "[2Jb");
    expect_clean("a\tb\nc\0d", 7, "a b c" BAD "d");
    expect_clean("\x7f\xc2\x9b\xe2\x80\xae", 6, BAD BAD BAD);
    expect_clean("\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", 10, BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD);
    expect_clean("\xe2\x82", 2, BAD BAD); /* cut */
    expect_clean("", 0, "");
}

static void json_is_escaped(void **state)
{
    struct buf b;
    const char *json = "{\"a\":\"\x7f\xc2\x9bx\xe2\x80\xae\"}";

    buf_init(&b, 4096);
    text_append_json(&b, json, strlen(json));
    assert_string_equal(buf_str(&b), "{\"a\":\"\\u007F\\u009Bx\\u202E\"}");
    buf_done(&b);
}

static void width_counts_columns(void **state)
{
    assert_int_equal(text_width("grün"), 4);
    assert_int_equal(text_fit("grün", 3), 4);
    assert_int_equal(text_fit("abc", 10), 3);
    assert_int_equal(text_fit("abc", 0), 0);
}

static const char *nearest(const char *word)
{
    struct suggest s;

    suggest_init(&s, word);
    for (size_t i = 0; i < noun_count; i++)
        suggest_offer(&s, noun_table[i].name);
    return suggest_result(&s);
}

static void suggestions(void **state)
{
    assert_string_equal(nearest("tsak"), "task");
    assert_string_equal(nearest("storrage"), "storage");
    assert_string_equal(nearest("vmm"), "vm");
    assert_null(nearest("elephant"));
    assert_null(nearest(""));
    assert_null(nearest("a-word-that-is-much-longer-than-any-name-of-a-command"));
}

static void upids(void **state)
{
    char node[UPID_TEXT_MAX];

    assert_true(upid_is_valid("UPID:n1:00000001:00000002:65000000:qmstart:100:root@pam:"));
    upid_node("UPID:n1:00000001:00000002:65000000:qmstart:100:root@pam:", node, sizeof(node));
    assert_string_equal(node, "n1");
    assert_true(upid_is_valid("UPID:n1:00000001:00000002:65000000:imgcopy::root@pam!t:"));
    assert_false(upid_is_valid("UPID:"));
    assert_false(upid_is_valid("UPID::1:2:3:a:b:c:"));
    assert_false(upid_is_valid("UPID:n1:1:2:3:a:b:c"));
    assert_false(upid_is_valid("UPID:n/1:1:2:3:a:b:c:"));
    assert_false(upid_is_valid("UPID:n1:1:2:3:a\n:b:c:"));
    assert_false(upid_is_valid("100"));
}

static void passwords_are_known(void **state)
{
    assert_true(args_key_is_secret("cipassword"));
    assert_false(args_key_is_secret("name"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_humanised), cmocka_unit_test(text_is_cleaned), cmocka_unit_test(json_is_escaped),
        cmocka_unit_test(width_counts_columns), cmocka_unit_test(suggestions),     cmocka_unit_test(upids),
        cmocka_unit_test(passwords_are_known),
    };

    (void)!setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
