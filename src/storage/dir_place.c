/* The "dir" plugin: where the bytes of a volume lie. A volume is a file of the folder that it belongs to; for a plugin
 * built on this one (struct dir_kind) a raw image is a folder there, with one file in it. Nothing else knows the
 * difference but how such folders are made, which is that plugin's own. */
#include "storage/dir_priv.h"

#include <fcntl.h>

#include "base/path.h"

static const char raw_ending[] = ".raw";

/* The kind of the folder that it is, NULL: a file. */
static const struct dir_kind *kind_of(const struct storage *s, const struct volume_id *v)
{
    const struct dir_kind *kind = dir_of(s)->kind;

    return kind && kind->raw_file && v->content == STORAGE_CONTENT_images && v->format == VOLUME_RAW ? kind : NULL;
}

struct volume_file dir_entry(const struct storage *s, const struct volume_id *v)
{
    struct volume_file f = volume_file(v);

    if (kind_of(s, v))
        f.name[strlen(f.name) - strlen(raw_ending)] = 0;
    return f;
}

static int missing(int r, struct err *e)
{
    return r == -ENOENT ? err_set(e, r, "volume.missing", "the volume does not exist") : r;
}

/* Opens a folder of the kind; what else is there is in the way. */
static int open_kind(const struct dir_kind *kind, int folder, const char *name, int *ret_fd, struct err *e)
{
    autoclose int fd = path_open_beneath(folder, name, O_RDONLY | O_DIRECTORY, 0, e);

    if (fd == -ENOTDIR || fd == -ELOOP)
        return err_set(e, -EINVAL, "volume.type", "the volume is not a folder");
    int r = fd < 0 ? missing(fd, e) : kind->raw_check(fd, e);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int dir_place_open(const struct storage *s, const struct volume_id *v, int *ret_folder, struct volume_file *ret_file,
                   struct err *e)
{
    const struct dir_kind *kind = kind_of(s, v);
    struct volume_file entry = dir_entry(s, v);
    autoclose int folder = -EBADF;
    int r = missing(dir_folder_open(s, v->content, v->vmid, false, &folder, e), e);

    if (r < 0)
        return r;
    if (!kind) {
        *ret_folder = TAKE_FD(folder);
        *ret_file = entry;
        return 0;
    }
    snprintf(ret_file->name, sizeof(ret_file->name), "%s", kind->raw_file);
    return open_kind(kind, folder, entry.name, ret_folder, e);
}

int dir_volume_open(const struct storage *s, const struct volume_id *v, int flags, struct stat *ret_st, int *ret_fd,
                    struct err *e)
{
    autoclose int folder = -EBADF;
    struct volume_file file;
    int r = dir_place_open(s, v, &folder, &file, e);

    if (r == 0)
        r = dir_file_open(folder, file.name, flags, ret_st, ret_fd, e);
    if (r == -ENOENT && folder >= 0 && kind_of(s, v))
        r = err_set(e, -EINVAL, "volume.type", "the volume's folder has no file '%s'", file.name);
    return r;
}

int dir_volume_path(const struct storage *s, const struct volume_id *v, char *dst, size_t cap, struct err *e)
{
    const struct dir_kind *kind = kind_of(s, v);
    char folder[DIR_FOLDER_MAX];

    dir_folder_name(v->content, v->vmid, folder);
    int n = snprintf(dst, cap, "%s/%s/%s%s%s", dir_path(s), folder, dir_entry(s, v).name, kind ? "/" : "",
                     kind ? kind->raw_file : "");
    return n < 0 || (size_t)n >= cap ? err_set(e, -ENAMETOOLONG, "storage.path", "the path is too long") : 0;
}

void dir_backing_name(const struct storage *s, const struct volume_id *v, const struct volume_id *below,
                      char dst[DIR_BACKING_MAX])
{
    const struct dir_kind *kind = kind_of(s, below);
    char owner[16] = "";

    if (v->vmid != below->vmid)
        snprintf(owner, sizeof(owner), "../%u/", below->vmid);
    snprintf(dst, DIR_BACKING_MAX, "%s%s%s%s", owner, dir_entry(s, below).name, kind ? "/" : "",
             kind ? kind->raw_file : "");
}

/* The file that the name stands for, as it is without the kind: "" if the kind has no such name. A folder of the kind
 * with '@' is not a volume: Proxmox VE calls its snapshots so. */
static struct volume_file file_of(const struct dir_kind *kind, const char *name, bool is_folder)
{
    struct volume_file f = {.name = ""};

    if (!is_folder)
        snprintf(f.name, sizeof(f.name), "%s", name);
    else if (kind && kind->raw_file && strlen(name) + sizeof(raw_ending) <= sizeof(f.name) && !strchr(name, '@'))
        snprintf(f.name, sizeof(f.name), "%s%s", name, raw_ending);
    return f;
}

int dir_volume_of(const struct storage *s, int folder, const char *name, bool is_layer, struct volume_id *volume,
                  struct stat *ret_st)
{
    struct err ignored = ERR_INIT;
    autoclose int fd = -EBADF;
    struct volume_id v;

    if (fstatat(folder, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!S_ISREG(ret_st->st_mode) && !S_ISDIR(ret_st->st_mode)))
        return -ENOENT; /* gone since, or something else */
    bool is_folder = S_ISDIR(ret_st->st_mode);
    struct volume_file file = file_of(dir_of(s)->kind, name, is_folder);
    int r = is_layer ? volume_layer_of_file(s->id, volume->vmid, file.name, &v)
                     : volume_id_make(s->id, volume->content, volume->vmid, file.name, &v, &ignored);
    if (r < 0 || !streq(dir_entry(s, &v).name, name))
        return -ENOENT; /* temporary files, and what others put there */
    if (is_folder && dir_volume_open(s, &v, O_RDONLY, ret_st, &fd, &ignored) < 0)
        return -ENOENT;
    *volume = v;
    return 0;
}

int dir_entry_remove(const struct storage *s, int folder, const struct volume_id *v, struct err *e)
{
    const struct dir_kind *kind = kind_of(s, v);
    struct volume_file entry = dir_entry(s, v);
    int r = kind ? kind->raw_remove(folder, entry.name, e) : 0;

    if (!kind && unlinkat(folder, entry.name, 0) < 0)
        r = err_errno(e, errno, "unlink");
    return r == -ENOENT ? 0 : r;
}
