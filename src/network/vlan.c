/* VLANs of a port of a VLAN-aware bridge: which one a guest is in, and which ones it may tag itself (trunks=). Blocking
 * but for the parser; pool threads. */
#include <linux/if_bridge.h>
#include <sys/socket.h>

#include "network/link_priv.h"

static int parse_range(char *text, struct net_vlans *ret)
{
    char *dash = strchr(text, '-');
    uint64_t first, last;

    if (dash)
        *dash = 0;
    if (str_to_u64(text, &first) < 0 || str_to_u64(dash ? dash + 1 : text, &last) < 0)
        return -EINVAL;
    if (first < 1 || first > last || last > NET_VLAN_LAST)
        return -EINVAL;
    *ret = (struct net_vlans){.first = (uint16_t)first, .last = (uint16_t)last};
    return 0;
}

int net_trunks_parse(const char *text, struct net_vlans ret[NET_TRUNKS_MAX], unsigned *ret_n)
{
    char copy[NET_TRUNKS_MAX * 10 + 1], *save = NULL;
    unsigned n = 0;

    if (!text[0] || str_copy(copy, sizeof(copy), text) < 0)
        return -EINVAL;
    for (char *p = strtok_r(copy, ";", &save); p; p = strtok_r(NULL, ";", &save)) {
        if (n == NET_TRUNKS_MAX || parse_range(p, &ret[n]) < 0)
            return -EINVAL;
        n++;
    }
    *ret_n = n;
    return n ? 0 : -EINVAL;
}

static int change(struct rtnl *n, uint16_t type, uint32_t index, const struct net_vlans *v, uint16_t flags)
{
    const bool is_range = v->first != v->last;
    const struct bridge_vlan_info first = {.vid = v->first,
                                           .flags = is_range ? flags | BRIDGE_VLAN_INFO_RANGE_BEGIN : flags},
                                  last = {.vid = v->last, .flags = flags | BRIDGE_VLAN_INFO_RANGE_END};
    struct ifinfomsg body = {.ifi_family = AF_BRIDGE, .ifi_index = (int)index};
    struct rtnl_message m;

    rtnl_begin(&m, type, 0, &body, sizeof(body));
    size_t spec = rtnl_nest(&m, IFLA_AF_SPEC);
    rtnl_put(&m, IFLA_BRIDGE_VLAN_INFO, &first, sizeof(first));
    if (is_range)
        rtnl_put(&m, IFLA_BRIDGE_VLAN_INFO, &last, sizeof(last));
    rtnl_nest_end(&m, spec);
    return rtnl_do(n, &m);
}

/* A new port is in VLAN 1. The one of untagged frames comes last: a trunk over it would make it a tagged one. */
int net_port_set_vlans(struct rtnl *n, uint32_t index, uint16_t id, const struct net_vlans *trunks, unsigned n_trunks)
{
    const struct net_vlans own = {.first = id, .last = id}, first = {.first = 1, .last = 1};
    int r = id == 1 ? 0 : change(n, RTM_DELLINK, index, &first, 0);

    if (r == -ENOENT)
        r = 0;
    for (unsigned i = 0; r == 0 && i < n_trunks; i++)
        r = change(n, RTM_SETLINK, index, &trunks[i], 0);
    return r < 0 ? r : change(n, RTM_SETLINK, index, &own, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
}
