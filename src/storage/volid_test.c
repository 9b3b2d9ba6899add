/* Volume names: what is accepted, what is refused, and that each name has one spelling. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "storage/storage_priv.h"

static const struct {
    const char *text;
    enum storage_content content;
    uint32_t vmid;
    enum volume_format format;
} good[] = {
    {"local:100/vm-100-disk-0.qcow2", STORAGE_CONTENT_images, 100, VOLUME_QCOW2},
    {"local:100/base-100-disk-0.raw", STORAGE_CONTENT_images, 100, VOLUME_RAW},
    {"local:999999999/vm-999999999-cloudinit.raw", STORAGE_CONTENT_images, 999999999, VOLUME_RAW},
    {"s3.x_y-z:100/vm-100-state-before-update.raw", STORAGE_CONTENT_images, 100, VOLUME_RAW},
    {"local:iso/debian-12.5.0-amd64.iso", STORAGE_CONTENT_iso, 0, VOLUME_RAW},
    {"local:iso/Win11(x64).ISO", STORAGE_CONTENT_iso, 0, VOLUME_RAW},
    {"local:iso/disk.img", STORAGE_CONTENT_iso, 0, VOLUME_RAW},
    {"local:vztmpl/alpine-3.19_amd64.tar.xz", STORAGE_CONTENT_vztmpl, 0, VOLUME_OTHER},
    {"local:vztmpl/x.tar", STORAGE_CONTENT_vztmpl, 0, VOLUME_OTHER},
    {"local:backup/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst", STORAGE_CONTENT_backup, 0, VOLUME_OTHER},
    {"local:snippets/user.yaml", STORAGE_CONTENT_snippets, 0, VOLUME_OTHER},
    {"local:import/cloud.qcow2", STORAGE_CONTENT_import, 0, VOLUME_QCOW2},
    {"local:import/a.ova", STORAGE_CONTENT_import, 0, VOLUME_OTHER},
    {"local:import/a.raw", STORAGE_CONTENT_import, 0, VOLUME_RAW},
    {"local:boot/vmlinuz-6.1.0-18-amd64", STORAGE_CONTENT_boot, 0, VOLUME_OTHER},
};

static void test_good(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        char text[VOLUME_ID_MAX + 1];
        struct volume_id v;
        struct err e = ERR_INIT;
        if (volume_id_parse(good[i].text, &v, &e) < 0)
            fail_msg("%s: %s", good[i].text, e.text);
        assert_int_equal(v.content, good[i].content);
        assert_int_equal(v.vmid, good[i].vmid);
        assert_int_equal(v.format, good[i].format);
        volume_id_format(&v, text, sizeof(text));
        assert_string_equal(text, good[i].text);
    }
}

static const char *const hostile[] = {
    "",
    ":",
    "local",
    "local:",
    "local:/",
    ":100/vm-100-disk-0.raw",
    "l:100/vm-100-disk-0.raw",
    "1ocal:100/vm-100-disk-0.raw",
    "local-:100/vm-100-disk-0.raw",
    "lo/cal:100/vm-100-disk-0.raw",
    "../x:100/vm-100-disk-0.raw",
    "local:vm-100-disk-0",
    "local:100/vm-100-disk-0",
    "local:100/vm-101-disk-0.raw",
    "local:100/base-101-disk-0.raw",
    "local:0100/vm-0100-disk-0.raw",
    "local:100/vm-0100-disk-0.raw",
    "local:99/vm-99-disk-0.raw",
    "local:1000000000/vm-1000000000-disk-0.raw",
    "local:4294967396/vm-4294967396-disk-0.raw",
    "local:-100/vm--100-disk-0.raw",
    "local:+100/vm-100-disk-0.raw",
    "local: 100/vm-100-disk-0.raw",
    "local:100//vm-100-disk-0.raw",
    "local:100/../100/vm-100-disk-0.raw",
    "local:100/./vm-100-disk-0.raw",
    "local:100/vm-100-disk-0.raw/",
    "local:100/vm-100-disk-0.raw/x",
    "local:100/vm-100-disk-0.raw ",
    "local:100/vm-100-disk-0.raw.",
    "local:100/vm-100-disk-0.raw\n",
    "local:100/vm-100-disk-0.vmdk",
    "local:100/vm-100-disk-0.RAW",
    "local:100/vm-100-.raw",
    "local:100/vm-100.raw",
    "local:100/subvol-100-disk-0.raw",
    "local:100/.vm-100-disk-0.raw.1.2.tmp",
    "local:100/vm-100-disk-0,file=x.raw",
    "local:100/vm-100-a:b.raw",
    "local:100/vm-100-a%2e.raw",
    "local:100/vm-100-a\\b.raw",
    "local:100/vm-100-a\"b.raw",
    "local:100/vm-100-a'b.raw",
    "local:100/vm-100-a$b.raw",
    "local:100/vm-100-\xc3\xa9.raw",
    "local:100/vm-100-\xff.raw",
    "local:100/vm-100-\x7f.raw",
    "local:iso/../../etc/passwd.iso",
    "local:iso/..",
    "local:iso/.iso",
    "local:iso/-x.iso",
    "local:iso/a/b.iso",
    "local:iso//etc/x.iso",
    "local:iso/x.exe",
    "local:iso/x.iso,media=disk",
    "local:ISO/x.iso",
    "local:vztmpl/x.zip",
    "local:backup/x.iso",
    "local:import/x.iso",
    "local:snippets/",
    "local:snippets/..",
    "local:boot/../x",
    "local:boot/%2e%2e",
    "local:rootdir/100",
    "local:images/100/vm-100-disk-0.raw",
    "/etc/passwd",
    "none",
};

static void test_hostile(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        struct volume_id v;
        struct err e = ERR_INIT;
        if (volume_id_parse(hostile[i], &v, &e) == 0)
            fail_msg("accepted: %s", hostile[i]);
        assert_true(e.num == -EINVAL && e.code[0] && e.text[0]);
    }
}

static void test_lengths(void **state)
{
    char text[2 * VOLUME_ID_MAX], back[VOLUME_ID_MAX + 1];
    struct volume_id v;
    struct err e = ERR_INIT;

    for (size_t n = 1; n < VOLUME_NAME_MAX + 20; n++) {
        int at = snprintf(text, sizeof(text), "local:boot/");
        memset(text + at, 'a', n);
        text[(size_t)at + n] = 0;
        assert_int_equal(volume_id_parse(text, &v, &e), n <= VOLUME_NAME_MAX ? 0 : -EINVAL);
    }
    for (size_t n = 1; n < STORAGE_ID_MAX + 20; n++) {
        memset(text, 's', n);
        snprintf(text + n, sizeof(text) - n, ":999999999/vm-999999999-x.qcow2");
        bool is_good = n >= 2 && n <= STORAGE_ID_MAX;
        assert_int_equal(volume_id_parse(text, &v, &e), is_good ? 0 : -EINVAL);
        if (!is_good)
            continue;
        volume_id_format(&v, back, sizeof(back));
        assert_string_equal(back, text);
    }
}

/* Mutations of good names: whatever is still accepted formats back to itself and is one safe component. */
static void test_mutations(void **state)
{
    uint64_t x = 88172645463325252u;

    for (unsigned i = 0; i < 200000; i++) {
        char text[VOLUME_ID_MAX + 1], back[VOLUME_ID_MAX + 1];
        struct volume_id v;
        struct err e = ERR_INIT;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        snprintf(text, sizeof(text), "%s", good[x % ARRAY_SIZE(good)].text);
        for (unsigned k = 0; k <= (x >> 60) % 3; k++)
            text[(x >> (8 + 8 * k)) % strlen(text)] = "./\\-0:%,ab~ \n\xff..//"[(x >> (40 + 4 * k)) % 18];
        if (volume_id_parse(text, &v, &e) < 0)
            continue;
        volume_id_format(&v, back, sizeof(back));
        assert_string_equal(back, text);
        assert_null(strchr(v.name, '/'));
        assert_true(v.name[0] != '.' && v.name[0] != '-');
    }
}

static void test_contents(void **state)
{
    char names[96];
    uint32_t mask = 0;
    struct err e = ERR_INIT;

    assert_int_equal(storage_contents_parse("iso,images", &mask, &e), 0);
    assert_int_equal(mask, STORAGE_CONTENT_iso | STORAGE_CONTENT_images);
    storage_contents_format(mask, names, sizeof(names));
    assert_string_equal(names, "images,iso");
    assert_int_equal(storage_contents_parse(" backup; iso,,boot ", &mask, &e), 0);
    assert_int_equal(mask, STORAGE_CONTENT_iso | STORAGE_CONTENT_backup | STORAGE_CONTENT_boot);
    assert_int_equal(storage_contents_parse("none", &mask, &e), 0);
    assert_int_equal(mask, 0);
    storage_contents_format(0, names, sizeof(names));
    assert_string_equal(names, "none");
    static const char *const wrong[] = {"", ",", "isos", "iso,x", "is", "none,iso", "iso\n"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(storage_contents_parse(wrong[i], &mask, &e), -EINVAL);
    storage_contents_format(255, names, 80);
    assert_string_equal(names, "images,rootdir,vztmpl,iso,backup,snippets,import,boot");
    /* a round trip of every mask; a short buffer is cut at a comma */
    for (uint32_t m = 1; m < 256; m++) {
        uint32_t again = 0;
        storage_contents_format(m, names, sizeof(names));
        assert_int_equal(storage_contents_parse(names, &again, &e), 0);
        assert_int_equal(again, m);
        storage_contents_format(m, names, 12);
        assert_true(streq(names, "none") || streq(names, "") || storage_contents_parse(names, &again, &e) == 0);
    }
    assert_string_equal(storage_content_name(STORAGE_CONTENT_vztmpl), "vztmpl");
    assert_string_equal(storage_content_name((enum storage_content)4096), "unknown");
    assert_string_equal(volume_format_name(VOLUME_RAW), "raw");
    assert_string_equal(volume_format_name(VOLUME_QCOW2), "qcow2");
    assert_string_equal(volume_format_name(VOLUME_OTHER), "other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_hostile),  cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_mutations), cmocka_unit_test(test_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
