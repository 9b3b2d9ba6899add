/* GET and POST /nodes/{node}/images: cloud images that can be downloaded, ready to be imported. The catalogue is a text
 * that comes with Holm and one of the administrator's, DIR/etc/images.list (image_list.h). holm-fetch gets the
 * checksums of the image's maker; with the right one of them the download begins, a task like that of download-url.
 * Both texts are read in a pool thread. */
#include <fcntl.h>
#include <sys/mman.h>

#include "api/image_list.h"
#include "api/storage_common.h"
#include "base/fs.h"
#include "task/workers.h"

#define LIST_MAX_BYTES  (256u * 1024u)
#define LIST_OWN        "etc/images.list"
#define SUMS_MAX_BYTES  (1024u * 1024u)
#define SUMS_TIMEOUT_MS 60000u

struct catalogue {
    struct api_call *call;
    const char *shipped, *root_dir, *wanted, *storage;
    struct buf texts[2]; /* shipped, own */
    struct image_list list;
    const struct image_row *row;
    int ca_fd, sums_fd;
};

static void catalogue_free(struct catalogue *k)
{
    for (size_t i = 0; i < ARRAY_SIZE(k->texts); i++)
        buf_done(&k->texts[i]);
    if (k->ca_fd >= 0)
        close(k->ca_fd);
    if (k->sums_fd >= 0)
        close(k->sums_fd);
    free(k);
}

static int read_text(int dir, const char *path, bool is_own, struct catalogue *k, struct err *e)
{
    struct buf *text = &k->texts[is_own];

    int r = fs_read_file(dir, path, text, e);
    if (r == -ENOENT)
        *e = (struct err)ERR_INIT;
    if (r < 0 || !text->len)
        return r == -ENOENT ? 0 : r;
    buf_str(text); /* a zero behind it */
    return text->is_failed ? err_set(e, -EFBIG, "image.list", "%s is too long", path)
                           : image_list_add(text->data, text->len, path, is_own, &k->list, e);
}

static int work_read(void *ctx, struct err *e)
{
    struct catalogue *k = ctx;
    autoclose int dir = open(k->root_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_errno(e, errno, "open %s", k->root_dir);
    int r = read_text(AT_FDCWD, k->shipped, false, k, e);
    return r < 0 ? r : read_text(dir, LIST_OWN, true, k, e);
}

static int work_prepare(void *ctx, struct err *e)
{
    struct catalogue *k = ctx;
    int r = work_read(k, e);

    if (r < 0)
        return r;
    k->sums_fd = memfd_create("checksums", MFD_CLOEXEC);
    if (k->sums_fd < 0)
        return err_errno(e, errno, "memfd");
    k->ca_fd = storage_open_authorities(k->root_dir, e);
    return k->ca_fd < 0 ? k->ca_fd : 0;
}

static int catalogue_new(struct api_call *c, const char *node, struct catalogue **ret, struct err *e)
{
    int r = api_check_node(c, node, e);
    struct catalogue *k = r == 0 ? calloc(1, sizeof(*k)) : NULL;

    if (r == 0 && !k)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0)
        return r;
    k->call = c;
    k->shipped = c->api->images_list;
    k->root_dir = c->api->root_dir;
    k->ca_fd = k->sums_fd = -EBADF;
    for (size_t i = 0; i < ARRAY_SIZE(k->texts); i++)
        buf_init(&k->texts[i], LIST_MAX_BYTES);
    *ret = k;
    return 0;
}

/* ---- the list ---- */

static int finish_list(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct catalogue *k = ctx;

    if (r == 0) {
        jw_array(&c->out);
        for (size_t i = 0; i < k->list.n; i++) {
            const struct image_row *row = &k->list.rows[i];
            jw_object(&c->out);
            jw_kv_str(&c->out, "name", row->name);
            jw_kv_str(&c->out, "format", row->format);
            jw_kv_str(&c->out, "url", row->url);
            jw_kv_str(&c->out, "checksum-algorithm", row->algorithm);
            jw_kv_str(&c->out, "checksum-url", row->sums);
            jw_kv_str(&c->out, "source", row->is_own ? "own" : "holm");
            jw_object_end(&c->out);
        }
        jw_array_end(&c->out);
    }
    catalogue_free(k);
    return r;
}

int api_images_list(struct api_call *c, const struct api_images_list_args *a, struct err *e)
{
    struct catalogue *k = NULL;
    int r = catalogue_new(c, a->node, &k, e);

    return r < 0 ? r : api_offload(c, work_read, finish_list, k);
}

/* ---- a download ---- */

static int start_download(struct catalogue *k, struct err *e)
{
    const struct image_row *row = k->row;
    char checksum[IMAGE_CHECKSUM_BYTES];
    autobuf struct buf text;

    buf_init(&text, SUMS_MAX_BYTES + 1);
    if (lseek(k->sums_fd, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "read the checksums");
    int r = fs_read_fd(k->sums_fd, &text, e); /* in memory: nothing is waited for */
    if (r == 0)
        r = image_checksum_find(row, buf_str(&text), text.len, checksum, e);
    if (r < 0)
        return r;
    struct download_spec spec = {.url = row->url,
                                 .storage = k->storage,
                                 .content = "import",
                                 .name = arena_printf(&k->call->arena, "%s.%s", row->name, row->format),
                                 .checksum = checksum,
                                 .compression = image_compression(row)};
    return spec.name ? storage_download(k->call, &spec, e) : err_set(e, -ENOMEM, NULL, "out of memory");
}

static void on_sums(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct catalogue *k = arg;
    struct api_call *c = k->call;
    struct err why = *e;

    if (r < 0)
        err_wrap(&why, r, "checksums of '%s'", k->row->name);
    else
        r = start_download(k, &why);
    catalogue_free(k);
    if (r != API_LATER)
        api_finish(c, r, &why);
}

static int finish_prepare(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct catalogue *k = ctx;

    k->row = r == 0 ? image_list_find(&k->list, k->wanted) : NULL;
    if (r == 0 && !k->row)
        r = api_param_error(c, e, "image", "no such image");
    if (r == 0) {
        struct worker_request q = {.verb = "get",
                                   .args = {k->row->sums, "", "", storage_fetch_flags(c, false)},
                                   .n_args = 4,
                                   .fds = {k->ca_fd, k->sums_fd},
                                   .n_fds = 2,
                                   .total_bytes = SUMS_MAX_BYTES,
                                   .timeout_ms = SUMS_TIMEOUT_MS};
        r = workers_call(c->api->probers, &q, on_sums, k, e);
    }
    if (r < 0)
        catalogue_free(k);
    return r < 0 ? r : API_LATER;
}

int api_images_download(struct api_call *c, const struct api_images_download_args *a, struct err *e)
{
    struct catalogue *k = NULL;
    int r = catalogue_new(c, a->node, &k, e);

    if (r < 0)
        return r;
    k->wanted = a->image;
    k->storage = a->storage;
    return api_offload(c, work_prepare, finish_prepare, k);
}
