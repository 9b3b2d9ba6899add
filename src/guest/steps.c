/* Steps of plans that make and remove volumes, and the table of all; block_steps.c has those that move data. Pool
 * threads; idempotent; see task.h. */
#include <fcntl.h>

#include "base/fp.h"
#include "base/fs.h"
#include "engine/firmware.h"
#include "guest/block_steps.h"

#define TEMPLATE_BYTES_MAX (1u << 20)

/* The volume of a step, or that layer of it. */
static int args_volume(void *ctx, json_t *args, struct volume_id *v, struct storage **s, struct err *e)
{
    const struct guest_steps *steps = ctx;
    const char *text = json_string_value(json_object_get(args, "volume"));

    if (!text)
        return err_set(e, -EINVAL, "task.step", "step without a volume");
    int r = volume_id_parse(text, v, e);
    if (r < 0)
        return r;
    v->layer = (uint32_t)json_integer_value(json_object_get(args, "layer"));
    return storage_mgr_ref(steps->storages, v->storage, s, e);
}

/* The volume of UEFI variables begins as a copy of the firmware's template. */
static int fill(struct storage *s, const struct volume_id *v, const char *template, struct err *e)
{
    const struct engine_firmware *fw = engine_firmware_find(template);
    struct volume_attachment a;
    autobuf struct buf bytes;

    buf_init(&bytes, TEMPLATE_BYTES_MAX);
    if (!fw)
        return err_set(e, -EINVAL, "task.step", "no template '%.32s'", template);
    int r = fs_read_file(AT_FDCWD, fw->vars, &bytes, e);
    if (r == 0)
        r = volume_open(s, v, false, &a, e);
    if (r < 0)
        return r;
    autoclose int fd = a.fd;
    r = fs_write_all(fd, bytes.data, bytes.len, e);
    return r == 0 && fsync(fd) < 0 ? err_errno(e, errno, "write the UEFI variables") : r;
}

static int run_volume_create(void *ctx, json_t *args, const char *mark, struct err *e)
{
    struct storage *s;
    struct volume_id v;
    json_int_t size = json_integer_value(json_object_get(args, "size"));
    int r = args_volume(ctx, args, &v, &s, e);

    if (r < 0)
        return r;
    const char *template = json_string_value(json_object_get(args, "template"));
    r = size > 0 ? volume_create(s, &v, (uint64_t)size, mark, e)
                 : err_set(e, -EINVAL, "task.step", "a volume needs a size");
    if (r == 0 && template)
        r = fill(s, &v, template, e);
    storage_unref(s);
    return r;
}

static int undo_volume_create(void *ctx, json_t *args, const char *mark, struct err *e)
{
    struct storage *s;
    struct volume_id v;
    int r = args_volume(ctx, args, &v, &s, e);

    if (r < 0)
        return r;
    r = volume_delete(s, &v, mark, e);
    storage_unref(s);
    return r;
}

static int run_volume_delete(void *ctx, json_t *args, const char *mark, struct err *e)
{
    struct storage *s;
    struct volume_id v;
    int r = args_volume(ctx, args, &v, &s, e);

    if (r < 0)
        return r;
    r = volume_delete(s, &v, NULL, e);
    storage_unref(s);
    return r;
}

/* Grown is grown: there is no way back, and a second time changes nothing. */
static int run_volume_grow(void *ctx, json_t *args, const char *mark, struct err *e)
{
    struct storage *s;
    struct volume_id v;
    json_int_t size = json_integer_value(json_object_get(args, "size"));
    int r = args_volume(ctx, args, &v, &s, e);

    if (r < 0)
        return r;
    r = FP("guest.resize.begin") ? err_set(e, -EIO, NULL, "fail point")
        : size > 0               ? volume_grow(s, &v, (uint64_t)size, e)
                                 : err_set(e, -EINVAL, "task.step", "a volume needs a size");
    if (r == 0 && FP("guest.resize.grown"))
        r = err_set(e, -EIO, NULL, "fail point");
    storage_unref(s);
    return r;
}

/* ---- layers ---- */

enum layer_action { FREEZE, UNFREEZE, RESET, UNRESET };

/* A fork of the layer `from` under the new number, which then changes places with the volume. */
static int reset(struct storage *s, const struct volume_id *v, uint32_t from, uint32_t number, const char *mark,
                 struct err *e)
{
    struct volume_id layer = volume_layer(v, from), fork = volume_layer(v, number);
    int r = volume_fork(s, &layer, &fork, mark, e);

    if (r == 0 && FP("guest.reset.forked"))
        r = err_set(e, -EIO, NULL, "fail point");
    return r < 0 ? r : volume_exchange(s, v, number, mark, false, e);
}

static int unreset(struct storage *s, const struct volume_id *v, uint32_t number, const char *mark, struct err *e)
{
    struct volume_id fork = volume_layer(v, number);
    int r = volume_exchange(s, v, number, mark, true, e);

    return r < 0 ? r : volume_delete(s, &fork, mark, e);
}

static int on_layer(void *ctx, json_t *args, enum layer_action action, const char *mark, struct err *e)
{
    uint32_t from = (uint32_t)json_integer_value(json_object_get(args, "from"));
    struct storage *s;
    struct volume_id v;
    int r = args_volume(ctx, args, &v, &s, e);

    if (r < 0)
        return r;
    uint32_t number = v.layer;
    v.layer = 0;
    switch (action) {
    case FREEZE:
        r = volume_freeze(s, &v, number, e);
        break;
    case UNFREEZE:
        r = volume_unfreeze(s, &v, number, e);
        break;
    case RESET:
        r = reset(s, &v, from, number, mark, e);
        break;
    case UNRESET:
        r = unreset(s, &v, number, mark, e);
        break;
    }
    storage_unref(s);
    return r;
}

static int run_volume_freeze(void *ctx, json_t *args, const char *mark, struct err *e)
{
    return on_layer(ctx, args, FREEZE, mark, e);
}

static int undo_volume_freeze(void *ctx, json_t *args, const char *mark, struct err *e)
{
    return on_layer(ctx, args, UNFREEZE, mark, e);
}

static int run_volume_reset(void *ctx, json_t *args, const char *mark, struct err *e)
{
    return on_layer(ctx, args, RESET, mark, e);
}

static int undo_volume_reset(void *ctx, json_t *args, const char *mark, struct err *e)
{
    return on_layer(ctx, args, UNRESET, mark, e);
}

static const struct task_step_type step_volume_freeze = {
    .name = "volume.freeze", .run = run_volume_freeze, .undo = undo_volume_freeze};
/* ---- linked clones ---- */

static int fork_from(json_t *args, struct volume_id *ret, struct err *e)
{
    const char *text = json_string_value(json_object_get(args, "from"));

    return text ? volume_id_parse(text, ret, e) : err_set(e, -EINVAL, "task.step", "step without a volume");
}

static int run_volume_fork(void *ctx, json_t *args, const char *mark, struct err *e)
{
    struct storage *s;
    struct volume_id v, from;
    int r = fork_from(args, &from, e);

    if (r == 0)
        r = args_volume(ctx, args, &v, &s, e);
    if (r < 0)
        return r;
    r = volume_fork(s, &from, &v, mark, e);
    storage_unref(s);
    return r;
}

static const struct task_step_type step_volume_fork = {
    .name = "volume.fork", .run = run_volume_fork, .undo = undo_volume_create};
static const struct task_step_type step_volume_unfreeze = {.name = "volume.unfreeze", .run = undo_volume_freeze};
static const struct task_step_type step_volume_reset = {
    .name = "volume.reset", .run = run_volume_reset, .undo = undo_volume_reset};
static const struct task_step_type step_volume_grow = {.name = "volume.grow", .run = run_volume_grow};
static const struct task_step_type step_volume_create = {
    .name = "volume.create", .run = run_volume_create, .undo = undo_volume_create};
static const struct task_step_type step_volume_delete = {.name = "volume.delete", .run = run_volume_delete};

const struct task_step_type *const guest_step_types[] = {
    &step_volume_copy,    &step_volume_create, &step_volume_delete,   &step_volume_fork,
    &step_volume_freeze,  &step_volume_grow,   &step_volume_merge,    &step_volume_rename,
    &step_volume_replace, &step_volume_reset,  &step_volume_unfreeze, NULL};

json_t *guest_step_volume_create(const struct volume_id *v, uint64_t size_bytes)
{
    char id[VOLUME_ID_MAX + 1];

    volume_id_format(v, id, sizeof(id));
    return json_pack("{s:s, s:{s:s, s:I}}", "step", "volume.create", "args", "volume", id, "size",
                     (json_int_t)size_bytes);
}

json_t *guest_step_volume_template(const struct volume_id *v, uint64_t size_bytes, const char *template)
{
    json_t *step = guest_step_volume_create(v, size_bytes);

    json_object_set_new(json_object_get(step, "args"), "template", json_string(template));
    return step;
}

/* layer 0: the volume itself */
static json_t *layer_step(const char *name, const struct volume_id *v, uint32_t layer)
{
    char id[VOLUME_ID_MAX + 1];
    json_t *step;

    volume_id_format(v, id, sizeof(id));
    step = json_pack("{s:s, s:{s:s}}", "step", name, "args", "volume", id);
    if (layer)
        json_object_set_new(json_object_get(step, "args"), "layer", json_integer(layer));
    return step;
}

json_t *guest_step_volume_delete(const struct volume_id *v)
{
    return layer_step("volume.delete", v, v->layer);
}

json_t *guest_step_volume_freeze(const struct volume_id *v, uint32_t layer)
{
    return layer_step("volume.freeze", v, layer);
}

json_t *guest_step_volume_fork(const struct volume_id *from, const struct volume_id *to)
{
    char id[VOLUME_ID_MAX + 1];
    json_t *step = layer_step("volume.fork", to, 0);

    volume_id_format(from, id, sizeof(id));
    json_object_set_new(json_object_get(step, "args"), "from", json_string(id));
    return step;
}

json_t *guest_step_volume_unfreeze(const struct volume_id *v, uint32_t layer)
{
    return layer_step("volume.unfreeze", v, layer);
}

json_t *guest_step_volume_reset(const struct volume_id *v, uint32_t from, uint32_t layer)
{
    json_t *step = layer_step("volume.reset", v, layer);

    json_object_set_new(json_object_get(step, "args"), "from", json_integer(from));
    return step;
}

json_t *guest_step_volume_grow(const struct volume_id *v, uint64_t size_bytes)
{
    char id[VOLUME_ID_MAX + 1];

    volume_id_format(v, id, sizeof(id));
    return json_pack("{s:s, s:{s:s, s:I}}", "step", "volume.grow", "args", "volume", id, "size",
                     (json_int_t)size_bytes);
}
