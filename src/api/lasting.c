/* See lasting.h. A round looks at every call, ROUND_SLICE of them in one turn of the loop; a change of access in the
 * middle of a round begins a new one. */
#include "api/lasting.h"

#include <event2/event.h>

#include "api/route.h"
#include "base/log.h"
#include "guest/guest.h"

#define ROUND_SLICE      128u
#define ROUND_PERIOD_S   1
#define ROUND_ARENA_SIZE 65536u

struct lasting {
    struct api *api;
    struct list_node calls; /* looked at longest ago first */
    uint32_t round;
    struct event *tick, *turn;
    struct state_watch *watches[2];
};

/* A permission is expanded into memory of the call; here it is asked again and again. */
static int check_permission(struct api_call *c, struct err *e)
{
    struct arena kept = c->arena;

    arena_init(&c->arena, ROUND_ARENA_SIZE);
    int r = api_perm_check(c, c->route, e);
    arena_done(&c->arena);
    c->arena = kept;
    return r;
}

static bool has_guest(struct api_call *c)
{
    const char *vmid = api_path_param(c, "vmid");
    uint64_t n;

    return !vmid || (str_to_u64(vmid, &n) == 0 && n <= UINT32_MAX && guest_find(c->api->guests, (uint32_t)n));
}

static const char *why_not(struct api_call *c)
{
    struct err e = ERR_INIT;

    if (!auth_subject_is_active(c->api->auth, &c->who))
        return "login is no longer valid";
    if (check_permission(c, &e) < 0)
        return "permission was taken away";
    return has_guest(c) ? NULL : "the guest is gone";
}

static void look_at(struct api_call *c)
{
    const char *why = why_not(c);
    char who[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];

    if (!why)
        return;
    auth_subject_format(&c->who, who, sizeof(who));
    log_note("%s of '%s' ended: %s", c->path, who, why);
    lasting_remove(c);
    c->is_revoked = true;
    c->ops->revoke(c);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval soon = {0};
    struct lasting *l = arg;

    for (unsigned i = 0; i < ROUND_SLICE; i++) {
        if (list_is_empty(&l->calls))
            return;
        struct api_call *c = container_of(l->calls.next, struct api_call, lasting_node);
        if (c->lasting_round == l->round)
            return;
        c->lasting_round = l->round;
        list_remove(&c->lasting_node);
        list_add_tail(&l->calls, &c->lasting_node);
        look_at(c);
    }
    event_add(l->turn, &soon); /* made active it would go on in this turn */
}

static void begin_round(struct lasting *l)
{
    l->round++;
    event_active(l->turn, EV_TIMEOUT, 0);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    begin_round(arg);
}

/* The model hears of the change at the same time: the look comes with the next turn, when it knows. */
static void on_change(void *arg, const char *key, const char *value, uint64_t revision)
{
    begin_round(arg);
}

int lasting_new(struct api *api, struct lasting **ret, struct err *e)
{
    static const char *const prefixes[] = {"shared/auth/", "shared/secret/password/"};
    static const struct timeval period = {.tv_sec = ROUND_PERIOD_S};
    struct lasting *l = calloc(1, sizeof(*l));
    int r = 0;

    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    l->api = api;
    list_init(&l->calls);
    l->turn = event_new(api->base, -1, 0, on_turn, l);
    l->tick = event_new(api->base, -1, EV_PERSIST, on_tick, l);
    if (!l->turn || !l->tick || event_add(l->tick, &period) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(prefixes); i++)
        r = state_watch(api->state, prefixes[i], on_change, l, &l->watches[i], e);
    if (r < 0) {
        lasting_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void lasting_free(struct lasting *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(l->watches); i++)
        state_unwatch(l->watches[i]);
    if (l->turn)
        event_free(l->turn);
    if (l->tick)
        event_free(l->tick);
    free(l);
}

void lasting_add(struct api_call *c)
{
    if (!c->route || c->lasting_node.next)
        return;
    c->lasting_round = c->api->lasting->round;
    list_add_tail(&c->api->lasting->calls, &c->lasting_node);
}

void lasting_remove(struct api_call *c)
{
    if (c->lasting_node.next)
        list_remove(&c->lasting_node);
    c->lasting_node.next = NULL;
}
