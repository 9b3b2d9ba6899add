/* GET /nodes/N/hardware/pci/ID/mdev: the kinds of mediated devices that a PCI device offers, from /sys; none for most.
 * PVE: pve-common, SysFSTools.pm. Read in pool threads. */
#include <ctype.h>
#include <fcntl.h>

#include "api/common.h"
#include "api/sysfs.h"
#include "base/fs.h"

#define DEVICES           "/sys/bus/pci/devices"
#define TYPES             "mdev_supported_types"
#define TYPES_MAX         1024u
#define DESCRIPTION_BYTES 4096u
#define REPLY_BYTES       (1024u * 1024u)

struct mdev_query {
    char path[64]; /* of the device's folder */
    struct buf json;
};

/* All lines of it. */
static void write_description(struct jw *w, int dir)
{
    struct err ignored = ERR_INIT;
    struct buf b;

    buf_init(&b, DESCRIPTION_BYTES);
    int r = fs_read_file(dir, "description", &b, &ignored);
    while (r == 0 && b.len && isspace((unsigned char)b.data[b.len - 1]))
        b.len--;
    jw_key(w, "description");
    jw_strn(w, b.data ? b.data : "", r == 0 ? b.len : 0);
    buf_done(&b);
}

static void write_type(struct jw *w, int top, const char *name)
{
    autoclose int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char text[256];

    if (dir < 0)
        return;
    jw_object(w);
    jw_kv_str(w, "type", name);
    jw_kv_u64(w, "available", sysfs_u64(dir, "available_instances", 0));
    if (sysfs_text(dir, "name", text, sizeof(text)))
        jw_kv_str(w, "name", text);
    write_description(w, dir);
    jw_object_end(w);
}

static int read_types(void *ctx, struct err *e)
{
    struct mdev_query *q = ctx;
    struct jw w;
    char **names;
    autoclose int dir = open(q->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_set(e, -ENODEV, "host.device", "no PCI device '%s' on this node", q->path + sizeof(DEVICES));
    autoclose int top = openat(dir, TYPES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t n = sysfs_names(dir, TYPES, &names, TYPES_MAX);
    jw_init(&w, &q->json);
    jw_array(&w);
    for (size_t i = 0; i < n; i++)
        write_type(&w, top, names[i]);
    jw_array_end(&w);
    sysfs_names_free(names, n);
    return q->json.is_failed ? err_set(e, -EFBIG, "host.output", "too many kinds of mediated devices") : 0;
}

static int finish_types(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct mdev_query *q = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(&q->json), q->json.len);
    buf_done(&q->json);
    return r;
}

/* "01:00.0" means "0000:01:00.0"; the kernel writes small letters. */
static void device_path(const char *id, char dst[64])
{
    int n = snprintf(dst, 64, "%s/%s%s", DEVICES, strlen(id) < 12 ? "0000:" : "", id);

    for (int i = (int)sizeof(DEVICES); i < n; i++)
        dst[i] = (char)tolower((unsigned char)dst[i]);
}

int api_node_pci_mdev(struct api_call *c, const struct api_node_pci_mdev_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct mdev_query *q = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*q));

    if (r < 0)
        return r;
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (!strchr(a->pci_id_or_mapping, ':'))
        return api_param_error(c, e, "pci-id-or-mapping", "there is no mapping '%.64s'", a->pci_id_or_mapping);
    device_path(a->pci_id_or_mapping, q->path);
    buf_init(&q->json, REPLY_BYTES);
    return api_offload(c, read_types, finish_types, q);
}
