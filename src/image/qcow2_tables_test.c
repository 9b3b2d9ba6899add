/* Tables of qcow2 images that lead nowhere, in circles or to too much are refused, sound ones are not. What QEMU says
 * to the same: tests/hostile/test_images.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>

#include "image/qcow2.h"

#define CLUSTER    65536u
#define N_CLUSTERS 8u

/* Clusters: header, refcount table, refcount block, L1, two L2 tables, two of data. */
enum place {
    REFTABLE = 1 * CLUSTER,
    L1 = 3 * CLUSTER,
    L2 = 4 * CLUSTER,
    L2B = 5 * CLUSTER,
    DATA = 6 * CLUSTER,
    DATAB = 7 * CLUSTER,
    END = N_CLUSTERS * CLUSTER
};
#define COPIED     (UINT64_C(1) << 63)
#define COMPRESSED (UINT64_C(1) << 62)

static uint8_t image[END];

static int write_memory(void *arg, uint64_t offset, const void *data, size_t n, struct err *e)
{
    assert_true(offset + n <= sizeof(image));
    memcpy(image + offset, data, n);
    return 0;
}

static int read_memory(void *arg, uint64_t offset, void *data, size_t n, struct err *e)
{
    const uint64_t *fails_at = arg;

    if (offset == *fails_at)
        return err_set(e, -EIO, NULL, "broken");
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)data)[i] = offset + i < sizeof(image) ? image[offset + i] : 0;
    return 0;
}

static void put64(uint64_t at, uint64_t v)
{
    v = htobe64(v);
    memcpy(image + at, &v, sizeof(v));
}

/* 1 GiB: two entries of L1. */
static void make(void)
{
    struct err e = ERR_INIT;

    memset(image, 0, sizeof(image));
    assert_int_equal(qcow2_write_empty(UINT64_C(1) << 30, write_memory, NULL, &e), 0);
    put64(L1, L2 | COPIED);
    put64(L1 + 8, L2B | COPIED);
    put64(L2, DATA | COPIED);
    put64(L2B + 800, DATAB | COPIED);
}

static int check(uint64_t file_bytes, uint64_t fails_at, struct err *e)
{
    struct qcow2_info info;

    int r = qcow2_header_parse(image, QCOW2_HEADER_BYTES, file_bytes, &info, e);
    return r < 0 ? r : qcow2_tables_check(&info, file_bytes, read_memory, &fails_at, e);
}

struct row {
    const char *name;
    struct {
        uint64_t at, value;
    } patch[2];
    const char *code; /* "": sound */
};

static void try(const struct row *row, bool is_v2)
{
    struct err e = ERR_INIT;

    make();
    image[7] = is_v2 ? 2 : 3;
    for (size_t i = 0; i < ARRAY_SIZE(row->patch); i++)
        if (row->patch[i].at)
            put64(row->patch[i].at, row->patch[i].value);
    int r = check(END, UINT64_MAX, &e);
    if (!streq(e.code, row->code) || (r == 0) != !row->code[0])
        fail_msg("%s: %d %s %s", row->name, r, e.code, e.text);
}

static void test_tables(void **state)
{
    static const struct row rows[] = {
        {"as it was made", {{0}}, ""},
        {"not to be written to in place", {{L1, L2}, {L2, DATA}}, ""},
        {"zeros that have a place", {{L2, DATA | COPIED | 1}}, ""},
        {"zeros without one", {{L2 + 8, 1}}, ""},
        {"nothing", {{L1, 0}, {L1 + 8, 0}}, ""},
        {"compressed, in a cluster of data", {{L2 + 8, COMPRESSED | (DATA + 100)}}, ""},
        {"an L2 table in two places", {{L1 + 8, L2}}, "image.tables"},
        {"an L2 table that is the L1 table", {{L1, L1}}, "image.tables"},
        {"an L2 table in the header", {{L1, 512}}, "image.tables"},
        {"an L2 table that is the refcount block", {{L1, 2 * CLUSTER}}, "image.tables"},
        {"an L2 table between clusters", {{L1, L2 + 512}}, "image.tables"},
        {"an L2 table beyond the end", {{L1, END}}, "image.tables"},
        {"an L2 table far beyond the end", {{L1, UINT64_C(0x00ffffffffff0000)}}, "image.tables"},
        {"reserved bits in L1", {{L1, L2 | 2}}, "image.tables"},
        {"more of them", {{L1, L2 | UINT64_C(1) << 60}}, "image.tables"},
        {"data twice", {{L2 + 8, DATA}}, "image.tables"},
        {"data of two tables", {{L2B + 8, DATA}}, "image.tables"},
        {"data that is its own table", {{L2 + 8, L2}}, "image.tables"},
        {"data that is the L1 table", {{L2 + 8, L1}}, "image.tables"},
        {"data that is the header", {{L2 + 8, 512}}, "image.tables"},
        {"data between clusters", {{L2, DATA + 512}}, "image.tables"},
        {"data beyond the end", {{L2, END}}, "image.tables"},
        {"data that is the refcount table", {{L2, REFTABLE}}, "image.tables"},
        {"reserved bits in L2", {{L2, DATA | 4}}, "image.tables"},
        {"a place that is none", {{L2, COPIED}}, "image.tables"},
        {"compressed in the header", {{L2, COMPRESSED | 512}}, "image.tables"},
        {"compressed beyond the end", {{L2, COMPRESSED | END}}, "image.tables"},
        {"compressed and to be written to", {{L2, COPIED | COMPRESSED | DATAB}}, "image.tables"},
        {"a refcount block twice", {{REFTABLE + 8, 2 * CLUSTER}}, "image.tables"},
        {"a refcount block with the L1 table", {{REFTABLE, L1}}, "image.tables"},
        {"a refcount block beyond the end", {{REFTABLE + 8, END}}, "image.tables"},
        {"reserved bits of the refcount table", {{REFTABLE, 2 * CLUSTER + 1}}, "image.tables"},
        {"the L1 table in the header", {{40, UINT64_C(1) << 16}}, "image.tables"},
    };
    static const struct row zeros = {"zeros, version 2", {{L2, 1}}, "image.tables"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        try(&rows[i], false);
    try(&rows[0], true);
    try(&zeros, true);
}

/* "Extended L2 Entries": 16 bytes each, the second half says which parts are data and which are zeros. */
static void test_extended(void **state)
{
    static const struct row rows[] = {
        {"half of it", {{L2, DATA | COPIED}, {L2 + 8, 0xffff}}, ""},
        {"some data, some zeros", {{L2, DATA | COPIED}, {L2 + 8, UINT64_C(0xff) << 32 | 0xff00}}, ""},
        {"zeros alone", {{L2, 0}, {L2 + 8, UINT64_C(0xffffffff) << 32}}, ""},
        {"both at once", {{L2, DATA | COPIED}, {L2 + 8, UINT64_C(1) << 32 | 1}}, "image.tables"},
        {"data without a place", {{L2, 0}, {L2 + 8, 1}}, "image.tables"},
        {"the bit of other images", {{L2, DATA | COPIED | 1}, {L2 + 8, 0}}, "image.tables"},
        {"compressed in parts", {{L2, COMPRESSED | DATA}, {L2 + 8, 1}}, "image.tables"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct row row = rows[i];
        struct err e = ERR_INIT;
        make();
        put64(72, 16);
        put64(24, UINT64_C(512) << 20);
        for (size_t k = 0; k < 2; k++)
            put64(row.patch[k].at, row.patch[k].value);
        int r = check(END, UINT64_MAX, &e);
        if (!streq(e.code, row.code) || (r == 0) != !row.code[0])
            fail_msg("%s: %d %s %s", row.name, r, e.code, e.text);
    }
}

/* A file that was cut off, wherever. */
static void test_cut_off(void **state)
{
    struct err e = ERR_INIT;

    make();
    assert_int_equal(check(END - CLUSTER + 1, UINT64_MAX, &e), 0); /* the last cluster need not be whole */
    for (uint64_t n = CLUSTER; n <= END - CLUSTER; n += CLUSTER / 2) {
        e = (struct err)ERR_INIT;
        assert_int_equal(check(n, UINT64_MAX, &e), -EINVAL);
    }
}

/* Each entry of two tables unpacks the same few bytes: 1 GiB is free, one cluster more is too much for this file. */
static void test_bomb(void **state)
{
    struct err e = ERR_INIT;

    make();
    put64(24, UINT64_C(3) << 29);
    image[39] = 3; /* entries of L1 */
    put64(L1 + 16, DATAB);
    put64(L2B + 800, 0);
    for (uint32_t i = 0; i < 8192; i++) {
        put64(L2 + 8 * i, COMPRESSED | (DATA + i));
        put64(L2B + 8 * i, COMPRESSED | DATA);
    }
    assert_int_equal(check(END, UINT64_MAX, &e), 0);
    put64(DATAB + 8, COMPRESSED | DATA);
    assert_int_equal(check(END, UINT64_MAX, &e), -EFBIG);
    assert_string_equal(e.code, "image.bomb");
}

static void test_failures(void **state)
{
    static const uint64_t places[] = {REFTABLE, L1, L2, L2B};

    make();
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct err e = ERR_INIT;
        assert_int_equal(check(END, places[i], &e), -EIO);
    }
    struct err e = ERR_INIT;
    assert_int_equal(check((uint64_t)QCOW2_CLUSTERS_MAX * CLUSTER, UINT64_MAX, &e), -EFBIG);
    assert_string_equal(e.code, "image.tables");
    struct qcow2_info elsewhere = {.cluster_bits = 16, .has_data_file = true};
    uint64_t never = UINT64_MAX;
    assert_int_equal(qcow2_tables_check(&elsewhere, END, read_memory, &never, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables), cmocka_unit_test(test_extended), cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_bomb),   cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
