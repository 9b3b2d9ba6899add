/* Changes of the node's networks: kept as a pending configuration until applied or dropped. PVE: pve-manager,
 * Network.pm. Loop thread. */
#include "api/network.h"

#include <arpa/inet.h>

/* Of PVE's settings those that nothing here acts on. */
static const char *const refused[] = {"bridge_vids", "ovs_bonds", "ovs_bridge", "ovs_options", "ovs_ports", "ovs_tag"};

static int refuse_others(struct api_call *c, const char *type, struct err *e)
{
    enum net_type t;

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (api_raw_get(c, refused[i]))
            return err_set(e, -EINVAL, "param.unsupported", "'%s' is not supported", refused[i]);
    if (str_starts(type, "OVS"))
        return err_set(e, -EINVAL, "param.unsupported",
                       "Open vSwitch (%s) is not supported: a Linux bridge is 'bridge'", type);
    if (streq(type, "alias"))
        return err_set(e, -EINVAL, "param.unsupported",
                       "interfaces of type 'alias' are not supported: an interface has one cidr and one cidr6");
    if (!net_type_parse(type, &t))
        return err_set(e, -EINVAL, "param.unsupported", "interfaces of type '%s' are not supported", type);
    return 0;
}

/* A parameter of the request into a field; an absent one leaves it. */
static int take(struct api_call *c, const char *key, char *dst, size_t cap, struct err *e)
{
    const char *value = api_raw_get(c, key);

    if (value && str_copy(dst, cap, value) < 0)
        return api_param_error(c, e, key, "too long");
    for (const char *p = dst; value && *p; p++)
        if ((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t')
            return api_param_error(c, e, key, "control characters are not allowed");
    return 0;
}

/* address with netmask, where there is no cidr. */
static int take_address(struct api_call *c, const char *cidr_key, const char *address_key, const char *mask_key,
                        char *dst, size_t cap, struct err *e)
{
    const char *cidr = api_raw_get(c, cidr_key), *address = api_raw_get(c, address_key);
    const char *mask = api_raw_get(c, mask_key);
    struct in_addr bits;
    char prefix[16];

    if (cidr || !address)
        return take(c, cidr_key, dst, cap, e);
    snprintf(prefix, sizeof(prefix), "%.10s", mask ? mask : "");
    if (mask && strchr(mask, '.') && inet_pton(AF_INET, mask, &bits) == 1)
        snprintf(prefix, sizeof(prefix), "%d", __builtin_popcount(bits.s_addr));
    if (!mask || (size_t)snprintf(dst, cap, "%s/%s", address, prefix) >= cap)
        return api_param_error(c, e, address_key, "needs a network mask");
    return 0;
}

/* A list of names with any separator, as one with blanks. */
static void blank_separators(char *s)
{
    for (; *s; s++)
        if (*s == ',' || *s == ';')
            *s = ' ';
}

static int take_texts(struct api_call *c, struct net_iface *i, struct err *e)
{
    int r = take_address(c, "cidr", "address", "netmask", i->cidr, sizeof(i->cidr), e);

    if (r == 0)
        r = take_address(c, "cidr6", "address6", "netmask6", i->cidr6, sizeof(i->cidr6), e);
    if (r == 0)
        r = take(c, "gateway", i->gateway, sizeof(i->gateway), e);
    if (r == 0)
        r = take(c, "gateway6", i->gateway6, sizeof(i->gateway6), e);
    if (r == 0 && api_raw_get(c, i->type == NET_BOND ? "bridge_ports" : "slaves"))
        r = api_param_error(c, e, i->type == NET_BOND ? "bridge_ports" : "slaves", "not of this type");
    if (r == 0)
        r = take(c, i->type == NET_BOND ? "slaves" : "bridge_ports", i->ports, sizeof(i->ports), e);
    if (r == 0)
        r = take(c, "bond_mode", i->bond_mode, sizeof(i->bond_mode), e);
    if (r == 0)
        r = take(c, "bond_xmit_hash_policy", i->bond_hash, sizeof(i->bond_hash), e);
    if (r == 0)
        r = take(c, "bond-primary", i->bond_primary, sizeof(i->bond_primary), e);
    if (r == 0)
        r = take(c, "vlan-raw-device", i->raw_device, sizeof(i->raw_device), e);
    if (r == 0)
        r = take(c, "dhcp-range", i->dhcp_range, sizeof(i->dhcp_range), e);
    if (r == 0)
        r = take(c, api_raw_get(c, "comments") ? "comments" : "comments6", i->comments, sizeof(i->comments), e);
    blank_separators(i->ports);
    return r;
}

/* "vmbr0v" and "eth0.5" say both without vlan-raw-device. */
static void vlan_from_name(struct net_iface *i)
{
    const char *dot = strrchr(i->name, '.');
    uint64_t id;

    if (i->type != NET_VLAN || i->raw_device[0] || !dot || str_to_u64(dot + 1, &id) < 0 || id > 4094)
        return;
    snprintf(i->raw_device, sizeof(i->raw_device), "%.*s", (int)(dot - i->name), i->name);
    i->vlan_id = (uint32_t)id;
}

struct numbers {
    bool has_autostart, autostart, has_aware, aware, has_nat, nat, has_mtu, has_vlan;
    int64_t mtu, vlan;
};

static int fill(struct api_call *c, struct net_iface *i, const char *type, const struct numbers *n, struct err *e)
{
    int r = refuse_others(c, type, e);

    if (r < 0)
        return r;
    net_type_parse(type, &i->type);
    r = take_texts(c, i, e);
    if (r < 0)
        return r;
    i->is_autostart = n->has_autostart ? n->autostart : i->is_autostart;
    i->is_vlan_aware = n->has_aware ? n->aware : i->is_vlan_aware;
    i->is_nat = n->has_nat ? n->nat : i->is_nat;
    i->mtu = n->has_mtu ? (uint32_t)n->mtu : i->mtu;
    i->vlan_id = n->has_vlan ? (uint32_t)n->vlan : i->vlan_id;
    vlan_from_name(i);
    return net_iface_check(i, e);
}

#define NUMBERS(a)                                                                                                     \
    {                                                                                                                  \
        .has_autostart = (a)->has_autostart, .autostart = (a)->autostart, .has_aware = (a)->has_bridge_vlan_aware,     \
        .aware = (a)->bridge_vlan_aware, .has_nat = (a)->has_nat, .nat = (a)->nat, .has_mtu = (a)->has_mtu,            \
        .mtu = (a)->mtu, .has_vlan = (a)->has_vlan_id, .vlan = (a)->vlan_id                                            \
    }

/* Commits c as pending; with what is in force in it nothing is pending any more. */
static int commit_pending(struct api_call *c, struct net_config *config, struct err *e)
{
    struct state_txn *t = NULL;
    int r = net_mgr_change(c->api->networks, config, &t, e);

    if (config)
        net_config_done(config);
    return r < 0 ? r : api_commit(c, t);
}

static int put_iface(struct api_call *c, const struct net_iface *i, struct err *e)
{
    struct net_config config;
    int r =
        net_config_copy(net_mgr_wanted(c->api->networks), &config) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;

    if (r < 0)
        return r;
    r = net_config_set(&config, i, e);
    if (r < 0) {
        net_config_done(&config);
        return r;
    }
    return commit_pending(c, &config, e);
}

static int find(struct api_call *c, const char *node, const char *iface, const struct net_iface **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    if (r < 0)
        return r;
    *ret = net_config_find(net_mgr_wanted(c->api->networks), iface);
    return *ret ? 0 : err_set(e, -ENOENT, "net.missing", "interface does not exist");
}

int api_node_network_create(struct api_call *c, const struct api_node_network_create_args *a, struct err *e)
{
    const struct numbers n = NUMBERS(a);
    struct net_iface i = {.vlan_id = 0};
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    if (net_config_find(net_mgr_wanted(c->api->networks), a->iface))
        return api_param_error(c, e, "iface", "interface already exists");
    if (!net_name_is_valid(a->iface) || str_copy(i.name, sizeof(i.name), a->iface) < 0)
        return api_param_error(c, e, "iface", "not a name for an interface of Holm's");
    r = fill(c, &i, a->type, &n, e);
    return r < 0 ? r : put_iface(c, &i, e);
}

static int delete_keys(struct api_call *c, const char *keys, struct net_iface *i, struct err *e)
{
    const struct {
        const char *key;
        char *text;
        bool *flag;
        uint32_t *number;
    } all[] = {{"cidr", i->cidr, NULL, NULL},
               {"address", i->cidr, NULL, NULL},
               {"netmask", NULL, NULL, NULL},
               {"cidr6", i->cidr6, NULL, NULL},
               {"address6", i->cidr6, NULL, NULL},
               {"netmask6", NULL, NULL, NULL},
               {"gateway", i->gateway, NULL, NULL},
               {"gateway6", i->gateway6, NULL, NULL},
               {"bridge_ports", i->ports, NULL, NULL},
               {"slaves", i->ports, NULL, NULL},
               {"bond_mode", i->bond_mode, NULL, NULL},
               {"bond_xmit_hash_policy", i->bond_hash, NULL, NULL},
               {"bond-primary", i->bond_primary, NULL, NULL},
               {"comments", i->comments, NULL, NULL},
               {"comments6", i->comments, NULL, NULL},
               {"dhcp-range", i->dhcp_range, NULL, NULL},
               {"autostart", NULL, &i->is_autostart, NULL},
               {"bridge_vlan_aware", NULL, &i->is_vlan_aware, NULL},
               {"nat", NULL, &i->is_nat, NULL},
               {"mtu", NULL, NULL, &i->mtu}};
    char *list = arena_strdup(&c->arena, keys), *save = NULL;

    for (char *key = list ? strtok_r(list, ",; ", &save) : NULL; key; key = strtok_r(NULL, ",; ", &save)) {
        size_t k = 0;
        while (k < ARRAY_SIZE(all) && !streq(all[k].key, key))
            k++;
        if (k == ARRAY_SIZE(all))
            return api_param_error(c, e, "delete", "'%.40s' cannot be removed", key);
        if (all[k].text)
            all[k].text[0] = 0;
        if (all[k].flag)
            *all[k].flag = false;
        if (all[k].number)
            *all[k].number = 0;
    }
    return list ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

int api_node_network_update(struct api_call *c, const struct api_node_network_update_args *a, struct err *e)
{
    const struct numbers n = NUMBERS(a);
    const struct net_iface *old;
    int r = find(c, a->node, a->iface, &old, e);

    if (r < 0)
        return r;
    struct net_iface i = *old;
    if (!streq(net_type_name(i.type), a->type))
        return api_param_error(c, e, "type", "the type of an interface cannot be changed");
    if (a->delete)
        r = delete_keys(c, a->delete, &i, e);
    if (r == 0)
        r = fill(c, &i, a->type, &n, e);
    return r < 0 ? r : put_iface(c, &i, e);
}

int api_node_network_delete(struct api_call *c, const struct api_node_network_delete_args *a, struct err *e)
{
    const struct net_iface *old;
    struct net_config config;
    int r = find(c, a->node, a->iface, &old, e);

    if (r < 0)
        return r;
    if (net_config_copy(net_mgr_wanted(c->api->networks), &config) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    net_config_remove(&config, a->iface);
    return commit_pending(c, &config, e);
}

int api_node_network_get(struct api_call *c, const struct api_node_network_get_args *a, struct err *e)
{
    const struct net_iface *i;
    int r = find(c, a->node, a->iface, &i, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    api_network_members(&c->out, i);
    jw_object_end(&c->out);
    return 0;
}

int api_node_network_revert(struct api_call *c, const struct api_node_network_revert_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : commit_pending(c, NULL, e);
}

int api_node_network_apply(struct api_call *c, const struct api_node_network_apply_args *a, struct err *e)
{
    struct task *t = NULL;
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    r = net_mgr_apply(c->api->networks, api_user(c), &t, e);
    return api_reply_task(c, r, t);
}
