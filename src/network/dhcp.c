/* A dnsmasq for each bridge with a DHCP range: addresses for guests, and names from the host's resolver. It reads what
 * guests send, as its own user with the few capabilities that it keeps. It lives on when holmd ends; the next holmd
 * finds it by its file DIR/run/net/BRIDGE.pid and the command line behind that number. Loop thread; files in the pool.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "network/apply_priv.h"
#include "task/pool.h"

#define SERVERS_MAX NET_IFACES_MAX
#define RETRY_MS    500

struct server {
    struct net_dhcp *all;
    char name[IFNAMSIZ];
    char *conf; /* what it is to run with; NULL: it is to end */
    pid_t pid;
    int pidfd;
    bool is_child, is_busy; /* a job is under way */
    bool is_again;          /* conf changed meanwhile */
    struct event *exit_event, *retry;
};

struct net_dhcp {
    struct event_base *base;
    struct pool *pool;
    char run_dir[PATH_MAX], lease_dir[PATH_MAX];
    int run_dirfd, lease_dirfd;
    struct server *servers[SERVERS_MAX];
    size_t n;
    bool is_ending;
};

/* Looks for a running one, and writes the file for a new one. */
struct prepare {
    struct server *server;
    char *conf;
    int found_fd;
    pid_t found_pid;
    bool is_same;
    int r;
    struct err err;
};

static void kick(struct server *s);

static void file_name(const char *name, const char *end, char *dst, size_t cap)
{
    snprintf(dst, cap, "%s.%s", name, end);
}

/* ---- pool thread ---- */

static bool runs_ours(pid_t pid, const struct server *s)
{
    char path[40], wanted[PATH_MAX + 64], text[2 * PATH_MAX];

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    snprintf(wanted, sizeof(wanted), "--conf-file=%s/%s.conf", s->all->run_dir, s->name);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = 0;
    size_t first = strlen(text) + 1;
    return first < (size_t)n && streq(text + first, wanted);
}

static void find_running(struct prepare *p)
{
    struct server *s = p->server;
    struct err e = ERR_INIT;
    char file[IFNAMSIZ + 8];
    uint64_t pid, ticks;
    struct buf b;

    file_name(s->name, "pid", file, sizeof(file));
    buf_init(&b, 64);
    if (fs_read_file(s->all->run_dirfd, file, &b, &e) == 0 && b.data) {
        b.data[strcspn(b.data, "\n")] = 0;
        if (str_to_u64(b.data, &pid) == 0 && pid > 1 && pid < INT32_MAX && proc_start_time((pid_t)pid, &ticks) == 0 &&
            runs_ours((pid_t)pid, s)) {
            p->found_pid = (pid_t)pid;
            p->found_fd = proc_open_checked((pid_t)pid, ticks);
        }
    }
    buf_done(&b);
}

static int write_conf(struct prepare *p, struct err *e)
{
    struct server *s = p->server;
    char file[IFNAMSIZ + 8];
    struct buf b;

    file_name(s->name, "conf", file, sizeof(file));
    buf_init(&b, 65536);
    p->is_same = fs_read_file(s->all->run_dirfd, file, &b, e) == 0 && streq(buf_str(&b), p->conf);
    buf_done(&b);
    *e = (struct err)ERR_INIT;
    return p->is_same ? 0 : fs_replace_durable(s->all->run_dirfd, file, p->conf, strlen(p->conf), 0600, e);
}

static int remove_files(const struct server *s, struct err *e)
{
    char file[IFNAMSIZ + 8];
    int r = 0;

    file_name(s->name, "leases", file, sizeof(file));
    r = fs_unlink_if_exists(s->all->lease_dirfd, file, e);
    file_name(s->name, "pid", file, sizeof(file));
    if (r == 0)
        r = fs_unlink_if_exists(s->all->run_dirfd, file, e);
    file_name(s->name, "conf", file, sizeof(file));
    return r < 0 ? r : fs_unlink_if_exists(s->all->run_dirfd, file, e);
}

static void prepare_in_thread(void *ctx)
{
    struct prepare *p = ctx;

    find_running(p);
    if (p->conf)
        p->r = write_conf(p, &p->err);
    else if (p->found_fd < 0)
        p->r = remove_files(p->server, &p->err);
}

/* ---- loop ---- */

static void server_free(struct server *s)
{
    struct net_dhcp *d = s->all;

    for (size_t i = 0; i < d->n; i++)
        if (d->servers[i] == s)
            d->servers[i] = d->servers[--d->n];
    if (s->exit_event)
        event_free(s->exit_event);
    if (s->retry)
        event_free(s->retry);
    if (s->pidfd >= 0)
        close(s->pidfd);
    free(s->conf);
    free(s);
}

static void retry_later(struct server *s)
{
    struct timeval tv = {.tv_usec = RETRY_MS * 1000};

    evtimer_add(s->retry, &tv);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    kick(arg);
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    int status = 0;

    if (s->is_child && waitpid(s->pid, &status, WNOHANG) != s->pid)
        status = 0;
    if (s->conf)
        log_warn("dnsmasq of %s has ended (status %d)", s->name, status);
    event_free(s->exit_event);
    s->exit_event = NULL;
    close(TAKE_FD(s->pidfd));
    s->pid = 0;
    if (s->conf)
        retry_later(s);
    else
        kick(s);
}

static int watch(struct server *s, pid_t pid, int pidfd, bool is_child)
{
    s->pid = pid;
    s->pidfd = pidfd;
    s->is_child = is_child;
    s->exit_event = event_new(s->all->base, pidfd, EV_READ, on_exited, s);
    return s->exit_event && event_add(s->exit_event, NULL) == 0 ? 0 : -ENOMEM;
}

static int spawn(struct server *s, struct err *e)
{
    char conf[PATH_MAX + 64];
    const char *argv[] = {"dnsmasq", conf, NULL};
    struct proc_spawn spawn = {.path = NET_DNSMASQ, .argv = argv, .is_new_session = true};
    int pidfd = -EBADF;
    pid_t pid;

    snprintf(conf, sizeof(conf), "--conf-file=%s/%s.conf", s->all->run_dir, s->name);
    int r = proc_spawn_start(&spawn, &pid, &pidfd, e);
    if (r == 0 && watch(s, pid, pidfd, true) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    return r;
}

static void prepared(void *ctx)
{
    struct prepare *p = ctx;
    struct server *s = p->server;
    bool is_again = s->is_again;
    int found = p->found_fd, r = p->r;

    s->is_busy = s->is_again = false;
    if (s->all->is_ending) {
        if (found >= 0)
            close(found);
    } else if (found >= 0 && watch(s, p->found_pid, found, false) == 0) {
        if (!p->conf || !p->is_same || is_again)
            proc_pidfd_kill(found, SIGTERM); /* its end starts the next */
    } else if (!p->conf && !s->conf && r == 0) {
        server_free(s);
    } else if (is_again) {
        kick(s);
    } else {
        if (r == 0)
            r = spawn(s, &p->err);
        if (r < 0) {
            log_err(LOG_ERROR, &p->err, "DHCP on %s", s->name);
            retry_later(s);
        }
    }
    free(p->conf);
    free(p);
}

static void kick(struct server *s)
{
    struct prepare *p = s->is_busy || s->pid ? NULL : calloc(1, sizeof(*p));
    struct err e = ERR_INIT;

    s->is_again = s->is_busy;
    if (!p)
        return;
    *p = (struct prepare){.server = s, .conf = s->conf ? strdup(s->conf) : NULL, .found_fd = -EBADF};
    s->is_busy = true;
    if ((s->conf && !p->conf) || pool_submit(s->all->pool, prepare_in_thread, prepared, p, &e) < 0) {
        s->is_busy = false;
        free(p->conf);
        free(p);
        retry_later(s);
    }
}

static struct server *server_get(struct net_dhcp *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (streq(d->servers[i]->name, name))
            return d->servers[i];
    struct server *s = d->n < SERVERS_MAX ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    s->all = d;
    s->pidfd = -EBADF;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->retry = evtimer_new(d->base, on_retry, s);
    if (!s->retry) {
        free(s);
        return NULL;
    }
    d->servers[d->n++] = s;
    return s;
}

/* Names from files of an earlier run: what none of the configuration wants is ended. */
static void list_earlier(struct net_dhcp *d)
{
    int fd = openat(d->run_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    for (struct dirent *de; dir && (de = readdir(dir));) {
        char name[IFNAMSIZ];
        size_t n = strlen(de->d_name);
        if (!str_ends(de->d_name, ".conf") || n - 5 >= sizeof(name))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(n - 5), de->d_name);
        if (net_name_is_valid(name) && !server_get(d, name))
            break;
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}

int net_dhcp_new(struct event_base *base, struct pool *pool, const char *root_dir, struct net_dhcp **ret, struct err *e)
{
    struct net_dhcp *d = calloc(1, sizeof(*d));
    char root[PATH_MAX];
    int rootfd = -EBADF, r = 0;

    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *d = (struct net_dhcp){.base = base, .pool = pool, .run_dirfd = -EBADF, .lease_dirfd = -EBADF};
    if (!realpath(root_dir, root) || strlen(root) > PATH_MAX - 64)
        r = err_errno(e, errno ? errno : ENAMETOOLONG, "%s", root_dir);
    if (r == 0) {
        snprintf(d->run_dir, sizeof(d->run_dir), "%.4000s/run/net", root);
        snprintf(d->lease_dir, sizeof(d->lease_dir), "%.4000s/var/net", root);
        r = fs_open_dir(AT_FDCWD, root, 0711, &rootfd, e);
    }
    if (r == 0)
        r = fs_open_dir(rootfd, "run/net", 0700, &d->run_dirfd, e);
    if (r == 0)
        r = fs_open_dir(rootfd, "var/net", 0700, &d->lease_dirfd, e);
    if (rootfd >= 0)
        close(rootfd);
    if (r < 0) {
        net_dhcp_free(d);
        return r;
    }
    list_earlier(d);
    *ret = d;
    return 0;
}

void net_dhcp_free(struct net_dhcp *d)
{
    if (!d)
        return;
    while (d->n)
        server_free(d->servers[0]);
    if (d->run_dirfd >= 0)
        close(d->run_dirfd);
    if (d->lease_dirfd >= 0)
        close(d->lease_dirfd);
    free(d);
}

void net_dhcp_end(struct net_dhcp *d)
{
    d->is_ending = true;
}

/* Every value here was checked to be an address or a name. */
static char *conf_of(const struct net_dhcp *d, const struct net_iface *i)
{
    char first[INET_ADDRSTRLEN], *dash, *text;
    struct buf b;

    snprintf(first, sizeof(first), "%.15s", i->dhcp_range);
    dash = strchr(i->dhcp_range, '-');
    first[dash - i->dhcp_range] = 0;
    buf_init(&b, 16384);
    buf_printf(&b,
               "# Written by holmd.\nkeep-in-foreground\nbind-interfaces\ninterface=%s\nexcept-interface=lo\n"
               "pid-file=%s/%s.pid\ndhcp-leasefile=%s/%s.leases\ndhcp-range=%s,%s,1h\ndhcp-authoritative\nno-ping\n"
               "no-hosts\ndomain-needed\nbogus-priv\n",
               i->name, d->run_dir, i->name, d->lease_dir, i->name, first, dash + 1);
    text = buf_take(&b);
    buf_done(&b);
    return text;
}

static void set_conf(struct server *s, char *conf)
{
    bool is_same = s->conf && conf && streq(s->conf, conf);

    free(s->conf);
    s->conf = conf;
    if (is_same)
        return;
    if (s->pid)
        proc_pidfd_kill(s->pidfd, SIGTERM);
    else
        kick(s);
}

void net_dhcp_update(struct net_dhcp *d, const struct net_config *c)
{
    for (size_t k = d->n; k-- > 0;) {
        const struct net_iface *i = net_config_find(c, d->servers[k]->name);
        if (!i || !i->dhcp_range[0])
            set_conf(d->servers[k], NULL);
    }
    for (size_t k = 0; k < c->n; k++) {
        struct server *s = c->items[k].dhcp_range[0] ? server_get(d, c->items[k].name) : NULL;
        char *conf = s ? conf_of(d, &c->items[k]) : NULL;
        if (conf)
            set_conf(s, conf);
    }
}
