/* The "dir" plugin: volumes are files below a folder. Here: its row, its configuration, its folders and its space.
 *
 * Only the configured path is opened by name; everything below is opened beneath it, without following symbolic links
 * (path_open_beneath), because names come from clients and the tree may be written by others (a file server). */
#include "storage/dir_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <strings.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "base/fs.h"
#include "base/path.h"

static const struct {
    enum storage_content content;
    const char *folder;
} folders[] = {
    {STORAGE_CONTENT_images, "images"},     {STORAGE_CONTENT_vztmpl, "template/cache"},
    {STORAGE_CONTENT_iso, "template/iso"},  {STORAGE_CONTENT_backup, "dump"},
    {STORAGE_CONTENT_snippets, "snippets"}, {STORAGE_CONTENT_import, "import"},
    {STORAGE_CONTENT_boot, "boot"},
};

/* ---- configuration ---- */

static int check_path(const char *path, struct err *e)
{
    size_t n = strlen(path);

    if (n >= PATH_MAX / 4 || path[strspn(path, "/")] == 0)
        return err_set(e, -EINVAL, "storage.path", "the path of a storage is a folder, not '/'");
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return err_set(e, -EINVAL, "storage.path", "the path of a storage has no '.' or '..'");
        p += len + (p[len] == '/');
    }
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return err_set(e, -EINVAL, "storage.path", "the path of a storage has no control characters");
    return 0;
}

static int load_path(const struct storage *s, struct dir_storage *d, const json_t *config, const char *root_dir,
                     struct err *e)
{
    const char *path;
    int r = storage_config_str(config, "path", &path, e);

    if (r == 0 && !path)
        r = err_set(e, -EINVAL, "storage.path", "a storage of type '%s' needs a 'path'", s->ops->type);
    if (r == 0)
        r = check_path(path, e);
    if (r < 0)
        return r;
    r = path[0] == '/' ? asprintf(&d->path, "%s", path) : asprintf(&d->path, "%s/%s", root_dir, path);
    if (r < 0) {
        d->path = NULL;
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    return 0;
}

static int load_preallocation(struct dir_storage *d, const json_t *config, struct err *e)
{
    const char *mode;
    int r = storage_config_str(config, "preallocation", &mode, e);

    if (r < 0 || !mode || streq(mode, "off"))
        return r;
    if (!streq(mode, "falloc"))
        return err_set(e, -EINVAL, "storage.preallocation", "preallocation '%.16s' is not supported: off or falloc",
                       mode);
    d->is_falloc = true;
    return 0;
}

/* is_mountpoint: yes (of the path itself), no, or the folder that something must be mounted on. */
static int load_mountpoint(struct dir_storage *d, const json_t *config, struct err *e)
{
    static const char *const yes[] = {"yes", "1", "on", "true"}, *const no[] = {"no", "0", "off", "false"};
    const char *text;
    int r = storage_config_str(config, "is_mountpoint", &text, e);

    if (r < 0 || !text)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
        if (strcasecmp(text, no[i]) == 0)
            return 0;
        if (strcasecmp(text, yes[i]) == 0)
            text = d->path;
    }
    size_t n = strlen(text);
    if (text[0] != '/' || check_path(text, e) < 0 || strncmp(d->path, text, n) != 0 ||
        (d->path[n] != '/' && d->path[n] != 0))
        return err_set(e, -EINVAL, "storage.mountpoint", "is_mountpoint is yes, no, or the path or a folder above it");
    d->mountpoint = strdup(text);
    return d->mountpoint ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

/* mkdir is the older name of the other two together. */
static int load_making(struct dir_storage *d, const json_t *config, struct err *e)
{
    bool is_made = true;
    int r = storage_config_bool(config, "mkdir", &is_made, e);
    bool is_base_made = is_made, is_folder_made = is_made;

    if (r == 0)
        r = storage_config_bool(config, "create-base-path", &is_base_made, e);
    if (r == 0)
        r = storage_config_bool(config, "create-subdirs", &is_folder_made, e);
    d->has_no_base_made = !is_base_made;
    d->has_no_folder_made = !is_folder_made;
    return r;
}

/* Nothing is ever pruned here, which is what keep-all says. */
static int check_prune(const json_t *config, struct err *e)
{
    const char *rule;
    int r = storage_config_str(config, "prune-backups", &rule, e);

    if (r < 0 || !rule || streq(rule, "keep-all=1"))
        return r;
    return err_set(e, -EINVAL, "storage.prune", "backups are not pruned yet: only keep-all=1 is taken");
}

int dir_load(const struct storage *s, struct dir_storage *d, const json_t *config, const char *root_dir, struct err *e)
{
    int r = load_path(s, d, config, root_dir, e);

    if (r == 0)
        r = load_preallocation(d, config, e);
    if (r == 0)
        r = load_mountpoint(d, config, e);
    if (r == 0)
        r = load_making(d, config, e);
    return r < 0 ? r : check_prune(config, e);
}

static int dir_open(struct storage *s, const json_t *config, const char *root_dir, struct err *e)
{
    struct dir_storage *d = calloc(1, sizeof(*d));

    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    s->priv = d;
    return dir_load(s, d, config, root_dir, e);
}

void dir_close(struct storage *s)
{
    struct dir_storage *d = s->priv;

    if (d) {
        free(d->path);
        free(d->mountpoint);
    }
    free(d);
}

const char *dir_path(const struct storage *s)
{
    return dir_of(s)->path;
}

/* ---- folders ---- */

/* An unmounted disk's folder is not filled by mistake. */
static int check_mounted(const char *mountpoint, struct err *e)
{
    struct statx st = {0};

    if (statx(AT_FDCWD, mountpoint, AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
        return err_errno(e, errno, "look at %s", mountpoint);
    if (st.stx_attributes & st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
        return 0;
    return err_set(e, -ENODEV, "storage.mountpoint", "nothing is mounted on %s", mountpoint);
}

static int check_fs(const struct dir_storage *d, int fd, struct err *e)
{
    struct statfs fs;

    if (!d->kind)
        return 0;
    if (fstatfs(fd, &fs) < 0)
        return err_errno(e, errno, "look at %s", d->path);
    if ((uint32_t)fs.f_type == d->kind->fs_magic)
        return 0;
    err_set(e, -EINVAL, "storage.filesystem", "'%s' is not on a %s file system", d->path, d->kind->fs_name);
    return err_hint(e, "%s", d->kind->fs_hint);
}

int dir_root_open(const struct storage *s, int *ret_fd, struct err *e)
{
    const struct dir_storage *d = s->priv;
    const char *path = d->path;
    bool is_new = false;

    if (d->mountpoint && check_mounted(d->mountpoint, e) < 0)
        return e->num;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && !d->has_no_base_made) {
        int r = fs_mkdirs(AT_FDCWD, path, 0755, e);
        if (r < 0)
            return r;
        is_new = true;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return err_errno(e, errno, "open folder %s", path);
    int r = check_fs(d, fd, e);
    if (r < 0 && is_new)
        rmdir(path);
    /* Several parents may be new; once in a storage's life, syncing all of it is the simple way. */
    if (r == 0 && is_new && syncfs(fd) < 0)
        r = err_errno(e, errno, "sync %s", path);
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

void dir_folder_name(enum storage_content c, uint32_t vmid, char dst[DIR_FOLDER_MAX])
{
    const char *folder = "images";

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (folders[i].content == c)
            folder = folders[i].folder;
    if (vmid)
        snprintf(dst, DIR_FOLDER_MAX, "%s/%u", folder, vmid);
    else
        snprintf(dst, DIR_FOLDER_MAX, "%s", folder);
}

/* Opens one component; made if missing (mode not 0), and then its parent is synced. */
static int make_component(int parent, const char *name, mode_t mode, int *ret_fd, struct err *e)
{
    bool is_new = mode && mkdirat(parent, name, mode) == 0;

    if (mode && !is_new && errno != EEXIST)
        return err_errno(e, errno, "create folder %s", name);
    int fd = path_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0, e);
    if (fd == -ENOENT && !mode)
        return err_set(e, -ENOTDIR, "storage.folder", "folder '%s' is missing, and create-subdirs is off", name);
    if (fd < 0)
        return fd;
    int r = is_new ? fs_sync_dir(parent, e) : 0;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

/* All components of a folder; images/VMID is the owner's own (0700), the others are for everyone to look into. */
static int make_folder(int root, char *folder, bool is_owned, bool is_made, int *ret_fd, struct err *e)
{
    mode_t mode = is_made ? 0755 : 0;
    char *slash = strchr(folder, '/');
    int first = -1, second = -1;

    if (slash)
        *slash = 0;
    int r = make_component(root, folder, mode, &first, e);
    if (r < 0 || !slash) {
        *ret_fd = first;
        return r;
    }
    r = make_component(first, slash + 1, is_owned ? 0700 : mode, &second, e);
    close(first);
    *ret_fd = second;
    return r;
}

int dir_folder_open(const struct storage *s, enum storage_content c, uint32_t vmid, bool is_create, int *ret_fd,
                    struct err *e)
{
    char folder[DIR_FOLDER_MAX];
    autoclose int root = -EBADF;
    int r = dir_root_open(s, &root, e);

    if (r < 0)
        return r;
    dir_folder_name(c, vmid, folder);
    if (is_create)
        return make_folder(root, folder, vmid != 0, !dir_of(s)->has_no_folder_made, ret_fd, e);
    int fd = path_open_beneath(root, folder, O_RDONLY | O_DIRECTORY, 0, e);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

int dir_file_open(int folder, const char *name, int flags, struct stat *ret_st, int *ret_fd, struct err *e)
{
    struct stat st;

    /* Looked at before it is opened: opening a device or a pipe does things. */
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? err_set(e, -ENOENT, "volume.missing", "the volume does not exist")
                               : err_errno(e, errno, "stat");
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "volume.type", "the volume is not a regular file");
    autoclose int fd = path_open_beneath(folder, name, flags | O_NOCTTY, 0, e);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "stat");
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "volume.type", "the volume is not a regular file");
    *ret_st = st;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int dir_each(int folder, dir_name_fn fn, void *arg, struct err *e)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    int r = 0;

    if (!d) {
        r = err_errno(e, errno, "list folder");
        if (copy >= 0)
            close(copy);
        return r;
    }
    while (r >= 0) {
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de && errno)
            r = err_errno(e, errno, "list folder");
        if (!de)
            break;
        if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
            r = fn(arg, folder, de->d_name, e);
    }
    closedir(d);
    return r < 0 ? r : 0;
}

/* ---- space ---- */

int dir_space(struct storage *s, struct storage_space *ret, struct err *e)
{
    autoclose int root = -EBADF;
    struct statvfs v;
    int r = dir_root_open(s, &root, e);

    if (r < 0)
        return r;
    if (fstatvfs(root, &v) < 0)
        return err_errno(e, errno, "space of %s", dir_path(s));
    *ret = (struct storage_space){
        .total_bytes = (uint64_t)v.f_blocks * v.f_frsize,
        .used_bytes = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize,
        .available_bytes = (uint64_t)v.f_bavail * v.f_frsize,
    };
    return 0;
}

int dir_explain(int r, const struct storage *s, uint64_t needed_bytes, struct err *e)
{
    struct storage_space space = {0};
    struct err ignored = ERR_INIT;

    if (r == -EFBIG)
        return err_set(e, r, "volume.size", "the file system cannot hold a file of %" PRIu64 " bytes", needed_bytes);
    if (r != -ENOSPC && r != -EDQUOT)
        return r;
    if (dir_space((struct storage *)(uintptr_t)s, &space, &ignored) < 0)
        space.available_bytes = 0;
    if (needed_bytes)
        err_set(e, -ENOSPC, "storage.full", "%" PRIu64 " bytes needed, %" PRIu64 " available", needed_bytes,
                space.available_bytes);
    else
        err_set(e, -ENOSPC, "storage.full", "no space left, %" PRIu64 " bytes available", space.available_bytes);
    return err_hint(e, "free space below %.100s or choose another storage", dir_path(s));
}

const char *const dir_keys[] = {
    "path", "preallocation", "is_mountpoint", "mkdir", "create-base-path", "create-subdirs", "prune-backups", NULL};

const struct storage_ops storage_dir_ops = {
    .type = "dir",
    .contents = STORAGE_CONTENT_images | STORAGE_CONTENT_rootdir | STORAGE_CONTENT_vztmpl | STORAGE_CONTENT_iso |
                STORAGE_CONTENT_backup | STORAGE_CONTENT_snippets | STORAGE_CONTENT_import | STORAGE_CONTENT_boot,
    .default_contents = STORAGE_CONTENT_images | STORAGE_CONTENT_rootdir,
    .formats = 1u << VOLUME_RAW | 1u << VOLUME_QCOW2,
    .caps = STORAGE_CAP_THIN | STORAGE_CAP_RESIZE,
    .keys = dir_keys,
    .open = dir_open,
    .close = dir_close,
    .path = dir_path,
    .volume_path = dir_volume_path,
    .space = dir_space,
    .create = dir_create,
    .make_begin = dir_make_begin,
    .make_finish = dir_make_finish,
    .remove = dir_remove,
    .stat = dir_stat,
    .grow = dir_grow,
    .open_volume = dir_open_volume,
    .freeze = dir_freeze,
    .unfreeze = dir_unfreeze,
    .fork = dir_fork,
    .exchange = dir_exchange,
    .rename = dir_rename,
    .replace_by = dir_replace_by,
    .layers = dir_layers,
    .list = dir_list,
    .receive_begin = dir_receive_begin,
    .receive_finish = dir_receive_finish,
    .receive_abort = dir_receive_abort,
    .note_get = dir_note_get,
    .note_set = dir_note_set,
    .part_create = dir_part_create,
    .part_open = dir_part_open,
    .part_finish = dir_part_finish,
    .part_remove = dir_part_remove,
    .parts = dir_parts,
    .sweep = dir_sweep,
};
