/* Lists of volumes in a fixed order, and the next free disk name, which is a list too. Any pool thread. */
#include "storage/storage_priv.h"

struct listing {
    struct volume_info *items;
    size_t n, cap;
};

static int add_item(void *arg, const struct volume_info *info)
{
    struct listing *l = arg;

    if (l->n == VOLUME_LIST_MAX)
        return -E2BIG;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct volume_info *items = realloc(l->items, cap * sizeof(*items));
        if (!items)
            return -ENOMEM;
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] = *info;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct volume_id *x = &((const struct volume_info *)a)->id, *y = &((const struct volume_info *)b)->id;

    if (x->content != y->content)
        return x->content < y->content ? -1 : 1;
    if (x->vmid != y->vmid)
        return x->vmid < y->vmid ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int collect(struct storage *s, uint32_t contents, uint32_t vmid, struct listing *l, struct err *e)
{
    if (s->is_disabled)
        return err_set(e, -EINVAL, "storage.disabled", "storage '%s' is disabled", s->id);
    if (contents & STORAGE_CONTENT_rootdir)
        contents |= STORAGE_CONTENT_images;
    int r = s->ops->list(s, contents, vmid, add_item, l, e);
    if (r == -E2BIG)
        r = err_set(e, r, "storage.list", "more than %u volumes", VOLUME_LIST_MAX);
    else if (r == -ENOMEM)
        r = err_set(e, r, NULL, "out of memory");
    if (l->n)
        qsort(l->items, l->n, sizeof(l->items[0]), by_name);
    return r < 0 ? err_wrap(e, r, "list storage '%s'", s->id) : 0;
}

int volume_list(struct storage *s, uint32_t contents, uint32_t vmid, volume_list_fn fn, void *arg, struct err *e)
{
    struct listing l = {0};
    int r = collect(s, contents, vmid, &l, e);

    for (size_t i = 0; r == 0 && i < l.n; i++) {
        r = fn(arg, &l.items[i]);
        if (r < 0)
            err_set(e, r, NULL, "list ended by its reader");
        else
            r = 0;
    }
    free(l.items);
    return r;
}

/* The number of vm-VMID-disk-N.* or base-VMID-disk-N.*; -1 for other names. */
static long disk_number(const char *name, uint32_t vmid)
{
    char prefix[32];
    unsigned n = 0;

    name += str_starts(name, "vm-") ? 3 : str_starts(name, "base-") ? 5 : 0;
    snprintf(prefix, sizeof(prefix), "%u-disk-", vmid);
    if (!str_starts(name, prefix))
        return -1;
    name += strlen(prefix);
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > 4 || name[digits] != '.')
        return -1;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (unsigned)(name[i] - '0');
    return n;
}

static void mark_used(bool *used, const char *name, uint32_t vmid)
{
    long n = disk_number(name, vmid);

    if (n >= 0 && n < (long)VOLUME_DISKS_MAX)
        used[n] = true;
}

/* taken holds names, or whole volume ids, of which those of other storages do not count. */
static const char *taken_name(const struct storage *s, const char *text)
{
    struct volume_id v;
    struct err e = ERR_INIT;

    if (!strchr(text, ':'))
        return text;
    if (volume_id_parse(text, &v, &e) < 0 || !streq(v.storage, s->id))
        return "";
    return strrchr(text, '/') + 1;
}

int volume_name_next(struct storage *s, uint32_t vmid, enum volume_format f, const char *const *taken, size_t n_taken,
                     struct volume_id *ret, struct err *e)
{
    bool used[VOLUME_DISKS_MAX] = {false};
    struct listing l = {0};
    char name[64];

    if (f == VOLUME_OTHER || !storage_has_format(s, f))
        return err_set(e, -EINVAL, "storage.format", "storage '%s' does not support the format '%s'", s->id,
                       volume_format_name(f));
    int r = collect(s, STORAGE_CONTENT_images, vmid, &l, e);
    for (size_t i = 0; i < l.n; i++)
        mark_used(used, l.items[i].id.name, vmid);
    free(l.items);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n_taken; i++)
        mark_used(used, taken_name(s, taken[i]), vmid);
    unsigned n = 0;
    while (n < VOLUME_DISKS_MAX && used[n])
        n++;
    if (n == VOLUME_DISKS_MAX)
        return err_set(e, -ENOSPC, "storage.names", "all %u disk names of guest %u are in use", VOLUME_DISKS_MAX, vmid);
    snprintf(name, sizeof(name), "vm-%u-disk-%u.%s", vmid, n, volume_format_name(f));
    return volume_id_make(s->id, STORAGE_CONTENT_images, vmid, name, ret, e);
}
