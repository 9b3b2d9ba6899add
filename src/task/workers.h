/* holm-worker from holmd's side: one short-lived unprivileged process per request, a capped number at once (the rest
 * waits, bounded). The verbs are those of src/worker. */
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
    uint64_t total_bytes; /* limit for verbs that copy; 0 = none */
    uint32_t timeout_ms;  /* 0 = 60 s */
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

MUST_CHECK int workers_new(struct event_base *base, const char *worker_path, uid_t uid, gid_t gid, unsigned max_at_once,
                           struct workers **ret, struct err *e);
bool workers_drain(struct workers *w); /* as pool_drain */
/* Waits for running workers (bounded by their timeouts). */
void workers_free(struct workers *w);

typedef void (*worker_done_fn)(void *arg, int r, const struct worker_reply *a, const struct err *e);
/* Copies the request. done is called on the loop, exactly once, if 0 is returned. */
MUST_CHECK int workers_call(struct workers *w, const struct worker_request *q, worker_done_fn done, void *arg,
                            struct err *e);
/* The same, blocking, from a thread or before the loop runs. */
MUST_CHECK int workers_call_blocking(struct workers *w, const struct worker_request *q, worker_done_fn done, void *arg,
                                     struct err *e);

#endif
