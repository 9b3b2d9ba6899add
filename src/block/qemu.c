/* QEMU without a machine: it is started for one job, gets the images' descriptors over QMP and ends with us. (QEMU's
 * storage daemon would do, but up to version 8 it takes no descriptors for images.) What it says is read in whole,
 * bounded lines; it is not believed, only obeyed in one thing: whether the job went well. */
#include "block/block.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/proc.h"

#define QEMU_PROGRAM "/usr/bin/qemu-system-x86_64"
#define READ_BYTES   65536u

static const char *const arguments[] = {
    "qemu-system-x86_64",
    "-machine",
    "none",
    "-accel",
    "tcg,tb-size=1", /* of the accelerators, the one that is always there */
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-S",
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-chardev",
    "socket,id=monitor,fd=3",
    "-mon",
    "chardev=monitor,mode=control",
    NULL,
};

static int confine(void *arg)
{
    return sandbox_child(arg);
}

static int start_program(struct qemu *q, const struct block_work *w, int theirs, struct err *e)
{
    autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct proc_spawn s = {.path = QEMU_PROGRAM,
                           .argv = arguments,
                           .dies_with_parent = true,
                           .fds = {{theirs, 3}, {null, STDERR_FILENO}},
                           .n_fds = 2,
                           .before_exec = confine,
                           .before_exec_arg = (void *)(uintptr_t)w};

    if (null < 0)
        return err_errno(e, errno, "open /dev/null");
    int r = proc_spawn_start(&s, &q->pid, NULL, e);
    if (r == 0)
        block_child = q->pid;
    if (r == -ENOENT)
        err_hint(e, "install the package qemu-system-x86");
    return r;
}

int qemu_start(struct qemu *q, const struct block_work *w, struct err *e)
{
    int pair[2];

    *q = (struct qemu){.fd = -EBADF};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    autoclose int theirs = pair[1];
    q->fd = pair[0];
    buf_init(&q->in, QMP_LINE_MAX + READ_BYTES);
    return start_program(q, w, theirs, e);
}

/* ---- reading ---- */

static void take_event(struct qemu *q, const struct qmp_message *m)
{
    if (streq(m->name, "BLOCK_JOB_READY"))
        q->is_ready = true;
    if (streq(m->name, "BLOCK_IMAGE_CORRUPTED"))
        snprintf(q->failure, sizeof(q->failure), "an image is corrupt");
    if (streq(m->name, "BLOCK_JOB_CANCELLED") && !q->failure[0])
        snprintf(q->failure, sizeof(q->failure), "the job was cancelled");
    if (streq(m->name, "BLOCK_JOB_COMPLETED") && !q->failure[0])
        qmp_get_text(m->data, "error", q->failure, sizeof(q->failure));
    if (streq(m->name, "BLOCK_JOB_COMPLETED") || streq(m->name, "BLOCK_JOB_CANCELLED"))
        q->is_over = true;
}

/* 1: a message; 0: no whole line yet. */
static int next_message(struct qemu *q, struct qmp_message *ret, struct err *e)
{
    const char *end = q->in.len ? memchr(q->in.data, '\n', q->in.len) : NULL;

    if (!end)
        return q->in.len > QMP_LINE_MAX ? err_set(e, -EMSGSIZE, "qmp.malformed", "QEMU sends a line without end") : 0;
    size_t n = (size_t)(end - q->in.data);
    int r = qmp_message_parse(q->in.data, n, ret, e);
    buf_consume(&q->in, n + 1);
    return r < 0 ? r : 1;
}

static int ended(struct err *e)
{
    return err_set(e, -EPIPE, "block.qemu", "QEMU ended before its time");
}

/* 0: nothing came in time. */
static int read_some(struct qemu *q, int timeout_ms, struct err *e)
{
    struct pollfd p = {.fd = q->fd, .events = POLLIN};
    int n = poll(&p, 1, timeout_ms);

    if (n < 0 && errno != EINTR)
        return err_errno(e, errno, "poll");
    if (n <= 0)
        return 0;
    char *room = buf_reserve(&q->in, READ_BYTES);
    if (!room)
        return err_set(e, -ENOMEM, NULL, "no memory for QEMU's answer");
    ssize_t got = recv(q->fd, room, READ_BYTES, 0);
    if (got < 0 && errno != EINTR)
        return errno == ECONNRESET ? ended(e) : err_errno(e, errno, "receive");
    if (got == 0)
        return ended(e);
    q->in.len += got > 0 ? (size_t)got : 0;
    return 1;
}

int qemu_listen(struct qemu *q, int timeout_ms, struct err *e)
{
    struct qmp_message m;
    int r = 0;

    if (!memchr(buf_str(&q->in), '\n', q->in.len))
        r = read_some(q, timeout_ms, e);
    while (r >= 0 && (r = next_message(q, &m, e)) > 0) {
        if (m.kind == QMP_EVENT)
            take_event(q, &m);
        qmp_message_done(&m);
    }
    return r;
}

/* ---- commands ---- */

static int send_command(struct qemu *q, const char *text, size_t n, int fd, struct err *e)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};

    while (n) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = n};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
        if (fd >= 0) {
            m.msg_control = control.bytes;
            m.msg_controllen = sizeof(control.bytes);
            struct cmsghdr *c = CMSG_FIRSTHDR(&m);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(c), &fd, sizeof(int));
        }
        ssize_t sent = sendmsg(q->fd, &m, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EPIPE || errno == ECONNRESET ? ended(e) : err_errno(e, errno, "send");
        fd = -1;
        text += sent;
        n -= (size_t)sent;
    }
    return 0;
}

static int wait_answer(struct qemu *q, struct qmp_message *ret, struct err *e)
{
    for (;;) {
        struct qmp_message m;
        int r = next_message(q, &m, e);
        if (r == 0)
            r = read_some(q, -1, e);
        else if (r > 0 && m.id == q->id && (m.kind == QMP_RETURN || m.kind == QMP_ERROR)) {
            *ret = m;
            return 0;
        } else if (r > 0) {
            if (m.kind == QMP_EVENT)
                take_event(q, &m);
            qmp_message_done(&m);
        }
        if (r < 0)
            return r;
    }
}

int qemu_call(struct qemu *q, const char *command, const char *args, int fd, struct qmp_message *ret, struct err *e)
{
    autobuf struct buf line;
    struct qmp_message m;

    buf_init(&line, 65536);
    buf_printf(&line, "{\"execute\":\"%s\",\"id\":%llu%s%s}\n", command, (unsigned long long)++q->id,
               args ? ",\"arguments\":" : "", args ? args : "");
    if (line.is_failed)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = send_command(q, line.data, line.len, fd, e);
    if (r == 0)
        r = wait_answer(q, &m, e);
    if (r < 0)
        return r;
    if (m.kind == QMP_ERROR)
        r = qemu_failure(m.text, e);
    if (r == 0 && ret)
        *ret = m;
    else
        qmp_message_done(&m);
    return r;
}

static bool tells(const char *text, int num)
{
    return strstr(text, strerrordesc_np(num)) != NULL;
}

int qemu_failure(const char *text, struct err *e)
{
    if (tells(text, ENOSPC) || tells(text, EDQUOT))
        return block_io_error(ENOSPC, "write the image", e);
    if (strstr(text, "Failed to get") && strstr(text, "lock"))
        return err_set(e, -EBUSY, "image.locked", "an image is in use: %s", text);
    return err_set(e, -EIO, "block.failed", "%s", text);
}

/* ---- the end ---- */

int qemu_end(struct qemu *q, struct err *e)
{
    struct err gone = ERR_INIT;
    int status = 0, r = qemu_call(q, "quit", NULL, -1, NULL, e);

    while (r == 0 && qemu_listen(q, -1, &gone) >= 0)
        continue;
    if (r < 0)
        return r;
    while (waitpid(q->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    q->pid = block_child = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : err_set(e, -EIO, "block.qemu", "QEMU did not end in order (%d)", status);
}

void qemu_kill(struct qemu *q)
{
    if (q->pid > 0) {
        kill(q->pid, SIGKILL);
        while (waitpid(q->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        q->pid = block_child = 0;
    }
    if (q->fd >= 0)
        close(TAKE_FD(q->fd));
    buf_done(&q->in);
}
