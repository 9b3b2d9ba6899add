/* Files. The only code that renames (fs_replace_*) and the only opener of names that came from outside
 * (path_open_beneath, in path.h). All functions block: call them from a pool thread or before the loop runs. */
#ifndef HOLM_BASE_FS_H
#define HOLM_BASE_FS_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Writes n bytes to dirfd/name so that after a power cut either the old or the new content is there: temporary file in
 * the same folder, fsync, rename, fsync of the folder. A failed fsync is final: the temporary is removed, -EIO. */
MUST_CHECK int fs_replace_durable(int dirfd, const char *name, const void *data, size_t n, mode_t mode, struct err *e);
/* The same for thousands of files that can be made again: durable when fs_sync_all, of their file system, has come
 * back. Until then a power cut may leave one of them empty. */
MUST_CHECK int fs_replace_unsynced(int dirfd, const char *name, const void *data, size_t n, mode_t mode, struct err *e);
MUST_CHECK int fs_sync_all(int dirfd, struct err *e);

/* The same for a symbolic link: name points to target afterwards, whatever it was before. */
MUST_CHECK int fs_replace_link_durable(int dirfd, const char *name, const char *target, struct err *e);

/* The whole file into ret (an initialised buf; its max caps the size, -EFBIG beyond). */
MUST_CHECK int fs_read_file(int dirfd, const char *name, struct buf *ret, struct err *e);
MUST_CHECK int fs_read_fd(int fd, struct buf *ret, struct err *e);

/* mkdir -p below dirfd; components are created with mode. An existing folder is fine. */
MUST_CHECK int fs_mkdirs(int dirfd, const char *path, mode_t mode, struct err *e);
/* mkdirs and open it (O_PATH is not used: the fd can be synced). */
MUST_CHECK int fs_open_dir(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e);

/* Up to n bytes from this place; *ret_n < n: the file ends there. what: begins the error's text. */
MUST_CHECK int fs_read_at(int fd, void *data, size_t n, uint64_t offset, size_t *ret_n, const char *what,
                          struct err *e);
MUST_CHECK int fs_write_all(int fd, const void *data, size_t n, struct err *e);
MUST_CHECK int fs_write_all_at(int fd, const void *data, size_t n, uint64_t offset, struct err *e);
MUST_CHECK int fs_sync_dir(int dirfd, struct err *e);
/* Removes a file; a missing one is success. */
/* Removes what fs_replace_durable(dirfd, name) of a process that was killed left; name NULL: of any name. Best effort.
 */
void fs_sweep_temporary(int dirfd, const char *name);
MUST_CHECK int fs_unlink_if_exists(int dirfd, const char *name, struct err *e);
/* rm -r of dirfd/name without following symbolic links or leaving the file system. Missing is success. */
MUST_CHECK int fs_remove_tree(int dirfd, const char *name, struct err *e);

#endif
