/* /storage and /nodes/N/storage. PVE: pve-storage, API2/Storage. Everything that touches a storage runs in a pool
 * thread. */
#include <jansson.h>

#include "api/storage_common.h"
#include "task/workers.h"

#include <fcntl.h>

/* A file system says ENOSPC long before; this is what the worker's own limit is set to. */
#define UPLOAD_MAX_BYTES (UINT64_C(16) << 40)

static bool has_all_contents(const struct storage *s, const char *list)
{
    struct err e = ERR_INIT;
    uint32_t mask;

    return !list || (storage_contents_parse(list, &mask, &e) == 0 && (storage_contents(s) & mask) != 0);
}

/* The stored JSON as PVE shows it: booleans as numbers, contents in their order. */
static void write_config(struct jw *w, const struct storage *s)
{
    json_error_t je;
    json_t *j = json_loads(storage_json(s), 0, &je), *value;
    char content[96], digest[STORAGE_DIGEST_SIZE];
    const char *key;

    storage_contents_format(storage_contents(s), content, sizeof(content));
    storage_digest(s, digest);
    jw_object(w);
    jw_kv_str(w, "storage", storage_name(s));
    jw_kv_str(w, "content", content);
    jw_kv_str(w, "digest", digest);
    json_object_foreach(j, key, value)
    {
        if (streq(key, "content"))
            continue;
        if (json_is_string(value))
            jw_kv_str(w, key, json_string_value(value));
        else if (json_is_integer(value))
            jw_kv_int(w, key, json_integer_value(value));
        else if (json_is_boolean(value))
            jw_kv_int(w, key, json_is_true(value));
    }
    jw_object_end(w);
    json_decref(j);
}

int api_storage_list(struct api_call *c, const struct api_storage_list_args *a, struct err *e)
{
    jw_array(&c->out);
    for (size_t i = 0; i < storage_mgr_count(c->api->storages); i++) {
        const struct storage *s = storage_mgr_at(c->api->storages, i)->storage;
        if (api_may_see_storage(c, storage_name(s)) && (!a->type || streq(a->type, storage_type(s))))
            write_config(&c->out, s);
    }
    jw_array_end(&c->out);
    return 0;
}

static int missing(const char *id, struct err *e)
{
    return err_set(e, -ENOENT, "storage.missing", "storage '%.64s' does not exist", id);
}

int api_storage_get(struct api_call *c, const struct api_storage_get_args *a, struct err *e)
{
    const struct storage_entry *s = storage_mgr_find(c->api->storages, a->storage);

    if (!s)
        return missing(a->storage, e);
    write_config(&c->out, s->storage);
    return 0;
}

static void write_formats(struct jw *w, const struct storage *s)
{
    jw_key(w, "formats");
    jw_object(w);
    jw_kv_str(w, "default", volume_format_name(storage_default_format(s)));
    jw_key(w, "supported");
    jw_array(w);
    if (storage_has_format(s, VOLUME_RAW))
        jw_str(w, "raw");
    if (storage_has_format(s, VOLUME_QCOW2))
        jw_str(w, "qcow2");
    jw_array_end(w);
    jw_object_end(w);
}

static void write_status(struct jw *w, const struct storage *s, const struct storage_space *space, bool is_active)
{
    char content[96];

    storage_contents_format(storage_contents(s), content, sizeof(content));
    jw_kv_str(w, "type", storage_type(s));
    jw_kv_str(w, "content", content);
    jw_kv_int(w, "enabled", storage_is_enabled(s));
    jw_kv_int(w, "active", is_active);
    jw_kv_int(w, "shared", storage_is_shared(s));
    jw_kv_u64(w, "total", is_active ? space->total_bytes : 0);
    jw_kv_u64(w, "used", is_active ? space->used_bytes : 0);
    jw_kv_u64(w, "avail", is_active ? space->available_bytes : 0);
}

int api_node_storage_list(struct api_call *c, const struct api_node_storage_list_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    jw_array(&c->out);
    for (size_t i = 0; i < storage_mgr_count(c->api->storages); i++) {
        const struct storage_entry *en = storage_mgr_at(c->api->storages, i);
        const struct storage *s = en->storage;
        if (!api_may_see_storage(c, storage_name(s)) || !has_all_contents(s, a->content) ||
            (a->storage && !streq(a->storage, storage_name(s))) || (a->enabled && !storage_is_enabled(s)) ||
            (a->target && !streq(a->target, c->api->node)) || !storage_is_on_node(s, c->api->node))
            continue;
        jw_object(&c->out);
        jw_kv_str(&c->out, "storage", storage_name(s));
        write_status(&c->out, s, &en->space, en->is_active);
        if (en->is_active && en->space.total_bytes)
            jw_kv_num(&c->out, "used_fraction", (double)en->space.used_bytes / (double)en->space.total_bytes);
        if (a->format)
            write_formats(&c->out, s);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

int api_node_storage_index(struct api_call *c, const struct api_node_storage_index_args *a, struct err *e)
{
    static const char *const names[] = {"content", "download-url", "prunebackups", "rrddata",
                                        "status",  "upload",       "uploads",      NULL};
    int r = api_check_node(c, a->node, e);

    if (r == 0 && !storage_mgr_find(c->api->storages, a->storage))
        r = missing(a->storage, e);
    return r < 0 ? r : api_reply_index(c, "subdir", names);
}

/* A question to one storage, asked in a pool thread. */
struct query {
    struct storage *storage;
    struct storage_space space;
    uint32_t contents, vmid;
    struct buf list; /* JSON items */
    struct jw w;
};

static int query_new(struct api_call *c, const char *node, const char *id, struct query **ret, struct err *e)
{
    struct query *q = arena_alloc(&c->arena, sizeof(*q));
    int r = q ? api_check_node(c, node, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0)
        r = storage_mgr_ref(c->api->storages, id, &q->storage, e);
    if (r == 0)
        *ret = q;
    return r;
}

static int work_status(void *ctx, struct err *e)
{
    struct query *q = ctx;

    return storage_space_get(q->storage, &q->space, e);
}

static int finish_status(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct query *q = ctx;

    jw_object(&c->out);
    write_status(&c->out, q->storage, &q->space, r == 0);
    jw_object_end(&c->out);
    storage_unref(q->storage);
    return 0;
}

int api_node_storage_status(struct api_call *c, const struct api_node_storage_status_args *a, struct err *e)
{
    struct query *q = NULL;
    int r = query_new(c, a->node, a->storage, &q, e);

    return r < 0 ? r : api_offload(c, work_status, finish_status, q);
}

/* "iso", "raw", "qcow2", "tgz" …: what PVE calls the format of a volume. */
const char *storage_format_name(const struct volume_info *v)
{
    const char *dot = strrchr(v->id.name, '.');

    switch (v->id.content) {
    case STORAGE_CONTENT_iso:
        return "iso";
    case STORAGE_CONTENT_snippets:
        return "snippet";
    case STORAGE_CONTENT_vztmpl:
    case STORAGE_CONTENT_backup:
        return str_ends(v->id.name, ".tar.gz")   ? "tgz"
               : str_ends(v->id.name, ".tar.xz") ? "txz"
               : dot                             ? dot + 1
                                                 : "tar";
    case STORAGE_CONTENT_images:
    case STORAGE_CONTENT_rootdir:
    case STORAGE_CONTENT_import:
        return v->id.format == VOLUME_OTHER && dot ? dot + 1 : volume_format_name(v->id.format);
    case STORAGE_CONTENT_boot:
        return "raw";
    }
    return "raw";
}

static int list_one(void *arg, const struct volume_info *v)
{
    struct query *q = arg;
    char id[VOLUME_ID_MAX + 1];
    struct volume_note note = {0};
    struct err ignored = ERR_INIT;

    volume_id_format(&v->id, id, sizeof(id));
    jw_object(&q->w);
    jw_kv_str(&q->w, "volid", id);
    jw_kv_str(&q->w, "content", storage_content_name(v->id.content));
    jw_kv_str(&q->w, "format", storage_format_name(v));
    jw_kv_u64(&q->w, "size", v->size_bytes);
    if (v->id.content == STORAGE_CONTENT_images)
        jw_kv_u64(&q->w, "used", v->used_bytes);
    if (v->id.vmid)
        jw_kv_int(&q->w, "vmid", v->id.vmid);
    jw_kv_int(&q->w, "ctime", v->ctime_s > 0 ? v->ctime_s : 0);
    if (volume_note_get(q->storage, &v->id, &note, &ignored) == 0 && note.notes[0])
        jw_kv_str(&q->w, "notes", note.notes);
    if (note.is_protected)
        jw_kv_int(&q->w, "protected", 1);
    jw_object_end(&q->w);
    return q->list.is_failed ? -EFBIG : 0;
}

static int work_list(void *ctx, struct err *e)
{
    struct query *q = ctx;

    buf_init(&q->list, 16u * 1024u * 1024u);
    jw_init(&q->w, &q->list);
    jw_array(&q->w);
    int r = volume_list(q->storage, q->contents, q->vmid, list_one, q, e);
    jw_array_end(&q->w);
    return r;
}

static int finish_list(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct query *q = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(&q->list), q->list.len);
    buf_done(&q->list);
    storage_unref(q->storage);
    return r;
}

int api_node_storage_content(struct api_call *c, const struct api_node_storage_content_args *a, struct err *e)
{
    struct query *q = NULL;
    uint32_t mask = ~0u;

    if (a->content && storage_contents_parse(a->content, &mask, e) < 0)
        return api_param_error(c, e, "content", "invalid content type '%s'", a->content);
    int r = query_new(c, a->node, a->storage, &q, e);
    if (r < 0)
        return r;
    q->contents = storage_contents(q->storage) & mask;
    q->vmid = a->has_vmid ? (uint32_t)a->vmid : 0;
    return api_offload(c, work_list, finish_list, q);
}

/* ---- upload: client -> holm-front -> pipe -> holm-worker -> anonymous file -> name ---- */

struct upload {
    struct api_call *call;
    struct storage *storage;
    struct volume_id volume;
    int file_fd;
    bool is_sent, is_received; /* both ends have spoken */
    int send_result, receive_result;
    struct err err;
    char checksum[200];
};

static void upload_free(struct upload *u)
{
    if (u->file_fd >= 0) {
        volume_receive_abort(u->storage, &u->volume, u->file_fd);
        close(u->file_fd);
    }
    storage_unref(u->storage);
    free(u);
}

static int work_finish(void *ctx, struct err *e)
{
    struct upload *u = ctx;
    int r = volume_receive_finish(u->storage, &u->volume, u->file_fd, true, e);

    if (r == 0) {
        close(u->file_fd);
        u->file_fd = -EBADF;
    }
    return r;
}

static void task_of_upload(struct task *t, void *arg)
{
    struct upload *u = arg;

    task_log(t, "target: %s, %s", storage_name(u->storage), u->volume.name);
    task_end(t, 0, NULL);
}

static void upload_task_ended(struct task *t, void *arg, int r, const struct err *e)
{
    upload_free(arg);
}

/* Clients expect the UPID of an imgcopy task: it records what happened, the work is done already. */
static int finish_upload(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct upload *u = ctx;
    struct task *t = NULL;
    struct task_spec spec = {.type = "imgcopy",
                             .id = "",
                             .user = api_user(c),
                             .begin = task_of_upload,
                             .ended = upload_task_ended,
                             .arg = u};

    if (r == 0)
        r = task_start(c->api->tasks, &spec, &t, e);
    if (r < 0)
        upload_free(u);
    return api_reply_task(c, r, t);
}

static void upload_step(struct upload *u)
{
    struct api_call *c = u->call;
    struct err e = u->err;

    if (!u->is_sent || !u->is_received)
        return;
    int r = u->receive_result < 0 ? u->receive_result : u->send_result;
    if (c->is_revoked) {
        r = err_set(&e, -EPERM, "auth.denied", "Permission check failed (it was taken away during the upload)");
    } else if (r < 0) {
        if (u->receive_result == 0)
            err_set(&e, r, "upload.aborted", "the upload was interrupted");
    }
    if (r < 0) {
        upload_free(u);
        api_finish(c, r, &e);
        return;
    }
    api_offload(c, work_finish, finish_upload, u);
}

static void on_received(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct upload *u = arg;

    u->is_received = true;
    u->receive_result = r;
    u->err = *e;
    upload_step(u);
}

static void on_sent(struct api_call *c, int result, void *arg)
{
    struct upload *u = arg;

    u->is_sent = true;
    u->send_result = result;
    upload_step(u);
}

static int begin_receive(struct upload *u, int pipe_fds[2], struct err *e)
{
    struct worker_request q = {.verb = "receive",
                               .fds = {-1, u->file_fd},
                               .n_fds = 2,
                               .total_bytes = UPLOAD_MAX_BYTES,
                               .timeout_ms = 24u * 3600u * 1000u};

    if (u->checksum[0])
        q.args[q.n_args++] = u->checksum;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    q.fds[0] = pipe_fds[0];
    int r = workers_call(u->call->api->workers, &q, on_received, u, e);
    close(pipe_fds[0]);
    if (r < 0)
        close(pipe_fds[1]);
    return r;
}

static int work_begin(void *ctx, struct err *e)
{
    struct upload *u = ctx;

    return volume_receive_begin(u->storage, &u->volume, &u->file_fd, e);
}

static int finish_begin(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct upload *u = ctx;
    int pipe_fds[2];

    if (r == 0)
        r = begin_receive(u, pipe_fds, e);
    if (r < 0) {
        upload_free(u);
        return r;
    }
    c->on_upload_done = on_sent;
    c->on_upload_arg = u;
    c->ops->upload(c, pipe_fds[1]);
    close(pipe_fds[1]);
    return API_LATER;
}

static int upload_volume(struct api_call *c, const struct api_node_storage_upload_args *a, struct upload *u,
                         struct err *e)
{
    char id[VOLUME_ID_MAX + 64];
    const char *name = c->file_name;

    if (!name || !*name)
        return api_param_error(c, e, "filename", "the file part has no name");
    const char *slash = strrchr(name, '/');
    snprintf(id, sizeof(id), "%s:%s/%s", a->storage, a->content, slash ? slash + 1 : name);
    if (strlen(name) > VOLUME_NAME_MAX || volume_id_parse(id, &u->volume, e) < 0)
        return api_param_error(c, e, "filename", "wrong file extension or illegal characters in the file name");
    if (!(storage_contents(u->storage) & u->volume.content))
        return err_set(e, -EINVAL, "storage.content", "storage '%s' does not support '%s' content", a->storage,
                       a->content);
    if (a->checksum && !a->checksum_algorithm)
        return api_param_error(c, e, "checksum-algorithm", "missing property required by 'checksum'");
    if (a->checksum)
        snprintf(u->checksum, sizeof(u->checksum), "%s:%s", a->checksum_algorithm, a->checksum);
    return 0;
}

int api_node_storage_upload(struct api_call *c, const struct api_node_storage_upload_args *a, struct err *e)
{
    struct upload *u;
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    u = calloc(1, sizeof(*u));
    if (!u)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    u->call = c;
    u->file_fd = -EBADF;
    r = storage_mgr_ref(c->api->storages, a->storage, &u->storage, e);
    if (r == 0)
        r = upload_volume(c, a, u, e);
    if (r < 0) {
        if (u->storage)
            storage_unref(u->storage);
        free(u);
        return r;
    }
    return api_offload(c, work_begin, finish_begin, u);
}
