/* What taking, going back to and deleting a snapshot of a guest means: the steps for its volumes and its record
 * afterwards. Pure; the steps are steps.c's, the tasks src/api's. */
#ifndef HOLM_GUEST_SNAP_H
#define HOLM_GUEST_SNAP_H

#include "guest/guest.h"

struct snap_plan {
    json_t *steps;
    struct config config;
    struct layers layers;
    struct snapshots snapshots;
    bool has_copies, has_overlays; /* take: images that are copied, and that get an overlay */
};

void snap_plan_done(struct snap_plan *p);
/* What the record will be, with g for the rest. */
struct guest_record snap_plan_record(const struct snap_plan *p, const struct guest *g);

/* On failure nothing is left to free. Images that are somebody else's, and CD-ROMs, are not part of a snapshot. */
MUST_CHECK int snap_plan_take(const struct guest *g, const char *name, const char *description, int64_t now_s,
                              struct snap_plan *ret, struct err *e);
/* With its memory, into a volume of this storage that the plan makes first; not whole until snapshot.is_saving is taken
 * back. */
MUST_CHECK int snap_plan_add_ram(struct snap_plan *p, const struct guest *g, const char *name, const char *storage,
                                 struct err *e);
/* Takes snap_plan_take back, once it was committed: what was written since is gone. For the newest snapshot only. */
MUST_CHECK int snap_plan_untake(const struct guest *g, const char *name, struct snap_plan *ret, struct err *e);
/* The configuration becomes the snapshot's; a disk that it does not know is kept as unusedN. */
MUST_CHECK int snap_plan_roll_back(const struct guest *g, const char *name, struct snap_plan *ret, struct err *e);
/* The snapshot's layers become nobody's; those that nobody stands on are removed. */
MUST_CHECK int snap_plan_delete(const struct guest *g, const char *name, struct snap_plan *ret, struct err *e);
/* "guest.snapshot": a volume that a snapshot holds cannot be removed or given away. NULL if none does. */
const char *snap_holds(const struct guest *g, const struct volume_id *v);

#endif
