/* /proc readers; see host.h. */
#include "api/host.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/fs.h"

static bool read_proc(const char *path, struct buf *b)
{
    struct err e = ERR_INIT;

    buf_init(b, 1024u * 1024u);
    return fs_read_file(AT_FDCWD, path, b, &e) == 0;
}

static uint64_t meminfo(const char *text, const char *name)
{
    const char *p = strstr(text, name);

    return p ? strtoull(p + strlen(name), NULL, 10) * 1024u : 0;
}

void host_memory_get(struct host_memory *ret)
{
    struct buf b;

    *ret = (struct host_memory){0};
    if (read_proc("/proc/meminfo", &b))
        *ret = (struct host_memory){
            .total_bytes = meminfo(buf_str(&b), "MemTotal:"),
            .free_bytes = meminfo(buf_str(&b), "MemFree:"),
            .available_bytes = meminfo(buf_str(&b), "MemAvailable:"),
            .swap_total_bytes = meminfo(buf_str(&b), "SwapTotal:"),
            .swap_free_bytes = meminfo(buf_str(&b), "SwapFree:"),
        };
    buf_done(&b);
}

static void scan_cpuinfo(const char *text, struct host_cpu *cpu)
{
    unsigned long last_socket = 0;

    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        const char *colon = strchr(line, ':');
        const char *value = colon ? colon + 1 + (colon[1] == ' ') : "";
        if (strncmp(line, "processor\t", 10) == 0)
            cpu->cpus++;
        else if (strncmp(line, "model name\t", 11) == 0 && !cpu->model[0])
            snprintf(cpu->model, sizeof(cpu->model), "%.*s", (int)strcspn(value, "\n"), value);
        else if (strncmp(line, "cpu MHz", 7) == 0 && cpu->mhz == 0)
            cpu->mhz = strtod(value, NULL);
        else if (strncmp(line, "physical id", 11) == 0 && strtoul(value, NULL, 10) > last_socket)
            last_socket = strtoul(value, NULL, 10);
        else if (strncmp(line, "cpu cores", 9) == 0 && !cpu->cores)
            cpu->cores = (unsigned)strtoul(value, NULL, 10);
    }
    cpu->sockets = (unsigned)last_socket + 1;
}

void host_cpu_get(struct host_cpu *ret)
{
    static struct host_cpu cached;
    struct buf b;

    if (!cached.cpus) {
        if (read_proc("/proc/cpuinfo", &b))
            scan_cpuinfo(buf_str(&b), &cached);
        buf_done(&b);
        if (!cached.cpus)
            cached.cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
        if (!cached.cores)
            cached.cores = cached.cpus;
        if (!cached.model[0])
            snprintf(cached.model, sizeof(cached.model), "unknown");
    }
    *ret = cached;
}

double host_cpu_usage(double *ret_iowait)
{
    static uint64_t last_ms, last_busy, last_wait, last_all;
    static double usage, iowait;
    uint64_t now = clock_boot_ms(), v[8] = {0}, all = 0;
    struct buf b;

    if (!last_ms || now - last_ms >= 1000) {
        if (read_proc("/proc/stat", &b) && sscanf(buf_str(&b), "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &v[0], &v[1],
                                                  &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) == 8) {
            for (size_t i = 0; i < 8; i++)
                all += v[i];
            uint64_t busy = all - v[3] - v[4];
            if (last_ms && all > last_all) {
                usage = (double)(busy - last_busy) / (double)(all - last_all);
                iowait = v[4] >= last_wait ? (double)(v[4] - last_wait) / (double)(all - last_all) : 0;
            }
            last_busy = busy;
            last_all = all;
            last_wait = v[4];
            last_ms = now;
        }
        buf_done(&b);
    }
    *ret_iowait = iowait;
    return usage;
}

uint64_t host_uptime_s(void)
{
    return clock_boot_ms() / 1000;
}

void host_loadavg(char ret[3][16])
{
    double load[3] = {0};

    if (getloadavg(load, 3) < 0)
        load[0] = load[1] = load[2] = 0;
    for (int i = 0; i < 3; i++)
        snprintf(ret[i], 16, "%.2f", load[i]);
}

/* A card with hardware behind it, or what stands for one in a container. */
static bool is_physical(const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
    return str_starts(name, "eth") || access(path, F_OK) == 0;
}

static void read_cards(const char *text, struct host_slow *ret)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        char name[17];
        uint64_t in, out;
        if (sscanf(line, " %16[^: ]: %lu %*u %*u %*u %*u %*u %*u %*u %lu", name, &in, &out) != 3 || !is_physical(name))
            continue;
        ret->net_in += in;
        ret->net_out += out;
    }
}

void host_slow_get(struct host_slow *ret)
{
    struct statvfs v;
    struct buf b;

    *ret = (struct host_slow){0};
    if (statvfs("/", &v) == 0) {
        ret->root_total = (uint64_t)v.f_blocks * v.f_frsize;
        ret->root_free = (uint64_t)v.f_bfree * v.f_frsize;
        ret->root_available = (uint64_t)v.f_bavail * v.f_frsize;
        ret->root_used = ret->root_total - ret->root_free;
    }
    if (read_proc("/proc/net/dev", &b))
        read_cards(buf_str(&b), ret);
    buf_done(&b);
}
