/* Steps of plans that move an image's data: volume.copy and volume.merge. Threads of long steps; see task.h.
 *
 * What is opened here, with the checks of volume_open_on, is handed to holm-block, which has no other way to a file.
 * A copy has no name until it is whole. A merge changes names once, at its end; before that, what the child and its
 * layer hold together does not change, however often it begins anew. */
#include "guest/block_steps.h"

#include <fcntl.h>

#include "base/fp.h"
#include "guest/import.h"

#define TIMEOUT_MS (7u * 24 * 3600 * 1000) /* holm-block ends by its job; this is for one that hangs */

struct images {
    struct volume_id ids[GUEST_IMAGES_MAX]; /* uppermost first */
    int fds[GUEST_IMAGES_MAX + 1];          /* theirs, and the target's */
    size_t n, n_fds;
};

static void images_free(struct images *m)
{
    for (size_t i = 0; m && i < m->n_fds; i++)
        close(m->fds[i]);
    free(m);
}

static void images_clean(struct images **m)
{
    images_free(*m);
}

#define autoimages __attribute__((cleanup(images_clean)))

static int fail_point(const char *name, struct err *e)
{
    return FP(name) ? err_set(e, -EIO, NULL, "fail point") : 0;
}

/* ---- arguments ---- */

static int take_volume(json_t *o, struct volume_id *ret, struct err *e)
{
    const char *text = json_string_value(json_object_get(o, "volume"));
    json_int_t layer = json_integer_value(json_object_get(o, "layer"));

    if (!text || layer < 0 || layer > VOLUME_LAYER_MAX)
        return err_set(e, -EINVAL, "task.step", "step without a volume");
    int r = volume_id_parse(text, ret, e);
    if (r == 0)
        ret->layer = (uint32_t)layer;
    return r;
}

static int add(struct images *m, const struct volume_id *v, struct err *e)
{
    if (m->n == GUEST_IMAGES_MAX) {
        err_set(e, -E2BIG, "image.chain", "a chain of more than %u images", GUEST_IMAGES_MAX);
        return err_hint(e, "delete some snapshots first");
    }
    m->ids[m->n++] = *v;
    return 0;
}

static int add_below(struct images *m, json_t *args, struct err *e)
{
    json_t *below = json_object_get(args, "below");
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_array_size(below); i++) {
        struct volume_id v;
        r = take_volume(json_array_get(below, i), &v, e);
        if (r == 0)
            r = add(m, &v, e);
    }
    return r;
}

/* ---- images ---- */

static int open_image(const struct guest_steps *steps, struct images *m, size_t i, bool is_read_only, struct err *e)
{
    struct volume_attachment a;
    struct storage *s;
    int r = storage_mgr_ref(steps->storages, m->ids[i].storage, &s, e);

    if (r < 0)
        return r;
    r = volume_open_on(s, &m->ids[i], i + 1 < m->n ? &m->ids[i + 1] : NULL, is_read_only, &a, e);
    storage_unref(s);
    if (r == 0)
        m->fds[m->n_fds++] = a.fd;
    return r;
}

/* The one that is written, if any, has this index. */
static int open_images(const struct guest_steps *steps, struct images *m, size_t written, struct err *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->n; i++)
        r = open_image(steps, m, i, i != written, e);
    return r;
}

/* ---- the program ---- */

struct outcome {
    int r;
    struct err err;
};

static void on_done(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct outcome *o = arg;

    o->r = r;
    o->err = *e;
}

static void on_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
    task_step_progress(done_bytes, total_bytes);
}

static int run_block(const struct guest_steps *steps, const char *verb, const struct images *m, const char *target,
                     uint64_t bwlimit, struct err *e)
{
    char limit[24];
    autobuf struct buf formats;
    struct outcome o = {.err = ERR_INIT};
    int abort_fd = task_step_abort_fd();

    buf_init(&formats, GUEST_IMAGES_MAX * 8);
    for (size_t i = 0; i < m->n; i++)
        buf_printf(&formats, "%s%s", i ? "," : "", volume_format_name(m->ids[i].format));
    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)bwlimit);
    struct worker_request q = {.verb = verb,
                               .args = {buf_str(&formats), limit, target},
                               .n_args = target ? 3 : 2,
                               .more_fds = m->fds,
                               .n_more_fds = m->n_fds,
                               .timeout_ms = TIMEOUT_MS,
                               .abort_fd = abort_fd > 0 ? abort_fd : 0,
                               .progress = on_progress};
    if (!steps->blocks || formats.is_failed)
        return err_set(e, -ENOSYS, "block.missing", "images cannot be copied here");
    int r = workers_call_blocking(steps->blocks, &q, on_done, &o, e);
    if (r == 0 && o.r < 0) {
        *e = o.err;
        r = o.r;
    }
    return r;
}

/* ---- volume.copy ---- */

/* 1: made; 0: it has to be copied. */
static int copy_by_reference(struct storage *s, const struct images *m, const struct volume_id *to, uint64_t size_bytes,
                             const char *mark, struct err *e)
{
    const struct volume_id *from = &m->ids[0];
    struct volume_info info;

    if (m->n > 1 || from->content != STORAGE_CONTENT_images || from->format != VOLUME_RAW || to->format != VOLUME_RAW ||
        !streq(from->storage, to->storage))
        return 0;
    int r = volume_stat(s, from, &info, e);
    if (r < 0 || info.size_bytes != size_bytes)
        return r;
    r = volume_fork(s, from, to, mark, e);
    if (r != -EOPNOTSUPP)
        return r < 0 ? r : 1;
    *e = (struct err)ERR_INIT;
    return 0;
}

/* Not a disk of a guest of ours: a file of the host, which has no name as a volume, or what somebody uploaded. */
static bool is_strange(const struct images *m)
{
    return !m->ids[0].name[0] || m->ids[0].content != STORAGE_CONTENT_images;
}

static int fill_copy(const struct guest_steps *steps, struct images *m, const struct volume_id *to, int fd,
                     uint64_t bwlimit, struct err *e)
{
    int r = m->n_fds ? 0 : open_images(steps, m, SIZE_MAX, e);

    if (r < 0)
        return r;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return err_errno(e, errno, "hand over a descriptor");
    m->fds[m->n_fds++] = own;
    r = run_block(steps, is_strange(m) ? "import" : "copy", m, volume_format_name(to->format), bwlimit, e);
    return r < 0 ? r : fail_point("guest.copy.filled", e);
}

static int copy_data(const struct guest_steps *steps, struct storage *s, struct images *m, const struct volume_id *to,
                     uint64_t size_bytes, uint64_t bwlimit, const char *mark, struct err *e)
{
    int fd, r = volume_make_begin(s, to, size_bytes, &fd, e);

    if (r < 0)
        return r;
    r = fill_copy(steps, m, to, fd, bwlimit, e);
    if (r < 0)
        volume_receive_abort(s, to, fd);
    else
        r = volume_make_finish(s, to, fd, mark, e);
    close(fd);
    return r;
}

/* The source is a file of the host, which is opened at once, or a volume. */
static int take_source(struct images *m, json_t *args, struct err *e)
{
    json_t *from = json_object_get(args, "from");
    const char *path = json_string_value(json_object_get(from, "path"));
    struct volume_attachment a;
    struct volume_id v = {.name = ""};
    int r = path ? import_open(path, &a, e) : take_volume(from, &v, e);

    if (r < 0)
        return r;
    if (path) {
        v.format = a.format;
        m->fds[m->n_fds++] = a.fd;
    }
    r = add(m, &v, e);
    return r < 0 || path ? r : add_below(m, args, e);
}

static int run_volume_copy(void *ctx, json_t *args, const char *mark, struct err *e)
{
    const struct guest_steps *steps = ctx;
    json_int_t size = json_integer_value(json_object_get(args, "size"));
    json_int_t bwlimit = json_integer_value(json_object_get(args, "bwlimit"));
    autoimages struct images *m = calloc(1, sizeof(*m));
    struct volume_id to;
    struct storage *s;

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = take_volume(args, &to, e);
    if (r == 0)
        r = take_source(m, args, e);
    if (r == 0 && (size <= 0 || bwlimit < 0))
        r = err_set(e, -EINVAL, "task.step", "a copy needs a size");
    if (r == 0)
        r = storage_mgr_ref(steps->storages, to.storage, &s, e);
    if (r < 0)
        return r;
    r = fail_point("guest.copy.begin", e);
    if (r == 0)
        r = volume_delete(s, &to, mark, e); /* what an earlier run of this step made */
    if (r == 0)
        r = copy_by_reference(s, m, &to, (uint64_t)size, mark, e);
    if (r == 0)
        r = copy_data(steps, s, m, &to, (uint64_t)size, (uint64_t)bwlimit, mark, e);
    storage_unref(s);
    return r < 0 ? r : 0;
}

static int undo_volume_copy(void *ctx, json_t *args, const char *mark, struct err *e)
{
    const struct guest_steps *steps = ctx;
    struct volume_id to;
    struct storage *s;
    int r = take_volume(args, &to, e);

    if (r == 0)
        r = storage_mgr_ref(steps->storages, to.storage, &s, e);
    if (r < 0)
        return r;
    r = volume_delete(s, &to, mark, e);
    storage_unref(s);
    return r;
}

/* ---- volume.merge ---- */

/* The layer's file is gone: the child, which has its contents, must stand on what the layer stood on. */
static int check_merged(const struct guest_steps *steps, struct images *m, struct err *e)
{
    m->n--;
    memmove(&m->ids[1], &m->ids[2], (m->n - 1) * sizeof(m->ids[0]));
    return open_image(steps, m, 0, true, e);
}

static int merge(const struct guest_steps *steps, struct storage *s, struct images *m, struct err *e)
{
    const struct volume_id child = m->ids[0], layer = m->ids[1], v = volume_layer(&child, 0);
    struct volume_info info;
    int r = volume_stat(s, &layer, &info, e);

    if (r == -ENOENT) {
        *e = (struct err)ERR_INIT;
        r = check_merged(steps, m, e);
        return r < 0 ? r : volume_replace_by(s, &v, child.layer, layer.layer, e);
    }
    if (r == 0)
        r = open_images(steps, m, 1, e);
    if (r == 0)
        r = run_block(steps, "commit", m, NULL, 0, e);
    if (r == 0)
        r = fail_point("guest.merge.committed", e);
    return r < 0 ? r : volume_replace_by(s, &v, child.layer, layer.layer, e);
}

static int run_volume_merge(void *ctx, json_t *args, const char *mark, struct err *e)
{
    const struct guest_steps *steps = ctx;
    json_int_t number = json_integer_value(json_object_get(args, "child"));
    autoimages struct images *m = calloc(1, sizeof(*m));
    struct volume_id layer;
    struct storage *s;

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = take_volume(args, &layer, e);
    if (r == 0 && (!layer.layer || number < 0 || number > VOLUME_LAYER_MAX || layer.format != VOLUME_QCOW2))
        r = err_set(e, -EINVAL, "task.step", "nothing to merge");
    if (r < 0)
        return r;
    struct volume_id child = volume_layer(&layer, (uint32_t)number);
    r = add(m, &child, e);
    if (r == 0)
        r = add(m, &layer, e);
    if (r == 0)
        r = add_below(m, args, e);
    if (r == 0)
        r = storage_mgr_ref(steps->storages, layer.storage, &s, e);
    if (r < 0)
        return r;
    r = fail_point("guest.merge.begin", e);
    if (r == 0)
        r = merge(steps, s, m, e);
    storage_unref(s);
    return r;
}

/* The layer has the child's name and contents: the two are told apart again. */
static int divide(struct storage *s, const struct volume_id *child, uint32_t layer, struct err *e)
{
    struct volume_id lower = volume_layer(child, layer);
    struct volume_info info;
    int r = volume_stat(s, &lower, &info, e);

    if (r != -ENOENT)
        return r;
    *e = (struct err)ERR_INIT;
    return volume_freeze(s, child, layer, e);
}

static int undo_volume_merge(void *ctx, json_t *args, const char *mark, struct err *e)
{
    const struct guest_steps *steps = ctx;
    struct volume_id layer;
    struct storage *s;
    int r = take_volume(args, &layer, e);

    if (r == 0)
        r = storage_mgr_ref(steps->storages, layer.storage, &s, e);
    if (r < 0)
        return r;
    struct volume_id child = volume_layer(&layer, (uint32_t)json_integer_value(json_object_get(args, "child")));
    r = divide(s, &child, layer.layer, e);
    storage_unref(s);
    return r;
}

/* ---- volume.replace: the names only, where a hypervisor has merged ---- */

static int run_volume_replace(void *ctx, json_t *args, const char *mark, struct err *e)
{
    const struct guest_steps *steps = ctx;
    struct volume_id layer;
    struct storage *s;
    int r = take_volume(args, &layer, e);

    if (r == 0)
        r = storage_mgr_ref(steps->storages, layer.storage, &s, e);
    if (r < 0)
        return r;
    struct volume_id v = volume_layer(&layer, 0);
    r = fail_point("guest.replace.begin", e);
    if (r == 0)
        r = volume_replace_by(s, &v, (uint32_t)json_integer_value(json_object_get(args, "child")), layer.layer, e);
    if (r == 0)
        r = fail_point("guest.replace.done", e);
    storage_unref(s);
    return r;
}

const struct task_step_type step_volume_replace = {
    .name = "volume.replace", .run = run_volume_replace, .undo = undo_volume_merge};
const struct task_step_type step_volume_copy = {
    .name = "volume.copy", .run = run_volume_copy, .undo = undo_volume_copy, .is_long = true};
const struct task_step_type step_volume_merge = {
    .name = "volume.merge", .run = run_volume_merge, .undo = undo_volume_merge, .is_long = true};

/* ---- making them ---- */

static json_t *image_arg(const struct volume_id *v)
{
    char id[VOLUME_ID_MAX + 1];

    volume_id_format(v, id, sizeof(id));
    return v->layer ? json_pack("{s:s, s:I}", "volume", id, "layer", (json_int_t)v->layer)
                    : json_pack("{s:s}", "volume", id);
}

/* Takes args. */
static json_t *step(const char *name, json_t *args, const struct volume_id *below, size_t n_below)
{
    json_t *list = args && n_below ? json_array() : NULL;

    for (size_t i = 0; list && i < n_below; i++)
        json_array_append_new(list, image_arg(&below[i]));
    if (list)
        json_object_set_new(args, "below", list);
    return args ? json_pack("{s:s, s:o}", "step", name, "args", args) : NULL;
}

json_t *guest_step_volume_copy(const struct volume_id *from, const struct volume_id *below, size_t n_below,
                               const struct volume_id *to, uint64_t size_bytes, uint64_t bwlimit)
{
    json_t *args = image_arg(to);

    if (args) {
        json_object_set_new(args, "from", image_arg(from));
        json_object_set_new(args, "size", json_integer((json_int_t)size_bytes));
        if (bwlimit)
            json_object_set_new(args, "bwlimit", json_integer((json_int_t)bwlimit));
    }
    return step("volume.copy", args, below, n_below);
}

json_t *guest_step_volume_import(const char *path, const struct volume_id *to, uint64_t size_bytes)
{
    json_t *args = image_arg(to);

    if (args) {
        json_object_set_new(args, "from", json_pack("{s:s}", "path", path));
        json_object_set_new(args, "size", json_integer((json_int_t)size_bytes));
    }
    return step("volume.copy", args, NULL, 0);
}

json_t *guest_step_volume_replace(const struct volume_id *layer, uint32_t child)
{
    json_t *args = image_arg(layer);

    if (args)
        json_object_set_new(args, "child", json_integer(child));
    return step("volume.replace", args, NULL, 0);
}

json_t *guest_step_volume_merge(const struct volume_id *layer, uint32_t child, const struct volume_id *below,
                                size_t n_below)
{
    json_t *args = image_arg(layer);

    if (args)
        json_object_set_new(args, "child", json_integer(child));
    return step("volume.merge", args, below, n_below);
}
