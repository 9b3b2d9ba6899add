/* GET /nodes/N/services: the host's services that matter for running guests, as systemd sees them; an empty list where
 * there is no systemd. PVE: pve-manager, API2/Services.pm. systemctl is asked in a pool thread. */
#include "api/common.h"
#include "base/capture.h"

#define SYSTEMCTL  "/usr/bin/systemctl"
#define OUTPUT_MAX (256u * 1024u)
#define TIMEOUT_MS 10000u

struct services {
    struct buf text;
};

static bool take(void *arg, const char *data, size_t n)
{
    struct services *s = arg;

    buf_append(&s->text, data, n);
    return !s->text.is_failed;
}

static int ask(void *ctx, struct err *e)
{
    static const char *const argv[] = {SYSTEMCTL,
                                       "show",
                                       "--no-pager",
                                       "--property=Id,Description,LoadState,ActiveState,SubState,UnitFileState",
                                       "chrony.service",
                                       "cron.service",
                                       "holm.service",
                                       "ksmtuned.service",
                                       "nftables.service",
                                       "rsyslog.service",
                                       "ssh.service",
                                       "systemd-journald.service",
                                       "systemd-networkd.service",
                                       "systemd-timesyncd.service",
                                       NULL};
    struct services *s = ctx;
    struct capture run = {
        .path = SYSTEMCTL, .argv = argv, .timeout_ms = TIMEOUT_MS, .max_bytes = OUTPUT_MAX, .take = take, .arg = s};

    buf_init(&s->text, OUTPUT_MAX);
    if (access("/run/systemd/system", F_OK) < 0 || access(SYSTEMCTL, X_OK) < 0)
        return 0;
    return capture_run(&run, e);
}

/* "Key=value" of a block of lines, up to n bytes; false if it is not there. */
static bool find(const char *block, const char *end, const char *key, char *dst, size_t cap)
{
    size_t k = strlen(key);

    for (const char *line = block; line < end;) {
        size_t n = strcspn(line, "\n");
        if (n > k && strncmp(line, key, k) == 0 && line[k] == '=') {
            snprintf(dst, cap, "%.*s", (int)(n - k - 1), line + k + 1);
            return true;
        }
        line += n + (line[n] != 0);
    }
    dst[0] = 0;
    return false;
}

static void write_service(struct jw *w, const char *block, const char *end)
{
    char id[128], text[256];

    if (!find(block, end, "Id", id, sizeof(id)) || !find(block, end, "LoadState", text, sizeof(text)) ||
        !streq(text, "loaded"))
        return;
    char *dot = strrchr(id, '.');
    if (dot)
        *dot = 0;
    jw_object(w);
    jw_kv_str(w, "service", id);
    jw_kv_str(w, "name", id);
    find(block, end, "Description", text, sizeof(text));
    jw_kv_str(w, "desc", text);
    jw_kv_str(w, "state", find(block, end, "SubState", text, sizeof(text)) && text[0] ? text : "unknown");
    jw_kv_str(w, "active-state", find(block, end, "ActiveState", text, sizeof(text)) && text[0] ? text : "unknown");
    jw_kv_str(w, "unit-state", find(block, end, "UnitFileState", text, sizeof(text)) && text[0] ? text : "unknown");
    jw_object_end(w);
}

/* Blocks are parted by an empty line. */
static int finish(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct services *s = ctx;

    if (r == 0) {
        jw_array(&c->out);
        for (const char *p = buf_str(&s->text); *p;) {
            const char *end = strstr(p, "\n\n");
            end = end ? end + 1 : p + strlen(p);
            write_service(&c->out, p, end);
            p = end + strspn(end, "\n");
        }
        jw_array_end(&c->out);
    }
    buf_done(&s->text);
    return r;
}

int api_node_services(struct api_call *c, const struct api_node_services_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct services *s = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*s));

    if (r < 0)
        return r;
    return s ? api_offload(c, ask, finish, s) : err_set(e, -ENOMEM, NULL, "out of memory");
}
