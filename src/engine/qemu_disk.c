/* Drives of the qemu engine: for each image a protocol node on a passed descriptor and a format node, then a throttle
 * and a device. QEMU opens no path: the file is /dev/fdset/N, and "backing", a node or null, keeps it from following
 * what an image names. The format is the one the configuration tells; nothing is probed. Pure. */
#include <fcntl.h>
#include <inttypes.h>

#include "engine/limits.h"
#include "engine/qemu_priv.h"

/* Keys that are acted on here, or that say something to other parts of Holm only. */
static const char *const known_keys[] = {"file",   "volume",        "size",   "format", "media",    "cache", "aio",
                                         "ro",     "discard",       "ssd",    "serial", "iothread", "wwn",   "rerror",
                                         "werror", "detect_zeroes", "backup", "shared", "replicate"};

/* Keys of one bus only. */
static const struct {
    const char *bus, *key;
} bus_keys[] = {{"scsi", "queues"}, {"scsi", "vendor"}, {"scsi", "product"}, {"ide", "model"}};

static const struct cache_mode {
    const char *name;
    bool is_direct, is_no_flush, is_writethrough;
} cache_modes[] = {
    {"none", true, false, false},   {"writethrough", false, false, true}, {"writeback", false, false, false},
    {"unsafe", false, true, false}, {"directsync", true, false, true},
};

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (streq(s, list[i]))
            return true;
    return false;
}

static bool is_bus_key(const char *drive, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(bus_keys); i++)
        if (str_starts(drive, bus_keys[i].bus) && streq(key, bus_keys[i].key))
            return true;
    return false;
}

static const struct cache_mode *cache_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(cache_modes); i++)
        if (streq(cache_modes[i].name, name))
            return &cache_modes[i];
    return NULL;
}

static int check_values(const char *key, const struct propstr *p, struct err *e)
{
    static const char *const aio[] = {"threads", "native", "io_uring"}, *const discard[] = {"on", "ignore"},
                             *const on_error[] = {"ignore", "report", "stop", "enospc"};
    const struct {
        const char *key;
        const char *const *values;
        size_t n;
    } enums[] = {{"aio", aio, 3}, {"discard", discard, 2}, {"rerror", on_error, 3}, {"werror", on_error, 4}};

    for (size_t i = 0; i < ARRAY_SIZE(enums); i++) {
        const char *value = propstr_get(p, enums[i].key);
        if (value && !is_one_of(value, enums[i].values, enums[i].n))
            return err_set(e, -EINVAL, "param.invalid", "%s: %s=%.32s", key, enums[i].key, value);
    }
    const char *cache = propstr_get(p, "cache"), *io = propstr_get(p, "aio"), *wwn = propstr_get(p, "wwn");
    uint64_t queues;
    if (propstr_get_u64(p, "queues", 2, &queues, e) < 0 || queues < 2 || queues > 64)
        return err_set(e, -EINVAL, "param.invalid", "%s: queues is 2 to 64", key);
    if (wwn && (!str_starts(wwn, "0x") || strlen(wwn) > 18 || !wwn[2] ||
                strspn(wwn + 2, "0123456789abcdefABCDEF") != strlen(wwn + 2)))
        return err_set(e, -EINVAL, "param.invalid", "%s: wwn=%.32s", key, wwn);
    if (cache && !cache_find(cache))
        return err_set(e, -EINVAL, "param.invalid", "%s: cache=%.32s", key, cache);
    if (io && streq(io, "native") && cache && !cache_find(cache)->is_direct)
        return engine_unsupported(e, "qemu", key, "aio=native with cache=%s", cache);
    return 0;
}

int qemu_check_disk(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    bool is_ro = false;
    int r = propstr_parse(value, "file", &p, e);

    if (r < 0)
        return err_wrap(e, r, "%s", key);
    for (size_t i = 0; i < p.n; i++) {
        if (limit_check(key, &p, &p.items[i], e) < 0)
            return e->num;
        if (!limit_find(p.items[i].key) && !is_one_of(p.items[i].key, known_keys, ARRAY_SIZE(known_keys)) &&
            !is_bus_key(key, p.items[i].key))
            return engine_unsupported(e, "qemu", key, "%s", p.items[i].key);
    }
    const char *media = propstr_get(&p, "media");
    bool is_cdrom = media && streq(media, "cdrom");
    r = propstr_get_bool(&p, "ro", false, &is_ro, e);
    if (r == 0 && is_ro && !is_cdrom && (str_starts(key, "ide") || str_starts(key, "sata")))
        r = engine_unsupported(e, "qemu", key, "a read-only disk; use scsi or virtio");
    if (r == 0 && is_cdrom && str_starts(key, "virtio") &&
        streq(propstr_get(&p, "file") ? propstr_get(&p, "file") : "", "none"))
        r = engine_unsupported(e, "qemu", key, "an empty drive; use ide, sata or scsi");
    return r < 0 ? r : check_values(key, &p, e);
}

/* Without a wish: past the host's cache where the file system can, as Proxmox VE does. O_DIRECT is tried on the very
 * descriptor and taken back, which costs no I/O. */
static const struct cache_mode *cache_of(int fd, const struct propstr *p)
{
    const char *name = propstr_get(p, "cache");
    int flags = fcntl(fd, F_GETFL);

    if (name && cache_find(name))
        return cache_find(name);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
        return cache_find("writeback");
    if (fcntl(fd, F_SETFL, flags) < 0)
        return cache_find("writeback");
    return cache_find("none");
}

static void put_cache(struct jw *w, const struct cache_mode *c)
{
    jw_key(w, "cache");
    jw_object(w);
    jw_key(w, "direct");
    jw_bool(w, c->is_direct);
    jw_key(w, "no-flush");
    jw_bool(w, c->is_no_flush);
    jw_object_end(w);
}

/* One image of a drive: the disk's own or one that it stands on. */
struct image {
    const char *key, *on; /* "scsi0"; engine_disk_on */
    const char *below;    /* node that it stands on; NULL: none, or not yet */
    uint64_t set;
    bool is_qcow2, is_read_only, is_discard, is_zeroes, is_copy;
    const char *aio;
    const struct cache_mode *cache;
};

void qemu_image_node(const char *key, const char *on, char dst[QEMU_NODE_MAX])
{
    snprintf(dst, QEMU_NODE_MAX, on[0] ? "format-%s-%s" : "format-%s%s", key, on);
}

static void node_name(const struct image *m, char dst[QEMU_NODE_MAX])
{
    qemu_image_node(m->key, m->on, dst);
}

void qemu_image_file(const char *key, const char *on, char dst[QEMU_NODE_MAX + 8])
{
    snprintf(dst, QEMU_NODE_MAX + 8, on[0] ? "file-%s-%s" : "file-%s%s", key, on);
}

static void put_file(struct jw *w, const struct image *m)
{
    char name[QEMU_NODE_MAX + 8], path[40];

    qemu_image_file(m->key, m->on, name);
    snprintf(path, sizeof(path), "/dev/fdset/%" PRIu64, m->set);
    jw_object(w);
    jw_kv_str(w, "driver", "file");
    jw_kv_str(w, "node-name", name);
    jw_kv_str(w, "filename", path);
    /* A qcow2 image came with its lock (image/lock.h): QEMU's own would stay with each descriptor that it ever had of a
     * layer, and keep it from writing to that. Those of a copy would keep it from opening that as the disk's own. */
    jw_kv_str(w, "locking", m->is_qcow2 || m->is_copy ? "off" : "auto");
    jw_kv_str(w, "aio", m->aio ? m->aio : "threads");
    jw_kv_str(w, "discard", "unmap");
    jw_key(w, "read-only");
    jw_bool(w, m->is_read_only);
    put_cache(w, m->cache);
    jw_object_end(w);
}

/* Without "file". */
static void put_format(struct jw *w, const struct image *m)
{
    char name[QEMU_NODE_MAX];

    node_name(m, name);
    jw_kv_str(w, "driver", m->is_qcow2 ? "qcow2" : "raw");
    jw_kv_str(w, "node-name", name);
    jw_key(w, "read-only");
    jw_bool(w, m->is_read_only);
    jw_kv_str(w, "discard", m->is_discard ? "unmap" : "ignore");
    jw_kv_str(w, "detect-zeroes", m->is_read_only || !m->is_zeroes ? "off" : m->is_discard ? "unmap" : "on");
    put_cache(w, m->cache);
    if (m->is_qcow2) {
        jw_key(w, "backing");
        if (m->below)
            jw_str(w, m->below);
        else
            jw_null(w);
    }
}

/* A set for each image, named as its node is: another descriptor can join it later. QEMU reads the number of a set in a
 * file's name into an int. */
uint64_t qemu_fdset(enum engine_disk_bus bus, unsigned index, const char *on)
{
    static const unsigned first_of[] = {[DISK_VIRTIO] = 100, [DISK_SCSI] = 116, [DISK_SATA] = 148, [DISK_IDE] = 154};
    uint64_t number = strtoull(on + strcspn(on, "0123456789"), NULL, 10), first = first_of[bus] + index;
    uint64_t kind = str_starts(on, "base") ? 5000000 : on[0] == 'v' ? 6000000 : streq(on, QEMU_COPY) ? 9999999 : 0;

    return on[0] ? first * 10000000 + kind + number : first;
}

static void put_throttle(struct jw *w, const struct engine_disk *d, bool is_discard)
{
    char group[32], inner[QEMU_NODE_MAX];

    snprintf(group, sizeof(group), "throttle-%s", d->key);
    qemu_image_node(d->key, engine_disk_on(d, 0), inner);
    jw_kv_str(w, "driver", "throttle");
    jw_kv_str(w, "node-name", d->key);
    jw_kv_str(w, "throttle-group", group);
    jw_key(w, "read-only");
    jw_bool(w, d->is_read_only);
    /* A node that does not say so keeps what the guest discards from those below. */
    jw_kv_str(w, "discard", is_discard ? "unmap" : "ignore");
    jw_kv_str(w, "file", inner);
}

/* On top of each disk, also without limits: what the device hangs on keeps its name, whatever image lies below. */
static void add_throttle(struct qemu_build *q, const struct engine_disk *d, const struct propstr *p,
                         const struct image *m)
{
    struct qemu_json group, node;
    char id[32];

    snprintf(id, sizeof(id), "throttle-%s", d->key);
    qemu_json_begin(&group);
    jw_kv_str(&group.w, "qom-type", "throttle-group");
    jw_kv_str(&group.w, "id", id);
    jw_key(&group.w, "limits");
    jw_object(&group.w);
    for (size_t i = 0; i < p->n; i++) {
        const struct limit *limit = limit_find(p->items[i].key);
        uint64_t value;
        if (limit && limit_parse(limit, p->items[i].value, &value) == 0)
            jw_kv_u64(&group.w, limit->name, value);
    }
    jw_object_end(&group.w);
    qemu_json_end(q, "-object", &group);
    qemu_json_begin(&node);
    put_throttle(&node.w, d, m->is_discard);
    qemu_json_end(q, "-blockdev", &node);
}

static int add_image(struct qemu_build *q, int fd, const struct image *m, struct err *e)
{
    struct qemu_json node;
    int number;
    int r = qemu_add_fd(q, fd, &number, e);

    if (r < 0)
        return r;
    qemu_arg(q, "-add-fd");
    qemu_argf(q, "fd=%d,set=%" PRIu64, number, m->set);
    qemu_json_begin(&node);
    put_format(&node.w, m);
    jw_key(&node.w, "file");
    put_file(&node.w, m);
    qemu_json_end(q, "-blockdev", &node);
    return 0;
}

static bool is_set(const char *value)
{
    bool v = true;

    return !value || propstr_bool(value, &v) < 0 || v;
}

static struct image image_of(const struct engine_disk *d, const struct propstr *p)
{
    const char *discard = propstr_get(p, "discard");

    return (struct image){.key = d->key,
                          .on = engine_disk_on(d, 0),
                          .set = qemu_fdset(d->bus, d->index, engine_disk_on(d, 0)),
                          .is_qcow2 = d->is_qcow2,
                          .is_read_only = d->is_read_only,
                          .is_discard = discard && streq(discard, "on"),
                          .is_zeroes = is_set(propstr_get(p, "detect_zeroes")),
                          .aio = propstr_get(p, "aio"),
                          .cache = cache_of(d->fd, p)};
}

/* The images that a disk stands on, the lowest first; ret_below: the node of the uppermost. */
static int add_below(struct qemu_build *q, const struct engine_disk *d, const struct image *top,
                     char ret_below[QEMU_NODE_MAX], struct err *e)
{
    char below[QEMU_NODE_MAX] = "";
    int r = 0;

    for (size_t i = d->n_below; r == 0 && i-- > 0;) {
        const struct engine_below *b = &d->below[i];
        const char *on = engine_disk_on(d, i + 1);
        struct image m = {.key = d->key,
                          .on = on,
                          .below = below[0] ? below : NULL,
                          .set = qemu_fdset(d->bus, d->index, on),
                          .is_qcow2 = b->is_qcow2,
                          .is_read_only = true,
                          .aio = top->aio,
                          .cache = top->cache};
        r = add_image(q, b->fd, &m, e);
        node_name(&m, ret_below);
        memcpy(below, ret_below, sizeof(below));
    }
    return r;
}

/* Nodes of a drive with a medium; the topmost is named after the key. */
static int add_nodes(struct qemu_build *q, const struct engine_disk *d, const struct propstr *p, bool *ret_writethrough,
                     struct err *e)
{
    char below[QEMU_NODE_MAX] = "";
    struct image m = image_of(d, p);

    m.below = d->n_below ? below : NULL;
    int r = add_below(q, d, &m, below, e);
    if (r == 0)
        r = add_image(q, d->fd, &m, e);
    if (r == 0)
        add_throttle(q, d, p, &m);
    *ret_writethrough = m.cache->is_writethrough;
    return r;
}

int qemu_add_overlay(struct qemu_build *q, const struct engine_disk *d, bool is_copy, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(d->options ? d->options : "", "file", &p, e);

    if (r < 0)
        return r;
    struct image m = image_of(d, &p);
    if (is_copy) {
        m.on = QEMU_COPY;
        m.set = qemu_fdset(d->bus, d->index, QEMU_COPY);
        m.is_copy = m.is_discard = m.is_zeroes = true;
        m.is_read_only = false;
    }
    return add_image(q, d->fd, &m, e);
}

void qemu_move_throttle(const struct engine_disk *d, struct buf *ret_arguments)
{
    struct err ignored = ERR_INIT; /* the image was opened with these very options */
    const char *discard = NULL;
    struct propstr p;
    struct jw w;

    if (propstr_parse(d->options ? d->options : "", "file", &p, &ignored) == 0)
        discard = propstr_get(&p, "discard");

    jw_init(&w, ret_arguments);
    jw_object(&w);
    jw_key(&w, "options");
    jw_array(&w);
    jw_object(&w);
    put_throttle(&w, d, discard && streq(discard, "on"));
    jw_object_end(&w);
    jw_array_end(&w);
    jw_object_end(&w);
}

int qemu_image_reopen(const struct engine_disk *d, const struct qemu_reopen *o, struct buf *ret_arguments,
                      struct err *e)
{
    const char *on = engine_disk_on(d, o->image), *discard;
    char below[QEMU_NODE_MAX], name[QEMU_NODE_MAX + 8];
    struct propstr p;
    struct jw w;
    int r = propstr_parse(d->options ? d->options : "", "file", &p, e);

    if (r < 0)
        return r;
    discard = propstr_get(&p, "discard");
    struct image m = {.key = d->key,
                      .on = on,
                      .set = qemu_fdset(d->bus, d->index, on),
                      .is_qcow2 = true,
                      .is_read_only = o->is_read_only,
                      .is_discard = o->is_top && discard && streq(discard, "on"),
                      .is_zeroes = o->is_top && is_set(propstr_get(&p, "detect_zeroes")),
                      .aio = propstr_get(&p, "aio"),
                      .cache = cache_of(o->fd, &p)};
    qemu_image_node(d->key, engine_disk_on(d, o->below), below);
    m.below = o->below <= d->n_below ? below : NULL;
    qemu_image_file(d->key, on, name);
    jw_init(&w, ret_arguments);
    jw_object(&w);
    jw_key(&w, "options");
    jw_array(&w);
    if (o->is_new_file)
        put_file(&w, &m);
    jw_object(&w);
    put_format(&w, &m);
    jw_kv_str(&w, "file", name);
    jw_object_end(&w);
    jw_array_end(&w);
    jw_object_end(&w);
    return 0;
}

/* ---- controllers and devices ---- */

static const char *scsi_model(const struct qemu_build *q)
{
    const char *value = qemu_config(q, "scsihw");

    return value ? value : "lsi";
}

/* Which controller scsiN hangs on, and its number there. */
static void scsi_place(const struct qemu_build *q, unsigned index, unsigned *ret_controller, unsigned *ret_id)
{
    unsigned per = str_starts(scsi_model(q), "lsi") ? 7 : streq(scsi_model(q), "virtio-scsi-single") ? 1 : 256;

    *ret_controller = index / per;
    *ret_id = index % per;
}

static void add_iothread(struct qemu_build *q, struct qemu_json *d, const char *key)
{
    char id[40];
    struct qemu_json thread;

    snprintf(id, sizeof(id), "iothread-%s", key);
    qemu_json_begin(&thread);
    jw_kv_str(&thread.w, "qom-type", "iothread");
    jw_kv_str(&thread.w, "id", id);
    qemu_json_end(q, "-object", &thread);
    jw_kv_str(&d->w, "iothread", id);
}

static int add_scsi_controller(struct qemu_build *q, unsigned number, const struct engine_disk *disk, bool is_iothread,
                               uint64_t queues, struct err *e)
{
    const char *model = scsi_model(q);
    bool is_single = streq(model, "virtio-scsi-single");
    struct qemu_json d;
    char id[24];

    if (q->scsi_controllers & (1u << number))
        return 0;
    q->scsi_controllers |= 1u << number;
    snprintf(id, sizeof(id), "scsihw%u", number);
    qemu_device_begin(&d, is_single ? "virtio-scsi-pci" : streq(model, "lsi") ? "lsi53c895a" : model, id);
    if (is_single && is_iothread)
        add_iothread(q, &d, disk->key);
    if (is_single && queues)
        jw_kv_u64(&d.w, "num_queues", queues);
    int r = qemu_device_at(q, &d, is_single ? QEMU_SCSI_SINGLE : QEMU_SCSI, number, e);
    qemu_device_end(q, &d);
    return r;
}

static int add_sata_controller(struct qemu_build *q, struct err *e)
{
    struct qemu_json d;

    if (q->has_sata)
        return 0;
    q->has_sata = true;
    qemu_device_begin(&d, "ich9-ahci", "ahci0");
    int r = qemu_device_at(q, &d, QEMU_SATA, 0, e);
    qemu_device_end(q, &d);
    return r;
}

/* Where the device hangs; may write a controller first. */
static int put_place(struct qemu_build *q, struct qemu_json *dev, const struct engine_disk *d, bool is_iothread,
                     uint64_t queues, struct err *e)
{
    unsigned controller, id;
    char bus[24];
    int r = 0;

    switch (d->bus) {
    case DISK_VIRTIO:
        if (is_iothread)
            add_iothread(q, dev, d->key);
        return qemu_device_at(q, dev, QEMU_VIRTIO, d->index, e);
    case DISK_SCSI:
        scsi_place(q, d->index, &controller, &id);
        r = add_scsi_controller(q, controller, d, is_iothread, queues, e);
        snprintf(bus, sizeof(bus), "scsihw%u.0", controller);
        jw_kv_u64(&dev->w, "channel", 0);
        jw_kv_u64(&dev->w, "scsi-id", id);
        jw_kv_u64(&dev->w, "lun", 0);
        break;
    case DISK_SATA:
        r = add_sata_controller(q, e);
        snprintf(bus, sizeof(bus), "ahci0.%u", d->index);
        break;
    case DISK_IDE:
        /* q35: a port of the chipset's AHCI each; i440fx: two IDE channels with two drives. */
        snprintf(bus, sizeof(bus), "ide.%u", q->is_q35 ? d->index : d->index / 2);
        if (!q->is_q35)
            jw_kv_u64(&dev->w, "unit", d->index % 2);
        break;
    }
    jw_kv_str(&dev->w, "bus", bus);
    return r;
}

static const char *device_driver(const struct engine_disk *d)
{
    switch (d->bus) {
    case DISK_VIRTIO:
        return "virtio-blk-pci";
    case DISK_SCSI:
        return d->is_cdrom ? "scsi-cd" : "scsi-hd";
    case DISK_SATA:
    case DISK_IDE:
        return d->is_cdrom ? "ide-cd" : "ide-hd";
    }
    return NULL;
}

static bool flag_of(const struct propstr *p, const char *key)
{
    const char *value = propstr_get(p, key);
    bool v = false;

    return value && propstr_bool(value, &v) == 0 && v;
}

/* Serial numbers and names of models are percent-encoded, so that they may hold a comma. What is no such code, or is
 * one of a control character, stays as it is written. */
static void put_decoded(struct jw *w, const char *key, const char *value)
{
    char plain[128], hex[3] = "";
    size_t n = 0;

    for (const char *p = value; *p && n < sizeof(plain) - 1; p++) {
        char *end = hex;
        unsigned long c = 0;
        if (*p == '%' && p[1] && p[2]) {
            memcpy(hex, p + 1, 2);
            c = strtoul(hex, &end, 16);
        }
        bool is_code = end == hex + 2 && c >= ' ' && c < 0x7f && hex[0] != '-' && hex[0] != '+' && hex[0] != ' ';
        plain[n++] = is_code ? (char)c : *p;
        p += is_code ? 2 : 0;
    }
    plain[n] = 0;
    jw_kv_str(w, key, plain);
}

static int add_device(struct qemu_build *q, const struct engine_disk *d, const struct propstr *p, bool is_writethrough,
                      struct err *e)
{
    const char *rerror = propstr_get(p, "rerror"), *werror = propstr_get(p, "werror"), *wwn = propstr_get(p, "wwn");
    unsigned boot = qemu_boot_index(q, d->key);
    struct qemu_json dev;

    qemu_device_begin(&dev, device_driver(d), d->key);
    uint64_t queues = 0;
    int r = propstr_get_u64(p, "queues", 0, &queues, e);
    if (r == 0)
        r = put_place(q, &dev, d, flag_of(p, "iothread"), queues, e);
    for (size_t i = 0; i < ARRAY_SIZE(bus_keys); i++)
        if (str_starts(d->key, bus_keys[i].bus) && propstr_get(p, bus_keys[i].key) && !streq(bus_keys[i].key, "queues"))
            put_decoded(&dev.w, bus_keys[i].key, propstr_get(p, bus_keys[i].key));
    if (d->fd >= 0)
        jw_kv_str(&dev.w, "drive", d->key);
    if (d->fd >= 0 && !d->is_cdrom)
        jw_kv_str(&dev.w, "write-cache", is_writethrough ? "off" : "on");
    if (boot)
        jw_kv_u64(&dev.w, "bootindex", boot);
    if (d->serial[0])
        put_decoded(&dev.w, "serial", d->serial);
    if (rerror && d->fd >= 0)
        jw_kv_str(&dev.w, "rerror", rerror);
    if (werror && d->fd >= 0)
        jw_kv_str(&dev.w, "werror", werror);
    if (wwn && d->bus != DISK_VIRTIO)
        jw_kv_u64(&dev.w, "wwn", strtoull(wwn, NULL, 16));
    if (flag_of(p, "ssd") && d->bus != DISK_VIRTIO && !d->is_cdrom)
        jw_kv_u64(&dev.w, "rotation_rate", 1);
    qemu_device_end(q, &dev);
    return r;
}

int qemu_add_disks(struct qemu_build *q, struct err *e)
{
    for (size_t i = 0; i < q->vm->n_disks; i++) {
        const struct engine_disk *d = &q->vm->disks[i];
        struct propstr p;
        bool is_writethrough = false;
        int r = propstr_parse(d->options ? d->options : "", "file", &p, e);
        if (r == 0 && d->fd >= 0)
            r = add_nodes(q, d, &p, &is_writethrough, e);
        if (r == 0)
            r = add_device(q, d, &p, is_writethrough, e);
        if (r < 0)
            return err_wrap(e, r, "%s", d->key);
    }
    return 0;
}
