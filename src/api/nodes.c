/* /version, /nodes and what shows the state of a node. PVE: pve-manager, Nodes.pm. */
#include <sys/utsname.h>

#include "api/common.h"
#include "api/host.h"

/* What clients compare: the release of the API that Holm answers with (R9). */
#define API_VERSION "9.2.0"
#define API_RELEASE "9.2"
#define API_REPOID  "484f4c4d"

int api_version_get(struct api_call *c, const struct api_version_get_args *a, struct err *e)
{
    jw_object(&c->out);
    jw_kv_str(&c->out, "version", API_VERSION);
    jw_kv_str(&c->out, "release", API_RELEASE);
    jw_kv_str(&c->out, "repoid", API_REPOID);
    jw_object_end(&c->out);
    return 0;
}

int api_node_version(struct api_call *c, const struct api_node_version_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : api_version_get(c, NULL, e);
}

int api_nodes_list(struct api_call *c, const struct api_nodes_list_args *a, struct err *e)
{
    char path[AUTH_PATH_MAX], id[80];
    double iowait;

    snprintf(path, sizeof(path), "/nodes/%s", c->api->node);
    snprintf(id, sizeof(id), "node/%s", c->api->node);
    bool may_audit = auth_has(c->api->auth, &c->who, path, PRIV_M(SYS_AUDIT), true);
    jw_array(&c->out);
    jw_object(&c->out);
    jw_kv_str(&c->out, "node", c->api->node);
    jw_kv_str(&c->out, "id", id);
    jw_kv_str(&c->out, "type", "node");
    jw_kv_str(&c->out, "status", "online");
    if (may_audit) {
        struct host_memory m;
        struct host_cpu cpu;
        host_memory_get(&m);
        host_cpu_get(&cpu);
        jw_kv_num(&c->out, "cpu", host_cpu_usage(&iowait));
        jw_kv_int(&c->out, "maxcpu", cpu.cpus);
        jw_kv_u64(&c->out, "mem", m.total_bytes - m.available_bytes);
        jw_kv_u64(&c->out, "maxmem", m.total_bytes);
        jw_kv_u64(&c->out, "uptime", host_uptime_s());
        jw_kv_str(&c->out, "level", "");
    }
    jw_object_end(&c->out);
    jw_array_end(&c->out);
    return 0;
}

int api_node_index(struct api_call *c, const struct api_node_index_args *a, struct err *e)
{
    static const char *const names[] = {
        "apt",    "capabilities", "certificates", "config",  "dhcp-leases", "disks",   "dns",          "hardware",
        "hosts",  "journal",      "lxc",          "netstat", "network",     "qemu",    "report",       "rrddata",
        "scan",   "services",     "startall",     "status",  "stopall",     "storage", "subscription", "suspendall",
        "syslog", "tasks",        "time",         "version", NULL};
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : api_reply_index(c, "name", names);
}

static void write_cpuinfo(struct jw *w)
{
    struct host_cpu cpu;
    char mhz[24];

    host_cpu_get(&cpu);
    snprintf(mhz, sizeof(mhz), "%.3f", cpu.mhz);
    jw_key(w, "cpuinfo");
    jw_object(w);
    jw_kv_str(w, "model", cpu.model);
    jw_kv_int(w, "cpus", cpu.cpus);
    jw_kv_int(w, "sockets", cpu.sockets);
    jw_kv_int(w, "cores", cpu.cores);
    jw_kv_str(w, "mhz", mhz);
    jw_object_end(w);
}

static void write_kernel(struct jw *w)
{
    struct utsname u;
    char text[512];

    uname(&u);
    jw_key(w, "current-kernel");
    jw_object(w);
    jw_kv_str(w, "sysname", u.sysname);
    jw_kv_str(w, "release", u.release);
    jw_kv_str(w, "version", u.version);
    jw_kv_str(w, "machine", u.machine);
    jw_object_end(w);
    snprintf(text, sizeof(text), "%s %s %s", u.sysname, u.release, u.version);
    jw_kv_str(w, "kversion", text);
}

static void write_memory(struct jw *w)
{
    struct host_memory m;

    host_memory_get(&m);
    jw_key(w, "memory");
    jw_object(w);
    jw_kv_u64(w, "total", m.total_bytes);
    jw_kv_u64(w, "used", m.total_bytes - m.available_bytes);
    jw_kv_u64(w, "free", m.free_bytes);
    jw_kv_u64(w, "available", m.available_bytes);
    jw_object_end(w);
    jw_key(w, "swap");
    jw_object(w);
    jw_kv_u64(w, "total", m.swap_total_bytes);
    jw_kv_u64(w, "used", m.swap_total_bytes - m.swap_free_bytes);
    jw_kv_u64(w, "free", m.swap_free_bytes);
    jw_object_end(w);
}

static int read_slow(void *ctx, struct err *e)
{
    host_slow_get(ctx);
    return 0;
}

static int finish_status(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct host_slow *fs = ctx;
    struct jw *w = &c->out;
    char load[3][16];
    double iowait, cpu = host_cpu_usage(&iowait);

    if (r < 0)
        return r;
    jw_object(w);
    jw_kv_num(w, "cpu", cpu);
    jw_kv_num(w, "wait", iowait);
    jw_kv_u64(w, "uptime", host_uptime_s());
    write_memory(w);
    write_cpuinfo(w);
    write_kernel(w);
    jw_key(w, "boot-info");
    jw_object(w);
    jw_kv_str(w, "mode", access("/sys/firmware/efi", F_OK) == 0 ? "efi" : "legacy-bios");
    jw_object_end(w);
    host_loadavg(load);
    jw_key(w, "loadavg");
    jw_array(w);
    for (int i = 0; i < 3; i++)
        jw_str(w, load[i]);
    jw_array_end(w);
    jw_key(w, "rootfs");
    jw_object(w);
    jw_kv_u64(w, "total", fs->root_total);
    jw_kv_u64(w, "used", fs->root_used);
    jw_kv_u64(w, "free", fs->root_free);
    jw_kv_u64(w, "avail", fs->root_available);
    jw_object_end(w);
    jw_kv_str(w, "pveversion", "holm/" HOLM_VERSION);
    jw_object_end(w);
    return 0;
}

int api_node_status(struct api_call *c, const struct api_node_status_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct host_slow *fs = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*fs));

    if (r < 0)
        return r;
    return fs ? api_offload(c, read_slow, finish_status, fs) : err_set(e, -ENOMEM, NULL, "out of memory");
}

int api_node_lxc_list(struct api_call *c, const struct api_node_lxc_list_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    jw_array(&c->out); /* containers come with their engine; until then a node has none */
    jw_array_end(&c->out);
    return 0;
}
