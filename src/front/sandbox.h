/* Giving up rights: an empty root, no privileges, no new ones, no core file, small limits, no path (Landlock), no
 * system call but those of calls.c, death with holmd. Called once, after everything that opens a file or a descriptor
 * for the loop and before the first byte of the network. */
#ifndef HOLM_FRONT_SANDBOX_H
#define HOLM_FRONT_SANDBOX_H

#include <sys/types.h>

#include "base/err.h"

/* As root: chroot to chroot_dir (if given), then setgid, setuid; uid must then not be 0. As another user those steps
 * are skipped: holmd did them. descriptors: how many may be open at once. */
MUST_CHECK int sandbox_enter(const char *chroot_dir, uid_t uid, gid_t gid, unsigned descriptors, struct err *e);

#endif
