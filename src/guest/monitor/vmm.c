/* The driver "vmm": holm-vmm by its control connection (doc/vmm-api.md). Commands are sent without waiting; each has a
 * deadline, after which its caller gets -ETIMEDOUT while the guest goes on. What holm-vmm says is hostile, as a guest
 * may have taken it over: lines are bounded, nesting is counted before a parser sees them, and a line that breaks the
 * rules ends the conversation, not the guest.
 *
 * Start: the verb version, the verbs of the launch order one after another, status; then the guest is up. */
#include <jansson.h>
#include <poll.h>

#include "base/clock.h"
#include "base/json.h"
#include "guest/monitor/monitor.h"
#include "guest/monitor/qmp_message.h"
#include "proto/frame.h"

#define COMMAND_MS       10000u
#define START_MS         60000u
#define TICK_MS          250u
#define REQUEST_MAX      4095u /* of a line: what holm-vmm takes */
#define LINE_MAX_BYTES   (64u * 1024u)
#define DEPTH_MAX        8u
#define OUT_BYTES_MAX    65536u
#define READ_BYTES       4096u
#define READS_PER_WAKE   8
#define PENDING_MAX      32u
#define DEVICES_MAX      64u
#define NOISY_EVENTS_MAX 10u /* resets and panics told per second */

struct vmm;
/* answer: the member "ok", or NULL; then e says why. Called exactly once. */
typedef void (*answer_fn)(struct vmm *v, struct request *rq, const json_t *answer, const struct err *e);

struct pending {
    uint64_t id; /* 0: free */
    uint64_t deadline_ms;
    answer_fn fn;
    struct request *rq;
};

struct vmm {
    struct monitor *m;
    int fd;
    struct buf in, out;
    struct pending pending[PENDING_MAX];
    uint64_t last_id;
    bool is_starting;
    size_t next_verb;
    struct loop_timer tick, start_limit;
    uint64_t noisy_window_ms;
    unsigned n_noisy;
    bool has_ended;
    unsigned n_states_asked; /* pauses and resumes: holmd hears of no more than it asked for */
};

static void start_unanswered(struct vmm *v, const struct err *why);

/* ---- the conversation ---- */

static void fail_pending(struct vmm *v, struct pending *p, const struct err *e)
{
    struct pending was = *p;

    p->id = 0;
    was.fn(v, was.rq, NULL, e);
}

/* Ends the conversation; a guest that is up is left alone. */
static void hang_up(struct vmm *v, int num, const char *text)
{
    struct err e = ERR_INIT;

    if (v->fd < 0)
        return;
    err_set(&e, num, "guest.gone", "%s", text);
    loop_unwatch(&v->m->loop, v->fd);
    close(TAKE_FD(v->fd));
    loop_timer_stop(&v->tick);
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (v->pending[i].id)
            fail_pending(v, &v->pending[i], &e);
    start_unanswered(v, &e);
}

static void flush_out(struct vmm *v)
{
    while (v->fd >= 0 && v->out.len) {
        ssize_t n = write(v->fd, v->out.data, v->out.len);
        if (n <= 0)
            break;
        buf_consume(&v->out, (size_t)n);
    }
    if (v->fd >= 0)
        loop_events(&v->m->loop, v->fd, (short)(POLLIN | (v->out.len ? POLLOUT : 0)));
}

static bool has_pending(const struct vmm *v)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (v->pending[i].id)
            return true;
    return false;
}

static void on_tick(void *arg)
{
    struct vmm *v = arg;
    uint64_t now = clock_boot_ms();
    struct err e = ERR_INIT;

    err_set(&e, -ETIMEDOUT, "guest.timeout", "holm-vmm does not answer");
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (v->pending[i].id && v->pending[i].deadline_ms <= now)
            fail_pending(v, &v->pending[i], &e);
    if (v->fd >= 0 && has_pending(v))
        loop_timer_set(&v->m->loop, &v->tick, TICK_MS);
}

static struct pending *pending_new(struct vmm *v, struct err *e)
{
    if (v->fd < 0) {
        err_set(e, -EPIPE, "guest.gone", "there is no connection to holm-vmm");
        return NULL;
    }
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (!v->pending[i].id)
            return &v->pending[i];
    err_set(e, -EBUSY, "guest.busy", "%u commands wait for holm-vmm already", PENDING_MAX);
    return NULL;
}

/* arguments: a JSON object, or NULL; its members become members of the request. */
static void send_verb(struct vmm *v, const char *verb, const char *arguments, answer_fn fn, struct request *rq)
{
    struct err e = ERR_INIT;
    struct pending *p = pending_new(v, &e);
    struct jw w;
    autobuf struct buf line;

    buf_init(&line, REQUEST_MAX);
    if (!p) {
        fn(v, rq, NULL, &e);
        return;
    }
    jw_init(&w, &line);
    jw_object(&w);
    jw_kv_u64(&w, "id", v->last_id + 1);
    jw_kv_str(&w, "verb", verb);
    if (arguments && arguments[0] == '{' && arguments[1] && arguments[1] != '}')
        buf_printf(&line, ",%s", arguments + 1);
    else
        jw_object_end(&w);
    buf_append_char(&line, '\n');
    if (!line.is_failed)
        buf_append(&v->out, line.data, line.len);
    if (line.is_failed || v->out.is_failed) {
        v->out.is_failed = false;
        err_set(&e, -ENOBUFS, "guest.busy", line.is_failed ? "the command is too long" : "holm-vmm does not read");
        fn(v, rq, NULL, &e);
        return;
    }
    *p = (struct pending){.id = ++v->last_id,
                          .deadline_ms = clock_boot_ms() + (v->is_starting ? START_MS : COMMAND_MS),
                          .fn = fn,
                          .rq = rq};
    if (list_is_empty(&v->tick.node))
        loop_timer_set(&v->m->loop, &v->tick, TICK_MS);
    flush_out(v);
}

/* ---- verbs ---- */

static void on_simple(struct vmm *v, struct request *rq, const json_t *answer, const struct err *e)
{
    request_finish(v->m, rq, answer ? 0 : e->num, e);
}

/* It may be gone before it has answered. */
static void on_end(struct vmm *v, struct request *rq, const json_t *answer, const struct err *e)
{
    request_finish(v->m, rq, answer || e->num == -EPIPE ? 0 : e->num, e);
}

static void on_balloon(struct vmm *v, struct request *rq, const json_t *answer, const struct err *e)
{
    uint64_t bytes;

    /* Without a balloon the value is absent. */
    if (answer && qmp_get_u64(answer, "actual-bytes", &bytes))
        request_stat(rq, "balloon", bytes);
    request_finish(v->m, rq, !answer && e->num == -ETIMEDOUT ? e->num : 0, e);
}

static void sum_disks(const json_t *devices, uint64_t *ret_read_bytes, uint64_t *ret_write_bytes)
{
    *ret_read_bytes = *ret_write_bytes = 0;
    for (size_t i = 0; i < json_array_size(devices) && i < DEVICES_MAX; i++) {
        const json_t *counters = json_object_get(json_array_get(devices, i), "counters");
        char kind[16];
        uint64_t n;
        qmp_get_text(json_array_get(devices, i), "kind", kind, sizeof(kind));
        if (!streq(kind, "disk"))
            continue;
        if (qmp_get_u64(counters, "read-bytes", &n))
            *ret_read_bytes += n;
        if (qmp_get_u64(counters, "write-bytes", &n))
            *ret_write_bytes += n;
    }
}

static void on_stats(struct vmm *v, struct request *rq, const json_t *answer, const struct err *e)
{
    uint64_t read_bytes, write_bytes;

    if (!answer) {
        request_finish(v->m, rq, e->num, e);
        return;
    }
    sum_disks(json_object_get(answer, "devices"), &read_bytes, &write_bytes);
    request_stat(rq, "diskread", read_bytes);
    request_stat(rq, "diskwrite", write_bytes);
    send_verb(v, "balloon-stats", NULL, on_balloon, rq);
}

static void on_script(struct vmm *v, struct request *rq, const json_t *answer, const struct err *why)
{
    autofree char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    struct err e = *why;
    int r = !answer ? e.num : text ? request_body(rq, text, strlen(text), &e) : err_set(&e, -ENOMEM, NULL, "no memory");

    request_finish(v->m, rq, r, &e);
}

/* One step that must succeed, "+verb {arguments}", as src/engine/vmm_launch.c writes it. */
static void run_script(struct vmm *v, struct request *rq)
{
    autofree char *step = NULL;
    struct field_reader fr;
    struct field f;
    struct err e = ERR_INIT;
    unsigned n = 0;
    int r = 0;

    field_reader_init(&fr, rq->payload.data, rq->payload.len);
    while (r == 0 && field_next(&fr, &f) == 1)
        if (f.tag == FIELD_ARG && n++ == 0)
            r = field_dup_str(&f, &step);
    if (r < 0 || n != 1 || rq->n_fds || step[0] != '+') {
        r = err_set(&e, -EINVAL, "guest.verb", "not a script for holm-vmm");
        request_finish(v->m, rq, r, &e);
        return;
    }
    char *arguments = strchr(step, ' ');
    if (arguments)
        *arguments++ = 0;
    send_verb(v, step + 1, arguments, on_script, rq);
}

static const struct verb {
    const char *name, *verb;
    answer_fn answer;
    const char *link; /* "true", "false": the cable of the interface that is the argument */
} verbs[] = {
    {"powerdown", "power-button", on_simple, NULL},
    {"reset", "reset", on_simple, NULL},
    {"pause", "pause", on_simple, NULL},
    {"resume", "resume", on_simple, NULL},
    {"quit", "end", on_end, NULL},
    {"stats", "stats", on_stats, NULL},
    {"link-down", "net-link", on_simple, "false"},
    {"link-up", "net-link", on_simple, "true"},
};

static void command(struct monitor *m, struct request *rq)
{
    struct vmm *v = m->driver_state;
    struct err e = ERR_INIT;
    char arguments[160];

    if (streq(rq->verb, "script")) {
        run_script(v, rq);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        const struct verb *row = &verbs[i];
        if (!streq(row->name, rq->verb))
            continue;
        if (row->link)
            snprintf(arguments, sizeof(arguments), "{\"device\":\"%s\",\"up\":%s}", rq->arg, row->link);
        if (streq(row->name, "quit"))
            m->is_exit_expected = true;
        v->n_states_asked += streq(row->name, "pause") || streq(row->name, "resume");
        send_verb(v, row->verb, row->link ? arguments : NULL, row->answer, rq);
        return;
    }
    err_set(&e, -EOPNOTSUPP, "guest.verb", "holm-vmm has no command '%s'", rq->verb);
    request_finish(m, rq, e.num, &e);
}

/* ---- start ---- */

static void start_failed(struct vmm *v, const char *text)
{
    if (!v->is_starting)
        return;
    v->is_starting = false;
    loop_timer_stop(&v->start_limit);
    control_event(v->m, "failed", text);
    child_kill(v->m);
}

/* A connection that was closed tells nothing: the end, which comes next, has the words on standard error. */
static void start_unanswered(struct vmm *v, const struct err *why)
{
    if (why->num != -EPIPE)
        start_failed(v, why->text);
}

static void on_start_late(void *arg)
{
    start_failed(arg, "holm-vmm does not answer");
}

static void on_start_status(struct vmm *v, struct request *rq, const json_t *answer, const struct err *why)
{
    char state[24];

    if (!answer) {
        start_unanswered(v, why);
        return;
    }
    qmp_get_text(answer, "state", state, sizeof(state));
    if (!streq(state, "running") && !streq(state, "paused")) {
        start_failed(v, "holm-vmm does not tell its state");
        return;
    }
    v->is_starting = false;
    loop_timer_stop(&v->start_limit);
    v->m->is_up = true;
    monitor_set_state(v->m, state);
    control_event(v->m, state, NULL);
}

static void on_start_verb(struct monitor *m, struct request *rq, int r, const struct err *e);

static void start_next(struct vmm *v)
{
    const struct order *o = v->m->order;

    if (v->next_verb == o->n_verbs) {
        send_verb(v, "status", NULL, on_start_status, NULL);
        return;
    }
    struct request *rq = request_own(o->verbs[v->next_verb++], on_start_verb);
    if (rq)
        request_run(v->m, rq);
    else
        start_failed(v, "a verb of the launch order cannot be run");
}

static void on_start_verb(struct monitor *m, struct request *rq, int r, const struct err *e)
{
    struct vmm *v = m->driver_state;

    if (r < 0)
        start_unanswered(v, e);
    else
        start_next(v);
}

static void on_version(struct vmm *v, struct request *rq, const json_t *answer, const struct err *why)
{
    uint64_t protocol;

    if (!answer)
        start_unanswered(v, why);
    else if (!qmp_get_u64(answer, "protocol", &protocol) || protocol != 1)
        start_failed(v, "holm-vmm is of another version");
    else
        start_next(v);
}

/* ---- events ---- */

/* Something that a guest can make happen without end is told a few times a second only. */
static bool is_too_noisy(struct vmm *v)
{
    uint64_t now = clock_boot_ms();

    if (now - v->noisy_window_ms >= 1000) {
        v->noisy_window_ms = now;
        v->n_noisy = 0;
    }
    return v->n_noisy++ >= NOISY_EVENTS_MAX;
}

static void ev_state(struct vmm *v, const json_t *event)
{
    char state[24], reason[24];

    qmp_get_text(event, "state", state, sizeof(state));
    qmp_get_text(event, "reason", reason, sizeof(reason));
    if (v->has_ended)
        return; /* it is said once, and nothing follows */
    if (streq(state, "ended")) {
        v->has_ended = true;
        /* One that failed says why on standard error. */
        if (streq(reason, "failed"))
            return;
        monitor_set_state(v->m, "shutdown");
        v->m->is_exit_expected = true;
        control_event(v->m, "shutdown", reason);
    } else if (streq(state, "running") || streq(state, "paused")) {
        monitor_set_state(v->m, state);
        if (v->m->is_up && v->n_states_asked) {
            v->n_states_asked--;
            control_event(v->m, state, NULL);
        }
    }
}

static void ev_reset(struct vmm *v, const json_t *event)
{
    if (streq(v->m->state, "panicked"))
        monitor_set_state(v->m, "running");
    if (v->m->is_up && !is_too_noisy(v))
        control_event(v->m, "reset", NULL);
}

static void ev_panic(struct vmm *v, const json_t *event)
{
    monitor_set_state(v->m, "panicked");
    if (!is_too_noisy(v))
        control_event(v->m, "panicked", NULL);
}

static const struct {
    const char *name;
    void (*fn)(struct vmm *v, const json_t *event);
} events[] = {{"state", ev_state}, {"reset", ev_reset}, {"panic", ev_panic}};

/* ---- input ---- */

static void on_answer(struct vmm *v, uint64_t id, const json_t *root)
{
    const json_t *ok = json_object_get(root, "ok"), *error = json_object_get(root, "error");
    struct err e = ERR_INIT;
    char text[200];

    for (size_t i = 0; id && i < PENDING_MAX; i++) {
        struct pending was = v->pending[i];
        if (was.id != id)
            continue;
        qmp_get_text(error, "text", text, sizeof(text));
        if (!json_is_object(ok))
            err_set(&e, -EIO, "guest.refused", "holm-vmm: %s", text[0] ? text : "no answer that can be read");
        v->pending[i].id = 0;
        was.fn(v, was.rq, json_is_object(ok) ? ok : NULL, &e);
        if (!has_pending(v))
            loop_timer_stop(&v->tick); /* it would wake an idle guest's monitor for nothing */
        return;
    }
}

static void on_line(struct vmm *v, const char *line, size_t n)
{
    json_error_t why;
    json_t *root = json_depth(line, n) <= DEPTH_MAX ? json_loadb(line, n, JSON_REJECT_DUPLICATES, &why) : NULL;
    char name[24];
    uint64_t id;

    if (!json_is_object(root)) {
        json_decref(root);
        hang_up(v, -EPROTO, "holm-vmm said something that is not its language");
        return;
    }
    qmp_get_text(root, "event", name, sizeof(name));
    if (qmp_get_u64(root, "id", &id))
        on_answer(v, id, root);
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        if (streq(events[i].name, name))
            events[i].fn(v, root);
    json_decref(root);
}

static void take_lines(struct vmm *v)
{
    size_t begin = 0;

    while (v->fd >= 0 && begin < v->in.len) {
        const char *end = memchr(v->in.data + begin, '\n', v->in.len - begin);
        if (!end)
            break;
        on_line(v, v->in.data + begin, (size_t)(end - (v->in.data + begin)));
        begin = (size_t)(end - v->in.data) + 1;
    }
    buf_consume(&v->in, begin);
}

/* The bytes it got; 0 = nothing now, -1 = ended. */
static ssize_t read_once(struct vmm *v)
{
    char *p = buf_reserve(&v->in, READ_BYTES);
    ssize_t n = p ? read(v->fd, p, READ_BYTES) : -1;

    if (!p)
        hang_up(v, -EPROTO, "holm-vmm sent a line without an end");
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    else if (n <= 0)
        hang_up(v, -EPIPE, "holm-vmm closed its control connection");
    if (n <= 0)
        return -1;
    v->in.len += (size_t)n;
    take_lines(v);
    return v->fd >= 0 ? n : -1;
}

static void on_event(void *arg, short revents)
{
    struct vmm *v = arg;
    ssize_t n = READ_BYTES;

    if (revents & POLLOUT)
        flush_out(v);
    /* Less than it asked for: there is no more now, or poll says so. */
    if (revents & (POLLIN | POLLHUP | POLLERR))
        for (int i = 0; n == READ_BYTES && v->fd >= 0 && i < READS_PER_WAKE; i++)
            n = read_once(v);
    if (v->fd >= 0 && v->in.len == 0)
        buf_done(&v->in);
}

/* ---- life ---- */

static int vmm_open(struct monitor *m, int fd, struct err *e)
{
    struct vmm *v = calloc(1, sizeof(*v));

    if (!v || loop_watch(&m->loop, fd, POLLIN, on_event, v) < 0) {
        free(v);
        close(fd);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    v->m = m;
    v->fd = fd;
    v->is_starting = true;
    buf_init(&v->in, LINE_MAX_BYTES + READ_BYTES);
    buf_init(&v->out, OUT_BYTES_MAX);
    loop_timer_init(&v->tick, on_tick, v);
    loop_timer_init(&v->start_limit, on_start_late, v);
    loop_timer_set(&m->loop, &v->start_limit, START_MS);
    m->driver_state = v;
    /* It answers once the machine is made; until then the line waits for it. */
    send_verb(v, "version", NULL, on_version, NULL);
    return 0;
}

static void vmm_close(struct monitor *m)
{
    struct vmm *v = m->driver_state;

    if (!v)
        return;
    /* What it said last: why it goes. */
    for (int i = 0; v->fd >= 0 && i < 64; i++)
        if (read_once(v) <= 0)
            break;
    v->is_starting = false;
    hang_up(v, -EPIPE, "the guest has ended");
    loop_timer_stop(&v->start_limit);
    buf_done(&v->in);
    buf_done(&v->out);
    m->driver_state = NULL;
    free(v);
}

const struct driver driver_vmm = {
    .name = "vmm", .channel = "control", .open = vmm_open, .command = command, .close = vmm_close};
