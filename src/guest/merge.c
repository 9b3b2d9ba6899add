/* Pending changes become the configuration: without losing sight of a volume. Pure. */
#include "guest/guest.h"

static bool names_volume(const struct config *c, const struct volume_id *v)
{
    struct volume_id other;

    for (size_t i = 0; i < c->n; i++)
        if ((guest_is_drive_key(c->items[i].key) || guest_is_index_key(c->items[i].key, "unused")) &&
            guest_drive_volume(c->items[i].value, &other) && streq(other.name, v->name) &&
            streq(other.storage, v->storage) && other.vmid == v->vmid)
            return true;
    return false;
}

/* A volume of the guest that no key names any more is kept as unusedN. */
int guest_config_keep(struct config *c, const char *old_value, uint32_t vmid)
{
    char key[16], id[VOLUME_ID_MAX + 1];
    struct volume_id v;

    if (!guest_drive_volume(old_value, &v) || v.content != STORAGE_CONTENT_images || v.vmid != vmid ||
        names_volume(c, &v))
        return 0;
    for (unsigned n = 0; n < 256; n++) {
        snprintf(key, sizeof(key), "unused%u", n);
        if (config_get(c, key))
            continue;
        volume_id_format(&v, id, sizeof(id));
        return config_set(c, key, id);
    }
    return -ENOSPC;
}

/* A volume that is attached again leaves its unusedN. */
static void drop_used(struct config *c)
{
    for (size_t i = 0; i < c->n;) {
        struct volume_id v, other;
        bool is_used = false;
        if (guest_is_index_key(c->items[i].key, "unused") && guest_drive_volume(c->items[i].value, &v))
            for (size_t k = 0; k < c->n; k++)
                is_used =
                    is_used || (guest_is_drive_key(c->items[k].key) && guest_drive_volume(c->items[k].value, &other) &&
                                streq(other.name, v.name) && streq(other.storage, v.storage) && other.vmid == v.vmid);
        if (is_used)
            config_remove(c, c->items[i].key);
        else
            i++;
    }
}

int guest_config_merge(struct config *config, const struct config *pending, uint32_t vmid)
{
    struct config old = {0};
    int r = config_copy(config, &old);

    for (size_t i = 0; r == 0 && i < pending->n; i++) {
        const struct config_item *it = &pending->items[i];
        if (it->key[0] == '!')
            config_remove(config, it->key + 1);
        else
            r = config_set(config, it->key, it->value);
    }
    for (size_t i = 0; r == 0 && i < old.n; i++)
        if (guest_is_drive_key(old.items[i].key))
            r = guest_config_keep(config, old.items[i].value, vmid);
    if (r == 0)
        drop_used(config);
    config_done(&old);
    return r;
}
