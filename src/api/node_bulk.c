/* POST /nodes/N/startall, /stopall and /suspendall. PVE: pve-manager, API2/Nodes.pm. The work is guest/bulk.c's. Loop
 * thread. */
#include "api/common.h"
#include "api/settings.h"

#define STOP_WORKERS 4u

static int check_right(struct api_call *c, const char *vms, struct err *e)
{
    char path[24];
    bool has_one = false;

    if (auth_has(c->api->auth, &c->who, "/", PRIV_M(VM_POWERMGMT), false))
        return 0;
    for (const char *p = vms ? vms : ""; *p;) {
        size_t n = strcspn(p, ",; \t\n");
        snprintf(path, sizeof(path), "/vms/%.*s", (int)(n < 10 ? n : 10), p);
        int r = n ? api_require(c, path, PRIV_M(VM_POWERMGMT), false, e) : 0;
        if (r < 0)
            return r;
        has_one = has_one || n;
        p += n + (p[n] != 0);
    }
    return has_one ? 0 : api_require(c, "/", PRIV_M(VM_POWERMGMT), false, e);
}

static int check_exist(struct api_call *c, const char *vms, struct err *e)
{
    for (const char *p = vms ? vms : ""; *p;) {
        size_t n = strcspn(p, ",; \t\n");
        uint32_t vmid = (uint32_t)strtoul(p, NULL, 10);
        if (n && !guest_find(c->api->guests, vmid))
            return api_param_error(c, e, "vms", "VM %u does not exist", vmid);
        p += n + (p[n] != 0);
    }
    return 0;
}

int api_bulk_begin(struct api_call *c, struct guest_bulk *o, struct err *e)
{
    struct task *t = NULL;
    int r = check_right(c, o->vmids, e);

    if (r == 0)
        r = check_exist(c, o->vmids, e);
    if (r < 0)
        return r;
    o->user = api_user(c);
    r = guest_bulk(c->api->guests, o, &t, e);
    return api_reply_task(c, r, t);
}

static int begin(struct api_call *c, const char *node, struct guest_bulk *o, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : api_bulk_begin(c, o, e);
}

int api_node_startall(struct api_call *c, const struct api_node_startall_args *a, struct err *e)
{
    struct guest_bulk o = {.type = "startall",
                           .vmids = a->vms,
                           .is_forced = a->force,
                           .workers = a->has_max_workers ? (uint32_t)a->max_workers : 1};

    return begin(c, a->node, &o, e);
}

int api_node_stopall(struct api_call *c, const struct api_node_stopall_args *a, struct err *e)
{
    uint64_t workers = settings_u64(c->api->settings, SETTINGS_CLUSTER, "max_workers", STOP_WORKERS);
    struct guest_bulk o = {.type = "stopall",
                           .action = GUEST_BULK_SHUTDOWN,
                           .vmids = a->vms,
                           .is_forced = a->has_force_stop ? a->force_stop : true,
                           .timeout_s = a->has_timeout ? (uint32_t)a->timeout : 0,
                           .workers = a->has_max_workers ? (uint32_t)a->max_workers : (uint32_t)workers};

    return begin(c, a->node, &o, e);
}

int api_node_suspendall(struct api_call *c, const struct api_node_suspendall_args *a, struct err *e)
{
    uint64_t workers = settings_u64(c->api->settings, SETTINGS_CLUSTER, "max_workers", STOP_WORKERS);
    struct guest_bulk o = {.type = "suspendall",
                           .action = GUEST_BULK_SUSPEND,
                           .vmids = a->vms,
                           .workers = a->has_max_workers ? (uint32_t)a->max_workers : (uint32_t)workers};

    return begin(c, a->node, &o, e);
}
