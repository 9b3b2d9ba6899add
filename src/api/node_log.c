/* GET /nodes/N/syslog and /journal: lines of the host's log. PVE: pve-manager, API2/Nodes.pm. From journald where it
 * keeps a journal, else (syslog only) from /var/log/syslog. Read in pool threads; what is not asked for is counted and
 * dropped as it comes, so a large log costs time but no memory. */
#include <ctype.h>
#include <fcntl.h>
#include <time.h>

#include "api/common.h"
#include "base/capture.h"
#include "base/clock.h"

#define JOURNALCTL     "/usr/bin/journalctl"
#define SYSLOG         "/var/log/syslog"
#define LINES_DEFAULT  50u
#define LINE_MAX_BYTES 4096u
#define REPLY_BYTES    (4u * 1024u * 1024u)
#define LOG_BYTES_MAX  (512u * 1024u * 1024u)
#define TIMEOUT_MS     20000u

struct log_query {
    uint64_t start, limit;
    const char *service, *since, *until, *start_cursor, *end_cursor;
    bool is_journal;
    int64_t since_s, until_s;
    /* reading */
    char line[LINE_MAX_BYTES];
    size_t line_n;
    uint64_t n_lines;
    struct buf kept; /* each line with its newline */
};

static bool has_journal(void)
{
    return access(JOURNALCTL, X_OK) == 0 &&
           (access("/var/log/journal", F_OK) == 0 || access("/run/log/journal", F_OK) == 0);
}

static bool end_line(struct log_query *q)
{
    uint64_t number = q->n_lines++;

    if (number >= q->start && (q->limit == 0 || number - q->start < q->limit)) {
        buf_append(&q->kept, q->line, q->line_n);
        buf_append_char(&q->kept, '\n');
    }
    q->line_n = 0;
    return !q->kept.is_failed;
}

/* Longer lines are cut. */
static bool take(void *arg, const char *data, size_t n)
{
    struct log_query *q = arg;

    for (size_t i = 0; i < n; i++)
        if (data[i] == '\n') {
            if (!end_line(q))
                return false;
        } else if (q->line_n < sizeof(q->line)) {
            q->line[q->line_n++] = data[i];
        }
    return true;
}

struct argv {
    const char *items[16];
    size_t n;
    char texts[8][200];
    size_t n_texts;
};

static void add(struct argv *a, const char *item)
{
    if (a->n + 1 < ARRAY_SIZE(a->items))
        a->items[a->n++] = item;
}

static void add_option(struct argv *a, const char *name, const char *value)
{
    if (!value || a->n_texts == ARRAY_SIZE(a->texts))
        return;
    snprintf(a->texts[a->n_texts], sizeof(a->texts[0]), "%s=%s", name, value);
    add(a, a->texts[a->n_texts++]);
}

static int run_journalctl(struct log_query *q, const struct argv *a, struct err *e)
{
    struct capture run = {.path = JOURNALCTL,
                          .argv = a->items,
                          .timeout_ms = TIMEOUT_MS,
                          .max_bytes = LOG_BYTES_MAX,
                          .take = take,
                          .arg = q};
    int r = capture_run(&run, e);

    return r == 0 && q->kept.is_failed
               ? err_set(e, -EFBIG, "host.output", "too many lines at once: use start and limit")
               : r;
}

static int read_syslog_journal(struct log_query *q, struct err *e)
{
    struct argv a = {.n = 0};

    add(&a, JOURNALCTL);
    add(&a, "--no-pager");
    add(&a, "--quiet");
    add(&a, "--output=short");
    add_option(&a, "--unit", q->service);
    add_option(&a, "--since", q->since);
    add_option(&a, "--until", q->until);
    return run_journalctl(q, &a, e);
}

/* "2026-11-21", with " 10:00" or " 10:00:30": local time; -1 if it is none. */
static int64_t parse_time(const char *text)
{
    static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};

    for (size_t i = 0; text && i < ARRAY_SIZE(forms); i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, forms[i], &tm);
        if (end && (!*end || i < 2))
            return (int64_t)mktime(&tm);
    }
    return -1;
}

/* The time at the beginning of a line of syslog: "2026-11-21T10:00:30…" or "Nov 21 10:00:30", which has no year; -1 if
 * there is none. */
static int64_t line_time(const char *line, size_t *ret_n)
{
    time_t now = (time_t)clock_wall_s();
    struct tm tm = {.tm_isdst = -1}, today;
    const char *end;

    if (isdigit((unsigned char)line[0])) {
        *ret_n = strcspn(line, " ");
        return parse_time(line);
    }
    localtime_r(&now, &today);
    tm.tm_year = today.tm_year;
    end = strptime(line, "%b %d %H:%M:%S", &tm);
    if (!end)
        return -1;
    *ret_n = (size_t)(end - line);
    int64_t at = (int64_t)mktime(&tm);
    if (at <= now + 86400)
        return at;
    tm.tm_year--; /* not from the future: of last year */
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm);
}

/* TIME HOST SERVICE[PID]: TEXT */
static bool is_wanted(const struct log_query *q, const char *line)
{
    size_t at = 0, n = q->service ? strlen(q->service) : 0;
    int64_t time_s = q->service || q->since || q->until ? line_time(line, &at) : 0;

    if (time_s < 0 || (q->since && time_s < q->since_s) || (q->until && time_s > q->until_s))
        return false;
    if (!q->service)
        return true;
    const char *host = line + at + strspn(line + at, " ");
    const char *name = host + strcspn(host, " ");
    name += strspn(name, " ");
    return strncmp(name, q->service, n) == 0 && (name[n] == '[' || name[n] == ':' || name[n] == ' ');
}

static int read_syslog_file(struct log_query *q, struct err *e)
{
    autofclose FILE *f = fopen(SYSLOG, "re");
    uint64_t deadline_ms = clock_boot_ms() + TIMEOUT_MS;
    char line[LINE_MAX_BYTES];

    if (!f && errno == ENOENT)
        return 0;
    if (!f)
        return err_errno(e, errno, "open " SYSLOG);
    q->since_s = parse_time(q->since);
    q->until_s = parse_time(q->until);
    while (fgets(line, sizeof(line), f)) {
        size_t n = strcspn(line, "\n");
        bool is_whole = line[n] == '\n';
        if (is_wanted(q, line)) {
            line[n] = '\n';
            if (!take(q, line, n + 1))
                return err_set(e, -EFBIG, "host.output", "too many lines at once: use start and limit");
        }
        for (int ch = 0; !is_whole && ch != '\n' && ch != EOF;)
            ch = getc(f);
        if (clock_boot_ms() > deadline_ms)
            return err_set(e, -ETIMEDOUT, "host.slow", SYSLOG " takes too long to read");
    }
    return 0;
}

static int read_syslog(void *ctx, struct err *e)
{
    struct log_query *q = ctx;

    buf_init(&q->kept, REPLY_BYTES);
    return has_journal() ? read_syslog_journal(q, e) : read_syslog_file(q, e);
}

static struct log_query *query_new(struct api_call *c, const char *node, int *ret, struct err *e)
{
    struct log_query *q = NULL;

    *ret = api_check_node(c, node, e);
    if (*ret == 0 && !(q = arena_alloc(&c->arena, sizeof(*q))))
        *ret = err_set(e, -ENOMEM, NULL, "out of memory");
    if (q)
        memset(q, 0, sizeof(*q));
    return q;
}

static int finish_syslog(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct log_query *q = ctx;
    uint64_t number = q->start;

    if (r == 0) {
        jw_array(&c->out);
        for (const char *p = buf_str(&q->kept); *p;) {
            size_t n = strcspn(p, "\n");
            jw_object(&c->out);
            jw_kv_u64(&c->out, "n", ++number);
            jw_key(&c->out, "t");
            jw_strn(&c->out, p, n);
            jw_object_end(&c->out);
            p += n + (p[n] != 0);
        }
        jw_array_end(&c->out);
        c->has_total = true;
        c->total = q->n_lines;
    }
    buf_done(&q->kept);
    return r;
}

/* A unit's name: nothing that journalctl takes for a pattern or an option. */
static bool is_service(const char *s)
{
    return *s && *s != '-' && *s != '.' && s[strlen(s) - 1] != '.' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@:") == strlen(s);
}

int api_node_syslog(struct api_call *c, const struct api_node_syslog_args *a, struct err *e)
{
    int r;
    struct log_query *q = query_new(c, a->node, &r, e);

    if (!q)
        return r;
    if (a->service && !is_service(a->service))
        return api_param_error(c, e, "service", "value does not look like the name of a service");
    if (a->since && parse_time(a->since) < 0)
        return api_param_error(c, e, "since", "there is no such time");
    if (a->until && parse_time(a->until) < 0)
        return api_param_error(c, e, "until", "there is no such time");
    q->start = (uint64_t)a->start;
    q->limit = a->has_limit ? (uint64_t)a->limit : LINES_DEFAULT;
    q->service = a->service;
    q->since = a->since;
    q->until = a->until;
    return api_offload(c, read_syslog, finish_syslog, q);
}

/* ---- journal ---- */

static int read_journal(void *ctx, struct err *e)
{
    struct log_query *q = ctx;
    struct argv a = {.n = 0};
    char number[24];

    buf_init(&q->kept, REPLY_BYTES);
    if (!has_journal())
        return 0;
    add(&a, JOURNALCTL);
    add(&a, "--no-pager");
    add(&a, "--quiet");
    add(&a, "--output=short");
    add(&a, "--show-cursor");
    add_option(&a, "--after-cursor", q->start_cursor);
    snprintf(number, sizeof(number), "@%lld", (long long)q->since_s);
    add_option(&a, "--since", q->since_s ? number : NULL);
    snprintf(number, sizeof(number), "@%lld", (long long)q->until_s);
    add_option(&a, "--until", q->until_s ? number : NULL);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)q->limit);
    add_option(&a, "--lines", number);
    q->limit = 0;
    return run_journalctl(q, &a, e);
}

/* The reply's last entry is the cursor of the last line, for the next request's startcursor. */
static int finish_journal(struct api_call *c, void *ctx, int r, struct err *e)
{
    static const char mark[] = "-- cursor: ";
    struct log_query *q = ctx;

    if (r == 0) {
        jw_array(&c->out);
        for (const char *p = buf_str(&q->kept); *p;) {
            size_t n = strcspn(p, "\n"), skip = strncmp(p, mark, sizeof(mark) - 1) == 0 ? sizeof(mark) - 1 : 0;
            jw_strn(&c->out, p + skip, n - skip);
            p += n + (p[n] != 0);
        }
        jw_array_end(&c->out);
    }
    buf_done(&q->kept);
    return r;
}

static bool is_cursor(const char *s)
{
    return *s && strlen(s) < 180 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789=;") == strlen(s);
}

#define JOURNAL_LINES_MAX 10000u

int api_node_journal(struct api_call *c, const struct api_node_journal_args *a, struct err *e)
{
    int r;
    struct log_query *q = query_new(c, a->node, &r, e);

    if (!q)
        return r;
    if (a->endcursor)
        return api_param_error(c, e, "endcursor", "reading up to a cursor is not supported; use startcursor");
    if (a->startcursor && !is_cursor(a->startcursor))
        return api_param_error(c, e, "startcursor", "value does not look like a cursor");
    q->limit = a->has_lastentries && a->lastentries < JOURNAL_LINES_MAX ? (uint64_t)a->lastentries : JOURNAL_LINES_MAX;
    q->start_cursor = a->startcursor;
    q->since_s = a->since;
    q->until_s = a->until;
    return api_offload(c, read_journal, finish_journal, q);
}
