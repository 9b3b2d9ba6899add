/* libevent around a link; see link_event.h. */
#include "link/link_event.h"

#include <event2/event.h>

struct link_event {
    struct link *link;
    struct event *readable, *writable;
    const struct link_event_ops *ops;
    void *arg;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct link_event *le = arg;

    link_on_readable(le->link);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct link_event *le = arg;

    link_on_writable(le->link);
}

static void link_frame_cb(struct link *l, struct link_frame *f, void *arg)
{
    struct link_event *le = arg;

    le->ops->on_frame(le, f, le->arg);
}

static void link_closed_cb(struct link *l, const struct err *e, void *arg)
{
    struct link_event *le = arg;

    event_del(le->readable);
    event_del(le->writable);
    le->ops->on_closed(le, e, le->arg);
}

static void link_interest_cb(struct link *l, void *arg)
{
    struct link_event *le = arg;

    if (link_wants_write(l))
        event_add(le->writable, NULL);
    else
        event_del(le->writable);
}

static const struct link_ops ops = {
    .on_frame = link_frame_cb,
    .on_closed = link_closed_cb,
    .on_interest = link_interest_cb,
};

struct link_event *link_event_new(struct event_base *base, int fd, size_t max_queue_bytes,
                                  const struct link_event_ops *le_ops, void *arg)
{
    struct link_event *le = calloc(1, sizeof(*le));

    if (!le) {
        close(fd);
        return NULL;
    }
    le->ops = le_ops;
    le->arg = arg;
    le->link = link_new(fd, max_queue_bytes, &ops, le);
    if (!le->link) {
        free(le);
        return NULL;
    }
    le->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, le);
    le->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, le);
    if (!le->readable || !le->writable || event_add(le->readable, NULL) < 0) {
        link_event_free(le);
        return NULL;
    }
    return le;
}

void link_event_free(struct link_event *le)
{
    if (!le)
        return;
    if (le->readable)
        event_free(le->readable);
    if (le->writable)
        event_free(le->writable);
    link_free(le->link);
    free(le);
}

int link_event_send(struct link_event *le, const struct buf *frame, const int *fds, size_t n_fds)
{
    return link_send(le->link, frame, fds, n_fds);
}

size_t link_event_queued(const struct link_event *le)
{
    return link_queued_bytes(le->link);
}
