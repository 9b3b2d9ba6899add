/* Requests that were under way when the daemon was killed: each gets the one record that it lacks. Whether it has one
 * is looked up by its id among the newest records. Loop thread, once at the start; reads files only if there are such
 * requests. */
#include "audit/audit_priv.h"
#include "base/log.h"

#define SETTLE_SCAN 8192u /* more records than requests can be under way */

struct old {
    uint64_t id;
    int slot;
    bool is_recorded;
    char object[AUDIT_OBJECT_MAX + 1];
    json_t *record;
};

struct settle {
    struct old *olds;
    size_t n;
};

static void collect_old(void *arg, int slot, uint64_t id, const char *object, const char *body)
{
    struct settle *s = arg;
    struct old *o = &s->olds[s->n++];
    json_error_t je;

    *o = (struct old){.id = id, .slot = slot, .record = json_loads(body, 0, &je)};
    snprintf(o->object, sizeof(o->object), "%s", object);
}

static void mark_recorded(void *arg, json_t *record)
{
    struct settle *s = arg;
    const char *text = json_string_value(json_object_get(record, "id"));
    char id[20];

    for (size_t i = 0; text && i < s->n; i++) {
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)s->olds[i].id);
        s->olds[i].is_recorded = s->olds[i].is_recorded || streq(text, id);
    }
}

static void settle_one(struct audit *a, struct audit_pending *p, struct old *o,
                       void (*describe)(void *arg, const char *object, json_t *record), void *arg)
{
    if (o->is_recorded || !json_is_object(o->record)) {
        audit_pending_clear(p, o->slot);
        return;
    }
    json_object_set_new(o->record, "interrupted", json_integer(1));
    json_object_set_new(o->record, "error", json_string("holmd ended before the answer was sent"));
    describe(arg, o->object, o->record);
    autofree char *body = json_dumps(o->record, JSON_COMPACT);
    if (body)
        audit_submit(a, body, o->slot, NULL, NULL);
}

void audit_settle_pending(struct audit *a, struct audit_pending *p,
                          void (*describe)(void *arg, const char *object, json_t *record), void *arg)
{
    struct settle s = {.olds = calloc(AUDIT_SLOTS, sizeof(struct old))};
    struct audit_filter f = {.limit = SETTLE_SCAN, .scan_max = SETTLE_SCAN};
    struct err e = ERR_INIT;

    if (!s.olds)
        return;
    audit_pending_each_old(p, collect_old, &s);
    if (s.n && audit_dirfd(a) >= 0 && audit_list(audit_dirfd(a), NULL, &f, mark_recorded, &s, &e) < 0)
        log_err(LOG_WARN, &e, "audit");
    for (size_t i = 0; i < s.n; i++) {
        settle_one(a, p, &s.olds[i], describe, arg);
        json_decref(s.olds[i].record);
    }
    free(s.olds);
}
