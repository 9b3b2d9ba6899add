/* Rules on top of wslay's frame layer; see websocket.h. wslay unmasks, checks lengths and alignment of frames; what it
 * leaves open (masking, fragments, reserved bits and opcodes, size) is decided in check_frame. */
#include "proto/websocket.h"

#include <wslay/wslay.h>

struct websocket {
    wslay_frame_context_ptr frames;
    const struct websocket_ops *ops;
    void *arg;
    const uint8_t *in;
    size_t in_len;
    uint64_t frame_seen; /* payload bytes of the current frame handed out so far */
    uint8_t control[WEBSOCKET_CONTROL_MAX];
    size_t control_len;
    bool is_close_sent;
};

static ssize_t on_recv(uint8_t *buf, size_t cap, int flags, void *arg)
{
    struct websocket *w = arg;
    size_t n = w->in_len < cap ? w->in_len : cap;

    if (n == 0)
        return -1; /* wslay: want read */
    memcpy(buf, w->in, n);
    w->in += n;
    w->in_len -= n;
    return (ssize_t)n;
}

static ssize_t on_send(const uint8_t *data, size_t len, int flags, void *arg)
{
    struct websocket *w = arg;

    w->ops->send(w->arg, data, len);
    return (ssize_t)len;
}

struct websocket *websocket_new(const struct websocket_ops *ops, void *arg)
{
    static const struct wslay_frame_callbacks callbacks = {.send_callback = on_send, .recv_callback = on_recv};
    struct websocket *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->ops = ops;
    w->arg = arg;
    if (wslay_frame_context_init(&w->frames, &callbacks, w) < 0) {
        free(w);
        return NULL;
    }
    return w;
}

void websocket_free(struct websocket *w)
{
    if (!w)
        return;
    wslay_frame_context_free(w->frames);
    free(w);
}

static int send_frame(struct websocket *w, uint8_t opcode, const void *p, size_t n)
{
    struct wslay_frame_iocb frame = {.fin = 1, .opcode = opcode, .payload_length = n, .data = p, .data_length = n};

    if (w->is_close_sent)
        return 0;
    /* Our send callback takes everything, so one call sends the whole frame (a header alone when n is 0). */
    return wslay_frame_send(w->frames, &frame) < 0 ? -ENOMEM : 0;
}

int websocket_send_binary(struct websocket *w, const void *p, size_t n)
{
    return send_frame(w, WSLAY_BINARY_FRAME, p, n);
}

int websocket_send_ping(struct websocket *w)
{
    return send_frame(w, WSLAY_PING, NULL, 0);
}

int websocket_send_close(struct websocket *w, unsigned code)
{
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    int r = send_frame(w, WSLAY_CONNECTION_CLOSE, payload, code ? 2 : 0);

    w->is_close_sent = true;
    return r;
}

static int refuse(struct websocket *w, unsigned code, struct err *e, const char *text)
{
    if (websocket_send_close(w, code) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return err_set(e, -EPROTO, "websocket.protocol", "%s", text);
}

static int check_frame(struct websocket *w, const struct wslay_frame_iocb *f, struct err *e)
{
    if (!f->mask)
        return refuse(w, WEBSOCKET_PROTOCOL_ERROR, e, "unmasked frame");
    if (f->rsv)
        return refuse(w, WEBSOCKET_PROTOCOL_ERROR, e, "reserved bits set");
    if (!f->fin || f->opcode == WSLAY_CONTINUATION_FRAME)
        return refuse(w, WEBSOCKET_PROTOCOL_ERROR, e, "fragmented message");
    if (f->opcode != WSLAY_TEXT_FRAME && f->opcode != WSLAY_BINARY_FRAME && f->opcode != WSLAY_CONNECTION_CLOSE &&
        f->opcode != WSLAY_PING && f->opcode != WSLAY_PONG)
        return refuse(w, WEBSOCKET_PROTOCOL_ERROR, e, "reserved opcode");
    if (f->payload_length > WEBSOCKET_FRAME_MAX)
        return refuse(w, WEBSOCKET_TOO_BIG, e, "frame too large");
    return 0;
}

/* Codes a peer may put on the wire (RFC 6455, 7.4). */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static int on_close(struct websocket *w, struct err *e)
{
    unsigned code = w->control_len >= 2 ? (unsigned)w->control[0] << 8 | w->control[1] : 0;

    if (w->control_len == 1 || (code && !is_close_code(code)))
        return refuse(w, WEBSOCKET_PROTOCOL_ERROR, e, "bad close frame");
    return websocket_send_close(w, code) < 0 ? -ENOMEM : 1;
}

/* Collects a control frame and acts on it when it is whole. */
static int take_control(struct websocket *w, const struct wslay_frame_iocb *f, bool is_whole, struct err *e)
{
    if (f->data_length > sizeof(w->control) - w->control_len)
        return refuse(w, WEBSOCKET_PROTOCOL_ERROR, e, "control frame too large");
    if (f->data_length)
        memcpy(w->control + w->control_len, f->data, f->data_length);
    w->control_len += f->data_length;
    if (!is_whole)
        return 0;
    int r = 0;
    if (f->opcode == WSLAY_CONNECTION_CLOSE)
        r = on_close(w, e);
    else if (f->opcode == WSLAY_PING)
        r = send_frame(w, WSLAY_PONG, w->control, w->control_len);
    w->control_len = 0;
    return r;
}

int websocket_feed(struct websocket *w, const void *p, size_t n, struct err *e)
{
    w->in = p;
    w->in_len = n;
    for (;;) {
        struct wslay_frame_iocb f = {0};
        ssize_t got = wslay_frame_recv(w->frames, &f);
        if (got == WSLAY_ERR_WANT_READ)
            return 0;
        if (got < 0)
            return refuse(w, WEBSOCKET_PROTOCOL_ERROR, e, "malformed frame");
        int r = w->frame_seen ? 0 : check_frame(w, &f, e);
        if (r < 0)
            return r;
        w->frame_seen += f.data_length;
        bool is_whole = w->frame_seen == f.payload_length;
        if (is_whole)
            w->frame_seen = 0;
        if (wslay_is_ctrl_frame(f.opcode))
            r = take_control(w, &f, is_whole, e);
        else if (f.data_length)
            w->ops->on_data(w->arg, f.data, f.data_length);
        if (r != 0)
            return r;
    }
}

bool websocket_key_is_valid(const char *key)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    /* 128 bits: the 22nd character carries only two of them. */
    return strlen(key) == 24 && strspn(key, base64) == 22 && strchr("AQgw", key[21]) && streq(key + 22, "==");
}
