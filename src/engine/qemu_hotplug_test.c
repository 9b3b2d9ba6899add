/* Unit tests of what comes and goes while a guest runs: command lines, scripts, answers, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/qemu_priv.h"
#include "proto/frame.h"

static const struct engine_host host = {
    .accel_reason = "no KVM here", .kvm_gid = -1, .qemu_path = "/usr/bin/qemu-system-x86_64", .qemu_version = "7.2.22"};

static const struct config_item modular[] = {
    {"hotplug", "disk,network,cpu,memory,usb"}, {"numa", "1"}, {"memory", "2048"}, {"vga", "none"}};

static char *args_of(const struct buf *payload)
{
    struct field_reader r;
    struct buf text;
    struct field f;

    buf_init(&text, 1 << 20);
    field_reader_init(&r, payload->data, payload->len);
    while (field_next(&r, &f) == 1)
        if (f.tag == FIELD_ARG)
            buf_printf(&text, "%.*s\n", (int)f.len, (const char *)f.data);
    return buf_take(&text) ?: strdup("");
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("missing: %s\nin:\n%s", part, text);
}

static struct engine_vm vm_of(const struct config_item *config, size_t n)
{
    return (struct engine_vm){.vmid = 100,
                              .machine = "pc-q35-7.2",
                              .memory_mib = 2048,
                              .sockets = 2,
                              .cores = 2,
                              .vcpus = 3,
                              .config = config,
                              .n_config = n,
                              .kernel_fd = -1,
                              .initrd_fd = -1,
                              .efi_code_fd = -1,
                              .efi_vars_fd = -1,
                              .tpm_fd = -1};
}

static char *launch_args(const struct engine_vm *vm)
{
    struct engine_launch l;
    struct err e = ERR_INIT;

    if (engine_qemu.launch(&host, vm, &l, &e) < 0)
        fail_msg("launch: %s", e.text);
    char *text = args_of(&l.payload);
    engine_launch_done(&l);
    return text;
}

static void test_features(void **state)
{
    static const struct {
        const char *value;
        uint32_t bits;
    } cases[] = {{NULL, ENGINE_HOTPLUG_DISK | ENGINE_HOTPLUG_NETWORK | ENGINE_HOTPLUG_USB},
                 {"1", ENGINE_HOTPLUG_DISK | ENGINE_HOTPLUG_NETWORK | ENGINE_HOTPLUG_USB},
                 {"0", 0},
                 {"cpu,memory", ENGINE_HOTPLUG_CPU | ENGINE_HOTPLUG_MEMORY},
                 {"usb", ENGINE_HOTPLUG_USB},
                 {"cloudinit,disk", ENGINE_HOTPLUG_CLOUDINIT | ENGINE_HOTPLUG_DISK}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config_item item = {"hotplug", cases[i].value};
        assert_int_equal(engine_hotplug(&item, cases[i].value ? 1 : 0), cases[i].bits);
    }
}

static void test_launch(void **state)
{
    struct engine_vm vm = vm_of(modular, ARRAY_SIZE(modular));
    struct engine_usb usb = {.key = "usb2", .index = 2, .fd = 5};

    vm.usbs = &usb;
    vm.n_usbs = 1;
    autofree char *args = launch_args(&vm);
    assert_has(args, "-smp\ncpus=1,sockets=2,cores=2,threads=1,maxcpus=4\n");
    assert_has(args, "{\"driver\":\"max-x86_64-cpu\",\"id\":\"cpu2\",\"socket-id\":0,\"core-id\":1,\"thread-id\":0}");
    assert_has(args, "{\"driver\":\"max-x86_64-cpu\",\"id\":\"cpu3\",\"socket-id\":1,\"core-id\":0,\"thread-id\":0}");
    assert_null(strstr(args, "cpu4"));
    assert_has(args, "-m\nsize=1024M,slots=255,maxmem=524288M\n");
    assert_has(args, "\"id\":\"ram-node1\",\"size\":536870912}");
    assert_has(args, "\"id\":\"mem-dimm0\",\"size\":536870912}\n-device\n"
                     "{\"driver\":\"pc-dimm\",\"id\":\"dimm0\",\"memdev\":\"mem-dimm0\",\"node\":0}");
    assert_has(args, "{\"driver\":\"pc-dimm\",\"id\":\"dimm1\",\"memdev\":\"mem-dimm1\",\"node\":1}");
    assert_null(strstr(args, "dimm2"));
    assert_has(args,
               "-add-fd\nfd=20,set=402\n-device\n{\"driver\":\"usb-host\",\"id\":\"usb2\",\"bus\":\"usb-input.0\","
               "\"port\":\"4\",\"hostdevice\":\"/dev/fdset/402\"}");
}

static void test_memory_check(void **state)
{
    static const struct {
        const char *memory, *numa, *text; /* NULL: accepted */
    } cases[] = {{"1024", "1", NULL},
                 {"1536", "1", NULL},
                 {"17408", "1", NULL}, /* 1024 + 32 of 512 */
                 {"18432", "1", NULL},
                 {"17920", "1", "18432 MiB is the next size after 17920"},
                 {"1600", "1", "2048 MiB is the next size"},
                 {"512", "1", "at least 1024"},
                 {"2048", "0", "NUMA needs to be enabled"},
                 {"1048576", "1", "at most"}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct config_item config[] = {
            {"hotplug", "memory"}, {"memory", cases[i].memory}, {"numa", cases[i].numa}};
        struct err e = ERR_INIT;
        int r = engine_qemu.check_config(&host, config, ARRAY_SIZE(config), &e);
        if ((r < 0) != (cases[i].text != NULL))
            fail_msg("%s: %d %s", cases[i].memory, r, e.text);
        if (r < 0)
            assert_has(e.text, cases[i].text);
    }
}

static char *live(const struct engine_vm *vm, enum engine_live what, const char *key, uint64_t now, int expected)
{
    struct engine_script s;
    struct err e = ERR_INIT;

    assert_int_equal(engine_qemu.live(vm, what, key, now, &s, &e), expected);
    if (expected < 0)
        return strdup(e.text);
    char *text = args_of(&s.fields);
    buf_done(&s.fields);
    return text;
}

static void test_cpus_live(void **state)
{
    struct engine_vm vm = vm_of(modular, ARRAY_SIZE(modular));
    autofree char *more = live(&vm, ENGINE_GROW, "vcpus", 3, 0);
    autofree char *full = live(&vm, ENGINE_GROW, "vcpus", 4, -EINVAL);
    autofree char *without_kvm = live(&vm, ENGINE_SHRINK, "vcpus", 3, -EINVAL);

    assert_string_equal(more, "+device_add {\"driver\":\"max-x86_64-cpu\",\"id\":\"cpu4\",\"socket-id\":1,"
                              "\"core-id\":1,\"thread-id\":0}\n");
    assert_has(full, "you can't add more vcpus than maxcpus (4)");
    assert_has(without_kvm, "with KVM only");
    vm.has_kvm = true;
    autofree char *fewer = live(&vm, ENGINE_SHRINK, "vcpus", 3, 0);
    autofree char *host_cpu = live(&vm, ENGINE_GROW, "vcpus", 1, 0);
    assert_string_equal(fewer, "+device_del {\"id\":\"cpu3\"}\nwcpu3\n");
    assert_has(host_cpu, "\"driver\":\"host-x86_64-cpu\",\"id\":\"cpu2\"");
}

static void test_memory_live(void **state)
{
    struct engine_vm vm = vm_of(modular, ARRAY_SIZE(modular));
    autofree char *more = live(&vm, ENGINE_GROW, "memory", 1536, 0);
    autofree char *board = live(&vm, ENGINE_GROW, "memory", 700, -EOPNOTSUPP);
    autofree char *odd = live(&vm, ENGINE_GROW, "memory", 2048, -EINVAL);

    assert_string_equal(more,
                        "-object-del {\"id\":\"mem-dimm1\"}\n"
                        "+object-add {\"qom-type\":\"memory-backend-ram\",\"id\":\"mem-dimm1\",\"size\":536870912}\n"
                        "+device_add {\"driver\":\"pc-dimm\",\"id\":\"dimm1\",\"memdev\":\"mem-dimm1\",\"node\":1}\n"
                        "uobject-del {\"id\":\"mem-dimm1\"}\n");
    assert_has(board, "without modules");
    assert_has(odd, "512 MiB");
    vm.memory_mib = 1024;
    autofree char *fewer = live(&vm, ENGINE_SHRINK, "memory", 1536, 0);
    autofree char *none = live(&vm, ENGINE_SHRINK, "memory", 1024, -EOPNOTSUPP);
    assert_string_equal(fewer, "+device_del {\"id\":\"dimm0\"}\nwdimm0\n-object-del {\"id\":\"mem-dimm0\"}\n");
    assert_has(none, "next start");
    vm.memory_mib = 1200;
    autofree char *between = live(&vm, ENGINE_SHRINK, "memory", 1536, -EINVAL);
    assert_has(between, "512 MiB");
}

static void test_usb_live(void **state)
{
    struct engine_vm vm = vm_of(modular, ARRAY_SIZE(modular));
    struct engine_usb usb = {.key = "usb0", .fd = 7};
    autofree char *tablet = live(&vm, ENGINE_PLUG, "tablet", 0, 0);
    autofree char *gone = live(&vm, ENGINE_UNPLUG, "tablet", 0, 0);

    assert_string_equal(
        tablet, "+device_add {\"driver\":\"usb-tablet\",\"id\":\"tablet\",\"bus\":\"usb-input.0\",\"port\":\"1\"}\n");
    assert_string_equal(gone, "+device_del {\"id\":\"tablet\"}\nwtablet\n");
    vm.usbs = &usb;
    vm.n_usbs = 1;
    autofree char *plug = live(&vm, ENGINE_PLUG, "usb0", 0, 0);
    autofree char *unplug = live(&vm, ENGINE_UNPLUG, "usb0", 0, 0);
    assert_has(plug, "fadd-fd {\"fdset-id\":400}\n+device_add {\"driver\":\"usb-host\",\"id\":\"usb0\",");
    assert_has(plug, "uremove-fd {\"fdset-id\":400}\n");
    assert_has(unplug, "+device_del {\"id\":\"usb0\"}\nwusb0\n-remove-fd {\"fdset-id\":400}\n");
}

static void test_answers(void **state)
{
    static const struct {
        const char *key, *answer;
        int64_t count; /* -1: refused */
    } cases[] = {{"vcpus", "[{},{},{}]", 3},
                 {"vcpus", "{}", -1},
                 {"vcpus", "[", -1},
                 {"vcpus", "", -1},
                 {"memory", "{\"base-memory\":1073741824,\"plugged-memory\":536870912}", 1536},
                 {"memory", "{\"base-memory\":1073741824}", 1024},
                 {"memory", "{\"base-memory\":\"x\"}", -1},
                 {"memory", "[]", -1}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e = ERR_INIT;
        uint64_t count = 0;
        int r = engine_qemu.count(cases[i].key, cases[i].answer, strlen(cases[i].answer), &count, &e);
        assert_int_equal(r < 0, cases[i].count < 0);
        if (r == 0)
            assert_int_equal(count, cases[i].count);
    }
}

static void test_custom_model(void **state)
{
    static const struct {
        const char *value, *model, *expected;
    } cases[] = {{"custom-a", "reported-model=EPYC,flags=+aes;-pcid,hidden=1", "EPYC,+aes,-pcid,kvm=off"},
                 {"custom-a,flags=-aes,hidden=0", "reported-model=EPYC,flags=+aes,hidden=1", "EPYC,+aes,-aes"},
                 {"custom-a", "level=13,hv-vendor-id=holm", "kvm64,+lahf_lm,+sep,hv-vendor-id=holm,level=13"},
                 {"custom-a,phys-bits=40", "reported-model=host,phys-bits=36", "max,phys-bits=40"},
                 {"custom-a", NULL, NULL},
                 {"custom-a", "level=x", NULL},
                 {"custom-a", "vendor=x", NULL},
                 {"custom-a", "hv-vendor-id=a b", NULL}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e = ERR_INIT;
        autobuf struct buf b;
        buf_init(&b, 4096);
        int r = qemu_cpu(false, cases[i].value, cases[i].model, &b, &e);
        assert_int_equal(r < 0, cases[i].expected == NULL);
        if (r == 0)
            assert_string_equal(buf_str(&b), cases[i].expected);
    }
}

static void test_usb_check(void **state)
{
    static const struct {
        const char *key, *value, *text;
    } cases[] = {{"usb0", "host=1234:abcd", NULL},   {"usb13", "1-1.2", NULL},
                 {"usb14", "1-1.2", "there are 14"}, {"usb0", "spice", "spice"},
                 {"usb0", "mapping=a", "mapping"},   {"usb0", "usb3=1", "either 'host' or 'mapping'"},
                 {"usb0", "SPICE,usb3=1", "spice"}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct config_item config[] = {{cases[i].key, cases[i].value}, {"ostype", "win7"}};
        struct err e = ERR_INIT;
        int r = engine_qemu.check_config(&host, config, 1, &e);
        assert_int_equal(r < 0, cases[i].text != NULL);
        if (r < 0)
            assert_has(e.text, cases[i].text);
        else
            assert_true(engine_qemu.check_config(&host, config, 2, &e) < 0); /* no xHCI there */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),  cmocka_unit_test(test_launch),       cmocka_unit_test(test_memory_check),
        cmocka_unit_test(test_cpus_live), cmocka_unit_test(test_memory_live),  cmocka_unit_test(test_usb_live),
        cmocka_unit_test(test_answers),   cmocka_unit_test(test_custom_model), cmocka_unit_test(test_usb_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
