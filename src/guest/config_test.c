/* Configurations: text, digest, pending changes and volumes that must not be lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guest/guest.h"

static struct config make(const char *const *pairs)
{
    struct config c = {0};

    for (; *pairs; pairs += 2)
        assert_int_equal(config_set(&c, pairs[0], pairs[1]), 0);
    return c;
}
#define MAKE(...) make((const char *const[]){__VA_ARGS__, NULL})

static void test_text(void **state)
{
    struct config c = MAKE("name", "vm", "description", "a%b\nsecond", "memory", "512", "cmdline", "x\ny"),
                  p = MAKE("memory", "1024", "!name", "1");
    struct buf b;

    buf_init(&b, 10000);
    config_text(&c, &p, &b);
    assert_string_equal(buf_str(&b),
                        "#a%25b\n#second\ncmdline: x%0Ay\nmemory: 512\nname: vm\n\n[PENDING]\ndelete: name\n"
                        "memory: 1024\n");
    buf_done(&b);
    config_done(&c);
    config_done(&p);
}

static void test_digest(void **state)
{
    struct config a = MAKE("b", "1", "a", "2"), b = MAKE("a", "2", "b", "1");
    char x[GUEST_DIGEST_SIZE], y[GUEST_DIGEST_SIZE];

    config_digest(&a, NULL, x);
    config_digest(&b, NULL, y);
    assert_int_equal(strlen(x), 40);
    assert_string_equal(x, y); /* order of keys does not matter */
    assert_int_equal(config_set(&b, "a", "3"), 0);
    config_digest(&b, NULL, y);
    assert_string_not_equal(x, y);
    config_done(&a);
    config_done(&b);
}

static void check_merge(struct config c, struct config pending, const char *key, const char *value)
{
    assert_int_equal(guest_config_merge(&c, &pending, 100), 0);
    const char *got = config_get(&c, key);
    if (value)
        assert_string_equal(got ? got : "(absent)", value);
    else
        assert_null(got);
    config_done(&c);
    config_done(&pending);
}

static void test_merge(void **state)
{
    check_merge(MAKE("memory", "1"), MAKE("memory", "2"), "memory", "2");
    check_merge(MAKE("memory", "1"), MAKE("!memory", "1"), "memory", NULL);
    /* a removed or replaced drive leaves its volume behind */
    check_merge(MAKE("scsi0", "local:100/vm-100-disk-0.raw,size=1G"), MAKE("!scsi0", "1"), "unused0",
                "local:100/vm-100-disk-0.raw");
    check_merge(MAKE("scsi0", "local:100/vm-100-disk-0.raw,size=1G"),
                MAKE("scsi0", "local:100/vm-100-disk-1.raw,size=1G"), "unused0", "local:100/vm-100-disk-0.raw");
    /* moved to another bus: still in use */
    check_merge(MAKE("scsi0", "local:100/vm-100-disk-0.raw,size=1G"),
                MAKE("!scsi0", "1", "virtio0", "local:100/vm-100-disk-0.raw,size=1G"), "unused0", NULL);
    /* attached again */
    check_merge(MAKE("unused0", "local:100/vm-100-disk-0.raw"), MAKE("virtio0", "local:100/vm-100-disk-0.raw"),
                "unused0", NULL);
    /* an ISO or another guest's volume is nobody's to keep */
    check_merge(MAKE("ide2", "local:iso/x.iso,media=cdrom"), MAKE("!ide2", "1"), "unused0", NULL);
    check_merge(MAKE("scsi0", "local:101/vm-101-disk-0.raw"), MAKE("!scsi0", "1"), "unused0", NULL);
}

static void test_drives(void **state)
{
    struct volume_id v;

    assert_true(guest_is_drive_key("scsi0"));
    assert_true(guest_is_drive_key("efidisk0"));
    assert_false(guest_is_drive_key("scsi"));
    assert_false(guest_is_drive_key("scsihw"));
    assert_false(guest_is_drive_key("scsi0x"));
    assert_true(guest_drive_volume("file=local:100/vm-100-disk-0.qcow2,size=4G", &v));
    assert_int_equal(v.vmid, 100);
    assert_false(guest_drive_volume("none,media=cdrom", &v));
    assert_false(guest_drive_volume("local:4", &v));
    assert_true(guest_drive_is_cdrom("none,media=cdrom"));
    assert_true(guest_drive_is_cdrom("media=cdrom,file=local:iso/a.iso"));
    assert_false(guest_drive_is_cdrom("local:4,size=1G"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_drives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
