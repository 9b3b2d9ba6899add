/* /cluster: resources, status. PVE: pve-manager, Cluster.pm. */
#include "api/common.h"
#include "api/host.h"

int api_cluster_index(struct api_call *c, const struct api_cluster_index_args *a, struct err *e)
{
    static const char *const names[] = {"audit",   "bulk-action", "events",    "jobs",   "log",   "nextid",
                                        "options", "qemu",        "resources", "status", "tasks", NULL};

    return api_reply_index(c, "name", names);
}

void api_node_row(struct jw *w, const struct api *api, bool is_full)
{
    struct host_memory m;
    struct host_cpu cpu;
    char id[80];
    double iowait;

    snprintf(id, sizeof(id), "node/%s", api->node);
    jw_object(w);
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "type", "node");
    jw_kv_str(w, "node", api->node);
    jw_kv_str(w, "status", "online");
    jw_kv_str(w, "level", "");
    if (is_full) {
        const struct storage_entry *s = storage_mgr_find(api->storages, "local");
        host_memory_get(&m);
        host_cpu_get(&cpu);
        jw_kv_num(w, "cpu", host_cpu_usage(&iowait));
        jw_kv_int(w, "maxcpu", cpu.cpus);
        jw_kv_u64(w, "mem", m.total_bytes - m.available_bytes);
        jw_kv_u64(w, "maxmem", m.total_bytes);
        jw_kv_u64(w, "disk", s ? s->space.used_bytes : 0);
        jw_kv_u64(w, "maxdisk", s ? s->space.total_bytes : 0);
        jw_kv_u64(w, "uptime", host_uptime_s());
    }
    jw_object_end(w);
}

static void write_node(struct api_call *c)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/nodes/%s", c->api->node);
    api_node_row(&c->out, c->api, auth_has(c->api->auth, &c->who, path, PRIV_M(SYS_AUDIT), true));
}

static int write_guests(struct api_call *c, struct err *e)
{
    struct guest_mgr *m = c->api->guests;
    struct auth_guests *may = auth_guests_new(c->api->auth, &c->who);

    if (!may)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; i < guest_count(m); i++) {
        struct guest *g = guest_at(m, i);
        if (!g->is_dropped && auth_guests_privileges(may, g->vmid) & PRIV_M(VM_AUDIT))
            guest_summary_write(&c->out, m, g, auth_pool_of_guest(c->api->auth, g->vmid));
    }
    auth_guests_free(may);
    return 0;
}

/* Here space to fill is not enough to see a storage; in its own lists it is. */
static bool may_audit_storage(struct api_call *c, const char *storage)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", storage);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(DATASTORE_AUDIT), false);
}

static bool write_pool(void *arg, const char *pool)
{
    struct api_call *c = arg;
    char id[AUTH_PATH_MAX];

    if (!api_may_see_pool(c, pool))
        return true;
    snprintf(id, sizeof(id), "/pool/%s", pool);
    jw_object(&c->out);
    jw_kv_str(&c->out, "id", id);
    jw_kv_str(&c->out, "type", "pool");
    jw_kv_str(&c->out, "pool", pool);
    jw_object_end(&c->out);
    return true;
}

int api_cluster_resources(struct api_call *c, const struct api_cluster_resources_args *a, struct err *e)
{
    bool is_all = !a->type;
    int r = 0;

    jw_array(&c->out);
    if (is_all || streq(a->type, "vm"))
        r = write_guests(c, e);
    if (r < 0)
        return r;
    if (is_all || streq(a->type, "node"))
        write_node(c);
    if (is_all || streq(a->type, "storage"))
        for (size_t i = 0; i < storage_mgr_count(c->api->storages); i++) {
            const struct storage_entry *s = storage_mgr_at(c->api->storages, i);
            if (storage_is_enabled(s->storage) && may_audit_storage(c, storage_name(s->storage)))
                api_storage_write(c, s);
        }
    if (is_all)
        auth_each_pool(c->api->auth, write_pool, c);
    jw_array_end(&c->out);
    return 0;
}

int api_cluster_status(struct api_call *c, const struct api_cluster_status_args *a, struct err *e)
{
    struct jw *w = &c->out;
    char id[80];

    /* A node by itself is no cluster: PVE shows only the node then. */
    snprintf(id, sizeof(id), "node/%s", c->api->node);
    jw_array(w);
    jw_object(w);
    jw_kv_str(w, "type", "node");
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "name", c->api->node);
    jw_kv_int(w, "nodeid", 0);
    jw_kv_str(w, "ip", c->api->address);
    jw_kv_int(w, "online", 1);
    jw_kv_int(w, "local", 1);
    jw_kv_str(w, "level", "");
    jw_object_end(w);
    jw_array_end(w);
    return 0;
}
