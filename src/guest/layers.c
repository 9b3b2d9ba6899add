/* See layers.h. */
#include "guest/layers.h"

#include "base/buf.h"

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "guest.layers", "the record of the guest's layers is damaged: %s", what);
}

static int no_memory(struct err *e)
{
    return err_set(e, -ENOMEM, NULL, "out of memory");
}

static bool is_volume(const struct volume_id *a, const struct volume_id *b)
{
    return a->vmid == b->vmid && streq(a->name, b->name) && streq(a->storage, b->storage);
}

void layers_done(struct layers *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->rows[i].layers);
    free(l->rows);
    *l = (struct layers){0};
}

int layers_copy(const struct layers *from, struct layers *ret)
{
    struct layers l = {.rows = calloc(from->n ? from->n : 1, sizeof(*l.rows))};

    if (!l.rows)
        return -ENOMEM;
    for (; l.n < from->n; l.n++) {
        const struct layers_row *old = &from->rows[l.n];
        l.rows[l.n] = *old;
        l.rows[l.n].layers = calloc(old->n ? old->n : 1, sizeof(*old->layers));
        if (!l.rows[l.n].layers) {
            layers_done(&l);
            return -ENOMEM;
        }
        if (old->n)
            memcpy(l.rows[l.n].layers, old->layers, old->n * sizeof(*old->layers));
    }
    *ret = l;
    return 0;
}

static struct layers_row *find_row(const struct layers *l, const struct volume_id *v)
{
    for (size_t i = 0; i < l->n; i++)
        if (is_volume(&l->rows[i].volume, v))
            return &l->rows[i];
    return NULL;
}

const struct layers_row *layers_find(const struct layers *l, const struct volume_id *v)
{
    return find_row(l, v);
}

static struct layer *find_layer(const struct layers_row *row, uint32_t number)
{
    for (size_t i = 0; i < row->n; i++)
        if (row->layers[i].number == number)
            return &row->layers[i];
    return NULL;
}

const struct layer *layers_of_snapshot(const struct layers_row *row, const char *snapshot)
{
    for (size_t i = 0; i < row->n; i++)
        if (streq(row->layers[i].snapshot, snapshot))
            return &row->layers[i];
    return NULL;
}

bool layers_below(const struct layers_row *row, uint32_t number, struct volume_id *ret)
{
    const struct layer *layer = number ? find_layer(row, number) : NULL;
    uint32_t below = layer ? layer->parent : number ? 0 : row->top;

    if (below)
        *ret = volume_layer(&row->volume, below);
    else if (row->base.name[0])
        *ret = row->base;
    return below || row->base.name[0];
}

/* ---- as text ---- */

static int load_layer(struct layers_row *row, const char *key, json_t *value, struct err *e)
{
    struct layer layer = {.parent = (uint32_t)json_integer_value(json_object_get(value, "parent"))};
    const char *snapshot = json_string_value(json_object_get(value, "snapshot"));
    uint64_t number;

    if (str_to_u64(key, &number) < 0 || !number || number > VOLUME_LAYER_MAX || number >= row->next)
        return bad(e, "the number of a layer");
    layer.number = (uint32_t)number;
    /* A layer is made after what it stands on, so a tree is all that this allows. */
    if (layer.parent >= layer.number)
        return bad(e, "what a layer stands on");
    if (snapshot && str_copy(layer.snapshot, sizeof(layer.snapshot), snapshot) < 0)
        return bad(e, "the name of a snapshot");
    size_t at = 0;
    while (at < row->n && row->layers[at].number < layer.number)
        at++;
    memmove(&row->layers[at + 1], &row->layers[at], (row->n - at) * sizeof(layer));
    row->layers[at] = layer;
    row->n++;
    return 0;
}

static int load_volume(const char *text, struct volume_id *ret, struct err *e)
{
    struct err why = ERR_INIT;

    return volume_id_parse(text, ret, &why) < 0 || ret->content != STORAGE_CONTENT_images ? bad(e, "a volume's name")
                                                                                          : 0;
}

static int load_row(struct layers_row *row, json_t *value, struct err *e)
{
    json_t *frozen = json_object_get(value, "frozen"), *layer;
    const char *base = json_string_value(json_object_get(value, "base")), *key;
    json_int_t top = json_integer_value(json_object_get(value, "top"));
    json_int_t next = json_integer_value(json_object_get(value, "next"));
    int r = base ? load_volume(base, &row->base, e) : 0;

    if (r == 0 && (json_object_size(frozen) > LAYERS_MAX || next < 1 || next > VOLUME_LAYER_MAX + 1 || top < 0))
        r = bad(e, "its numbers");
    row->next = (uint32_t)next;
    row->top = (uint32_t)top;
    row->layers = r < 0 ? NULL : calloc(json_object_size(frozen) + 1, sizeof(*row->layers));
    if (r == 0 && !row->layers)
        r = no_memory(e);
    if (r < 0)
        return r;
    json_object_foreach(frozen, key, layer)
    {
        r = load_layer(row, key, layer, e);
        if (r < 0)
            return r;
    }
    if (row->top && !find_layer(row, row->top))
        return bad(e, "what the image stands on");
    for (size_t i = 0; i < row->n; i++)
        if (row->layers[i].parent && !find_layer(row, row->layers[i].parent))
            return bad(e, "what a layer stands on");
    return 0;
}

int layers_load(json_t *object, struct layers *ret, struct err *e)
{
    struct layers l = {.rows = calloc(json_object_size(object) + 1, sizeof(*l.rows))};
    const char *key;
    json_t *value;
    int r = !l.rows                                      ? no_memory(e)
            : object && !json_is_object(object)          ? bad(e, "no object")
            : json_object_size(object) > LAYERS_ROWS_MAX ? bad(e, "too many images")
                                                         : 0;

    if (r == 0)
        json_object_foreach(object, key, value)
        {
            r = load_volume(key, &l.rows[l.n].volume, e);
            if (r == 0)
                r = load_row(&l.rows[l.n++], value, e);
            if (r < 0)
                break;
        }
    if (r < 0)
        layers_done(&l);
    else
        *ret = l;
    return r;
}

static void write_row(const struct layers_row *row, struct jw *w)
{
    char text[VOLUME_ID_MAX + 1];

    volume_id_format(&row->volume, text, sizeof(text));
    jw_key(w, text);
    jw_object(w);
    if (row->base.name[0]) {
        volume_id_format(&row->base, text, sizeof(text));
        jw_kv_str(w, "base", text);
    }
    jw_kv_u64(w, "top", row->top);
    jw_kv_u64(w, "next", row->next);
    jw_key(w, "frozen");
    jw_object(w);
    for (size_t i = 0; i < row->n; i++) {
        snprintf(text, sizeof(text), "%u", row->layers[i].number);
        jw_key(w, text);
        jw_object(w);
        jw_kv_u64(w, "parent", row->layers[i].parent);
        if (row->layers[i].snapshot[0])
            jw_kv_str(w, "snapshot", row->layers[i].snapshot);
        jw_object_end(w);
    }
    jw_object_end(w);
    jw_object_end(w);
}

void layers_write(const struct layers *l, struct jw *w)
{
    for (size_t i = 0; i < l->n; i++)
        write_row(&l->rows[i], w);
}

/* ---- changes ---- */

/* The image's row, a new one if it has none. */
static struct layers_row *row_for(struct layers *l, const struct volume_id *v, struct err *e)
{
    struct layers_row *row = find_row(l, v);

    if (row)
        return row;
    if (l->n == LAYERS_ROWS_MAX) {
        err_set(e, -E2BIG, "guest.layers", "more than %u images with snapshots", LAYERS_ROWS_MAX);
        return NULL;
    }
    row = reallocarray(l->rows, l->n + 1, sizeof(*row));
    if (!row) {
        no_memory(e);
        return NULL;
    }
    l->rows = row;
    row = &l->rows[l->n++];
    *row = (struct layers_row){.volume = *v, .next = 1};
    return row;
}

/* A raw image is a copy: it stands on none of its layers, nor they on each other. */
static bool is_standing(const struct layers_row *row)
{
    return row->volume.format == VOLUME_QCOW2;
}

static int add_layer(struct layers_row *row, uint32_t parent, const char *snapshot, uint32_t *ret, struct err *e)
{
    struct layer *grown = row->n < LAYERS_MAX && row->next <= VOLUME_LAYER_MAX
                              ? reallocarray(row->layers, row->n + 1, sizeof(*grown))
                              : NULL;

    if (!grown)
        return row->n < LAYERS_MAX && row->next <= VOLUME_LAYER_MAX
                   ? no_memory(e)
                   : err_set(e, -E2BIG, "guest.layers", "the image '%s' has no room for another snapshot",
                             row->volume.name);
    row->layers = grown;
    *ret = row->next++;
    struct layer *layer = &row->layers[row->n++];
    *layer = (struct layer){.number = *ret, .parent = is_standing(row) ? parent : 0};
    snprintf(layer->snapshot, sizeof(layer->snapshot), "%s", snapshot);
    return 0;
}

int layers_freeze(struct layers *l, const struct volume_id *v, const char *snapshot, uint32_t *ret_number,
                  struct err *e)
{
    struct layers_row *row = row_for(l, v, e);
    int r = row ? add_layer(row, row->top, snapshot, ret_number, e) : e->num;

    if (r == 0 && is_standing(row))
        row->top = *ret_number;
    return r;
}

int layers_reset(struct layers *l, const struct volume_id *v, const char *snapshot, uint32_t *ret_number, struct err *e)
{
    struct layers_row *row = find_row(l, v);
    const struct layer *layer = row ? layers_of_snapshot(row, snapshot) : NULL;

    if (!layer)
        return err_set(e, -ENOENT, "guest.snapshot", "'%s' is not in the snapshot '%s'", v->name, snapshot);
    uint32_t number = layer->number;
    int r = add_layer(row, row->top, "", ret_number, e);
    if (r == 0 && is_standing(row))
        row->top = number;
    return r;
}

void layers_forget(struct layers *l, const char *snapshot)
{
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < l->rows[i].n; k++)
            if (streq(l->rows[i].layers[k].snapshot, snapshot))
                l->rows[i].layers[k].snapshot[0] = 0;
}

int layers_set_base(struct layers *l, const struct volume_id *v, const struct volume_id *base, struct err *e)
{
    struct layers_row *row = row_for(l, v, e);

    if (!row)
        return e->num;
    row->base = *base;
    return 0;
}

void layers_remove(struct layers *l, const struct volume_id *v)
{
    struct layers_row *row = find_row(l, v);

    if (!row)
        return;
    free(row->layers);
    memmove(row, row + 1, (size_t)(&l->rows[l->n] - (row + 1)) * sizeof(*row));
    l->n--;
}

/* ---- what is nobody's ---- */

/* How many stand on it, and who (the last one seen; 0: the image). */
static unsigned count_above(const struct layers_row *row, uint32_t number, uint32_t *ret_child)
{
    unsigned n = row->top == number;

    *ret_child = 0;
    for (size_t i = 0; i < row->n; i++)
        if (row->layers[i].parent == number) {
            n++;
            *ret_child = row->layers[i].number;
        }
    return n;
}

/* What can be dropped comes first: it may leave a layer with one above it that had two. */
enum layers_work layers_next(const struct layers *l, struct volume_id *ret_layer, uint32_t *ret_child)
{
    for (unsigned wanted = 0; wanted < 2; wanted++)
        for (size_t i = 0; i < l->n; i++)
            for (size_t k = 0; k < l->rows[i].n; k++) {
                const struct layer *layer = &l->rows[i].layers[k];
                if (layer->snapshot[0] || count_above(&l->rows[i], layer->number, ret_child) != wanted)
                    continue;
                *ret_layer = volume_layer(&l->rows[i].volume, layer->number);
                return wanted ? LAYERS_MERGE : LAYERS_DROP;
            }
    return LAYERS_NOTHING;
}

/* A row that says nothing goes: an image without one stands on nothing. But numbers are not used twice, so not before
 * the last layer of it is gone. */
static void take_out(struct layers *l, struct layers_row *row, uint32_t number)
{
    struct layer *layer = find_layer(row, number);

    if (layer) {
        memmove(layer, layer + 1, (size_t)(&row->layers[row->n] - (layer + 1)) * sizeof(*layer));
        row->n--;
    }
    if (!row->n && !row->base.name[0])
        layers_remove(l, &row->volume);
}

void layers_unfreeze(struct layers *l, const struct volume_id *v, uint32_t number)
{
    struct layers_row *row = find_row(l, v);
    const struct layer *layer = row ? find_layer(row, number) : NULL;

    if (!layer)
        return;
    if (row->top == number)
        row->top = layer->parent;
    take_out(l, row, number);
}

void layers_dropped(struct layers *l, const struct volume_id *v)
{
    struct layers_row *row = find_row(l, v);

    if (row)
        take_out(l, row, v->layer);
}

void layers_merged(struct layers *l, const struct volume_id *v)
{
    struct layers_row *row = find_row(l, v);
    const struct layer *layer = row ? find_layer(row, v->layer) : NULL;

    if (!layer)
        return;
    uint32_t below = layer->parent;
    for (size_t i = 0; i < row->n; i++)
        if (row->layers[i].parent == v->layer)
            row->layers[i].parent = below;
    if (row->top == v->layer)
        row->top = below;
    take_out(l, row, v->layer);
}
