/* GET /nodes/N/dhcp-leases: addresses that the DHCP of Holm's own bridges has given away. No route of PVE's. The files
 * are read in a pool thread. */
#include "api/network.h"

struct leases {
    const char *root_dir;
    struct net_config config;
    struct net_lease *items;
    size_t n;
};

static int read_leases(void *ctx, struct err *e)
{
    struct leases *l = ctx;

    return net_leases_read(l->root_dir, &l->config, &l->items, &l->n, e);
}

static int write_leases(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct leases *l = ctx;

    net_config_done(&l->config);
    if (r < 0)
        return r;
    jw_array(&c->out);
    for (size_t i = 0; i < l->n; i++) {
        jw_object(&c->out);
        jw_kv_str(&c->out, "iface", l->items[i].bridge);
        jw_kv_str(&c->out, "address", l->items[i].address);
        jw_kv_str(&c->out, "mac", l->items[i].mac);
        jw_kv_str(&c->out, "name", l->items[i].name);
        jw_kv_u64(&c->out, "expire", l->items[i].expires_s);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    free(l->items);
    return 0;
}

int api_node_dhcp_leases(struct api_call *c, const struct api_node_dhcp_leases_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct leases *l = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*l));

    if (r < 0)
        return r;
    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *l = (struct leases){.root_dir = net_mgr_root_dir(c->api->networks)};
    if (net_config_copy(net_mgr_active(c->api->networks), &l->config) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return api_offload(c, read_leases, write_leases, l);
}
