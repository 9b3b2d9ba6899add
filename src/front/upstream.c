/* The link to holmd: requests out, replies and descriptors in. When it ends, so does this process: without holmd there
 * is nothing to serve, and a new holmd starts a new front. Frames for a stream whose client left are dropped. */
#include "front/front_priv.h"

#include "base/log.h"

/* Appends a field's text without what could end the header line. */
static void copy_line(const struct field *f, char *dst, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < f->len && n + 1 < cap; i++) {
        unsigned char c = f->data[i];
        if (c == '\n' || c == '\r')
            break;
        dst[n++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    dst[n] = 0;
}

static void take_reply_field(struct exchange *x, const struct field *f)
{
    uint32_t v;

    switch (f->tag) {
    case FIELD_STATUS:
        x->status = field_get_u32(f, &v) == 0 ? v : 500;
        break;
    case FIELD_REASON:
        copy_line(f, x->reason, sizeof(x->reason));
        break;
    case FIELD_CONTENT_TYPE:
        copy_line(f, x->content_type, sizeof(x->content_type));
        break;
    case FIELD_HEADER:
        /* Only whole, clean lines: a header that has to be repaired is not sent. */
        if (f->len && f->len < 4096 && memchr(f->data, ':', f->len) && !memchr(f->data, '\n', f->len) &&
            !memchr(f->data, '\r', f->len) && !memchr(f->data, 0, f->len)) {
            buf_append(&x->headers, f->data, f->len);
            buf_append_str(&x->headers, "\r\n");
        }
        break;
    case FIELD_DELAY_MS:
        x->delay_ms = field_get_u32(f, &v) == 0 ? v : 0;
        break;
    case FIELD_BODY:
        buf_append(&x->reply, f->data, f->len);
        break;
    default: /* a newer holmd */
        break;
    }
}

/* The connection with the most reply bytes that its client does not take. */
static struct conn *largest_writer(struct front *f, uint64_t more_than)
{
    struct conn *best = NULL;

    for (uint32_t i = 0; i < f->options.limits.max_connections; i++) {
        struct conn *c = f->slots[i];
        if (c && c->phase == CONN_WRITE && c->x && c->x->counted_reply > more_than) {
            more_than = c->x->counted_reply;
            best = c;
        }
    }
    return best;
}

/* Counts what the reply holds now; makes room at the cost of slower readers. False when there is none. */
static bool count_reply(struct conn *c)
{
    struct front *f = c->front;
    struct exchange *x = c->x;
    uint64_t now = x->reply.len;

    f->reply_bytes += now - x->counted_reply;
    x->counted_reply = now;
    while (f->reply_bytes > f->options.limits.reply_total_bytes) {
        struct conn *victim = largest_writer(f, now);
        if (!victim)
            return false;
        conn_close(victim);
        exchange_free(f, TAKE_PTR(victim->x));
    }
    return true;
}

static void on_reply(struct conn *c, const struct link_frame *frame)
{
    struct exchange *x = c->x;
    struct field_reader r;
    struct field f;
    int left;

    if (frame->type == FRAME_REPLY) {
        if (x->has_reply_head)
            return;
        x->has_reply_head = true;
        buf_init(&x->reply, c->front->options.limits.reply_bytes);
    }
    if (!x->has_reply_head)
        return;
    field_reader_init(&r, frame->data, frame->len);
    while ((left = field_next(&r, &f)) == 1)
        take_reply_field(x, &f);
    if (left < 0 || x->reply.is_failed || !count_reply(c)) {
        reply_error(c, 500, "reply too large", NULL);
        return;
    }
    if (!(frame->flags & FRAME_LAST))
        return;
    c->stream = 0;
    reply_ready(c);
}

static int take_fd(struct link_frame *frame)
{
    return frame->n_fds ? TAKE_FD(frame->fds[0]) : -EBADF;
}

static void on_stream_frame(struct front *f, struct link_frame *frame)
{
    struct conn *c = conn_by_stream(f, frame->stream);

    if (!c || !c->x || (c->phase != CONN_WAIT && c->phase != CONN_UPLOAD))
        return;
    if (frame->type == FRAME_REPLY || frame->type == FRAME_REPLY_BODY)
        on_reply(c, frame);
    else if (frame->n_fds == 0)
        log_warn("%s without a descriptor", frame_type_name(frame->type));
    else if (frame->type == FRAME_UPGRADE && c->phase == CONN_WAIT && c->x->kind == EXCHANGE_WEBSOCKET)
        tunnel_start(c, take_fd(frame));
    else if (frame->type == FRAME_UPLOAD_GO)
        upload_on_go(c, take_fd(frame));
}

/* The right to a console or an upload was taken away. */
static void on_revoke(struct front *f, uint32_t stream)
{
    struct conn *c = conn_by_stream(f, stream);

    if (!c)
        return;
    if (c->phase == CONN_TUNNEL)
        tunnel_revoke(c);
    else if (c->x)
        reply_error(c, 403, "Permission check failed (it was taken away)", NULL);
    else
        conn_close(c);
}

static void on_frame(struct link *l, struct link_frame *frame, void *arg)
{
    struct front *f = arg;
    struct field field;
    uint32_t version = 0;
    struct err e = ERR_INIT;

    switch (frame->type) {
    case FRAME_HELLO:
        if (field_find(frame->data, frame->len, FIELD_VERSION, &field) && field_get_u32(&field, &version) == 0 &&
            version == FRAME_VERSION)
            return;
        err_set(&e, -EPROTO, "front.version", "holmd speaks version %u of the link", version);
        link_close(l, &e);
        return;
    case FRAME_REPLY:
    case FRAME_REPLY_BODY:
    case FRAME_UPGRADE:
    case FRAME_UPLOAD_GO:
        on_stream_frame(f, frame);
        return;
    case FRAME_REVOKE:
        on_revoke(f, frame->stream);
        return;
    default:
        err_set(&e, -EPROTO, "front.frame", "unexpected %s frame", frame_type_name(frame->type));
        link_close(l, &e);
    }
}

static void on_closed(struct link *l, const struct err *e, void *arg)
{
    struct front *f = arg;

    if (e->num) {
        log_err(LOG_ERROR, e, "link to holmd");
        f->exit_code = EXIT_FAILURE;
    }
    event_base_loopbreak(f->base);
}

static void on_interest(struct link *l, void *arg)
{
    struct front *f = arg;

    if (link_wants_write(l))
        event_add(f->link_write, NULL);
    else
        event_del(f->link_write);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    link_on_readable(((struct front *)arg)->link);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;

    link_on_writable(f->link);
    if (!link_is_closed(f->link) && link_wants_write(f->link))
        event_add(f->link_write, NULL);
}

static void send_hello(struct front *f)
{
    struct buf frame;

    buf_init(&frame, 4096);
    size_t at = frame_begin(&frame, FRAME_HELLO, 0, 0, 0);
    field_u32(&frame, FIELD_VERSION, FRAME_VERSION);
    field_str(&frame, FIELD_ROLE, "front");
    field_str(&frame, FIELD_NAME, f->options.node);
    frame_end(&frame, at);
    upstream_send(f, &frame);
    buf_done(&frame);
}

int upstream_start(struct front *f, struct err *e)
{
    static const struct link_ops ops = {.on_frame = on_frame, .on_closed = on_closed, .on_interest = on_interest};
    int fd = f->options.link_fd;

    /* The hard limit is far above link_queue_bytes, where new requests are refused: reaching it means holmd hangs. */
    f->link = link_new(fd, 4u * (size_t)f->options.limits.link_queue_bytes + FRAME_PAYLOAD_MAX, &ops, f);
    if (!f->link)
        return err_set(e, -ENOMEM, NULL, "cannot use the link");
    f->link_read = event_new(f->base, fd, EV_READ | EV_PERSIST, on_readable, f);
    f->link_write = event_new(f->base, fd, EV_WRITE, on_writable, f);
    if (!f->link_read || !f->link_write || event_add(f->link_read, NULL) < 0)
        return err_set(e, -ENOMEM, NULL, "cannot watch the link");
    send_hello(f);
    return 0;
}

void upstream_stop(struct front *f)
{
    if (f->link_read)
        event_free(f->link_read);
    if (f->link_write)
        event_free(f->link_write);
    link_free(f->link);
    f->link = NULL;
}

void upstream_send(struct front *f, const struct buf *frame)
{
    /* A failure ends the link, and with it the loop (on_closed): nothing is left to do here. */
    if (f->link && link_send(f->link, frame, NULL, 0) < 0)
        log_debug("frame not sent");
}

void upstream_cancel(struct front *f, uint32_t stream)
{
    struct buf frame;

    if (!stream)
        return;
    buf_init(&frame, FRAME_HEADER_SIZE);
    frame_end(&frame, frame_begin(&frame, FRAME_CANCEL, stream, 0, 0));
    upstream_send(f, &frame);
    buf_done(&frame);
}
