/* What the files of holm-front share: the process, a client's connection, and the one request it is serving.
 *
 * One thread, one libevent loop. A connection serves one request at a time; what comes early waits in its input
 * buffer. Its life is `phase`, changed only by conn_set_phase, which also sets the one timer it has. Closing is
 * immediate for the socket, the memory goes when the loop turns (struct front.dead): after any call that may close,
 * look at conn_is_dead(). */
#ifndef HOLM_FRONT_FRONT_PRIV_H
#define HOLM_FRONT_FRONT_PRIV_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/list.h"
#include "front/options.h"
#include "front/site.h"
#include "front/tls.h"
#include "link/link.h"
#include "proto/http1.h"
#include "proto/multipart.h"
#include "proto/params.h"
#include "proto/websocket.h"

/* name: what it waits for, and whether a newer client may push it out when all places are taken (0 = never; the
 * highest rank goes first, the oldest of a rank before the others). */
#define CONN_PHASES(X)                                                                                                 \
    X(PEEK, 5)      /* first byte: TLS or plain HTTP? */                                                               \
    X(HANDSHAKE, 5) /* TLS handshake */                                                                                \
    X(IDLE, 4)      /* a request */                                                                                    \
    X(HEAD, 3)      /* the rest of a request head */                                                                   \
    X(BODY, 3)      /* the rest of a body */                                                                           \
    X(UPLOAD, 3)    /* multipart fields or file bytes */                                                               \
    X(WAIT, 0)      /* holmd's reply */                                                                                \
    X(DELAY, 0)     /* the time before a reply may go out; no longer in a place, see delay.c */                        \
    X(WRITE, 2)     /* the client to take the reply */                                                                 \
    X(LINGER, 6)    /* the client to close, after our last byte */                                                     \
    X(TUNNEL, 0)    /* WebSocket coupled with a stream */                                                              \
    X(DEAD, 0)      /* the loop to free it */

enum conn_phase {
#define CONN_PHASE_ENUM(name, rank) CONN_##name,
    CONN_PHASES(CONN_PHASE_ENUM)
#undef CONN_PHASE_ENUM
};

struct conn;

struct front {
    struct front_options options;
    struct event_base *base;
    SSL_CTX *tls;
    struct site *site;
    struct link *link;
    struct event *link_read, *link_write, *reaper, *accept_retry, *terminate, *retire;
    struct event *listeners[FRONT_LISTEN_MAX];
    struct conn **slots; /* limits.max_connections places */
    struct list_node dead;
    unsigned n_conns;   /* in places */
    struct delay_ring { /* connections that have left their place, oldest first */
        struct list_node conns;
        unsigned n;
    } delayed, leaving;   /* in CONN_DELAY; after it */
    uint32_t generation;  /* of streams */
    uint64_t body_bytes;  /* request bodies held beyond body_small_bytes */
    uint64_t reply_bytes; /* replies held */
    int exit_code;
    bool is_accepting;
    bool is_retiring; /* others accept: what is connected is served, each with one more reply at most, then the end */
};

enum exchange_kind { EXCHANGE_PLAIN, EXCHANGE_WEBSOCKET, EXCHANGE_UPLOAD };

/* One request and its reply. */
struct exchange {
    struct http1_head head;
    const char *path; /* after /api2/FORMAT, in head.path */
    char format[8];   /* "" when not under /api2 */
    enum exchange_kind kind;
    bool is_head_method, accepts_gzip, wants_binary;

    struct buf frame; /* the REQUEST being built */
    size_t frame_start;
    struct params params;
    struct buf body;
    uint64_t body_left;
    uint64_t counted_body; /* our part of front.body_bytes */
    struct upload *upload;

    /* Reply. */
    unsigned status;
    char reason[FRONT_REASON_MAX_BYTES + 1];
    char content_type[128];
    struct buf headers;
    struct buf reply;
    uint32_t delay_ms;
    bool has_reply_head;
    uint64_t counted_reply; /* our part of front.reply_bytes */
};

struct conn {
    struct front *front;
    struct list_node dead_link;
    struct list_node ring_link;
    struct delay_ring *ring; /* NULL while it has a place */
    uint32_t slot;
    uint32_t stream; /* of the request at holmd, 0 = none open */
    enum conn_phase phase;
    uint64_t phase_since_us; /* fine enough to order a burst */
    int fd;                  /* owned until bev exists */
    struct event *peek;      /* PEEK only */
    struct bufferevent *bev; /* NULL in PEEK */
    struct event timer;
    struct exchange *x; /* NULL between requests */
    struct tunnel *tunnel;
    size_t progress; /* body bytes in this window, or output length at the last look */
    char peer[46];
    bool is_tls, had_request, is_closing /* after the reply */, is_paused /* an upload's reader is slow */;
};

/* conn.c */
MUST_CHECK int conn_new(struct front *f, int fd);
void conn_set_phase(struct conn *c, enum conn_phase phase, uint32_t timeout_ms);
/* Gives its place to somebody else, without ending it. Only without an open stream. */
void conn_leave_place(struct conn *c);
/* Closes at once and tells holmd. c stays readable until the loop turns. */
void conn_close(struct conn *c);
static inline bool conn_is_dead(const struct conn *c)
{
    return c->phase == CONN_DEAD;
}
/* Works on what is in the input buffer. */
void conn_process(struct conn *c);
/* The connection that can best be dropped for a newer one; NULL if none can. */
struct conn *conn_spare(struct front *f);
struct conn *conn_by_stream(struct front *f, uint32_t stream);
void conn_reap(struct front *f);
/* The end of one that retires, when nobody is connected any more. */
void conn_end_if_idle(struct front *f);
/* Gives the connection a stream number that no earlier request had. */
void conn_open_stream(struct conn *c);
/* The reply is out: the next request, or the end. */
void conn_finish(struct conn *c);

/* delay.c: replies that are held back on purpose */
void delay_start(struct conn *c, uint32_t ms);
void delay_end(struct conn *c); /* in CONN_DELAY: the reply goes out now */
void delay_forget(struct conn *c);
/* Closes the one that can best be spared; false if there is none. */
bool delay_spare(struct front *f);
void delay_close_all(struct front *f);

/* exchange.c */
struct exchange *exchange_new(void);
void exchange_free(struct front *f, struct exchange *x);

/* request.c: each returns having put the connection into its next phase. */
void request_on_head(struct conn *c);
void request_on_body(struct conn *c);
/* Starts the REQUEST frame with everything but body parameters; the caller adds those and sends. */
MUST_CHECK int request_begin_frame(struct conn *c, struct err *e);
MUST_CHECK int request_send_frame(struct conn *c, struct err *e);

/* reply.c */
/* Answers from here; the connection closes after it. detail NULL: the reason is the message. */
void reply_error(struct conn *c, unsigned status, const char *reason, const char *detail);
void reply_from_err(struct conn *c, unsigned status, const struct err *e);
void reply_redirect(struct conn *c);
void reply_file(struct conn *c, struct site_file *file);
/* The reply of holmd is complete in c->x. */
void reply_ready(struct conn *c);
void reply_send(struct conn *c); /* without asking for a delay */
/* The output buffer ran empty in CONN_WRITE. */
void reply_written(struct conn *c);

/* headers.c: what browsers must not do with a reply */
void headers_append_common(const struct conn *c, struct buf *b);
void headers_append_page(struct buf *b);
void headers_append_api(struct buf *b);

/* upload.c */
/* is_piece: no multipart, the whole body is the file's; upload_ask follows. */
MUST_CHECK int upload_new(struct conn *c, bool is_piece, struct err *e);
/* Sends what is known of it to holmd and waits for the pipe. */
void upload_ask(struct conn *c);
void upload_free(struct upload *u);
void upload_process(struct conn *c);
void upload_on_go(struct conn *c, int fd); /* takes fd */
/* The connection ends: tells holmd what became of the file. */
void upload_abort(struct conn *c);
bool upload_is_granted(const struct conn *c);

/* tunnel.c */
void tunnel_start(struct conn *c, int fd); /* takes fd */
void tunnel_process(struct conn *c);
void tunnel_on_client_drained(struct conn *c);
void tunnel_tick(struct conn *c);
void tunnel_revoke(struct conn *c); /* says 1008 and ends */
void tunnel_free(struct conn *c);

/* upstream.c: the link to holmd */
MUST_CHECK int upstream_start(struct front *f, struct err *e);
void upstream_stop(struct front *f);
void upstream_send(struct front *f, const struct buf *frame);
void upstream_cancel(struct front *f, uint32_t stream);

/* listener.c */
MUST_CHECK int listener_start(struct front *f, struct err *e);
void listener_stop(struct front *f);
/* No new connections, for good. */
void listener_retire(struct front *f);
/* A place became free. */
void listener_resume(struct front *f);

#endif
