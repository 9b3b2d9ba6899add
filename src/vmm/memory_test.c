/* Guest memory: which (address, length) pairs are RAM, what a range given back reads as, files that end early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "vmm/memory.h"

#define MIB (1ull << 20)

static void test_regions(void **state)
{
    struct err e = ERR_INIT;
    struct memory m;

    (void)state;
    assert_int_equal(memory_init(&m, 48 * MIB, 32 * MIB, 0, &e), 0);
    assert_int_equal(m.n_regions, 2);
    assert_int_equal(m.regions[1].gpa, 1ull << 32);
    assert_int_equal(m.regions[1].size_bytes, 16 * MIB);
    static const struct {
        uint64_t gpa, length;
        bool is_ram;
    } cases[] = {
        {0, 1, true},
        {0, 0, false},
        {0, 32 * MIB, true},
        {0, 32 * MIB + 1, false},
        {32 * MIB - 1, 1, true},
        {32 * MIB - 1, 2, false},
        {32 * MIB, 1, false},
        {(1ull << 32) - 1, 1, false},
        {(1ull << 32) - 1, 2, false},
        {1ull << 32, 16 * MIB, true},
        {(1ull << 32) + 16 * MIB, 1, false},
        {UINT64_MAX, 1, false},
        {UINT64_MAX, 2, false},
        {1, UINT64_MAX, false},
        {1ull << 32, UINT64_MAX, false},
        {UINT64_MAX - 1, 3, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(memory_at(&m, cases[i].gpa, cases[i].length) != NULL, cases[i].is_ram);
    memory_done(&m);
    assert_null(memory_at(&m, 0, 1));
    assert_int_equal(memory_init(&m, 0, 32 * MIB, 0, &e), -EINVAL);
    assert_int_equal(memory_init(&m, 4097, 32 * MIB, 0, &e), -EINVAL);
    assert_int_equal(memory_init(&m, 3 * MIB, 32 * MIB, 2 * MIB, &e), -EINVAL);
    assert_string_equal(e.code, "memory.size");
    assert_int_equal(memory_init(&m, 1ull << 62, 1ull << 31, 0, &e), -ENOMEM);
    assert_int_equal(m.n_regions, 0);
}

static void test_copies(void **state)
{
    struct err e = ERR_INIT;
    uint8_t bytes[16];
    struct memory m;

    (void)state;
    assert_int_equal(memory_init(&m, MIB, 32 * MIB, 0, &e), 0);
    assert_int_equal(memory_write(&m, MIB - 4, "abcdefgh", 8), -EFAULT);
    assert_int_equal(memory_read(&m, MIB - 4, bytes, 4), 0);
    assert_memory_equal(bytes, "\0\0\0\0", 4); /* nothing of it */
    assert_int_equal(memory_write(&m, MIB - 4, "abcd", 4), 0);
    assert_int_equal(memory_read(&m, MIB - 3, bytes, 3), 0);
    assert_memory_equal(bytes, "bcd", 3);
    assert_int_equal(memory_read(&m, MIB - 3, bytes, 4), -EFAULT);
    memory_done(&m);
}

static void test_load(void **state)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct err e = ERR_INIT;
    struct memory m;

    (void)state;
    assert_true(fd >= 0 && write(fd, "0123456789", 10) == 10);
    assert_int_equal(memory_init(&m, MIB, 32 * MIB, 0, &e), 0);
    assert_int_equal(memory_load(&m, 100, fd, 3, 7), 0);
    assert_memory_equal(memory_at(&m, 100, 8), "3456789", 8);
    assert_int_equal(memory_load(&m, 100, fd, 3, 8), -ENODATA);
    assert_int_equal(memory_load(&m, MIB - 1, fd, 0, 2), -EFAULT);
    assert_int_equal(memory_load(&m, MIB, fd, 0, 0), 0);
    assert_int_equal(memory_load(&m, 0, fd, -1, 2), -EINVAL);
    close(fd);
    assert_int_equal(memory_load(&m, 0, fd, 0, 2), -EBADF);
    memory_done(&m);
}

static void test_discard(void **state)
{
    struct err e = ERR_INIT;
    struct memory m;
    uint8_t *p;

    (void)state;
    assert_int_equal(memory_init(&m, MIB, 32 * MIB, 0, &e), 0);
    p = memory_at(&m, 0, MIB);
    memset(p, 'x', 5 * 4096);
    /* Whole pages only: the second and third. */
    assert_int_equal(memory_discard(&m, 1, 3 * 4096), 0);
    assert_int_equal(p[4095], 'x');
    assert_int_equal(p[4096], 0);
    assert_int_equal(p[3 * 4096 - 1], 0);
    assert_int_equal(p[3 * 4096], 'x');
    assert_int_equal(memory_discard(&m, 10, 100), 0);
    assert_int_equal(p[10], 'x');
    assert_int_equal(memory_discard(&m, MIB - 4096, 8192), -EFAULT);
    assert_int_equal(memory_discard(&m, UINT64_MAX - 10, 8192), -EFAULT);
    assert_int_equal(memory_discard(&m, 4096, UINT64_MAX), -EFAULT);
    assert_int_equal(memory_discard(&m, UINT64_MAX - 10, 5), -EFAULT);
    memory_clear(&m);
    assert_int_equal(p[0], 0);
    memory_done(&m);
}

/* Where the host takes nothing back (here: the memory begins within a page), it is cleared all the same. */
static void test_clear_what_stays(void **state)
{
    static _Alignas(4096) uint8_t bytes[8192 + 16];
    struct memory m;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    memory_init_fake(&m, 0, bytes + 16, 8192);
    memory_clear(&m);
    assert_int_equal(bytes[15], 'x');
    for (unsigned i = 16; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions), cmocka_unit_test(test_copies),           cmocka_unit_test(test_load),
        cmocka_unit_test(test_discard), cmocka_unit_test(test_clear_what_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
