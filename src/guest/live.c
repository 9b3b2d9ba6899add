/* Pending changes of a running guest that its hypervisor can take at once: drives and network interfaces that come and
 * go, media, cables (PVE: qemu-server, vmconfig_hotplug_pending). One key after the other: a pool thread opens what is
 * needed, the engine writes a script, the monitor runs it; what succeeded is then moved from pending to the
 * configuration in one commit. What the hypervisor or the guest refuses stays pending.
 *
 * A crash between a script and that commit leaves a device that the configuration still calls pending, or a disk that
 * has grown: guest_live_settle looks at an adopted guest and writes down what is true. Loop thread. */
#include "base/fp.h"
#include "base/log.h"
#include "base/propstr.h"
#include "engine/limits.h"
#include "guest/attach.h"
#include "guest/cloudinit.h"
#include "guest/guest_priv.h"
#include "guest/netif.h"
#include "guest/still.h"
#include "task/pool.h"

#define LOCK_WAIT_MS 10000u

/* CABLE: the host's side of an interface, and whether it is plugged in. */
enum live_plan {
    LIVE_NONE,
    LIVE_ADD,
    LIVE_REMOVE,
    LIVE_REPLACE,
    LIVE_CABLE,
    LIVE_MEDIUM,
    LIVE_LIMIT,
    LIVE_COUNT,
    LIVE_SAME
};

struct live {
    struct guest_mgr *m;
    uint32_t vmid;
    struct config todo, done; /* in the form of pending */
    struct config reached;    /* what a number got to on its way to what is pending */
    size_t at;
    enum live_plan plan;
    bool is_removed; /* LIVE_REPLACE: the old one is gone */
    /* LIVE_COUNT: CPUs or MiB that are wanted, that there were before the last step, and how that step ended */
    uint64_t wanted, before;
    struct err step;
    bool is_settling;
    guest_live_failed_fn failed;
    guest_live_done_fn fn;
    void *arg;
    struct task_hold *hold; /* settling: our own */
    /* the job of the pool thread */
    struct launch_device device;
    struct chains chains;
    uint32_t uid_slot;
    int r;
    struct err err;
};

static void run_key(struct live *l);
static void run_script(struct live *l, enum engine_live what);

static void close_device(struct live *l);

static void live_free(struct live *l)
{
    struct task_hold *hold = l->hold;

    close_device(l);
    config_done(&l->todo);
    config_done(&l->done);
    config_done(&l->reached);
    chains_done(&l->chains);
    free(l);
    if (hold)
        task_hold_release(hold);
}

static void live_end(struct live *l, int r, const struct err *e)
{
    guest_live_done_fn fn = l->fn;
    void *arg = l->arg;
    struct err copy = *e;

    live_free(l);
    if (fn)
        fn(arg, r, &copy);
}

/* ---- what can be done ---- */

static bool is_hotplugged(const struct guest *g, uint32_t what)
{
    return engine_hotplug(g->config.items, g->config.n) & what;
}

static bool is_same_volume(const char *a, const char *b)
{
    struct volume_id v, w;

    return guest_drive_volume(a, &v) && guest_drive_volume(b, &w) && streq(v.name, w.name) &&
           streq(v.storage, w.storage) && v.vmid == w.vmid;
}

/* The pointer is there unless it was turned off. */
static enum live_plan plan_of_usb(const struct guest *g, const char *key, const char *old, const char *value)
{
    bool is_on = true, is_wanted = true;

    if (!is_hotplugged(g, ENGINE_HOTPLUG_USB))
        return LIVE_NONE;
    if (streq(key, "tablet") && !guest_has_display(g))
        return LIVE_NONE;
    if (!streq(key, "tablet"))
        return !value ? LIVE_REMOVE : old ? LIVE_REPLACE : LIVE_ADD;
    if ((old && propstr_bool(old, &is_on) < 0) || (value && propstr_bool(value, &is_wanted) < 0))
        return LIVE_NONE;
    if (is_on == is_wanted)
        return LIVE_SAME;
    return is_wanted ? LIVE_ADD : LIVE_REMOVE;
}

static enum live_plan plan_of(const struct guest *g, const struct config_item *it)
{
    bool is_gone = it->key[0] == '!';
    const char *key = it->key + is_gone, *old = config_get(&g->config, key);

    if (streq(key, "vcpus"))
        return is_hotplugged(g, ENGINE_HOTPLUG_CPU) ? LIVE_COUNT : LIVE_NONE;
    if (streq(key, "memory"))
        return !is_gone && is_hotplugged(g, ENGINE_HOTPLUG_MEMORY) ? LIVE_COUNT : LIVE_NONE;
    if (streq(key, "tablet") || guest_is_index_key(key, "usb"))
        return plan_of_usb(g, key, old, is_gone ? NULL : it->value);
    if (guest_is_index_key(key, "net")) {
        if (old && !is_gone && netif_is_same_device(old, it->value))
            return LIVE_CABLE; /* whatever hotplug= says: the guest's device stays */
        if (!is_hotplugged(g, ENGINE_HOTPLUG_NETWORK))
            return LIVE_NONE;
        return is_gone ? LIVE_REMOVE : old ? LIVE_REPLACE : LIVE_ADD;
    }
    if (!guest_is_drive_key(key))
        return LIVE_NONE;
    if (!is_gone && cloudinit_is_drive(it->value, g->vmid))
        return LIVE_NONE; /* filled by the start */
    if (old && !is_gone && guest_drive_is_cdrom(old) && guest_drive_is_cdrom(it->value))
        return LIVE_MEDIUM;
    if (old && !is_gone && limit_is_all_that_differs(old, it->value))
        return LIVE_LIMIT; /* as with cables: the guest's device stays */
    if (!is_hotplugged(g, ENGINE_HOTPLUG_DISK) || (!str_starts(key, "virtio") && !str_starts(key, "scsi")))
        return LIVE_NONE;
    if (is_gone)
        return LIVE_REMOVE;
    /* The same volume with other options waits for a start. */
    return !old ? LIVE_ADD : is_same_volume(old, it->value) ? LIVE_NONE : LIVE_REPLACE;
}

/* ---- the commit ---- */

static void note_running(struct guest *g, const struct config *changes)
{
    for (size_t i = 0; i < changes->n; i++) {
        const struct config_item *it = &changes->items[i];
        if (it->key[0] == '!')
            config_remove(&g->running, it->key + 1);
        else if (config_set(&g->running, it->key, it->value) < 0)
            log_warn("guest %u: no memory to note %s", g->vmid, it->key);
    }
}

static void on_committed(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct live *l = arg;
    struct guest *g = guest_find(l->m, l->vmid);

    /* What it runs with, where that is known. */
    if (g) {
        guest_summary_forget(g);
        guest_tell(l->m, g->vmid);
    }
    if (r == 0 && g && g->running.n) {
        note_running(g, &l->done);
        note_running(g, &l->reached);
    }
    live_end(l, r, e);
}

static void commit(struct live *l, struct guest *g, const struct config *config)
{
    struct guest_record record = guest_record_of(g);
    struct config pending = {0};
    struct state_txn *t = NULL;

    if (config_copy(&g->pending, &pending) == 0) {
        for (size_t i = 0; i < l->done.n; i++)
            config_remove(&pending, l->done.items[i].key);
        record.config = config;
        record.pending = &pending;
        t = guest_txn(l->m->env.node, g->vmid, g->revision, &record);
    }
    config_done(&pending);
    state_commit(l->m->env.state, t, on_committed, l);
}

static void finish(struct live *l)
{
    struct guest *g = guest_find(l->m, l->vmid);
    struct config config = {0};
    struct err e = ERR_INIT;

    if (!g || (!l->done.n && !l->reached.n)) {
        live_end(l, 0, &e);
        return;
    }
    (void)FP("guest.live.done"); /* for kill: an error here would be a lie, the guest has changed */
    int r = config_copy(&g->config, &config);
    if (r == 0)
        r = guest_config_merge(&config, &l->done, l->vmid);
    if (r == 0)
        r = guest_config_merge(&config, &l->reached, l->vmid);
    if (r < 0) {
        err_set(&e, r, NULL, "out of memory");
        live_end(l, r, &e);
    } else {
        commit(l, g, &config);
    }
    config_done(&config);
}

/* ---- one key ---- */

static const struct config_item *item(const struct live *l)
{
    return &l->todo.items[l->at];
}

static const char *key_of(const struct live *l)
{
    return item(l)->key + (item(l)->key[0] == '!');
}

static bool is_net(const struct live *l)
{
    return guest_is_index_key(key_of(l), "net");
}

static void close_device(struct live *l)
{
    struct engine_net *net = &l->device.net;

    engine_disk_done(&l->device.disk);
    if (l->device.usb.fd >= 0)
        close(TAKE_FD(l->device.usb.fd));
    for (unsigned i = 0; i < net->n_taps; i++) {
        close(net->tap_fds[i]);
        if (net->vhost_fds[i] >= 0)
            close(net->vhost_fds[i]);
    }
    net->n_taps = 0;
}

static void next_key(struct live *l, bool is_done)
{
    if (is_done && config_set(&l->done, item(l)->key, item(l)->value) < 0)
        log_warn("guest %u: no memory to note %s", l->vmid, item(l)->key);
    close_device(l);
    l->at++;
    l->is_removed = false;
    run_key(l);
}

static void sweep(void *arg)
{
    struct live *l = arg;

    net_tap_sweep(l->m->env.instance, l->vmid);
}

static void swept(void *arg)
{
    struct live *l = arg;

    if (l->plan == LIVE_REPLACE)
        run_key(l);
    else
        next_key(l, true);
}

/* The device is gone. What its tap needed besides itself goes too. */
static void removed(struct live *l)
{
    struct err e = ERR_INIT;

    l->is_removed = true;
    close_device(l);
    if (!is_net(l) || pool_submit(l->m->env.pool, sweep, swept, l, &e) < 0)
        swept(l);
}

static void on_script(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct live *l = arg;

    if (r == -EPIPE) { /* the guest or its monitor has gone, or we go */
        close_device(l);
        live_end(l, 0, &(struct err)ERR_INIT);
        return;
    }
    if (l->plan == LIVE_COUNT) {
        l->step = r < 0 ? *e : (struct err)ERR_INIT;
        run_script(l, ENGINE_COUNT);
        return;
    }
    if (r == 0 && (l->plan == LIVE_REPLACE || l->plan == LIVE_REMOVE) && !l->is_removed) {
        removed(l);
        return;
    }
    /* What only a new start can change waits for it, as anything that is pending. */
    if (r < 0 && r != -EOPNOTSUPP && !streq(e->code, "engine.live") && !strstr(e->text, "not support hotplug") &&
        !strstr(e->text, "Bus 'usb-input.0' not found") && l->failed)
        l->failed(l->arg, key_of(l), e->text);
    next_key(l, r == 0);
}

/* ---- numbers: CPUs and memory, one device at a time ---- */

static uint64_t number_of(const struct guest *g, const char *key, uint64_t fallback)
{
    const char *value = config_get(&g->config, key);
    uint64_t n;

    return value && str_to_u64(value, &n) == 0 ? n : fallback;
}

static uint64_t max_cpus(const struct guest *g)
{
    return engine_sockets(g->config.items, g->config.n) * number_of(g, "cores", 1);
}

/* Not all the way: what there is now is written down, the rest stays pending. */
static void stop_at(struct live *l, uint64_t now, const struct err *why)
{
    struct guest *g = guest_find(l->m, l->vmid);
    bool is_memory = streq(key_of(l), "memory");
    uint64_t known = !g          ? now
                     : is_memory ? engine_memory_mib(g->config.items, g->config.n)
                                 : number_of(g, "vcpus", max_cpus(g));
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)now);
    if (now != known && config_set(&l->reached, key_of(l), text) < 0)
        log_warn("guest %u: no memory to note %s", l->vmid, key_of(l));
    if (why->num && why->num != -EOPNOTSUPP && l->failed)
        l->failed(l->arg, key_of(l), why->text);
    next_key(l, false);
}

/* QEMU's own word on how many there are decides: what a step said about itself may be true only later. */
static void on_count(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct live *l = arg;
    struct guest *g = guest_find(l->m, l->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct err why = *e;
    uint64_t now;

    if (r == -EPIPE || !engine || !engine->count) {
        live_end(l, 0, &(struct err)ERR_INIT);
        return;
    }
    if (r == 0)
        r = engine->count(key_of(l), body, n, &now, &why);
    if (r < 0) {
        if (l->failed)
            l->failed(l->arg, key_of(l), why.text);
        next_key(l, false);
        return;
    }
    if (now == l->wanted) {
        next_key(l, true);
        return;
    }
    if (!l->step.num && now == l->before)
        err_set(&l->step, -EIO, "guest.refused", "QEMU says it changed %s, but it did not", key_of(l));
    bool has_turned = l->before != UINT64_MAX && (now > l->wanted) != (l->before > l->wanted);
    if (l->is_settling || l->step.num || has_turned) {
        stop_at(l, now, &l->step);
        return;
    }
    l->before = now;
    run_script(l, l->wanted > now ? ENGINE_GROW : ENGINE_SHRINK);
}

static enum engine_live change_of(const struct live *l)
{
    switch (l->plan) {
    case LIVE_REMOVE:
        return ENGINE_UNPLUG;
    case LIVE_REPLACE:
        return l->is_removed ? ENGINE_PLUG : ENGINE_UNPLUG;
    case LIVE_CABLE:
        return ENGINE_LINK;
    case LIVE_MEDIUM:
        return ENGINE_MEDIUM;
    case LIVE_LIMIT:
        return ENGINE_LIMIT;
    case LIVE_COUNT:
        return l->wanted > l->before ? ENGINE_GROW : ENGINE_SHRINK;
    case LIVE_ADD:
    case LIVE_SAME:
    case LIVE_NONE:
        break;
    }
    return ENGINE_PLUG;
}

static void run_script(struct live *l, enum engine_live what)
{
    struct guest *g = guest_find(l->m, l->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct engine_script s;
    struct err e = ERR_INIT;

    if (!engine || !engine->live || (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)) {
        finish(l);
        return;
    }
    struct engine_vm vm = {.vmid = g->vmid,
                           .machine = g->machine,
                           .config = g->config.items,
                           .n_config = g->config.n,
                           .has_kvm = l->m->env.host->has_kvm,
                           .sockets = engine_sockets(g->config.items, g->config.n),
                           .cores = (uint32_t)number_of(g, "cores", 1),
                           .memory_mib = l->wanted,
                           .vcpus = (uint32_t)l->wanted,
                           .disks = &l->device.disk,
                           .n_disks = guest_is_drive_key(key_of(l)),
                           .nets = &l->device.net,
                           .n_nets = guest_is_index_key(key_of(l), "net"),
                           .usbs = &l->device.usb,
                           .n_usbs = guest_is_index_key(key_of(l), "usb")};
    autofree char *model = cpu_models_expand(l->m->cpu_models, config_get(&g->config, "cpu"));
    vm.cpu_model = model;
    int r = engine->live(&vm, what, key_of(l), l->before, &s, &e);
    if (r < 0) {
        (what == ENGINE_COUNT ? on_count : on_script)(l, r, "", 0, false, &e);
        return;
    }
    guest_script(l->m, l->vmid, &s, what == ENGINE_COUNT ? on_count : on_script, l);
    buf_done(&s.fields);
}

/* Of an interface that is already there, or that is to make room for another one. */
static int look_at_net(struct live *l, struct err *e)
{
    struct netif n;
    int r = netif_parse(l->m, l->vmid, l->uid_slot, item(l), &n, e);

    if (r == 0 && n.tap.bridge)
        r = l->plan == LIVE_CABLE ? net_tap_change(&n.tap, e) : net_tap_check(&n.tap, e);
    if (r == 0)
        l->device.net = n.net;
    return r;
}

static bool has_new_device(const struct live *l)
{
    return !is_net(l) || l->plan == LIVE_ADD || (l->plan == LIVE_REPLACE && l->is_removed);
}

static void open_device(void *arg)
{
    struct live *l = arg;

    if (has_new_device(l))
        l->r = launch_device(l->m, l->vmid, l->uid_slot, item(l), &l->chains, &l->device, &l->err);
    else
        l->r = look_at_net(l, &l->err);
}

static void opened(void *arg)
{
    struct live *l = arg;

    if (l->r < 0)
        on_script(l, l->r, "", 0, false, &l->err);
    else
        run_script(l, change_of(l));
}

static void on_probe(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct live *l = arg;

    if (r == -EPIPE) {
        live_end(l, 0, &(struct err)ERR_INIT);
        return;
    }
    bool is_there = r == 0, is_known = r == 0 || streq(e->code, "guest.refused");

    next_key(l, is_known && ((l->plan == LIVE_ADD && is_there) || (l->plan == LIVE_REMOVE && !is_there)));
}

static void begin_count(struct live *l, const struct guest *g)
{
    bool is_gone = item(l)->key[0] == '!';
    uint64_t max = max_cpus(g);
    struct config_item memory = {"memory", item(l)->value};

    if (streq(key_of(l), "memory"))
        l->wanted = engine_memory_mib(&memory, 1);
    else if (is_gone || str_to_u64(item(l)->value, &l->wanted) < 0)
        l->wanted = max;
    l->before = UINT64_MAX; /* no step yet */
    l->step = (struct err)ERR_INIT;
    run_script(l, ENGINE_COUNT);
}

/* An engine that cannot tell leaves everything pending. */
static void probe(struct live *l)
{
    struct guest *g = guest_find(l->m, l->vmid);
    const struct engine *engine = g ? engine_find(g->engine) : NULL;
    struct engine_vm vm = {.vmid = l->vmid};
    struct engine_script s;
    struct err e = ERR_INIT;
    int r = engine && engine->live ? engine->live(&vm, ENGINE_PROBE, key_of(l), 0, &s, &e) : -EOPNOTSUPP;

    if (r < 0) {
        on_probe(l, r, "", 0, false, &e);
        return;
    }
    guest_script(l->m, l->vmid, &s, on_probe, l);
    buf_done(&s.fields);
}

/* What the drive stands on: the one that is there, where that is to go. */
static int name_images(struct live *l, const struct guest *g)
{
    struct config_item it = *item(l);
    struct config one = {.items = &it, .n = 1};
    bool is_old = change_of(l) == ENGINE_UNPLUG;
    struct volume_id v;

    it.key = key_of(l);
    if (is_old && config_get(&g->config, it.key))
        it.value = config_get(&g->config, it.key);
    chains_done(&l->chains);
    if (!guest_is_drive_key(it.key) || !launch_drive(&it, &l->device.disk))
        return 0;
    l->device.disk.options = item(l)->value;
    int r = chains_of(l->m, g, &one, &l->chains, &l->err);
    if (r == 0 && is_old && guest_drive_volume(it.value, &v))
        r = attach_names(chains_find(&l->chains, &v), &l->device.disk, &l->err);
    return r;
}

static void run_key(struct live *l)
{
    struct guest *g = guest_find(l->m, l->vmid);

    for (; g && l->at < l->todo.n; l->at++) {
        l->plan = plan_of(g, item(l));
        if (l->plan == LIVE_SAME && config_set(&l->done, item(l)->key, item(l)->value) < 0)
            log_warn("guest %u: no memory to note %s", l->vmid, item(l)->key);
        if (l->plan != LIVE_SAME && l->plan != LIVE_NONE)
            break;
    }
    if (!g || l->at == l->todo.n) {
        finish(l);
        return;
    }
    l->uid_slot = g->monitor ? g->monitor->uid_slot : 0;
    l->device = (struct launch_device){.disk = {.fd = -1}, .usb = {.fd = -1}};
    l->err = (struct err)ERR_INIT;
    if (name_images(l, g) < 0)
        on_script(l, l->err.num, "", 0, false, &l->err);
    else if (l->plan == LIVE_COUNT)
        begin_count(l, g);
    else if (l->is_settling)
        probe(l);
    else if (l->plan == LIVE_LIMIT || streq(key_of(l), "tablet") ||
             (change_of(l) == ENGINE_UNPLUG && (!is_net(l) || l->plan == LIVE_REMOVE)))
        run_script(l, change_of(l));
    else if (pool_submit(l->m->env.pool, open_device, opened, l, &l->err) < 0)
        on_script(l, l->err.num, "", 0, false, &l->err);
}

static struct live *live_new(struct guest_mgr *m, const struct guest *g)
{
    struct live *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    *l = (struct live){.m = m, .vmid = g->vmid, .device = {.disk = {.fd = -1}, .usb = {.fd = -1}}};
    /* Removals first: an address or a volume may move from one key to another. */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < g->pending.n; i++)
            if ((g->pending.items[i].key[0] == '!') == (pass == 0) &&
                config_set(&l->todo, g->pending.items[i].key, g->pending.items[i].value) < 0) {
                live_free(l);
                return NULL;
            }
    return l;
}

void guest_live_apply(struct guest_mgr *m, uint32_t vmid, guest_live_failed_fn failed, guest_live_done_fn fn, void *arg)
{
    struct guest *g = guest_find(m, vmid);
    struct err e = ERR_INIT;
    bool is_up = g && (g->state == GUEST_RUNNING || g->state == GUEST_PAUSED);
    struct live *l = is_up && g->pending.n ? live_new(m, g) : NULL;

    if (!l) {
        fn(arg, 0, &e);
        return;
    }
    l->failed = failed;
    l->fn = fn;
    l->arg = arg;
    run_key(l);
}

/* ---- after adoption ---- */

struct truth {
    struct guest_mgr *m;
    uint32_t vmid;
    uint64_t revision;
    struct config config;
    bool is_changed, was_still;
    struct task_hold *hold;
};

static void truth_free(struct truth *t)
{
    struct task_hold *hold = t->hold;

    config_done(&t->config);
    free(t);
    if (hold)
        task_hold_release(hold);
}

/* Sizes as they are: a resize may have been cut off before it was written down. */
static void look_at_sizes(void *arg)
{
    struct truth *t = arg;
    struct config now = {0};

    if (config_copy(&t->config, &now) < 0)
        return;
    for (size_t i = 0; i < now.n; i++) {
        struct volume_id v;
        struct volume_info info;
        struct storage *s;
        struct err e = ERR_INIT;
        if (!guest_is_drive_key(now.items[i].key) || guest_drive_is_cdrom(now.items[i].value) ||
            !guest_drive_volume(now.items[i].value, &v) || storage_mgr_ref(t->m->env.storages, v.storage, &s, &e) < 0)
            continue;
        if (volume_stat(s, &v, &info, &e) == 0 && guest_config_size(now.items[i].value) != info.size_bytes &&
            guest_config_resize(&t->config, &v, info.size_bytes) == 0)
            t->is_changed = true;
        storage_unref(s);
    }
    config_done(&now);
}

static void on_sizes(void *arg)
{
    struct truth *t = arg;
    struct guest *g = guest_find(t->m, t->vmid);
    struct live *l = g && g->revision == t->revision ? live_new(t->m, g) : NULL;

    if (!l) {
        truth_free(t);
        return;
    }
    l->is_settling = true;
    l->hold = TAKE_PTR(t->hold);
    if (t->is_changed) {
        /* The devices are looked at by the next one: one commit at a time. */
        l->is_settling = false;
        config_done(&l->todo);
        commit(l, g, &t->config);
    } else {
        run_key(l);
    }
    truth_free(t);
}

static void look_on(struct truth *t)
{
    struct guest *g = guest_find(t->m, t->vmid);
    struct err ignored = ERR_INIT;

    if (!g || config_copy(&g->config, &t->config) < 0) {
        truth_free(t);
        return;
    }
    t->revision = g->revision;
    if (pool_submit(t->m->env.pool, look_at_sizes, on_sizes, t, &ignored) < 0)
        truth_free(t);
}

static void on_swept(void *arg, int r, const struct err *e)
{
    look_on(arg);
}

/* What was closed while it stood still is closed for good only now. */
static void on_awake(void *arg, int r, const struct err *e)
{
    struct truth *t = arg;

    if (t->was_still)
        guest_images_settle(t->m, t->vmid, NULL, NULL, on_swept, t);
    else
        look_on(t);
}

static void on_images(void *arg, int r, const struct err *e)
{
    struct truth *t = arg;
    struct guest *g = guest_find(t->m, t->vmid);

    if (r < 0 && r != -EPIPE)
        log_err(LOG_ERROR, e, "guest %u: its images", t->vmid);
    t->was_still = g && g->is_still;
    if (r == 0) {
        still_settle(t->m, t->vmid, on_awake, t);
        return;
    }
    if (t->was_still) /* what it wrote now might be lost with its next start */
        log_error("guest %u: stays as it is, paused", t->vmid);
    look_on(t);
}

static void on_ram(void *arg, int r, const struct err *e)
{
    struct truth *t = arg;

    guest_images_settle(t->m, t->vmid, NULL, NULL, on_images, t);
}

static void settle_unlocked(void *arg, int r, const struct err *e)
{
    struct truth *t = arg;

    if (r < 0 || !(t->hold = task_hold(t->m->env.tasks, t->vmid, "config")))
        truth_free(t);
    else
        ram_settle(t->m, t->vmid, on_ram, t);
}

void guest_live_settle(struct guest_mgr *m, uint32_t vmid)
{
    struct truth *t = calloc(1, sizeof(*t));

    if (!t)
        return;
    *t = (struct truth){.m = m, .vmid = vmid};
    task_when_unlocked(m->env.tasks, vmid, LOCK_WAIT_MS, settle_unlocked, t);
}
