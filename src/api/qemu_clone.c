/* POST nodes/N/qemu/ID/clone and template. PVE: qemu-server, API2/Qemu.pm, clone_vm and template.
 *
 * A clone is a plan: a volume for each disk, copied or standing on the template's, then the new guest's record. What a
 * disk stands on is worked out on the loop (guest/chain.h), names and sizes in a pool thread. The original is held
 * until the copy is whole. Disks of a running guest are copied by its hypervisor, which holds it still for the moment
 * in which they all end. */
#include "api/common.h"
#include "api/idempotency.h"
#include "api/qemu_change.h"
#include "base/clock.h"
#include "base/propstr.h"
#include "guest/chain.h"
#include "guest/cloudinit.h"
#include "guest/clone.h"
#include "guest/still.h"

#define LOCK_WAIT_MS 10000u
#define DISKS_MAX    64u

/* A disk of the original and its copy. */
struct clone_disk {
    char key[16];
    struct volume_id from, to;
    struct chain below; /* of from */
    bool is_cloudinit;
};

struct clone {
    struct api_call *call;
    struct guest_mgr *guests;
    struct storage_mgr *storages;
    const struct api_qemu_clone_args *args; /* of the call: until the task begins */
    uint32_t vmid, newid;
    bool is_linked, is_live;
    struct mirror *mirror;
    struct task *task; /* while it copies */
    uint64_t bwlimit;  /* bytes a second */
    bool is_exceeding; /* the call's limit holds, whatever the storages say */
    char engine[16], machine[32];
    struct clone_identity identity;
    char user[AUTH_PATH_MAX];
    struct config config;
    struct layers layers;
    struct clone_disk disks[DISKS_MAX];
    size_t n_disks;
    json_t *steps;
    struct task_hold *hold;
};

static void clone_free(struct clone *k)
{
    struct task_hold *hold = k->hold;

    for (size_t i = 0; i < k->n_disks; i++)
        chain_done(&k->disks[i].below);
    config_done(&k->config);
    layers_done(&k->layers);
    json_decref(k->steps);
    mirror_free(k->mirror);
    guest_release(k->guests, k->newid);
    free(k);
    task_hold_release(hold); /* last: the next one in line runs inside */
}

static int no_memory(struct err *e)
{
    return err_set(e, -ENOMEM, NULL, "out of memory");
}

/* ---- pool thread: names, sizes, steps ---- */

/* Only qcow2 images stand on others; where raw ones are copied by reference they stay raw. */
static enum volume_format linked_format(const struct clone *k, const struct clone_disk *d, const struct storage *s)
{
    const struct engine *engine = engine_find(k->engine);
    bool can_overlay = engine && engine->caps & ENGINE_CAP_QCOW2 && storage_has_format(s, VOLUME_QCOW2);
    bool is_state = guest_is_index_key(d->key, "efidisk") || guest_is_index_key(d->key, "tpmstate");

    if (d->from.format != VOLUME_RAW || is_state || !can_overlay || storage_caps(s) & STORAGE_CAP_CLONE)
        return d->from.format;
    return VOLUME_QCOW2;
}

static int full_format(const struct clone *k, const struct clone_disk *d, const struct storage *s,
                       enum volume_format *ret, struct err *e)
{
    const char *wanted = k->args->format;
    const struct engine *engine = engine_find(k->engine);
    bool is_state = guest_is_index_key(d->key, "efidisk") || guest_is_index_key(d->key, "tpmstate");
    enum volume_format f = !wanted ? d->from.format : streq(wanted, "qcow2") ? VOLUME_QCOW2 : VOLUME_RAW;

    if (is_state)
        f = VOLUME_RAW;
    if (wanted && !streq(wanted, "raw") && !streq(wanted, "qcow2"))
        return err_set(e, -EOPNOTSUPP, "param.unsupported", "format %.16s is not supported", wanted);
    if (!storage_has_format(s, f) && !wanted)
        f = storage_default_format(s);
    if (!storage_has_format(s, f))
        return err_set(e, -EINVAL, "storage.format", "storage '%s' does not support this format", storage_name(s));
    if (f == VOLUME_QCOW2 && (!engine || !(engine->caps & ENGINE_CAP_QCOW2)))
        return err_set(e, -EINVAL, "param.unsupported", "the engine %s has raw disks only", k->engine);
    *ret = f;
    return 0;
}

/* The drive's value in the copy: its volume is another one. */
static int rename_drive(struct clone *k, const struct clone_disk *d, struct err *e)
{
    const char *old = config_get(&k->config, d->key);
    const char *options = old ? strchr(old, ',') : NULL;
    char id[VOLUME_ID_MAX + 1];
    autobuf struct buf value;

    buf_init(&value, 65536);
    volume_id_format(&d->to, id, sizeof(id));
    buf_printf(&value, "%s%s", id, options ? options : "");
    if (value.is_failed || config_set(&k->config, d->key, buf_str(&value)) < 0)
        return no_memory(e);
    return 0;
}

static int add_step(struct clone *k, const struct clone_disk *d, uint64_t size_bytes, struct err *e)
{
    json_t *step = d->is_cloudinit ? guest_step_volume_create(&d->to, CLOUDINIT_BYTES)
                   : k->is_live    ? guest_step_volume_create(&d->to, size_bytes)
                   : k->is_linked
                       ? guest_step_volume_fork(&d->from, &d->to)
                       : guest_step_volume_copy(&d->from, d->below.below, d->below.n, &d->to, size_bytes, k->bwlimit);

    return json_array_append_new(k->steps, step) < 0 ? no_memory(e) : 0;
}

static int plan_disk(struct clone *k, size_t i, struct storage *from, struct storage *to, struct err *e)
{
    struct clone_disk *d = &k->disks[i];
    const char *taken[DISKS_MAX];
    struct volume_info info = {0};
    enum volume_format f = VOLUME_RAW;
    size_t n_taken = 0;
    int r = d->is_cloudinit ? 0 : volume_stat(from, &d->from, &info, e);

    if (!k->is_exceeding && !k->is_linked)
        k->bwlimit = storage_limit_kib(STORAGE_WORK_CLONE, from, to, k->bwlimit / 1024) * 1024;
    for (size_t k2 = 0; k2 < i; k2++)
        taken[n_taken++] = k->disks[k2].to.name;
    if (r == 0 && !(storage_contents(to) & STORAGE_CONTENT_images))
        r = err_set(e, -EINVAL, "storage.content", "storage '%s' does not support vm images", storage_name(to));
    if (r == 0 && d->is_cloudinit)
        r = cloudinit_volume(storage_name(to), k->newid, &d->to, e);
    else if (r == 0 && k->is_linked)
        f = linked_format(k, d, to);
    else if (r == 0)
        r = full_format(k, d, to, &f, e);
    if (r == 0 && !d->is_cloudinit)
        r = volume_name_next(to, k->newid, f, taken, n_taken, &d->to, e);
    if (r == 0)
        r = rename_drive(k, d, e);
    if (r == 0 && k->is_linked && !d->is_cloudinit && f == VOLUME_QCOW2)
        r = layers_set_base(&k->layers, &d->to, &d->from, e);
    return r < 0 ? r : add_step(k, d, info.size_bytes, e);
}

static int plan(void *ctx, struct err *e)
{
    struct clone *k = ctx;
    int r = 0;

    for (size_t i = 0; r == 0 && i < k->n_disks; i++) {
        const char *target = k->args->storage ? k->args->storage : k->disks[i].from.storage;
        struct storage *from, *to;
        r = storage_mgr_ref(k->storages, k->disks[i].from.storage, &from, e);
        if (r < 0)
            break;
        r = storage_mgr_ref(k->storages, target, &to, e);
        if (r == 0) {
            r = plan_disk(k, i, from, to, e);
            storage_unref(to);
        }
        storage_unref(from);
        if (r < 0)
            err_wrap(e, r, "%s", k->disks[i].key);
    }
    return r;
}

/* ---- loop: a running guest ---- */

static void on_awake(void *arg, int r, const struct err *e)
{
    struct clone *k = arg;
    struct err none = ERR_INIT;

    if (r < 0)
        task_warn(k->task, "VM %u stands still: %s", k->vmid, e->text);
    task_go_on(k->task, 0, &none);
}

static void on_same(void *arg, int r, const struct err *e)
{
    struct clone *k = arg;

    if (r < 0)
        task_go_on(k->task, r, e); /* the guest goes on */
    else
        mirror_end(k->mirror, on_awake, k);
}

static void copy_live(struct task *t, void *arg)
{
    struct clone *k = arg;
    struct err e = ERR_INIT;
    int r = mirror_new(k->guests, k->vmid, t, k->bwlimit, &k->mirror, &e);

    k->task = t;
    for (size_t i = 0; r == 0 && i < k->n_disks; i++)
        if (!k->disks[i].is_cloudinit)
            r = mirror_add(k->mirror, k->disks[i].key, &k->disks[i].to, &e);
    if (r < 0)
        task_go_on(t, r, &e);
    else
        mirror_begin(k->mirror, true, on_same, k);
}

/* ---- loop: the task ---- */

static void cloned(struct task *t, void *arg, int r, const struct err *e)
{
    clone_free(arg);
}

static struct state_txn *clone_txn(struct clone *k)
{
    struct api_call *c = k->call;
    struct config none = {0};
    struct guest_record record = {.engine = k->engine,
                                  .machine = k->machine,
                                  .uuid = k->identity.uuid,
                                  .ctime_s = clock_wall_s(),
                                  .config = &k->config,
                                  .pending = &none,
                                  .layers = &k->layers};
    struct state_txn *txn = guest_txn(c->api->node, k->newid, 0, &record);

    if (txn && k->args->pool)
        auth_txn_guest_pool(c->api->auth, txn, k->newid, k->args->pool);
    return txn;
}

static int planned(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct clone *k = ctx;
    struct task *t = NULL;
    char id[16];

    if (r == 0 && c->is_dry_run) {
        struct change as_plan = {.call = c, .steps = k->steps};
        r = change_reply_plan(&as_plan);
        clone_free(k);
        return r;
    }
    struct state_txn *txn = r == 0 ? clone_txn(k) : NULL;
    if (r == 0 && !txn)
        r = no_memory(e);
    if (r == 0) {
        snprintf(id, sizeof(id), "%u", k->vmid);
        struct task_spec spec = {.type = "qmclone",
                                 .id = id,
                                 .user = k->user,
                                 .vmid = k->newid,
                                 .steps = k->steps,
                                 .record_key = idempotency_state_key(c),
                                 .direction = PLAN_UNDO,
                                 .final = txn,
                                 .between = k->is_live ? copy_live : NULL,
                                 .ended = cloned,
                                 .arg = k};
        r = task_start(c->api->tasks, &spec, &t, e);
    }
    if (r < 0)
        clone_free(k);
    return api_reply_task(c, r, t);
}

/* ---- loop: what is copied ---- */

static int add_disk(struct clone *k, const struct guest *g, const struct config_item *it, const char *snapshot,
                    struct err *e)
{
    struct clone_disk *d = &k->disks[k->n_disks];
    struct volume_id v;

    if (!guest_is_drive_key(it->key) || !guest_drive_volume(it->value, &v) || v.content != STORAGE_CONTENT_images ||
        v.vmid != g->vmid)
        return 0;
    if (k->n_disks == DISKS_MAX || str_copy(d->key, sizeof(d->key), it->key) < 0)
        return err_set(e, -E2BIG, "guest.disks", "more than %u drives", DISKS_MAX);
    *d = (struct clone_disk){.from = v, .is_cloudinit = cloudinit_is_drive(it->value, g->vmid)};
    snprintf(d->key, sizeof(d->key), "%s", it->key);
    if (snapshot && !d->is_cloudinit) {
        const struct layers_row *row = layers_find(&g->layers, &v);
        const struct layer *layer = row ? layers_of_snapshot(row, snapshot) : NULL;
        if (!layer)
            return err_set(e, -EINVAL, "guest.layers", "'%s' has no layer of the snapshot '%s'", v.name, snapshot);
        d->from = volume_layer(&v, layer->number);
    }
    int r = chain_of(k->guests, g, &d->from, &d->below, e);
    if (r == 0)
        k->n_disks++;
    return r;
}

static int check_space(struct clone *k, struct err *e)
{
    char path[AUTH_PATH_MAX];
    int r = 0;

    k->is_exceeding = k->args->has_bwlimit;
    for (size_t i = 0; r == 0 && i < k->n_disks; i++) {
        const char *from = k->disks[i].from.storage, *to = k->args->storage ? k->args->storage : from;
        snprintf(path, sizeof(path), "/storage/%s", to);
        r = api_require(k->call, path, PRIV_M(DATASTORE_ALLOCATESPACE), false, e);
        k->is_exceeding = k->is_exceeding && api_may_exceed_limit(k->call, from) && api_may_exceed_limit(k->call, to);
    }
    return r;
}

static int check_state(struct clone *k, const struct guest *g, const struct api_qemu_clone_args *a, struct err *e)
{
    const char *lock = config_get(&g->config, "lock");

    k->is_linked = a->has_full ? !a->full : guest_is_template(g);
    if (lock)
        return err_set(e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (k->is_linked && !guest_is_template(g))
        return err_set(e, -EINVAL, "guest.template", "a linked clone needs a template: VM %u is none", g->vmid);
    if (k->is_linked && (a->storage || a->format))
        return api_param_error(k->call, e, a->storage ? "storage" : "format",
                               "a linked clone lies where its template is");
    k->is_live = guest_is_running(g) && (!a->snapname || streq(a->snapname, "current"));
    if (k->is_live && g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -EBUSY, "guest.busy", "VM %u is starting or stopping", g->vmid);
    return 0;
}

/* Known before anything is made. */
static int check_live(const struct clone *k, const struct guest *g, struct err *e)
{
    const struct engine *engine = engine_find(g->engine);

    for (size_t i = 0; i < k->n_disks; i++) {
        const char *key = k->disks[i].key;
        if (k->disks[i].is_cloudinit)
            continue;
        if (!engine || !engine->sweep || guest_is_index_key(key, "efidisk") || guest_is_index_key(key, "tpmstate")) {
            err_set(e, -EOPNOTSUPP, "engine.live", "%s cannot be copied while VM %u runs (engine %s)", key, g->vmid,
                    g->engine);
            return err_hint(e, "take a snapshot and clone that (snapname), or stop it");
        }
    }
    return 0;
}

static int collect(struct clone *k, struct err *e)
{
    const struct api_qemu_clone_args *a = k->args;
    const char *snapshot = a->snapname && !streq(a->snapname, "current") ? a->snapname : NULL;
    struct guest *g;
    int r = guest_get(k->guests, k->vmid, &g, e);

    if (r == 0)
        r = check_state(k, g, a, e);
    if (r < 0)
        return r;
    const struct snapshot *s = snapshot ? snapshots_find(&g->snapshots, snapshot) : NULL;
    if (snapshot && !s)
        return err_set(e, -ENOENT, "guest.snapshot", "snapshot '%s' does not exist", snapshot);
    const struct config *from = s ? &s->config : &g->config;
    char name[128], number[16];
    snprintf(number, sizeof(number), "%u", g->vmid);
    snprintf(name, sizeof(name), "Copy-of-VM-%s", *guest_name(g) ? guest_name(g) : number);
    r = clone_config(from, &k->identity, a->name ? a->name : name, a->description, &k->config, e);
    for (size_t i = 0; r == 0 && i < from->n; i++)
        r = add_disk(k, g, &from->items[i], snapshot, e);
    if (r == 0 && k->is_live)
        r = check_live(k, g, e);
    snprintf(k->engine, sizeof(k->engine), "%s", g->engine);
    snprintf(k->machine, sizeof(k->machine), "%s", g->machine);
    return r < 0 ? r : check_space(k, e);
}

static void unlocked(void *arg, int r, const struct err *lock_err)
{
    struct clone *k = arg;
    struct api_call *c = k->call;
    struct err e = *lock_err;

    if (r == 0 && !(k->hold = task_hold(c->api->tasks, k->vmid, "clone")))
        r = no_memory(&e);
    if (r == 0)
        r = collect(k, &e);
    if (r == 0)
        r = api_offload(c, plan, planned, k);
    else
        clone_free(k);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

/* ---- the request ---- */

static int check_rights(struct api_call *c, const struct api_qemu_clone_args *a, struct err *e)
{
    char path[AUTH_PATH_MAX];

    if (a->target && !streq(a->target, c->api->node))
        return api_param_error(c, e, "target", "there is no other node");
    if (a->pool && !auth_pool_exists(c->api->auth, a->pool))
        return err_set(e, -ENOENT, "pool.missing", "pool '%s' does not exist", a->pool);
    api_vm_path((uint32_t)a->vmid, path);
    int r = api_require(c, path, PRIV_M(VM_CLONE), false, e);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "/pool/%s", a->pool ? a->pool : "");
    if (a->pool && auth_has(c->api->auth, &c->who, path, PRIV_M(VM_ALLOCATE), false))
        return 0;
    api_vm_path((uint32_t)a->newid, path);
    return api_require(c, path, PRIV_M(VM_ALLOCATE), false, e);
}

int api_qemu_clone(struct api_call *c, const struct api_qemu_clone_args *a, struct err *e)
{
    struct guest *g;
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = check_rights(c, a, e);
    if (r == 0)
        r = guest_get(c->api->guests, (uint32_t)a->vmid, &g, e);
    if (r < 0)
        return r;
    struct clone *k = calloc(1, sizeof(*k));
    if (!k || !(k->steps = json_array())) {
        free(k);
        return no_memory(e);
    }
    if (guest_reserve(c->api->guests, (uint32_t)a->newid) < 0) {
        json_decref(k->steps);
        free(k);
        return err_set(e, -EEXIST, "guest.exists", "unable to create VM %u: config file already exists",
                       (unsigned)a->newid);
    }
    k->call = c;
    k->guests = c->api->guests;
    k->storages = c->api->storages;
    k->args = a;
    k->vmid = g->vmid;
    k->newid = (uint32_t)a->newid;
    k->bwlimit = a->has_bwlimit ? (uint64_t)a->bwlimit * 1024 : 0;
    k->identity.mac = qemu_random_mac;
    qemu_random_uuid(k->identity.uuid);
    qemu_random_uuid(k->identity.vmgenid);
    snprintf(k->user, sizeof(k->user), "%s", api_user(c));
    task_when_unlocked(c->api->tasks, k->vmid, LOCK_WAIT_MS, unlocked, k);
    return API_LATER;
}

/* ---- template ---- */

struct templating {
    struct api_call *call;
    uint32_t vmid;
    struct task_hold *hold;
};

static void templating_free(struct templating *k)
{
    struct task_hold *hold = k->hold;

    free(k);
    task_hold_release(hold);
}

static void templated(struct task *t, void *arg, int r, const struct err *e)
{
    templating_free(arg);
}

static int check_template(const struct guest *g, struct err *e)
{
    const char *lock = config_get(&g->config, "lock");

    if (lock)
        return err_set(e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (guest_is_template(g))
        return err_set(e, -EINVAL, "guest.template", "you can't convert a template to a template");
    if (guest_is_running(g))
        return err_set(e, -EBUSY, "guest.running", "you can't convert a VM to template if VM is running");
    if (g->snapshots.n)
        return err_set(e, -EINVAL, "guest.snapshot", "unable to create template, because VM contains snapshots");
    return 0;
}

static int start_template(struct templating *k, const struct guest *g, struct task **ret, struct err *e)
{
    struct guest_record record = guest_record_of(g);
    struct config config = {0};
    json_t *steps = json_array();
    char id[16];
    int r =
        steps && config_copy(&g->config, &config) == 0 && config_set(&config, "template", "1") == 0 ? 0 : no_memory(e);

    record.config = &config;
    if (r == 0) {
        snprintf(id, sizeof(id), "%u", g->vmid);
        struct task_spec spec = {.type = "qmtemplate",
                                 .id = id,
                                 .user = api_user(k->call),
                                 .vmid = g->vmid,
                                 .steps = steps,
                                 .record_key = idempotency_state_key(k->call),
                                 .direction = PLAN_UNDO,
                                 .final = guest_txn(k->call->api->node, g->vmid, g->revision, &record),
                                 .ended = templated,
                                 .arg = k};
        r = spec.final ? task_start(k->call->api->tasks, &spec, ret, e) : no_memory(e);
    }
    config_done(&config);
    json_decref(steps);
    return r;
}

static void template_unlocked(void *arg, int r, const struct err *lock_err)
{
    struct templating *k = arg;
    struct api_call *c = k->call;
    struct err e = *lock_err;
    struct task *t = NULL;
    struct guest *g;

    if (r == 0 && !(k->hold = task_hold(c->api->tasks, k->vmid, "template")))
        r = no_memory(&e);
    if (r == 0)
        r = guest_get(c->api->guests, k->vmid, &g, &e);
    if (r == 0)
        r = check_template(g, &e);
    if (r == 0 && c->is_dry_run) {
        struct change as_plan = {.call = c, .steps = json_array()};
        r = change_reply_plan(&as_plan);
        json_decref(as_plan.steps);
        templating_free(k);
        api_finish(c, r, &e);
        return;
    }
    if (r == 0)
        r = start_template(k, g, &t, &e);
    if (r < 0)
        templating_free(k);
    r = api_reply_task(c, r, t);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

int api_qemu_template(struct api_call *c, const struct api_qemu_template_args *a, struct err *e)
{
    struct guest *g;
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = guest_get(c->api->guests, (uint32_t)a->vmid, &g, e);
    if (r == 0 && a->disk)
        return api_param_error(c, e, "disk", "a template is the whole guest here");
    struct templating *k = r == 0 ? calloc(1, sizeof(*k)) : NULL;
    if (r < 0 || !k)
        return r < 0 ? r : no_memory(e);
    *k = (struct templating){.call = c, .vmid = g->vmid};
    task_when_unlocked(c->api->tasks, g->vmid, LOCK_WAIT_MS, template_unlocked, k);
    return API_LATER;
}
