/* The request-head parser against tables of good and malicious heads, each also fed byte by byte. */
#include "proto/http1.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int feed_whole(struct http1_head *h, const char *text, size_t n, size_t *used)
{
    struct err e = ERR_INIT;

    *used = 0;
    return http1_head_feed(h, text, n, used, &e);
}

static int feed_bytes(struct http1_head *h, const char *text, size_t n, size_t *used)
{
    struct err e = ERR_INIT;
    int r = 0;

    for (*used = 0; *used < n && r == 0; (*used)++) {
        size_t one = 0;
        r = http1_head_feed(h, text + *used, 1, &one, &e);
    }
    return r;
}

/* status 200 means accepted, 100 means incomplete. */
static const struct {
    const char *text;
    unsigned status;
    const char *path;
} heads[] = {
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/"},
    {"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/"},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET //a///b/ HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/a/b"},
    {"GET /a%2Fb%2f/%20c?x=%zz HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/a/b/ c"},
    {"GET /UPID:n:00:00:00:t:1:root@pam:/log HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/UPID:n:00:00:00:t:1:root@pam:/log"},
    {"GET /%C3%A4 HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/\xc3\xa4"},
    {"GET /%2525 HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/%25"},
    {"GET / HTTP/1.0\r\n\r\n", 200, "/"},
    {"GET / HTTP/1.1\r\nHost: [::1]:8006\r\n\r\n", 200, "/"},
    {"POST / HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/"},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 200, "/"},
    {"GET / HTTP/1.1\r\nHost: h\r\nX:\r\n\r\n", 200, "/"},
    {"GET / HTTP/1.1\r\nHost: h\r\nX: a\tb\xff\r\n\r\n", 200, "/"},
    {"GET / HTTP/1.1\r\nHost: h\r\n", 100, NULL},
    {"", 100, NULL},
    /* smuggling */
    {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 501, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\n", 501, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding:\tchunked\r\n\r\n", 501, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-\r\nEncoding: chunked\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3 \r\n\r\n", 200, "/"},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3 4\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1.5\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400, NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\n X: folded\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\n\tX: folded\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\nHost: h\n\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nX y: z\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nX\xc3: z\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nX: \x01\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nX: \x7f\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: user@h\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nOrigin: a\r\norigin: b\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", 417, NULL},
    /* request line */
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, NULL},
    {"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400, NULL},
    {"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /\tHTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"get / HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"ABCDEFGHIJKLMNOPQRSTUV / HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /\r\n\r\n", 400, NULL},
    {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, NULL},
    {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505, NULL},
    {"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 505, NULL},
    {"GET / http/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET / ICY\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /#f HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    /* path */
    {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /%2 HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /% HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /%0a HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /%7F HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /%c0%af HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /%ed%a0%80 HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /../etc HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /a/%2e%2e/b HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /a/%2E HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /a%2f..%2fb HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL},
    {"GET /... HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/..."},
    {"GET /a..b HTTP/1.1\r\nHost: h\r\n\r\n", 200, "/a..b"},
};

static void check_head(size_t i, int (*feed)(struct http1_head *, const char *, size_t, size_t *))
{
    struct http1_head h;
    size_t used;

    http1_head_init(&h);
    int r = feed(&h, heads[i].text, strlen(heads[i].text), &used);
    unsigned status = r == 1 ? 200 : r == 0 ? 100 : h.status;
    if (status != heads[i].status)
        fail_msg("head %zu: status %u, expected %u:\n%s", i, status, heads[i].status, heads[i].text);
    if (r == 1) {
        assert_string_equal(h.path, heads[i].path);
        assert_int_equal(used, strlen(heads[i].text));
    }
    http1_head_done(&h);
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        check_head(i, feed_whole);
        check_head(i, feed_bytes);
    }
}

static void test_nul_is_refused(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n";
    struct http1_head h;
    size_t used;

    http1_head_init(&h);
    assert_true(feed_whole(&h, text, sizeof(text) - 1, &used) < 0);
    assert_int_equal(h.status, 400);
    http1_head_done(&h);
}

static int feed_headers(struct http1_head *h, size_t count, size_t value_bytes)
{
    autobuf struct buf text;
    size_t used;

    buf_init(&text, 1u << 20);
    buf_append_str(&text, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (size_t i = 1; i < count; i++) {
        buf_printf(&text, "X%zu: ", i);
        for (size_t n = 0; n < value_bytes; n++)
            buf_append_char(&text, 'v');
        buf_append_str(&text, "\r\n");
    }
    buf_append_str(&text, "\r\n");
    return feed_whole(h, text.data, text.len, &used);
}

static void test_limits(void **state)
{
    static const struct {
        size_t count, bytes;
        unsigned status;
    } cases[] = {{64, 1, 200}, {65, 1, 431}, {1000, 1, 431}, {2, 8130, 200}, {2, 8200, 431}, {2, 900000, 431}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http1_head h;
        http1_head_init(&h);
        int r = feed_headers(&h, cases[i].count, cases[i].bytes);
        assert_int_equal(r == 1 ? 200 : h.status, cases[i].status);
        http1_head_done(&h);
    }
}

static void test_results(void **state)
{
    static const char text[] = "POST /a?b=c?d HTTP/1.1\r\nHOST: h:1\r\nContent-Length: 12\r\nX-Y:  z \t\r\n"
                               "Expect: 100-Continue\r\nConnection: Upgrade , close\r\n\r\nrest of it";
    struct http1_head h;
    size_t used;

    http1_head_init(&h);
    assert_false(http1_head_is_begun(&h));
    assert_int_equal(feed_whole(&h, text, sizeof(text) - 1, &used), 1);
    assert_true(http1_head_is_begun(&h));
    assert_string_equal(text + used, "rest of it");
    assert_string_equal(h.method, "POST");
    assert_string_equal(h.target, "/a?b=c?d");
    assert_string_equal(h.query, "b=c?d");
    assert_string_equal(h.host, "h:1");
    assert_string_equal(http1_head_get(&h, "x-y"), "z");
    assert_null(http1_head_get(&h, "X-Y"));
    assert_true(h.has_length && h.content_length == 12 && h.expects_continue && !h.is_keep_alive);
    assert_true(http1_head_has_token(&h, "connection", "upgrade", NULL));
    assert_false(http1_head_has_token(&h, "connection", "up", NULL));
    http1_head_done(&h);
}

static void test_gzip_and_keep_alive(void **state)
{
    static const struct {
        const char *header;
        bool gzip, keep_alive;
    } cases[] = {
        {"Accept-Encoding: gzip", true, true},
        {"Accept-Encoding: br, GZIP;q=0.5", true, true},
        {"Accept-Encoding: gzip;q=0", false, true},
        {"Accept-Encoding: gzip; q=0.000, br", false, true},
        {"Accept-Encoding: gzip;q=0.001", true, true},
        {"Accept-Encoding: xgzip, deflate", false, true},
        {"Accept-Encoding: br\r\nAccept-Encoding: gzip", true, true},
        {"Connection: Close", false, false},
        {"Connection: x, close", false, false},
        {"Connection: keep-alive", false, true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http1_head h;
        char text[200];
        size_t used;
        http1_head_init(&h);
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", cases[i].header);
        assert_int_equal(feed_whole(&h, text, strlen(text), &used), 1);
        assert_int_equal(http1_head_accepts_gzip(&h), cases[i].gzip);
        assert_int_equal(h.is_keep_alive, cases[i].keep_alive);
        http1_head_done(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),   cmocka_unit_test(test_nul_is_refused),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_results), cmocka_unit_test(test_gzip_and_keep_alive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
