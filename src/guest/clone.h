/* Copies of a guest: what becomes of its configuration, and who stands on a template's images. Pure but for looking at
 * other guests' records: loop thread. */
#ifndef HOLM_GUEST_CLONE_H
#define HOLM_GUEST_CLONE_H

#include "guest/guest.h"

/* What may not be the same in two guests. uuid of SMBIOS and vmgenid, if they are in the configuration. */
struct clone_identity {
    char uuid[37], vmgenid[37];
    void (*mac)(char dst[18]); /* an address for each interface */
};

/* The configuration of the copy, with its drives as they are in the original: without snapshots, locks, unused disks
 * and the mark of a template. */
MUST_CHECK int clone_config(const struct config *from, const struct clone_identity *id, const char *name,
                            const char *description, struct config *ret, struct err *e);

bool guest_is_template(const struct guest *g);
/* A guest with an image that stands on this one's; 0: none. */
uint32_t guest_dependent(struct guest_mgr *m, uint32_t vmid);

#endif
