/* Every cap of holm-front in one place: what a stranger can make this process hold or wait for. The defaults are set
 * in options.c; tests shorten times and counts by the hidden option --test-limit NAME=VALUE. */
#ifndef HOLM_FRONT_CAPS_H
#define HOLM_FRONT_CAPS_H

#include <stdint.h>

/* name, default */
#define FRONT_LIMITS(X)                                                                                                \
    X(max_connections, 500)                                                                                            \
    X(max_delayed, 512)       /* replies held back (DELAY_MS) at once, beside max_connections */                       \
    X(max_leaving, 128)       /* of them on their last bytes */                                                        \
    X(first_timeout_ms, 5000) /* accept to first byte, TLS handshake, first request's first byte */                    \
    X(head_timeout_ms, 10000) /* first byte of a request head to its end */                                            \
    X(idle_timeout_ms, 30000) /* between requests */                                                                   \
    X(body_window_ms, 10000)  /* a body must bring body_window_bytes in each window */                                 \
    X(body_window_bytes, 10240)                                                                                        \
    X(reply_timeout_ms, 120000)    /* holmd's answer */                                                                \
    X(upload_timeout_ms, 3600000)  /* holmd's answer after the last byte of an upload */                               \
    X(write_timeout_ms, 60000)     /* a reply without any progress */                                                  \
    X(linger_ms, 2000)             /* after our last byte, until the client closes */                                  \
    X(ping_ms, 30000)              /* WebSocket ping; three unanswered end it */                                       \
    X(body_bytes, 524288)          /* request body, as Proxmox VE has it */                                            \
    X(body_small_bytes, 16384)     /* bodies up to this size need no share of body_total_bytes */                      \
    X(body_total_bytes, 8388608)   /* request bodies of all connections */                                             \
    X(reply_bytes, 16777216)       /* one reply */                                                                     \
    X(reply_total_bytes, 33554432) /* replies not yet taken by their clients; the largest is dropped */                \
    X(link_queue_bytes, 8388608)   /* requests holmd has not read: beyond, 503 */                                      \
    X(tunnel_high_bytes, 65536)    /* a console pauses its source when so much waits */                                \
    X(tunnel_max_bytes, 1048576)   /* a console client that does not read is dropped */

struct front_limits {
#define FRONT_LIMIT_FIELD(name, value) uint32_t name;
    FRONT_LIMITS(FRONT_LIMIT_FIELD)
#undef FRONT_LIMIT_FIELD
};

#define FRONT_READ_HIGH_BYTES  (32u * 1024u) /* unread input of one connection */
#define FRONT_GZIP_MIN_BYTES   1024u
#define FRONT_DELAY_MAX_MS     10000u
#define FRONT_REASON_MAX_BYTES 400u

#endif
