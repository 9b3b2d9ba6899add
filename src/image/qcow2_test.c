/* qcow2: what we write is what qemu-img says it is; what we read is refused when it is not sound.
 * The oracle is qemu-img (check and info); without it those tests are skipped and say so. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "image/qcow2.h"

static int write_fd(void *arg, uint64_t offset, const void *data, size_t n, struct err *e)
{
    if (pwrite(*(int *)arg, data, n, (off_t)offset) != (ssize_t)n)
        return err_errno(e, errno, "write");
    return 0;
}

static int fail_third(void *arg, uint64_t offset, const void *data, size_t n, struct err *e)
{
    unsigned *left = arg;
    if (*left == 0)
        return err_set(e, -ENOSPC, NULL, "full");
    (*left)--;
    return 0;
}

/* Exit status of argv, its standard output in ret. */
static int run(const char *const *argv, struct buf *ret)
{
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(p[1], 1);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(p[1]);
    struct err e = ERR_INIT;
    assert_int_equal(fs_read_fd(p[0], ret, &e), 0);
    close(p[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_with_qemu_img(const char *path, uint64_t size)
{
    autobuf struct buf out;
    char expected[64];
    buf_init(&out, 1 << 20);
    assert_int_equal(run((const char *[]){"qemu-img", "check", "-f", "qcow2", path, NULL}, &out), 0);
    assert_non_null(strstr(buf_str(&out), "No errors were found on the image."));
    buf_reset(&out);
    assert_int_equal(run((const char *[]){"qemu-img", "info", "-f", "qcow2", "--output=json", path, NULL}, &out), 0);
    snprintf(expected, sizeof(expected), "\"virtual-size\": %" PRIu64 ",", size);
    assert_non_null(strstr(buf_str(&out), expected));
}

static bool has_qemu_img(void)
{
    autobuf struct buf out;
    buf_init(&out, 1 << 20);
    return run((const char *[]){"qemu-img", "--version", NULL}, &out) == 0;
}

static const uint64_t SIZES[] = {
    512,
    1024,
    65024,
    65536,
    66048,
    (UINT64_C(512) << 20) - 512,
    UINT64_C(512) << 20,
    (UINT64_C(512) << 20) + 512,
    UINT64_C(1) << 30,
    UINT64_C(4) << 40,
    (UINT64_C(4) << 40) + 512, /* L1 grows to a second cluster */
    UINT64_C(10000000000) / 512 * 512,
    (UINT64_C(16) << 40) - 512,
    UINT64_C(16) << 40,
};

static void one_size(const char *path, uint64_t size, bool has_oracle)
{
    autoclose int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct err e = ERR_INIT;
    struct stat st;
    uint8_t head[QCOW2_HEADER_BYTES];
    struct qcow2_info info;

    assert_true(fd >= 0);
    assert_int_equal(qcow2_write_empty(size, write_fd, &fd, &e), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, qcow2_empty_file_bytes(size));
    assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
    assert_int_equal(qcow2_header_parse(head, sizeof(head), (uint64_t)st.st_size, &info, &e), 0);
    assert_int_equal(info.size_bytes, size);
    assert_int_equal(info.version, 3);
    assert_int_equal(info.n_snapshots, 0);
    assert_int_equal(qcow2_check_standalone(&info, &e), 0);
    if (has_oracle)
        check_with_qemu_img(path, size);
}

static char temp_path[] = "/tmp/holm-qcow2-XXXXXX";

static void test_empty_images(void **state)
{
    bool has_oracle = has_qemu_img();
    for (size_t i = 0; i < ARRAY_SIZE(SIZES); i++)
        one_size(temp_path, SIZES[i], has_oracle);
    /* every power of two, and pseudo-random sizes, without the slow oracle */
    for (uint64_t s = 512; s <= UINT64_C(16) << 40; s *= 2)
        one_size(temp_path, s, false);
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 40; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        one_size(temp_path, (x % (UINT64_C(1) << 40) / 512 + 1) * 512, has_oracle && i % 10 == 0);
    }
    if (!has_oracle)
        skip();
}

/* QEMU itself writes into what we made, and it is still clean. */
static void test_image_is_writable(void **state)
{
    autobuf struct buf out;
    buf_init(&out, 1 << 20);
    if (!has_qemu_img() || run((const char *[]){"qemu-io", "--version", NULL}, &out) != 0)
        skip();
    uint64_t size = UINT64_C(1) << 30;
    one_size(temp_path, size, false);
    assert_int_equal(run((const char *[]){"qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", "-c",
                                          "write -P 8 1073741312 512", "-c", "read -P 7 0 1M", temp_path, NULL},
                         &out),
                     0);
    check_with_qemu_img(temp_path, size);
}

static void test_write_refused(void **state)
{
    struct err e = ERR_INIT;
    unsigned left = 2;
    static const uint64_t wrong[] = {0, 1, 511, 513, QCOW2_SIZE_MAX + 512, UINT64_MAX, UINT64_MAX - 511};

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(qcow2_write_empty(wrong[i], fail_third, &left, &e), -EINVAL);
        assert_string_equal(e.code, "image.size");
        assert_int_equal(qcow2_empty_file_bytes(wrong[i]), 0);
    }
    for (unsigned n = 0; n < 4; n++) {
        left = n;
        assert_int_equal(qcow2_write_empty(65536, fail_third, &left, &e), -ENOSPC);
    }
    left = 600;
    assert_int_equal(qcow2_write_empty(QCOW2_SIZE_MAX, fail_third, &left, &e), 0);
}

/* ---- reader ---- */

struct memory {
    uint8_t data[4 * 65536];
};

static int write_memory(void *arg, uint64_t offset, const void *data, size_t n, struct err *e)
{
    struct memory *m = arg;
    assert_true(offset + n <= sizeof(m->data));
    memcpy(m->data + offset, data, n);
    return 0;
}

struct patch {
    size_t at;
    unsigned bytes;
    uint64_t value;
    int expected;
    const char *code;
};

static int parse_patched(const struct patch *patches, size_t n, struct qcow2_info *info, struct err *e)
{
    static struct memory m;
    memset(&m, 0, sizeof(m));
    assert_int_equal(qcow2_write_empty(UINT64_C(1) << 20, write_memory, &m, e), 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t be = htobe64(patches[i].value << (64 - 8 * patches[i].bytes));
        memcpy(m.data + patches[i].at, &be, patches[i].bytes);
    }
    return qcow2_header_parse(m.data, QCOW2_HEADER_BYTES, sizeof(m.data), info, e);
}

static void test_reader_table(void **state)
{
    static const struct patch table[] = {
        {0, 4, 0x51464900, -EINVAL, "image.header"},
        {4, 4, 1, -EINVAL, "image.header"},
        {4, 4, 4, -EINVAL, "image.header"},
        {4, 4, 2, 0, ""},
        {20, 4, 8, -EINVAL, "image.header"},
        {20, 4, 22, -EINVAL, "image.header"},
        {20, 4, UINT32_MAX, -EINVAL, "image.header"},
        {24, 8, 513, -EINVAL, "image.header"},
        {24, 8, UINT64_MAX, -EINVAL, "image.header"},
        {24, 8, UINT64_C(1) << 40, -EINVAL, "image.header"}, /* L1 too small */
        {32, 4, 3, -EINVAL, "image.header"},
        {36, 4, 0, -EINVAL, "image.header"},
        {36, 4, 4194305, -EINVAL, "image.header"},
        {36, 4, 4194304, 0, ""},
        {40, 8, 1, -EINVAL, "image.header"},
        {40, 8, 0, -EINVAL, "image.header"},
        {40, 8, UINT64_C(1) << 62, -EINVAL, "image.header"},
        {48, 8, 0, -EINVAL, "image.header"},
        {48, 8, 513, -EINVAL, "image.header"},
        {48, 8, UINT64_C(1) << 62, -EINVAL, "image.header"},
        {56, 4, 0, -EINVAL, "image.header"},
        {56, 4, 129, -EINVAL, "image.header"},
        {56, 4, UINT32_MAX, -EINVAL, "image.header"},
        {60, 4, 1, -EINVAL, "image.header"}, /* snapshots at offset 0 */
        {60, 4, 65537, -EINVAL, "image.header"},
        {72, 8, 32, -ENOTSUP, "image.feature"},
        {72, 8, UINT64_C(1) << 63, -ENOTSUP, "image.feature"},
        {72, 8, 1, 0, ""},
        {72, 8, 8, -EINVAL, "image.header"}, /* compression bit without a type */
        {96, 4, 7, -EINVAL, "image.header"},
        {100, 4, 96, -EINVAL, "image.header"},
        {100, 4, 108, -EINVAL, "image.header"},
        {100, 4, 8192, -EINVAL, "image.header"},
        {104, 4, 0x44415441, -EINVAL, "image.header"}, /* data file name without the bit */
        {104, 8, (UINT64_C(7) << 32) | 4096, -EINVAL, "image.header"},
        {104, 8, (UINT64_C(7) << 32) | UINT32_MAX, -EINVAL, "image.header"},
        {104, 8, (UINT64_C(0x6803f857) << 32) | 48, 0, ""},
        {8, 8, 70000, -EINVAL, "image.header"}, /* backing name outside the first cluster */
        {8, 8, 64, -EINVAL, "image.header"},    /* backing name inside the header */
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct err e = ERR_INIT;
        struct qcow2_info info;
        int r = parse_patched(&table[i], 1, &info, &e);
        if (r != table[i].expected || !streq(e.code, table[i].code))
            fail_msg("row %zu: %d %s %s", i, r, e.code, e.text);
    }
}

static void test_reader_external(void **state)
{
    struct qcow2_info info;
    struct err e = ERR_INIT;
    const struct patch backing[] = {{8, 8, 512, 0, ""}, {16, 4, 9, 0, ""}};
    const struct patch long_name[] = {{8, 8, 512, 0, ""}, {16, 4, 1024, 0, ""}};
    const struct patch data_file = {72, 8, 4, 0, ""};
    const struct patch encrypted = {32, 4, 2, 0, ""};
    const struct patch corrupt = {72, 8, 2, 0, ""};

    assert_int_equal(parse_patched(backing, 2, &info, &e), 0);
    assert_true(info.has_backing_file);
    assert_int_equal(qcow2_check_standalone(&info, &e), -EINVAL);
    assert_string_equal(e.code, "image.external");
    assert_int_equal(parse_patched(long_name, 2, &info, &e), -EINVAL);
    assert_int_equal(parse_patched(&data_file, 1, &info, &e), 0);
    assert_int_equal(qcow2_check_standalone(&info, &e), -EINVAL);
    assert_string_equal(e.code, "image.external");
    assert_int_equal(parse_patched(&encrypted, 1, &info, &e), 0);
    assert_int_equal(qcow2_check_standalone(&info, &e), -EINVAL);
    assert_string_equal(e.code, "image.encrypted");
    assert_int_equal(parse_patched(&corrupt, 1, &info, &e), 0);
    assert_int_equal(qcow2_check_standalone(&info, &e), -EINVAL);
    assert_string_equal(e.code, "image.corrupt");
}

static void test_reader_extensions(void **state)
{
    struct qcow2_info info;
    struct err e = ERR_INIT;
    struct patch many[64];

    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (struct patch){104 + 8 * i, 8, UINT64_C(0x12345678) << 32, 0, ""};
    assert_int_equal(parse_patched(many, 31, &info, &e), 0);
    assert_int_equal(parse_patched(many, 32, &info, &e), -EINVAL);
    assert_int_equal(parse_patched(many, 64, &info, &e), -EINVAL);
    const struct patch zstd[] = {{72, 8, 8, 0, ""}, {100, 4, 112, 0, ""}, {104, 1, 1, 0, ""}};
    assert_int_equal(parse_patched(zstd, 3, &info, &e), 0);
    const struct patch lone_type[] = {{100, 4, 112, 0, ""}, {104, 1, 1, 0, ""}};
    assert_int_equal(parse_patched(lone_type, 2, &info, &e), -EINVAL);
    const struct patch extended[] = {{72, 8, 16, 0, ""}, {20, 4, 13, 0, ""}};
    assert_int_equal(parse_patched(extended, 2, &info, &e), -EINVAL);
    assert_int_equal(parse_patched(extended, 1, &info, &e), 0);
    /* 512-byte clusters: the area ends with the cluster */
    const struct patch small[] = {{20, 4, 9, 0, ""}, {36, 4, 64, 0, ""}};
    assert_int_equal(parse_patched(small, 2, &info, &e), 0);
}

static void test_reader_short(void **state)
{
    static struct memory m;
    struct qcow2_info info;
    struct err e = ERR_INIT;

    assert_int_equal(qcow2_write_empty(65536, write_memory, &m, &e), 0);
    for (size_t n = 0; n < 104; n++) {
        autofree uint8_t *exact = malloc(n ? n : 1); /* ASan sees a read beyond */
        memcpy(exact, m.data, n);
        assert_int_equal(qcow2_header_parse(exact, n, sizeof(m.data), &info, &e), -EINVAL);
    }
    assert_int_equal(qcow2_header_parse(m.data, 104, sizeof(m.data), &info, &e), 0);
    assert_int_equal(qcow2_header_parse(m.data, 4096, 4096, &info, &e), -EINVAL); /* truncated file */
}

/* Images that qemu-img makes are read, with what we must see in them. */
static void test_foreign_images(void **state)
{
    static const char *const options[] = {"cluster_size=65536", "compat=0.10",    "cluster_size=512",
                                          "cluster_size=2M",    "extended_l2=on", "lazy_refcounts=on",
                                          "refcount_bits=1"};
    autobuf struct buf out;
    struct err e = ERR_INIT;

    if (!has_qemu_img())
        skip();
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        uint8_t head[QCOW2_HEADER_BYTES];
        struct qcow2_info info;
        struct stat st;
        assert_int_equal(
            run((const char *[]){"qemu-img", "create", "-q", "-f", "qcow2", "-o", options[i], temp_path, "3G", NULL},
                &out),
            0);
        autoclose int fd = open(temp_path, O_RDONLY | O_CLOEXEC);
        ssize_t n = pread(fd, head, sizeof(head), 0);
        assert_true(n > 0);
        assert_int_equal(fstat(fd, &st), 0);
        if (qcow2_header_parse(head, (size_t)n, (uint64_t)st.st_size, &info, &e) < 0)
            fail_msg("%s: %s", options[i], e.text);
        assert_int_equal(info.size_bytes, UINT64_C(3) << 30);
        assert_int_equal(qcow2_check_standalone(&info, &e), 0);
    }
}

static int make_temp(void **state)
{
    int fd = mkstemp(temp_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_temp(void **state)
{
    return unlink(temp_path);
}

static int keep_header(void *arg, uint64_t offset, const void *data, size_t n, struct err *e)
{
    if (offset < QCOW2_HEADER_BYTES)
        memcpy((uint8_t *)arg + offset, data, n < QCOW2_HEADER_BYTES - offset ? n : QCOW2_HEADER_BYTES - offset);
    return 0;
}

static void test_grow_plan(void **state)
{
    static const struct {
        uint64_t from, to;
        int r;
        uint64_t zero_bytes;
    } cases[] = {{1 << 20, 2 << 20, 0, 0},
                 {1 << 20, UINT64_C(1) << 30, 0, 8},
                 {1 << 20, UINT64_C(4) << 40, 0, 8191 * 8},
                 {1 << 20, (UINT64_C(4) << 40) + 512, -EOPNOTSUPP, 0},
                 {1 << 20, (1 << 20) + 1, -EOPNOTSUPP, 0}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t head[QCOW2_HEADER_BYTES] = {0};
        uint64_t file_bytes = qcow2_empty_file_bytes(cases[i].from);
        struct qcow2_grow g;
        struct qcow2_info info;
        struct err e = ERR_INIT;
        assert_int_equal(qcow2_write_empty(cases[i].from, keep_header, head, &e), 0);
        assert_int_equal(qcow2_grow_plan(head, sizeof(head), file_bytes, cases[i].to, &g, &e), cases[i].r);
        if (cases[i].r < 0)
            continue;
        assert_false(g.is_done);
        assert_int_equal(g.zero_bytes, cases[i].zero_bytes);
        memcpy(head + g.write_at, g.bytes, sizeof(g.bytes));
        assert_int_equal(qcow2_header_parse(head, sizeof(head), file_bytes + g.zero_bytes, &info, &e), 0);
        assert_true(info.size_bytes == cases[i].to);
        assert_int_equal(qcow2_grow_plan(head, sizeof(head), file_bytes + g.zero_bytes, cases[i].to, &g, &e), 0);
        assert_true(g.is_done);
        head[63] = 1; /* a snapshot: its table is not ours to move */
        head[71] = 0;
        assert_int_not_equal(qcow2_grow_plan(head, sizeof(head), file_bytes + g.zero_bytes, cases[i].to + 512, &g, &e),
                             0);
    }
}

/* An overlay: qemu-img finds what it stands on, and so do we, by this name and no other. */
static void test_overlay(void **state)
{
    const struct qcow2_backing b = {.name = "snap-100-disk-0-1.raw", .format = "raw"};
    uint8_t head[QCOW2_HEADER_BYTES] = {0};
    struct qcow2_info info;
    struct err e = ERR_INIT;
    char path[] = "/tmp/holm-overlay-XXXXXX";
    autobuf struct buf out;

    assert_int_equal(qcow2_write_overlay(1 << 20, &b, keep_header, head, &e), 0);
    assert_int_equal(qcow2_header_parse(head, sizeof(head), qcow2_empty_file_bytes(1 << 20), &info, &e), 0);
    assert_true(info.has_backing_file && info.size_bytes == 1 << 20);
    assert_int_equal(qcow2_check_overlay(&info, b.name, &e), 0);
    assert_int_equal(qcow2_check_standalone(&info, &e), -EINVAL);
    assert_string_equal(e.code, "image.external");
    assert_int_equal(qcow2_check_overlay(&info, "snap-100-disk-0-1.ra", &e), -EINVAL);
    assert_int_equal(qcow2_check_overlay(&info, "snap-100-disk-0-1.raw2", &e), -EINVAL);
    assert_string_equal(e.code, "image.chain");
    if (!has_qemu_img())
        skip();
    int fd = mkstemp(path);
    assert_int_equal(qcow2_write_overlay(1 << 20, &b, write_fd, &fd, &e), 0);
    close(fd);
    buf_init(&out, 1 << 20);
    /* Without -U and without the file behind: info of the header alone. */
    assert_int_equal(run((const char *[]){"qemu-img", "info", "-f", "qcow2", path, NULL}, &out), 0);
    assert_non_null(strstr(buf_str(&out), "backing file: snap-100-disk-0-1.raw"));
    assert_non_null(strstr(buf_str(&out), "backing file format: raw"));
    unlink(path);
}

static void test_overlay_refused(void **state)
{
    static const struct qcow2_backing bad[] = {{"", "raw"}, {"x", "vmdk"}, {"x", ""}};
    uint8_t head[QCOW2_HEADER_BYTES] = {0};
    char longest[QCOW2_BACKING_MAX + 2];
    struct qcow2_backing b = {.name = longest, .format = "qcow2"};
    struct qcow2_info info;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(qcow2_write_overlay(512, &bad[i], keep_header, head, &e), -EINVAL);
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(qcow2_write_overlay(512, &b, keep_header, head, &e), -EINVAL);
    longest[QCOW2_BACKING_MAX] = '\0';
    assert_int_equal(qcow2_write_overlay(512, &b, keep_header, head, &e), 0);
    assert_int_equal(qcow2_header_parse(head, sizeof(head), qcow2_empty_file_bytes(512), &info, &e), 0);
    assert_int_equal(qcow2_check_overlay(&info, longest, &e), 0);
    /* A reader that was given less does not look behind it. */
    assert_int_equal(qcow2_header_parse(head, 200, qcow2_empty_file_bytes(512), &info, &e), 0);
    assert_string_equal(info.backing, "");
    assert_int_equal(qcow2_check_overlay(&info, longest, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_images),    cmocka_unit_test(test_image_is_writable),
        cmocka_unit_test(test_write_refused),   cmocka_unit_test(test_reader_table),
        cmocka_unit_test(test_reader_external), cmocka_unit_test(test_reader_extensions),
        cmocka_unit_test(test_reader_short),    cmocka_unit_test(test_foreign_images),
        cmocka_unit_test(test_grow_plan),       cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_overlay_refused),
    };
    return cmocka_run_group_tests(tests, make_temp, remove_temp);
}
