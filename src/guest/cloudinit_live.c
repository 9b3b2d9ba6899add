/* The cloud-init drive of a guest anew, also while it runs: a pool thread writes the image and opens it, the engine
 * changes the medium, and what was pending of the cloud-init keys is then the configuration in force. Before that
 * commit a crash leaves the keys pending, which the next start takes over, with an image of its own. Loop thread. */
#include "base/log.h"
#include "guest/cloudinit.h"
#include "guest/guest_priv.h"
#include "task/pool.h"

struct update {
    struct guest_mgr *m;
    uint32_t vmid;
    bool is_running;
    struct config config; /* as it will be */
    const struct config_item *drive;
    uint64_t revision;
    struct chains chains;
    struct launch_device device;
    uint32_t uid_slot;
    int r;
    struct err err;
    guest_live_done_fn fn;
    void *arg;
};

static void update_end(struct update *u, int r, const struct err *e)
{
    guest_live_done_fn fn = u->fn;
    void *arg = u->arg;
    struct err copy = *e;

    engine_disk_done(&u->device.disk);
    chains_done(&u->chains);
    config_done(&u->config);
    free(u);
    fn(arg, r, &copy);
}

static const char *bare(const char *pending_key)
{
    return pending_key + (pending_key[0] == '!');
}

/* ---- the end: what is in force ---- */

static void note_running(struct guest *g, const struct config *now)
{
    int r = 0;

    for (size_t i = 0; i < g->running.n;)
        if (cloudinit_is_key(g->running.items[i].key))
            config_remove(&g->running, g->running.items[i].key);
        else
            i++;
    for (size_t i = 0; r == 0 && i < now->n; i++)
        if (cloudinit_is_key(now->items[i].key))
            r = config_set(&g->running, now->items[i].key, now->items[i].value);
    if (r < 0)
        log_warn("guest %u: no memory to note its cloud-init keys", g->vmid);
}

static void on_committed(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct update *u = arg;
    struct guest *g = guest_find(u->m, u->vmid);

    if (r == 0 && g && g->running.n)
        note_running(g, &u->config);
    update_end(u, r, e);
}

static bool has_pending(const struct guest *g)
{
    for (size_t i = 0; i < g->pending.n; i++)
        if (cloudinit_is_key(bare(g->pending.items[i].key)))
            return true;
    return false;
}

static void commit(struct update *u)
{
    struct guest *g = guest_find(u->m, u->vmid);
    struct config pending = {0};
    struct state_txn *t = NULL;

    if (!g || !has_pending(g)) {
        update_end(u, 0, &(struct err)ERR_INIT);
        return;
    }
    if (config_copy(&g->pending, &pending) == 0) {
        struct guest_record record = guest_record_of(g);
        for (size_t i = 0; i < g->pending.n; i++)
            if (cloudinit_is_key(bare(g->pending.items[i].key)))
                config_remove(&pending, g->pending.items[i].key);
        record.config = &u->config;
        record.pending = &pending;
        t = guest_txn(u->m->env.node, g->vmid, u->revision, &record);
    }
    config_done(&pending);
    state_commit(u->m->env.state, t, on_committed, u);
}

/* ---- the medium ---- */

static void on_script(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct update *u = arg;

    if (r == 0)
        commit(u);
    else /* -EPIPE: it has ended meanwhile, and finds everything at its next start */
        update_end(u, r == -EPIPE ? 0 : r, e);
}

static void change_medium(struct update *u, struct guest *g)
{
    const struct engine *engine = engine_find(g->engine);
    struct engine_vm vm = {.vmid = g->vmid,
                           .machine = g->machine,
                           .config = g->config.items,
                           .n_config = g->config.n,
                           .has_kvm = u->m->env.host->has_kvm,
                           .disks = &u->device.disk,
                           .n_disks = 1};
    struct err e = ERR_INIT;
    struct engine_script s;
    int r = engine && engine->live ? engine->live(&vm, ENGINE_MEDIUM, u->drive->key, 0, &s, &e) : -EOPNOTSUPP;

    if (r == 0) {
        guest_script(u->m, u->vmid, &s, on_script, u);
        buf_done(&s.fields);
        return;
    }
    err_set(&e, -EOPNOTSUPP, "engine.live", "%s: the guest reads the new image when it is started the next time",
            u->drive->key);
    update_end(u, e.num, &e);
}

static void write_and_open(void *arg)
{
    struct update *u = arg;

    u->r = cloudinit_write(u->m->env.storages, &u->config, u->vmid, &u->err);
    if (u->r == 0 && u->is_running)
        u->r = launch_device(u->m, u->vmid, u->uid_slot, u->drive, &u->chains, &u->device, &u->err);
}

static void written(void *arg)
{
    struct update *u = arg;
    struct guest *g = guest_find(u->m, u->vmid);

    if (u->r < 0 || !u->is_running || !g || (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED))
        update_end(u, u->r, &u->err);
    else
        change_medium(u, g);
}

/* ---- the beginning ---- */

/* A running guest keeps its other pending keys pending; a stopped one has nothing to wait for. */
static int take_config(struct update *u, const struct guest *g)
{
    int r = u->is_running ? config_copy(&g->config, &u->config) : guest_config_wanted(g, &u->config);

    for (size_t i = 0; r == 0 && u->is_running && i < g->pending.n; i++) {
        const struct config_item *it = &g->pending.items[i];
        if (!cloudinit_is_key(bare(it->key)))
            continue;
        if (it->key[0] == '!')
            config_remove(&u->config, bare(it->key));
        else
            r = config_set(&u->config, it->key, it->value);
    }
    return r;
}

static int prepare(struct update *u, struct guest *g, struct err *e)
{
    u->is_running = guest_is_running(g);
    if (u->is_running && g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -EBUSY, "guest.busy", "VM %u is starting or stopping", g->vmid);
    if (take_config(u, g) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    const char *key = cloudinit_drive_key(&u->config, g->vmid);
    if (!key) {
        err_set(e, -EINVAL, "guest.no-cloudinit", "VM %u has no cloud-init drive", g->vmid);
        return err_hint(e, "ide2=STORAGE:cloudinit adds one");
    }
    for (size_t i = 0; i < u->config.n; i++)
        if (streq(u->config.items[i].key, key))
            u->drive = &u->config.items[i];
    if (u->is_running && str_starts(key, "virtio"))
        return err_set(e, -EOPNOTSUPP, "engine.live",
                       "%s: the medium of a virtio drive changes when the guest is started the next time", key);
    u->revision = g->revision;
    u->uid_slot = g->monitor ? g->monitor->uid_slot : 0;
    return chains_of(u->m, g, &u->config, &u->chains, e);
}

void cloudinit_update(struct guest_mgr *m, uint32_t vmid, guest_live_done_fn fn, void *arg)
{
    struct update *u = calloc(1, sizeof(*u));
    struct err e = ERR_INIT;
    struct guest *g;

    if (!u) {
        fn(arg, err_set(&e, -ENOMEM, NULL, "out of memory"), &e);
        return;
    }
    *u = (struct update){.m = m, .vmid = vmid, .fn = fn, .arg = arg, .device = {.disk = {.fd = -1}, .usb = {.fd = -1}}};
    int r = guest_get(m, vmid, &g, &e);
    if (r == 0)
        r = prepare(u, g, &e);
    if (r == 0)
        r = pool_submit(m->env.pool, write_and_open, written, u, &e);
    if (r < 0)
        update_end(u, r, &e);
}

bool cloudinit_is_due(const struct guest *g)
{
    return (g->state == GUEST_RUNNING || g->state == GUEST_PAUSED) &&
           engine_hotplug(g->config.items, g->config.n) & ENGINE_HOTPLUG_CLOUDINIT && has_pending(g) &&
           cloudinit_drive_key(&g->config, g->vmid);
}
