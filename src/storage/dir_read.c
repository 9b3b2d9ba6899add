/* The "dir" plugin, reading: size of a volume, opening it, listing. The only bytes of an image that are looked at are
 * those of a qcow2 header, by the pure and bounded reader of src/image; a raw image is never looked into. */
#include "storage/dir_priv.h"

#include <fcntl.h>

#include "base/fs.h"

/* The format comes from the name. */
static bool is_qcow2(const struct volume_id *v)
{
    return v->format == VOLUME_QCOW2;
}

int dir_header_read(int fd, const struct stat *st, struct qcow2_info *ret, struct err *e)
{
    uint8_t head[QCOW2_HEADER_BYTES];
    size_t n = 0;
    int r = fs_read_at(fd, head, sizeof(head), 0, &n, "read image header", e);

    return r < 0 ? r : qcow2_header_parse(head, n, (uint64_t)st->st_size, ret, e);
}

static void fill_info(const struct volume_id *v, const struct stat *st, struct volume_info *ret)
{
    *ret = (struct volume_info){
        .id = *v,
        .size_bytes = (uint64_t)st->st_size,
        .used_bytes = (uint64_t)st->st_blocks * 512,
        .ctime_s = st->st_ctim.tv_sec,
    };
}

int dir_stat(struct storage *s, const struct volume_id *v, struct volume_info *ret, struct err *e)
{
    autoclose int fd = -EBADF;
    struct qcow2_info image;
    struct stat st;
    int r = dir_volume_open(s, v, O_RDONLY, &st, &fd, e);

    if (r == 0 && is_qcow2(v))
        r = dir_header_read(fd, &st, &image, e);
    if (r < 0)
        return r;
    fill_info(v, &st, ret);
    if (is_qcow2(v))
        ret->size_bytes = image.size_bytes;
    return 0;
}

static int check_chain(const struct storage *s, const struct volume_id *v, const struct volume_id *below,
                       const struct qcow2_info *image, struct err *e)
{
    char name[DIR_BACKING_MAX];

    if (!below)
        return qcow2_check_standalone(image, e);
    dir_backing_name(s, v, below, name);
    return qcow2_check_overlay(image, name, e);
}

int dir_open_volume(struct storage *s, const struct volume_id *v, const struct volume_id *below, bool is_read_only,
                    struct volume_attachment *ret, struct err *e)
{
    autoclose int fd = -EBADF;
    struct qcow2_info image = {0};
    struct stat st;
    int r = dir_volume_open(s, v, is_read_only ? O_RDONLY : O_RDWR, &st, &fd, e);

    if (r == 0 && is_qcow2(v))
        r = dir_header_read(fd, &st, &image, e);
    /* An engine would open the other file by a name that stands in the image. */
    if (r == 0 && is_qcow2(v))
        r = check_chain(s, v, below, &image, e);
    else if (r == 0 && below)
        r = err_set(e, -EINVAL, "image.chain", "a raw image stands on nothing");
    if (r < 0)
        return r;
    *ret = (struct volume_attachment){
        .fd = TAKE_FD(fd),
        .format = v->format,
        .is_read_only = is_read_only,
        .size_bytes = is_qcow2(v) ? image.size_bytes : (uint64_t)st.st_size,
    };
    return 0;
}

/* ---- list ---- */

struct lister {
    struct storage *s;
    enum storage_content content;
    uint32_t vmid;
    volume_list_fn add;
    void *arg;
};

static int list_file(void *arg, int folder, const char *name, struct err *e)
{
    const struct lister *l = arg;
    struct err ignored = ERR_INIT;
    struct volume_info info;
    struct volume_id v = {.content = l->content, .vmid = l->vmid};
    struct stat st;

    if (dir_volume_of(l->s, folder, name, false, &v, &st) < 0)
        return 0;
    fill_info(&v, &st, &info);
    /* An image with a broken header is listed all the same, so that it can be seen and removed. */
    if (is_qcow2(&v) && dir_stat(l->s, &v, &info, &ignored) < 0)
        info.size_bytes = 0;
    return l->add(l->arg, &info);
}

static int list_folder(const struct lister *l, struct err *e)
{
    autoclose int folder = -EBADF;
    int r = dir_folder_open(l->s, l->content, l->vmid, false, &folder, e);

    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : dir_each(folder, list_file, (void *)(uintptr_t)l, e);
}

static int list_owner(void *arg, int images, const char *name, struct err *e)
{
    struct lister l = *(const struct lister *)arg;
    struct stat st;

    if (volume_vmid_parse(name, strlen(name), &l.vmid) < 0)
        return 0;
    if (fstatat(images, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    return list_folder(&l, e);
}

static int list_images(struct lister *l, uint32_t vmid, struct err *e)
{
    autoclose int images = -EBADF;

    l->vmid = vmid;
    if (vmid)
        return list_folder(l, e);
    int r = dir_folder_open(l->s, STORAGE_CONTENT_images, 0, false, &images, e);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : dir_each(images, list_owner, l, e);
}

int dir_list(struct storage *s, uint32_t contents, uint32_t vmid, volume_list_fn add, void *arg, struct err *e)
{
    struct lister l = {.s = s, .add = add, .arg = arg};
    int r = 0;

    for (uint32_t bit = 1; r == 0 && bit <= STORAGE_CONTENT_boot; bit <<= 1) {
        if (!(contents & bit) || bit == STORAGE_CONTENT_rootdir)
            continue;
        l.content = (enum storage_content)bit;
        l.vmid = 0;
        if (bit == STORAGE_CONTENT_images)
            r = list_images(&l, vmid, e);
        else if (!vmid)
            r = list_folder(&l, e);
    }
    return r;
}

/* ---- layers ---- */

static int list_layer(void *arg, int folder, const char *name, struct err *e)
{
    const struct lister *l = arg;
    struct volume_info info;
    struct volume_id v = {.content = STORAGE_CONTENT_images, .vmid = l->vmid};
    struct stat st;

    if (dir_volume_of(l->s, folder, name, true, &v, &st) < 0)
        return 0;
    fill_info(&v, &st, &info);
    return l->add(l->arg, &info);
}

int dir_layers(struct storage *s, uint32_t vmid, volume_list_fn add, void *arg, struct err *e)
{
    struct lister l = {.s = s, .vmid = vmid, .add = add, .arg = arg};
    autoclose int folder = -EBADF;
    int r = dir_folder_open(s, STORAGE_CONTENT_images, vmid, false, &folder, e);

    return r == -ENOENT ? 0 : r < 0 ? r : dir_each(folder, list_layer, &l, e);
}
