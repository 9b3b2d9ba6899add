/* iso9660: what is written is read back, by a reader of its own that follows ECMA-119 from the descriptors on, and by
 * bsdtar, whose list and contents must be the same; what does not fit is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "image/iso9660.h"

static const char long_text[5000] = {[0 ... 4999] = 'x'};
static const struct iso9660_file files[] = {
    {"user-data", "#cloud-config\n", 14},
    {"meta-data", "instance-id: 1\n", 15},
    {"network-config", long_text, sizeof(long_text)},
    {"vendor-data", NULL, 0},
};

static void build(struct buf *b)
{
    struct err e = ERR_INIT;

    buf_init(b, 1 << 20);
    assert_int_equal(iso9660_write("cidata", files, ARRAY_SIZE(files), b, &e), 0);
    assert_int_equal(b->len % ISO9660_SECTOR_BYTES, 0);
}

static uint32_t both32(const uint8_t *p)
{
    uint32_t little = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    uint32_t big = p[7] | (uint32_t)p[6] << 8 | (uint32_t)p[5] << 16 | (uint32_t)p[4] << 24;

    assert_int_equal(little, big);
    return little;
}

/* The file of this identifier in the folder of a descriptor: its contents. */
static const uint8_t *look_up(const struct buf *b, unsigned descriptor, const void *id, size_t n_id, size_t *ret_n)
{
    const uint8_t *image = (const uint8_t *)b->data, *d = image + descriptor * 2048;

    assert_int_equal(d[0], descriptor == 16 ? 1 : 2);
    assert_memory_equal(d + 1, "CD001\1", 6);
    assert_int_equal(both32(d + 80), b->len / 2048);
    const uint8_t *folder = image + both32(d + 158) * (size_t)2048, *p = folder;
    size_t n = both32(d + 166);
    const uint8_t *last = NULL;
    const uint8_t *found = NULL;
    for (; p < folder + n && p[0]; p += p[0]) {
        assert_int_equal(p[0] % 2, 0);
        size_t common = last && last[32] < p[32] ? last[32] : p[32];
        assert_true(!last || last[32] == 1 || memcmp(last + 33, p + 33, common) <= 0);
        last = p;
        if (p[32] == n_id && memcmp(p + 33, id, n_id) == 0)
            found = p;
    }
    if (!found)
        return NULL;
    *ret_n = both32(found + 10);
    assert_true(both32(found + 2) * (size_t)2048 + *ret_n <= b->len);
    return image + both32(found + 2) * (size_t)2048;
}

static void test_both_trees(void **state)
{
    static const char *const plain[] = {"USER_DATA.;1", "META_DATA.;1", "NETWORK_CONFIG.;1", "VENDOR_DATA.;1"};
    struct buf b;
    size_t n;

    build(&b);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        uint8_t wide[64] = {0};
        size_t len = strlen(files[i].name);
        for (size_t k = 0; k < len; k++)
            wide[2 * k + 1] = (uint8_t)files[i].name[k];
        const uint8_t *p = look_up(&b, 17, wide, 2 * len, &n);
        assert_non_null(p);
        assert_int_equal(n, files[i].n);
        assert_true(!n || memcmp(p, files[i].data, n) == 0);
        assert_ptr_equal(look_up(&b, 16, plain[i], strlen(plain[i]), &n), p);
    }
    assert_null(look_up(&b, 16, "OTHER.;1", 8, &n));
    assert_memory_equal(b.data + 16 * 2048 + 40, "cidata ", 7);
    assert_memory_equal(b.data + 17 * 2048 + 40, "\0c\0i\0d\0a\0t\0a\0 ", 14);
    assert_memory_equal(b.data + 18 * 2048, "\377CD001\1", 7);
    buf_done(&b);
}

static void test_same_bytes(void **state)
{
    struct buf a, b;

    build(&a);
    build(&b);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    buf_done(&a);
    buf_done(&b);
}

static void run(const char *const *argv, struct buf *ret)
{
    struct err e = ERR_INIT;
    int p[2], status = 0;

    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(p[1], 1);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(p[1]);
    buf_init(ret, 1 << 20);
    assert_int_equal(fs_read_fd(p[0], ret, &e), 0);
    close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_with_bsdtar(void **state)
{
    char path[] = "/tmp/isoXXXXXX";
    struct err e = ERR_INIT;
    struct buf b, out;

    build(&b);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, b.data, b.len, &e), 0);
    run((const char *[]){"bsdtar", "-tf", path, NULL}, &out);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        assert_non_null(strstr(buf_str(&out), files[i].name));
    buf_done(&out);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        run((const char *[]){"bsdtar", "-xOf", path, files[i].name, NULL}, &out);
        assert_int_equal(out.len, files[i].n);
        assert_true(!out.len || memcmp(out.data, files[i].data, out.len) == 0);
        buf_done(&out);
    }
    close(fd);
    unlink(path);
    buf_done(&b);
}

static void test_refused(void **state)
{
    static const char *const names[] = {
        "", ".", "..", "a/b", "a b", "\303\244", ".hidden", "a.b.c", "abcdefghijklmnopqrstuvwxy"};
    struct iso9660_file many[ISO9660_FILES_MAX + 1], two[] = {{"a-b", "1", 1}, {"A_B", "2", 1}};
    struct iso9660_file large = {"large", long_text, ISO9660_FILE_MAX + 1};
    struct err e = ERR_INIT;
    struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct iso9660_file f = {names[i], "x", 1};
        assert_int_equal(iso9660_write("cidata", &f, 1, &b, &e), -EINVAL);
        assert_string_equal(e.code, "image.iso");
    }
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = files[0];
    assert_int_equal(iso9660_write("cidata", many, ARRAY_SIZE(many), &b, &e), -EINVAL);
    assert_int_equal(iso9660_write("cidata", two, 2, &b, &e), -EINVAL);
    assert_int_equal(iso9660_write("cidata", &large, 1, &b, &e), -EFBIG);
    assert_int_equal(iso9660_write("", files, 1, &b, &e), -EINVAL);
    assert_int_equal(iso9660_write("a label that is too long", files, 1, &b, &e), -EINVAL);
    assert_int_equal(b.len, 0);
    buf_done(&b);
    buf_init(&b, 60000); /* room for everything but one file's sectors */
    assert_int_equal(iso9660_write("cidata", files, ARRAY_SIZE(files), &b, &e), -EFBIG);
    buf_done(&b);
}

static void test_full(void **state)
{
    static const char *const names[] = {
        "a-very-long-name-of-24-by", "bbbbbbbbbbbbbbbbbbbbbbbb", "c", "d.txt", "e", "f", "g", "h"};
    struct iso9660_file full[ISO9660_FILES_MAX];
    struct err e = ERR_INIT;
    struct buf b;
    size_t n;

    for (size_t i = 0; i < ARRAY_SIZE(full); i++)
        full[i] = (struct iso9660_file){i ? names[i] : names[0] + 1, names[i], 1};
    buf_init(&b, 1 << 20);
    assert_int_equal(iso9660_write("x", full, ARRAY_SIZE(full), &b, &e), 0);
    assert_non_null(look_up(&b, 16, "H.;1", 4, &n));
    assert_non_null(look_up(&b, 16, "D.TXT;1", 7, &n));
    assert_non_null(look_up(&b, 17, "\0h", 2, &n));
    buf_done(&b);
    buf_init(&b, 1 << 20);
    assert_int_equal(iso9660_write("empty", NULL, 0, &b, &e), 0);
    assert_null(look_up(&b, 16, "H.;1", 4, &n));
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_trees), cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_with_bsdtar),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
