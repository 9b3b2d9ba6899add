/* Waits of console calls for a guest that is being started: see console_vnc.h. Loop thread. */
#include <event2/event.h>

#include "api/console_vnc.h"
#include "base/clock.h"

#define WAIT_MS 10000u
#define STEP_MS 50

struct wait {
    struct list_node node; /* in api->console_waits */
    struct event *timer;
    struct api_call *c;
    uint32_t vmid;
    uint64_t end_ms;
    api_console_fn answer;
    const void *args;
};

static bool later(struct wait *w)
{
    static const struct timeval step = {.tv_usec = STEP_MS * 1000};

    return event_add(w->timer, &step) == 0;
}

/* w lies in the call's memory. */
static void leave(struct wait *w)
{
    list_remove(&w->node);
    event_free(w->timer);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    struct wait *w = arg;
    const struct guest *g = guest_find(w->c->api->guests, w->vmid);
    struct err e = ERR_INIT;

    if (g && g->state == GUEST_STARTING && !w->c->is_gone && clock_boot_ms() < w->end_ms && later(w))
        return;
    leave(w);
    int r = w->answer(w->c, w->args, &e);
    if (r <= 0)
        api_finish(w->c, r, &e);
}

static bool begin(struct api_call *c, const struct guest *g, api_console_fn answer, const void *args)
{
    struct wait *w = g->state == GUEST_STARTING ? arena_alloc(&c->arena, sizeof(*w)) : NULL;

    if (!w)
        return false;
    *w = (struct wait){.c = c, .vmid = g->vmid, .end_ms = clock_boot_ms() + WAIT_MS, .answer = answer, .args = args};
    w->timer = evtimer_new(c->api->base, on_time, w);
    if (!w->timer)
        return false;
    list_add_tail(&c->api->console_waits, &w->node);
    if (later(w))
        return true;
    leave(w);
    return false;
}

int api_console_wait(struct api_call *c, const struct guest *g, api_console_fn answer, const void *args, struct err *e)
{
    return begin(c, g, answer, args) ? API_LATER : answer(c, args, e);
}

void api_console_waits_end(struct api *api)
{
    while (!list_is_empty(&api->console_waits)) {
        struct wait *w = container_of(api->console_waits.next, struct wait, node);
        struct err e = ERR_INIT;
        leave(w);
        api_finish(w->c, err_set(&e, -ECANCELED, "daemon.stopping", "holmd is being stopped"), &e);
    }
}
