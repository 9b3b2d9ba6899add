/* The step volume.rename: an image gets another owner. Pool threads; idempotent; see task.h. A volume is never put in
 * the place of another, so an undo after a step that failed finds its names as they were. */
#include "base/fp.h"
#include "guest/block_steps.h"

static int take(json_t *args, const char *key, struct volume_id *ret, struct err *e)
{
    const char *text = json_string_value(json_object_get(args, key));

    return text ? volume_id_parse(text, ret, e) : err_set(e, -EINVAL, "task.step", "step without a volume");
}

static int rename_volume(void *ctx, json_t *args, bool is_back, struct err *e)
{
    const struct guest_steps *steps = ctx;
    struct volume_id from, to;
    struct storage *s;
    int r = take(args, is_back ? "to" : "volume", &from, e);

    if (r == 0)
        r = take(args, is_back ? "volume" : "to", &to, e);
    if (r == 0)
        r = storage_mgr_ref(steps->storages, from.storage, &s, e);
    if (r < 0)
        return r;
    r = volume_rename(s, &from, &to, e);
    storage_unref(s);
    return r;
}

static int run_volume_rename(void *ctx, json_t *args, const char *mark, struct err *e)
{
    int r = FP("guest.rename.begin") ? err_set(e, -EIO, NULL, "fail point") : rename_volume(ctx, args, false, e);

    return r == 0 && FP("guest.rename.done") ? err_set(e, -EIO, NULL, "fail point") : r;
}

static int undo_volume_rename(void *ctx, json_t *args, const char *mark, struct err *e)
{
    return rename_volume(ctx, args, true, e);
}

const struct task_step_type step_volume_rename = {
    .name = "volume.rename", .run = run_volume_rename, .undo = undo_volume_rename};

json_t *guest_step_volume_rename(const struct volume_id *from, const struct volume_id *to)
{
    char old[VOLUME_ID_MAX + 1], new[VOLUME_ID_MAX + 1];

    volume_id_format(from, old, sizeof(old));
    volume_id_format(to, new, sizeof(new));
    return json_pack("{s:s, s:{s:s, s:s}}", "step", "volume.rename", "args", "volume", old, "to", new);
}
