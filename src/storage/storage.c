/* The part of a storage that every plugin shares: life time, questions about the configuration, the checks before a
 * plugin's hook, sorting of lists, free disk names. Any pool thread; struct storage does not change after storage_new.
 * What only one plugin knows (paths, files) is not here. */
#include "storage/storage_priv.h"

#include <inttypes.h>

int storage_new(const char *id, const char *json, const char *root_dir, struct storage **ret, struct err *e)
{
    int r = storage_id_check(id, e);

    if (r < 0)
        return r;
    struct storage *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    atomic_init(&s->n_refs, 1);
    snprintf(s->id, sizeof(s->id), "%s", id);
    r = storage_config_load(s, json, root_dir, e);
    if (r < 0) {
        storage_unref(s);
        return err_wrap(e, r, "storage '%s'", id);
    }
    *ret = s;
    return 0;
}

struct storage *storage_ref(struct storage *s)
{
    atomic_fetch_add(&s->n_refs, 1u);
    return s;
}

void storage_unref(struct storage *s)
{
    if (!s || atomic_fetch_sub(&s->n_refs, 1u) > 1)
        return;
    if (s->ops)
        s->ops->close(s);
    free(s->nodes);
    free(s->json);
    free(s);
}

const char *storage_name(const struct storage *s)
{
    return s->id;
}

const char *storage_type(const struct storage *s)
{
    return s->ops->type;
}

uint32_t storage_contents(const struct storage *s)
{
    return s->contents;
}

uint32_t storage_caps(const struct storage *s)
{
    return s->ops->caps | (s->is_shared ? (uint32_t)STORAGE_CAP_SHARED : 0);
}

bool storage_is_shared(const struct storage *s)
{
    return storage_caps(s) & STORAGE_CAP_SHARED;
}

uint64_t storage_limit_kib(enum storage_work w, const struct storage *from, const struct storage *to, uint64_t wish_kib)
{
    const uint64_t limits[] = {wish_kib, from->limits_kib[w], to->limits_kib[w]};
    uint64_t least = 0;

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        if (limits[i] && (!least || limits[i] < least))
            least = limits[i];
    return least;
}

bool storage_is_enabled(const struct storage *s)
{
    return !s->is_disabled;
}

bool storage_is_on_node(const struct storage *s, const char *node)
{
    size_t n = strlen(node);

    for (const char *p = s->nodes; p && *p;) {
        size_t m = strcspn(p, ",");
        if (m == n && memcmp(p, node, n) == 0)
            return true;
        p += m + (p[m] == ',');
    }
    return !s->nodes;
}

bool storage_has_format(const struct storage *s, enum volume_format f)
{
    return s->ops->formats & (1u << f);
}

enum volume_format storage_default_format(const struct storage *s)
{
    return s->default_format;
}

const char *storage_path(const struct storage *s)
{
    return s->ops->path(s);
}

int volume_path(const struct storage *s, const struct volume_id *v, char *dst, size_t cap, struct err *e)
{
    return s->ops->volume_path(s, v, dst, cap, e);
}

const char *storage_json(const struct storage *s)
{
    return s->json;
}

/* ---- checks before a hook ---- */

static int check_enabled(const struct storage *s, struct err *e)
{
    if (s->is_disabled)
        return err_set(e, -EINVAL, "storage.disabled", "storage '%s' is disabled", s->id);
    return 0;
}

/* struct volume_id may have been filled by hand: it is checked again, so that a plugin can rely on it. */
static int check_volume(const struct storage *s, const struct volume_id *v, struct err *e)
{
    struct volume_id again;
    int r = check_enabled(s, e);

    if (r == 0 && !streq(v->storage, s->id))
        r = err_set(e, -EINVAL, "volume.storage", "volume of storage '%s' asked from '%s'", v->storage, s->id);
    if (r == 0)
        r = volume_id_make(v->storage, v->content, v->vmid, v->name, &again, e);
    if (r == 0 && v->layer && (v->content != STORAGE_CONTENT_images || v->layer > VOLUME_LAYER_MAX))
        r = err_set(e, -EINVAL, "volume.layer", "'%s' has no layer %u", v->name, v->layer);
    if (r == 0 && again.format != v->format)
        r = err_set(e, -EINVAL, "volume.name", "the format and the ending of '%s' differ", v->name);
    return r;
}

static int check_new_volume(const struct storage *s, const struct volume_id *v, struct err *e)
{
    int r = check_volume(s, v, e);
    /* A container's root disk is an image too. */
    uint32_t wanted = v->content;

    if (v->content == STORAGE_CONTENT_images)
        wanted |= STORAGE_CONTENT_rootdir;
    if (r == 0 && !(s->contents & wanted))
        r = err_set(e, -EINVAL, "storage.content", "storage '%s' does not support content-type '%s'", s->id,
                    storage_content_name(v->content));
    if (r == 0 && v->content == STORAGE_CONTENT_images && !storage_has_format(s, v->format))
        r = err_set(e, -EINVAL, "storage.format", "storage '%s' does not support the format '%s'", s->id,
                    volume_format_name(v->format));
    return r;
}

static int wrap(int r, const struct storage *s, const struct volume_id *v, const char *what, struct err *e)
{
    return r < 0 ? err_wrap(e, r, "%s '%s' on storage '%s'", what, v->name, s->id) : 0;
}

/* ---- verbs ---- */

int storage_space_get(struct storage *s, struct storage_space *ret, struct err *e)
{
    int r = check_enabled(s, e);

    if (r == 0)
        r = s->ops->space(s, ret, e);
    return r < 0 ? err_wrap(e, r, "storage '%s'", s->id) : 0;
}

static int check_mark(const char *mark, struct err *e)
{
    if (mark && (!*mark || strlen(mark) > VOLUME_MARK_MAX))
        return err_set(e, -EINVAL, "volume.mark", "a mark has 1 to %u characters", VOLUME_MARK_MAX);
    return 0;
}

static int check_empty(const struct storage *s, const struct volume_id *v, uint64_t size_bytes, struct err *e)
{
    int r = check_new_volume(s, v, e);

    if (r < 0)
        return r;
    if (v->content != STORAGE_CONTENT_images)
        return err_set(e, -EINVAL, "storage.content", "only images are created empty");
    if (size_bytes == 0 || size_bytes % 512 != 0 || size_bytes > INT64_MAX)
        return err_set(e, -EINVAL, "volume.size", "the size of a volume is a positive multiple of 512 bytes");
    return 0;
}

int volume_create(struct storage *s, const struct volume_id *v, uint64_t size_bytes, const char *mark, struct err *e)
{
    int r = check_empty(s, v, size_bytes, e);

    if (r == 0)
        r = check_mark(mark, e);
    return r < 0 ? r : wrap(s->ops->create(s, v, size_bytes, mark, e), s, v, "create", e);
}

int volume_make_begin(struct storage *s, const struct volume_id *v, uint64_t size_bytes, int *ret_fd, struct err *e)
{
    int r = check_empty(s, v, size_bytes, e);

    return r < 0 ? r : wrap(s->ops->make_begin(s, v, size_bytes, ret_fd, e), s, v, "create", e);
}

int volume_make_finish(struct storage *s, const struct volume_id *v, int fd, const char *mark, struct err *e)
{
    int r = check_new_volume(s, v, e);

    if (r == 0)
        r = check_mark(mark, e);
    return r < 0 ? r : wrap(s->ops->make_finish(s, v, fd, mark, e), s, v, "create", e);
}

int volume_delete(struct storage *s, const struct volume_id *v, const char *mark, struct err *e)
{
    int r = check_volume(s, v, e);

    return r < 0 ? r : wrap(s->ops->remove(s, v, mark, e), s, v, "remove", e);
}

int volume_grow(struct storage *s, const struct volume_id *v, uint64_t size_bytes, struct err *e)
{
    int r = check_volume(s, v, e);

    if (r == 0 && (v->content != STORAGE_CONTENT_images || !size_bytes || size_bytes % 512))
        r = err_set(e, -EINVAL, "volume.size", "'%s' cannot have %llu bytes", v->name, (unsigned long long)size_bytes);
    return r < 0 ? r : wrap(s->ops->grow(s, v, size_bytes, e), s, v, "enlarge", e);
}

int volume_stat(struct storage *s, const struct volume_id *v, struct volume_info *ret, struct err *e)
{
    int r = check_volume(s, v, e);

    return r < 0 ? r : wrap(s->ops->stat(s, v, ret, e), s, v, "look at", e);
}

int volume_open_on(struct storage *s, const struct volume_id *v, const struct volume_id *below, bool is_read_only,
                   struct volume_attachment *ret, struct err *e)
{
    int r = check_volume(s, v, e);

    if (r == 0 && below)
        r = check_volume(s, below, e);
    if (r < 0)
        return r;
    if (!is_read_only && v->content != STORAGE_CONTENT_images)
        return err_set(e, -EROFS, "volume.read-only", "'%s' is not an image: it is opened for reading only", v->name);
    return wrap(s->ops->open_volume(s, v, below, is_read_only, ret, e), s, v, "open", e);
}

int volume_open(struct storage *s, const struct volume_id *v, bool is_read_only, struct volume_attachment *ret,
                struct err *e)
{
    return volume_open_on(s, v, NULL, is_read_only, ret, e);
}

/* ---- layers ---- */

/* Both images of this storage, which differ. */
static int check_two(const struct storage *s, const struct volume_id *a, const struct volume_id *b, struct err *e)
{
    int r = check_volume(s, a, e);

    if (r == 0)
        r = check_new_volume(s, b, e);
    if (r == 0 && (a->content != STORAGE_CONTENT_images || b->content != STORAGE_CONTENT_images))
        r = err_set(e, -EINVAL, "storage.content", "only images have layers and copies");
    if (r == 0 && a->vmid == b->vmid && a->layer == b->layer && streq(a->name, b->name))
        r = err_set(e, -EINVAL, "volume.name", "'%s' twice", a->name);
    return r;
}

int volume_freeze(struct storage *s, const struct volume_id *v, uint32_t layer, struct err *e)
{
    struct volume_id l = volume_layer(v, layer);
    int r = check_two(s, v, &l, e);

    return r < 0 ? r : wrap(s->ops->freeze(s, v, &l, e), s, v, "take a snapshot of", e);
}

int volume_unfreeze(struct storage *s, const struct volume_id *v, uint32_t layer, struct err *e)
{
    struct volume_id l = volume_layer(v, layer);
    int r = check_two(s, v, &l, e);

    return r < 0 ? r : wrap(s->ops->unfreeze(s, v, &l, e), s, v, "take back the snapshot of", e);
}

int volume_fork(struct storage *s, const struct volume_id *from, const struct volume_id *to, const char *mark,
                struct err *e)
{
    int r = check_two(s, from, to, e);

    if (r == 0 && from->format != to->format && to->format != VOLUME_QCOW2)
        r = err_set(e, -EINVAL, "storage.format", "a raw image cannot stand on another");
    return r < 0 ? r : wrap(s->ops->fork(s, from, to, mark, e), s, to, "make", e);
}

int volume_exchange(struct storage *s, const struct volume_id *v, uint32_t layer, const char *mark, bool is_back,
                    struct err *e)
{
    struct volume_id l = volume_layer(v, layer);
    int r = check_two(s, v, &l, e);

    return r < 0 ? r : wrap(s->ops->exchange(s, v, &l, is_back ? v : &l, mark, e), s, v, "exchange", e);
}

int volume_rename(struct storage *s, const struct volume_id *from, const struct volume_id *to, struct err *e)
{
    int r = check_two(s, from, to, e);

    if (r == 0 && from->format != to->format)
        r = err_set(e, -EINVAL, "storage.format", "a new name has the same ending");
    return r < 0 ? r : wrap(s->ops->rename(s, from, to, e), s, from, "rename", e);
}

int volume_replace_by(struct storage *s, const struct volume_id *v, uint32_t child, uint32_t layer, struct err *e)
{
    struct volume_id c = volume_layer(v, child), l = volume_layer(v, layer);
    int r = check_two(s, &c, &l, e);

    if (r == 0 && v->format != VOLUME_QCOW2)
        r = err_set(e, -EINVAL, "storage.format", "raw images stand on nothing");
    return r < 0 ? r : wrap(s->ops->replace_by(s, &c, &l, e), s, v, "merge", e);
}

int volume_layers(struct storage *s, uint32_t vmid, volume_list_fn fn, void *arg, struct err *e)
{
    int r = check_enabled(s, e);

    return r < 0 ? r : s->ops->layers(s, vmid, fn, arg, e);
}

int volume_note_get(struct storage *s, const struct volume_id *v, struct volume_note *ret, struct err *e)
{
    int r = check_volume(s, v, e);

    return r < 0 ? r : wrap(s->ops->note_get(s, v, ret, e), s, v, "look at", e);
}

int volume_note_set(struct storage *s, const struct volume_id *v, const struct volume_note *note, struct err *e)
{
    int r = check_volume(s, v, e);

    return r < 0 ? r : wrap(s->ops->note_set(s, v, note, e), s, v, "change", e);
}

int volume_receive_begin(struct storage *s, const struct volume_id *v, int *ret_fd, struct err *e)
{
    int r = check_new_volume(s, v, e);

    return r < 0 ? r : wrap(s->ops->receive_begin(s, v, ret_fd, e), s, v, "receive", e);
}

int volume_receive_finish(struct storage *s, const struct volume_id *v, int fd, bool is_replace, struct err *e)
{
    int r = check_new_volume(s, v, e);

    if (r == 0)
        r = s->ops->receive_finish(s, v, fd, is_replace, e);
    return wrap(r, s, v, "receive", e);
}

void volume_receive_abort(struct storage *s, const struct volume_id *v, int fd)
{
    s->ops->receive_abort(s, v, fd);
}

/* ---- parts ---- */

bool volume_part_id_is_valid(const char *id)
{
    return strspn(id, "0123456789abcdef") == VOLUME_PART_ID_LEN && !id[VOLUME_PART_ID_LEN];
}

static int check_part(const struct storage *s, const struct volume_id *v, const char *id, struct err *e)
{
    int r = check_new_volume(s, v, e);

    if (r == 0 && v->content == STORAGE_CONTENT_images)
        r = err_set(e, -EINVAL, "storage.content", "images are not received in pieces");
    if (r == 0 && !volume_part_id_is_valid(id))
        r = err_set(e, -EINVAL, "upload.id", "'%.40s' is not the id of an upload", id);
    return r;
}

int volume_part_create(struct storage *s, const struct volume_id *v, const char *id, struct err *e)
{
    int r = check_part(s, v, id, e);

    return r < 0 ? r : wrap(s->ops->part_create(s, v, id, e), s, v, "receive", e);
}

int volume_part_open(struct storage *s, const struct volume_id *v, const char *id, uint64_t size_bytes, int *ret_fd,
                     struct err *e)
{
    int r = check_part(s, v, id, e);

    return r < 0 ? r : wrap(s->ops->part_open(s, v, id, size_bytes, ret_fd, e), s, v, "receive", e);
}

int volume_part_finish(struct storage *s, const struct volume_id *v, const char *id, int fd, struct err *e)
{
    int r = check_part(s, v, id, e);

    return r < 0 ? r : wrap(s->ops->part_finish(s, v, id, fd, e), s, v, "receive", e);
}

/* Also of a storage that has changed since, or is disabled: what was given up goes. */
int volume_part_delete(struct storage *s, const struct volume_id *v, const char *id, struct err *e)
{
    if (!volume_part_id_is_valid(id))
        return err_set(e, -EINVAL, "upload.id", "'%.40s' is not the id of an upload", id);
    return wrap(s->ops->part_remove(s, v, id, e), s, v, "give up", e);
}

int storage_parts(struct storage *s, storage_part_fn fn, void *arg, struct err *e)
{
    int r = check_enabled(s, e);

    if (r == 0)
        r = s->ops->parts(s, fn, arg, e);
    return r < 0 ? err_wrap(e, r, "storage '%s'", s->id) : 0;
}

int storage_sweep(struct storage *s, int64_t older_than_s, size_t *ret_removed, struct err *e)
{
    size_t n = 0;
    int r = check_enabled(s, e);

    if (r == 0)
        r = s->ops->sweep(s, older_than_s, &n, e);
    if (ret_removed)
        *ret_removed = n;
    return r < 0 ? err_wrap(e, r, "storage '%s'", s->id) : 0;
}
