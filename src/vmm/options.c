/* Options of holm-vmm; see options.h. Runs once, before anything else, on the main thread. */
#include "vmm/options.h"

#include <fcntl.h>
#include <inttypes.h>

#include "base/propstr.h"
#include "vmm/dev/table.h"
#include "vmm/jail.h"
#include "vmm/vcpu.h"

#define CONFIG_BYTES_MAX (256u << 10)

struct row {
    const char *name, *value, *help;
    int (*take)(struct options *o, const char *value, struct err *e);
};

static int bad(struct err *e, const char *option, const char *why)
{
    return err_set(e, -EINVAL, "option.value", "--%s: %s", option, why);
}

static int set_text(char **to, const char *value, struct err *e)
{
    free(*to);
    *to = strdup(value);
    return *to ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

/* A path, or "fd=N" for a descriptor that was inherited. */
static int open_or_take(const char *value, int *ret_fd, struct err *e)
{
    uint64_t n;
    int fd;

    if (str_starts(value, "fd=")) {
        if (str_to_u64(value + 3, &n) < 0 || n > 65535 || fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0)
            return err_set(e, -EBADF, "option.fd", "there is no open descriptor '%s'", value + 3);
        fd = (int)n;
    } else {
        fd = open(value, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
            return err_errno(e, errno, "open '%s'", value);
    }
    if (*ret_fd >= 0) /* the last one counts */
        close(*ret_fd);
    *ret_fd = fd;
    return 0;
}

static int take_kernel(struct options *o, const char *value, struct err *e)
{
    return open_or_take(value, &o->kernel_fd, e);
}
static int take_initrd(struct options *o, const char *value, struct err *e)
{
    return open_or_take(value, &o->initrd_fd, e);
}
static int take_cmdline(struct options *o, const char *value, struct err *e)
{
    return set_text(&o->cmdline, value, e);
}

/* "on", "off", or "uid=N,gid=N". */
static int take_jail(struct options *o, const char *value, struct err *e)
{
    struct propstr p;
    uint64_t uid, gid;
    int r;

    if (propstr_bool(value, &o->has_jail) == 0)
        return 0;
    r = propstr_parse(value, NULL, &p, e);
    if (r == 0)
        r = propstr_get_u64(&p, "uid", JAIL_NOBODY, &uid, e);
    if (r == 0)
        r = propstr_get_u64(&p, "gid", JAIL_NOBODY, &gid, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < p.n; i++)
        if (!streq(p.items[i].key, "uid") && !streq(p.items[i].key, "gid"))
            return bad(e, "jail", "on, off or uid=N,gid=N");
    if (!uid || !gid || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return bad(e, "jail", "uid and gid are numbers of an unprivileged user");
    o->has_jail = true;
    o->jail_uid = (unsigned)uid;
    o->jail_gid = (unsigned)gid;
    return 0;
}

static int take_cpus(struct options *o, const char *value, struct err *e)
{
    uint64_t n;

    if (str_to_u64(value, &n) < 0 || n < 1 || n > VCPUS_MAX)
        return bad(e, "cpus", "a number from 1 to 64");
    o->n_cpus = (unsigned)n;
    return 0;
}

static int take_memory(struct options *o, const char *value, struct err *e)
{
    struct propstr p;
    uint64_t pages;
    int r = propstr_parse(value, "size", &p, e);

    if (r == 0)
        r = propstr_get_size(&p, "size", 0, &o->memory_bytes, e);
    if (r == 0)
        r = propstr_get_size(&p, "hugepages", 0, &pages, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < p.n; i++)
        if (!streq(p.items[i].key, "size") && !streq(p.items[i].key, "hugepages"))
            return bad(e, "memory", "it has a size and hugepages=2M or 1G");
    if (pages && pages != 2ull << 20 && pages != 1ull << 30)
        return bad(e, "memory", "huge pages have 2M or 1G");
    if (o->memory_bytes < 16ull << 20 || o->memory_bytes > 1ull << 40 || o->memory_bytes % (1ull << 20))
        return bad(e, "memory", "whole MiB from 16M to 1T");
    o->page_bytes = pages;
    return 0;
}

static int take_console(struct options *o, const char *value, struct err *e)
{
    if (!streq(value, "stdio") && !streq(value, "none") && !str_starts(value, "fd="))
        return bad(e, "console", "stdio, none or fd=N");
    return set_text(&o->console, value, e);
}

static int take_control(struct options *o, const char *value, struct err *e)
{
    if (!str_starts(value, "fd="))
        return bad(e, "control", "fd=N, a socket");
    return open_or_take(value, &o->control_fd, e);
}

static int take_paused(struct options *o, const char *value, struct err *e)
{
    return propstr_bool(value, &o->is_paused) < 0 ? bad(e, "paused", "on or off") : 0;
}

static int take_reboot(struct options *o, const char *value, struct err *e)
{
    return propstr_bool(value, &o->is_rebooting) < 0 ? bad(e, "reboot", "on or off") : 0;
}

static int take_config(struct options *o, const char *path, struct err *e);

static const struct row rows[] = {
    {"kernel", "FILE|fd=N", "bzImage or ELF (PVH, Linux)", take_kernel},
    {"initrd", "FILE|fd=N", "initial RAM disk", take_initrd},
    {"cmdline", "TEXT", "the kernel's command line", take_cmdline},
    {"cpus", "N", "vCPUs, 1 to 64 (1)", take_cpus},
    {"memory", "SIZE[,hugepages=2M|1G]", "RAM (256M)", take_memory},
    {"jail", "on|off|uid=N,gid=N", "give up all rights before the guest runs (on; root becomes nobody)", take_jail},
    {"console", "stdio|fd=N|none", "the serial port (none)", take_console},
    {"control", "fd=N", "socket for control verbs", take_control},
    {"paused", "on|off", "do not begin before the verb resume", take_paused},
    {"reboot", "on|off", "off: a guest that resets ends the machine (on)", take_reboot},
    {"config", "FILE|fd=N", "more options, one in a line, without dashes", take_config},
};

static int take_device(struct options *o, const char *kind, const char *text, struct err *e)
{
    struct option_device *d = &o->devices[o->n_devices];

    if (o->n_devices == OPTIONS_DEVICES_MAX)
        return err_set(e, -ENOSPC, "option.devices", "a machine has at most %u devices", OPTIONS_DEVICES_MAX);
    if (strlen(text) >= OPTIONS_TEXT_MAX)
        return bad(e, kind, "the text is too long");
    o->n_devices++;
    *d = (struct option_device){.kind = strdup(kind), .text = strdup(text)};
    return d->kind && d->text ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

static int take(struct options *o, const char *name, const char *value, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (streq(name, rows[i].name))
            return rows[i].take(o, value, e);
    if (device_type_find(name))
        return take_device(o, name, value, e);
    err_set(e, -EINVAL, "option.unknown", "there is no option --%s", name);
    err_hint(e, "holm-vmm run --help");
    return -EINVAL;
}

/* "disk fd=7,serial=a" in each line; blank lines and those that begin with # are skipped. */
static int take_line(struct options *o, char *line, struct err *e)
{
    char *value = strchr(line, ' ');

    if (!*line || *line == '#')
        return 0;
    if (!value)
        return err_set(e, -EINVAL, "option.value", "the line '%.60s' has an option without a value", line);
    *value++ = '\0';
    if (streq(line, "config"))
        return err_set(e, -EINVAL, "option.value", "a file of options names no other");
    return take(o, line, value, e);
}

static int read_all(int fd, char *to, size_t cap, struct err *e)
{
    size_t n = 0;

    for (;;) {
        ssize_t part = read(fd, to + n, cap - n);

        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return err_errno(e, errno, "read the options");
        if (part == 0)
            break;
        n += (size_t)part;
        if (n == cap)
            return err_set(e, -EFBIG, "option.size", "the file of options is larger than %zu bytes", cap);
    }
    to[n] = '\0';
    return strlen(to) == n ? 0 : err_set(e, -EINVAL, "option.value", "the file of options holds a zero byte");
}

static int take_config(struct options *o, const char *path, struct err *e)
{
    autofree char *text = malloc(CONFIG_BYTES_MAX + 1);
    autoclose int fd = -EBADF;
    int r = text ? open_or_take(path, &fd, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0)
        r = read_all(fd, text, CONFIG_BYTES_MAX, e);
    for (char *line = text, *next; r == 0 && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        r = take_line(o, line, e);
    }
    return r;
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
    int r = 0;

    *o = (struct options){.kernel_fd = -1,
                          .initrd_fd = -1,
                          .control_fd = -1,
                          .n_cpus = 1,
                          .memory_bytes = 256ull << 20,
                          .is_rebooting = true,
                          .has_jail = true,
                          .jail_uid = JAIL_NOBODY,
                          .jail_gid = JAIL_NOBODY};
    for (int i = 0; i < argc && r == 0; i += 2) {
        if (!str_starts(argv[i], "--"))
            r = err_set(e, -EINVAL, "option.unknown", "'%.60s' is no option", argv[i]);
        else if (i + 1 == argc)
            r = err_set(e, -EINVAL, "option.value", "%.60s needs a value", argv[i]);
        else
            r = take(o, argv[i] + 2, argv[i + 1], e);
    }
    if (r == 0 && !o->cmdline)
        r = set_text(&o->cmdline, "console=ttyS0", e);
    if (r == 0 && !o->console)
        r = set_text(&o->console, "none", e);
    if (r == 0 && o->kernel_fd < 0)
        r = err_set(e, -EINVAL, "option.missing", "a machine needs a kernel: --kernel FILE");
    return r;
}

void options_done(struct options *o)
{
    for (unsigned i = 0; i < o->n_devices; i++) {
        free(o->devices[i].kind);
        free(o->devices[i].text);
    }
    free(o->cmdline);
    free(o->console);
    if (o->kernel_fd >= 0)
        close(o->kernel_fd);
    if (o->initrd_fd >= 0)
        close(o->initrd_fd);
    if (o->control_fd >= 0)
        close(o->control_fd);
    *o = (struct options){.kernel_fd = -1, .initrd_fd = -1, .control_fd = -1};
}

void options_each(void (*fn)(void *arg, const char *name, const char *value, const char *help), void *arg)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        fn(arg, rows[i].name, rows[i].value, rows[i].help);
    for (size_t i = 0; device_table[i]; i++)
        fn(arg, device_table[i]->option, device_table[i]->usage, device_table[i]->help);
}

static void print_option(void *arg, const char *name, const char *value, const char *help)
{
    fprintf(arg, "  --%s %s\n        %s\n", name, value, help);
}

void options_usage(FILE *to)
{
    fprintf(to, "Usage: holm-vmm run --kernel FILE [OPTION VALUE]...\n\n");
    options_each(print_option, to);
    fprintf(to, "\nEvery device takes id=NAME, by which control verbs call it.\n");
}
