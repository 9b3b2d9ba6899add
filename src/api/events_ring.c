/* See events_ring.h. */
#include "api/events_ring.h"

int event_ring_init(struct event_ring *r, size_t bytes_max, struct err *e)
{
    *r = (struct event_ring){.first = 1, .bytes_max = bytes_max};
    r->entries = calloc(EVENTS_RING_ENTRIES, sizeof(struct event_entry *));
    return r->entries ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

static struct event_entry **place(const struct event_ring *r, uint64_t seq)
{
    return &r->entries[seq & (EVENTS_RING_ENTRIES - 1)];
}

static void drop_first(struct event_ring *r)
{
    struct event_entry **at = place(r, r->first);

    r->bytes -= (*at)->size;
    free(*at);
    *at = NULL;
    r->first++;
}

void event_ring_done(struct event_ring *r)
{
    while (r->entries && r->first <= r->head)
        drop_first(r);
    free(r->entries);
    r->entries = NULL;
}

void event_ring_add(struct event_ring *r, enum event_op op, enum event_kind kind, uint32_t number, const char *id,
                    const char *text)
{
    size_t id_size = strlen(id) + 1, text_size = strlen(text) + 1;
    size_t size = sizeof(struct event_entry) + id_size + text_size;
    struct event_entry *en = size <= r->bytes_max ? malloc(size) : NULL;

    while (r->first <= r->head &&
           (!en || r->bytes + size > r->bytes_max || r->head - r->first + 1 == EVENTS_RING_ENTRIES))
        drop_first(r);
    r->head++;
    if (!en) {
        r->first = r->head + 1;
        return;
    }
    char *data = (char *)(en + 1);
    memcpy(data, id, id_size);
    memcpy(data + id_size, text, text_size);
    *en = (struct event_entry){.seq = r->head,
                               .number = number,
                               .size = (uint32_t)size,
                               .op = (uint8_t)op,
                               .kind = (uint8_t)kind,
                               .id = data,
                               .text = data + id_size};
    *place(r, r->head) = en;
    r->bytes += size;
}

const struct event_entry *event_ring_at(const struct event_ring *r, uint64_t seq)
{
    return seq >= r->first && seq <= r->head ? *place(r, seq) : NULL;
}

/* ---- rows ---- */

static const char *string_end(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : p;
}

static const char *value_end(const char *p)
{
    unsigned depth = 0;

    while (*p) {
        if (*p == '"') {
            p = string_end(p);
            if (!depth)
                return p;
            continue;
        }
        if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (!depth)
                return p;
            if (!--depth)
                return p + 1;
        } else if (*p == ',' && !depth) {
            return p;
        }
        p++;
    }
    return p;
}

bool event_member_next(const char **pos, struct event_member *ret)
{
    const char *p = *pos;

    if (*p != '{' && *p != ',')
        return false;
    p++;
    if (*p != '"')
        return false;
    const char *end = string_end(p);
    if (*end != ':')
        return false;
    ret->key = p + 1;
    ret->key_len = (size_t)(end - p) - 2;
    ret->value = end + 1;
    *pos = value_end(ret->value);
    ret->value_len = (size_t)(*pos - ret->value);
    return true;
}

static bool find(const char *row, const struct event_member *wanted, struct event_member *ret)
{
    while (event_member_next(&row, ret))
        if (ret->key_len == wanted->key_len && memcmp(ret->key, wanted->key, ret->key_len) == 0)
            return true;
    return false;
}

bool event_is_metric(enum event_kind kind, const char *key, size_t n)
{
    static const char *const names[] = {"cpu", "mem", "uptime", "netin", "netout", "diskread", "diskwrite", "disk"};

    for (size_t i = 0; kind != EVENT_TASK && i < ARRAY_SIZE(names); i++)
        if (strlen(names[i]) == n && memcmp(names[i], key, n) == 0)
            return true;
    return false;
}

static bool is_equal(const struct event_member *a, const struct event_member *b)
{
    return a->value_len == b->value_len && memcmp(a->value, b->value, a->value_len) == 0;
}

static void add_member(struct buf *out, const struct event_member *m, bool is_first, bool has_value)
{
    if (!is_first)
        buf_append_char(out, ',');
    buf_append_char(out, '"');
    buf_append(out, m->key, m->key_len);
    buf_append_char(out, '"');
    if (!has_value)
        return;
    buf_append_char(out, ':');
    buf_append(out, m->value, m->value_len);
}

/* What is new or different in new_row, and all its metrics: who is not told of them otherwise has old ones. */
static void write_set(enum event_kind kind, const char *old_row, const char *new_row, struct buf *out)
{
    struct event_member m, before;
    bool is_first = true;

    buf_append_str(out, "\"set\":{");
    while (event_member_next(&new_row, &m)) {
        if (!event_is_metric(kind, m.key, m.key_len) && find(old_row, &m, &before) && is_equal(&m, &before))
            continue;
        add_member(out, &m, is_first, true);
        is_first = false;
    }
    buf_append_char(out, '}');
}

static void write_unset(const char *old_row, const char *new_row, struct buf *out)
{
    struct event_member m, now;
    bool is_first = true;

    while (event_member_next(&old_row, &m)) {
        if (find(new_row, &m, &now))
            continue;
        if (is_first)
            buf_append_str(out, ",\"unset\":[");
        add_member(out, &m, is_first, false);
        is_first = false;
    }
    if (!is_first)
        buf_append_char(out, ']');
}

/* Anything of a that b does not have, or not so? */
static void compare(enum event_kind kind, const char *a, const char *b, bool *is_changed, bool *is_metric_changed)
{
    struct event_member m, other;

    while (event_member_next(&a, &m)) {
        if (find(b, &m, &other) && is_equal(&m, &other))
            continue;
        if (event_is_metric(kind, m.key, m.key_len))
            *is_metric_changed = true;
        else
            *is_changed = true;
    }
}

bool event_diff(enum event_kind kind, const char *old_row, const char *new_row, struct buf *out, bool *ret_metrics)
{
    bool is_changed = false, is_metric_changed = false;

    if (!streq(old_row, new_row)) {
        compare(kind, new_row, old_row, &is_changed, &is_metric_changed);
        compare(kind, old_row, new_row, &is_changed, &is_metric_changed);
    }
    if (ret_metrics)
        *ret_metrics = is_metric_changed;
    if (!is_changed)
        return false;
    write_set(kind, old_row, new_row, out);
    write_unset(old_row, new_row, out);
    return true;
}

void event_metrics(enum event_kind kind, const char *row, struct buf *out)
{
    struct event_member m;
    bool is_first = true;

    buf_append_str(out, "\"set\":{");
    while (event_member_next(&row, &m)) {
        if (!event_is_metric(kind, m.key, m.key_len))
            continue;
        add_member(out, &m, is_first, true);
        is_first = false;
    }
    buf_append_char(out, '}');
}
