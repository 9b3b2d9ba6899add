/* A network interface of a guest as its key says: the engine's half and the host's. Blocking; pool threads. */
#ifndef HOLM_GUEST_NETIF_H
#define HOLM_GUEST_NETIF_H

#include "base/propstr.h"
#include "guest/guest_priv.h"
#include "network/network.h"

struct netif {
    struct engine_net net;
    struct net_tap_spec tap; /* bridge NULL: user mode, which has no tap */
    struct propstr text;     /* tap.bridge points into it: not to be copied */
};
/* Pure. */
MUST_CHECK int netif_parse(const struct guest_mgr *m, uint32_t vmid, uint32_t uid_slot, const struct config_item *it,
                           struct netif *ret, struct err *e);
/* Makes the tap, if there is to be one: descriptors in n->net, the caller's. */
MUST_CHECK int netif_open(struct netif *n, struct err *e);

/* What separates two values of a key: nothing that the guest's own device would see, so that the host's side of it can
 * be changed below a running guest (bridge, VLANs, rate, cable); or more. */
bool netif_is_same_device(const char *a, const char *b);

#endif
