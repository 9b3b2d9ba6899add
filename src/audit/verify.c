/* Walking the chain through all files. Lines are compared, not parsed; any thread, blocking, also without a daemon. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "audit/audit_priv.h"

#define CHUNK (8u * AUDIT_LINE_MAX)

struct walk {
    struct audit_report *report;
    char prev[AUDIT_HASH_HEX]; /* "" before the first record of all */
    uint64_t seq;              /* of the record before */
    uint64_t current;          /* of this one, 0 if it is none */
    uint64_t oldest;           /* file that the newest first record names */
    unsigned file;
    uint64_t line;
    char *chunk;
};

static void broken(struct walk *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void broken(struct walk *w, const char *fmt, ...)
{
    struct audit_report *r = w->report;
    va_list ap;

    if (r->is_broken)
        return;
    r->is_broken = true;
    r->broken_file = w->file;
    r->broken_line = w->line;
    r->broken_seq = w->current;
    va_start(ap, fmt);
    vsnprintf(r->why, sizeof(r->why), fmt, ap);
    va_end(ap);
}

static void take_line(struct walk *w, const char *line, size_t n)
{
    struct audit_report *r = w->report;
    struct audit_line l;
    uint64_t oldest;

    w->line++;
    w->current = 0;
    if (!audit_line_read(line, n, &l)) {
        broken(w, "not a record");
        return;
    }
    w->current = l.seq;
    if (!l.is_hash_right)
        broken(w, "record %" PRIu64 " was changed: its hash is not that of its text", l.seq);
    else if (w->prev[0] && !streq(w->prev, l.prev))
        broken(w, "record %" PRIu64 " does not follow record %" PRIu64, l.seq, w->seq);
    else if (w->prev[0] && l.seq != w->seq + 1)
        broken(w, "record %" PRIu64 " follows record %" PRIu64, l.seq, w->seq);
    if (r->records++ == 0)
        r->first_seq = l.seq;
    if (w->line == 1 && audit_line_number(line, n, "\"oldest\":", &oldest))
        w->oldest = oldest;
    w->seq = r->last_seq = l.seq;
    memcpy(w->prev, l.hash, sizeof(l.hash));
    memcpy(r->head, l.hash, sizeof(l.hash));
}

/* Takes the whole lines of the chunk; returns how many bytes they were. */
static size_t take_lines(struct walk *w, size_t n)
{
    size_t done = 0;

    for (const char *lf; (lf = memchr(w->chunk + done, '\n', n - done)); done = (size_t)(lf - w->chunk) + 1)
        take_line(w, w->chunk + done, (size_t)(lf - w->chunk) - done);
    return done;
}

static int take_file(struct walk *w, int fd, uint64_t max, struct err *e)
{
    size_t have = 0;

    for (uint64_t at = 0;;) {
        size_t want = max - at < CHUNK - have ? (size_t)(max - at) : CHUNK - have;
        ssize_t n = want ? pread(fd, w->chunk + have, want, (off_t)at) : 0;
        if (n < 0)
            return err_errno(e, errno, "read the audit log");
        if (n == 0)
            break;
        at += (uint64_t)n;
        have += (size_t)n;
        size_t done = take_lines(w, have);
        if (done == 0 && have == CHUNK) {
            w->line++;
            broken(w, "a line is longer than any record");
            done = have;
        }
        have -= done;
        memmove(w->chunk, w->chunk + done, have);
    }
    w->report->torn_bytes = have;
    return 0;
}

static int walk_files(struct walk *w, int dirfd, const struct audit_files *f, const struct audit_bound *bound,
                      struct err *e)
{
    char name[AUDIT_NAME_MAX];
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->n; i++) {
        if (bound && f->numbers[i] > bound->file)
            break; /* made after the question */
        audit_file_name(f->numbers[i], name);
        autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT && w->report->files == 0)
            continue; /* rotation was faster */
        if (fd < 0)
            return err_errno(e, errno, "open %s", name);
        w->current = 0;
        if (w->report->torn_bytes)
            broken(w, "the file ends with half a record");
        if (w->file && f->numbers[i] != w->file + 1)
            broken(w, "the file after it is missing");
        w->file = f->numbers[i];
        w->line = 0;
        w->report->files++;
        r = take_file(w, fd, bound && bound->file == w->file ? bound->bytes : INT64_MAX, e);
    }
    return r;
}

/* What rotation took is named by the newest file's first record; more than that is missing. */
static void check_ends(struct walk *w, const struct audit_files *f, const struct audit_bound *bound)
{
    struct audit_report *r = w->report;

    if (r->files && f->numbers[0] > w->oldest && w->oldest) {
        w->line = 0;
        w->file = f->numbers[0];
        broken(w, "older files are missing: file %" PRIu64 " should be the oldest", w->oldest);
    }
    if (bound && bound->file && (r->files == 0 || w->file != bound->file))
        broken(w, "the newest file, %u, is missing", bound->file);
    if (bound && r->torn_bytes)
        broken(w, "the file ends with half a record");
}

int audit_verify(int dirfd, const struct audit_bound *bound, struct audit_report *ret, struct err *e)
{
    struct walk w = {.report = ret, .chunk = malloc(CHUNK)};
    struct audit_files f = {0};

    memset(ret, 0, sizeof(*ret));
    memcpy(ret->head, audit_first_hash, sizeof(ret->head));
    int r = w.chunk ? audit_files_read(dirfd, &f, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = walk_files(&w, dirfd, &f, bound, e);
    if (r == 0)
        check_ends(&w, &f, bound);
    audit_files_done(&f);
    free(w.chunk);
    return r;
}

json_t *audit_report_json(const struct audit_report *r)
{
    json_t *j =
        json_pack("{s:i, s:I, s:i, s:I, s:I, s:I, s:s}", "ok", r->is_broken ? 0 : 1, "records", (json_int_t)r->records,
                  "files", (int)r->files, "first", (json_int_t)r->first_seq, "last", (json_int_t)r->last_seq, "removed",
                  (json_int_t)(r->first_seq ? r->first_seq - 1 : 0), "head", r->head);

    if (j && r->torn_bytes)
        json_object_set_new(j, "torn-bytes", json_integer((json_int_t)r->torn_bytes));
    if (j && r->is_broken) {
        json_object_set_new(j, "broken-file", json_integer(r->broken_file));
        json_object_set_new(j, "broken-line", json_integer((json_int_t)r->broken_line));
        json_object_set_new(j, "broken-record", json_integer((json_int_t)r->broken_seq));
        json_object_set_new(j, "reason", json_string(r->why));
    }
    return j;
}
