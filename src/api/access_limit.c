/* See access_limit.h: one call's attempt. */
#include "api/access_limit.h"

#include "auth/limit.h"

#define DELAY_MS        3000u
#define DELAY_FORGED_MS 10000u

static const char *address_of(const struct api_call *c)
{
    return c->is_local ? NULL : c->peer ? c->peer : "unknown";
}

int access_limit_check(struct api_call *c, const char *user, struct err *e)
{
    int r = auth_limit_check(c->api->limit, address_of(c), user, &c->retry_after_s, e);

    c->is_counted = r == 0;
    c->is_known_peer = auth_limit_is_known(c->api->limit, address_of(c), user);
    return r;
}

void access_limit_succeeded(struct api_call *c, const char *user)
{
    if (c->is_counted)
        auth_limit_succeeded(c->api->limit, address_of(c), user);
    c->is_counted = false;
}

void access_limit_undo(struct api_call *c, const char *user)
{
    if (c->is_counted)
        auth_limit_undo(c->api->limit, address_of(c), user);
    c->is_counted = false;
}

uint32_t access_limit_delay_ms(struct api_call *c)
{
    if (c->is_counted || auth_limit_forged(c->api->limit, address_of(c)))
        return DELAY_MS;
    return DELAY_FORGED_MS;
}
