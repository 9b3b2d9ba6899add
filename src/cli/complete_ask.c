/* Candidates that only the daemon knows: which call lists what a parameter takes. Silence is the answer to every
 * failure: whoever presses the tab key did not ask for an error. */
#include "base/clock.h"
#include "cli/client_priv.h"
#include "cli/complete_priv.h"

static const struct source {
    const char *key; /* API parameter */
    const char *path, *fixed;
    const char *field, *description; /* of a row */
    bool is_name_too;                /* the description is a candidate as well */
} sources[] = {
    {"vmid", "/cluster/resources", "type=vm", "vmid", "name", true},
    {"vms", "/cluster/resources", "type=vm", "vmid", "name", false},
    {"node", "/nodes", NULL, "node", "status", false},
    {"storage", "/storage", NULL, "storage", "type", false},
    {"pool", "/pools", NULL, "poolid", "comment", false},
    {"poolid", "/pools", NULL, "poolid", "comment", false},
    {"userid", "/access/users", NULL, "userid", "comment", false},
    {"users", "/access/users", NULL, "userid", "comment", false},
    {"user", "/access/users", NULL, "userid", "comment", false},
    {"userfilter", "/access/users", NULL, "userid", "comment", false},
    {"groupid", "/access/groups", NULL, "groupid", "comment", false},
    {"groups", "/access/groups", NULL, "groupid", "comment", false},
    {"roleid", "/access/roles", NULL, "roleid", NULL, false},
    {"roles", "/access/roles", NULL, "roleid", NULL, false},
    {"role", "/access/roles", NULL, "roleid", NULL, false},
    {"realm", "/access/domains", NULL, "realm", "comment", false},
    {"tokenid", "/access/users/{owner}/token", NULL, "tokenid", "comment", false},
    {"id", "/access/tfa/{owner}", NULL, "id", "description", false},
    {"upid", "/nodes/{node}/tasks", "source=all", "upid", "status", false},
};

static const char *placeholder(void *arg, const char *key)
{
    const struct complete *k = arg;

    return streq(key, "node") ? cli_node(k->c) : k->owner;
}

/* A string or a number as text; "" for anything else. */
static const char *text_of(json_t *row, const char *field, char *dst, size_t cap)
{
    json_t *v = field ? json_object_get(row, field) : NULL;

    if (json_is_integer(v))
        snprintf(dst, cap, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        snprintf(dst, cap, "%s", json_string_value(v) ? json_string_value(v) : "");
    return dst;
}

static void offer_rows(const struct complete *k, const struct source *s, json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char name[256], description[256];
        json_t *row = json_array_get(rows, i);
        text_of(row, s->field, name, sizeof(name));
        text_of(row, s->description, description, sizeof(description));
        complete_offer(k, name, description);
        if (s->is_name_too)
            complete_offer(k, description, name);
    }
}

static void ask(const struct complete *k, const struct source *s)
{
    autoreply struct reply reply = REPLY_INIT;
    struct err ignored = ERR_INIT;
    char fixed[32] = "", *value = NULL;
    struct buf path;

    if (s->fixed) {
        snprintf(fixed, sizeof(fixed), "%s", s->fixed);
        value = strchr(fixed, '=');
        *value++ = 0;
    }
    struct cli_param param = {.key = fixed, .value = value};
    k->c->deadline_ms = clock_boot_ms() + COMPLETE_ASK_MS;
    if (cli_connect(k->c, &ignored) < 0)
        return;
    buf_init(&path, 1024);
    int r = call_path(s->path, placeholder, (void *)k, &path, &ignored);
    struct request q = {.method = "GET", .path = buf_str(&path), .params = &param, .n_params = s->fixed ? 1 : 0};
    if (r == 0 && client_call(k->c->client, &q, &reply, &ignored) == 0)
        offer_rows(k, s, reply.data);
    buf_done(&path);
}

void complete_ask(const struct complete *k, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        if (streq(sources[i].key, key)) {
            ask(k, &sources[i]);
            return;
        }
}
