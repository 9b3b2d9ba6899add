/* GET /cluster/events: clients of the event stream, from their coming to their end, and their sockets. See
 * doc/events.md and events_priv.h.
 *
 * A client has its place in the ring, one bit for each object it knows of, and at most EVENTS_OUT_MAX bytes under way:
 * who does not read costs nothing more, and begins anew when the ring has moved on without him. The call behind a
 * client is kept by its peer and `lasting`; what ends it there shuts the socket down, and that is how it ends here. */
#include "api/events_priv.h"

#include <sodium.h>
#include <sys/socket.h>

#include "api/common.h"
#include "base/clock.h"
#include "base/log.h"

#define SOCKET_BUF 32768
/* Objects whose permissions are asked in one turn of the loop, about a millisecond's worth, however many clients wait:
 * when access changes, all of them ask about everything. */
#define WALK_TURN 1024u

static void client_free(struct event_client *c)
{
    struct events *ev = c->ev;
    static const struct timeval idle = {.tv_sec = EVENTS_IDLE_S};

    list_remove(&c->node);
    if (--ev->n_clients == 0 && ev->idle)
        event_add(ev->idle, &idle);
    if (c->read)
        event_free(c->read);
    if (c->write)
        event_free(c->write);
    close(c->fd);
    auth_guests_free(c->may);
    free(c->knows);
    buf_done(&c->out);
    free(c);
}

/* False: it is gone. */
static bool drain(struct event_client *c, bool *ret_is_blocked)
{
    *ret_is_blocked = false;
    while (c->out.len) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            *ret_is_blocked = true;
            return true;
        }
        if (n < 0)
            return false;
        buf_consume(&c->out, (size_t)n);
    }
    return true;
}

/* By the clock: what is made active within a turn still belongs to it, and nobody else would come in between. */
static void want_more(struct events *ev)
{
    static const struct timeval soon = {0};

    if (!event_pending(ev->more, EV_TIMEOUT, NULL))
        event_add(ev->more, &soon);
}

static void flush(struct event_client *c)
{
    bool is_blocked = false, has_more = true;

    for (unsigned i = 0; i < 4 && has_more; i++) { /* the others, too, have a turn */
        has_more = !events_has_room(c) || events_tell(c);
        if (c->out.is_failed) {
            log_warn("a client of the event stream is ended: out of memory");
            client_free(c);
            return;
        }
        if (!drain(c, &is_blocked)) {
            client_free(c);
            return;
        }
        if (is_blocked) {
            has_more = true;
            break;
        }
    }
    auth_guests_free(TAKE_PTR(c->may));
    if (!c->out.len) { /* a thousand of them keep nothing */
        buf_done(&c->out);
        buf_init(&c->out, EVENTS_OUT_MAX);
    }
    if (has_more && (is_blocked || c->ev->walk_left))
        event_add(c->write, NULL);
    else if (has_more)
        want_more(c->ev);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    flush(arg);
}

/* Clients have nothing to say: the end, or somebody who thinks that this is another kind of stream. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    client_free(arg);
}

void events_flush(struct events *ev)
{
    LIST_FOREACH_SAFE(c, &ev->clients, struct event_client, node)
    if (!event_pending(c->write, EV_WRITE, NULL))
        flush(c);
}

static void on_more(evutil_socket_t fd, short what, void *arg)
{
    struct events *ev = arg;

    ev->walk_left = WALK_TURN;
    events_flush(ev);
}

void events_access_changed(struct events *ev)
{
    event_ring_add(&ev->ring, EVENT_ACCESS, EVENT_NODE, 0, "", "");
    ev->access_seq = ev->ring.head;
    LIST_FOREACH(c, &ev->clients, struct event_client, node)
    c->walk = 0;
}

void events_end_old(struct events *ev)
{
    int64_t now = clock_wall_s();
    bool is_blocked;

    LIST_FOREACH_SAFE(c, &ev->clients, struct event_client, node)
    {
        if (!c->who.ticket_s || now - c->who.ticket_s <= AUTH_TICKET_LIFE_S)
            continue;
        events_tell_end(c, "the ticket has expired");
        (void)drain(c, &is_blocked);
        client_free(c);
    }
}

/* ---- coming and going ---- */

static void stop(struct events *ev)
{
    if (!ev->is_on)
        return;
    LIST_FOREACH_SAFE(c, &ev->clients, struct event_client, node)
    client_free(c);
    events_source_stop(ev);
    events_table_done(ev);
    buf_done(&ev->scratch);
    buf_done(&ev->diff);
    ev->is_on = false;
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    struct events *ev = arg;

    if (!ev->n_clients)
        stop(ev);
}

static int start(struct events *ev, struct err *e)
{
    if (ev->is_on) {
        if (!ev->n_clients)
            events_source_all(ev); /* nobody has looked since the last one left */
        return 0;
    }
    randombytes_buf(ev->life, sizeof(ev->life));
    buf_init(&ev->scratch, EVENTS_ROW_MAX);
    buf_init(&ev->diff, EVENTS_ROW_MAX);
    ev->is_on = true;
    int r = events_table_init(ev, e);
    if (r == 0)
        r = events_source_start(ev, e);
    if (r < 0)
        stop(ev);
    return r;
}

static int make_client(struct events *ev, struct api_call *call, int fd, bool wants_metrics, const char *cursor,
                       struct err *e)
{
    struct event_client *c = calloc(1, sizeof(*c));

    if (!c) {
        close(fd);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    *c = (struct event_client){.ev = ev,
                               .who = call->who,
                               .fd = fd,
                               .walk = EVENTS_NOT,
                               .metrics = EVENTS_NOT,
                               .metrics_done = ev->cycle,
                               .wants_metrics = wants_metrics,
                               .ping_ms = clock_boot_ms()};
    buf_init(&c->out, EVENTS_OUT_MAX);
    list_add_tail(&ev->clients, &c->node);
    ev->n_clients++;
    event_del(ev->idle);
    c->read = event_new(ev->api->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->write = event_new(ev->api->base, fd, EV_WRITE, on_writable, c);
    c->knows = calloc(1, ev->n_numbers / 8 + 128);
    c->n_knows = c->knows ? ev->n_numbers / 8 + 128 : 0;
    if (!c->read || !c->write || !c->knows || event_add(c->read, NULL) < 0 || event_add(c->write, NULL) < 0) {
        client_free(c);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (!events_resume(c, cursor))
        events_tell_anew(c);
    auth_guests_free(TAKE_PTR(c->may));
    return 0;
}

static int check_room(struct api_call *call, struct events *ev, struct err *e)
{
    size_t of_user = 0;

    LIST_FOREACH(c, &ev->clients, struct event_client, node)
    of_user += streq(c->who.user, call->who.user);
    if (ev->n_clients < EVENTS_CLIENTS_MAX && of_user < EVENTS_PER_USER_MAX)
        return 0;
    call->retry_after_s = 10;
    return err_set(e, -EBUSY, "auth.limited", "too many event streams, try again in 10 s");
}

int api_cluster_events(struct api_call *c, const struct api_cluster_events_args *a, struct err *e)
{
    struct events *ev = c->api->events;
    int pair[2], size = SOCKET_BUF;
    int r = check_room(c, ev, e);

    if (r == 0)
        r = start(ev, e);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    autoclose int theirs = pair[1];
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    r = make_client(ev, c, pair[0], a->metrics, a->cursor, e);
    if (r < 0)
        return r;
    return api_upgrade(c, TAKE_FD(theirs), c->is_local ? "raw" : "binary");
}

int events_new(struct api *api, struct events **ret, struct err *e)
{
    struct events *ev = calloc(1, sizeof(*ev));

    if (!ev)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    ev->api = api;
    list_init(&ev->clients);
    ev->idle = evtimer_new(api->base, on_idle, ev);
    ev->more = evtimer_new(api->base, on_more, ev);
    if (!ev->idle || !ev->more) {
        events_free(ev);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    *ret = ev;
    return 0;
}

void events_free(struct events *ev)
{
    if (!ev)
        return;
    if (ev->idle)
        event_free(TAKE_PTR(ev->idle));
    stop(ev);
    if (ev->more)
        event_free(ev->more);
    free(ev);
}
