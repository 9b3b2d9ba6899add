/* POST nodes/N/qemu/ID/move_disk with target-vmid: a disk becomes another guest's. PVE: qemu-server, API2/Qemu.pm,
 * move_vm_disk. Under both guests' locks, which are taken in the order of their numbers, so that two such calls never
 * wait for each other: look at the volume, then a plan that renames it and ends with one commit of both records. A
 * crash in between takes the name back. Loop thread, but for look(). */
#include "api/idempotency.h"
#include "api/qemu_move.h"
#include "guest/clone.h"
#include "guest/move.h"
#include "proto/frame.h"

enum { FROM, TO };

struct reassign {
    struct api_call *call; /* until the plan is accepted */
    uint32_t vmid[2];
    char key[2][MOVE_KEY_MAX];
    const char *digest[2]; /* of the call */
    struct volume_id volume[2];
    struct storage *storage;
    uint64_t bytes;
    struct task_hold *hold[2];
};

static void reassign_free(struct reassign *a)
{
    struct task_hold *first = a->hold[FROM], *second = a->hold[TO];

    storage_unref(a->storage);
    free(a);
    task_hold_release(first); /* last: the next ones in line run inside */
    task_hold_release(second);
}

static void reassign_end(struct reassign *a, int r, const struct err *e)
{
    struct api_call *c = a->call;
    struct err copy = *e;

    reassign_free(a);
    api_finish(c, r, &copy);
}

/* ---- the plan ---- */

/* What the schema says of the key is true of the value, and the other guest's engine can do with it. */
static int check_value(struct api_call *c, const struct guest *g, const struct config *config, const char *key,
                       struct err *e)
{
    const struct engine *engine = engine_find(g->engine);
    const char *value = config_get(config, key);
    const struct api_param *p = api_handler_param("qemu_config_set", key);

    if (p && guest_is_drive_key(key) && api_value_check(p, PARAM_STRING, value, e) < 0) {
        char text[sizeof(e->text)];
        snprintf(text, sizeof(text), "%s", e->text);
        return api_param_error(c, e, "target-disk", "the options of the disk do not fit '%s': %s", key, text);
    }
    return engine ? engine->check_config(c->api->host, config->items, config->n, e)
                  : err_set(e, -EINVAL, "engine.missing", "the engine of VM %u is not here", g->vmid);
}

/* The record of one of the two as it will be. */
static int side(struct reassign *a, unsigned which, const struct guest *g, const char *value, struct state_txn **ret,
                struct err *e)
{
    struct guest_record record = guest_record_of(g);
    struct config config = {0}, none = {0};
    int r = move_config(g, &config, e);

    if (r == 0 && which == FROM)
        r = move_unset(&config, a->key[FROM], e);
    if (r == 0 && which == TO)
        r = move_set(&config, a->key[TO], value, &a->volume[TO], a->bytes, e);
    if (r == 0 && which == TO)
        r = check_value(a->call, g, &config, a->key[TO], e);
    record.config = &config;
    if (!guest_is_running(g))
        record.pending = &none;
    if (r == 0 && !(*ret = guest_txn(a->call->api->node, g->vmid, g->revision, &record)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    config_done(&config);
    return r;
}

static int both(struct reassign *a, struct state_txn **ret, struct err *e)
{
    struct state_txn *txn[2] = {NULL, NULL};
    struct config config = {0};
    struct guest *g[2];
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = guest_get(a->call->api->guests, a->vmid[i], &g[i], e);
    if (r == 0)
        r = move_config(g[FROM], &config, e);
    const char *value = r == 0 ? config_get(&config, a->key[FROM]) : NULL;
    if (r == 0 && !value)
        r = err_set(e, -EINVAL, "guest.no-disk", "disk '%s' does not exist", a->key[FROM]);
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = side(a, i, g[i], value, &txn[i], e);
    config_done(&config);
    if (r < 0) {
        state_txn_free(txn[FROM]);
        return r;
    }
    state_txn_merge(txn[FROM], txn[TO]);
    *ret = txn[FROM];
    return 0;
}

static void reassigned(struct task *t, void *arg, int r, const struct err *e)
{
    reassign_free(arg);
}

static int start_plan(struct reassign *a, json_t *steps, struct state_txn *final, struct task **ret, struct err *e)
{
    char id[16];

    snprintf(id, sizeof(id), "%u", a->vmid[FROM]);
    struct task_spec spec = {.type = "qmmove",
                             .id = id,
                             .user = api_user(a->call),
                             .vmid = a->vmid[FROM],
                             .steps = steps,
                             .record_key = idempotency_state_key(a->call),
                             .direction = PLAN_UNDO,
                             .final = final,
                             .ended = reassigned,
                             .arg = a};
    return task_start(a->call->api->tasks, &spec, ret, e);
}

static int finish_look(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct reassign *a = ctx;
    struct state_txn *final = NULL;
    struct task *t = NULL;

    if (r == 0)
        r = both(a, &final, e);
    json_t *steps = r == 0 ? json_pack("[o]", guest_step_volume_rename(&a->volume[FROM], &a->volume[TO])) : NULL;
    if (r == 0 && !steps)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    bool is_plan = r == 0 && c->is_dry_run;
    if (r == 0 && !is_plan)
        r = start_plan(a, steps, TAKE_PTR(final), &t, e);
    state_txn_free(final);
    if (is_plan) {
        struct change as_plan = {.call = c, .steps = steps};
        r = change_reply_plan(&as_plan);
    }
    json_decref(steps);
    if (r < 0 || is_plan)
        reassign_free(a);
    return is_plan ? r : api_reply_task(c, r, t);
}

/* ---- before it ---- */

static int look(void *ctx, struct err *e)
{
    struct reassign *a = ctx;
    struct volume_info info;
    int r = volume_stat(a->storage, &a->volume[FROM], &info, e);

    if (r == 0)
        r = volume_name_next(a->storage, a->vmid[TO], a->volume[FROM].format, NULL, 0, &a->volume[TO], e);
    if (r == 0)
        a->bytes = info.size_bytes;
    return r;
}

/* An unused disk comes and goes while a guest runs; a drive does not. */
static int check_stopped(const struct reassign *a, unsigned which, const struct guest *g, struct err *e)
{
    if (!guest_is_running(g) || guest_is_index_key(a->key[which], "unused"))
        return 0;
    err_set(e, -EBUSY, "guest.running", "cannot move a disk %s VM %u while it is running",
            which == FROM ? "away from" : "to", g->vmid);
    return err_hint(e, which == FROM ? "detach it first, or shut the guest down"
                                     : "name an unused disk as target-disk, or shut the guest down");
}

static int check_source(struct reassign *a, const struct guest *g, struct err *e)
{
    struct config config = {0};
    char path[AUTH_PATH_MAX];
    int r = move_config(g, &config, e);

    if (r == 0)
        r = move_find(a->call->api->guests, g, &config, a->key[FROM], &a->volume[FROM], e);
    config_done(&config);
    if (r < 0)
        return r;
    if (layers_find(&g->layers, &a->volume[FROM])) {
        err_set(e, -EBUSY, "guest.layers", "'%s' stands on other images", a->volume[FROM].name);
        return err_hint(e, "move it to another storage or format first: that makes one image of it");
    }
    snprintf(path, sizeof(path), "/storage/%s", a->volume[FROM].storage);
    r = api_require(a->call, path, PRIV_M(DATASTORE_ALLOCATESPACE), false, e);
    return r < 0 ? r : storage_mgr_ref(a->call->api->storages, a->volume[FROM].storage, &a->storage, e);
}

static int check_target(struct reassign *a, const struct guest *g, struct err *e)
{
    const char *key = a->key[TO], *from = a->key[FROM];

    if (guest_is_template(g))
        return err_set(e, -EINVAL, "guest.template", "a template gets no disks");
    if (config_get(&g->config, key) || config_get(&g->pending, key))
        return err_set(e, -EINVAL, "guest.disk-exists", "Target disk key '%s' is already in use for VM '%u'", key,
                       g->vmid);
    bool is_unused = guest_is_index_key(key, "unused") || guest_is_index_key(from, "unused");
    if (!is_unused && (move_is_state(key) || move_is_state(from)) && !streq(key, from))
        return api_param_error(a->call, e, "target-disk", "'%s' can only become '%s' or an unused disk", from, from);
    return 0;
}

static int check_both(struct reassign *a, struct err *e)
{
    struct guest *g[2];
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 2; i++) {
        r = guest_get(a->call->api->guests, a->vmid[i], &g[i], e);
        if (r == 0)
            r = move_check_guest(g[i], a->digest[i], e);
        if (r == 0)
            r = check_stopped(a, i, g[i], e);
    }
    if (r == 0)
        r = check_source(a, g[FROM], e);
    return r < 0 ? r : check_target(a, g[TO], e);
}

static void unlocked(void *arg, int r, const struct err *lock_err)
{
    struct reassign *a = arg;
    struct task_mgr *tasks = a->call->api->tasks;
    unsigned low = a->vmid[FROM] < a->vmid[TO] ? FROM : TO, next = a->hold[low] ? !low : low;
    struct err e = *lock_err;

    if (r == 0 && !(a->hold[next] = task_hold(tasks, a->vmid[next], "disk")))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0 && next == low) {
        task_when_unlocked(tasks, a->vmid[!low], MOVE_LOCK_WAIT_MS, unlocked, a);
        return;
    }
    if (r == 0)
        r = check_both(a, &e);
    if (r < 0)
        reassign_end(a, r, &e);
    else
        api_offload(a->call, look, finish_look, a);
}

int reassign_begin(struct api_call *c, const struct api_qemu_move_disk_args *args, const struct guest *g, struct err *e)
{
    uint32_t target = (uint32_t)args->target_vmid;
    struct guest *other;
    char path[24];

    api_vm_path(target, path);
    int r = api_require(c, path, PRIV_M(VM_CONFIG_DISK), false, e);
    if (r == 0 && target == g->vmid)
        r = api_param_error(c, e, "target-vmid", "must be different than source VMID to reassign disk");
    if (r == 0)
        r = guest_get(c->api->guests, target, &other, e);
    struct reassign *a = r == 0 ? calloc(1, sizeof(*a)) : NULL;
    if (!a)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    *a = (struct reassign){.call = c, .vmid = {g->vmid, target}, .digest = {args->digest, args->target_digest}};
    snprintf(a->key[FROM], sizeof(a->key[FROM]), "%s", args->disk);
    snprintf(a->key[TO], sizeof(a->key[TO]), "%s", args->target_disk ? args->target_disk : args->disk);
    task_when_unlocked(c->api->tasks, g->vmid < target ? g->vmid : target, MOVE_LOCK_WAIT_MS, unlocked, a);
    return API_LATER;
}
