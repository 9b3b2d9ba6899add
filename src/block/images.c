/* What the files of a request are. Only qcow2 headers are looked at, and the tables of an image that is imported, by
 * the pure and bounded readers of src/image: an image with a data file would have QEMU open that by its name, and one
 * whose tables say a cluster twice would fill a storage. A backing file's name does no harm, for every node of the
 * graph is told what it stands on. */
#include "block/block.h"

#include <sys/stat.h>

#include "base/fs.h"
#include "image/qcow2.h"

/* Refcounts and tables are about a thousandth; the rest is room for what fragments. */
#define GROWTH_PART 8u
#define GROWTH_MORE (UINT64_C(64) << 20)

static int read_table(void *arg, uint64_t offset, void *data, size_t n, struct err *e)
{
    size_t got = 0;
    int r = fs_read_at(*(const int *)arg, data, n, offset, &got, "read the image", e);

    if (r == 0)
        memset((uint8_t *)data + got, 0, n - got);
    return r;
}

static int look(int fd, bool is_qcow2, bool is_import, struct stat *st, uint64_t *ret_size, struct err *e)
{
    uint8_t head[QCOW2_HEADER_BYTES];
    struct qcow2_info info;
    size_t n = 0;

    if (fstat(fd, st) < 0)
        return err_errno(e, errno, "stat");
    if (!S_ISREG(st->st_mode))
        return err_set(e, -EINVAL, "volume.type", "not a regular file");
    *ret_size = (uint64_t)st->st_size;
    if (!is_qcow2)
        return 0;
    int r = fs_read_at(fd, head, sizeof(head), 0, &n, "read the image", e);
    if (r == 0)
        r = qcow2_header_parse(head, n, (uint64_t)st->st_size, &info, e);
    if (r == 0)
        r = is_import ? qcow2_check_standalone(&info, e) : qcow2_check_use(&info, e);
    if (r == 0 && is_import)
        r = qcow2_tables_check(&info, (uint64_t)st->st_size, read_table, &fd, e);
    if (r == 0)
        *ret_size = info.size_bytes;
    return r;
}

static int look_at_images(struct block_work *w, struct err *e)
{
    struct stat st;
    uint64_t size;
    int r = 0;

    for (size_t i = 0; r == 0 && i < w->q.n; i++) {
        r = look(w->fds[i], w->q.is_qcow2[i], w->q.is_import, &st, &size, e);
        if (r == 0 && i == 0)
            w->size_bytes = size;
        if (r == 0 && i == 1 && w->q.is_commit && size > w->size_bytes)
            r = err_set(e, -EINVAL, "image.size", "an image is not made smaller by what stands on it");
        if (r == 0 && !w->q.is_qcow2[i] && i + 1 < w->q.n)
            r = err_set(e, -EINVAL, "image.chain", "a raw image stands on nothing");
        if (r < 0)
            return err_wrap(e, r, "image %zu of the chain", i);
    }
    return 0;
}

int block_images_check(struct block_work *w, struct err *e)
{
    size_t written = block_written(&w->q);
    struct stat st;
    uint64_t size;
    int r = look_at_images(w, e);

    if (r == 0)
        r = look(w->fds[written], w->q.is_qcow2[written], false, &st, &size, e);
    if (r < 0)
        return r;
    if (!w->q.is_commit && size != w->size_bytes)
        return err_set(e, -EINVAL, "image.size", "the new image has another size than the old one");
    if (!block_is_plain(&w->q) && size > BLOCK_JOB_BYTES_MAX)
        return err_set(e, -EFBIG, "image.size", "an image of more than %u TiB is not copied",
                       (unsigned)(BLOCK_JOB_BYTES_MAX >> 40));
    w->is_target_reserved = !w->q.is_commit && !w->q.is_qcow2[written] && (uint64_t)st.st_blocks * 512 >= size;
    w->written_bytes = (uint64_t)st.st_size + w->size_bytes + w->size_bytes / GROWTH_PART + GROWTH_MORE;
    return 0;
}
