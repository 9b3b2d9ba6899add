/* holm-front as a child: holmd opens the listening socket and keeps it, so a new front takes over without a refused
 * connection. It gets the socket, a link, the certificate and the page's folder, and nothing else. */
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "daemon/daemon.h"

#define RESTART_FAST_MS 10u
#define RESTART_SLOW_MS 2000u

enum { FD_LISTEN = 3, FD_LINK = 4, FD_CERT = 5, FD_KEY = 6, FD_WEB = 7 };

struct front {
    struct api *api;
    char program[4096], chroot_dir[4096];
    int listen_fd, web_fd;
    uid_t uid;
    gid_t gid;
    const struct options *options;
    struct peer *peer;
    pid_t pid;
    int pidfd;
    struct event *exit_event, *restart_timer;
    uint64_t started_ms;
    bool is_stopping;
};

static int listen_on(const struct options *o, int *ret_fd, struct err *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE}, *ai;
    char port[8];
    int one = 1;

    snprintf(port, sizeof(port), "%u", o->port);
    if (getaddrinfo(o->address, port, &hints, &ai) != 0)
        return err_set(e, -EINVAL, "listen.address", "'%s' is not an IP address", o->address);
    autoclose int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : 0;
    if (r == 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 512) < 0)
            r = -errno;
    }
    freeaddrinfo(ai);
    if (r == -EADDRINUSE) {
        err_set(e, r, "listen.in-use", "port %u on %s is in use by another program", o->port, o->address);
        return err_hint(e, "stop that program, or choose another port with --listen");
    }
    if (r < 0)
        return err_errno(e, -r, "listen on %s:%u", o->address, o->port);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void on_exit_event(evutil_socket_t fd, short what, void *arg);

static void peer_gone(void *arg)
{
    struct front *f = arg;

    f->peer = NULL; /* the process follows; its exit starts a new one */
}

static int start(struct front *f, struct err *e)
{
    char uid[16], gid[16];
    const char *argv[] = {
        "holm-front",     "--listen-fd", "3",           "--link-fd", "4", "--cert-fd", "5", "--key-fd", "6",  "--node",
        f->options->node, "--chroot",    f->chroot_dir, "--uid",     uid, "--gid",     gid, NULL,       NULL, NULL};
    int cert = -EBADF, key = -EBADF, pair[2];

    snprintf(uid, sizeof(uid), "%u", (unsigned)f->uid);
    snprintf(gid, sizeof(gid), "%u", (unsigned)f->gid);
    int r = certificate_open(f->api, f->options->root, f->options->node, f->options->address, &cert, &key, e);
    if (r < 0)
        return r;
    autoclose int cert_fd = cert;
    autoclose int key_fd = key;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    autoclose int ours = pair[0];
    autoclose int theirs = pair[1];
    struct proc_spawn s = {.path = f->program,
                           .argv = argv,
                           .dies_with_parent = true,
                           .fds = {{f->listen_fd, FD_LISTEN}, {theirs, FD_LINK}, {cert_fd, FD_CERT}, {key_fd, FD_KEY}},
                           .n_fds = 4};
    if (f->web_fd >= 0) {
        s.fds[s.n_fds].source = f->web_fd;
        s.fds[s.n_fds++].target = FD_WEB;
        argv[ARRAY_SIZE(argv) - 3] = "--web-fd";
        argv[ARRAY_SIZE(argv) - 2] = "7";
    }
    r = proc_spawn_start(&s, &f->pid, &f->pidfd, e);
    if (r < 0)
        return r;
    (void)FP("front.spawned");
    f->started_ms = clock_boot_ms();
    f->exit_event = event_new(f->api->base, f->pidfd, EV_READ, on_exit_event, f);
    if (!f->exit_event || event_add(f->exit_event, NULL) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return peer_new(f->api, TAKE_FD(ours), NULL, peer_gone, f, &f->peer, e);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct err e = ERR_INIT;
    struct timeval later = {.tv_sec = RESTART_SLOW_MS / 1000};

    if (f->is_stopping || start(f, &e) == 0)
        return;
    log_err(LOG_ERROR, &e, "holm-front cannot be started");
    evtimer_add(f->restart_timer, &later);
}

static void forget_process(struct front *f)
{
    if (f->exit_event)
        event_free(f->exit_event);
    f->exit_event = NULL;
    if (f->pidfd >= 0)
        close(f->pidfd);
    f->pidfd = -EBADF;
}

static void on_exit_event(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    int status = 0;
    /* One that dies at once is not started in a tight circle. */
    uint64_t lived_ms = clock_boot_ms() - f->started_ms;
    uint32_t wait_ms = lived_ms < RESTART_SLOW_MS ? RESTART_SLOW_MS / 10 : RESTART_FAST_MS;
    struct timeval tv = {.tv_usec = wait_ms * 1000};

    if (waitpid(f->pid, &status, WNOHANG) == f->pid)
        log_warn("holm-front ended (%s %d)", WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    forget_process(f);
    if (f->peer)
        peer_close(f->peer);
    f->peer = NULL;
    if (!f->is_stopping)
        evtimer_add(f->restart_timer, &tv);
}

int front_new(struct api *api, const struct options *o, uid_t uid, gid_t gid, struct front **ret, struct err *e)
{
    struct front *f = calloc(1, sizeof(*f));

    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    f->api = api;
    f->options = o;
    f->uid = uid;
    f->gid = gid;
    f->listen_fd = f->web_fd = f->pidfd = -EBADF;
    snprintf(f->program, sizeof(f->program), "%s/%s", o->libexec,
             str_ends(o->libexec, "/..") ? "front/holm-front" : "holm-front");
    snprintf(f->chroot_dir, sizeof(f->chroot_dir), "%s/run/empty", o->root);
    f->restart_timer = evtimer_new(api->base, on_restart, f);
    int r = f->restart_timer ? listen_on(o, &f->listen_fd, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = fs_mkdirs(AT_FDCWD, f->chroot_dir, 0755, e);
    if (r == 0 && o->web) {
        f->web_fd = open(o->web, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (f->web_fd < 0)
            r = err_errno(e, errno, "open %s", o->web);
    }
    if (r == 0)
        r = start(f, e);
    if (r < 0) {
        front_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

void front_free(struct front *f)
{
    if (!f)
        return;
    f->is_stopping = true;
    if (f->pidfd >= 0) {
        proc_pidfd_kill(f->pidfd, SIGTERM);
        waitpid(f->pid, NULL, 0);
    }
    forget_process(f);
    if (f->peer) {
        struct peer *p = TAKE_PTR(f->peer);
        peer_close(p);
    }
    if (f->restart_timer)
        event_free(f->restart_timer);
    if (f->listen_fd >= 0)
        close(f->listen_fd);
    if (f->web_fd >= 0)
        close(f->web_fd);
    free(f);
}
