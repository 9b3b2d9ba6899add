/* Snapshots of guests. PVE: qemu-server, API2/Qemu.pm and QemuConfig.pm (pve-guest-common, AbstractConfig.pm). Each
 * change is a plan: what guest/snap.h works out is done or undone as a whole. Loop thread. */
#include "api/common.h"
#include "api/idempotency.h"
#include "api/qemu_change.h"
#include "base/clock.h"
#include "guest/clone.h"
#include "guest/snap.h"
#include "guest/still.h"

#define LOCK_WAIT_MS 3000u

static int find(struct api_call *c, const char *node, int64_t vmid, struct guest **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : guest_get(c->api->guests, (uint32_t)vmid, ret, e);
}

static int find_snapshot(struct api_call *c, const char *node, int64_t vmid, const char *name, struct guest **ret_guest,
                         struct snapshot **ret, struct err *e)
{
    int r = find(c, node, vmid, ret_guest, e);

    *ret = r == 0 ? snapshots_find(&(*ret_guest)->snapshots, name) : NULL;
    return r < 0 || *ret ? r : err_set(e, -ENOENT, "guest.snapshot", "snapshot '%s' does not exist", name);
}

/* ---- reading ---- */

static void write_snapshot(struct jw *w, const struct snapshot *s)
{
    const char *description = config_get(&s->config, "description");

    jw_object(w);
    jw_kv_str(w, "name", s->name);
    jw_kv_str(w, "description", description ? description : "");
    if (s->parent[0])
        jw_kv_str(w, "parent", s->parent);
    jw_kv_int(w, "snaptime", s->time_s);
    jw_kv_int(w, "vmstate", s->vmstate[0] && !s->is_saving);
    jw_object_end(w);
}

int api_qemu_snapshot_list(struct api_call *c, const struct api_qemu_snapshot_list_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    jw_array(&c->out);
    for (size_t i = 0; i < g->snapshots.n; i++)
        write_snapshot(&c->out, &g->snapshots.items[i]);
    jw_object(&c->out);
    jw_kv_str(&c->out, "name", "current");
    jw_kv_str(&c->out, "description", "You are here!");
    if (g->snapshots.parent[0])
        jw_kv_str(&c->out, "parent", g->snapshots.parent);
    jw_kv_str(&c->out, "digest", g->digest);
    jw_kv_int(&c->out, "running", guest_is_running(g));
    jw_object_end(&c->out);
    jw_array_end(&c->out);
    return 0;
}

int api_qemu_snapshot_index(struct api_call *c, const struct api_qemu_snapshot_index_args *a, struct err *e)
{
    static const char *const names[] = {"config", "rollback", NULL};
    struct snapshot *s;
    struct guest *g;
    int r = find_snapshot(c, a->node, a->vmid, a->snapname, &g, &s, e);

    return r < 0 ? r : api_reply_index(c, "cmd", names);
}

int api_qemu_snapshot_config(struct api_call *c, const struct api_qemu_snapshot_config_args *a, struct err *e)
{
    struct snapshot *s;
    struct guest *g;
    int r = find_snapshot(c, a->node, a->vmid, a->snapname, &g, &s, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    for (size_t i = 0; i < s->config.n; i++)
        qemu_write_value(c, s->config.items[i].key, s->config.items[i].value);
    if (s->parent[0])
        jw_kv_str(&c->out, "parent", s->parent);
    jw_kv_int(&c->out, "snaptime", s->time_s);
    if (s->vmstate[0])
        jw_kv_str(&c->out, "vmstate", s->vmstate);
    jw_object_end(&c->out);
    return 0;
}

/* ---- changing ---- */

enum action { TAKE, ROLL_BACK, DELETE };

struct snap {
    struct api_call *call;
    struct guest_mgr *guests;
    uint32_t vmid;
    enum action action;
    struct task *task;
    char name[SNAPSHOT_NAME_MAX + 1];
    const char *description; /* of the call: until the plan is made */
    bool is_starting;
    char user[AUTH_PATH_MAX];
    struct task_hold *hold;
    /* of a running guest */
    bool is_live, has_copies, has_ram;
    char ram_volume[VOLUME_ID_MAX + 1]; /* "": without memory */
    struct ram *ram;
    struct still *still; /* while images are copied */
    int r;               /* of the part behind the commit */
    struct err err;
};

static void snap_free(struct snap *s)
{
    struct task_hold *hold = s->hold;

    still_free(s->still);
    ram_free(s->ram);
    free(s);
    task_hold_release(hold); /* last: the next one in line runs inside */
}

static void on_woken(void *arg, int r, const struct err *e)
{
    snap_free(arg);
}

static void snap_ended(struct task *t, void *arg, int r, const struct err *e)
{
    struct snap *s = arg;
    struct guest_op op = {.vmid = s->vmid, .user = s->user, .ram = s->ram_volume[0] ? s->ram_volume : NULL};
    struct err why = ERR_INIT;

    if (r == 0 && s->is_starting && guest_start(s->guests, &op, NULL, &why) < 0)
        task_warn(t, "start: %s", why.text);
    if (s->still) /* a step has failed */
        still_end(s->still, on_woken, s);
    else
        snap_free(s);
}

static int plan(struct snap *s, const struct guest *g, struct snap_plan *p, struct err *e)
{
    switch (s->action) {
    case TAKE:
        return snap_plan_take(g, s->name, s->description, clock_wall_s(), p, e);
    case ROLL_BACK:
        return snap_plan_roll_back(g, s->name, p, e);
    case DELETE:
        return snap_plan_delete(g, s->name, p, e);
    }
    return -EINVAL;
}

/* ---- of a running guest: before the first step, behind the commit ---- */

static void on_before(void *arg, int r, const struct err *e)
{
    struct snap *s = arg;

    task_go_on(s->task, r, e);
}

static void on_quiet(void *arg, int r, const struct err *e)
{
    struct snap *s = arg;

    still_pause(s->still, on_before, s);
}

/* Images that are copied stand still meanwhile. */
static void live_before(struct task *t, void *arg)
{
    struct snap *s = arg;
    struct err e = ERR_INIT;

    s->task = t;
    if (!s->has_copies)
        task_go_on(t, 0, &e);
    else if (still_new(s->guests, s->vmid, t, &s->still, &e) < 0)
        task_go_on(t, e.num, &e);
    else
        still_quiet(s->still, on_quiet, s);
}

static void on_awake(void *arg, int r, const struct err *e)
{
    struct snap *s = arg;

    still_free(TAKE_PTR(s->still));
    task_go_on(s->task, s->r, &s->err);
}

static void live_end(struct snap *s)
{
    if (s->still)
        still_end(s->still, on_awake, s);
    else
        task_go_on(s->task, s->r, &s->err);
}

static void on_taken_back(void *arg, int r, const struct err *e)
{
    struct snap *s = arg;

    if (r < 0)
        task_warn(s->task, "the snapshot could not be taken back: %s", e->text);
    live_end(s);
}

/* The guest still writes to what was to be the snapshot: there is none. */
static void take_back(struct snap *s)
{
    struct snap_plan p = {0};
    struct err e = ERR_INIT;
    struct task *t = NULL;
    struct guest *g;
    char id[16];
    int r = guest_get(s->guests, s->vmid, &g, &e);

    if (r == 0)
        r = snap_plan_untake(g, s->name, &p, &e);
    if (r == 0) {
        struct guest_record record = snap_plan_record(&p, g);
        snprintf(id, sizeof(id), "%u", s->vmid);
        /* Of no guest's queue: it is a part of the task that runs in it, and we hold the configuration. */
        struct task_spec spec = {.type = "qmdelsnapshot",
                                 .id = id,
                                 .user = s->user,
                                 .steps = p.steps,
                                 .direction = PLAN_FORWARD,
                                 .initial = guest_txn(guest_env(s->guests)->node, g->vmid, g->revision, &record)};
        r = task_start(guest_env(s->guests)->tasks, &spec, &t, &e);
    }
    snap_plan_done(&p);
    if (r == 0)
        task_when_ended(t, on_taken_back, s);
    else
        on_taken_back(s, r, &e);
}

static void on_ram_told(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct snap *s = arg;

    if (r < 0 && s->r == 0) {
        s->r = r;
        s->err = *e;
    }
    live_end(s);
}

/* The memory is whole; or there is none, and its volume is of no use but goes with the snapshot. */
static void tell_ram(struct snap *s)
{
    struct snapshots changed = {0};
    struct state_txn *txn = NULL;
    struct err e = ERR_INIT;
    struct guest *g;
    int r = guest_get(s->guests, s->vmid, &g, &e);

    if (r == 0 && snapshots_copy(&g->snapshots, &changed) == 0) {
        struct guest_record record = guest_record_of(g);
        struct snapshot *one = snapshots_find(&changed, s->name);
        record.snapshots = &changed;
        if (one)
            one->is_saving = false;
        txn = guest_txn(guest_env(s->guests)->node, g->vmid, g->revision, &record);
    }
    snapshots_done(&changed);
    state_commit(guest_env(s->guests)->state, txn, on_ram_told, s);
}

static void on_images(void *arg, int r, const struct err *e)
{
    struct snap *s = arg;

    s->r = r;
    s->err = *e;
    if (r < 0 && r != -EPIPE && !streq(e->code, SNAPSHOT_WITHOUT_MEMORY))
        take_back(s);
    else if (r == 0 && s->ram)
        tell_ram(s);
    else
        live_end(s);
}

static void live_after(struct task *t, void *arg)
{
    struct snap *s = arg;
    struct err e = ERR_INIT;

    if (s->ram_volume[0] && ram_new(s->guests, s->vmid, t, s->ram_volume, &s->ram, &e) < 0)
        on_images(s, e.num, &e);
    else
        guest_images_settle(s->guests, s->vmid, s->still ? NULL : t, s->ram, on_images, s);
}

static void on_shortened(void *arg, int r, const struct err *e)
{
    struct snap *s = arg;
    struct err none = ERR_INIT;

    /* The snapshot is gone, or the guest is back: that its chain is longer than it has to be harms nobody. */
    if (r < 0)
        task_warn(s->task, "layers that nobody needs stay for now: %s", e->text);
    task_go_on(s->task, 0, &none);
}

static void shorten_after(struct task *t, void *arg)
{
    struct snap *s = arg;

    s->task = t;
    guest_shorten(s->guests, s->vmid, t, s->user, on_shortened, s);
}

/* Where the first of its own disks is. */
static int add_ram(struct snap *s, const struct guest *g, struct snap_plan *p, struct err *e)
{
    const struct engine *engine = engine_find(g->engine);
    struct volume_id v;

    if (!engine || !engine->saved)
        return err_set(e, -EOPNOTSUPP, "engine.live", "the engine %s does not save the memory of its guests",
                       g->engine);
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_item *it = &g->config.items[i];
        if (!guest_is_drive_key(it->key) || guest_drive_is_cdrom(it->value) || !guest_drive_volume(it->value, &v) ||
            v.vmid != g->vmid)
            continue;
        int r = snap_plan_add_ram(p, g, s->name, v.storage, e);
        snprintf(s->ram_volume, sizeof(s->ram_volume), "%s", snapshots_find(&p->snapshots, s->name)->vmstate);
        return r;
    }
    return err_set(e, -EINVAL, "guest.no-disk", "the guest has no disk beside which its memory could be kept");
}

static int check_live(struct snap *s, const struct guest *g, struct snap_plan *p, struct err *e)
{
    if (s->action != TAKE || !guest_is_running(g))
        return 0;
    if (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -EBUSY, "guest.busy", "VM %u is starting or stopping", s->vmid);
    s->is_live = true;
    s->has_copies = p->has_copies;
    int r = p->has_overlays ? guest_images_check(g, e) : 0;
    return r == 0 && s->has_ram ? add_ram(s, g, p, e) : r;
}

/* A deletion goes on after a crash: its layers are nobody's from its journal entry on. */
static int start_plan(struct snap *s, const struct guest *g, struct snap_plan *p, struct task **ret, struct err *e)
{
    static const char *const types[] = {[TAKE] = "qmsnapshot", [ROLL_BACK] = "qmrollback", [DELETE] = "qmdelsnapshot"};
    struct api_call *c = s->call;
    struct guest_record record = snap_plan_record(p, g);
    struct config none = {0};
    char id[16];

    if (s->action == ROLL_BACK)
        record.pending = &none;
    struct state_txn *txn = guest_txn(c->api->node, g->vmid, g->revision, &record);
    if (!txn)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    snprintf(id, sizeof(id), "%u", s->vmid);
    struct task_spec spec = {.type = types[s->action],
                             .id = id,
                             .user = s->user,
                             .vmid = s->vmid,
                             .steps = p->steps,
                             .record_key = idempotency_state_key(c),
                             .direction = s->action == DELETE ? PLAN_FORWARD : PLAN_UNDO,
                             .initial = s->action == DELETE ? txn : NULL,
                             .final = s->action == DELETE ? NULL : txn,
                             .before = s->is_live ? live_before : NULL,
                             .after = s->is_live          ? live_after
                                      : s->action != TAKE ? shorten_after
                                                          : NULL,
                             .ended = snap_ended,
                             .arg = s};
    return task_start(c->api->tasks, &spec, ret, e);
}

static int check(struct snap *s, const struct guest *g, struct err *e)
{
    const char *lock = config_get(&g->config, "lock");

    if (lock)
        return err_set(e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (guest_is_template(g) && s->action == TAKE)
        return err_set(e, -EINVAL, "guest.template", "VM %u is a template: it does not change", s->vmid);
    if (guest_is_running(g) && s->action == ROLL_BACK && !s->call->is_dry_run)
        return err_set(e, -EBUSY, "guest.running", "VM %u was started meanwhile", s->vmid);
    return 0;
}

static void unlocked(void *arg, int r, const struct err *lock_err)
{
    struct snap *s = arg;
    struct api_call *c = s->call;
    struct err e = *lock_err;
    struct snap_plan p = {0};
    struct guest *g = NULL;
    struct task *t = NULL;

    if (r == 0 && !(s->hold = task_hold(c->api->tasks, s->vmid, "snapshot")))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = guest_get(c->api->guests, s->vmid, &g, &e);
    if (r == 0)
        r = check(s, g, &e);
    if (r == 0)
        r = plan(s, g, &p, &e);
    if (r == 0)
        r = check_live(s, g, &p, &e);
    const struct snapshot *old = r == 0 && s->action == ROLL_BACK ? snapshots_find(&g->snapshots, s->name) : NULL;
    if (old && old->vmstate[0] && !old->is_saving) { /* it goes on where it was */
        snprintf(s->ram_volume, sizeof(s->ram_volume), "%s", old->vmstate);
        s->is_starting = true;
    }
    if (r == 0 && c->is_dry_run) {
        struct change as_plan = {.call = c, .steps = p.steps};
        r = change_reply_plan(&as_plan);
        snap_free(s);
        snap_plan_done(&p);
        api_finish(c, r, &e);
        return;
    }
    if (r == 0)
        r = start_plan(s, g, &p, &t, &e);
    snap_plan_done(&p);
    if (r < 0)
        snap_free(s);
    r = api_reply_task(c, r, t);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

static void stopped(void *arg, int r, const struct err *e)
{
    struct snap *s = arg;
    struct api_call *c = s->call;
    struct err copy = *e;

    if (r == 0) {
        task_when_unlocked(c->api->tasks, s->vmid, LOCK_WAIT_MS, unlocked, s);
        return;
    }
    snap_free(s);
    api_finish(c, r, &copy);
}

/* As in Proxmox VE: who goes back does not want what the guest would still write. */
static int stop_first(struct snap *s, struct err *e)
{
    struct guest_op op = {.vmid = s->vmid, .user = s->user, .is_forced = true};
    struct task *t;
    int r = guest_stop(s->guests, &op, &t, e);

    if (r == 0)
        task_when_ended(t, stopped, s);
    return r;
}

static int begin(struct api_call *c, const char *node, int64_t vmid, const char *name, const struct snap *what,
                 struct err *e)
{
    struct guest *g;
    int r = find(c, node, vmid, &g, e);
    struct snap *s = r == 0 ? malloc(sizeof(*s)) : NULL;

    if (r < 0 || !s)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    *s = *what;
    s->call = c;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->guests = c->api->guests;
    s->vmid = g->vmid;
    snprintf(s->user, sizeof(s->user), "%s", api_user(c));
    if (s->action == ROLL_BACK && guest_is_running(g) && !c->is_dry_run) {
        r = stop_first(s, e);
        if (r < 0)
            snap_free(s);
        return r < 0 ? r : API_LATER;
    }
    task_when_unlocked(c->api->tasks, g->vmid, LOCK_WAIT_MS, unlocked, s);
    return API_LATER;
}

int api_qemu_snapshot_take(struct api_call *c, const struct api_qemu_snapshot_take_args *a, struct err *e)
{
    int r = snapshot_name_check(a->snapname, e);

    if (r < 0)
        return api_param_error(c, e, "snapname", "%s", e->text);
    return begin(c, a->node, a->vmid, a->snapname,
                 &(struct snap){.action = TAKE, .description = a->description, .has_ram = a->has_vmstate && a->vmstate},
                 e);
}

int api_qemu_snapshot_rollback(struct api_call *c, const struct api_qemu_snapshot_rollback_args *a, struct err *e)
{
    struct snapshot *s;
    struct guest *g;
    int r = find_snapshot(c, a->node, a->vmid, a->snapname, &g, &s, e);

    if (r < 0)
        return r;
    return begin(c, a->node, a->vmid, a->snapname, &(struct snap){.action = ROLL_BACK, .is_starting = a->start}, e);
}

int api_qemu_snapshot_delete(struct api_call *c, const struct api_qemu_snapshot_delete_args *a, struct err *e)
{
    struct snapshot *s;
    struct guest *g;
    int r = find_snapshot(c, a->node, a->vmid, a->snapname, &g, &s, e);

    return r < 0 ? r : begin(c, a->node, a->vmid, a->snapname, &(struct snap){.action = DELETE}, e);
}

/* ---- the text ---- */

static void on_updated(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct snap *s = arg;
    struct api_call *c = s->call;
    struct err copy = *e;

    snap_free(s);
    if (r == 0)
        jw_null(&c->out);
    api_finish(c, r, &copy);
}

static void update_unlocked(void *arg, int r, const struct err *lock_err)
{
    struct snap *s = arg;
    struct api_call *c = s->call;
    struct err e = *lock_err;
    struct snapshots changed = {0};
    struct guest *g = NULL;
    struct state_txn *txn = NULL;

    if (r == 0 && !(s->hold = task_hold(c->api->tasks, s->vmid, "config")))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = guest_get(c->api->guests, s->vmid, &g, &e);
    if (r == 0 && snapshots_copy(&g->snapshots, &changed) < 0)
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    struct snapshot *one = r == 0 ? snapshots_find(&changed, s->name) : NULL;
    if (r == 0 && !one)
        r = err_set(&e, -ENOENT, "guest.snapshot", "snapshot '%s' does not exist", s->name);
    if (r == 0) {
        struct guest_record record = guest_record_of(g);
        record.snapshots = &changed;
        config_remove(&one->config, "description");
        if (!*s->description || config_set(&one->config, "description", s->description) == 0)
            txn = guest_txn(c->api->node, g->vmid, g->revision, &record);
        if (!txn)
            r = err_set(&e, -ENOMEM, NULL, "out of memory");
    }
    snapshots_done(&changed);
    if (r == 0) {
        state_commit(c->api->state, txn, on_updated, s);
        return;
    }
    snap_free(s);
    api_finish(c, r, &e);
}

int api_qemu_snapshot_update(struct api_call *c, const struct api_qemu_snapshot_update_args *a, struct err *e)
{
    struct snapshot *found;
    struct guest *g;
    int r = find_snapshot(c, a->node, a->vmid, a->snapname, &g, &found, e);
    struct snap *s = r == 0 ? calloc(1, sizeof(*s)) : NULL;

    if (r < 0 || !s)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    *s = (struct snap){.call = c, .vmid = g->vmid, .description = a->description ? a->description : ""};
    snprintf(s->name, sizeof(s->name), "%s", a->snapname);
    task_when_unlocked(c->api->tasks, g->vmid, LOCK_WAIT_MS, update_unlocked, s);
    return API_LATER;
}
