/* Inside the limiter: known pairs, and what its test looks at. */
#ifndef HOLM_AUTH_LIMIT_PRIV_H
#define HOLM_AUTH_LIMIT_PRIV_H

#include "auth/auth_priv.h"
#include "auth/bucket.h"
#include "auth/limit.h"

#define LIMIT_TABLE_PLACES   4096u /* of each table of buckets; about 180 KiB */
#define LIMIT_KNOWN_MAX      4096u
#define LIMIT_KNOWN_USER_MAX 16u
#define LIMIT_KNOWN_LIFE_S   (90 * 86400) /* not used for so long: forgotten at the next start */
#define LIMIT_KNOWN_WRITE_S  3600         /* at most one write of a pair in so long */
#define LIMIT_ADDRESS_CAP    48u
#define LIMIT_KNOWN_PREFIX   "local/login/known/"
#define LIMIT_PAIR_CAP       (LIMIT_USER_MAX + 1 + LIMIT_ADDRESS_CAP)

/* The key in the set is "USER ADDRESS", as in state. */
struct known {
    struct auth_item item;
    int64_t last_s, written_s;
    struct bucket bucket;
};

struct auth_limit {
    struct state *state;
    uint64_t (*now_ms)(void);
    struct bucket_table addresses, pairs, accounts, forged;
    struct auth_set known;
};

/* limit.c: "192.0.2.1", "2001:db8:1:2::/64", or "unknown". */
void limit_address(const char *address, char dst[LIMIT_ADDRESS_CAP]);
/* limit.c: "USER ADDRESS"; false when the name is longer than any account's. */
bool limit_pair(const char *user, const char *address, char dst[LIMIT_PAIR_CAP]);

/* known.c */
extern const struct bucket_rate known_rate;
MUST_CHECK int known_load(struct auth_limit *l, struct err *e);
struct known *known_find(const struct auth_limit *l, const char *pair);
/* One record found at the start; false when it is of no use, and then its removal is added to stale (may be NULL). */
bool known_on_key(struct auth_limit *l, struct state_txn *stale, const char *pair, const char *value);
/* Notes a success; writes what is to be kept. */
void known_note(struct auth_limit *l, const char *pair);

#endif
