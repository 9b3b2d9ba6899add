/* The last changes, each with a number: what a client that was away for a while is told. Bounded in bytes and in
 * entries: the oldest go. Also the difference of two rows. Pure, no I/O; loop thread. */
#ifndef HOLM_API_EVENTS_RING_H
#define HOLM_API_EVENTS_RING_H

#include "base/buf.h"
#include "base/err.h"

#define EVENTS_RING_BYTES   (4u * 1024u * 1024u)
#define EVENTS_RING_ENTRIES 16384u /* a power of two */

enum event_kind { EVENT_GUEST, EVENT_NODE, EVENT_STORAGE, EVENT_TASK };

enum event_op {
    EVENT_ROW,     /* new: its row as it is when somebody is told */
    EVENT_DELTA,   /* text has the members "set" and "unset" */
    EVENT_REMOVED, /* its number is not given again while this entry is there */
    EVENT_ACCESS,  /* rights changed: nothing that a client sees, but cursors before it do not resume */
};

struct event_entry {
    uint64_t seq;
    uint32_t number; /* of the object */
    uint32_t size;   /* counted against the ring's bytes */
    uint8_t op, kind;
    const char *id, *text; /* in the same memory */
};

struct event_ring {
    uint64_t head;  /* number of the newest entry; 0: none yet */
    uint64_t first; /* of the oldest that is there; head + 1: none is */
    size_t bytes, bytes_max;
    struct event_entry **entries;
};

MUST_CHECK int event_ring_init(struct event_ring *r, size_t bytes_max, struct err *e);
void event_ring_done(struct event_ring *r);
/* Without memory for it everything is dropped, and whoever lags begins anew. */
void event_ring_add(struct event_ring *r, enum event_op op, enum event_kind kind, uint32_t number, const char *id,
                    const char *text);
/* NULL: no longer, or not yet. */
const struct event_entry *event_ring_at(const struct event_ring *r, uint64_t seq);

/* One member of an object that jw wrote, at depth 1: its name and value as they stand in the text. */
struct event_member {
    const char *key, *value;
    size_t key_len, value_len;
};
/* *pos is the text's '{' at first. False at the end. */
bool event_member_next(const char **pos, struct event_member *ret);

/* Does the value of this member change all the time? */
bool event_is_metric(enum event_kind kind, const char *key, size_t n);

/* What leads from one row to the other, as `"set":{…},"unset":[…]` (each only where there is something). Metrics count
 * only if something else changed, then with their new values; ret_metrics (may be NULL): whether one of them changed.
 * False: nothing to tell. */
bool event_diff(enum event_kind kind, const char *old_row, const char *new_row, struct buf *out, bool *ret_metrics);
/* The row's metrics as `"set":{…}`. */
void event_metrics(enum event_kind kind, const char *row, struct buf *out);

#endif
