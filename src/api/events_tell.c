/* What each client of the event stream is told (doc/events.md): cursors, permissions, lines. A line is made when there
 * is room for it, and whether this client may see what it is about is asked then, with the questions that GET
 * /cluster/resources and /cluster/tasks ask. When access changes, everything is asked again (`walk`). */
#include "api/events_priv.h"

#include <inttypes.h>
#include <sodium.h>

#include "api/common.h"
#include "base/clock.h"

#define OUT_FILL   16384u /* no more is begun behind so many bytes */
#define WALK_SLICE 64u    /* objects at a time: a change of access has every client ask about all of them */
#define PING_MS    10000u
#define NOT        EVENTS_NOT

/* ---- cursors ---- */

/* Another user, or the same with other rights, was told of other things. */
static void name_of(const struct events *ev, const struct auth_subject *who, char dst[17])
{
    unsigned char hash[16];
    char user[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];

    auth_subject_format(who, user, sizeof(user));
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)user, strlen(user), ev->life, sizeof(ev->life));
    sodium_bin2hex(dst, 17, hash, 8);
}

static void write_cursor(const struct event_client *c, struct jw *w)
{
    char life[17], who[17], text[64];

    sodium_bin2hex(life, sizeof(life), c->ev->life, 8);
    name_of(c->ev, &c->who, who);
    snprintf(text, sizeof(text), "%s-%" PRIx64 "-%s", life, c->at, who);
    jw_kv_str(w, "cursor", text);
}

static bool read_cursor(const struct events *ev, const struct auth_subject *who, const char *text, uint64_t *ret)
{
    char life[17], name[17], again[64];
    uint64_t at;

    if (!text || strlen(text) < 18 || text[16] != '-')
        return false;
    at = strtoull(text + 17, NULL, 16);
    sodium_bin2hex(life, sizeof(life), ev->life, 8);
    name_of(ev, who, name);
    snprintf(again, sizeof(again), "%s-%" PRIx64 "-%s", life, at, name);
    *ret = at;
    return streq(again, text);
}

/* ---- what somebody may see ---- */

static bool may_see(struct event_client *c, enum event_kind kind, const char *id)
{
    struct auth *a = c->ev->api->auth;
    char path[AUTH_PATH_MAX];
    struct upid upid;
    uint64_t vmid;

    switch (kind) {
    case EVENT_GUEST:
        if (!c->may)
            c->may = auth_guests_new(a, &c->who);
        return c->may && str_to_u64(id + strlen("qemu/"), &vmid) == 0 &&
               auth_guests_privileges(c->may, (uint32_t)vmid) & PRIV_M(VM_AUDIT);
    case EVENT_STORAGE:
        snprintf(path, sizeof(path), "/storage/%s", strrchr(id, '/') + 1);
        return auth_has(a, &c->who, path, PRIV_M(DATASTORE_AUDIT), false);
    case EVENT_TASK:
        return (upid_parse(id, &upid) == 0 && api_task_is_own(&c->who, upid.user)) ||
               auth_has(a, &c->who, "/", PRIV_M(SYS_AUDIT), true);
    case EVENT_NODE:
        return true;
    }
    return false;
}

/* What the node has left and uses is for some. */
static bool may_see_node(struct event_client *c)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/nodes/%s", c->ev->api->node);
    return auth_has(c->ev->api->auth, &c->who, path, PRIV_M(SYS_AUDIT), true);
}

static bool knows(const struct event_client *c, uint32_t number)
{
    return number / 8 < c->n_knows && c->knows[number / 8] & (1u << number % 8);
}

static bool set_knows(struct event_client *c, uint32_t number, bool is_known)
{
    if (number / 8 >= c->n_knows) {
        if (!is_known)
            return true;
        size_t n = number / 8 + 128;
        uint8_t *p = realloc(c->knows, n);
        if (!p)
            return false;
        memset(p + c->n_knows, 0, n - c->n_knows);
        c->knows = p;
        c->n_knows = n;
    }
    if (is_known)
        c->knows[number / 8] |= (uint8_t)(1u << number % 8);
    else
        c->knows[number / 8] &= (uint8_t) ~(1u << number % 8);
    return true;
}

/* ---- lines ---- */

static const char *const kind_names[] = {
    [EVENT_GUEST] = "guest", [EVENT_NODE] = "node", [EVENT_STORAGE] = "storage", [EVENT_TASK] = "task"};

static void begin_line(struct event_client *c, struct jw *w, const char *type)
{
    jw_init(w, &c->out);
    jw_object(w);
    jw_kv_str(w, "type", type);
}

static void end_line(struct event_client *c, struct jw *w)
{
    jw_object_end(w);
    buf_append_char(&c->out, '\n');
}

static void begin_object(struct event_client *c, struct jw *w, const char *type, enum event_kind kind, const char *id)
{
    begin_line(c, w, type);
    jw_kv_str(w, "kind", kind_names[kind]);
    jw_kv_str(w, "id", id);
}

static void send_hello(struct event_client *c)
{
    struct jw w;

    begin_line(c, &w, "hello");
    jw_kv_str(&w, "node", c->ev->api->node);
    if (c->is_resumed) /* else there is nothing yet that one could go on from */
        write_cursor(c, &w);
    jw_key(&w, "is_complete");
    jw_bool(&w, c->is_resumed);
    end_line(c, &w);
    c->has_hello = true;
}

static void send_ping(struct event_client *c)
{
    struct jw w;

    begin_line(c, &w, "ping");
    write_cursor(c, &w);
    end_line(c, &w);
    c->told = c->at;
    c->is_ping_due = false;
    c->ping_ms = clock_boot_ms();
}

static void send_row(struct event_client *c, const struct event_object *o)
{
    struct jw w;

    begin_object(c, &w, "row", o->kind, o->id);
    jw_key(&w, "row");
    if (o->kind == EVENT_NODE) {
        c->is_node_full = may_see_node(c);
        api_node_row(&w, c->ev->api, c->is_node_full);
    } else {
        jw_raw(&w, o->row, strlen(o->row));
    }
    end_line(c, &w);
    if (!set_knows(c, o->number, true))
        c->out.is_failed = true;
    c->is_ping_due = true;
}

static void send_removed(struct event_client *c, enum event_kind kind, const char *id, uint32_t number)
{
    struct jw w;

    begin_object(c, &w, "removed", kind, id);
    end_line(c, &w);
    (void)set_knows(c, number, false);
    c->is_ping_due = true;
}

static void send_members(struct event_client *c, enum event_kind kind, const char *id, const char *members)
{
    struct jw w;

    begin_object(c, &w, "delta", kind, id);
    buf_append_char(&c->out, ',');
    buf_append_str(&c->out, members);
    end_line(c, &w);
    c->is_ping_due = true;
}

/* ---- what comes next ---- */

/* Brings what it knows of one object in line with what it may see. */
static void walk_one(struct event_client *c, const struct event_object *o)
{
    bool may = may_see(c, o->kind, o->id), does = knows(c, o->number);

    if (may && (!does || (o->kind == EVENT_NODE && may_see_node(c) != c->is_node_full)))
        send_row(c, o);
    else if (!may && does)
        send_removed(c, o->kind, o->id, o->number);
}

static void tell_entry(struct event_client *c, const struct event_entry *en)
{
    const struct event_object *o = en->op == EVENT_ACCESS ? NULL : c->ev->objects[en->number];
    bool does = knows(c, en->number);

    if (en->op == EVENT_REMOVED) {
        if (does)
            send_removed(c, en->kind, en->id, en->number);
        return;
    }
    if (!o || !streq(o->id, en->id)) /* its removal follows */
        return;
    if (!does || en->op == EVENT_ROW || !may_see(c, en->kind, en->id))
        walk_one(c, o);
    else if (en->kind != EVENT_NODE || c->is_node_full)
        send_members(c, en->kind, en->id, en->text);
}

bool events_has_room(const struct event_client *c)
{
    return !c->out.is_failed && c->out.len < OUT_FILL;
}

void events_tell_anew(struct event_client *c)
{
    memset(c->knows, 0, c->n_knows);
    c->at = c->ev->ring.head;
    c->walk = 0;
    c->metrics = NOT;
    c->metrics_done = c->ev->cycle;
    c->is_resumed = false;
    c->has_hello = false;
    c->is_ping_due = true;
}

static void tell_metrics(struct event_client *c)
{
    struct events *ev = c->ev;

    if (c->metrics == NOT) {
        c->metrics = 0;
        c->metrics_until = ev->cycle;
    }
    for (; c->metrics < ev->n_numbers; c->metrics++) {
        const struct event_object *o = ev->objects[c->metrics];
        if (!events_has_room(c))
            return;
        if (!o || o->metrics <= c->metrics_done || o->metrics > c->metrics_until || !knows(c, o->number) ||
            !may_see(c, o->kind, o->id) || (o->kind == EVENT_NODE && !c->is_node_full))
            continue;
        buf_reset(&ev->diff);
        event_metrics(o->kind, o->row, &ev->diff);
        send_members(c, o->kind, o->id, buf_str(&ev->diff));
    }
    c->metrics = NOT;
    c->metrics_done = c->metrics_until;
}

bool events_tell(struct event_client *c)
{
    struct events *ev = c->ev;
    uint32_t slice = WALK_SLICE;

    if (c->at + 1 < ev->ring.first)
        events_tell_anew(c);
    if (!c->has_hello)
        send_hello(c);
    for (; c->at < ev->ring.head && events_has_room(c); c->at++)
        tell_entry(c, event_ring_at(&ev->ring, c->at + 1));
    for (; c->at == ev->ring.head && c->walk < ev->n_numbers && events_has_room(c) && slice && ev->walk_left;
         c->walk++, slice--) {
        ev->walk_left--;
        if (ev->objects[c->walk])
            walk_one(c, ev->objects[c->walk]);
    }
    if (c->at < ev->ring.head || c->walk < ev->n_numbers)
        return true;
    c->walk = NOT;
    if (c->wants_metrics && (c->metrics != NOT || c->metrics_done < ev->cycle))
        tell_metrics(c);
    if (c->metrics != NOT)
        return true;
    if (c->is_ping_due || c->told != c->at || clock_boot_ms() - c->ping_ms >= PING_MS)
        send_ping(c);
    return false;
}

void events_tell_end(struct event_client *c, const char *reason)
{
    struct jw w;

    begin_line(c, &w, "bye");
    jw_kv_str(&w, "reason", reason);
    end_line(c, &w);
}

bool events_resume(struct event_client *c, const char *cursor)
{
    struct events *ev = c->ev;
    uint64_t at = 0;
    bool is_whole = read_cursor(ev, &c->who, cursor, &at) && at >= ev->access_seq && at + 1 >= ev->ring.first &&
                    at <= ev->ring.head;

    c->at = at;
    for (uint32_t i = 0; is_whole && i < ev->n_numbers; i++)
        if (ev->objects[i] && may_see(c, ev->objects[i]->kind, ev->objects[i]->id))
            is_whole = set_knows(c, i, true);
    for (uint64_t seq = at + 1; is_whole && seq <= ev->ring.head; seq++) {
        const struct event_entry *en = event_ring_at(&ev->ring, seq);
        if (en->op == EVENT_ROW) /* the client has not seen it yet */
            is_whole = set_knows(c, en->number, false);
        else if (en->op == EVENT_REMOVED)
            is_whole = may_see(c, en->kind, en->id) && set_knows(c, en->number, true);
    }
    c->is_node_full = may_see_node(c);
    c->is_resumed = is_whole;
    return is_whole;
}
