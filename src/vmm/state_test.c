/* Records of saved state: what is written reads back, and too little, too much or the wrong length fails and sticks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vmm/state.h"

static void write_all(struct buf *b)
{
    buf_init(b, 4096);
    state_put_u8(b, 0x12);
    state_put_u16(b, 0x3456);
    state_put_u32(b, 0x789abcde);
    state_put_u64(b, 0xfedcba9876543210ull);
    state_put_bytes(b, "name", 4);
    state_put_bytes(b, "", 0);
}

static void read_all(struct state_reader *r)
{
    char name[4];

    if (state_get_u8(r) != 0x12 || state_get_u16(r) != 0x3456 || state_get_u32(r) != 0x789abcde ||
        state_get_u64(r) != 0xfedcba9876543210ull)
        r->is_failed = true;
    state_get_bytes(r, name, 4);
    state_get_bytes(r, name, 0);
    if (!r->is_failed && memcmp(name, "name", 4) != 0)
        r->is_failed = true;
}

static void test_round_trip(void **state)
{
    struct err e = ERR_INIT;
    struct buf b;

    (void)state;
    write_all(&b);
    assert_int_equal(b.len, 1 + 2 + 4 + 8 + 4 + 4 + 4);
    assert_memory_equal(b.data, "\x12\x56\x34\xde\xbc\x9a\x78\x10\x32\x54\x76\x98\xba\xdc\xfe\x04\0\0\0name", 23);
    struct state_reader r = {.at = (uint8_t *)b.data, .end = (uint8_t *)b.data + b.len};
    read_all(&r);
    assert_int_equal(state_reader_end(&r, "it", &e), 0);
    buf_done(&b);
}

/* Each length that is not the right one, at an exact end of memory. */
static void test_cut(void **state)
{
    struct err e = ERR_INIT;
    struct buf b;

    (void)state;
    write_all(&b);
    state_put_u8(&b, 0);
    for (size_t n = 0; n <= b.len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        struct state_reader r = {.at = exact, .end = exact + n};

        memcpy(exact, b.data, n);
        read_all(&r);
        assert_int_equal(state_reader_end(&r, "it", &e) == 0, n == b.len - 1);
        free(exact);
    }
    assert_string_equal(e.code, "state.format");
    buf_done(&b);
}

static void test_lengths(void **state)
{
    uint8_t to[8], bytes[] = {5, 0, 0, 0, 1, 2, 3, 4, 5, 0xff, 0xff, 0xff, 0xff};
    struct state_reader r = {.at = bytes, .end = bytes + sizeof(bytes)};

    (void)state;
    memset(to, 7, sizeof(to));
    state_get_bytes(&r, to, 4);
    assert_true(r.is_failed);
    assert_memory_equal(to, "\0\0\0\0\7\7\7\7", 8);
    assert_int_equal(state_get_u8(&r), 0); /* it sticks */
    r = (struct state_reader){.at = bytes + 9, .end = bytes + sizeof(bytes)};
    state_get_bytes(&r, to, 8);
    assert_true(r.is_failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
