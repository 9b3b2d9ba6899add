/* Viewers of the guest's screen: connections that holmd hands over and that are coupled with QEMU's VNC server. QEMU
 * listens nowhere; each viewer gets a socketpair of its own, whose other end QEMU takes through the control channel.
 *
 * QEMU has one password for its display. So viewers pass a door, one at a time: a new password good for 30 s is set,
 * the connection is made, and the door is free again when QEMU has answered to the viewer's password, when the viewer
 * is gone, or when its time is over; a viewer that keeps others waiting has DOOR_WAIT_MS. Then the password is void.
 * QEMU says nothing of connections that did not come through a listener, therefore the bytes pass through here: what
 * is counted is enough to see the end of the handshake. Both sides are hostile; there is one buffer per direction. */
#include "guest/monitor/viewer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "guest/monitor/monitor.h"

#define COPY_BYTES   16384u
#define LAST_COPIES  8
#define DOOR_MS      30000u /* from the connection to the right password */
#define DOOR_WAIT_MS 5000u  /* the same, when somebody waits behind */
/* What QEMU sends before it has judged the password: version 12; then RFB 3.3: type 4, challenge 16; 3.7 and 3.8: types
 * 2, challenge 16 (RFC 6143, 7.1 and 7.2.2). The judgement is four bytes more. */
#define HANDSHAKE_BYTES 32u

/* What was read from one end and not yet written to the other. */
struct copy {
    uint8_t bytes[COPY_BYTES];
    size_t begin, end;
    uint64_t total; /* ever read */
    bool is_ended;  /* nothing more comes */
};

struct viewer {
    struct list_node node;
    struct monitor *m;
    int fd, qemu_fd; /* qemu_fd -1: waits before the door */
    char password[VIEWER_PASSWORD_MAX + 1];
    uint64_t door_ms;
    struct copy to_qemu, from_qemu;
};

static void on_viewer_event(void *arg, short revents);
static void on_qemu_event(void *arg, short revents);
static void next_viewer(struct monitor *m);

static void viewer_free(struct viewer *v)
{
    struct monitor *m = v->m;

    list_remove(&v->node);
    loop_unwatch(&m->loop, v->fd);
    close(v->fd);
    if (v->qemu_fd >= 0) {
        loop_unwatch(&m->loop, v->qemu_fd);
        close(v->qemu_fd);
    }
    mem_wipe(v, sizeof(*v));
    free(v);
    m->n_clients--;
}

/* ---- the door ---- */

static void on_void(struct monitor *m, struct request *rq, int r, const struct err *e)
{
}

static void leave_door(struct viewer *v)
{
    struct viewers *all = &v->m->viewers;

    if (all->door != v)
        return;
    all->door = NULL;
    loop_timer_stop(&all->limit);
    mem_wipe(v->password, sizeof(v->password));
    struct request *rq = request_own("vnc-expire now", on_void);
    if (rq)
        request_run(v->m, rq);
    next_viewer(v->m);
}

static void drop(struct viewer *v)
{
    struct monitor *m = v->m;
    bool was_door = m->viewers.door == v;

    if (was_door) {
        m->viewers.door = NULL;
        loop_timer_stop(&m->viewers.limit);
    }
    viewer_free(v);
    if (was_door)
        next_viewer(m);
}

static void on_limit(void *arg)
{
    struct viewers *all = arg;

    if (all->door)
        drop(all->door);
}

static struct viewer *first_waiting(struct monitor *m)
{
    LIST_FOREACH(v, &m->viewers.list, struct viewer, node)
    {
        if (v->qemu_fd < 0 && v != m->viewers.door)
            return v;
    }
    return NULL;
}

static void set_limit(struct monitor *m)
{
    struct viewers *all = &m->viewers;
    uint64_t now = clock_boot_ms(), until = all->door->door_ms + (first_waiting(m) ? DOOR_WAIT_MS : DOOR_MS);

    loop_timer_set(&m->loop, &all->limit, until > now ? until - now : 0);
}

/* ---- handing a connection to QEMU: password, its end, descriptor, client ---- */

enum { STEP_PASSWORD, STEP_EXPIRE, STEP_GETFD, STEP_ADD, STEPS };

static void on_step(struct monitor *m, struct request *rq, int r, const struct err *e);

/* A fresh socketpair; QEMU's end is returned, ours is watched. */
static int make_pair(struct viewer *v)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    v->qemu_fd = pair[0];
    if (loop_watch(&v->m->loop, v->qemu_fd, POLLIN, on_qemu_event, v) < 0) {
        close(pair[0]);
        close(pair[1]);
        v->qemu_fd = -1;
        return -EMFILE;
    }
    return pair[1];
}

static void run_step(struct viewer *v)
{
    struct viewers *all = &v->m->viewers;
    char text[64];
    int fd = -1;

    switch (all->step) {
    case STEP_PASSWORD:
        snprintf(text, sizeof(text), "vnc-password %s", v->password);
        break;
    case STEP_EXPIRE:
        snprintf(text, sizeof(text), "vnc-expire +%u", DOOR_MS / 1000);
        break;
    case STEP_GETFD:
        fd = make_pair(v);
        snprintf(text, sizeof(text), "vnc-getfd");
        break;
    default:
        snprintf(text, sizeof(text), "vnc-add");
        break;
    }
    struct request *rq = all->step == STEP_GETFD && fd < 0 ? NULL : request_own(text, on_step);
    mem_wipe(text, sizeof(text));
    if (rq) {
        all->is_asking = true;
        rq->fd = fd;
        request_run(v->m, rq);
    }
    if (fd >= 0)
        close(fd);
    if (!rq)
        drop(v);
}

static void on_step(struct monitor *m, struct request *rq, int r, const struct err *e)
{
    struct viewer *v = m->viewers.door;

    m->viewers.is_asking = false;
    if (!v)
        next_viewer(m);
    else if (r < 0)
        drop(v);
    else if (++m->viewers.step < STEPS)
        run_step(v);
}

/* The next who waits comes in, when the door is free and no command of the one before is under way. */
static void next_viewer(struct monitor *m)
{
    struct viewers *all = &m->viewers;
    struct viewer *v = all->door || all->is_asking || all->is_closed ? NULL : first_waiting(m);

    if (!v)
        return;
    all->door = v;
    all->step = STEP_PASSWORD;
    v->door_ms = clock_boot_ms();
    set_limit(m);
    run_step(v);
}

/* ---- bytes ---- */

/* Reads when there is room, writes what there is. False when the connection is over. */
static bool copy_some(struct copy *c, int from, int to)
{
    if (c->begin == c->end && !c->is_ended) {
        ssize_t n = read(from, c->bytes, sizeof(c->bytes));
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        c->is_ended = n == 0;
        c->begin = 0;
        c->end = (size_t)n;
        c->total += (size_t)n;
    }
    if (c->begin < c->end) {
        ssize_t n = write(to, c->bytes + c->begin, c->end - c->begin);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        c->begin += (size_t)n;
    }
    return !c->is_ended || c->begin < c->end;
}

static short events_of(const struct copy *from, const struct copy *to)
{
    bool is_empty = from->begin == from->end;

    return (short)((is_empty && !from->is_ended ? POLLIN : 0) | (to->begin < to->end ? POLLOUT : 0));
}

static void update_events(struct viewer *v)
{
    /* Before QEMU has its end, the viewer's bytes wait in the socket. */
    loop_events(&v->m->loop, v->fd, v->qemu_fd < 0 ? 0 : events_of(&v->to_qemu, &v->from_qemu));
    if (v->qemu_fd >= 0)
        loop_events(&v->m->loop, v->qemu_fd, events_of(&v->from_qemu, &v->to_qemu));
}

/* False when the viewer is to be dropped. */
static bool copy_both(struct viewer *v)
{
    return v->qemu_fd < 0 || (copy_some(&v->from_qemu, v->qemu_fd, v->fd) && copy_some(&v->to_qemu, v->fd, v->qemu_fd));
}

static void go_on(struct viewer *v, bool is_alive)
{
    if (!is_alive) {
        drop(v);
        return;
    }
    update_events(v);
    if (v->from_qemu.total > HANDSHAKE_BYTES)
        leave_door(v);
}

static void on_viewer_event(void *arg, short revents)
{
    struct viewer *v = arg;
    bool is_alive = copy_both(v);

    /* Gone; what it said last is passed on as far as QEMU takes it now. */
    for (int i = 0; is_alive && revents & POLLHUP && v->qemu_fd >= 0 && i < LAST_COPIES; i++)
        is_alive = copy_some(&v->to_qemu, v->fd, v->qemu_fd);
    go_on(v, is_alive && !(revents & (POLLHUP | POLLERR)));
}

static void on_qemu_event(void *arg, short revents)
{
    struct viewer *v = arg;
    bool is_alive = copy_both(v);

    /* Gone, but the viewer has not read all: it is looked at no more until there is room. */
    if (is_alive && revents & (POLLHUP | POLLERR))
        loop_unwatch(&v->m->loop, v->qemu_fd);
    go_on(v, is_alive);
}

/* ---- life ---- */

void viewers_init(struct monitor *m)
{
    list_init(&m->viewers.list);
    loop_timer_init(&m->viewers.limit, on_limit, &m->viewers);
}

void viewers_close(struct monitor *m)
{
    m->viewers.is_closed = true;
    m->viewers.door = NULL;
    loop_timer_stop(&m->viewers.limit);
    LIST_FOREACH_SAFE(v, &m->viewers.list, struct viewer, node)
    {
        viewer_free(v);
    }
}

int viewer_add(struct monitor *m, int fd, const char *password, struct err *e)
{
    int flags = fcntl(fd, F_GETFL), r = 0;
    struct viewer *v = NULL;

    if (m->n_clients >= CLIENTS_MAX)
        r = err_set(e, -EBUSY, "console.busy", "%u consoles of this guest are open already", CLIENTS_MAX);
    else if (m->viewers.is_closed)
        r = err_set(e, -ESRCH, "guest.gone", "the guest has ended");
    else if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        r = err_errno(e, errno, "console");
    else if (!(v = calloc(1, sizeof(*v))) || str_copy(v->password, sizeof(v->password), password) < 0)
        r = err_set(e, v ? -EINVAL : -ENOMEM, "console.password", v ? "the password is too long" : "out of memory");
    else if ((r = loop_watch(&m->loop, fd, 0, on_viewer_event, v)) < 0)
        r = err_set(e, r, "console.busy", "too many connections");
    if (r < 0) {
        free(v);
        close(fd);
        return r;
    }
    v->m = m;
    v->fd = fd;
    v->qemu_fd = -1;
    m->n_clients++;
    list_add_tail(&m->viewers.list, &v->node);
    if (m->viewers.door)
        set_limit(m);
    else
        next_viewer(m);
    return 0;
}
