/* What the qemu engine refuses before anything is made: one row per key that it looks at. What the API's key table lets
 * through and is not named here has no effect on the machine. Pure. */

#include "engine/qemu_priv.h"

static int check_disk(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    static const struct {
        const char *stem;
        int count;
    } buses[] = {{"virtio", 16}, {"scsi", 31}, {"sata", 6}, {"ide", 4}};

    for (size_t i = 0; i < ARRAY_SIZE(buses); i++)
        if (engine_key_index(key, buses[i].stem) >= buses[i].count)
            return engine_unsupported(e, "qemu", key, "there are %d of them", buses[i].count);
    return qemu_check_disk(key, value, e);
}

static int check_net(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    if (engine_key_index(key, "net") >= 32)
        return engine_unsupported(e, "qemu", key, "there are 32 of them");
    return qemu_check_net(key, value, e);
}

static int check_cpu(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    autobuf struct buf ignored;

    buf_init(&ignored, 8192);
    return qemu_cpu(h->has_kvm, value, "", &ignored, e);
}

static int check_vga(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return qemu_check_display(value, e);
}

static int check_machine(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    struct engine_choice choice;
    struct config_item item = {key, value};
    struct propstr p;
    unsigned version;
    bool is_q35 = false;
    int r = propstr_parse(value, "type", &p, e);

    if (r < 0)
        return err_wrap(e, r, "machine");
    r = engine_qemu.resolve(h, &item, 1, &choice, e);
    if (r == 0 && qemu_machine_parse(choice.machine, &is_q35, &version))
        r = qemu_check_machine_options(&p, is_q35, e);
    return r;
}

static int check_serial(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    if (engine_key_index(key, "serial") >= (int)QEMU_SERIAL_MAX)
        return engine_unsupported(e, "qemu", key, "there are %u of them", QEMU_SERIAL_MAX);
    return streq(value, "socket") ? 0 : engine_unsupported(e, "qemu", key, "a device of the host; use socket");
}

static int check_bios(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return streq(value, "seabios") || streq(value, "ovmf") ? 0 : engine_unsupported(e, "qemu", key, "%.32s", value);
}

static int check_scsihw(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    static const char *const known[] = {"lsi",     "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single",
                                        "megasas", "pvscsi"};

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (streq(known[i], value))
            return 0;
    return engine_unsupported(e, "qemu", key, "%.32s", value);
}

static int check_smbios(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    autobuf struct buf ignored;

    buf_init(&ignored, 8192);
    return qemu_smbios(value, "", &ignored, e);
}

static int check_rng(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    struct propstr p;
    uint64_t number;
    int r = propstr_parse(value, "source", &p, e);

    if (r < 0)
        return err_wrap(e, r, "rng0");
    const char *source = propstr_get(&p, "source");
    if (!source || (!streq(source, "/dev/urandom") && !streq(source, "/dev/random")))
        return engine_unsupported(e, "qemu", key, "source %.32s", source ? source : "is missing");
    r = propstr_get_u64(&p, "max_bytes", 0, &number, e);
    return r < 0 ? r : propstr_get_u64(&p, "period", 0, &number, e);
}

static int check_boot(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    const struct engine_vm no_vm = {0};
    struct qemu_build q = {.vm = &no_vm};

    return qemu_boot_order(value, &q, e);
}

static int check_agent(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    struct propstr p;
    bool ignored;
    int r = propstr_parse(value, "enabled", &p, e);

    return r < 0 ? err_wrap(e, r, "agent") : propstr_get_bool(&p, "enabled", false, &ignored, e);
}

/* "2006-06-17T16:01:21", "2006-06-17" or "now": it goes into an option as it is. */
static int check_startdate(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    if (streq(value, "now") || (*value && strlen(value) <= 19 && strspn(value, "0123456789-:T") == strlen(value)))
        return 0;
    return err_set(e, -EINVAL, "param.invalid", "startdate: '%.32s'", value);
}

static int check_efidisk(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return qemu_check_efidisk(key, value, e);
}

static int check_tpm(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return qemu_check_tpm(key, value, e);
}

static int check_watchdog(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return qemu_check_watchdog(value, e);
}

static int check_audio(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return qemu_check_audio(value, e);
}

static int check_args(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return qemu_split_args(value, NULL, e);
}

static int check_arch(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return streq(value, "x86_64") ? 0 : engine_unsupported(e, "qemu", key, "%.16s", value);
}

static int check_usb(const struct engine_host *h, const char *key, const char *value, struct err *e)
{
    return qemu_check_usb(key, value, e);
}

static const struct key_check {
    const char *key;
    bool is_indexed;
    int (*check)(const struct engine_host *h, const char *key, const char *value, struct err *e);
} key_checks[] = {
    {"virtio", true, check_disk},
    {"scsi", true, check_disk},
    {"sata", true, check_disk},
    {"ide", true, check_disk},
    {"net", true, check_net},
    {"serial", true, check_serial},
    {"usb", true, check_usb},
    {"cpu", false, check_cpu},
    {"vga", false, check_vga},
    {"machine", false, check_machine},
    {"bios", false, check_bios},
    {"scsihw", false, check_scsihw},
    {"smbios1", false, check_smbios},
    {"rng0", false, check_rng},
    {"boot", false, check_boot},
    {"agent", false, check_agent},
    {"startdate", false, check_startdate},
    {"efidisk", true, check_efidisk},
    {"tpmstate", true, check_tpm},
    {"watchdog", false, check_watchdog},
    {"audio", true, check_audio},
    {"args", false, check_args},
    {"arch", false, check_arch},
};

/* Queues belong to a controller, and only this kind has one for each drive. */
static int check_queues(const struct config_item *config, size_t n, struct err *e)
{
    const char *hw = config_item_get(config, n, "scsihw");
    struct propstr p;

    for (size_t i = 0; i < n; i++)
        if (engine_key_index(config[i].key, "scsi") >= 0 && propstr_parse(config[i].value, "file", &p, e) == 0 &&
            propstr_get(&p, "queues") && !(hw && streq(hw, "virtio-scsi-single")))
            return engine_unsupported(e, "qemu", config[i].key, "queues without scsihw=virtio-scsi-single");
    return 0;
}

static int check_old_usb(const struct config_item *config, size_t n, struct err *e)
{
    for (size_t i = 0; qemu_has_old_usb(config, n) && i < n; i++)
        if (engine_key_index(config[i].key, "usb") >= 0)
            return engine_unsupported(e, "qemu", config[i].key, "this ostype knows no xHCI");
    return 0;
}

int qemu_check_config(const struct engine_host *h, const struct config_item *config, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_SIZE(key_checks); k++) {
            const struct key_check *c = &key_checks[k];
            if (c->is_indexed ? engine_key_index(config[i].key, c->key) < 0 : !streq(config[i].key, c->key))
                continue;
            int r = c->check(h, config[i].key, config[i].value, e);
            if (r < 0)
                return r;
        }
    int r = check_queues(config, n, e);
    if (r == 0)
        r = check_old_usb(config, n, e);
    return r < 0 ? r : qemu_check_memory(config, n, e);
}
