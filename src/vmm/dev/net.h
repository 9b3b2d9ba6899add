/* What the machine's verbs do with a network device (dev/net.c). The virtio is one that was made by its row of table.c.
 * Any thread, while the device lives. */
#ifndef HOLM_VMM_DEV_NET_H
#define HOLM_VMM_DEV_NET_H

#include "vmm/virtio.h"

/* Since the device was made. rx: to the guest. Dropped: what was against a limit or a rule, or met no cable. */
struct net_counters {
    uint64_t rx_packets, rx_bytes, rx_dropped;
    uint64_t tx_packets, tx_bytes, tx_dropped;
};
void net_counters(const struct virtio *v, struct net_counters *ret_counters);
/* The cable: the guest is told, and while it is out nothing passes. */
void net_set_link(struct virtio *v, bool is_up);
/* Bytes a second in each direction; 0: as fast as it goes. */
void net_set_rate(struct virtio *v, uint64_t bytes_per_s);

#endif
