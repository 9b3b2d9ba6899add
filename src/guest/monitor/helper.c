/* The second program of a guest (today: swtpm). It has the guest's user and cgroup like QEMU, the lock, one end of a
 * socket pair and its files; it ends when QEMU closes the other end, and is killed when this process goes. */
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/proc.h"
#include "guest/monitor/monitor.h"

enum { HELPER_PEER_FD = 3, HELPER_FILES_FD = 4, HELPER_LOCK_FD = 9 };

static int no_new_privileges(void *arg)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static void on_helper_end(void *arg, short revents)
{
    struct monitor *m = arg;
    char text[80];
    int status;

    if (waitpid(m->helper_pid, &status, WNOHANG) != m->helper_pid)
        return;
    loop_unwatch(&m->loop, m->helper_pidfd);
    close(TAKE_FD(m->helper_pidfd));
    m->helper_pid = 0;
    if (m->is_exited || m->is_exit_expected)
        return;
    snprintf(text, sizeof(text), "%.32s has ended (status %d)", m->order->helper_args[0], status);
    control_event(m, "helper-exited", text);
}

static void add_fd(struct proc_spawn *s, int source, int target)
{
    s->fds[s->n_fds].source = source;
    s->fds[s->n_fds++].target = target;
}

int helper_start(struct monitor *m, int output_fd, int *ret_peer, struct err *e)
{
    struct order *o = m->order;
    struct proc_spawn s = {.path = o->helper_args[0],
                           .argv = (const char *const *)o->helper_args,
                           .dies_with_parent = true,
                           .before_exec = no_new_privileges};
    int pair[2];

    *ret_peer = -1;
    if (!o->n_helper_args)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    add_fd(&s, pair[0], HELPER_PEER_FD);
    for (size_t i = 0; i < o->n_helper_fds; i++)
        add_fd(&s, o->helper_fds[i], HELPER_FILES_FD + (int)i);
    add_fd(&s, m->lock_fd, HELPER_LOCK_FD);
    add_fd(&s, output_fd, 1);
    add_fd(&s, output_fd, 2);
    int r = proc_spawn_start(&s, &m->helper_pid, &m->helper_pidfd, e);
    close(pair[0]);
    if (r == 0)
        r = loop_watch(&m->loop, m->helper_pidfd, POLLIN, on_helper_end, m);
    if (r < 0) {
        close(pair[1]);
        return err_wrap(e, r, "start %s", o->helper_args[0]);
    }
    *ret_peer = pair[1];
    return 0;
}
