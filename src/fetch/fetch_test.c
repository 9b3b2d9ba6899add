/* holm-fetch's pure parts: where a connection may lead, which URLs are taken, requests, proposed file names, and the
 * sink with its caps. The program itself is tried by tests/hostile/test_download.py. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <zlib.h>

#include <cmocka.h>

#include "fetch/fetch.h"

static bool is_allowed(const char *text, bool is_local)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return fetch_address_is_allowed((struct sockaddr *)&four, is_local);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return fetch_address_is_allowed((struct sockaddr *)&six, is_local);
}

static void test_addresses(void **state)
{
    static const char *const refused[] = {"0.0.0.0",
                                          "0.1.2.3",
                                          "127.0.0.1",
                                          "127.255.255.254",
                                          "169.254.169.254",
                                          "169.254.0.1",
                                          "224.0.0.1",
                                          "239.255.255.250",
                                          "240.0.0.1",
                                          "255.255.255.255",
                                          "100.100.100.200",
                                          "168.63.129.16",
                                          "192.0.0.192",
                                          "::",
                                          "::1",
                                          "::127.0.0.1",
                                          "::ffff:127.0.0.1",
                                          "::ffff:169.254.169.254",
                                          "64:ff9b::7f00:1",
                                          "2002:7f00:1::",
                                          "2002:a9fe:a9fe::1",
                                          "fe80::1",
                                          "febf::1",
                                          "fec0::1",
                                          "ff02::1",
                                          "fd00:ec2::254",
                                          "fd20:ce::254",
                                          "::ffff:0.0.0.0",
                                          "::ffff:224.0.0.1",
                                          "::ffff:0:7f00:1"};
    static const char *const allowed[] = {"10.0.0.1",        "192.168.1.1", "172.16.0.1",   "1.1.1.1",
                                          "126.255.255.255", "128.0.0.1",   "169.253.1.1",  "223.255.255.255",
                                          "2001:db8::1",     "fd00::1",     "2a00:1450::1", "::ffff:8.8.8.8",
                                          "64:ff9b::808:808"};

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (is_allowed(refused[i], false) || !is_allowed(refused[i], true))
            fail_msg("%s", refused[i]);
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        if (!is_allowed(allowed[i], false))
            fail_msg("%s", allowed[i]);
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_false(fetch_address_is_allowed(&other, true));
}

static void test_urls(void **state)
{
    static const char *const good[] = {"http://a/", "HTTPS://a.example:8443/x?y=z", "http://[2001:db8::1]/x",
                                       "http://a/@x"};
    static const char *const bad[] = {"",
                                      "ftp://a/",
                                      "file:///etc/passwd",
                                      "http:/a",
                                      "http://",
                                      "http:///x",
                                      "http://u@a/",
                                      "http://u:p@a/x",
                                      "http://a/ b",
                                      "http://a/\n",
                                      "gopher://a",
                                      "http://a\\b/",
                                      "http://[fe80::1%25lo]/",
                                      "http://%61/",
                                      "http://\xc3\xa4/",
                                      "javascript:1"};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (fetch_url_check(good[i], &e) < 0)
            fail_msg("%s: %s", good[i], e.text);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (fetch_url_check(bad[i], &e) != -EINVAL)
            fail_msg("%s", bad[i]);
}

static int parse(const char *verb, const char *const *args, size_t n_args, uint64_t total, size_t n_fds,
                 struct fetch_request *q, struct err *e)
{
    autobuf struct buf b;
    static const int fds[2] = {7, 8};

    buf_init(&b, 65536);
    field_str(&b, FIELD_VERB, verb);
    for (size_t i = 0; i < n_args; i++)
        field_str(&b, FIELD_ARG, args[i]);
    if (total)
        field_u64(&b, FIELD_TOTAL_BYTES, total);
    return fetch_request_parse(b.data, b.len, fds, n_fds, q, e);
}

static void test_requests(void **state)
{
    static const char *const args[] = {"http://a/b", "md5:00", "gz", "insecure"};
    static const char *const lzo[] = {"http://a/b", "", "lzo", ""};
    struct fetch_request q;
    struct err e = ERR_INIT;

    assert_int_equal(parse("get", args, 4, 100, 2, &q, &e), 0);
    assert_string_equal(q.url, "http://a/b");
    assert_string_equal(q.checksum, "md5:00");
    assert_int_equal(q.packing, FETCH_GZ);
    assert_true(q.is_insecure && !q.is_local_allowed && !q.is_head);
    assert_int_equal(q.ca_fd, 7);
    assert_int_equal(q.out_fd, 8);
    assert_int_equal(parse("head", args, 4, 0, 1, &q, &e), 0);
    assert_true(q.is_head);
    assert_int_equal(parse("get", args, 4, 0, 2, &q, &e), -EPROTO);
    assert_int_equal(parse("get", args, 4, 100, 1, &q, &e), -EPROTO);
    assert_int_equal(parse("head", args, 4, 0, 2, &q, &e), -EPROTO);
    assert_int_equal(parse("get", args, 3, 100, 2, &q, &e), -EPROTO);
    assert_int_equal(parse("put", args, 4, 100, 2, &q, &e), -ENOSYS);
    assert_int_equal(parse("get", lzo, 4, 100, 2, &q, &e), -EINVAL);
    assert_string_equal(e.code, "download.compression");
}

static void test_names(void **state)
{
    static const char *const cases[][2] = {{" attachment; filename=\"a b.iso\"\r\n", "a b.iso"},
                                           {" attachment; FileName=x.iso; a=b", "x.iso"},
                                           {" attachment", ""},
                                           {" filename=\"open", "open"},
                                           {" filename=", ""},
                                           {" filename=\"a\x01z\"", "a"}};
    char name[16];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fetch_disposition_name(cases[i][0], strlen(cases[i][0]), name, sizeof(name));
        assert_string_equal(name, cases[i][1]);
    }
    fetch_disposition_name(" filename=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 42, name, sizeof(name));
    assert_int_equal(strlen(name), 15);
}

/* Runs data through a sink of one byte at a time and of one piece. */
static int run_sink(struct fetch_request q, const uint8_t *data, size_t n, size_t step, uint64_t *ret, struct err *e)
{
    autoclose int fd = memfd_create("sink", MFD_CLOEXEC);
    struct sink *s = NULL;

    q.out_fd = fd;
    int r = sink_new(&q, &s, e);
    for (size_t at = 0; r == 0 && at < n; at += step)
        r = sink_take(s, data + at, n - at < step ? n - at : step, e);
    if (r == 0)
        r = sink_finish(s, ret, e);
    sink_free(s);
    return r;
}

static size_t pack(const void *data, size_t n, uint8_t *dst, size_t cap)
{
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)n;
    z.next_out = dst;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return cap - z.avail_out;
}

static void test_sink(void **state)
{
    const uint8_t *abc = (const uint8_t *)"abc";
    uint8_t packed[400];
    struct err e = ERR_INIT;
    uint64_t bytes = 0;

    for (size_t step = 1; step < 400; step += 398) {
        struct fetch_request q = {.limit_bytes = 100, .checksum = "md5:900150983cd24fb0d6963f7d28e17f72"};
        assert_int_equal(run_sink(q, abc, 3, step, &bytes, &e), 0);
        assert_int_equal(bytes, 3);
        assert_int_equal(run_sink(q, abc, 2, step, &bytes, &e), -EBADMSG);
        assert_string_equal(e.code, "image.checksum");
        q.limit_bytes = 2;
        assert_int_equal(run_sink(q, abc, 3, step, &bytes, &e), -EFBIG);
        q = (struct fetch_request){.limit_bytes = 100, .packing = FETCH_GZ};
        size_t n = pack("hello hello hello", 17, packed, sizeof(packed));
        assert_int_equal(run_sink(q, packed, n, step, &bytes, &e), 0);
        assert_int_equal(bytes, 17);
        memcpy(packed + n, packed, n); /* two members are one file */
        assert_int_equal(run_sink(q, packed, 2 * n, step, &bytes, &e), 0);
        assert_int_equal(bytes, 34);
        assert_int_equal(run_sink(q, packed, n - 1, step, &bytes, &e), -EBADMSG);
        assert_int_equal(run_sink(q, abc, 3, step, &bytes, &e), -EBADMSG);
        q.packing = FETCH_ZST;
        assert_int_equal(run_sink(q, abc, 3, step, &bytes, &e), -EBADMSG);
    }
}

static void test_bomb(void **state)
{
    size_t n = 2 * (size_t)FETCH_BOMB_FREE;
    uint8_t *zeros = calloc(1, n), *packed = malloc(n / 100);
    struct fetch_request q = {.limit_bytes = INT64_MAX, .packing = FETCH_GZ};
    struct err e = ERR_INIT;
    uint64_t bytes = 0;

    assert_true(zeros && packed);
    size_t n_packed = pack(zeros, n, packed, n / 100);
    assert_int_equal(run_sink(q, packed, n_packed, 4096, &bytes, &e), -EFBIG);
    assert_string_equal(e.code, "image.bomb");
    free(zeros);
    free(packed);
}

static void test_checksums(void **state)
{
    static const char *const wrong[] = {"sha256", "sha256:", "sha256:00", "sha3:00",
                                        "md5:zz0150983cd24fb0d6963f7d28e17f72"};
    struct err e = ERR_INIT;
    uint64_t bytes;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct fetch_request q = {.limit_bytes = 10};
        snprintf(q.checksum, sizeof(q.checksum), "%s", wrong[i]);
        assert_int_equal(run_sink(q, (const uint8_t *)"a", 1, 1, &bytes, &e), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_urls), cmocka_unit_test(test_requests),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_sink), cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
