/* One end of a stream socket that carries frames and descriptors (SCM_RIGHTS). Independent of any event loop: the
 * owner polls the fd for link_wants_write() ? read|write : read and calls link_on_readable/link_on_writable.
 *
 * Incoming: on_frame is called once per frame with its descriptors; it takes those it wants by setting the slot to
 * -1, the rest are closed. A malformed frame, too many queued descriptors or EOF ends the link: on_closed, once.
 * Outgoing: frames are queued up to max_queue_bytes; beyond that the peer is too slow and the link ends.
 * on_frame may call link_close. Not thread-safe: one owner thread. */
#ifndef HOLM_LINK_LINK_H
#define HOLM_LINK_LINK_H

#include "proto/frame.h"

struct link;

struct link_frame {
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    const uint8_t *data;
    size_t len;
    int *fds;
    size_t n_fds;
};

struct link_ops {
    void (*on_frame)(struct link *l, struct link_frame *f, void *arg);
    /* e says why (e->num == 0: orderly end). The link may be freed in here. */
    void (*on_closed)(struct link *l, const struct err *e, void *arg);
    /* The link wants to write now or no longer: change what is polled. May be NULL. */
    void (*on_interest)(struct link *l, void *arg);
};

/* Takes ownership of fd (made non-blocking). NULL when out of memory (fd is then closed). */
struct link *link_new(int fd, size_t max_queue_bytes, const struct link_ops *ops, void *arg);
void link_free(struct link *l);
int link_fd(const struct link *l);
bool link_wants_write(const struct link *l);
bool link_is_closed(const struct link *l);
void link_on_readable(struct link *l);
void link_on_writable(struct link *l);
/* Ends the link: no further callback but on_closed (at once). */
void link_close(struct link *l, const struct err *why);

/* Queues one whole frame made by frame_begin/frame_end and tries to send it at once. fds are duplicated: the caller
 * keeps its own. Returns 0 or a negative errno (the link has then ended). */
MUST_CHECK int link_send(struct link *l, const struct buf *frame, const int *fds, size_t n_fds);
size_t link_queued_bytes(const struct link *l);

/* Blocking exchange for simple programs: one frame out, one frame in (any stream). ret_payload is an initialised buf.
 */
MUST_CHECK int link_write_frame(int fd, const struct buf *frame, const int *fds, size_t n_fds, struct err *e);
MUST_CHECK int link_read_frame(int fd, struct frame_header *ret_header, struct buf *ret_payload, int *ret_fds,
                               size_t cap_fds, size_t *ret_n_fds, struct err *e);

#endif
