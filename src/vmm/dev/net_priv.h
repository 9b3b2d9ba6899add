/* The parts of the network device: net.c (the device, its control queue), net_queue.c (packets), net_backend.c (taps).
 * Locks, in the order they are taken: the function's, `net.lock`, one `net_queue.lock`. */
#ifndef HOLM_VMM_DEV_NET_PRIV_H
#define HOLM_VMM_DEV_NET_PRIV_H

#include <linux/virtio_net.h>
#include <stdatomic.h>

#include "vmm/dev/net.h"
#include "vmm/dev/table.h"
#include "vmm/throttle.h"

#define NET_QUEUES_MAX 8u /* pairs */
#define NET_QUEUE_SIZE 256u
#define NET_HEADER     ((uint32_t)sizeof(struct virtio_net_hdr_v1)) /* 5.1.6: with num_buffers, since version 1 */
#define NET_FRAME_MIN  14u
#define NET_FRAME_MAX  (65535u + 14u + 4u) /* the largest IP packet, Ethernet, a VLAN tag */
#define NET_PIECES_MAX 512u                /* of buffers for receiving that are looked at together */

/* Younger than the headers of some systems. */
#define NET_F_GUEST_USO4 54
#define NET_F_GUEST_USO6 55
#define NET_F_HOST_USO   56
#define NET_GSO_UDP_L4   5u
#define NET_BIT(feature) (1ull << (feature))
#define NET_USO          (NET_BIT(NET_F_GUEST_USO4) | NET_BIT(NET_F_GUEST_USO6))
#define NET_GUEST_OFFLOADS                                                                                             \
    (NET_BIT(VIRTIO_NET_F_GUEST_CSUM) | NET_BIT(VIRTIO_NET_F_GUEST_TSO4) | NET_BIT(VIRTIO_NET_F_GUEST_TSO6) |          \
     NET_BIT(VIRTIO_NET_F_GUEST_ECN) | NET_USO)

/* A buffer of the driver's for receiving. */
struct net_buffer {
    uint16_t head;
    uint32_t bytes;
};

struct net_queue {
    struct net *net; /* NULL: not made */
    unsigned index;
    int fd; /* the tap, or a socket of datagrams: a header, then a frame */
    struct loop loop;
    struct loop_source rx_bell, tx_bell, tap, timer;
    pthread_mutex_t lock; /* this thread's work against stop */
    bool is_running;
    bool is_rx_wanted;  /* packets are to be read when they come */
    bool is_tx_blocked; /* the tap takes no more now */
    bool is_gone;       /* the tap was removed, the peer hung up */
    /* A packet that waits for buffers: whole, in host memory, at most one; thrown away after a while. */
    uint8_t *bounce;
    size_t held_bytes;
    uint64_t held_until_ns, timer_ns; /* 0: the timer is not set */
    /* Of one turn: what the driver offers. */
    struct net_buffer buffers[NET_QUEUE_SIZE];
    struct iovec pieces[NET_PIECES_MAX];
    unsigned n_buffers, n_pieces;
    uint64_t offered_bytes;
    _Atomic uint64_t rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped;
};

struct net {
    struct virtio_host *host;
    struct virtio *virtio;
    bool is_tap, is_seqpacket, has_uso;
    unsigned n_pairs;
    uint16_t mtu; /* 0: not said */
    struct throttle rx_limit, tx_limit;
    struct loop_source control_bell; /* on the main loop */
    pthread_mutex_t lock;            /* the control queue's work against stop; mac */
    uint8_t mac[6];
    bool is_running;
    bool is_kept; /* the next start goes on with what the driver chose before (saved, loaded) */
    /* Latched at DRIVER_OK. */
    _Atomic uint64_t features;
    /* What the driver chose by control commands. */
    _Atomic unsigned n_active; /* pairs */
    _Atomic uint64_t offloads; /* NET_GUEST_OFFLOADS that are on */
    _Atomic bool is_link_up;
    _Atomic bool is_gone;
    struct net_queue queues[NET_QUEUES_MAX];
};

/* net_backend.c: fds of all queues by tap=, fd= or fds=, and how many there are. */
MUST_CHECK int net_backend_open(struct net *d, const struct propstr *p, uint64_t n_queues, struct err *e);
/* What the peer may send: bits of NET_GUEST_OFFLOADS. */
void net_backend_offload(const struct net *d, uint64_t offloads);
/* The first n queues get packets. */
void net_backend_activate(struct net *d, unsigned n);

/* net_queue.c: a thread for a pair. Init, then (the virtio exists) start; done takes half of it. */
MUST_CHECK int net_queue_init(struct net_queue *q, struct net *d, unsigned index, struct err *e);
MUST_CHECK int net_queue_start(struct net_queue *q, struct err *e);
void net_queue_done(struct net_queue *q);
/* Looks at both queues again, on its thread. */
void net_queue_wake(struct net_queue *q);
/* false: returns when the thread touches no queue any more. */
void net_queue_set_running(struct net_queue *q, bool is_running);

/* net.c: the driver rang for the control queue. Its number depends on what was agreed (5.1.2). */
void net_control_work(struct net *d);
unsigned net_control_index(const struct net *d);

#endif
