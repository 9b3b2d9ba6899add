/* The driver "qmp": QEMU by its control protocol. Commands are sent without waiting; each has a deadline, after which
 * its caller gets -ETIMEDOUT while the guest goes on, and an answer that comes later is dropped. QEMU's words are
 * hostile (qmp_message.c): a line that is none ends the conversation, not the guest.
 *
 * Start: greeting, qmp_capabilities, query-status until the memory of a snapshot is read, if there is one, the verbs of
 * the launch order one after another, query-status; then the guest is up. */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/json.h"
#include "guest/monitor/qmp_priv.h"

#define COMMAND_MS       10000u
#define START_MS         60000u
#define LOOK_MS          50u
#define TICK_MS          250u
#define OUT_BYTES_MAX    65536u
#define READ_BYTES       16384u
#define READS_PER_WAKE   8
#define NOISY_EVENTS_MAX 10u /* resets and I/O errors told per second */

/* ---- the conversation ---- */

static void fail_pending(struct qmp *q, struct pending *p, const struct err *e)
{
    struct pending was = *p;

    p->id = 0;
    was.fn(q, was.rq, NULL, e);
}

static void start_unanswered(struct qmp *q, const struct err *why);

/* Ends the conversation; a guest that is up is left alone. */
static void hang_up(struct qmp *q, const struct err *why)
{
    if (q->fd < 0)
        return;
    loop_unwatch(&q->m->loop, q->fd);
    close(TAKE_FD(q->fd));
    loop_timer_stop(&q->tick);
    loop_timer_stop(&q->look);
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (q->pending[i].id)
            fail_pending(q, &q->pending[i], why);
    start_unanswered(q, why);
}

static void hang_up_text(struct qmp *q, const char *text)
{
    struct err e = ERR_INIT;

    err_set(&e, -EPIPE, "guest.gone", "%s", text);
    hang_up(q, &e);
}

static void update_events(struct qmp *q)
{
    if (q->fd >= 0)
        loop_events(&q->m->loop, q->fd, (short)(POLLIN | (q->out.len ? POLLOUT : 0)));
}

static void flush_out(struct qmp *q)
{
    while (q->fd >= 0 && q->out.len) {
        ssize_t n = write(q->fd, q->out.data, q->out.len);
        if (n <= 0)
            break;
        buf_consume(&q->out, (size_t)n);
    }
    if (!q->out.len)
        buf_done(&q->out);
    update_events(q);
}

static bool has_pending(const struct qmp *q)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (q->pending[i].id)
            return true;
    return false;
}

static void on_tick(void *arg)
{
    struct qmp *q = arg;
    uint64_t now = clock_boot_ms();
    struct err e = ERR_INIT;

    err_set(&e, -ETIMEDOUT, "guest.timeout", "QEMU does not answer");
    for (size_t i = 0; i < PENDING_MAX; i++) {
        struct pending *p = &q->pending[i];
        if (p->id && p->deadline_ms <= now)
            fail_pending(q, p, &e);
    }
    if (q->fd >= 0 && has_pending(q))
        loop_timer_set(&q->m->loop, &q->tick, TICK_MS);
}

static struct pending *pending_new(struct qmp *q, struct err *e)
{
    if (q->fd < 0) {
        err_set(e, -EPIPE, "guest.gone", "there is no connection to QEMU");
        return NULL;
    }
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (!q->pending[i].id)
            return &q->pending[i];
    err_set(e, -EBUSY, "guest.busy", "%u commands wait for QEMU already", PENDING_MAX);
    return NULL;
}

/* A descriptor goes with the bytes of its command: whole and at once, or not at all. */
static int send_with_fd(struct qmp *q, const struct buf *line, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {line->data, line->len};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};

    control.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    flush_out(q);
    if (q->out.len)
        return -EAGAIN;
    ssize_t n = sendmsg(q->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 ? -errno : -EPIPE;
    buf_append(&q->out, line->data + n, line->len - (size_t)n);
    return q->out.is_failed ? -ENOBUFS : 0;
}

static int queue_line(struct qmp *q, const struct buf *line, int fd)
{
    if (line->is_failed)
        return -ENOBUFS;
    if (fd >= 0)
        return send_with_fd(q, line, fd);
    buf_append(&q->out, line->data, line->len);
    return q->out.is_failed ? -ENOBUFS : 0;
}

void qmp_send(struct qmp *q, const char *command, const char *arguments, int fd, answer_fn fn, struct request *rq)
{
    struct err e = ERR_INIT;
    struct pending *p = pending_new(q, &e);
    struct jw w;
    autobuf struct buf line;

    buf_init(&line, OUT_BYTES_MAX);
    if (!p) {
        fn(q, rq, NULL, &e);
        return;
    }
    jw_init(&w, &line);
    jw_object(&w);
    jw_kv_str(&w, "execute", command);
    if (arguments) {
        jw_key(&w, "arguments");
        jw_raw(&w, arguments, strlen(arguments));
    }
    jw_kv_u64(&w, "id", ++q->last_id);
    jw_object_end(&w);
    buf_append_char(&line, '\n');
    if (queue_line(q, &line, fd) < 0) {
        buf_reset(&q->out);
        err_set(&e, -ENOBUFS, "guest.busy", "QEMU does not read its commands");
        fn(q, rq, NULL, &e);
        return;
    }
    *p = (struct pending){.id = q->last_id, .deadline_ms = clock_boot_ms() + COMMAND_MS, .fn = fn, .rq = rq};
    if (list_is_empty(&q->tick.node))
        loop_timer_set(&q->m->loop, &q->tick, TICK_MS);
    if (!q->has_more)
        flush_out(q);
}

static void send_command(struct qmp *q, const char *command, const char *arguments, answer_fn fn, struct request *rq)
{
    qmp_send(q, command, arguments, rq ? rq->fd : -1, fn, rq);
}

/* ---- verbs ---- */

int qmp_answer_result(const struct qmp_message *m, const struct err *why, struct err *e)
{
    *e = *why;
    if (!m)
        return e->num;
    if (m->kind == QMP_ERROR)
        return err_set(e, -EIO, "guest.refused", "QEMU: %s", m->text[0] ? m->text : m->name);
    return 0;
}

static void on_simple(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    struct err e;
    int r = qmp_answer_result(m, why, &e);

    request_finish(q->m, rq, r, &e);
}

/* QEMU has stopped a guest with an I/O error already and says nothing more: from here on it is paused by request, and
 * does not go on by itself. */
static void on_pause(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    if (m && m->kind == QMP_RETURN && streq(q->m->state, "io-error")) {
        monitor_set_state(q->m, "paused");
        control_event(q->m, "paused", NULL);
    }
    on_simple(q, rq, m, why);
}

/* QEMU may be gone before it has answered. */
static void on_quit(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    struct err e;
    int r = qmp_answer_result(m, why, &e);

    request_finish(q->m, rq, r == -EPIPE ? 0 : r, &e);
}

static void on_balloon(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    /* No balloon, or its driver is not loaded: the value is absent. */
    q->has_balloon = m && m->kind == QMP_RETURN && qmp_get_u64(m->data, "actual", &q->balloon_bytes);
}

static void on_blockstats(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    struct err e;
    int r = qmp_answer_result(m, why, &e);
    uint64_t read_bytes, write_bytes;

    if (r == 0) {
        qmp_sum_blockstats(m->data, &read_bytes, &write_bytes);
        request_stat(rq, "diskread", read_bytes);
        request_stat(rq, "diskwrite", write_bytes);
        if (q->has_balloon)
            request_stat(rq, "balloon", q->balloon_bytes);
        if (q->version)
            request_stat(rq, "version", q->version);
    }
    request_finish(q->m, rq, r, &e);
}

/* Every few seconds for each guest: both questions in one write. QEMU answers in their order. */
static void send_stats(struct qmp *q, struct request *rq)
{
    q->has_balloon = false;
    q->has_more = true;
    send_command(q, "query-balloon", NULL, on_balloon, NULL);
    send_command(q, "query-blockstats", NULL, on_blockstats, rq);
    q->has_more = false;
    flush_out(q);
}

static const struct verb {
    const char *name, *command;
    answer_fn answer;
    const char *link; /* "true", "false": set_link of the interface that is the argument */
} verbs[] = {
    {"powerdown", "system_powerdown", on_simple, NULL},
    {"reset", "system_reset", on_simple, NULL},
    {"pause", "stop", on_pause, NULL},
    {"resume", "cont", on_simple, NULL},
    {"quit", "quit", on_quit, NULL},
    {"link-down", "set_link", on_simple, "false"},
    {"link-up", "set_link", on_simple, "true"},
};

/* Of viewer.c: one connection is handed over at a time, under one name. */
#define VIEWER_FD_NAME "viewer"
static const struct vnc_verb {
    const char *name, *command;
    const char *argument; /* takes the request's argument */
    const char *fd_name;  /* takes the name of the descriptor */
    bool has_protocol;
} vnc_verbs[] = {
    {"vnc-password", "set_password", "password", NULL, true},
    {"vnc-expire", "expire_password", "time", NULL, true},
    {"vnc-getfd", "getfd", NULL, "fdname", false},
    {"vnc-add", "add_client", NULL, "fdname", true},
};

/* False: it is none of these. */
static bool command_vnc(struct qmp *q, struct request *rq)
{
    autobuf struct buf arguments;
    struct jw w;

    buf_init(&arguments, 512);
    for (size_t i = 0; i < ARRAY_SIZE(vnc_verbs); i++) {
        const struct vnc_verb *v = &vnc_verbs[i];
        if (!streq(v->name, rq->verb))
            continue;
        jw_init(&w, &arguments);
        jw_object(&w);
        if (v->has_protocol)
            jw_kv_str(&w, "protocol", "vnc");
        if (v->argument)
            jw_kv_str(&w, v->argument, rq->arg);
        if (v->fd_name)
            jw_kv_str(&w, v->fd_name, VIEWER_FD_NAME);
        jw_object_end(&w);
        send_command(q, v->command, buf_str(&arguments), on_simple, rq);
        mem_wipe(arguments.data, arguments.len);
        return true;
    }
    return false;
}

static void command(struct monitor *m, struct request *rq)
{
    struct qmp *q = m->driver_state;
    struct err e = ERR_INIT;
    autobuf struct buf arguments;
    struct jw w;

    buf_init(&arguments, 512);
    if (command_vnc(q, rq))
        return;
    if (streq(rq->verb, "script")) {
        script_begin(q, rq);
        return;
    }
    if (streq(rq->verb, "stats")) {
        send_stats(q, rq);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        const struct verb *v = &verbs[i];
        if (!streq(v->name, rq->verb))
            continue;
        if (v->link) {
            jw_init(&w, &arguments);
            jw_object(&w);
            jw_kv_str(&w, "name", rq->arg);
            jw_key(&w, "up");
            jw_raw(&w, v->link, strlen(v->link));
            jw_object_end(&w);
        }
        if (streq(v->name, "quit"))
            m->is_exit_expected = true;
        send_command(q, v->command, v->link ? buf_str(&arguments) : NULL, v->answer, rq);
        return;
    }
    err_set(&e, -EOPNOTSUPP, "guest.verb", "the monitor has no command '%s'", rq->verb);
    request_finish(m, rq, e.num, &e);
}

/* ---- start ---- */

static void start_failed(struct qmp *q, const char *text)
{
    if (!q->is_starting)
        return;
    q->is_starting = false;
    loop_timer_stop(&q->start_limit);
    control_event(q->m, "failed", text);
    child_kill(q->m);
}

/* A connection that QEMU closed tells nothing: its end, which comes next, has the words on standard error. */
static void start_unanswered(struct qmp *q, const struct err *why)
{
    if (why->num != -EPIPE)
        start_failed(q, why->text);
}

static void on_start_late(void *arg)
{
    start_failed(arg, "QEMU does not answer");
}

static const char *state_of_status(const char *status)
{
    if (streq(status, "prelaunch") || streq(status, "suspended"))
        return "paused";
    return streq(status, "guest-panicked") ? "panicked" : status;
}

static void on_start_status(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    char status[24] = "";

    if (!m) {
        start_unanswered(q, why);
        return;
    }
    qmp_get_text(m->data, "status", status, sizeof(status));
    if (!status[0]) {
        start_failed(q, "QEMU does not tell its state");
        return;
    }
    q->is_starting = false;
    loop_timer_stop(&q->start_limit);
    q->m->is_up = true;
    monitor_set_state(q->m, state_of_status(status));
    control_event(q->m, streq(q->m->state, "paused") ? "paused" : "running", NULL);
}

static void on_start_verb(struct monitor *m, struct request *rq, int r, const struct err *e);

static void start_next(struct qmp *q)
{
    const struct order *o = q->m->order;

    if (q->next_verb == o->n_verbs) {
        send_command(q, "query-status", NULL, on_start_status, NULL);
        return;
    }
    struct request *rq = request_own(o->verbs[q->next_verb++], on_start_verb);
    if (rq)
        request_run(q->m, rq);
    else
        start_failed(q, "a verb of the launch order cannot be run");
}

static void on_start_verb(struct monitor *m, struct request *rq, int r, const struct err *e)
{
    struct qmp *q = m->driver_state;

    if (r < 0)
        start_unanswered(q, e);
    else
        start_next(q);
}

/* "cont" while QEMU reads a snapshot's memory would be a wish for later, which a guest that was paused does not get;
 * and of the end of the reading there is no word that could be relied on: RESUME comes only if it goes on by itself,
 * and then even before an answer "inmigrate" that was made earlier. How long it may take depends on the storage; holmd
 * has a limit. */
static void on_memory_status(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    char status[24] = "";

    if (m)
        qmp_get_text(m->data, "status", status, sizeof(status));
    if (streq(status, "inmigrate") || (!m && q->is_reading && why->num == -ETIMEDOUT)) {
        q->is_reading = true;
        loop_timer_stop(&q->start_limit);
        loop_timer_set(&q->m->loop, &q->look, LOOK_MS);
        return;
    }
    if (!m) {
        start_unanswered(q, why);
        return;
    }
    if (q->is_reading)
        loop_timer_set(&q->m->loop, &q->start_limit, START_MS);
    start_next(q);
}

static void on_look(void *arg)
{
    send_command(arg, "query-status", NULL, on_memory_status, NULL);
}

static void on_capabilities(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    if (!m)
        start_unanswered(q, why);
    else if (m->kind == QMP_RETURN)
        on_look(q);
    else
        start_failed(q, m->text);
}

/* ---- events ---- */

/* Something that a guest can make happen without end is told a few times a second only. */
static bool is_too_noisy(struct qmp *q)
{
    uint64_t now = clock_boot_ms();

    if (now - q->noisy_window_ms >= 1000) {
        q->noisy_window_ms = now;
        q->n_noisy = 0;
    }
    return q->n_noisy++ >= NOISY_EVENTS_MAX;
}

static void ev_stop(struct qmp *q, const json_t *data)
{
    /* After an I/O error or a panic that is why it stopped. */
    if (!streq(q->m->state, "io-error") && !streq(q->m->state, "panicked") && !streq(q->m->state, "shutdown"))
        monitor_set_state(q->m, "paused");
    if (q->m->is_up)
        control_event(q->m, "paused", NULL);
}

static void ev_resume(struct qmp *q, const json_t *data)
{
    monitor_set_state(q->m, "running");
    if (q->m->is_up)
        control_event(q->m, "running", NULL);
}

static void ev_shutdown(struct qmp *q, const json_t *data)
{
    char reason[48];

    qmp_get_text(data, "reason", reason, sizeof(reason));
    monitor_set_state(q->m, "shutdown");
    q->m->is_exit_expected = true;
    control_event(q->m, "shutdown", reason);
}

static void ev_reset(struct qmp *q, const json_t *data)
{
    if (q->m->is_up && !is_too_noisy(q))
        control_event(q->m, "reset", NULL);
}

static void ev_io_error(struct qmp *q, const json_t *data)
{
    char device[48], action[16], reason[80], text[160];

    qmp_get_text(data, "device", device, sizeof(device));
    if (!device[0])
        qmp_get_text(data, "node-name", device, sizeof(device));
    qmp_get_text(data, "action", action, sizeof(action));
    qmp_get_text(data, "reason", reason, sizeof(reason));
    if (streq(action, "ignore"))
        return;
    /* Somebody who paused it meanwhile decides when it goes on. */
    if (streq(action, "stop") && !streq(q->m->state, "paused")) {
        monitor_set_state(q->m, "io-error");
        snprintf(q->m->full_disk, sizeof(q->m->full_disk), "%.31s",
                 json_is_true(json_object_get(data, "nospace")) ? device : "");
    }
    snprintf(text, sizeof(text), "%s: %s (%s)", device, reason, action);
    if (!is_too_noisy(q))
        control_event(q->m, "io-error", text);
}

static void ev_panicked(struct qmp *q, const json_t *data)
{
    monitor_set_state(q->m, "panicked");
    if (!is_too_noisy(q))
        control_event(q->m, "panicked", NULL);
}

static void ev_deleted(struct qmp *q, const json_t *data)
{
    char id[48];

    qmp_get_text(data, "device", id, sizeof(id));
    script_device_deleted(q, id);
}

static const struct {
    const char *name;
    void (*fn)(struct qmp *q, const json_t *data);
} events[] = {{"DEVICE_DELETED", ev_deleted}, {"STOP", ev_stop},   {"RESUME", ev_resume},
              {"SHUTDOWN", ev_shutdown},      {"RESET", ev_reset}, {"BLOCK_IO_ERROR", ev_io_error},
              {"GUEST_PANICKED", ev_panicked}};

/* ---- input ---- */

static void on_answer(struct qmp *q, const struct qmp_message *m)
{
    static const struct err none = ERR_INIT;

    for (size_t i = 0; m->id && i < PENDING_MAX; i++) {
        struct pending was = q->pending[i];
        if (was.id != m->id)
            continue;
        q->pending[i].id = 0;
        was.fn(q, was.rq, m, &none);
        if (!has_pending(q))
            loop_timer_stop(&q->tick); /* it would wake an idle guest's monitor for nothing */
        return;
    }
}

static void on_message(struct qmp *q, const struct qmp_message *m)
{
    switch (m->kind) {
    case QMP_GREETING:
        q->version = qmp_greeting_version(m->root);
        if (!q->is_greeted)
            send_command(q, "qmp_capabilities", NULL, on_capabilities, NULL);
        q->is_greeted = true;
        break;
    case QMP_RETURN:
    case QMP_ERROR:
        on_answer(q, m);
        break;
    case QMP_EVENT:
        for (size_t i = 0; i < ARRAY_SIZE(events); i++)
            if (streq(events[i].name, m->name))
                events[i].fn(q, m->data);
        break;
    case QMP_OTHER:
        break;
    }
}

/* Hands over whole lines; what is left waits for more. */
static void take_lines(struct qmp *q)
{
    size_t begin = 0;

    while (q->fd >= 0 && q->scanned < q->in.len) {
        const char *end = memchr(q->in.data + q->scanned, '\n', q->in.len - q->scanned);
        if (!end) {
            q->scanned = q->in.len;
            break;
        }
        size_t n = (size_t)(end - (q->in.data + begin));
        struct qmp_message m;
        struct err e = ERR_INIT;
        if (n && q->in.data[begin + n - 1] == '\r')
            n--;
        if (qmp_message_parse(q->in.data + begin, n, &m, &e) < 0) {
            hang_up(q, &e);
            break;
        }
        on_message(q, &m);
        qmp_message_done(&m);
        begin = q->scanned = (size_t)(end - q->in.data) + 1;
    }
    buf_consume(&q->in, begin);
    q->scanned -= begin;
    if (q->in.len == 0)
        buf_done(&q->in);
}

/* The bytes it got; 0 = nothing now, -1 = ended. */
static ssize_t read_once(struct qmp *q)
{
    char *p = buf_reserve(&q->in, READ_BYTES);
    ssize_t n = p ? read(q->fd, p, READ_BYTES) : -1;

    if (!p)
        hang_up_text(q, "QEMU sent a line without an end");
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    else if (n <= 0)
        hang_up_text(q, "QEMU closed its control connection");
    if (n <= 0)
        return -1;
    q->in.len += (size_t)n;
    take_lines(q);
    return q->fd >= 0 ? n : -1;
}

static void on_event(void *arg, short revents)
{
    struct qmp *q = arg;
    ssize_t n = READ_BYTES;

    if (revents & POLLOUT)
        flush_out(q);
    /* Less than it asked for: there is no more now, or poll says so. */
    if (revents & (POLLIN | POLLHUP | POLLERR))
        for (int i = 0; n == READ_BYTES && q->fd >= 0 && i < READS_PER_WAKE; i++)
            n = read_once(q);
    if (q->fd >= 0 && q->in.len == 0)
        buf_done(&q->in);
}

/* ---- life ---- */

static int qmp_open(struct monitor *m, int fd, struct err *e)
{
    struct qmp *q = calloc(1, sizeof(*q));

    if (!q || loop_watch(&m->loop, fd, POLLIN, on_event, q) < 0) {
        free(q);
        close(fd);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    q->m = m;
    q->fd = fd;
    q->is_starting = true;
    buf_init(&q->in, QMP_LINE_MAX + READ_BYTES);
    buf_init(&q->out, OUT_BYTES_MAX);
    loop_timer_init(&q->tick, on_tick, q);
    loop_timer_init(&q->start_limit, on_start_late, q);
    loop_timer_init(&q->look, on_look, q);
    loop_timer_set(&m->loop, &q->start_limit, START_MS);
    m->driver_state = q;
    return 0;
}

static void qmp_close(struct monitor *m)
{
    struct qmp *q = m->driver_state;

    if (!q)
        return;
    /* What QEMU said last: why it goes. */
    for (int i = 0; q->fd >= 0 && i < 64; i++)
        if (read_once(q) <= 0)
            break;
    q->is_starting = false;
    hang_up_text(q, "the guest has ended");
    script_close_all(q);
    loop_timer_stop(&q->start_limit);
    buf_done(&q->in);
    buf_done(&q->out);
    m->driver_state = NULL;
    free(q);
}

const struct driver driver_qmp = {
    .name = "qmp", .channel = "qmp", .open = qmp_open, .command = command, .close = qmp_close};
