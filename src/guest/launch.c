/* The blocking half of a start, in a pool thread: open the disks, make the run folder and cgroup, build the launch
 * order and start holm-guest with exactly those descriptors. On failure everything it made is gone again; after a
 * crash, reconcile finds the folder by its name. */
#include <fcntl.h>
#include <grp.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fp.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/propstr.h"
#include "guest/attach.h"
#include "guest/cloudinit.h"
#include "guest/guest_priv.h"
#include "guest/netif.h"
#include "guest/limits.h"
#include "guest/usb.h"
#include "network/network.h"

#define LAUNCH_DISKS_MAX 64u
#define LAUNCH_NETS_MAX  32u
#define LAUNCH_USBS_MAX  14u

enum { FD_DIR = 3, FD_CONTROL = 4, FD_LAUNCH = 5, FD_LOCK = 6 };

struct launch {
    struct launch_job *job;
    struct engine_disk disks[LAUNCH_DISKS_MAX];
    struct engine_net nets[LAUNCH_NETS_MAX];
    struct engine_usb usbs[LAUNCH_USBS_MAX];
    size_t n_disks, n_nets, n_usbs;
    char usb_missing[100]; /* the last one that is not plugged into the host */
    int ram_fd, kernel_fd, initrd_fd, dir_fd, lock_fd, launch_fd, pair[2];
    struct engine_vm vm;
    struct guest_limits limits;
    bool has_rundir;
};

static const char *get(const struct launch *l, const char *key)
{
    return config_get(&l->job->config, key);
}

static uint64_t get_number(const struct launch *l, const char *key, uint64_t fallback)
{
    const char *value = get(l, key);
    uint64_t n;

    return value && str_to_u64(value, &n) == 0 ? n : fallback;
}

static struct storage_mgr *storages(const struct launch *l)
{
    return l->job->mgr->env.storages;
}

static int open_boot_file(struct launch *l, const char *key, int *ret_fd, struct err *e)
{
    const char *text = get(l, key);
    int r = text ? attach_boot_file(storages(l), text, ret_fd, e) : 0;

    return r < 0 ? err_wrap(e, r, "%s", key) : 0;
}

#define ORIGINS 3900000u

static bool drive_bus(const char *key, enum engine_disk_bus *ret_bus, unsigned *ret_index)
{
    static const struct {
        const char *stem;
        enum engine_disk_bus bus;
    } buses[] = {{"virtio", DISK_VIRTIO}, {"scsi", DISK_SCSI}, {"sata", DISK_SATA}, {"ide", DISK_IDE}};

    for (size_t i = 0; i < ARRAY_SIZE(buses); i++)
        if (guest_is_index_key(key, buses[i].stem)) {
            *ret_bus = buses[i].bus;
            *ret_index = (unsigned)strtoul(key + strlen(buses[i].stem), NULL, 10);
            return true;
        }
    return false;
}

void launch_origin(const struct volume_id *v, struct engine_disk *d)
{
    char id[VOLUME_ID_MAX + 1];
    uint32_t hash = 2166136261u; /* FNV-1a */

    volume_id_format(v, id, sizeof(id));
    for (const char *p = id; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    snprintf(d->origin, sizeof(d->origin), "v%07u", hash % ORIGINS);
}

bool launch_drive(const struct config_item *it, struct engine_disk *ret)
{
    struct engine_disk d = {.fd = -1, .options = it->value};
    struct volume_id v;

    if (!drive_bus(it->key, &d.bus, &d.index) || str_copy(d.key, sizeof(d.key), it->key) < 0)
        return false;
    if (!guest_drive_is_cdrom(it->value) && guest_drive_volume(it->value, &v))
        launch_origin(&v, &d); /* a medium is replaced by names that stay */
    *ret = d;
    return true;
}

/* No guest's own: an ISO image, a kernel. Whatever the configuration says, many others may use it. */
static bool is_shared(const char *value)
{
    struct volume_id v;

    return guest_drive_volume(value, &v) && v.content != STORAGE_CONTENT_images;
}

/* A second descriptor of its own: whether it goes past the cache belongs to whoever shares it. */
static int open_direct(struct launch *l, const char *file, bool is_read_only, int *ret_fd, struct err *e)
{
    struct volume_attachment a;
    int r = attach_volume(storages(l), file, is_read_only, &a, e);

    if (r < 0)
        return r;
    if (fcntl(a.fd, F_SETFL, O_DIRECT) == 0)
        *ret_fd = a.fd;
    else
        close(a.fd);
    return 0;
}

static int add_disk(struct launch *l, const struct config_item *it, struct err *e)
{
    struct engine_disk d;
    struct propstr p;
    bool is_ro = false;

    if (!launch_drive(it, &d))
        return 0;
    if (l->n_disks == LAUNCH_DISKS_MAX)
        return err_set(e, -E2BIG, "guest.disks", "more than %u drives", LAUNCH_DISKS_MAX);
    int r = propstr_parse(it->value, "file", &p, e);
    if (r < 0)
        return err_wrap(e, r, "%s", it->key);
    const char *file = propstr_get(&p, "file") ? propstr_get(&p, "file") : propstr_get(&p, "volume");
    const char *serial = propstr_get(&p, "serial");
    r = propstr_get_bool(&p, "ro", false, &is_ro, e);
    if (r < 0 || (serial && str_copy(d.serial, sizeof(d.serial), serial) < 0))
        return err_set(e, -EINVAL, "param.invalid", "%s: not a valid drive", it->key);
    d.is_cdrom = guest_drive_is_cdrom(it->value);
    d.is_read_only = d.is_cdrom || is_ro || is_shared(it->value);
    if (file && !streq(file, "none") && !streq(file, "cdrom")) {
        r = attach_disk(storages(l), &l->job->chains, file, d.is_read_only, &d, e);
        if (r < 0)
            return err_wrap(e, r, "%s", it->key);
        if (l->job->engine && (l->job->engine->caps & ENGINE_CAP_DIRECT) && !d.is_qcow2)
            r = open_direct(l, file, d.is_read_only, &d.direct_fd, e);
        if (r < 0) {
            engine_disk_done(&d);
            return err_wrap(e, r, "%s", it->key);
        }
    }
    l->disks[l->n_disks++] = d;
    return 0;
}

static int add_net(struct launch *l, const struct config_item *it, struct err *e)
{
    struct netif n;

    if (!guest_is_index_key(it->key, "net"))
        return 0;
    if (l->n_nets == LAUNCH_NETS_MAX)
        return err_set(e, -E2BIG, "guest.nets", "more than %u network interfaces", LAUNCH_NETS_MAX);
    int r = netif_parse(l->job->mgr, l->job->vmid, l->job->uid_slot, it, &n, e);
    if (r == 0)
        r = netif_open(&n, e);
    if (r < 0)
        return err_wrap(e, r, "%s", it->key);
    l->nets[l->n_nets++] = n.net;
    return 0;
}

static int add_usb(struct launch *l, const struct config_item *it, struct err *e)
{
    struct engine_usb u = {.fd = -1};

    if (!guest_is_index_key(it->key, "usb"))
        return 0;
    if (l->n_usbs == LAUNCH_USBS_MAX || str_copy(u.key, sizeof(u.key), it->key) < 0)
        return err_set(e, -E2BIG, "guest.usb", "more than %u USB devices", LAUNCH_USBS_MAX);
    u.index = (unsigned)strtoul(it->key + 3, NULL, 10);
    int r = usb_open(it->value, &u.fd, e);
    if (r < 0)
        return err_wrap(e, r, "%s", it->key);
    l->usbs[l->n_usbs++] = u;
    return 0;
}

/* A device that was pulled out does not keep the guest from starting. */
static int add_usb_if_there(struct launch *l, const struct config_item *it, struct err *e)
{
    struct err why = ERR_INIT;
    int r = add_usb(l, it, &why);

    if (r == -ENODEV)
        snprintf(l->usb_missing, sizeof(l->usb_missing), "%.90s", why.text);
    else if (r < 0)
        *e = why;
    return r == -ENODEV ? 0 : r;
}

static int open_all(struct launch *l, struct err *e)
{
    struct volume_attachment ram;
    int r = l->job->ram[0] ? attach_volume(storages(l), l->job->ram, true, &ram, e) : 0;

    if (r == 0 && l->job->ram[0])
        l->ram_fd = ram.fd;
    if (r == 0)
        r = open_boot_file(l, "kernel", &l->kernel_fd, e);

    if (r == 0)
        r = cloudinit_write(storages(l), &l->job->config, l->job->vmid, e);
    if (r == 0)
        r = open_boot_file(l, "initrd", &l->initrd_fd, e);
    for (size_t i = 0; r == 0 && i < l->job->config.n; i++) {
        r = add_disk(l, &l->job->config.items[i], e);
        if (r == 0)
            r = add_net(l, &l->job->config.items[i], e);
        if (r == 0)
            r = add_usb_if_there(l, &l->job->config.items[i], e);
    }
    return r;
}

static void fill_vm(struct launch *l)
{
    struct engine_vm *vm = &l->vm;
    struct launch_job *j = l->job;
    const char *name = get(l, "name"), *vmgenid = get(l, "vmgenid"), *freeze = get(l, "freeze");

    *vm = (struct engine_vm){
        .vmid = j->vmid,
        .name = name,
        .machine = j->engine_machine,
        .memory_mib = engine_memory_mib(j->config.items, j->config.n),
        .sockets = engine_sockets(j->config.items, j->config.n),
        .cores = (uint32_t)get_number(l, "cores", 1),
        .config = j->config.items,
        .n_config = j->config.n,
        .disks = l->disks,
        .n_disks = l->n_disks,
        .nets = l->nets,
        .n_nets = l->n_nets,
        .usbs = l->usbs,
        .n_usbs = l->n_usbs,
        .cpu_model = j->cpu_model,
        .kernel_fd = l->kernel_fd,
        .initrd_fd = l->initrd_fd,
        .ram_fd = l->ram_fd,
        .cmdline = get(l, "cmdline"),
        .efi_code_fd = -1,
        .efi_vars_fd = -1,
        .tpm_fd = -1,
        .is_paused = freeze && streq(freeze, "1"),
    };
    vm->vcpus = (uint32_t)get_number(l, "vcpus", (uint64_t)vm->sockets * vm->cores);
    snprintf(vm->uuid, sizeof(vm->uuid), "%s", j->uuid);
    if (vmgenid && !streq(vmgenid, "0"))
        snprintf(vm->vmgenid, sizeof(vm->vmgenid), "%s", vmgenid);
}

/* The launch order in a sealed memory file: the monitor reads it, and nobody can change it under its hands. */
static int write_order(struct launch *l, struct engine_launch *order, struct err *e)
{
    l->launch_fd = memfd_create("launch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (l->launch_fd < 0)
        return err_errno(e, errno, "make the launch order");
    field_bytes(&order->payload, FIELD_COOKIE, l->job->result.cookie, sizeof(l->job->result.cookie));
    if (order->payload.is_failed ||
        write(l->launch_fd, order->payload.data, order->payload.len) != (ssize_t)order->payload.len)
        return err_set(e, -EIO, NULL, "cannot write the launch order");
    lseek(l->launch_fd, 0, SEEK_SET);
    fcntl(l->launch_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return 0;
}

/* The order's descriptors at the numbers it names. */
static int add_order_fds(struct proc_spawn *s, const struct engine_launch *order, struct err *e)
{
    struct field_reader fr;
    struct field f;
    size_t i = 0;
    uint32_t target;

    field_reader_init(&fr, order->payload.data, order->payload.len);
    while (field_next(&fr, &f) == 1) {
        if (f.tag != FIELD_FD_TARGET && f.tag != FIELD_HELPER_FD)
            continue;
        if (i == order->n_fds || s->n_fds == PROC_FDS_MAX || field_get_u32(&f, &target) < 0)
            return err_set(e, -EINVAL, NULL, "launch order and its descriptors do not agree");
        s->fds[s->n_fds].source = order->fds[i++];
        s->fds[s->n_fds++].target = (int)target;
    }
    return 0;
}

static int spawn(struct launch *l, const struct engine_launch *order, struct err *e)
{
    struct launch_job *j = l->job;
    struct guest_mgr *m = j->mgr;
    uint32_t uid = guest_uid(m, j->uid_slot);
    char vmid[16], procs[600], limit_procs[600];
    const char *argv[] = {"holm-guest", "--dir-fd", "3",      "--control-fd", "4",        "--launch-fd", "5",
                          "--lock-fd",  "6",        "--vmid", vmid,           "--socket", "sock",        NULL};
    struct proc_spawn s = {
        .path = m->env.guest_program,
        .argv = argv,
        .uid = uid,
        .gid = uid,
        .is_new_session = true,
        .fds = {{l->dir_fd, FD_DIR}, {l->pair[1], FD_CONTROL}, {l->launch_fd, FD_LAUNCH}, {l->lock_fd, FD_LOCK}},
        .n_fds = 4};

    snprintf(vmid, sizeof(vmid), "%u", j->vmid);
    int r = rundir_cgroup(m, j->vmid, procs, sizeof(procs), e);
    if (r < 0)
        return r;
    r = limits_apply(&l->limits, m->cgroup_dir, m->env.instance, j->vmid, limit_procs, sizeof(limit_procs),
                     j->result.warning, sizeof(j->result.warning), e);
    if (r < 0)
        return r;
    size_t n_procs = 0;
    if (procs[0])
        s.cgroup_procs[n_procs++] = procs;
    if (limit_procs[0])
        s.cgroup_procs[n_procs++] = limit_procs;
    if (l->limits.has_affinity) {
        s.before_exec = limits_pin;
        s.before_exec_arg = &l->limits;
    }
    if (order->needs_kvm_group && m->env.host->kvm_gid >= 0) {
        s.extra_gids[0] = (gid_t)m->env.host->kvm_gid;
        s.n_extra_gids = 1;
    }
    r = add_order_fds(&s, order, e);
    if (r == 0 && FP("guest.start.cgroup"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0)
        r = proc_spawn_start(&s, &j->result.pid, &j->result.pidfd, e);
    (void)FP("guest.start.spawned"); /* for kill: an error here would be a lie, the guest has begun */
    return r;
}

static int open_machine(struct launch *l, struct err *e)
{
    struct launch_job *j = l->job;
    int r = limits_parse(&j->config, &l->limits, e);

    if (r == 0)
        r = attach_hugepages(&j->config, &l->vm, e);
    if (r == 0)
        r = attach_firmware(storages(l), &j->config, &l->vm, e);
    return r < 0 ? r : attach_tpm(storages(l), &j->config, guest_uid(j->mgr, j->uid_slot), &l->vm, e);
}

static int prepare_and_spawn(struct launch *l, struct err *e)
{
    struct launch_job *j = l->job;
    struct engine_launch order;
    int r = open_all(l, e);

    if (r < 0)
        return r;
    fill_vm(l);
    if ((r = open_machine(l, e)) < 0)
        return r;
    r = j->engine->launch(j->mgr->env.host, &l->vm, &order, e);
    if (r < 0)
        return r;
    snprintf(j->result.note, sizeof(j->result.note), "%s", order.note);
    randombytes_buf(j->result.cookie, sizeof(j->result.cookie));
    r = rundir_make(j->mgr, j->vmid, guest_uid(j->mgr, j->uid_slot), &l->dir_fd, &l->lock_fd, e);
    l->has_rundir = r == 0;
    if (r == 0 && FP("guest.start.rundir"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0)
        r = write_order(l, &order, e);
    if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l->pair) < 0)
        r = err_errno(e, errno, "socketpair");
    if (r == 0)
        r = spawn(l, &order, e);
    size_t used = strlen(j->result.warning);
    if (l->usb_missing[0])
        snprintf(j->result.warning + used, sizeof(j->result.warning) - used, "%s%s", used ? "; " : "", l->usb_missing);
    engine_launch_done(&order);
    return r;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void launch_run(void *arg)
{
    struct launch_job *j = arg;
    struct launch l = {.job = j,
                       .ram_fd = -1,
                       .kernel_fd = -1,
                       .initrd_fd = -1,
                       .dir_fd = -1,
                       .lock_fd = -1,
                       .launch_fd = -1,
                       .pair = {-1, -1}};

    l.vm.efi_code_fd = l.vm.efi_vars_fd = l.vm.tpm_fd = -1;
    struct err ignored = ERR_INIT;

    j->result.control_fd = j->result.pidfd = -1;
    j->r = prepare_and_spawn(&l, &j->err);
    for (size_t i = 0; i < l.n_disks; i++)
        engine_disk_done(&l.disks[i]);
    close_fd(l.vm.efi_code_fd);
    close_fd(l.vm.efi_vars_fd);
    close_fd(l.vm.tpm_fd);
    for (size_t i = 0; i < l.n_nets; i++)
        for (unsigned k = 0; k < l.nets[i].n_taps; k++) {
            close_fd(l.nets[i].tap_fds[k]);
            close_fd(l.nets[i].vhost_fds[k]);
        }
    for (size_t i = 0; i < l.n_usbs; i++)
        close_fd(l.usbs[i].fd);
    close_fd(l.ram_fd);
    close_fd(l.kernel_fd);
    close_fd(l.initrd_fd);
    close_fd(l.dir_fd);
    close_fd(l.lock_fd);
    close_fd(l.launch_fd);
    close_fd(l.pair[1]);
    if (j->r == 0)
        j->result.control_fd = l.pair[0];
    else
        close_fd(l.pair[0]);
    if (j->r < 0)
        net_tap_sweep(j->mgr->env.instance, j->vmid);
    if (j->r < 0 && l.has_rundir && rundir_clear(j->mgr, j->vmid, 1000, &ignored) < 0)
        j->err.hint[0] = 0; /* the next start of the daemon clears it */
    if (j->r < 0 && l.vm.tpm_fd >= 0 && attach_release(storages(&l), config_get(&j->config, "tpmstate0"), &ignored) < 0)
        log_err(LOG_WARN, &ignored, "guest %u", j->vmid);
}

int launch_device(struct guest_mgr *m, uint32_t vmid, uint32_t uid_slot, const struct config_item *it,
                  const struct chains *chains, struct launch_device *ret, struct err *e)
{
    struct launch_job job = {.mgr = m, .vmid = vmid, .uid_slot = uid_slot, .chains = *chains};
    struct launch l = {.job = &job};
    int r = add_disk(&l, it, e);

    if (r == 0)
        r = add_net(&l, it, e);
    if (r == 0)
        r = add_usb(&l, it, e);
    if (r == 0 && l.n_disks)
        ret->disk = l.disks[0];
    if (r == 0 && l.n_nets)
        ret->net = l.nets[0];
    if (r == 0 && l.n_usbs)
        ret->usb = l.usbs[0];
    return r;
}

void launch_job_free(struct launch_job *j)
{
    config_done(&j->config);
    chains_done(&j->chains);
    free(j->cpu_model);
    free(j);
}
