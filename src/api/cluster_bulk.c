/* /cluster/bulk-action/guest: start, shut down or pause many guests by one task, which starts a task for each. PVE:
 * pve-manager, API2/Cluster/BulkAction/Guest.pm. The work is guest/bulk.c's. Loop thread. */
#include "api/common.h"

#define VMS_MAX 10000u

int api_cluster_bulk_index(struct api_call *c, const struct api_cluster_bulk_index_args *a, struct err *e)
{
    static const char *const names[] = {"guest", NULL};

    return api_reply_index(c, "name", names);
}

int api_cluster_bulk_guest_index(struct api_call *c, const struct api_cluster_bulk_guest_index_args *a, struct err *e)
{
    static const char *const names[] = {"shutdown", "start", "suspend", NULL};

    return api_reply_index(c, "name", names);
}

/* The items of an array come joined by commas, unchecked. */
static int check_numbers(struct api_call *c, const char *vms, struct err *e)
{
    size_t count = 0;

    for (const char *p = vms ? vms : ""; *p;) {
        size_t n = strcspn(p, ",");
        if (n < 3 || n > 9 || *p == '0' || strspn(p, "0123456789") != n)
            return api_param_error(c, e, "vms", "'%.*s' is not the number of a guest", (int)(n < 20 ? n : 20), p);
        if (++count > VMS_MAX)
            return api_param_error(c, e, "vms", "more than %u guests", VMS_MAX);
        p += n + (p[n] != 0);
    }
    return 0;
}

static int read_workers(struct api_call *c, bool has_new, int64_t new_value, bool has_old, int64_t old_value,
                        uint32_t *ret, struct err *e)
{
    if (has_new && has_old)
        return api_param_error(c, e, "maxworkers", "it is another name of max-workers, which is here too");
    *ret = (uint32_t)(has_old ? old_value : new_value);
    return 0;
}

static int read_timeout(struct api_call *c, bool has, int64_t seconds, uint32_t *ret, struct err *e)
{
    *ret = 0;
    if (has && (seconds < 0 || seconds > 86400))
        return api_param_error(c, e, "timeout", "0 to 86400 seconds");
    *ret = has ? (uint32_t)seconds : 0;
    return 0;
}

static int begin(struct api_call *c, struct guest_bulk *o, struct err *e)
{
    int r = check_numbers(c, o->vmids, e);

    return r < 0 ? r : api_bulk_begin(c, o, e);
}

int api_cluster_bulk_start(struct api_call *c, const struct api_cluster_bulk_start_args *a, struct err *e)
{
    struct guest_bulk o = {.type = "bulkstart", .action = GUEST_BULK_START, .vmids = a->vms, .is_forced = true};
    int r = read_workers(c, a->has_max_workers, a->max_workers, a->has_maxworkers, a->maxworkers, &o.workers, e);

    if (r == 0)
        r = read_timeout(c, a->has_timeout, a->timeout, &o.timeout_s, e);
    return r < 0 ? r : begin(c, &o, e);
}

int api_cluster_bulk_shutdown(struct api_call *c, const struct api_cluster_bulk_shutdown_args *a, struct err *e)
{
    struct guest_bulk o = {.type = "bulkshutdown",
                           .action = GUEST_BULK_SHUTDOWN,
                           .vmids = a->vms,
                           .is_forced = a->has_force_stop ? a->force_stop : true};
    int r = read_workers(c, a->has_max_workers, a->max_workers, a->has_maxworkers, a->maxworkers, &o.workers, e);

    if (r == 0)
        r = read_timeout(c, a->has_timeout, a->timeout, &o.timeout_s, e);
    return r < 0 ? r : begin(c, &o, e);
}

int api_cluster_bulk_suspend(struct api_call *c, const struct api_cluster_bulk_suspend_args *a, struct err *e)
{
    struct guest_bulk o = {.type = "bulksuspend", .action = GUEST_BULK_SUSPEND, .vmids = a->vms};
    int r = read_workers(c, a->has_max_workers, a->max_workers, a->has_maxworkers, a->maxworkers, &o.workers, e);

    if (r == 0 && (a->to_disk || a->statestorage))
        r = api_param_error(c, e, a->to_disk ? "to-disk" : "statestorage", "this is not supported");
    return r < 0 ? r : begin(c, &o, e);
}
