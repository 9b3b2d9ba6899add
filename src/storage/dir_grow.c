/* Making an image of a folder larger. Pool threads. A raw file gets a longer end, a qcow2 image a new header
 * (image/qcow2_grow.c); neither can be half done. */
#include "base/fp.h"
#include "base/fs.h"
#include "image/qcow2.h"
#include "storage/dir_priv.h"

#include <fcntl.h>
#include <sys/stat.h>

static int grow_raw(struct storage *s, int fd, const struct stat *st, uint64_t size_bytes, struct err *e)
{
    const struct dir_storage *d = s->priv;
    int r = 0;

    if ((uint64_t)st->st_size >= size_bytes)
        return 0;
    if (d->is_falloc)
        do
            r = fallocate(fd, 0, st->st_size, (off_t)size_bytes - st->st_size) < 0 ? -errno : 0;
        while (r == -EINTR);
    if (r == 0 && ftruncate(fd, (off_t)size_bytes) < 0)
        r = -errno;
    /* A file system that becomes full on the way has made the file longer as far as it could. */
    if (r < 0 && ftruncate(fd, st->st_size) < 0)
        return err_errno(e, -r, "set the size, and take that back");
    return r < 0 ? err_errno(e, -r, "set the size") : 0;
}

/* What the L1 table will have new entries in holds none yet. */
static int check_zero(int fd, uint64_t at, uint64_t bytes, struct err *e)
{
    static const char zero[4096];
    char block[4096];

    while (bytes) {
        size_t want = bytes < sizeof(block) ? (size_t)bytes : sizeof(block), n;
        int r = fs_read_at(fd, block, want, at, &n, "read the image", e);
        if (r < 0)
            return r;
        if (memcmp(block, zero, n) != 0)
            return err_set(e, -EINVAL, "image.header", "there is something behind the image's table");
        at += want;
        bytes -= want;
    }
    return 0;
}

static int grow_qcow2(int fd, const struct stat *st, uint64_t size_bytes, struct err *e)
{
    uint8_t head[QCOW2_HEADER_BYTES];
    struct qcow2_grow g;
    size_t n;
    int r = fs_read_at(fd, head, sizeof(head), 0, &n, "read the image", e);

    if (r == 0)
        r = qcow2_grow_plan(head, n, (uint64_t)st->st_size, size_bytes, &g, e);
    if (r < 0 || g.is_done)
        return r;
    r = check_zero(fd, g.zero_at, g.zero_bytes, e);
    if (r == 0 && g.zero_at + g.zero_bytes > (uint64_t)st->st_size &&
        ftruncate(fd, (off_t)(g.zero_at + g.zero_bytes)) < 0)
        r = err_errno(e, errno, "set the size");
    if (r == 0 && pwrite(fd, g.bytes, sizeof(g.bytes), (off_t)g.write_at) != (ssize_t)sizeof(g.bytes))
        r = err_errno(e, errno ? errno : EIO, "write the image's header");
    return r;
}

int dir_grow(struct storage *s, const struct volume_id *v, uint64_t size_bytes, struct err *e)
{
    autoclose int fd = -EBADF;
    struct stat st;
    int r = dir_volume_open(s, v, O_RDWR, &st, &fd, e);

    if (r < 0)
        return r;
    r = v->format == VOLUME_QCOW2 ? grow_qcow2(fd, &st, size_bytes, e) : grow_raw(s, fd, &st, size_bytes, e);
    if (r == 0 && FP("storage.grow.written"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0 && fsync(fd) < 0)
        r = err_errno(e, errno, "fsync");
    return r;
}
