/* What the images of a guest stand on, uppermost first: worked out on the loop, where the records of other guests
 * (templates) can be looked at, and used by pool threads that open files. */
#ifndef HOLM_GUEST_CHAIN_H
#define HOLM_GUEST_CHAIN_H

#include "guest/guest.h"

struct chain {
    struct volume_id volume;
    struct volume_id *below;
    size_t n;
};

/* Only those that stand on something. */
struct chains {
    struct chain *items;
    size_t n;
};

void chains_done(struct chains *c);
/* Of every image that the configuration's drives name. -EINVAL "guest.layers" if a template's volume stands on itself.
 */
MUST_CHECK int chains_of(struct guest_mgr *m, const struct guest *g, const struct config *c, struct chains *ret,
                         struct err *e);
/* What one image, or layer, of the guest stands on. */
MUST_CHECK int chain_of(struct guest_mgr *m, const struct guest *g, const struct volume_id *v, struct chain *ret,
                        struct err *e);
void chain_done(struct chain *c);
const struct chain *chains_find(const struct chains *c, const struct volume_id *v);

#endif
