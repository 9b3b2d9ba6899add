/* The control connection; see control.h. A verb is a row of `verbs`. Requests are answered in the order in which they
 * came; while more than half of the room for answers is taken no further one is looked at. */
#include "vmm/control.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/log.h"

#define DEPTH_MAX 4u
#define ARGS_MAX  2u

struct control {
    struct loop *loop;
    struct loop_source source;
    const struct control_ops *ops;
    struct machine *machine;
    struct buf in, out;
    bool is_over; /* the connection has ended */
};

static void handle_lines(struct control *c);

/* --- Sending --------------------------------------------------------------------------------------------------------
 */

static void hang_up(struct control *c, const char *why)
{
    if (c->is_over)
        return;
    c->is_over = true;
    loop_remove(c->loop, &c->source);
    (void)shutdown(c->source.fd, SHUT_RDWR); /* the descriptor is not ours to close */
    buf_done(&c->in);
    buf_done(&c->out);
    log_note("control connection: %s", why);
}

static void flush(struct control *c)
{
    while (!c->is_over && c->out.len) {
        ssize_t n = write(c->source.fd, c->out.data, c->out.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            hang_up(c, "closed by the peer");
            return;
        }
        if (n <= 0)
            break;
        buf_consume(&c->out, (size_t)n);
    }
}

static bool is_congested(const struct control *c)
{
    return c->out.len > CONTROL_OUT_MAX / 2;
}

static void update_events(struct control *c)
{
    uint32_t events = (is_congested(c) ? 0 : EPOLLIN) | (c->out.len ? EPOLLOUT : 0);

    if (!c->is_over && loop_change(c->loop, &c->source, events) < 0)
        hang_up(c, "cannot be watched");
}

static void send_line(struct control *c, struct buf *line)
{
    if (c->is_over)
        return;
    buf_append_char(line, '\n');
    buf_append(&c->out, line->data, line->len);
    if (line->is_failed || c->out.is_failed) {
        hang_up(c, "the peer does not read");
        return;
    }
    flush(c);
    update_events(c);
}

static const char *state_name(enum machine_state state)
{
    return state == MACHINE_RUNNING ? "running" : state == MACHINE_PAUSED ? "paused" : "ended";
}

/* state, reason: NULL, if it has none. */
static void send_event(struct control *c, const char *name, const char *state, const char *reason)
{
    autobuf struct buf line;
    struct jw w;

    buf_init(&line, CONTROL_LINE_MAX);
    jw_init(&w, &line);
    jw_object(&w);
    jw_kv_str(&w, "event", name);
    if (state)
        jw_kv_str(&w, "state", state);
    if (reason)
        jw_kv_str(&w, "reason", reason);
    jw_object_end(&w);
    send_line(c, &line);
}

void control_event(struct control *c, const char *name)
{
    if (c)
        send_event(c, name, NULL, NULL);
}

void control_state_event(struct control *c, const char *reason)
{
    if (c)
        send_event(c, "state", state_name(c->ops->state(c->machine)), reason);
}

/* --- Verbs ----------------------------------------------------------------------------------------------------------
 */

static int unsupported(struct err *e, const char *id, const char *what)
{
    return err_set(e, -EOPNOTSUPP, "control.unsupported", "%.40s %s", id, what);
}

static struct virtio *find_device(struct control *c, const json_t *args, struct err *e)
{
    const char *wanted = json_string_value(json_object_get(args, "device")), *id;
    struct virtio *v;

    for (unsigned i = 0; (v = c->ops->device(c->machine, i, &id)); i++)
        if (streq(id, wanted))
            return v;
    err_set(e, -ENODEV, "control.device", "there is no device '%.40s'", wanted);
    return NULL;
}

static int do_version(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    jw_kv_str(w, "version", HOLM_VERSION);
    jw_kv_int(w, "protocol", CONTROL_PROTOCOL);
    return 0;
}

static int do_status(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    struct virtio *v;
    const char *id;

    jw_kv_str(w, "state", state_name(c->ops->state(c->machine)));
    jw_key(w, "devices");
    jw_array(w);
    for (unsigned i = 0; (v = c->ops->device(c->machine, i, &id)); i++) {
        jw_object(w);
        jw_kv_str(w, "id", id);
        jw_kv_str(w, "kind", virtio_ops_of(v)->name);
        jw_kv_int(w, "slot", virtio_slot(v));
        jw_kv_str(w, "state", virtio_is_failed(v) ? "failed" : virtio_is_running(v) ? "running" : "idle");
        jw_object_end(w);
    }
    jw_array_end(w);
    return 0;
}

static int do_pause(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    if (c->ops->state(c->machine) == MACHINE_ENDED)
        return err_set(e, -EINVAL, "machine.ended", "the machine has ended");
    c->ops->pause(c->machine);
    return 0;
}

static int do_resume(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    return c->ops->resume(c->machine, e);
}

static int do_reset(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    return c->ops->reset(c->machine, e);
}

static int do_power_button(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    c->ops->power_button(c->machine);
    return 0;
}

static int do_end(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    return 0; /* after the answer: see answer() */
}

static void tell_number(void *arg, const char *name, uint64_t value)
{
    jw_kv_u64(arg, name, value);
}

static int do_stats(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    struct virtio *v;
    const char *id;

    jw_kv_u64(w, "exits", c->ops->exits(c->machine));
    jw_key(w, "devices");
    jw_array(w);
    for (unsigned i = 0; (v = c->ops->device(c->machine, i, &id)); i++) {
        jw_object(w);
        jw_kv_str(w, "id", id);
        jw_kv_str(w, "kind", virtio_ops_of(v)->name);
        jw_key(w, "counters");
        jw_object(w);
        if (virtio_ops_of(v)->counters)
            virtio_ops_of(v)->counters(virtio_device(v), tell_number, w);
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
    return 0;
}

static int do_disk_resize(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(args, "bytes"));
    struct virtio *v = find_device(c, args, e);

    if (!v)
        return e->num;
    if (!virtio_ops_of(v)->resize)
        return unsupported(e, virtio_ops_of(v)->name, "devices have no size");
    return virtio_ops_of(v)->resize(virtio_device(v), bytes, e);
}

static int do_disk_limit(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    struct virtio *v = find_device(c, args, e);
    struct propstr p;

    if (!v)
        return e->num;
    if (!virtio_ops_of(v)->limit)
        return unsupported(e, virtio_ops_of(v)->name, "devices have no limits");
    if (propstr_parse(json_string_value(json_object_get(args, "limits")), NULL, &p, e) < 0)
        return e->num;
    return virtio_ops_of(v)->limit(virtio_device(v), &p, e);
}

static int do_net_link(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    struct virtio *v = find_device(c, args, e);

    if (!v)
        return e->num;
    if (!virtio_ops_of(v)->link)
        return unsupported(e, virtio_ops_of(v)->name, "devices have no cable");
    return virtio_ops_of(v)->link(virtio_device(v), json_is_true(json_object_get(args, "up")), e);
}

static struct virtio *find_balloon(struct control *c, struct err *e)
{
    struct virtio *v;
    const char *id;

    for (unsigned i = 0; (v = c->ops->device(c->machine, i, &id)); i++)
        if (virtio_ops_of(v)->balloon)
            return v;
    err_set(e, -ENODEV, "control.device", "the machine has no balloon");
    return NULL;
}

static int do_balloon(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    struct virtio *v = find_balloon(c, e);

    return v ? virtio_ops_of(v)->balloon(virtio_device(v), (uint64_t)json_integer_value(json_object_get(args, "bytes")),
                                         e)
             : e->num;
}

static int do_balloon_stats(struct control *c, const json_t *args, struct jw *w, struct err *e)
{
    struct virtio *v = find_balloon(c, e);

    if (!v)
        return e->num;
    if (virtio_ops_of(v)->balloon_stats)
        virtio_ops_of(v)->balloon_stats(virtio_device(v), tell_number, w);
    return 0;
}

struct arg {
    const char *name;
    json_type type; /* JSON_TRUE: a boolean; JSON_INTEGER: not negative */
};

static const struct verb {
    const char *name;
    /* Writes members of "ok". */
    int (*run)(struct control *c, const json_t *args, struct jw *w, struct err *e);
    struct arg args[ARGS_MAX]; /* all of them are needed */
} verbs[] = {
    {"version", do_version},
    {"status", do_status},
    {"pause", do_pause},
    {"resume", do_resume},
    {"reset", do_reset},
    {"power-button", do_power_button},
    {"end", do_end},
    {"stats", do_stats},
    {"disk-resize", do_disk_resize, {{"device", JSON_STRING}, {"bytes", JSON_INTEGER}}},
    {"disk-limit", do_disk_limit, {{"device", JSON_STRING}, {"limits", JSON_STRING}}},
    {"net-link", do_net_link, {{"device", JSON_STRING}, {"up", JSON_TRUE}}},
    {"balloon", do_balloon, {{"bytes", JSON_INTEGER}}},
    {"balloon-stats", do_balloon_stats},
};

/* --- Requests -------------------------------------------------------------------------------------------------------
 */

static bool has_type(const json_t *value, json_type type)
{
    if (type == JSON_TRUE)
        return json_is_boolean(value);
    return value && json_typeof(value) == type && (type != JSON_INTEGER || json_integer_value(value) >= 0);
}

static int check_args(const struct verb *v, const json_t *request, struct err *e)
{
    size_t n = 2; /* id and verb */

    for (unsigned i = 0; i < ARGS_MAX && v->args[i].name; i++, n++)
        if (!has_type(json_object_get(request, v->args[i].name), v->args[i].type))
            return err_set(e, -EINVAL, "control.argument", "%s needs '%s'", v->name, v->args[i].name);
    if (json_object_size(request) != n)
        return err_set(e, -EINVAL, "control.argument", "%s has members that it does not know", v->name);
    return 0;
}

static int find_verb(const json_t *request, const struct verb **ret_verb, struct err *e)
{
    const json_t *name = json_object_get(request, "verb");

    if (!json_is_string(name))
        return err_set(e, -EINVAL, "control.malformed", "a request has a string 'verb'");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (streq(verbs[i].name, json_string_value(name))) {
            *ret_verb = &verbs[i];
            return check_args(&verbs[i], request, e);
        }
    return err_set(e, -EINVAL, "control.verb", "there is no verb '%.40s'", json_string_value(name));
}

static int parse(const char *line, size_t n, json_t **ret_request, struct err *e)
{
    json_error_t why;
    json_t *request;

    if (json_depth(line, n) > DEPTH_MAX)
        return err_set(e, -EPROTO, "control.malformed", "nested deeper than %u", DEPTH_MAX);
    request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    if (!has_type(json_object_get(request, "id"), JSON_INTEGER)) {
        json_decref(request);
        return err_set(e, -EPROTO, "control.malformed", "a request is a JSON object with a number 'id'");
    }
    *ret_request = request;
    return 0;
}

static void put_error(struct jw *w, const struct err *e)
{
    jw_key(w, "error");
    jw_object(w);
    jw_kv_str(w, "code", e->code);
    jw_kv_str(w, "text", e->text);
    if (e->hint[0])
        jw_kv_str(w, "hint", e->hint);
    jw_object_end(w);
}

/* The members of "ok" are gathered apart: a verb may fail after some. */
static void answer(struct control *c, const char *text, size_t n)
{
    autobuf struct buf line, ok;
    const struct verb *verb = NULL;
    json_t *request = NULL;
    struct err e = ERR_INIT;
    struct jw w;
    int r;

    buf_init(&line, CONTROL_OUT_MAX);
    buf_init(&ok, CONTROL_OUT_MAX);
    r = parse(text, n, &request, &e);
    if (r == 0)
        r = find_verb(request, &verb, &e);
    jw_init(&w, &ok);
    jw_object(&w);
    if (r == 0)
        r = verb->run(c, request, &w, &e);
    jw_object_end(&w);
    jw_init(&w, &line);
    jw_object(&w);
    jw_key(&w, "id");
    if (request)
        jw_u64(&w, (uint64_t)json_integer_value(json_object_get(request, "id")));
    else
        jw_null(&w);
    if (r == 0) {
        jw_key(&w, "ok");
        jw_raw(&w, ok.data, ok.len);
    } else {
        put_error(&w, &e);
    }
    jw_object_end(&w);
    line.is_failed = line.is_failed || ok.is_failed;
    json_decref(request);
    send_line(c, &line);
    if (r == 0 && verb->run == do_end)
        c->ops->end(c->machine);
}

static void handle_lines(struct control *c)
{
    size_t at = 0;

    while (!c->is_over && !is_congested(c)) {
        const char *end = at < c->in.len ? memchr(c->in.data + at, '\n', c->in.len - at) : NULL;

        if (!end)
            break;
        answer(c, c->in.data + at, (size_t)(end - (c->in.data + at)));
        at = (size_t)(end - c->in.data) + 1;
    }
    if (c->is_over)
        return;
    buf_consume(&c->in, at);
    if (!is_congested(c) && c->in.len >= CONTROL_LINE_MAX)
        hang_up(c, "a line without an end");
}

static void take(struct control *c)
{
    size_t room = CONTROL_LINE_MAX - c->in.len;
    char *to = buf_reserve(&c->in, room);
    ssize_t n = to ? read(c->source.fd, to, room) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(c, "closed by the peer");
        return;
    }
    c->in.len += (size_t)n;
    handle_lines(c);
}

static void on_ready(void *context, uint32_t events)
{
    struct control *c = context;

    if (events & EPOLLOUT) {
        flush(c);
        if (!c->is_over)
            handle_lines(c);
    }
    if (!c->is_over && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && c->in.len < CONTROL_LINE_MAX)
        take(c);
    update_events(c);
}

int control_new(struct loop *l, int fd, const struct control_ops *ops, struct machine *m, struct control **ret_control,
                struct err *e)
{
    struct control *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    /* Now, and not at the first request: in the jail no file can be opened for it any more. */
    json_object_seed(0);
    *c = (struct control){.loop = l,
                          .source = {.fd = fd, .events = EPOLLIN, .on_ready = on_ready, .context = c},
                          .ops = ops,
                          .machine = m};
    buf_init(&c->in, CONTROL_LINE_MAX);
    buf_init(&c->out, CONTROL_OUT_MAX);
    r = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : loop_add(l, &c->source);
    if (r < 0) {
        free(c);
        return err_errno(e, -r, "--control: use the socket");
    }
    *ret_control = c;
    return 0;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    flush(c);
    if (!c->is_over)
        loop_remove(c->loop, &c->source);
    buf_done(&c->in);
    buf_done(&c->out);
    free(c);
}
