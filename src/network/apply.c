/* Makes the host's networks what a configuration says. Touches only what carries this instance's mark, and the
 * addresses, routes and ports that the configuration itself names. Pool thread; see apply_priv.h. */
#include "network/apply_priv.h"

#include "base/fp.h"
#include "base/log.h"

#include <linux/if.h>
#include <sodium.h>

struct apply {
    struct rtnl nl;
    struct net_links links; /* as they were before */
    const struct net_config *old, *wanted;
    uint32_t instance;
    char alias[NET_ALIAS_SIZE];
    bool is_start; /* nothing stops it */
    bool is_left[NET_IFACES_MAX];
};

/* At the daemon's start an error is the end of one thing, and not of all. */
static int passed(const struct apply *a, int r, const char *name, struct err *e)
{
    if (r == 0 || !a->is_start)
        return r;
    log_err(LOG_ERROR, e, "network '%s'", name);
    *e = (struct err)ERR_INIT;
    return 0;
}

static bool is_ours(const struct apply *a, const struct net_link *l)
{
    return streq(l->alias, a->alias) && (streq(l->kind, "bridge") || streq(l->kind, "vlan") || streq(l->kind, "bond"));
}

static bool is_ours_by_index(const struct apply *a, uint32_t index)
{
    for (size_t i = 0; i < a->links.n; i++)
        if (a->links.items[i].index == index)
            return is_ours(a, &a->links.items[i]);
    return false;
}

static const char *kind_of(const struct net_iface *i)
{
    return net_type_name(i->type);
}

/* A bond changes its mode only without slaves, and its name would stay: it is made anew, with all that lies on it. */
static bool is_kept(const struct apply *a, const struct net_link *l)
{
    const struct net_iface *i = net_config_find(a->wanted, l->name);
    uint8_t mode;

    return i && (i->type != NET_BOND || (net_bond_mode(i->bond_mode, &mode) == 0 && mode == l->bond_mode));
}

/* fn for each name in ports; the first error ends it. */
static int each_port(struct apply *a, const struct net_iface *i,
                     int (*fn)(struct apply *a, const struct net_iface *i, const char *port, struct err *e),
                     struct err *e)
{
    char text[sizeof(i->ports)], *save = NULL;
    int r = 0;

    snprintf(text, sizeof(text), "%s", i->ports);
    for (char *p = strtok_r(text, " ", &save); p && r == 0; p = strtok_r(NULL, " ", &save))
        r = passed(a, fn(a, i, p, e), p, e);
    return r;
}

/* ---- checks: nothing is changed yet ---- */

/* An interface that has the host's address would take it out of use on a bridge: whoever is connected over it would be
 * cut off. */
static int check_port(struct apply *a, const struct net_iface *i, const char *port, struct err *e)
{
    const struct net_link *l = net_links_find(&a->links, port), *bridge = net_links_find(&a->links, i->name);
    const struct net_iface *own = net_config_find(a->wanted, port);

    if (!l && own && (own->type == NET_VLAN || own->type == NET_BOND) && own->type != i->type)
        return 0;
    if (!l)
        return err_set(e, -ENODEV, "net.port", "port '%s' of '%s' does not exist", port, i->name);
    if (l->flags & IFF_LOOPBACK || streq(l->kind, "bridge") || (i->type == NET_BOND && streq(l->kind, "bond")))
        return err_set(e, -EINVAL, "net.port", "'%s' cannot be a port of '%s'", port, i->name);
    if (l->master && (!bridge || l->master != bridge->index) && !is_ours_by_index(a, l->master))
        return err_set(e, -EBUSY, "net.port", "'%s' is a port of another interface already", port);
    if ((l->cidr[0] || l->cidr6[0]) && !l->master) {
        err_set(e, -EBUSY, "net.port", "'%s' has the address %s", port, l->cidr[0] ? l->cidr : l->cidr6);
        return err_hint(e, "as a port it would lose it, and cut off who uses it: remove the address first");
    }
    return 0;
}

static int check_wanted(struct apply *a, const struct net_iface *i, struct err *e)
{
    const struct net_link *l = net_links_find(&a->links, i->name);

    if (i->type == NET_ETH && (!l || l->flags & IFF_LOOPBACK || is_ours(a, l)))
        return err_set(e, -ENODEV, "net.missing", "interface '%s' does not exist", i->name);
    if (i->type == NET_ETH)
        return 0;
    if (l && (!is_ours(a, l) || !streq(l->kind, kind_of(i)))) {
        err_set(e, -EEXIST, "net.foreign", "interface '%s' exists and was not made by Holm", i->name);
        return err_hint(e, "Holm changes no interface that is not its own; choose another name");
    }
    if (i->type == NET_VLAN && !net_links_find(&a->links, i->raw_device) && !net_config_find(a->wanted, i->raw_device))
        return err_set(e, -ENODEV, "net.missing", "interface '%s' of '%s' does not exist", i->raw_device, i->name);
    if (i->dhcp_range[0] && access(NET_DNSMASQ, X_OK) < 0) {
        err_set(e, -ENOENT, "net.dhcp", "DHCP on '%s' needs the program dnsmasq", i->name);
        return err_hint(e, "apt install dnsmasq-base");
    }
    return a->is_start ? 0 : each_port(a, i, check_port, e);
}

/* What goes must not take a guest's network away. */
static int check_going(struct apply *a, const struct net_link *bridge, struct err *e)
{
    unsigned n = 0, index;
    uint32_t vmid;

    for (size_t i = 0; i < a->links.n; i++)
        if (a->links.items[i].master == bridge->index &&
            net_tap_name_parse(a->links.items[i].name, a->instance, &vmid, &index))
            n++;
    return n ? err_set(e, -EBUSY, "net.in-use", "'%s' has %u interfaces of running guests", bridge->name, n) : 0;
}

static int check_all(struct apply *a, struct err *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < a->wanted->n; i++) {
        r = check_wanted(a, &a->wanted->items[i], e);
        a->is_left[i] = r < 0;
        r = passed(a, r, a->wanted->items[i].name, e);
    }
    for (size_t i = 0; r == 0 && !a->is_start && i < a->links.n; i++)
        if (is_ours(a, &a->links.items[i]) && !net_config_find(a->wanted, a->links.items[i].name))
            r = check_going(a, &a->links.items[i], e);
    return r;
}

/* ---- changes ---- */

static int failed(int r, const char *what, const char *name, struct err *e)
{
    return r < 0 ? err_errno(e, -r, "%s '%s'", what, name) : 0;
}

static int remove_gone(struct apply *a, struct err *e)
{
    for (size_t i = 0; i < a->links.n; i++) {
        const struct net_link *l = &a->links.items[i];
        if (!is_ours(a, l) || is_kept(a, l) || (a->is_start && check_going(a, l, e) < 0))
            continue;
        int r = net_link_delete(&a->nl, l->index);
        if (r < 0 && r != -ENODEV)
            return failed(r, "remove", l->name, e);
    }
    return 0;
}

/* One of its own, the same at every start: without ports of the host's hardware a bridge would take that of any tap. */
static void bridge_mac(const struct apply *a, const char *name, unsigned char mac[6])
{
    char text[IFNAMSIZ + 16];

    snprintf(text, sizeof(text), "%04x %s", a->instance, name);
    unsigned char hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, strlen(text), NULL, 0);
    memcpy(mac, hash, 6);
    mac[0] = (unsigned char)((mac[0] & 0xfc) | 2);
}

/* A VLAN can only be up when what carries it is. */
static int switch_on(struct apply *a, const struct net_iface *i, struct err *e)
{
    const char *name = i->type == NET_VLAN ? i->raw_device : i->name;

    return failed(net_link_set_up(&a->nl, net_link_index(name), true), "switch on", name, e);
}

static int create(struct apply *a, const struct net_iface *i, struct err *e)
{
    static const char *const modules[] = {[NET_BRIDGE] = "bridge", [NET_VLAN] = "8021q", [NET_BOND] = "bonding"};
    unsigned char mac[6];
    uint8_t mode;

    if (net_link_index(i->name))
        return 0;
    int r;
    if (i->type == NET_BRIDGE) {
        bridge_mac(a, i->name, mac);
        r = net_bridge_create(&a->nl, i->name, a->alias, i->ports[0] ? NULL : mac);
    } else if (i->type == NET_BOND) {
        r = net_bond_mode(i->bond_mode, &mode);
        if (r == 0)
            r = net_bond_create(&a->nl, i->name, a->alias, mode);
    } else {
        r = net_vlan_create(&a->nl, i->name, a->alias, net_link_index(i->raw_device), (uint16_t)i->vlan_id);
    }
    if (r == -EOPNOTSUPP) {
        err_set(e, r, "net.kernel", "this kernel has no %s interfaces, needed for '%s'", kind_of(i), i->name);
        return err_hint(e, "load the module %s", modules[i->type]);
    }
    return r < 0 ? failed(r, "make", i->name, e) : switch_on(a, i, e);
}

static int add_port(struct apply *a, const struct net_iface *i, const char *port, struct err *e)
{
    uint32_t index = net_link_index(port), master = net_link_index(i->name);
    const struct net_link *l = net_links_find(&a->links, port);
    int r = 0;

    if (a->is_start && check_port(a, i, port, e) < 0)
        return e->num;
    if (!index)
        return failed(-ENODEV, "find the port", port, e);
    bool is_there = l && l->index == index && l->master == master;
    if (i->type == NET_BOND && !is_there) /* a slave joins while it is down */
        r = net_link_set_up(&a->nl, index, false);
    if (r == 0 && !is_there)
        r = net_link_set_master(&a->nl, index, master);
    if (r == 0)
        r = net_link_set_up(&a->nl, index, true);
    return failed(r, "put on a bridge", port, e);
}

/* Ports that this configuration put there once. */
static int remove_ports(struct apply *a, const struct net_iface *i, struct err *e)
{
    const struct net_iface *before = net_config_find(a->old, i->name);
    char text[sizeof(i->ports)], *save = NULL;

    snprintf(text, sizeof(text), "%s", before ? before->ports : "");
    for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        uint32_t index = net_link_index(p);
        int r = !index || net_has_word(i->ports, p) ? 0 : net_link_set_master(&a->nl, index, 0);
        if (r < 0)
            return failed(r, "take off its bridge", p, e);
    }
    return 0;
}

struct addresses {
    struct apply *apply;
    const struct net_iface *iface;
    uint32_t index;
    int r;
    struct net_address found[64];
    size_t n_found;
};

static int collect_address(void *arg, uint32_t index, const struct net_address *a)
{
    struct addresses *x = arg;

    if (index == x->index && x->n_found < ARRAY_SIZE(x->found))
        x->found[x->n_found++] = *a;
    return 0;
}

static bool is_address(const char *cidr, const struct net_address *a)
{
    struct net_address b;

    return cidr[0] && net_address_parse(cidr, &b) == 0 && b.family == a->family && b.prefix == a->prefix &&
           memcmp(b.bytes, a->bytes, sizeof(b.bytes)) == 0;
}

/* Of an interface of ours every other address goes; of the host's own only what the configuration had there. */
static int remove_addresses(struct apply *a, const struct net_iface *i, uint32_t index)
{
    const struct net_iface *before = net_config_find(a->old, i->name);
    struct addresses x = {.apply = a, .iface = i, .index = index};
    int r = net_address_each(&a->nl, collect_address, &x);

    for (size_t k = 0; r == 0 && k < x.n_found; k++) {
        const struct net_address *f = &x.found[k];
        bool was_ours = i->type != NET_ETH || (before && (is_address(before->cidr, f) || is_address(before->cidr6, f)));
        if (was_ours && !is_address(i->cidr, f) && !is_address(i->cidr6, f))
            r = net_address_delete(&a->nl, index, f);
    }
    return r;
}

static int set_addresses(struct apply *a, const struct net_iface *i, uint32_t index, struct err *e)
{
    const char *wanted[] = {i->cidr, i->cidr6};
    int r = remove_addresses(a, i, index);

    for (size_t k = 0; r == 0 && k < ARRAY_SIZE(wanted); k++) {
        struct net_address address;
        if (wanted[k][0] && (r = net_address_parse(wanted[k], &address)) == 0)
            r = net_address_add(&a->nl, index, &address);
    }
    return failed(r, "set the addresses of", i->name, e);
}

static int set_gateways(struct apply *a, const struct net_iface *i, uint32_t index, struct err *e)
{
    const struct net_iface *before = net_config_find(a->old, i->name);
    const char *wanted[] = {i->gateway, i->gateway6};
    const char *had[] = {before ? before->gateway : "", before ? before->gateway6 : ""};
    int r = 0;

    for (size_t k = 0; r == 0 && k < ARRAY_SIZE(wanted); k++) {
        if (had[k][0] && !streq(had[k], wanted[k]))
            r = net_gateway_set(&a->nl, index, had[k], false);
        if (r == 0 && wanted[k][0])
            r = net_gateway_set(&a->nl, index, wanted[k], true);
    }
    return failed(r, "set the gateway of", i->name, e);
}

static int set_vlan_aware(struct apply *a, const struct net_iface *i, uint32_t index, struct err *e)
{
    const struct net_link *l = net_links_find(&a->links, i->name);

    if (i->type != NET_BRIDGE || i->is_vlan_aware == (l && l->is_vlan_aware))
        return 0;
    int r = net_bridge_set_vlan_aware(&a->nl, index, i->is_vlan_aware);
    if (r == -EOPNOTSUPP)
        return err_set(e, r, "net.kernel", "this kernel's bridges cannot filter VLANs, asked for by '%s'", i->name);
    return failed(r, "set the VLAN filter of", i->name, e);
}

static int set_bond(struct apply *a, const struct net_iface *i, uint32_t index, struct err *e)
{
    uint8_t mode = 0, hash = 0;
    int r = net_bond_mode(i->bond_mode, &mode);

    if (r == 0)
        r = net_bond_hash(i->bond_hash, &hash);
    if (r == 0)
        r = net_bond_set(&a->nl, index, mode, hash, i->bond_primary[0] ? net_link_index(i->bond_primary) : 0);
    return failed(r, "set the bond", i->name, e);
}

static int bring_about(struct apply *a, const struct net_iface *i, struct err *e)
{
    uint32_t index = net_link_index(i->name);
    int r = 0;

    if (i->mtu && (r = net_link_set_mtu(&a->nl, index, i->mtu)) < 0)
        return failed(r, "set the MTU of", i->name, e);
    r = set_vlan_aware(a, i, index, e);
    if (r == 0)
        r = each_port(a, i, add_port, e);
    if (r == 0 && i->type == NET_BOND)
        r = set_bond(a, i, index, e);
    if (r == 0 && i->type != NET_ETH)
        r = failed(net_link_set_up(&a->nl, index, true), "switch on", i->name, e);
    if (r == 0)
        r = set_addresses(a, i, index, e);
    return r == 0 ? set_gateways(a, i, index, e) : r;
}

/* Interfaces of the host that the configuration no longer names lose what it gave them. */
static int leave_hosts_own(struct apply *a, struct err *e)
{
    for (size_t k = 0; k < a->old->n; k++) {
        const struct net_iface *i = &a->old->items[k];
        struct net_iface bare = {.type = NET_ETH};
        uint32_t index = net_link_index(i->name);
        if (i->type != NET_ETH || net_config_find(a->wanted, i->name) || !index)
            continue;
        memcpy(bare.name, i->name, sizeof(bare.name));
        int r = set_gateways(a, &bare, index, e);
        if (r == 0)
            r = set_addresses(a, &bare, index, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int each_of(struct apply *a, enum net_type type,
                   int (*fn)(struct apply *a, const struct net_iface *i, struct err *e), struct err *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < a->wanted->n; i++)
        if (a->wanted->items[i].type == type && !a->is_left[i])
            r = passed(a, fn(a, &a->wanted->items[i], e), a->wanted->items[i].name, e);
    return r;
}

/* VLANs may lie on bonds and bridges of the same configuration, and be ports of bridges, as bonds may. */
static int step(const char *point, int r, struct err *e)
{
    return r == 0 && FP(point) ? err_set(e, -EIO, NULL, "fail point") : r;
}

static int change_all(struct apply *a, int run_dirfd, struct err *e)
{
    static const enum net_type order[] = {NET_ETH, NET_BOND, NET_VLAN, NET_BRIDGE};
    int r = leave_hosts_own(a, e);

    if (r == 0)
        r = step("net.apply.removed", remove_gone(a, e), e);
    if (r == 0)
        r = each_of(a, NET_BOND, create, e);
    if (r == 0)
        r = each_of(a, NET_BRIDGE, create, e);
    if (r == 0)
        r = each_of(a, NET_VLAN, create, e);
    r = step("net.apply.created", r, e);
    /* All of them first: a port may go from one to another. */
    if (r == 0)
        r = each_of(a, NET_BOND, remove_ports, e);
    if (r == 0)
        r = each_of(a, NET_BRIDGE, remove_ports, e);
    for (size_t k = 0; r == 0 && k < ARRAY_SIZE(order); k++)
        r = step("net.apply.set", each_of(a, order[k], bring_about, e), e);
    if (r == 0)
        r = net_nat_apply(a->wanted, a->instance, run_dirfd, e);
    return step("net.apply.done", r, e);
}

static int read_links(struct apply *a, struct err *e)
{
    net_links_done(&a->links);
    return net_links_snapshot(&a->links.items, &a->links.n, e);
}

/* The other way round: what was in force is wanted again. */
static void take_back(struct apply *a, int run_dirfd, struct err *e)
{
    const struct net_config *old = a->old;
    struct err why = ERR_INIT;

    a->old = a->wanted;
    a->wanted = old;
    if (read_links(a, &why) < 0 || change_all(a, run_dirfd, &why) < 0)
        err_hint(e, "taking it back failed too: %.120s", why.text);
    else if (!e->hint[0])
        err_hint(e, "nothing was changed: what was done so far was taken back");
}

static int apply(struct apply *a, int run_dirfd, struct err *e)
{
    int r = rtnl_open(&a->nl, e);

    if (r < 0)
        return r;
    snprintf(a->alias, sizeof(a->alias), "holm-%04x", a->instance);
    r = read_links(a, e);
    if (r == 0)
        r = check_all(a, e);
    if (r == 0 && (r = change_all(a, run_dirfd, e)) < 0 && !a->is_start)
        take_back(a, run_dirfd, e);
    net_links_done(&a->links);
    rtnl_close(&a->nl);
    return r;
}

int net_apply(const struct net_config *old, const struct net_config *wanted, uint32_t instance, int run_dirfd,
              struct err *e)
{
    struct apply a = {.old = old, .wanted = wanted, .instance = instance};

    return apply(&a, run_dirfd, e);
}

int net_apply_start(const struct net_config *old, const struct net_config *wanted, uint32_t instance, int run_dirfd,
                    struct err *e)
{
    struct apply a = {.old = old, .wanted = wanted, .instance = instance, .is_start = true};

    return apply(&a, run_dirfd, e);
}
