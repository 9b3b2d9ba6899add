/* Feeds the table of the event stream. What is told of a change (guests' states and configurations, tasks, storages,
 * access) is looked at when the loop turns; all else, and what is not told of, in a cycle of two seconds, a tenth of
 * the guests at a time. See events_priv.h. */
#include "api/events_priv.h"

#include "api/common.h"
#include "base/clock.h"

#define TICK_MS     200
#define CYCLE_TICKS 10u

static const char *row_end(struct events *ev)
{
    return ev->scratch.is_failed ? NULL : buf_str(&ev->scratch);
}

static void row_begin(struct events *ev, struct jw *w)
{
    buf_reset(&ev->scratch);
    jw_init(w, &ev->scratch);
}

static void look_at_guest(struct events *ev, uint32_t vmid)
{
    struct guest *g = guest_find(ev->api->guests, vmid);
    char id[24];
    struct jw w;

    snprintf(id, sizeof(id), "qemu/%u", vmid);
    if (!g || g->is_dropped) {
        struct event_object *o = events_find(ev, id);
        if (o)
            events_remove(ev, o);
        return;
    }
    row_begin(ev, &w);
    guest_summary_write(&w, ev->api->guests, g, auth_pool_of_guest(ev->api->auth, vmid));
    const char *row = row_end(ev);
    if (row)
        events_put(ev, EVENT_GUEST, id, row, vmid);
}

static void look_at_node(struct events *ev)
{
    char id[80];
    struct jw w;

    snprintf(id, sizeof(id), "node/%s", ev->api->node);
    row_begin(ev, &w);
    api_node_row(&w, ev->api, true);
    const char *row = row_end(ev);
    if (row)
        events_put(ev, EVENT_NODE, id, row, 0);
}

static void look_at_storages(struct events *ev)
{
    char id[AUTH_PATH_MAX];
    struct jw w;

    for (size_t i = 0; i < ev->n_sorted; i++)
        if (ev->sorted[i]->kind == EVENT_STORAGE)
            ev->sorted[i]->seen = 0;
    for (size_t i = 0; i < storage_mgr_count(ev->api->storages); i++) {
        const struct storage_entry *s = storage_mgr_at(ev->api->storages, i);
        if (!storage_is_enabled(s->storage))
            continue;
        snprintf(id, sizeof(id), "storage/%s/%s", ev->api->node, storage_name(s->storage));
        row_begin(ev, &w);
        api_storage_row(&w, ev->api, s);
        const char *row = row_end(ev);
        if (row)
            events_put(ev, EVENT_STORAGE, id, row, 0);
    }
    for (size_t i = ev->n_sorted; i-- > 0;)
        if (ev->sorted[i]->kind == EVENT_STORAGE && !ev->sorted[i]->seen)
            events_remove(ev, ev->sorted[i]);
}

/* ---- tasks ---- */

static struct event_object *oldest_task(struct events *ev)
{
    struct event_object *oldest = NULL;

    for (size_t i = 0; i < ev->n_sorted; i++) {
        struct event_object *o = ev->sorted[i];
        if (o->kind == EVENT_TASK && !o->is_running && (!oldest || o->order < oldest->order))
            oldest = o;
    }
    return oldest;
}

static struct event_object *put_task(struct events *ev, const struct task_view *v)
{
    struct jw w;

    row_begin(ev, &w);
    api_task_row(&w, v);
    const char *row = row_end(ev);
    struct event_object *o = row ? events_put(ev, EVENT_TASK, v->text, row, 0) : NULL;
    if (o)
        o->is_running = v->is_running;
    return o;
}

static bool take_task(void *arg, const struct task_view *v)
{
    struct events *ev = arg;
    struct event_object *o = put_task(ev, v);

    if (o)
        o->order = --ev->oldest; /* newest first */
    return ev->n_tasks < EVENTS_TASKS_MAX;
}

static void want_turn(struct events *ev)
{
    event_active(ev->turn, EV_TIMEOUT, 0);
}

static void on_guest(void *arg, uint32_t vmid)
{
    struct events *ev = arg;

    if (ev->n_dirty && ev->dirty[ev->n_dirty - 1] == vmid)
        return;
    if (ev->n_dirty < EVENTS_DIRTY_MAX)
        ev->dirty[ev->n_dirty++] = vmid;
    else
        ev->is_all_dirty = true;
    want_turn(ev);
}

static void on_task(void *arg, const struct task_view *v)
{
    struct events *ev = arg;
    struct event_object *o = put_task(ev, v);
    uint64_t vmid;

    if (o && !o->order)
        o->order = ++ev->newest;
    while (ev->n_tasks > EVENTS_TASKS_MAX && (o = oldest_task(ev)))
        events_remove(ev, o);
    if (str_to_u64(v->upid.id, &vmid) == 0 && vmid <= UINT32_MAX)
        on_guest(ev, (uint32_t)vmid); /* its lock */
    want_turn(ev);
}

/* ---- the rest ---- */

static void look_at_guests(struct events *ev, size_t from, size_t to)
{
    for (size_t i = from; i < to && i < guest_count(ev->api->guests); i++)
        look_at_guest(ev, guest_at(ev->api->guests, i)->vmid);
}

static void drop_lost_guests(struct events *ev)
{
    for (size_t i = ev->n_sorted; i-- > 0;) {
        struct event_object *o = ev->sorted[i];
        const struct guest *g = o->kind == EVENT_GUEST ? guest_find(ev->api->guests, o->vmid) : NULL;
        if (o->kind == EVENT_GUEST && (!g || g->is_dropped))
            events_remove(ev, o);
    }
}

void events_source_all(struct events *ev)
{
    look_at_guests(ev, 0, guest_count(ev->api->guests));
    drop_lost_guests(ev);
    look_at_node(ev);
    look_at_storages(ev);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct events *ev = arg;
    size_t n = ev->n_dirty;

    ev->n_dirty = 0;
    if (ev->is_all_dirty)
        events_source_all(ev);
    for (size_t i = 0; !ev->is_all_dirty && i < n; i++)
        look_at_guest(ev, ev->dirty[i]);
    ev->is_all_dirty = false;
    if (ev->is_storage_dirty)
        look_at_storages(ev);
    ev->is_storage_dirty = false;
    if (ev->is_access_dirty)
        events_access_changed(ev);
    ev->is_access_dirty = false;
    events_flush(ev);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct events *ev = arg;
    size_t slice = guest_count(ev->api->guests) / CYCLE_TICKS + 1;

    if (!ev->n_clients)
        return;
    look_at_guests(ev, ev->scan_at, ev->scan_at + slice);
    ev->scan_at += slice;
    if (++ev->scan_tick == CYCLE_TICKS) {
        look_at_guests(ev, ev->scan_at, guest_count(ev->api->guests));
        drop_lost_guests(ev);
        look_at_node(ev);
        look_at_storages(ev);
        ev->scan_tick = 0;
        ev->scan_at = 0;
        ev->cycle++;
        events_end_old(ev);
    }
    events_flush(ev);
}

static void on_access(void *arg, const char *key, const char *value, uint64_t revision)
{
    static const char member[] = "shared/auth/member/guest/";
    struct events *ev = arg;
    uint64_t vmid;

    if (str_starts(key, member) && str_to_u64(key + strlen(member), &vmid) == 0 && vmid <= UINT32_MAX)
        on_guest(ev, (uint32_t)vmid); /* its row names the pool */
    else if (str_starts(key, "shared/auth/pool/"))
        ev->is_all_dirty = true;
    ev->is_access_dirty = true;
    want_turn(ev);
}

static void on_storage(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct events *ev = arg;

    ev->is_storage_dirty = true;
    want_turn(ev);
}

int events_source_start(struct events *ev, struct err *e)
{
    static const struct timeval period = {.tv_usec = TICK_MS * 1000};
    int r = 0;

    ev->cycle = 1;
    ev->tick = event_new(ev->api->base, -1, EV_PERSIST, on_tick, ev);
    ev->turn = event_new(ev->api->base, -1, 0, on_turn, ev);
    if (!ev->tick || !ev->turn || event_add(ev->tick, &period) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = state_watch(ev->api->state, "shared/auth/", on_access, ev, &ev->watches[0], e);
    if (r == 0)
        r = state_watch(ev->api->state, "shared/storage/", on_storage, ev, &ev->watches[1], e);
    if (r < 0)
        return r;
    guest_mgr_set_observer(ev->api->guests, on_guest, ev);
    task_mgr_set_listener(ev->api->tasks, on_task, ev);
    events_source_all(ev);
    task_each(ev->api->tasks, take_task, ev);
    return 0;
}

void events_source_stop(struct events *ev)
{
    guest_mgr_set_observer(ev->api->guests, NULL, NULL);
    task_mgr_set_listener(ev->api->tasks, NULL, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(ev->watches); i++) {
        if (ev->watches[i])
            state_unwatch(ev->watches[i]);
        ev->watches[i] = NULL;
    }
    if (ev->tick)
        event_free(ev->tick);
    if (ev->turn)
        event_free(ev->turn);
    ev->tick = ev->turn = NULL;
    ev->n_dirty = 0;
    ev->is_all_dirty = ev->is_storage_dirty = ev->is_access_dirty = false;
}
