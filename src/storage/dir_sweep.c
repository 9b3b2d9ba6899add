/* The "dir" plugin, at the daemon's start: removes temporary names and empty owner folders that a crash left. Only what
 * has not changed since before the start is touched; on a shared storage another node may be at work with a clock of
 * its own, so a day is added there (a file that is being received changes all the time). */
#include "storage/dir_priv.h"

#include <fcntl.h>

#include "base/path.h"

#define SHARED_MARGIN_S 86400

struct sweep {
    const struct storage *s;
    int64_t older_than_s;
    size_t n_removed;
};

static bool is_old(const struct sweep *w, int folder, const char *name, mode_t type)
{
    struct stat st;

    return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type &&
           st.st_ctim.tv_sec < w->older_than_s;
}

/* A plain folder of such a name is somebody else's. */
static int sweep_image_folder(struct sweep *w, int folder, const char *name, struct err *e)
{
    const struct dir_kind *kind = dir_of(w->s)->kind;
    struct err ignored = ERR_INIT;
    autoclose int fd = path_open_beneath(folder, name, O_RDONLY | O_DIRECTORY, 0, &ignored);

    if (!kind || !kind->raw_file || fd < 0 || kind->raw_check(fd, &ignored) < 0)
        return 0;
    int r = kind->raw_remove(folder, name, e);
    w->n_removed += r == 0;
    return r;
}

static int sweep_file(void *arg, int folder, const char *name, struct err *e)
{
    struct sweep *w = arg;

    if (!dir_temp_is(name))
        return 0;
    if (is_old(w, folder, name, S_IFDIR))
        return sweep_image_folder(w, folder, name, e);
    if (!is_old(w, folder, name, S_IFREG))
        return 0;
    if (unlinkat(folder, name, 0) < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "remove %.100s", name);
    w->n_removed++;
    return 0;
}

static int sweep_folder(struct sweep *w, enum storage_content c, uint32_t vmid, struct err *e)
{
    autoclose int folder = -EBADF;
    int r = dir_folder_open(w->s, c, vmid, false, &folder, e);

    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : dir_each(folder, sweep_file, w, e);
}

static int sweep_owner(void *arg, int images, const char *name, struct err *e)
{
    struct sweep *w = arg;
    uint32_t vmid;
    struct stat st;

    if (volume_vmid_parse(name, strlen(name), &vmid) < 0 || fstatat(images, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISDIR(st.st_mode))
        return 0;
    bool is_old_folder = st.st_ctim.tv_sec < w->older_than_s;
    int r = sweep_folder(w, STORAGE_CONTENT_images, vmid, e);
    if (r == 0 && is_old_folder && unlinkat(images, name, AT_REMOVEDIR) == 0)
        w->n_removed++;
    return r;
}

int dir_sweep(struct storage *s, int64_t older_than_s, size_t *ret_removed, struct err *e)
{
    struct sweep w = {.s = s, .older_than_s = older_than_s - (storage_is_shared(s) ? SHARED_MARGIN_S : 0)};
    autoclose int images = -EBADF;
    int r = 0;

    for (uint32_t bit = 1; r == 0 && bit <= STORAGE_CONTENT_boot; bit <<= 1)
        if (bit != STORAGE_CONTENT_rootdir)
            r = sweep_folder(&w, (enum storage_content)bit, 0, e);
    if (r == 0)
        r = dir_folder_open(s, STORAGE_CONTENT_images, 0, false, &images, e);
    if (r == 0)
        r = dir_each(images, sweep_owner, &w, e);
    *ret_removed = w.n_removed;
    return r == -ENOENT ? 0 : r;
}
