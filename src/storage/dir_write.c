/* The "dir" plugin, writing: create, remove, receive. Any pool thread; the caller holds the name reserved.
 *
 * Order of a creation: write, mark, fsync, link, fsync of the folder. So a volume is there whole or not at all, and it
 * carries its mark from the moment it has a name. */
#include "storage/dir_priv.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/fp.h"
#include "base/fs.h"

/* ---- the mark ---- */

/* Without extended attributes the mark is the nanoseconds of the modification time: a number from the mark's text.
 * Any later write changes them, so an undo there removes only what nobody wrote to. */
static long mark_nanoseconds(const char *mark)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (const char *p = mark; *p; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    return (long)(h % 1000000000u);
}

int dir_mark_set(int fd, const char *mark, struct err *e)
{
    if (!mark || fsetxattr(fd, DIR_MARK_XATTR, mark, strlen(mark), 0) == 0)
        return 0;
    if (errno != ENOTSUP)
        return err_errno(e, errno, "mark the volume");
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    if (clock_gettime(CLOCK_REALTIME, &times[1]) < 0)
        return err_errno(e, errno, "clock");
    times[1].tv_nsec = mark_nanoseconds(mark);
    return futimens(fd, times) < 0 ? err_errno(e, errno, "mark the volume") : 0;
}

int dir_copy_clean(int fd, struct err *e)
{
    if (fremovexattr(fd, DIR_MARK_XATTR) < 0 && errno != ENODATA)
        return err_errno(e, errno, "unmark the copy");
    return dir_note_clear(fd, e);
}

static int mark_matches(int fd, const struct stat *st, const char *mark, bool *ret, struct err *e)
{
    char value[VOLUME_MARK_MAX + 1];
    ssize_t n = fgetxattr(fd, DIR_MARK_XATTR, value, sizeof(value));

    if (n >= 0)
        *ret = (size_t)n == strlen(mark) && memcmp(value, mark, (size_t)n) == 0;
    else if (errno == ENOTSUP)
        *ret = st->st_mtim.tv_nsec == mark_nanoseconds(mark);
    else if (errno == ENODATA || errno == ERANGE)
        *ret = false;
    else
        return err_errno(e, errno, "read the volume's mark");
    return 0;
}

/* ---- create ---- */

static int write_at(void *arg, uint64_t offset, const void *data, size_t n, struct err *e)
{
    return fs_write_all_at(*(const int *)arg, data, n, offset, e);
}

/* Thin volumes may promise more than the file system has; that is what thin means. Preallocated ones may not, and it is
 * said before the last free bytes are taken from everybody else. */
static int preallocate(struct storage *s, int fd, uint64_t size_bytes, struct err *e)
{
    struct storage_space space;
    int r = s->ops->space(s, &space, e);

    if (r < 0)
        return r;
    if (size_bytes > space.available_bytes)
        return err_set(e, -ENOSPC, NULL, "not enough space");
    do
        r = fallocate(fd, 0, 0, (off_t)size_bytes) < 0 ? -errno : 0;
    while (r == -EINTR);
    if (r == -EOPNOTSUPP)
        return err_set(e, r, "storage.preallocation", "the file system below %s cannot preallocate", s->ops->path(s));
    return r < 0 ? err_errno(e, -r, "allocate") : 0;
}

int dir_fill(struct storage *s, const struct volume_id *v, int fd, uint64_t size_bytes, struct err *e)
{
    const struct dir_storage *d = s->priv;

    if (v->format == VOLUME_QCOW2 && d->is_falloc)
        return err_set(e, -EOPNOTSUPP, "storage.preallocation",
                       "qcow2 images are not preallocated; use raw, or set preallocation to off");
    if (v->format == VOLUME_QCOW2)
        return qcow2_write_empty(size_bytes, write_at, &fd, e);
    if (d->is_falloc)
        return preallocate(s, fd, size_bytes, e);
    return ftruncate(fd, (off_t)size_bytes) < 0 ? err_errno(e, errno, "set the size") : 0;
}

int dir_finish(const struct storage *s, const struct volume_id *v, struct dir_temp *t, int folder, const char *mark,
               struct err *e)
{
    int r = dir_mark_set(t->fd, mark, e);

    if (r == 0 && fsync(t->fd) < 0)
        r = err_errno(e, errno, "fsync");
    if (r == 0 && FP("storage.create.written"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r < 0) {
        dir_temp_remove(folder, t);
        return r;
    }
    return dir_publish(s, v, t, folder, false, "storage.create.linked", e);
}

int dir_check_absent(const struct storage *s, const struct volume_id *v, struct err *e)
{
    autoclose int folder = -EBADF;
    struct stat st;
    int r = dir_folder_open(s, v->content, v->vmid, false, &folder, e);

    if (r == 0 && fstatat(folder, dir_entry(s, v).name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(e, -EEXIST, "volume.exists", "the volume exists already");
    return r == -ENOENT ? 0 : r;
}

int dir_create(struct storage *s, const struct volume_id *v, uint64_t size_bytes, const char *mark, struct err *e)
{
    autoclose int folder = -EBADF;
    struct dir_temp t = {.fd = -EBADF};
    int r = dir_check_absent(s, v, e); /* before the work; what decides is the link */

    if (r == 0)
        r = dir_temp_open(s, v, &folder, &t, e);
    if (r == 0) {
        r = dir_fill(s, v, t.fd, size_bytes, e);
        if (r < 0)
            dir_temp_remove(folder, &t);
        else
            r = dir_finish(s, v, &t, folder, mark, e);
        close(t.fd);
    }
    if (r < 0)
        dir_owner_tidy(s, v->vmid);
    return dir_explain(r, s, size_bytes, e);
}

int dir_make_begin(struct storage *s, const struct volume_id *v, uint64_t size_bytes, int *ret_fd, struct err *e)
{
    autoclose int folder = -EBADF;
    struct dir_temp t = {.fd = -EBADF};
    int r = dir_check_absent(s, v, e);

    if (r == 0)
        r = dir_temp_open(s, v, &folder, &t, e);
    if (r == 0) {
        r = dir_fill(s, v, t.fd, size_bytes, e);
        if (r < 0) {
            dir_temp_remove(folder, &t);
            close(t.fd);
        }
    }
    if (r < 0) {
        dir_owner_tidy(s, v->vmid);
        return dir_explain(r, s, size_bytes, e);
    }
    *ret_fd = t.fd;
    return 0;
}

int dir_make_finish(struct storage *s, const struct volume_id *v, int fd, const char *mark, struct err *e)
{
    autoclose int folder = -EBADF;
    struct dir_temp t = {.fd = fd};
    int r = dir_folder_open(s, v->content, v->vmid, true, &folder, e);

    if (r == 0)
        r = dir_temp_name(folder, fd, t.name, e);
    if (r == 0)
        r = dir_finish(s, v, &t, folder, mark, e);
    if (r < 0)
        dir_receive_abort(s, v, fd);
    return dir_explain(r, s, 0, e);
}

/* ---- remove ---- */

void dir_owner_tidy(const struct storage *s, uint32_t vmid)
{
    struct err ignored = ERR_INIT;
    autoclose int images = -EBADF;
    char name[16];

    if (!vmid || dir_folder_open(s, STORAGE_CONTENT_images, 0, false, &images, &ignored) < 0)
        return;
    snprintf(name, sizeof(name), "%u", vmid);
    /* Fails as long as something is in it. An empty folder that comes back after a power cut does no harm. */
    unlinkat(images, name, AT_REMOVEDIR);
}

int dir_is_marked(const struct storage *s, const struct volume_id *v, const char *mark, bool *ret, struct err *e)
{
    autoclose int fd = -EBADF;
    struct stat st;
    int r = dir_volume_open(s, v, O_RDONLY, &st, &fd, e);

    *ret = false;
    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : mark_matches(fd, &st, mark, ret, e);
}

static int remove_in(const struct storage *s, int folder, const struct volume_id *v, const char *mark, struct err *e)
{
    autoclose int fd = -EBADF;
    struct stat st;
    bool is_ours = true;
    int r = dir_volume_open(s, v, O_RDONLY, &st, &fd, e);

    if (r == 0 && mark)
        r = mark_matches(fd, &st, mark, &is_ours, e);
    if (r < 0 || !is_ours)
        return r == -ENOENT ? 0 : r;
    r = dir_entry_remove(s, folder, v, e);
    if (r < 0)
        return r;
    if (FP("storage.delete.unlinked"))
        return err_set(e, -EIO, NULL, "fail point");
    return fs_sync_dir(folder, e);
}

int dir_remove(struct storage *s, const struct volume_id *v, const char *mark, struct err *e)
{
    autoclose int folder = -EBADF;
    int r = dir_folder_open(s, v->content, v->vmid, false, &folder, e);

    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = remove_in(s, folder, v, mark, e);
    if (r == 0)
        dir_owner_tidy(s, v->vmid);
    return r;
}

/* ---- receive ---- */

int dir_receive_begin(struct storage *s, const struct volume_id *v, int *ret_fd, struct err *e)
{
    autoclose int folder = -EBADF;
    struct dir_temp t;
    int r = dir_temp_open(s, v, &folder, &t, e);

    if (r == 0 && dir_check_unprotected(s, v, e) < 0) {
        r = e->num;
        dir_temp_remove(folder, &t);
        close(t.fd);
    }
    if (r < 0) {
        dir_owner_tidy(s, v->vmid);
        return dir_explain(r, s, 0, e);
    }
    *ret_fd = t.fd;
    return 0;
}

static int receive_publish(struct storage *s, const struct volume_id *v, int fd, bool is_replace, struct err *e)
{
    autoclose int folder = -EBADF;
    struct dir_temp t = {.fd = fd};
    int r = dir_folder_open(s, v->content, v->vmid, true, &folder, e);

    if (r == 0)
        r = dir_temp_name(folder, fd, t.name, e);
    if (r == 0 && fsync(fd) < 0)
        r = err_errno(e, errno, "fsync");
    if (r == 0 && FP("storage.receive.written"))
        r = err_set(e, -EIO, NULL, "fail point");
    return r < 0 ? r : dir_publish(s, v, &t, folder, is_replace, "storage.receive.linked", e);
}

int dir_receive_finish(struct storage *s, const struct volume_id *v, int fd, bool is_replace, struct err *e)
{
    struct stat st = {0};
    int r = fstat(fd, &st) < 0 ? err_errno(e, errno, "stat") : receive_publish(s, v, fd, is_replace, e);

    if (r < 0)
        dir_receive_abort(s, v, fd);
    return r < 0 ? dir_explain(r, s, (uint64_t)st.st_size, e) : 0;
}

void dir_receive_abort(struct storage *s, const struct volume_id *v, int fd)
{
    struct err ignored = ERR_INIT;
    autoclose int folder = -EBADF;
    struct dir_temp t = {.fd = fd};

    if (dir_folder_open(s, v->content, v->vmid, false, &folder, &ignored) == 0 &&
        dir_temp_name(folder, fd, t.name, &ignored) == 0)
        dir_temp_remove(folder, &t);
    dir_owner_tidy(s, v->vmid);
}
