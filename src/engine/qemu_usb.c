/* USB of a guest: the controller, the tablet, and devices of the host (usb0, usb1, …). A device of the host is one file
 * that holmd opened (guest/usb.c) and QEMU gets as a descriptor, so that QEMU, which runs as nobody in particular,
 * reaches this device and no other. Every device has a port that follows from its key: the tablet 1, usbN N+2. Pure but
 * for qemu_add_fd's bookkeeping. */
#include "engine/qemu_priv.h"

#define USB_MAX       14
#define USB_PORTS     15u
#define USB_FDSET_MIN 400u /* qemu_disk.c has those below */

unsigned qemu_usb_fdset(unsigned index)
{
    return USB_FDSET_MIN + index;
}

/* Windows before 8 has no driver for xHCI; for everybody else that controller costs nothing while nothing moves. */
bool qemu_has_old_usb(const struct config_item *config, size_t n)
{
    static const char *const old[] = {"w2k", "w2k3", "w2k8", "wvista", "win7", "wxp"};
    const char *ostype = config_item_get(config, n, "ostype");

    for (size_t i = 0; ostype && i < ARRAY_SIZE(old); i++)
        if (streq(ostype, old[i]))
            return true;
    return false;
}

int qemu_check_usb(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value, "host", &p, e);

    if (r < 0)
        return err_wrap(e, r, "%s", key);
    const char *device = propstr_get(&p, "host");
    if (engine_key_index(key, "usb") >= USB_MAX)
        return engine_unsupported(e, "qemu", key, "there are %d of them", USB_MAX);
    if (propstr_get(&p, "mapping"))
        return engine_unsupported(e, "qemu", key, "mappings of devices");
    if (!device)
        return err_set(e, -EINVAL, "param.invalid", "%s: either 'host' or 'mapping' must be set", key);
    return strcasecmp(device, "spice") == 0 ? engine_unsupported(e, "qemu", key, "spice") : 0;
}

/* What the configuration says at a start: are there devices, or may there be? */
static bool needs_controller(const struct qemu_build *q, bool has_display, bool has_tablet)
{
    bool is_hot = engine_hotplug(q->vm->config, q->vm->n_config) & ENGINE_HOTPLUG_USB;

    for (size_t i = 0; i < q->vm->n_config; i++)
        if (engine_key_index(q->vm->config[i].key, "usb") >= 0)
            return true;
    /* Without a screen only a guest that asks for it: one device less to look for while it boots. */
    return has_display ? has_tablet || is_hot : is_hot && qemu_config(q, "hotplug");
}

void qemu_usb_tablet(struct qemu_build *q)
{
    struct qemu_json d;

    qemu_device_begin(&d, "usb-tablet", "tablet");
    jw_kv_str(&d.w, "bus", "usb-input.0");
    jw_kv_str(&d.w, "port", "1");
    qemu_device_end(q, &d);
}

int qemu_usb_device(struct qemu_build *q, const struct engine_usb *u, struct err *e)
{
    unsigned set = qemu_usb_fdset(u->index);
    struct qemu_json d;
    char text[48];
    int number = -1, r = q->is_live ? 0 : qemu_add_fd(q, u->fd, &number, e);

    if (r < 0)
        return r;
    qemu_arg(q, "-add-fd");
    qemu_argf(q, "fd=%d,set=%u", number, set);
    qemu_device_begin(&d, "usb-host", u->key);
    jw_kv_str(&d.w, "bus", "usb-input.0");
    snprintf(text, sizeof(text), "%u", u->index + 2);
    jw_kv_str(&d.w, "port", text);
    snprintf(text, sizeof(text), "/dev/fdset/%u", set);
    jw_kv_str(&d.w, "hostdevice", text);
    qemu_device_end(q, &d);
    return 0;
}

int qemu_add_usb(struct qemu_build *q, bool has_display, struct err *e)
{
    const char *tablet = qemu_config(q, "tablet");
    bool is_on = true, is_old = qemu_has_old_usb(q->vm->config, q->vm->n_config);
    struct qemu_json d;

    if (tablet && propstr_bool(tablet, &is_on) < 0)
        is_on = false;
    is_on = is_on && has_display;
    if (!needs_controller(q, has_display, is_on))
        return 0;
    qemu_device_begin(&d, is_old ? "piix3-usb-uhci" : "qemu-xhci", "usb-input");
    if (!is_old) {
        jw_kv_u64(&d.w, "p2", USB_PORTS);
        jw_kv_u64(&d.w, "p3", USB_PORTS);
    }
    int r = qemu_device_at(q, &d, QEMU_USB_INPUT, 0, e);
    qemu_device_end(q, &d);
    if (is_on)
        qemu_usb_tablet(q);
    for (size_t i = 0; r == 0 && i < q->vm->n_usbs; i++)
        r = qemu_usb_device(q, &q->vm->usbs[i], e);
    return r;
}
