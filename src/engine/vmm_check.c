/* What the engine vmm refuses before anything is made. Every key of a configuration has a row: a key without one is of
 * another engine. Rows without a check need nothing of the machine, or are done by others (limits, order of starts).
 * Pure. */
#include "engine/limits.h"
#include "engine/vmm_priv.h"

/* ---- drives ---- */

/* Keys of a drive: acted on, or of other parts of Holm. */
static const char *const disk_keys[] = {"file",  "volume", "size",     "format", "media",  "ro",     "discard",  "aio",
                                        "cache", "serial", "iothread", "queues", "backup", "shared", "replicate"};

/* Values that say what is so anyway. */
static const struct {
    const char *key, *value;
} disk_values[] = {{"rerror", "report"}, {"werror", "report"}, {"detect_zeroes", "0"}, {"snapshot", "0"},
                   {"ssd", "0"},         {"format", "raw"},    {"media", "disk"}};

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (streq(s, list[i]))
            return true;
    return false;
}

static int check_disk_item(const char *key, const char *name, const char *value, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(disk_values); i++)
        if (streq(disk_values[i].key, name))
            return streq(disk_values[i].value, value)
                       ? 0
                       : engine_unsupported(e, "vmm", key, "%s=%.32s, only %s", name, value, disk_values[i].value);
    if (!is_one_of(name, disk_keys, ARRAY_SIZE(disk_keys)) && !limit_find(name))
        return engine_unsupported(e, "vmm", key, "%.40s", name);
    if (streq(name, "aio") && !streq(value, "io_uring") && !streq(value, "threads"))
        return engine_unsupported(e, "vmm", key, "aio=%.32s; it is io_uring or threads", value);
    if (streq(name, "cache") && !streq(value, "none") && !streq(value, "writeback"))
        return engine_unsupported(e, "vmm", key, "cache=%.32s; it is none or writeback", value);
    if (streq(name, "discard") && !streq(value, "on") && !streq(value, "ignore"))
        return err_set(e, -EINVAL, "param.invalid", "%s: discard=%.32s", key, value);
    if (streq(name, "serial") && strlen(value) > 20)
        return engine_unsupported(e, "vmm", key, "a serial number of more than 20 bytes");
    return 0;
}

/* What holm-vmm would refuse at the start. */
static int check_limits(const char *key, const struct propstr *p, struct err *e)
{
    static const char *const names[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};
    int r = 0;

    for (size_t i = 0; i < p->n && r == 0; i++)
        r = limit_check(key, p, &p->items[i], e);
    for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++) {
        struct vmm_limit l = vmm_limit(p, names[i]);

        if (l.is_twice)
            return err_set(e, -EINVAL, "param.invalid", "%s: %s and m%s", key, names[i], names[i]);
        if (l.rate > VMM_RATE_MAX || l.max > VMM_RATE_MAX || l.seconds > VMM_BURST_SECONDS_MAX)
            return engine_unsupported(e, "vmm", key, "%s: more than 2^50 a second, or bursts of more than %u seconds",
                                      names[i], VMM_BURST_SECONDS_MAX);
        if ((l.max && l.max < l.rate) || (l.seconds && !l.max))
            return err_set(e, -EINVAL, "param.invalid", "%s: a burst of %s is more than the limit, and has a rate", key,
                           names[i]);
    }
    return r;
}

static int check_disk(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    uint64_t queues;
    bool is_ro;
    int r = propstr_parse(value, "file", &p, e);

    if (r < 0)
        return err_wrap(e, r, "%s", key);
    const char *file = propstr_get(&p, "file") ? propstr_get(&p, "file") : propstr_get(&p, "volume");
    for (size_t i = 0; i < p.n; i++) {
        /* A CD-ROM for others, for this engine's guests a disk that cannot be written to. */
        if (file && engine_is_cloudinit(file) && streq(p.items[i].key, "media"))
            continue;
        if ((r = check_disk_item(key, p.items[i].key, p.items[i].value, e)) < 0)
            return r;
    }
    r = check_limits(key, &p, e);
    if (r < 0)
        return r;
    if (file && str_ends(file, ".qcow2"))
        return engine_unsupported(e, "vmm", key, "a qcow2 image; disks are raw");
    if (propstr_get_u64(&p, "queues", 1, &queues, e) < 0 || !queues || queues > VMM_DISK_QUEUES_MAX)
        return engine_unsupported(e, "vmm", key, "queues: 1 to %u", VMM_DISK_QUEUES_MAX);
    return propstr_get_bool(&p, "ro", false, &is_ro, e);
}

static int check_other_drive(const char *key, const char *value, struct err *e)
{
    engine_unsupported(e, "vmm", key, "there is no such controller");
    return err_hint(e, "use virtioN or scsiN");
}

/* ---- interfaces ---- */

static int check_net(const char *key, const char *value, struct err *e)
{
    static const char *const known[] = {"model", "virtio", "macaddr",   "bridge", "tag",
                                        "rate",  "mtu",    "link_down", "queues", "firewall"};
    struct propstr p;
    uint64_t queues, mtu;
    int r = propstr_parse(value, "model", &p, e);

    if (r < 0)
        return err_wrap(e, r, "%s", key);
    for (size_t i = 0; i < p.n; i++)
        if (!is_one_of(p.items[i].key, known, ARRAY_SIZE(known)))
            return engine_unsupported(e, "vmm", key, "%.40s; interfaces are virtio", p.items[i].key);
    const char *model = propstr_get(&p, "model");
    if (model && !streq(model, "virtio"))
        return engine_unsupported(e, "vmm", key, "model %.32s; interfaces are virtio", model);
    if (!propstr_get(&p, "bridge")) {
        engine_unsupported(e, "vmm", key, "a network without a bridge");
        return err_hint(e, "bridge=vmbr0; `holm net init` makes one with NAT");
    }
    r = propstr_get_u64(&p, "queues", 0, &queues, e);
    if (r == 0 && queues > VMM_NET_QUEUES_MAX)
        return engine_unsupported(e, "vmm", key, "queues above %u", VMM_NET_QUEUES_MAX);
    if (r == 0)
        r = propstr_get_u64(&p, "mtu", 0, &mtu, e);
    if (r == 0 && mtu > 65520)
        return err_set(e, -EINVAL, "param.invalid", "%s: mtu is at most 65520", key);
    const char *rate = propstr_get(&p, "rate");
    char *end = NULL;
    double n = rate ? strtod(rate, &end) : 0;
    if (r == 0 && rate && (*end || !(n >= 0 && n <= 100000)))
        return err_set(e, -EINVAL, "param.invalid", "%s: rate is a number of megabytes a second", key);
    return r;
}

/* ---- the rest ---- */

static int check_off(const char *key, const char *value, struct err *e)
{
    bool is_on;

    if (propstr_bool(value, &is_on) < 0)
        return err_set(e, -EINVAL, "param.invalid", "%s: '%.32s'", key, value);
    return is_on ? engine_unsupported(e, "vmm", key, "it has no such thing") : 0;
}

static int check_on(const char *key, const char *value, struct err *e)
{
    bool is_on;

    if (propstr_bool(value, &is_on) < 0)
        return err_set(e, -EINVAL, "param.invalid", "%s: '%.32s'", key, value);
    return is_on ? 0 : engine_unsupported(e, "vmm", key, "it does not go without");
}

static int refuse(const char *key, const char *value, struct err *e)
{
    return engine_unsupported(e, "vmm", key, "%.60s", value);
}

static int check_agent(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    bool is_on = false;
    int r = propstr_parse(value, "enabled", &p, e);

    if (r == 0)
        r = propstr_get_bool(&p, "enabled", false, &is_on, e);
    return r < 0   ? err_wrap(e, r, "agent")
           : is_on ? engine_unsupported(e, "vmm", key, "a channel for the guest agent")
                   : 0;
}

static int check_arch(const char *key, const char *value, struct err *e)
{
    return streq(value, "x86_64") ? 0 : refuse(key, value, e);
}

static int check_bios(const char *key, const char *value, struct err *e)
{
    /* The default's name; there is no firmware at all. */
    return streq(value, "seabios") ? 0 : engine_unsupported(e, "vmm", key, "firmware; the kernel is started directly");
}

static int check_cpu(const char *key, const char *value, struct err *e)
{
    return streq(value, "host") || streq(value, "cputype=host")
               ? 0
               : engine_unsupported(e, "vmm", key, "%.60s; the guest sees the host's processor", value);
}

static int check_machine(const char *key, const char *value, struct err *e)
{
    return streq(value, "direct") || streq(value, "type=direct")
               ? 0
               : engine_unsupported(e, "vmm", key, "%.60s; its machine is 'direct'", value);
}

static int check_ostype(const char *key, const char *value, struct err *e)
{
    return streq(value, "l26") || streq(value, "l24") || streq(value, "other")
               ? 0
               : engine_unsupported(e, "vmm", key, "%.32s needs firmware", value);
}

static int check_rng(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value, "source", &p, e);

    if (r < 0)
        return err_wrap(e, r, "rng0");
    const char *source = propstr_get(&p, "source");
    if (!source || (!streq(source, "/dev/urandom") && !streq(source, "/dev/random")))
        return engine_unsupported(e, "vmm", key, "source %.32s", source ? source : "is missing");
    return propstr_get(&p, "max_bytes") && !streq(propstr_get(&p, "max_bytes"), "0")
               ? engine_unsupported(e, "vmm", key, "max_bytes")
               : 0;
}

static int check_scsihw(const char *key, const char *value, struct err *e)
{
    return streq(value, "virtio-scsi-pci") || streq(value, "virtio-scsi-single")
               ? 0
               : engine_unsupported(e, "vmm", key, "%.32s; scsiN are virtio disks", value);
}

static int check_serial(const char *key, const char *value, struct err *e)
{
    if (!streq(key, "serial0"))
        return engine_unsupported(e, "vmm", key, "there is one serial port, serial0");
    return streq(value, "socket") ? 0 : engine_unsupported(e, "vmm", key, "a device of the host; use socket");
}

/* A new guest has one of its own: it is not shown to the guest. */
static int check_smbios(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value, NULL, &p, e);

    for (size_t i = 0; r == 0 && i < p.n; i++)
        if (!streq(p.items[i].key, "uuid") && !streq(p.items[i].key, "base64"))
            r = engine_unsupported(e, "vmm", key, "%.32s", p.items[i].key);
    return r;
}

static int check_vga(const char *key, const char *value, struct err *e)
{
    return streq(value, "none") || streq(value, "serial0") || streq(value, "type=none") || streq(value, "type=serial0")
               ? 0
               : engine_unsupported(e, "vmm", key, "a screen; use serial0 or none");
}

/* Each line of holm-vmm's options is one option. */
static int check_cmdline(const char *key, const char *value, struct err *e)
{
    if (strlen(value) > VMM_CMDLINE_MAX)
        return engine_unsupported(e, "vmm", key, "more than %u bytes", VMM_CMDLINE_MAX);
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(e, -EINVAL, "param.invalid", "cmdline: a control character");
    return 0;
}

static const struct key_row {
    const char *key;
    bool is_indexed;
    int (*check)(const char *key, const char *value, struct err *e);
} rows[] = {
    {"acpi", false, check_on},
    {"affinity", false, NULL},
    {"agent", false, check_agent},
    {"allow-ksm", false, NULL}, /* never offered to it */
    {"arch", false, check_arch},
    {"args", false, refuse},
    {"audio", true, refuse},
    {"autostart", false, NULL},
    {"balloon", false, NULL},
    {"bios", false, check_bios},
    {"boot", false, NULL}, /* of disks that somebody boots from: the kernel is given */
    {"bootdisk", false, NULL},
    {"cicustom", false, NULL}, /* of cloud-init, which only reads a drive */
    {"cipassword", false, NULL},
    {"citype", false, NULL},
    {"ciupgrade", false, NULL},
    {"ciuser", false, NULL},
    {"cmdline", false, check_cmdline},
    {"cores", false, NULL},
    {"cpu", false, check_cpu},
    {"cpulimit", false, NULL},
    {"cpuunits", false, NULL},
    {"description", false, NULL},
    {"efidisk", true, refuse},
    {"engine", false, NULL},
    {"freeze", false, NULL},
    {"hotplug", false, NULL},
    {"hugepages", false, NULL},
    {"ide", true, check_other_drive},
    {"initrd", false, NULL},
    {"ipconfig", true, NULL},
    {"keephugepages", false, NULL},
    {"kernel", false, NULL},
    {"keyboard", false, NULL}, /* as with vga=none of any engine */
    {"kvm", false, check_on},
    {"localtime", false, check_off},
    {"lock", false, NULL},
    {"machine", false, check_machine},
    {"memory", false, NULL},
    {"migrate_downtime", false, NULL},
    {"migrate_speed", false, NULL},
    {"name", false, NULL},
    {"nameserver", false, NULL},
    {"net", true, check_net},
    {"numa", false, check_off},
    {"numa", true, refuse},
    {"onboot", false, NULL},
    {"ostype", false, check_ostype},
    {"protection", false, NULL},
    {"reboot", false, NULL},
    {"rng0", false, check_rng},
    {"sata", true, check_other_drive},
    {"scsi", true, check_disk},
    {"scsihw", false, check_scsihw},
    {"searchdomain", false, NULL},
    {"serial", true, check_serial},
    {"shares", false, NULL},
    {"smbios1", false, check_smbios},
    {"sockets", false, NULL},
    {"sshkeys", false, NULL},
    {"startdate", false, refuse},
    {"startup", false, NULL},
    {"tablet", false, NULL},
    {"tags", false, NULL},
    {"tdf", false, check_off},
    {"tpmstate", true, refuse},
    {"unused", true, NULL},
    {"vcpus", false, NULL},
    {"vga", false, check_vga},
    {"virtio", true, check_disk},
    {"vmgenid", false, NULL}, /* a new guest has one; nothing here makes a guest go back in time */
    {"watchdog", false, refuse},
};

static int check_key(const struct config_item *item, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].is_indexed ? engine_key_index(item->key, rows[i].key) >= 0 : streq(item->key, rows[i].key))
            return rows[i].check ? rows[i].check(item->key, item->value, e) : 0;
    return engine_unsupported(e, "vmm", item->key, "it does not know this key");
}

/* `auto` gives a guest a screen unless it says that it wants none; who names this engine knows that it has none. */
static int check_screen(const struct config_item *config, size_t n, struct err *e)
{
    const char *engine = config_item_get(config, n, "engine");

    if ((engine && streq(engine, "vmm")) || config_item_get(config, n, "vga"))
        return 0;
    return engine_unsupported(e, "vmm", "vga", "a screen; use serial0 or none");
}

static int check_cpus(const struct config_item *config, size_t n, struct err *e)
{
    const char *sockets = config_item_get(config, n, "sockets"), *cores = config_item_get(config, n, "cores");
    uint64_t s = 1, c = 1;

    if ((sockets && str_to_u64(sockets, &s) < 0) || (cores && str_to_u64(cores, &c) < 0) || !s || !c ||
        s > VMM_CPUS_MAX || c > VMM_CPUS_MAX || s * c > VMM_CPUS_MAX)
        return engine_unsupported(e, "vmm", "cores", "more than %u CPUs", VMM_CPUS_MAX);
    return 0;
}

int vmm_check_config(const struct engine_host *h, const struct config_item *config, size_t n, struct err *e)
{
    unsigned n_devices = 2; /* balloon and rng0 */
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        r = check_key(&config[i], e);
        n_devices += engine_key_index(config[i].key, "virtio") >= 0 || engine_key_index(config[i].key, "scsi") >= 0 ||
                     engine_key_index(config[i].key, "net") >= 0;
    }
    if (r == 0 && n_devices > VMM_DEVICES_MAX)
        r = engine_unsupported(e, "vmm", "virtio", "more than %u drives and interfaces", VMM_DEVICES_MAX - 2);
    if (r == 0 && !config_item_get(config, n, "kernel")) {
        engine_unsupported(e, "vmm", "kernel", "a guest without one: it boots no disk");
        r = err_hint(e, "kernel=STORAGE:boot/FILE, and initrd and cmdline");
    }
    if (r == 0)
        r = check_cpus(config, n, e);
    return r < 0 ? r : check_screen(config, n, e);
}
