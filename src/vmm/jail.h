/* What holm-vmm gives up when everything is open and before the guest's first instruction. Afterwards there is no file
 * to open, no network, no capability, no way to any of it; with the filters of calls.h no call to ask for it either.
 * Nothing here makes or follows a path: the new root is a file system of its own that nobody else can reach. */
#ifndef HOLM_VMM_JAIL_H
#define HOLM_VMM_JAIL_H

#include <sys/types.h>

#include "base/err.h"

#define JAIL_NOBODY 65534u

struct jail_options {
    uid_t uid; /* whom root becomes; others stay who they are */
    gid_t gid;
    unsigned n_descriptors; /* that may yet be opened: interrupt lines, connections */
};

struct jail_report {
    char note[96]; /* what the host did not let us do; "" if nothing */
};

/* Once, with one thread. Descriptors that were inherited and that no option named (they lack FD_CLOEXEC) are closed;
 * standard input and output become /dev/null. Root must succeed in everything. Another user has what the host lets him:
 * without user namespaces for everybody he keeps the namespaces and the root he was started in, which the report says.
 */
MUST_CHECK int jail_enter(const struct jail_options *o, struct jail_report *ret_report, struct err *e);

#endif
