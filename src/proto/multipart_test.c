/* multipart/form-data against a table, in one piece and in pieces of every size. Events are shown as
 * "F name=value|", "B file|", "D" + data, "E|", "$". */
#include "proto/multipart.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FIELD(name, value) "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_HEAD                                                                                                      \
    "--B\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"f.iso\"\r\n"                                 \
    "Content-Type: application/octet-stream\r\n\r\n"

static const struct {
    const char *text, *shown; /* shown NULL: refused */
} bodies[] = {
    {FIELD("content", "iso") FILE_HEAD "data\r\n--B--\r\n", "F content=iso|B f.iso|data|E|$"},
    {FILE_HEAD "\r\n--B--", "B f.iso||E|$"},
    {FILE_HEAD "a\r\n--Bx\r\n--B\r\r\n-\r\n--B--\r\n", NULL},
    {FILE_HEAD "a\r\n--b\r\n-\r\r\n--\r\n--B--\r\n", "B f.iso|a\r\n--b\r\n-\r\r\n--|E|$"},
    {FILE_HEAD "\r\n\r\n\r\r\r\n--B--\r\n", "B f.iso|\r\n\r\n\r\r|E|$"},
    {FIELD("a", "") FIELD("b", "x\ry\nz") "--B--\r\n", "F a=|F b=x\ry\nz|$"},
    {"--B\r\ncontent-disposition:form-data;name=a\r\nContent-Transfer-Encoding: 8bit\r\n\r\n1\r\n--B--", "F a=1|$"},
    {"--B--\r\n", "$"},
    {FILE_HEAD "no end", "B f.iso|no end|"},
    {"", ""},
    /* refused */
    {"x--B\r\n", NULL},
    {"preamble\r\n" FILE_HEAD, NULL},
    {"--B \r\n", NULL},
    {"--B-x", NULL},
    {"--Bx", NULL},
    {"--B--\r\nepilogue", NULL},
    {"--B--x", NULL},
    {"--B\r\n\r\nvalue\r\n--B--", NULL},
    {"--B\r\nX: y\r\n\r\nvalue\r\n--B--", NULL},
    {"--B\r\nno colon\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\r\n--B--",
     NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"a\"; filename=\"x\"\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"filename\"\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"\xff\"\r\n\r\nv\r\n--B--", NULL},
    {"--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64\r\n\r\nv\r\n--B--", NULL},
    {FILE_HEAD "a\r\n" FIELD("late", "x") "--B--", NULL},
    {FILE_HEAD "a\r\n" FILE_HEAD "b\r\n--B--", NULL},
};

static void note(struct multipart *m, int event, struct buf *out, int *last)
{
    if (*last == MULTIPART_FILE_DATA && event != MULTIPART_FILE_DATA && event != MULTIPART_MORE)
        buf_append_char(out, '|');
    if (event == MULTIPART_FIELD)
        buf_printf(out, "F %s=%s|", m->name, buf_str(&m->value));
    else if (event == MULTIPART_FILE_BEGIN)
        buf_printf(out, "B %s|", m->file_name);
    else if (event == MULTIPART_FILE_DATA)
        buf_append(out, m->data, m->data_len);
    else if (event == MULTIPART_FILE_END)
        buf_append_str(out, *last == MULTIPART_FILE_BEGIN ? "|E|" : "E|");
    else if (event == MULTIPART_END)
        buf_append_char(out, '$');
    if (event != MULTIPART_MORE)
        *last = event;
}

static int parse(const char *text, size_t n, size_t piece, struct buf *out)
{
    struct multipart m;
    struct err e = ERR_INIT;
    int last = -1;
    int r = multipart_init(&m, "Multipart/Form-Data; boundary=B", &e);

    assert_int_equal(r, 0);
    for (size_t at = 0; at < n && r >= 0;) {
        size_t used = 0, len = n - at < piece ? n - at : piece;
        r = multipart_feed(&m, text + at, len, &used, &e);
        if (r >= 0)
            note(&m, r, out, &last);
        at += used;
    }
    if (r >= 0 && last == MULTIPART_FILE_DATA)
        buf_append_char(out, '|');
    multipart_done(&m);
    return r;
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        size_t n = strlen(bodies[i].text);
        for (size_t piece = 1; piece <= n + 1; piece++) {
            autobuf struct buf out;
            buf_init(&out, 65536);
            int r = parse(bodies[i].text, n, piece, &out);
            if ((r >= 0) != (bodies[i].shown != NULL))
                fail_msg("body %zu in pieces of %zu: %d", i, piece, r);
            if (r >= 0)
                assert_string_equal(buf_str(&out), bodies[i].shown);
        }
    }
}

static void test_content_types(void **state)
{
    static const struct {
        const char *type;
        bool is_fine;
    } cases[] = {
        {"multipart/form-data; boundary=abc", true},
        {"multipart/form-data; charset=x; boundary=\"a/b\"", true},
        {"multipart/form-data", false},
        {"multipart/mixed; boundary=a", false},
        {"multipart/form-dataX; boundary=a", false},
        {"multipart/form-data; boundary=", false},
        {"multipart/form-data; boundary=\"a b\"", false},
        {"multipart/form-data; boundary=\"a\x01\"", false},
        {"multipart/form-data; boundary=a; boundary=b", false},
        {"multipart/form-data; boundary=1234567890123456789012345678901234567890123456789012345678901234567890", true},
        {"multipart/form-data; boundary=12345678901234567890123456789012345678901234567890123456789012345678901",
         false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct multipart m;
        struct err e = ERR_INIT;
        assert_int_equal(multipart_init(&m, cases[i].type, &e) == 0, cases[i].is_fine);
        multipart_done(&m);
    }
}

/* before, then n bytes, then after: the result of parsing it. */
static int parse_sized(const char *before, size_t n, const char *after)
{
    autobuf struct buf text, out;

    buf_init(&text, 1u << 20);
    buf_init(&out, 1u << 20);
    buf_append_str(&text, before);
    for (size_t i = 0; i < n; i++)
        buf_append_char(&text, 'x');
    buf_append_str(&text, after);
    return parse(text.data, text.len, 4096, &out);
}

static void test_limits(void **state)
{
    static const char field[] = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
    static const char head[] = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\nX: ";
    autobuf struct buf many, out;

    assert_true(parse_sized(field, 65536, "\r\n--B--") >= 0);
    assert_true(parse_sized(field, 65537, "\r\n--B--") < 0);
    assert_true(parse_sized(head, 8000, "\r\n\r\n\r\n--B--") >= 0);
    assert_true(parse_sized(head, 8192, "\r\n\r\n\r\n--B--") < 0);
    assert_true(parse_sized("--B\r\nContent-Disposition: form-data; name=\"", 300, "\"\r\n\r\n\r\n--B--") < 0);
    assert_true(parse_sized("--B\r\nContent-Disposition: form-data; name=\"a\"; x=", 2000, "\r\n\r\n\r\n--B--") < 0);
    buf_init(&many, 1u << 20);
    buf_init(&out, 1u << 20);
    for (size_t i = 0; i < 65; i++)
        buf_append_str(&many, FIELD("a", "1"));
    assert_true(parse(many.data, many.len, 100, &out) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_content_types),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
