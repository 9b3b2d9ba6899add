/* The "dir" plugin: layers of an image and copies that cost nothing (ADR 6). Any pool thread; the caller holds the
 * guest's configuration, so that nobody else changes these names.
 *
 * A name never goes away while what it stands for is needed: a layer is linked before the volume's name gets the
 * overlay, and that by one rename. What a step needs space for comes before the first name changes. */
#include "storage/dir_priv.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/fp.h"
#include "base/fs.h"

static int write_at(void *arg, uint64_t offset, const void *data, size_t n, struct err *e)
{
    return fs_write_all_at(*(const int *)arg, data, n, offset, e);
}

static int missing(int r, struct err *e)
{
    return r == -ENOENT ? err_set(e, r, "volume.missing", "the volume does not exist") : r;
}

/* The file of an image; ret_size: the virtual size. */
static int open_file(const struct storage *s, const struct volume_id *v, int *ret_fd, struct stat *ret_st,
                     uint64_t *ret_size, struct err *e)
{
    struct qcow2_info image;
    int r = dir_volume_open(s, v, O_RDONLY, ret_st, ret_fd, e);

    if (r == 0 && v->format == VOLUME_QCOW2) {
        r = dir_header_read(*ret_fd, ret_st, &image, e);
        *ret_size = image.size_bytes;
    } else if (r == 0) {
        *ret_size = (uint64_t)ret_st->st_size;
    }
    return r;
}

/* Variables of a firmware, the state of a TPM: a copy costs nothing worth talking about. */
#define SMALL_BYTES (16u << 20)

static int copy_small(int from, int to, uint64_t size_bytes, struct err *e)
{
    off_t in = 0, out = 0;

    while ((uint64_t)in < size_bytes) {
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(size_bytes - (uint64_t)in), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(e, n < 0 ? errno : EIO, "copy");
    }
    return 0;
}

static int copy_raw(int from, int to, uint64_t size_bytes, struct err *e)
{
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EXDEV && errno != EINVAL && errno != ENOTTY)
        return err_errno(e, errno, "copy by reference");
    if (size_bytes <= SMALL_BYTES)
        return copy_small(from, to, size_bytes, e);
    err_set(e, -EOPNOTSUPP, "volume.snapshot", "the file system cannot copy a raw image by reference");
    return err_hint(e, "move the disk to the format qcow2, or to a storage on btrfs or XFS");
}

/* What `to` begins with: an overlay on `from`, or a copy. */
static int fill_fork(const struct storage *s, const struct volume_id *from, int from_fd, uint64_t size_bytes,
                     const struct volume_id *to, int to_fd, struct err *e)
{
    char name[DIR_BACKING_MAX];
    struct qcow2_backing b = {.name = name, .format = volume_format_name(from->format)};

    if (to->format != VOLUME_QCOW2)
        return copy_raw(from_fd, to_fd, size_bytes, e);
    dir_backing_name(s, to, from, name);
    return qcow2_write_overlay(size_bytes, &b, write_at, &to_fd, e);
}

/* A file for `to` without a name yet; from is the volume that it is made of, called `as` from then on. */
static int fork_temp(struct storage *s, const struct volume_id *from, const struct volume_id *as,
                     const struct volume_id *to, int *ret_folder, struct dir_temp *ret, struct err *e)
{
    autoclose int fd = -EBADF;
    struct dir_temp t = {.fd = -EBADF};
    struct stat st;
    uint64_t size_bytes = 0;
    int r = open_file(s, from, &fd, &st, &size_bytes, e);

    if (r == 0)
        r = dir_temp_open(s, to, ret_folder, &t, e);
    if (r < 0)
        return r;
    r = fill_fork(s, as, fd, size_bytes, to, t.fd, e);
    if (r < 0) {
        dir_temp_remove(*ret_folder, &t);
        close(t.fd);
        return r;
    }
    *ret = t;
    return 0;
}

int dir_fork(struct storage *s, const struct volume_id *from, const struct volume_id *to, const char *mark,
             struct err *e)
{
    autoclose int folder = -EBADF;
    struct dir_temp t;
    int r = fork_temp(s, from, from, to, &folder, &t, e);

    if (r == 0) {
        r = dir_finish(s, to, &t, folder, mark, e);
        close(t.fd);
    }
    if (r < 0)
        dir_owner_tidy(s, to->vmid);
    return dir_explain(r, s, 0, e);
}

/* ---- freeze ---- */

/* The volume's file gets the layer's name, the overlay the volume's. */
static int freeze_names(struct storage *s, int folder, const struct volume_id *v, const struct volume_id *layer,
                        struct dir_temp *t, int temp_folder, struct err *e)
{
    if (linkat(folder, volume_file(v).name, folder, volume_file(layer).name, 0) < 0)
        return errno == EEXIST ? err_set(e, -EEXIST, "volume.exists", "the layer exists already")
                               : err_errno(e, errno, "link");
    int r = FP("storage.freeze.linked") ? err_set(e, -EIO, NULL, "fail point") : fs_sync_dir(folder, e);
    if (r == 0)
        r = dir_publish(s, v, t, temp_folder, true, "storage.freeze.replaced", e);
    return r;
}

static int freeze_qcow2(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e)
{
    autoclose int folder = -EBADF, temp_folder = -EBADF;
    struct dir_temp t;
    struct err ignored = ERR_INIT;
    int r = dir_folder_open(s, v->content, v->vmid, false, &folder, e);

    if (r == 0)
        r = fork_temp(s, v, layer, v, &temp_folder, &t, e);
    if (r < 0)
        return missing(r, e);
    r = fsync(t.fd) < 0 ? err_errno(e, errno, "fsync") : 0;
    if (r == 0 && FP("storage.freeze.written"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0) {
        r = freeze_names(s, folder, v, layer, &t, temp_folder, e);
        if (r < 0 && r != -EEXIST && dir_unfreeze(s, v, layer, &ignored) < 0)
            err_hint(e, "taking it back failed, too: %s", ignored.text);
    }
    if (r < 0)
        dir_temp_remove(temp_folder, &t);
    close(t.fd);
    return r;
}

int dir_freeze(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e)
{
    if (v->format == VOLUME_RAW)
        return dir_fork(s, v, layer, NULL, e);
    return dir_explain(freeze_qcow2(s, v, layer, e), s, 0, e);
}

/* The volume stands on this very layer, so the layer is what the volume was. */
static int stands_on(const struct storage *s, const struct volume_id *v, const struct volume_id *layer, bool *ret,
                     struct err *e)
{
    autoclose int fd = -EBADF;
    struct err ignored = ERR_INIT;
    char name[DIR_BACKING_MAX];
    struct qcow2_info image;
    struct stat st;
    uint64_t size_bytes = 0;
    int r = open_file(s, v, &fd, &st, &size_bytes, e);

    if (r == 0)
        r = dir_header_read(fd, &st, &image, e);
    dir_backing_name(s, v, layer, name);
    *ret = r == 0 && qcow2_check_overlay(&image, name, &ignored) == 0;
    return r;
}

int dir_unfreeze(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e)
{
    autoclose int folder = -EBADF;
    struct stat was, is;
    bool is_on_layer = false;
    int r = dir_folder_open(s, v->content, v->vmid, false, &folder, e);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (fstatat(folder, dir_entry(s, layer).name, &was, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "stat");
    if (fstatat(folder, dir_entry(s, v).name, &is, AT_SYMLINK_NOFOLLOW) < 0)
        return missing(-errno, e);
    if (v->format == VOLUME_QCOW2 && is.st_ino != was.st_ino)
        r = stands_on(s, v, layer, &is_on_layer, e);
    if (r < 0)
        return r;
    if (!is_on_layer)
        r = dir_entry_remove(s, folder, layer, e);
    else if (renameat(folder, volume_file(layer).name, folder, volume_file(v).name) < 0)
        r = err_errno(e, errno, "take the layer back");
    return r < 0 ? r : fs_sync_dir(folder, e);
}

/* ---- names ---- */

int dir_exchange(struct storage *s, const struct volume_id *v, const struct volume_id *layer,
                 const struct volume_id *marked, const char *mark, struct err *e)
{
    autoclose int folder = -EBADF;
    bool is_due = false;
    int r = missing(dir_folder_open(s, v->content, v->vmid, false, &folder, e), e);

    if (r == 0)
        r = dir_is_marked(s, marked, mark, &is_due, e);
    if (r < 0 || !is_due)
        return r;
    if (renameat2(folder, dir_entry(s, v).name, folder, dir_entry(s, layer).name, RENAME_EXCHANGE) < 0)
        return err_errno(e, errno, "exchange the names");
    return FP("storage.exchange.done") ? err_set(e, -EIO, NULL, "fail point") : fs_sync_dir(folder, e);
}

static bool is_there(const struct storage *s, int folder, const struct volume_id *v)
{
    struct stat st;

    return fstatat(folder, dir_entry(s, v).name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int dir_rename(struct storage *s, const struct volume_id *from, const struct volume_id *to, struct err *e)
{
    autoclose int old = -EBADF, folder = -EBADF;
    int r = dir_folder_open(s, to->content, to->vmid, true, &folder, e);

    if (r == 0)
        r = dir_folder_open(s, from->content, from->vmid, false, &old, e);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT || !is_there(s, old, from))
        return is_there(s, folder, to) ? 0 : missing(-ENOENT, e);
    if (renameat2(old, dir_entry(s, from).name, folder, dir_entry(s, to).name, RENAME_NOREPLACE) < 0)
        return errno == EEXIST ? err_set(e, -EEXIST, "volume.exists", "the volume exists already")
                               : err_errno(e, errno, "rename");
    r = FP("storage.rename.done") ? err_set(e, -EIO, NULL, "fail point") : fs_sync_dir(folder, e);
    if (r == 0 && from->vmid != to->vmid)
        r = fs_sync_dir(old, e);
    dir_owner_tidy(s, from->vmid);
    return r;
}

/* ---- merge ---- */

/* Both files are there: the layer's gets the child's name, by one rename. */
static int replace_in(int folder, const struct volume_id *child, const struct volume_id *layer, struct err *e)
{
    autoclose int from = -EBADF, to = -EBADF;
    struct stat st;
    int r = dir_file_open(folder, volume_file(child).name, O_RDONLY, &st, &from, e);

    if (r == 0)
        r = dir_file_open(folder, volume_file(layer).name, O_RDWR, &st, &to, e);
    if (r == 0)
        r = dir_note_copy(from, to, e);
    if (r == 0 && fsync(to) < 0)
        r = err_errno(e, errno, "fsync");
    if (r == 0 && FP("storage.replace.begin"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0 && renameat(folder, volume_file(layer).name, folder, volume_file(child).name) < 0)
        r = err_errno(e, errno, "rename");
    if (r == 0 && FP("storage.replace.done"))
        r = err_set(e, -EIO, NULL, "fail point");
    return r < 0 ? r : fs_sync_dir(folder, e);
}

int dir_replace_by(struct storage *s, const struct volume_id *child, const struct volume_id *layer, struct err *e)
{
    autoclose int folder = -EBADF;
    bool is_on_layer;
    int r = missing(dir_folder_open(s, child->content, child->vmid, false, &folder, e), e);

    if (r == 0)
        r = stands_on(s, child, layer, &is_on_layer, e);
    if (r < 0)
        return r;
    if (!is_there(s, folder, layer))
        return is_on_layer ? missing(-ENOENT, e) : fs_sync_dir(folder, e);
    if (!is_on_layer)
        return err_set(e, -EINVAL, "image.chain", "'%s' does not stand on '%s'", volume_file(child).name,
                       volume_file(layer).name);
    return replace_in(folder, child, layer, e);
}
