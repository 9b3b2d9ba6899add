/* GET /nodes/N/apt/versions: which versions of Holm, of the hypervisor and of what they use are installed, from dpkg's
 * own table, read line by line in a pool thread. PVE: pve-manager, API2/APT.pm. Nothing is installed from here. */
#include <sys/utsname.h>

#include "api/common.h"

#define STATUS      "/var/lib/dpkg/status"
#define LINE_BYTES  4096
#define TEXT_MAX    4096u /* of a description */
#define REPLY_BYTES (1024u * 1024u)

static const char *const packages[] = {
    "holm",
    "bridge-utils",
    "chrony",
    "dnsmasq-base",
    "ifupdown",
    "ifupdown2",
    "lvm2",
    "lxc",
    "libevent-2.1-7",
    "libevent-2.1-7t64",
    "libseccomp2",
    "libsodium23",
    "libsqlite3-0",
    "libssl3",
    "libssl3t64",
    "nftables",
    "openssl",
    "ovmf",
    "qemu-block-extra",
    "qemu-system-common",
    "qemu-system-data",
    "qemu-system-gui",
    "qemu-system-x86",
    "qemu-utils",
    "seabios",
    "smartmontools",
    "swtpm",
    "systemd",
    "zfsutils-linux",
};

struct package {
    char name[128], version[128], arch[32], state[40], priority[32], section[64], origin[128];
    struct buf description; /* first line: the title */
};

struct query {
    struct utsname kernel;
    struct buf json;
    struct jw w;
};

static bool is_wanted(const struct query *q, const char *name)
{
    char image[sizeof(q->kernel.release) + 16];

    snprintf(image, sizeof(image), "linux-image-%s", q->kernel.release);
    for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
        if (streq(packages[i], name))
            return true;
    return streq(image, name);
}

/* dpkg's word for the state of a package in PVE's words; what waits for a trigger is installed. */
static const char *state_name(const char *status)
{
    static const char *const names[][2] = {
        {"installed", "Installed"},      {"triggers-awaited", "Installed"},     {"triggers-pending", "Installed"},
        {"unpacked", "UnPacked"},        {"half-configured", "HalfConfigured"}, {"half-installed", "HalfInstalled"},
        {"config-files", "ConfigFiles"},
    };
    const char *last = strrchr(status, ' ');

    for (size_t i = 0; last && i < ARRAY_SIZE(names); i++)
        if (streq(last + 1, names[i][0]))
            return names[i][1];
    return "NotInstalled";
}

static void write_package(struct query *q, const struct package *p)
{
    const char *text = buf_str(&p->description);
    size_t title = strcspn(text, "\n");
    struct jw *w = &q->w;

    jw_object(w);
    jw_kv_str(w, "Package", p->name);
    jw_key(w, "Title");
    jw_strn(w, text, title);
    jw_key(w, "Description");
    jw_str(w, text);
    jw_kv_str(w, "Origin", p->origin);
    jw_kv_str(w, "Version", p->version);
    jw_kv_str(w, "OldVersion", p->version);
    jw_kv_str(w, "Priority", p->priority);
    jw_kv_str(w, "Section", p->section);
    jw_kv_str(w, "Arch", p->arch);
    jw_kv_str(w, "CurrentState", state_name(p->state));
    if (streq(p->name, "holm")) {
        jw_kv_str(w, "ManagerVersion", HOLM_VERSION);
        jw_kv_str(w, "RunningKernel", q->kernel.release);
    }
    jw_object_end(w);
}

static void start_package(struct package *p)
{
    struct buf description = p->description;

    buf_reset(&description);
    *p = (struct package){.description = description};
}

static void end_package(struct query *q, struct package *p)
{
    if (p->name[0] && is_wanted(q, p->name) && !streq(state_name(p->state), "NotInstalled"))
        write_package(q, p);
    start_package(p);
}

static void add_description(struct package *p, const char *text)
{
    if (p->description.len + strlen(text) + 1 < TEXT_MAX)
        buf_printf(&p->description, "%s%s", p->description.len ? "\n" : "", text);
}

/* "Field: value", or the next line of a longer one, which begins with a blank. */
static void take_line(struct package *p, const char *line, bool *in_description)
{
    const struct {
        const char *name;
        char *dst;
        size_t cap;
    } fields[] = {
        {"Package: ", p->name, sizeof(p->name)},          {"Version: ", p->version, sizeof(p->version)},
        {"Architecture: ", p->arch, sizeof(p->arch)},     {"Status: ", p->state, sizeof(p->state)},
        {"Priority: ", p->priority, sizeof(p->priority)}, {"Section: ", p->section, sizeof(p->section)},
        {"Origin: ", p->origin, sizeof(p->origin)},
    };

    if (line[0] == ' ') {
        if (*in_description)
            add_description(p, streq(line, " .") ? "" : line + 1);
        return;
    }
    *in_description = str_starts(line, "Description: ");
    if (*in_description)
        add_description(p, line + strlen("Description: "));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (str_starts(line, fields[i].name))
            snprintf(fields[i].dst, fields[i].cap, "%s", line + strlen(fields[i].name));
}

/* The rest of a line that is longer than any that matters is passed over. */
static bool next_line(FILE *f, char line[LINE_BYTES])
{
    if (!fgets(line, LINE_BYTES, f))
        return false;
    if (!strchr(line, '\n'))
        for (int ch = getc(f); ch != '\n' && ch != EOF;)
            ch = getc(f);
    line[strcspn(line, "\n")] = 0;
    return true;
}

static int read_status(void *ctx, struct err *e)
{
    struct query *q = ctx;
    struct package p = {0};
    char line[LINE_BYTES];
    bool in_description = false;
    autofclose FILE *f = fopen(STATUS, "re");

    if (!f)
        return err_set(e, -errno, "host.packages", "this host has no packages of dpkg: %s: %s", STATUS,
                       strerror(errno));
    uname(&q->kernel);
    jw_init(&q->w, &q->json);
    jw_array(&q->w);
    buf_init(&p.description, TEXT_MAX);
    while (next_line(f, line)) {
        if (line[0])
            take_line(&p, line, &in_description);
        else
            end_package(q, &p);
    }
    end_package(q, &p);
    jw_array_end(&q->w);
    buf_done(&p.description);
    return q->json.is_failed ? err_set(e, -EFBIG, "host.output", "too many packages") : 0;
}

static int finish(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct query *q = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(&q->json), q->json.len);
    buf_done(&q->json);
    return r;
}

int api_node_apt_versions(struct api_call *c, const struct api_node_apt_versions_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct query *q = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*q));

    if (r < 0)
        return r;
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    buf_init(&q->json, REPLY_BYTES);
    return api_offload(c, read_status, finish, q);
}
