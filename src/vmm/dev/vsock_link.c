/* The host's side of vsock: unix sockets of programs that talk to the guest. A program connects to the device's socket
 * and says one line:
 *
 *     CONNECT 1234     answer "OK 1073741824" (our port) when the guest's port 1234 took the call; then bytes
 *     LISTEN 1234      answer "OK 1234"; when the guest calls the host's port 1234, "CONNECT 5678" (its port); then
 * bytes
 *
 * A LISTEN takes one call; a program that wants more keeps several waiting. So the guest reaches only what waits for
 * it: this process opens no path and no address at the guest's wish, and needs no file system in its jail. Every number
 * is bounded (vsock_priv.h); a program that is slow holds up its own link only. */
#include <inttypes.h>
#include <sys/socket.h>

#include "vmm/dev/vsock_priv.h"

/* --- The table -------------------------------------------------------------------------------------------------------
 */

static void on_ready(void *context, uint32_t events);

static void update_listener(struct vsock *d)
{
    bool is_on = d->n_links < VSOCK_LINKS_MAX && !d->is_accept_off;

    if (loop_change(d->host->main, &d->listener, is_on ? EPOLLIN : 0) < 0)
        d->is_accept_off = true;
}

struct vsock_link *vsock_link_new(struct vsock *d, int fd, enum vsock_state state)
{
    struct vsock_link *l = d->links;

    while (l < d->links + VSOCK_LINKS_MAX && l->state != LINK_FREE)
        l++;
    if (l == d->links + VSOCK_LINKS_MAX)
        return NULL;
    *l = (struct vsock_link){.vsock = d, .state = state};
    l->source = (struct loop_source){.fd = fd, .events = EPOLLIN, .on_ready = on_ready, .context = l};
    if (loop_add(d->host->main, &l->source) < 0) {
        l->state = LINK_FREE;
        return NULL;
    }
    d->n_links++;
    if (d->n_slots < (unsigned)(l - d->links) + 1)
        d->n_slots = (unsigned)(l - d->links) + 1;
    update_listener(d);
    return l;
}

/* The host's end alone. */
static void let_go(struct vsock_link *l)
{
    loop_remove(l->vsock->host->main, &l->source);
    if (l->source.fd >= 0)
        close(l->source.fd);
    l->source.fd = -1;
    free(l->buffer);
    l->buffer = NULL;
    l->buffered = 0;
}

void vsock_link_free(struct vsock_link *l)
{
    struct vsock *d = l->vsock;

    let_go(l);
    l->state = LINK_FREE;
    d->n_links--;
    while (d->n_slots && d->links[d->n_slots - 1].state == LINK_FREE)
        d->n_slots--;
    update_listener(d);
}

void vsock_link_reset(struct vsock_link *l)
{
    bool is_unknown = l->state < LINK_CALLING || (l->tell & TELL_REQUEST); /* to the guest */

    if (is_unknown) {
        vsock_link_free(l);
        return;
    }
    l->vsock->n_reset++;
    let_go(l);
    l->state = LINK_ENDED;
    l->tell = TELL_RST;
    l->ticks = 0;
}

struct vsock_link *vsock_link_find(struct vsock *d, uint32_t guest_port, uint32_t host_port)
{
    for (unsigned i = 0; i < d->n_slots; i++) {
        struct vsock_link *l = &d->links[i];

        if (l->state >= LINK_CALLING && l->guest_port == guest_port && l->host_port == host_port)
            return l;
    }
    return NULL;
}

bool vsock_links_tick(struct vsock *d)
{
    bool is_any = d->is_accept_off;

    d->is_accept_off = false;
    update_listener(d);
    for (unsigned i = 0; i < d->n_slots; i++) {
        struct vsock_link *l = &d->links[i];

        if (l->state == LINK_FREE || !l->ticks)
            continue;
        if (--l->ticks)
            is_any = true;
        else
            vsock_link_reset(l);
    }
    return is_any;
}

static void limit_time(struct vsock_link *l)
{
    if (!l->ticks)
        l->ticks = VSOCK_TICKS;
    vsock_timer_on(l->vsock);
}

/* --- From the guest to the host --------------------------------------------------------------------------------------
 */

/* The program does not read any more: what comes for it is taken and forgotten, and the guest learns of it. */
static void turn_deaf(struct vsock_link *l)
{
    l->forwarded += l->buffered;
    l->buffered = 0;
    free(l->buffer);
    l->buffer = NULL;
    if (!(l->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV))
        l->tell |= TELL_SHUTDOWN;
    l->host_shut |= VIRTIO_VSOCK_SHUTDOWN_RCV;
}

/* How many bytes the socket took; 0 also when it takes none ever again. */
static uint32_t send_now(struct vsock_link *l, struct iovec *iov, size_t n)
{
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t sent;

    do
        sent = sendmsg(l->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM)
        turn_deaf(l);
    return sent > 0 ? (uint32_t)sent : 0;
}

/* Behind what is buffered already. */
static bool keep(struct vsock_link *l, const struct virtq_chain *c, uint64_t offset, uint32_t length)
{
    if (!l->buffer) {
        l->buffer = malloc(VSOCK_BUFFER);
        l->buffer_at = 0;
    }
    if (!l->buffer)
        return false;
    while (length) {
        uint32_t end = (l->buffer_at + l->buffered) % VSOCK_BUFFER, room = VSOCK_BUFFER - end;
        uint32_t part = length < room ? length : room;

        (void)virtq_read(c, offset, l->buffer + end, part);
        l->buffered += part;
        offset += part;
        length -= part;
    }
    return true;
}

static void drain(struct vsock_link *l)
{
    while (l->buffered) {
        uint32_t first = VSOCK_BUFFER - l->buffer_at, sent;
        struct iovec iov[2] = {{l->buffer + l->buffer_at, l->buffered < first ? l->buffered : first}, {l->buffer, 0}};

        iov[1].iov_len = l->buffered - iov[0].iov_len;
        sent = send_now(l, iov, 2);
        if (!sent)
            return;
        l->buffer_at = (l->buffer_at + sent) % VSOCK_BUFFER;
        l->buffered -= sent;
        l->forwarded += sent;
    }
    free(l->buffer);
    l->buffer = NULL;
}

/* Straight out of the guest's memory, if nothing is before it: the pieces from offset on, length bytes of them. */
static uint32_t send_pieces(struct vsock_link *l, const struct virtq_chain *c, uint64_t offset, uint32_t length)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    size_t n = 0;

    for (unsigned i = 0; i < c->n_out && length; i++) {
        uint64_t piece = c->iov[i].iov_len;

        if (offset >= piece) {
            offset -= piece;
            continue;
        }
        piece -= offset;
        if (piece > length)
            piece = length;
        iov[n++] = (struct iovec){(uint8_t *)c->iov[i].iov_base + offset, piece};
        length -= (uint32_t)piece;
        offset = 0;
    }
    return n ? send_now(l, iov, n) : 0;
}

void vsock_link_forward(struct vsock_link *l, const struct virtq_chain *c, uint64_t offset, uint32_t length)
{
    uint32_t sent = 0;

    l->vsock->bytes_from_guest += length;
    if (!l->buffered && !(l->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV))
        sent = send_pieces(l, c, offset, length);
    l->forwarded += sent;
    if (l->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
        l->forwarded += length - sent;
    else if (sent < length && !keep(l, c, offset + sent, length - sent))
        vsock_link_reset(l);
}

/* --- What the program says, and when it is over ----------------------------------------------------------------------
 */

uint32_t vsock_link_credit(const struct vsock_link *l)
{
    uint32_t under_way = l->sent - l->peer_forwarded; /* wraps */

    return under_way < l->peer_alloc ? l->peer_alloc - under_way : 0;
}

static uint32_t events_of(const struct vsock_link *l)
{
    uint32_t events = l->buffered ? EPOLLOUT : 0;
    bool is_heard = l->state == LINK_LINE || l->state == LINK_OPEN;

    return is_heard && !l->is_readable && !l->is_eof ? events | EPOLLIN : events;
}

static void update_open(struct vsock_link *l)
{
    const uint32_t both = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

    if (l->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
        l->is_eof = true;
    if (l->is_eof && !(l->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND)) {
        l->host_shut |= VIRTIO_VSOCK_SHUTDOWN_SEND;
        l->tell |= TELL_SHUTDOWN;
    }
    if (!l->buffered && (l->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) && !l->is_shut) {
        l->is_shut = true;
        (void)shutdown(l->source.fd, SHUT_WR);
    }
    /* Told often enough that the guest may always send half a buffer, once it is empty (5.10.6.3). */
    if (l->forwarded - l->forwarded_told >= VSOCK_BUFFER / 2)
        l->tell |= TELL_CREDIT;
    if (!l->buffered && l->guest_shut == both)
        vsock_link_reset(l);
    else if (l->host_shut == both)
        limit_time(l);
}

void vsock_link_update(struct vsock_link *l)
{
    if (l->state == LINK_OPEN)
        update_open(l);
    if (l->state == LINK_LINE || l->state == LINK_CALLING)
        limit_time(l);
    if (l->source.is_added && loop_change(l->vsock->host->main, &l->source, events_of(l)) < 0)
        vsock_link_reset(l);
}

bool vsock_link_say(struct vsock_link *l, const char *word, uint32_t port)
{
    char line[VSOCK_LINE_MAX];
    int n = snprintf(line, sizeof(line), "%s %" PRIu32 "\n", word, port);

    return send(l->source.fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n;
}

static uint32_t free_port(struct vsock *d)
{
    bool is_used = true;

    while (is_used) {
        d->next_port = d->next_port < UINT32_MAX - 1 ? d->next_port + 1 : 1u << 30;
        is_used = false;
        for (unsigned i = 0; i < d->n_slots && !is_used; i++)
            is_used = d->links[i].state >= LINK_CALLING && d->links[i].host_port == d->next_port;
    }
    return d->next_port;
}

/* "CONNECT 1234" or "LISTEN 1234"; false: the program is not to stay. */
static bool obey(struct vsock_link *l)
{
    struct vsock *d = l->vsock;
    bool is_call = str_starts(l->line, "CONNECT ");
    uint64_t port;

    if ((!is_call && !str_starts(l->line, "LISTEN ")) || str_to_u64(strchr(l->line, ' ') + 1, &port) < 0 ||
        port >= UINT32_MAX)
        return false;
    l->ticks = 0;
    if (!is_call) {
        l->host_port = (uint32_t)port;
        l->state = LINK_WAITING;
        return vsock_link_say(l, "OK", l->host_port);
    }
    if (!d->is_running || virtio_is_failed(d->virtio))
        return false;
    l->guest_port = (uint32_t)port;
    l->host_port = free_port(d);
    l->state = LINK_CALLING;
    l->tell = TELL_REQUEST;
    return true;
}

/* Takes the line and nothing behind it: that is for the guest. */
static void read_line(struct vsock_link *l)
{
    unsigned room = VSOCK_LINE_MAX - l->line_bytes;
    char *to = l->line + l->line_bytes, *end;
    ssize_t n = recv(l->source.fd, to, room, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    end = n > 0 ? memchr(to, '\n', (size_t)n) : NULL;
    if (end)
        n = end + 1 - to;
    if (n <= 0 || recv(l->source.fd, to, (size_t)n, MSG_DONTWAIT) != n || (!end && n == room)) {
        vsock_link_free(l);
        return;
    }
    l->line_bytes += (unsigned)n;
    if (!end)
        return;
    *end = '\0';
    if (strlen(l->line) + 1 != l->line_bytes || !obey(l))
        vsock_link_free(l);
}

static void on_hang_up(struct vsock_link *l)
{
    if (l->state != LINK_OPEN) {
        vsock_link_reset(l);
        return;
    }
    /* It would be told for ever: what is left to read is read as the guest takes it. */
    loop_remove(l->vsock->host->main, &l->source);
    l->is_hung_up = true;
    l->is_readable = true;
    turn_deaf(l);
}

/* The event may be of a link that had this place a moment ago: then this one is new, and in LINK_LINE, where an event
 * means no more than a look. */
static void on_ready(void *context, uint32_t events)
{
    struct vsock_link *l = context;
    struct vsock *d = l->vsock;

    pthread_mutex_lock(&d->lock);
    vsock_catch_up(d);
    if (l->state == LINK_LINE)
        read_line(l);
    else if (l->source.is_added && (events & (EPOLLHUP | EPOLLERR)))
        on_hang_up(l);
    else if (l->state == LINK_OPEN && (events & EPOLLIN))
        l->is_readable = true;
    if (l->state == LINK_OPEN && (events & EPOLLOUT))
        drain(l);
    vsock_work(d);
    pthread_mutex_unlock(&d->lock);
}

/* One in a call: the loop comes again. */
void vsock_accept(struct vsock *d)
{
    int fd = accept4(d->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct vsock_link *l;

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            d->is_accept_off = true; /* out of descriptors: not before the next tick */
            update_listener(d);
            vsock_timer_on(d);
        }
        return;
    }
    l = vsock_link_new(d, fd, LINK_LINE);
    if (l)
        vsock_link_update(l);
    else
        close(fd);
}
