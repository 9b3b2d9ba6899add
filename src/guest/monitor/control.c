/* holmd's connections: the socketpair it gave us, and those it makes to the socket in the run folder after its own
 * restart. Each must show the cookie first; the newest that did is the controller and gets the events, the older are
 * closed. Everything is bounded: CONNS_MAX connections, HELLO_MS to say hello, QUEUE_BYTES unread. */
#include <poll.h>
#include <sys/socket.h>

#include "guest/monitor/monitor.h"
#include "link/link.h"

#define CONNS_MAX   6u
#define HELLO_MS    5000u
#define QUEUE_BYTES (2u * 1024u * 1024u)

struct conn {
    struct control *control;
    struct link *link; /* NULL: free slot */
    uint64_t id;
    bool is_known; /* has shown the cookie */
    struct loop_timer hello_timer;
};

struct control {
    struct monitor *m;
    struct conn conns[CONNS_MAX];
    uint64_t next_id;
};

/* ---- sending ---- */

static struct conn *controller(const struct monitor *m)
{
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (m->control->conns[i].link && m->control->conns[i].is_known)
            return &m->control->conns[i];
    return NULL;
}

static void send_frame(struct conn *c, struct buf *b, size_t begin)
{
    frame_end(b, begin);
    /* A failed send has closed the link; holmd comes back through the socket. */
    if (link_send(c->link, b, NULL, 0) < 0)
        return;
}

static void put_state(struct monitor *m, struct buf *b)
{
    field_str(b, FIELD_STATE, m->state);
    if (streq(m->state, "io-error") && m->full_disk[0])
        field_str(b, FIELD_FULL_DISK, m->full_disk);
    if (m->pid > 0) {
        field_u32(b, FIELD_PID, (uint32_t)m->pid);
        field_u64(b, FIELD_START_TIME, m->start_ticks);
        field_u64(b, FIELD_BOOT_MS, m->started_boot_ms);
    }
}

void control_event(struct monitor *m, const char *event, const char *text)
{
    struct conn *c = controller(m);
    autobuf struct buf b;

    buf_init(&b, 8192);
    if (!c)
        return;
    size_t begin = frame_begin(&b, FRAME_GUEST_EVENT, 0, 0, 0);
    field_str(&b, FIELD_EVENT, event);
    put_state(m, &b);
    if (text)
        field_str(&b, FIELD_TEXT, text);
    if (m->is_exited)
        field_u32(&b, FIELD_EXIT_STATUS, monitor_exit_status(m));
    send_frame(c, &b, begin);
}

/* ---- requests ---- */

static struct request *request_new(const char *text)
{
    struct request *rq = calloc(1, sizeof(*rq));
    size_t n = strcspn(text, " ");

    if (!rq)
        return NULL;
    if (n >= sizeof(rq->verb) || (text[n] && str_copy(rq->arg, sizeof(rq->arg), text + n + 1) < 0)) {
        free(rq);
        return NULL;
    }
    memcpy(rq->verb, text, n);
    rq->fd = -1;
    buf_init(&rq->stats, REQUEST_ANSWER_MAX + 8192);
    buf_init(&rq->payload, FRAME_PAYLOAD_MAX);
    return rq;
}

struct request *request_own(const char *text,
                            void (*on_done)(struct monitor *, struct request *, int, const struct err *))
{
    struct request *rq = request_new(text);

    if (rq)
        rq->on_done = on_done;
    return rq;
}

void request_stat(struct request *rq, const char *name, uint64_t value)
{
    char text[64];

    snprintf(text, sizeof(text), "%s=%llu", name, (unsigned long long)value);
    field_str(&rq->stats, FIELD_STAT, text);
}

int request_body(struct request *rq, const void *p, size_t n, struct err *e)
{
    if (n > REQUEST_ANSWER_MAX)
        return err_set(e, -EMSGSIZE, "guest.answer", "the answer is longer than %u bytes", REQUEST_ANSWER_MAX);
    field_bytes(&rq->stats, FIELD_BODY, p, n);
    return rq->stats.is_failed ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
}

static struct conn *conn_find(struct monitor *m, uint64_t id)
{
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (m->control->conns[i].link && m->control->conns[i].id == id)
            return &m->control->conns[i];
    return NULL;
}

static void send_result(struct conn *c, uint32_t stream, int r, const struct err *e, const struct buf *stats)
{
    autobuf struct buf b;

    buf_init(&b, REQUEST_ANSWER_MAX + 16384);
    size_t begin = frame_begin(&b, FRAME_GUEST_RESULT, stream, FRAME_LAST, 0);
    field_err(&b, r, e);
    if (r == 0 && stats && !stats->is_failed)
        buf_append(&b, stats->data, stats->len);
    send_frame(c, &b, begin);
}

void request_finish(struct monitor *m, struct request *rq, int r, const struct err *e)
{
    struct conn *c = rq->conn ? conn_find(m, rq->conn) : NULL;

    if (rq->on_done)
        rq->on_done(m, rq, r, e);
    else if (c)
        send_result(c, rq->stream, r, e, &rq->stats);
    for (size_t i = 0; i < rq->n_fds; i++)
        if (rq->fds[i] >= 0)
            close(rq->fds[i]);
    if (rq->payload.data)
        mem_wipe(rq->payload.data, rq->payload.len); /* a password for the agent may be in it */
    buf_done(&rq->payload);
    buf_done(&rq->stats);
    free(rq);
}

void request_run(struct monitor *m, struct request *rq)
{
    struct err e = ERR_INIT;
    int r = 0;

    if (m->is_exited || m->pid <= 0) {
        r = err_set(&e, -ESRCH, "guest.gone", "the guest has ended");
    } else if (streq(rq->verb, "kill")) {
        child_kill(m);
    } else if (streq(rq->verb, "agent")) {
        agent_command(m, rq);
        return;
    } else {
        m->driver->command(m, rq);
        return;
    }
    request_finish(m, rq, r, &e);
}

/* ---- what holmd asks ---- */

static void on_hello(struct conn *c, const struct link_frame *f)
{
    struct monitor *m = c->control->m;
    struct field fl;
    struct err e = ERR_INIT;
    autobuf struct buf b;

    buf_init(&b, 8192);
    if (!field_find(f->data, f->len, FIELD_COOKIE, &fl) || fl.len != COOKIE_BYTES ||
        !mem_equal_constant_time(fl.data, m->order->cookie, COOKIE_BYTES)) {
        err_set(&e, -EACCES, "guest.cookie", "wrong cookie");
        link_close(c->link, &e);
        return;
    }
    loop_timer_stop(&c->hello_timer);
    for (size_t i = 0; i < CONNS_MAX; i++) {
        struct conn *other = &c->control->conns[i];
        if (other != c && other->link && other->is_known)
            link_close(other->link, NULL);
    }
    c->is_known = true;
    size_t begin = frame_begin(&b, FRAME_GUEST_STATUS, f->stream, 0, 0);
    field_u32(&b, FIELD_VERSION, FRAME_VERSION);
    put_state(m, &b);
    send_frame(c, &b, begin);
}

/* A command's own fields and descriptors. */
static bool take_payload(struct request *rq, struct link_frame *f)
{
    buf_append(&rq->payload, f->data, f->len);
    for (size_t i = 0; i < f->n_fds && rq->n_fds < REQUEST_FDS_MAX; i++)
        rq->fds[rq->n_fds++] = TAKE_FD(f->fds[i]);
    return !rq->payload.is_failed;
}

static void on_command(struct conn *c, struct link_frame *f)
{
    struct field fl;
    char text[128];
    struct err e = ERR_INIT;
    struct request *rq = NULL;

    if (field_find(f->data, f->len, FIELD_VERB, &fl) && field_get_str(&fl, text, sizeof(text)) == 0)
        rq = request_new(text);
    if (!rq) {
        int r = err_set(&e, -EINVAL, "guest.verb", "not a command");
        send_result(c, f->stream, r, &e, NULL);
        return;
    }
    rq->conn = c->id;
    rq->stream = f->stream;
    if (take_payload(rq, f)) {
        request_run(c->control->m, rq);
        return;
    }
    int r = err_set(&e, -ENOMEM, NULL, "out of memory");
    request_finish(c->control->m, rq, r, &e);
}

static int attach_viewer(struct monitor *m, struct link_frame *f, struct err *e)
{
    char password[VIEWER_PASSWORD_MAX + 1];
    struct field fl;

    if (!field_find(f->data, f->len, FIELD_SECRET, &fl) || field_get_str(&fl, password, sizeof(password)) < 0 ||
        !password[0] || strchr(password, ' '))
        return err_set(e, -EPROTO, "frame.malformed", "a viewer needs a password");
    int r = viewer_add(m, TAKE_FD(f->fds[0]), password, e);
    mem_wipe(password, sizeof(password));
    return r;
}

static int attach(struct monitor *m, struct link_frame *f, struct err *e)
{
    struct field fl;
    char channel[16], mode[16];
    autofree char *hello = NULL;
    bool has_history = field_find(f->data, f->len, FIELD_HISTORY, &fl) && fl.len == 1 && fl.data[0];

    if (f->n_fds != 1 || !field_find(f->data, f->len, FIELD_CHANNEL, &fl) ||
        field_get_str(&fl, channel, sizeof(channel)) < 0 || !field_find(f->data, f->len, FIELD_MODE, &fl) ||
        field_get_str(&fl, mode, sizeof(mode)) < 0)
        return err_set(e, -EPROTO, "frame.malformed", "malformed console request");
    if (streq(mode, "vnc"))
        return attach_viewer(m, f, e);
    bool is_termproxy = streq(mode, "termproxy");
    if (!is_termproxy && !streq(mode, "raw"))
        return err_set(e, -EINVAL, "console.mode", "unknown console mode");
    if (is_termproxy && (!field_find(f->data, f->len, FIELD_HELLO_TEXT, &fl) || fl.len == 0 ||
                         field_dup_str(&fl, &hello) < 0 || strchr(hello, '\n')))
        return err_set(e, -EINVAL, "console.hello", "a console needs a greeting of one line");
    for (size_t i = 0; i < m->n_channels; i++)
        if (streq(m->channels[i]->name, channel))
            return client_add(m->channels[i], TAKE_FD(f->fds[0]), hello, has_history, e);
    return err_set(e, -ENOENT, "console.channel", "the guest has no %s", channel);
}

static void on_frame(struct link *l, struct link_frame *f, void *arg)
{
    struct conn *c = arg;
    struct err e = ERR_INIT;

    if (f->type == FRAME_GUEST_HELLO) {
        on_hello(c, f);
    } else if (!c->is_known) {
        err_set(&e, -EACCES, "guest.cookie", "no hello");
        link_close(l, &e);
    } else if (f->type == FRAME_GUEST_COMMAND) {
        on_command(c, f);
    } else if (f->type == FRAME_CONSOLE_ATTACH) {
        int r = attach(c->control->m, f, &e);
        send_result(c, f->stream, r, &e, NULL);
    }
    /* Other types: of a newer holmd; they are not for us. */
}

/* ---- connections ---- */

static void on_closed(struct link *l, const struct err *e, void *arg)
{
    struct conn *c = arg;

    loop_timer_stop(&c->hello_timer);
    loop_unwatch(&c->control->m->loop, link_fd(l));
    c->link = NULL;
    c->is_known = false;
    link_free(l);
}

static void on_interest(struct link *l, void *arg)
{
    struct conn *c = arg;

    loop_events(&c->control->m->loop, link_fd(l), (short)(POLLIN | (link_wants_write(l) ? POLLOUT : 0)));
}

static const struct link_ops link_ops = {.on_frame = on_frame, .on_closed = on_closed, .on_interest = on_interest};

static void on_link_event(void *arg, short revents)
{
    struct conn *c = arg;
    uint64_t id = c->id;

    if (c->link && revents & POLLOUT)
        link_on_writable(c->link);
    if (c->link && c->id == id && revents & (POLLIN | POLLHUP | POLLERR))
        link_on_readable(c->link);
}

static void on_hello_late(void *arg)
{
    struct conn *c = arg;

    link_close(c->link, NULL);
}

/* Takes fd. */
static int conn_add(struct monitor *m, int fd, bool is_known)
{
    struct conn *c = NULL;

    for (size_t i = 0; !c && i < CONNS_MAX; i++)
        if (!m->control->conns[i].link)
            c = &m->control->conns[i];
    if (!c) {
        close(fd);
        return -EBUSY;
    }
    *c = (struct conn){.control = m->control, .id = ++m->control->next_id, .is_known = is_known};
    loop_timer_init(&c->hello_timer, on_hello_late, c);
    c->link = link_new(fd, QUEUE_BYTES, &link_ops, c);
    if (!c->link)
        return -ENOMEM;
    if (loop_watch(&m->loop, fd, POLLIN, on_link_event, c) < 0) {
        link_free(TAKE_PTR(c->link));
        return -EMFILE;
    }
    if (!is_known)
        loop_timer_set(&m->loop, &c->hello_timer, HELLO_MS);
    return 0;
}

/* Of the process that made the other end. */
static uid_t peer_uid(int fd)
{
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t n = sizeof(cred);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ? cred.uid : (uid_t)-1;
}

static void on_accept(void *arg, short revents)
{
    struct monitor *m = arg;
    int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (peer_uid(fd) != m->holmd_uid)
        close(fd);
    else if (conn_add(m, fd, false) < 0)
        return;
}

int control_open(struct monitor *m, int first_fd, struct err *e)
{
    m->control = calloc(1, sizeof(*m->control));
    if (!m->control) {
        close(first_fd);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    m->control->m = m;
    m->holmd_uid = peer_uid(first_fd);
    int r = conn_add(m, first_fd, true);
    if (r == 0)
        r = loop_watch(&m->loop, m->listen_fd, POLLIN, on_accept, m);
    return r < 0 ? err_set(e, r, NULL, "control connection") : 0;
}

void control_close(struct monitor *m)
{
    for (size_t i = 0; m->control && i < CONNS_MAX; i++)
        if (m->control->conns[i].link)
            link_close(m->control->conns[i].link, NULL);
    free(TAKE_PTR(m->control));
}

bool control_is_drained(const struct monitor *m)
{
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (m->control->conns[i].link && link_wants_write(m->control->conns[i].link))
            return false;
    return true;
}
