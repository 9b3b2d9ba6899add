/* A link driven by libevent: reads always, writes when something is queued. Loop thread. */
#ifndef HOLM_LINK_LINK_EVENT_H
#define HOLM_LINK_LINK_EVENT_H

#include "link/link.h"

struct event_base;
struct link_event;

struct link_event_ops {
    void (*on_frame)(struct link_event *le, struct link_frame *f, void *arg);
    void (*on_closed)(struct link_event *le, const struct err *e, void *arg);
};

/* Takes fd. The object may be freed inside its callbacks. NULL: out of memory (fd closed). */
struct link_event *link_event_new(struct event_base *base, int fd, size_t max_queue_bytes,
                                  const struct link_event_ops *ops, void *arg);
void link_event_free(struct link_event *le);
MUST_CHECK int link_event_send(struct link_event *le, const struct buf *frame, const int *fds, size_t n_fds);
size_t link_event_queued(const struct link_event *le);

#endif
