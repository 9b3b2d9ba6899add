/* The "btrfs" plugin: a dir storage on a btrfs file system in which each raw image is a subvolume of its own, so that a
 * layer or a copy of it is a snapshot, made at once and whatever its size. The layout is Proxmox VE's
 * (images/VMID/vm-VMID-disk-N/disk.raw; pve-storage, BTRFSPlugin.pm), so that its disks are found here; layers lie
 * beside it as ADR 6 calls them (snap-VMID-disk-N-3/disk.raw), read-only. Everything else, qcow2 images among it, is
 * dir's.
 *
 * A subvolume is made under a hidden name and is renamed when it is whole: the file system has the change of its name
 * and everything in it committed when the folder is synced. Whatever has a hidden name after a crash, dir_sweep
 * removes. Any pool thread. Snapshots and removals need CAP_SYS_ADMIN. No quotas: usage is what the file says. */
#include "storage/dir_base.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>

#include "base/fp.h"
#include "base/fs.h"
#include "base/path.h"

struct btrfs_storage {
    struct dir_storage dir; /* first: the hooks of dir see only this */
    bool is_nocow;
};

static const char raw_file[] = "disk.raw";

/* ---- subvolumes ---- */

/* Makes or removes a subvolume of a folder. */
static int change(int folder, unsigned long request, const char *name, const char *what, struct err *e)
{
    struct btrfs_ioctl_vol_args args = {.fd = 0};

    if (str_copy(args.name, sizeof(args.name), name) < 0)
        return err_set(e, -ENAMETOOLONG, "volume.name", "the name is too long");
    return ioctl(folder, request, &args) < 0 ? err_errno(e, errno, "%s", what) : 0;
}

static int snapshot(int folder, int from, const char *name, struct err *e)
{
    struct btrfs_ioctl_vol_args_v2 args = {.fd = from};

    if (str_copy(args.name, sizeof(args.name), name) < 0)
        return err_set(e, -ENAMETOOLONG, "volume.name", "the name is too long");
    return ioctl(folder, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0 ? err_errno(e, errno, "take a btrfs snapshot") : 0;
}

static int raw_check(int fd, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "stat");
    if (st.st_ino == BTRFS_FIRST_FREE_OBJECTID)
        return 0;
    err_set(e, -EINVAL, "volume.type", "the volume's folder is not a subvolume");
    return err_hint(e, "make one with 'btrfs subvolume create' and copy the file into it");
}

static int raw_remove(int folder, const char *name, struct err *e)
{
    return change(folder, BTRFS_IOC_SNAP_DESTROY, name, "remove the subvolume", e);
}

static int read_only_get(int fd, uint64_t *ret_flags, struct err *e)
{
    return ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, ret_flags) < 0 ? err_errno(e, errno, "read the subvolume's flags") : 0;
}

static int read_only_set(int fd, bool is_read_only, struct err *e)
{
    uint64_t flags = 0;
    int r = read_only_get(fd, &flags, e);

    if (r < 0)
        return r;
    flags = is_read_only ? flags | BTRFS_SUBVOL_RDONLY : flags & ~(uint64_t)BTRFS_SUBVOL_RDONLY;
    return ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) < 0 ? err_errno(e, errno, "set the subvolume's flags") : 0;
}

/* ---- a subvolume that has no name of its own yet ---- */

struct draft {
    int folder, subvolume, file;
    char name[DIR_TEMP_MAX];
    int from; /* the subvolume that it is a snapshot of; negative: it is empty */
};

static void draft_close(struct draft *d)
{
    util_close_fd(&d->file);
    util_close_fd(&d->subvolume);
    util_close_fd(&d->folder);
}

static void draft_drop(struct draft *d)
{
    struct err ignored = ERR_INIT;

    /* What is still open does not keep a subvolume. If it stays all the same, dir_sweep has it. */
    if (raw_remove(d->folder, d->name, &ignored) == 0)
        (void)!fsync(d->folder);
    draft_close(d);
}

static int draft_make(void *arg, int folder, struct err *e)
{
    const struct draft *d = arg;

    return d->from < 0 ? change(folder, BTRFS_IOC_SUBVOL_CREATE, d->name, "make a subvolume", e)
                       : snapshot(folder, d->from, d->name, e);
}

/* Without copies of what is written there are no checksums either, which is why it has to be asked for. */
static int set_nocow(int fd, struct err *e)
{
    int flags = 0;

    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return err_errno(e, errno, "read the file's flags");
    flags |= FS_NOCOW_FL;
    return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? err_errno(e, errno, "set nocow") : 0;
}

static int draft_file(const struct storage *s, struct draft *d, struct err *e)
{
    struct stat st;

    d->subvolume = path_open_beneath(d->folder, d->name, O_RDONLY | O_DIRECTORY, 0, e);
    if (d->subvolume < 0)
        return d->subvolume;
    if (d->from >= 0)
        return dir_file_open(d->subvolume, raw_file, O_RDWR, &st, &d->file, e);
    if (fchmod(d->subvolume, 0700) < 0)
        return err_errno(e, errno, "set mode");
    d->file = path_open_beneath(d->subvolume, raw_file, O_RDWR | O_CREAT | O_EXCL, 0600, e);
    if (d->file < 0)
        return d->file;
    return ((const struct btrfs_storage *)s->priv)->is_nocow ? set_nocow(d->file, e) : 0;
}

/* Proxmox VE calls its snapshots NAME@SNAPSHOT; lists leave them out. */
static int check_name(const struct volume_id *v, struct err *e)
{
    return strchr(v->name, '@') ? err_set(e, -EINVAL, "volume.name", "a raw image on btrfs has no '@' in its name") : 0;
}

static int draft_open(const struct storage *s, const struct volume_id *v, int from, struct draft *ret, struct err *e)
{
    struct draft d = {.folder = -EBADF, .subvolume = -EBADF, .file = -EBADF, .from = from};
    int r = check_name(v, e);

    dir_temp_make_name(dir_entry(s, v).name, d.name);
    if (r == 0)
        r = dir_in_folder(s, v, draft_make, &d, &d.folder, e);
    if (r < 0)
        return r;
    r = draft_file(s, &d, e);
    if (r < 0)
        draft_drop(&d);
    else
        *ret = d;
    return r;
}

/* Gives it the volume's name, durably, and closes it; on failure it is gone. fp: fail point after the name appeared. */
static int draft_publish(const struct storage *s, const struct volume_id *v, struct draft *d, bool is_replace,
                         const char *fp, struct err *e)
{
    struct volume_file entry = dir_entry(s, v);
    int r = renameat2(d->folder, d->name, d->folder, entry.name, RENAME_NOREPLACE) < 0 ? -errno : 0;
    bool is_replaced = r == -EEXIST && is_replace;

    if (is_replaced)
        r = renameat2(d->folder, d->name, d->folder, entry.name, RENAME_EXCHANGE) < 0 ? -errno : 0;
    if (r == -EEXIST)
        err_set(e, r, "volume.exists", "the volume exists already");
    else if (r < 0)
        err_errno(e, -r, "rename");
    if (r == 0) {
        r = FP(fp) ? err_set(e, -EIO, NULL, "fail point") : fs_sync_dir(d->folder, e);
        if (r < 0 && !is_replaced)
            snprintf(d->name, sizeof(d->name), "%s", entry.name);
    }
    if (r < 0 || is_replaced) /* then the hidden name is the old volume's */
        draft_drop(d);
    else
        draft_close(d);
    return r;
}

static int draft_finish(const struct storage *s, const struct volume_id *v, struct draft *d, const char *mark,
                        bool is_read_only, struct err *e)
{
    int r = dir_mark_set(d->file, mark, e);

    if (r == 0 && fsync(d->file) < 0)
        r = err_errno(e, errno, "fsync");
    if (r == 0 && is_read_only)
        r = read_only_set(d->subvolume, true, e);
    if (r == 0 && FP("storage.create.written"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0)
        return draft_publish(s, v, d, false, "storage.create.linked", e);
    draft_drop(d);
    return r;
}

/* ---- images ---- */

static bool is_subvolume(const struct volume_id *v)
{
    return v->content == STORAGE_CONTENT_images && v->format == VOLUME_RAW;
}

static int btrfs_create(struct storage *s, const struct volume_id *v, uint64_t size_bytes, const char *mark,
                        struct err *e)
{
    struct draft d;

    if (!is_subvolume(v))
        return dir_create(s, v, size_bytes, mark, e);
    int r = draft_open(s, v, -1, &d, e);
    if (r == 0) {
        r = dir_fill(s, v, d.file, size_bytes, e);
        if (r < 0)
            draft_drop(&d);
        else
            r = draft_finish(s, v, &d, mark, false, e);
    }
    if (r < 0)
        dir_owner_tidy(s, v->vmid);
    return dir_explain(r, s, size_bytes, e);
}

static int draft_find(const struct storage *s, const struct volume_id *v, int fd, struct draft *ret, struct err *e);

static int btrfs_make_begin(struct storage *s, const struct volume_id *v, uint64_t size_bytes, int *ret_fd,
                            struct err *e)
{
    struct draft d;

    if (!is_subvolume(v))
        return dir_make_begin(s, v, size_bytes, ret_fd, e);
    int r = dir_check_absent(s, v, e);
    if (r == 0)
        r = draft_open(s, v, -1, &d, e);
    if (r == 0 && (r = dir_fill(s, v, d.file, size_bytes, e)) < 0)
        draft_drop(&d);
    if (r < 0) {
        dir_owner_tidy(s, v->vmid);
        return dir_explain(r, s, size_bytes, e);
    }
    *ret_fd = TAKE_FD(d.file);
    draft_close(&d);
    return 0;
}

static int btrfs_make_finish(struct storage *s, const struct volume_id *v, int fd, const char *mark, struct err *e)
{
    struct draft d;

    if (!is_subvolume(v))
        return dir_make_finish(s, v, fd, mark, e);
    int r = draft_find(s, v, fd, &d, e);
    if (r == 0)
        r = draft_finish(s, v, &d, mark, false, e);
    if (r < 0)
        dir_owner_tidy(s, v->vmid);
    return dir_explain(r, s, 0, e);
}

static int copy(struct storage *s, const struct volume_id *from, const struct volume_id *to, const char *mark,
                bool is_read_only, struct err *e)
{
    autoclose int subvolume = -EBADF;
    struct volume_file file;
    struct draft d;
    int r = dir_place_open(s, from, &subvolume, &file, e);

    if (r == 0)
        r = draft_open(s, to, subvolume, &d, e);
    if (r == 0) {
        r = dir_copy_clean(d.file, e);
        if (r < 0)
            draft_drop(&d);
        else
            r = draft_finish(s, to, &d, mark, is_read_only, e);
    }
    if (r < 0)
        dir_owner_tidy(s, to->vmid);
    return dir_explain(r, s, 0, e);
}

static int btrfs_freeze(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e)
{
    return is_subvolume(v) ? copy(s, v, layer, NULL, true, e) : dir_freeze(s, v, layer, e);
}

static int btrfs_fork(struct storage *s, const struct volume_id *from, const struct volume_id *to, const char *mark,
                      struct err *e)
{
    return is_subvolume(to) ? copy(s, from, to, mark, false, e) : dir_fork(s, from, to, mark, e);
}

/* Into another folder only what can be written to is moved. A crash in between leaves a layer that can be: nobody
 * does. */
static int btrfs_rename(struct storage *s, const struct volume_id *from, const struct volume_id *to, struct err *e)
{
    autoclose int fd = -EBADF;
    struct volume_file file;
    uint64_t flags = 0;
    int r = is_subvolume(to) ? check_name(to, e) : 0;

    if (r < 0 || !is_subvolume(from))
        return r < 0 ? r : dir_rename(s, from, to, e);
    r = dir_place_open(s, from, &fd, &file, e);
    if (r == 0)
        r = read_only_get(fd, &flags, e);
    if (r == 0 && flags & BTRFS_SUBVOL_RDONLY)
        r = read_only_set(fd, false, e);
    if (r == 0 || r == -ENOENT) /* perhaps it has the new name already */
        r = dir_rename(s, from, to, e);
    return r == 0 && flags & BTRFS_SUBVOL_RDONLY ? read_only_set(fd, true, e) : r;
}

/* ---- receive ---- */

static int btrfs_receive_begin(struct storage *s, const struct volume_id *v, int *ret_fd, struct err *e)
{
    struct draft d;

    if (!is_subvolume(v))
        return dir_receive_begin(s, v, ret_fd, e);
    int r = dir_check_unprotected(s, v, e);
    if (r == 0)
        r = draft_open(s, v, -1, &d, e);
    if (r < 0) {
        dir_owner_tidy(s, v->vmid);
        return dir_explain(r, s, 0, e);
    }
    *ret_fd = TAKE_FD(d.file);
    draft_close(&d);
    return 0;
}

/* Whether this folder has the draft whose file is open. */
static int draft_look(void *arg, int folder, struct err *e)
{
    struct draft *d = arg;
    struct stat open, named;

    d->subvolume = path_open_beneath(folder, d->name, O_RDONLY | O_DIRECTORY, 0, e);
    if (d->subvolume < 0 || fstat(d->file, &open) < 0 ||
        fstatat(d->subvolume, raw_file, &named, AT_SYMLINK_NOFOLLOW) < 0 || open.st_ino != named.st_ino ||
        open.st_dev != named.st_dev)
        return err_set(e, -EINVAL, "volume.type", "not a file begun by this storage");
    return 0;
}

/* The draft of a file that btrfs_receive_begin gave; it has a descriptor of its own. */
static int draft_find(const struct storage *s, const struct volume_id *v, int fd, struct draft *ret, struct err *e)
{
    struct draft d = {.folder = -EBADF, .subvolume = -EBADF, .file = fcntl(fd, F_DUPFD_CLOEXEC, 3), .from = -1};
    char path[DIR_PATH_MAX];
    int r = d.file < 0 ? err_errno(e, errno, "the received file") : dir_fd_path(fd, path, e);
    char *slash = r == 0 ? strrchr(path, '/') : NULL, *name = NULL;

    if (slash) {
        *slash = 0;
        name = strrchr(path, '/');
    }
    if (r == 0 && (!name || !dir_temp_is(name + 1) || str_copy(d.name, sizeof(d.name), name + 1) < 0))
        r = err_set(e, -EINVAL, "volume.type", "not a file begun by this storage");
    if (r == 0)
        r = dir_in_folder(s, v, draft_look, &d, &d.folder, e);
    if (r < 0)
        draft_close(&d);
    else
        *ret = d;
    return r;
}

static int btrfs_receive_finish(struct storage *s, const struct volume_id *v, int fd, bool is_replace, struct err *e)
{
    struct stat st = {0};
    struct draft d;

    if (!is_subvolume(v))
        return dir_receive_finish(s, v, fd, is_replace, e);
    int r = draft_find(s, v, fd, &d, e);
    if (r == 0) {
        r = fsync(fd) < 0 || fstat(fd, &st) < 0 ? err_errno(e, errno, "fsync") : 0;
        if (r == 0 && FP("storage.receive.written"))
            r = err_set(e, -EIO, NULL, "fail point");
        if (r == 0)
            r = draft_publish(s, v, &d, is_replace, "storage.receive.linked", e);
        else
            draft_drop(&d);
    }
    if (r < 0)
        dir_owner_tidy(s, v->vmid);
    return dir_explain(r, s, (uint64_t)st.st_size, e);
}

static void btrfs_receive_abort(struct storage *s, const struct volume_id *v, int fd)
{
    struct err ignored = ERR_INIT;
    struct draft d;

    if (!is_subvolume(v)) {
        dir_receive_abort(s, v, fd);
        return;
    }
    if (draft_find(s, v, fd, &d, &ignored) == 0)
        draft_drop(&d);
    dir_owner_tidy(s, v->vmid);
}

/* ---- the row ---- */

static const struct dir_kind kind = {
    .fs_magic = BTRFS_SUPER_MAGIC,
    .fs_name = "btrfs",
    .fs_hint = "mount a btrfs file system there and set is_mountpoint, or make a storage of type dir",
    .raw_file = raw_file,
    .raw_check = raw_check,
    .raw_remove = raw_remove,
};

static int btrfs_open(struct storage *s, const json_t *config, const char *root_dir, struct err *e)
{
    struct btrfs_storage *b = calloc(1, sizeof(*b));

    if (!b)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    b->dir.kind = &kind;
    s->priv = b;
    int r = storage_config_bool(config, "nocow", &b->is_nocow, e);
    return r < 0 ? r : dir_load(s, &b->dir, config, root_dir, e);
}

static const char *const btrfs_keys[] = {
    "path",           "preallocation", "is_mountpoint", "mkdir", "create-base-path",
    "create-subdirs", "prune-backups", "nocow",         NULL};

const struct storage_ops storage_btrfs_ops = {
    .type = "btrfs",
    .contents = STORAGE_CONTENT_images | STORAGE_CONTENT_rootdir | STORAGE_CONTENT_vztmpl | STORAGE_CONTENT_iso |
                STORAGE_CONTENT_backup | STORAGE_CONTENT_snippets | STORAGE_CONTENT_import | STORAGE_CONTENT_boot,
    .default_contents = STORAGE_CONTENT_images | STORAGE_CONTENT_rootdir,
    .formats = 1u << VOLUME_RAW | 1u << VOLUME_QCOW2,
    .caps = STORAGE_CAP_SNAPSHOT | STORAGE_CAP_CLONE | STORAGE_CAP_THIN | STORAGE_CAP_RESIZE,
    .keys = btrfs_keys,
    .open = btrfs_open,
    .close = dir_close,
    .path = dir_path,
    .volume_path = dir_volume_path,
    .space = dir_space,
    .create = btrfs_create,
    .make_begin = btrfs_make_begin,
    .make_finish = btrfs_make_finish,
    .remove = dir_remove,
    .stat = dir_stat,
    .grow = dir_grow,
    .open_volume = dir_open_volume,
    .freeze = btrfs_freeze,
    .unfreeze = dir_unfreeze,
    .fork = btrfs_fork,
    .exchange = dir_exchange,
    .rename = btrfs_rename,
    .layers = dir_layers,
    .list = dir_list,
    .replace_by = dir_replace_by,
    .receive_begin = btrfs_receive_begin,
    .receive_finish = btrfs_receive_finish,
    .receive_abort = btrfs_receive_abort,
    .note_get = dir_note_get,
    .note_set = dir_note_set,
    .part_create = dir_part_create,
    .part_open = dir_part_open,
    .part_finish = dir_part_finish,
    .part_remove = dir_part_remove,
    .parts = dir_parts,
    .sweep = dir_sweep,
};
