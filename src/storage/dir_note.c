/* The "dir" plugin: notes on a volume and its protection. They are extended attributes of the file, so they go away
 * with it and no other file lies beside it that could be taken for a volume. */
#include "storage/dir_priv.h"

#include <fcntl.h>
#include <sys/xattr.h>

#define NOTES_XATTR     "user.holm.notes"
#define PROTECTED_XATTR "user.holm.protected"

static bool is_none(int error)
{
    return error == ENODATA || error == ENOTSUP;
}

static int is_protected(int fd, bool *ret, struct err *e)
{
    char value;

    *ret = fgetxattr(fd, PROTECTED_XATTR, &value, 1) >= 0 || errno == ERANGE;
    return *ret || is_none(errno) ? 0 : err_errno(e, errno, "read the volume's protection");
}

int dir_note_get(struct storage *s, const struct volume_id *v, struct volume_note *ret, struct err *e)
{
    autoclose int fd = -EBADF;
    struct stat st;
    int r = dir_volume_open(s, v, O_RDONLY, &st, &fd, e);

    *ret = (struct volume_note){0};
    if (r == 0)
        r = is_protected(fd, &ret->is_protected, e);
    if (r < 0)
        return r;
    ssize_t n = fgetxattr(fd, NOTES_XATTR, ret->notes, VOLUME_NOTES_MAX);
    if (n < 0 && !is_none(errno) && errno != ERANGE)
        return err_errno(e, errno, "read the volume's notes");
    ret->notes[n > 0 ? n : 0] = 0;
    return 0;
}

static int set_or_remove(int fd, const char *name, const char *value, struct err *e)
{
    int r = *value ? fsetxattr(fd, name, value, strlen(value), 0) : fremovexattr(fd, name);

    if (r == 0 || (!*value && is_none(errno)))
        return 0;
    if (errno == ENOTSUP)
        return err_set(e, -EOPNOTSUPP, "volume.notes", "the file system keeps no notes (extended attributes)");
    return err_errno(e, errno, "write the volume's notes");
}

int dir_note_set(struct storage *s, const struct volume_id *v, const struct volume_note *note, struct err *e)
{
    autoclose int fd = -EBADF;
    struct stat st;
    int r = dir_volume_open(s, v, O_RDONLY, &st, &fd, e);

    if (r == 0)
        r = set_or_remove(fd, NOTES_XATTR, note->notes, e);
    if (r == 0)
        r = set_or_remove(fd, PROTECTED_XATTR, note->is_protected ? "1" : "", e);
    if (r == 0 && fsync(fd) < 0)
        r = err_errno(e, errno, "fsync");
    return r;
}

static int copy_one(int from, int to, const char *name, struct err *e)
{
    char value[VOLUME_NOTES_MAX + 1];
    ssize_t n = fgetxattr(from, name, value, sizeof(value));

    if (n < 0 && !is_none(errno))
        return err_errno(e, errno, "read what is noted of the volume");
    int r = n < 0 ? fremovexattr(to, name) : fsetxattr(to, name, value, (size_t)n, 0);
    return r < 0 && !(n < 0 && is_none(errno)) ? err_errno(e, errno, "write what is noted of the volume") : 0;
}

int dir_note_copy(int from, int to, struct err *e)
{
    static const char *const names[] = {NOTES_XATTR, PROTECTED_XATTR, DIR_MARK_XATTR};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
        r = copy_one(from, to, names[i], e);
    return r;
}

int dir_note_clear(int fd, struct err *e)
{
    int r = set_or_remove(fd, NOTES_XATTR, "", e);

    return r < 0 ? r : set_or_remove(fd, PROTECTED_XATTR, "", e);
}

int dir_check_unprotected(const struct storage *s, const struct volume_id *v, struct err *e)
{
    autoclose int fd = -EBADF;
    struct stat st;
    bool is_kept = false;
    int r = dir_volume_open(s, v, O_RDONLY, &st, &fd, e);

    if (r == -ENOENT) {
        *e = (struct err)ERR_INIT;
        return 0;
    }
    if (r == 0)
        r = is_protected(fd, &is_kept, e);
    return r < 0 || !is_kept ? r : err_set(e, -EPERM, "volume.protected", "the volume '%s' is protected", v->name);
}
