/* Stream sockets between guest and host: what vsock.c (queues and packets) and vsock_link.c (the host's sockets) share.
 * A link is one connection: a unix socket of the host and, once both sides agreed, a pair of ports. Links live in a
 * table of fixed size; nothing points at one from outside of a callback. All of it belongs to the main loop, under the
 * device's lock. Sections: virtio 1.2. */
#ifndef HOLM_VMM_DEV_VSOCK_PRIV_H
#define HOLM_VMM_DEV_VSOCK_PRIV_H

#include <linux/virtio_vsock.h>

#include "vmm/dev/table.h"

#define VSOCK_HOST_CID    2u
#define VSOCK_LINKS_MAX   256u
#define VSOCK_BUFFER      (64u << 10) /* what the guest may send before the host's program took it; of each link */
#define VSOCK_LINE_MAX    32u         /* "CONNECT 4294967295\n" */
#define VSOCK_REFUSED_MAX 64u         /* packets without a link that wait for their RST */
#define VSOCK_TICKS       10u         /* seconds for a line, an answer, a farewell */

enum vsock_state {
    LINK_FREE,
    LINK_LINE,    /* the host's program has not said yet what it wants */
    LINK_WAITING, /* LISTEN: for a guest that connects to host_port */
    LINK_CALLING, /* CONNECT: for the guest's answer */
    LINK_OPEN,
    LINK_ENDED, /* only its RST is still to be told */
};

/* What the guest is to be told about a link, in this order. */
enum { TELL_RST = 1, TELL_REQUEST = 2, TELL_RESPONSE = 4, TELL_CREDIT = 8, TELL_SHUTDOWN = 16 };

struct vsock;

struct vsock_link {
    struct vsock *vsock;
    enum vsock_state state;
    struct loop_source source;
    uint32_t guest_port, host_port;
    unsigned tell;
    unsigned ticks;                 /* 0: no limit */
    bool is_readable;               /* perhaps: until a read says no */
    bool is_hung_up;                /* the program closed its end; out of the loop */
    bool is_eof;                    /* it sends no more, or nobody would read it */
    bool is_shut;                   /* it was told that the guest sends no more */
    uint32_t guest_shut, host_shut; /* VIRTIO_VSOCK_SHUTDOWN_… */
    char line[VSOCK_LINE_MAX];
    unsigned line_bytes;
    /* From the guest: received = forwarded + buffered. Counters wrap (5.10.6.3). */
    uint8_t *buffer; /* a ring of VSOCK_BUFFER bytes; NULL while it is empty */
    uint32_t buffer_at, buffered;
    uint32_t forwarded, forwarded_told;
    /* To the guest: its word, which may be anything. */
    uint32_t sent, peer_alloc, peer_forwarded;
};

struct vsock_refused {
    uint64_t cid; /* the guest's idea of whom it spoke to */
    uint32_t guest_port, host_port;
    uint16_t type;
};

struct vsock_queue {
    struct vsock *vsock;
    struct loop_source doorbell;
};

struct vsock {
    struct virtio_host *host;
    struct virtio *virtio;
    struct vsock_queue queues[3];
    struct loop_source listener, timer, cut;
    bool is_timer_on, is_accept_off;
    uint32_t cid;
    pthread_mutex_t lock;
    bool is_running;
    bool is_cut;          /* stopped since the loop looked last: links to the guest are gone */
    bool is_reset_untold; /* restored: the guest has to learn that (5.10.6.8) */
    struct vsock_link links[VSOCK_LINKS_MAX];
    unsigned n_links, n_slots; /* n_slots: none is used beyond */
    unsigned turn;             /* whose turn it is to be heard by the guest */
    uint32_t next_port;
    struct vsock_refused refused[VSOCK_REFUSED_MAX];
    unsigned n_refused;
    uint64_t n_opened, n_reset, bytes_to_guest, bytes_from_guest;
};

/* --- vsock_link.c --- */

/* A free place with the descriptor, which becomes the link's; NULL: none is free, nothing changed. */
struct vsock_link *vsock_link_new(struct vsock *d, int fd, enum vsock_state state);
void vsock_link_free(struct vsock_link *l);
/* Ends it for both: the guest is told by RST. */
void vsock_link_reset(struct vsock_link *l);
struct vsock_link *vsock_link_find(struct vsock *d, uint32_t guest_port, uint32_t host_port);
/* Gives bytes of the guest's, of which there is room for all, to the host: what its socket does not take is kept. */
void vsock_link_forward(struct vsock_link *l, const struct virtq_chain *c, uint64_t offset, uint32_t length);
/* Says a line ("OK 5") to the host's program; false: it does not take it. */
bool vsock_link_say(struct vsock_link *l, const char *word, uint32_t port);
/* After any change, once a turn: what to wait for, which limit of time, whether it is over. */
void vsock_link_update(struct vsock_link *l);
/* Bytes that the guest takes now. */
uint32_t vsock_link_credit(const struct vsock_link *l);
/* One pass for the limits of time; false when no link has one. */
bool vsock_links_tick(struct vsock *d);
void vsock_accept(struct vsock *d);

/* --- vsock.c --- */

/* The queues, after something happened to a link. */
void vsock_work(struct vsock *d);
/* Before anything else of a callback of the loop, under the lock: what a stop in between left to do. */
void vsock_catch_up(struct vsock *d);
void vsock_timer_on(struct vsock *d);

#endif
