/* GET /nodes/N/services and services/S/state: the host's services that matter for running guests, as systemd sees them;
 * an empty list where there is no systemd. PVE: pve-manager, API2/Services.pm. systemctl is asked in a pool thread. */
#include "api/common.h"
#include "api/services.h"

#define TIMEOUT_MS 10000u
#define TEXT_MAX   (256u * 1024u)
#define UNITS_MAX  40u
#define PROPERTIES "--property=Id,Description,LoadState,ActiveState,SubState,UnitFileState"

struct query {
    const struct service *only; /* NULL: all that the host has */
    struct buf text;
};

static int ask(void *ctx, struct err *e)
{
    struct query *q = ctx;
    const char *args[UNITS_MAX + 4] = {"show", "--no-pager", PROPERTIES};
    struct err absent = ERR_INIT;
    size_t n = 3;
    int status;

    if (!q->only && systemctl_check(&absent) < 0)
        return 0;
    if (q->only)
        args[n++] = q->only->unit;
    for (const struct service *s = services; !q->only && s->id && n < ARRAY_SIZE(args) - 1; s++)
        args[n++] = s->unit;
    return systemctl_run(args, TIMEOUT_MS, &q->text, &status, e);
}

/* By the unit's own name: one that was asked for by another may be the same. */
static const char *id_of(const char *unit, char *name)
{
    for (const struct service *s = services; s->id; s++)
        if (streq(s->unit, unit))
            return s->id;
    return name;
}

/* A property, or what is said for one that systemd leaves empty. */
static void write_state(struct jw *w, const char *key, const char *block, const char *end, const char *property,
                        const char *otherwise)
{
    char text[256];

    systemctl_property(block, end, property, text, sizeof(text));
    jw_kv_str(w, key, text[0] ? text : otherwise);
}

static bool is_loaded(const char *block, const char *end)
{
    char text[32];

    return systemctl_property(block, end, "LoadState", text, sizeof(text)) && streq(text, "loaded");
}

static void write_service(struct jw *w, const struct service *only, const char *block, const char *end)
{
    char unit[128], name[128];

    systemctl_property(block, end, "Id", unit, sizeof(unit));
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(unit, "."), unit);
    jw_object(w);
    jw_kv_str(w, "service", only ? only->id : id_of(unit, name));
    jw_kv_str(w, "name", name);
    write_state(w, "desc", block, end, "Description", "");
    write_state(w, "state", block, end, "SubState", "unknown");
    write_state(w, "active-state", block, end, "ActiveState", "unknown");
    write_state(w, "unit-state", block, end, "UnitFileState", is_loaded(block, end) ? "unknown" : "not-found");
    jw_object_end(w);
}

/* Blocks are parted by an empty line. */
static void write_all(struct jw *w, const char *text)
{
    char unit[128];

    jw_array(w);
    for (const char *p = text; *p;) {
        const char *end = strstr(p, "\n\n");
        end = end ? end + 1 : p + strlen(p);
        if (is_loaded(p, end) && systemctl_property(p, end, "Id", unit, sizeof(unit)))
            write_service(w, NULL, p, end);
        p = end + strspn(end, "\n");
    }
    jw_array_end(w);
}

static int finish(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct query *q = ctx;
    const char *text = buf_str(&q->text);
    char unit[128];

    if (r == 0 && !q->only)
        write_all(&c->out, text);
    else if (r == 0 && systemctl_property(text, text + strlen(text), "Id", unit, sizeof(unit)))
        write_service(&c->out, q->only, text, text + strlen(text));
    else if (r == 0)
        r = err_set(e, -EIO, "services.failed", "%s: %.*s", q->only->unit, (int)strcspn(text, "\n"), text);
    buf_done(&q->text);
    return r;
}

static int begin(struct api_call *c, const char *node, const struct service *only, struct err *e)
{
    int r = api_check_node(c, node, e);
    struct query *q = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*q));

    if (r < 0)
        return r;
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    q->only = only;
    buf_init(&q->text, TEXT_MAX);
    return api_offload(c, ask, finish, q);
}

int api_node_services(struct api_call *c, const struct api_node_services_args *a, struct err *e)
{
    return begin(c, a->node, NULL, e);
}

int api_node_service_state(struct api_call *c, const struct api_node_service_state_args *a, struct err *e)
{
    const struct service *s = service_find(a->service);

    return s ? begin(c, a->node, s, e) : api_param_error(c, e, "service", "there is no service '%.64s'", a->service);
}
