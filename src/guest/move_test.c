/* What moving a disk writes into a configuration: options stay, sizes are true, a key that goes leaves the boot order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest/move.h"

#define MIB (UINT64_C(1) << 20)

static struct volume_id volume(const char *text)
{
    struct err e = ERR_INIT;
    struct volume_id v;

    assert_int_equal(volume_id_parse(text, &v, &e), 0);
    return v;
}

static void values(void **state)
{
    static const struct {
        const char *key, *from, *to;
    } cases[] = {
        {"scsi0", "local:100/vm-100-disk-0.raw", "fast:100/vm-100-disk-1.qcow2,size=32M"},
        {"scsi0", "file=local:100/vm-100-disk-0.raw,ssd=1,size=1G,cache=none",
         "fast:100/vm-100-disk-1.qcow2,ssd=1,cache=none,size=32M"},
        {"virtio3", "iothread=1,volume=local:100/vm-100-disk-0.raw,format=raw",
         "fast:100/vm-100-disk-1.qcow2,iothread=1,size=32M"},
        {"efidisk0", "local:100/vm-100-disk-0.raw,efitype=4m,size=528K",
         "fast:100/vm-100-disk-1.qcow2,efitype=4m,size=32M"},
        {"unused7", "local:100/vm-100-disk-0.raw,ssd=1,size=1G", "fast:100/vm-100-disk-1.qcow2"},
    };
    struct volume_id to = volume("fast:100/vm-100-disk-1.qcow2");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config c = {0};
        struct err e = ERR_INIT;
        assert_int_equal(move_set(&c, cases[i].key, cases[i].from, &to, 32 * MIB, &e), 0);
        assert_string_equal(config_get(&c, cases[i].key), cases[i].to);
        config_done(&c);
    }
}

static void boot_order(void **state)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"order=scsi1;scsi0;net0", "order=scsi0;net0"},
        {"order=scsi0;scsi1", "order=scsi0"},
        {"order=scsi10;scsi1;scsi11", "order=scsi10;scsi11"},
        {"order=net0", "order=net0"},
        {"order=scsi1", NULL},
        {"cdn", "cdn"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config c = {0};
        struct err e = ERR_INIT;
        assert_int_equal(config_set(&c, "scsi1", "local:100/vm-100-disk-0.raw"), 0);
        assert_int_equal(config_set(&c, "boot", cases[i].before), 0);
        assert_int_equal(move_unset(&c, "scsi1", &e), 0);
        assert_null(config_get(&c, "scsi1"));
        if (cases[i].after)
            assert_string_equal(config_get(&c, "boot"), cases[i].after);
        else
            assert_null(config_get(&c, "boot"));
        config_done(&c);
    }
}

static void forgotten(void **state)
{
    struct volume_id v = volume("local:100/vm-100-disk-0.raw");
    struct config c = {0};

    assert_int_equal(config_set(&c, "scsi0", "local:100/vm-100-disk-0.raw"), 0);
    assert_int_equal(config_set(&c, "unused0", "local:100/vm-100-disk-0.raw"), 0);
    assert_int_equal(config_set(&c, "unused1", "local:100/vm-100-disk-1.raw"), 0);
    assert_int_equal(config_set(&c, "unused2", "fast:100/vm-100-disk-0.raw"), 0);
    move_forget(&c, &v);
    assert_null(config_get(&c, "unused0"));
    assert_non_null(config_get(&c, "scsi0"));
    assert_non_null(config_get(&c, "unused1"));
    assert_non_null(config_get(&c, "unused2"));
    config_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(boot_order),
        cmocka_unit_test(forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
