/* The table of the event stream: every object that somebody might be told of, with its row as text, exactly as the ring
 * has told it so far. See events_priv.h. */
#include "api/events_priv.h"

int events_table_init(struct events *ev, struct err *e)
{
    ev->access_seq = 0;
    ev->newest = ev->oldest = 0;
    ev->n_tasks = 0;
    return event_ring_init(&ev->ring, EVENTS_RING_BYTES, e);
}

static void object_free(struct event_object *o)
{
    free(o->id);
    free(o->row);
    free(o);
}

void events_table_done(struct events *ev)
{
    for (size_t i = 0; i < ev->n_sorted; i++)
        object_free(ev->sorted[i]);
    free(ev->objects);
    free(ev->sorted);
    free(ev->gone);
    ev->objects = ev->sorted = NULL;
    ev->gone = NULL;
    ev->n_numbers = ev->cap_numbers = 0;
    ev->n_sorted = ev->cap_sorted = ev->n_gone = ev->cap_gone = 0;
    event_ring_done(&ev->ring);
}

/* Where it is, or would be. */
static size_t position(const struct events *ev, const char *id, bool *ret_is_there)
{
    size_t low = 0, high = ev->n_sorted;

    *ret_is_there = false;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = strcmp(ev->sorted[mid]->id, id);
        if (c == 0) {
            *ret_is_there = true;
            return mid;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct event_object *events_find(const struct events *ev, const char *id)
{
    bool is_there;
    size_t i = position(ev, id, &is_there);

    return is_there ? ev->sorted[i] : NULL;
}

static bool grow(void *array, size_t *cap, size_t n, size_t size)
{
    size_t bigger = *cap ? *cap * 2 : 64;
    void *p;

    if (n < *cap)
        return true;
    memcpy(&p, array, sizeof(p)); /* a pointer of any type */
    p = reallocarray(p, bigger, size);
    if (!p)
        return false;
    memcpy(array, &p, sizeof(p));
    *cap = bigger;
    return true;
}

/* The number of what is gone for everybody, or a new one. */
static bool take_number(struct events *ev, uint32_t *ret)
{
    size_t cap = ev->cap_numbers;

    if (ev->n_gone && ev->gone[0].seq < ev->ring.first) {
        *ret = ev->gone[0].number;
        ev->n_gone--;
        memmove(ev->gone, ev->gone + 1, ev->n_gone * sizeof(*ev->gone));
        return true;
    }
    if (!grow(&ev->objects, &cap, ev->n_numbers, sizeof(struct event_object *)))
        return false;
    ev->cap_numbers = (uint32_t)cap;
    ev->objects[ev->n_numbers] = NULL;
    *ret = ev->n_numbers++;
    return true;
}

static struct event_object *object_new(struct events *ev, enum event_kind kind, const char *id, const char *row,
                                       uint32_t vmid)
{
    struct event_object *o = calloc(1, sizeof(*o));

    if (!o)
        return NULL;
    *o = (struct event_object){.kind = kind, .id = strdup(id), .row = strdup(row), .vmid = vmid, .metrics = ev->cycle};
    if (!o->id || !o->row || !grow(&ev->sorted, &ev->cap_sorted, ev->n_sorted, sizeof(struct event_object *)) ||
        !take_number(ev, &o->number)) {
        object_free(o);
        return NULL;
    }
    return o;
}

static struct event_object *add(struct events *ev, enum event_kind kind, const char *id, const char *row, uint32_t vmid)
{
    struct event_object *o = object_new(ev, kind, id, row, vmid);
    bool is_there;

    if (!o)
        return NULL; /* the next look at everything tries again */
    size_t i = position(ev, id, &is_there);
    memmove(&ev->sorted[i + 1], &ev->sorted[i], (ev->n_sorted - i) * sizeof(struct event_object *));
    ev->sorted[i] = o;
    ev->n_sorted++;
    ev->objects[o->number] = o;
    ev->n_tasks += kind == EVENT_TASK;
    event_ring_add(&ev->ring, EVENT_ROW, kind, o->number, o->id, "");
    return o;
}

struct event_object *events_put(struct events *ev, enum event_kind kind, const char *id, const char *row, uint32_t vmid)
{
    struct event_object *o = events_find(ev, id);
    bool has_metrics = false;

    if (!o)
        o = add(ev, kind, id, row, vmid);
    else if (!streq(o->row, row)) {
        char *copy = strdup(row);
        if (!copy)
            return o;
        buf_reset(&ev->diff);
        if (event_diff(kind, o->row, row, &ev->diff, &has_metrics))
            event_ring_add(&ev->ring, EVENT_DELTA, kind, o->number, o->id, buf_str(&ev->diff));
        if (has_metrics)
            o->metrics = ev->cycle + 1; /* told when this cycle is through */
        free(o->row);
        o->row = copy;
    }
    if (o)
        o->seen = ev->cycle;
    return o;
}

void events_remove(struct events *ev, struct event_object *o)
{
    bool is_there;
    size_t i = position(ev, o->id, &is_there);

    event_ring_add(&ev->ring, EVENT_REMOVED, o->kind, o->number, o->id, "");
    memmove(&ev->sorted[i], &ev->sorted[i + 1], (ev->n_sorted - i - 1) * sizeof(struct event_object *));
    ev->n_sorted--;
    ev->objects[o->number] = NULL;
    ev->n_tasks -= o->kind == EVENT_TASK;
    /* Without memory for it the number is never given again. */
    if (grow(&ev->gone, &ev->cap_gone, ev->n_gone, sizeof(*ev->gone))) {
        ev->gone[ev->n_gone].number = o->number;
        ev->gone[ev->n_gone++].seq = ev->ring.head;
    }
    object_free(o);
}
