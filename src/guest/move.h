/* What moving a disk does to a guest's configuration: which disks can be moved, and the values that name them. Pure but
 * for the look at the other guests; loop thread. The steps are steps of plans, the tasks src/api's. */
#ifndef HOLM_GUEST_MOVE_H
#define HOLM_GUEST_MOVE_H

#include "guest/guest.h"

/* The guest's configuration as a change of its disks begins with it: with what is pending, if the guest is stopped. */
MUST_CHECK int move_config(const struct guest *g, struct config *ret, struct err *e);
/* The volume of a drive or unusedN that only this key names: refused is what is no disk, what is not the guest's own,
 * and what somebody else needs as it is: a snapshot, a clone, another guest. */
MUST_CHECK int move_find(struct guest_mgr *m, const struct guest *g, const struct config *c, const char *key,
                         struct volume_id *ret, struct err *e);
/* key becomes `value` with another volume: its options stay, its size is the true one. unusedN has neither. */
MUST_CHECK int move_set(struct config *c, const char *key, const char *value, const struct volume_id *to,
                        uint64_t size_bytes, struct err *e);
/* The key is gone, from the boot order too. */
MUST_CHECK int move_unset(struct config *c, const char *key, struct err *e);
/* The configuration without an unusedN of this volume. */
void move_forget(struct config *c, const struct volume_id *v);
/* One of a pair that takes no other kind of volume: the variables of UEFI, the state of a TPM. */
bool move_is_state(const char *key);

#endif
