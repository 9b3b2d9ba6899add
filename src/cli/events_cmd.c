/* events: follows GET /cluster/events (doc/events.md) and prints a line for each change, until a signal comes: there is
 * no other good end, so a signal is no error here. The daemon hands over a descriptor with the stream's lines; they are
 * capped, parsed, and cleaned like everything else from the daemon.
 *
 * People see changes only. What a snapshot holds is no change: rows before the first ping are not shown, and when there
 * comes a snapshot where changes were expected, a warning says that some are missing. Programs get every line. */
#include <poll.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/run_priv.h"
#include "cli/text_priv.h"

#define LINE_MAX_BYTES (4u * 1024u * 1024u)
#define CHUNK          65536u
#define DEPTH_MAX      16u

struct events {
    struct cli *c;
    int fd;
    const char *kinds; /* "guest,task"; NULL = all */
    bool is_data, has_metrics, has_header;
    bool is_snapshot;     /* rows are what is there, not what is new */
    bool expects_changes; /* from here on a snapshot means that some were missed */
    bool is_ended;
    char reason[200]; /* of the end, if the daemon said one */
    struct buf in, out;
};

static bool is_wanted(const struct events *ev, const char *kind)
{
    size_t n = kind ? strlen(kind) : 0;

    if (!ev->kinds || !kind)
        return true;
    for (const char *p = ev->kinds; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, kind, n) == 0)
            return true;
    return false;
}

/* ---- a change as people read it ---- */

static bool is_one_of(const char *key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (streq(names[i], key))
            return true;
    return false;
}

static bool is_metric(const char *key)
{
    static const char *const names[] = {"cpu", "mem", "uptime", "netin", "netout", "diskread", "diskwrite", "disk"};

    return is_one_of(key, names, ARRAY_SIZE(names));
}

/* The kind and the id say it already. */
static bool is_said(const char *kind, const char *key)
{
    static const char *const everywhere[] = {"node", "vmid", "storage", "upid", "pid", "pstart"};

    return is_one_of(key, everywhere, ARRAY_SIZE(everywhere)) ||
           (!streq(kind, "task") && (streq(key, "id") || streq(key, "type")));
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || (json_is_string(value) && !json_string_length(value));
}

static void begin_part(struct buf *out)
{
    if (out->len)
        buf_append_str(out, ", ");
}

static void write_members(const struct events *ev, const char *kind, json_t *members, bool is_row, struct buf *out)
{
    const char *key;
    json_t *value;

    json_object_foreach(members, key, value)
    {
        if ((is_metric(key) && !ev->has_metrics) || (is_row && (is_said(kind, key) || is_empty(value))))
            continue;
        begin_part(out);
        text_append_clean(out, key, strlen(key));
        buf_append_char(out, '=');
        format_value(key, value, false, out);
    }
}

static void write_unset(const json_t *names, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name)
            continue;
        begin_part(out);
        buf_append_str(out, "no ");
        text_append_clean(out, name, strlen(name));
    }
}

static void write_line(struct events *ev, const char *when, const char *kind, const char *id, const char *change)
{
    struct buf clean;

    buf_init(&clean, 8192);
    text_append_clean(&clean, kind, strnlen(kind, 100));
    buf_printf(&ev->out, "%-19s  %-7s  ", when, buf_str(&clean));
    buf_reset(&clean);
    text_append_clean(&clean, id, strnlen(id, 1000));
    buf_printf(&ev->out, "%-16s  %s\n", buf_str(&clean), change);
    buf_done(&clean);
}

static void show_change(struct events *ev, const char *kind, const char *id, const char *change)
{
    time_t now = time(NULL);
    char when[32] = "";
    struct tm tm;

    if (localtime_r(&now, &tm))
        (void)!strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    if (!ev->has_header && !ev->c->is_quiet)
        write_line(ev, "TIME", "KIND", "ID", "CHANGE");
    ev->has_header = true;
    write_line(ev, when, kind, id, change);
}

static void show(struct events *ev, json_t *line, const char *type, const char *kind)
{
    const char *id = json_string_value(json_object_get(line, "id"));
    struct buf change;

    if (!kind || !id || (ev->is_snapshot && streq(type, "row")))
        return;
    buf_init(&change, LINE_MAX_BYTES);
    if (streq(type, "row")) {
        buf_append_str(&change, "new");
        write_members(ev, kind, json_object_get(line, "row"), true, &change);
    } else if (streq(type, "delta")) {
        write_members(ev, kind, json_object_get(line, "set"), false, &change);
        write_unset(json_object_get(line, "unset"), &change);
    } else if (streq(type, "removed")) {
        buf_append_str(&change, "removed");
    }
    if (change.len)
        show_change(ev, kind, id, buf_str(&change));
    buf_done(&change);
}

/* ---- lines ---- */

static void take_hello(struct events *ev, const json_t *line)
{
    ev->is_snapshot = !json_is_true(json_object_get(line, "is_complete"));
    if (ev->is_snapshot && ev->expects_changes && !ev->is_data && !ev->c->is_quiet)
        fprintf(stderr, "warning: some changes were missed and are not shown\n");
    ev->expects_changes = true;
}

static void take_bye(struct events *ev, const json_t *line)
{
    const char *reason = json_string_value(json_object_get(line, "reason"));

    snprintf(ev->reason, sizeof(ev->reason), "%s", reason ? reason : "");
}

static int take_line(struct events *ev, const char *text, size_t n, struct err *e)
{
    json_t *line = json_depth(text, n) <= DEPTH_MAX ? json_loadb(text, n, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(line, "type"));
    const char *kind = json_string_value(json_object_get(line, "kind"));

    if (!type) {
        json_decref(line);
        return err_set(e, -EPROTO, "cli.protocol", "the daemon sent a line that is no event");
    }
    if (streq(type, "hello"))
        take_hello(ev, line);
    else if (streq(type, "ping"))
        ev->is_snapshot = false;
    else if (streq(type, "bye"))
        take_bye(ev, line);
    if (is_wanted(ev, kind) && ev->is_data) {
        text_append_json(&ev->out, text, n);
        buf_append_char(&ev->out, '\n');
    } else if (is_wanted(ev, kind)) {
        show(ev, line, type, kind);
    }
    json_decref(line);
    return 0;
}

static int take_lines(struct events *ev, size_t from, struct err *e)
{
    size_t begin = 0;
    char *end;
    int r = 0;

    while (r == 0 && (end = memchr(ev->in.data + from, '\n', ev->in.len - from))) {
        size_t at = (size_t)(end - ev->in.data);
        r = take_line(ev, ev->in.data + begin, at - begin, e);
        begin = from = at + 1;
    }
    buf_consume(&ev->in, begin);
    return r;
}

static int read_stream(struct events *ev, struct err *e)
{
    char chunk[CHUNK];
    size_t before = ev->in.len;
    ssize_t n = read(ev->fd, chunk, sizeof(chunk));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0) {
        if (ev->reason[0])
            return err_set(e, -EPIPE, "cli.unreachable", "Holm ended the stream: %s", ev->reason);
        return err_set(e, -EPIPE, "cli.unreachable", "Holm closed the connection");
    }
    buf_append(&ev->in, chunk, (size_t)n);
    if (ev->in.is_failed)
        return err_set(e, -EPROTO, "cli.protocol", "the daemon sent a line that is too long");
    return take_lines(ev, before, e);
}

/* ---- following ---- */

static int write_out(struct events *ev, struct err *e)
{
    int r = ev->out.len || ev->out.is_failed ? output_flush(&ev->out, e) : 0;

    buf_init(&ev->out, OUTPUT_MAX);
    if (r != -EPIPE)
        return r;
    /* Like `head`: whoever reads has had enough. */
    *e = (struct err)ERR_INIT;
    ev->is_ended = true;
    return 0;
}

/* Milliseconds, -1 = no limit. */
static int time_left(const struct cli *c)
{
    uint64_t now = clock_boot_ms();

    if (!c->deadline_ms)
        return -1;
    return c->deadline_ms <= now ? 0 : c->deadline_ms - now > 60000 ? 60000 : (int)(c->deadline_ms - now);
}

static int step(struct events *ev, struct err *e)
{
    struct pollfd p[] = {
        {.fd = ev->fd, .events = POLLIN},
        {.fd = signals_fd(), .events = POLLIN},
        {.fd = STDOUT_FILENO}, /* a reader that went is noticed without anything to write */
    };
    int left_ms = time_left(ev->c);

    if (left_ms == 0)
        return err_set(e, -ETIMEDOUT, "cli.timeout", "the events were left after the time given");
    if (poll(p, ARRAY_SIZE(p), left_ms) < 0)
        return errno == EINTR ? 0 : err_errno(e, errno, "poll");
    int r = p[0].revents ? read_stream(ev, e) : 0;
    struct err ignored = ERR_INIT;
    int w = write_out(ev, r < 0 ? &ignored : e);
    ev->is_ended = ev->is_ended || p[2].revents || signals_pending();
    return r < 0 ? r : w;
}

static int check_format(const struct cli *c, struct err *e)
{
    if (!c->columns && c->format != FORMAT_CSV && c->format != FORMAT_NAME)
        return 0;
    return err_set(e, -EINVAL, "cli.usage", "events are printed as table, json or ndjson, without columns");
}

static int follow(struct cli *c, const struct cli_args *a, int fd, struct err *e)
{
    struct events ev = {.c = c,
                        .fd = fd,
                        .kinds = args_get(a, "kind", true),
                        .is_data = c->format != FORMAT_TABLE,
                        .has_metrics = args_get(a, "metrics", false),
                        .expects_changes = args_get(a, "cursor", false)};
    int r = 0;

    buf_init(&ev.in, LINE_MAX_BYTES);
    buf_init(&ev.out, OUTPUT_MAX);
    while (r == 0 && !ev.is_ended && !signals_pending())
        r = step(&ev, e);
    buf_done(&ev.in);
    buf_done(&ev.out);
    return r;
}

int events_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct request q = {
        .method = cmd->method, .path = cmd->path, .kind = "websocket", .params = a->params, .n_params = a->n_params};
    autoreply struct reply stream = REPLY_INIT;
    int r = check_format(c, e);

    if (r == 0)
        r = call_api(c, &q, &stream, e);
    if (r < 0)
        return r;
    if (stream.fd < 0 || stream.is_upload || !streq(stream.mode, "raw"))
        return err_set(e, -EPROTO, "cli.protocol", "the daemon opened no stream of events");
    return follow(c, a, stream.fd, e);
}
