/* PUT nodes/N/qemu/ID/resize. PVE: qemu-server, API2/Qemu.pm, resize_vm. Under the guest's lock: look at the volume,
 * let the hypervisor of a running guest make it larger, then a plan that writes the size into the configuration and
 * makes the volume larger itself where nobody has (a stopped guest). After a crash the plan goes on; where QEMU was
 * quicker than the journal, or the plan fails, the true size is written down afterwards (src/guest/live.c). */
#include "api/idempotency.h"
#include "api/qemu_change.h"
#include "guest/clone.h"

#define LOCK_WAIT_MS 3000u
#define SIZE_MAX_TIB 1024u

struct resize {
    struct api_call *call;
    struct guest_mgr *guests;
    uint32_t vmid;
    const char *key, *size;
    bool is_lock_skipped;
    const char *digest;
    struct volume_id volume;
    struct storage *storage;
    struct volume_info info;
    uint64_t bytes; /* wanted */
    struct task_hold *hold;
};

static void resize_free(struct resize *z)
{
    struct task_hold *hold = z->hold;

    storage_unref(z->storage);
    free(z);
    task_hold_release(hold); /* last: the next one in line runs inside */
}

static void resize_end(struct resize *z, int r, const struct err *e)
{
    struct api_call *c = z->call;
    struct err copy = *e;

    resize_free(z);
    api_finish(c, r, &copy);
}

/* "+1.5G" and "16G"; without a unit bytes. The schema has checked the form. */
static int parse_size(const char *text, uint64_t now_bytes, uint64_t *ret)
{
    static const char units[] = "KMGT";
    bool is_more = *text == '+';
    char *end;
    double n = strtod(text + is_more, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;

    if (*end && !unit)
        return -EINVAL;
    for (const char *u = units; unit && u <= unit; u++)
        n *= 1024;
    if (!(n >= 0) || n > (double)SIZE_MAX_TIB * (1ULL << 40))
        return -ERANGE;
    uint64_t bytes = ((uint64_t)n + 511) / 512 * 512;
    *ret = is_more ? now_bytes + bytes : bytes;
    return *ret <= (uint64_t)SIZE_MAX_TIB << 40 ? 0 : -ERANGE;
}

/* ---- the plan ---- */

static struct state_txn *resize_txn(const struct resize *z, const struct guest *g)
{
    struct guest_record record = guest_record_of(g);
    struct config config = {0}, pending = {0};
    struct state_txn *t = NULL;

    record.config = &config;
    record.pending = &pending;
    if (config_copy(&g->config, &config) == 0 && config_copy(&g->pending, &pending) == 0 &&
        guest_config_resize(&config, &z->volume, z->bytes) == 0 &&
        guest_config_resize(&pending, &z->volume, z->bytes) == 0)
        t = guest_txn(z->call->api->node, z->vmid, g->revision, &record);
    config_done(&config);
    config_done(&pending);
    return t;
}

static void resized(struct task *t, void *arg, int r, const struct err *e)
{
    struct resize *z = arg;
    struct guest_mgr *guests = z->guests;
    uint32_t vmid = z->vmid;

    resize_free(z);
    if (r < 0 && r != -ECANCELED)
        guest_live_settle(guests, vmid); /* the true size, again */
}

static void start_plan(struct resize *z)
{
    struct api_call *c = z->call;
    struct err e = ERR_INIT;
    struct guest *g;
    struct task *t = NULL;
    char id[16];
    int r = guest_get(c->api->guests, z->vmid, &g, &e);
    struct state_txn *initial = r == 0 ? resize_txn(z, g) : NULL;
    json_t *steps = json_array();

    if (r == 0 && !initial)
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0) {
        json_array_append_new(steps, guest_step_volume_grow(&z->volume, z->bytes));
        snprintf(id, sizeof(id), "%u", z->vmid);
        struct task_spec spec = {.type = "resize",
                                 .id = id,
                                 .user = api_user(c),
                                 .vmid = z->vmid,
                                 .steps = steps,
                                 .record_key = idempotency_state_key(c),
                                 .direction = PLAN_FORWARD,
                                 .initial = initial,
                                 .ended = resized,
                                 .arg = z};
        r = task_start(c->api->tasks, &spec, &t, &e);
    }
    json_decref(steps);
    if (r < 0) {
        resize_end(z, r, &e);
        return;
    }
    r = api_reply_task(c, r, t);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

/* ---- before it ---- */

static void on_resized_live(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct resize *z = arg;

    if (r < 0)
        resize_end(z, r, e);
    else
        start_plan(z);
}

static int resize_live(struct resize *z, const struct guest *g, struct err *e)
{
    const struct engine *engine = engine_find(g->engine);
    struct engine_vm vm = {.vmid = g->vmid, .machine = g->machine, .config = g->config.items, .n_config = g->config.n};
    struct engine_script s;

    if (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -EBUSY, "guest.busy", "VM %u is starting or stopping", g->vmid);
    if (!engine || !engine->live)
        return err_set(e, -EOPNOTSUPP, "engine.live", "this engine cannot resize a running guest's disk");
    int r = engine->live(&vm, ENGINE_RESIZE, z->key, z->bytes, &s, e);
    if (r == 0) {
        guest_script(z->call->api->guests, g->vmid, &s, on_resized_live, z);
        buf_done(&s.fields);
    }
    return r;
}

static int finish_look(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct resize *z = ctx;
    struct guest *g;

    if (r == 0 && parse_size(z->size, z->info.size_bytes, &z->bytes) < 0)
        r = api_param_error(c, e, "size", "not a size");
    if (r == 0 && z->bytes < z->info.size_bytes)
        r = err_set(e, -EINVAL, "volume.shrink", "shrinking disks is not supported");
    if (r == 0)
        r = guest_get(c->api->guests, z->vmid, &g, e);
    if (r == 0 && guest_is_running(g))
        r = resize_live(z, g, e);
    else if (r == 0)
        start_plan(z);
    if (r < 0)
        resize_free(z);
    return r < 0 ? r : API_LATER;
}

static int look(void *ctx, struct err *e)
{
    struct resize *z = ctx;

    return volume_stat(z->storage, &z->volume, &z->info, e);
}

/* The drive is a disk of this guest's, on a storage where the caller may take space. */
static int take_drive(struct resize *z, const struct guest *g, struct err *e)
{
    struct api_call *c = z->call;
    const char *value = config_get(&g->config, z->key);
    char path[AUTH_PATH_MAX];

    if (guest_is_template(g))
        return err_set(e, -EINVAL, "guest.template", "VM %u is a template: it does not change", g->vmid);
    if (!value)
        return err_set(e, -EINVAL, "guest.no-disk", "disk '%s' does not exist", z->key);
    if (guest_drive_is_cdrom(value))
        return err_set(e, -EINVAL, "guest.cdrom", "you can't resize a cdrom");
    if (!guest_drive_volume(value, &z->volume) || z->volume.content != STORAGE_CONTENT_images)
        return err_set(e, -EINVAL, "guest.no-disk", "disk '%s' has no volume", z->key);
    snprintf(path, sizeof(path), "/storage/%s", z->volume.storage);
    int r = api_require(c, path, PRIV_M(DATASTORE_ALLOCATESPACE), false, e);
    if (r == 0)
        r = storage_mgr_ref(c->api->storages, z->volume.storage, &z->storage, e);
    return r;
}

static void unlocked(void *arg, int r, const struct err *lock_err)
{
    struct resize *z = arg;
    struct api_call *c = z->call;
    struct err e = *lock_err;
    struct guest *g = NULL;

    if (r == 0 && !(z->hold = task_hold(c->api->tasks, z->vmid, "resize")))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = guest_get(c->api->guests, z->vmid, &g, &e);
    if (r == 0)
        r = take_drive(z, g, &e);
    const char *lock = r == 0 ? config_get(&g->config, "lock") : NULL;
    if (lock && !z->is_lock_skipped)
        r = err_set(&e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (r == 0 && z->digest && !streq(z->digest, g->digest))
        r = err_set(&e, -EAGAIN, "state.conflict",
                    "detected modified configuration - file changed by other user? Try again.");
    if (r < 0)
        resize_end(z, r, &e);
    else
        api_offload(c, look, finish_look, z);
}

int api_qemu_resize(struct api_call *c, const struct api_qemu_resize_args *a, struct err *e)
{
    struct guest *g;
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = guest_get(c->api->guests, (uint32_t)a->vmid, &g, e);
    if (r == 0 && a->skiplock)
        r = api_require_root(c, e);
    if (r < 0)
        return r;
    struct resize *z = calloc(1, sizeof(*z));
    if (!z)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *z = (struct resize){.call = c,
                         .guests = c->api->guests,
                         .vmid = g->vmid,
                         .key = a->disk,
                         .size = a->size,
                         .is_lock_skipped = a->skiplock,
                         .digest = a->digest};
    task_when_unlocked(c->api->tasks, g->vmid, LOCK_WAIT_MS, unlocked, z);
    return API_LATER;
}
