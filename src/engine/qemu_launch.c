/* A guest as a command line of QEMU: no defaults, no user configuration, everything explicit, JSON wherever QEMU takes
 * it (nothing to escape), descriptors instead of paths. Order: machine, CPU, memory; channels; bridges; devices. Pure
 * but for one fcntl per drive (qemu_disk.c). Called by holmd's launch job in a pool thread. */
#include <sodium.h>

#include "engine/qemu_priv.h"
#include "proto/frame.h"

#define PAYLOAD_MAX (512u * 1024u)

/* ---- building blocks ---- */

const char *qemu_config(const struct qemu_build *q, const char *key)
{
    return config_item_get(q->vm->config, q->vm->n_config, key);
}

static bool config_flag(const struct qemu_build *q, const char *key, bool fallback)
{
    const char *value = qemu_config(q, key);
    bool v = fallback;

    return value && propstr_bool(value, &v) < 0 ? fallback : v;
}

void qemu_arg(struct qemu_build *q, const char *arg)
{
    field_str(&q->devices, FIELD_ARG, arg);
}

void qemu_argf(struct qemu_build *q, const char *fmt, ...)
{
    autobuf struct buf text;
    va_list ap;

    buf_init(&text, PAYLOAD_MAX);
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    q->devices.is_failed = q->devices.is_failed || text.is_failed;
    qemu_arg(q, buf_str(&text));
}

void qemu_append_escaped(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == ',')
            buf_append_char(b, ',');
        buf_append_char(b, *s);
    }
}

int qemu_add_fd(struct qemu_build *q, int fd, int *ret_number, struct err *e)
{
    struct engine_launch *l = q->out;

    if (l->n_fds == ARRAY_SIZE(l->fds))
        return err_set(e, -E2BIG, "engine.too-many", "more than %zu drives and interfaces", ARRAY_SIZE(l->fds));
    l->fds[l->n_fds++] = fd;
    field_u32(&l->payload, FIELD_FD_TARGET, (uint32_t)q->next_fd);
    *ret_number = q->next_fd++;
    return 0;
}

unsigned qemu_boot_index(const struct qemu_build *q, const char *key)
{
    for (size_t i = 0; i < q->n_boot; i++)
        if (streq(q->boot_order[i], key))
            return (unsigned)i + 1;
    return 0;
}

void qemu_json_begin(struct qemu_json *d)
{
    buf_init(&d->text, 16384);
    jw_init(&d->w, &d->text);
    jw_object(&d->w);
}

void qemu_json_end(struct qemu_build *q, const char *option, struct qemu_json *d)
{
    jw_object_end(&d->w);
    q->devices.is_failed = q->devices.is_failed || d->text.is_failed;
    qemu_arg(q, option);
    qemu_arg(q, buf_str(&d->text));
    buf_done(&d->text);
}

void qemu_device_begin(struct qemu_json *d, const char *driver, const char *id)
{
    qemu_json_begin(d);
    jw_kv_str(&d->w, "driver", driver);
    jw_kv_str(&d->w, "id", id);
}

void qemu_device_end(struct qemu_build *q, struct qemu_json *d)
{
    qemu_json_end(q, "-device", d);
}

int qemu_device_at(struct qemu_build *q, struct qemu_json *d, enum qemu_kind kind, unsigned index, struct err *e)
{
    struct qemu_addr a;
    char text[16];

    if (qemu_addr_of(kind, index, &a) < 0)
        return err_set(e, -E2BIG, "engine.too-many", "number %u has no PCI slot", index);
    if (q->is_live && (q->is_q35 || a.bridge)) {
        jw_kv_str(&d->w, "bus", QEMU_HOTPLUG_BUS); /* the next free slot there, until the next start */
        return 0;
    }
    snprintf(text, sizeof(text), "bridge%u", a.bridge);
    jw_kv_str(&d->w, "bus", a.bridge ? text : q->root_bus);
    snprintf(text, sizeof(text), "0x%x", a.slot);
    jw_kv_str(&d->w, "addr", text);
    if (a.bridge)
        q->bridges |= 1u << a.bridge;
    return 0;
}

/* ---- machine, CPU, memory ---- */

static void add_machine(struct qemu_build *q)
{
    qemu_arg(q, "-machine");
    qemu_argf(q, "%s,usb=off,vmport=off,dump-guest-core=off,acpi=%s,graphics=%s%s%s", q->vm->machine,
              config_flag(q, "acpi", true) ? "on" : "off", qemu_has_display(qemu_config(q, "vga")) ? "on" : "off",
              config_flag(q, "allow-ksm", true) ? "" : ",mem-merge=off", qemu_is_windows(q) ? ",hpet=off" : "");
    qemu_arg(q, "-accel");
    qemu_arg(q, q->is_kvm ? "kvm" : "tcg,thread=multi");
    if (q->is_kvm)
        snprintf(q->out->note, sizeof(q->out->note), "accelerator: hardware KVM");
    else
        snprintf(q->out->note, sizeof(q->out->note), "accelerator: TCG, software emulation (%s)",
                 q->host->has_kvm ? "kvm is 0 in the configuration" : q->host->accel_reason);
}

static int add_cpu(struct qemu_build *q, struct err *e)
{
    uint32_t max = q->vm->sockets * q->vm->cores, vcpus = q->vm->vcpus;
    autobuf struct buf model;

    buf_init(&model, 4096);
    int r = qemu_cpu(q->is_kvm, qemu_config(q, "cpu"), q->vm->cpu_model, &model, e);
    if (r < 0)
        return r;
    if (!max || max > 255)
        return err_set(e, -EINVAL, "param.invalid", "cores and sockets make %u CPUs: 1 to 255", max);
    qemu_append_hyperv(q, &model);
    qemu_arg(q, "-cpu");
    qemu_arg(q, buf_str(&model));
    qemu_arg(q, "-smp");
    vcpus = vcpus && vcpus < max ? vcpus : max;
    bool is_modular = engine_hotplug(q->vm->config, q->vm->n_config) & ENGINE_HOTPLUG_CPU;
    qemu_argf(q, "cpus=%u,sockets=%u,cores=%u,threads=1,maxcpus=%u", is_modular ? 1 : vcpus, q->vm->sockets,
              q->vm->cores, max);
    r = qemu_add_memory(q, e);
    return r == 0 && is_modular ? qemu_add_cpu_devices(q, buf_str(&model), 2, vcpus) : r;
}

static int append_smbios_value(const char *key, const char *value, bool is_base64, struct buf *ret, struct err *e)
{
    char plain[400];
    size_t n = strlen(value);

    if (is_base64 && !streq(key, "uuid")) {
        if (sodium_base642bin((unsigned char *)plain, sizeof(plain) - 1, value, n, NULL, &n, NULL,
                              sodium_base64_VARIANT_ORIGINAL) != 0)
            return err_set(e, -EINVAL, "param.invalid", "smbios1: %s is not valid base64", key);
        plain[n] = 0;
        value = plain;
    }
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
            return err_set(e, -EINVAL, "param.invalid", "smbios1: control character in %s", key);
    buf_printf(ret, ",%s=", key);
    qemu_append_escaped(ret, value);
    return 0;
}

/* The value of -smbios; the UUID is the guest's own even when the key has none. */
int qemu_smbios(const char *value, const char *uuid, struct buf *ret, struct err *e)
{
    static const char *const keys[] = {"manufacturer", "product", "version", "serial", "sku", "family"};
    struct propstr p;
    bool is_base64 = false;
    int r = propstr_parse(value ? value : "", NULL, &p, e);

    if (r == 0)
        r = propstr_get_bool(&p, "base64", false, &is_base64, e);
    buf_append_str(ret, "type=1");
    if (propstr_get(&p, "uuid"))
        uuid = propstr_get(&p, "uuid");
    if (r == 0 && *uuid)
        r = append_smbios_value("uuid", uuid, false, ret, e);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(keys); i++)
        if (propstr_get(&p, keys[i]))
            r = append_smbios_value(keys[i], propstr_get(&p, keys[i]), is_base64, ret, e);
    return r;
}

static int add_identity(struct qemu_build *q, struct err *e)
{
    autobuf struct buf text;
    char fallback[24];

    buf_init(&text, 8192);
    snprintf(fallback, sizeof(fallback), "guest-%u", q->vm->vmid);
    buf_append_str(&text, "guest=");
    qemu_append_escaped(&text, q->vm->name ? q->vm->name : fallback);
    buf_append_str(&text, ",debug-threads=on");
    qemu_arg(q, "-name");
    qemu_arg(q, buf_str(&text));
    buf_reset(&text);
    int r = qemu_smbios(qemu_config(q, "smbios1"), q->vm->uuid, &text, e);
    if (r < 0)
        return r;
    qemu_arg(q, "-smbios");
    qemu_arg(q, buf_str(&text));
    if (q->vm->uuid[0]) {
        qemu_arg(q, "-uuid");
        qemu_arg(q, q->vm->uuid);
    }
    return 0;
}

static void add_clock(struct qemu_build *q)
{
    const char *start = qemu_config(q, "startdate");
    bool is_windows = qemu_is_windows(q), is_slewed = config_flag(q, "tdf", false) || is_windows;

    /* Windows reads local time, and counts its timer's ticks. */
    if (!start || streq(start, "now"))
        start = config_flag(q, "localtime", is_windows) ? "localtime" : "utc";
    qemu_arg(q, "-rtc");
    qemu_argf(q, "base=%s%s", start, is_slewed ? ",driftfix=slew" : "");
    if (is_windows && q->is_kvm) {
        qemu_arg(q, "-global");
        qemu_arg(q, "kvm-pit.lost_tick_policy=discard");
    }
    if (!config_flag(q, "reboot", true))
        qemu_arg(q, "-no-reboot");
}

/* ---- booting ---- */

static void boot_add(struct qemu_build *q, const char *key)
{
    if (q->n_boot < QEMU_BOOT_ORDER_MAX && strlen(key) < sizeof(q->boot_order[0]) && !qemu_boot_index(q, key))
        snprintf(q->boot_order[q->n_boot++], sizeof(q->boot_order[0]), "%s", key);
}

/* The old form: c = first disk, d = CD-ROM drives, n = network, a = floppy (there is none). */
static void boot_legacy(struct qemu_build *q, const char *letters)
{
    const char *bootdisk = qemu_config(q, "bootdisk");

    for (; *letters; letters++) {
        if (*letters == 'c' && bootdisk)
            boot_add(q, bootdisk);
        for (size_t i = 0; i < q->vm->n_disks && *letters != 'n'; i++) {
            const struct engine_disk *d = &q->vm->disks[i];
            if (d->is_cdrom != (*letters == 'd') || *letters == 'a' || (!d->is_cdrom && bootdisk))
                continue;
            boot_add(q, d->key);
            if (*letters == 'c')
                break;
        }
        for (size_t i = 0; i < q->vm->n_nets && *letters == 'n'; i++)
            boot_add(q, q->vm->nets[i].key);
    }
}

int qemu_boot_order(const char *value, struct qemu_build *q, struct err *e)
{
    struct propstr p;
    char key[16];
    int r = propstr_parse(value ? value : "", "legacy", &p, e);

    if (r < 0)
        return err_wrap(e, r, "boot");
    const char *order = propstr_get(&p, "order"), *legacy = propstr_get(&p, "legacy");
    if (!order) {
        if (legacy && strspn(legacy, "acdn") != strlen(legacy))
            return err_set(e, -EINVAL, "param.invalid", "boot: '%.32s'", legacy);
        boot_legacy(q, legacy ? legacy : "cdn");
        return 0;
    }
    for (const char *s = order; *s;) {
        size_t n = strcspn(s, ";");
        if (n >= sizeof(key))
            return err_set(e, -EINVAL, "param.invalid", "boot: '%.32s' is not a device", s);
        memcpy(key, s, n);
        key[n] = 0;
        if (n)
            boot_add(q, key);
        s += n + (s[n] == ';');
    }
    return 0;
}

static int add_boot(struct qemu_build *q, struct err *e)
{
    int number, r = qemu_boot_order(qemu_config(q, "boot"), q, e);

    if (r < 0)
        return r;
    qemu_arg(q, "-boot");
    qemu_arg(q, "strict=on");
    if (q->vm->kernel_fd < 0)
        return 0;
    r = qemu_add_fd(q, q->vm->kernel_fd, &number, e);
    if (r < 0)
        return r;
    qemu_arg(q, "-kernel");
    qemu_argf(q, "/dev/fd/%d", number);
    if (q->vm->initrd_fd >= 0) {
        r = qemu_add_fd(q, q->vm->initrd_fd, &number, e);
        if (r < 0)
            return r;
        qemu_arg(q, "-initrd");
        qemu_argf(q, "/dev/fd/%d", number);
    }
    if (q->vm->cmdline && *q->vm->cmdline) {
        qemu_arg(q, "-append");
        qemu_arg(q, q->vm->cmdline);
    }
    return 0;
}

/* Memory of a snapshot: read before anything runs. */
static int add_incoming(struct qemu_build *q, struct err *e)
{
    int number;
    int r = q->vm->ram_fd > 0 ? qemu_add_fd(q, q->vm->ram_fd, &number, e) : 1;

    if (r != 0)
        return r < 0 ? r : 0;
    qemu_arg(q, "-incoming");
    qemu_argf(q, "fd:%d", number);
    return 0;
}

/* ---- channels and small devices ---- */

static void add_channel(struct qemu_build *q, const char *name, int fd)
{
    char text[40];

    snprintf(text, sizeof(text), "%s=%d", name, fd);
    field_str(&q->out->payload, FIELD_CHANNEL, text);
    qemu_arg(q, "-chardev");
    qemu_argf(q, "socket,id=%s,fd=%d,server=off", name, fd);
}

static void add_serials(struct qemu_build *q)
{
    for (int i = 0; i < (int)QEMU_SERIAL_MAX; i++) {
        struct qemu_json d;
        char key[16], id[24];
        snprintf(key, sizeof(key), "serial%d", i);
        if (!qemu_config(q, key))
            continue;
        add_channel(q, key, QEMU_FD_SERIAL + i);
        snprintf(id, sizeof(id), "port-%s", key);
        qemu_device_begin(&d, "isa-serial", id);
        jw_kv_str(&d.w, "chardev", key);
        jw_kv_int(&d.w, "index", i);
        qemu_device_end(q, &d);
    }
}

/* The channel of the guest agent. */
static int add_agent(struct qemu_build *q, struct err *e)
{
    const char *value = qemu_config(q, "agent");
    struct propstr p;
    struct qemu_json d;
    bool is_enabled = false;
    int r = value ? propstr_parse(value, "enabled", &p, e) : 0;

    if (r == 0 && value)
        r = propstr_get_bool(&p, "enabled", false, &is_enabled, e);
    if (r < 0 || !is_enabled)
        return r;
    add_channel(q, "qga", QEMU_FD_AGENT);
    if (propstr_get(&p, "type") && streq(propstr_get(&p, "type"), "isa")) {
        qemu_device_begin(&d, "isa-serial", "port-qga");
        jw_kv_str(&d.w, "chardev", "qga");
        qemu_device_end(q, &d);
        return 0;
    }
    qemu_device_begin(&d, "virtio-serial-pci", "qga-bus");
    r = qemu_device_at(q, &d, QEMU_AGENT, 0, e);
    qemu_device_end(q, &d);
    qemu_device_begin(&d, "virtserialport", "port-qga");
    jw_kv_str(&d.w, "bus", "qga-bus.0");
    jw_kv_str(&d.w, "chardev", "qga");
    jw_kv_str(&d.w, "name", "org.qemu.guest_agent.0");
    qemu_device_end(q, &d);
    return r;
}

static int add_pci_device(struct qemu_build *q, const char *driver, const char *id, enum qemu_kind kind, struct err *e)
{
    struct qemu_json d;

    qemu_device_begin(&d, driver, id);
    int r = qemu_device_at(q, &d, kind, 0, e);
    qemu_device_end(q, &d);
    return r;
}

static int add_rng(struct qemu_build *q, struct err *e)
{
    const char *value = qemu_config(q, "rng0");
    struct propstr p;
    struct qemu_json d;
    uint64_t max_bytes, period_ms;
    int r = value ? propstr_parse(value, "source", &p, e) : 0;

    if (!value || r < 0)
        return r;
    r = propstr_get_u64(&p, "max_bytes", 1024, &max_bytes, e);
    if (r == 0)
        r = propstr_get_u64(&p, "period", 1000, &period_ms, e);
    if (r < 0)
        return r;
    qemu_arg(q, "-object");
    qemu_arg(q, "rng-builtin,id=rng0-source");
    qemu_device_begin(&d, "virtio-rng-pci", "rng0");
    jw_kv_str(&d.w, "rng", "rng0-source");
    if (max_bytes) {
        jw_kv_u64(&d.w, "max-bytes", max_bytes);
        jw_kv_u64(&d.w, "period", period_ms);
    }
    r = qemu_device_at(q, &d, QEMU_RNG, 0, e);
    qemu_device_end(q, &d);
    return r;
}

static int add_small_devices(struct qemu_build *q, struct err *e)
{
    const char *balloon = qemu_config(q, "balloon"), *ostype = qemu_config(q, "ostype");
    int r = qemu_add_display(q, e);

    if (r == 0 && !(balloon && streq(balloon, "0")))
        r = add_pci_device(q, "virtio-balloon-pci", "balloon0", QEMU_BALLOON, e);
    if (r == 0)
        r = add_rng(q, e);
    /* Linux knows the device that reports its panics; others would look for a driver. */
    if (r == 0 && ostype && streq(ostype, "l26"))
        r = add_pci_device(q, "pvpanic-pci", "panic0", QEMU_PANIC, e);
    if (r == 0 && q->vm->vmgenid[0]) {
        struct qemu_json d;
        qemu_device_begin(&d, "vmgenid", "vmgenid0");
        jw_kv_str(&d.w, "guid", q->vm->vmgenid);
        qemu_device_end(q, &d);
    }
    return r;
}

/* What the monitor does when QEMU answers: it always starts stopped, so that nothing runs before the links are set. */
static void add_verbs(struct qemu_build *q)
{
    char text[40];

    for (size_t i = 0; i < q->vm->n_nets; i++) {
        if (!q->vm->nets[i].is_link_down)
            continue;
        snprintf(text, sizeof(text), "link-down %s", q->vm->nets[i].key);
        field_str(&q->out->payload, FIELD_VERB, text);
    }
    if (!q->vm->is_paused)
        field_str(&q->out->payload, FIELD_VERB, "resume");
}

/* ---- the whole ---- */

static void add_fixed(struct qemu_build *q)
{
    static const char *const fixed[] = {"-nodefaults",
                                        "-no-user-config",
                                        "-display",
                                        "none",
                                        "-S",
                                        "-sandbox",
                                        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
                                        "-msg",
                                        "timestamp=on"};

    qemu_arg(q, q->host->qemu_path);
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        qemu_arg(q, fixed[i]);
}

/* The bridge for devices that come later; without the key, disks and interfaces may. */
static void add_hotplug_bridge(struct qemu_build *q)
{
    struct qemu_json d;
    char slot[16];

    if (!(engine_hotplug(q->vm->config, q->vm->n_config) & (ENGINE_HOTPLUG_DISK | ENGINE_HOTPLUG_NETWORK)))
        return;
    snprintf(slot, sizeof(slot), "0x%x", QEMU_HOTPLUG_SLOT);
    qemu_device_begin(&d, "pci-bridge", QEMU_HOTPLUG_BUS);
    jw_kv_u64(&d.w, "chassis_nr", QEMU_BRIDGES + 1);
    jw_kv_str(&d.w, "bus", q->root_bus);
    jw_kv_str(&d.w, "addr", slot);
    qemu_device_end(q, &d);
}

static int add_all(struct qemu_build *q, struct err *e)
{
    int r;

    add_fixed(q);
    add_machine(q);
    if ((r = add_cpu(q, e)) < 0 || (r = add_identity(q, e)) < 0)
        return r;
    add_clock(q);
    if ((r = add_boot(q, e)) < 0 || (r = qemu_add_firmware(q, e)) < 0)
        return r;
    add_channel(q, "qmp", QEMU_FD_QMP);
    qemu_arg(q, "-mon");
    qemu_arg(q, "chardev=qmp,mode=control");
    /* From here on devices, whose bridges must come before them. */
    struct buf head = q->devices;
    buf_init(&q->devices, PAYLOAD_MAX);
    r = qemu_add_machine_options(q, e);
    add_serials(q);
    if (r == 0 && (r = add_agent(q, e)) == 0 && (r = add_small_devices(q, e)) == 0 && (r = qemu_add_tpm(q, e)) == 0 &&
        (r = qemu_add_extra_devices(q, e)) == 0 && (r = qemu_add_disks(q, e)) == 0 && (r = add_incoming(q, e)) == 0)
        r = qemu_add_nets(q, e);
    if (r == 0 && qemu_config(q, "args"))
        r = qemu_split_args(qemu_config(q, "args"), q, e);
    struct buf tail = q->devices;
    q->devices = head;
    for (unsigned i = 1; r == 0 && i <= QEMU_BRIDGES; i++) {
        struct qemu_json d;
        char id[16];
        if (!(q->bridges & (1u << i)))
            continue;
        snprintf(id, sizeof(id), "bridge%u", i);
        qemu_device_begin(&d, "pci-bridge", id);
        jw_kv_u64(&d.w, "chassis_nr", i);
        r = qemu_device_at(q, &d, QEMU_BRIDGE, i, e);
        qemu_device_end(q, &d);
    }
    add_hotplug_bridge(q);
    q->devices.is_failed = q->devices.is_failed || tail.is_failed;
    buf_append(&q->devices, tail.data, tail.len);
    buf_done(&tail);
    return r;
}

int qemu_launch(const struct engine_host *h, const struct engine_vm *vm, struct engine_launch *ret, struct err *e)
{
    struct qemu_build q = {.host = h, .vm = vm, .out = ret, .next_fd = QEMU_FD_FIRST};
    const char *kvm = config_item_get(vm->config, vm->n_config, "kvm");
    unsigned version;

    *ret = (struct engine_launch){.own_fd = -1};
    if (!vm->machine || !qemu_machine_parse(vm->machine, &q.is_q35, &version))
        return err_set(e, -EINVAL, "param.invalid", "machine '%.32s' is not known", vm->machine ? vm->machine : "");
    buf_init(&ret->payload, PAYLOAD_MAX);
    buf_init(&q.devices, PAYLOAD_MAX);
    q.root_bus = q.is_q35 ? "pcie.0" : "pci.0";
    q.is_kvm = h->has_kvm && !(kvm && streq(kvm, "0"));
    ret->needs_kvm_group = q.is_kvm;
    field_str(&ret->payload, FIELD_DRIVER, engine_qemu.driver);
    field_u32(&ret->payload, FIELD_VMID, vm->vmid);
    field_str(&ret->payload, FIELD_ENV, "PATH=/usr/bin:/bin");
    field_str(&ret->payload, FIELD_ENV, "LANG=C");
    int r = add_all(&q, e);
    add_verbs(&q);
    ret->payload.is_failed = ret->payload.is_failed || q.devices.is_failed;
    buf_append(&ret->payload, q.devices.data, q.devices.len);
    buf_done(&q.devices);
    if (r == 0 && ret->payload.is_failed)
        r = err_set(e, -E2BIG, "engine.too-many", "the command line of the guest is too long");
    if (r < 0)
        engine_launch_done(ret);
    return r;
}
