/* Task log files and the index, DIR/var/tasks: one serial queue does all file work, so a read sees what was appended
 * before it. Lines are capped; a full disk loses log lines, never the task. */
#include <fcntl.h>

#include "base/fs.h"
#include "task/pool.h"
#include "task/task_priv.h"

#define LOG_QUEUE_MAX 65536u
#define LOG_READ_MAX  (8u * 1024u * 1024u)
#define LINE_MAX      4096u

struct task_log {
    struct pool *queue;
    int dirfd;
};

struct log_job {
    struct task_log *log;
    char path[UPID_MAX + 8]; /* "X/UPID" or "index" */
    char *line;              /* append; NULL = remove or read */
    bool is_remove;
    uint64_t start, limit, total;
    struct buf out;
    int r;
    struct err err;
    void (*done)(void *arg, int r, const char *text, size_t n, uint64_t total, const struct err *e);
    void *arg;
};

/* "X/UPID": X is the last hex digit of the start time, as in PVE. */
static int log_path(const char *upid, char *dst, size_t cap)
{
    struct upid u;

    if (upid_parse(upid, &u) < 0)
        return -EINVAL;
    int n = snprintf(dst, cap, "%X/%s", (unsigned)((uint64_t)u.starttime & 15u), upid);
    return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

static void job_free(struct log_job *j)
{
    free(j->line);
    buf_done(&j->out);
    free(j);
}

static void job_done(void *ctx)
{
    struct log_job *j = ctx;

    if (j->done)
        j->done(j->arg, j->r, buf_str(&j->out), j->out.len, j->total, &j->err);
    job_free(j);
}

static void append_in_thread(void *ctx)
{
    struct log_job *j = ctx;
    struct err e = ERR_INIT;
    autoclose int fd = openat(j->log->dirfd, j->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 && errno == ENOENT) {
        char dir[2] = {j->path[0], 0};
        if (mkdirat(j->log->dirfd, dir, 0700) == 0 || errno == EEXIST)
            fd = openat(j->log->dirfd, j->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    }
    if (fd >= 0 && fs_write_all(fd, j->line, strlen(j->line), &e) < 0)
        j->r = e.num;
}

static void remove_in_thread(void *ctx)
{
    struct log_job *j = ctx;

    unlinkat(j->log->dirfd, j->path, 0);
}

static struct log_job *job_new(struct task_log *l)
{
    struct log_job *j = calloc(1, sizeof(*j));

    if (j) {
        j->log = l;
        buf_init(&j->out, LOG_READ_MAX);
    }
    return j;
}

static void submit_line(struct task_log *l, const char *path, const char *line)
{
    struct err e = ERR_INIT;
    struct log_job *j = job_new(l);

    if (!j)
        return;
    snprintf(j->path, sizeof(j->path), "%s", path);
    size_t n = strnlen(line, LINE_MAX);
    j->line = malloc(n + 2);
    if (j->line) {
        for (size_t i = 0; i < n; i++)
            j->line[i] = line[i] == '\n' ? ' ' : line[i];
        memcpy(j->line + n, "\n", 2);
    }
    if (!j->line || pool_submit(l->queue, append_in_thread, job_done, j, &e) < 0)
        job_free(j);
}

void task_log_append(struct task_log *l, const char *upid, const char *line)
{
    char path[UPID_MAX + 8];

    if (log_path(upid, path, sizeof(path)) == 0)
        submit_line(l, path, line);
}

void task_log_index(struct task_log *l, const char *line)
{
    submit_line(l, "index", line);
}

void task_log_remove(struct task_log *l, const char *upid)
{
    struct err e = ERR_INIT;
    struct log_job *j = job_new(l);

    if (!j)
        return;
    if (log_path(upid, j->path, sizeof(j->path)) < 0 || pool_submit(l->queue, remove_in_thread, job_done, j, &e) < 0)
        job_free(j);
}

/* Keeps the lines [start, start+limit) of the file in j->out and counts all of them. */
static void read_in_thread(void *ctx)
{
    struct log_job *j = ctx;
    struct buf all;
    size_t from = 0, keep_from = 0, keep_to = 0;

    buf_init(&all, LOG_READ_MAX);
    j->r = fs_read_file(j->log->dirfd, j->path, &all, &j->err);
    if (j->r == -ENOENT)
        j->r = 0; /* queued, nothing logged yet */
    for (size_t i = 0; j->r == 0 && i < all.len; i++) {
        if (all.data[i] != '\n' && i + 1 < all.len)
            continue;
        if (j->total == j->start)
            keep_from = from;
        if (j->total >= j->start && (!j->limit || j->total < j->start + j->limit))
            keep_to = i + 1;
        j->total++;
        from = i + 1;
    }
    if (keep_to > keep_from)
        buf_append(&j->out, all.data + keep_from, keep_to - keep_from);
    buf_done(&all);
}

int task_log_lines(struct task_log *l, const char *upid, uint64_t start, uint64_t limit,
                   void (*done)(void *arg, int r, const char *text, size_t n, uint64_t total, const struct err *e),
                   void *arg, struct err *e)
{
    struct log_job *j = job_new(l);

    if (!j)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    j->start = start;
    j->limit = limit;
    j->done = done;
    j->arg = arg;
    int r = log_path(upid, j->path, sizeof(j->path));
    if (r < 0)
        err_set(e, r, "param.invalid", "unable to parse worker upid");
    else
        r = pool_submit(l->queue, read_in_thread, job_done, j, e);
    if (r < 0)
        job_free(j);
    return r;
}

int task_log_open(struct event_base *base, const char *root_dir, struct task_log **ret, struct err *e)
{
    struct task_log *l = calloc(1, sizeof(*l));
    char path[4096];
    int r = 0;

    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    l->dirfd = -EBADF;
    if ((size_t)snprintf(path, sizeof(path), "%s/var/tasks", root_dir) >= sizeof(path))
        r = err_set(e, -ENAMETOOLONG, NULL, "path too long");
    if (r == 0)
        r = fs_open_dir(AT_FDCWD, path, 0700, &l->dirfd, e);
    if (r == 0)
        r = pool_new(base, 1, LOG_QUEUE_MAX, &l->queue, e);
    if (r < 0) {
        task_log_close(l);
        return r;
    }
    *ret = l;
    return 0;
}

void task_log_close(struct task_log *l)
{
    if (!l)
        return;
    pool_free(l->queue);
    if (l->dirfd >= 0)
        close(l->dirfd);
    free(l);
}

int task_log_load_index(struct task_log *l, void (*fn)(void *arg, char *line), void *arg, struct err *e)
{
    struct buf b;

    buf_init(&b, 64u * 1024u * 1024u);
    int r = fs_read_file(l->dirfd, "index", &b, e);
    char *save = NULL;
    if (r == 0 && b.data)
        for (char *line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            fn(arg, line);
    buf_done(&b);
    return r == -ENOENT ? 0 : r;
}

int task_log_rewrite_index(struct task_log *l, const struct buf *lines, struct err *e)
{
    return fs_replace_durable(l->dirfd, "index", buf_str(lines), lines->len, 0600, e);
}
