/* Bonds of the kernel: their words as numbers, and rtnetlink for what differs from other interfaces. Links are watched
 * every MIIMON_MS, as Proxmox VE sets it. Blocking but for the words; pool threads. */
#include "network/link_priv.h"

#include <linux/if_bonding.h>
#include <linux/if_link.h>

#define MIIMON_MS 100u

static const char *const modes[] = {[BOND_MODE_ROUNDROBIN] = "balance-rr", [BOND_MODE_ACTIVEBACKUP] = "active-backup",
                                    [BOND_MODE_XOR] = "balance-xor",       [BOND_MODE_BROADCAST] = "broadcast",
                                    [BOND_MODE_8023AD] = "802.3ad",        [BOND_MODE_TLB] = "balance-tlb",
                                    [BOND_MODE_ALB] = "balance-alb"};
static const char *const hashes[] = {[BOND_XMIT_POLICY_LAYER2] = "layer2",
                                     [BOND_XMIT_POLICY_LAYER34] = "layer3+4",
                                     [BOND_XMIT_POLICY_LAYER23] = "layer2+3"};

static int find(const char *const *words, size_t n, const char *word, uint8_t *ret)
{
    for (size_t i = 0; i < n; i++)
        if (streq(words[i], word)) {
            *ret = (uint8_t)i;
            return 0;
        }
    return -EINVAL;
}

int net_bond_mode(const char *name, uint8_t *ret)
{
    return find(modes, ARRAY_SIZE(modes), name[0] ? name : "balance-rr", ret);
}

int net_bond_hash(const char *name, uint8_t *ret)
{
    return find(hashes, ARRAY_SIZE(hashes), name[0] ? name : "layer2", ret);
}

bool net_bond_has_hash(uint8_t mode)
{
    return mode == BOND_MODE_XOR || mode == BOND_MODE_8023AD || mode == BOND_MODE_TLB;
}

bool net_bond_has_primary(uint8_t mode)
{
    return mode == BOND_MODE_ACTIVEBACKUP;
}

int net_bond_create(struct rtnl *n, const char *name, const char *alias, uint8_t mode)
{
    struct rtnl_message m;

    net_link_begin_new(&m, name, alias);
    size_t info = rtnl_nest(&m, IFLA_LINKINFO);
    rtnl_put_str(&m, IFLA_INFO_KIND, "bond");
    size_t data = rtnl_nest(&m, IFLA_INFO_DATA);
    rtnl_put_u8(&m, IFLA_BOND_MODE, mode);
    rtnl_put_u32(&m, IFLA_BOND_MIIMON, MIIMON_MS);
    rtnl_nest_end(&m, data);
    rtnl_nest_end(&m, info);
    return net_link_finish_new(n, &m, name, alias);
}

int net_bond_set(struct rtnl *n, uint32_t index, uint8_t mode, uint8_t hash, uint32_t primary)
{
    struct rtnl_message m;

    net_link_begin_change(&m, RTM_NEWLINK, index, 0, 0);
    size_t info = rtnl_nest(&m, IFLA_LINKINFO);
    rtnl_put_str(&m, IFLA_INFO_KIND, "bond");
    size_t data = rtnl_nest(&m, IFLA_INFO_DATA);
    rtnl_put_u32(&m, IFLA_BOND_MIIMON, MIIMON_MS);
    if (net_bond_has_hash(mode))
        rtnl_put_u8(&m, IFLA_BOND_XMIT_HASH_POLICY, hash);
    if (net_bond_has_primary(mode))
        rtnl_put_u32(&m, IFLA_BOND_PRIMARY, primary);
    rtnl_nest_end(&m, data);
    rtnl_nest_end(&m, info);
    return rtnl_do(n, &m);
}
