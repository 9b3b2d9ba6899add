/* Changes of a running QEMU: devices that come and go, media, cables, sizes, as a script for the monitor's driver
 * (src/guest/monitor/qmp_script.c). A device that comes is built by the same functions as at a start; their options are
 * turned into commands here. Pure but for qemu_disk.c's fcntl. Called by src/guest/live.c in a pool thread. */
#include <inttypes.h>
#include <jansson.h>

#include "engine/qemu_priv.h"
#include "proto/frame.h"

#define SCRIPT_MAX QEMU_SCRIPT_MAX

/* fmt gives the arguments, a JSON object; keys of the configuration need no escaping. */
void qemu_step(struct engine_script *s, char kind, const char *command, const char *fmt, ...)
{
    autobuf struct buf text;
    va_list ap;

    buf_init(&text, SCRIPT_MAX);
    buf_printf(&text, "%c%s ", kind, command);
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    s->fields.is_failed = s->fields.is_failed || text.is_failed;
    field_str(&s->fields, FIELD_ARG, buf_str(&text));
}

static void wait_gone(struct engine_script *s, const char *key)
{
    char text[40];

    snprintf(text, sizeof(text), "w%s", key);
    field_str(&s->fields, FIELD_ARG, text);
}

static bool is_drive(const char *key, enum engine_disk_bus *ret_bus, unsigned *ret_index)
{
    static const char *const stems[] = {
        [DISK_VIRTIO] = "virtio", [DISK_SCSI] = "scsi", [DISK_SATA] = "sata", [DISK_IDE] = "ide"};

    for (unsigned i = 0; i < ARRAY_SIZE(stems); i++) {
        int index = engine_key_index(key, stems[i]);
        if (index < 0)
            continue;
        *ret_bus = (enum engine_disk_bus)i;
        *ret_index = (unsigned)index;
        return true;
    }
    return false;
}

/* d: its names, as they are while it runs. */
void qemu_drop_image(struct engine_script *s, const char kind[2], const struct engine_disk *d, size_t i)
{
    const char *on = engine_disk_on(d, i);
    char node[QEMU_NODE_MAX];

    qemu_image_node(d->key, on, node);
    qemu_step(s, kind[0], "blockdev-del", "{\"node-name\":\"%s\"}", node);
    qemu_step(s, kind[1], "remove-fd", "{\"fdset-id\":%" PRIu64 "}", qemu_fdset(d->bus, d->index, on));
}

/* What a drive leaves behind when its device is gone; each thing may be missing. */
static void drop_nodes(struct engine_script *s, char kind, const struct engine_disk *d)
{
    qemu_step(s, kind, "blockdev-del", "{\"node-name\":\"%s\"}", d->key);
    for (size_t i = 0; i <= d->n_below; i++)
        qemu_drop_image(s, (const char[2]){kind, kind}, d, i);
    qemu_step(s, kind, "object-del", "{\"id\":\"throttle-%s\"}", d->key);
    qemu_step(s, kind, "object-del", "{\"id\":\"iothread-%s\"}", d->key);
}

/* One option of a command line as a command. A controller or I/O thread may be there already. */
static int translate(struct engine_script *s, const char *option, const char *value, struct err *e)
{
    uint64_t set;

    if (streq(option, "-add-fd") && sscanf(value, "fd=%*d,set=%" SCNu64, &set) == 1)
        qemu_step(s, 'f', "add-fd", "{\"fdset-id\":%" PRIu64 "}", set);
    else if (streq(option, "-blockdev"))
        qemu_step(s, '+', "blockdev-add", "%s", value);
    else if (streq(option, "-object"))
        qemu_step(s, strstr(value, "\"iothread\"") ? '-' : '+', "object-add", "%s", value);
    else if (streq(option, "-device"))
        qemu_step(s, strstr(value, "\"id\":\"scsihw") || strstr(value, "\"id\":\"ahci0") ? '-' : '+', "device_add",
                  "%s", value);
    else
        return err_set(e, -EOPNOTSUPP, "engine.live", "%s cannot be added while the guest runs", option);
    return 0;
}

static int translate_all(const struct qemu_build *q, struct engine_script *s, bool has_device, struct err *e)
{
    struct field_reader fr;
    struct field option, value;
    int r = 0;

    field_reader_init(&fr, q->devices.data, q->devices.len);
    while (r == 0 && field_next(&fr, &option) == 1 && field_next(&fr, &value) == 1) {
        autofree char *name = NULL, *text = NULL;
        if (field_dup_str(&option, &name) < 0 || field_dup_str(&value, &text) < 0)
            return err_set(e, -ENOMEM, NULL, "out of memory");
        if (has_device || !streq(name, "-device"))
            r = translate(s, name, text, e);
    }
    if (r == 0 && s->n_fds + q->out->n_fds > ARRAY_SIZE(s->fds))
        r = err_set(e, -EOPNOTSUPP, "engine.live", "a disk of more than %zu layers comes with the next start",
                    ARRAY_SIZE(s->fds));
    for (size_t i = 0; r == 0 && i < q->out->n_fds; i++)
        s->fds[s->n_fds++] = q->out->fds[i];
    return r;
}

/* Runs what makes a drive's options at a start, and takes them. */
int qemu_disk_options(const struct engine_vm *vm, struct engine_script *s, enum qemu_disk_part part, struct err *e)
{
    bool is_whole = part == QEMU_WHOLE_DISK || part == QEMU_DISK_NODES;
    struct engine_launch out = {0};
    struct qemu_build q = {.vm = vm, .out = &out, .next_fd = QEMU_FD_FIRST, .is_live = true};
    unsigned version;

    if (!qemu_machine_parse(vm->machine, &q.is_q35, &version))
        return err_set(e, -EINVAL, "param.invalid", "machine '%.32s' is not known", vm->machine);
    q.root_bus = q.is_q35 ? "pcie.0" : "pci.0";
    buf_init(&out.payload, SCRIPT_MAX);
    buf_init(&q.devices, SCRIPT_MAX);
    int r = is_whole ? qemu_add_disks(&q, e) : qemu_add_overlay(&q, &vm->disks[0], part == QEMU_DISK_COPY, e);
    if (r == 0)
        r = translate_all(&q, s, part == QEMU_WHOLE_DISK, e);
    buf_done(&q.devices);
    buf_done(&out.payload);
    return r;
}

static int plug_disk(const struct engine_vm *vm, const struct engine_disk *d, struct engine_script *s, struct err *e)
{
    if (d->bus != DISK_VIRTIO && d->bus != DISK_SCSI)
        return err_set(e, -EOPNOTSUPP, "engine.live", "%s: only virtio and scsi drives can be added", d->key);
    int r = qemu_disk_options(vm, s, QEMU_WHOLE_DISK, e);
    drop_nodes(s, 'u', d);
    return r;
}

/* Hands over one descriptor for each queue, named KEY, a letter and a number; list becomes the names with colons. */
static void give_fds(struct engine_script *s, const char *key, char letter, const int *fds, unsigned n,
                     struct buf *list)
{
    for (unsigned i = 0; i < n && s->n_fds < ARRAY_SIZE(s->fds); i++) {
        qemu_step(s, 'f', "getfd", "{\"fdname\":\"%s%c%u\"}", key, letter, i);
        s->fds[s->n_fds++] = fds[i];
        buf_printf(list, "%s%s%c%u", i ? ":" : "", key, letter, i);
    }
}

static void plug_tap(const struct engine_net *n, struct engine_script *s)
{
    autobuf struct buf taps;
    autobuf struct buf vhosts;
    const char *plural = n->n_taps > 1 ? "s" : "";
    bool has_vhost = streq(n->model, "virtio");

    buf_init(&taps, SCRIPT_MAX);
    buf_init(&vhosts, SCRIPT_MAX);
    for (unsigned i = 0; i < n->n_taps; i++)
        has_vhost = has_vhost && n->vhost_fds[i] >= 0;
    give_fds(s, n->key, 't', n->tap_fds, n->n_taps, &taps);
    if (!has_vhost) {
        qemu_step(s, '+', "netdev_add", "{\"type\":\"tap\",\"id\":\"%s\",\"fd%s\":\"%s\"}", n->key, plural,
                  buf_str(&taps));
        return;
    }
    give_fds(s, n->key, 'v', n->vhost_fds, n->n_taps, &vhosts);
    qemu_step(s, '+', "netdev_add",
              "{\"type\":\"tap\",\"id\":\"%s\",\"fd%s\":\"%s\",\"vhost\":true,\"vhostfd%s\":\"%s\"}", n->key, plural,
              buf_str(&taps), plural, buf_str(&vhosts));
}

static int plug_net(const struct engine_vm *vm, const struct engine_net *n, struct engine_script *s, struct err *e)
{
    struct engine_launch out = {0};
    struct qemu_build q = {.vm = vm, .out = &out, .next_fd = QEMU_FD_FIRST, .is_live = true};
    unsigned version;

    if (!qemu_machine_parse(vm->machine, &q.is_q35, &version))
        return err_set(e, -EINVAL, "param.invalid", "machine '%.32s' is not known", vm->machine);
    q.root_bus = q.is_q35 ? "pcie.0" : "pci.0";
    buf_init(&q.devices, SCRIPT_MAX);
    int r = qemu_net_device(&q, n, e);
    if (n->n_taps) {
        plug_tap(n, s);
    } else {
        qemu_step(s, '+', "netdev_add", "{\"type\":\"user\",\"id\":\"%s\"}", n->key);
    }
    if (r == 0)
        r = translate_all(&q, s, true, e);
    if (n->is_link_down)
        qemu_step(s, '-', "set_link", "{\"name\":\"%s\",\"up\":false}", n->key);
    qemu_step(s, 'u', "netdev_del", "{\"id\":\"%s\"}", n->key);
    buf_done(&q.devices);
    return r;
}

static int unplug(const struct engine_vm *vm, const char *key, struct engine_script *s, struct err *e)
{
    const char *scsihw = config_item_get(vm->config, vm->n_config, "scsihw");
    enum engine_disk_bus bus;
    unsigned index;
    bool is_disk = is_drive(key, &bus, &index);

    if (is_disk && bus != DISK_VIRTIO && bus != DISK_SCSI)
        return err_set(e, -EOPNOTSUPP, "engine.live", "%s: only virtio and scsi drives can be removed", key);
    qemu_step(s, '+', "device_del", "{\"id\":\"%s\"}", key);
    wait_gone(s, key);
    if (!is_disk) {
        qemu_step(s, '-', "netdev_del", "{\"id\":\"%s\"}", key);
        return 0;
    }
    if (bus == DISK_SCSI && scsihw && streq(scsihw, "virtio-scsi-single"))
        qemu_step(s, '-', "device_del", "{\"id\":\"scsihw%u\"}", index);
    drop_nodes(s, '-', &vm->disks[0]);
    return 0;
}

/* ---- CPUs, memory, USB ---- */

static int begin_live(struct qemu_build *q, const struct engine_vm *vm, struct engine_launch *out, struct err *e)
{
    const char *kvm = config_item_get(vm->config, vm->n_config, "kvm");
    unsigned version;

    *q = (struct qemu_build){.vm = vm, .out = out, .next_fd = QEMU_FD_FIRST, .is_live = true};
    if (!qemu_machine_parse(vm->machine, &q->is_q35, &version))
        return err_set(e, -EINVAL, "param.invalid", "machine '%.32s' is not known", vm->machine);
    q->root_bus = q->is_q35 ? "pcie.0" : "pci.0";
    q->is_kvm = vm->has_kvm && !(kvm && streq(kvm, "0"));
    buf_init(&q->devices, SCRIPT_MAX);
    return 0;
}

static int grow(const struct engine_vm *vm, bool is_memory, uint64_t now, struct engine_script *s, struct err *e)
{
    struct engine_launch out = {0};
    struct qemu_build q;
    unsigned index = 0;
    int r = begin_live(&q, vm, &out, e);

    if (r < 0)
        return r;
    r = is_memory ? qemu_grow_memory(&q, now, &index, e) : qemu_grow_cpus(&q, now, e);
    /* What an earlier removal left, when the guest let go only after nobody waited any more. */
    if (r == 0 && is_memory)
        qemu_step(s, '-', "object-del", "{\"id\":\"mem-dimm%u\"}", index);
    if (r == 0)
        r = translate_all(&q, s, true, e);
    if (r == 0 && is_memory)
        qemu_step(s, 'u', "object-del", "{\"id\":\"mem-dimm%u\"}", index);
    buf_done(&q.devices);
    return r;
}

static int shrink(const struct engine_vm *vm, bool is_memory, uint64_t now, struct engine_script *s, struct err *e)
{
    unsigned index = (unsigned)now;
    char id[24];
    const char *kvm = config_item_get(vm->config, vm->n_config, "kvm");
    bool is_kvm = vm->has_kvm && !(kvm && streq(kvm, "0"));
    int r = is_memory ? qemu_last_dimm(now, vm->memory_mib, &index, e) : 0;

    if (r < 0)
        return r;
    /* Seen with QEMU 7.2: without KVM it frees a CPU that left twice, and dies a little later. */
    if (!is_memory && !is_kvm)
        return err_set(e, -EINVAL, "engine.live", "CPUs can leave a running guest with KVM only");
    snprintf(id, sizeof(id), "%s%u", is_memory ? "dimm" : "cpu", index);
    qemu_step(s, '+', "device_del", "{\"id\":\"%s\"}", id);
    wait_gone(s, id);
    if (is_memory)
        qemu_step(s, '-', "object-del", "{\"id\":\"mem-%s\"}", id);
    return 0;
}

static int ask_count(bool is_memory, struct engine_script *s)
{
    qemu_step(s, '+', is_memory ? "query-memory-size-summary" : "query-cpus-fast", "{}");
    return 0;
}

int qemu_count(const char *key, const char *answer, size_t n, uint64_t *ret, struct err *e)
{
    json_t *j = json_loadb(answer, n, 0, NULL);
    json_t *base = json_object_get(j, "base-memory"), *plugged = json_object_get(j, "plugged-memory");
    bool is_memory = streq(key, "memory"), is_ok = is_memory ? json_is_integer(base) : json_is_array(j);

    if (is_ok)
        *ret = is_memory ? ((uint64_t)json_integer_value(base) + (uint64_t)json_integer_value(plugged)) >> 20
                         : json_array_size(j);
    json_decref(j);
    return is_ok ? 0 : err_set(e, -EPROTO, "engine.broken", "QEMU does not tell how much %s there is", key);
}

/* usb: NULL for the tablet. */
static int plug_usb(const struct engine_vm *vm, const struct engine_usb *usb, struct engine_script *s, struct err *e)
{
    struct engine_launch out = {0};
    struct qemu_build q;
    int r = begin_live(&q, vm, &out, e);

    if (r < 0)
        return r;
    if (usb)
        r = qemu_usb_device(&q, usb, e);
    else
        qemu_usb_tablet(&q);
    if (r == 0)
        r = translate_all(&q, s, true, e);
    if (r == 0 && usb) {
        s->fds[s->n_fds++] = usb->fd;
        qemu_step(s, 'u', "remove-fd", "{\"fdset-id\":%u}", qemu_usb_fdset(usb->index));
    }
    buf_done(&q.devices);
    return r;
}

static int unplug_usb(const char *key, struct engine_script *s)
{
    int index = engine_key_index(key, "usb");

    qemu_step(s, '+', "device_del", "{\"id\":\"%s\"}", key);
    wait_gone(s, key);
    if (index >= 0)
        qemu_step(s, '-', "remove-fd", "{\"fdset-id\":%u}", qemu_usb_fdset((unsigned)index));
    return 0;
}

static int plug(const struct engine_vm *vm, const char *key, struct engine_script *s, struct err *e)
{
    if (streq(key, "tablet") || vm->n_usbs)
        return plug_usb(vm, vm->n_usbs ? &vm->usbs[0] : NULL, s, e);
    return vm->n_disks ? plug_disk(vm, &vm->disks[0], s, e) : plug_net(vm, &vm->nets[0], s, e);
}

/* The drive stays, what is in it changes. */
static int change_medium(const struct engine_vm *vm, const struct engine_disk *d, struct engine_script *s,
                         struct err *e)
{
    int r = 0;

    qemu_step(s, '-', "blockdev-open-tray", "{\"id\":\"%s\",\"force\":true}", d->key);
    qemu_step(s, '-', "blockdev-remove-medium", "{\"id\":\"%s\"}", d->key);
    drop_nodes(s, '-', d);
    if (d->fd >= 0) {
        r = qemu_disk_options(vm, s, QEMU_DISK_NODES, e);
        qemu_step(s, '+', "blockdev-insert-medium", "{\"id\":\"%s\",\"node-name\":\"%s\"}", d->key, d->key);
    }
    qemu_step(s, '-', "blockdev-close-tray", "{\"id\":\"%s\"}", d->key);
    drop_nodes(s, 'u', d);
    return r;
}

static int build(const struct engine_vm *vm, enum engine_live what, const char *key, uint64_t size_bytes,
                 struct engine_script *s, struct err *e)
{
    switch (what) {
    case ENGINE_PLUG:
        return plug(vm, key, s, e);
    case ENGINE_UNPLUG:
        return streq(key, "tablet") || engine_key_index(key, "usb") >= 0 ? unplug_usb(key, s) : unplug(vm, key, s, e);
    case ENGINE_MEDIUM:
        return change_medium(vm, &vm->disks[0], s, e);
    case ENGINE_LINK:
        qemu_step(s, '+', "set_link", "{\"name\":\"%s\",\"up\":%s}", key, vm->nets[0].is_link_down ? "false" : "true");
        return 0;
    case ENGINE_LIMIT:
        return err_set(e, -EOPNOTSUPP, "engine.live", "%s: the engine qemu changes limits at the next start", key);
    case ENGINE_RESIZE:
        qemu_step(s, '+', "block_resize", "{\"node-name\":\"%s\",\"size\":%llu}", key, (unsigned long long)size_bytes);
        return 0;
    case ENGINE_COUNT:
        return ask_count(streq(key, "memory"), s);
    case ENGINE_GROW:
        return grow(vm, streq(key, "memory"), size_bytes, s, e);
    case ENGINE_SHRINK:
        return shrink(vm, streq(key, "memory"), size_bytes, s, e);
    case ENGINE_PROBE:
        qemu_step(s, '+', "qom-list", "{\"path\":\"/machine/peripheral/%s\"}", key);
        return 0;
    case ENGINE_IMAGES:
    case ENGINE_OVERLAY:
    case ENGINE_SWITCH:
    case ENGINE_LEAVE:
    case ENGINE_FORGET:
    case ENGINE_MERGE:
    case ENGINE_PIVOT:
    case ENGINE_CANCEL:
    case ENGINE_DISMISS:
    case ENGINE_COPY:
    case ENGINE_COPY_END:
    case ENGINE_COPY_DROP:
    case ENGINE_MOVE:
    case ENGINE_JOBS:
    case ENGINE_SAVE:
    case ENGINE_SAVE_REST:
    case ENGINE_SAVE_CANCEL:
    case ENGINE_SAVED:
        return qemu_live_images(vm, what, size_bytes, s, e);
    }
    return -EINVAL;
}

int qemu_live(const struct engine_vm *vm, enum engine_live what, const char *key, uint64_t size_bytes,
              struct engine_script *ret, struct err *e)
{
    *ret = (struct engine_script){0};
    buf_init(&ret->fields, SCRIPT_MAX);
    int r = build(vm, what, key, size_bytes, ret, e);
    if (r == 0 && ret->fields.is_failed)
        r = err_set(e, -E2BIG, "engine.too-many", "the change is too long");
    if (r < 0)
        buf_done(&ret->fields);
    return r;
}
