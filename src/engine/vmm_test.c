/* Unit tests of the engine vmm: the order it gives, what it refuses and how, when `auto` takes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "engine/vmm_priv.h"
#include "proto/frame.h"

static const struct engine_host host = {.has_kvm = true,
                                        .accel_reason = "hardware KVM",
                                        .kvm_gid = 104,
                                        .qemu_path = "/usr/bin/qemu-system-x86_64",
                                        .qemu_version = "7.2.22",
                                        .vmm_path = "/usr/libexec/holm/holm-vmm"};

/* Fields of one tag, one a line. */
static char *fields_of(const struct buf *payload, enum field_tag tag)
{
    struct buf text;
    struct field_reader r;
    struct field f;

    buf_init(&text, 1 << 20);
    field_reader_init(&r, payload->data, payload->len);
    while (field_next(&r, &f) == 1)
        if (f.tag == tag && tag == FIELD_FD_TARGET)
            buf_printf(&text, "%u ", f.data[0]);
        else if (f.tag == tag)
            buf_printf(&text, "%.*s\n", (int)f.len, (const char *)f.data);
    return buf_take(&text) ?: strdup("");
}

static void assert_fields(const struct buf *payload, enum field_tag tag, const char *wanted)
{
    autofree char *text = fields_of(payload, tag);

    assert_string_equal(text, wanted);
}

static const char *options_of(const struct engine_launch *l)
{
    static char text[8192];
    ssize_t n = pread(l->own_fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = 0;
    return text;
}

static struct engine_vm small_vm(void)
{
    return (struct engine_vm){.vmid = 100,
                              .name = "web",
                              .machine = "direct",
                              .memory_mib = 256,
                              .sockets = 1,
                              .cores = 2,
                              .vcpus = 2,
                              .kernel_fd = 5,
                              .initrd_fd = -1,
                              .efi_code_fd = -1,
                              .efi_vars_fd = -1,
                              .tpm_fd = -1};
}

static void test_order_of_a_small_guest(void **state)
{
    static const struct config_item config[] = {{"balloon", "0"}};
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    vm.config = config;
    vm.n_config = 1;
    assert_int_equal(engine_vmm.launch(&host, &vm, &l, &e), 0);
    assert_fields(&l.payload, FIELD_DRIVER, "vmm\n");
    assert_fields(&l.payload, FIELD_ARG, "/usr/libexec/holm/holm-vmm\nrun\n--config\nfd=19\n");
    assert_fields(&l.payload, FIELD_CHANNEL, "control=10\n");
    assert_fields(&l.payload, FIELD_FD_TARGET, "20 19 ");
    assert_fields(&l.payload, FIELD_VERB, "resume\n");
    assert_string_equal(options_of(&l), "cpus 2\nmemory 256M\ncontrol fd=10\npaused on\nreboot on\nkernel fd=20\n");
    assert_int_equal(l.n_fds, 2);
    assert_int_equal(l.fds[0], 5);
    assert_int_equal(l.fds[1], l.own_fd);
    assert_true(l.needs_kvm_group);
    assert_int_equal(write(l.own_fd, "x", 1), -1); /* sealed */
    engine_launch_done(&l);
    assert_int_equal(l.own_fd, -1);
}

static void test_order_of_a_full_guest(void **state)
{
    static const struct config_item config[] = {
        {"serial0", "socket"}, {"rng0", "source=/dev/urandom"}, {"reboot", "0"}, {"engine", "vmm"}};
    struct engine_disk disks[] = {
        {.key = "virtio0",
         .bus = DISK_VIRTIO,
         .fd = 7,
         .direct_fd = 30,
         .options = "local:1/a.raw,discard=on",
         .serial = "abc"},
        {.key = "scsi1",
         .bus = DISK_SCSI,
         .index = 1,
         .fd = 8,
         .direct_fd = 31,
         .is_read_only = true,
         .options =
             "local:1/b.raw,ro=1,cache=writeback,aio=threads,queues=4,mbps=1.5,mbps_max=2,bps_max_length=3,iops_wr=7"}};
    struct engine_net nets[] = {{.key = "net0",
                                 .model = "virtio",
                                 .mac = "BC:24:11:00:00:01",
                                 .n_taps = 2,
                                 .tap_fds = {11, 12},
                                 .mtu = 1400,
                                 .is_link_down = true},
                                {.key = "net1", .index = 1, .mac = "BC:24:11:00:00:02", .n_taps = 1, .tap_fds = {13}}};
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    vm.config = config;
    vm.n_config = ARRAY_SIZE(config);
    vm.disks = disks;
    vm.n_disks = ARRAY_SIZE(disks);
    vm.nets = nets;
    vm.n_nets = ARRAY_SIZE(nets);
    vm.initrd_fd = 6;
    vm.cmdline = "console=ttyS0 a,b";
    vm.hugepage_mib = 2;
    vm.vcpus = 1;
    vm.is_paused = true;
    assert_int_equal(engine_vmm.launch(&host, &vm, &l, &e), 0);
    assert_string_equal(options_of(&l),
                        "cpus 1\nmemory 256M,hugepages=2M\ncontrol fd=10\npaused on\nreboot off\nconsole fd=11\n"
                        "kernel fd=20\ninitrd fd=21\ncmdline console=ttyS0 a,b\n"
                        "disk fd=22,id=virtio0,discard=on,engine=uring,serial=abc,direct-fd=23\n"
                        "disk fd=24,id=scsi1,discard=off,engine=threads,readonly=on,queues=4,cached=on,"
                        "bps=1572864,bps_max=2097152,bps_max_length=3,iops_wr=7\n"
                        "net fds=25:26,id=net0,mac=BC:24:11:00:00:01,queues=2,mtu=1400,link_down=on\n"
                        "net fd=27,id=net1,mac=BC:24:11:00:00:02\n"
                        "balloon on,id=balloon0\nrng host,id=rng0\n");
    assert_fields(&l.payload, FIELD_CHANNEL, "control=10\nserial0=11\n");
    assert_fields(&l.payload, FIELD_FD_TARGET, "20 21 22 23 24 25 26 27 19 ");
    assert_fields(&l.payload, FIELD_VERB, "");
    assert_int_equal(l.fds[3], 30);
    assert_int_equal(l.fds[7], 13);
    engine_launch_done(&l);
}

/* What only shows when everything is open. */
static void test_launch_refuses(void **state)
{
    struct engine_disk disk = {.key = "virtio0", .fd = 7, .options = "local:1/a", .is_qcow2 = true};
    struct engine_net net = {.key = "net0", .mac = "BC:24:11:00:00:01"};
    struct engine_launch l;
    struct err e = ERR_INIT;

    for (int i = 0; i < 5; i++) {
        struct engine_vm vm = small_vm();

        disk.is_qcow2 = i == 0;
        disk.fd = i == 1 ? -1 : 7;
        vm.disks = &disk;
        vm.n_disks = i < 2;
        vm.nets = &net;
        vm.n_nets = i == 2;
        vm.kernel_fd = i == 3 ? -1 : 5;
        vm.cmdline = i == 4 ? "a\ndisk raw=/etc/passwd" : NULL;
        e = (struct err)ERR_INIT;
        assert_int_equal(engine_vmm.launch(&host, &vm, &l, &e), -EINVAL);
        assert_string_equal(e.code, i == 4 ? "param.invalid" : "param.unsupported");
    }
}

/* The only CD-ROM that this engine has: a disk that cannot be written to. */
static void test_launch_cloudinit(void **state)
{
    struct engine_disk disk = {.key = "virtio1",
                               .index = 1,
                               .fd = 7,
                               .is_cdrom = true,
                               .is_read_only = true,
                               .options = "local:100/vm-100-cloudinit.raw,media=cdrom,size=4M"};
    struct engine_vm vm = small_vm();
    struct engine_launch l;
    struct err e = ERR_INIT;

    vm.disks = &disk;
    vm.n_disks = 1;
    assert_int_equal(engine_vmm.launch(&host, &vm, &l, &e), 0);
    assert_non_null(strstr(options_of(&l), "disk fd=21,id=virtio1,discard=off,engine=uring,readonly=on,cached=on\n"));
    engine_launch_done(&l);
    disk.options = "local:iso/x.iso,media=cdrom";
    assert_int_equal(engine_vmm.launch(&host, &vm, &l, &e), -EINVAL);
    assert_string_equal(e.code, "param.unsupported");
}

static void test_accepted(void **state)
{
    static const struct config_item config[] = {
        {"acpi", "1"},
        {"affinity", "0-1"},
        {"agent", "0"},
        {"balloon", "128"},
        {"bios", "seabios"},
        {"boot", "order=virtio0"},
        {"ciuser", "me"},
        {"cipassword", "$5$salt$hash"},
        {"cmdline", "console=ttyS0"},
        {"cores", "2"},
        {"cpu", "host"},
        {"cpulimit", "1"},
        {"description", "x"},
        {"engine", "vmm"},
        {"freeze", "1"},
        {"hugepages", "2"},
        {"ipconfig0", "ip=dhcp"},
        {"kernel", "local:boot/vmlinuz"},
        {"kvm", "1"},
        {"machine", "direct"},
        {"memory", "256"},
        {"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,queues=8,rate=1.5,tag=5,mtu=1400,link_down=1"},
        {"numa", "0"},
        {"onboot", "1"},
        {"ostype", "l26"},
        {"rng0", "source=/dev/urandom"},
        {"scsi30", "local:100/a.raw,size=1G,format=raw,backup=0,iothread=1,queues=4,discard=ignore,aio=io_uring"},
        {"scsi29", "local:100/vm-100-cloudinit.raw,media=cdrom,size=4M"},
        {"scsihw", "virtio-scsi-single"},
        {"searchdomain", "a"},
        {"nameserver", "192.0.2.1"},
        {"sshkeys", "x"},
        {"serial0", "socket"},
        {"smbios1", "uuid=3dd75e8d-a91a-47ee-8fd4-3cd2b2b7d0c1"},
        {"tags", "a"},
        {"unused0", "local:100/b.raw"},
        {"vcpus", "1"},
        {"vga", "serial0"},
        {"virtio15", "local:100/c.raw,serial=abc,ro=1,cache=writeback"},
        {"virtio13", "local:cloudinit,media=cdrom"},
        {"virtio14", "local:100/d.raw,mbps_rd=1.5,mbps_rd_max=2,bps_rd_max_length=3,iops=100,bps_wr=4096"},
        {"vmgenid", "3dd75e8d-a91a-47ee-8fd4-3cd2b2b7d0c1"},
    };
    struct err e = ERR_INIT;

    if (engine_vmm.check_config(&host, config, ARRAY_SIZE(config), &e) < 0)
        fail_msg("%s", e.text);
}

/* Each with the key's name in front, as the API shows it. */
static void test_refused(void **state)
{
    static const struct config_item rows[] = {
        {"acpi", "0"},
        {"agent", "1"},
        {"agent", "enabled=1,type=isa"},
        {"arch", "aarch64"},
        {"args", "-foo"},
        {"audio0", "device=AC97"},
        {"bios", "ovmf"},
        {"cores", "65"},
        {"cpu", "x86-64-v2-AES"},
        {"cpu", "host,flags=+aes"},
        {"efidisk0", "local:1"},
        {"hostpci0", "0000:00:01.0"},
        {"ide2", "none,media=cdrom"},
        {"ide2", "local:cloudinit,media=cdrom"},
        {"kvm", "0"},
        {"localtime", "1"},
        {"machine", "q35"},
        {"net0", "e1000=BC:24:11:00:00:01,bridge=vmbr0"},
        {"net0", "virtio=BC:24:11:00:00:01"},
        {"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,queues=9"},
        {"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,trunks=5"},
        {"numa", "1"},
        {"numa0", "cpus=0"},
        {"ostype", "win11"},
        {"rng0", "source=/dev/hwrng"},
        {"rng0", "source=/dev/urandom,max_bytes=1024"},
        {"sata0", "local:100/a.raw"},
        {"scsi0", "local:100/a.qcow2"},
        {"scsi0", "local:1,format=qcow2"},
        {"scsi0", "local:100/a.raw,wwn=0x5000c500a0b1c2d3"},
        {"scsi0", "local:100/a.raw,queues=17"},
        {"scsihw", "lsi"},
        {"serial0", "/dev/ttyS0"},
        {"serial1", "socket"},
        {"smbios1", "uuid=3dd75e8d-a91a-47ee-8fd4-3cd2b2b7d0c1,serial=x"},
        {"startdate", "now"},
        {"tdf", "1"},
        {"tpmstate0", "local:1,version=v2.0"},
        {"vga", "std"},
        {"virtio0", "local:100/a.raw,cache=unsafe"},
        {"virtio0", "local:100/a.raw,aio=native"},
        {"virtio0", "local:100/a.raw,iops_rd=9,iops_rd_max=10,iops_rd_max_length=3601"},
        {"virtio0", "local:100/a.raw,detect_zeroes=1"},
        {"virtio0", "local:100/a.raw,werror=stop"},
        {"virtio0", "local:100/a.iso,media=cdrom"},
        {"virtio0", "local:iso/x-cloudinit.iso,media=cdrom"},
        {"virtio0", "local:100/a.raw,serial=123456789012345678901"},
        {"watchdog", "i6300esb"},
        {"no-such-key", "1"},
    };
    char begin[64];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct config_item config[] = {{"engine", "vmm"}, {"kernel", "local:boot/vmlinuz"}, rows[i]};
        struct err e = ERR_INIT;

        if (engine_vmm.check_config(&host, config, 3, &e) == 0)
            fail_msg("%s: %s is not refused", rows[i].key, rows[i].value);
        assert_string_equal(e.code, "param.unsupported");
        snprintf(begin, sizeof(begin), "%s: the engine vmm cannot do this: ", rows[i].key);
        if (!str_starts(e.text, begin))
            fail_msg("%s", e.text);
    }
}

static void test_hints(void **state)
{
    static const struct config_item no_kernel[] = {{"engine", "vmm"}};
    static const struct config_item user_net[] = {
        {"engine", "vmm"}, {"kernel", "local:boot/x"}, {"net0", "virtio=BC:24:11:00:00:01"}};
    struct err e = ERR_INIT;

    assert_int_equal(engine_vmm.check_config(&host, no_kernel, 1, &e), -EINVAL);
    assert_non_null(strstr(e.hint, "kernel="));
    e = (struct err)ERR_INIT;
    assert_int_equal(engine_vmm.check_config(&host, user_net, 3, &e), -EINVAL);
    assert_non_null(strstr(e.hint, "bridge="));
}

static void test_host(void **state)
{
    struct engine_host h = host;
    struct err e = ERR_INIT;

    assert_int_equal(engine_vmm.check_host(&h, &e), 0);
    h.has_kvm = false;
    snprintf(h.accel_reason, sizeof(h.accel_reason), "neither vmx nor svm");
    assert_int_equal(engine_vmm.check_host(&h, &e), -ENODEV);
    assert_string_equal(e.code, "engine.kvm");
    assert_non_null(strstr(e.text, "neither vmx nor svm"));
    assert_non_null(strstr(e.hint, "engine=qemu"));
    h.vmm_path[0] = 0;
    assert_int_equal(engine_vmm.check_host(&h, &e), -ENOENT);
}

/* `auto` takes it for what it can do, and QEMU for all else. */
static void test_auto(void **state)
{
    static const struct config_item all[] = {{"kernel", "local:boot/x"}, {"vga", "none"}, {"agent", "1"}};
    const struct config_item screen[] = {{"kernel", "local:boot/x"}, {"engine", "auto"}};
    struct engine_host h = host;
    const struct engine *x = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(engine_choose(&h, "auto", all, 2, &x, &e), 0);
    assert_ptr_equal(x, &engine_vmm);
    assert_int_equal(engine_choose(&h, "auto", all, 3, &x, &e), 0);
    assert_string_equal(x->name, "qemu");
    assert_int_equal(engine_choose(&h, "auto", screen, 2, &x, &e), 0);
    assert_string_equal(x->name, "qemu");
    assert_int_equal(engine_choose(&h, "vmm", all, 3, &x, &e), -EINVAL);
    h.has_kvm = false;
    assert_int_equal(engine_choose(&h, "auto", all, 2, &x, &e), 0);
    assert_string_equal(x->name, "qemu");
    assert_int_equal(engine_choose(&h, "vmm", all, 2, &x, &e), -ENODEV);
}

static void test_live(void **state)
{
    static const struct {
        const char *options, *verb;
    } limits[] = {
        {"local:1/a,mbps=2,iops_rd=5,iops_rd_max=9",
         "+disk-limit {\"device\":\"virtio0\",\"limits\":\"bps=2097152,iops_rd=5,iops_rd_max=9\"}\n"},
        {"local:1/a,discard=on", "+disk-limit {\"device\":\"virtio0\",\"limits\":\"\"}\n"},
    };
    struct engine_net net = {.key = "net0", .is_link_down = true};
    struct engine_disk disk = {.key = "virtio0"};
    struct engine_vm vm = small_vm();
    struct engine_script s;
    struct err e = ERR_INIT;

    vm.nets = &net;
    vm.n_nets = 1;
    vm.disks = &disk;
    vm.n_disks = 1;
    assert_int_equal(engine_vmm.live(&vm, ENGINE_RESIZE, "virtio0", 2ull << 40, &s, &e), 0);
    assert_fields(&s.fields, FIELD_ARG, "+disk-resize {\"device\":\"virtio0\",\"bytes\":2199023255552}\n");
    buf_done(&s.fields);
    assert_int_equal(engine_vmm.live(&vm, ENGINE_LINK, "net0", 0, &s, &e), 0);
    assert_fields(&s.fields, FIELD_ARG, "+net-link {\"device\":\"net0\",\"up\":false}\n");
    buf_done(&s.fields);
    for (unsigned i = 0; i < ARRAY_SIZE(limits); i++) {
        disk.options = limits[i].options;
        assert_int_equal(engine_vmm.live(&vm, ENGINE_LIMIT, "virtio0", 0, &s, &e), 0);
        assert_fields(&s.fields, FIELD_ARG, limits[i].verb);
        buf_done(&s.fields);
    }
    for (enum engine_live what = ENGINE_PLUG; what <= ENGINE_SAVED; what++)
        if (what != ENGINE_RESIZE && what != ENGINE_LINK && what != ENGINE_LIMIT)
            assert_int_equal(engine_vmm.live(&vm, what, "virtio0", 0, &s, &e), -EOPNOTSUPP);
    assert_string_equal(e.code, "engine.live");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_a_small_guest),
        cmocka_unit_test(test_order_of_a_full_guest),
        cmocka_unit_test(test_launch_refuses),
        cmocka_unit_test(test_launch_cloudinit),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
