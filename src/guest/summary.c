/* Guests as the API shows them, and the sampler of their CPU, memory and disk use. Nothing here blocks. */
#include <event2/event.h>

#include "base/clock.h"
#include "base/proc.h"
#include "guest/clone.h"
#include "guest/guest_priv.h"

void guest_sampler_tick(evutil_socket_t fd, short what, void *arg);

static uint64_t stat_value(const void *payload, size_t n, const char *name)
{
    struct field_reader r;
    struct field f;
    char text[80];
    size_t len = strlen(name);
    uint64_t v = 0;

    field_reader_init(&r, payload, n);
    while (field_next(&r, &f) == 1)
        if (f.tag == FIELD_STAT && field_get_str(&f, text, sizeof(text)) == 0 && strncmp(text, name, len) == 0 &&
            text[len] == '=' && str_to_u64(text + len + 1, &v) == 0)
            return v;
    return 0;
}

struct stats_request {
    struct guest_mgr *mgr;
    uint32_t vmid;
};

static void on_stats(void *arg, int r, const void *payload, size_t n, const struct err *e)
{
    struct stats_request *q = arg;
    struct guest *g = guest_find(q->mgr, q->vmid);

    if (r == 0 && g) {
        g->disk_read = stat_value(payload, n, "diskread");
        g->disk_write = stat_value(payload, n, "diskwrite");
        g->balloon_bytes = stat_value(payload, n, "balloon");
        g->hypervisor_version = stat_value(payload, n, "version");
    }
    free(q);
}

static void sample(struct guest_mgr *m, struct guest *g)
{
    uint64_t ticks, rss, now = clock_boot_ms();

    if (!g->pid || proc_usage((pid_t)g->pid, &ticks, &rss) < 0)
        return;
    if (g->cpu_sample_ms && now > g->cpu_sample_ms && ticks >= g->cpu_ticks) {
        double seconds = (double)(ticks - g->cpu_ticks) / (double)sysconf(_SC_CLK_TCK);
        uint32_t cpus = guest_cpus(g);
        g->cpu_fraction = seconds * 1000.0 / (double)(now - g->cpu_sample_ms) / (cpus ? cpus : 1);
    }
    g->cpu_ticks = ticks;
    g->cpu_sample_ms = now;
    g->rss_bytes = rss;
    struct stats_request *q = g->monitor ? calloc(1, sizeof(*q)) : NULL;
    if (q) {
        *q = (struct stats_request){.mgr = m, .vmid = g->vmid};
        monitor_command(g->monitor, "stats", on_stats, q);
    }
}

void guest_sampler_tick(evutil_socket_t fd, short what, void *arg)
{
    struct guest_mgr *m = arg;

    for (size_t i = 0; i < m->n; i++)
        if (m->guests[i]->state == GUEST_RUNNING)
            sample(m, m->guests[i]);
    guest_counters_sample(m);
    guest_room_look(m);
}

uint64_t guest_memory_used(const struct guest *g)
{
    uint64_t max = guest_memory_bytes(g);

    return !guest_is_running(g) ? 0 : g->rss_bytes < max ? g->rss_bytes : max;
}

static const char *lock_of(struct guest_mgr *m, const struct guest *g)
{
    const char *lock = config_get(&g->config, "lock");

    return lock ? lock : task_guest_lock(m->env.tasks, g->vmid);
}

/* Members that cluster/resources, the list and the status have in common. These change with the configuration only. */
static void lasting_members(struct jw *w, const struct guest *g)
{
    const char *tags = config_get(&g->config, "tags");

    jw_kv_int(w, "vmid", g->vmid);
    jw_kv_str(w, "name", guest_name(g)[0] ? guest_name(g) : "VM");
    jw_kv_u64(w, "maxmem", guest_memory_bytes(g));
    jw_kv_u64(w, "disk", 0);
    jw_kv_u64(w, "maxdisk", guest_disk_bytes(g));
    if (tags)
        jw_kv_str(w, "tags", tags);
}

/* "status" says only that there is a process, as PVE's does. */
static bool stands_still(const struct guest *g)
{
    return guest_is_running(g) && g->qmp_status[0] && !streq(g->qmp_status, "running");
}

static void passing_members(struct jw *w, const struct guest *g, const char *lock)
{
    jw_kv_str(w, "status", guest_status(g));
    if (stands_still(g))
        jw_kv_str(w, "qmpstatus", g->qmp_status);
    jw_kv_u64(w, "uptime", guest_uptime_s(g));
    jw_kv_num(w, "cpu", guest_is_running(g) ? g->cpu_fraction : 0);
    jw_kv_u64(w, "mem", guest_memory_used(g));
    jw_kv_u64(w, "netin", g->net_in);
    jw_kv_u64(w, "netout", g->net_out);
    jw_kv_u64(w, "diskread", g->disk_read);
    jw_kv_u64(w, "diskwrite", g->disk_write);
    if (lock)
        jw_kv_str(w, "lock", lock);
}

/* A list of thousands is mostly what did not change since the last one: that part of each guest is kept as text,
 * without the brace that ends the object. */
static bool need_lasting(struct guest_mgr *m, struct guest *g)
{
    bool is_of_running = guest_is_running(g) && g->running.n;
    struct buf b;
    struct jw w;
    char id[24];

    if (g->lasting && g->is_lasting_of_running == is_of_running)
        return true;
    guest_summary_forget(g);
    const char *lock = config_get(&g->config, "lock");
    snprintf(id, sizeof(id), "qemu/%u", g->vmid);
    buf_init(&b, STATE_VALUE_MAX); /* as much as what it comes from */
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_str(&w, "id", id);
    jw_kv_str(&w, "type", "qemu");
    jw_kv_str(&w, "node", m->env.node);
    lasting_members(&w, g);
    jw_kv_int(&w, "maxcpu", guest_cpus(g));
    jw_kv_int(&w, "template", guest_is_template(g));
    if (lock)
        jw_kv_str(&w, "lock", lock);
    size_t n = b.len;
    char *text = buf_take(&b);
    buf_done(&b);
    char *exact = text ? realloc(text, n + 1) : NULL; /* there may be thousands of them */
    g->lasting = exact ? exact : text;
    g->lasting_len = n;
    g->is_lasting_of_running = is_of_running;
    g->has_lasting_lock = lock;
    return g->lasting;
}

void guest_summary_forget(struct guest *g)
{
    free(g->lasting);
    g->lasting = NULL;
}

void guest_mgr_set_observer(struct guest_mgr *m, void (*fn)(void *arg, uint32_t vmid), void *arg)
{
    m->observer = fn;
    m->observer_arg = arg;
}

void guest_tell(struct guest_mgr *m, uint32_t vmid)
{
    if (m->observer)
        m->observer(m->observer_arg, vmid);
}

void guest_summary_write(struct jw *w, struct guest_mgr *m, struct guest *g, const char *pool)
{
    static const char idle[] = ",\"status\":\"stopped\",\"uptime\":0,\"cpu\":0,\"mem\":0,\"netin\":0,\"netout\":0,"
                               "\"diskread\":0,\"diskwrite\":0";
    struct jw rest = {.out = w->out, .has_item = 1};

    if (!need_lasting(m, g)) {
        w->out->is_failed = true;
        return;
    }
    const char *lock = g->has_lasting_lock ? NULL : task_guest_lock(m->env.tasks, g->vmid);
    jw_raw(w, g->lasting, g->lasting_len);
    if (guest_is_running(g) || g->net_in || g->net_out || g->disk_read || g->disk_write || lock)
        passing_members(&rest, g, lock);
    else
        buf_append(w->out, idle, sizeof(idle) - 1);
    if (pool)
        jw_kv_str(&rest, "pool", pool);
    buf_append_char(w->out, '}');
}

/* Each tap of the last count. */
static void nic_members(struct jw *w, const struct guest *g)
{
    jw_key(w, "nics");
    jw_object(w);
    for (unsigned i = 0; g->nics && i < GUEST_NICS_MAX; i++) {
        const struct guest_nic *nic = &g->nics[i];
        if (!nic->name[0] || nic->round != g->net_round)
            continue;
        jw_key(w, nic->name);
        jw_object(w);
        jw_kv_u64(w, "netin", nic->in);
        jw_kv_u64(w, "netout", nic->out);
        jw_object_end(w);
    }
    jw_object_end(w);
}

/* What the hypervisor told; sampled. */
static void running_members(struct jw *w, const struct guest *g)
{
    char version[40];
    uint64_t v = g->hypervisor_version;

    jw_kv_str(w, "running-machine", g->machine);
    jw_kv_u64(w, "memhost", g->rss_bytes);
    nic_members(w, g);
    if (v) {
        snprintf(version, sizeof(version), "%llu.%llu.%llu", (unsigned long long)(v / 1000000),
                 (unsigned long long)(v / 1000 % 1000), (unsigned long long)(v % 1000));
        jw_kv_str(w, "running-qemu", version);
    }
    if (g->balloon_bytes) {
        jw_kv_u64(w, "balloon", g->balloon_bytes);
        jw_key(w, "ballooninfo");
        jw_object(w);
        jw_kv_u64(w, "actual", g->balloon_bytes);
        jw_kv_u64(w, "max_mem", guest_memory_bytes(g));
        jw_object_end(w);
    }
}

void guest_status_members(struct jw *w, struct guest_mgr *m, const struct guest *g, bool is_full)
{
    bool has_serial = false;

    lasting_members(w, g);
    passing_members(w, g, lock_of(m, g));
    jw_kv_int(w, "cpus", guest_cpus(g));
    if (g->pid)
        jw_kv_int(w, "pid", g->pid);
    /* The list has it only when asked for ("full"), as PVE does, or when it says more than "status" (above); the
     * inventory plugin of Ansible reads it from status. */
    if (is_full && !stands_still(g))
        jw_kv_str(w, "qmpstatus", !guest_is_running(g) ? "stopped" : g->qmp_status[0] ? g->qmp_status : "unknown");
    if (is_full && guest_is_running(g))
        running_members(w, g);
    for (size_t i = 0; i < g->config.n; i++)
        has_serial = has_serial || guest_is_index_key(g->config.items[i].key, "serial");
    if (has_serial)
        jw_kv_int(w, "serial", 1);
}
