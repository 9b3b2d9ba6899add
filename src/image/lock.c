/* See lock.h. */
#include "image/lock.h"

#include <fcntl.h>

/* BLK_PERM_*: consistent read, write, resize; who else does what: read, and write what is there already. */
static const unsigned mine[] = {0, 1, 3}, exclusive[] = {1, 3};

#define PERM_AT   100
#define SHARED_AT 200

static int at(int fd, int command, short type, off_t byte, struct flock *l)
{
    *l = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, command, l) < 0 ? -errno : 0;
}

/* Locks are shared ones: whether others have any is asked for with one that is not. */
static int check(int fd, off_t byte, struct err *e)
{
    struct flock l;
    int r = at(fd, F_OFD_GETLK, F_WRLCK, byte, &l);

    if (r < 0 || l.l_type == F_UNLCK)
        return r < 0 ? err_errno(e, -r, "look at the image's lock") : 0;
    err_set(e, -EBUSY, "image.busy", "another program has the image open");
    return err_hint(e, "end what uses it: qemu-img, qemu-nbd, another hypervisor");
}

int image_lock(int fd, bool is_mine, struct err *e)
{
    struct flock l;
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(mine); i++)
        r = at(fd, F_OFD_SETLK, F_RDLCK, PERM_AT + (off_t)mine[i], &l);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(exclusive); i++)
        r = at(fd, F_OFD_SETLK, F_RDLCK, SHARED_AT + (off_t)exclusive[i], &l);
    if (r < 0)
        return err_errno(e, -r, "lock the image");
    for (size_t i = 0; r == 0 && !is_mine && i < ARRAY_SIZE(mine); i++)
        r = check(fd, SHARED_AT + (off_t)mine[i], e);
    for (size_t i = 0; r == 0 && !is_mine && i < ARRAY_SIZE(exclusive); i++)
        r = check(fd, PERM_AT + (off_t)exclusive[i], e);
    return r;
}
