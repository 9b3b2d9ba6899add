/* import-from of a drive: a new volume that begins as a copy of another image. PVE: qemu-server, API2/Qemu.pm
 * (check_storage_access) and QemuServer/ImportDisk.
 *
 * On the loop: who may read the source, that no guest writes to it now, and what it stands on. Until the change is over
 * every guest that names the source is held, so that none begins to write to it. In a pool thread: its size. The copy
 * is the step volume.copy. */
#include "api/qemu_change.h"
#include "base/propstr.h"
#include "guest/import.h"

void change_imports_done(struct change *ch)
{
    for (size_t i = 0; i < ch->n_imports; i++) {
        chain_done(&ch->imports[i].chain);
        free(ch->imports[i].path);
    }
    free(ch->imports);
    ch->imports = NULL;
    ch->n_imports = 0;
    /* Whoever waits for the guest runs inside. */
    for (size_t i = 0; i < ch->n_holds; i++)
        task_hold_release(ch->holds[i].hold);
    free(ch->holds);
    ch->holds = NULL;
    ch->n_holds = 0;
}

const struct change_import *change_import_find(const struct change *ch, const char *key)
{
    for (size_t i = 0; i < ch->n_imports; i++)
        if (streq(ch->imports[i].key, key))
            return &ch->imports[i];
    return NULL;
}

/* ---- the source, on the loop ---- */

static bool is_named_by(const struct guest *g, const struct volume_id *v)
{
    const struct config *configs[] = {&g->config, &g->pending, &g->running};
    struct volume_id other;

    for (size_t k = 0; k < ARRAY_SIZE(configs); k++)
        for (size_t i = 0; i < configs[k]->n; i++) {
            const struct config_item *it = &configs[k]->items[i];
            if ((guest_is_drive_key(it->key) || guest_is_index_key(it->key, "unused")) &&
                guest_drive_volume(it->value, &other) && other.content == v->content && other.vmid == v->vmid &&
                streq(other.name, v->name) && streq(other.storage, v->storage))
                return true;
        }
    return false;
}

/* Who may copy the guest may copy its disks; what it does not name, and what a guest that is gone left behind, belongs
 * to whoever administers the storage. */
static int check_image_rights(struct change *ch, const struct volume_id *v, struct err *e)
{
    const struct guest *owner = guest_find(ch->call->api->guests, v->vmid);
    char path[AUTH_PATH_MAX];
    int r = 0;

    if (owner) {
        api_vm_path(v->vmid, path);
        r = api_require(ch->call, path, PRIV_M(VM_CLONE), false, e);
    }
    if (r < 0 || (owner && is_named_by(owner, v)))
        return r;
    snprintf(path, sizeof(path), "/storage/%s", v->storage);
    return api_require(ch->call, path, PRIV_M(DATASTORE_ALLOCATE), false, e);
}

static int check_volume_rights(struct change *ch, const struct volume_id *v, struct err *e)
{
    char path[AUTH_PATH_MAX];

    if (v->content == STORAGE_CONTENT_images)
        return check_image_rights(ch, v, e);
    if (v->content != STORAGE_CONTENT_import)
        return err_set(e, -EINVAL, "param.invalid",
                       "import-from: '%.60s' has wrong type '%s' - needs to be 'images' or 'import'", v->name,
                       storage_content_name(v->content));
    snprintf(path, sizeof(path), "/storage/%s", v->storage);
    return api_require(ch->call, path, PRIV_M(DATASTORE_ALLOCATESPACE) | PRIV_M(DATASTORE_AUDIT), true, e);
}

static bool is_held(const struct change *ch, uint32_t vmid)
{
    for (size_t i = 0; i < ch->n_holds; i++)
        if (ch->holds[i].vmid == vmid)
            return true;
    return vmid == ch->vmid; /* by whoever made the change */
}

static int hold(struct change *ch, const struct guest *g, const struct volume_id *v, struct err *e)
{
    struct task_mgr *tasks = ch->call->api->tasks;

    if (guest_is_running(g) || task_guest_has(tasks, g->vmid, "qmstart"))
        return err_set(e, -EBUSY, "guest.running", "import-from: '%.60s' is in use by the running guest %u", v->name,
                       g->vmid);
    if (is_held(ch, g->vmid))
        return 0;
    const char *lock = task_guest_lock(tasks, g->vmid);
    if (lock)
        return err_set(e, -EBUSY, "guest.locked", "import-from: VM %u is locked (%s)", g->vmid, lock);
    struct change_hold *grown = reallocarray(ch->holds, ch->n_holds + 1, sizeof(*grown));
    if (grown)
        ch->holds = grown;
    struct task_hold *h = grown ? task_hold(tasks, g->vmid, "import") : NULL;
    if (!h)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    ch->holds[ch->n_holds++] = (struct change_hold){.vmid = g->vmid, .hold = h};
    return 0;
}

static int hold_all(struct change *ch, const struct volume_id *v, struct err *e)
{
    struct guest_mgr *m = ch->call->api->guests;
    int r = 0;

    for (size_t i = 0; r == 0 && i < guest_count(m); i++) {
        const struct guest *g = guest_at(m, i);
        if (g->vmid == v->vmid || is_named_by(g, v))
            r = hold(ch, g, v, e);
    }
    return r;
}

static int take_volume(struct change *ch, const char *source, struct change_import *im, struct err *e)
{
    struct guest_mgr *m = ch->call->api->guests;

    if (volume_id_parse(source, &im->from, e) < 0)
        return err_set(e, -EINVAL, "param.invalid", "import-from: '%.80s' is neither a volume nor an absolute path",
                       source);
    int r = check_volume_rights(ch, &im->from, e);
    if (r == 0 && im->from.format == VOLUME_OTHER) {
        err_set(e, -EINVAL, "param.unsupported", "import-from: '%.80s': only raw and qcow2 images are imported",
                im->from.name);
        return err_hint(e, "qemu-img convert -O qcow2 makes a qcow2 image of other formats");
    }
    if (r < 0 || im->from.content != STORAGE_CONTENT_images)
        return r;
    r = hold_all(ch, &im->from, e);
    const struct guest *owner = guest_find(m, im->from.vmid);
    return r == 0 && owner ? chain_of(m, owner, &im->from, &im->chain, e) : r;
}

/* A disk of a guest has a name as a volume, under which it is known who uses it. */
static int check_path(struct change *ch, const char *path, struct err *e)
{
    struct storage_mgr *m = ch->storages;

    if (strlen(path) > IMPORT_PATH_MAX || strstr(path, "/../") || strstr(path, "//") || strstr(path, "/./"))
        return err_set(e, -EINVAL, "param.invalid", "import-from: not a path that is taken");
    if (import_format(path) == VOLUME_OTHER)
        return err_set(e, -EINVAL, "param.unsupported",
                       "import-from: '%.80s': only files called .raw, .img or .qcow2 are imported", path);
    for (size_t i = 0; i < storage_mgr_count(m); i++) {
        const char *base = storage_path(storage_mgr_at(m, i)->storage);
        size_t n = base ? strlen(base) : 0;
        if (n && strncmp(path, base, n) == 0 && str_starts(path + n, "/images/"))
            return err_set(e, -EINVAL, "param.invalid", "import-from: name the volume, not its file: %s:…",
                           storage_name(storage_mgr_at(m, i)->storage));
    }
    return 0;
}

static int take_path(struct change *ch, const char *path, struct change_import *im, struct err *e)
{
    int r = api_require_root(ch->call, e);

    if (r == 0)
        r = check_path(ch, path, e);
    if (r == 0 && !(im->path = strdup(path)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    return r;
}

/* "local:0": where the new volume goes. */
static int check_target(const struct propstr *p, struct err *e)
{
    const char *file = propstr_get(p, "file") ? propstr_get(p, "file") : propstr_get(p, "volume");
    const char *colon = file ? strchr(file, ':') : NULL, *media = propstr_get(p, "media");

    if (!colon || !streq(colon + 1, "0"))
        return err_set(e, -EINVAL, "param.invalid",
                       "import-from requires special syntax - use <storage ID>:0,import-from=<source>");
    return media && streq(media, "cdrom")
               ? err_set(e, -EINVAL, "param.invalid", "import-from: a CD-ROM is not made of an image")
               : 0;
}

int change_import_add(struct change *ch, const char *key, const struct propstr *p, struct err *e)
{
    const char *source = propstr_get(p, "import-from");
    struct change_import *grown;
    int r = check_target(p, e);

    if (r < 0)
        return r;
    grown = reallocarray(ch->imports, ch->n_imports + 1, sizeof(*grown));
    if (!grown)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    ch->imports = grown;
    struct change_import *im = &ch->imports[ch->n_imports++];
    *im = (struct change_import){.path = NULL};
    snprintf(im->key, sizeof(im->key), "%s", key);
    return source[0] == '/' ? take_path(ch, source, im, e) : take_volume(ch, source, im, e);
}

int change_import_strip(const char *value, struct buf *out, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value, "file", &p, e);

    for (size_t i = 0; r == 0 && i < p.n; i++)
        if (!streq(p.items[i].key, "import-from"))
            buf_printf(out, "%s%s=%s", out->len ? "," : "", p.items[i].key, p.items[i].value);
    return r;
}

/* ---- its size, in a pool thread ---- */

static int open_source(struct change *ch, const struct change_import *im, struct volume_attachment *ret, struct err *e)
{
    struct storage *s;

    if (im->path)
        return import_open(im->path, ret, e);
    int r = storage_mgr_ref(ch->storages, im->from.storage, &s, e);
    if (r < 0)
        return r;
    r = volume_open_on(s, &im->from, im->chain.n ? &im->chain.below[0] : NULL, true, ret, e);
    storage_unref(s);
    return r;
}

int change_import_look(struct change *ch, const struct change_import *im, uint64_t fixed_bytes, uint64_t *ret_bytes,
                       enum volume_format *ret_format, struct err *e)
{
    struct volume_attachment a;
    int r = open_source(ch, im, &a, e);

    if (r < 0)
        return err_wrap(e, r, "import-from");
    close(a.fd);
    if (!a.size_bytes || a.size_bytes % 512)
        return err_set(e, -EINVAL, "image.size", "import-from: its size, %llu bytes, is no multiple of 512",
                       (unsigned long long)a.size_bytes);
    if (fixed_bytes && a.size_bytes != fixed_bytes)
        return err_set(e, -EINVAL, "image.size", "import-from: its size must be %llu bytes, it is %llu",
                       (unsigned long long)fixed_bytes, (unsigned long long)a.size_bytes);
    *ret_bytes = a.size_bytes;
    *ret_format = a.format;
    return 0;
}

json_t *change_import_step(const struct change_import *im, const struct volume_id *to, uint64_t size_bytes)
{
    return im->path ? guest_step_volume_import(im->path, to, size_bytes)
                    : guest_step_volume_copy(&im->from, im->chain.below, im->chain.n, to, size_bytes, 0);
}
