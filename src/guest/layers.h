/* Which layers the images of a guest have (ADR 6): the member `layers` of its record. Pure, no files; what storages are
 * asked to do follows from it (layers_next).
 *
 * An image without a row here stands on nothing and has no layers. Layers of an image are a tree: each stands on its
 * parent, the lowest on nothing or on the image of a template (`base`). */
#ifndef HOLM_GUEST_LAYERS_H
#define HOLM_GUEST_LAYERS_H

#include <jansson.h>

#include "base/json.h"
#include "storage/storage.h"

#define SNAPSHOT_NAME_MAX 40u
#define LAYERS_ROWS_MAX   64u  /* images of a guest */
#define LAYERS_MAX        512u /* layers of an image */

struct layer {
    uint32_t number, parent;              /* parent 0: none, or the base */
    char snapshot[SNAPSHOT_NAME_MAX + 1]; /* "": nobody's, only stood upon */
};

struct layers_row {
    struct volume_id volume;
    struct volume_id base; /* base.name[0] == 0: none */
    uint32_t top, next;    /* what the image stands on; the next number */
    struct layer *layers;  /* by number */
    size_t n;
};

struct layers {
    struct layers_row *rows;
    size_t n;
};

void layers_done(struct layers *l);
MUST_CHECK int layers_copy(const struct layers *from, struct layers *ret);
/* The object as it was written; NULL: none. Refuses what is no tree: -EINVAL "guest.layers". */
MUST_CHECK int layers_load(json_t *object, struct layers *ret, struct err *e);
/* The object's members, inside an open object. */
void layers_write(const struct layers *l, struct jw *w);

const struct layers_row *layers_find(const struct layers *l, const struct volume_id *v);
/* The layer that holds the image as it was in this snapshot; NULL: it was not in it. */
const struct layer *layers_of_snapshot(const struct layers_row *row, const char *snapshot);
/* What `number` of the row stands on, 0 for the image itself: false if on nothing. */
bool layers_below(const struct layers_row *row, uint32_t number, struct volume_id *ret);

/* Changes; each gives -ENOMEM or a plain error and then changes nothing. A raw image and its layers are
 * copies and stand on nothing. */

/* The image is frozen for a snapshot: its new layer. */
MUST_CHECK int layers_freeze(struct layers *l, const struct volume_id *v, const char *snapshot, uint32_t *ret_number,
                             struct err *e);
/* Takes the newest layers_freeze of the image back. */
void layers_unfreeze(struct layers *l, const struct volume_id *v, uint32_t number);
/* The image becomes what it was in the snapshot; what it was until now gets the number `ret_number`, and nobody wants
 * it. */
MUST_CHECK int layers_reset(struct layers *l, const struct volume_id *v, const char *snapshot, uint32_t *ret_number,
                            struct err *e);
/* The snapshot is gone: its layers are nobody's. */
void layers_forget(struct layers *l, const char *snapshot);
/* An image made as a linked clone. */
MUST_CHECK int layers_set_base(struct layers *l, const struct volume_id *v, const struct volume_id *base,
                               struct err *e);
/* The image is gone, or another guest's. */
void layers_remove(struct layers *l, const struct volume_id *v);
/* What is to be done about a layer that is nobody's. */
enum layers_work {
    LAYERS_NOTHING,
    LAYERS_DROP,  /* nobody stands on it: its file goes, then layers_dropped */
    LAYERS_MERGE, /* only `child` stands on it (0: the image): the two become one, then layers_merged */
};
enum layers_work layers_next(const struct layers *l, struct volume_id *ret_layer, uint32_t *ret_child);
void layers_dropped(struct layers *l, const struct volume_id *layer);
/* The child has all of it and stands on what the layer stood on. */
void layers_merged(struct layers *l, const struct volume_id *layer);

#endif
