/* See access_limit.h: one call's attempt. */
#include "api/access_limit.h"

#include "auth/limit.h"
#include "base/clock.h"
#include "base/log.h"

#define DELAY_MS        3000u
#define DELAY_FORGED_MS 10000u
#define LOG_PERIOD_MS   10000u

static const char *address_of(const struct api_call *c)
{
    return c->is_local ? NULL : c->peer ? c->peer : "unknown";
}

/* A line now and then: whoever is refused by the thousand must not fill the log. */
static void log_refusal(const struct api_call *c, const char *user)
{
    static uint64_t next_ms;
    static unsigned n_silent;
    uint64_t now = clock_boot_ms();

    if (now < next_ms) {
        n_silent++;
        return;
    }
    log_note("too many failed attempts; rhost=%s user=%.80s refused unseen, and %u others before", address_of(c), user,
             n_silent);
    next_ms = now + LOG_PERIOD_MS;
    n_silent = 0;
}

int access_limit_check(struct api_call *c, const char *user, struct err *e)
{
    int r = auth_limit_check(c->api->limit, address_of(c), user, &c->retry_after_s, e);

    if (r < 0)
        log_refusal(c, user);
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
