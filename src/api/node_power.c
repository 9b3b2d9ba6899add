/* POST /nodes/N/status: the host is rebooted or shut down, after its guests. PVE: pve-manager, API2/Nodes.pm. The
 * guests are shut down by a task stopall, as the one of that name; when it has ended, systemctl is run in a pool
 * thread. Where systemd is not the init of the host, nothing is done. Loop thread but for that. */
#include "api/common.h"
#include "api/services.h"
#include "api/settings.h"
#include "base/log.h"
#include "task/pool.h"

#define STOP_WORKERS 4u
#define TIMEOUT_MS   60000u
#define TEXT_MAX     (16u * 1024u)

struct power {
    struct pool *pool;
    const char *verb; /* of systemctl */
    int r;
    struct err err;
};

static bool is_under_way;

static void work(void *ctx)
{
    struct power *k = ctx;
    const char *args[] = {"--no-ask-password", k->verb, NULL};
    struct buf text;
    int status = 0;

    buf_init(&text, TEXT_MAX);
    k->r = systemctl_run(args, TIMEOUT_MS, &text, &status, &k->err);
    if (k->r == 0 && status)
        k->r = err_set(&k->err, -EIO, "power.failed", "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
    buf_done(&text);
}

static void done(void *ctx)
{
    struct power *k = ctx;

    is_under_way = false;
    if (k->r < 0)
        log_err(LOG_ERROR, &k->err, "systemctl %s", k->verb);
    free(k);
}

/* A guest that did not stop is only a warning there; a task that somebody stopped means that the host goes on. */
static void guests_stopped(void *arg, int r, const struct err *e)
{
    struct power *k = arg;

    if (r == 0)
        r = pool_submit(k->pool, work, done, k, &k->err);
    else
        k->err = *e;
    if (r < 0) {
        k->r = r;
        done(k);
    }
}

static int stop_guests(struct api_call *c, struct power *k, struct err *e)
{
    struct guest_bulk o = {.user = api_user(c),
                           .type = "stopall",
                           .action = GUEST_BULK_SHUTDOWN,
                           .is_forced = true,
                           .workers =
                               (uint32_t)settings_u64(c->api->settings, SETTINGS_CLUSTER, "max_workers", STOP_WORKERS)};
    struct task *t = NULL;
    int r = guest_bulk(c->api->guests, &o, &t, e);

    if (r < 0)
        return r;
    task_when_ended(t, guests_stopped, k);
    return 0;
}

int api_node_power(struct api_call *c, const struct api_node_power_args *a, struct err *e)
{
    bool is_reboot = streq(a->command, "reboot");
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = systemctl_check(e);
    if (r < 0)
        return r < 0 && r != -ENOSYS ? r
                                     : err_wrap(e, r, "the host cannot be %s", is_reboot ? "rebooted" : "shut down");
    if (is_under_way)
        return err_set(e, -EBUSY, "power.busy", "the host is being rebooted or shut down already");
    struct power *k = calloc(1, sizeof(*k));
    if (!k)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *k = (struct power){.pool = c->api->pool, .verb = is_reboot ? "reboot" : "poweroff"};
    r = stop_guests(c, k, e);
    if (r < 0) {
        free(k);
        return r;
    }
    is_under_way = true;
    return 0;
}
