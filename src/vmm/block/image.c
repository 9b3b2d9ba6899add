/* What a disk lies in: a file or a block device, opened by whoever started us. Any thread may ask; only the main thread
 * opens, looks again and closes. */
#include <inttypes.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "vmm/block/block.h"

/* Whatever the host's disk asks for is less. */
#define DIRECT_BYTES 4096u

static int measure(const struct block_image *image, uint64_t *ret_bytes, struct err *e)
{
    struct stat st;

    if (fstat(image->fd, &st) < 0)
        return err_errno(e, errno, "look at the disk");
    if (S_ISREG(st.st_mode)) {
        *ret_bytes = (uint64_t)st.st_size;
        return 0;
    }
    if (ioctl(image->fd, BLKGETSIZE64, ret_bytes) < 0)
        return err_errno(e, errno, "size of the block device");
    return 0;
}

int block_image_open(struct block_image *image, int fd, bool is_read_only, struct err *e)
{
    struct stat st;
    uint64_t bytes = 0;
    int r;

    *image = (struct block_image){.fd = fd, .direct_fd = -1, .is_read_only = is_read_only, .sector_bytes = 512};
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "look at the disk");
    image->is_device = S_ISBLK(st.st_mode);
    if (!S_ISREG(st.st_mode) && !image->is_device)
        return err_set(e, -EINVAL, "disk.kind", "a disk is a file or a block device");
    r = measure(image, &bytes, e);
    if (r == 0 && bytes < 512)
        r = err_set(e, -EINVAL, "disk.size", "the disk is smaller than one sector");
    image->size_bytes = bytes / 512 * 512;
    return r;
}

void block_image_close(struct block_image *image)
{
    if (image->fd >= 0)
        close(image->fd);
    if (image->direct_fd >= 0)
        close(image->direct_fd);
    image->fd = image->direct_fd = -1;
}

int block_image_fd(const struct block_image *image, const struct block_request *r)
{
    uint64_t all = r->offset + r->moved;

    if (image->direct_fd < 0 || image->is_cached || (r->op != BLOCK_READ && r->op != BLOCK_WRITE))
        return image->fd;
    for (unsigned i = 0; i < r->n_iov; i++)
        all |= (uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len;
    return all % DIRECT_BYTES ? image->fd : image->direct_fd;
}

bool block_image_is_retried(struct block_image *image, struct block_request *r, int result)
{
    if (result != -EINVAL || image->direct_fd < 0 || r->is_retried || (r->op != BLOCK_READ && r->op != BLOCK_WRITE))
        return false;
    image->is_cached = r->is_retried = true;
    return true;
}

int block_image_refresh(struct block_image *image, struct err *e)
{
    uint64_t bytes = 0;
    int r = measure(image, &bytes, e);

    bytes = bytes / 512 * 512;
    if (r < 0 || bytes == image->size_bytes)
        return r;
    image->size_bytes = bytes;
    return 1;
}

int block_image_grow(struct block_image *image, uint64_t bytes, struct err *e)
{
    uint64_t now = 0;
    int r = measure(image, &now, e);

    if (r < 0)
        return r;
    if (bytes < image->size_bytes || bytes > INT64_MAX)
        return err_set(e, -EINVAL, "disk.size", "a disk in use cannot become smaller");
    if (now < bytes && image->is_device)
        return err_set(e, -EINVAL, "disk.size", "the block device has %" PRIu64 " bytes only", now);
    if (now < bytes && image->is_read_only)
        return err_set(e, -EROFS, "disk.size", "the disk is read-only and has %" PRIu64 " bytes only", now);
    if (now < bytes && ftruncate(image->fd, (off_t)bytes) < 0)
        return err_errno(e, errno, "make the disk larger");
    return block_image_refresh(image, e);
}
