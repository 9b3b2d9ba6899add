/* GET and PUT /nodes/N/config, and the node's routes that say that there is nothing: subscription. PVE:
 * pve-manager, API2/NodeConfig.pm. Loop thread. */
#include "api/common.h"
#include "api/settings.h"

/* Acted on: startall-onboot-delay (guest/bulk.c); the others are for people. */
static const char *const accepted[] = {"description", "location", "startall-onboot-delay", NULL};

struct show {
    struct api_call *call;
    const char *only; /* NULL: all */
};

static void show_one(void *arg, const char *key, const char *value)
{
    const struct show *s = arg;
    uint64_t number;

    if (s->only && !streq(s->only, key))
        return;
    if (streq(key, "startall-onboot-delay") && str_to_u64(value, &number) == 0)
        jw_kv_u64(&s->call->out, key, number);
    else
        jw_kv_str(&s->call->out, key, value);
}

int api_node_config_get(struct api_call *c, const struct api_node_config_get_args *a, struct err *e)
{
    struct show s = {.call = c, .only = a->property && !streq(a->property, "all") ? a->property : NULL};
    char digest[SETTINGS_DIGEST_SIZE];
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    settings_digest(c->api->settings, SETTINGS_NODE, digest);
    jw_object(&c->out);
    settings_each(c->api->settings, SETTINGS_NODE, show_one, &s);
    jw_kv_str(&c->out, "digest", digest);
    jw_object_end(&c->out);
    return 0;
}

int api_node_config_set(struct api_call *c, const struct api_node_config_set_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : settings_put(c, SETTINGS_NODE, accepted, a->delete, a->digest, e);
}

int api_node_subscription(struct api_call *c, const struct api_node_subscription_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    jw_kv_str(&c->out, "status", "notfound");
    jw_kv_str(&c->out, "message", "Holm is free software: there are no subscriptions");
    jw_object_end(&c->out);
    return 0;
}
