/* See move.h. */
#include "guest/move.h"

#include "base/propstr.h"
#include "guest/clone.h"
#include "guest/cloudinit.h"
#include "guest/snap.h"

static int no_memory(struct err *e)
{
    return err_set(e, -ENOMEM, NULL, "out of memory");
}

bool move_is_state(const char *key)
{
    return guest_is_index_key(key, "efidisk") || guest_is_index_key(key, "tpmstate");
}

int move_config(const struct guest *g, struct config *ret, struct err *e)
{
    int r = config_copy(&g->config, ret);

    if (r == 0 && !guest_is_running(g))
        r = guest_config_merge(ret, &g->pending, g->vmid);
    return r < 0 ? no_memory(e) : 0;
}

/* ---- who needs a volume ---- */

static bool is_same(const struct volume_id *a, const struct volume_id *b)
{
    return a->vmid == b->vmid && streq(a->name, b->name) && streq(a->storage, b->storage);
}

static bool item_names(const struct config_item *it, const struct volume_id *v)
{
    struct volume_id other;

    return (guest_is_drive_key(it->key) || guest_is_index_key(it->key, "unused")) &&
           guest_drive_volume(it->value, &other) && is_same(&other, v);
}

/* but: a key that does not count, or NULL */
static bool names(const struct config *c, const struct volume_id *v, const char *but)
{
    for (size_t i = 0; i < c->n; i++)
        if (!streq(c->items[i].key, but ? but : "") && item_names(&c->items[i], v))
            return true;
    return false;
}

static bool stands_on(const struct guest *g, const struct volume_id *v)
{
    for (size_t i = 0; i < g->layers.n; i++)
        if (is_same(&g->layers.rows[i].base, v))
            return true;
    return false;
}

static const char *snapshot_with(const struct guest *g, const struct volume_id *v)
{
    const char *name = snap_holds(g, v);

    for (size_t i = 0; !name && i < g->snapshots.n; i++)
        if (names(&g->snapshots.items[i].config, v, NULL))
            name = g->snapshots.items[i].name;
    return name;
}

static int check_others(struct guest_mgr *m, const struct guest *g, const struct volume_id *v, struct err *e)
{
    for (size_t i = 0; i < guest_count(m); i++) {
        const struct guest *other = guest_at(m, i);
        if (other != g && (names(&other->config, v, NULL) || names(&other->pending, v, NULL) || stands_on(other, v)))
            return err_set(e, -EBUSY, "volume.in-use", "VM %u uses '%s', too", other->vmid, v->name);
    }
    return 0;
}

static int check_needed(struct guest_mgr *m, const struct guest *g, const struct config *c, const char *key,
                        const struct volume_id *v, struct err *e)
{
    const char *snapshot = snapshot_with(g, v);

    if (guest_is_template(g))
        return err_set(e, -EINVAL, "guest.template", "disks of a template stay: clones may stand on them");
    if (snapshot) {
        err_set(e, -EBUSY, "guest.snapshot", "you can't move a disk with snapshots ('%s')", snapshot);
        return err_hint(e, "delete the guest's snapshots first");
    }
    if (names(c, v, key) || names(&g->pending, v, key))
        return err_set(e, -EBUSY, "volume.in-use", "'%s' is named by another drive of VM %u, too", v->name, g->vmid);
    return check_others(m, g, v, e);
}

int move_find(struct guest_mgr *m, const struct guest *g, const struct config *c, const char *key,
              struct volume_id *ret, struct err *e)
{
    const char *value = config_get(c, key);

    if (!value)
        return err_set(e, -EINVAL, "guest.no-disk", "disk '%s' does not exist", key);
    if (cloudinit_is_drive(value, g->vmid)) {
        err_set(e, -EINVAL, "guest.cdrom", "you can't move a cloud-init drive");
        return err_hint(e, "remove it and add one on the other storage: it is made anew at each start");
    }
    if (guest_drive_is_cdrom(value))
        return err_set(e, -EINVAL, "guest.cdrom", "you can't move a cdrom");
    if (!guest_drive_volume(value, ret) || ret->content != STORAGE_CONTENT_images)
        return err_set(e, -EINVAL, "guest.no-disk", "disk '%s' has no associated volume", key);
    if (ret->vmid != g->vmid)
        return err_set(e, -EINVAL, "volume.in-use", "'%s' is a volume of VM %u", ret->name, ret->vmid);
    return check_needed(m, g, c, key, ret, e);
}

/* ---- values ---- */

int move_set(struct config *c, const char *key, const char *value, const struct volume_id *to, uint64_t size_bytes,
             struct err *e)
{
    static const char *const own[] = {"file", "volume", "format", "size"};
    char id[VOLUME_ID_MAX + 1];
    autobuf struct buf out;
    struct propstr p;
    int r = propstr_parse(value, "file", &p, e);

    buf_init(&out, 8192);
    volume_id_format(to, id, sizeof(id));
    buf_append_str(&out, id);
    for (size_t i = 0; r == 0 && guest_is_drive_key(key) && i < p.n; i++) {
        bool is_own = false;
        for (size_t k = 0; k < ARRAY_SIZE(own); k++)
            is_own = is_own || streq(p.items[i].key, own[k]);
        if (!is_own)
            buf_printf(&out, ",%s=%s", p.items[i].key, p.items[i].value);
    }
    if (r < 0)
        return r;
    if (out.is_failed || config_set(c, key, buf_str(&out)) < 0 || guest_config_resize(c, to, size_bytes) < 0)
        return no_memory(e);
    return 0;
}

/* "order=scsi0;net0" without the one. An order of nothing would be one that nobody chose: it goes. */
static int unset_boot(struct config *c, const char *key, struct err *e)
{
    const char *boot = config_get(c, "boot");
    autobuf struct buf out;
    bool is_found = false;

    buf_init(&out, 4096);
    if (!boot || !str_starts(boot, "order="))
        return 0;
    buf_append_str(&out, "order=");
    size_t empty = out.len;
    for (const char *p = boot + empty; *p;) {
        size_t n = strcspn(p, ";");
        if (n == strlen(key) && strncmp(p, key, n) == 0)
            is_found = true;
        else if (n)
            buf_printf(&out, "%s%.*s", out.len > empty ? ";" : "", (int)n, p);
        p += n + (p[n] == ';');
    }
    if (is_found && out.len == empty)
        config_remove(c, "boot");
    else if (is_found && (out.is_failed || config_set(c, "boot", buf_str(&out)) < 0))
        return no_memory(e);
    return 0;
}

int move_unset(struct config *c, const char *key, struct err *e)
{
    config_remove(c, key);
    return unset_boot(c, key, e);
}

void move_forget(struct config *c, const struct volume_id *v)
{
    for (size_t i = 0; i < c->n;)
        if (guest_is_index_key(c->items[i].key, "unused") && item_names(&c->items[i], v))
            config_remove(c, c->items[i].key);
        else
            i++;
}
