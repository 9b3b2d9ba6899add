/* Networks of the host: what others may ask for. See README.md. */
#ifndef HOLM_NETWORK_NETWORK_H
#define HOLM_NETWORK_NETWORK_H

#include <net/if.h>
#include <netinet/in.h>

#include "base/buf.h"
#include "base/err.h"

struct event_base;
struct pool;
struct state;
struct state_txn;
struct task;
struct task_mgr;

#define NET_IFACES_MAX 128u
#define NET_QUEUES_MAX 16u
#define NET_ALIAS_SIZE 64u
#define NET_TRUNKS_MAX 32u
#define NET_VLAN_LAST  4094u

/* ---- what the kernel has ---- */

struct net_link {
    uint32_t index, master; /* 0: none */
    char name[IFNAMSIZ];
    char kind[16];     /* "bridge", "vlan", "bond", "tun", "" of hardware */
    uint8_t bond_mode; /* the kernel's number */
    char alias[NET_ALIAS_SIZE];
    unsigned flags; /* IFF_UP … */
    uint32_t mtu;
    bool is_vlan_aware;
    uint64_t rx_bytes, tx_bytes;
    char cidr[INET_ADDRSTRLEN + 4], cidr6[INET6_ADDRSTRLEN + 5]; /* the first of each; "" */
};
/* Blocking. At most cap of them; *ret is malloc'ed. */
MUST_CHECK int net_links_snapshot(struct net_link **ret, size_t *ret_n, struct err *e);

/* ---- taps: blocking, pool threads ---- */

/* hXXXXVMIDI: X the instance, I the interface's number as one digit of 0-9a-v. */
void net_tap_name(uint32_t instance, uint32_t vmid, unsigned index, char dst[IFNAMSIZ]);
/* False for a name that net_tap_name does not make for this instance. */
bool net_tap_name_parse(const char *name, uint32_t instance, uint32_t *ret_vmid, unsigned *ret_index);

struct net_vlans {
    uint16_t first, last;
};
/* "5;10-20": at most NET_TRUNKS_MAX of 1 to NET_VLAN_LAST, each range upwards. -EINVAL. */
MUST_CHECK int net_trunks_parse(const char *text, struct net_vlans ret[NET_TRUNKS_MAX], unsigned *ret_n);

struct net_tap_spec {
    uint32_t instance, vmid;
    unsigned index;
    uid_t owner;
    const char *bridge;
    unsigned n_queues; /* 1 to NET_QUEUES_MAX */
    uint16_t tag;      /* 0: none */
    struct net_vlans trunks[NET_TRUNKS_MAX];
    unsigned n_trunks;
    uint32_t mtu; /* 0: as the bridge; otherwise at most that */
    uint64_t rate_bytes_s;
};
struct net_tap {
    int fds[NET_QUEUES_MAX], vhost_fds[NET_QUEUES_MAX]; /* vhost: -1 where the host has none */
    unsigned n;
    uint32_t mtu;
};
/* A tap lives as long as any of its descriptors: whoever dies, it leaves nothing behind. "net.bridge" when the bridge
 * is not there. */
MUST_CHECK int net_tap_open(const struct net_tap_spec *s, struct net_tap *ret, struct err *e);
void net_tap_close(struct net_tap *t);
/* What net_tap_open says before it makes anything: of the bridge, the VLANs, the MTU. */
MUST_CHECK int net_tap_check(const struct net_tap_spec *s, struct err *e);
/* Puts the tap of a running guest where s says: bridge, VLANs, rate. "net.bridge" when there is none. */
MUST_CHECK int net_tap_change(const struct net_tap_spec *s, struct err *e);
/* Removes what a limited tap of this guest needed besides itself; vmid 0: of every guest that has no tap any more. */
void net_tap_sweep(uint32_t instance, uint32_t vmid);

/* ---- configuration ---- */

enum net_type { NET_BRIDGE, NET_ETH, NET_VLAN, NET_BOND };

struct net_iface {
    char name[IFNAMSIZ];
    enum net_type type;
    char cidr[INET_ADDRSTRLEN + 4], cidr6[INET6_ADDRSTRLEN + 5];
    char gateway[INET_ADDRSTRLEN], gateway6[INET6_ADDRSTRLEN];
    char ports[256]; /* of a bridge, slaves of a bond: names with blanks */
    char bond_mode[16], bond_hash[16], bond_primary[IFNAMSIZ];
    char raw_device[IFNAMSIZ];
    char comments[512];
    char dhcp_range[2 * INET_ADDRSTRLEN + 2]; /* FIRST-LAST */
    uint32_t mtu, vlan_id;
    bool is_autostart, is_vlan_aware, is_nat;
};
struct net_config {
    struct net_iface *items; /* by name */
    size_t n;
};
void net_config_done(struct net_config *c);
MUST_CHECK int net_config_copy(const struct net_config *from, struct net_config *ret);
const struct net_iface *net_config_find(const struct net_config *c, const char *name);
MUST_CHECK int net_config_set(struct net_config *c, const struct net_iface *i, struct err *e);
void net_config_remove(struct net_config *c, const char *name);
bool net_iface_is_equal(const struct net_iface *a, const struct net_iface *b);
const char *net_type_name(enum net_type t);
bool net_type_parse(const char *s, enum net_type *ret);
/* Letters, digits, . _ -; two to 15; neither of a guest's tap nor "lo", "all", "default". */
bool net_name_is_valid(const char *s);
/* What can be said without the kernel: "param.invalid". */
MUST_CHECK int net_iface_check(const struct net_iface *i, struct err *e);
MUST_CHECK int net_config_check(const struct net_config *c, struct err *e);
/* State value: malloc, NULL when out of memory. */
char *net_config_format(const struct net_config *c);
MUST_CHECK int net_config_parse(const char *json, struct net_config *ret);
/* In the form of interfaces(5). */
void net_config_text(const struct net_config *c, uint32_t instance, struct buf *out);

/* ---- DHCP's leases ---- */

struct net_lease {
    char bridge[IFNAMSIZ], mac[18], address[INET_ADDRSTRLEN], name[256]; /* name: as the guest says, or "" */
    uint64_t expires_s;
};
/* Of one bridge's file; text is changed. Returns how many there were. */
size_t net_leases_parse(char *text, const char *bridge, struct net_lease *ret, size_t cap);
/* Of all bridges of c that have DHCP; blocking. *ret is malloc'ed. */
MUST_CHECK int net_leases_read(const char *root_dir, const struct net_config *c, struct net_lease **ret, size_t *ret_n,
                               struct err *e);

/* ---- the manager: loop thread ---- */

struct net_mgr;
struct net_env {
    struct event_base *base;
    struct state *state;
    struct pool *pool;
    struct task_mgr *tasks;
    const char *root_dir;
    const char *interfaces_path; /* a second copy of the text form, or NULL */
    uint32_t instance;
};
MUST_CHECK int net_mgr_new(const struct net_env *env, struct net_mgr **ret, struct err *e);
/* The daemon ends: waits for what is under way; true if there was anything. */
bool net_mgr_drain(struct net_mgr *m);
void net_mgr_free(struct net_mgr *m);
/* Makes the configuration in force true; done even when that failed (then it is logged). */
void net_mgr_start(struct net_mgr *m, void (*done)(void *arg), void *arg);

const struct net_config *net_mgr_active(const struct net_mgr *m);
/* With pending changes. */
const struct net_config *net_mgr_wanted(const struct net_mgr *m);
bool net_mgr_has_pending(const struct net_mgr *m);
/* The number in the names of taps. */
uint32_t net_mgr_instance(const struct net_mgr *m);
const char *net_mgr_root_dir(const struct net_mgr *m);
/* A transaction that makes c the pending configuration (NULL: drops it). "net.busy" while one is applied. */
MUST_CHECK int net_mgr_change(struct net_mgr *m, const struct net_config *c, struct state_txn **ret, struct err *e);
/* Task srvreload: the pending configuration becomes the one in force, or all stays as it is. */
MUST_CHECK int net_mgr_apply(struct net_mgr *m, const char *user, struct task **ret, struct err *e);

#endif
