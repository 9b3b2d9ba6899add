/* See link_priv.h: reading all interfaces, and single changes to one. */
#include "network/link_priv.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <sys/socket.h>

#define LINKS_MAX 65536u

#ifndef IFLA_INET6_ADDR_GEN_MODE
#define IFLA_INET6_ADDR_GEN_MODE 8
#endif

struct reading {
    struct net_links links;
    size_t cap;
};

static void take_kind(const struct rtattr *info, struct net_link *l)
{
    const struct rtattr *in[RTNL_ATTRS_MAX], *data[RTNL_ATTRS_MAX];
    uint8_t aware;

    rtnl_attrs_nested(info, in, RTNL_ATTRS_MAX);
    rtnl_str(in[IFLA_INFO_KIND], l->kind, sizeof(l->kind));
    rtnl_attrs_nested(in[IFLA_INFO_DATA], data, RTNL_ATTRS_MAX);
    if (streq(l->kind, "bond"))
        rtnl_copy(data[IFLA_BOND_MODE], &l->bond_mode, sizeof(l->bond_mode));
    if (!streq(l->kind, "bridge"))
        return;
    rtnl_copy(data[IFLA_BR_VLAN_FILTERING], &aware, sizeof(aware));
    l->is_vlan_aware = aware;
}

static int take_link(void *arg, const struct nlmsghdr *h)
{
    struct reading *r = arg;
    const struct ifinfomsg *body = NLMSG_DATA(h);
    const struct rtattr *a[RTNL_ATTRS_MAX];
    struct rtnl_link_stats64 stats;

    if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
        return 0;
    if (r->links.n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        void *grown = cap <= LINKS_MAX ? reallocarray(r->links.items, cap, sizeof(*r->links.items)) : NULL;
        if (!grown)
            return -ENOMEM;
        r->links.items = grown;
        r->cap = cap;
    }
    rtnl_attrs(h, sizeof(*body), a, RTNL_ATTRS_MAX);
    struct net_link *l = &r->links.items[r->links.n++];
    *l = (struct net_link){.index = (uint32_t)body->ifi_index, .flags = body->ifi_flags};
    rtnl_str(a[IFLA_IFNAME], l->name, sizeof(l->name));
    rtnl_str(a[IFLA_IFALIAS], l->alias, sizeof(l->alias));
    l->master = rtnl_u32(a[IFLA_MASTER]);
    l->mtu = rtnl_u32(a[IFLA_MTU]);
    rtnl_copy(a[IFLA_STATS64], &stats, sizeof(stats));
    l->rx_bytes = stats.rx_bytes;
    l->tx_bytes = stats.tx_bytes;
    take_kind(a[IFLA_LINKINFO], l);
    return 0;
}

int net_links_read(struct rtnl *n, struct net_links *ret, struct err *e)
{
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
    struct reading reading = {.cap = 0};
    struct rtnl_message m;

    rtnl_begin(&m, RTM_GETLINK, 0, &body, sizeof(body));
    int r = rtnl_dump(n, &m, take_link, &reading);
    if (r < 0) {
        net_links_done(&reading.links);
        return err_errno(e, -r, "list network interfaces");
    }
    *ret = reading.links;
    return 0;
}

void net_links_done(struct net_links *l)
{
    free(l->items);
    *l = (struct net_links){0};
}

const struct net_link *net_links_find(const struct net_links *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (streq(l->items[i].name, name))
            return &l->items[i];
    return NULL;
}

uint32_t net_link_index(const char *name)
{
    return if_nametoindex(name);
}

void net_link_begin_new(struct rtnl_message *m, const char *name, const char *alias)
{
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC};

    rtnl_begin(m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
    rtnl_put_str(m, IFLA_IFNAME, name);
    rtnl_put_str(m, IFLA_IFALIAS, alias);
}

/* The kernel does not take an alias with a new interface in every version: it is set again afterwards, and an interface
 * that could not be marked is taken back. */
int net_link_finish_new(struct rtnl *n, struct rtnl_message *m, const char *name, const char *alias)
{
    int r = rtnl_do(n, m);

    if (r < 0)
        return r;
    uint32_t index = net_link_index(name);
    r = index ? net_link_set_alias(n, index, alias) : -ENODEV;
    if (r < 0 && index && net_link_delete(n, index) < 0)
        return r;
    return r;
}

int net_bridge_create(struct rtnl *n, const char *name, const char *alias, const unsigned char *mac)
{
    struct rtnl_message m;

    net_link_begin_new(&m, name, alias);
    if (mac)
        rtnl_put(&m, IFLA_ADDRESS, mac, 6);
    size_t info = rtnl_nest(&m, IFLA_LINKINFO);
    rtnl_put_str(&m, IFLA_INFO_KIND, "bridge");
    size_t data = rtnl_nest(&m, IFLA_INFO_DATA);
    rtnl_put_u32(&m, IFLA_BR_FORWARD_DELAY, 0);
    rtnl_put_u32(&m, IFLA_BR_STP_STATE, 0);
    rtnl_nest_end(&m, data);
    rtnl_nest_end(&m, info);
    return net_link_finish_new(n, &m, name, alias);
}

int net_vlan_create(struct rtnl *n, const char *name, const char *alias, uint32_t raw_index, uint16_t id)
{
    struct rtnl_message m;

    net_link_begin_new(&m, name, alias);
    rtnl_put_u32(&m, IFLA_LINK, raw_index);
    size_t info = rtnl_nest(&m, IFLA_LINKINFO);
    rtnl_put_str(&m, IFLA_INFO_KIND, "vlan");
    size_t data = rtnl_nest(&m, IFLA_INFO_DATA);
    rtnl_put_u16(&m, IFLA_VLAN_ID, id);
    rtnl_nest_end(&m, data);
    rtnl_nest_end(&m, info);
    return net_link_finish_new(n, &m, name, alias);
}

int net_ifb_create(struct rtnl *n, const char *name, const char *alias)
{
    struct rtnl_message m;

    net_link_begin_new(&m, name, alias);
    size_t info = rtnl_nest(&m, IFLA_LINKINFO);
    rtnl_put_str(&m, IFLA_INFO_KIND, "ifb");
    rtnl_nest_end(&m, info);
    return net_link_finish_new(n, &m, name, alias);
}

void net_link_begin_change(struct rtnl_message *m, uint16_t type, uint32_t index, unsigned flags, unsigned change)
{
    struct ifinfomsg body = {
        .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = flags, .ifi_change = change};

    rtnl_begin(m, type, 0, &body, sizeof(body));
}

int net_bridge_set_vlan_aware(struct rtnl *n, uint32_t index, bool is_aware)
{
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_NEWLINK, index, 0, 0);
    size_t info = rtnl_nest(&m, IFLA_LINKINFO);
    rtnl_put_str(&m, IFLA_INFO_KIND, "bridge");
    size_t data = rtnl_nest(&m, IFLA_INFO_DATA);
    rtnl_put_u8(&m, IFLA_BR_VLAN_FILTERING, is_aware);
    rtnl_nest_end(&m, data);
    rtnl_nest_end(&m, info);
    return rtnl_do(n, &m);
}

int net_link_delete(struct rtnl *n, uint32_t index)
{
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_DELLINK, index, 0, 0);
    return rtnl_do(n, &m);
}

int net_link_set_up(struct rtnl *n, uint32_t index, bool is_up)
{
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_NEWLINK, index, is_up ? IFF_UP : 0, IFF_UP);
    return rtnl_do(n, &m);
}

int net_link_set_mtu(struct rtnl *n, uint32_t index, uint32_t mtu)
{
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_NEWLINK, index, 0, 0);
    rtnl_put_u32(&m, IFLA_MTU, mtu);
    return rtnl_do(n, &m);
}

int net_link_set_master(struct rtnl *n, uint32_t index, uint32_t master)
{
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_NEWLINK, index, 0, 0);
    rtnl_put_u32(&m, IFLA_MASTER, master);
    return rtnl_do(n, &m);
}

int net_link_set_alias(struct rtnl *n, uint32_t index, const char *alias)
{
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_NEWLINK, index, 0, 0);
    rtnl_put_str(&m, IFLA_IFALIAS, alias);
    return rtnl_do(n, &m);
}

void net_link_silence_ipv6(struct rtnl *n, uint32_t index)
{
    enum { NO_ADDRESS = 1 };
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_NEWLINK, index, 0, 0);
    size_t spec = rtnl_nest(&m, IFLA_AF_SPEC);
    size_t inet6 = rtnl_nest(&m, AF_INET6);
    rtnl_put_u8(&m, IFLA_INET6_ADDR_GEN_MODE, NO_ADDRESS);
    rtnl_nest_end(&m, inet6);
    rtnl_nest_end(&m, spec);
    if (rtnl_do(n, &m) < 0)
        return; /* a host without IPv6 */
}
