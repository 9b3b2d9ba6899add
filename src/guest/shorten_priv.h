/* Between shorten.c and shorten_live.c. */
#ifndef HOLM_GUEST_SHORTEN_PRIV_H
#define HOLM_GUEST_SHORTEN_PRIV_H

#include "guest/chain.h"
#include "guest/still.h"

/* One layer and the only image that stands on it. */
struct merge {
    struct guest_mgr *m;
    uint32_t vmid;
    struct task *task;
    const char *user;
    struct volume_id layer;
    uint32_t child;
    guest_live_done_fn fn;
    void *arg;
};

/* shorten_live.c: which image of a running disk the child is, if it is one: fills key with the drive's. */
bool merge_is_live(const struct merge *w, const struct guest *g, const struct config_item **ret_drive,
                   size_t *ret_index);
/* By the hypervisor. */
void merge_live(const struct merge *w, const struct config_item *drive, size_t index);

/* shorten.c: the plan that ends a merge: these steps (taken), and the record without the layer. The configuration is
 * held, so it is a plan of no guest's queue. */
MUST_CHECK int merge_commit(const struct merge *w, json_t *steps, void (*fn)(void *arg, int r, const struct err *e),
                            void *arg, struct err *e);

#endif
