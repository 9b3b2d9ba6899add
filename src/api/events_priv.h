/* What the files of the event stream share: the table of objects with the row of each as it was last told
 * (events_table.c), who feeds it (events_source.c), the clients (events.c) and what they are told (events_tell.c). Loop
 * thread. */
#ifndef HOLM_API_EVENTS_PRIV_H
#define HOLM_API_EVENTS_PRIV_H

#include <event2/event.h>

#include "api/events.h"
#include "api/events_ring.h"
#include "base/list.h"

#define EVENTS_CLIENTS_MAX  1000u
#define EVENTS_PER_USER_MAX 256u
#define EVENTS_TASKS_MAX    256u  /* the newest; what runs is kept beyond */
#define EVENTS_DIRTY_MAX    4096u /* more at once, and everything is looked at */
#define EVENTS_IDLE_S       600
#define EVENTS_ROW_MAX      (512u * 1024u)
#define EVENTS_OUT_MAX      (2u * EVENTS_ROW_MAX) /* of one client; one line may come when there was still room */
#define EVENTS_NOT          UINT32_MAX

struct event_object {
    uint32_t number; /* its place; not given to another while the ring tells of its removal */
    enum event_kind kind;
    char *id, *row;
    uint32_t vmid;
    int64_t order;    /* of tasks: older ones have less */
    bool is_running;  /* a task */
    uint64_t metrics; /* events.cycle in which one of them changed last */
    uint64_t seen;    /* events.cycle in which it was found */
};

struct events {
    struct api *api;
    bool is_on; /* the table and the ring are kept up to date */
    unsigned char life[16];
    struct event_ring ring;
    uint64_t access_seq;           /* of the last EVENT_ACCESS */
    struct event_object **objects; /* by number */
    uint32_t n_numbers, cap_numbers;
    struct event_object **sorted; /* by id */
    size_t n_sorted, cap_sorted;
    struct { /* numbers that wait for their EVENT_REMOVED to leave the ring, in that order */
        uint32_t number;
        uint64_t seq;
    } * gone;
    size_t n_gone, cap_gone;
    size_t n_tasks;
    int64_t newest, oldest; /* orders of tasks */
    /* source */
    uint32_t dirty[EVENTS_DIRTY_MAX];
    size_t n_dirty;
    bool is_all_dirty, is_storage_dirty, is_access_dirty;
    uint64_t cycle; /* of looking at everything */
    size_t scan_at;
    unsigned scan_tick;
    struct event *tick, *turn, *idle, *more;
    struct state_watch *watches[2];
    struct buf scratch, diff;
    /* clients */
    struct list_node clients;
    size_t n_clients;
    uint32_t walk_left; /* objects, in this turn of the loop; at 0 `more` is waited for */
};

struct event_client {
    struct list_node node;
    struct events *ev;
    struct auth_subject who;
    int fd;
    struct event *read, *write;
    uint64_t at;   /* the last entry of the ring that it was told of */
    uint64_t told; /* cursor of its last ping */
    uint64_t ping_ms;
    uint64_t metrics_done, metrics_until; /* cycles: told, being told */
    uint32_t walk, metrics;               /* the next object to look at, NOT: none */
    uint8_t *knows;                       /* bit by number */
    size_t n_knows;                       /* bytes */
    bool wants_metrics, has_hello, is_resumed, is_node_full, is_ping_due;
    struct auth_guests *may; /* during a flush */
    struct buf out;
};

/* events_table.c */
MUST_CHECK int events_table_init(struct events *ev, struct err *e);
void events_table_done(struct events *ev);
struct event_object *events_find(const struct events *ev, const char *id);
/* The row of an object that is there: new, or what changed goes into the ring. vmid of guests. */
struct event_object *events_put(struct events *ev, enum event_kind kind, const char *id, const char *row,
                                uint32_t vmid);
void events_remove(struct events *ev, struct event_object *o);

/* events_source.c */
MUST_CHECK int events_source_start(struct events *ev, struct err *e);
void events_source_stop(struct events *ev);
/* Takes in everything as it is now. */
void events_source_all(struct events *ev);

/* events.c: there may be something to tell. */
void events_flush(struct events *ev);
void events_access_changed(struct events *ev);
/* Ends those whose ticket's time is over. */
void events_end_old(struct events *ev);

/* events_tell.c */
/* Fills c->out as long as there is room. True: there is more to come. */
bool events_tell(struct event_client *c);
bool events_has_room(const struct event_client *c);
/* Everything, after a hello that says so. */
void events_tell_anew(struct event_client *c);
/* Goes on where a cursor (NULL: none) was. False: something since then cannot be told, or it is no cursor of ours. */
MUST_CHECK bool events_resume(struct event_client *c, const char *cursor);
void events_tell_end(struct event_client *c, const char *reason);

#endif
