/* GET /nodes/N/hardware/usb: the USB devices and hubs of the host, from /sys. PVE: pve-common, SysFSTools.pm. Texts
 * come from the devices themselves, which may be hostile: they are cut, and written as valid UTF-8. Read in pool
 * threads. */
#include <ctype.h>
#include <fcntl.h>

#include "api/common.h"
#include "api/sysfs.h"

#define DEVICES     "/sys/bus/usb/devices"
#define DEVICES_MAX 1024u
#define REPLY_BYTES (1024u * 1024u)

/* "usb1" is a root hub, "1-2.3" the device at port 3 of the hub at port 2 of bus 1; "1-2:1.0" is a part of a device. */
static bool is_device(const char *name)
{
    return (str_starts(name, "usb") || isdigit((unsigned char)name[0])) && !strchr(name, ':');
}

static void write_text(struct jw *w, int dir, const char *file, const char *key)
{
    char text[256];

    if (sysfs_text(dir, file, text, sizeof(text)))
        jw_kv_str(w, key, text);
}

static void write_hex(struct jw *w, int dir, const char *file, const char *key)
{
    char text[64], value[80];

    sysfs_text(dir, file, text, sizeof(text));
    snprintf(value, sizeof(value), "0x%s", text);
    jw_kv_str(w, key, text[0] ? value : "");
}

static uint64_t number(int dir, const char *file, unsigned base)
{
    char text[64];

    return sysfs_text(dir, file, text, sizeof(text)) ? strtoull(text, NULL, (int)base) : 0;
}

/* Where it is plugged in; a root hub is nowhere. */
static void write_place(struct jw *w, const char *name)
{
    const char *ports = strchr(name, '-'), *last = ports;
    int64_t level = 0;

    for (const char *p = ports; p && *p; p++)
        if (*p == '-' || *p == '.')
            level++, last = p;
    jw_kv_int(w, "level", level);
    jw_kv_u64(w, "port", last ? strtoul(last + 1, NULL, 10) : 0);
    if (ports)
        jw_kv_str(w, "usbpath", ports + 1);
}

static void write_device(struct jw *w, int top, const char *name)
{
    autoclose int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char speed[64];

    if (dir < 0)
        return;
    sysfs_text(dir, "speed", speed, sizeof(speed));
    jw_object(w);
    jw_kv_u64(w, "busnum", number(dir, "busnum", 10));
    jw_kv_u64(w, "devnum", number(dir, "devnum", 10));
    jw_kv_u64(w, "class", number(dir, "bDeviceClass", 16));
    write_hex(w, dir, "idVendor", "vendid");
    write_hex(w, dir, "idProduct", "prodid");
    jw_kv_str(w, "speed", speed);
    write_text(w, dir, "manufacturer", "manufacturer");
    write_text(w, dir, "product", "product");
    write_text(w, dir, "serial", "serial");
    write_place(w, name);
    jw_object_end(w);
}

static int read_devices(void *ctx, struct err *e)
{
    struct buf *json = ctx;
    struct jw w;
    char **names;
    autoclose int top = open(DEVICES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t n = sysfs_names(AT_FDCWD, DEVICES, &names, DEVICES_MAX);

    jw_init(&w, json);
    jw_array(&w);
    for (size_t i = 0; i < n; i++)
        if (is_device(names[i]))
            write_device(&w, top, names[i]);
    jw_array_end(&w);
    sysfs_names_free(names, n);
    return json->is_failed ? err_set(e, -EFBIG, "host.output", "too many USB devices") : 0;
}

static int finish_devices(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct buf *json = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(json), json->len);
    buf_done(json);
    return r;
}

int api_node_usb(struct api_call *c, const struct api_node_usb_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct buf *json = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*json));

    if (r < 0)
        return r;
    if (!json)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    buf_init(json, REPLY_BYTES);
    return api_offload(c, read_devices, finish_devices, json);
}
