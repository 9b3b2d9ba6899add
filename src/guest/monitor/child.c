/* Starts the hypervisor and watches its output and its end. It gets exactly the descriptors of the order, the channels'
 * ends and the lock, no new privileges, and SIGKILL when this process dies. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/proc.h"
#include "guest/monitor/monitor.h"

#define CHILD_LOCK_FD 9
#define OUTPUT_READS  8

static int no_new_privileges(void *arg)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static void add_fd(struct proc_spawn *s, int source, int target)
{
    s->fds[s->n_fds].source = source;
    s->fds[s->n_fds++].target = target;
}

/* One channel: the driver's own goes to the driver, the others are kept here. */
static int open_channel(struct monitor *m, const struct order_channel *oc, int *ret_peer, int *ret_driver_fd,
                        struct err *e)
{
    if (!streq(oc->name, m->driver->channel)) {
        int r = channel_new(m, oc->name, &m->channels[m->n_channels], ret_peer, e);
        m->n_channels += r == 0;
        if (r == 0 && streq(oc->name, "qga"))
            r = agent_open(m, m->channels[m->n_channels - 1], e);
        return r;
    }
    struct channel *c;
    int r = channel_new(m, oc->name, &c, ret_peer, e);
    if (r < 0)
        return r;
    loop_unwatch(&m->loop, c->fd);
    *ret_driver_fd = TAKE_FD(c->fd);
    channel_free(c);
    return 0;
}

static void on_output(void *arg, short revents)
{
    struct monitor *m = arg;
    char bytes[4096];

    for (int i = 0; i < OUTPUT_READS; i++) {
        ssize_t n = read(m->output_fd, bytes, sizeof(bytes));
        if (n > 0) {
            output_add(&m->output, bytes, (size_t)n);
            continue;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            loop_unwatch(&m->loop, m->output_fd);
            close(TAKE_FD(m->output_fd));
        }
        return;
    }
}

void child_drain_output(struct monitor *m)
{
    for (int i = 0; m->output_fd >= 0 && i < 4; i++)
        on_output(m, 0);
}

static void close_order_fds(struct monitor *m)
{
    for (size_t i = 0; i < m->order->n_fds; i++)
        close(m->order->fds[i]);
    for (size_t i = 0; i < m->order->n_helper_fds; i++)
        close(m->order->helper_fds[i]);
}

static int spawn(struct monitor *m, const int *peers, int output_peer, int helper_peer, struct err *e)
{
    struct order *o = m->order;
    struct proc_spawn s = {.path = o->args[0],
                           .argv = (const char *const *)o->args,
                           .envp = (const char *const *)o->envs,
                           .dies_with_parent = true,
                           .before_exec = no_new_privileges};

    for (size_t i = 0; i < o->n_fds; i++)
        add_fd(&s, o->fds[i], o->fds[i]);
    for (size_t i = 0; i < o->n_channels; i++)
        add_fd(&s, peers[i], o->channels[i].target);
    if (helper_peer >= 0)
        add_fd(&s, helper_peer, o->helper_peer);
    add_fd(&s, m->lock_fd, CHILD_LOCK_FD);
    add_fd(&s, output_peer, 1);
    add_fd(&s, output_peer, 2);
    int r = proc_spawn_start(&s, &m->pid, &m->pidfd, e);
    if (r == 0 && proc_start_time(m->pid, &m->start_ticks) < 0)
        m->start_ticks = 0; /* it has ended already; the pidfd tells */
    m->started_boot_ms = clock_boot_ms();
    return r;
}

int child_start(struct monitor *m, struct err *e)
{
    int peers[ORDER_CHANNELS_MAX], pipe_fds[2], driver_fd = -EBADF, helper_peer = -1, r = 0;
    size_t n_peers = 0;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    m->output_fd = pipe_fds[0];
    for (size_t i = 0; r == 0 && i < m->order->n_channels; i++) {
        r = open_channel(m, &m->order->channels[i], &peers[i], &driver_fd, e);
        n_peers += r == 0;
    }
    if (r == 0 && driver_fd < 0)
        r = err_set(e, -EINVAL, "launch.malformed", "no channel '%s' for the driver", m->driver->channel);
    if (r == 0 && fcntl(m->output_fd, F_SETFL, O_NONBLOCK) < 0)
        r = err_errno(e, errno, "output");
    if (r == 0)
        r = loop_watch(&m->loop, m->output_fd, POLLIN, on_output, m);
    if (r == 0)
        r = helper_start(m, pipe_fds[1], &helper_peer, e);
    if (r == 0)
        r = spawn(m, peers, pipe_fds[1], helper_peer, e);
    if (helper_peer >= 0)
        close(helper_peer);
    for (size_t i = 0; i < n_peers; i++)
        close(peers[i]);
    close(pipe_fds[1]);
    close_order_fds(m);
    if (r == 0)
        r = m->driver->open(m, TAKE_FD(driver_fd), e);
    if (driver_fd >= 0)
        close(driver_fd);
    return r;
}

void child_kill(struct monitor *m)
{
    m->is_exit_expected = true;
    if (m->pidfd >= 0 && !m->is_exited)
        (void)proc_pidfd_kill(m->pidfd, SIGKILL);
}
