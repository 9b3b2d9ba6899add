/* The configuration in the form of interfaces(5): for people, and for ifupdown where the host brings networks up before
 * holmd. Names and addresses were checked by config.c; comments are written as comment lines. Pure. */
#include "network/network.h"

static void comment_lines(const char *text, struct buf *out)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        buf_printf(out, "#%.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void family_part(const struct net_iface *i, bool is_six, bool is_first, uint32_t instance, struct buf *out)
{
    const char *cidr = is_six ? i->cidr6 : i->cidr, *gateway = is_six ? i->gateway6 : i->gateway;

    buf_printf(out, "iface %s %s %s\n", i->name, is_six ? "inet6" : "inet", cidr[0] ? "static" : "manual");
    if (cidr[0])
        buf_printf(out, "\taddress %s\n", cidr);
    if (gateway[0])
        buf_printf(out, "\tgateway %s\n", gateway);
    if (!is_first)
        return;
    if (i->type == NET_BRIDGE)
        buf_printf(out, "\tbridge-ports %s\n\tbridge-stp off\n\tbridge-fd 0\n", i->ports[0] ? i->ports : "none");
    if (i->type == NET_BOND)
        buf_printf(out, "\tbond-slaves %s\n\tbond-miimon 100\n\tbond-mode %s\n", i->ports,
                   i->bond_mode[0] ? i->bond_mode : "balance-rr");
    if (i->bond_hash[0])
        buf_printf(out, "\tbond-xmit-hash-policy %s\n", i->bond_hash);
    if (i->bond_primary[0])
        buf_printf(out, "\tbond-primary %s\n", i->bond_primary);
    if (i->is_vlan_aware)
        buf_printf(out, "\tbridge-vlan-aware yes\n");
    if (i->type == NET_VLAN)
        buf_printf(out, "\tvlan-raw-device %s\n\tvlan-id %u\n", i->raw_device, i->vlan_id);
    if (i->mtu)
        buf_printf(out, "\tmtu %u\n", i->mtu);
    /* So that holmd knows it as its own. */
    if (i->type != NET_ETH)
        buf_printf(out, "\tpost-up ip link set dev %s alias holm-%04x\n", i->name, instance);
}

void net_config_text(const struct net_config *c, uint32_t instance, struct buf *out)
{
    buf_printf(out, "# Written by holmd when networks are applied; changes here are lost.\n");
    for (size_t k = 0; k < c->n; k++) {
        const struct net_iface *i = &c->items[k];
        buf_printf(out, "\n");
        if (i->is_autostart)
            buf_printf(out, "auto %s\n", i->name);
        family_part(i, false, true, instance, out);
        if (i->cidr6[0])
            family_part(i, true, false, instance, out);
        comment_lines(i->comments, out);
    }
}
