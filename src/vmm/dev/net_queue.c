/* The packets of a network device: a thread for each pair of queues moves them between the driver's memory and the tap,
 * without a copy of a frame where the driver offers room enough. The header before each frame is copied once, checked,
 * and only what was checked is passed on, in both directions: the host's kernel computes with it, and so does the
 * guest. Source: virtio 1.2, 5.1.6. A turn handles a bounded number of packets; at most one packet waits in host
 * memory. */
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "vmm/dev/net_priv.h"

#define PACKETS_A_TURN 64u
#define HOLD_NS        1000000000ull
#define GSO_TCP_MIN    48u /* the smallest segment that Linux sends; less would only make work */
#define GSO_UDP_MIN    8u
#define GSO_UDP_PARTS  128u /* UDP_MAX_SEGMENTS */

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static struct virtq *rx_queue(const struct net_queue *q)
{
    return virtio_queue(q->net->virtio, 2 * q->index);
}

static struct virtq *tx_queue(const struct net_queue *q)
{
    return virtio_queue(q->net->virtio, 2 * q->index + 1);
}

static bool has(const struct net *d, unsigned feature)
{
    return d->features & NET_BIT(feature);
}

/* --- Headers --------------------------------------------------------------------------------------------------------
 */

static bool check_segments(const struct virtio_net_hdr_v1 *h, size_t frame_bytes, uint8_t type)
{
    size_t least = type == NET_GSO_UDP_L4 ? GSO_UDP_MIN : GSO_TCP_MIN;
    size_t payload = frame_bytes - h->csum_start;

    /* 0xffff has a meaning of its own in Linux (GSO_BY_FRAGS). */
    if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || h->gso_size < least || h->gso_size == UINT16_MAX)
        return false;
    return type != NET_GSO_UDP_L4 || payload / h->gso_size <= GSO_UDP_PARTS;
}

/* Checks a header for a frame of so many bytes, and leaves only what was checked. allowed: of NET_GUEST_OFFLOADS.
 * False: the frame is to be dropped. */
static bool check_header(struct virtio_net_hdr_v1 *h, size_t frame_bytes, uint64_t allowed)
{
    uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    uint64_t needed = type == VIRTIO_NET_HDR_GSO_TCPV4   ? NET_BIT(VIRTIO_NET_F_GUEST_TSO4)
                      : type == VIRTIO_NET_HDR_GSO_TCPV6 ? NET_BIT(VIRTIO_NET_F_GUEST_TSO6)
                      : type == NET_GSO_UDP_L4           ? NET_USO
                                                         : 0;

    h->num_buffers = 0;
    h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    if (!h->flags)
        h->csum_start = h->csum_offset = 0;
    else if (!(allowed & NET_BIT(VIRTIO_NET_F_GUEST_CSUM)) || h->csum_start < NET_FRAME_MIN ||
             (size_t)h->csum_start + h->csum_offset + 2 > frame_bytes)
        return false;
    if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        h->gso_size = h->hdr_len = 0;
        return true;
    }
    if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN)
        needed |= type == NET_GSO_UDP_L4 ? 0 : NET_BIT(VIRTIO_NET_F_GUEST_ECN);
    if (!(needed & ~NET_BIT(VIRTIO_NET_F_GUEST_ECN)) || (needed & ~allowed) || !check_segments(h, frame_bytes, type))
        return false;
    h->hdr_len = h->hdr_len < frame_bytes ? h->hdr_len : (uint16_t)frame_bytes; /* a hint only */
    return true;
}

/* The driver's offloads of sending, said as those of receiving: the same three bits four places up. */
static bool check_from_guest(const struct net *d, struct virtio_net_hdr_v1 *h, size_t frame_bytes)
{
    uint64_t tcp =
        NET_BIT(VIRTIO_NET_F_GUEST_TSO4) | NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | NET_BIT(VIRTIO_NET_F_GUEST_ECN);
    uint64_t allowed = d->features >> 4 & tcp;

    allowed |= has(d, VIRTIO_NET_F_CSUM) ? NET_BIT(VIRTIO_NET_F_GUEST_CSUM) : 0;
    allowed |= has(d, NET_F_HOST_USO) ? NET_USO : 0;
    return check_header(h, frame_bytes, allowed);
}

static bool check_for_guest(const struct net *d, struct virtio_net_hdr_v1 *h, size_t frame_bytes)
{
    bool is_valid = h->flags & VIRTIO_NET_HDR_F_DATA_VALID;
    uint64_t allowed = d->offloads;

    if (!check_header(h, frame_bytes, allowed))
        return false;
    if (is_valid && !h->flags && (allowed & NET_BIT(VIRTIO_NET_F_GUEST_CSUM)))
        h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
    return true;
}

/* --- The other side -------------------------------------------------------------------------------------------------
 */

/* The tap was removed, or the peer hung up: as if the cable were out, for good. */
static void lose(struct net_queue *q)
{
    if (q->is_gone)
        return;
    q->is_gone = true;
    loop_remove(&q->loop, &q->tap);
    loop_wake(q->tx_bell.fd); /* frames that waited for it are dropped */
    if (!atomic_exchange(&q->net->is_gone, true))
        virtio_config_changed(q->net->virtio);
}

static bool is_loss(int error)
{
    return error == EBADFD || error == EPIPE || error == ENOTCONN || error == ENODEV || error == ENXIO;
}

/* A header and a frame. 0, -EAGAIN when there is none, another error when it counts for nothing. */
static int read_packet(struct net_queue *q, const struct iovec *iov, unsigned n, size_t *ret_bytes)
{
    ssize_t r;

    do
        r = readv(q->fd, iov, (int)n);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN)
        return -EAGAIN;
    if ((r < 0 && is_loss(errno)) || (r == 0 && q->net->is_seqpacket)) {
        lose(q);
        return -EAGAIN;
    }
    if (r < (ssize_t)(NET_HEADER + NET_FRAME_MIN) || (size_t)r > NET_HEADER + NET_FRAME_MAX)
        return -EMSGSIZE;
    *ret_bytes = (size_t)r;
    return 0;
}

/* The sooner of what was asked for. */
static void arm(struct net_queue *q, uint64_t ns)
{
    uint64_t at = throttle_now() + ns;

    if (q->timer_ns && q->timer_ns <= at)
        return;
    q->timer_ns = at;
    throttle_arm(q->timer.fd, ns);
}

/* Interest in the tap is what makes its loop call us: none while nothing could be done. */
static void watch(struct net_queue *q)
{
    uint32_t events = (q->is_rx_wanted ? EPOLLIN : 0u) | (q->is_tx_blocked ? EPOLLOUT : 0u);

    if (!q->is_gone && loop_change(&q->loop, &q->tap, events) < 0)
        lose(q);
}

/* --- To the guest ---------------------------------------------------------------------------------------------------
 */

static bool can_collect(const struct net_queue *q)
{
    return has(q->net, VIRTIO_NET_F_MRG_RXBUF)
               ? q->n_buffers < NET_QUEUE_SIZE && q->n_pieces + VIRTQ_SIZE_MAX <= NET_PIECES_MAX
               : q->n_buffers == 0;
}

/* Collects what the driver offers until a packet of any size finds room. -EPROTO: a buffer is none (5.1.6.3: written by
 * the device, with room for the header). */
static int collect(struct net_queue *q)
{
    struct virtq_chain c;
    int r = 0;

    while (q->offered_bytes < NET_HEADER + NET_FRAME_MAX && can_collect(q) && (r = virtq_pop(rx_queue(q), &c)) > 0) {
        if (c.n_out || c.in_bytes < NET_HEADER || c.in_bytes > UINT32_MAX)
            return -EPROTO;
        memcpy(q->pieces + q->n_pieces, c.iov, c.n_in * sizeof(c.iov[0]));
        q->n_pieces += c.n_in;
        q->buffers[q->n_buffers++] = (struct net_buffer){.head = c.head, .bytes = (uint32_t)c.in_bytes};
        q->offered_bytes += c.in_bytes;
    }
    return r < 0 ? r : 0;
}

/* Gives back what was collected and not used: it is the driver's again at the end of each turn. */
static void uncollect(struct net_queue *q)
{
    for (; q->n_buffers; q->n_buffers--)
        virtq_unpop(rx_queue(q));
    q->n_pieces = 0;
    q->offered_bytes = 0;
}

static void copy_to_pieces(const struct net_queue *q, const uint8_t *from, size_t bytes)
{
    for (unsigned i = 0; bytes && i < q->n_pieces; i++) {
        size_t part = q->pieces[i].iov_len < bytes ? q->pieces[i].iov_len : bytes;

        memcpy(q->pieces[i].iov_base, from, part);
        from += part;
        bytes -= part;
    }
}

static void drop_pieces(struct net_queue *q, uint64_t bytes, unsigned n_buffers)
{
    unsigned n = 0;

    q->offered_bytes -= bytes;
    q->n_buffers -= n_buffers;
    memmove(q->buffers, q->buffers + n_buffers, q->n_buffers * sizeof(q->buffers[0]));
    for (; bytes; n++)
        bytes -= bytes < q->pieces[n].iov_len ? bytes : q->pieces[n].iov_len;
    q->n_pieces -= n;
    memmove(q->pieces, q->pieces + n, q->n_pieces * sizeof(q->pieces[0]));
}

/* A packet whose frame lies in the pieces, behind the place of the header. The driver sees all its buffers or none. */
static void hand_over(struct net_queue *q, struct virtio_net_hdr_v1 *h, size_t packet_bytes)
{
    size_t left = packet_bytes;
    uint64_t used_bytes = 0;
    unsigned n = 0;

    for (; left; n++) {
        uint32_t part = q->buffers[n].bytes < left ? q->buffers[n].bytes : (uint32_t)left;

        virtq_put(rx_queue(q), n, q->buffers[n].head, part);
        used_bytes += q->buffers[n].bytes;
        left -= part;
    }
    h->num_buffers = (uint16_t)n;
    copy_to_pieces(q, (const uint8_t *)h, NET_HEADER);
    virtq_publish(rx_queue(q), n);
    drop_pieces(q, used_bytes, n);
    count(&q->rx_packets, 1);
    count(&q->rx_bytes, packet_bytes - NET_HEADER);
    throttle_charge(&q->net->rx_limit, packet_bytes - NET_HEADER);
}

/* Straight into the driver's memory: any packet fits. */
static int receive_straight(struct net_queue *q)
{
    struct iovec iov[NET_PIECES_MAX + 1];
    struct virtio_net_hdr_v1 h;
    size_t bytes, skip = NET_HEADER;
    unsigned n = 1, i = 0;
    int r;

    iov[0] = (struct iovec){.iov_base = &h, .iov_len = sizeof(h)};
    for (; skip >= q->pieces[i].iov_len; i++)
        skip -= q->pieces[i].iov_len;
    for (; i < q->n_pieces; i++, skip = 0)
        iov[n++] =
            (struct iovec){.iov_base = (uint8_t *)q->pieces[i].iov_base + skip, .iov_len = q->pieces[i].iov_len - skip};
    r = read_packet(q, iov, n, &bytes);
    if (r == 0 && !check_for_guest(q->net, &h, bytes - NET_HEADER))
        r = -EBADMSG;
    if (r == 0)
        hand_over(q, &h, bytes);
    return r;
}

/* By way of host memory: the packet may be larger than what there is. */
static int read_held(struct net_queue *q)
{
    struct iovec iov = {.iov_base = q->bounce, .iov_len = NET_HEADER + NET_FRAME_MAX + 1};
    struct virtio_net_hdr_v1 h;
    size_t bytes;
    int r = read_packet(q, &iov, 1, &bytes);

    if (r < 0)
        return r;
    memcpy(&h, q->bounce, sizeof(h));
    if (!check_for_guest(q->net, &h, bytes - NET_HEADER))
        return -EBADMSG;
    memcpy(q->bounce, &h, sizeof(h));
    q->held_bytes = bytes;
    q->held_until_ns = 0;
    return 0;
}

/* -ENOBUFS: it waits for more buffers. -EMSGSIZE: it will find none. */
static int deliver_held(struct net_queue *q)
{
    struct virtio_net_hdr_v1 h;

    if (q->held_bytes > q->offered_bytes) {
        uint64_t now = throttle_now();

        if (!q->held_until_ns)
            q->held_until_ns = now + HOLD_NS;
        if (can_collect(q) && now < q->held_until_ns) {
            arm(q, q->held_until_ns - now);
            return -ENOBUFS;
        }
        q->held_bytes = 0;
        return -EMSGSIZE;
    }
    copy_to_pieces(q, q->bounce, q->held_bytes);
    memcpy(&h, q->bounce, sizeof(h));
    hand_over(q, &h, q->held_bytes);
    q->held_bytes = 0;
    return 0;
}

static int receive_one(struct net_queue *q)
{
    int r = 0;

    if (!q->held_bytes && q->offered_bytes >= NET_HEADER + NET_FRAME_MAX)
        return receive_straight(q);
    if (!q->held_bytes)
        r = read_held(q);
    return r < 0 ? r : deliver_held(q);
}

/* Without a cable, what comes is thrown away, so that nothing old waits for its return. */
static int discard_one(struct net_queue *q)
{
    struct iovec iov = {.iov_base = q->bounce, .iov_len = NET_HEADER + NET_FRAME_MAX + 1};
    size_t bytes;
    int r = read_packet(q, &iov, 1, &bytes);

    q->held_bytes = 0;
    return r == -EAGAIN ? r : -EMSGSIZE;
}

/* One packet, or the reason why there is none now: -EAGAIN nothing came, -ENOBUFS no room, -EBUSY over the rate. */
static int step_receive(struct net_queue *q)
{
    uint64_t wait;
    int r;

    if (!q->net->is_link_up)
        return discard_one(q);
    if (q->index >= q->net->n_active)
        return -EBUSY; /* a command wakes us */
    wait = throttle_wait(&q->net->rx_limit);
    if (wait) {
        arm(q, wait);
        return -EBUSY;
    }
    r = collect(q);
    if (r < 0)
        return r;
    return q->n_buffers ? receive_one(q) : -ENOBUFS;
}

static void receive(struct net_queue *q)
{
    int r = 0;

    virtq_notify_disable(rx_queue(q));
    for (unsigned i = 0; i < PACKETS_A_TURN && !q->is_gone; i++) {
        r = step_receive(q);
        if (r == -ENOBUFS && virtq_notify_enable(rx_queue(q)))
            r = 0; /* one came meanwhile */
        else if (r == -EMSGSIZE || r == -EBADMSG)
            count(&q->rx_dropped, 1);
        else if (r < 0)
            break;
    }
    uncollect(q);
    if (r == -EPROTO)
        virtio_fail(q->net->virtio);
    /* Otherwise a doorbell or the timer comes first. */
    q->is_rx_wanted = r != -EPROTO && r != -ENOBUFS && r != -EBUSY;
    virtio_signal(q->net->virtio, 2 * q->index);
}

/* --- From the guest -------------------------------------------------------------------------------------------------
 */

/* The pieces of the frame, behind the header: how many. */
static unsigned frame_pieces(const struct virtq_chain *c, struct iovec *iov)
{
    size_t skip = NET_HEADER;
    unsigned n = 0, i = 0;

    for (; i < c->n_out && skip >= c->iov[i].iov_len; i++)
        skip -= c->iov[i].iov_len;
    for (; i < c->n_out; i++, skip = 0)
        iov[n++] =
            (struct iovec){.iov_base = (uint8_t *)c->iov[i].iov_base + skip, .iov_len = c->iov[i].iov_len - skip};
    return n;
}

/* 0: sent. -EAGAIN: the other side is full. Another error: dropped. */
static int send_frame(struct net_queue *q, const struct virtq_chain *c)
{
    struct iovec iov[VIRTQ_SIZE_MAX + 1];
    struct virtio_net_hdr_v1 h;
    size_t bytes = c->out_bytes - NET_HEADER;
    unsigned n;
    ssize_t r;

    (void)virtq_read(c, 0, &h, sizeof(h));
    if (q->is_gone || !q->net->is_link_up || bytes < NET_FRAME_MIN || bytes > NET_FRAME_MAX ||
        !check_from_guest(q->net, &h, bytes))
        return -EBADMSG;
    iov[0] = (struct iovec){.iov_base = &h, .iov_len = sizeof(h)};
    n = frame_pieces(c, iov + 1) + 1;
    do
        r = writev(q->fd, iov, (int)n);
    while (r < 0 && errno == EINTR);
    if (r >= 0)
        return 0;
    if (errno == EAGAIN)
        return -EAGAIN;
    if (is_loss(errno)) /* a tap that is only down says EIO, and comes back */
        lose(q);
    return -EIO;
}

static int send_chain(struct net_queue *q, const struct virtq_chain *c)
{
    int r;

    if (c->n_in || c->out_bytes < NET_HEADER)
        return -EPROTO;
    r = send_frame(q, c);
    if (r == -EAGAIN)
        return r;
    if (r == 0) {
        count(&q->tx_packets, 1);
        count(&q->tx_bytes, c->out_bytes - NET_HEADER);
        throttle_charge(&q->net->tx_limit, c->out_bytes - NET_HEADER);
    } else {
        count(&q->tx_dropped, 1);
    }
    virtq_push(tx_queue(q), c->head, 0);
    return 0;
}

/* 1: a frame went. 0: there is none. -EAGAIN: the tap is full. -EBUSY: over the rate. */
static int step_transmit(struct net_queue *q)
{
    uint64_t wait = throttle_wait(&q->net->tx_limit);
    struct virtq_chain c;
    int r;

    if (wait) {
        arm(q, wait);
        return -EBUSY;
    }
    r = virtq_pop(tx_queue(q), &c);
    if (r <= 0)
        return r;
    r = send_chain(q, &c);
    if (r == -EAGAIN)
        virtq_unpop(tx_queue(q));
    return r < 0 ? r : 1;
}

static void transmit(struct net_queue *q)
{
    int r = 1;

    virtq_notify_disable(tx_queue(q));
    for (unsigned i = 0; i < PACKETS_A_TURN && r > 0; i++) {
        r = step_transmit(q);
        if (r == 0 && virtq_notify_enable(tx_queue(q)))
            r = 1;
    }
    q->is_tx_blocked = r == -EAGAIN;
    if (r < 0 && r != -EAGAIN && r != -EBUSY)
        virtio_fail(q->net->virtio);
    virtio_signal(q->net->virtio, 2 * q->index + 1);
    if (r > 0)
        loop_wake(q->tx_bell.fd); /* receiving has its turn in between */
}

/* --- The thread -----------------------------------------------------------------------------------------------------
 */

static void work(struct net_queue *q, bool is_rx, bool is_tx)
{
    pthread_mutex_lock(&q->lock);
    if (!q->is_running || virtio_is_failed(q->net->virtio)) {
        q->is_rx_wanted = q->is_tx_blocked = false; /* start looks again */
    } else {
        if (is_tx)
            transmit(q);
        if (is_rx)
            receive(q);
    }
    watch(q);
    pthread_mutex_unlock(&q->lock);
}

static void on_rx_bell(void *context, uint32_t events)
{
    struct net_queue *q = context;

    (void)events;
    loop_drain(q->rx_bell.fd);
    if (q->index && net_control_index(q->net) == 2 * q->index)
        net_control_work(q->net);
    else
        work(q, true, false);
}

static void on_tx_bell(void *context, uint32_t events)
{
    struct net_queue *q = context;

    (void)events;
    loop_drain(q->tx_bell.fd);
    work(q, false, true);
}

static void on_timer(void *context, uint32_t events)
{
    struct net_queue *q = context;

    (void)events;
    loop_drain(q->timer.fd);
    q->timer_ns = 0;
    work(q, true, true);
}

/* An error that stays is a peer that is no more; a readable one shows it when it is read. */
static void check_loss(struct net_queue *q, uint32_t events)
{
    uint8_t small[NET_HEADER];
    struct iovec iov = {.iov_base = small, .iov_len = sizeof(small)};
    socklen_t n = sizeof(int);
    size_t bytes;
    int error = 0;

    pthread_mutex_lock(&q->lock);
    if (q->net->is_tap && read_packet(q, &iov, 1, &bytes) != -EAGAIN)
        count(&q->rx_dropped, 1);
    else if (!q->net->is_tap && (events & EPOLLHUP) && !(events & EPOLLIN))
        lose(q);
    else if (!q->net->is_tap && getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && is_loss(error))
        lose(q);
    pthread_mutex_unlock(&q->lock);
}

static void on_tap(void *context, uint32_t events)
{
    struct net_queue *q = context;

    if (events & (EPOLLERR | EPOLLHUP))
        check_loss(q, events);
    work(q, events & EPOLLIN, q->is_tx_blocked);
}

void net_queue_wake(struct net_queue *q)
{
    loop_wake(q->rx_bell.fd);
    loop_wake(q->tx_bell.fd);
}

static int add_source(struct net_queue *q, struct loop_source *s, int fd, uint32_t events,
                      void (*on_ready)(void *context, uint32_t events))
{
    *s = (struct loop_source){.fd = fd, .events = events, .on_ready = on_ready, .context = q};
    return fd < 0 ? -errno : loop_add(&q->loop, s);
}

int net_queue_start(struct net_queue *q, struct err *e)
{
    struct virtio *v = q->net->virtio;
    int r, timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    char name[16];

    q->timer.fd = timer;
    q->bounce = malloc(NET_HEADER + NET_FRAME_MAX + 1);
    if (!q->bounce)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if ((r = add_source(q, &q->timer, timer, EPOLLIN, on_timer)) < 0 ||
        (r = add_source(q, &q->rx_bell, virtio_doorbell(v, 2 * q->index), EPOLLIN, on_rx_bell)) < 0 ||
        (r = add_source(q, &q->tx_bell, virtio_doorbell(v, 2 * q->index + 1), EPOLLIN, on_tx_bell)) < 0 ||
        (r = add_source(q, &q->tap, q->fd, 0, on_tap)) < 0)
        return err_errno(e, -r, "watch a network device");
    snprintf(name, sizeof(name), "net%u.%u", virtio_slot(v), q->index);
    return loop_start(&q->loop, name, e);
}

int net_queue_init(struct net_queue *q, struct net *d, unsigned index, struct err *e)
{
    q->net = d;
    q->index = index;
    q->timer.fd = -1;
    pthread_mutex_init(&q->lock, NULL);
    return loop_init(&q->loop, e);
}

void net_queue_done(struct net_queue *q)
{
    if (!q->net)
        return;
    loop_done(&q->loop);
    if (q->timer.fd >= 0)
        close(q->timer.fd);
    pthread_mutex_destroy(&q->lock);
    free(q->bounce);
}

void net_queue_set_running(struct net_queue *q, bool is_running)
{
    pthread_mutex_lock(&q->lock);
    q->is_running = is_running;
    q->held_bytes = 0;
    pthread_mutex_unlock(&q->lock);
    if (is_running)
        net_queue_wake(q);
}
