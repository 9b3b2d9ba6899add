/* The drive that cloud-init reads: which one it is, and what is written into its volume. The writing blocks and is done
 * in pool threads: at every start (launch.c) and for PUT cloudinit (cloudinit_live.c).
 *
 * The volume is a raw image, so that both engines and every tool of a host can read it, and 4 MiB large whatever is in
 * it, as in Proxmox VE. */
#include <fcntl.h>

#include "base/fs.h"
#include "base/propstr.h"
#include "guest/cloudinit.h"
#include "image/iso9660.h"

#define IMAGE_MAX (CLOUDINIT_BYTES - (64u << 10))

/* ---- which drive ---- */

int cloudinit_volume(const char *storage, uint32_t vmid, struct volume_id *ret, struct err *e)
{
    char text[VOLUME_ID_MAX + 1];

    snprintf(text, sizeof(text), "%s:%u/vm-%u-cloudinit.raw", storage, vmid, vmid);
    return volume_id_parse(text, ret, e);
}

bool cloudinit_is_drive(const char *value, uint32_t vmid)
{
    struct volume_id v, own;
    struct err e = ERR_INIT;

    return guest_drive_volume(value, &v) && v.content == STORAGE_CONTENT_images && v.vmid == vmid &&
           cloudinit_volume(v.storage, vmid, &own, &e) == 0 && streq(v.name, own.name);
}

bool cloudinit_is_wanted(const char *value, char *ret_storage, size_t cap)
{
    struct err e = ERR_INIT;
    struct propstr p;

    if (propstr_parse(value, "file", &p, &e) < 0)
        return false;
    const char *file = propstr_get(&p, "file") ? propstr_get(&p, "file") : propstr_get(&p, "volume");
    const char *colon = file ? strchr(file, ':') : NULL;
    if (!colon || !streq(colon, ":cloudinit") || (size_t)(colon - file) >= cap)
        return false;
    snprintf(ret_storage, cap, "%.*s", (int)(colon - file), file);
    return true;
}

const char *cloudinit_drive_key(const struct config *c, uint32_t vmid)
{
    for (size_t i = 0; i < c->n; i++)
        if (guest_is_drive_key(c->items[i].key) && cloudinit_is_drive(c->items[i].value, vmid))
            return c->items[i].key;
    return NULL;
}

/* ---- what is in it ---- */

struct contents {
    struct buf user, network, meta, vendor;
    bool has_vendor;
};

static void contents_init(struct contents *f)
{
    *f = (struct contents){0};
    buf_init(&f->user, CLOUDINIT_SNIPPET_MAX);
    buf_init(&f->network, CLOUDINIT_SNIPPET_MAX);
    buf_init(&f->meta, CLOUDINIT_SNIPPET_MAX);
    buf_init(&f->vendor, CLOUDINIT_SNIPPET_MAX);
}

static void contents_done(struct contents *f)
{
    buf_done(&f->user);
    buf_done(&f->network);
    buf_done(&f->meta);
    buf_done(&f->vendor);
}

/* A file of cicustom; -ENODATA: it names none. */
static int read_snippet(struct storage_mgr *storages, const struct config *c, const char *what, struct buf *out,
                        struct err *e)
{
    const char *custom = config_get(c, "cicustom");
    struct volume_attachment a;
    struct volume_id v;
    struct storage *s;

    if (!custom || !storages || !cloudinit_snippet(custom, what, &v))
        return -ENODATA;
    int r = storage_mgr_ref(storages, v.storage, &s, e);
    if (r == 0) {
        r = volume_open(s, &v, true, &a, e);
        storage_unref(s);
    }
    if (r < 0)
        return err_wrap(e, r, "cicustom: %s", what);
    autoclose int fd = a.fd;
    r = fs_read_fd(fd, out, e);
    return r < 0 ? err_wrap(e, r, "cicustom: %s (at most %u KiB)", what, CLOUDINIT_SNIPPET_MAX / 1024) : 0;
}

static void read_host(struct cloudinit_host *h)
{
    autobuf struct buf text;
    struct err ignored = ERR_INIT;

    buf_init(&text, 65536);
    cloudinit_host_parse(fs_read_file(AT_FDCWD, "/etc/resolv.conf", &text, &ignored) == 0 ? buf_str(&text) : "", h);
}

static int use(int r, bool *ret_is_own)
{
    *ret_is_own = r == -ENODATA;
    return r == -ENODATA ? 0 : r;
}

/* storages NULL: without the files of cicustom. */
static int collect(struct storage_mgr *storages, const struct config *c, uint32_t vmid, bool is_hidden,
                   struct contents *f, struct err *e)
{
    struct cloudinit_host host;
    bool is_own;
    int r = use(read_snippet(storages, c, "user", &f->user, e), &is_own);

    if (r == 0 && is_own)
        cloudinit_user(c, vmid, is_hidden, &f->user);
    if (r == 0)
        r = use(read_snippet(storages, c, "network", &f->network, e), &is_own);
    if (r == 0 && is_own) {
        read_host(&host);
        cloudinit_network(c, &host, &f->network);
    }
    if (r == 0)
        r = use(read_snippet(storages, c, "vendor", &f->vendor, e), &is_own);
    f->has_vendor = !is_own;
    if (r == 0)
        r = use(read_snippet(storages, c, "meta", &f->meta, e), &is_own);
    if (r == 0 && is_own)
        cloudinit_meta(&f->user, &f->network, &f->vendor, &f->meta);
    if (r == 0 && (f->user.is_failed || f->network.is_failed || f->meta.is_failed))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    return r;
}

int cloudinit_dump(const struct config *c, uint32_t vmid, const char *what, struct buf *out, struct err *e)
{
    bool is_meta = streq(what, "meta");
    struct contents f;

    contents_init(&f);
    /* The digest in meta-data is of what the guest gets, the other two are for people. */
    int r = collect(NULL, c, vmid, !is_meta, &f, e);
    const struct buf *one = is_meta ? &f.meta : streq(what, "user") ? &f.user : &f.network;
    if (r == 0)
        buf_append(out, buf_str(one), one->len);
    contents_done(&f);
    return r;
}

/* ---- writing ---- */

static int build(struct storage_mgr *storages, const struct config *c, uint32_t vmid, struct buf *image, struct err *e)
{
    struct contents f;

    contents_init(&f);
    int r = collect(storages, c, vmid, false, &f, e);
    const struct iso9660_file files[] = {{"user-data", buf_str(&f.user), f.user.len},
                                         {"meta-data", buf_str(&f.meta), f.meta.len},
                                         {"network-config", buf_str(&f.network), f.network.len},
                                         {"vendor-data", buf_str(&f.vendor), f.vendor.len}};
    if (r == 0)
        r = iso9660_write("cidata", files, f.has_vendor ? 4 : 3, image, e);
    contents_done(&f);
    return r;
}

static int put(struct storage *s, const struct volume_id *v, const struct buf *image, struct err *e)
{
    autoclose int fd = -EBADF;
    int r = volume_receive_begin(s, v, &fd, e);

    if (r < 0)
        return r;
    r = fs_write_all(fd, image->data, image->len, e);
    if (r == 0 && ftruncate(fd, CLOUDINIT_BYTES) < 0)
        r = err_errno(e, errno, "set the size");
    if (r < 0)
        volume_receive_abort(s, v, fd);
    return r < 0 ? r : volume_receive_finish(s, v, fd, true, e);
}

int cloudinit_write(struct storage_mgr *storages, const struct config *c, uint32_t vmid, struct err *e)
{
    const char *key = cloudinit_drive_key(c, vmid);
    autobuf struct buf image;
    struct volume_id v;
    struct storage *s;

    buf_init(&image, IMAGE_MAX);
    if (!key || !guest_drive_volume(config_get(c, key), &v))
        return 0;
    int r = build(storages, c, vmid, &image, e);
    if (r == 0)
        r = storage_mgr_ref(storages, v.storage, &s, e);
    if (r == 0) {
        r = put(s, &v, &image, e);
        storage_unref(s);
    }
    return r < 0 ? err_wrap(e, r, "%s: cloud-init", key) : 0;
}
