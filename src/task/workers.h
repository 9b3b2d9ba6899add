/* Short-lived programs from holmd's side: one process per request, a capped number at once (the rest waits, bounded).
 * holm-worker (unprivileged; verbs of src/worker) and holm-pam (root; verbs of src/pam) are run this way, each with an
 * instance of its own. */
#ifndef HOLM_TASK_WORKERS_H
#define HOLM_TASK_WORKERS_H

#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct workers;

struct worker_request {
    const char *verb;
    const char *args[8];
    size_t n_args;
    const void *secret;
    size_t secret_len;
    int fds[4]; /* duplicated: the caller keeps its own */
    size_t n_fds;
    /* Hundreds, for the verbs that say so: sent before the request, in WORK_FDS frames. Not duplicated, so only for
     * workers_call_blocking. */
    const int *more_fds;
    size_t n_more_fds;
    uint64_t total_bytes; /* limit for verbs that copy; 0 = none */
    uint32_t timeout_ms;  /* 0 = 60 s */
    int abort_fd;         /* 0: none; readable: give up, with -ECANCELED. Duplicated too. */
    /* Called with the callback's arg, from a worker's thread, as the program reports how far it is. May be NULL. */
    void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
};

/* Valid during the callback only. */
struct worker_reply {
    const char *text;
    const void *secret;
    size_t secret_len;
    const char *bodies[4];
    size_t body_len[4];
    size_t n_bodies;
    uint64_t done_bytes;
};

struct workers_options {
    const char *path; /* of the program; its last part is what the process is called */
    uid_t uid;        /* 0: stays root */
    gid_t gid;
    unsigned max_at_once;
    size_t max_queued; /* beyond: "host.busy" */
};

MUST_CHECK int workers_new(struct event_base *base, const struct workers_options *o, struct workers **ret,
                           struct err *e);
bool workers_drain(struct workers *w); /* as pool_drain */
/* What runs is cut off and what waits does not begin, now and for good: each ends with -ECANCELED. For shutting down
 * where nothing is lost by it. */
void workers_cancel(struct workers *w);
/* Waits for running workers (bounded by their timeouts). */
void workers_free(struct workers *w);

typedef void (*worker_done_fn)(void *arg, int r, const struct worker_reply *a, const struct err *e);
/* Copies the request. done is called on the loop, exactly once, if 0 is returned. */
MUST_CHECK int workers_call(struct workers *w, const struct worker_request *q, worker_done_fn done, void *arg,
                            struct err *e);
/* The same, blocking, from a thread or before the loop runs. */
MUST_CHECK int workers_call_blocking(struct workers *w, const struct worker_request *q, worker_done_fn done, void *arg,
                                     struct err *e);

/* A call with this arg that waits and has not begun ends with -ECANCELED, soon: abort_fd is looked at only by what
 * runs.
 */
void workers_skip(struct workers *w, void *arg);

#endif
