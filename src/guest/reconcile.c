/* What is ephemeral is found by looking: at the start of the daemon every folder of run/guest is adopted, waited for or
 * cleared away; later, the end of each monitor is followed by the same clearing. */
#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "guest/attach.h"
#include "guest/guest_priv.h"
#include "network/network.h"
#include "task/pool.h"

#define CLEAR_TIMEOUT_MS 5000u
#define ADOPT_TIMEOUT_MS 10000u
#define ADOPT_RETRY_MS   20u
#define ADOPT_STATUS_MS  2000u /* an adopted guest says how it is, or is served without that */

struct cleanup {
    struct guest_mgr *mgr;
    uint32_t vmid;
    char *tpm; /* key tpmstate0 */
    int r;
    struct err err;
};

struct adopt {
    struct list_node node; /* of mgr->adoptions */
    struct guest_mgr *mgr;
    uint32_t vmid;
    uint64_t deadline_ms;
    bool is_attached; /* its status is waited for */
    struct event *timer;
};

static void clear_in_thread(void *ctx)
{
    struct cleanup *c = ctx;
    struct err e = ERR_INIT;

    c->r = rundir_clear(c->mgr, c->vmid, CLEAR_TIMEOUT_MS, &c->err);
    if (c->r == 0 && c->tpm && attach_release(c->mgr->env.storages, c->tpm, &e) < 0)
        log_err(LOG_WARN, &e, "guest %u", c->vmid);
    if (c->r == 0)
        net_tap_sweep(c->mgr->env.instance, c->vmid);
}

static void clear_again(evutil_socket_t fd, short what, void *ctx);

static void cleared(void *ctx)
{
    struct cleanup *c = ctx;
    struct guest_mgr *m = c->mgr;
    struct guest *g = guest_find(m, c->vmid);
    char text[200] = "";

    if (c->r < 0) { /* still held: it is not stopped, and must not be called so */
        struct timeval later = {.tv_sec = 1};
        log_err(LOG_WARN, &c->err, "guest %u", c->vmid);
        if (g)
            g->state = GUEST_LOST;
        rundir_cgroup_kill(m, c->vmid);
        c->r = 0;
        if (event_base_once(m->env.base, -1, EV_TIMEOUT, clear_again, c, &later) == 0)
            return;
    }
    uint32_t vmid = c->vmid;
    free(c->tpm);
    free(c);
    if (!g)
        return;
    if (g->monitor) {
        snprintf(text, sizeof(text), "%s", g->monitor->last_text);
        guest_uid_mark(m, g->monitor->uid_slot, false);
        monitor_free(g->monitor);
        g->monitor = NULL;
    }
    g->state = GUEST_STOPPED;
    g->qmp_status[0] = g->full_disk[0] = 0;
    g->pid = 0;
    g->started_boot_ms = 0;
    g->cpu_fraction = 0;
    g->rss_bytes = 0;
    g->balloon_bytes = g->hypervisor_version = 0;
    guest_summary_forget(g);
    free(TAKE_PTR(g->blockstats));
    config_done(&g->running);
    guest_state_changed(m, g, "cleaned", text);
    guest_adopted(m, vmid);  /* it ended before it said anything */
    g = guest_find(m, vmid); /* a waiter may have dropped or started it */
    if (g && g->is_dropped && g->state == GUEST_STOPPED)
        guest_drop(m, g);
}

static void submit_clear(struct cleanup *c)
{
    struct err e = ERR_INIT;

    if (pool_submit(c->mgr->env.pool, clear_in_thread, cleared, c, &e) < 0) {
        c->r = e.num;
        c->err = e;
        cleared(c);
    }
}

static void clear_again(evutil_socket_t fd, short what, void *ctx)
{
    submit_clear(ctx);
}

void guest_cleanup(struct guest_mgr *m, struct guest *g)
{
    struct cleanup *c = calloc(1, sizeof(*c));

    if (!c) {
        log_error("guest %u: no memory to clean up; the next start of the daemon does it", g->vmid);
        return;
    }
    const char *tpm = config_get(&g->config, "tpmstate0");
    c->mgr = m;
    c->vmid = g->vmid;
    c->tpm = tpm ? strdup(tpm) : NULL;
    submit_clear(c);
}

static void adopt_done(struct adopt *a)
{
    struct guest_mgr *m = a->mgr;

    list_remove(&a->node);
    event_free(a->timer);
    free(a);
    if (--m->n_reconciling == 0 && m->is_reconciling) {
        m->is_reconciling = false;
        m->reconciled(m->reconciled_arg);
    }
}

/* 1: adopted; 0: not yet, try again; negative: it is over, clear away. */
static int try_adopt(struct adopt *a, struct guest *g)
{
    struct rundir_record rec;
    struct err e = ERR_INIT;
    int fd;

    if (!rundir_is_locked(a->mgr, a->vmid))
        return -ESRCH;
    if (rundir_read(a->mgr, a->vmid, &rec, &e) < 0)
        return 0; /* between fork and record */
    int pidfd = proc_open_checked(rec.pid, rec.start_ticks);
    if (pidfd < 0)
        return 0; /* the monitor died, QEMU is dying: the lock goes in a moment */
    if (rundir_connect(a->mgr, a->vmid, &fd, &e) < 0) {
        close(pidfd);
        return 0;
    }
    uint32_t slot = rec.uid - guest_uid(a->mgr, 0);
    guest_uid_mark(a->mgr, slot < GUEST_SLOTS ? slot : 0, true);
    if (monitor_attach(a->mgr, g, fd, rec.pid, pidfd, rec.cookie, slot < GUEST_SLOTS ? slot : 0, false, &e) < 0)
        return 0;
    log_info("guest %u: adopted (monitor %d)", g->vmid, (int)rec.pid);
    return 1;
}

void guest_adoptions_free(struct guest_mgr *m)
{
    LIST_FOREACH_SAFE(a, &m->adoptions, struct adopt, node)
    {
        event_free(a->timer);
        free(a);
    }
}

void guest_adopted(struct guest_mgr *m, uint32_t vmid)
{
    LIST_FOREACH_SAFE(a, &m->adoptions, struct adopt, node)
    if (a->vmid == vmid && a->is_attached)
        adopt_done(a);
}

static void adopt_tick(evutil_socket_t fd, short what, void *arg)
{
    struct adopt *a = arg;
    struct guest *g = guest_find(a->mgr, a->vmid);
    int r = a->is_attached ? 1 : g ? try_adopt(a, g) : -ESRCH;

    if (r == 1 && !a->is_attached) {
        struct timeval tv = {.tv_sec = ADOPT_STATUS_MS / 1000};
        a->is_attached = true;
        evtimer_add(a->timer, &tv);
        return;
    }
    if (r == 0 && clock_boot_ms() < a->deadline_ms) {
        struct timeval tv = {.tv_usec = ADOPT_RETRY_MS * 1000};
        evtimer_add(a->timer, &tv);
        return;
    }
    if (r == 0) {
        log_error("guest %u: something of it lives and does not answer; ending it", a->vmid);
        rundir_cgroup_kill(a->mgr, a->vmid);
    }
    if (r <= 0 && g) {
        g->state = GUEST_STOPPING;
        guest_cleanup(a->mgr, g);
    }
    adopt_done(a);
}

static void adopt_start(struct guest_mgr *m, uint32_t vmid)
{
    struct adopt *a = calloc(1, sizeof(*a));
    struct guest *g = guest_find(m, vmid);

    if (!a || !(a->timer = evtimer_new(m->env.base, adopt_tick, a))) {
        free(a);
        return;
    }
    if (!g) { /* its configuration is gone, yet it has a folder: keep a nameless entry until it is cleared */
        g = guest_add(m, vmid);
        if (g)
            g->is_dropped = true;
        rundir_cgroup_kill(m, vmid);
    }
    if (g)
        g->state = GUEST_STARTING;
    a->mgr = m;
    a->vmid = vmid;
    a->deadline_ms = clock_boot_ms() + ADOPT_TIMEOUT_MS;
    list_add_tail(&m->adoptions, &a->node);
    m->n_reconciling++;
    adopt_tick(-1, 0, a);
}

/* Cgroups of guests that have no folder: the daemon died between the two removals. */
static void sweep_cgroups(struct guest_mgr *m)
{
    DIR *d = m->cgroup_dir[0] ? opendir(m->cgroup_dir) : NULL;

    for (struct dirent *de; d && (de = readdir(d));) {
        uint64_t vmid;
        if (!str_starts(de->d_name, "guest-") || str_to_u64(de->d_name + 6, &vmid) < 0)
            continue;
        char name[16];
        snprintf(name, sizeof(name), "%u", (unsigned)vmid);
        if (faccessat(m->run_dirfd, name, F_OK, 0) < 0)
            unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR);
    }
    if (d)
        closedir(d);
}

void guest_mgr_reconcile(struct guest_mgr *m, void (*done)(void *arg), void *arg)
{
    struct err e = ERR_INIT;
    uint32_t *found = NULL;
    size_t n = 0;

    m->reconciled = done;
    m->reconciled_arg = arg;
    m->is_reconciling = true;
    m->n_reconciling = 1;
    if (guest_text_reconcile(m, &e) < 0)
        log_err(LOG_WARN, &e, "text copies");
    sweep_cgroups(m);
    int fd = openat(m->run_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *de; d && (de = readdir(d));) {
        uint64_t vmid;
        if (str_to_u64(de->d_name, &vmid) < 0 || vmid > UINT32_MAX)
            continue;
        uint32_t *p = realloc(found, (n + 1) * sizeof(*p));
        if (!p)
            break;
        found = p;
        found[n++] = (uint32_t)vmid;
    }
    if (d)
        closedir(d);
    for (size_t i = 0; i < n; i++)
        adopt_start(m, found[i]);
    free(found);
    if (--m->n_reconciling == 0) {
        m->is_reconciling = false;
        done(arg);
    }
}
