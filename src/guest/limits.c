/* See limits.h. Where the unified hierarchy has the controller `cpu`, the guest's own cgroup gets cpu.max and
 * cpu.weight; where it sits in a hierarchy of its own (cgroup v1), the guest gets a second cgroup there, made only when
 * a limit is asked for. A host that allows neither starts the guest without the limit, and the start's log says so. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fs.h"
#include "guest/limits.h"

#define PERIOD_US 100000u

int limits_parse_cpus(const char *text, cpu_set_t *ret, struct err *e)
{
    CPU_ZERO(ret);
    for (const char *p = text;; p++) {
        uint32_t numbers[2] = {0, 0};
        unsigned n = 0;
        do {
            size_t digits = strspn(p, "0123456789");
            if (!digits || digits > 4)
                return err_set(e, -EINVAL, "param.invalid", "affinity: '%.40s' is not a list of CPUs", text);
            numbers[n] = (uint32_t)strtoul(p, NULL, 10);
            p += digits;
        } while (n++ == 0 && *p == '-' && p++);
        uint32_t last = n == 2 ? numbers[1] : numbers[0];
        if (last >= CPU_SETSIZE || last < numbers[0])
            return err_set(e, -EINVAL, "param.invalid", "affinity: '%.40s' is out of range", text);
        for (uint32_t cpu = numbers[0]; cpu <= last; cpu++)
            CPU_SET(cpu, ret);
        if (!*p)
            return 0;
        if (*p != ',')
            return err_set(e, -EINVAL, "param.invalid", "affinity: '%.40s' is not a list of CPUs", text);
    }
}

int limits_parse(const struct config *c, struct guest_limits *ret, struct err *e)
{
    const char *limit = config_get(c, "cpulimit"), *units = config_get(c, "cpuunits");
    const char *affinity = config_get(c, "affinity");
    uint64_t n = 0;

    *ret = (struct guest_limits){0};
    if (limit) {
        char *end;
        double cpus = strtod(limit, &end);
        if (*end || end == limit || !(cpus >= 0 && cpus <= 128))
            return err_set(e, -EINVAL, "param.invalid", "cpulimit is 0 to 128");
        ret->limit_permille = (uint32_t)(cpus * 1000 + 0.5);
    }
    if (units && (str_to_u64(units, &n) < 0 || n < 1 || n > 262144))
        return err_set(e, -EINVAL, "param.invalid", "cpuunits is 1 to 262144");
    ret->units = (uint32_t)n;
    ret->has_affinity = affinity != NULL;
    return affinity ? limits_parse_cpus(affinity, &ret->affinity, e) : 0;
}

uint32_t limits_weight(uint32_t units)
{
    return units > 10000 ? 10000 : units;
}

int limits_pin(void *arg)
{
    const struct guest_limits *l = arg;

    return sched_setaffinity(0, sizeof(l->affinity), &l->affinity) < 0 ? -errno : 0;
}

static int write_file(const char *dir, const char *name, const char *text)
{
    char path[700];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

/* ---- cgroup v1 ---- */

/* Folder of the controller `cpu` that holmd is in; false where it has no hierarchy of its own. */
static bool v1_folder(uint32_t instance, char *ret, size_t cap)
{
    struct err ignored = ERR_INIT;
    autobuf struct buf text;
    char *save = NULL;

    buf_init(&text, 16384);
    if (fs_read_file(AT_FDCWD, "/proc/self/cgroup", &text, &ignored) < 0 || !text.data)
        return false;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *own = names ? strchr(names + 1, ':') : NULL;
        if (!own)
            continue;
        *own++ = 0;
        names++;
        if (!streq(names, "cpu") && !str_starts(names, "cpu,") && !strstr(names, ",cpu,") && !str_ends(names, ",cpu"))
            continue;
        int n = snprintf(ret, cap, "/sys/fs/cgroup/%s%s/holm-%04x", names, streq(own, "/") ? "" : own, instance);
        return n > 0 && (size_t)n < cap;
    }
    return false;
}

static int apply_v1(const struct guest_limits *l, uint32_t instance, uint32_t vmid, char *procs, size_t cap,
                    struct err *e)
{
    char base[500], dir[540], number[24];

    if (!v1_folder(instance, base, sizeof(base)))
        return err_set(e, -EOPNOTSUPP, NULL, "this host has no cgroup controller `cpu` for holmd");
    snprintf(dir, sizeof(dir), "%s/guest-%u", base, vmid);
    /* The last guest that goes takes the base along, maybe between the two calls. */
    for (int i = 0; i < 5 && mkdir(dir, 0755) < 0 && errno != EEXIST; i++)
        if (errno != ENOENT || (mkdir(base, 0755) < 0 && errno != EEXIST))
            return err_errno(e, errno, "make %s", dir);
    snprintf(number, sizeof(number), "%u", l->limit_permille * (PERIOD_US / 1000));
    int r = l->limit_permille ? write_file(dir, "cpu.cfs_quota_us", number) : 0;
    snprintf(number, sizeof(number), "%u", l->units);
    if (r == 0 && l->units)
        r = write_file(dir, "cpu.shares", number);
    snprintf(procs, cap, "%s/cgroup.procs", dir);
    return r < 0 ? err_errno(e, -r, "limits in %s", dir) : 0;
}

int limits_remove(uint32_t instance, uint32_t vmid, struct err *e)
{
    char base[500], dir[540];

    if (!v1_folder(instance, base, sizeof(base)))
        return 0;
    snprintf(dir, sizeof(dir), "%s/guest-%u", base, vmid);
    if (rmdir(dir) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove %s", dir);
    (void)rmdir(base); /* of the last guest in it */
    return 0;
}

/* ---- cgroup v2 ---- */

static bool has_controller(const char *dir)
{
    struct err ignored = ERR_INIT;
    autobuf struct buf text;
    char path[700];

    snprintf(path, sizeof(path), "%s/cgroup.controllers", dir);
    buf_init(&text, 4096);
    if (fs_read_file(AT_FDCWD, path, &text, &ignored) < 0 || !text.data)
        return false;
    for (const char *p = text.data; (p = strstr(p, "cpu")); p += 3)
        if ((p == text.data || p[-1] == ' ') && (p[3] == ' ' || p[3] == '\n' || !p[3]))
            return true;
    return false;
}

/* The controller reaches the guest's cgroup when each folder above passes it on. */
int limits_apply_unified(const struct guest_limits *l, const char *base, uint32_t vmid, struct err *e)
{
    char above[512], dir[540], text[48];
    int r;

    snprintf(above, sizeof(above), "%s", base);
    char *slash = strrchr(above, '/');
    if (slash)
        *slash = 0;
    if (!has_controller(base) && (r = write_file(above, "cgroup.subtree_control", "+cpu")) < 0)
        return err_errno(e, -r, "the controller `cpu` is not given to %s", base);
    if ((r = write_file(base, "cgroup.subtree_control", "+cpu")) < 0)
        return err_errno(e, -r, "the controller `cpu` is not given to guests in %s", base);
    snprintf(dir, sizeof(dir), "%s/guest-%u", base, vmid);
    snprintf(text, sizeof(text), "%u %u", l->limit_permille * (PERIOD_US / 1000), PERIOD_US);
    r = l->limit_permille ? write_file(dir, "cpu.max", text) : 0;
    snprintf(text, sizeof(text), "%u", limits_weight(l->units));
    if (r == 0 && l->units)
        r = write_file(dir, "cpu.weight", text);
    return r < 0 ? err_errno(e, -r, "limits in %s", dir) : 0;
}

int limits_apply(const struct guest_limits *l, const char *cgroup_dir, uint32_t instance, uint32_t vmid, char *procs,
                 size_t procs_cap, char *note, size_t note_cap, struct err *e)
{
    struct err v1 = ERR_INIT, v2 = ERR_INIT;
    char folder[500];

    procs[0] = note[0] = 0;
    if (!l->limit_permille && !l->units)
        return 0;
    bool has_v1 = v1_folder(instance, folder, sizeof(folder));
    if (has_v1 && apply_v1(l, instance, vmid, procs, procs_cap, &v1) == 0)
        return 0;
    if (!has_v1 && cgroup_dir[0] && limits_apply_unified(l, cgroup_dir, vmid, &v2) == 0)
        return 0;
    const char *why = has_v1 ? v1.text : v2.num ? v2.text : "holmd has no writable cgroup";
    snprintf(note, note_cap, "cpulimit and cpuunits are not in force: %s", why);
    procs[0] = 0;
    return has_v1 ? limits_remove(instance, vmid, e) : 0;
}
