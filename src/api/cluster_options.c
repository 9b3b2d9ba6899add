/* GET and PUT /cluster/options, and the look-up of free guest numbers. PVE: pve-manager, API2/Cluster.pm;
 * pve-cluster, DataCenterConfig.pm. Only what is acted on (next-id, max_workers) or says something to clients alone can
 * be set; every other key is refused. Loop thread. */
#include "api/common.h"
#include "api/settings.h"
#include "base/propstr.h"

#define NEXT_ID_LOWER 100u
#define NEXT_ID_UPPER 1000000u

static const char *const accepted[] = {"console",     "description", "keyboard",        "language",  "location",
                                       "max_workers", "next-id",     "registered-tags", "tag-style", NULL};
/* Shown to everybody who is logged in: clients draw with them. */
static const char *const open_keys[] = {"console", "registered-tags", "tag-style", NULL};

static bool is_among(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (streq(*names, name))
            return true;
    return false;
}

static void write_tags(struct jw *w, const char *value)
{
    jw_array(w);
    for (const char *p = value; *p;) {
        size_t n = strcspn(p, ";");
        if (n)
            jw_strn(w, p, n);
        p += n + (p[n] != 0);
    }
    jw_array_end(w);
}

/* A property string as an object, whose numbers are numbers. */
static void write_props(struct jw *w, const char *value)
{
    struct err e = ERR_INIT;
    struct propstr p;
    uint64_t number;

    jw_object(w);
    for (size_t i = 0; propstr_parse(value, NULL, &p, &e) == 0 && i < p.n; i++)
        if (str_to_u64(p.items[i].value, &number) == 0 && !streq(p.items[i].key, "color-map"))
            jw_kv_u64(w, p.items[i].key, number);
        else
            jw_kv_str(w, p.items[i].key, p.items[i].value);
    jw_object_end(w);
}

struct show {
    struct api_call *call;
    bool is_all;
};

static void show_one(void *arg, const char *key, const char *value)
{
    const struct show *s = arg;
    struct jw *w = &s->call->out;
    uint64_t number;

    if (!s->is_all && !is_among(open_keys, key))
        return;
    jw_key(w, key);
    if (streq(key, "registered-tags"))
        write_tags(w, value);
    else if (streq(key, "tag-style") || streq(key, "next-id"))
        write_props(w, value);
    else if (streq(key, "max_workers") && str_to_u64(value, &number) == 0)
        jw_u64(w, number);
    else
        jw_str(w, value);
}

int api_cluster_options_get(struct api_call *c, const struct api_cluster_options_get_args *a, struct err *e)
{
    struct show s = {.call = c, .is_all = auth_has(c->api->auth, &c->who, "/", PRIV_M(SYS_AUDIT), true)};

    jw_object(&c->out);
    settings_each(c->api->settings, SETTINGS_CLUSTER, show_one, &s);
    jw_object_end(&c->out);
    return 0;
}

/* The range of next-id, by default that of PVE; upper is not in it there either. */
static int read_range(const char *value, uint64_t *ret_lower, uint64_t *ret_upper, struct err *e)
{
    struct propstr p;

    *ret_lower = NEXT_ID_LOWER;
    *ret_upper = NEXT_ID_UPPER;
    if (!value)
        return 0;
    int r = propstr_parse(value, NULL, &p, e);
    if (r == 0)
        r = propstr_get_u64(&p, "lower", NEXT_ID_LOWER, ret_lower, e);
    return r < 0 ? r : propstr_get_u64(&p, "upper", NEXT_ID_UPPER, ret_upper, e);
}

int api_cluster_options_set(struct api_call *c, const struct api_cluster_options_set_args *a, struct err *e)
{
    uint64_t lower, upper;

    if (a->next_id && (read_range(a->next_id, &lower, &upper, e) < 0 || lower >= upper || lower < NEXT_ID_LOWER ||
                       upper > 1000000000))
        return api_param_error(c, e, "next-id", "lower must be at least 100 and less than upper");
    return settings_put(c, SETTINGS_CLUSTER, accepted, a->delete, NULL, e);
}

int api_cluster_nextid(struct api_call *c, const struct api_cluster_nextid_args *a, struct err *e)
{
    struct err ignored = ERR_INIT;
    uint64_t lower, upper;
    char text[16];

    if (read_range(settings_get(c->api->settings, SETTINGS_CLUSTER, "next-id"), &lower, &upper, &ignored) < 0)
        lower = NEXT_ID_LOWER, upper = NEXT_ID_UPPER;
    uint32_t from = a->has_vmid ? (uint32_t)a->vmid : (uint32_t)lower, id = guest_next_id(c->api->guests, from);
    if (a->has_vmid && id != from)
        return api_param_error(c, e, "vmid", "VM %u already exists", from);
    if (!a->has_vmid && (!id || id >= upper))
        return err_set(e, -ENOSPC, "guest.ids", "unable to get any free VMID in range [%u, %u]", (uint32_t)lower,
                       (uint32_t)upper);
    snprintf(text, sizeof(text), "%u", id);
    jw_str(&c->out, text); /* a JSON string (R10) */
    return 0;
}
