/* GET and POST /nodes/{node}/aplinfo: container templates that can be downloaded. PVE: pve-manager, API2/Nodes.pm. The
 * list is a text file of the administrator, DIR/etc/templates.list (template_list.h); without it there is none. The
 * file is read in a pool thread. */
#include <fcntl.h>

#include "api/storage_common.h"
#include "api/template_list.h"
#include "base/fs.h"

#define LIST_MAX_BYTES (256u * 1024u)
#define LIST_NAME      "etc/templates.list"

struct list {
    const char *root_dir, *wanted, *storage;
    struct buf text;
    struct template_list known;
};

static int work_read(void *ctx, struct err *e)
{
    struct list *l = ctx;
    autoclose int dir = open(l->root_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_errno(e, errno, "open %s", l->root_dir);
    buf_init(&l->text, LIST_MAX_BYTES);
    int r = fs_read_file(dir, LIST_NAME, &l->text, e);
    return r == -ENOENT ? 0 : r;
}

/* "debian-12-standard_12.2-1_amd64.tar.zst": package, version, architecture, as far as the name says. */
static void write_name(struct jw *w, const char *name)
{
    const char *first = strchr(name, '_'), *second = first ? strchr(first + 1, '_') : NULL;

    jw_kv_str(w, "template", name);
    jw_key(w, "package");
    jw_strn(w, name, first ? (size_t)(first - name) : strcspn(name, "."));
    if (!second)
        return;
    jw_key(w, "version");
    jw_strn(w, first + 1, (size_t)(second - first - 1));
    jw_key(w, "architecture");
    jw_strn(w, second + 1, strcspn(second + 1, "."));
}

static void write_row(struct jw *w, const struct template_row *row)
{
    char key[24];

    jw_object(w);
    write_name(w, row->name);
    jw_kv_str(w, "type", "lxc");
    jw_kv_str(w, "section", "local");
    jw_kv_str(w, "source", row->url);
    jw_kv_str(w, "location", row->url);
    jw_kv_str(w, "headline", row->headline);
    if (row->checksum) {
        snprintf(key, sizeof(key), "%.*ssum",
                 (int)strcspn(row->checksum, ":") < 16 ? (int)strcspn(row->checksum, ":") : 16, row->checksum);
        jw_kv_str(w, key, strchr(row->checksum, ':') + 1);
    }
    jw_object_end(w);
}

static int finish_list(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct list *l = ctx;

    if (r == 0) {
        template_list_parse(l->text.data, &l->known);
        jw_array(&c->out);
        for (size_t i = 0; i < l->known.n; i++)
            write_row(&c->out, &l->known.rows[i]);
        jw_array_end(&c->out);
    }
    buf_done(&l->text);
    free(l);
    return r;
}

static int list_new(struct api_call *c, const char *node, struct list **ret, struct err *e)
{
    int r = api_check_node(c, node, e);
    struct list *l = r == 0 ? calloc(1, sizeof(*l)) : NULL;

    if (r == 0 && !l)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0) {
        l->root_dir = c->api->root_dir;
        *ret = l;
    }
    return r;
}

int api_templates_list(struct api_call *c, const struct api_templates_list_args *a, struct err *e)
{
    struct list *l = NULL;
    int r = list_new(c, a->node, &l, e);

    return r < 0 ? r : api_offload(c, work_read, finish_list, l);
}

static int finish_download(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct list *l = ctx;
    const struct template_row *found = NULL;

    if (r == 0)
        template_list_parse(l->text.data, &l->known);
    for (size_t i = 0; i < l->known.n && !found; i++)
        if (streq(l->known.rows[i].name, l->wanted))
            found = &l->known.rows[i];
    if (r == 0 && !found)
        r = api_param_error(c, e, "template", "no such template");
    if (r == 0) {
        struct download_spec spec = {.url = found->url,
                                     .storage = l->storage,
                                     .content = "vztmpl",
                                     .name = found->name,
                                     .checksum = found->checksum};
        r = storage_download(c, &spec, e);
    }
    buf_done(&l->text);
    free(l);
    return r;
}

int api_templates_download(struct api_call *c, const struct api_templates_download_args *a, struct err *e)
{
    struct list *l = NULL;
    int r = list_new(c, a->node, &l, e);

    if (r < 0)
        return r;
    l->wanted = a->template;
    l->storage = a->storage;
    return api_offload(c, work_read, finish_download, l);
}
