/* GET /nodes/N/report: one text about the host for people who help: versions, load, memory, storages, guests, files of
 * /etc and tables of /proc. Holds no secrets and no configuration of guests. PVE: pve-manager, Report.pm. What holmd
 * has in memory is written on the loop, files are read in a pool thread. */
#include <fcntl.h>
#include <sys/utsname.h>

#include "api/common.h"
#include "api/host.h"
#include "base/fs.h"

#define REPORT_BYTES (2u * 1024u * 1024u)
#define FILE_BYTES   (256u * 1024u)

static const char *const files[] = {"/etc/os-release", "/etc/hosts",   "/etc/resolv.conf", "/proc/cmdline",
                                    "/proc/meminfo",   "/proc/mounts", "/proc/partitions", "/proc/net/dev",
                                    "/proc/net/route", "/proc/modules"};

static void title(struct buf *b, const char *text)
{
    buf_printf(b, "\n==== %s ====\n", text);
}

static void write_node(struct api_call *c, struct buf *b)
{
    const struct engine_host *h = c->api->host;
    struct host_memory m;
    struct host_cpu cpu;
    struct utsname u;
    char load[3][16];

    host_memory_get(&m);
    host_cpu_get(&cpu);
    host_loadavg(load);
    uname(&u);
    title(b, "node");
    buf_printf(b, "name: %s\nversion: holm/%s\nkernel: %s %s\nuptime: %llu s\nload: %s %s %s\n", c->api->node,
               HOLM_VERSION, u.release, u.version, (unsigned long long)host_uptime_s(), load[0], load[1], load[2]);
    buf_printf(b, "cpu: %u x %s\nmemory: %llu of %llu bytes available\n", cpu.cpus, cpu.model,
               (unsigned long long)m.available_bytes, (unsigned long long)m.total_bytes);
    buf_printf(b, "qemu: %s\nacceleration: %s\n", h->qemu_version[0] ? h->qemu_version : "not installed",
               h->accel_reason);
}

static void write_storages(struct api_call *c, struct buf *b)
{
    title(b, "storages");
    for (size_t i = 0; i < storage_mgr_count(c->api->storages); i++) {
        const struct storage_entry *s = storage_mgr_at(c->api->storages, i);
        if (api_may_see_storage(c, storage_name(s->storage)))
            buf_printf(b, "%s: %s, %s, %llu of %llu bytes used\n", storage_name(s->storage), storage_type(s->storage),
                       s->is_active ? "active" : "not active", (unsigned long long)s->space.used_bytes,
                       (unsigned long long)s->space.total_bytes);
    }
}

static void write_guests(struct api_call *c, struct buf *b)
{
    title(b, "guests");
    for (size_t i = 0; i < guest_count(c->api->guests); i++) {
        const struct guest *g = guest_at(c->api->guests, i);
        if (!g->is_dropped && api_may_see_guest(c, g->vmid))
            buf_printf(b, "%u: %s, %s %s, %s\n", g->vmid, guest_name(g), g->engine, g->machine, guest_status(g));
    }
}

static int read_files(void *ctx, struct err *e)
{
    struct buf *report = ctx, b;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct err missing = ERR_INIT;
        buf_init(&b, FILE_BYTES);
        title(report, files[i]);
        if (fs_read_file(AT_FDCWD, files[i], &b, &missing) == 0)
            buf_append(report, buf_str(&b), b.len);
        else
            buf_printf(report, "(%s)\n", missing.text);
        buf_done(&b);
    }
    return report->is_failed ? err_set(e, -EFBIG, "host.output", "the report is too large") : 0;
}

static int finish(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct buf *report = ctx;

    if (r == 0)
        jw_strn(&c->out, buf_str(report), report->len);
    buf_done(report);
    return r;
}

int api_node_report(struct api_call *c, const struct api_node_report_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct buf *report = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*report));

    if (r < 0)
        return r;
    if (!report)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    buf_init(report, REPORT_BYTES);
    write_node(c, report);
    write_storages(c, report);
    write_guests(c, report);
    return api_offload(c, read_files, finish, report);
}
