/* The manager of networks: copies of the two state keys, the task that applies, the daemon's start. Loop thread; what
 * blocks runs in a pool of one thread, so that changes of the host's networks come one after the other. */
#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>

#include "base/fs.h"
#include "base/log.h"
#include "network/apply_priv.h"
#include "state/state.h"
#include "task/pool.h"
#include "task/task.h"

#define KEY_PREFIX  "local/network/"
#define KEY_ACTIVE  KEY_PREFIX "active"
#define KEY_PENDING KEY_PREFIX "pending"
#define TEXT_MAX    (512u * 1024u)
#define CUTS_MAX    32u
/* In run/net while the host is between two configurations: a start after a crash then takes back what the pending one
 * may have done to the host's own interfaces. */
#define NOTE "applying"

struct net_mgr {
    struct net_env env;
    struct pool *queue;
    struct state_watch *watch;
    struct net_config active, pending;
    bool has_pending, is_applying;
    uint64_t active_revision, pending_revision;
    struct net_dhcp *dhcp;
    int run_dirfd, etc_dirfd;
    void (*started)(void *arg);
    void *started_arg;
};

struct job {
    struct net_mgr *mgr;
    struct net_config old, wanted;
    int r;
    struct err err, text_err; /* text_err: the copies for people and the next boot */
    struct task *task;        /* NULL: the daemon's start */
    struct net_cut cuts[CUTS_MAX];
    size_t n_cuts;
};

static void job_free(struct job *j)
{
    net_config_done(&j->old);
    net_config_done(&j->wanted);
    free(j);
}

/* ---- pool thread ---- */

static int write_copy(const char *path, const struct buf *text, struct err *e)
{
    char folder[PATH_MAX], name[PATH_MAX];

    if (str_copy(folder, sizeof(folder), path) < 0 || str_copy(name, sizeof(name), path) < 0)
        return err_set(e, -ENAMETOOLONG, NULL, "%s", path);
    autoclose int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "%s", folder);
    return fs_replace_durable(fd, basename(name), text->data, text->len, 0644, e);
}

static void write_texts(struct job *j)
{
    struct net_mgr *m = j->mgr;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    net_config_text(&j->wanted, m->env.instance, &text);
    int r = text.is_failed ? err_set(&j->text_err, -ENOMEM, NULL, "out of memory")
                           : fs_replace_durable(m->etc_dirfd, "interfaces", text.data, text.len, 0644, &j->text_err);
    if (r == 0 && m->env.interfaces_path && write_copy(m->env.interfaces_path, &text, &j->text_err) < 0)
        err_wrap(&j->text_err, j->text_err.num, "write %s", m->env.interfaces_path);
    buf_done(&text);
}

static void look(void *ctx)
{
    struct job *j = ctx;

    j->n_cuts = net_cuts_find(&j->old, &j->wanted, j->cuts, CUTS_MAX);
}

/* Of a daemon that was killed while it wrote. */
static void sweep_temporary(const struct net_mgr *m)
{
    char folder[PATH_MAX], name[PATH_MAX];

    fs_sweep_temporary(m->run_dirfd, NULL);
    fs_sweep_temporary(m->etc_dirfd, NULL);
    if (!m->env.interfaces_path || str_copy(folder, sizeof(folder), m->env.interfaces_path) < 0 ||
        str_copy(name, sizeof(name), m->env.interfaces_path) < 0)
        return;
    autoclose int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        fs_sweep_temporary(fd, basename(name));
}

static void forget_note(void *ctx)
{
    struct job *j = ctx;
    struct err e = ERR_INIT;

    if (fs_unlink_if_exists(j->mgr->run_dirfd, NOTE, &e) < 0)
        log_err(LOG_WARN, &e, "networks");
}

static void work(void *ctx)
{
    struct job *j = ctx;
    struct net_mgr *m = j->mgr;

    net_tap_sweep(m->env.instance, 0);
    if (!j->task)
        sweep_temporary(m);
    else
        j->r = fs_replace_durable(m->run_dirfd, NOTE, "", 0, 0600, &j->err);
    if (j->r == 0)
        j->r = (j->task ? net_apply : net_apply_start)(&j->old, &j->wanted, m->env.instance, m->run_dirfd, &j->err);
    if (j->r == 0)
        write_texts(j);
    if (j->task ? j->r < 0 : j->r == 0)
        forget_note(j);
}

/* ---- loop ---- */

static void forgotten(void *ctx)
{
    struct job *j = ctx;
    static const struct err none = ERR_INIT;

    task_end(j->task, 0, &none);
}

static void committed(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct job *j = arg;
    struct net_mgr *m = j->mgr;
    struct err copy = *e;

    if (r == 0) {
        net_dhcp_update(m->dhcp, &m->active);
        r = pool_submit(m->queue, forget_note, forgotten, j, &copy);
        if (r == 0)
            return;
    }
    task_end(j->task, r, &copy);
}

static void task_ended(struct task *t, void *arg, int r, const struct err *e)
{
    struct job *j = arg;

    j->mgr->is_applying = false;
    job_free(j);
}

/* The host is as wanted: that becomes the truth. A crash before this is repaired by the next start. */
static void worked(void *ctx)
{
    struct job *j = ctx;
    struct net_mgr *m = j->mgr;
    struct err e = ERR_INIT;

    if (j->text_err.num)
        task_warn(j->task, "the text copy of the configuration was not written: %s", j->text_err.text);
    if (j->r < 0) {
        task_end(j->task, j->r, &j->err);
        return;
    }
    char *text = net_config_format(&j->wanted);
    struct state_txn *t = text ? state_txn_new() : NULL;
    if (!t) {
        free(text);
        task_end(j->task, err_set(&e, -ENOMEM, NULL, "out of memory"), &e);
        return;
    }
    state_txn_expect(t, KEY_ACTIVE, m->active_revision);
    state_txn_put(t, KEY_ACTIVE, text);
    if (m->has_pending)
        state_txn_delete(t, KEY_PENDING);
    free(text);
    state_commit(m->env.state, t, committed, j);
}

static struct job *job_new(struct net_mgr *m, const struct net_config *old, const struct net_config *wanted)
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j)
        return NULL;
    j->mgr = m;
    if (net_config_copy(old, &j->old) < 0 || net_config_copy(wanted, &j->wanted) < 0) {
        job_free(j);
        return NULL;
    }
    return j;
}

/* Said before it happens: the log is what can be read afterwards, over another way. */
static void looked(void *ctx)
{
    struct job *j = ctx;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < j->n_cuts; i++) {
        const struct net_cut *c = &j->cuts[i];
        if (c->n_connections)
            task_warn(j->task, "%s is taken off %s: the connections over it (%u now) end", c->cidr, c->name,
                      c->n_connections);
        else
            task_log(j->task, "%s is taken off %s", c->cidr, c->name);
    }
    if (pool_submit(j->mgr->queue, work, worked, j, &e) < 0)
        task_end(j->task, e.num, &e);
}

static void task_begin(struct task *t, void *arg)
{
    struct job *j = arg;
    struct err e = ERR_INIT;

    j->task = t;
    if (pool_submit(j->mgr->queue, look, looked, j, &e) < 0)
        task_end(t, e.num, &e);
}

int net_mgr_apply(struct net_mgr *m, const char *user, struct task **ret, struct err *e)
{
    if (m->is_applying)
        return err_set(e, -EBUSY, "net.busy", "the networks are being changed already");
    struct job *j = job_new(m, &m->active, net_mgr_wanted(m));
    if (!j)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    struct task_spec spec = {
        .type = "srvreload", .id = "networking", .user = user, .begin = task_begin, .ended = task_ended, .arg = j};
    m->is_applying = true;
    int r = task_start(m->env.tasks, &spec, ret, e);
    if (r < 0) {
        m->is_applying = false;
        job_free(j);
    }
    return r;
}

static void started(void *ctx)
{
    struct job *j = ctx;
    struct net_mgr *m = j->mgr;

    if (j->r < 0)
        log_err(LOG_ERROR, &j->err, "networks: not as configured");
    if (j->text_err.num)
        log_err(LOG_WARN, &j->text_err, "networks: text copy");
    job_free(j);
    m->is_applying = false;
    net_dhcp_update(m->dhcp, &m->active);
    m->started(m->started_arg);
}

void net_mgr_start(struct net_mgr *m, void (*done)(void *arg), void *arg)
{
    static const struct net_config none;
    bool is_torn = m->has_pending && faccessat(m->run_dirfd, NOTE, F_OK, 0) == 0;
    struct job *j = job_new(m, is_torn ? &m->pending : &none, &m->active);
    struct err e = ERR_INIT;

    m->started = done;
    m->started_arg = arg;
    m->is_applying = true;
    if (j && pool_submit(m->queue, work, started, j, &e) == 0)
        return;
    log_error("networks: no memory to look at them");
    if (j)
        job_free(j);
    m->is_applying = false;
    done(arg);
}

static void on_key(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct net_mgr *m = arg;
    bool is_active = streq(key, KEY_ACTIVE);
    struct net_config c = {0};

    if (!is_active && !streq(key, KEY_PENDING))
        return;
    if (value && net_config_parse(value, &c) < 0) {
        log_error("%s in the state database cannot be read", key);
        return;
    }
    struct net_config *mine = is_active ? &m->active : &m->pending;
    net_config_done(mine);
    *mine = c;
    if (is_active) {
        m->active_revision = value ? revision : 0;
    } else {
        m->has_pending = value;
        m->pending_revision = value ? revision : 0;
    }
}

const struct net_config *net_mgr_active(const struct net_mgr *m)
{
    return &m->active;
}

const struct net_config *net_mgr_wanted(const struct net_mgr *m)
{
    return m->has_pending ? &m->pending : &m->active;
}

bool net_mgr_has_pending(const struct net_mgr *m)
{
    return m->has_pending;
}

uint32_t net_mgr_instance(const struct net_mgr *m)
{
    return m->env.instance;
}

const char *net_mgr_root_dir(const struct net_mgr *m)
{
    return m->env.root_dir;
}

int net_mgr_change(struct net_mgr *m, const struct net_config *c, struct state_txn **ret, struct err *e)
{
    if (m->is_applying)
        return err_set(e, -EBUSY, "net.busy", "the networks are being changed just now");
    int r = c ? net_config_check(c, e) : 0;
    if (r < 0)
        return r;
    char *text = c ? net_config_format(c) : NULL;
    struct state_txn *t = text || !c ? state_txn_new() : NULL;
    if (t) {
        state_txn_expect(t, KEY_PENDING, m->pending_revision);
        if (text)
            state_txn_put(t, KEY_PENDING, text);
        else
            state_txn_delete(t, KEY_PENDING);
    }
    free(text);
    *ret = t;
    return t ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

int net_mgr_new(const struct net_env *env, struct net_mgr **ret, struct err *e)
{
    struct net_mgr *m = calloc(1, sizeof(*m));
    int rootfd = -EBADF;

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    m->env = *env;
    m->run_dirfd = m->etc_dirfd = -EBADF;
    int r = fs_open_dir(AT_FDCWD, env->root_dir, 0711, &rootfd, e);
    if (r == 0)
        r = fs_open_dir(rootfd, "run/net", 0700, &m->run_dirfd, e);
    if (r == 0)
        r = fs_open_dir(rootfd, "etc/network", 0755, &m->etc_dirfd, e);
    if (rootfd >= 0)
        close(rootfd);
    if (r == 0)
        r = pool_new(env->base, 1, 16, &m->queue, e);
    if (r == 0)
        r = net_dhcp_new(env->base, env->pool, env->root_dir, &m->dhcp, e);
    if (r == 0)
        r = state_watch(env->state, KEY_PREFIX, on_key, m, &m->watch, e);
    if (r < 0) {
        net_mgr_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

bool net_mgr_drain(struct net_mgr *m)
{
    if (m)
        net_dhcp_end(m->dhcp);
    return m && pool_drain(m->queue);
}

void net_mgr_free(struct net_mgr *m)
{
    if (!m)
        return;
    if (m->queue)
        pool_free(m->queue);
    if (m->watch)
        state_unwatch(m->watch);
    net_dhcp_free(m->dhcp);
    net_config_done(&m->active);
    net_config_done(&m->pending);
    if (m->run_dirfd >= 0)
        close(m->run_dirfd);
    if (m->etc_dirfd >= 0)
        close(m->etc_dirfd);
    free(m);
}
