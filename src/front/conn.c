/* A client's connection: first byte, TLS handshake, request after request, end. What a request means is decided in
 * request.c; here are the phases, the timer and the events of the socket. */
#include "front/front_priv.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "base/clock.h"

static const unsigned phase_ranks[] = {
#define CONN_PHASE_RANK(name, rank) [CONN_##name] = rank,
    CONN_PHASES(CONN_PHASE_RANK)
#undef CONN_PHASE_RANK
};

static void on_timer(evutil_socket_t fd, short what, void *arg);

void conn_set_phase(struct conn *c, enum conn_phase phase, uint32_t timeout_ms)
{
    struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};

    c->phase = phase;
    c->phase_since_us = clock_boot_us();
    c->progress = 0;
    if (timeout_ms)
        event_add(&c->timer, &tv);
    else
        event_del(&c->timer);
}

/* "192.0.2.1" or "2001:db8::1"; an IPv4 address on an IPv6 socket is shown as IPv4. */
static void read_peer(struct conn *c)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    char text[INET6_ADDRSTRLEN] = "unknown";

    if (getpeername(c->fd, (struct sockaddr *)&address, &len) < 0)
        address.ss_family = AF_UNSPEC;
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    else if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    const char *shown = str_starts(text, "::ffff:") && strchr(text, '.') ? text + 7 : text;
    snprintf(c->peer, sizeof(c->peer), "%s", shown);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    conn_process(arg);
}

static void on_drained(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;

    if (c->phase == CONN_WRITE)
        reply_written(c);
    else if (c->phase == CONN_TUNNEL)
        tunnel_on_client_drained(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;

    if (what & BEV_EVENT_CONNECTED) {
        if (c->phase == CONN_HANDSHAKE)
            conn_set_phase(c, CONN_IDLE, c->front->options.limits.first_timeout_ms);
    } else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
        conn_close(c);
    }
}

static int start_stream(struct conn *c)
{
    struct event_base *base = c->front->base;

    if (c->is_tls) {
        SSL *ssl = SSL_new(c->front->tls);
        if (!ssl)
            return -ENOMEM;
        c->bev = bufferevent_openssl_socket_new(base, c->fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        if (!c->bev)
            SSL_free(ssl);
        else
            bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    } else {
        c->bev = bufferevent_socket_new(base, c->fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    }
    if (!c->bev)
        return -ENOMEM;
    c->fd = -EBADF; /* the bufferevent closes it */
    bufferevent_setwatermark(c->bev, EV_READ, 0, FRONT_READ_HIGH_BYTES);
    bufferevent_setcb(c->bev, on_read, on_drained, on_event, c);
    return bufferevent_enable(c->bev, EV_READ | EV_WRITE) < 0 ? -ENOMEM : 0;
}

/* The first byte decides: 0x16 begins a TLS handshake, everything else is taken for plain HTTP and redirected. */
static void on_first_byte(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    unsigned char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return; /* the event is persistent */
    if (n <= 0) {
        conn_close(c);
        return;
    }
    event_free(TAKE_PTR(c->peek));
    c->is_tls = byte == 0x16;
    conn_set_phase(c, c->is_tls ? CONN_HANDSHAKE : CONN_IDLE, c->front->options.limits.first_timeout_ms);
    if (start_stream(c) < 0)
        conn_close(c);
}

static uint32_t free_slot(const struct front *f)
{
    uint32_t i = 0;

    while (i < f->options.limits.max_connections && f->slots[i])
        i++;
    return i;
}

int conn_new(struct front *f, int fd)
{
    struct conn *c = calloc(1, sizeof(*c));
    uint32_t slot = free_slot(f);

    if (!c || slot == f->options.limits.max_connections) {
        free(c);
        close(fd);
        return -ENOMEM;
    }
    *c = (struct conn){.front = f, .fd = fd, .slot = slot};
    list_init(&c->dead_link);
    list_init(&c->ring_link);
    evtimer_assign(&c->timer, f->base, on_timer, c);
    c->peek = event_new(f->base, fd, EV_READ | EV_PERSIST, on_first_byte, c);
    if (!c->peek || event_add(c->peek, NULL) < 0) {
        if (c->peek)
            event_free(c->peek);
        free(c);
        close(fd);
        return -ENOMEM;
    }
    read_peer(c);
    f->slots[slot] = c;
    f->n_conns++;
    conn_set_phase(c, CONN_PEEK, f->options.limits.first_timeout_ms);
    return 0;
}

/* Sends TLS's own end of stream, so that the client can tell it from a cut. */
static void say_goodbye(struct conn *c)
{
    SSL *ssl = c->is_tls ? bufferevent_openssl_get_ssl(c->bev) : NULL;

    if (ssl && SSL_is_init_finished(ssl))
        SSL_shutdown(ssl);
    ERR_clear_error();
}

void conn_leave_place(struct conn *c)
{
    struct front *f = c->front;

    f->slots[c->slot] = NULL;
    f->n_conns--;
    listener_resume(f);
}

void conn_close(struct conn *c)
{
    struct front *f = c->front;

    if (conn_is_dead(c))
        return;
    upload_abort(c);
    upstream_cancel(f, c->stream);
    c->stream = 0;
    tunnel_free(c);
    conn_set_phase(c, CONN_DEAD, 0);
    if (c->peek)
        event_free(TAKE_PTR(c->peek));
    if (c->bev) {
        say_goodbye(c);
        bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
        bufferevent_free(TAKE_PTR(c->bev));
    }
    if (c->fd >= 0)
        close(TAKE_FD(c->fd));
    if (c->ring)
        delay_forget(c);
    else
        conn_leave_place(c);
    list_add_tail(&f->dead, &c->dead_link);
    event_active(f->reaper, EV_TIMEOUT, 0);
}

void conn_reap(struct front *f)
{
    LIST_FOREACH_SAFE(c, &f->dead, struct conn, dead_link)
    {
        list_remove(&c->dead_link);
        exchange_free(f, c->x);
        free(c);
    }
    conn_end_if_idle(f);
}

void conn_end_if_idle(struct front *f)
{
    if (f->is_retiring && !f->n_conns && !f->delayed.n && !f->leaving.n)
        event_base_loopbreak(f->base);
}

/* Rank 0 stays. A phase in which the client has work in progress is safe for a second, a reply for five. An upload
 * that holmd granted stays; a client that never sent a request goes before one that waits with its next. */
static unsigned spare_rank(const struct conn *c, uint64_t age_us)
{
    unsigned rank = phase_ranks[c->phase];

    if (c->phase == CONN_UPLOAD && upload_is_granted(c))
        return 0;
    if (!c->had_request && (c->phase == CONN_IDLE || c->phase == CONN_HEAD))
        return phase_ranks[CONN_PEEK];
    if ((rank == 3 && age_us < 1000000) || (rank == 2 && age_us < 5000000))
        return 0;
    return rank;
}

struct conn *conn_spare(struct front *f)
{
    struct conn *best = NULL;
    unsigned best_rank = 0;
    uint64_t now = clock_boot_us(), best_age = 0;

    for (uint32_t i = 0; i < f->options.limits.max_connections; i++) {
        struct conn *c = f->slots[i];
        uint64_t age = c ? now - c->phase_since_us : 0;
        unsigned rank = c ? spare_rank(c, age) : 0;
        if (rank && (rank > best_rank || (rank == best_rank && age > best_age))) {
            best = c;
            best_rank = rank;
            best_age = age;
        }
    }
    return best;
}

void conn_open_stream(struct conn *c)
{
    struct front *f = c->front;
    uint32_t places = f->options.limits.max_connections;

    /* slot + generation * places: unique until the generation wraps, and the slot can be found again. */
    if (++f->generation >= UINT32_MAX / places - 1)
        f->generation = 1;
    c->stream = f->generation * places + c->slot;
}

struct conn *conn_by_stream(struct front *f, uint32_t stream)
{
    struct conn *c = f->slots[stream % f->options.limits.max_connections];

    return stream && c && c->stream == stream ? c : NULL;
}

/* Hands pieces of the input to the head parser. */
static void read_head(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    struct evbuffer_iovec piece;
    struct err e = ERR_INIT;

    if (!c->x && !(c->x = exchange_new())) {
        conn_close(c);
        return;
    }
    while (evbuffer_peek(in, -1, NULL, &piece, 1) > 0 && piece.iov_len) {
        size_t used = 0;
        int r = http1_head_feed(&c->x->head, piece.iov_base, piece.iov_len, &used, &e);
        if (r < 0) {
            reply_from_err(c, c->x->head.status, &e);
            return;
        }
        evbuffer_drain(in, used);
        if (r == 1) {
            request_on_head(c);
            return;
        }
    }
    if (c->phase == CONN_IDLE && http1_head_is_begun(&c->x->head))
        conn_set_phase(c, CONN_HEAD, c->front->options.limits.head_timeout_ms);
}

static void read_body(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    struct exchange *x = c->x;
    size_t n = evbuffer_get_length(in) < x->body_left ? evbuffer_get_length(in) : (size_t)x->body_left;
    char *dst = buf_reserve(&x->body, n);

    if (!dst) {
        conn_close(c);
        return;
    }
    int got = evbuffer_remove(in, dst, n);
    if (got < 0) {
        conn_close(c);
        return;
    }
    x->body.len += (size_t)got;
    x->body_left -= (uint64_t)got;
    c->progress += (size_t)got;
    if (x->body_left == 0)
        request_on_body(c);
}

/* Reading stops at the high-water mark: left to itself, libevent would call back for the unread rest without end. */
static void update_reading(struct conn *c)
{
    bool wants = evbuffer_get_length(bufferevent_get_input(c->bev)) < FRONT_READ_HIGH_BYTES;

    if (wants && !(bufferevent_get_enabled(c->bev) & EV_READ))
        bufferevent_enable(c->bev, EV_READ);
    else if (!wants)
        bufferevent_disable(c->bev, EV_READ);
}

/* One step of the phase; it may change the phase. */
static void process_phase(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);

    if (c->phase == CONN_UPLOAD)
        upload_process(c); /* also ends without input */
    else if (evbuffer_get_length(in) == 0)
        return;
    else if (c->phase == CONN_IDLE || c->phase == CONN_HEAD)
        read_head(c);
    else if (c->phase == CONN_BODY)
        read_body(c);
    else if (c->phase == CONN_TUNNEL)
        tunnel_process(c);
    else if (c->phase == CONN_LINGER)
        evbuffer_drain(in, SIZE_MAX);
}

void conn_process(struct conn *c)
{
    enum conn_phase before;

    do {
        if (conn_is_dead(c) || !c->bev)
            return;
        before = c->phase;
        process_phase(c);
    } while (c->phase != before);
    if (!conn_is_dead(c))
        update_reading(c);
}

/* Our last byte is out: say so and wait for the client to close, so that bytes it still sends do not reset the
 * connection before it has read the reply. */
static void linger(struct conn *c)
{
    say_goodbye(c);
    shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    conn_set_phase(c, CONN_LINGER, c->front->options.limits.linger_ms);
}

void conn_finish(struct conn *c)
{
    exchange_free(c->front, TAKE_PTR(c->x));
    c->is_paused = false;
    if (c->is_closing) {
        linger(c);
    } else {
        c->had_request = true;
        conn_set_phase(c, CONN_IDLE, c->front->options.limits.idle_timeout_ms);
    }
    conn_process(c);
}

/* A body has to bring body_window_bytes in each window, unless we are the ones who do not read. */
static void check_body_window(struct conn *c)
{
    const struct front_limits *l = &c->front->options.limits;

    if (!c->is_paused && c->progress < l->body_window_bytes)
        conn_close(c);
    else
        conn_set_phase(c, c->phase, l->body_window_ms);
}

static void check_writing(struct conn *c)
{
    size_t left = evbuffer_get_length(bufferevent_get_output(c->bev));

    if (c->progress && left >= c->progress) {
        conn_close(c);
        return;
    }
    uint64_t since = c->phase_since_us;
    conn_set_phase(c, CONN_WRITE, c->front->options.limits.write_timeout_ms);
    c->phase_since_us = since;
    c->progress = left;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    switch (c->phase) {
    case CONN_PEEK:
    case CONN_HANDSHAKE:
    case CONN_IDLE:
    case CONN_HEAD:
    case CONN_LINGER:
        conn_close(c);
        break;
    case CONN_BODY:
    case CONN_UPLOAD:
        check_body_window(c);
        break;
    case CONN_WAIT:
        reply_error(c, 504, "no answer in time", NULL);
        break;
    case CONN_DELAY:
        delay_end(c);
        break;
    case CONN_WRITE:
        check_writing(c);
        break;
    case CONN_TUNNEL:
        tunnel_tick(c);
        break;
    case CONN_DEAD:
        break;
    }
}
