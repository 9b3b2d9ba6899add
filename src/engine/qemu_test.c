/* Unit tests of the qemu engine: command lines, slot map, refusals; and whether the installed QEMU takes what is built.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "engine/qemu_priv.h"
#include "proto/frame.h"

static const struct engine_host host = {
    .accel_reason = "no KVM here", .kvm_gid = -1, .qemu_path = "/usr/bin/qemu-system-x86_64", .qemu_version = "7.2.22"};

#define UUID "3dd75e8d-a91a-47ee-8fd4-3cd2b2b7d0c1"

/* The arguments, one a line; other fields as "TAG: value" where a test asks for them. */
static char *fields_of(const struct engine_launch *l, enum field_tag tag)
{
    struct buf text;
    struct field_reader r;
    struct field f;

    buf_init(&text, 1 << 20);
    field_reader_init(&r, l->payload.data, l->payload.len);
    while (field_next(&r, &f) == 1)
        if (f.tag == tag && f.len == 4 && tag == FIELD_FD_TARGET)
            buf_printf(&text, "%u\n", f.data[0]);
        else if (f.tag == tag)
            buf_printf(&text, "%.*s\n", (int)f.len, (const char *)f.data);
    return buf_take(&text) ?: strdup("");
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("missing: %s\nin:\n%s", part, text);
}

static char *argv_of(const struct engine_vm *vm)
{
    struct engine_launch l;
    struct err e = ERR_INIT;

    if (engine_qemu.launch(&host, vm, &l, &e) < 0)
        fail_msg("launch: %s", e.text);
    char *text = fields_of(&l, FIELD_ARG);
    engine_launch_done(&l);
    return text;
}

static struct engine_vm small_vm(void)
{
    return (struct engine_vm){.vmid = 100,
                              .name = "web,1",
                              .uuid = UUID,
                              .machine = "pc-q35-7.2",
                              .memory_mib = 256,
                              .sockets = 1,
                              .cores = 2,
                              .vcpus = 2,
                              .kernel_fd = -1,
                              .initrd_fd = -1,
                              .efi_code_fd = -1,
                              .efi_vars_fd = -1,
                              .tpm_fd = -1};
}

static void test_golden_small(void **state)
{
    static const struct config_item config[] = {{"serial0", "socket"}, {"vga", "serial0"}, {"balloon", "0"}};
    static const char expected[] =
        "/usr/bin/qemu-system-x86_64\n-nodefaults\n-no-user-config\n-display\nnone\n-S\n-sandbox\n"
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny\n-msg\ntimestamp=on\n"
        "-machine\npc-q35-7.2,usb=off,vmport=off,dump-guest-core=off,acpi=on,graphics=off\n"
        "-accel\ntcg,thread=multi\n-cpu\nmax\n-smp\ncpus=2,sockets=1,cores=2,threads=1,maxcpus=2\n"
        "-m\nsize=256M\n-name\nguest=web,,1,debug-threads=on\n-smbios\ntype=1,uuid=" UUID "\n-uuid\n" UUID "\n"
        "-rtc\nbase=utc\n-boot\nstrict=on\n"
        "-kernel\n/dev/fd/20\n-initrd\n/dev/fd/21\n-append\nconsole=ttyS0 a,b\n"
        "-chardev\nsocket,id=qmp,fd=10,server=off\n-mon\nchardev=qmp,mode=control\n"
        "-device\n{\"driver\":\"pci-bridge\",\"id\":\"hotplug0\",\"chassis_nr\":4,\"bus\":\"pcie.0\",\"addr\":\"0x1b\"}"
        "\n"
        "-chardev\nsocket,id=serial0,fd=11,server=off\n"
        "-device\n{\"driver\":\"isa-serial\",\"id\":\"port-serial0\",\"chardev\":\"serial0\",\"index\":0}\n";
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    vm.config = config;
    vm.n_config = ARRAY_SIZE(config);
    vm.kernel_fd = 5;
    vm.initrd_fd = 6;
    vm.cmdline = "console=ttyS0 a,b";
    assert_int_equal(engine_qemu.launch(&host, &vm, &l, &e), 0);
    autofree char *args = fields_of(&l, FIELD_ARG), *channels = fields_of(&l, FIELD_CHANNEL);
    autofree char *targets = fields_of(&l, FIELD_FD_TARGET), *verbs = fields_of(&l, FIELD_VERB);
    assert_string_equal(args, expected);
    assert_string_equal(channels, "qmp=10\nserial0=11\n");
    assert_string_equal(targets, "20\n21\n");
    assert_string_equal(verbs, "resume\n");
    assert_int_equal(l.n_fds, 2);
    assert_int_equal(l.fds[0], 5);
    assert_false(l.needs_kvm_group);
    assert_has(l.note, "no KVM here");
    engine_launch_done(&l);
}

static void test_drives(void **state)
{
    static const struct config_item config[] = {{"boot", "order=scsi1;net0"}, {"scsihw", "virtio-scsi-single"}};
    struct engine_below below[] = {{.fd = 9, .is_qcow2 = true, .name = "7"}, {.fd = 9, .name = "base1"}};
    struct engine_disk disks[] = {
        {.key = "virtio0",
         .bus = DISK_VIRTIO,
         .is_qcow2 = true,
         .fd = 9,
         .below = below,
         .n_below = ARRAY_SIZE(below),
         .options = "local:1/a.qcow2,cache=writeback",
         .serial = "a%2Cb%0a%zz%2"},
        {.key = "scsi1",
         .bus = DISK_SCSI,
         .index = 1,
         .fd = 9,
         .options = "local:1/b.raw,cache=none,discard=on,iothread=1,ssd=1,mbps_rd=1.5"},
        {.key = "ide2",
         .bus = DISK_IDE,
         .index = 2,
         .fd = -1,
         .is_cdrom = true,
         .is_read_only = true,
         .options = "none,media=cdrom"},
        {.key = "sata5", .bus = DISK_SATA, .index = 5, .fd = 9, .options = "local:1/c.raw,cache=unsafe"},
    };
    struct engine_vm vm = small_vm();

    vm.disks = disks;
    vm.n_disks = ARRAY_SIZE(disks);
    vm.config = config;
    vm.n_config = ARRAY_SIZE(config);
    autofree char *args = argv_of(&vm);
    /* what it stands on comes first, and nothing of it can be written */
    assert_has(args, "-add-fd\nfd=20,set=100\n-blockdev\n{\"driver\":\"raw\",\"node-name\":\"format-virtio0\","
                     "\"read-only\":true");
    /* each is called after what it stands on */
    assert_has(args, "-add-fd\nfd=21,set=1005000001\n-blockdev\n{\"driver\":\"qcow2\",\"node-name\":"
                     "\"format-virtio0-base1\",\"read-only\":true");
    assert_has(args, "\"backing\":\"format-virtio0\",\"file\":{\"driver\":\"file\",\"node-name\":"
                     "\"file-virtio0-base1\"");
    assert_has(args, "-add-fd\nfd=22,set=1000000007\n-blockdev\n{\"driver\":\"qcow2\",\"node-name\":"
                     "\"format-virtio0-7\"");
    assert_has(args, "\"backing\":\"format-virtio0-base1\",\"file\":{\"driver\":\"file\",\"node-name\":"
                     "\"file-virtio0-7\",\"filename\":\"/dev/fdset/1000000007\"");
    assert_has(args, "{\"driver\":\"throttle\",\"node-name\":\"virtio0\",\"throttle-group\":\"throttle-virtio0\","
                     "\"read-only\":false,\"discard\":\"ignore\",\"file\":\"format-virtio0-7\"}");
    assert_has(
        args,
        "\"throttle-group\":\"throttle-scsi1\",\"read-only\":false,\"discard\":\"unmap\",\"file\":\"format-scsi1\"}");
    assert_has(
        args,
        "\"bus\":\"pcie.0\",\"addr\":\"0x8\",\"drive\":\"virtio0\",\"write-cache\":\"on\",\"serial\":\"a,b%0a%zz%2\"}");
    assert_has(args, "\"limits\":{\"bps-read\":1572864}");
    assert_has(args, "{\"driver\":\"raw\",\"node-name\":\"format-scsi1\",\"read-only\":false,\"discard\":\"unmap\","
                     "\"detect-zeroes\":\"unmap\",\"cache\":{\"direct\":true,\"no-flush\":false}");
    assert_has(
        args, "{\"driver\":\"virtio-scsi-pci\",\"id\":\"scsihw1\",\"iothread\":\"iothread-scsi1\",\"bus\":\"bridge3\"");
    assert_has(args, "\"bootindex\":1,\"rotation_rate\":1}");
    assert_has(args, "{\"driver\":\"ide-cd\",\"id\":\"ide2\",\"bus\":\"ide.2\"}");
    assert_has(args, "{\"driver\":\"ide-hd\",\"id\":\"sata5\",\"bus\":\"ahci0.5\",\"drive\":\"sata5\"");
    /* The bridge comes before what is behind it. */
    assert_true(strstr(args, "\"pci-bridge\"") < strstr(args, "scsihw1"));
    assert_null(strstr(args, "local:1"));
}

static void test_nets(void **state)
{
    struct engine_net nets[] = {
        {.key = "net0", .model = "virtio", .mac = "BC:24:11:00:00:01", .mtu = 1400},
        {.key = "net7",
         .index = 7,
         .model = "e1000",
         .mac = "BC:24:11:00:00:02",
         .n_taps = 1,
         .tap_fds = {8},
         .vhost_fds = {-1},
         .is_link_down = true},
    };
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    vm.nets = nets;
    vm.n_nets = ARRAY_SIZE(nets);
    vm.is_paused = true;
    assert_int_equal(engine_qemu.launch(&host, &vm, &l, &e), 0);
    autofree char *args = fields_of(&l, FIELD_ARG), *verbs = fields_of(&l, FIELD_VERB);
    assert_has(args, "-netdev\nuser,id=net0\n");
    assert_has(args, "-netdev\ntap,id=net7,fd=20\n");
    assert_has(args, "\"addr\":\"0x10\",\"bootindex\":1,\"host_mtu\":1400}");
    assert_has(args, "\"bus\":\"bridge1\",\"addr\":\"0x2\"");
    assert_string_equal(verbs, "link-down net7\n");
    engine_launch_done(&l);
}

static void test_display(void **state)
{
    static const struct config_item none[] = {{"vga", "none"}, {"tablet", "1"}, {"keyboard", "de"}};
    static const struct config_item old[] = {{"vga", "qxl,memory=32"}, {"ostype", "win7"}, {"keyboard", "de"}};
    static const struct config_item bare[] = {{"tablet", "0"}, {"vga", "virtio,memory=64"}};
    struct engine_vm vm = small_vm();
    autofree char *standard = argv_of(&vm);

    assert_has(standard, "graphics=on");
    assert_has(standard, "-device\n{\"driver\":\"VGA\",\"id\":\"vga\",\"bus\":\"pcie.0\",\"addr\":\"0x2\"}\n"
                         "-vnc\nnone,password=on,share=ignore,connections=4\n"
                         "-device\n{\"driver\":\"qemu-xhci\",\"id\":\"usb-input\",\"p2\":15,\"p3\":15,"
                         "\"bus\":\"pcie.0\",\"addr\":\"0x1a\"}\n"
                         "-device\n{\"driver\":\"usb-tablet\",\"id\":\"tablet\",\"bus\":\"usb-input.0\","
                         "\"port\":\"1\"}\n");
    vm.config = none;
    vm.n_config = ARRAY_SIZE(none);
    autofree char *without = argv_of(&vm);
    assert_null(strstr(without, "-vnc"));
    assert_null(strstr(without, "usb-tablet"));
    vm.config = old;
    vm.n_config = ARRAY_SIZE(old);
    autofree char *windows = argv_of(&vm);
    assert_has(windows, "\"vgamem_mb\":32,\"ram_size_mb\":128,\"vram_size_mb\":64,");
    assert_has(windows, "piix3-usb-uhci");
    assert_has(windows, "-k\nde\n");
    vm.config = bare;
    vm.n_config = ARRAY_SIZE(bare);
    autofree char *tabletless = argv_of(&vm);
    assert_has(tabletless, "\"max_hostmem\":67108864,");
    assert_null(strstr(tabletless, "usb-tablet"));
}

static void test_slots_never_clash(void **state)
{
    static const struct {
        enum qemu_kind kind;
        unsigned first, n;
    } all[] = {{QEMU_VGA, 0, 1},    {QEMU_BALLOON, 0, 1},  {QEMU_RNG, 0, 1},          {QEMU_AGENT, 0, 1},
               {QEMU_SCSI, 0, 5},   {QEMU_SATA, 0, 1},     {QEMU_VIRTIO, 0, 16},      {QEMU_NET, 0, 32},
               {QEMU_BRIDGE, 1, 3}, {QEMU_PANIC, 0, 1},    {QEMU_SCSI_SINGLE, 1, 30}, {QEMU_IOMMU, 0, 1},
               {QEMU_AUDIO, 0, 1},  {QEMU_WATCHDOG, 0, 1}, {QEMU_USB_INPUT, 0, 1}};
    bool used[QEMU_BRIDGES + 1][32] = {{[0] = true, [1] = true, [31] = true}};
    struct qemu_addr a;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (unsigned k = all[i].first; k < all[i].first + all[i].n; k++) {
            assert_int_equal(qemu_addr_of(all[i].kind, k, &a), 0);
            assert_true(a.bridge <= QEMU_BRIDGES && a.slot > 0 && a.slot < 32);
            assert_false(used[a.bridge][a.slot]);
            used[a.bridge][a.slot] = true;
        }
    assert_int_equal(qemu_addr_of(QEMU_NET, 32, &a), -E2BIG);
    /* These are promises to guests that exist. */
    assert_int_equal(qemu_addr_of(QEMU_NET, 0, &a), 0);
    assert_true(a.bridge == 0 && a.slot == 0x10);
    assert_int_equal(qemu_addr_of(QEMU_VIRTIO, 8, &a), 0);
    assert_true(a.bridge == 2 && a.slot == 1);
}

static void test_boot_order(void **state)
{
    static const struct config_item bootdisk[] = {{"bootdisk", "sata0"}};
    struct engine_disk disks[] = {{.key = "ide2", .is_cdrom = true}, {.key = "scsi0"}, {.key = "virtio1"}};
    struct engine_net nets[] = {{.key = "net0"}};
    struct engine_vm vm = {.disks = disks, .n_disks = 3, .nets = nets, .n_nets = 1};
    struct qemu_build q = {.vm = &vm};
    struct err e = ERR_INIT;

    assert_int_equal(qemu_boot_order(NULL, &q, &e), 0);
    assert_int_equal(q.n_boot, 3);
    assert_int_equal(qemu_boot_index(&q, "scsi0"), 1);
    assert_int_equal(qemu_boot_index(&q, "ide2"), 2);
    assert_int_equal(qemu_boot_index(&q, "net0"), 3);
    q.n_boot = 0;
    assert_int_equal(qemu_boot_order("order=net0;virtio1", &q, &e), 0);
    assert_int_equal(q.n_boot, 2);
    assert_int_equal(qemu_boot_index(&q, "net0"), 1);
    q.n_boot = 0;
    vm.config = bootdisk;
    vm.n_config = 1;
    assert_int_equal(qemu_boot_order("dc", &q, &e), 0);
    assert_int_equal(qemu_boot_index(&q, "sata0"), 2);
    assert_int_equal(qemu_boot_index(&q, "scsi0"), 0);
    assert_int_equal(qemu_boot_order("x", &q, &e), -EINVAL);
    assert_int_equal(qemu_boot_order("order=0123456789abcdefgh", &q, &e), -EINVAL);
}

static void test_machines(void **state)
{
    static const struct {
        const char *wanted, *resolved;
    } cases[] = {{NULL, "pc-q35-7.2"},
                 {"q35", "pc-q35-7.2"},
                 {"pc", "pc-i440fx-7.2"},
                 {"pc-q35-6.0", "pc-q35-6.0"},
                 {"pc-i440fx-7.1+pve1", "pc-i440fx-7.1"},
                 {"pc-q35-9.0", NULL},
                 {"virt", NULL},
                 {"microvm", NULL}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config_item c = {"machine", cases[i].wanted};
        struct engine_choice choice;
        struct err e = ERR_INIT;
        int r = engine_qemu.resolve(&host, &c, cases[i].wanted ? 1 : 0, &choice, &e);
        assert_int_equal(r, cases[i].resolved ? 0 : -EINVAL);
        if (r == 0)
            assert_string_equal(choice.machine, cases[i].resolved);
        else
            assert_string_equal(e.code, "param.unsupported");
    }
}

static void test_cpu(void **state)
{
    static const struct {
        const char *value, *kvm, *tcg;
    } cases[] = {
        {NULL, "host", "max"},
        {"host,flags=+aes;-pcid", "host,+aes,-pcid", "max,+aes,-pcid"},
        {"cputype=EPYC-Rome,hidden=1", "EPYC-Rome,kvm=off", "EPYC-Rome,kvm=off"},
        {"x86-64-v2", "qemu64,+cx16,+lahf-lm,+popcnt,+pni,+sse4.1,+sse4.2,+ssse3",
         "qemu64,+cx16,+lahf-lm,+popcnt,+pni,+sse4.1,+sse4.2,+ssse3"},
        {"custom-x", NULL, NULL},
        {"host,flags=aes", NULL, NULL},
        {"host,flags=+a=b", NULL, NULL},
        {"host,reported-model=kvm64", NULL, NULL},
        {"max;x", NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (int is_kvm = 0; is_kvm < 2; is_kvm++) {
            const char *expected = is_kvm ? cases[i].kvm : cases[i].tcg;
            struct err e = ERR_INIT;
            autobuf struct buf b;
            buf_init(&b, 4096);
            assert_int_equal(qemu_cpu(is_kvm, cases[i].value, NULL, &b, &e), expected ? 0 : -EINVAL);
            if (expected)
                assert_string_equal(buf_str(&b), expected);
        }
}

static void test_smbios(void **state)
{
    struct err e = ERR_INIT;
    autobuf struct buf b;

    buf_init(&b, 4096);
    assert_int_equal(qemu_smbios("uuid=" UUID ",manufacturer=SG9sbSwgSW5jLg==,base64=1", "", &b, &e), 0);
    assert_string_equal(buf_str(&b), "type=1,uuid=" UUID ",manufacturer=Holm,, Inc.");
    buf_reset(&b);
    assert_int_equal(qemu_smbios("product=!!,base64=1", "", &b, &e), -EINVAL);
    buf_reset(&b);
    assert_int_equal(qemu_smbios("product=Cgo=,base64=1", "", &b, &e), -EINVAL);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *key, *value, *code; /* NULL: accepted */
    } cases[] = {
        {"vga", "qxl,memory=64", NULL},
        {"vga", "qxl,memory=48", "param.unsupported"},
        {"vga", "qxl2", "param.unsupported"},
        {"vga", "virtio-gl", "param.unsupported"},
        {"vga", "cirrus,memory=32", "param.unsupported"},
        {"vga", "std,clipboard=vnc", "param.unsupported"},
        {"vga", "std,memory=32", NULL},
        {"vga", "none", NULL},
        {"bios", "ovmf", NULL},
        {"bios", "coreboot", "param.unsupported"},
        {"efidisk0", "local:1,efitype=4m,pre-enrolled-keys=1", NULL},
        {"efidisk0", "local:1,efitype=8m", "param.invalid"},
        {"efidisk0", "local:1,efitype=4m,ms-cert=2023", "param.unsupported"},
        {"efidisk0", "local:1,format=qcow2", "param.unsupported"},
        {"tpmstate0", "local:1,version=v2.0", NULL},
        {"tpmstate0", "local:1,version=v3.0", "param.invalid"},
        {"watchdog", "i6300esb,action=reset", NULL},
        {"watchdog", "model=ib700", NULL},
        {"watchdog", "model=softdog", "param.invalid"},
        {"watchdog", "action=explode", "param.invalid"},
        {"watchdog", "action=reset,speed=1", "param.invalid"},
        {"audio0", "device=AC97,driver=none", NULL},
        {"audio0", "device=AC97", "param.unsupported"},
        {"audio0", "device=sb16,driver=none", "param.invalid"},
        {"args", "-device 'x y' \"a b\"", NULL},
        {"args", "-device 'x", "param.invalid"},
        {"arch", "x86_64", NULL},
        {"arch", "aarch64", "param.unsupported"},
        {"memory", "current=1024", NULL},
        {"bios", "seabios", NULL},
        {"serial0", "/dev/ttyS0", "param.unsupported"},
        {"scsi31", "local:1/a", "param.unsupported"},
        {"scsi30", "local:1/a,size=4G,backup=0", NULL},
        {"scsi0", "local:1/a,snapshot=1", "param.unsupported"},
        {"scsi0", "local:1/a,queues=4", "param.unsupported"},
        {"scsi0", "local:1/a,cache=most", "param.invalid"},
        {"scsi0", "local:1/a,cache=writeback,aio=native", "param.unsupported"},
        {"scsi0", "local:1/a,iops=x", "param.invalid"},
        {"scsi0", "local:1/a,iops_max=9", "param.invalid"},
        {"scsi0", "local:1/a,bps_rd_max_length=9,mbps_rd=1,mbps_rd_max=2", NULL},
        {"scsi0", "local:1/a,mbps_wr_max=9,mbps_rd=1", "param.invalid"},
        {"ide0", "local:1/a,ro=1", "param.unsupported"},
        {"virtio0", "none,media=cdrom", "param.unsupported"},
        {"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1", NULL},
        {"net0", "virtio,bridge=vmbr0,rate=10.5,queues=4,tag=5", NULL},
        {"net0", "virtio,rate=10", "param.unsupported"},
        {"net0", "virtio,bridge=vmbr0,rate=-1", "param.invalid"},
        {"net0", "virtio,bridge=vmbr0,queues=17", "param.unsupported"},
        {"net0", "virtio,trunks=5", "param.unsupported"},
        {"net0", "model=ne2k_isa", "param.unsupported"},
        {"net32", "virtio", "param.unsupported"},
        {"machine", "q35,viommu=intel,aw-bits=48", NULL},
        {"machine", "q35,viommu=virtio,enable-s3=1", NULL},
        {"machine", "q35,viommu=virtio,aw-bits=48", "param.unsupported"},
        {"machine", "q35,viommu=intel,aw-bits=40", "param.invalid"},
        {"machine", "pc,viommu=intel", "param.unsupported"},
        {"machine", "pc,enable-s4=0", NULL},
        {"scsihw", "virtio-scsi-single", NULL},
        {"rng0", "source=/dev/hwrng", "param.unsupported"},
        {"rng0", "/dev/urandom,max_bytes=1024", NULL},
        {"startdate", "2006-06-17,clock=vm", "param.invalid"},
        {"agent", "1,fstrim_cloned_disks=1", NULL},
        {"description", "anything,=", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config_item c = {cases[i].key, cases[i].value};
        struct err e = ERR_INIT;
        int r = engine_qemu.check_config(&host, &c, 1, &e);
        if ((r == 0) != !cases[i].code)
            fail_msg("%s=%s: %d %s", c.key, c.value, r, e.text);
        if (r < 0) {
            assert_string_equal(e.code, cases[i].code);
            assert_has(e.text, c.key);
        }
    }
}

/* Keys that only together make sense or not. */
static void test_together(void **state)
{
    static const struct {
        struct config_item items[6];
        size_t n;
        const char *text; /* of the refusal; NULL: accepted */
    } cases[] = {
        {{{"numa", "1"}, {"memory", "768"}, {"sockets", "2"}}, 3, NULL},
        {{{"numa", "1"},
          {"memory", "768"},
          {"cores", "2"},
          {"numa0", "cpus=0,memory=256"},
          {"numa1", "cpus=1,memory=512"}},
         5,
         NULL},
        {{{"numa", "1"}, {"memory", "768"}, {"numa0", "cpus=0,memory=256"}}, 3, "256 MiB together, the guest has 768"},
        {{{"numa", "1"}, {"memory", "512"}, {"numa1", "cpus=0,memory=512"}}, 3, "numa1: numa0 is missing"},
        {{{"numa", "1"}, {"numa0", "cpus=0-1,memory=512"}}, 2, "1 is out of range"},
        {{{"numa", "1"}, {"numa0", "cpus=0-,memory=512"}}, 2, "not a list"},
        {{{"numa", "1"}, {"numa0", "memory=512"}}, 2, "cpus and memory are needed"},
        {{{"numa", "1"}, {"numa0", "cpus=0,memory=512,policy=bind"}}, 2, "policy needs hostnodes"},
        {{{"numa", "1"}, {"numa0", "cpus=0,memory=512,hostnodes=0,policy=most"}}, 2, "policy"},
        {{{"numa", "0"}, {"numa0", "cpus=9,memory=1"}}, 2, NULL},
        {{{"hugepages", "1024"}, {"memory", "512"}}, 2, "multiple of the page size"},
        {{{"hugepages", "2"}, {"memory", "512"}}, 2, NULL},
        {{{"sockets", "20"}, {"cores", "20"}}, 2, "more than 255"},
        {{{"scsihw", "virtio-scsi-single"}, {"scsi0", "local:1/a,queues=4"}}, 2, NULL},
        {{{"scsihw", "virtio-scsi-single"}, {"scsi0", "local:1/a,queues=65"}}, 2, "2 to 64"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e = ERR_INIT;
        int r = engine_qemu.check_config(&host, cases[i].items, cases[i].n, &e);
        if ((r == 0) != !cases[i].text)
            fail_msg("case %zu: %d %s", i, r, e.text);
        if (r < 0)
            assert_has(e.text, cases[i].text);
    }
}

static void test_memory_of_nodes(void **state)
{
    static const struct config_item config[] = {{"numa", "1"},
                                                {"numa0", "cpus=0;2-3,memory=256,hostnodes=0-1,policy=interleave"},
                                                {"numa1", "cpus=1,memory=512"}};
    struct engine_vm vm = small_vm();

    vm.memory_mib = 768;
    vm.cores = vm.vcpus = 4;
    vm.config = config;
    vm.n_config = ARRAY_SIZE(config);
    autofree char *args = argv_of(&vm);
    assert_has(args,
               "{\"qom-type\":\"memory-backend-ram\",\"id\":\"ram-node0\",\"size\":268435456,\"host-nodes\":[0,1],"
               "\"policy\":\"interleave\"}");
    assert_has(args, "-numa\nnode,nodeid=0,cpus=0,cpus=2-3,memdev=ram-node0\n");
    assert_has(args, "-numa\nnode,nodeid=1,cpus=1,memdev=ram-node1\n");
    vm.n_config = 0;
    vm.hugepage_mib = 2;
    autofree char *huge = argv_of(&vm);
    assert_has(huge,
               "\"memory-backend-memfd\",\"id\":\"ram\",\"size\":805306368,\"hugetlb\":true,\"hugetlbsize\":2097152,"
               "\"prealloc\":true}\n-machine\nmemory-backend=ram\n");
}

static void test_windows(void **state)
{
    static const struct config_item config[] = {{"ostype", "win10"}}, old[] = {{"ostype", "wxp"}, {"localtime", "0"}};
    struct engine_host kvm = host;
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    kvm.has_kvm = true;
    vm.config = config;
    vm.n_config = 1;
    assert_int_equal(engine_qemu.launch(&kvm, &vm, &l, &e), 0);
    autofree char *args = fields_of(&l, FIELD_ARG);
    engine_launch_done(&l);
    assert_has(args, "host,hv_time,hv_relaxed,hv_vapic,hv_spinlocks=0x1fff,hv_vpindex,");
    assert_has(args, "-rtc\nbase=localtime,driftfix=slew\n-global\nkvm-pit.lost_tick_policy=discard\n");
    assert_has(args, ",hpet=off\n");
    vm.config = old;
    vm.n_config = 2;
    autofree char *tcg = argv_of(&vm);
    assert_has(tcg, "-cpu\nmax\n");
    assert_has(tcg, "-rtc\nbase=utc,driftfix=slew\n");
}

static void test_helper(void **state)
{
    static const struct config_item config[] = {{"args", "-global a.b='c d' \\'x"}};
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    vm.tpm_fd = 9;
    vm.is_tpm_v2 = true;
    vm.config = config;
    vm.n_config = 1;
    assert_int_equal(engine_qemu.launch(&host, &vm, &l, &e), 0);
    autofree char *args = fields_of(&l, FIELD_ARG), *helper = fields_of(&l, FIELD_HELPER_ARG);
    assert_has(args,
               "-chardev\nsocket,id=tpm0-control,fd=16,server=off\n-tpmdev\nemulator,id=tpm0,chardev=tpm0-control\n");
    assert_has(args, "\n-global\na.b=c d\n'x\n");
    assert_has(helper, "/usr/bin/swtpm\nsocket\n--tpmstate\nbackend-uri=file:///proc/self/fd/4\n");
    assert_has(helper, "--tpm2\n");
    assert_int_equal(l.n_fds, 1);
    assert_int_equal(l.fds[0], 9);
    engine_launch_done(&l);
}

static void test_too_many_drives(void **state)
{
    struct engine_disk disks[ENGINE_FDS_MAX + 1];
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    for (unsigned i = 0; i < ARRAY_SIZE(disks); i++) {
        disks[i] = (struct engine_disk){.bus = DISK_SCSI, .index = i % 31, .fd = 9, .options = "x"};
        snprintf(disks[i].key, sizeof(disks[i].key), "scsi%u", i);
    }
    vm.disks = disks;
    vm.n_disks = ARRAY_SIZE(disks);
    assert_int_equal(engine_qemu.launch(&host, &vm, &l, &e), -E2BIG);
}

/* ---- the installed QEMU as judge ---- */

static void exec_qemu(const struct engine_launch *l, int qmp)
{
    autofree char *args = fields_of(l, FIELD_ARG), *targets = fields_of(l, FIELD_FD_TARGET);
    char *argv[512], *save = NULL;
    size_t n = 0, i = 0;

    for (char *a = strtok_r(args, "\n", &save); a && n < 511; a = strtok_r(NULL, "\n", &save))
        argv[n++] = a;
    argv[n] = NULL;
    for (char *t = strtok_r(targets, "\n", &save); t; t = strtok_r(NULL, "\n", &save))
        dup2(l->fds[i++], (int)strtol(t, NULL, 10));
    dup2(qmp, QEMU_FD_QMP);
    for (int fd = QEMU_FD_SERIAL; fd <= QEMU_FD_AGENT; fd++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
            dup2(pair[0], fd);
    }
    execv(argv[0], argv);
    _exit(126);
}

/* Starts it stopped, says quit at once; everything was then accepted. */
static int run_qemu(const struct engine_vm *vm)
{
    static const char quit[] = "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\"}";
    struct engine_launch l;
    struct err e = ERR_INIT;
    int pair[2], status = -1;
    char sink[4096];

    if (engine_qemu.launch(&host, vm, &l, &e) < 0)
        fail_msg("launch: %s", e.text);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0)
        exec_qemu(&l, pair[1]);
    close(pair[1]);
    assert_true(write(pair[0], quit, sizeof(quit) - 1) > 0);
    while (read(pair[0], sink, sizeof(sink)) > 0)
        ;
    waitpid(pid, &status, 0);
    close(pair[0]);
    engine_launch_done(&l);
    return status;
}

/* QEMU takes a descriptor only when it may do exactly what the node does. */
static int image_fd(bool is_read_only)
{
    char name[] = "/tmp/holm-engine-test.XXXXXX";
    autoclose int fd = mkstemp(name);

    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    autoclose int again = open(name, (is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    unlink(name);
    return fcntl(again, F_DUPFD_CLOEXEC, 100);
}

static void kitchen_sink(const char *machine, const char *scsihw)
{
    const struct config_item config[] = {{"serial0", "socket"}, {"serial3", "socket"},
                                         {"agent", "1"},        {"rng0", "source=/dev/urandom"},
                                         {"scsihw", scsihw},    {"ostype", "l26"},
                                         {"localtime", "1"},    {"smbios1", "serial=a"},
                                         {"reboot", "0"},       {"boot", "order=virtio9;scsi9;ide2"},
                                         {"numa", "1"},         {"watchdog", "action=pause"},
                                         {"tdf", "1"},          {"audio0", "device=AC97,driver=none"},
                                         {"allow-ksm", "0"},    {"machine", "q35,viommu=virtio,enable-s3=0"}};
    struct engine_disk disks[] = {
        {.key = "virtio0",
         .bus = DISK_VIRTIO,
         .options = "x,iothread=1,iops=100,iops_max=200,iops_max_length=2,serial=s"},
        {.key = "virtio9", .bus = DISK_VIRTIO, .index = 9, .options = "x,cache=directsync,werror=enospc,rerror=stop"},
        {.key = "scsi0", .bus = DISK_SCSI, .options = "x,discard=on,ssd=1,iothread=1,wwn=0x500000000000abcd"},
        {.key = "scsi9", .bus = DISK_SCSI, .index = 9, .options = "x,cache=none,aio=native,ro=1", .is_read_only = true},
        {.key = "sata1", .bus = DISK_SATA, .index = 1, .options = "x,aio=threads,detect_zeroes=0"},
        {.key = "ide2",
         .bus = DISK_IDE,
         .index = 2,
         .is_cdrom = true,
         .is_read_only = true,
         .options = "none,media=cdrom"},
        {.key = "ide1", .bus = DISK_IDE, .index = 1, .options = "x,cache=unsafe"}};
    static const char *const models[] = {"virtio",   "e1000",  "e1000e",  "rtl8139",  "vmxnet3",      "pcnet",
                                         "ne2k_pci", "i82551", "i82557b", "i82559er", "e1000-82544gc"};
    struct engine_net nets[ARRAY_SIZE(models)];
    struct engine_vm vm = small_vm();

    for (size_t i = 0; i < ARRAY_SIZE(disks); i++)
        disks[i].fd = disks[i].is_cdrom ? -1 : image_fd(disks[i].is_read_only);
    for (unsigned i = 0; i < ARRAY_SIZE(models); i++) {
        nets[i] = (struct engine_net){.index = i, .model = models[i], .mtu = 1400};
        snprintf(nets[i].key, sizeof(nets[i].key), "net%u", i);
        snprintf(nets[i].mac, sizeof(nets[i].mac), "BC:24:11:00:00:%02X", i);
    }
    vm.machine = machine;
    snprintf(vm.vmgenid, sizeof(vm.vmgenid), "%s", UUID);
    vm.disks = disks;
    vm.n_disks = ARRAY_SIZE(disks);
    vm.nets = nets;
    vm.n_nets = ARRAY_SIZE(nets);
    vm.config = config;
    vm.n_config = ARRAY_SIZE(config) - !strstr(machine, "q35"); /* the IOMMU */
    int status = run_qemu(&vm);
    for (size_t i = 0; i < ARRAY_SIZE(disks); i++)
        if (disks[i].fd >= 0)
            close(disks[i].fd);
    if (status != 0)
        fail_msg("%s with %s: QEMU ended with %d", machine, scsihw, status);
}

static void test_qemu_takes_it(void **state)
{
    static const char *const scsihw[] = {"lsi", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"};

    if (access(host.qemu_path, X_OK) < 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(scsihw); i++)
        kitchen_sink(i % 2 ? "pc-i440fx-7.2" : "pc-q35-7.2", scsihw[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_small),
        cmocka_unit_test(test_drives),
        cmocka_unit_test(test_nets),
        cmocka_unit_test(test_slots_never_clash),
        cmocka_unit_test(test_display),
        cmocka_unit_test(test_boot_order),
        cmocka_unit_test(test_machines),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_smbios),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_drives),
        cmocka_unit_test(test_qemu_takes_it),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_memory_of_nodes),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_helper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
