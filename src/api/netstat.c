/* GET /nodes/N/netstat: bytes through the taps of guests. An interface in user mode has no tap and is not listed. PVE:
 * pve-manager, Nodes.pm: numbers are strings there. The kernel is asked in a pool thread. */
#include "api/network.h"

#include <inttypes.h>

struct netstat {
    struct net_link *links;
    size_t n;
    uint32_t instance;
};

static int read_links(void *ctx, struct err *e)
{
    struct netstat *s = ctx;

    return net_links_snapshot(&s->links, &s->n, e);
}

/* What the tap sends is what comes in to the guest. */
static void write_tap(struct jw *w, const struct net_link *l, uint32_t vmid, unsigned index)
{
    char text[24];

    jw_object(w);
    snprintf(text, sizeof(text), "%u", vmid);
    jw_kv_str(w, "vmid", text);
    snprintf(text, sizeof(text), "net%u", index);
    jw_kv_str(w, "dev", text);
    snprintf(text, sizeof(text), "%" PRIu64, l->tx_bytes);
    jw_kv_str(w, "in", text);
    snprintf(text, sizeof(text), "%" PRIu64, l->rx_bytes);
    jw_kv_str(w, "out", text);
    jw_object_end(w);
}

static int write_taps(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct netstat *s = ctx;
    uint32_t vmid;
    unsigned index;

    if (r < 0)
        return r;
    jw_array(&c->out);
    for (size_t i = 0; i < s->n; i++)
        if (net_tap_name_parse(s->links[i].name, s->instance, &vmid, &index))
            write_tap(&c->out, &s->links[i], vmid, index);
    jw_array_end(&c->out);
    free(s->links);
    return 0;
}

int api_node_netstat(struct api_call *c, const struct api_node_netstat_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct netstat *s = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*s));

    if (r < 0)
        return r;
    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *s = (struct netstat){.instance = net_mgr_instance(c->api->networks)};
    return api_offload(c, read_links, write_taps, s);
}
