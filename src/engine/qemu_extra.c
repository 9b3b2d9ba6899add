/* Small things that the qemu engine adds on request: watchdog, sound card, IOMMU, sleep states, a Windows guest's
 * hints, and root's own arguments. Pure. */
#include "engine/qemu_priv.h"

bool qemu_is_windows(const struct qemu_build *q)
{
    const char *ostype = qemu_config(q, "ostype");

    return ostype && ostype[0] == 'w';
}

/* Paravirtual hints that a Windows of this age knows; they mean something with KVM only. */
void qemu_append_hyperv(const struct qemu_build *q, struct buf *model)
{
    const char *ostype = qemu_config(q, "ostype");
    bool is_old = ostype && (streq(ostype, "wxp") || streq(ostype, "w2k") || streq(ostype, "w2k3"));
    bool is_modern = ostype && (str_starts(ostype, "win8") || str_starts(ostype, "win1"));

    if (!q->is_kvm)
        return;
    if (ostype && streq(ostype, "solaris"))
        buf_append_str(model, ",-x2apic");
    if (!qemu_is_windows(q) || is_old)
        return;
    buf_append_str(model, ",hv_time,hv_relaxed,hv_vapic,hv_spinlocks=0x1fff");
    if (is_modern || streq(ostype, "win7"))
        buf_append_str(model, ",hv_vpindex,hv_runtime,hv_reset,hv_synic,hv_stimer");
    if (is_modern)
        buf_append_str(model, ",hv_ipi,hv_tlbflush");
}

/* ---- watchdog ---- */

static int parse_watchdog(const char *value, struct propstr *p, const char **ret_action, struct err *e)
{
    /* PVE's action, QEMU's: both speak alike */
    static const char *const actions[] = {"reset", "shutdown", "poweroff", "pause", "debug", "none"};
    int r = propstr_parse(value, "model", p, e);

    if (r < 0)
        return err_wrap(e, r, "watchdog");
    const char *model = propstr_get(p, "model"), *action = propstr_get(p, "action");
    if (model && !streq(model, "i6300esb") && !streq(model, "ib700"))
        return err_set(e, -EINVAL, "param.invalid", "watchdog: model '%.32s' is not known", model);
    for (size_t i = 0; i < p->n; i++)
        if (!streq(p->items[i].key, "model") && !streq(p->items[i].key, "action"))
            return err_set(e, -EINVAL, "param.invalid", "watchdog: '%.32s' is not known", p->items[i].key);
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (streq(action ? action : "none", actions[i])) {
            *ret_action = actions[i];
            return 0;
        }
    return err_set(e, -EINVAL, "param.invalid", "watchdog: action '%.32s' is not known", action);
}

int qemu_check_watchdog(const char *value, struct err *e)
{
    const char *action;
    struct propstr p;

    return parse_watchdog(value, &p, &action, e);
}

static int add_watchdog(struct qemu_build *q, struct err *e)
{
    const char *value = qemu_config(q, "watchdog"), *action;
    struct propstr p;
    struct qemu_json d;
    int r = value ? parse_watchdog(value, &p, &action, e) : 0;

    if (!value || r < 0)
        return r;
    const char *model = propstr_get(&p, "model");
    bool is_isa = model && streq(model, "ib700");
    qemu_device_begin(&d, is_isa ? "ib700" : "i6300esb", "watchdog0");
    if (!is_isa)
        r = qemu_device_at(q, &d, QEMU_WATCHDOG, 0, e);
    qemu_device_end(q, &d);
    qemu_arg(q, "-action");
    qemu_argf(q, "watchdog=%s", action);
    return r;
}

/* ---- sound ---- */

int qemu_check_audio(const char *value, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value, NULL, &p, e);

    if (r < 0)
        return err_wrap(e, r, "audio0");
    const char *device = propstr_get(&p, "device"), *driver = propstr_get(&p, "driver");
    if (!device || (!streq(device, "ich9-intel-hda") && !streq(device, "intel-hda") && !streq(device, "AC97")))
        return err_set(e, -EINVAL, "param.invalid", "audio0: device '%.32s' is not known", device ? device : "");
    if (!driver || !streq(driver, "none"))
        return engine_unsupported(e, "qemu", "audio0", "driver=spice, the default; use driver=none");
    return 0;
}

static void add_codec(struct qemu_build *q, const char *driver, unsigned number)
{
    struct qemu_json d;
    char id[24];

    snprintf(id, sizeof(id), "audio0-codec%u", number);
    qemu_device_begin(&d, driver, id);
    jw_kv_str(&d.w, "bus", "audio0-device.0");
    jw_kv_u64(&d.w, "cad", number);
    jw_kv_str(&d.w, "audiodev", "audio0");
    qemu_device_end(q, &d);
}

static int add_audio(struct qemu_build *q, struct err *e)
{
    const char *value = qemu_config(q, "audio0");
    struct propstr p;
    struct qemu_json d;
    int r = value ? propstr_parse(value, NULL, &p, e) : 0;

    if (!value || r < 0)
        return r;
    const char *device = propstr_get(&p, "device");
    bool is_hda = device && !streq(device, "AC97");
    qemu_arg(q, "-audiodev");
    qemu_arg(q, "none,id=audio0");
    qemu_device_begin(&d, device ? device : "", "audio0-device");
    r = qemu_device_at(q, &d, QEMU_AUDIO, 0, e);
    if (!is_hda)
        jw_kv_str(&d.w, "audiodev", "audio0");
    qemu_device_end(q, &d);
    if (is_hda) {
        add_codec(q, "hda-micro", 0);
        add_codec(q, "hda-duplex", 1);
    }
    return r;
}

/* ---- machine options ---- */

int qemu_check_machine_options(const struct propstr *p, bool is_q35, struct err *e)
{
    static const char *const known[] = {"type", "viommu", "enable-s3", "enable-s4", "aw-bits"};
    const char *viommu = propstr_get(p, "viommu");
    uint64_t bits;
    bool ignored;

    for (size_t i = 0; i < p->n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_SIZE(known); k++)
            is_known = is_known || streq(p->items[i].key, known[k]);
        if (!is_known)
            return engine_unsupported(e, "qemu", "machine", "%s", p->items[i].key);
    }
    if (viommu && !streq(viommu, "intel") && !streq(viommu, "virtio"))
        return err_set(e, -EINVAL, "param.invalid", "machine: viommu=%.32s", viommu);
    if (viommu && !is_q35)
        return engine_unsupported(e, "qemu", "machine", "viommu without q35");
    if (propstr_get(p, "aw-bits") && (!viommu || !streq(viommu, "intel")))
        return engine_unsupported(e, "qemu", "machine", "aw-bits without viommu=intel");
    int r = propstr_get_u64(p, "aw-bits", 39, &bits, e);
    if (r == 0 && bits != 39 && bits != 48)
        r = err_set(e, -EINVAL, "param.invalid", "machine: aw-bits is 39 or 48");
    if (r == 0)
        r = propstr_get_bool(p, "enable-s3", true, &ignored, e);
    return r < 0 ? r : propstr_get_bool(p, "enable-s4", true, &ignored, e);
}

static int add_sleep(struct qemu_build *q, const struct propstr *p, const char *key, const char *property,
                     struct err *e)
{
    bool is_on;
    int r = propstr_get_bool(p, key, true, &is_on, e);

    if (r < 0 || !propstr_get(p, key))
        return r;
    qemu_arg(q, "-global");
    qemu_argf(q, "%s.%s=%d", q->is_q35 ? "ICH9-LPC" : "PIIX4_PM", property, !is_on);
    return 0;
}

static int add_iommu(struct qemu_build *q, const struct propstr *p, struct err *e)
{
    const char *viommu = propstr_get(p, "viommu"), *bits = propstr_get(p, "aw-bits");
    struct qemu_json d;
    int r = 0;

    if (!viommu)
        return 0;
    if (streq(viommu, "intel")) {
        qemu_device_begin(&d, "intel-iommu", "viommu0");
        jw_kv_str(&d.w, "intremap", "on");
        jw_key(&d.w, "caching-mode");
        jw_bool(&d.w, true);
        if (bits)
            jw_kv_u64(&d.w, "aw-bits", strtoull(bits, NULL, 10));
        qemu_device_end(q, &d);
        if (q->is_kvm) { /* the kernel's own interrupt controller cannot remap */
            qemu_arg(q, "-machine");
            qemu_arg(q, "kernel-irqchip=split");
        }
        return 0;
    }
    qemu_device_begin(&d, "virtio-iommu-pci", "viommu0");
    r = qemu_device_at(q, &d, QEMU_IOMMU, 0, e);
    qemu_device_end(q, &d);
    return r;
}

/* The IOMMU comes before the devices that are behind it. */
int qemu_add_machine_options(struct qemu_build *q, struct err *e)
{
    const char *value = qemu_config(q, "machine");
    struct propstr p;
    int r = value ? propstr_parse(value, "type", &p, e) : 0;

    if (!value || r < 0)
        return r;
    r = add_sleep(q, &p, "enable-s3", "disable_s3", e);
    if (r == 0)
        r = add_sleep(q, &p, "enable-s4", "disable_s4", e);
    return r < 0 ? r : add_iommu(q, &p, e);
}

int qemu_add_extra_devices(struct qemu_build *q, struct err *e)
{
    int r = add_watchdog(q, e);

    return r < 0 ? r : add_audio(q, e);
}

/* ---- root's arguments ---- */

/* One word of a line as a shell reads it: blanks separate, quotes and backslashes protect; nothing is expanded. Returns
 * where it ends, NULL at the end of the line. */
static const char *next_word(const char *p, struct buf *word, bool *ret_is_closed)
{
    char quote = 0;

    p += strspn(p, " \t");
    if (!*p)
        return NULL;
    for (; *p && (quote || (*p != ' ' && *p != '\t')); p++) {
        if (quote && *p == quote) {
            quote = 0;
        } else if (!quote && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else {
            if (*p == '\\' && quote != '\'' && p[1])
                p++;
            buf_append_char(word, *p);
        }
    }
    *ret_is_closed = !quote;
    return p;
}

int qemu_split_args(const char *value, struct qemu_build *q, struct err *e)
{
    autobuf struct buf word;
    bool is_closed = true;

    buf_init(&word, 65536);
    for (const char *p = value; p && is_closed;) {
        buf_reset(&word);
        p = next_word(p, &word, &is_closed);
        if (p && q && is_closed)
            qemu_arg(q, buf_str(&word));
    }
    if (!is_closed)
        return err_set(e, -EINVAL, "param.invalid", "args: a quote is not closed");
    return word.is_failed ? err_set(e, -E2BIG, "param.invalid", "args: too long") : 0;
}
