/* Landlock: from then on this process opens no path, in no way the kernel can tell, or only those below a few. Needs
 * no_new_privs. For programs that live on the descriptors they were given. */
#ifndef HOLM_BASE_LANDLOCK_H
#define HOLM_BASE_LANDLOCK_H

#include "base/err.h"

/* 0 also where the kernel has no Landlock: the seccomp filter of the caller must keep the same promise alone. */
MUST_CHECK int landlock_deny_paths(struct err *e);
/* The same but for reading and running what is one of these files or in one of these folders; ends with NULL. */
MUST_CHECK int landlock_allow_reading(const char *const *paths, struct err *e);

#endif
