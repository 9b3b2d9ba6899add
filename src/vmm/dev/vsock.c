/* Sockets between guest and host: virtio 1.2, 5.10; streams only. This file has the queues and the packets,
 * vsock_link.c the host's sockets and the lines that programs say to them. All on the main loop; a turn takes a bounded
 * number of packets each way, and links speak to the guest one packet each in turn. A header is copied once and only
 * the copy is used. A packet for no link is answered by RST, as is everything a guest does wrong about one link; a
 * packet that is none breaks the device. Links do not outlive a restore: the guest learns of it by an event, before it
 * hears or is heard again. Options: cid=N (3 and up), socket=PATH (made here, for this user only) or fd=N (listening).
 * The name of a socket made here stays behind: from within the jail there is no way back to it. The next start with the
 * same path removes it. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "vmm/dev/vsock_priv.h"

#define QUEUE_SIZE     128u
#define PACKETS_A_TURN 64u
#define BACKLOG        16
#define HEADER         sizeof(struct virtio_vsock_hdr)
#define F_STREAM       1ull

enum { QUEUE_TO_GUEST, QUEUE_FROM_GUEST, QUEUE_EVENTS };

/* --- From the guest --------------------------------------------------------------------------------------------------
 */

/* There is room: nothing is heard while there is none. */
static void refuse(struct vsock *d, const struct virtio_vsock_hdr *h)
{
    if (h->op == VIRTIO_VSOCK_OP_RST || d->n_refused == VSOCK_REFUSED_MAX)
        return;
    d->refused[d->n_refused++] =
        (struct vsock_refused){.cid = h->dst_cid, .guest_port = h->src_port, .host_port = h->dst_port, .type = h->type};
    d->n_reset++;
}

static void note_credit(struct vsock_link *l, const struct virtio_vsock_hdr *h)
{
    l->peer_alloc = h->buf_alloc;
    l->peer_forwarded = h->fwd_cnt;
}

static void open_link(struct vsock_link *l)
{
    l->state = LINK_OPEN;
    l->ticks = 0;
    l->vsock->n_opened++;
}

/* The guest calls: whoever waits for this port takes it. */
static void take_call(struct vsock *d, const struct virtio_vsock_hdr *h)
{
    for (unsigned i = 0; i < d->n_slots; i++) {
        struct vsock_link *l = &d->links[i];

        if (l->state != LINK_WAITING || l->host_port != h->dst_port)
            continue;
        if (!vsock_link_say(l, "CONNECT", h->src_port)) {
            vsock_link_free(l);
            continue;
        }
        l->guest_port = h->src_port;
        l->tell = TELL_RESPONSE;
        note_credit(l, h);
        open_link(l);
        return;
    }
    refuse(d, h);
}

static void take_bytes(struct vsock_link *l, const struct virtio_vsock_hdr *h, const struct virtq_chain *c)
{
    if (l->state != LINK_OPEN || (l->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) || h->len > VSOCK_BUFFER - l->buffered)
        vsock_link_reset(l); /* more than it was allowed to send (5.10.6.3), or when it should not */
    else if (h->len)
        vsock_link_forward(l, c, HEADER, h->len);
}

static void take_packet(struct vsock_link *l, const struct virtio_vsock_hdr *h, const struct virtq_chain *c)
{
    note_credit(l, h);
    switch (h->op) {
    case VIRTIO_VSOCK_OP_RESPONSE:
        if (l->state != LINK_CALLING || (l->tell & TELL_REQUEST) || !vsock_link_say(l, "OK", l->host_port))
            vsock_link_reset(l);
        else
            open_link(l);
        break;
    case VIRTIO_VSOCK_OP_RST:
        vsock_link_free(l);
        break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        l->guest_shut |= h->flags & (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
        break;
    case VIRTIO_VSOCK_OP_RW:
        take_bytes(l, h, c);
        break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        l->tell |= TELL_CREDIT;
        break;
    default: /* another REQUEST too */
        vsock_link_reset(l);
        break;
    }
}

/* False when it is no packet. */
static bool hear(struct vsock *d, const struct virtq_chain *c)
{
    struct virtio_vsock_hdr h;
    struct vsock_link *l;

    if (c->out_bytes < HEADER || c->n_in)
        return false;
    (void)virtq_read(c, 0, &h, HEADER);
    if (h.len > c->out_bytes - HEADER)
        return false;
    if (h.src_cid != d->cid)
        return true; /* not of this guest: no one to answer (5.10.6.2) */
    l = vsock_link_find(d, h.src_port, h.dst_port);
    if (h.type != VIRTIO_VSOCK_TYPE_STREAM || h.dst_cid != VSOCK_HOST_CID)
        refuse(d, &h);
    else if (l && l->state == LINK_ENDED && h.op != VIRTIO_VSOCK_OP_RST)
        return true; /* it hears of that soon */
    else if (l)
        take_packet(l, &h, c);
    else if (h.op == VIRTIO_VSOCK_OP_REQUEST)
        take_call(d, &h);
    else
        refuse(d, &h);
    return true;
}

static void hear_all(struct vsock *d)
{
    struct virtq *q = virtio_queue(d->virtio, QUEUE_FROM_GUEST);
    struct virtq_chain chain;
    unsigned i;
    int r = 1;

    for (i = 0; i < PACKETS_A_TURN && d->n_refused < VSOCK_REFUSED_MAX; i++) {
        r = virtq_pop(q, &chain);
        if (r <= 0)
            break;
        if (!hear(d, &chain))
            r = -EPROTO;
        virtq_push(q, chain.head, 0);
        if (r < 0)
            break;
    }
    if (r < 0)
        virtio_fail(d->virtio);
    if (i || r < 0)
        virtio_signal(d->virtio, QUEUE_FROM_GUEST);
}

/* --- To the guest ----------------------------------------------------------------------------------------------------
 */

static bool can_speak(const struct vsock_link *l)
{
    return l->state >= LINK_CALLING &&
           (l->tell || (l->state == LINK_OPEN && l->is_readable && !l->is_eof && vsock_link_credit(l)));
}

static struct vsock_link *next_speaker(struct vsock *d)
{
    for (unsigned i = 0; i < d->n_slots; i++) {
        unsigned at = (d->turn + i) % d->n_slots;

        if (can_speak(&d->links[at]))
            return &d->links[at];
    }
    return NULL;
}

static void put(struct vsock *d, const struct virtq_chain *c, struct virtio_vsock_hdr *h)
{
    h->dst_cid = d->cid;
    (void)virtq_write(c, 0, h, HEADER);
    virtq_push(virtio_queue(d->virtio, QUEUE_TO_GUEST), c->head, (uint32_t)HEADER + h->len);
}

static void put_refusal(struct vsock *d, const struct virtq_chain *c)
{
    const struct vsock_refused *r = &d->refused[--d->n_refused];
    struct virtio_vsock_hdr h = {.src_cid = r->cid,
                                 .src_port = r->host_port,
                                 .dst_port = r->guest_port,
                                 .type = r->type,
                                 .op = VIRTIO_VSOCK_OP_RST};

    put(d, c, &h);
}

static void put_of(struct vsock_link *l, const struct virtq_chain *c, uint16_t op, uint32_t flags, uint32_t length)
{
    struct virtio_vsock_hdr h = {.src_cid = VSOCK_HOST_CID,
                                 .src_port = l->host_port,
                                 .dst_port = l->guest_port,
                                 .len = length,
                                 .type = VIRTIO_VSOCK_TYPE_STREAM,
                                 .op = op,
                                 .flags = flags,
                                 .buf_alloc = VSOCK_BUFFER,
                                 .fwd_cnt = l->forwarded};

    l->tell &= ~(unsigned)TELL_CREDIT;
    l->forwarded_told = l->forwarded;
    put(l->vsock, c, &h);
}

/* Reads from the program into the pieces behind the header: the number of bytes, 0 if there are none. */
static uint32_t read_bytes(struct vsock_link *l, const struct virtq_chain *c)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    uint64_t skip = HEADER, room = c->in_bytes - HEADER, wanted;
    int n_iov = 0;
    ssize_t n;

    room = room < VSOCK_BUFFER ? room : VSOCK_BUFFER;
    room = room < vsock_link_credit(l) ? room : vsock_link_credit(l);
    wanted = room;
    for (unsigned i = c->n_out; i < c->n_out + c->n_in && room; i++) {
        uint64_t piece = c->iov[i].iov_len;

        if (skip >= piece) {
            skip -= piece;
            continue;
        }
        piece = piece - skip < room ? piece - skip : room;
        iov[n_iov++] = (struct iovec){(uint8_t *)c->iov[i].iov_base + skip, piece};
        room -= piece;
        skip = 0;
    }
    n = readv(l->source.fd, iov, n_iov);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        l->is_eof = true;
    if (n < (ssize_t)wanted && !l->is_hung_up)
        l->is_readable = false;
    return n > 0 ? (uint32_t)n : 0;
}

/* One packet of a link; false if it had none after all. */
static bool speak(struct vsock_link *l, const struct virtq_chain *c)
{
    uint32_t n;

    l->vsock->turn = (unsigned)(l - l->vsock->links) + 1;
    if (l->tell & TELL_RST) {
        put_of(l, c, VIRTIO_VSOCK_OP_RST, 0, 0);
        vsock_link_free(l);
    } else if (l->tell & TELL_REQUEST) {
        put_of(l, c, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
        l->tell &= ~(unsigned)TELL_REQUEST;
    } else if (l->tell & TELL_RESPONSE) {
        put_of(l, c, VIRTIO_VSOCK_OP_RESPONSE, 0, 0);
        l->tell &= ~(unsigned)TELL_RESPONSE;
    } else if (l->tell & TELL_CREDIT) {
        put_of(l, c, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
    } else if (l->tell & TELL_SHUTDOWN) {
        put_of(l, c, VIRTIO_VSOCK_OP_SHUTDOWN, l->host_shut, 0);
        l->tell &= ~(unsigned)TELL_SHUTDOWN;
    } else {
        n = read_bytes(l, c);
        if (!n)
            return false;
        l->sent += n;
        l->vsock->bytes_to_guest += n;
        put_of(l, c, VIRTIO_VSOCK_OP_RW, 0, n);
    }
    return true;
}

static void speak_all(struct vsock *d)
{
    struct virtq *q = virtio_queue(d->virtio, QUEUE_TO_GUEST);
    struct vsock_link *l = NULL;
    struct virtq_chain chain;
    bool is_any = false;
    int r = 1;

    for (unsigned i = 0; i < PACKETS_A_TURN && (d->n_refused || (l = next_speaker(d))); i++) {
        r = virtq_pop(q, &chain);
        if (r > 0 && (chain.n_out || chain.in_bytes <= HEADER))
            r = -EPROTO;
        if (r <= 0)
            break;
        if (d->n_refused)
            put_refusal(d, &chain);
        else if (!speak(l, &chain)) {
            virtq_unpop(q);
            continue;
        }
        is_any = true;
    }
    if (r < 0)
        virtio_fail(d->virtio);
    if (is_any)
        virtio_signal(d->virtio, QUEUE_TO_GUEST);
}

/* 5.10.6.8. False: it cannot be told yet, and nothing else happens before. */
static bool tell_reset(struct vsock *d)
{
    const struct virtio_vsock_event event = {.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET};
    struct virtq *q = virtio_queue(d->virtio, QUEUE_EVENTS);
    struct virtq_chain chain;
    int r;

    if (!q->is_enabled) { /* a driver that does without */
        d->is_reset_untold = false;
        return true;
    }
    r = virtq_pop(q, &chain);
    if (r == 0)
        return false;
    if (r < 0 || chain.n_out || chain.in_bytes < sizeof(event)) {
        virtio_fail(d->virtio);
        return false;
    }
    virtq_push(q, chain.head, (uint32_t)virtq_write(&chain, 0, &event, sizeof(event)));
    virtio_signal(d->virtio, QUEUE_EVENTS);
    d->is_reset_untold = false;
    return true;
}

static void update_all(struct vsock *d)
{
    for (unsigned i = 0; i < d->n_slots; i++)
        if (d->links[i].state != LINK_FREE)
            vsock_link_update(&d->links[i]);
}

/* Could the next turn do something now? If not, a doorbell comes first. */
static bool has_work(struct vsock *d)
{
    if (d->n_refused < VSOCK_REFUSED_MAX && virtq_waiting(virtio_queue(d->virtio, QUEUE_FROM_GUEST)))
        return true;
    return (d->n_refused || next_speaker(d)) && virtq_waiting(virtio_queue(d->virtio, QUEUE_TO_GUEST));
}

void vsock_work(struct vsock *d)
{
    bool is_on = d->is_running && !virtio_is_failed(d->virtio) && (!d->is_reset_untold || tell_reset(d));

    if (is_on)
        hear_all(d);
    update_all(d);
    if (!is_on)
        return;
    speak_all(d);
    update_all(d);
    if (!virtio_is_failed(d->virtio) && has_work(d))
        loop_wake(d->queues[QUEUE_FROM_GUEST].doorbell.fd); /* the others of the loop first */
}

/* --- Events of the loop ----------------------------------------------------------------------------------------------
 */

void vsock_catch_up(struct vsock *d)
{
    if (!d->is_cut)
        return;
    d->is_cut = false;
    d->n_refused = 0;
    for (unsigned i = d->n_slots; i-- > 0;)
        if (d->links[i].state >= LINK_CALLING)
            vsock_link_free(&d->links[i]);
}

static void on_doorbell(void *context, uint32_t events)
{
    struct vsock_queue *q = context;
    struct vsock *d = q->vsock;

    (void)events;
    loop_drain(q->doorbell.fd);
    pthread_mutex_lock(&d->lock);
    vsock_catch_up(d);
    vsock_work(d);
    pthread_mutex_unlock(&d->lock);
}

static void on_cut(void *context, uint32_t events)
{
    struct vsock *d = context;

    (void)events;
    loop_drain(d->cut.fd);
    pthread_mutex_lock(&d->lock);
    vsock_catch_up(d);
    pthread_mutex_unlock(&d->lock);
}

static void on_listener(void *context, uint32_t events)
{
    struct vsock *d = context;

    (void)events;
    pthread_mutex_lock(&d->lock);
    vsock_catch_up(d);
    vsock_accept(d);
    pthread_mutex_unlock(&d->lock);
}

static void set_timer(struct vsock *d, bool is_on)
{
    const struct itimerspec each = {.it_value = {.tv_sec = is_on}, .it_interval = {.tv_sec = is_on}};

    if (d->is_timer_on != is_on)
        (void)timerfd_settime(d->timer.fd, 0, &each, NULL);
    d->is_timer_on = is_on;
}

void vsock_timer_on(struct vsock *d)
{
    set_timer(d, true);
}

static void on_timer(void *context, uint32_t events)
{
    struct vsock *d = context;

    (void)events;
    loop_drain(d->timer.fd);
    pthread_mutex_lock(&d->lock);
    vsock_catch_up(d);
    set_timer(d, vsock_links_tick(d));
    vsock_work(d);
    pthread_mutex_unlock(&d->lock);
}

/* --- The device ------------------------------------------------------------------------------------------------------
 */

static int vsock_start(void *device, uint64_t features)
{
    struct vsock *d = device;

    (void)features;
    pthread_mutex_lock(&d->lock);
    d->is_running = true;
    pthread_mutex_unlock(&d->lock);
    loop_wake(d->queues[QUEUE_FROM_GUEST].doorbell.fd); /* what was rung before */
    return 0;
}

/* The links are the loop's: it ends them, before it does anything else. */
static void vsock_stop(void *device)
{
    struct vsock *d = device;

    pthread_mutex_lock(&d->lock);
    d->is_running = false;
    d->is_cut = true;
    d->is_reset_untold = false;
    pthread_mutex_unlock(&d->lock);
    loop_wake(d->cut.fd);
}

static size_t vsock_config(void *device, uint8_t *bytes, size_t cap)
{
    const struct vsock *d = device;
    const struct virtio_vsock_config c = {.guest_cid = d->cid};

    memcpy(bytes, &c, sizeof(c) < cap ? sizeof(c) : cap);
    return sizeof(c);
}

/* Links are not saved: where the machine is restored, nobody is at their other end. */
static void vsock_save(void *device, struct buf *b)
{
    (void)device;
    state_put_u8(b, 1);
}

static void vsock_load(void *device, struct state_reader *r)
{
    struct vsock *d = device;

    if (state_get_u8(r) != 1)
        r->is_failed = true;
    pthread_mutex_lock(&d->lock);
    d->is_reset_untold = !r->is_failed;
    pthread_mutex_unlock(&d->lock);
}

static void vsock_counters(void *device, virtio_tell_fn tell, void *arg)
{
    struct vsock *d = device;

    pthread_mutex_lock(&d->lock);
    tell(arg, "links", d->n_links);
    tell(arg, "opened", d->n_opened);
    tell(arg, "reset", d->n_reset);
    tell(arg, "to-guest-bytes", d->bytes_to_guest);
    tell(arg, "from-guest-bytes", d->bytes_from_guest);
    pthread_mutex_unlock(&d->lock);
}

static void close_source(struct vsock *d, struct loop_source *s)
{
    loop_remove(d->host->main, s);
    if (s->fd >= 0)
        close(s->fd);
}

static void vsock_free(void *device)
{
    struct vsock *d = device;

    for (unsigned i = d->n_slots; i-- > 0;)
        if (d->links[i].state != LINK_FREE)
            vsock_link_free(&d->links[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(d->queues); i++)
        loop_remove(d->host->main, &d->queues[i].doorbell);
    close_source(d, &d->listener);
    close_source(d, &d->timer);
    close_source(d, &d->cut);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const struct virtio_ops vsock_ops = {.name = "vsock",
                                            .is_on_main = true,
                                            .n_connections = VSOCK_LINKS_MAX,
                                            .id = 19,
                                            .class_code = 0x028000,
                                            .queue_size = QUEUE_SIZE,
                                            .config = vsock_config,
                                            .start = vsock_start,
                                            .stop = vsock_stop,
                                            .save = vsock_save,
                                            .load = vsock_load,
                                            .free = vsock_free,
                                            .counters = vsock_counters};

/* --- Making it -------------------------------------------------------------------------------------------------------
 */

/* What a process that ended left: a socket that nobody listens at. Anything else stays. */
static void remove_stale(const struct sockaddr_un *address)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED)
        (void)unlink(address->sun_path);
}

static int listen_at(struct vsock *d, const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (str_copy(address.sun_path, sizeof(address.sun_path), path) < 0)
        return err_set(e, -ENAMETOOLONG, "option.value", "the path of a socket has at most %zu bytes",
                       sizeof(address.sun_path) - 1);
    remove_stale(&address);
    d->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Its mode before it has a name: no moment at which others may connect. */
    if (d->listener.fd < 0 || fchmod(d->listener.fd, 0600) < 0 ||
        bind(d->listener.fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(d->listener.fd, BACKLOG) < 0)
        return err_errno(e, errno, "listen at the socket '%s'", path);
    return 0;
}

static int take_listener(struct vsock *d, int fd, struct err *e)
{
    int domain = 0, is_listening = 0;
    socklen_t n = sizeof(domain), m = sizeof(is_listening);

    d->listener.fd = fd;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &m) < 0 || !is_listening)
        return err_set(e, -EINVAL, "option.fd", "descriptor %d is no listening unix socket", fd);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return err_errno(e, errno, "use descriptor %d", fd);
    return 0;
}

static int open_listener(struct vsock *d, const struct propstr *p, struct err *e)
{
    const char *path = propstr_get(p, "socket");
    int fd = -1, r = 0;

    if (!path == !propstr_get(p, "fd"))
        return err_set(e, -EINVAL, "option.value", "either socket=PATH or fd=N");
    if (path)
        return listen_at(d, path, e);
    r = device_open(p, "socket", 0, &fd, e);
    return r < 0 ? r : take_listener(d, fd, e);
}

static int make_sources(struct vsock *d, const struct propstr *p, struct err *e)
{
    static const struct loop_source none = {.fd = -1, .events = EPOLLIN};
    int r;

    d->listener = d->timer = d->cut = none;
    d->listener.context = d->timer.context = d->cut.context = d;
    d->listener.on_ready = on_listener;
    d->timer.on_ready = on_timer;
    d->cut.on_ready = on_cut;
    r = open_listener(d, p, e);
    if (r < 0)
        return r;
    d->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    d->cut.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return d->timer.fd < 0 || d->cut.fd < 0 ? err_errno(e, errno, "make a timer") : 0;
}

static int watch(struct vsock *d, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(d->queues) && r == 0; i++) {
        struct vsock_queue *q = &d->queues[i];

        q->vsock = d;
        q->doorbell = (struct loop_source){
            .fd = virtio_doorbell(d->virtio, i), .events = EPOLLIN, .on_ready = on_doorbell, .context = q};
        r = loop_add(d->host->main, &q->doorbell);
    }
    if (r < 0 || (r = loop_add(d->host->main, &d->listener)) < 0 || (r = loop_add(d->host->main, &d->timer)) < 0 ||
        (r = loop_add(d->host->main, &d->cut)) < 0)
        return err_errno(e, -r, "watch a socket");
    return 0;
}

static int vsock_new(struct virtio_host *h, const struct propstr *p, struct virtio **ret_virtio, struct err *e)
{
    static const char *const keys[] = {"cid", "socket", "fd", NULL};
    struct vsock *d;
    uint64_t cid;
    int r = device_check_keys(p, keys, e);

    if (r == 0)
        r = propstr_get_u64(p, "cid", 0, &cid, e);
    if (r < 0)
        return r;
    if (cid <= VSOCK_HOST_CID || cid >= UINT32_MAX)
        return err_set(e, -EINVAL, "option.value", "cid is a number from 3 to 4294967294");
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->host = h;
    d->cid = (uint32_t)cid;
    d->next_port = 1u << 30;
    pthread_mutex_init(&d->lock, NULL);
    r = make_sources(d, p, e);
    if (r < 0) {
        vsock_free(d);
        return r;
    }
    r = virtio_new(h, &vsock_ops, d, F_STREAM, ARRAY_SIZE(d->queues), &d->virtio, e);
    if (r < 0)
        return r;
    r = watch(d, e);
    if (r < 0) {
        virtio_free(d->virtio);
        return r;
    }
    *ret_virtio = d->virtio;
    return 0;
}

const struct device_type device_vsock = {.option = "vsock",
                                         .usage = "cid=N,socket=PATH|fd=N",
                                         .help = "sockets between guest and host, at a unix socket",
                                         .new = vsock_new,
                                         .default_key = "cid"};
