/* Accepting connections. When every place is taken the connection that can best be spared goes; when none can, or
 * descriptors run out, accepting pauses instead of spinning on a readable socket. */
#include "front/front_priv.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/log.h"

#define ACCEPT_PER_WAKE 16
#define RETRY_MS        100

static void set_accepting(struct front *f, bool on)
{
    if (f->is_accepting == on)
        return;
    f->is_accepting = on;
    for (size_t i = 0; i < f->options.n_listen_fds; i++) {
        if (on)
            event_add(f->listeners[i], NULL);
        else
            event_del(f->listeners[i]);
    }
}

static void pause_accepting(struct front *f)
{
    static const struct timeval retry = {.tv_usec = RETRY_MS * 1000};

    set_accepting(f, false);
    if (!f->is_retiring)
        event_add(f->accept_retry, &retry);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    set_accepting(arg, true);
}

static bool is_out_of_resources(int num)
{
    return num == EMFILE || num == ENFILE || num == ENOBUFS || num == ENOMEM;
}

/* accept reports missing descriptors before it looks for a client: nobody is dropped when there is none. */
static void on_accept_error(struct front *f, int listen_fd, int num)
{
    struct pollfd waiting = {.fd = listen_fd, .events = POLLIN};

    if (!is_out_of_resources(num) || poll(&waiting, 1, 0) != 1 || delay_spare(f))
        return;
    struct conn *spare = conn_spare(f);
    if (spare)
        conn_close(spare);
    else
        pause_accepting(f);
}

/* False when accepting should stop for now. */
static bool accept_one(struct front *f, int listen_fd)
{
    bool is_full = f->n_conns >= f->options.limits.max_connections;
    int on = 1;

    if (is_full && !conn_spare(f)) {
        pause_accepting(f);
        return false;
    }
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int num = errno;
        on_accept_error(f, listen_fd, num);
        /* A connection that was reset while it waited is no reason to stop. */
        return num == ECONNABORTED || num == EINTR;
    }
    if (is_full)
        conn_close(conn_spare(f));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on unix sockets: fine */
    if (conn_new(f, fd) < 0)
        pause_accepting(f);
    return f->is_accepting;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    for (int i = 0; i < ACCEPT_PER_WAKE; i++)
        if (!accept_one(arg, fd))
            break;
}

int listener_start(struct front *f, struct err *e)
{
    f->accept_retry = evtimer_new(f->base, on_retry, f);
    if (!f->accept_retry)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; i < f->options.n_listen_fds; i++) {
        int fd = f->options.listen_fds[i], flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
            return err_errno(e, errno, "listening socket");
        f->listeners[i] = event_new(f->base, fd, EV_READ | EV_PERSIST, on_acceptable, f);
        if (!f->listeners[i])
            return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    set_accepting(f, true);
    return 0;
}

void listener_retire(struct front *f)
{
    f->is_retiring = true;
    if (f->accept_retry)
        event_del(f->accept_retry);
    set_accepting(f, false);
}

void listener_stop(struct front *f)
{
    for (size_t i = 0; i < f->options.n_listen_fds; i++) {
        if (f->listeners[i])
            event_free(f->listeners[i]);
        close(f->options.listen_fds[i]);
    }
    if (f->accept_retry)
        event_free(f->accept_retry);
}

void listener_resume(struct front *f)
{
    if (f->is_accepting || f->is_retiring || !f->accept_retry)
        return;
    event_del(f->accept_retry);
    set_accepting(f, true);
}
