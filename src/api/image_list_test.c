/* The catalogue of images and files of checksums: what is taken, what is refused, and in which line. */
#include "api/image_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER  "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEX128 HEX64 HEX64
#define ROW    "a qcow2 https://a.example/dir/x.qcow2?v=1 sha256 https://a.example/SUMS"

static struct image_list list;
static char texts[4][65536];

static int add(unsigned slot, const char *text, bool is_own, struct err *e)
{
    *e = (struct err)ERR_INIT;
    memcpy(texts[slot], text, strlen(text) + 1);
    return image_list_add(texts[slot], strlen(text), "FILE", is_own, &list, e);
}

static void what_is_taken(void **state)
{
    struct err e;

    list.n = 0;
    assert_int_equal(
        add(0, "# comment\n\n  \t\nb raw http://b/y.raw.gz sha512 http://b/y.raw.gz.sha512\r\n" ROW, false, &e), 0);
    assert_int_equal(list.n, 2);
    const struct image_row *a = image_list_find(&list, "a"), *b = image_list_find(&list, "b");
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_equal(a, &list.rows[0]);
    assert_string_equal(a->url, "https://a.example/dir/x.qcow2?v=1");
    assert_string_equal(a->sums, "https://a.example/SUMS");
    assert_null(image_compression(a));
    assert_string_equal(image_compression(b), "gz");
    assert_null(image_list_find(&list, "c"));
    /* The administrator's are added, and take the place of others. */
    assert_int_equal(
        add(1, "b qcow2 http://own/z.qcow2.zst sha256 http://own/S\nc raw http://c/z sha384 http://c/S\n", true, &e),
        0);
    assert_int_equal(list.n, 3);
    b = image_list_find(&list, "b");
    assert_true(b->is_own);
    assert_string_equal(b->format, "qcow2");
    assert_string_equal(image_compression(b), "zst");
    assert_false(image_list_find(&list, "a")->is_own);
}

static const struct {
    const char *text, *said;
} wrong[] = {
    {"# one\n\na qcow2 https://a/x sha256\n", "line 3: five words"},
    {ROW "\n" ROW "\n", "line 2: this name is there already"},
    {ROW " more\n", "line 1: there is a sixth word"},
    {"A qcow2 https://a/x sha256 https://a/S", "line 1: a name has"},
    {"../a qcow2 https://a/x sha256 https://a/S", "line 1: a name has"},
    {".a qcow2 https://a/x sha256 https://a/S", "line 1: a name has"},
    {"a..b qcow2 https://a/x sha256 https://a/S", "line 1: a name has"},
    {"a vmdk https://a/x sha256 https://a/S", "line 1: the format is"},
    {"a raw ftp://a/x sha256 https://a/S", "line 1: the third word"},
    {"a raw https://u@a/x sha256 https://a/S", "line 1: the third word"},
    {"a raw https:///x sha256 https://a/S", "line 1: the third word"},
    {"a raw https://a sha256 https://a/S", "line 1: the third word"},
    {"a raw https://a/ sha256 https://a/S", "line 1: the third word"},
    {"a raw https://a/x\x80 sha256 https://a/S", "line 1: the third word"},
    {"a raw https://a/x md5 https://a/S", "line 1: the algorithm is"},
    {"a raw https://a/x sha1 https://a/S", "line 1: the algorithm is"},
    {"a raw https://a/x sha256 file:///etc/passwd", "line 1: the fifth word"},
};

static void what_is_refused(void **state)
{
    struct err e;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        list.n = 0;
        assert_int_equal(add(0, wrong[i].text, false, &e), -EINVAL);
        assert_string_equal(e.code, "image.list");
        if (!str_starts(e.text, "FILE, ") || !str_starts(e.text + 6, wrong[i].said))
            fail_msg("'%s' for '%s'", e.text, wrong[i].text);
    }
    list.n = 0;
    char zero[] = "# a\nb\0c";
    assert_int_equal(image_list_add(zero, sizeof(zero) - 1, "FILE", false, &list, &e), -EINVAL);
    assert_non_null(strstr(e.text, "line 2: there is a zero byte"));
    memset(texts[2], '#', IMAGE_LINE_MAX + 1);
    texts[2][IMAGE_LINE_MAX + 1] = 0;
    assert_int_equal(add(0, texts[2], false, &e), -EINVAL);
    assert_non_null(strstr(e.text, "too long"));
}

static void no_more_rows_than_fit(void **state)
{
    size_t n = 0;
    struct err e;

    for (unsigned i = 0; i <= IMAGE_ROWS_MAX; i++)
        n += (size_t)snprintf(texts[3] + n, sizeof(texts[3]) - n, "i%03u raw http://a/x sha256 http://a/S\n", i);
    list.n = 0;
    assert_int_equal(add(0, texts[3], false, &e), -EINVAL);
    assert_non_null(strstr(e.text, "line 257: too many images"));
    assert_int_equal(list.n, IMAGE_ROWS_MAX);
}

static const struct {
    const char *text, *found; /* NULL: none */
} sums[] = {
    {HEX64 "  x.qcow2\n", HEX64},
    {OTHER "  y.qcow2\n" HEX64 " *x.qcow2\r\n", HEX64},
    {HEX64 "\t./x.qcow2", HEX64},
    {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# x.qcow2: 7 bytes\nSHA256 (x.qcow2) = " HEX64 "\n-----END\n",
     HEX64},
    {"SHA256 (y.qcow2) = " OTHER "\nsha256 (x.qcow2) = " HEX64 "  \n", HEX64},
    {HEX64 "  x.qcow2\n" HEX64 "  x.qcow2\n", HEX64},
    {HEX64 "  x.qcow2\n" OTHER "  x.qcow2\n", NULL},
    {"", NULL},
    {HEX64 "\n", NULL}, /* whose? */
    {HEX64 "  x.qcow2.sig\n", NULL},
    {HEX64 "  dir/x.qcow2\n", NULL},
    {HEX64 "0  x.qcow2\n", NULL},
    {"0123  x.qcow2\n", NULL},
    {HEX128 "  x.qcow2\n", NULL},
    {"SHA512 (x.qcow2) = " HEX64 "\n", NULL},
    {"SHA256 (x.qcow2) = 0" HEX64 "\n", NULL},
    {"SHA256 (x.qcow2) = " HEX64 "0\n", NULL},
    {"SHA256 (", NULL},
    {"<html>404</html>", NULL},
};

static void checksums(void **state)
{
    char found[IMAGE_CHECKSUM_BYTES];
    struct err e;

    list.n = 0;
    assert_int_equal(add(0, ROW, false, &e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
        e = (struct err)ERR_INIT;
        int r = image_checksum_find(&list.rows[0], sums[i].text, strlen(sums[i].text), found, &e);
        if (r != (sums[i].found ? 0 : -EBADMSG))
            fail_msg("%d for '%s'", r, sums[i].text);
        if (r == 0)
            assert_string_equal(found, "sha256:" HEX64);
        else
            assert_string_equal(e.code, "image.checksum");
    }
}

/* A file of one checksum, beside the image. */
static void checksum_of_one(void **state)
{
    static const char *const right[] = {HEX128 "\n", HEX128 "  x-1.2.3.raw\n", "SHA512 (x-1.2.3.raw) = " HEX128};
    static const char *const bad[] = {HEX64 "\n", HEX128 "\n" OTHER HEX64 "\n", ""};
    char found[IMAGE_CHECKSUM_BYTES];
    struct err e;

    list.n = 0;
    assert_int_equal(add(0, "x raw http://b/x.raw sha512 http://b/x.raw.sha512", false, &e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(right); i++) {
        assert_int_equal(image_checksum_find(&list.rows[0], right[i], strlen(right[i]), found, &e), 0);
        assert_string_equal(found, "sha512:" HEX128);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(image_checksum_find(&list.rows[0], bad[i], strlen(bad[i]), found, &e), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken), cmocka_unit_test(what_is_refused), cmocka_unit_test(no_more_rows_than_fit),
        cmocka_unit_test(checksums),     cmocka_unit_test(checksum_of_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
