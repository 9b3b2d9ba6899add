/* Idempotency-Key: a write that is sent again with the same key, by the same user, to the same method and path, gets
 * the first one's answer instead of being done twice. Records live in local/idem/HASH for a day. A journalled task's
 * record is written together with its journal entry, so not even a kill between the two loses it. Replies that hold a
 * secret (tickets, tokens) and requests without proof of identity are never remembered. Loop thread. */
#ifndef HOLM_API_IDEMPOTENCY_H
#define HOLM_API_IDEMPOTENCY_H

#include "api/api.h"

struct idempotency;
MUST_CHECK int idempotency_new(struct state *s, struct idempotency **ret, struct err *e);
void idempotency_free(struct idempotency *i);
/* Old records go; once an hour. */
void idempotency_sweep(struct idempotency *i);

/* Before the handler: 1 = c->out now holds the first answer; 0 = new; -EBUSY "request.in-progress" while the first one
 * is still being worked on; -EINVAL for a bad key. Without a key: 0. */
MUST_CHECK int idempotency_begin(struct idempotency *i, struct api_call *c, struct err *e);
/* At the end of the call. */
void idempotency_end(struct idempotency *i, struct api_call *c, int r);
/* State key for a task's record, "" without an Idempotency-Key. */
const char *idempotency_state_key(const struct api_call *c);

#endif
