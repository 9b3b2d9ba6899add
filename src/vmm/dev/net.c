/* Network device: virtio 1.2, 5.1. This file makes it from its options, answers its configuration space and its control
 * queue; the packets are in net_queue.c, what is behind it in net_backend.c. One thread for each pair of queues, the
 * control queue on the main loop. It filters nothing by address: a tap carries what is meant for this guest. */
#include <sys/random.h>

#include "vmm/dev/net_priv.h"

#define COMMANDS_A_TURN 16u
#define TABLE_MAX       64u /* addresses in a filter that are looked at; more than that is refused */
#define MTU_MIN         68u
#define RATE_MAX_MB     100000.0
#define BURST_MIN       (128u << 10)

static const uint64_t tcp_features = NET_BIT(VIRTIO_NET_F_HOST_TSO4) | NET_BIT(VIRTIO_NET_F_HOST_TSO6) |
                                     NET_BIT(VIRTIO_NET_F_HOST_ECN) | NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |
                                     NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | NET_BIT(VIRTIO_NET_F_GUEST_ECN);

static bool has(const struct net *d, unsigned feature)
{
    return d->features & NET_BIT(feature);
}

/* --- The control queue (5.1.6.5) ------------------------------------------------------------------------------------
 */

unsigned net_control_index(const struct net *d)
{
    return has(d, VIRTIO_NET_F_MQ) ? 2 * d->n_pairs : 2;
}

static void wake_all(struct net *d)
{
    for (unsigned i = 0; i < d->n_pairs; i++)
        net_queue_wake(&d->queues[i]);
}

/* Nothing is filtered, so that every mode is on already: only the form of the command counts. */
static bool set_rx_mode(const struct virtq_chain *c, uint8_t command)
{
    uint8_t on;

    return command <= VIRTIO_NET_CTRL_RX_ALLMULTI && virtq_read(c, 2, &on, 1) == 1 && on <= 1;
}

/* Two tables, each a number and so many addresses. */
static bool check_table(const struct virtq_chain *c)
{
    uint64_t at = 2;
    uint32_t n;

    for (unsigned i = 0; i < 2; i++) {
        if (virtq_read(c, at, &n, sizeof(n)) != sizeof(n) || n > TABLE_MAX)
            return false;
        at += sizeof(n) + 6 * n;
    }
    return at == c->out_bytes;
}

static bool set_mac(struct net *d, const struct virtq_chain *c, uint8_t command)
{
    uint8_t mac[6];

    if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET)
        return check_table(c);
    if (command != VIRTIO_NET_CTRL_MAC_ADDR_SET || virtq_read(c, 2, mac, sizeof(mac)) != sizeof(mac) || (mac[0] & 1))
        return false;
    memcpy(d->mac, mac, sizeof(mac));
    return true;
}

static bool set_pairs(struct net *d, const struct virtq_chain *c, uint8_t command)
{
    uint16_t n;

    if (command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || virtq_read(c, 2, &n, sizeof(n)) != sizeof(n) || n < 1 ||
        n > d->n_pairs)
        return false;
    net_backend_activate(d, n);
    wake_all(d);
    return true;
}

static bool set_offloads(struct net *d, const struct virtq_chain *c, uint8_t command)
{
    uint64_t on;

    if (command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || virtq_read(c, 2, &on, sizeof(on)) != sizeof(on) ||
        (on & ~(d->features & NET_GUEST_OFFLOADS)))
        return false;
    d->offloads = on;
    net_backend_offload(d, on);
    return true;
}

static bool obey(struct net *d, const struct virtq_chain *c)
{
    uint8_t what[2]; /* class, command */

    if (virtq_read(c, 0, what, sizeof(what)) != sizeof(what))
        return false;
    switch (what[0]) {
    case VIRTIO_NET_CTRL_RX:
        return has(d, VIRTIO_NET_F_CTRL_RX) && set_rx_mode(c, what[1]);
    case VIRTIO_NET_CTRL_MAC:
        return (what[1] == VIRTIO_NET_CTRL_MAC_TABLE_SET ? has(d, VIRTIO_NET_F_CTRL_RX)
                                                         : has(d, VIRTIO_NET_F_CTRL_MAC_ADDR)) &&
               set_mac(d, c, what[1]);
    case VIRTIO_NET_CTRL_MQ:
        return has(d, VIRTIO_NET_F_MQ) && set_pairs(d, c, what[1]);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return has(d, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) && set_offloads(d, c, what[1]);
    default:
        return false;
    }
}

static void work(struct net *d)
{
    unsigned index = net_control_index(d);
    struct virtq *q = virtio_queue(d->virtio, index);
    struct virtq_chain c;
    uint8_t status;
    int r = 0;

    for (unsigned i = 0; i < COMMANDS_A_TURN && (r = virtq_pop(q, &c)) > 0; i++) {
        if (!c.in_bytes) {
            r = -EPROTO;
            break;
        }
        status = obey(d, &c) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
        virtq_push(q, c.head, (uint32_t)virtq_write(&c, 0, &status, 1));
    }
    if (r < 0)
        virtio_fail(d->virtio);
    virtio_signal(d->virtio, index);
    if (r > 0)
        loop_wake(virtio_doorbell(d->virtio, index));
}

void net_control_work(struct net *d)
{
    pthread_mutex_lock(&d->lock);
    if (d->is_running && !virtio_is_failed(d->virtio) && has(d, VIRTIO_NET_F_CTRL_VQ))
        work(d);
    pthread_mutex_unlock(&d->lock);
}

static void on_control_bell(void *context, uint32_t events)
{
    struct net *d = context;

    (void)events;
    loop_drain(d->control_bell.fd);
    net_control_work(d);
}

/* --- Registers and life ---------------------------------------------------------------------------------------------
 */

static size_t net_config(void *device, uint8_t *bytes, size_t cap)
{
    struct net *d = device;
    struct virtio_net_config c = {.status = d->is_link_up && !d->is_gone ? VIRTIO_NET_S_LINK_UP : 0,
                                  .max_virtqueue_pairs = (uint16_t)d->n_pairs,
                                  .mtu = d->mtu};
    size_t n = offsetof(struct virtio_net_config, mtu) + sizeof(c.mtu);

    pthread_mutex_lock(&d->lock);
    memcpy(c.mac, d->mac, sizeof(c.mac));
    pthread_mutex_unlock(&d->lock);
    memcpy(bytes, &c, n < cap ? n : cap);
    return n;
}

static void set_running(struct net *d, bool is_running)
{
    pthread_mutex_lock(&d->lock);
    d->is_running = is_running;
    pthread_mutex_unlock(&d->lock);
    for (unsigned i = 0; i < d->n_pairs; i++)
        net_queue_set_running(&d->queues[i], is_running);
}

static int net_start(void *device, uint64_t features)
{
    struct net *d = device;

    d->features = features;
    if (!d->is_kept) {
        d->offloads = features & NET_GUEST_OFFLOADS;
        net_backend_activate(d, 1); /* 5.1.6.5.5: more only when the driver asks */
    }
    d->is_kept = false;
    net_backend_offload(d, d->offloads);
    set_running(d, true);
    loop_wake(virtio_doorbell(d->virtio, net_control_index(d)));
    return 0;
}

static void net_stop(void *device)
{
    set_running(device, false);
}

static void net_save(void *device, struct buf *b)
{
    struct net *d = device;

    state_put_bytes(b, d->mac, sizeof(d->mac));
    state_put_u16(b, (uint16_t)d->n_active);
    state_put_u64(b, d->offloads);
    state_put_u8(b, d->is_link_up);
    d->is_kept = true;
}

static void net_load(void *device, struct state_reader *r)
{
    struct net *d = device;
    uint8_t mac[sizeof(d->mac)] = {0};
    uint64_t offloads;
    uint16_t n;

    state_get_bytes(r, mac, sizeof(mac));
    n = state_get_u16(r);
    offloads = state_get_u64(r);
    d->is_link_up = state_get_u8(r);
    if (n < 1 || n > d->n_pairs || (offloads & ~NET_GUEST_OFFLOADS))
        r->is_failed = true;
    if (r->is_failed)
        return;
    memcpy(d->mac, mac, sizeof(mac));
    d->offloads = offloads;
    net_backend_activate(d, n);
    d->is_kept = true;
}

static void net_free(void *device)
{
    struct net *d = device;

    if (d->control_bell.is_added)
        loop_remove(d->host->main, &d->control_bell);
    for (unsigned i = 0; i < NET_QUEUES_MAX; i++) {
        net_queue_done(&d->queues[i]);
        if (d->queues[i].fd >= 0)
            close(d->queues[i].fd);
    }
    throttle_done(&d->rx_limit);
    throttle_done(&d->tx_limit);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* --- Verbs ----------------------------------------------------------------------------------------------------------
 */

static void add_counters(const struct net *d, struct net_counters *c)
{
    *c = (struct net_counters){0};
    for (unsigned i = 0; i < d->n_pairs; i++) {
        const struct net_queue *q = &d->queues[i];

        c->rx_packets += q->rx_packets;
        c->rx_bytes += q->rx_bytes;
        c->rx_dropped += q->rx_dropped;
        c->tx_packets += q->tx_packets;
        c->tx_bytes += q->tx_bytes;
        c->tx_dropped += q->tx_dropped;
    }
}

static void tell_counters(void *device, virtio_tell_fn tell, void *arg)
{
    struct net_counters c;

    add_counters(device, &c);
    tell(arg, "rx-packets", c.rx_packets);
    tell(arg, "rx-bytes", c.rx_bytes);
    tell(arg, "rx-dropped", c.rx_dropped);
    tell(arg, "tx-packets", c.tx_packets);
    tell(arg, "tx-bytes", c.tx_bytes);
    tell(arg, "tx-dropped", c.tx_dropped);
}

static int set_link(void *device, bool is_up, struct err *e)
{
    struct net *d = device;

    (void)e;
    if (atomic_exchange(&d->is_link_up, is_up) != is_up) {
        virtio_config_changed(d->virtio);
        wake_all(d);
    }
    return 0;
}

static void set_rate(struct net *d, uint64_t bytes_per_s)
{
    uint64_t burst = bytes_per_s / 10 > BURST_MIN ? bytes_per_s / 10 : BURST_MIN;

    throttle_set(&d->rx_limit, bytes_per_s, burst);
    throttle_set(&d->tx_limit, bytes_per_s, burst);
}

void net_counters(const struct virtio *v, struct net_counters *ret_counters)
{
    add_counters(virtio_device(v), ret_counters);
}

void net_set_link(struct virtio *v, bool is_up)
{
    struct err unused = ERR_INIT;

    (void)set_link(virtio_device(v), is_up, &unused);
}

void net_set_rate(struct virtio *v, uint64_t bytes_per_s)
{
    set_rate(virtio_device(v), bytes_per_s);
    wake_all(virtio_device(v)); /* those that wait for an older, lower one */
}

static const struct virtio_ops net_ops = {.name = "net",
                                          .id = 1,
                                          .class_code = 0x020000,
                                          .queue_size = NET_QUEUE_SIZE,
                                          .config = net_config,
                                          .start = net_start,
                                          .stop = net_stop,
                                          .save = net_save,
                                          .load = net_load,
                                          .free = net_free,
                                          .counters = tell_counters,
                                          .link = set_link};

/* --- Options --------------------------------------------------------------------------------------------------------
 */

static int hex_byte(const char *s)
{
    int value = 0;

    for (unsigned i = 0; i < 2; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* "BC:24:11:00:00:01", of one station. */
static bool parse_mac(const char *s, uint8_t mac[6])
{
    if (strlen(s) != 17)
        return false;
    for (unsigned i = 0; i < 6; i++, s += 3) {
        int byte = hex_byte(s);

        if (byte < 0 || s[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)byte;
    }
    return !(mac[0] & 1);
}

static int take_mac(struct net *d, const char *text, struct err *e)
{
    if (text)
        return parse_mac(text, d->mac)
                   ? 0
                   : err_set(e, -EINVAL, "option.value", "mac: six bytes such as 52:54:00:12:34:56, of one station");
    if (getrandom(d->mac, sizeof(d->mac), 0) != (ssize_t)sizeof(d->mac))
        return err_errno(e, errno, "make an address");
    d->mac[0] = (uint8_t)((d->mac[0] & 0xfc) | 2); /* of our own making, one station */
    return 0;
}

/* Megabytes (2^20) a second, as in PVE's configuration; fractions too. */
static int take_rate(struct net *d, const char *text, struct err *e)
{
    char *end = NULL;
    double rate = text ? strtod(text, &end) : 0;

    if (text && (*end || text[0] < '0' || text[0] > '9' || !(rate >= 0 && rate <= RATE_MAX_MB)))
        return err_set(e, -EINVAL, "option.value", "rate: megabytes a second, at most 100000");
    if (rate > 0)
        set_rate(d, (uint64_t)(rate * (1 << 20)) + 1);
    return 0;
}

static int read_options(struct net *d, const struct propstr *p, uint64_t *ret_queues, struct err *e)
{
    static const char *const keys[] = {"tap", "fd", "fds", "mac", "queues", "mtu", "rate", "link_down", NULL};
    uint64_t mtu = 0;
    bool is_down = false;
    int r = device_check_keys(p, keys, e);

    if (r == 0)
        r = propstr_get_u64(p, "queues", 0, ret_queues, e);
    if (r == 0)
        r = propstr_get_u64(p, "mtu", 0, &mtu, e);
    if (r == 0)
        r = propstr_get_bool(p, "link_down", false, &is_down, e);
    if (r == 0)
        r = take_mac(d, propstr_get(p, "mac"), e);
    if (r == 0)
        r = take_rate(d, propstr_get(p, "rate"), e);
    if (r == 0 && mtu && (mtu < MTU_MIN || mtu > UINT16_MAX))
        r = err_set(e, -EINVAL, "option.value", "mtu: from %u to 65535", MTU_MIN);
    d->mtu = (uint16_t)mtu;
    d->is_link_up = !is_down;
    return r;
}

static uint64_t offered(const struct net *d)
{
    uint64_t f = tcp_features | NET_BIT(VIRTIO_NET_F_CSUM) | NET_BIT(VIRTIO_NET_F_GUEST_CSUM) |
                 NET_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | NET_BIT(VIRTIO_NET_F_MAC) |
                 NET_BIT(VIRTIO_NET_F_MRG_RXBUF) | NET_BIT(VIRTIO_NET_F_STATUS) | NET_BIT(VIRTIO_NET_F_CTRL_VQ) |
                 NET_BIT(VIRTIO_NET_F_CTRL_RX) | NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

    f |= d->has_uso ? NET_USO | NET_BIT(NET_F_HOST_USO) : 0;
    f |= d->mtu ? NET_BIT(VIRTIO_NET_F_MTU) : 0;
    f |= d->n_pairs > 1 ? NET_BIT(VIRTIO_NET_F_MQ) : 0;
    return f;
}

static int make_queues(struct net *d, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < d->n_pairs && r == 0; i++)
        r = net_queue_start(&d->queues[i], e);
    d->control_bell = (struct loop_source){
        .fd = virtio_doorbell(d->virtio, 2 * d->n_pairs), .events = EPOLLIN, .on_ready = on_control_bell, .context = d};
    if (r == 0 && (r = loop_add(d->host->main, &d->control_bell)) < 0)
        r = err_errno(e, -r, "watch a doorbell");
    return r;
}

static int net_new(struct virtio_host *h, const struct propstr *p, struct virtio **ret_virtio, struct err *e)
{
    struct net *d = calloc(1, sizeof(*d));
    uint64_t n_queues;
    int r;

    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->host = h;
    d->n_active = 1;
    pthread_mutex_init(&d->lock, NULL);
    throttle_init(&d->rx_limit);
    throttle_init(&d->tx_limit);
    for (unsigned i = 0; i < NET_QUEUES_MAX; i++)
        d->queues[i].fd = -1;
    r = read_options(d, p, &n_queues, e);
    if (r == 0)
        r = net_backend_open(d, p, n_queues, e);
    for (unsigned i = 0; i < d->n_pairs && r == 0; i++)
        r = net_queue_init(&d->queues[i], d, i, e);
    if (r < 0) {
        net_free(d);
        return r;
    }
    r = virtio_new(h, &net_ops, d, offered(d), 2 * d->n_pairs + 1, &d->virtio, e);
    if (r < 0)
        return r;
    r = make_queues(d, e);
    if (r < 0) {
        virtio_free(d->virtio);
        return r;
    }
    *ret_virtio = d->virtio;
    return 0;
}

const struct device_type device_net = {
    .option = "net",
    .usage = "tap=NAME|fd=N|fds=N:N[,mac=ADDRESS][,queues=1..8][,mtu=N][,rate=MB/S][,link_down=on]",
    .help = "a network device: a tap, or sockets of datagrams with a virtio header",
    .new = net_new,
    .default_key = "tap"};
