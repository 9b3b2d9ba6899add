/* What snapshots need of a running QEMU: overlays that take over, layers that are brought into the one below, memory
 * that is written to a file. Parts of qemu_live.c's scripts; what a job is called says of which drive it is. Pure. */
#include <inttypes.h>
#include <jansson.h>

#include "engine/qemu_priv.h"

static int add_overlay(const struct engine_vm *vm, struct engine_script *s, struct err *e)
{
    int r = qemu_disk_options(vm, s, QEMU_DISK_OVERLAY, e);

    qemu_drop_image(s, "uu", &vm->disks[0], 0);
    return r;
}

static int switch_over(const struct engine_vm *vm, struct engine_script *s)
{
    autobuf struct buf actions;
    char node[QEMU_NODE_MAX], overlay[QEMU_NODE_MAX];

    buf_init(&actions, QEMU_SCRIPT_MAX);
    for (size_t i = 0; i < vm->n_disks; i++) {
        qemu_image_node(vm->disks[i].key, engine_disk_on(&vm->disks[i], 1), node);
        qemu_image_node(vm->disks[i].key, engine_disk_on(&vm->disks[i], 0), overlay);
        buf_printf(&actions, "%s{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"%s\",\"overlay\":\"%s\"}}",
                   i ? "," : "", node, overlay);
    }
    qemu_step(s, '+', "transaction", "{\"actions\":[%s]}", buf_str(&actions));
    return 0;
}

/* The answer to x-debug-query-block-graph: other lists of nodes tell the names of files, in which those of all that
 * they stand on are nested, and grow beyond all measure. */
int qemu_has_image(const char *answer, size_t n, const char *key, const char *on, enum engine_place *ret, struct err *e)
{
    json_t *graph = json_loadb(answer, n, 0, NULL), *nodes = json_object_get(graph, "nodes"), *node, *edge;
    json_int_t image = -1, drive = -1;
    char wanted[QEMU_NODE_MAX];
    size_t i;

    qemu_image_node(key, on ? on : "", wanted);
    json_array_foreach(nodes, i, node)
    {
        const char *name = json_string_value(json_object_get(node, "name"));
        if (name && on && streq(name, wanted))
            image = json_integer_value(json_object_get(node, "id"));
        if (name && streq(name, key))
            drive = json_integer_value(json_object_get(node, "id"));
    }
    *ret = image >= 0 || (!on && drive >= 0) ? ENGINE_PLACE_OPEN : ENGINE_PLACE_NONE;
    json_array_foreach(json_object_get(graph, "edges"), i, edge)
    {
        if (image >= 0 && drive >= 0 && json_integer_value(json_object_get(edge, "parent")) == drive &&
            json_integer_value(json_object_get(edge, "child")) == image)
            *ret = ENGINE_PLACE_TOP;
    }
    int r = json_is_array(nodes) ? 0 : err_set(e, -EPROTO, "engine.broken", "QEMU does not tell what images it has");
    json_decref(graph);
    return r;
}

/* ---- merging ---- */

/* Between them nothing is written without the other one: QEMU goes over by itself where the guest does not write to the
 * upper one, and waits to be told (ENGINE_PIVOT) where it does. What stands on the upper one keeps its name for it: the
 * lower one gets that name. */
static int reopen(const struct engine_disk *d, char kind, const struct qemu_reopen *o, struct engine_script *s,
                  struct err *e)
{
    autobuf struct buf arguments;

    buf_init(&arguments, QEMU_SCRIPT_MAX);
    int r = qemu_image_reopen(d, o, &arguments, e);
    if (r == 0)
        qemu_step(s, kind, "blockdev-reopen", "%s", buf_str(&arguments));
    return r;
}

/* A layer may be open for reading only, by a descriptor of that kind. */
static int make_writable(const struct engine_disk *d, size_t i, bool is_top, struct engine_script *s, struct err *e)
{
    struct qemu_reopen o = {
        .image = i, .below = i + 1, .fd = d->below[i - 1].fd, .is_new_file = true, .is_top = is_top};

    qemu_step(s, 'f', "add-fd", "{\"fdset-id\":%" PRIu64 "}", qemu_fdset(d->bus, d->index, engine_disk_on(d, i)));
    s->fds[s->n_fds++] = o.fd;
    int r = reopen(d, '+', &o, s, e);
    o.is_read_only = true;
    o.is_new_file = false;
    return r < 0 ? r : reopen(d, 'u', &o, s, e);
}

static int merge(const struct engine_vm *vm, size_t i, struct engine_script *s, struct err *e)
{
    const struct engine_disk *d = &vm->disks[0];
    char upper[QEMU_NODE_MAX], lower[QEMU_NODE_MAX];

    if (i >= d->n_below)
        return err_set(e, -EINVAL, "engine.live", "%s: no image to merge", d->key);
    qemu_image_node(d->key, engine_disk_on(d, i), upper);
    qemu_image_node(d->key, engine_disk_on(d, i + 1), lower);
    int r = make_writable(d, i + 1, i == 0, s, e);
    if (r == 0 && i > 1)
        r = make_writable(d, i - 1, false, s, e);
    qemu_step(s, '+', "block-commit",
              "{\"job-id\":\"job-%s\",\"device\":\"%s\",\"top-node\":\"%s\",\"base-node\":\"%s\",%s%s%s"
              "\"auto-finalize\":true,\"auto-dismiss\":false}",
              d->key, d->key, upper, lower, i ? "\"backing-file\":\"" : "", i ? d->below[i - 1].file : "",
              i ? "\"," : "");
    return r;
}

/* It is closed; after a merge the layers beside it are open for reading only again. */
static int leave(const struct engine_vm *vm, size_t i, struct engine_script *s, struct err *e)
{
    const struct engine_disk *d = &vm->disks[0];
    int r = 0;

    qemu_drop_image(s, "+-", d, i); /* one that is in use refuses, and keeps its descriptors */
    if (i > 0 && i < d->n_below)
        r = reopen(d, '-', &(struct qemu_reopen){i + 1, i + 2, d->below[i].fd, true, false, false}, s, e);
    if (r == 0 && i > 1)
        r = reopen(d, '-', &(struct qemu_reopen){i - 1, i + 1, d->below[i - 2].fd, true, false, false}, s, e);
    return r;
}

int qemu_job(const char *answer, size_t n, const char *key, struct engine_job *ret, struct err *e)
{
    static const struct {
        const char *status;
        enum engine_job_state state;
    } states[] = {{"ready", ENGINE_JOB_READY},
                  {"standby", ENGINE_JOB_READY},
                  {"concluded", ENGINE_JOB_DONE},
                  {"created", ENGINE_JOB_RUNNING},
                  {"running", ENGINE_JOB_RUNNING}};
    json_t *jobs = json_loadb(answer, n, 0, NULL), *job;
    struct engine_job found = {.state = ENGINE_JOB_NONE};
    char id[32];
    size_t k;

    snprintf(id, sizeof(id), "job-%s", key);
    json_array_foreach(jobs, k, job)
    {
        const char *name = json_string_value(json_object_get(job, "id"));
        const char *status = json_string_value(json_object_get(job, "status"));
        const char *error = json_string_value(json_object_get(job, "error"));
        if (!name || !status || !streq(name, id))
            continue;
        found.state = ENGINE_JOB_RUNNING; /* all the others: on its way */
        for (size_t i = 0; i < ARRAY_SIZE(states); i++)
            if (streq(status, states[i].status))
                found.state = states[i].state;
        found.done_bytes = (uint64_t)json_integer_value(json_object_get(job, "current-progress"));
        found.total_bytes = (uint64_t)json_integer_value(json_object_get(job, "total-progress"));
        snprintf(found.error, sizeof(found.error), "%s", error ? error : "");
    }
    int r = json_is_array(jobs) ? 0 : err_set(e, -EPROTO, "engine.broken", "QEMU does not tell what jobs it has");
    json_decref(jobs);
    *ret = found;
    return r;
}

/* ---- copying ---- */

/* Into an image that is its own for the time of the copy: zeroes take no room in it, whatever the drive says. QEMU
 * copies from the topmost node only, so the drive's limits hold for its copies, too. */
static int copy(const struct engine_vm *vm, uint64_t bytes_per_s, struct engine_script *s, struct err *e)
{
    const struct engine_disk *d = &vm->disks[0];
    uint64_t set = qemu_fdset(d->bus, d->index, QEMU_COPY);
    char target[QEMU_NODE_MAX];
    int r = qemu_disk_options(vm, s, QEMU_DISK_COPY, e);

    qemu_image_node(d->key, QEMU_COPY, target);
    qemu_step(s, '+', "blockdev-mirror",
              "{\"job-id\":\"job-%s\",\"device\":\"%s\",\"target\":\"%s\",\"sync\":\"full\",\"speed\":%" PRIu64
              ",\"auto-finalize\":true,\"auto-dismiss\":false}",
              d->key, d->key, target, bytes_per_s);
    qemu_step(s, 'u', "blockdev-del", "{\"node-name\":\"%s\"}", target);
    qemu_step(s, 'u', "remove-fd", "{\"fdset-id\":%" PRIu64 "}", set);
    return r;
}

static int drop_copy(const struct engine_disk *d, struct engine_script *s)
{
    char target[QEMU_NODE_MAX];

    qemu_image_node(d->key, QEMU_COPY, target);
    qemu_step(s, '-', "job-dismiss", "{\"id\":\"job-%s\"}", d->key);
    qemu_step(s, '-', "blockdev-del", "{\"node-name\":\"%s\"}", target);
    qemu_step(s, '-', "remove-fd", "{\"fdset-id\":%" PRIu64 "}", qemu_fdset(d->bus, d->index, QEMU_COPY));
    return 0;
}

static int move_over(const struct engine_disk *d, struct engine_script *s)
{
    autobuf struct buf arguments;

    buf_init(&arguments, QEMU_SCRIPT_MAX);
    qemu_move_throttle(d, &arguments);
    qemu_step(s, '+', "blockdev-reopen", "%s", buf_str(&arguments));
    return 0;
}

#define ON_CHARS "abcdefghijklmnopqrstuvwxyz0123456789"

/* "format-scsi0-3": "3"; NULL for nodes of other drives. */
static const char *on_of_node(const char *name, const char *key)
{
    size_t n = strlen(key);

    if (!name || !str_starts(name, "format-") || strncmp(name + 7, key, n) != 0)
        return NULL;
    const char *on = name[7 + n] == '-' ? name + 8 + n : name + 7 + n;
    return (on > name + 7 + n || !on[0]) && !on[strspn(on, ON_CHARS)] ? on : NULL;
}

static bool is_own(const struct engine_disk *d, const char *on)
{
    for (size_t i = 0; i <= d->n_below; i++)
        if (streq(engine_disk_on(d, i), on))
            return true;
    return false;
}

/* Those of one chain refuse until what stands on them is gone: the list says nothing of their order. */
#define SWEEP_PASSES 4
#define SWEEP_MOST   48u /* scripts have an end; a chain of one's own that is moved as a whole is shorter */

int qemu_sweep(const char *answer, size_t n, const struct engine_disk *d, struct engine_script *ret, struct err *e)
{
    json_t *graph = json_loadb(answer, n, 0, NULL), *nodes = json_object_get(graph, "nodes"), *node;
    size_t i, n_strays = 0;

    *ret = (struct engine_script){0};
    buf_init(&ret->fields, QEMU_SCRIPT_MAX);
    /* A copy may have been closed while the guest stood still. */
    qemu_step(ret, '-', "remove-fd", "{\"fdset-id\":%" PRIu64 "}", qemu_fdset(d->bus, d->index, QEMU_COPY));
    for (int pass = 0; pass < SWEEP_PASSES; pass++)
        json_array_foreach(nodes, i, node)
        {
            const char *name = json_string_value(json_object_get(node, "name")), *on = on_of_node(name, d->key);
            if (!on || is_own(d, on) || n_strays >= SWEEP_PASSES * SWEEP_MOST)
                continue;
            n_strays++;
            qemu_step(ret, '-', "blockdev-del", "{\"node-name\":\"%s\"}", name);
            if (pass + 1 == SWEEP_PASSES)
                qemu_step(ret, '-', "remove-fd", "{\"fdset-id\":%" PRIu64 "}", qemu_fdset(d->bus, d->index, on));
        }
    int r = json_is_array(nodes) ? 0 : err_set(e, -EPROTO, "engine.broken", "QEMU does not tell what images it has");
    json_decref(graph);
    if (r == 0 && ret->fields.is_failed)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0)
        buf_done(&ret->fields);
    return r;
}

/* ---- memory ---- */

/* A migration to a file: it stops short of its end, where the disks go over to their overlays. */
static int save(const struct engine_vm *vm, struct engine_script *s)
{
    qemu_step(s, 'f', "getfd", "{\"fdname\":\"ram\"}");
    s->fds[s->n_fds++] = vm->ram_fd;
    qemu_step(s, '+', "migrate-set-capabilities",
              "{\"capabilities\":[{\"capability\":\"pause-before-switchover\",\"state\":true}]}");
    qemu_step(s, '+', "migrate-set-parameters", "{\"max-bandwidth\":17179869184}");
    qemu_step(s, '+', "migrate", "{\"uri\":\"fd:ram\"}");
    qemu_step(s, 'u', "closefd", "{\"fdname\":\"ram\"}");
    return 0;
}

int qemu_saved(const char *answer, size_t n, struct engine_save *ret, struct err *e)
{
    json_t *j = json_loadb(answer, n, 0, NULL), *ram = json_object_get(j, "ram");
    const char *status = json_string_value(json_object_get(j, "status"));
    const char *error = json_string_value(json_object_get(j, "error-desc"));
    struct engine_save found = {.state = ENGINE_SAVE_RUNNING};

    if (!json_is_object(j)) {
        json_decref(j);
        return err_set(e, -EPROTO, "engine.broken", "QEMU does not tell how far it is");
    }
    if (!status || streq(status, "none") || streq(status, "failed") || streq(status, "cancelled"))
        found.state = ENGINE_SAVE_FAILED;
    else if (streq(status, "pre-switchover"))
        found.state = ENGINE_SAVE_STILL;
    else if (streq(status, "completed"))
        found.state = ENGINE_SAVE_DONE;
    found.total_bytes = (uint64_t)json_integer_value(json_object_get(ram, "total"));
    found.done_bytes = (uint64_t)json_integer_value(json_object_get(ram, "transferred"));
    snprintf(found.error, sizeof(found.error), "%s", error ? error : "it was given up");
    json_decref(j);
    *ret = found;
    return 0;
}

int qemu_live_images(const struct engine_vm *vm, enum engine_live what, uint64_t number, struct engine_script *s,
                     struct err *e)
{
    const char *key = vm->n_disks ? vm->disks[0].key : "";

    switch ((int)what) {
    case ENGINE_IMAGES:
        qemu_step(s, '+', "x-debug-query-block-graph", "{}");
        return 0;
    case ENGINE_OVERLAY:
        return add_overlay(vm, s, e);
    case ENGINE_SWITCH:
        return switch_over(vm, s);
    case ENGINE_LEAVE:
        return leave(vm, (size_t)number, s, e);
    case ENGINE_FORGET:
        qemu_step(s, '-', "remove-fd", "{\"fdset-id\":%" PRIu64 "}",
                  qemu_fdset(vm->disks[0].bus, vm->disks[0].index, engine_disk_on(&vm->disks[0], (size_t)number)));
        return 0;
    case ENGINE_MERGE:
        return merge(vm, (size_t)number, s, e);
    case ENGINE_PIVOT:
        qemu_step(s, '+', "job-complete", "{\"id\":\"job-%s\"}", key);
        return 0;
    case ENGINE_CANCEL:
        qemu_step(s, '+', "block-job-cancel", "{\"device\":\"job-%s\",\"force\":true}", key);
        return 0;
    case ENGINE_COPY:
        return copy(vm, number, s, e);
    case ENGINE_COPY_END:
        qemu_step(s, '+', "block-job-cancel", "{\"device\":\"job-%s\",\"force\":false}", key);
        return 0;
    case ENGINE_COPY_DROP:
        return drop_copy(&vm->disks[0], s);
    case ENGINE_MOVE:
        return move_over(&vm->disks[0], s);
    case ENGINE_DISMISS:
        qemu_step(s, '+', "job-dismiss", "{\"id\":\"job-%s\"}", key);
        return 0;
    case ENGINE_JOBS:
        qemu_step(s, '+', "query-jobs", "{}");
        return 0;
    case ENGINE_SAVE:
        return save(vm, s);
    case ENGINE_SAVE_REST:
        qemu_step(s, '+', "migrate-continue", "{\"state\":\"pre-switchover\"}");
        return 0;
    case ENGINE_SAVE_CANCEL:
        qemu_step(s, '+', "migrate_cancel", "{}");
        return 0;
    case ENGINE_SAVED:
        qemu_step(s, '+', "query-migrate", "{}");
        return 0;
    default:
        return -EINVAL;
    }
}
