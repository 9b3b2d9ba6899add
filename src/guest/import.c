/* See import.h. A stranger may have made the file: of its bytes only a qcow2 header is looked at, by the pure and
 * bounded reader of src/image, and no name in it is followed. */
#include "guest/import.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "image/qcow2.h"

enum volume_format import_format(const char *path)
{
    return str_ends(path, ".qcow2")                           ? VOLUME_QCOW2
           : str_ends(path, ".raw") || str_ends(path, ".img") ? VOLUME_RAW
                                                              : VOLUME_OTHER;
}

static int read_header(int fd, const struct stat *st, struct qcow2_info *ret, struct err *e)
{
    uint8_t head[QCOW2_HEADER_BYTES];
    size_t n = 0;
    int r = fs_read_at(fd, head, sizeof(head), 0, &n, "read image header", e);

    if (r == 0)
        r = qcow2_header_parse(head, n, (uint64_t)st->st_size, ret, e);
    return r < 0 ? r : qcow2_check_standalone(ret, e);
}

int import_open(const char *path, struct volume_attachment *ret, struct err *e)
{
    struct qcow2_info image;
    enum volume_format format = import_format(path);
    struct stat st;

    if (path[0] != '/' || format == VOLUME_OTHER) {
        err_set(e, -EINVAL, "import.format", "'%.100s' is neither .raw, .img nor .qcow2", path);
        return err_hint(e, "qemu-img convert -O qcow2 makes a qcow2 image of other formats");
    }
    /* Not blocking: a pipe without a writer would hold this thread for ever. */
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, errno, "open %.100s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "volume.type", "'%.100s' is not a regular file", path);
    int r = format == VOLUME_QCOW2 ? read_header(fd, &st, &image, e) : 0;
    if (r < 0)
        return r;
    *ret = (struct volume_attachment){
        .fd = TAKE_FD(fd),
        .format = format,
        .is_read_only = true,
        .size_bytes = format == VOLUME_QCOW2 ? image.size_bytes : (uint64_t)st.st_size,
    };
    return 0;
}
