/* Between qemu_move.c (another storage or format) and qemu_reassign.c (another guest). */
#ifndef HOLM_API_QEMU_MOVE_H
#define HOLM_API_QEMU_MOVE_H

#include "api/qemu_change.h"

#define MOVE_KEY_MAX      32u
#define MOVE_LOCK_WAIT_MS 3000u

/* Nothing else has the guest, and it is the one that the client has seen: digest may be NULL. */
MUST_CHECK int move_check_guest(const struct guest *g, const char *digest, struct err *e);
/* Gives g a disk of another guest; API_LATER or an error. */
int reassign_begin(struct api_call *c, const struct api_qemu_move_disk_args *a, const struct guest *g, struct err *e);

#endif
