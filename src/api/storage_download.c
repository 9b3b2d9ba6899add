/* Downloads: POST download-url, GET query-url-metadata, and storage_download for templates. PVE: pve-storage,
 * API2/Storage/Status.pm. holm-fetch talks to the server and writes into an anonymous file of the storage; holmd reads
 * no byte of it, and gives the file its name when holm-fetch says that all of it is there and right. Whatever ends
 * earlier (an error, an abort, a kill of either) leaves nothing. */
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "api/storage_common.h"
#include "base/clock.h"
#include "task/pool.h"
#include "task/workers.h"

#define DOWNLOAD_MAX_BYTES  (UINT64_C(16) << 40)
#define DOWNLOAD_TIMEOUT_MS (24u * 3600u * 1000u)
#define QUERY_TIMEOUT_MS    60000u
#define LOG_EVERY_MS        5000u
#define CA_OWN              "etc/download-ca.pem" /* below the root: instead of the system's authorities */
#define CA_SYSTEM           "/etc/ssl/certs/ca-certificates.crt"

struct download {
    struct api *api;
    struct task *task;
    struct storage *storage;
    struct volume_id volume;
    char *url, *checksum, *compression;
    bool is_local_allowed, is_insecure;
    int file_fd, ca_fd, abort_fd;
    uint64_t limit_bytes;
    _Atomic uint64_t done_bytes, total_bytes; /* written by the worker's thread */
    struct event *timer;
    uint64_t logged_ms;
    int r;
    struct err err;
};

static void download_free(struct download *d)
{
    if (d->timer)
        event_free(d->timer);
    if (d->file_fd >= 0)
        close(d->file_fd);
    if (d->ca_fd >= 0)
        close(d->ca_fd);
    if (d->abort_fd >= 0)
        close(d->abort_fd);
    if (d->storage)
        storage_unref(d->storage);
    free(d->url);
    free(d->checksum);
    free(d->compression);
    free(d);
}

int storage_open_authorities(const char *root_dir, struct err *e)
{
    char own[4200];

    snprintf(own, sizeof(own), "%s/" CA_OWN, root_dir);
    int fd = open(own, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fd = open(CA_SYSTEM, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_errno(e, errno, "open %s", CA_SYSTEM) : fd;
}

/* ---- steps; each ends with the next one or with the task ---- */

static void leave_work(void *ctx)
{
    struct download *d = ctx;

    volume_receive_abort(d->storage, &d->volume, d->file_fd);
    close(TAKE_FD(d->file_fd));
}

static void finish_task(void *ctx)
{
    struct download *d = ctx;

    task_end(d->task, d->r, &d->err);
}

static void fail(struct download *d, int r, const struct err *why)
{
    struct err ignored = ERR_INIT;

    d->r = r;
    if (why != &d->err)
        d->err = *why;
    if (d->file_fd < 0 || pool_submit(d->api->pool, leave_work, finish_task, d, &ignored) < 0)
        finish_task(d);
}

static void publish_work(void *ctx)
{
    struct download *d = ctx;

    /* On failure nothing stays of it. */
    d->r = volume_receive_finish(d->storage, &d->volume, d->file_fd, d->checksum != NULL, &d->err);
    close(TAKE_FD(d->file_fd));
}

static void publish_done(void *ctx)
{
    struct download *d = ctx;

    if (d->r == 0)
        task_log(d->task, "download of '%s' to '%s/%s' finished", d->url, storage_path(d->storage), d->volume.name);
    finish_task(d);
}

static void on_fetched(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct download *d = arg;
    struct err why = ERR_INIT;

    event_del(d->timer);
    if (r < 0) {
        fail(d, r, e);
        return;
    }
    task_progress(d->task, "", a->done_bytes, a->done_bytes);
    task_log(d->task, "%" PRIu64 " bytes received%s", a->done_bytes, d->checksum ? ", checksum verified" : "");
    if (pool_submit(d->api->pool, publish_work, publish_done, d, &why) < 0)
        fail(d, why.num, &why);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct download *d = arg;
    uint64_t done = atomic_load(&d->done_bytes), total = atomic_load(&d->total_bytes), now = clock_boot_ms();

    task_progress(d->task, "download", done, total);
    if (!done || now - d->logged_ms < LOG_EVERY_MS)
        return;
    d->logged_ms = now;
    if (total)
        task_log(d->task, "%" PRIu64 " of %" PRIu64 " MiB (%u%%)", done >> 20, total >> 20,
                 (unsigned)(done * 100 / total));
    else
        task_log(d->task, "%" PRIu64 " MiB", done >> 20);
}

static void on_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
    struct download *d = arg;

    atomic_store(&d->done_bytes, done_bytes);
    atomic_store(&d->total_bytes, total_bytes <= UINT64_MAX / 100 ? total_bytes : 0);
}

static const char *flags_of(bool is_local_allowed, bool is_insecure)
{
    return is_local_allowed ? (is_insecure ? "local,insecure" : "local") : is_insecure ? "insecure" : "";
}

static int fetch(struct download *d, struct err *e)
{
    struct timeval second = {.tv_sec = 1};
    struct worker_request q = {.verb = "get",
                               .args = {d->url, d->checksum ? d->checksum : "", d->compression ? d->compression : "",
                                        flags_of(d->is_local_allowed, d->is_insecure)},
                               .n_args = 4,
                               .fds = {d->ca_fd, d->file_fd},
                               .n_fds = 2,
                               .total_bytes = d->limit_bytes,
                               .timeout_ms = DOWNLOAD_TIMEOUT_MS,
                               .abort_fd = d->abort_fd,
                               .progress = on_progress};

    d->logged_ms = clock_boot_ms();
    d->timer = event_new(d->api->base, -1, EV_PERSIST, on_timer, d);
    if (!d->timer || event_add(d->timer, &second) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return workers_call(d->api->fetchers, &q, on_fetched, d, e);
}

static int open_all(struct download *d, struct err *e)
{
    struct storage_space space = {0};
    struct volume_info info;
    struct err ignored = ERR_INIT;

    if (!d->checksum && volume_stat(d->storage, &d->volume, &info, &ignored) == 0)
        return err_set(e, -EEXIST, "volume.exists", "refusing to override existing file '%s'", d->volume.name);
    int r = volume_receive_begin(d->storage, &d->volume, &d->file_fd, e);
    if (r == 0)
        r = storage_space_get(d->storage, &space, e);
    if (r < 0)
        return r;
    /* A sixteenth stays for the guests whose disks lie here. */
    d->limit_bytes = space.available_bytes - space.available_bytes / 16;
    if (d->limit_bytes > DOWNLOAD_MAX_BYTES)
        d->limit_bytes = DOWNLOAD_MAX_BYTES;
    if (!d->limit_bytes)
        return err_set(e, -ENOSPC, "storage.full", "no space left on storage '%s'", storage_name(d->storage));
    d->ca_fd = storage_open_authorities(d->api->root_dir, e);
    return d->ca_fd < 0 ? d->ca_fd : 0;
}

static void open_work(void *ctx)
{
    struct download *d = ctx;

    d->r = open_all(d, &d->err);
}

static void open_done(void *ctx)
{
    struct download *d = ctx;
    struct err e = ERR_INIT;

    if (d->r < 0)
        fail(d, d->r, &d->err);
    else if (fetch(d, &e) < 0)
        fail(d, e.num, &e);
}

static void download_begin(struct task *t, void *arg)
{
    struct download *d = arg;
    struct err e = ERR_INIT;

    d->task = t;
    task_log(t, "downloading %s to %s/%s", d->url, storage_path(d->storage), d->volume.name);
    if (pool_submit(d->api->pool, open_work, open_done, d, &e) < 0)
        task_end(t, e.num, &e);
}

static void download_abort(struct task *t, void *arg)
{
    struct download *d = arg;

    eventfd_write(d->abort_fd, 1);
    workers_skip(d->api->fetchers, d);
}

static void download_ended(struct task *t, void *arg, int r, const struct err *e)
{
    download_free(arg);
}

/* ---- the request ---- */

static int check_url(struct api_call *c, const char *url, struct err *e)
{
    const char *rest = str_starts(url, "https://") ? url + 8 : str_starts(url, "http://") ? url + 7 : NULL;

    if (!rest)
        return api_param_error(c, e, "url", "only http and https addresses are fetched");
    if (strlen(url) > 1000)
        return api_param_error(c, e, "url", "value may only be 1000 characters long");
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return api_param_error(c, e, "url", "a character in it must be percent-encoded");
    if (memchr(rest, '@', strcspn(rest, "/?#")))
        return api_param_error(c, e, "url", "an address with a user name or password is not fetched");
    return 0;
}

/* Who may change this host may have it talk to itself. */
static bool may_go_local(struct api_call *c)
{
    return auth_has(c->api->auth, &c->who, "/", PRIV_M(SYS_MODIFY), false);
}

const char *storage_fetch_flags(struct api_call *c, bool is_insecure)
{
    return flags_of(may_go_local(c), is_insecure);
}

static int fill(struct api_call *c, const struct download_spec *spec, struct download *d, struct err *e)
{
    const char *id = arena_printf(&c->arena, "%s:%s/%s", spec->storage, spec->content, spec->name);

    if (!id || volume_id_parse(id, &d->volume, e) < 0)
        return api_param_error(c, e, "filename", "wrong file extension or illegal characters in the file name");
    int r = storage_mgr_ref(c->api->storages, spec->storage, &d->storage, e);
    if (r < 0)
        return r;
    if (!(storage_contents(d->storage) & d->volume.content))
        return err_set(e, -EINVAL, "storage.content", "storage '%s' is not configured for content-type '%s'",
                       spec->storage, spec->content);
    d->url = strdup(spec->url);
    d->checksum = spec->checksum ? strdup(spec->checksum) : NULL;
    d->compression = spec->compression ? strdup(spec->compression) : NULL;
    d->abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!d->url || (spec->checksum && !d->checksum) || (spec->compression && !d->compression) || d->abort_fd < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->is_local_allowed = may_go_local(c);
    d->is_insecure = spec->is_insecure;
    return 0;
}

int storage_download(struct api_call *c, const struct download_spec *spec, struct err *e)
{
    struct download *d = calloc(1, sizeof(*d));
    struct task *t = NULL;

    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->api = c->api;
    d->file_fd = d->ca_fd = d->abort_fd = -EBADF;
    int r = fill(c, spec, d, e);
    struct task_spec task = {.type = "download",
                             .id = r == 0 && strlen(d->volume.name) < 60 ? d->volume.name : "",
                             .user = api_user(c),
                             .begin = download_begin,
                             .abort = download_abort,
                             .ended = download_ended,
                             .arg = d};
    if (r == 0)
        r = task_start(c->api->tasks, &task, &t, e);
    if (r < 0)
        download_free(d);
    return api_reply_task(c, r, t);
}

/* gz and zst are unpacked on the way; PVE takes more. */
static int check_compression(struct api_call *c, const char *compression, const char *content, struct err *e)
{
    if (!compression)
        return 0;
    if (!streq(compression, "gz") && !streq(compression, "zst"))
        return api_param_error(c, e, "compression", "'%.16s' is not unpacked: gz or zst", compression);
    if (streq(content, "vztmpl"))
        return api_param_error(c, e, "compression", "decompression not supported for vztmpl");
    return 0;
}

int api_download_url(struct api_call *c, const struct api_download_url_args *a, struct err *e)
{
    struct download_spec spec = {.url = a->url,
                                 .storage = a->storage,
                                 .content = a->content,
                                 .name = a->filename,
                                 .compression = a->compression,
                                 .is_insecure = a->has_verify_certificates && !a->verify_certificates};
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = check_url(c, a->url, e);
    if (r == 0)
        r = check_compression(c, a->compression, a->content, e);
    if (r < 0)
        return r;
    if (!a->checksum != !a->checksum_algorithm)
        return api_param_error(c, e, a->checksum ? "checksum-algorithm" : "checksum",
                               "checksum and checksum-algorithm go together");
    if (a->checksum && !(spec.checksum = arena_printf(&c->arena, "%s:%s", a->checksum_algorithm, a->checksum)))
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (a->checksum && strlen(spec.checksum) > 140)
        return api_param_error(c, e, "checksum", "not a %s checksum", a->checksum_algorithm);
    return storage_download(c, &spec, e);
}

/* ---- query-url-metadata ---- */

struct question {
    int ca_fd;
    const char *url, *root_dir, *flags;
};

/* As PVE proposes it: what no volume may be called becomes '_'. */
static const char *propose_name(struct api_call *c, const char *text, size_t n)
{
    char *name = arena_strndup(&c->arena, text, n < 255 ? n : 255);

    for (char *p = name; p && *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *p))
            *p = '_';
    return name ? name : "";
}

static void on_answered(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct api_call *c = arg;
    struct err why = *e;
    uint64_t size = 0;

    if (r == 0 && a->n_bodies == 3) {
        const char *text = arena_strndup(&c->arena, a->bodies[0], a->body_len[0]);
        jw_object(&c->out);
        if (text && *text && str_to_u64(text, &size) == 0)
            jw_kv_u64(&c->out, "size", size);
        if (a->body_len[1]) {
            jw_key(&c->out, "mimetype");
            jw_strn(&c->out, a->bodies[1], a->body_len[1]);
        }
        if (a->body_len[2])
            jw_kv_str(&c->out, "filename", propose_name(c, a->bodies[2], a->body_len[2]));
        jw_object_end(&c->out);
    } else if (r == 0) {
        r = err_set(&why, -EPROTO, "work.answer", "a worker gave no answer");
    }
    api_finish(c, r, &why);
}

static int work_question(void *ctx, struct err *e)
{
    struct question *q = ctx;

    q->ca_fd = storage_open_authorities(q->root_dir, e);
    return q->ca_fd < 0 ? q->ca_fd : 0;
}

static int finish_question(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct question *k = ctx;

    if (r < 0)
        return r;
    struct worker_request q = {.verb = "head",
                               .args = {k->url, "", "", k->flags},
                               .n_args = 4,
                               .fds = {k->ca_fd},
                               .n_fds = 1,
                               .timeout_ms = QUERY_TIMEOUT_MS};
    r = workers_call(c->api->probers, &q, on_answered, c, e);
    close(k->ca_fd);
    return r < 0 ? r : API_LATER;
}

int api_query_url_metadata(struct api_call *c, const struct api_query_url_metadata_args *a, struct err *e)
{
    struct question *q = arena_alloc(&c->arena, sizeof(*q));
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = check_url(c, a->url, e);
    /* A page of another site may make a browser send this; it shall not look around here with somebody's rights. */
    if (r == 0 && c->is_cookie && !api_is_own_origin(c))
        r = err_set(e, -EPERM, "auth.denied", "Permission check failed (request of another site)");
    if (r == 0 && !q)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0)
        return r;
    *q = (struct question){.url = a->url,
                           .root_dir = c->api->root_dir,
                           .flags = storage_fetch_flags(c, a->has_verify_certificates && !a->verify_certificates)};
    return api_offload(c, work_question, finish_question, q);
}
