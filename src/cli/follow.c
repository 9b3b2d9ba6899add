/* Following a task: ask for its state at growing intervals, print what its log gained. On a terminal only the last line
 * is shown, and replaced; warnings stay. Ctrl-C leaves the task alone and says how to come back to it. */
#include "cli/follow_priv.h"

#include <inttypes.h>
#include <sys/ioctl.h>

#include "cli/output_priv.h"
#include "cli/text_priv.h"

#define POLL_FIRST_MS 50u
#define POLL_MAX_MS   500u
#define LOG_PAGE      500u

struct follow {
    struct cli *c;
    const char *upid;
    uint64_t lines;
    bool is_shown;    /* the log goes to standard error */
    bool is_terminal; /* one line that is replaced */
    bool is_line_up;
};

bool upid_is_valid(const char *text)
{
    size_t colons = 0, n = strlen(text);

    if (!str_starts(text, "UPID:") || n >= UPID_TEXT_MAX || text[n - 1] != ':' || text[5] == ':')
        return false;
    for (const char *p = text; *p; p++) {
        if (*p <= ' ' || *p >= 0x7F || *p == '/')
            return false;
        colons += *p == ':';
    }
    return colons == 8;
}

void upid_node(const char *upid, char *dst, size_t cap)
{
    snprintf(dst, cap, "%.*s", (int)strcspn(upid + 5, ":"), upid + 5);
}

struct upid_path {
    char node[UPID_TEXT_MAX];
    const char *upid;
};

static const char *upid_key(void *arg, const char *key)
{
    struct upid_path *p = arg;

    return streq(key, "node") ? p->node : p->upid;
}

static int upid_call(struct cli *c, const char *upid, const char *path_template, const struct cli_param *params,
                     size_t n_params, struct reply *ret, struct err *e)
{
    struct upid_path p = {.upid = upid};
    struct buf path;

    upid_node(upid, p.node, sizeof(p.node));
    buf_init(&path, 1024);
    int r = call_path(path_template, upid_key, &p, &path, e);
    struct request q = {.method = "GET", .path = buf_str(&path), .params = params, .n_params = n_params};
    if (r == 0)
        r = call_api(c, &q, ret, e);
    buf_done(&path);
    return r;
}

int follow_log_page(struct cli *c, const char *upid, uint64_t start, unsigned max,
                    void (*fn)(void *arg, const char *line), void *arg, uint64_t *ret_n, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    char from[24], limit[16];
    struct cli_param params[] = {{"start", from}, {"limit", limit}};

    snprintf(from, sizeof(from), "%" PRIu64, start);
    snprintf(limit, sizeof(limit), "%u", max);
    int r = upid_call(c, upid, "/nodes/{node}/tasks/{upid}/log", params, ARRAY_SIZE(params), &reply, e);
    if (r < 0)
        return r;
    size_t n = json_array_size(reply.data);
    for (size_t i = 0; i < n; i++) {
        const char *line = json_string_value(json_object_get(json_array_get(reply.data, i), "t"));
        /* What an empty log looks like. */
        if (start == 0 && n == 1 && line && streq(line, "no content")) {
            n = 0;
            break;
        }
        fn(arg, line ? line : "");
    }
    *ret_n = n;
    return 0;
}

static size_t terminal_columns(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 10 ? w.ws_col : 80;
}

static void clear_line(struct follow *f)
{
    if (f->is_line_up)
        fputs("\r\033[K", stderr);
    f->is_line_up = false;
}

static void show_line(void *arg, const char *line)
{
    struct follow *f = arg;
    struct buf b;

    if (!f->is_shown || str_starts(line, "TASK "))
        return;
    buf_init(&b, 64 * 1024);
    text_append_clean(&b, line, strnlen(line, 8192));
    clear_line(f);
    if (f->is_terminal && !str_starts(line, "WARN")) {
        fprintf(stderr, "%.*s", (int)text_fit(buf_str(&b), terminal_columns() - 1), buf_str(&b));
        fflush(stderr);
        f->is_line_up = true;
    } else {
        fprintf(stderr, "%s\n", buf_str(&b));
    }
    buf_done(&b);
}

/* A log that may not be read is no reason to stop following. */
static int show_log(struct follow *f, struct err *e)
{
    uint64_t n = LOG_PAGE;
    int r = 0;

    while (r == 0 && n == LOG_PAGE && f->is_shown) {
        n = 0;
        r = follow_log_page(f->c, f->upid, f->lines, LOG_PAGE, show_line, f, &n, e);
        f->lines += n;
    }
    if (r < 0 && (streq(e->code, "cli.denied") || streq(e->code, "cli.not-found"))) {
        f->is_shown = false;
        *e = (struct err)ERR_INIT;
        return 0;
    }
    return r;
}

/* "copy 45%, 1.2 GiB of 4 GiB": only on a terminal, where it replaces itself. */
static void show_progress(struct follow *f, const json_t *status)
{
    const json_t *progress = json_object_get(status, "progress");
    const char *phase = json_string_value(json_object_get(progress, "phase"));
    double done = json_number_value(json_object_get(progress, "done"));
    double total = json_number_value(json_object_get(progress, "total"));
    struct buf b;

    if (!phase || !f->is_shown || !f->is_terminal)
        return;
    buf_init(&b, 1024);
    buf_append_str(&b, phase);
    if (total > 0 && done >= 0 && done <= total) {
        buf_printf(&b, " %.0f%%, ", done * 100 / total);
        format_bytes(done, &b);
        buf_append_str(&b, " of ");
        format_bytes(total, &b);
    }
    show_line(f, buf_str(&b));
    buf_done(&b);
}

static int judge(const struct follow *f, const json_t *status, struct err *e)
{
    const char *exitstatus = json_string_value(json_object_get(status, "exitstatus"));
    const char *hint = json_string_value(json_object_get(status, "error-hint"));
    struct buf b;

    if (exitstatus && streq(exitstatus, "OK"))
        return 0;
    buf_init(&b, 4096);
    const char *text = exitstatus ? exitstatus : "the task ended without a result";
    size_t n = strlen(text);
    text_append_clean(&b, text, n < 1000 ? n : 1000);
    if (exitstatus && str_starts(exitstatus, "WARNINGS")) {
        if (!f->c->is_quiet)
            fprintf(stderr, "warning: the task ended with %s\n", buf_str(&b));
        buf_done(&b);
        return 0;
    }
    err_set(e, -EREMOTEIO, "cli.task", "%s", buf_str(&b));
    buf_done(&b);
    return hint ? err_hint(e, "%.180s", hint) : err_hint(e, "holm task log %.170s", f->upid);
}

static int wait_for_end(struct follow *f, json_t **ret_status, struct err *e)
{
    unsigned delay_ms = POLL_FIRST_MS;

    for (;;) {
        autoreply struct reply reply = REPLY_INIT;
        int r = upid_call(f->c, f->upid, "/nodes/{node}/tasks/{upid}/status", NULL, 0, &reply, e);
        if (r == 0)
            r = show_log(f, e);
        if (r < 0)
            return r;
        show_progress(f, reply.data);
        const char *status = json_string_value(json_object_get(reply.data, "status"));
        if (!status || streq(status, "stopped")) {
            *ret_status = json_incref(reply.data);
            return 0;
        }
        r = client_sleep(f->c->client, delay_ms, e);
        if (r < 0)
            return r;
        delay_ms = delay_ms * 3 / 2 > POLL_MAX_MS ? POLL_MAX_MS : delay_ms * 3 / 2;
    }
}

int follow_task(struct cli *c, const char *upid, json_t **ret_status, struct err *e)
{
    bool is_data = c->format == FORMAT_JSON || c->format == FORMAT_NDJSON;
    struct follow f = {
        .c = c, .upid = upid, .is_shown = !c->is_quiet && !is_data, .is_terminal = isatty(STDERR_FILENO)};

    if (!upid_is_valid(upid)) {
        err_set(e, -EINVAL, "cli.usage", "this is not the UPID of a task");
        return err_hint(e, "holm task list shows them");
    }
    int r = wait_for_end(&f, ret_status, e);
    clear_line(&f);
    if (r == -EINTR || r == -ETIMEDOUT)
        return err_hint(e, "the task goes on: holm task wait %.160s", upid);
    if (r < 0)
        return r;
    return judge(&f, *ret_status, e);
}
