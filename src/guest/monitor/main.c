/* holm-guest: parent of one guest's hypervisor. holmd starts it with everything it needs as descriptors:
 *
 *     holm-guest --dir-fd N --control-fd N --launch-fd N --lock-fd N --vmid ID --socket NAME
 *
 * Order: record (so that a holmd that dies now finds us), socket, hypervisor, loop. The loop ends two seconds after the
 * hypervisor at the latest. SIGTERM and its like are ignored: whoever stops the session or the service does not stop
 * guests; to end a guest, say so (`quit`, `kill`), or SIGKILL this process, which takes the hypervisor along. */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "guest/monitor/monitor.h"
#include "link/link.h"

#define LAUNCH_BYTES_MAX (1024u * 1024u)

struct options {
    int dir_fd, control_fd, launch_fd, lock_fd;
    uint32_t vmid;
    const char *socket_name;
};

void monitor_set_state(struct monitor *m, const char *state)
{
    snprintf(m->state, sizeof(m->state), "%s", state);
}

uint32_t monitor_exit_status(const struct monitor *m)
{
    if (WIFSIGNALED(m->wait_status))
        return 128u + (uint32_t)WTERMSIG(m->wait_status);
    return (uint32_t)WEXITSTATUS(m->wait_status);
}

/* A descriptor that we were given; nobody else is to inherit it. */
static int parse_fd(const char *text)
{
    uint64_t n;

    if (str_to_u64(text, &n) < 0 || n < 3 || n > 1000 || fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    return (int)n;
}

static int parse_options(int argc, char **argv, struct options *ret)
{
    static const struct option names[] = {
        {"dir-fd", 1, NULL, 'd'}, {"control-fd", 1, NULL, 'c'}, {"launch-fd", 1, NULL, 'l'}, {"lock-fd", 1, NULL, 'k'},
        {"vmid", 1, NULL, 'v'},   {"socket", 1, NULL, 's'},     {NULL, 0, NULL, 0}};
    struct options o = {.dir_fd = -1, .control_fd = -1, .launch_fd = -1, .lock_fd = -1};
    uint64_t vmid = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'd')
            o.dir_fd = parse_fd(optarg);
        else if (c == 'c')
            o.control_fd = parse_fd(optarg);
        else if (c == 'l')
            o.launch_fd = parse_fd(optarg);
        else if (c == 'k')
            o.lock_fd = parse_fd(optarg);
        else if (c == 's')
            o.socket_name = optarg;
        else if (c != 'v' || str_to_u64(optarg, &vmid) < 0 || vmid > UINT32_MAX)
            return -EINVAL;
    }
    if (o.dir_fd < 0 || o.control_fd < 0 || o.launch_fd < 0 || o.lock_fd < 0 || !vmid || !o.socket_name ||
        strchr(o.socket_name, '/') || strlen(o.socket_name) > 32 || optind != argc)
        return -EINVAL;
    o.vmid = (uint32_t)vmid;
    *ret = o;
    return 0;
}

static int close_on_exec(const int *fds, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0)
            return err_set(e, -EBADF, "launch.malformed", "descriptor %d is not there", fds[i]);
    return 0;
}

static int read_order(struct monitor *m, const struct options *o, struct err *e)
{
    autobuf struct buf payload;

    buf_init(&payload, LAUNCH_BYTES_MAX);
    int r = fs_read_fd(o->launch_fd, &payload, e);
    close(o->launch_fd);
    if (r < 0)
        return r;
    m->order = malloc(sizeof(*m->order));
    if (!m->order)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    r = order_parse(payload.data, payload.len, m->order, e);
    if (payload.data)
        mem_wipe(payload.data, payload.len);
    if (r < 0) {
        free(TAKE_PTR(m->order));
        return r;
    }
    m->driver = driver_find(m->order->driver);
    if (!m->driver)
        return err_set(e, -EINVAL, "launch.driver", "no driver '%s'", m->order->driver);
    if (m->order->vmid != o->vmid)
        return err_set(e, -EINVAL, "launch.malformed", "the order is for guest %u", m->order->vmid);
    r = close_on_exec(m->order->fds, m->order->n_fds, e);
    return r < 0 ? r : close_on_exec(m->order->helper_fds, m->order->n_helper_fds, e);
}

/* The path leads through our own descriptor, so it is short whatever the root folder is called. */
static int listen_at(struct monitor *m, const char *name, struct err *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", m->dir_fd, name);
    m->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->listen_fd < 0)
        return err_errno(e, errno, "socket");
    if (unlinkat(m->dir_fd, name, 0) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove an old socket");
    if (bind(m->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || fchmodat(m->dir_fd, name, 0600, 0) < 0 ||
        listen(m->listen_fd, 4) < 0)
        return err_errno(e, errno, "listen at %s", name);
    return 0;
}

static void harden(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP};
    const struct rlimit no_core = {0, 0};

    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        signal(ignored[i], SIG_IGN);
    /* Not fatal where a host forbids it: it is a second wall. */
    if (setrlimit(RLIMIT_CORE, &no_core) < 0)
        log_debug("core limit: %s", strerror(errno));
    prctl(PR_SET_DUMPABLE, 0);
}

/* What to tell about the end; "" for an ordinary one. */
static void exit_text(const struct monitor *m, char text[OUTPUT_TEXT_MAX + 40])
{
    char last[OUTPUT_TEXT_MAX + 1];

    output_last_text(&m->output, last);
    text[0] = 0;
    if (WIFSIGNALED(m->wait_status))
        snprintf(text, OUTPUT_TEXT_MAX + 40, "ended by signal %d%s%s", WTERMSIG(m->wait_status), last[0] ? ": " : "",
                 last);
    else if (WEXITSTATUS(m->wait_status))
        snprintf(text, OUTPUT_TEXT_MAX + 40, "%s", last[0] ? last : "ended without a word");
}

static void on_child_end(void *arg, short revents)
{
    struct monitor *m = arg;
    char text[OUTPUT_TEXT_MAX + 40];

    if (waitpid(m->pid, &m->wait_status, WNOHANG) != m->pid)
        return;
    loop_unwatch(&m->loop, m->pidfd);
    bool was_up = m->is_up;
    viewers_close(m);
    agent_close(m);
    m->driver->close(m); /* tells its last events while the state is still alive */
    child_drain_output(m);
    for (size_t i = 0; i < m->n_channels; i++)
        channel_end(m->channels[i]);
    m->is_exited = true;
    monitor_set_state(m, "exited");
    exit_text(m, text);
    record_write_exit(m, text);
    if (!was_up && !m->is_exit_expected)
        control_event(m, "failed", text);
    control_event(m, "exited", text);
    m->linger_until_ms = clock_boot_ms() + LINGER_MS;
}

static bool may_leave(const struct monitor *m)
{
    if (!m->is_exited)
        return false;
    if (clock_boot_ms() >= m->linger_until_ms)
        return true;
    if (m->helper_pid) /* it ends by itself when QEMU is gone, and keeps what it has to keep */
        return false;
    for (size_t i = 0; i < m->n_channels; i++)
        if (!client_all_drained(m->channels[i]))
            return false;
    return control_is_drained(m);
}

static void on_linger_over(void *arg)
{
}

static void run(struct monitor *m)
{
    struct loop_timer linger;

    loop_timer_init(&linger, on_linger_over, NULL);
    while (!may_leave(m)) {
        if (m->is_exited && list_is_empty(&linger.node))
            loop_timer_set(&m->loop, &linger, LINGER_MS);
        loop_once(&m->loop);
    }
    loop_timer_stop(&linger);
}

static void fill_start(struct monitor *m, const struct options *o)
{
    *m = (struct monitor){
        .dir_fd = o->dir_fd, .lock_fd = o->lock_fd, .listen_fd = -1, .pidfd = -1, .output_fd = -1, .helper_pidfd = -1};
    loop_init(&m->loop);
    viewers_init(m);
    monitor_set_state(m, "starting");
    output_init(&m->output, openat(o->dir_fd, "log", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
}

/* Before there is a control connection: one frame, and the end. */
static void tell_failure(int control_fd, const struct err *why)
{
    struct err e = ERR_INIT;
    autobuf struct buf b;

    buf_init(&b, 4096);
    size_t begin = frame_begin(&b, FRAME_GUEST_EVENT, 0, 0, 0);
    field_str(&b, FIELD_EVENT, "failed");
    field_str(&b, FIELD_TEXT, why->text);
    frame_end(&b, begin);
    if (link_write_frame(control_fd, &b, NULL, 0, &e) < 0)
        log_debug("nobody listens: %s", e.text);
    close(control_fd);
}

static int start(struct monitor *m, const struct options *o, struct err *e)
{
    int r = read_order(m, o, e);

    if (r == 0)
        r = record_write_monitor(m, e);
    if (r == 0)
        r = listen_at(m, o->socket_name, e);
    harden();
    if (r < 0) {
        tell_failure(o->control_fd, e);
        return r;
    }
    r = control_open(m, o->control_fd, e);
    if (r < 0)
        return r;
    r = child_start(m, e);
    if (r == 0)
        r = loop_watch(&m->loop, m->pidfd, POLLIN, on_child_end, m);
    if (r < 0) {
        child_kill(m);
        control_event(m, "failed", e->text);
    }
    return r;
}

static void done(struct monitor *m)
{
    viewers_close(m);
    agent_close(m);
    if (m->driver)
        m->driver->close(m);
    for (size_t i = 0; i < m->n_channels; i++)
        channel_free(m->channels[i]);
    control_close(m);
    output_done(&m->output);
    if (m->order)
        order_done(m->order);
    free(m->order);
}

int main(int argc, char **argv)
{
    static struct monitor m;
    struct options o;
    struct err e = ERR_INIT;

    log_init("holm-guest", LOG_NOTE);
    if (parse_options(argc, argv, &o) < 0) {
        log_error("usage: holm-guest --dir-fd N --control-fd N --launch-fd N --lock-fd N --vmid ID --socket NAME");
        return 2;
    }
    fill_start(&m, &o);
    int r = start(&m, &o, &e);
    if (r < 0)
        log_err(LOG_ERROR, &e, "start of guest %u", o.vmid);
    else
        run(&m);
    done(&m);
    return r < 0 ? 1 : 0;
}
