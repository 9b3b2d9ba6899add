/* A WebSocket coupled with a stream socket from holmd (a console). Both directions stop reading when the other side
 * does not take what they brought. It ends when either side does; a client that stays silent through three pings, or
 * lets more than tunnel_max_bytes pile up, is dropped. */
#include "front/front_priv.h"

#define FRAME_BYTES      16384u /* what one message to the client carries at most */
#define BACKEND_BUFFER   65536u
#define SILENT_PINGS_MAX 3u

struct tunnel {
    struct websocket *ws;
    struct bufferevent *backend;
    struct evbuffer *frames; /* for the client, handed over once per event: header and payload in one TLS record */
    unsigned silent_pings;
};

static void on_ws_data(void *arg, const uint8_t *p, size_t n)
{
    struct conn *c = arg;

    bufferevent_write(c->tunnel->backend, p, n);
}

static void on_ws_send(void *arg, const uint8_t *p, size_t n)
{
    struct conn *c = arg;

    evbuffer_add(c->tunnel->frames, p, n);
}

static const struct websocket_ops ws_ops = {.on_data = on_ws_data, .send = on_ws_send};

void tunnel_free(struct conn *c)
{
    struct tunnel *t = TAKE_PTR(c->tunnel);

    if (!t)
        return;
    if (t->backend) {
        /* What the client typed last still arrives, if the socket takes it at once. */
        struct evbuffer *out = bufferevent_get_output(t->backend);
        bufferevent_setcb(t->backend, NULL, NULL, NULL, NULL);
        bufferevent_disable(t->backend, EV_READ | EV_WRITE);
        if (evbuffer_get_length(out) && evbuffer_unfreeze(out, 1) == 0)
            (void)evbuffer_write(out, bufferevent_getfd(t->backend));
        bufferevent_free(t->backend);
    }
    websocket_free(t->ws);
    if (t->frames)
        evbuffer_free(t->frames);
    free(t);
}

/* Hands collected frames to the client; false when it was dropped for not reading. */
static bool flush_frames(struct conn *c)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);

    bufferevent_write_buffer(c->bev, c->tunnel->frames);
    if (evbuffer_get_length(out) <= c->front->options.limits.tunnel_max_bytes)
        return true;
    conn_close(c);
    return false;
}

/* Says good-bye (unless the protocol layer did) and lets the client take what is left. */
static void end(struct conn *c, unsigned code)
{
    if (websocket_send_close(c->tunnel->ws, code) < 0 || !flush_frames(c)) {
        conn_close(c);
        return;
    }
    tunnel_free(c);
    upstream_cancel(c->front, c->stream);
    c->stream = 0;
    c->is_closing = true;
    conn_set_phase(c, CONN_WRITE, c->front->options.limits.write_timeout_ms);
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
        conn_finish(c);
}

/* Frames up to `max` bytes of the backend's output; less when the client is slow. */
static bool forward(struct conn *c, bool is_last)
{
    struct tunnel *t = c->tunnel;
    struct evbuffer *in = bufferevent_get_input(t->backend);
    size_t high = c->front->options.limits.tunnel_high_bytes, n;

    while ((n = evbuffer_get_length(in))) {
        size_t waiting = evbuffer_get_length(bufferevent_get_output(c->bev)) + evbuffer_get_length(t->frames);
        if (waiting >= high && !is_last) {
            bufferevent_disable(t->backend, EV_READ);
            break;
        }
        n = n < FRAME_BYTES ? n : FRAME_BYTES;
        const unsigned char *p = evbuffer_pullup(in, (ssize_t)n);
        if (!p || websocket_send_binary(t->ws, p, n) < 0) {
            conn_close(c);
            return false;
        }
        evbuffer_drain(in, n);
    }
    return flush_frames(c);
}

static void on_backend_read(struct bufferevent *bev, void *arg)
{
    (void)forward(arg, false);
}

static void on_backend_drained(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;

    conn_process(c);
}

static void on_backend_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;

    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) && forward(c, true))
        end(c, WEBSOCKET_NORMAL);
}

void tunnel_on_client_drained(struct conn *c)
{
    bufferevent_enable(c->tunnel->backend, EV_READ);
    (void)forward(c, false);
}

void tunnel_process(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    struct evbuffer *to_backend = bufferevent_get_output(c->tunnel->backend);
    struct evbuffer_iovec piece;
    struct err e = ERR_INIT;
    int r = 0;

    while (r == 0 && evbuffer_get_length(to_backend) < c->front->options.limits.tunnel_high_bytes &&
           evbuffer_peek(in, -1, NULL, &piece, 1) > 0 && piece.iov_len) {
        r = websocket_feed(c->tunnel->ws, piece.iov_base, piece.iov_len, &e);
        c->progress += piece.iov_len;
        evbuffer_drain(in, piece.iov_len);
    }
    if (r != 0)
        end(c, WEBSOCKET_NORMAL); /* the answer to the close, or the refusal, is already in frames */
    else
        (void)flush_frames(c);
}

void tunnel_tick(struct conn *c)
{
    struct tunnel *t = c->tunnel;

    t->silent_pings = c->progress ? 0 : t->silent_pings + 1;
    if (t->silent_pings >= SILENT_PINGS_MAX || websocket_send_ping(t->ws) < 0) {
        conn_close(c);
        return;
    }
    if (flush_frames(c))
        conn_set_phase(c, CONN_TUNNEL, c->front->options.limits.ping_ms);
}

void tunnel_revoke(struct conn *c)
{
    end(c, WEBSOCKET_POLICY);
}

static int send_switch(struct conn *c)
{
    struct buf head;
    char accept[29];
    int r = tls_websocket_accept(http1_head_get(&c->x->head, "sec-websocket-key"), accept, sizeof(accept));

    if (r < 0)
        return r;
    buf_init(&head, 1024);
    buf_append_str(&head, "HTTP/1.1 101 Switching Protocols\r\nServer: holm-api/1\r\nUpgrade: websocket\r\n");
    buf_printf(&head, "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n", accept);
    if (c->x->wants_binary)
        buf_append_str(&head, "Sec-WebSocket-Protocol: binary\r\n");
    buf_append_str(&head, "\r\n");
    r = head.is_failed || bufferevent_write(c->bev, head.data, head.len) < 0 ? -ENOMEM : 0;
    buf_done(&head);
    return r;
}

void tunnel_start(struct conn *c, int fd)
{
    struct tunnel *t = calloc(1, sizeof(*t));
    autoclose int owned = fd;

    c->tunnel = t;
    if (t) {
        t->ws = websocket_new(&ws_ops, c);
        t->frames = evbuffer_new();
        if (evutil_make_socket_nonblocking(fd) == 0)
            t->backend = bufferevent_socket_new(c->front->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        if (t->backend)
            (void)TAKE_FD(owned);
    }
    if (!t || !t->ws || !t->frames || !t->backend || send_switch(c) < 0) {
        conn_close(c);
        return;
    }
    exchange_free(c->front, TAKE_PTR(c->x));
    bufferevent_setwatermark(t->backend, EV_READ, 0, BACKEND_BUFFER);
    bufferevent_setcb(t->backend, on_backend_read, on_backend_drained, on_backend_event, c);
    bufferevent_enable(t->backend, EV_READ | EV_WRITE);
    conn_set_phase(c, CONN_TUNNEL, c->front->options.limits.ping_ms);
    conn_process(c);
}
