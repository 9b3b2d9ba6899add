/* GET /nodes/N/network: the interfaces the kernel has and those that Holm is configured to make, with pending changes.
 * PVE: pve-manager, Network.pm. The kernel is asked in a pool thread. */
#include "api/network.h"

#include <arpa/inet.h>

struct listing {
    struct net_link *links;
    size_t n;
    const char *type;
};

/* PVE's words; NULL for what it does not list (loopback, taps of guests and what belongs to them). */
static const char *type_of(const struct net_link *l)
{
    if (l->flags & IFF_LOOPBACK || streq(l->kind, "tun") || streq(l->kind, "ifb"))
        return NULL;
    if (streq(l->kind, "bridge") || streq(l->kind, "bond") || streq(l->kind, "vlan"))
        return l->kind;
    return "eth";
}

static bool is_wanted(const char *wanted, const char *type)
{
    bool is_bridge = streq(type, "bridge");

    if (!wanted)
        return true;
    if (str_starts(wanted, "any_") || streq(wanted, "include_sdn"))
        return is_bridge;
    return streq(wanted, type);
}

static void write_address(struct jw *w, const char *cidr)
{
    struct in_addr mask;
    char text[INET_ADDRSTRLEN];
    const char *slash = strchr(cidr, '/');

    if (!slash)
        return;
    unsigned prefix = (unsigned)strtoul(slash + 1, NULL, 10);
    mask.s_addr = htonl(prefix ? ~UINT32_C(0) << (32 - prefix) : 0);
    jw_kv_str(w, "cidr", cidr);
    jw_key(w, "address");
    jw_strn(w, cidr, (size_t)(slash - cidr));
    jw_kv_str(w, "netmask", inet_ntop(AF_INET, &mask, text, sizeof(text)));
}

static void write_address6(struct jw *w, const char *cidr)
{
    const char *slash = strchr(cidr, '/');

    if (!slash)
        return;
    jw_kv_str(w, "cidr6", cidr);
    jw_key(w, "address6");
    jw_strn(w, cidr, (size_t)(slash - cidr));
    jw_kv_u64(w, "netmask6", strtoul(slash + 1, NULL, 10));
}

static void write_text(struct jw *w, const char *key, const char *value)
{
    if (value[0])
        jw_kv_str(w, key, value);
}

void api_network_members(struct jw *w, const struct net_iface *i)
{
    jw_kv_str(w, "type", net_type_name(i->type));
    jw_kv_str(w, "method", i->cidr[0] ? "static" : "manual");
    jw_kv_str(w, "method6", i->cidr6[0] ? "static" : "manual");
    write_address(w, i->cidr);
    write_address6(w, i->cidr6);
    write_text(w, "gateway", i->gateway);
    write_text(w, "gateway6", i->gateway6);
    write_text(w, "vlan-raw-device", i->raw_device);
    write_text(w, "comments", i->comments);
    write_text(w, "dhcp-range", i->dhcp_range);
    if (i->type == NET_BRIDGE)
        jw_kv_str(w, "bridge_ports", i->ports);
    if (i->type == NET_BOND) {
        jw_kv_str(w, "slaves", i->ports);
        jw_kv_str(w, "bond_mode", i->bond_mode[0] ? i->bond_mode : "balance-rr");
    }
    write_text(w, "bond_xmit_hash_policy", i->bond_hash);
    write_text(w, "bond-primary", i->bond_primary);
    if (i->is_autostart)
        jw_kv_int(w, "autostart", 1);
    if (i->is_vlan_aware)
        jw_kv_int(w, "bridge_vlan_aware", 1);
    if (i->is_nat)
        jw_kv_int(w, "nat", 1);
    if (i->mtu)
        jw_kv_u64(w, "mtu", i->mtu);
    if (i->vlan_id)
        jw_kv_u64(w, "vlan-id", i->vlan_id);
}

static void write_live(struct jw *w, const struct net_link *l, const char *type)
{
    jw_kv_str(w, "type", type);
    jw_kv_str(w, "method", l->cidr[0] ? "static" : "manual");
    jw_kv_str(w, "method6", l->cidr6[0] ? "static" : "manual");
    write_address(w, l->cidr);
    write_address6(w, l->cidr6);
}

/* What applying would do to it; NULL: nothing. */
static const char *pending_of(const struct net_iface *now, const struct net_iface *then)
{
    if (!now || !then)
        return now ? "delete" : then ? "new" : NULL;
    return net_iface_is_equal(now, then) ? NULL : "change";
}

static void write_one(struct api_call *c, const char *name, const struct net_link *l, const char *type)
{
    const struct net_iface *now = net_config_find(net_mgr_active(c->api->networks), name);
    const struct net_iface *i = net_config_find(net_mgr_wanted(c->api->networks), name);
    const char *pending = pending_of(now, i);
    struct jw *w = &c->out;

    jw_object(w);
    jw_kv_str(w, "iface", name);
    if (l)
        jw_kv_int(w, "exists", 1);
    if (l && l->flags & IFF_UP)
        jw_kv_int(w, "active", 1);
    if (i)
        api_network_members(w, i);
    else
        write_live(w, l, type);
    if (pending)
        jw_kv_str(w, "pending", pending);
    if (pending && now) { /* what the plan replaces */
        jw_key(w, "applied");
        jw_object(w);
        api_network_members(w, now);
        jw_object_end(w);
    }
    jw_object_end(w);
}

static int read_links(void *ctx, struct err *e)
{
    struct listing *l = ctx;

    return net_links_snapshot(&l->links, &l->n, e);
}

static bool has_link(const struct listing *l, const char *name)
{
    for (size_t k = 0; k < l->n; k++)
        if (streq(l->links[k].name, name))
            return true;
    return false;
}

static int write_list(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct listing *l = ctx;
    const struct net_config *wanted = net_mgr_wanted(c->api->networks);

    if (r < 0)
        return r;
    jw_array(&c->out);
    for (size_t k = 0; k < l->n; k++) {
        const char *type = type_of(&l->links[k]);
        if (type && is_wanted(l->type, type))
            write_one(c, l->links[k].name, &l->links[k], type);
    }
    for (size_t k = 0; k < wanted->n; k++)
        if (!has_link(l, wanted->items[k].name) && is_wanted(l->type, net_type_name(wanted->items[k].type)))
            write_one(c, wanted->items[k].name, NULL, NULL);
    jw_array_end(&c->out);
    free(l->links);
    return 0;
}

int api_node_network_list(struct api_call *c, const struct api_node_network_list_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct listing *l = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*l));

    if (r < 0)
        return r;
    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *l = (struct listing){.type = a->type};
    return api_offload(c, read_links, write_list, l);
}
