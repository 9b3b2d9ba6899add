/* The "dir" plugin: files without a name, and giving them one.
 *
 * A new file is anonymous (O_TMPFILE) until it is whole and synced; linkat then makes it visible in one step and never
 * over an existing name. A crash before leaves nothing. Where the file system has no anonymous files (NFS) the file has
 * a hidden name ".NAME.PID.N.tmp", which no volume can have; a crash leaves it for dir_sweep. */
#include "storage/dir_priv.h"

#include <fcntl.h>

#include "base/fp.h"
#include "base/fs.h"
#include "base/path.h"

/* The owner's folder goes away with its last volume, perhaps just now: then it is made again. */
#define DIR_TRIES 8

void dir_temp_make_name(const char *for_name, char dst[DIR_TEMP_MAX])
{
    static atomic_uint counter;

    snprintf(dst, DIR_TEMP_MAX, ".%s.%d.%u.tmp", for_name, (int)getpid(), atomic_fetch_add(&counter, 1u));
}

bool dir_temp_is(const char *name)
{
    return name[0] == '.' && strlen(name) > strlen("..tmp") && str_ends(name, ".tmp");
}

static int temp_open(int folder, const char *for_name, struct dir_temp *ret, struct err *e)
{
    struct dir_temp t = {.fd = path_open_beneath(folder, ".", O_TMPFILE | O_RDWR, 0600, e)};

    /* EISDIR and ENOENT: what a file system says that does not know the flag. */
    if (t.fd == -EOPNOTSUPP || t.fd == -EISDIR || t.fd == -ENOENT) {
        dir_temp_make_name(for_name, t.name);
        t.fd = path_open_beneath(folder, t.name, O_RDWR | O_CREAT | O_EXCL, 0600, e);
    }
    if (t.fd < 0)
        return t.fd;
    *ret = t;
    return 0;
}

/* File systems name a removed folder differently (ext4: EPERM for an anonymous file in it). */
static bool is_removed(int folder)
{
    struct stat st;

    return fstat(folder, &st) == 0 && st.st_nlink == 0;
}

int dir_in_folder(const struct storage *s, const struct volume_id *v, dir_folder_fn fn, void *arg, int *ret_folder,
                  struct err *e)
{
    int r = -ENOENT;

    for (int tries = 0; r == -ENOENT && tries < DIR_TRIES; tries++) {
        autoclose int folder = -EBADF;
        r = dir_folder_open(s, v->content, v->vmid, true, &folder, e);
        if (r == 0)
            r = fn(arg, folder, e);
        if (r == -EPERM && folder >= 0 && is_removed(folder))
            r = -ENOENT;
        if (r == 0 && ret_folder)
            *ret_folder = TAKE_FD(folder);
    }
    return r;
}

struct opening {
    const struct volume_id *v;
    struct dir_temp *t;
};

static int open_in(void *arg, int folder, struct err *e)
{
    const struct opening *o = arg;
    int r = temp_open(folder, volume_file(o->v).name, o->t, e);

    /* Kernels are opened again by the guest's own user; the folders above keep everybody else out. */
    if (r == 0 && o->v->content == STORAGE_CONTENT_boot && fchmod(o->t->fd, 0644) < 0)
        r = err_errno(e, errno, "set mode");
    return r;
}

int dir_temp_open(const struct storage *s, const struct volume_id *v, int *ret_folder, struct dir_temp *ret,
                  struct err *e)
{
    struct opening o = {.v = v, .t = ret};

    return dir_in_folder(s, v, open_in, &o, ret_folder, e);
}

int dir_fd_path(int fd, char dst[DIR_PATH_MAX], struct err *e)
{
    char link[40];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, dst, DIR_PATH_MAX - 1);
    if (n < 0)
        return err_errno(e, errno, "name of the temporary file");
    dst[n] = 0;
    return 0;
}

int dir_temp_name(int folder, int fd, char *ret_name, struct err *e)
{
    char target[DIR_PATH_MAX];
    struct stat st, named;

    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "stat");
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "volume.type", "not a file begun by this storage");
    ret_name[0] = 0;
    if (st.st_nlink == 0)
        return 0;
    int r = dir_fd_path(fd, target, e);
    if (r < 0)
        return r;
    const char *base = strrchr(target, '/');
    base = base ? base + 1 : target;
    if (!dir_temp_is(base) || strlen(base) >= DIR_TEMP_MAX || fstatat(folder, base, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        named.st_ino != st.st_ino || named.st_dev != st.st_dev)
        return err_set(e, -EINVAL, "volume.type", "not a file begun by this storage");
    snprintf(ret_name, DIR_TEMP_MAX, "%s", base);
    return 0;
}

void dir_temp_remove(int folder, const struct dir_temp *t)
{
    if (t->name[0])
        unlinkat(folder, t->name, 0);
}

static int link_as(const struct dir_temp *t, int temp_folder, int folder, const char *name)
{
    char path[40];

    if (t->name[0])
        return linkat(temp_folder, t->name, folder, name, 0) < 0 ? -errno : 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
    return linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* An anonymous file cannot be linked over an existing one: it gets a hidden name first, and that is renamed. */
static int replace(struct dir_temp *t, int temp_folder, int folder, const char *name, struct err *e)
{
    char hidden[DIR_TEMP_MAX];

    dir_temp_make_name(name, hidden);
    int r = link_as(t, temp_folder, folder, hidden);
    if (r < 0)
        return err_errno(e, -r, "link");
    if (FP("storage.receive.replacing"))
        r = err_set(e, -EIO, NULL, "fail point");
    else if (renameat(folder, hidden, folder, name) < 0)
        r = err_errno(e, errno, "rename");
    if (r < 0)
        unlinkat(folder, hidden, 0);
    return r;
}

struct publication {
    const char *name, *fp;
    struct dir_temp *t;
    int temp_folder;
    bool is_replace;
};

static int publish_in(void *arg, int folder, struct err *e)
{
    const struct publication *p = arg;
    struct dir_temp *t = p->t;
    int r = link_as(t, p->temp_folder, folder, p->name);
    bool is_replaced = r == -EEXIST && p->is_replace;

    if (is_replaced)
        r = replace(t, p->temp_folder, folder, p->name, e);
    else if (r == -EEXIST)
        r = err_set(e, r, "volume.exists", "the volume exists already");
    else if (r < 0)
        r = err_errno(e, -r, "link");
    if (r < 0)
        return r;
    /* The second name goes before the sync, so that one sync makes both changes last. */
    dir_temp_remove(p->temp_folder, t);
    t->name[0] = 0;
    r = FP(p->fp) ? err_set(e, -EIO, NULL, "fail point") : fs_sync_dir(folder, e);
    if (r < 0 && !is_replaced)
        unlinkat(folder, p->name, 0);
    return r;
}

int dir_publish(const struct storage *s, const struct volume_id *v, struct dir_temp *t, int temp_folder,
                bool is_replace, const char *fp, struct err *e)
{
    struct volume_file file = volume_file(v);
    struct publication p = {.name = file.name, .fp = fp, .t = t, .temp_folder = temp_folder, .is_replace = is_replace};
    int r = dir_in_folder(s, v, publish_in, &p, NULL, e);

    dir_temp_remove(temp_folder, t);
    return r;
}
