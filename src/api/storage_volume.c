/* Single volumes: GET, PUT and DELETE content/{volume}, POST content (an empty image), GET prunebackups. PVE:
 * pve-storage, API2/Storage/Content.pm. What touches the storage runs in a pool thread. */
#include <event2/event.h>
#include <inttypes.h>
#include <limits.h>

#include "api/storage_common.h"
#include "task/pool.h"

struct volume_call {
    struct storage *storage;
    struct volume_id volume;
    struct volume_info info;
    struct volume_note note;
    bool has_notes, has_protected;
    uint64_t size_bytes;
};

/* "local:iso/x.iso", or "iso/x.iso" of the storage in the path. */
static int parse_volume(struct api_call *c, const char *storage, const char *text, struct volume_id *ret, struct err *e)
{
    const char *full = strchr(text, ':') ? text : arena_printf(&c->arena, "%s:%s", storage ? storage : "", text);

    if (!full || volume_id_parse(full, ret, e) < 0)
        return api_param_error(c, e, "volume", "unable to parse volume ID '%.200s'", text);
    if (storage && !streq(storage, ret->storage))
        return api_param_error(c, e, "storage", "storage '%s' does not hold '%.200s'", storage, text);
    return 0;
}

static int require(struct api_call *c, const struct volume_id *v, priv_mask mask, bool any, struct err *e)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", v->storage);
    return api_require(c, path, mask, any, e);
}

/* Who administers the storage sees all of it; others what is for reading, and the disks of guests they may configure.
 */
static int require_look(struct api_call *c, const struct volume_id *v, struct err *e)
{
    struct err ignored = ERR_INIT;
    char path[24];

    if (require(c, v, PRIV_M(DATASTORE_ALLOCATE), false, &ignored) == 0)
        return 0;
    int r = require(c, v, PRIV_M(DATASTORE_AUDIT) | PRIV_M(DATASTORE_ALLOCATESPACE), true, e);
    if (r < 0 || v->content != STORAGE_CONTENT_images)
        return r;
    api_vm_path(v->vmid, path);
    return api_require(c, path, PRIV_M(VM_CONFIG_DISK), false, e);
}

static int begin(struct api_call *c, const char *node, const char *storage, const char *volume, bool is_change,
                 struct volume_call **ret, struct err *e)
{
    struct volume_call *k = arena_alloc(&c->arena, sizeof(*k));
    int r = k ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0) {
        *k = (struct volume_call){.storage = NULL};
        r = parse_volume(c, storage, volume, &k->volume, e);
    }
    if (r == 0)
        r = is_change ? require(c, &k->volume, PRIV_M(DATASTORE_ALLOCATE), false, e) : require_look(c, &k->volume, e);
    if (r == 0)
        r = api_check_node(c, node, e);
    if (r == 0)
        r = storage_mgr_ref(c->api->storages, k->volume.storage, &k->storage, e);
    *ret = k;
    return r;
}

/* ---- GET ---- */

static int work_info(void *ctx, struct err *e)
{
    struct volume_call *k = ctx;
    int r = volume_stat(k->storage, &k->volume, &k->info, e);

    return r < 0 ? r : volume_note_get(k->storage, &k->volume, &k->note, e);
}

static int finish_info(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct volume_call *k = ctx;
    char path[PATH_MAX];

    if (r == 0) /* PVE shows it to whoever may look */
        r = volume_path(k->storage, &k->volume, path, sizeof(path), e);
    if (r == 0) {
        jw_object(&c->out);
        jw_kv_str(&c->out, "path", path);
        jw_kv_u64(&c->out, "size", k->info.size_bytes);
        jw_kv_u64(&c->out, "used", k->info.used_bytes);
        jw_kv_str(&c->out, "format", storage_format_name(&k->info));
        if (k->note.notes[0])
            jw_kv_str(&c->out, "notes", k->note.notes);
        if (k->note.is_protected)
            jw_kv_int(&c->out, "protected", 1);
        jw_object_end(&c->out);
    }
    storage_unref(k->storage);
    return r;
}

int api_volume_info(struct api_call *c, const struct api_volume_info_args *a, struct err *e)
{
    struct volume_call *k;
    int r = begin(c, a->node, a->storage, a->volume, false, &k, e);

    return r < 0 ? r : api_offload(c, work_info, finish_info, k);
}

/* ---- PUT ---- */

static int work_note(void *ctx, struct err *e)
{
    struct volume_call *k = ctx;
    struct volume_note now;
    int r = volume_note_get(k->storage, &k->volume, &now, e);

    if (r < 0)
        return r;
    if (k->has_notes)
        memcpy(now.notes, k->note.notes, sizeof(now.notes));
    if (k->has_protected)
        now.is_protected = k->note.is_protected;
    return volume_note_set(k->storage, &k->volume, &now, e);
}

static int finish_plain(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct volume_call *k = ctx;

    storage_unref(k->storage);
    return r;
}

int api_volume_update(struct api_call *c, const struct api_volume_update_args *a, struct err *e)
{
    struct volume_call *k;

    if (a->notes && strlen(a->notes) > VOLUME_NOTES_MAX)
        return api_param_error(c, e, "notes", "value may only be %u bytes long", VOLUME_NOTES_MAX);
    int r = begin(c, a->node, a->storage, a->volume, true, &k, e);
    if (r < 0)
        return r;
    k->has_notes = a->notes != NULL;
    snprintf(k->note.notes, sizeof(k->note.notes), "%s", a->notes ? a->notes : "");
    k->has_protected = a->has_protected;
    k->note.is_protected = a->protected;
    return api_offload(c, work_note, finish_plain, k);
}

/* ---- DELETE: a task; with `delay` the reply waits for its end so long ---- */

struct removal {
    struct task *task;
    struct pool *pool;
    struct api_call *call; /* NULL: answered */
    struct event *timer;
    struct storage *storage;
    struct volume_id volume;
    char upid[UPID_MAX];
    int r;
    struct err err;
};

static void removal_work(void *ctx)
{
    struct removal *k = ctx;
    struct volume_info info;
    struct volume_note note;

    k->r = volume_stat(k->storage, &k->volume, &info, &k->err);
    /* What is no image any more can still be removed. */
    if (k->r < 0 && k->r != -ENOENT && k->volume.format == VOLUME_QCOW2)
        k->r = 0;
    if (k->r == 0)
        k->r = volume_note_get(k->storage, &k->volume, &note, &k->err);
    if (k->r == 0 && note.is_protected)
        k->r = err_set(&k->err, -EPERM, "volume.protected", "can't remove protected volume '%s'", k->volume.name);
    if (k->r == 0)
        k->r = volume_delete(k->storage, &k->volume, NULL, &k->err);
}

static void removal_done(void *ctx)
{
    struct removal *k = ctx;

    task_end(k->task, k->r, &k->err);
}

static void removal_begin(struct task *t, void *arg)
{
    struct removal *k = arg;
    struct err e = ERR_INIT;

    k->task = t;
    task_log(t, "Removing image: %s", k->volume.name);
    if (pool_submit(k->pool, removal_work, removal_done, k, &e) < 0)
        task_end(t, e.num, &e);
}

static void removal_ended(struct task *t, void *arg, int r, const struct err *e)
{
    struct removal *k = arg;

    if (k->call)
        api_finish(k->call, r, e); /* within the delay: null, or why not */
    if (k->timer)
        event_free(k->timer);
    storage_unref(k->storage);
    free(k);
}

static void removal_late(evutil_socket_t fd, short what, void *arg)
{
    struct removal *k = arg;
    struct api_call *c = k->call;
    struct err none = ERR_INIT;

    k->call = NULL;
    jw_str(&c->out, k->upid);
    api_finish(c, 0, &none);
}

static int start_removal(struct api_call *c, struct removal *k, int64_t delay_s, struct err *e)
{
    struct timeval delay = {.tv_sec = delay_s};
    char id[UPID_MAX / 4];
    struct task *t;

    snprintf(id, sizeof(id), "%u@%s", k->volume.vmid, k->volume.storage);
    struct task_spec spec = {.type = "imgdel",
                             .id = strlen(id) < sizeof(id) - 1 && k->volume.vmid ? id : "",
                             .user = api_user(c),
                             .begin = removal_begin,
                             .ended = removal_ended,
                             .arg = k};
    if (delay_s) {
        k->timer = event_new(c->api->base, -1, 0, removal_late, k);
        if (!k->timer || event_add(k->timer, &delay) < 0)
            return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    int r = task_start(c->api->tasks, &spec, &t, e);
    if (r < 0 || !delay_s)
        return api_reply_task(c, r, t);
    snprintf(k->upid, sizeof(k->upid), "%s", task_upid(t));
    k->call = c;
    return API_LATER;
}

static void removal_drop(struct removal *k)
{
    if (k->timer)
        event_free(k->timer);
    storage_unref(k->storage);
    free(k);
}

int api_volume_delete(struct api_call *c, const struct api_volume_delete_args *a, struct err *e)
{
    char id[VOLUME_ID_MAX + 1];
    struct volume_call *v = NULL;
    int r = begin(c, a->node, a->storage, a->volume, true, &v, e);

    if (r < 0)
        return r;
    volume_id_format(&v->volume, id, sizeof(id));
    uint32_t vmid = storage_user(c->api, id);
    struct removal *k = vmid ? NULL : calloc(1, sizeof(*k));
    if (!k) {
        storage_unref(v->storage);
        return vmid ? err_set(e, -EBUSY, "volume.in-use", "volume '%s' is used by guest %u", id, vmid)
                    : err_set(e, -ENOMEM, NULL, "out of memory");
    }
    k->pool = c->api->pool;
    k->storage = v->storage;
    k->volume = v->volume;
    r = start_removal(c, k, a->has_delay ? a->delay : 0, e);
    if (r < 0)
        removal_drop(k);
    return r;
}

/* ---- POST content ---- */

/* "10", "10M", "10G": KiB without a letter, as in PVE. */
static int parse_size(const char *text, uint64_t *ret_bytes)
{
    uint64_t n = 0, unit = 1024;
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 12)
        return -EINVAL;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (uint64_t)(text[i] - '0');
    if (text[digits] == 'M')
        unit = UINT64_C(1) << 20;
    else if (text[digits] == 'G')
        unit = UINT64_C(1) << 30;
    if (n == 0 || n > INT64_MAX / unit)
        return -EINVAL;
    *ret_bytes = n * unit;
    return 0;
}

static int work_create(void *ctx, struct err *e)
{
    struct volume_call *k = ctx;

    return volume_create(k->storage, &k->volume, k->size_bytes, NULL, e);
}

static int finish_create(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct volume_call *k = ctx;
    char id[VOLUME_ID_MAX + 1];

    if (r == 0) {
        volume_id_format(&k->volume, id, sizeof(id));
        jw_str(&c->out, id);
    }
    storage_unref(k->storage);
    return r;
}

/* The name says the format; without an ending it is given one. */
static int name_volume(struct api_call *c, const struct api_volume_create_args *a, struct volume_call *k, struct err *e)
{
    bool has_ending = str_ends(a->filename, ".raw") || str_ends(a->filename, ".qcow2");
    const char *format = a->format ? a->format : volume_format_name(storage_default_format(k->storage));
    const char *id = arena_printf(&c->arena, "%s:%" PRId64 "/%s%s%s", a->storage, a->vmid, a->filename,
                                  has_ending ? "" : ".", has_ending ? "" : format);

    if (!has_ending && strchr(a->filename, '.'))
        return api_param_error(c, e, "filename", "an image ends in .raw or .qcow2");
    if (has_ending && a->format && !str_ends(a->filename, a->format))
        return api_param_error(c, e, "format", "the format and the ending of the file name differ");
    if (!id || volume_id_parse(id, &k->volume, e) < 0 || k->volume.content != STORAGE_CONTENT_images)
        return api_param_error(c, e, "filename", "illegal name '%.200s' - should be 'vm-%" PRId64 "-*'", a->filename,
                               a->vmid);
    return 0;
}

int api_volume_create(struct api_call *c, const struct api_volume_create_args *a, struct err *e)
{
    struct volume_call *k = arena_alloc(&c->arena, sizeof(*k));
    int r = api_check_node(c, a->node, e);

    if (r == 0 && !k)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0)
        return r;
    *k = (struct volume_call){.storage = NULL};
    if (parse_size(a->size, &k->size_bytes) < 0)
        return api_param_error(c, e, "size", "not a size: '%.40s'", a->size);
    r = storage_mgr_ref(c->api->storages, a->storage, &k->storage, e);
    if (r < 0)
        return r;
    r = name_volume(c, a, k, e);
    if (r < 0) {
        storage_unref(k->storage);
        return r;
    }
    return api_offload(c, work_create, finish_create, k);
}

/* ---- prunebackups: what a rule would do. There is one rule, which keeps all ---- */

struct prune {
    struct storage *storage;
    const char *type;
    uint32_t vmid;
    struct buf list;
    struct jw w;
};

/* "vzdump-qemu-100-2024_01_01-00_00_00.vma.zst" */
static void read_name(const char *name, const char **ret_type, uint32_t *ret_vmid)
{
    static const char *const types[] = {"qemu", "lxc"};

    *ret_type = "unknown";
    *ret_vmid = 0;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        size_t n = strlen(types[i]);
        if (!str_starts(name, "vzdump-") || strncmp(name + 7, types[i], n) != 0 || name[7 + n] != '-')
            continue;
        unsigned long vmid = strtoul(name + 8 + n, NULL, 10);
        *ret_type = types[i];
        *ret_vmid = vmid <= 999999999 ? (uint32_t)vmid : 0;
    }
}

static int prune_one(void *arg, const struct volume_info *v)
{
    struct prune *k = arg;
    char id[VOLUME_ID_MAX + 1];
    struct volume_note note = {0};
    struct err ignored = ERR_INIT;
    const char *type;
    uint32_t vmid;

    read_name(v->id.name, &type, &vmid);
    if ((k->type && !streq(k->type, type)) || (k->vmid && k->vmid != vmid))
        return 0;
    volume_id_format(&v->id, id, sizeof(id));
    if (volume_note_get(k->storage, &v->id, &note, &ignored) < 0)
        note.is_protected = false;
    jw_object(&k->w);
    jw_kv_str(&k->w, "volid", id);
    jw_kv_int(&k->w, "ctime", v->ctime_s);
    jw_kv_str(&k->w, "type", type);
    if (vmid)
        jw_kv_int(&k->w, "vmid", vmid);
    jw_kv_str(&k->w, "mark", note.is_protected ? "protected" : streq(type, "unknown") ? "renamed" : "keep");
    jw_object_end(&k->w);
    return k->list.is_failed ? -EFBIG : 0;
}

static int work_prune(void *ctx, struct err *e)
{
    struct prune *k = ctx;

    buf_init(&k->list, 16u * 1024u * 1024u);
    jw_init(&k->w, &k->list);
    jw_array(&k->w);
    int r = volume_list(k->storage, STORAGE_CONTENT_backup, 0, prune_one, k, e);
    jw_array_end(&k->w);
    return r;
}

static int finish_prune(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct prune *k = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(&k->list), k->list.len);
    buf_done(&k->list);
    storage_unref(k->storage);
    return r;
}

int api_prune_plan(struct api_call *c, const struct api_prune_plan_args *a, struct err *e)
{
    struct prune *k = arena_alloc(&c->arena, sizeof(*k));
    int r = api_check_node(c, a->node, e);

    if (a->prune_backups && !streq(a->prune_backups, "keep-all=1"))
        return api_param_error(c, e, "prune-backups", "backups are not pruned yet: only keep-all=1 is taken");
    if (r == 0 && !k)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0)
        return r;
    *k = (struct prune){.type = a->type, .vmid = a->has_vmid ? (uint32_t)a->vmid : 0};
    r = storage_mgr_ref(c->api->storages, a->storage, &k->storage, e);
    return r < 0 ? r : api_offload(c, work_prune, finish_prune, k);
}
