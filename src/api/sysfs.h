/* Small reads below /sys and the like, for the routes that show hardware. Blocking: pool threads. */
#ifndef HOLM_API_SYSFS_H
#define HOLM_API_SYSFS_H

#include "base/util.h"

/* First line of dirfd/name without blanks at both ends; false (and "") if there is none. */
bool sysfs_text(int dirfd, const char *name, char *dst, size_t cap);
/* A number as the kernel writes it, decimal or 0x…; fallback if there is none. */
uint64_t sysfs_u64(int dirfd, const char *name, uint64_t fallback);
/* Last part of what a link points to; false if it is none. */
bool sysfs_link(int dirfd, const char *name, char *dst, size_t cap);
/* Names in a folder, sorted, without those that begin with '.'; at most max. Freed with sysfs_names_free. */
size_t sysfs_names(int dirfd, const char *path, char ***ret_names, size_t max);
void sysfs_names_free(char **names, size_t n);

#endif
