/* See chain.h. Loop thread, but for chains_find and chains_done. */
#include "guest/chain.h"

/* The layers of an image and of the templates below: far more than anybody makes by hand. */
#define CHAIN_MAX 1024u

void chains_done(struct chains *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->items[i].below);
    free(c->items);
    *c = (struct chains){0};
}

static bool is_same(const struct volume_id *a, const struct volume_id *b)
{
    return a->vmid == b->vmid && streq(a->name, b->name) && streq(a->storage, b->storage);
}

const struct chain *chains_find(const struct chains *c, const struct volume_id *v)
{
    for (size_t i = 0; i < c->n; i++)
        if (is_same(&c->items[i].volume, v))
            return &c->items[i];
    return NULL;
}

static int append(struct chain *c, const struct volume_id *v, struct err *e)
{
    if (c->n == CHAIN_MAX)
        return err_set(e, -EINVAL, "guest.layers", "'%s' stands on more than %u images", c->volume.name, CHAIN_MAX);
    struct volume_id *grown = reallocarray(c->below, c->n + 1, sizeof(*grown));
    if (!grown)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    c->below = grown;
    c->below[c->n++] = *v;
    return 0;
}

/* From one image down; the owner of a base has a record of its own. */
static int walk(struct guest_mgr *m, const struct guest *g, struct chain *c, struct err *e)
{
    struct volume_id at = c->volume, below;

    for (;;) {
        const struct guest *owner = at.vmid == g->vmid ? g : guest_find(m, at.vmid);
        const struct layers_row *row = owner ? layers_find(&owner->layers, &at) : NULL;
        if (!row || !layers_below(row, at.layer, &below))
            return 0;
        int r = append(c, &below, e);
        if (r < 0)
            return r;
        at = below;
    }
}

int chain_of(struct guest_mgr *m, const struct guest *g, const struct volume_id *v, struct chain *ret, struct err *e)
{
    struct chain c = {.volume = *v};
    int r = walk(m, g, &c, e);

    if (r < 0)
        chain_done(&c);
    else
        *ret = c;
    return r;
}

void chain_done(struct chain *c)
{
    free(c->below);
    *c = (struct chain){0};
}

int chains_of(struct guest_mgr *m, const struct guest *g, const struct config *config, struct chains *ret,
              struct err *e)
{
    struct chains all = {.items = calloc(config->n + 1, sizeof(*all.items))};
    int r = all.items ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");

    for (size_t i = 0; r == 0 && i < config->n; i++) {
        struct chain *c = &all.items[all.n];
        if (!guest_is_drive_key(config->items[i].key) || !guest_drive_volume(config->items[i].value, &c->volume) ||
            c->volume.content != STORAGE_CONTENT_images)
            continue;
        r = walk(m, g, c, e);
        if (c->n)
            all.n++;
    }
    if (r < 0)
        chains_done(&all);
    else
        *ret = all;
    return r;
}
