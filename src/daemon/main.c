/* holmd: owns state, tasks and permissions; starts and adopts guests. Start-up order is recovery order: state, journal,
 * world, and only then clients. It is root, and parses no byte that comes from the network, a guest, an image or QEMU.
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/access_limit.h"
#include "api/audit.h"
#include "api/console_vnc.h"
#include "api/idempotency.h"
#include "api/lasting.h"
#include "audit/audit.h"
#include "auth/limit.h"
#include "api/settings.h"
#include "api/events.h"
#include "api/stats.h"
#include "api/uploads.h"
#include "base/fp.h"
#include "base/fs.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "engine/engine.h"
#include "guest/guest.h"
#include "guest/storages.h"
#include "network/network.h"
#include "task/pool.h"
#include "task/task.h"
#include "task/workers.h"

#define POOL_THREADS   4u
#define POOL_QUEUE_MAX 4096u
#define WORKERS_MAX    4u
#define WORKERS_QUEUE  256u
#define PASSWORDS_MAX  4u /* workers of their own: uploads do not keep anybody from logging in */
#define PAM_MAX        2u /* conversations at once: they may be slow, and each is a process of root */
#define PAM_QUEUE      16u
#define FETCHERS_MAX   4u /* downloads at once */
#define FETCHERS_QUEUE 64u
#define BLOCKS_MAX     4u /* bounded by the threads of long steps, which wait for them */
#define BLOCKS_QUEUE   4u
#define UPKEEP_S       3600

struct daemon {
    struct options options;
    struct api api;
    struct engine_host host;
    struct workers *password_workers, *pam_workers;
    struct guest_steps steps;
    struct fronts *fronts;
    struct local *local;
    struct event *signals[3], *upkeep;
    uid_t uid;
    gid_t gid;
    uint32_t instance;
    int exit_code;
    char images_list[4200];
};

static void fail(struct daemon *d, const struct err *e)
{
    log_err(LOG_ERROR, e, "holmd");
    d->exit_code = 1;
    event_base_loopbreak(d->api.base);
}

/* Type=notify of systemd, when it asks for it: one datagram, no library. */
static void notify_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (!path || str_copy(addr.sun_path, sizeof(addr.sun_path), path) < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (addr.sun_path[0] == '@')
        addr.sun_path[0] = 0;
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&addr, len) < 0)
        log_warn("cannot notify the service manager: %s", strerror(errno));
}

/* The last stage: what was interrupted is settled, what runs is known. */
static void serve(void *arg)
{
    struct daemon *d = arg;
    struct err e = ERR_INIT;

    api_audit_start(&d->api);
    int r = fronts_new(&d->api, &d->options, d->uid, d->gid, &d->fronts, &e);

    d->api.fronts = d->fronts;
    d->api.renew_fronts = fronts_renew;
    if (r == 0)
        r = local_new(&d->api, d->options.root, &d->local, &e);
    if (r < 0) {
        fail(d, &e);
        return;
    }
    log_note("ready on https://%s:%u, node %s, %s", d->options.address, d->options.port, d->options.node,
             d->host.accel_reason);
    notify_ready();
    malloc_trim(0); /* what reading the state took */
    guest_mgr_autostart(d->api.guests,
                        (uint32_t)settings_u64(d->api.settings, SETTINGS_NODE, "startall-onboot-delay", 0));
}

static void reconcile_guests(void *arg)
{
    struct daemon *d = arg;

    storage_mgr_sweep(d->api.storages);
    uploads_start(d->api.uploads);
    guest_mgr_reconcile(d->api.guests, serve, d);
}

/* Bridges first: guests that start with the host need them. */
static void reconcile(void *arg)
{
    struct daemon *d = arg;

    net_mgr_start(d->api.networks, reconcile_guests, d);
}

static void on_first_commit(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct daemon *d = arg;

    if (r < 0)
        fail(d, e);
    else
        task_mgr_recover(d->api.tasks, reconcile, d);
}

/* What an empty root needs. */
static void begin(struct daemon *d)
{
    struct state_txn *t = auth_upkeep(d->api.auth), *storage = storage_mgr_first(d->api.storages);
    struct err e = ERR_INIT;

    if (!t) {
        t = storage;
        storage = NULL;
    }
    if (storage)
        state_txn_merge(t, storage);
    if (t)
        state_commit(d->api.state, t, on_first_commit, d);
    else
        on_first_commit(d, 0, 0, &e);
}

static void on_upkeep(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;
    struct state_txn *t = auth_upkeep(d->api.auth);

    if (t)
        state_commit(d->api.state, t, NULL, NULL);
    idempotency_sweep(d->api.idempotency);
    audit_log_head(d->api.audit);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct daemon *d = arg;

    log_note("ending on signal %d; guests go on", (int)number);
    event_base_loopbreak(d->api.base);
}

static int add_events(struct daemon *d, struct err *e)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct timeval period = {.tv_sec = UPKEEP_S};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        d->signals[i] = evsignal_new(d->api.base, numbers[i], on_signal, d);
        if (!d->signals[i] || event_add(d->signals[i], NULL) < 0)
            return err_set(e, -ENOMEM, NULL, "cannot handle signals");
    }
    d->upkeep = event_new(d->api.base, -1, EV_PERSIST, on_upkeep, d);
    if (!d->upkeep || event_add(d->upkeep, &period) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return 0;
}

static int make_root(struct daemon *d, struct err *e)
{
    static const char *const dirs[] = {"etc", "run", "var", "var/state", "var/tasks", "var/storage"};
    const char *root = d->options.root;
    /* Workers and the front need to pass, not to read. */
    int fd = -EBADF, r = fs_open_dir(AT_FDCWD, root, 0711, &fd, e);

    if (r < 0) {
        err_hint(e, "holmd runs as root and needs a writable --root folder");
        return r;
    }
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
        r = fs_mkdirs(fd, dirs[i], i < 3 ? 0711 : 0700, e);
    close(fd);
    return r;
}

/* The unprivileged user of holm-front and the workers: `holm` where it exists, else a number of this instance's range.
 * The package makes it in /etc/passwd; asking libc for any user would load modules for whatever else keeps users. */
static void find_user(struct daemon *d)
{
    FILE *f = fopen("/etc/passwd", "re");
    const struct passwd *pw = NULL;

    while (f && (pw = fgetpwent(f)) && !streq(pw->pw_name, "holm"))
        continue;
    if (f)
        fclose(f);

    d->uid = pw ? pw->pw_uid : 0x40000000u + d->instance * 65536u;
    d->gid = pw ? pw->pw_gid : (gid_t)d->uid;
}

static void program_path(const struct daemon *d, const char *build_dir, const char *name, char *dst, size_t cap)
{
    bool is_build = str_ends(d->options.libexec, "/..");

    snprintf(dst, cap, "%s/%s%s%s", d->options.libexec, is_build ? build_dir : "", is_build ? "/" : "", name);
}

static void data_path(const struct daemon *d, const char *build_dir, const char *name, char *dst, size_t cap)
{
    if (str_ends(d->options.libexec, "/.."))
        program_path(d, build_dir, name, dst, cap);
    else
        snprintf(dst, cap, "%s/%s", HOLM_DATADIR, name);
}

static int open_audit(struct api *a, struct err *e)
{
    char dir[4200];
    struct audit_options o = {.dir = dir, .segment_bytes = AUDIT_SEGMENT_BYTES, .segments_kept = AUDIT_SEGMENTS_KEPT};

    snprintf(dir, sizeof(dir), "%s/audit", a->root_dir);
    int r = audit_open(a->base, &o, &a->audit, e);
    return r < 0 ? r : audit_digests_new(a->state, &a->digests, e);
}

/* The two kinds of short-lived helpers; neither starts before it is asked for something. */
static int open_workers(struct daemon *d, struct err *e)
{
    char worker[4200], pam[4200];
    struct api *a = &d->api;
    struct workers_options o = {
        .path = worker, .uid = d->uid, .gid = d->gid, .max_at_once = WORKERS_MAX, .max_queued = WORKERS_QUEUE};

    program_path(d, "worker", "holm-worker", worker, sizeof(worker));
    int r = workers_new(a->base, &o, &a->workers, e);
    o.max_at_once = PASSWORDS_MAX;
    if (r == 0)
        r = workers_new(a->base, &o, &d->password_workers, e);
    if (r == 0)
        r = password_gate_new(d->password_workers, PASSWORDS_MAX, &a->passwords, e);
    program_path(d, "fetch", "holm-fetch", worker, sizeof(worker));
    o.max_at_once = FETCHERS_MAX;
    o.max_queued = FETCHERS_QUEUE;
    if (r == 0)
        r = workers_new(a->base, &o, &a->fetchers, e);
    if (r == 0)
        r = workers_new(a->base, &o, &a->probers, e);
    program_path(d, "block", "holm-block", worker, sizeof(worker));
    o.max_at_once = BLOCKS_MAX;
    o.max_queued = BLOCKS_QUEUE;
    if (r == 0)
        r = workers_new(a->base, &o, &d->steps.blocks, e);
    program_path(d, "pam", "holm-pam", pam, sizeof(pam));
    o = (struct workers_options){.path = pam, .max_at_once = PAM_MAX, .max_queued = PAM_QUEUE};
    if (r == 0)
        r = workers_new(a->base, &o, &d->pam_workers, e);
    return r < 0 ? r : password_gate_new(d->pam_workers, PAM_MAX, &a->pam_passwords, e);
}

static int open_all(struct daemon *d, struct err *e)
{
    static char guest[4200], state_dir[4200];
    struct api *a = &d->api;

    program_path(d, "guest/monitor", "holm-guest", guest, sizeof(guest));
    snprintf(state_dir, sizeof(state_dir), "%s/var/state", a->root_dir);
    int r = state_open_sqlite(a->base, state_dir, &a->state, e);
    if (r == 0)
        r = instance_get(a->root_dir, &d->instance, e);
    if (r < 0)
        return r;
    find_user(d);
    r = pool_new(a->base, POOL_THREADS, POOL_QUEUE_MAX, &a->pool, e);
    if (r == 0)
        r = open_workers(d, e);
    if (r == 0)
        r = open_audit(a, e);
    if (r == 0)
        r = auth_new(a->state, &a->auth, e);
    if (r == 0)
        r = auth_limit_new(a->state, &a->limit, e);
    if (r == 0)
        r = lasting_new(a, &a->lasting, e);
    if (r == 0)
        r = idempotency_new(a->state, &a->idempotency, e);
    if (r == 0)
        r = task_mgr_new(a->base, a->state, a->pool, a->root_dir, a->node, &a->tasks, e);
    if (r == 0)
        r = storage_mgr_new(a->base, a->state, a->root_dir, a->node, &a->storages, e);
    if (r == 0)
        r = uploads_new(a, &a->uploads, e);
    struct net_env net = {.base = a->base,
                          .state = a->state,
                          .pool = a->pool,
                          .tasks = a->tasks,
                          .root_dir = a->root_dir,
                          .interfaces_path = d->options.interfaces,
                          .instance = d->instance};
    if (r == 0)
        r = net_mgr_new(&net, &a->networks, e);
    if (r < 0)
        return r;
    d->steps.storages = a->storages;
    task_mgr_set_steps(a->tasks, guest_step_types, &d->steps);
    struct guest_env env = {.base = a->base,
                            .state = a->state,
                            .pool = a->pool,
                            .tasks = a->tasks,
                            .storages = a->storages,
                            .host = &d->host,
                            .root_dir = a->root_dir,
                            .node = a->node,
                            .guest_program = guest,
                            .instance = d->instance};
    r = guest_mgr_new(&env, &a->guests, e);
    if (r == 0)
        r = settings_new(a->state, a->node, &a->settings, e);
    if (r == 0)
        r = events_new(a, &a->events, e);
    return r < 0 ? r : stats_new(a, &a->stats, e);
}

static void close_all(struct daemon *d)
{
    struct api *a = &d->api;

    local_free(d->local);
    fronts_free(d->fronts);
    api_console_waits_end(a);
    workers_cancel(d->pam_workers); /* nobody waits for these logins any more */
    workers_cancel(a->fetchers);    /* a download may take hours; it leaves nothing */
    workers_cancel(a->probers);
    task_mgr_stop(a->tasks); /* so may a copy, and the journal has it */
    workers_cancel(d->steps.blocks);
    /* What is finished in one pool may start something in the other: both are emptied before what their jobs use goes.
     * Every chain is short; the bound is against a bug, not a wait. */
    for (int i = 0; i < 1000; i++) {
        bool any = workers_drain(a->workers);
        any = workers_drain(d->password_workers) || any;
        any = workers_drain(d->pam_workers) || any;
        any = workers_drain(a->fetchers) || any;
        any = workers_drain(a->probers) || any;
        any = task_mgr_drain(a->tasks) || any;
        any = audit_drain(a->audit) || any;
        any = net_mgr_drain(a->networks) || any;
        if (!pool_drain(a->pool) && !any)
            break;
    }
    guest_mgr_abandon(a->guests);
    task_mgr_abandon(a->tasks);
    events_free(a->events);
    stats_free(a->stats);
    settings_free(a->settings);
    workers_free(a->workers);
    workers_free(d->password_workers);
    workers_free(d->pam_workers);
    workers_free(a->fetchers);
    workers_free(a->probers);
    workers_free(d->steps.blocks);
    password_gate_free(a->passwords);
    password_gate_free(a->pam_passwords);
    pool_free(a->pool);
    guest_mgr_free(a->guests);
    net_mgr_free(a->networks);
    task_mgr_free(a->tasks);
    uploads_free(a->uploads);
    storage_mgr_free(a->storages);
    lasting_free(a->lasting);
    auth_limit_free(a->limit);
    auth_free(a->auth);
    idempotency_free(a->idempotency);
    audit_digests_free(a->digests);
    audit_close(a->audit);
    state_close(a->state);
    for (size_t i = 0; i < ARRAY_SIZE(d->signals); i++)
        if (d->signals[i])
            event_free(d->signals[i]);
    if (d->upkeep)
        event_free(d->upkeep);
    if (a->base)
        event_base_free(a->base);
    libevent_global_shutdown();
}

int main(int argc, char **argv)
{
    struct daemon d = {.exit_code = 0};
    struct err e = ERR_INIT;
    struct rlimit no_core = {0, 0};

    list_init(&d.api.console_waits);
    log_init("holmd", LOG_INFO);
    fp_init();
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    if (options_parse(argc, argv, &d.options, &e) < 0) {
        log_err(LOG_ERROR, &e, "holmd");
        return 64;
    }
    log_init("holmd", d.options.is_verbose ? LOG_DEBUG : LOG_INFO);
    if (geteuid() != 0) {
        log_error("holmd must be started as root");
        return 77;
    }
    setrlimit(RLIMIT_CORE, &no_core); /* a core would hold signing keys */
    prctl(PR_SET_DUMPABLE, 0);        /* a core handler behind a pipe does not look at the limit */
    if (capabilities_drop(&e) < 0) {
        log_err(LOG_ERROR, &e, "holmd");
        return 77;
    }
    if (sodium_init() < 0)
        return 70;
    d.api.node = d.options.node;
    d.api.root_dir = d.options.root;
    data_path(&d, "api", "images.list", d.images_list, sizeof(d.images_list));
    d.api.images_list = d.images_list;
    d.api.address = d.options.address;
    d.api.host = &d.host;
    d.api.base = event_base_new();
    int epoll_fd = watchdog_find_epoll();
    engine_host_probe(&d.host);
    program_path(&d, "vmm", "holm-vmm", d.host.vmm_path, sizeof(d.host.vmm_path));
    if (access(d.host.vmm_path, X_OK) < 0)
        d.host.vmm_path[0] = 0;
    int r = d.api.base ? make_root(&d, &e) : err_set(&e, -ENOMEM, NULL, "no event loop");
    if (r == 0)
        r = add_events(&d, &e);
    if (r == 0)
        qemu_version_find(d.options.root, &d.host);
    if (r == 0)
        r = open_all(&d, &e);
    if (r == 0) {
        begin(&d);
        watchdog_dispatch(d.api.base, epoll_fd);
    } else {
        fail(&d, &e);
    }
    close_all(&d);
    return d.exit_code;
}
