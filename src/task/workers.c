/* Runs short-lived programs from the threads of a pool of its own: spawn, one frame out, one frame in, reap. */
#include "task/workers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/proc.h"
#include "link/link.h"
#include "task/pool.h"

#define WORKER_TIMEOUT_MS 60000u
#define WORKER_END_MS     500
#define SEND_S            10 /* of a request: it fits a socket's buffer */
#define READ_BYTES        65536u

struct workers {
    struct pool *pool;
    char *path;
    int cancel_fd; /* readable: cancelled */
    uid_t uid;
    gid_t gid;
};

struct work {
    struct workers *workers;
    struct buf frame; /* the WORK frame, ready to send */
    int fds[4];
    size_t n_fds;
    const int *more_fds; /* the caller's */
    size_t n_more_fds;
    uint32_t timeout_ms;
    int abort_fd;
    void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
    struct buf in;    /* what has come and is no whole frame yet */
    struct buf reply; /* payload of WORK_RESULT */
    int r;
    struct err err;
    worker_done_fn done;
    void *arg;
};

int workers_new(struct event_base *base, const struct workers_options *o, struct workers **ret, struct err *e)
{
    struct workers *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    w->uid = o->uid;
    w->gid = o->gid;
    w->path = strdup(o->path);
    w->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!w->path || w->cancel_fd < 0)
        r = err_set(e, -ENOMEM, NULL, "no memory or descriptor for workers");
    else
        r = pool_new(base, o->max_at_once, o->max_queued, &w->pool, e);
    if (r < 0) {
        workers_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    if (w->pool)
        pool_free(w->pool);
    if (w->cancel_fd >= 0)
        close(w->cancel_fd);
    free(w->path);
    free(w);
}

void workers_cancel(struct workers *w)
{
    if (w)
        eventfd_write(w->cancel_fd, 1);
}

static int cancelled(struct err *e)
{
    return err_set(e, -ECANCELED, "worker.cancelled", "the daemon is ending");
}

static bool is_cancelled(const struct workers *w)
{
    struct pollfd p = {.fd = w->cancel_fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

bool workers_drain(struct workers *w)
{
    return w && pool_drain(w->pool);
}

static void work_free(struct work *k)
{
    for (size_t i = 0; i < k->n_fds; i++)
        close(k->fds[i]);
    if (k->abort_fd >= 0)
        close(k->abort_fd);
    if (k->frame.data)
        mem_wipe(k->frame.data, k->frame.len);
    if (k->reply.data)
        mem_wipe(k->reply.data, k->reply.len);
    if (k->in.data)
        mem_wipe(k->in.data, k->in.cap);
    buf_done(&k->frame);
    buf_done(&k->reply);
    buf_done(&k->in);
    free(k);
}

static int work_new(struct workers *w, const struct worker_request *q, worker_done_fn done, void *arg,
                    struct work **ret, struct err *e)
{
    struct work *k = calloc(1, sizeof(*k));

    if (!k)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    k->workers = w;
    k->done = done;
    k->arg = arg;
    k->progress = q->progress;
    k->more_fds = q->more_fds;
    k->n_more_fds = q->n_more_fds;
    k->abort_fd = q->abort_fd > 0 ? fcntl(q->abort_fd, F_DUPFD_CLOEXEC, 3) : -EBADF;
    k->timeout_ms = q->timeout_ms ? q->timeout_ms : WORKER_TIMEOUT_MS;
    buf_init(&k->frame, FRAME_PAYLOAD_MAX);
    buf_init(&k->reply, FRAME_PAYLOAD_MAX);
    buf_init(&k->in, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + READ_BYTES);
    if (q->abort_fd > 0 && k->abort_fd < 0) {
        int r = err_errno(e, errno, "pass a descriptor to a worker");
        work_free(k);
        return r;
    }
    for (size_t i = 0; i < q->n_fds; i++) {
        int fd = fcntl(q->fds[i], F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
            int r = err_errno(e, errno, "pass a descriptor to a worker");
            work_free(k);
            return r;
        }
        k->fds[k->n_fds++] = fd;
    }
    size_t begin = frame_begin(&k->frame, FRAME_WORK, 1, 0, (uint8_t)k->n_fds);
    field_str(&k->frame, FIELD_VERB, q->verb);
    for (size_t i = 0; i < q->n_args; i++)
        field_str(&k->frame, FIELD_ARG, q->args[i]);
    if (q->secret)
        field_bytes(&k->frame, FIELD_SECRET, q->secret, q->secret_len);
    if (q->total_bytes)
        field_u64(&k->frame, FIELD_TOTAL_BYTES, q->total_bytes);
    frame_end(&k->frame, begin);
    if (k->frame.is_failed) {
        work_free(k);
        return err_set(e, -EMSGSIZE, NULL, "request to a worker is too large");
    }
    *ret = k;
    return 0;
}

static void tell_progress(const struct work *k)
{
    struct field done, total;
    uint64_t n = 0, of = 0;

    if (k->progress && field_find(k->reply.data, k->reply.len, FIELD_DONE_BYTES, &done) &&
        field_find(k->reply.data, k->reply.len, FIELD_TOTAL_BYTES, &total) && field_get_u64(&done, &n) == 0 &&
        field_get_u64(&total, &of) == 0)
        k->progress(k->arg, n, of);
}

/* Takes what has come, without waiting for the rest of a frame: a program that has been taken over may send half of one
 * and nothing more, and must still be cut off when it is to end. */
static int read_some(int fd, struct work *k, struct err *e)
{
    char *p = buf_reserve(&k->in, READ_BYTES);
    ssize_t n = p ? recv(fd, p, READ_BYTES, MSG_DONTWAIT) : 0;

    if (!p)
        return err_set(e, -ENOMEM, NULL, "no memory for a worker's answer");
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return err_errno(e, errno, "worker: receive");
    if (n == 0)
        return err_set(e, -EPIPE, "link.closed", "worker: the other side closed the connection");
    k->in.len += (size_t)n;
    return 0;
}

/* The first whole frame of what has come: 1, with its payload in k->reply; 0 when there is none yet. */
static int next_frame(struct work *k, struct frame_header *ret, struct err *e)
{
    if (k->in.len < FRAME_HEADER_SIZE)
        return 0;
    int r = frame_header_parse((const uint8_t *)k->in.data, ret, e);
    if (r < 0 || k->in.len - FRAME_HEADER_SIZE < ret->length)
        return r;
    buf_reset(&k->reply);
    buf_append(&k->reply, k->in.data + FRAME_HEADER_SIZE, ret->length);
    buf_consume(&k->in, FRAME_HEADER_SIZE + ret->length);
    return k->reply.is_failed ? err_set(e, -ENOMEM, NULL, "no memory for a worker's answer") : 1;
}

/* Waits for bytes until the deadline; negative when it is time to give up. */
static int wait_for_bytes(int fd, const struct work *k, uint64_t deadline_ms, struct err *e)
{
    uint64_t now = clock_boot_ms();
    struct pollfd p[] = {{.fd = fd, .events = POLLIN},
                         {.fd = k->workers->cancel_fd, .events = POLLIN},
                         {.fd = k->abort_fd, .events = POLLIN}};
    int n = now < deadline_ms ? poll(p, ARRAY_SIZE(p), (int)(deadline_ms - now)) : 0;

    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0)
        return err_set(e, -ETIMEDOUT, "worker.timeout", "a worker did not answer in time");
    if (p[1].revents)
        return cancelled(e);
    return p[2].revents ? err_set(e, -ECANCELED, "task.aborted", "aborted") : 0;
}

/* Reads the answer, and progress before it, until the deadline. */
static int read_answer(int fd, struct work *k, struct err *e)
{
    uint64_t deadline_ms = clock_boot_ms() + k->timeout_ms;
    int r = 0;

    while (r >= 0) {
        struct frame_header h;
        r = next_frame(k, &h, e);
        if (r > 0 && h.type == FRAME_WORK_RESULT)
            return field_get_err(k->reply.data, k->reply.len, e);
        if (r > 0 && h.type == FRAME_WORK_PROGRESS)
            tell_progress(k);
        if (r == 0)
            r = wait_for_bytes(fd, k, deadline_ms, e);
        if (r == 0)
            r = read_some(fd, k, e);
    }
    return r;
}

static bool has_ended(int pidfd, int timeout_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    return pidfd >= 0 && poll(&p, 1, timeout_ms) > 0;
}

/* It has answered, or never will. One that ends by itself, or is asked to, takes its own children along and leaves
 * nothing for init to collect; one that does not is killed. Not reaped until then, so the pid is still its own. */
static int end_process(pid_t pid, int pidfd, bool is_ending)
{
    int status = 0;

    if (!is_ending || !has_ended(pidfd, WORKER_END_MS)) {
        kill(pid, SIGTERM);
        if (!has_ended(pidfd, WORKER_END_MS))
            kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* A frame carries so many descriptors and no more. */
static int send_more_fds(int fd, const struct work *k, struct err *e)
{
    int r = 0;

    for (size_t at = 0; r == 0 && at < k->n_more_fds; at += FRAME_FDS_MAX) {
        size_t n = k->n_more_fds - at < FRAME_FDS_MAX ? k->n_more_fds - at : FRAME_FDS_MAX;
        autobuf struct buf frame;
        buf_init(&frame, FRAME_PAYLOAD_MAX);
        frame_end(&frame, frame_begin(&frame, FRAME_WORK_FDS, 1, 0, (uint8_t)n));
        r = link_write_frame(fd, &frame, k->more_fds + at, n, e);
    }
    return r;
}

static int run_worker(struct work *k, struct err *e)
{
    int pair[2];
    pid_t pid;

    if (is_cancelled(k->workers))
        return cancelled(e);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    autoclose int ours = pair[0];
    autoclose int theirs = pair[1];
    struct timeval limit = {.tv_sec = SEND_S};
    setsockopt(ours, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const char *slash = strrchr(k->workers->path, '/');
    const char *argv[] = {slash ? slash + 1 : k->workers->path, NULL};
    struct proc_spawn s = {.path = k->workers->path,
                           .argv = argv,
                           .uid = k->workers->uid,
                           .gid = k->workers->gid,
                           .dies_with_parent = true,
                           .fds = {{theirs, 3}},
                           .n_fds = 1};
    int spawned = -EBADF, r = proc_spawn_start(&s, &pid, &spawned, e);
    if (r < 0)
        return r;
    autoclose int pidfd = spawned;
    close(TAKE_FD(theirs));
    if (FP("worker.spawned"))
        r = err_set(e, -EIO, NULL, "fail point");
    if (r == 0)
        r = send_more_fds(ours, k, e);
    if (r == 0)
        r = link_write_frame(ours, &k->frame, k->fds, k->n_fds, e);
    if (r == 0)
        r = read_answer(ours, k, e);
    shutdown(ours, SHUT_RDWR);
    int status = end_process(pid, pidfd, r != -ETIMEDOUT && r != -ECANCELED);
    if (r == -EPIPE && WIFSIGNALED(status))
        err_set(e, r, "worker.died", "a worker was ended by signal %d", WTERMSIG(status));
    return r;
}

static void work_in_thread(void *ctx)
{
    struct work *k = ctx;

    k->r = run_worker(k, &k->err);
    for (size_t i = 0; i < k->n_fds; i++) /* a pipe end must not stay open until the loop is reached */
        close(k->fds[i]);
    k->n_fds = 0;
}

static void decode_reply(const struct buf *payload, struct worker_reply *a, char *text, size_t cap)
{
    struct field_reader r;
    struct field f;

    field_reader_init(&r, payload->data, payload->len);
    while (field_next(&r, &f) == 1) {
        if (f.tag == FIELD_TEXT && field_get_str(&f, text, cap) == 0)
            a->text = text;
        if (f.tag == FIELD_SECRET) {
            a->secret = f.data;
            a->secret_len = f.len;
        }
        if (f.tag == FIELD_BODY && a->n_bodies < ARRAY_SIZE(a->bodies)) {
            a->bodies[a->n_bodies] = (const char *)f.data;
            a->body_len[a->n_bodies++] = f.len;
        }
        if (f.tag == FIELD_DONE_BYTES && field_get_u64(&f, &a->done_bytes) < 0)
            a->done_bytes = 0;
    }
}

static void work_done(void *ctx)
{
    struct work *k = ctx;
    struct worker_reply a = {.text = ""};
    char text[512] = "";

    if (k->r == 0)
        decode_reply(&k->reply, &a, text, sizeof(text));
    k->done(k->arg, k->r, &a, &k->err);
    work_free(k);
}

int workers_call(struct workers *w, const struct worker_request *q, worker_done_fn done, void *arg, struct err *e)
{
    struct work *k;
    int r = q->n_more_fds ? err_set(e, -EINVAL, NULL, "so many descriptors only when the caller waits")
                          : work_new(w, q, done, arg, &k, e);

    if (r < 0)
        return r;
    r = pool_submit(w->pool, work_in_thread, work_done, k, e);
    if (r < 0)
        work_free(k);
    return r;
}

static bool is_call_of(void *ctx, void *arg)
{
    struct work *k = ctx;

    if (k->arg == arg)
        k->r = err_set(&k->err, -ECANCELED, "task.aborted", "aborted");
    return k->arg == arg;
}

void workers_skip(struct workers *w, void *arg)
{
    pool_skip(w->pool, is_call_of, arg);
}

int workers_call_blocking(struct workers *w, const struct worker_request *q, worker_done_fn done, void *arg,
                          struct err *e)
{
    struct work *k;
    int r = work_new(w, q, done, arg, &k, e);

    if (r < 0)
        return r;
    work_in_thread(k);
    work_done(k);
    return 0;
}
