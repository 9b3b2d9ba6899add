/* POST nodes/N/qemu/ID/move_disk: a disk of a guest gets another storage or format. PVE: qemu-server, API2/Qemu.pm,
 * move_vm_disk. Under the guest's lock: look at both storages, then a plan that copies the disk, with all that it
 * stands on, into one new image and ends with the record that names it; the old image is an unused disk then. Who wants
 * it deleted has that done behind this commit, by a plan that goes on after a crash: at no moment is there a record
 * that names an image which is not whole.
 *
 * A running guest's disk is copied by its hypervisor while the guest goes on writing. When both are the same the guest
 * is held still, the record committed, and the hypervisor goes over (guest/images.c), which also whoever adopts the
 * guest has it do: it never writes to an image that its record does not name. Loop thread, but for look(). */
#include "api/qemu_move.h"

#include "api/idempotency.h"
#include "guest/chain.h"
#include "guest/move.h"
#include "guest/still.h"

struct move {
    struct api_call *call; /* until the plan is accepted */
    struct guest_mgr *guests;
    uint32_t vmid;
    char key[MOVE_KEY_MAX], user[AUTH_PATH_MAX];
    const char *format, *digest; /* of the call */
    uint64_t bwlimit;            /* bytes a second */
    bool is_deleting, is_live, has_limit;
    struct mirror *mirror; /* NULL unless the guest may stand still for it */
    char *old;             /* value of the key */
    int r;                 /* of going over */
    struct err err;
    struct volume_id from, to;
    struct storage *source, *target;
    uint64_t bytes;
    struct task_hold *hold;
    struct task *task;    /* behind its commit */
    struct layers layers; /* as they were before the deletion */
};

static void move_free(struct move *m)
{
    struct task_hold *hold = m->hold;

    storage_unref(m->source);
    storage_unref(m->target);
    layers_done(&m->layers);
    mirror_free(m->mirror);
    free(m->old);
    free(m);
    task_hold_release(hold); /* last: the next one in line runs inside */
}

static void move_end(struct move *m, int r, const struct err *e)
{
    struct api_call *c = m->call;
    struct err copy = *e;

    move_free(m);
    api_finish(c, r, &copy);
}

int move_check_guest(const struct guest *g, const char *digest, struct err *e)
{
    const char *lock = config_get(&g->config, "lock");

    if (lock)
        return err_set(e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (digest && !streq(digest, g->digest))
        return err_set(e, -EAGAIN, "state.conflict",
                       "detected modified configuration - file changed by other user? Try again.");
    return 0;
}

/* ---- the old image, behind the commit ---- */

/* The record without the old volume and its layers, or (is_back) with them again. */
static struct state_txn *old_volume_txn(const struct move *m, const struct guest *g, bool is_back)
{
    struct guest_record record = guest_record_of(g);
    struct config config = {0};
    struct layers layers = {0};
    char id[VOLUME_ID_MAX + 1];
    struct state_txn *txn = NULL;
    int r = config_copy(&g->config, &config);

    volume_id_format(&m->from, id, sizeof(id));
    if (r == 0)
        r = layers_copy(is_back ? &m->layers : &g->layers, &layers);
    if (r == 0 && is_back)
        r = guest_config_keep(&config, id, m->vmid);
    if (!is_back) {
        move_forget(&config, &m->from);
        layers_remove(&layers, &m->from);
    }
    record.config = &config;
    record.layers = &layers;
    if (r == 0)
        txn = guest_txn(guest_env(m->guests)->node, g->vmid, g->revision, &record);
    config_done(&config);
    layers_done(&layers);
    return txn;
}

static void on_named_again(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct move *m = arg;
    struct err none = ERR_INIT;

    if (r < 0)
        task_warn(m->task, "nothing names the volume '%s' any more: %s", m->from.name, e->text);
    task_go_on(m->task, 0, &none);
}

static void on_deleted(void *arg, int r, const struct err *e)
{
    struct move *m = arg;
    struct err none = ERR_INIT;
    struct guest *g = r < 0 ? guest_find(m->guests, m->vmid) : NULL;

    if (!g) {
        task_go_on(m->task, 0, &none);
        return;
    }
    /* The disk has been moved all the same. */
    task_warn(m->task, "the old volume '%s' is still there, as an unused disk: %s", m->from.name, e->text);
    state_commit(guest_env(m->guests)->state, old_volume_txn(m, g, true), on_named_again, m);
}

static json_t *deletion(const struct move *m, const struct guest *g)
{
    const struct layers_row *row = layers_find(&g->layers, &m->from);
    json_t *steps = json_array();
    int r = json_array_append_new(steps, guest_step_volume_delete(&m->from));

    for (size_t i = 0; r == 0 && row && i < row->n; i++) {
        struct volume_id layer = volume_layer(&m->from, row->layers[i].number);
        r = json_array_append_new(steps, guest_step_volume_delete(&layer));
    }
    if (r < 0) {
        json_decref(steps);
        return NULL;
    }
    return steps;
}

static void delete_after(struct task *t, void *arg)
{
    struct move *m = arg;
    struct err e = ERR_INIT;
    struct task *inner = NULL;
    struct guest *g;
    char id[16];
    int r = guest_get(m->guests, m->vmid, &g, &e);
    json_t *steps = r == 0 ? deletion(m, g) : NULL;
    struct state_txn *txn = steps && layers_copy(&g->layers, &m->layers) == 0 ? old_volume_txn(m, g, false) : NULL;

    m->task = t;
    if (r == 0 && !txn)
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0) {
        snprintf(id, sizeof(id), "%u", m->vmid);
        /* Of no guest's queue: it is a part of the task that runs in it, and we hold the configuration. */
        struct task_spec spec = {
            .type = "imgdel", .id = id, .user = m->user, .steps = steps, .direction = PLAN_FORWARD, .initial = txn};
        r = task_start(guest_env(m->guests)->tasks, &spec, &inner, &e);
    }
    json_decref(steps);
    if (r == 0)
        task_when_ended(inner, on_deleted, m);
    else
        on_deleted(m, r, &e);
}

/* ---- a running guest ---- */

static void gone_over(struct move *m)
{
    struct err e = m->err;

    if (m->r == 0 && m->is_deleting)
        delete_after(m->task, m);
    else
        task_go_on(m->task, m->r, &e);
}

static void on_old_closed(void *arg, int r, const struct err *e)
{
    struct move *m = arg;

    if (r < 0)
        task_warn(m->task, "the old image may still be open: %s", e->text);
    gone_over(m);
}

static void on_awake(void *arg, int r, const struct err *e)
{
    struct move *m = arg;

    if (r < 0)
        task_warn(m->task, "the guest stands still: %s", e->text);
    mirror_free(TAKE_PTR(m->mirror));
    guest_images_settle(m->guests, m->vmid, NULL, NULL, on_old_closed, m);
}

static void on_named_back(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct move *m = arg;

    if (r == 0) {
        mirror_end(m->mirror, on_awake, m);
        return;
    }
    task_warn(m->task, "the guest stays paused, for what it wrote now would be lost: %s", e->text);
    mirror_free(TAKE_PTR(m->mirror));
    gone_over(m);
}

/* The drive as it was; the copy is an unused disk. */
static struct state_txn *back_txn(const struct move *m, const struct guest *g)
{
    struct guest_record record = guest_record_of(g);
    struct config config = {0};
    struct state_txn *txn = NULL;
    const char *now = config_get(&g->config, m->key);
    autofree char *copy = now ? strdup(now) : NULL;

    record.config = &config;
    if (copy && config_copy(&g->config, &config) == 0 && config_set(&config, m->key, m->old) == 0) {
        move_forget(&config, &m->from);
        if (guest_config_keep(&config, copy, m->vmid) == 0)
            txn = guest_txn(guest_env(m->guests)->node, g->vmid, g->revision, &record);
    }
    config_done(&config);
    return txn;
}

static void on_over(void *arg, int r, const struct err *e)
{
    struct move *m = arg;
    struct guest *g = guest_find(m->guests, m->vmid);

    if (r < 0 && r != -EPIPE && g && guest_is_running(g)) {
        m->r = r;
        m->err = *e;
        state_commit(guest_env(m->guests)->state, back_txn(m, g), on_named_back, m);
        return;
    }
    mirror_end(m->mirror, on_awake, m);
}

static void go_over(struct task *t, void *arg)
{
    struct move *m = arg;

    guest_images_settle(m->guests, m->vmid, NULL, NULL, on_over, m);
}

static void on_same(void *arg, int r, const struct err *e)
{
    struct move *m = arg;

    if (r < 0)
        mirror_free(TAKE_PTR(m->mirror)); /* it has let the guest go on */
    task_go_on(m->task, r, e);
}

static void copy_live(struct task *t, void *arg)
{
    struct move *m = arg;
    struct err e = ERR_INIT;
    int r = mirror_new(m->guests, m->vmid, t, m->bwlimit, &m->mirror, &e);

    m->task = t;
    if (r == 0)
        r = mirror_add(m->mirror, m->key, &m->to, &e);
    if (r < 0)
        on_same(m, r, &e);
    else
        mirror_begin(m->mirror, false, on_same, m);
}

/* ---- the plan ---- */

static struct state_txn *move_txn(struct move *m, const struct guest *g, struct err *e)
{
    struct guest_record record = guest_record_of(g);
    struct config config = {0}, none = {0};
    struct state_txn *txn = NULL;
    int r = move_config(g, &config, e);

    m->old = r == 0 && config_get(&config, m->key) ? strdup(config_get(&config, m->key)) : NULL;
    if (r == 0 && !m->old)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = move_set(&config, m->key, m->old, &m->to, m->bytes, e);
    if (r == 0 && guest_config_keep(&config, m->old, m->vmid) < 0)
        r = err_set(e, -ENOSPC, "guest.disks", "too many unused disks");
    record.config = &config;
    if (!m->is_live)
        record.pending = &none;
    if (r == 0 && !(txn = guest_txn(m->call->api->node, m->vmid, g->revision, &record)))
        err_set(e, -ENOMEM, NULL, "out of memory");
    config_done(&config);
    return txn;
}

static json_t *move_steps(const struct move *m, const struct guest *g, struct err *e)
{
    struct chain chain = {0};
    json_t *steps = NULL;

    if (chain_of(m->guests, g, &m->from, &chain, e) < 0)
        return NULL;
    json_t *step = m->is_live ? guest_step_volume_create(&m->to, m->bytes)
                              : guest_step_volume_copy(&m->from, chain.below, chain.n, &m->to, m->bytes, m->bwlimit);
    if (!step || !(steps = json_pack("[o]", step)))
        err_set(e, -ENOMEM, NULL, "out of memory");
    chain_done(&chain);
    return steps;
}

static void on_awake_in_the_end(void *arg, int r, const struct err *e)
{
    move_free(arg);
}

static void moved(struct task *t, void *arg, int r, const struct err *e)
{
    struct move *m = arg;

    /* The commit failed: it goes on where it was. A daemon that ends leaves it to the next one, which knows the commit.
     */
    if (m->mirror && !streq(e->code, TASK_DAEMON_ENDING))
        mirror_end(m->mirror, on_awake_in_the_end, m);
    else
        move_free(m);
}

static int start_plan(struct move *m, json_t *steps, struct state_txn *final, struct task **ret, struct err *e)
{
    char id[16];

    snprintf(id, sizeof(id), "%u", m->vmid);
    struct task_spec spec = {.type = "qmmove",
                             .id = id,
                             .user = m->user,
                             .vmid = m->vmid,
                             .steps = steps,
                             .record_key = idempotency_state_key(m->call),
                             .direction = PLAN_UNDO,
                             .final = final,
                             .between = m->is_live ? copy_live : NULL,
                             .after = m->is_live       ? go_over
                                      : m->is_deleting ? delete_after
                                                       : NULL,
                             .ended = moved,
                             .arg = m};
    return task_start(m->call->api->tasks, &spec, ret, e);
}

static int reply_plan(struct api_call *c, struct move *m, json_t *steps)
{
    struct change as_plan = {.call = c, .steps = steps};
    int r = change_reply_plan(&as_plan);

    json_decref(steps);
    move_free(m);
    return r;
}

static int finish_look(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct move *m = ctx;
    struct task *t = NULL;
    struct guest *g = NULL;

    if (r == 0)
        r = guest_get(c->api->guests, m->vmid, &g, e);
    json_t *steps = r == 0 ? move_steps(m, g, e) : NULL;
    if (steps && c->is_dry_run)
        return reply_plan(c, m, steps);
    struct state_txn *final = steps ? move_txn(m, g, e) : NULL;
    r = final ? start_plan(m, steps, final, &t, e) : e->num;
    json_decref(steps);
    if (r < 0)
        move_free(m);
    return api_reply_task(c, r, t);
}

/* ---- before it: pool thread ---- */

static int choose_format(const struct move *m, enum volume_format *ret, struct err *e)
{
    bool is_same = streq(m->from.storage, storage_name(m->target));

    if (m->format)
        *ret = streq(m->format, "raw") ? VOLUME_RAW : streq(m->format, "qcow2") ? VOLUME_QCOW2 : VOLUME_OTHER;
    else
        *ret = storage_has_format(m->target, m->from.format) ? m->from.format : storage_default_format(m->target);
    if (is_same && (!m->format || *ret == m->from.format))
        return err_set(e, -EINVAL, "volume.same", "you can't move to the same storage with same format");
    if (*ret == VOLUME_OTHER || !storage_has_format(m->target, *ret))
        return err_set(e, -EINVAL, "storage.format", "storage '%s' does not support format '%s'",
                       storage_name(m->target), m->format ? m->format : "raw");
    if (*ret != VOLUME_RAW && guest_is_index_key(m->key, "tpmstate"))
        return err_set(e, -EINVAL, "storage.format", "the state of a TPM is a raw image");
    return 0;
}

static int look(void *ctx, struct err *e)
{
    struct move *m = ctx;
    enum volume_format f;
    struct volume_info info;
    int r = choose_format(m, &f, e);

    if (r == 0)
        r = volume_stat(m->source, &m->from, &info, e);
    if (r == 0)
        r = volume_name_next(m->target, m->vmid, f, NULL, 0, &m->to, e);
    if (r == 0)
        m->bytes = (info.size_bytes + 511) / 512 * 512;
    return r;
}

/* ---- the call ---- */

static int check_live(const struct move *m, const struct guest *g, struct err *e)
{
    const struct engine *engine = engine_find(g->engine);
    char removal[MOVE_KEY_MAX + 2];

    snprintf(removal, sizeof(removal), "!%s", m->key);
    if (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -EBUSY, "guest.busy", "VM %u is starting or stopping", m->vmid);
    if (!engine || !engine->sweep || move_is_state(m->key)) {
        err_set(e, -EOPNOTSUPP, "engine.live", "%s cannot be moved while the guest runs (engine %s)", m->key,
                g->engine);
        return err_hint(e, "shut VM %u down first", m->vmid);
    }
    if (config_get(&g->pending, m->key) || config_get(&g->pending, removal))
        return err_set(e, -EBUSY, "guest.pending", "%s has a change that waits for the next start", m->key);
    return 0;
}

static int take_disk(struct move *m, const struct guest *g, struct err *e)
{
    const struct engine *engine = engine_find(g->engine);
    struct config config = {0};
    int r = move_check_guest(g, m->digest, e);

    if (r == 0 && m->format && streq(m->format, "qcow2") && (!engine || !(engine->caps & ENGINE_CAP_QCOW2)))
        r = err_set(e, -EINVAL, "param.unsupported", "the engine %s has raw disks only", g->engine);
    m->is_live = r == 0 && guest_is_running(g);
    if (m->is_live)
        r = check_live(m, g, e);
    if (r == 0)
        r = move_config(g, &config, e);
    if (r == 0)
        r = move_find(m->guests, g, &config, m->key, &m->from, e);
    if (r == 0)
        r = storage_mgr_ref(m->call->api->storages, m->from.storage, &m->source, e);
    if (r == 0 && !(m->has_limit && api_may_exceed_limit(m->call, m->from.storage) &&
                    api_may_exceed_limit(m->call, storage_name(m->target))))
        m->bwlimit = storage_limit_kib(STORAGE_WORK_MOVE, m->source, m->target, m->bwlimit / 1024) * 1024;
    config_done(&config);
    return r;
}

static void unlocked(void *arg, int r, const struct err *lock_err)
{
    struct move *m = arg;
    struct api_call *c = m->call;
    struct err e = *lock_err;
    struct guest *g = NULL;

    if (r == 0 && !(m->hold = task_hold(c->api->tasks, m->vmid, "disk")))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = guest_get(c->api->guests, m->vmid, &g, &e);
    if (r == 0)
        r = take_disk(m, g, &e);
    if (r < 0)
        move_end(m, r, &e);
    else
        api_offload(c, look, finish_look, m);
}

/* The target may be used for disks, and by this caller. */
static int check_target(struct api_call *c, const char *id, struct storage **ret, struct err *e)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", id);
    int r = api_require(c, path, PRIV_M(DATASTORE_ALLOCATESPACE), false, e);
    if (r == 0)
        r = storage_mgr_ref(c->api->storages, id, ret, e);
    if (r == 0 && !(storage_contents(*ret) & STORAGE_CONTENT_images)) {
        storage_unref(TAKE_PTR(*ret));
        r = err_set(e, -EINVAL, "storage.content", "storage '%s' does not support vm images", id);
    }
    return r;
}

static int move_begin(struct api_call *c, const struct api_qemu_move_disk_args *a, const struct guest *g, struct err *e)
{
    struct storage *target = NULL;
    int r = check_target(c, a->storage, &target, e);

    if (r == 0 && guest_is_index_key(a->disk, "unused"))
        r = err_set(e, -EINVAL, "guest.no-disk",
                    "cannot move disk '%s', only configured disks can be moved to another storage", a->disk);
    struct move *m = r == 0 ? calloc(1, sizeof(*m)) : NULL;
    if (r == 0 && !m)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0) {
        storage_unref(target);
        return r;
    }
    *m = (struct move){.call = c,
                       .guests = c->api->guests,
                       .vmid = g->vmid,
                       .format = a->format,
                       .digest = a->digest,
                       .bwlimit = a->has_bwlimit ? (uint64_t)a->bwlimit * 1024 : 0,
                       .has_limit = a->has_bwlimit,
                       .is_deleting = a->delete,
                       .target = target};
    snprintf(m->key, sizeof(m->key), "%s", a->disk);
    snprintf(m->user, sizeof(m->user), "%s", api_user(c));
    task_when_unlocked(c->api->tasks, g->vmid, MOVE_LOCK_WAIT_MS, unlocked, m);
    return API_LATER;
}

int api_qemu_move_disk(struct api_call *c, const struct api_qemu_move_disk_args *a, struct err *e)
{
    bool has_guest = api_raw_get(c, "target-vmid") != NULL;
    struct guest *g;
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = guest_get(c->api->guests, (uint32_t)a->vmid, &g, e);
    if (r < 0)
        return r;
    if (has_guest == (a->storage != NULL)) {
        const char *text = has_guest ? "either set 'storage' or 'target-vmid', but not both"
                                     : "both 'storage' and 'target-vmid' are empty, provide at least one";
        api_param_error(c, e, "storage", "%s", text);
        return api_param_error(c, e, "target-vmid", "%s", text);
    }
    return has_guest ? reassign_begin(c, a, g, e) : move_begin(c, a, g, e);
}
