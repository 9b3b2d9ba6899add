/* The "dir" plugin: parts, files that are received in several pieces. A part lies in the folder of the volume that it
 * becomes, under a hidden name ".upload-ID.part" which no volume can have, and becomes it by one rename. Neither lists
 * nor dir_sweep see parts: whoever began one knows it, and removes it (storage_parts finds what nobody knows).
 *
 * A part is written under a lock of its open file, which goes with every copy of the descriptor: a writer that outlived
 * the daemon it worked for still holds it, so two never write at once. Any pool thread. */
#include "storage/dir_priv.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/fp.h"
#include "base/fs.h"
#include "base/path.h"

#define PART_PREFIX   ".upload-"
#define PART_ENDING   ".part"
#define PART_NAME_MAX (sizeof(PART_PREFIX) + VOLUME_PART_ID_LEN + sizeof(PART_ENDING))

static void part_name(const char *id, char dst[PART_NAME_MAX])
{
    snprintf(dst, PART_NAME_MAX, PART_PREFIX "%s" PART_ENDING, id);
}

static int missing(struct err *e)
{
    return err_set(e, -ENOENT, "upload.missing", "the part of this upload is gone");
}

/* ---- create ---- */

static int create_in(void *arg, int folder, struct err *e)
{
    const char *name = arg;
    autoclose int fd = path_open_beneath(folder, name, O_RDWR | O_CREAT | O_EXCL, 0600, e);

    if (fd < 0)
        return fd;
    int r = FP("storage.part.created") ? err_set(e, -EIO, NULL, "fail point") : fs_sync_dir(folder, e);
    if (r < 0)
        unlinkat(folder, name, 0);
    return r;
}

int dir_part_create(struct storage *s, const struct volume_id *v, const char *id, struct err *e)
{
    char name[PART_NAME_MAX];
    int r = dir_check_unprotected(s, v, e);

    part_name(id, name);
    if (r == 0)
        r = dir_in_folder(s, v, create_in, name, NULL, e);
    return dir_explain(r, s, 0, e);
}

/* ---- write ---- */

static int open_named(const struct storage *s, const struct volume_id *v, const char *name, int *ret_folder,
                      int *ret_fd, struct stat *ret_st, struct err *e)
{
    autoclose int folder = -EBADF;
    int r = dir_folder_open(s, v->content, v->vmid, false, &folder, e);

    if (r == 0)
        r = dir_file_open(folder, name, O_RDWR, ret_st, ret_fd, e);
    if (r == -ENOENT)
        return missing(e);
    if (r == 0 && ret_folder)
        *ret_folder = TAKE_FD(folder);
    return r;
}

/* Whatever stands behind the bytes that are known to last is from a piece whose end nobody heard of. */
static int cut_to(int fd, uint64_t has_bytes, uint64_t size_bytes, struct err *e)
{
    if (has_bytes < size_bytes)
        return err_set(e, -EIO, "upload.damaged", "the part of this upload is shorter than what was received");
    if (has_bytes > size_bytes && ftruncate(fd, (off_t)size_bytes) < 0)
        return err_errno(e, errno, "truncate");
    return lseek(fd, (off_t)size_bytes, SEEK_SET) < 0 ? err_errno(e, errno, "seek") : 0;
}

int dir_part_open(struct storage *s, const struct volume_id *v, const char *id, uint64_t size_bytes, int *ret_fd,
                  struct err *e)
{
    char name[PART_NAME_MAX];
    autoclose int fd = -EBADF;
    struct stat st;

    part_name(id, name);
    int r = open_named(s, v, name, NULL, &fd, &st, e);
    if (r < 0)
        return r;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? err_set(e, -EBUSY, "upload.busy", "somebody is sending to this upload just now")
                                    : err_errno(e, errno, "lock the part");
    r = fstat(fd, &st) < 0 ? err_errno(e, errno, "stat") : cut_to(fd, (uint64_t)st.st_size, size_bytes, e);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

/* ---- the end ---- */

static int publish(int folder, const char *part, const char *name, struct err *e)
{
    if (FP("storage.part.renaming"))
        return err_set(e, -EIO, NULL, "fail point");
    if (renameat(folder, part, folder, name) < 0)
        return err_errno(e, errno, "rename");
    return FP("storage.part.renamed") ? err_set(e, -EIO, NULL, "fail point") : fs_sync_dir(folder, e);
}

int dir_part_finish(struct storage *s, const struct volume_id *v, const char *id, int fd, struct err *e)
{
    char name[PART_NAME_MAX];
    autoclose int folder = -EBADF, named = -EBADF;
    struct stat st, named_st;

    part_name(id, name);
    int r = open_named(s, v, name, &folder, &named, &named_st, e);
    if (r == 0 && fstat(fd, &st) < 0)
        r = err_errno(e, errno, "stat");
    if (r == 0 && (st.st_ino != named_st.st_ino || st.st_dev != named_st.st_dev))
        r = missing(e);
    if (r == 0)
        r = dir_check_unprotected(s, v, e);
    /* Kernels are opened again by the guest's own user, as dir_temp_open says. */
    if (r == 0 && v->content == STORAGE_CONTENT_boot && fchmod(fd, 0644) < 0)
        r = err_errno(e, errno, "set mode");
    if (r == 0 && fsync(fd) < 0)
        r = err_errno(e, errno, "fsync");
    return r < 0 ? r : publish(folder, name, volume_file(v).name, e);
}

int dir_part_remove(struct storage *s, const struct volume_id *v, const char *id, struct err *e)
{
    char name[PART_NAME_MAX];
    autoclose int folder = -EBADF;
    int r = dir_folder_open(s, v->content, v->vmid, false, &folder, e);

    part_name(id, name);
    if (r == 0 && unlinkat(folder, name, 0) < 0)
        r = err_errno(e, errno, "remove the part");
    if (r == -ENOENT) {
        *e = (struct err)ERR_INIT;
        return 0;
    }
    return r < 0 ? r : fs_sync_dir(folder, e);
}

/* ---- list ---- */

struct finding {
    struct storage_part part;
    storage_part_fn fn;
    void *arg;
};

static int find_part(void *arg, int folder, const char *name, struct err *e)
{
    struct finding *f = arg;
    struct stat st;

    if (strlen(name) != strlen(PART_PREFIX) + VOLUME_PART_ID_LEN + strlen(PART_ENDING) ||
        !str_starts(name, PART_PREFIX) || !str_ends(name, PART_ENDING) ||
        fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    snprintf(f->part.id, sizeof(f->part.id), "%.*s", (int)VOLUME_PART_ID_LEN, name + strlen(PART_PREFIX));
    f->part.mtime_s = st.st_mtim.tv_sec;
    return volume_part_id_is_valid(f->part.id) ? f->fn(f->arg, &f->part) : 0;
}

int dir_parts(struct storage *s, storage_part_fn fn, void *arg, struct err *e)
{
    struct finding f = {.fn = fn, .arg = arg};
    int r = 0;

    for (uint32_t bit = 1; r == 0 && bit <= STORAGE_CONTENT_boot; bit <<= 1) {
        autoclose int folder = -EBADF;
        f.part.content = (enum storage_content)bit;
        if (bit == STORAGE_CONTENT_rootdir || bit == STORAGE_CONTENT_images)
            continue;
        r = dir_folder_open(s, f.part.content, 0, false, &folder, e);
        if (r == 0)
            r = dir_each(folder, find_part, &f, e);
        if (r == -ENOENT) {
            *e = (struct err)ERR_INIT;
            r = 0;
        }
    }
    return r;
}
