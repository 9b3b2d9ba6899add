/* Interfaces of the kernel, as rtnetlink shows and changes them. Blocking; pool threads. Each call is one change; what
 * belongs together is put together in apply.c and tap.c. */
#ifndef HOLM_NETWORK_LINK_PRIV_H
#define HOLM_NETWORK_LINK_PRIV_H

#include "network/network.h"
#include "network/rtnl_priv.h"

/* All interfaces at one moment. */
struct net_links {
    struct net_link *items;
    size_t n;
};
MUST_CHECK int net_links_read(struct rtnl *n, struct net_links *ret, struct err *e);
void net_links_done(struct net_links *l);
const struct net_link *net_links_find(const struct net_links *l, const char *name); /* NULL if none */
/* Index of an interface now; 0 if there is none. */
uint32_t net_link_index(const char *name);

/* Makes a bridge that forwards at once; alias is its mark. mac NULL: as its ports have it. */
MUST_CHECK int net_bridge_create(struct rtnl *n, const char *name, const char *alias, const unsigned char *mac);
MUST_CHECK int net_bridge_set_vlan_aware(struct rtnl *n, uint32_t index, bool is_aware);
MUST_CHECK int net_vlan_create(struct rtnl *n, const char *name, const char *alias, uint32_t raw_index, uint16_t id);
MUST_CHECK int net_ifb_create(struct rtnl *n, const char *name, const char *alias);
MUST_CHECK int net_link_delete(struct rtnl *n, uint32_t index);
MUST_CHECK int net_link_set_up(struct rtnl *n, uint32_t index, bool is_up);
MUST_CHECK int net_link_set_mtu(struct rtnl *n, uint32_t index, uint32_t mtu);
MUST_CHECK int net_link_set_master(struct rtnl *n, uint32_t index, uint32_t master); /* 0: none */
MUST_CHECK int net_link_set_alias(struct rtnl *n, uint32_t index, const char *alias);
/* The host does not speak IPv6 on a guest's tap; best effort. */
void net_link_silence_ipv6(struct rtnl *n, uint32_t index);
/* A new port of a VLAN-aware bridge: its untagged frames belong to VLAN id, those tagged as in trunks pass as well. */
MUST_CHECK int net_port_set_vlans(struct rtnl *n, uint32_t index, uint16_t id, const struct net_vlans *trunks,
                                  unsigned n_trunks);

/* shape.c: at most so many bytes a second to the guest (tap's way out) and from it (through the ifb). A
 * tap that had a limit loses it first. */
MUST_CHECK int net_shape(struct rtnl *n, uint32_t tap_index, uint32_t ifb_index, uint64_t bytes_s);
MUST_CHECK int net_unshape(struct rtnl *n, uint32_t tap_index);

/* config.c: is word one of those with blanks between them? */
bool net_has_word(const char *words, const char *word);

/* bond.c: names of modes and hash policies as the kernel's numbers; -EINVAL. */
MUST_CHECK int net_bond_mode(const char *name, uint8_t *ret);
MUST_CHECK int net_bond_hash(const char *name, uint8_t *ret);
bool net_bond_has_hash(uint8_t mode);
bool net_bond_has_primary(uint8_t mode);
MUST_CHECK int net_bond_create(struct rtnl *n, const char *name, const char *alias, uint8_t mode);
/* What can be changed with slaves in it. primary 0: none. */
MUST_CHECK int net_bond_set(struct rtnl *n, uint32_t index, uint8_t mode, uint8_t hash, uint32_t primary);

/* A new interface with its mark: begin, the kind's own data, finish. */
void net_link_begin_new(struct rtnl_message *m, const char *name, const char *alias);
MUST_CHECK int net_link_finish_new(struct rtnl *n, struct rtnl_message *m, const char *name, const char *alias);
void net_link_begin_change(struct rtnl_message *m, uint16_t type, uint32_t index, unsigned flags, unsigned change);

/* address.c. family AF_INET or AF_INET6; address has 4 or 16 bytes. */
struct net_address {
    int family;
    unsigned prefix;
    unsigned char bytes[16];
};
MUST_CHECK int net_address_parse(const char *cidr, struct net_address *ret);
MUST_CHECK int net_address_add(struct rtnl *n, uint32_t index, const struct net_address *a);
MUST_CHECK int net_address_delete(struct rtnl *n, uint32_t index, const struct net_address *a);
/* Calls fn for each address that was given to an interface: no link-local IPv6. */
MUST_CHECK int net_address_each(struct rtnl *n, int (*fn)(void *arg, uint32_t index, const struct net_address *a),
                                void *arg);
/* The default route through a gateway on an interface. */
MUST_CHECK int net_gateway_set(struct rtnl *n, uint32_t index, const char *gateway, bool is_added);

#endif
