/* See snap.h. */
#include "guest/snap.h"

void snap_plan_done(struct snap_plan *p)
{
    json_decref(p->steps);
    config_done(&p->config);
    layers_done(&p->layers);
    snapshots_done(&p->snapshots);
    *p = (struct snap_plan){0};
}

struct guest_record snap_plan_record(const struct snap_plan *p, const struct guest *g)
{
    struct guest_record record = guest_record_of(g);

    record.config = &p->config;
    record.layers = &p->layers;
    record.snapshots = &p->snapshots;
    return record;
}

static int begin(const struct guest *g, struct snap_plan *p, struct err *e)
{
    *p = (struct snap_plan){.steps = json_array()};
    if (p->steps && config_copy(&g->config, &p->config) == 0 && layers_copy(&g->layers, &p->layers) == 0 &&
        snapshots_copy(&g->snapshots, &p->snapshots) == 0)
        return 0;
    return err_set(e, -ENOMEM, NULL, "out of memory");
}

static int end(int r, struct snap_plan *p, struct snap_plan *ret)
{
    if (r < 0)
        snap_plan_done(p);
    else
        *ret = *p;
    return r;
}

static int missing(const char *name, struct err *e)
{
    return err_set(e, -ENOENT, "guest.snapshot", "snapshot '%s' does not exist", name);
}

/* An image of the guest's own that a drive names. */
static bool own_image(const struct guest *g, const struct config_item *it, struct volume_id *ret)
{
    return guest_is_drive_key(it->key) && !guest_drive_is_cdrom(it->value) && guest_drive_volume(it->value, ret) &&
           ret->content == STORAGE_CONTENT_images && ret->vmid == g->vmid;
}

/* An image of the guest's own that the item is the first to name. */
static bool first_of_image(const struct guest *g, const struct config *c, size_t i, struct volume_id *ret)
{
    struct volume_id other;

    if (!own_image(g, &c->items[i], ret))
        return false;
    for (size_t k = 0; k < i; k++)
        if (own_image(g, &c->items[k], &other) && streq(other.storage, ret->storage) && streq(other.name, ret->name))
            return false;
    return true;
}

/* ---- take ---- */

static int freeze_all(const struct guest *g, const char *name, struct snap_plan *p, struct err *e)
{
    struct volume_id v;
    uint32_t number;
    int r = 0;

    for (size_t i = 0; r == 0 && i < p->config.n; i++) {
        if (!first_of_image(g, &p->config, i, &v))
            continue;
        p->has_overlays |= v.format == VOLUME_QCOW2;
        p->has_copies |= v.format != VOLUME_QCOW2;
        r = layers_freeze(&p->layers, &v, name, &number, e);
        if (r == 0 && json_array_append_new(p->steps, guest_step_volume_freeze(&v, number)) < 0)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    return r;
}

int snap_plan_take(const struct guest *g, const char *name, const char *description, int64_t now_s,
                   struct snap_plan *ret, struct err *e)
{
    struct snapshot *taken;
    struct snap_plan p;
    int r = begin(g, &p, e);

    if (r == 0)
        r = snapshots_add(&p.snapshots, name, now_s, &g->config, &taken, e);
    if (r == 0) {
        /* The text belongs to the snapshot, not to the guest; whoever holds the guest now does not hold it then. */
        config_remove(&taken->config, "description");
        config_remove(&taken->config, "lock");
        if (description && *description && config_set(&taken->config, "description", description) < 0)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (r == 0)
        r = freeze_all(g, name, &p, e);
    return end(r, &p, ret);
}

/* What is written is about the memory in use, and a little for the devices. */
#define RAM_EXTRA_BYTES (64u << 20)

int snap_plan_add_ram(struct snap_plan *p, const struct guest *g, const char *name, const char *storage, struct err *e)
{
    struct snapshot *s = snapshots_find(&p->snapshots, name);
    char id[VOLUME_ID_MAX + 1];
    struct volume_id v;

    if (!s)
        return missing(name, e);
    snprintf(id, sizeof(id), "%s:%u/vm-%u-state-%s.raw", storage, g->vmid, g->vmid, name);
    int r = volume_id_parse(id, &v, e);
    if (r == 0 &&
        json_array_insert_new(p->steps, 0, guest_step_volume_create(&v, guest_memory_bytes(g) + RAM_EXTRA_BYTES)) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    memcpy(s->vmstate, id, sizeof(id));
    s->is_saving = true;
    return r;
}

/* Its memory goes with it. */
static int drop_ram(const struct snapshot *s, struct snap_plan *p, struct err *e)
{
    struct volume_id v;

    if (!s->vmstate[0])
        return 0;
    int r = volume_id_parse(s->vmstate, &v, e);
    if (r == 0 && json_array_append_new(p->steps, guest_step_volume_delete(&v)) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    return r;
}

int snap_plan_untake(const struct guest *g, const char *name, struct snap_plan *ret, struct err *e)
{
    struct snap_plan p;
    int r = begin(g, &p, e);

    if (r == 0 && !snapshots_find(&p.snapshots, name))
        r = missing(name, e);
    for (size_t i = 0; r == 0 && i < g->layers.n; i++) {
        const struct volume_id *v = &g->layers.rows[i].volume;
        const struct layer *layer = layers_of_snapshot(&g->layers.rows[i], name);
        if (!layer)
            continue;
        layers_unfreeze(&p.layers, v, layer->number);
        if (json_array_append_new(p.steps, guest_step_volume_unfreeze(v, layer->number)) < 0)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (r == 0)
        r = drop_ram(snapshots_find(&p.snapshots, name), &p, e);
    if (r == 0)
        snapshots_remove(&p.snapshots, name);
    return end(r, &p, ret);
}

/* ---- roll back ---- */

static int reset_all(const struct guest *g, const struct snapshot *s, struct snap_plan *p, struct err *e)
{
    struct volume_id v;
    uint32_t number;
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->config.n; i++) {
        if (!first_of_image(g, &s->config, i, &v))
            continue;
        const struct layers_row *row = layers_find(&p->layers, &v);
        const struct layer *from = row ? layers_of_snapshot(row, s->name) : NULL;
        if (!from)
            return err_set(e, -EINVAL, "guest.layers", "'%s' has no layer of the snapshot '%s'", v.name, s->name);
        uint32_t wanted = from->number;
        r = layers_reset(&p->layers, &v, s->name, &number, e);
        if (r == 0 && json_array_append_new(p->steps, guest_step_volume_reset(&v, wanted, number)) < 0)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    return r;
}

/* The guest's own description stays; disks that came since are kept. */
static int take_over(const struct guest *g, const struct snapshot *s, struct snap_plan *p, struct err *e)
{
    const char *description = config_get(&g->config, "description");
    struct config was = p->config, config = {0};
    int r = config_copy(&s->config, &config);

    p->config = config;
    config_remove(&p->config, "description");
    if (r == 0 && description)
        r = config_set(&p->config, "description", description);
    for (size_t i = 0; r == 0 && i < was.n; i++)
        if (guest_is_drive_key(was.items[i].key) || guest_is_index_key(was.items[i].key, "unused"))
            r = guest_config_keep(&p->config, was.items[i].value, g->vmid);
    config_done(&was);
    return r < 0 ? err_set(e, r, NULL, r == -ENOSPC ? "too many unused disks" : "out of memory") : 0;
}

int snap_plan_roll_back(const struct guest *g, const char *name, struct snap_plan *ret, struct err *e)
{
    struct snap_plan p;
    int r = begin(g, &p, e);
    const struct snapshot *s = r == 0 ? snapshots_find(&p.snapshots, name) : NULL;

    if (r == 0 && !s)
        r = missing(name, e);
    if (r == 0)
        r = reset_all(g, s, &p, e);
    if (r == 0)
        r = take_over(g, s, &p, e);
    if (r == 0)
        snprintf(p.snapshots.parent, sizeof(p.snapshots.parent), "%s", name);
    return end(r, &p, ret);
}

/* ---- delete ---- */

/* What nobody wants or stands on goes now. What one stands on stays until the two are merged. */
static int drop_all(struct snap_plan *p, struct err *e)
{
    struct volume_id layer;
    uint32_t child;

    while (layers_next(&p->layers, &layer, &child) == LAYERS_DROP) {
        if (json_array_append_new(p->steps, guest_step_volume_delete(&layer)) < 0)
            return err_set(e, -ENOMEM, NULL, "out of memory");
        layers_dropped(&p->layers, &layer);
    }
    return 0;
}

int snap_plan_delete(const struct guest *g, const char *name, struct snap_plan *ret, struct err *e)
{
    struct snap_plan p;
    int r = begin(g, &p, e);

    if (r == 0 && !snapshots_find(&p.snapshots, name))
        r = missing(name, e);
    if (r == 0)
        r = drop_ram(snapshots_find(&p.snapshots, name), &p, e);
    if (r == 0) {
        snapshots_remove(&p.snapshots, name);
        layers_forget(&p.layers, name);
        r = drop_all(&p, e);
    }
    return end(r, &p, ret);
}

const char *snap_holds(const struct guest *g, const struct volume_id *v)
{
    const struct layers_row *row = layers_find(&g->layers, v);

    for (size_t i = 0; row && i < row->n; i++)
        if (row->layers[i].snapshot[0])
            return row->layers[i].snapshot;
    return NULL;
}
