/* holm-pam: one request over the socket at descriptor 3, one conversation with PAM, the end. Started by holmd as root.
 *
 * Three processes, so that nothing a module starts outlives the answer or its time limit: the one that holmd knows and
 * kills; the first of a PID namespace, which dies with it and takes everything inside along; and the one that talks.
 * Only the last has seen the request. The middle one runs no code but this file's, so no module can undo its tie to the
 * first. Exit status 0: an answer was sent. */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "link/link.h"
#include "pam/pam.h"

#define CONTROL_FD 3

static int send_answer(uint32_t stream, int r, const struct err *why)
{
    autobuf struct buf frame;
    struct err e = ERR_INIT;
    int none = -1; /* no descriptors */

    buf_init(&frame, FRAME_PAYLOAD_MAX);
    size_t at = frame_begin(&frame, FRAME_WORK_RESULT, stream, FRAME_LAST, 0);
    field_err(&frame, r, why);
    frame_end(&frame, at);
    return link_write_frame(CONTROL_FD, &frame, &none, 0, &e);
}

/* r: what the confinement came to; the request is read in any case, so that the sender gets to hear of it. */
static int serve(int r, struct err *e)
{
    autobuf struct buf payload;
    struct frame_header h = {0};
    struct pam_request q = {0};
    struct err unread = ERR_INIT;
    int none[1];
    size_t n_fds = 0;

    buf_init(&payload, FRAME_PAYLOAD_MAX);
    if (link_read_frame(CONTROL_FD, &h, &payload, none, 0, &n_fds, &unread) < 0)
        return unread.num;
    if (r == 0 && h.type != FRAME_WORK)
        r = err_set(e, -EPROTO, "pam.request", "not a work frame");
    if (r == 0)
        r = pam_request_parse(payload.data, payload.len, &q, e);
    if (payload.data)
        mem_wipe(payload.data, payload.len);
    if (r == 0)
        r = q.verb->run(&q, e);
    mem_wipe(&q, sizeof(q));
    return send_answer(h.stream, r, e);
}

static volatile sig_atomic_t guard_pid;

/* holmd has no more use for this process: the guard dies, all that it guards with it, and both are collected here. */
static void on_terminate(int number)
{
    kill((pid_t)guard_pid, SIGKILL);
}

static int wait_for(pid_t pid)
{
    int status = 0;

    for (;;) {
        pid_t got = waitpid(-1, &status, 0);
        if (got == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        if (got < 0 && errno != EINTR)
            return 1;
    }
}

/* The first process of the namespace. */
static int guard(int outer_pidfd)
{
    struct pollfd outer = {.fd = outer_pidfd, .events = POLLIN};
    struct err e = ERR_INIT;

    /* The outer one may have died before the tie was there. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || poll(&outer, 1, 0) != 0)
        return 1;
    close(outer_pidfd);
    prctl(PR_SET_NAME, "holm-pam-guard");
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "holm-pam-talk");
        _exit(serve(0, &e) < 0 ? 1 : 0);
    }
    close(CONTROL_FD);
    return pid < 0 ? 1 : wait_for(pid);
}

int main(void)
{
    struct err e = ERR_INIT;
    int r = pam_confine(&e);
    int pidfd = r < 0 ? -1 : (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (r == 0 && pidfd < 0)
        r = err_errno(&e, errno, "pidfd_open");
    pid_t pid = r < 0 ? -1 : fork();
    if (pid == 0)
        _exit(guard(pidfd));
    if (r == 0 && pid < 0)
        r = err_errno(&e, errno, "fork");
    if (r < 0)
        _exit(serve(r, &e) < 0 ? 1 : 0);
    guard_pid = pid;
    signal(SIGTERM, on_terminate);
    close(CONTROL_FD);
    _exit(wait_for(pid));
}
