/* The limiter (auth/limit.h) as handlers use it: the address is the call's, an attempt belongs to the call. Loop
 * thread.
 *
 *     access_limit_check       before a password or code is looked at; on an error return it
 *     access_limit_succeeded   right, and nothing else is asked for
 *     access_limit_undo        not looked at, or right with another proof to follow
 *     (nothing)                wrong
 * Without a check before, the last two do nothing. */
#ifndef HOLM_API_ACCESS_LIMIT_H
#define HOLM_API_ACCESS_LIMIT_H

#include "api/api.h"
#include "task/workers.h"

/* -EBUSY "auth.limited", which is the reply 429 with Retry-After, the same for every name. */
MUST_CHECK int access_limit_check(struct api_call *c, const char *user, struct err *e);
void access_limit_succeeded(struct api_call *c, const char *user);
void access_limit_undo(struct api_call *c, const char *user);
/* How long the 401 of this call is held back. A proof that nobody can guess (ticket, token) was wrong unless an attempt
 * was counted: too many of those from one address, and its answers take longer. */
uint32_t access_limit_delay_ms(struct api_call *c);

/* Access to workers that do something with passwords (holm-worker for argon2id, holm-pam). Calls by users who are
 * logged in, and logins of accounts from addresses that they have logged in from, have one half of them, everybody else
 * the other; each half has a bounded queue, in which one user or address has a bounded part. */
struct password_gate;
MUST_CHECK int password_gate_new(struct workers *w, unsigned max_at_once, struct password_gate **ret, struct err *e);
void password_gate_free(struct password_gate *g);
/* As workers_call, but what q points to must live as long as the call, and done gets no reply (NULL) when r < 0 and the
 * work was never begun. -EBUSY "auth.limited" when the queue is full. */
MUST_CHECK int password_gate_submit(struct password_gate *g, struct api_call *c, const struct worker_request *q,
                                    worker_done_fn done, void *arg, struct err *e);

#endif
