/* Virtual machines: list, create, destroy, configuration. PVE: qemu-server, API2/Qemu.pm. */
#include "api/qemu_change.h"
#include "base/log.h"
#include "guest/clone.h"
#include "guest/cloudinit.h"

#include "api/idempotency.h"

#define LOCK_WAIT_MS 3000u

int api_qemu_list(struct api_call *c, const struct api_qemu_list_args *a, struct err *e)
{
    struct guest_mgr *m = c->api->guests;
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    struct auth_guests *may = auth_guests_new(c->api->auth, &c->who);
    if (!may)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    jw_array(&c->out);
    for (size_t i = 0; i < guest_count(m); i++) {
        const struct guest *g = guest_at(m, i);
        if (g->is_dropped || !(auth_guests_privileges(may, g->vmid) & PRIV_M(VM_AUDIT)))
            continue;
        jw_object(&c->out);
        guest_status_members(&c->out, m, g, a->full);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    auth_guests_free(may);
    return 0;
}

/* The guest of a path. */
static int find(struct api_call *c, const char *node, int64_t vmid, struct guest **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : guest_get(c->api->guests, (uint32_t)vmid, ret, e);
}

int api_qemu_index(struct api_call *c, const struct api_qemu_index_args *a, struct err *e)
{
    static const char *const names[] = {"cloudinit", "config",   "pending",      "spiceproxy", "status",
                                        "termproxy", "vncproxy", "vncwebsocket", NULL};
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    return r < 0 ? r : api_reply_index(c, "subdir", names);
}

const char *qemu_shown(const char *key, const char *value)
{
    return value && streq(key, "cipassword") ? CLOUDINIT_HIDDEN : value;
}

/* A configuration value with the JSON type of its schema. */
void qemu_write_value(struct api_call *c, const char *key, const char *value)
{
    const struct api_param *p = api_handler_param("qemu_config_set", key);
    char *end;

    jw_key(&c->out, key);
    if (p && (p->kind == API_INTEGER || p->kind == API_BOOLEAN))
        jw_int(&c->out, strtoll(value, NULL, 10));
    else if (p && p->kind == API_NUMBER)
        jw_num(&c->out, strtod(value, &end));
    else
        jw_str(&c->out, qemu_shown(key, value));
}

int api_qemu_config_get(struct api_call *c, const struct api_qemu_config_get_args *a, struct err *e)
{
    struct config wanted = {0};
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    const struct snapshot *snapshot = a->snapshot ? snapshots_find(&g->snapshots, a->snapshot) : NULL;
    if (a->snapshot && !snapshot)
        return err_set(e, -ENOENT, "guest.snapshot", "snapshot '%s' does not exist", a->snapshot);
    if (!snapshot && !a->current && guest_config_wanted(g, &wanted) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    const struct config *cfg = snapshot ? &snapshot->config : a->current ? &g->config : &wanted;
    const char *parent = snapshot ? snapshot->parent : g->snapshots.parent;
    jw_object(&c->out);
    for (size_t i = 0; i < cfg->n; i++)
        qemu_write_value(c, cfg->items[i].key, cfg->items[i].value);
    if (parent[0])
        jw_kv_str(&c->out, "parent", parent);
    jw_kv_str(&c->out, "digest", g->digest);
    jw_object_end(&c->out);
    config_done(&wanted);
    return 0;
}

void qemu_pending_item(struct jw *w, const char *key, const char *value, const char *pending, bool is_deleted)
{
    jw_object(w);
    jw_kv_str(w, "key", key);
    if (value)
        jw_kv_str(w, "value", qemu_shown(key, value));
    if (pending)
        jw_kv_str(w, "pending", qemu_shown(key, pending));
    if (is_deleted)
        jw_kv_int(w, "delete", 1);
    jw_object_end(w);
}

int api_qemu_pending(struct api_call *c, const struct api_qemu_pending_args *a, struct err *e)
{
    struct jw *w = &c->out;
    char deleted[80];
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    jw_array(w);
    for (size_t i = 0; i < g->config.n; i++) {
        const char *key = g->config.items[i].key;
        snprintf(deleted, sizeof(deleted), "!%s", key);
        qemu_pending_item(w, key, g->config.items[i].value, config_get(&g->pending, key),
                          config_get(&g->pending, deleted) != NULL);
    }
    for (size_t i = 0; i < g->pending.n; i++) {
        const char *key = g->pending.items[i].key;
        if (key[0] != '!' && !config_get(&g->config, key))
            qemu_pending_item(w, key, NULL, g->pending.items[i].value, false);
    }
    jw_array_end(w);
    return 0;
}

/* ---- create ---- */

struct creation {
    struct change *change;
    bool is_started;
    char user[160];
    struct guest_mgr *guests;
};

static void creation_free(struct creation *k)
{
    if (k->change)
        change_free(k->change);
    free(k);
}

static void created(struct task *t, void *arg, int r, const struct err *e)
{
    struct creation *k = arg;
    uint32_t vmid = task_vmid(t);
    struct guest_op op = {.vmid = vmid, .user = k->user};
    struct err start_err = ERR_INIT;

    guest_release(k->guests, vmid);
    /* The start is a task of its own, after this one: its failure does not undo the creation. */
    if (r == 0 && k->is_started && guest_start(k->guests, &op, NULL, &start_err) < 0)
        task_warn(t, "%s", start_err.text);
    creation_free(k);
}

static int check_create(struct api_call *c, const struct api_qemu_create_args *a, struct err *e)
{
    char path[AUTH_PATH_MAX];
    struct {
        const char *name;
        bool is_set;
    } refused[] = {
        {"archive", a->archive != NULL},
        {"import-working-storage", a->import_working_storage != NULL},
        {"bwlimit", a->has_bwlimit},
        {"ha-managed", a->has_ha_managed && a->ha_managed},
        {"live-restore", a->has_live_restore && a->live_restore},
        {"unique", a->has_unique && a->unique},
        {"force", a->has_force && a->force},
    };

    if (a->pool && !auth_pool_exists(c->api->auth, a->pool))
        return err_set(e, -ENOENT, "pool.missing", "pool '%s' does not exist", a->pool);
    snprintf(path, sizeof(path), "/pool/%s", a->pool ? a->pool : "");
    if (!a->pool || !auth_has(c->api->auth, &c->who, path, PRIV_M(VM_ALLOCATE), false)) {
        api_vm_path((uint32_t)a->vmid, path);
        int r = api_require(c, path, PRIV_M(VM_ALLOCATE), false, e);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (refused[i].is_set)
            api_param_error(c, e, refused[i].name, "this is not supported");
    return c->param_errors.len ? err_set(e, -EINVAL, "param.invalid", "Parameter verification failed.") : 0;
}

static int exists(struct api_call *c, uint32_t vmid, struct err *e)
{
    return err_set(e, -EEXIST, "guest.exists", "unable to create VM %u - VM %u already exists on node '%s'", vmid, vmid,
                   c->api->node);
}

static int choose_engine(struct change *ch, struct err *e)
{
    struct engine_choice choice;
    const struct engine_host *host = ch->call->api->host;
    int r = engine_choose(host, config_get(&ch->set, "engine"), ch->set.items, ch->set.n, &ch->engine, e);

    if (r == 0)
        r = ch->engine->check_config(host, ch->set.items, ch->set.n, e);
    if (r == 0)
        r = ch->engine->resolve(host, ch->set.items, ch->set.n, &choice, e);
    if (r < 0)
        return r;
    config_remove(&ch->set, "engine");
    snprintf(ch->engine_name, sizeof(ch->engine_name), "%s", choice.engine);
    snprintf(ch->machine, sizeof(ch->machine), "%s", choice.machine);
    return config_set(&ch->set, "engine", choice.engine) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
}

static void log_warnings(struct change *ch, struct task *t)
{
    for (size_t i = 0; i < ch->n_warnings; i++)
        task_warn(t, "'%s' is stored and has no effect on this engine", ch->warnings[i]);
}

static int start_creation(struct api_call *c, struct creation *k, struct err *e)
{
    struct change *ch = k->change;
    const char *pool = ch->pool;
    char id[16];
    struct task *t;
    int r = change_apply(ch, e);

    if (r < 0)
        return r;
    struct state_txn *final = change_txn(ch);
    if (!final)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (pool)
        auth_txn_guest_pool(c->api->auth, final, ch->vmid, pool);
    snprintf(id, sizeof(id), "%u", ch->vmid);
    struct task_spec spec = {.type = "qmcreate",
                             .id = id,
                             .user = k->user,
                             .vmid = ch->vmid,
                             .steps = ch->steps,
                             .record_key = idempotency_state_key(c),
                             .direction = PLAN_UNDO,
                             .final = final,
                             .ended = created,
                             .arg = k};
    r = task_start(c->api->tasks, &spec, &t, e);
    if (r == 0)
        log_warnings(ch, t);
    return api_reply_task(c, r, t);
}

static int finish_create(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct creation *k = ctx;

    if (r == 0 && c->is_dry_run) {
        r = change_reply_plan(k->change);
    } else if (r == 0) {
        r = start_creation(c, k, e);
        if (r >= 0)
            return r; /* the task owns k and the number now */
    }
    guest_release(k->guests, k->change->vmid);
    creation_free(k);
    return r;
}

static int work_plan(void *ctx, struct err *e)
{
    struct creation *k = ctx;

    return change_plan(k->change, e);
}

int api_qemu_create(struct api_call *c, const struct api_qemu_create_args *a, struct err *e)
{
    struct change_request q = {.set = a->config, .n_set = a->n_config};
    uint32_t vmid = (uint32_t)a->vmid;
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = check_create(c, a, e);
    if (r < 0)
        return r;
    struct creation *k = calloc(1, sizeof(*k));
    if (!k || !(k->change = change_new(c, vmid))) {
        free(k);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    k->guests = c->api->guests;
    k->is_started = a->start;
    snprintf(k->user, sizeof(k->user), "%s", api_user(c));
    k->change->pool = a->pool;
    r = change_init(k->change, NULL, &q, e);
    if (r == 0)
        r = choose_engine(k->change, e);
    if (r == 0 && guest_reserve(k->guests, vmid) < 0)
        r = exists(c, vmid, e);
    if (r < 0) {
        creation_free(k);
        return r;
    }
    return api_offload(c, work_plan, finish_create, k);
}

/* ---- destroy ---- */

struct destruction {
    struct api_call *call;
    uint32_t vmid;
    bool is_sweeping, has_layers; /* destroy-unreferenced-disks */
    json_t *steps;
    struct storage *storages[64];
    size_t n_storages;
    struct config config;
    struct task_hold *hold; /* until the guest is gone nobody changes it */
};

static void destruction_free(struct destruction *d)
{
    struct task_hold *hold = d->hold;

    for (size_t i = 0; i < d->n_storages; i++)
        storage_unref(d->storages[i]);
    config_done(&d->config);
    json_decref(d->steps);
    free(d);
    task_hold_release(hold);
}

static void destroyed(struct task *t, void *arg, int r, const struct err *e)
{
    destruction_free(arg);
}

static void add_removal(struct destruction *d, const struct volume_id *v)
{
    json_t *step = guest_step_volume_delete(v);

    for (size_t i = 0; i < json_array_size(d->steps); i++)
        if (json_equal(json_array_get(d->steps, i), step)) {
            json_decref(step);
            return;
        }
    json_array_append_new(d->steps, step);
}

static int found_volume(void *arg, const struct volume_info *info)
{
    add_removal(arg, &info->id);
    return 0;
}

static int plan_destruction(void *ctx, struct err *e)
{
    struct destruction *d = ctx;
    struct volume_id v;
    int r = 0;

    for (size_t i = 0; i < d->config.n; i++) {
        const struct config_item *it = &d->config.items[i];
        if ((guest_is_drive_key(it->key) || guest_is_index_key(it->key, "unused")) &&
            guest_drive_volume(it->value, &v) && v.content == STORAGE_CONTENT_images && v.vmid == d->vmid)
            add_removal(d, &v);
    }
    /* Layers go with the images that stand on them, also those that are nobody's. */
    for (size_t i = 0; r == 0 && d->has_layers && i < d->n_storages; i++)
        r = volume_layers(d->storages[i], d->vmid, found_volume, d, e);
    for (size_t i = 0; r == 0 && d->is_sweeping && i < d->n_storages; i++)
        r = volume_list(d->storages[i], STORAGE_CONTENT_images, d->vmid, found_volume, d, e);
    return r;
}

static int finish_delete(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct destruction *d = ctx;
    char key[40], id[16];
    struct task *t = NULL;

    if (r == 0 && c->is_dry_run) {
        struct change plan = {.call = c, .steps = d->steps};
        r = change_reply_plan(&plan);
        destruction_free(d);
        return r;
    }
    if (r == 0) {
        struct state_txn *final = state_txn_new();
        snprintf(key, sizeof(key), "shared/guest/%u", d->vmid);
        snprintf(id, sizeof(id), "%u", d->vmid);
        if (final)
            auth_txn_guest_purge(c->api->auth, final, d->vmid);
        struct task_spec spec = {.type = "qmdestroy",
                                 .id = id,
                                 .user = api_user(c),
                                 .vmid = d->vmid,
                                 .steps = d->steps,
                                 .record_key = idempotency_state_key(c),
                                 .direction = PLAN_FORWARD,
                                 .final = final,
                                 .final_deletes = json_pack("[s]", key),
                                 .ended = destroyed,
                                 .arg = d};
        r = task_start(c->api->tasks, &spec, &t, e);
        json_decref(spec.final_deletes);
    }
    if (r < 0)
        destruction_free(d);
    return api_reply_task(c, r, t);
}

int api_qemu_delete(struct api_call *c, const struct api_qemu_delete_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r == 0 && a->skiplock)
        r = api_require_root(c, e);
    if (r < 0)
        return r;
    const char *protection = config_get(&g->config, "protection"), *lock = config_get(&g->config, "lock");
    const char *task_lock = task_guest_lock(c->api->tasks, g->vmid);
    if (protection && streq(protection, "1"))
        return err_set(e, -EPERM, "guest.protected", "can't remove VM %u - protection mode enabled", g->vmid);
    if ((lock && !a->skiplock) || task_lock)
        return err_set(e, -EBUSY, "guest.locked", "VM is locked (%s)", task_lock ? task_lock : lock);
    if (guest_is_running(g) || task_guest_has(c->api->tasks, g->vmid, "qmstart"))
        return err_set(e, -EBUSY, "guest.running", "VM %u is running - destroy failed", g->vmid);
    uint32_t dependent = guest_dependent(c->api->guests, g->vmid);
    if (dependent) {
        err_set(e, -EBUSY, "guest.template", "VM %u has images that those of VM %u stand on", g->vmid, dependent);
        return err_hint(e, "remove its linked clones first, or make full clones of them");
    }
    struct destruction *d = calloc(1, sizeof(*d));
    if (!d || !(d->steps = json_array()) || config_copy(&g->config, &d->config) < 0) {
        free(d);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    d->vmid = g->vmid;
    d->hold = task_hold(c->api->tasks, g->vmid, "destroyed");
    d->is_sweeping = a->destroy_unreferenced_disks;
    d->has_layers = g->layers.n > 0;
    for (size_t i = 0; i < g->snapshots.n; i++) {
        struct err ignored = ERR_INIT;
        struct volume_id v;
        if (g->snapshots.items[i].vmstate[0] && volume_id_parse(g->snapshots.items[i].vmstate, &v, &ignored) == 0)
            add_removal(d, &v);
    }
    for (size_t i = 0; i < storage_mgr_count(c->api->storages) && i < ARRAY_SIZE(d->storages); i++)
        d->storages[d->n_storages++] = storage_ref(storage_mgr_at(c->api->storages, i)->storage);
    return api_offload(c, plan_destruction, finish_delete, d);
}

/* ---- configuration ---- */

struct update {
    struct api_call *call;
    struct change_request request;
    struct change *change;
    struct guest_mgr *guests;
    uint32_t vmid;
    bool is_async, has_failed;
    struct task_hold *hold; /* from planning to commit nobody else changes the configuration */
};

static void update_abandon(struct update *u)
{
    struct task_hold *hold = u->hold;

    change_free(u->change);
    free(u);
    task_hold_release(hold); /* last: the next one in line runs inside */
}

static void on_hotplug_failed(void *arg, const char *key, const char *text)
{
    struct update *u = arg;
    struct err e = ERR_INIT;

    if (u->is_async)
        log_warn("guest %u: %s stays pending: %s", u->vmid, key, text);
    else if (api_param_error(u->call, &e, key, "hotplug problem - %s", text) < 0)
        u->has_failed = true;
}

static void update_end(void *arg, int r, const struct err *e)
{
    struct update *u = arg;
    struct api_call *c = u->is_async ? NULL : u->call;
    struct err copy = *e;

    if (r == 0 && u->has_failed)
        r = err_set(&copy, -EINVAL, "param.invalid", "Parameter verification failed.");
    update_abandon(u);
    if (c)
        api_finish(c, r, &copy);
}

static void on_cloudinit(void *arg, int r, const struct err *e)
{
    if (r < 0)
        on_hotplug_failed(arg, "hotplug", e->text);
    update_end(arg, 0, &(struct err)ERR_INIT);
}

static void on_hotplugged(void *arg, int r, const struct err *e)
{
    struct update *u = arg;
    struct guest *g = r == 0 ? guest_find(u->guests, u->vmid) : NULL;

    if (g && cloudinit_is_due(g))
        cloudinit_update(u->guests, u->vmid, on_cloudinit, u);
    else
        update_end(u, r, e);
}

/* The new configuration is in force; what a running guest can take of what is pending, it takes now. */
static void update_written(struct update *u, int r, const struct err *e)
{
    if (r < 0)
        on_hotplugged(u, r, e);
    else
        guest_live_apply(u->guests, u->vmid, on_hotplug_failed, on_hotplugged, u);
}

static void update_done(struct task *t, void *arg, int r, const struct err *e)
{
    update_written(arg, r, e);
}

static void update_committed(void *arg, int r, uint64_t revision, const struct err *e)
{
    update_written(arg, r, e);
}

static int start_update(struct api_call *c, struct update *u, struct err *e)
{
    struct change *ch = u->change;
    bool is_async = u->is_async;
    struct task *t;
    char id[16];

    if (!is_async && json_array_size(ch->steps) == 0) { /* nothing but text: one commit, no task */
        state_commit(c->api->state, change_txn(ch), update_committed, u);
        return API_LATER;
    }
    snprintf(id, sizeof(id), "%u", u->vmid);
    struct task_spec spec = {.type = "qmconfig",
                             .id = id,
                             .user = api_user(c),
                             .vmid = u->vmid,
                             .steps = ch->steps,
                             .record_key = is_async ? idempotency_state_key(c) : NULL,
                             .direction = ch->n_removes ? PLAN_FORWARD : PLAN_UNDO,
                             .ended = update_done,
                             .arg = u};
    /* Volumes are destroyed after the configuration stopped naming them, and made before it names them. */
    *(ch->n_removes ? &spec.initial : &spec.final) = change_txn(ch);
    int r = task_start(c->api->tasks, &spec, &t, e);
    if (r < 0) {
        update_abandon(u);
        return r;
    }
    log_warnings(ch, t);
    return is_async ? api_reply_task(c, 0, t) : API_LATER;
}

static int finish_update(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct update *u = ctx;

    if (r == 0 && c->is_dry_run)
        r = change_reply_plan(u->change);
    else if (r == 0)
        r = change_apply(u->change, e);
    if (r < 0 || c->is_dry_run) {
        update_abandon(u);
        return r;
    }
    return start_update(c, u, e);
}

static int work_update(void *ctx, struct err *e)
{
    struct update *u = ctx;

    return change_plan(u->change, e);
}

/* No journalled task holds the guest now. */
static void update_unlocked(void *arg, int r, const struct err *lock_err)
{
    struct update *u = arg;
    struct api_call *c = u->call;
    struct err e = *lock_err;
    struct guest *g = NULL;
    struct config wanted = {0};

    if (r == 0 && !(u->hold = task_hold(c->api->tasks, u->vmid, "config")))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = guest_get(c->api->guests, u->vmid, &g, &e);
    if (r == 0 && !(u->change = change_new(c, u->vmid)))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = change_init(u->change, g, &u->request, &e);
    if (r == 0 && u->change->engine) {
        if (guest_config_wanted(g, &wanted) == 0 && guest_config_merge(&wanted, &u->change->set, u->vmid) == 0)
            r = u->change->engine->check_config(c->api->host, wanted.items, wanted.n, &e);
        config_done(&wanted);
    }
    if (r < 0) {
        update_abandon(u);
        api_finish(c, r, &e);
        return;
    }
    api_offload(c, work_update, finish_update, u);
}

int qemu_update(struct api_call *c, const char *node, uint32_t vmid, const struct change_request *q, bool is_async,
                struct err *e)
{
    struct guest *g;
    int r = find(c, node, vmid, &g, e);

    if (r < 0)
        return r;
    if (!q->n_set && !q->deleted && !q->reverted)
        return err_set(e, -EINVAL, "param.none", "no options specified");
    struct update *u = calloc(1, sizeof(*u));
    if (!u)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *u = (struct update){.call = c, .request = *q, .guests = c->api->guests, .vmid = vmid, .is_async = is_async};
    task_when_unlocked(c->api->tasks, vmid, LOCK_WAIT_MS, update_unlocked, u);
    return API_LATER;
}

int api_qemu_config_set(struct api_call *c, const struct api_qemu_config_set_args *a, struct err *e)
{
    struct change_request q = {.set = a->config,
                               .n_set = a->n_config,
                               .deleted = a->delete,
                               .reverted = a->revert,
                               .digest = a->digest,
                               .is_forced = a->force,
                               .is_lock_skipped = a->skiplock};

    return qemu_update(c, a->node, (uint32_t)a->vmid, &q, false, e);
}

int api_qemu_config_set_async(struct api_call *c, const struct api_qemu_config_set_async_args *a, struct err *e)
{
    struct change_request q = {.set = a->config,
                               .n_set = a->n_config,
                               .deleted = a->delete,
                               .reverted = a->revert,
                               .digest = a->digest,
                               .is_forced = a->force,
                               .is_lock_skipped = a->skiplock};

    if (a->import_working_storage)
        return api_param_error(c, e, "import-working-storage", "this is not supported");
    if (a->background_delay > 0)
        return api_param_error(c, e, "background_delay", "this is not supported: the task is returned at once");
    return qemu_update(c, a->node, (uint32_t)a->vmid, &q, true, e);
}
