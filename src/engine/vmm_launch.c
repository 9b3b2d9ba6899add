/* A guest as options of holm-vmm, in a sealed memory file (`--config`), all files as descriptors; and changes of a
 * running one as verbs for the monitor's driver (doc/vmm-api.md). Devices are called by their keys. Called by holmd's
 * launch job in a pool thread. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "engine/limits.h"
#include "engine/vmm_priv.h"
#include "proto/frame.h"

#define CONFIG_MAX  (256u * 1024u)
#define PAYLOAD_MAX (64u * 1024u)

struct vmm_build {
    const struct engine_vm *vm;
    struct engine_launch *out;
    struct buf text; /* the options */
    int next_fd;
};

static const char *config(const struct vmm_build *b, const char *key)
{
    return config_item_get(b->vm->config, b->vm->n_config, key);
}

static bool config_flag(const struct vmm_build *b, const char *key, bool fallback)
{
    const char *value = config(b, key);
    bool v = fallback;

    return value && propstr_bool(value, &v) < 0 ? fallback : v;
}

/* Hands a descriptor over; ret_number is its number there. */
static int add_fd(struct vmm_build *b, int fd, int number, struct err *e)
{
    struct engine_launch *l = b->out;

    if (l->n_fds == ARRAY_SIZE(l->fds))
        return err_set(e, -E2BIG, "engine.too-many", "more than %zu drives and interfaces", ARRAY_SIZE(l->fds));
    l->fds[l->n_fds++] = fd;
    field_u32(&l->payload, FIELD_FD_TARGET, (uint32_t)number);
    return 0;
}

static int add_machine(struct vmm_build *b, struct err *e)
{
    const struct engine_vm *vm = b->vm;
    uint32_t max = vm->sockets * vm->cores, vcpus = vm->vcpus && vm->vcpus < max ? vm->vcpus : max;

    if (!vcpus || vcpus > VMM_CPUS_MAX)
        return err_set(e, -EINVAL, "param.invalid", "cores and sockets make %u CPUs: 1 to %u", vcpus, VMM_CPUS_MAX);
    buf_printf(&b->text, "cpus %u\nmemory %" PRIu64 "M", vcpus, vm->memory_mib);
    if (vm->hugepage_mib)
        buf_printf(&b->text, ",hugepages=%uM", vm->hugepage_mib);
    /* The monitor begins it, when the verbs before that are done. */
    buf_printf(&b->text, "\ncontrol fd=%d\npaused on\nreboot %s\n", VMM_FD_CONTROL,
               config_flag(b, "reboot", true) ? "on" : "off");
    return 0;
}

static int add_kernel(struct vmm_build *b, struct err *e)
{
    const struct engine_vm *vm = b->vm;
    int r;

    if (vm->kernel_fd < 0)
        return err_set(e, -EINVAL, "param.unsupported", "kernel: the engine vmm boots no disk");
    buf_printf(&b->text, "kernel fd=%d\n", b->next_fd);
    r = add_fd(b, vm->kernel_fd, b->next_fd++, e);
    if (r == 0 && vm->initrd_fd >= 0) {
        buf_printf(&b->text, "initrd fd=%d\n", b->next_fd);
        r = add_fd(b, vm->initrd_fd, b->next_fd++, e);
    }
    if (r == 0 && vm->cmdline && *vm->cmdline) {
        if (strchr(vm->cmdline, '\n'))
            return err_set(e, -EINVAL, "param.invalid", "cmdline: a control character");
        buf_printf(&b->text, "cmdline %s\n", vm->cmdline);
    }
    return r;
}

static uint64_t limit_value(const struct propstr *p, const char *prefix, const char *name, const char *suffix)
{
    char key[32];
    uint64_t value = 0;

    snprintf(key, sizeof(key), "%s%s%s", prefix, name, suffix);
    const struct limit *limit = limit_find(key);
    const char *text = propstr_get(p, key);
    return limit && text && limit_parse(limit, text, &value) == 0 ? value : 0;
}

struct vmm_limit vmm_limit(const struct propstr *p, const char *name)
{
    uint64_t small = limit_value(p, "", name, ""), mega = limit_value(p, "m", name, "");
    uint64_t max = limit_value(p, "", name, "_max"), mega_max = limit_value(p, "m", name, "_max");

    return (struct vmm_limit){.rate = small + mega,
                              .max = max + mega_max,
                              .seconds = limit_value(p, "", name, "_max_length"),
                              .is_twice = small && mega};
}

/* As options of holm-vmm and in its verb, each with a comma before it. */
static void add_limits(struct buf *b, const struct propstr *p)
{
    static const char *const names[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct vmm_limit l = vmm_limit(p, names[i]);

        if (l.rate)
            buf_printf(b, ",%s=%" PRIu64, names[i], l.rate);
        if (l.rate && l.max)
            buf_printf(b, ",%s_max=%" PRIu64, names[i], l.max);
        if (l.rate && l.max && l.seconds)
            buf_printf(b, ",%s_max_length=%" PRIu64, names[i], l.seconds);
    }
}

static int add_disk(struct vmm_build *b, const struct engine_disk *d, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(d->options, "file", &p, e);

    if (r < 0)
        return r;
    if (d->is_qcow2)
        return engine_unsupported(e, "vmm", d->key, "a qcow2 image; disks are raw");
    const char *file = propstr_get(&p, "file") ? propstr_get(&p, "file") : propstr_get(&p, "volume");
    if (d->fd < 0 || (d->is_cdrom && !(file && engine_is_cloudinit(file))))
        return engine_unsupported(e, "vmm", d->key, "a CD-ROM drive");
    const char *aio = propstr_get(&p, "aio"), *discard = propstr_get(&p, "discard"), *cache = propstr_get(&p, "cache"),
               *queues = propstr_get(&p, "queues");
    bool is_direct = d->direct_fd > 0 && !(cache && streq(cache, "writeback"));
    buf_printf(&b->text, "disk fd=%d,id=%s,discard=%s,engine=%s", b->next_fd, d->key,
               discard && streq(discard, "on") ? "on" : "off", aio && streq(aio, "threads") ? "threads" : "uring");
    if (d->is_read_only)
        buf_append_str(&b->text, ",readonly=on");
    if (queues)
        buf_printf(&b->text, ",queues=%s", queues);
    if (d->serial[0])
        buf_printf(&b->text, ",serial=%s", d->serial);
    if (is_direct)
        buf_printf(&b->text, ",direct-fd=%d", b->next_fd + 1);
    else
        buf_append_str(&b->text, ",cached=on");
    add_limits(&b->text, &p);
    buf_append_char(&b->text, '\n');
    r = add_fd(b, d->fd, b->next_fd++, e);
    return r < 0 || !is_direct ? r : add_fd(b, d->direct_fd, b->next_fd++, e);
}

static int add_net(struct vmm_build *b, const struct engine_net *n, struct err *e)
{
    int r = 0;

    if (!n->n_taps)
        return engine_unsupported(e, "vmm", n->key, "a network without a bridge");
    buf_printf(&b->text, "net %s=", n->n_taps > 1 ? "fds" : "fd");
    for (unsigned i = 0; r == 0 && i < n->n_taps; i++) {
        buf_printf(&b->text, "%s%d", i ? ":" : "", b->next_fd);
        r = add_fd(b, n->tap_fds[i], b->next_fd++, e);
    }
    buf_printf(&b->text, ",id=%s,mac=%s", n->key, n->mac);
    if (n->n_taps > 1)
        buf_printf(&b->text, ",queues=%u", n->n_taps);
    if (n->mtu > 1)
        buf_printf(&b->text, ",mtu=%u", n->mtu);
    if (n->is_link_down)
        buf_append_str(&b->text, ",link_down=on");
    buf_append_char(&b->text, '\n');
    return r;
}

static int add_devices(struct vmm_build *b, struct err *e)
{
    const char *balloon = config(b, "balloon");
    int r = 0;

    for (size_t i = 0; r == 0 && i < b->vm->n_disks; i++)
        r = add_disk(b, &b->vm->disks[i], e);
    for (size_t i = 0; r == 0 && i < b->vm->n_nets; i++)
        r = add_net(b, &b->vm->nets[i], e);
    if (!(balloon && streq(balloon, "0")))
        buf_append_str(&b->text, "balloon on,id=balloon0\n");
    if (config(b, "rng0"))
        buf_append_str(&b->text, "rng host,id=rng0\n");
    return r;
}

static void add_channel(struct vmm_build *b, const char *name, int fd)
{
    char text[40];

    snprintf(text, sizeof(text), "%s=%d", name, fd);
    field_str(&b->out->payload, FIELD_CHANNEL, text);
}

static int add_all(struct vmm_build *b, struct err *e)
{
    int r = add_machine(b, e);

    add_channel(b, "control", VMM_FD_CONTROL);
    if (config(b, "serial0")) {
        add_channel(b, "serial0", VMM_FD_SERIAL);
        buf_printf(&b->text, "console fd=%d\n", VMM_FD_SERIAL);
    }
    if (r == 0)
        r = add_kernel(b, e);
    if (r == 0)
        r = add_devices(b, e);
    if (r == 0 && b->text.is_failed)
        r = err_set(e, -E2BIG, "engine.too-many", "the options of the guest are too long");
    return r;
}

/* Nobody changes them between us and the one who reads them. */
static int seal_options(struct vmm_build *b, struct err *e)
{
    struct engine_launch *l = b->out;

    l->own_fd = memfd_create("options", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (l->own_fd < 0 || write(l->own_fd, b->text.data, b->text.len) != (ssize_t)b->text.len ||
        lseek(l->own_fd, 0, SEEK_SET) < 0 ||
        fcntl(l->own_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return err_errno(e, errno, "write the options of the guest");
    return add_fd(b, l->own_fd, VMM_FD_CONFIG, e);
}

int vmm_launch(const struct engine_host *h, const struct engine_vm *vm, struct engine_launch *ret, struct err *e)
{
    static const char *const args[] = {"run", "--config"};
    struct vmm_build b = {.vm = vm, .out = ret, .next_fd = VMM_FD_FIRST};
    char fd[16];

    *ret = (struct engine_launch){.needs_kvm_group = true, .own_fd = -1};
    buf_init(&ret->payload, PAYLOAD_MAX);
    buf_init(&b.text, CONFIG_MAX);
    snprintf(ret->note, sizeof(ret->note), "engine: holm-vmm on %s", h->accel_reason);
    snprintf(fd, sizeof(fd), "fd=%d", VMM_FD_CONFIG);
    field_str(&ret->payload, FIELD_DRIVER, engine_vmm.driver);
    field_u32(&ret->payload, FIELD_VMID, vm->vmid);
    field_str(&ret->payload, FIELD_ENV, "LANG=C");
    field_str(&ret->payload, FIELD_ARG, h->vmm_path);
    for (size_t i = 0; i < ARRAY_SIZE(args); i++)
        field_str(&ret->payload, FIELD_ARG, args[i]);
    field_str(&ret->payload, FIELD_ARG, fd);
    int r = add_all(&b, e);
    if (r == 0)
        r = seal_options(&b, e);
    buf_done(&b.text);
    if (!vm->is_paused)
        field_str(&ret->payload, FIELD_VERB, "resume");
    if (r == 0 && ret->payload.is_failed)
        r = err_set(e, -E2BIG, "engine.too-many", "the order for the guest is too long");
    if (r < 0)
        engine_launch_done(ret);
    return r;
}

/* One verb of doc/vmm-api.md with its arguments; keys of the configuration need no escaping. */
int vmm_live(const struct engine_vm *vm, enum engine_live what, const char *key, uint64_t size_bytes,
             struct engine_script *ret, struct err *e)
{
    autobuf struct buf limits;
    char text[1024];
    struct propstr p;

    buf_init(&limits, sizeof(text) / 2);
    switch (what) {
    case ENGINE_LIMIT:
        if (propstr_parse(vm->disks[0].options, "file", &p, e) < 0)
            return e->num;
        add_limits(&limits, &p);
        snprintf(text, sizeof(text), "+disk-limit {\"device\":\"%s\",\"limits\":\"%.*s\"}", key,
                 limits.len ? (int)limits.len - 1 : 0, limits.len ? limits.data + 1 : "");
        break;
    case ENGINE_RESIZE:
        snprintf(text, sizeof(text), "+disk-resize {\"device\":\"%s\",\"bytes\":%" PRIu64 "}", key, size_bytes);
        break;
    case ENGINE_LINK:
        snprintf(text, sizeof(text), "+net-link {\"device\":\"%s\",\"up\":%s}", key,
                 vm->nets[0].is_link_down ? "false" : "true");
        break;
    case ENGINE_PLUG:
    case ENGINE_UNPLUG:
    case ENGINE_MEDIUM:
    case ENGINE_PROBE:
    case ENGINE_COUNT:
    case ENGINE_GROW:
    case ENGINE_SHRINK:
    case ENGINE_COPY:
    case ENGINE_COPY_END:
    case ENGINE_COPY_DROP:
    case ENGINE_MOVE:
    case ENGINE_IMAGES:
    case ENGINE_OVERLAY:
    case ENGINE_SWITCH:
    case ENGINE_LEAVE:
    case ENGINE_FORGET:
    case ENGINE_MERGE:
    case ENGINE_PIVOT:
    case ENGINE_CANCEL:
    case ENGINE_DISMISS:
    case ENGINE_JOBS:
    case ENGINE_SAVE:
    case ENGINE_SAVE_REST:
    case ENGINE_SAVE_CANCEL:
    case ENGINE_SAVED:
        return err_set(e, -EOPNOTSUPP, "engine.live", "%s: the engine vmm changes this at the next start", key);
    }
    *ret = (struct engine_script){0};
    buf_init(&ret->fields, 2048);
    field_str(&ret->fields, FIELD_ARG, text);
    return 0;
}
