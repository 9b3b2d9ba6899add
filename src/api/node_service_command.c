/* POST /nodes/N/services/S/{start,stop,restart,reload}: tasks srvstart, srvstop, … that run systemctl in a pool thread.
 * PVE: pve-manager, API2/Services.pm. holmd itself can only be restarted, and only if systemd runs it: its task ends
 * before, so that the next holmd finds it well ended. Loop thread but for the work. */
#include <stdlib.h>

#include "api/common.h"
#include "api/services.h"
#include "base/log.h"
#include "task/pool.h"

#define TIMEOUT_MS       120000u
#define TEXT_MAX         (64u * 1024u)
#define LINES_MAX        100u
#define COMMANDS_AT_ONCE 2u /* of the pool's threads: the others go on working */

struct command {
    const struct service *service;
    const char *verb; /* of systemctl */
    struct pool *pool;
    struct task *task;
    struct buf text;
    int r;
    struct err err;
};

static unsigned n_running;

static void command_free(struct command *k)
{
    buf_done(&k->text);
    free(k);
}

static int run(struct command *k, const char *const *args)
{
    int status = 0, r = systemctl_run(args, TIMEOUT_MS, &k->text, &status, &k->err);
    const char *text = buf_str(&k->text);

    if (r < 0 || status == 0)
        return r;
    return err_set(&k->err, -EIO, "services.failed", "command 'systemctl %s %s' failed: %.*s", k->verb,
                   k->service->unit, (int)strcspn(text, "\n"), text[0] ? text : "no reason given");
}

/* It is this process that systemd calls by that name, and not another of a test or of a second installation. */
static int check_self(struct command *k)
{
    const char *args[] = {"show", "--property=MainPID", k->service->unit, NULL};
    char pid[16], own[16];
    int r = run(k, args);
    const char *text = buf_str(&k->text);

    if (r < 0)
        return r;
    snprintf(own, sizeof(own), "%d", (int)getpid());
    systemctl_property(text, text + strlen(text), "MainPID", pid, sizeof(pid));
    buf_reset(&k->text);
    if (!streq(pid, own))
        return err_set(&k->err, -EBUSY, "services.foreign", "this holmd is not the one that systemd runs as %s",
                       k->service->unit);
    return 0;
}

static void work(void *ctx)
{
    struct command *k = ctx;
    const char *args[] = {"--no-pager", "--no-ask-password", k->verb, k->service->unit, NULL};

    k->r = k->service->is_ours ? check_self(k) : run(k, args);
}

/* What systemctl said goes into the task's log. */
static void done(void *ctx)
{
    struct command *k = ctx;
    unsigned lines = 0;

    n_running--;
    for (const char *p = buf_str(&k->text); *p && lines < LINES_MAX; lines++) {
        size_t n = strcspn(p, "\n");
        task_log(k->task, "%.*s", (int)(n < 500 ? n : 500), p);
        p += n + (p[n] != 0);
    }
    if (k->r == 0 && k->service->is_ours)
        task_log(k->task, "holmd restarts now; guests go on");
    task_end(k->task, k->r, &k->err);
}

static void work_restart_self(void *ctx)
{
    struct command *k = ctx;
    const char *args[] = {"--no-block", k->verb, k->service->unit, NULL};

    k->r = run(k, args);
}

static void done_restart_self(void *ctx)
{
    struct command *k = ctx;

    if (k->r < 0)
        log_err(LOG_WARN, &k->err, "restart of holmd");
    command_free(k);
}

static void ended(struct task *t, void *arg, int r, const struct err *e)
{
    struct command *k = arg;
    struct err busy = ERR_INIT;

    if (r < 0 || !k->service->is_ours)
        command_free(k);
    else if (pool_submit(k->pool, work_restart_self, done_restart_self, k, &busy) < 0) {
        log_err(LOG_WARN, &busy, "restart of holmd");
        command_free(k);
    }
}

static void begin(struct task *t, void *arg)
{
    struct command *k = arg;
    struct err e = ERR_INIT;

    k->task = t;
    n_running++;
    if (pool_submit(k->pool, work, done, k, &e) < 0) {
        n_running--;
        task_end(t, e.num, &e);
    }
}

/* What the caller is told at once, rather than by a task that fails. */
static int check(struct api_call *c, const char *node, const char *type, const char *id, const struct service **ret,
                 struct err *e)
{
    const struct service *s = service_find(id);
    int r = api_check_node(c, node, e);

    if (r == 0 && !s)
        r = api_param_error(c, e, "service", "there is no service '%.64s'", id);
    if (r == 0 && s->is_ours && !streq(type, "srvrestart"))
        r = err_set(e, -EPERM, "services.own", "%s can only be restarted", s->id);
    if (r == 0)
        r = systemctl_check(e);
    if (r == 0 && n_running >= COMMANDS_AT_ONCE)
        r = err_set(e, -EBUSY, "host.busy", "other services are being started or stopped: try again");
    *ret = s;
    return r;
}

static int start(struct api_call *c, const char *node, const char *id, const char *type, const char *verb,
                 struct err *e)
{
    const struct service *s;
    struct task *t;
    int r = check(c, node, type, id, &s, e);
    struct command *k = r < 0 ? NULL : calloc(1, sizeof(*k));

    if (r < 0)
        return r;
    if (!k)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *k = (struct command){.service = s, .verb = verb, .pool = c->api->pool};
    buf_init(&k->text, TEXT_MAX);
    struct task_spec spec = {.type = type, .id = s->id, .user = api_user(c), .begin = begin, .ended = ended, .arg = k};
    r = task_start(c->api->tasks, &spec, &t, e);
    if (r < 0)
        command_free(k);
    return api_reply_task(c, r, t);
}

int api_node_service_start(struct api_call *c, const struct api_node_service_start_args *a, struct err *e)
{
    return start(c, a->node, a->service, "srvstart", "start", e);
}

int api_node_service_stop(struct api_call *c, const struct api_node_service_stop_args *a, struct err *e)
{
    return start(c, a->node, a->service, "srvstop", "stop", e);
}

int api_node_service_restart(struct api_call *c, const struct api_node_service_restart_args *a, struct err *e)
{
    return start(c, a->node, a->service, "srvrestart", "restart", e);
}

int api_node_service_reload(struct api_call *c, const struct api_node_service_reload_args *a, struct err *e)
{
    return start(c, a->node, a->service, "srvreload", "try-reload-or-restart", e);
}
