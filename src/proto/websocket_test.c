/* WebSocket rules: frames built by hand, fed whole and byte by byte. */
#include "proto/websocket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"

struct seen {
    struct buf data, sent;
};

static void on_data(void *arg, const uint8_t *p, size_t n)
{
    buf_append(&((struct seen *)arg)->data, p, n);
}

static void on_send(void *arg, const uint8_t *p, size_t n)
{
    buf_append(&((struct seen *)arg)->sent, p, n);
}

static const struct websocket_ops ops = {.on_data = on_data, .send = on_send};

/* A masked frame; first is FIN, RSV and opcode, len_form 0 chooses the shortest length. */
static void add_frame(struct buf *b, unsigned first, const void *p, size_t n, unsigned len_form, bool is_masked)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t flag = is_masked ? 0x80 : 0;

    if (len_form == 0)
        len_form = n < 126 ? 1 : n < 65536 ? 126 : 127;
    buf_append_char(b, (char)first);
    buf_append_char(b, (char)(flag | (len_form == 1 ? n : len_form)));
    for (int i = len_form == 126 ? 1 : len_form == 127 ? 7 : -1; i >= 0; i--)
        buf_append_char(b, (char)((uint64_t)n >> (8 * i)));
    if (is_masked)
        buf_append(b, mask, 4);
    for (size_t i = 0; i < n; i++)
        buf_append_char(b, (char)(((const uint8_t *)p)[i] ^ (is_masked ? mask[i % 4] : 0)));
}

static int feed(const struct buf *in, size_t piece, struct seen *seen)
{
    struct err e = ERR_INIT;
    struct websocket *w = websocket_new(&ops, seen);
    int r = 0;

    buf_init(&seen->data, 1u << 20);
    buf_init(&seen->sent, 1u << 20);
    assert_non_null(w);
    for (size_t at = 0; at < in->len && r == 0; at += piece)
        r = websocket_feed(w, in->data + at, in->len - at < piece ? in->len - at : piece, &e);
    websocket_free(w);
    return r;
}

static const struct {
    unsigned first;
    const char *payload;
    unsigned len_form;
    bool is_unmasked;
    int r;
    const char *data, *sent;
    size_t sent_len;
} frames[] = {
    {0x82, "hello", 0, false, 0, "hello", "", 0},
    {0x81, "text", 0, false, 0, "text", "", 0},
    {0x82, "", 0, false, 0, "", "", 0},
    {0x89, "ping", 0, false, 0, "", "\x8a\x04ping", 6},
    {0x89, "", 0, false, 0, "", "\x8a\x00", 2},
    {0x8a, "pong", 0, false, 0, "", "", 0},
    {0x88, "", 0, false, 1, "", "\x88\x00", 2},
    {0x88, "\x03\xe8", 0, false, 1, "", "\x88\x02\x03\xe8", 4},
    {0x88, "\x0f\xa0why", 0, false, 1, "", "\x88\x02\x0f\xa0", 4},
    {0x88, "\x03", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x88, "\x03\xed", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x88, "\x01\x01", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x82, "hello", 0, true, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x02, "hello", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x80, "hello", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0xc2, "hello", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0xa2, "hello", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x92, "hello", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x83, "hello", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x8b, "hello", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x09, "ping", 0, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x82, "hello", 126, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
    {0x82, "hello", 127, false, -EPROTO, "", "\x88\x02\x03\xea", 4},
};

static void test_frames(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
        for (size_t piece = 1; piece < 30; piece += 28) {
            autobuf struct buf in;
            struct seen seen;
            buf_init(&in, 1u << 20);
            add_frame(&in, frames[i].first, frames[i].payload, strlen(frames[i].payload), frames[i].len_form,
                      !frames[i].is_unmasked);
            int r = feed(&in, piece, &seen);
            if (r != frames[i].r || seen.sent.len != frames[i].sent_len)
                fail_msg("frame %zu: %d, sent %zu bytes", i, r, seen.sent.len);
            assert_string_equal(buf_str(&seen.data), frames[i].data);
            assert_memory_equal(buf_str(&seen.sent), frames[i].sent, frames[i].sent_len);
            buf_done(&seen.data);
            buf_done(&seen.sent);
        }
}

static void test_sizes(void **state)
{
    static const struct {
        size_t n;
        int r;
    } cases[] = {{125, 0}, {126, 0}, {65535, 0}, {65536, 0}, {131072, 0}, {131073, -EPROTO}};
    static uint8_t payload[131073];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autobuf struct buf in;
        struct seen seen;
        buf_init(&in, 1u << 20);
        add_frame(&in, 0x82, payload, cases[i].n, 0, true);
        assert_int_equal(feed(&in, 5000, &seen), cases[i].r);
        if (cases[i].r == 0)
            assert_int_equal(seen.data.len, cases[i].n);
        buf_done(&seen.data);
        buf_done(&seen.sent);
    }
}

static void test_long_control_frame(void **state)
{
    autobuf struct buf in;
    struct seen seen;
    uint8_t payload[200] = {0};

    buf_init(&in, 4096);
    add_frame(&in, 0x89, payload, 126, 0, true);
    assert_int_equal(feed(&in, 4096, &seen), -EPROTO);
    buf_done(&seen.data);
    buf_done(&seen.sent);
}

static void test_several_frames_in_one_piece(void **state)
{
    autobuf struct buf in;
    struct seen seen;

    buf_init(&in, 4096);
    add_frame(&in, 0x82, "ab", 2, 0, true);
    add_frame(&in, 0x89, "p", 1, 0, true);
    add_frame(&in, 0x81, "cd", 2, 0, true);
    add_frame(&in, 0x88, "", 0, 0, true);
    assert_int_equal(feed(&in, 4096, &seen), 1);
    assert_string_equal(buf_str(&seen.data), "abcd");
    buf_done(&seen.data);
    buf_done(&seen.sent);
}

static void test_send(void **state)
{
    struct seen seen;
    static uint8_t big[70000];

    buf_init(&seen.data, 1u << 20);
    buf_init(&seen.sent, 1u << 20);
    struct websocket *w = websocket_new(&ops, &seen);
    assert_int_equal(websocket_send_binary(w, "abc", 3), 0);
    assert_int_equal(websocket_send_ping(w), 0);
    assert_memory_equal(seen.sent.data,
                        "\x82\x03"
                        "abc\x89\x00",
                        7);
    buf_reset(&seen.sent);
    assert_int_equal(websocket_send_binary(w, big, sizeof(big)), 0);
    assert_int_equal(seen.sent.len, sizeof(big) + 10);
    assert_memory_equal(seen.sent.data, "\x82\x7f\0\0\0\0\0\x01\x11\x70", 10);
    buf_reset(&seen.sent);
    assert_int_equal(websocket_send_close(w, WEBSOCKET_GOING_AWAY), 0);
    assert_int_equal(websocket_send_binary(w, "late", 4), 0);
    assert_int_equal(websocket_send_close(w, 1000), 0);
    assert_int_equal(seen.sent.len, 4);
    websocket_free(w);
    websocket_free(NULL);
    buf_done(&seen.data);
    buf_done(&seen.sent);
}

static void test_keys(void **state)
{
    assert_true(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_false(websocket_key_is_valid(""));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZQ="));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZR=="));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZQ==="));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25j*Q=="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_long_control_frame),
        cmocka_unit_test(test_several_frames_in_one_piece),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
