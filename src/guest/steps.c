/* Steps of plans that make and remove volumes. Pool threads; idempotent; see task.h. */
#include <fcntl.h>

#include "base/fp.h"
#include "base/fs.h"
#include "engine/firmware.h"
#include "guest/guest.h"

#define TEMPLATE_BYTES_MAX (1u << 20)

static int args_volume(void *ctx, json_t *args, struct volume_id *v, struct storage **s, struct err *e)
{
    const char *text = json_string_value(json_object_get(args, "volume"));

    if (!text)
        return err_set(e, -EINVAL, "task.step", "step without a volume");
    int r = volume_id_parse(text, v, e);
    return r < 0 ? r : storage_mgr_ref(ctx, v->storage, s, e);
}

/* The volume of UEFI variables begins as a copy of the firmware's template. */
static int fill(struct storage *s, const struct volume_id *v, const char *template, struct err *e)
{
    const struct engine_firmware *fw = engine_firmware_find(template);
    struct volume_attachment a;
    autobuf struct buf bytes;

    if (!fw)
        return err_set(e, -EINVAL, "task.step", "no template '%.32s'", template);
    buf_init(&bytes, TEMPLATE_BYTES_MAX);
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

static const struct task_step_type step_volume_grow = {.name = "volume.grow", .run = run_volume_grow};
static const struct task_step_type step_volume_create = {
    .name = "volume.create", .run = run_volume_create, .undo = undo_volume_create};
static const struct task_step_type step_volume_delete = {.name = "volume.delete", .run = run_volume_delete};

const struct task_step_type *const guest_step_types[] = {&step_volume_create, &step_volume_delete, &step_volume_grow,
                                                         NULL};

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

json_t *guest_step_volume_delete(const struct volume_id *v)
{
    char id[VOLUME_ID_MAX + 1];

    volume_id_format(v, id, sizeof(id));
    return json_pack("{s:s, s:{s:s}}", "step", "volume.delete", "args", "volume", id);
}

json_t *guest_step_volume_grow(const struct volume_id *v, uint64_t size_bytes)
{
    char id[VOLUME_ID_MAX + 1];

    volume_id_format(v, id, sizeof(id));
    return json_pack("{s:s, s:{s:s, s:I}}", "step", "volume.grow", "args", "volume", id, "size",
                     (json_int_t)size_bytes);
}
