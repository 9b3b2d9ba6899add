/* /nodes/N/storage/S/uploads: files that are sent in pieces and can be taken up again. client -> holm-front -> pipe ->
 * holm-worker -> part of the storage, as an upload in one go (storage.c), but the bytes of each piece stay, and count
 * when they are durable: holm-worker has synced them and the row says so. A part is worked on by one at a time.
 *
 * Routes of Holm's own. A part is shown to who began it and to who administers the storage; for others it is not there.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <strings.h>

#include "api/storage_common.h"
#include "api/uploads.h"
#include "base/clock.h"
#include "task/pool.h"
#include "task/workers.h"

#define PIECE_MAX_BYTES   (UINT64_C(64) << 20)
#define PIECE_TIMEOUT_MS  (3600u * 1000u)
#define VERIFY_TIMEOUT_MS (24u * 3600u * 1000u)

/* The work owns ctx, result included, from the moment it is submitted; r and err are what done reads of it. */
static void submit(struct api *api, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx, int *r,
                   struct err *err)
{
    struct err e = ERR_INIT;

    if (pool_submit(api->pool, work, done, ctx, &e) == 0)
        return;
    *r = e.num;
    *err = e;
    done(ctx);
}

static bool is_admin(struct api_call *c, const char *storage)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", storage);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(DATASTORE_ALLOCATE), false);
}

static bool may_see(struct api_call *c, const struct upload_part *p)
{
    return streq(p->user, c->who.user) || is_admin(c, p->volume.storage);
}

static void write_part(struct jw *w, const struct upload_part *p)
{
    char volid[VOLUME_ID_MAX + 1];

    volume_id_format(&p->volume, volid, sizeof(volid));
    jw_object(w);
    jw_kv_str(w, "id", p->id);
    jw_kv_str(w, "volid", volid);
    jw_kv_str(w, "content", storage_content_name(p->volume.content));
    jw_kv_str(w, "filename", p->volume.name);
    jw_kv_str(w, "user", p->user);
    jw_kv_u64(w, "size", p->size_bytes);
    jw_kv_u64(w, "received", p->received_bytes);
    jw_kv_str(w, "sha256", p->sha256);
    jw_kv_int(w, "expires", p->at_s + UPLOAD_LIFE_S);
    if (p->is_busy)
        jw_kv_int(w, "busy", 1);
    jw_object_end(w);
}

static int find(struct api_call *c, const char *node, const char *storage, const char *id, struct upload_part **ret,
                struct err *e)
{
    int r = api_check_node(c, node, e);
    struct upload_part *p = r == 0 ? uploads_find(c->api->uploads, storage, id) : NULL;

    if (r == 0 && (!p || !may_see(c, p)))
        r = err_set(e, -ENOENT, "upload.missing", "no such upload on storage '%s'", storage);
    if (r == 0)
        *ret = p;
    return r;
}

/* The same for who is going to change it; it is busy from now on, and the storage is referenced. */
static int take(struct api_call *c, const char *node, const char *storage, const char *id, struct upload_part **ret,
                struct storage **ret_storage, struct err *e)
{
    struct upload_part *p = NULL;
    int r = find(c, node, storage, id, &p, e);

    if (r == 0 && p->is_busy)
        r = err_set(e, -EBUSY, "upload.busy", "somebody is sending to this upload just now");
    if (r == 0)
        r = storage_mgr_ref(c->api->storages, storage, ret_storage, e);
    if (r < 0)
        return r;
    p->is_busy = true;
    *ret = p;
    return 0;
}

/* ---- GET ---- */

int api_uploads_list(struct api_call *c, const struct api_uploads_list_args *a, struct err *e)
{
    struct uploads *u = c->api->uploads;
    int r = api_check_node(c, a->node, e);

    if (r == 0 && !storage_mgr_find(c->api->storages, a->storage))
        r = err_set(e, -ENOENT, "storage.missing", "storage '%.64s' does not exist", a->storage);
    if (r < 0)
        return r;
    jw_array(&c->out);
    for (struct upload_part *p = uploads_next(u, a->storage, NULL); p; p = uploads_next(u, a->storage, p))
        if (may_see(c, p))
            write_part(&c->out, p);
    jw_array_end(&c->out);
    return 0;
}

int api_uploads_get(struct api_call *c, const struct api_uploads_get_args *a, struct err *e)
{
    struct upload_part *p = NULL;
    int r = find(c, a->node, a->storage, a->id, &p, e);

    if (r == 0)
        write_part(&c->out, p);
    return r;
}

/* ---- POST: begin ---- */

/* "sha256:HEX" into dst; "" without a checksum. */
static int read_checksum(struct api_call *c, const char *checksum, const char *algorithm, char dst[160], struct err *e)
{
    static const struct {
        const char *name;
        size_t len;
    } algorithms[] = {{"md5", 32}, {"sha1", 40}, {"sha224", 56}, {"sha256", 64}, {"sha384", 96}, {"sha512", 128}};

    dst[0] = 0;
    if (!checksum && !algorithm)
        return 0;
    if (!checksum || !algorithm)
        return api_param_error(c, e, checksum ? "checksum-algorithm" : "checksum",
                               "checksum and checksum-algorithm go together");
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        if (!streq(algorithms[i].name, algorithm))
            continue;
        if (strlen(checksum) != algorithms[i].len || strspn(checksum, "0123456789abcdefABCDEF") != algorithms[i].len)
            return api_param_error(c, e, "checksum", "a %s checksum has %zu hexadecimal digits", algorithm,
                                   algorithms[i].len);
        snprintf(dst, 160, "%s:%s", algorithm, checksum);
        return 0;
    }
    return api_param_error(c, e, "checksum-algorithm", "'%.20s' is not known", algorithm);
}

struct beginning {
    struct api_call *call;
    struct storage *storage;
    struct upload_part *part;
    int r;
    struct err err;
};

static void begin_end(struct beginning *b, int r, const struct err *e)
{
    struct api_call *c = b->call;

    if (r == 0) {
        uploads_release(c->api->uploads, b->part);
        write_part(&c->out, b->part);
    }
    storage_unref(b->storage);
    api_finish(c, r, e); /* e may be b's */
    free(b);
}

static void on_not_begun(void *arg, int r, const struct err *e)
{
    struct beginning *b = arg;

    begin_end(b, b->r, &b->err);
}

static void on_begun(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct beginning *b = arg;

    if (r == 0) {
        begin_end(b, 0, e);
        return;
    }
    b->r = r;
    b->err = *e;
    uploads_remove(b->call->api->uploads, b->part, on_not_begun, b);
}

static void begin_work(void *ctx)
{
    struct beginning *b = ctx;
    struct storage_space space = {0};

    b->r = storage_space_get(b->storage, &space, &b->err);
    if (b->r == 0 && b->part->size_bytes > space.available_bytes)
        b->r = err_set(&b->err, -ENOSPC, "storage.full",
                       "storage '%s' is full: the file has %" PRIu64 " bytes, %" PRIu64 " are free",
                       storage_name(b->storage), b->part->size_bytes, space.available_bytes);
    if (b->r == 0)
        b->r = volume_part_create(b->storage, &b->part->volume, b->part->id, &b->err);
}

static void begin_done(void *ctx)
{
    struct beginning *b = ctx;

    if (b->r == 0) {
        uploads_save(b->call->api->uploads, b->part, on_begun, b);
        return;
    }
    uploads_remove(b->call->api->uploads, b->part, on_not_begun, b);
}

static int check_file(struct api_call *c, const struct api_uploads_begin_args *a, struct storage *s,
                      struct volume_id *ret, struct err *e)
{
    const char *id = arena_printf(&c->arena, "%s:%s/%s", a->storage, a->content, a->filename);

    if (!id || volume_id_parse(id, ret, e) < 0)
        return api_param_error(c, e, "filename", "wrong file extension or illegal characters in the file name");
    if (!(storage_contents(s) & ret->content))
        return err_set(e, -EINVAL, "storage.content", "storage '%s' does not support '%s' content", a->storage,
                       a->content);
    return 0;
}

static int prepare(struct api_call *c, const struct api_uploads_begin_args *a, struct beginning *b, struct err *e)
{
    struct volume_id volume;
    char checksum[160];
    int r = read_checksum(c, a->checksum, a->checksum_algorithm, checksum, e);

    if (r == 0)
        r = storage_mgr_ref(c->api->storages, a->storage, &b->storage, e);
    if (r == 0)
        r = check_file(c, a, b->storage, &volume, e);
    if (r == 0)
        r = uploads_add(c->api->uploads, &volume, c->who.user, b->storage, &b->part, e);
    if (r < 0)
        return r;
    b->part->size_bytes = (uint64_t)a->size;
    snprintf(b->part->checksum, sizeof(b->part->checksum), "%s", checksum);
    return 0;
}

int api_uploads_begin(struct api_call *c, const struct api_uploads_begin_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct beginning *b = r == 0 ? calloc(1, sizeof(*b)) : NULL;

    if (!b)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    b->call = c;
    r = prepare(c, a, b, e);
    if (r < 0) {
        if (b->storage)
            storage_unref(b->storage);
        free(b);
        return r;
    }
    submit(c->api, begin_work, begin_done, b, &b->r, &b->err);
    return API_LATER;
}

/* ---- PUT: a piece ---- */

struct piece {
    struct api_call *call;
    struct storage *storage;
    struct upload_part *part;
    int fd;
    bool is_sent, is_received; /* both ends have spoken */
    int send_result, r;
    struct err err;
    uint64_t done_bytes, before_bytes;
    int64_t before_s;
    char sha256[65], digest[256], before_sha256[65], before_digest[256];
};

static void piece_end(struct piece *p, int r, const struct err *e)
{
    struct api_call *c = p->call;

    uploads_release(c->api->uploads, p->part);
    if (r == 0)
        write_part(&c->out, p->part);
    if (p->fd >= 0)
        close(p->fd);
    storage_unref(p->storage);
    api_finish(c, r, e); /* e may be p's */
    free(p);
}

/* What came is kept, whatever the sender has to be told. */
static void piece_answer(struct piece *p)
{
    struct err e = ERR_INIT;
    int r = 0;

    if (p->call->is_revoked)
        r = err_set(&e, -EPERM, "auth.denied", "Permission check failed (it was taken away during the upload)");
    else if (p->send_result < 0)
        r = err_set(&e, p->send_result, "upload.aborted", "the upload was interrupted");
    piece_end(p, r, &e);
}

static void on_piece_saved(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct piece *p = arg;
    struct upload_part *u = p->part;

    if (r == 0) {
        piece_answer(p);
        return;
    }
    u->received_bytes = p->before_bytes;
    u->at_s = p->before_s;
    memcpy(u->sha256, p->before_sha256, sizeof(u->sha256));
    memcpy(u->digest, p->before_digest, sizeof(u->digest));
    piece_end(p, r, e);
}

static void piece_save(struct piece *p)
{
    struct upload_part *u = p->part;

    if (!p->done_bytes) {
        piece_answer(p);
        return;
    }
    p->before_bytes = u->received_bytes;
    p->before_s = u->at_s;
    memcpy(p->before_sha256, u->sha256, sizeof(u->sha256));
    memcpy(p->before_digest, u->digest, sizeof(u->digest));
    u->received_bytes += p->done_bytes;
    u->at_s = clock_wall_s();
    memcpy(u->sha256, p->sha256, sizeof(u->sha256));
    memcpy(u->digest, p->digest, sizeof(u->digest));
    uploads_save(p->call->api->uploads, u, on_piece_saved, p);
}

/* A piece that failed takes no space; if this fails too, the next one cuts it. */
static void cut_work(void *ctx)
{
    struct piece *p = ctx;

    (void)!ftruncate(p->fd, (off_t)p->part->received_bytes);
}

static void cut_done(void *ctx)
{
    struct piece *p = ctx;

    piece_end(p, p->r, &p->err);
}

static void piece_step(struct piece *p)
{
    struct err ignored = ERR_INIT;

    if (!p->is_sent || !p->is_received)
        return;
    if (p->r == 0)
        piece_save(p);
    else if (pool_submit(p->call->api->pool, cut_work, cut_done, p, &ignored) < 0)
        cut_done(p);
}

/* "SHA256 STATE", see verb_append.c. */
static int take_answer(struct piece *p, const struct worker_reply *a, struct err *e)
{
    const char *blank = strchr(a->text, ' ');
    uint64_t most = p->part->size_bytes - p->part->received_bytes;

    if (!blank || blank - a->text != 64 || str_copy(p->digest, sizeof(p->digest), blank + 1) < 0 ||
        a->done_bytes > most)
        return err_set(e, -EPROTO, "work.answer", "a worker gave no answer");
    snprintf(p->sha256, sizeof(p->sha256), "%.64s", a->text);
    p->done_bytes = a->done_bytes;
    return 0;
}

static void on_received(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct piece *p = arg;

    p->is_received = true;
    p->err = *e;
    p->r = r < 0 ? r : take_answer(p, a, &p->err);
    if (p->r == -ENOSPC || p->r == -EDQUOT)
        err_set(&p->err, p->r, "storage.full", "storage '%s' is full", storage_name(p->storage));
    piece_step(p);
}

static void on_sent(struct api_call *c, int result, void *arg)
{
    struct piece *p = arg;

    p->is_sent = true;
    p->send_result = result;
    piece_step(p);
}

static int begin_receive(struct piece *p, int pipe_fds[2], struct err *e)
{
    const struct upload_part *u = p->part;
    uint64_t left = u->size_bytes - u->received_bytes;
    char begin[24];
    struct worker_request q = {.verb = "append",
                               .args = {begin, u->digest},
                               .n_args = 2,
                               .n_fds = 2,
                               .total_bytes = u->received_bytes + (left < PIECE_MAX_BYTES ? left : PIECE_MAX_BYTES),
                               .timeout_ms = PIECE_TIMEOUT_MS};

    snprintf(begin, sizeof(begin), "%" PRIu64, u->received_bytes);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    q.fds[0] = pipe_fds[0];
    q.fds[1] = p->fd;
    int r = workers_call(p->call->api->workers, &q, on_received, p, e);
    close(pipe_fds[0]);
    if (r < 0)
        close(pipe_fds[1]);
    return r;
}

static void open_work(void *ctx)
{
    struct piece *p = ctx;

    p->r = volume_part_open(p->storage, &p->part->volume, p->part->id, p->part->received_bytes, &p->fd, &p->err);
}

static void open_done(void *ctx)
{
    struct piece *p = ctx;
    struct api_call *c = p->call;
    int pipe_fds[2];

    if (p->r == 0)
        p->r = begin_receive(p, pipe_fds, &p->err);
    if (p->r < 0) {
        piece_end(p, p->r, &p->err);
        return;
    }
    c->on_upload_done = on_sent;
    c->on_upload_arg = p;
    c->ops->upload(c, pipe_fds[1]);
    close(pipe_fds[1]);
}

static int check_offset(const struct upload_part *p, int64_t offset, struct err *e)
{
    if ((uint64_t)offset == p->received_bytes && p->received_bytes < p->size_bytes)
        return 0;
    return err_set(e, -ESPIPE, "upload.offset", "%" PRIu64 " of %" PRIu64 " bytes were received: a piece begins there",
                   p->received_bytes, p->size_bytes);
}

int api_uploads_append(struct api_call *c, const struct api_uploads_append_args *a, struct err *e)
{
    struct storage *storage = NULL;
    struct upload_part *part = NULL;
    int r = take(c, a->node, a->storage, a->id, &part, &storage, e);

    if (r < 0)
        return r;
    r = check_offset(part, a->offset, e);
    struct piece *p = r == 0 ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        uploads_release(c->api->uploads, part);
        storage_unref(storage);
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    }
    *p = (struct piece){.call = c, .storage = storage, .part = part, .fd = -EBADF};
    submit(c->api, open_work, open_done, p, &p->r, &p->err);
    return API_LATER;
}

/* ---- DELETE ---- */

static void on_deleted(void *arg, int r, const struct err *e)
{
    api_finish(arg, r, e);
}

int api_uploads_delete(struct api_call *c, const struct api_uploads_delete_args *a, struct err *e)
{
    struct storage *storage = NULL;
    struct upload_part *part = NULL;
    int r = take(c, a->node, a->storage, a->id, &part, &storage, e);

    if (r < 0)
        return r;
    storage_unref(storage);
    uploads_remove(c->api->uploads, part, on_deleted, c);
    return API_LATER;
}

/* ---- finish: checksums, then the name ---- */

struct finishing {
    struct api *api;
    struct task *task;
    struct storage *storage;
    struct upload_part *part; /* NULL: it is gone */
    char checksums[2][160];   /* of the beginning and of the end */
    size_t n_checked;
    int fd, r;
    struct err err;
};

static void finishing_free(struct finishing *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->part)
        uploads_release(f->api->uploads, f->part);
    storage_unref(f->storage);
    free(f);
}

static void finish_task(void *ctx)
{
    struct finishing *f = ctx;

    task_end(f->task, f->r, &f->err);
}

/* Neither the part nor its row: the result is there already. */
static void on_gone(void *arg, int r, const struct err *e)
{
    finish_task(arg);
}

static void publish_work(void *ctx)
{
    struct finishing *f = ctx;

    f->r = volume_part_finish(f->storage, &f->part->volume, f->part->id, f->fd, &f->err);
}

static void publish_done(void *ctx)
{
    struct finishing *f = ctx;

    if (f->r < 0) {
        finish_task(f);
        return;
    }
    task_log(f->task, "target: %s, %s", storage_name(f->storage), f->part->volume.name);
    uploads_forget(f->api->uploads, TAKE_PTR(f->part), on_gone, f);
}

static void check_next(struct finishing *f);

/* Bytes that are not what was announced are of no use to anybody. */
static void on_checked(struct finishing *f)
{
    if (f->r == 0)
        check_next(f);
    else if (streq(f->err.code, "image.checksum"))
        uploads_remove(f->api->uploads, TAKE_PTR(f->part), on_gone, f);
    else
        finish_task(f);
}

static void on_verified(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct finishing *f = arg;

    f->r = r;
    f->err = *e;
    on_checked(f);
}

static int verify(struct finishing *f, const char *checksum, struct err *e)
{
    struct worker_request q = {.verb = "verify",
                               .args = {checksum},
                               .n_args = 1,
                               .fds = {f->fd},
                               .n_fds = 1,
                               .total_bytes = f->part->size_bytes,
                               .timeout_ms = VERIFY_TIMEOUT_MS};

    if (lseek(f->fd, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "seek");
    return workers_call(f->api->workers, &q, on_verified, f, e);
}

/* The SHA-256 was computed on the way; for others the file is read again. */
static void check_next(struct finishing *f)
{
    while (f->r == 0 && f->n_checked < ARRAY_SIZE(f->checksums)) {
        const char *checksum = f->checksums[f->n_checked++];
        if (str_starts(checksum, "sha256:")) {
            if (strcasecmp(checksum + 7, f->part->sha256) != 0)
                f->r = err_set(&f->err, -EBADMSG, "image.checksum", "the checksum does not match what was received");
        } else if (*checksum) {
            f->r = verify(f, checksum, &f->err);
            if (f->r == 0)
                return;
        }
    }
    if (f->r == 0)
        submit(f->api, publish_work, publish_done, f, &f->r, &f->err);
    else
        on_checked(f);
}

static void prepare_work(void *ctx)
{
    struct finishing *f = ctx;

    f->r = volume_part_open(f->storage, &f->part->volume, f->part->id, f->part->size_bytes, &f->fd, &f->err);
}

static void prepare_done(void *ctx)
{
    struct finishing *f = ctx;

    if (f->r < 0)
        finish_task(f);
    else
        check_next(f);
}

static void finish_begin(struct task *t, void *arg)
{
    struct finishing *f = arg;

    f->task = t;
    submit(f->api, prepare_work, prepare_done, f, &f->r, &f->err);
}

static void finish_ended(struct task *t, void *arg, int r, const struct err *e)
{
    finishing_free(arg);
}

static int check_complete(const struct upload_part *p, struct err *e)
{
    if (p->received_bytes == p->size_bytes)
        return 0;
    return err_set(e, -EINVAL, "upload.incomplete", "only %" PRIu64 " of %" PRIu64 " bytes were received",
                   p->received_bytes, p->size_bytes);
}

int api_uploads_finish(struct api_call *c, const struct api_uploads_finish_args *a, struct err *e)
{
    struct finishing *f = calloc(1, sizeof(*f));
    struct task *t = NULL;
    struct task_spec spec = {
        .type = "imgcopy", .id = "", .user = api_user(c), .begin = finish_begin, .ended = finish_ended, .arg = f};

    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    f->api = c->api;
    f->fd = -EBADF;
    int r = read_checksum(c, a->checksum, a->checksum_algorithm, f->checksums[1], e);
    if (r == 0)
        r = take(c, a->node, a->storage, a->id, &f->part, &f->storage, e);
    if (r < 0) {
        free(f);
        return r;
    }
    snprintf(f->checksums[0], sizeof(f->checksums[0]), "%s", f->part->checksum);
    r = check_complete(f->part, e);
    if (r == 0)
        r = task_start(c->api->tasks, &spec, &t, e);
    if (r < 0)
        finishing_free(f);
    return api_reply_task(c, r, t);
}
