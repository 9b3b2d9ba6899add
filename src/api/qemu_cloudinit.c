/* The cloud-init image of a guest: which of its keys a running guest does not know yet, what is in the image, and the
 * image made anew. PVE: qemu-server, API2/Qemu.pm, cloudinit_pending, cloudinit_update and
 * cloudinit_generated_config_dump. Loop thread; texts are made in pool threads. */
#include "api/common.h"
#include "api/qemu_change.h"
#include "guest/cloudinit.h"

#define LOCK_WAIT_MS 3000u
#define DUMP_MAX     (256u << 10)

static int find(struct api_call *c, const char *node, int64_t vmid, struct guest **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : guest_get(c->api->guests, (uint32_t)vmid, ret, e);
}

int api_qemu_cloudinit(struct api_call *c, const struct api_qemu_cloudinit_args *a, struct err *e)
{
    char deleted[80];
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    jw_array(&c->out);
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_item *it = &g->config.items[i];
        snprintf(deleted, sizeof(deleted), "!%s", it->key);
        if (cloudinit_is_key(it->key))
            qemu_pending_item(&c->out, it->key, it->value, config_get(&g->pending, it->key),
                              config_get(&g->pending, deleted) != NULL);
    }
    for (size_t i = 0; i < g->pending.n; i++) {
        const struct config_item *it = &g->pending.items[i];
        if (cloudinit_is_key(it->key) && !config_get(&g->config, it->key))
            qemu_pending_item(&c->out, it->key, NULL, it->value, false);
    }
    jw_array_end(&c->out);
    return 0;
}

/* ---- dump ---- */

struct dump {
    struct config config;
    uint32_t vmid;
    const char *type;
    struct buf text;
};

static int make_text(void *ctx, struct err *e)
{
    struct dump *d = ctx;

    return cloudinit_dump(&d->config, d->vmid, d->type, &d->text, e);
}

static int finish_dump(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct dump *d = ctx;

    if (r == 0)
        jw_str(&c->out, buf_str(&d->text));
    config_done(&d->config);
    buf_done(&d->text);
    return r;
}

int api_qemu_cloudinit_dump(struct api_call *c, const struct api_qemu_cloudinit_dump_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);
    struct dump *d = r == 0 ? arena_alloc(&c->arena, sizeof(*d)) : NULL;

    if (r < 0)
        return r;
    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *d = (struct dump){.vmid = g->vmid, .type = a->type};
    buf_init(&d->text, DUMP_MAX);
    if (guest_config_wanted(g, &d->config) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return api_offload(c, make_text, finish_dump, d);
}

/* ---- update ---- */

struct renewal {
    struct api_call *call;
    uint32_t vmid;
    struct task_hold *hold;
};

static void on_renewed(void *arg, int r, const struct err *e)
{
    struct renewal *n = arg;
    struct api_call *c = n->call;
    struct task_hold *hold = n->hold;
    struct err copy = *e;

    free(n);
    if (hold)
        task_hold_release(hold); /* the next one in line runs inside */
    if (r == 0)
        jw_null(&c->out);
    api_finish(c, r, &copy);
}

static void unlocked(void *arg, int r, const struct err *lock_err)
{
    struct renewal *n = arg;
    struct api_call *c = n->call;
    struct err e = *lock_err;
    struct guest *g = NULL;

    if (r == 0 && !(n->hold = task_hold(c->api->tasks, n->vmid, "config")))
        r = err_set(&e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = guest_get(c->api->guests, n->vmid, &g, &e);
    const char *lock = r == 0 ? config_get(&g->config, "lock") : NULL;
    if (lock)
        r = err_set(&e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (r < 0)
        on_renewed(n, r, &e);
    else
        cloudinit_update(c->api->guests, n->vmid, on_renewed, n);
}

int api_qemu_cloudinit_update(struct api_call *c, const struct api_qemu_cloudinit_update_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);
    struct renewal *n = r == 0 ? calloc(1, sizeof(*n)) : NULL;

    if (r < 0)
        return r;
    if (!n)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *n = (struct renewal){.call = c, .vmid = g->vmid};
    task_when_unlocked(c->api->tasks, g->vmid, LOCK_WAIT_MS, unlocked, n);
    return API_LATER;
}
