/* holm-front as children: holmd opens the listening socket and keeps it, so a new front takes over without a refused
 * connection. Several fronts accept from it. Each gets the socket, a link of its own, the certificate and the page's
 * folder, and nothing else; one that ends takes its own connections with it and no others, and is started again.
 *
 * For a new certificate all are replaced: new ones start, then the old ones are told to retire (SIGHUP). The sets
 * take turns; what is still left of one when it is needed again is ended. */
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "daemon/daemon.h"

/* A front that lived for a while is replaced at once; one that dies again and again waits twice as long each time. */
#define RESTART_FIRST_MS 10u
#define RESTART_LAST_MS  5000u
#define LIVED_LONG_MS    2000u
#define SETS             4u /* one that serves, and those that still have a console open */

/* Fronts of a daemon that was killed hold the port until the kernel has ended them. */
#define BIND_WAIT_MS  2000u
#define BIND_RETRY_MS 20u

enum { FD_LISTEN = 3, FD_LINK = 4, FD_CERT = 5, FD_KEY = 6, FD_WEB = 7 };

struct fronts;

struct front {
    struct fronts *all;
    struct peer *peer;
    pid_t pid;
    int pidfd;
    struct event *exit_event, *restart_timer;
    uint64_t started_ms;
    uint32_t wait_ms; /* before the next start */
    bool is_retiring; /* not started again */
};

struct fronts {
    struct api *api;
    const struct options *options;
    char program[4096], chroot_dir[4096];
    int listen_fd, web_fd;
    uid_t uid;
    gid_t gid;
    bool is_stopping;
    unsigned n; /* of a set */
    unsigned current;
    struct front sets[SETS][FRONTS_MAX];
};

/* Before the loop runs: nobody waits for this thread yet, and there is nothing to poll. */
static int bind_patiently(int fd, const struct addrinfo *ai)
{
    uint64_t deadline_ms = clock_boot_ms() + BIND_WAIT_MS;

    while (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        int r = -errno;
        if (r != -EADDRINUSE || FP("front.port-taken") || clock_boot_ms() >= deadline_ms)
            return r;
        nanosleep(&(struct timespec){.tv_nsec = BIND_RETRY_MS * 1000000l}, NULL);
    }
    return listen(fd, 512) < 0 ? -errno : 0;
}

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
        r = bind_patiently(fd, ai);
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

struct arguments {
    const char *argv[24];
    size_t n;
    char uid[16], gid[16], hsts[16];
};

static void add(struct arguments *a, const char *name, const char *value)
{
    a->argv[a->n++] = name;
    a->argv[a->n++] = value;
}

static void fill_arguments(const struct fronts *f, struct arguments *a)
{
    *a = (struct arguments){.argv = {"holm-front"}, .n = 1};
    snprintf(a->uid, sizeof(a->uid), "%u", (unsigned)f->uid);
    snprintf(a->gid, sizeof(a->gid), "%u", (unsigned)f->gid);
    snprintf(a->hsts, sizeof(a->hsts), "%u", f->options->hsts_s);
    add(a, "--listen-fd", "3");
    add(a, "--link-fd", "4");
    add(a, "--cert-fd", "5");
    add(a, "--key-fd", "6");
    add(a, "--node", f->options->node);
    add(a, "--chroot", f->chroot_dir);
    add(a, "--uid", a->uid);
    add(a, "--gid", a->gid);
    if (f->web_fd >= 0)
        add(a, "--web-fd", "7");
    if (f->options->hsts_s)
        add(a, "--hsts", a->hsts);
}

static int spawn(struct front *f, int link_fd, struct err *e)
{
    struct fronts *all = f->all;
    struct arguments a;
    int cert = -EBADF, key = -EBADF;
    int r = certificate_open(all->api, all->options->root, all->options->node, all->options->address, &cert, &key, e);

    if (r < 0)
        return r;
    autoclose int cert_fd = cert;
    autoclose int key_fd = key;
    fill_arguments(all, &a);
    struct proc_spawn s = {.path = all->program,
                           .argv = a.argv,
                           .dies_with_parent = true,
                           .fds = {{all->listen_fd, FD_LISTEN},
                                   {link_fd, FD_LINK},
                                   {cert_fd, FD_CERT},
                                   {key_fd, FD_KEY},
                                   {all->web_fd, FD_WEB}},
                           .n_fds = all->web_fd >= 0 ? 5 : 4};
    return proc_spawn_start(&s, &f->pid, &f->pidfd, e);
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

/* One that runs, but that we cannot use. */
static void abandon(struct front *f)
{
    proc_pidfd_kill(f->pidfd, SIGKILL);
    waitpid(f->pid, NULL, 0);
    forget_process(f);
}

static int start(struct front *f, struct err *e)
{
    struct api *api = f->all->api;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    autoclose int ours = pair[0];
    autoclose int theirs = pair[1];
    int r = spawn(f, theirs, e);
    if (r < 0)
        return r;
    (void)FP("front.spawned");
    f->started_ms = clock_boot_ms();
    f->exit_event = event_new(api->base, f->pidfd, EV_READ, on_exit_event, f);
    if (!f->exit_event || event_add(f->exit_event, NULL) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = peer_new(api, TAKE_FD(ours), NULL, peer_gone, f, &f->peer, e);
    if (r < 0)
        abandon(f);
    return r;
}

/* How long to wait before the next start, after this one failed or ended early. */
static void back_off(struct front *f)
{
    f->wait_ms = f->wait_ms * 2 < RESTART_LAST_MS ? f->wait_ms * 2 : RESTART_LAST_MS;
}

static void start_later(struct front *f)
{
    struct timeval tv = {.tv_sec = f->wait_ms / 1000, .tv_usec = (f->wait_ms % 1000) * 1000};

    evtimer_add(f->restart_timer, &tv);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct err e = ERR_INIT;

    if (f->all->is_stopping || f->is_retiring || start(f, &e) == 0)
        return;
    log_err(LOG_ERROR, &e, "holm-front cannot be started");
    back_off(f);
    start_later(f);
}

static void on_exit_event(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    int status = 0;

    if (waitpid(f->pid, &status, WNOHANG) == f->pid)
        log_warn("holm-front %d ended (%s %d)", (int)f->pid, WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    forget_process(f);
    if (f->peer)
        peer_close(f->peer);
    f->peer = NULL;
    if (f->all->is_stopping || f->is_retiring)
        return;
    if (clock_boot_ms() - f->started_ms >= LIVED_LONG_MS)
        f->wait_ms = RESTART_FIRST_MS;
    start_later(f);
    back_off(f);
}

/* The page's folder: the one that was asked for, or what is installed beside an installed daemon; none is fine then. */
static int open_web(struct fronts *f, struct err *e)
{
    const struct options *o = f->options;
    const char *folder = o->web ? o->web : HOLM_DATADIR "/web";

    if (!o->web && str_ends(o->libexec, "/.."))
        return 0; /* of a build tree */
    f->web_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return f->web_fd < 0 && (o->web || errno != ENOENT) ? err_errno(e, errno, "open %s", folder) : 0;
}

/* What all of them share. */
static int prepare(struct fronts *f, struct err *e)
{
    const struct options *o = f->options;
    int r = listen_on(o, &f->listen_fd, e);

    snprintf(f->program, sizeof(f->program), "%s/%s", o->libexec,
             str_ends(o->libexec, "/..") ? "front/holm-front" : "holm-front");
    snprintf(f->chroot_dir, sizeof(f->chroot_dir), "%s/run/empty", o->root);
    if (r == 0)
        r = fs_mkdirs(AT_FDCWD, f->chroot_dir, 0755, e);
    return r < 0 ? r : open_web(f, e);
}

static int init(struct fronts *all, struct front *f, struct err *e)
{
    *f = (struct front){.all = all, .pidfd = -EBADF, .wait_ms = RESTART_FIRST_MS};
    f->restart_timer = evtimer_new(all->api->base, on_restart, f);
    return f->restart_timer ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

static int init_all(struct fronts *all, struct err *e)
{
    int r = 0;

    all->n = all->options->n_fronts;
    for (unsigned i = 0; i < SETS * all->n; i++)
        all->sets[i % SETS][i / SETS].pidfd = -EBADF;
    for (unsigned i = 0; r == 0 && i < SETS * all->n; i++)
        r = init(all, &all->sets[i % SETS][i / SETS], e);
    return r;
}

static int start_set(struct fronts *all, unsigned set, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < all->n; i++)
        r = start(&all->sets[set][i], e);
    return r;
}

int fronts_new(struct api *api, const struct options *o, uid_t uid, gid_t gid, struct fronts **ret, struct err *e)
{
    struct fronts *f = calloc(1, sizeof(*f));

    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    f->api = api;
    f->options = o;
    f->uid = uid;
    f->gid = gid;
    f->listen_fd = f->web_fd = -EBADF;
    int r = prepare(f, e);
    if (r == 0)
        r = init_all(f, e);
    if (r == 0)
        r = start_set(f, 0, e);
    if (r < 0) {
        fronts_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

static void front_done(struct front *f)
{
    if (f->pidfd >= 0)
        waitpid(f->pid, NULL, 0);
    forget_process(f);
    if (f->peer) {
        struct peer *p = TAKE_PTR(f->peer);
        peer_close(p);
    }
    if (f->restart_timer)
        event_free(f->restart_timer);
}

/* Ends what is left of it, and its consoles, and makes it ready. */
static void clear_set(struct fronts *all, unsigned set)
{
    for (unsigned i = 0; i < all->n; i++) {
        struct front *f = &all->sets[set][i];
        evtimer_del(f->restart_timer);
        if (f->pidfd >= 0)
            abandon(f);
        if (f->peer) {
            struct peer *p = TAKE_PTR(f->peer);
            peer_close(p);
        }
        f->is_retiring = false;
        f->wait_ms = RESTART_FIRST_MS;
    }
}

int fronts_renew(struct fronts *all, struct err *e)
{
    unsigned old = all->current, new = (old + 1) % SETS;

    clear_set(all, new);
    int r = start_set(all, new, e);
    if (r < 0) {
        clear_set(all, new);
        return r;
    }
    all->current = new;
    for (unsigned i = 0; i < all->n; i++) {
        struct front *f = &all->sets[old][i];
        f->is_retiring = true;
        evtimer_del(f->restart_timer);
        if (f->pidfd >= 0)
            proc_pidfd_kill(f->pidfd, SIGHUP);
    }
    return 0;
}

void fronts_free(struct fronts *f)
{
    if (!f)
        return;
    f->is_stopping = true;
    for (unsigned i = 0; i < SETS * f->n; i++)
        if (f->sets[i % SETS][i / SETS].pidfd >= 0)
            proc_pidfd_kill(f->sets[i % SETS][i / SETS].pidfd, SIGTERM);
    for (unsigned i = 0; i < SETS * f->n; i++)
        front_done(&f->sets[i % SETS][i / SETS]);
    if (f->listen_fd >= 0)
        close(f->listen_fd);
    if (f->web_fd >= 0)
        close(f->web_fd);
    free(f);
}
