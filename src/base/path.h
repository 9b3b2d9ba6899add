/* Names and paths that came from outside. Every such name passes path_name_check (one component) or is opened with
 * path_open_beneath (several), never by string concatenation alone. */
#ifndef HOLM_BASE_PATH_H
#define HOLM_BASE_PATH_H

#include <sys/types.h>

#include "base/err.h"

/* One path component: 1..max bytes, printable ASCII without '/', not "." or "..", no leading '.' or '-', no trailing
 * '.' or blank. Returns 0 or -EINVAL with code "name.invalid". */
MUST_CHECK int path_name_check(const char *name, size_t max, struct err *e);

/* Opens path below dirfd with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS (openat2); O_CLOEXEC is
 * added. Returns the fd or a negative errno. */
MUST_CHECK int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct err *e);

#endif
