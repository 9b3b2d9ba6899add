/* Configuration and journal as keys with text values (JSON), behind one interface: SQLite on one host, a cluster's
 * engine later. Keys below "shared/" are what a cluster agrees on; "local/" never leaves the host.
 *
 * There is no read call: whoever needs keys watches a prefix and keeps a copy. A watch first delivers what exists
 * (before state_watch returns on SQLite), then every committed change in commit order, always on the loop thread.
 * Commits are asynchronous: a writer thread groups them, makes them durable with one fsync, and the loop then delivers
 * watch events and the done callback of each, in order.
 * What a crash leaves behind: a commit is there whole or not at all; one that was reported done is there. */
#ifndef HOLM_STATE_STATE_H
#define HOLM_STATE_STATE_H

#include "base/buf.h"
#include "base/err.h"

#define STATE_KEY_MAX       512u
#define STATE_VALUE_MAX     (512u * 1024u)
#define STATE_TXN_OPS_MAX   128u
#define STATE_TXN_BYTES_MAX (1024u * 1024u)

struct event_base;
struct state;
struct state_txn;

/* value is NULL when the key was deleted; revision is that of the commit. Values are only valid during the call. */
typedef void (*state_watch_fn)(void *arg, const char *key, const char *value, uint64_t revision);
/* r: 0; -EAGAIN "state.conflict" when an expectation failed; other negative errno when nothing was written. */
typedef void (*state_done_fn)(void *arg, int r, uint64_t revision, const struct err *e);

/* Opens or makes the database file `name` in dirfd. A damaged or foreign file is refused with one clear sentence and is
 * not touched. base delivers callbacks. */
MUST_CHECK int state_open_sqlite(struct event_base *base, const char *dir, struct state **ret, struct err *e);
/* Finishes queued commits, then closes; no callbacks are made any more. */
void state_close(struct state *s);

/* A prefix ends with '/' or is a whole key. The watch lives until state_unwatch. */
struct state_watch;
MUST_CHECK int state_watch(struct state *s, const char *prefix, state_watch_fn fn, void *arg, struct state_watch **ret,
                           struct err *e);
void state_unwatch(struct state_watch *w);

/* A transaction collects operations; limits and memory failures stick and are reported by state_commit. */
struct state_txn *state_txn_new(void);
void state_txn_free(struct state_txn *t);
void state_txn_put(struct state_txn *t, const char *key, const char *value);
void state_txn_delete(struct state_txn *t, const char *key);
/* The commit happens only if key has this revision now; 0 = the key does not exist. */
void state_txn_expect(struct state_txn *t, const char *key, uint64_t revision);
/* The key goes away when the lease ends (state_lease_*); 0 = stays. Applies to the put just added. */
void state_txn_set_lease(struct state_txn *t, uint64_t lease);
/* Moves every operation of other into t and frees other. */
void state_txn_merge(struct state_txn *t, struct state_txn *other);
size_t state_txn_count(const struct state_txn *t);

/* Takes the transaction (NULL fails). done may be NULL. Answers through done, from the loop and never before
 * returning (but for one case: no memory at all). */
void state_commit(struct state *s, struct state_txn *t, state_done_fn done, void *arg);

/* Leases: keys bound to one are deleted ttl_ms after the last keepalive (CLOCK_BOOTTIME), and at the next start. */
MUST_CHECK int state_lease_grant(struct state *s, uint32_t ttl_ms, uint64_t *ret_lease, struct err *e);
MUST_CHECK int state_lease_keepalive(struct state *s, uint64_t lease, struct err *e);
void state_lease_revoke(struct state *s, uint64_t lease);

/* Everything as one JSON object {"format":1,"keys":{key:value…}} and back. Load replaces all keys below shared/ and is
 * for a stopped daemon (it takes the database's lock); blocking. */
MUST_CHECK int state_dump(const char *dir, struct buf *ret_json, struct err *e);
MUST_CHECK int state_load(const char *dir, const char *json, size_t n, struct err *e);

#endif
