/* Server side of a WebSocket (RFC 6455) as console clients use it: every message is one masked frame of at most
 * WEBSOCKET_FRAME_MAX bytes without reserved bits; text and binary are taken alike and handed on as bytes; what we
 * send is binary. A ping is answered, a close is answered once with its own code. libwslay does the framing, this adds
 * the rules. No I/O: bytes leave through ops. The client's bytes are hostile; the owner bounds what `send` piles up. */
#ifndef HOLM_PROTO_WEBSOCKET_H
#define HOLM_PROTO_WEBSOCKET_H

#include "base/err.h"

#define WEBSOCKET_FRAME_MAX   (128u * 1024u)
#define WEBSOCKET_CONTROL_MAX 125u

enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
};

struct websocket_ops {
    void (*on_data)(void *arg, const uint8_t *p, size_t n); /* a piece of a message, in order */
    void (*send)(void *arg, const uint8_t *p, size_t n);    /* bytes for the client */
};

struct websocket;

/* NULL when out of memory. ops and arg outlive it. */
struct websocket *websocket_new(const struct websocket_ops *ops, void *arg);
void websocket_free(struct websocket *w);

/* Takes all n bytes. 0, 1 after the client's close (it has been answered), or -EPROTO (a close with the right code has
 * been sent); not to be called again after the last two. */
MUST_CHECK int websocket_feed(struct websocket *w, const void *p, size_t n, struct err *e);

/* All of these send at once through ops->send; after a close they do nothing. -ENOMEM or 0. */
MUST_CHECK int websocket_send_binary(struct websocket *w, const void *p, size_t n);
MUST_CHECK int websocket_send_ping(struct websocket *w);
MUST_CHECK int websocket_send_close(struct websocket *w, unsigned code);

/* 16 bytes in canonical base64. */
bool websocket_key_is_valid(const char *key);

#endif
