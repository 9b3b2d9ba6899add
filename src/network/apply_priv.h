/* Making a configuration true, and the services that belong to a bridge. */
#ifndef HOLM_NETWORK_APPLY_PRIV_H
#define HOLM_NETWORK_APPLY_PRIV_H

#include "network/link_priv.h"

/* Blocking, pool thread. Checks first, then changes; a change that fails takes all of them back. old is what was in
 * force. run_dirfd holds what must be remembered until the next boot. */
MUST_CHECK int net_apply(const struct net_config *old, const struct net_config *wanted, uint32_t instance,
                         int run_dirfd, struct err *e);
/* The same at the daemon's start: what cannot be is logged, and the rest is done all the same. old: what may have been
 * begun before a crash. */
MUST_CHECK int net_apply_start(const struct net_config *old, const struct net_config *wanted, uint32_t instance,
                               int run_dirfd, struct err *e);

/* cut.c: addresses of old that wanted has no more; at most cap. Blocking. */
struct net_cut {
    char name[IFNAMSIZ], cidr[INET6_ADDRSTRLEN + 5];
    unsigned n_connections;
};
size_t net_cuts_find(const struct net_config *old, const struct net_config *wanted, struct net_cut *ret, size_t cap);

/* nat.c: the nftables table of this instance, in one transaction, and forwarding. Blocking. */
MUST_CHECK int net_nat_apply(const struct net_config *wanted, uint32_t instance, int run_dirfd, struct err *e);

/* dhcp.c: a dnsmasq for each bridge with a range. It lives on when holmd ends, and is adopted. */
#define NET_DNSMASQ "/usr/sbin/dnsmasq"
struct net_dhcp;
struct event_base;
struct pool;
MUST_CHECK int net_dhcp_new(struct event_base *base, struct pool *pool, const char *root_dir, struct net_dhcp **ret,
                            struct err *e);
/* Before the pool is emptied for good: starts nothing any more. */
void net_dhcp_end(struct net_dhcp *d);
void net_dhcp_free(struct net_dhcp *d);
/* Loop thread: from now on these bridges have it. */
void net_dhcp_update(struct net_dhcp *d, const struct net_config *c);

#endif
