/* Durable replacement, whole-file reads, folders; see fs.h. */
#include "base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "base/fp.h"

int fs_read_at(int fd, void *data, size_t n, uint64_t offset, size_t *ret_n, const char *what, struct err *e)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = pread(fd, (char *)data + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(e, errno, "%s", what);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_n = done;
    return 0;
}

int fs_write_all(int fd, const void *data, size_t n, struct err *e)
{
    const char *p = data;

    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_errno(e, errno, "write");
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

int fs_write_all_at(int fd, const void *data, size_t n, uint64_t offset, struct err *e)
{
    const char *p = data;

    while (n) {
        ssize_t w = pwrite(fd, p, n, (off_t)offset);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_errno(e, errno, "write");
        p += w;
        offset += (uint64_t)w;
        n -= (size_t)w;
    }
    return 0;
}

int fs_sync_dir(int dirfd, struct err *e)
{
    if (fsync(dirfd) < 0)
        return err_errno(e, errno, "fsync folder");
    return 0;
}

static int replace(int dirfd, const char *name, const void *data, size_t n, mode_t mode, bool is_synced, struct err *e)
{
    static atomic_uint counter;
    char tmp[300];
    int len = snprintf(tmp, sizeof(tmp), ".%s.%d.%u.tmp", name, (int)getpid(), atomic_fetch_add(&counter, 1u));

    if (len < 0 || (size_t)len >= sizeof(tmp))
        return err_set(e, -ENAMETOOLONG, NULL, "file name too long");
    autoclose int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_errno(e, errno, "create %s", name);
    int r = fs_write_all(fd, data, n, e);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = err_errno(e, errno, "set mode of %s", name);
    if (r == 0 && is_synced && fsync(fd) < 0)
        r = err_errno(e, errno, "fsync %s", name);
    if (r == 0 && FP("fs.replace.before-rename"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
        r = err_errno(e, errno, "rename to %s", name);
    if (r < 0) {
        unlinkat(dirfd, tmp, 0);
        return err_wrap(e, r, "replace %s", name);
    }
    return is_synced ? fs_sync_dir(dirfd, e) : 0;
}

int fs_replace_durable(int dirfd, const char *name, const void *data, size_t n, mode_t mode, struct err *e)
{
    return replace(dirfd, name, data, n, mode, true, e);
}

int fs_replace_unsynced(int dirfd, const char *name, const void *data, size_t n, mode_t mode, struct err *e)
{
    return replace(dirfd, name, data, n, mode, false, e);
}

int fs_sync_all(int dirfd, struct err *e)
{
    return syncfs(dirfd) < 0 ? err_errno(e, errno, "sync the file system") : 0;
}

int fs_replace_link_durable(int dirfd, const char *name, const char *target, struct err *e)
{
    char tmp[300];
    int len = snprintf(tmp, sizeof(tmp), ".%s.%d.tmp", name, (int)getpid());

    if (len < 0 || (size_t)len >= sizeof(tmp))
        return err_set(e, -ENAMETOOLONG, NULL, "file name too long");
    if (unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove %s", tmp);
    if (symlinkat(target, dirfd, tmp) < 0)
        return err_errno(e, errno, "link %s", name);
    if (renameat(dirfd, tmp, dirfd, name) < 0) {
        int r = err_errno(e, errno, "rename to %s", name);
        unlinkat(dirfd, tmp, 0);
        return r;
    }
    return fs_sync_dir(dirfd, e);
}

int fs_read_fd(int fd, struct buf *ret, struct err *e)
{
    for (;;) {
        char *p = buf_reserve(ret, 1);
        if (!p)
            return err_set(e, -EFBIG, NULL, "file is larger than %zu bytes", ret->max);
        size_t room = ret->cap - ret->len - 1;
        ssize_t n = read(fd, p, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "read");
        if (n == 0)
            break;
        ret->len += (size_t)n;
        ret->data[ret->len] = 0;
        if (ret->len == ret->max) {
            char c;
            if (read(fd, &c, 1) == 1)
                return err_set(e, -EFBIG, NULL, "file is larger than %zu bytes", ret->max);
            break;
        }
    }
    if (ret->data)
        ret->data[ret->len] = 0;
    return 0;
}

int fs_read_file(int dirfd, const char *name, struct buf *ret, struct err *e)
{
    autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return err_errno(e, errno, "open %s", name);
    int r = fs_read_fd(fd, ret, e);
    return r < 0 ? err_wrap(e, r, "%s", name) : 0;
}

int fs_mkdirs(int dirfd, const char *path, mode_t mode, struct err *e)
{
    autofree char *copy = strdup(path);

    if (!copy)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (char *p = copy + (copy[0] == '/'); *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (*copy && mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
            return err_errno(e, errno, "create folder %s", copy);
        *p = '/';
    }
    if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
        return err_errno(e, errno, "create folder %s", copy);
    return 0;
}

int fs_open_dir(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e)
{
    int r = fs_mkdirs(dirfd, path, mode, e);

    if (r < 0)
        return r;
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "open folder %s", path);
    *ret_fd = fd;
    return 0;
}

void fs_sweep_temporary(int dirfd, const char *name)
{
    char start[300];
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    snprintf(start, sizeof(start), ".%s%s", name ? name : "", name ? "." : "");
    for (struct dirent *de; dir && (de = readdir(dir));)
        if (str_starts(de->d_name, start) && str_ends(de->d_name, ".tmp"))
            unlinkat(dirfd, de->d_name, 0);
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}

int fs_unlink_if_exists(int dirfd, const char *name, struct err *e)
{
    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove %s", name);
    return 0;
}

static int remove_entry(int dirfd, const char *name, dev_t dev, unsigned depth, struct err *e);

static int remove_children(int fd, dev_t dev, unsigned depth, struct err *e)
{
    int dup_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = dup_fd >= 0 ? fdopendir(dup_fd) : NULL;
    int r = 0;

    if (!d)
        return err_errno(e, errno, "list folder");
    for (struct dirent *de; r == 0 && (de = readdir(d));)
        if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
            r = remove_entry(fd, de->d_name, dev, depth + 1, e);
    closedir(d);
    return r;
}

static int remove_entry(int dirfd, const char *name, dev_t dev, unsigned depth, struct err *e)
{
    if (depth > 64)
        return err_set(e, -ELOOP, NULL, "folders nested too deep");
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_errno(e, errno, "remove %s", name);
    autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, errno, "open %s", name);
    if (st.st_dev != dev)
        return err_set(e, -EXDEV, NULL, "%s is on another file system", name);
    int r = remove_children(fd, dev, depth, e);
    if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = err_errno(e, errno, "remove folder %s", name);
    return r;
}

int fs_remove_tree(int dirfd, const char *name, struct err *e)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "stat %s", name);
    return remove_entry(dirfd, name, st.st_dev, 0, e);
}
