/* A fixed table of token buckets found by a 64-bit id; when it is full, the one that was looked at longest ago leaves.
 * No clock of its own and no allocation after the start. Loop thread. */
#ifndef HOLM_AUTH_BUCKET_H
#define HOLM_AUTH_BUCKET_H

#include "base/err.h"

/* burst tokens at most, one more each refill_ms. */
struct bucket_rate {
    uint32_t burst, refill_ms;
};

/* credit_ms: how much refilling time is in it; full at burst * refill_ms. */
struct bucket {
    uint64_t id, credit_ms, at_ms;
    uint32_t newer, older, next; /* places + 1; 0 = none */
};

void bucket_fill(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ms);
/* Milliseconds until a token is there; 0 = now. */
uint64_t bucket_wait_ms(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ms);
/* Only after bucket_wait_ms said 0. */
void bucket_take(struct bucket *b, const struct bucket_rate *rate);
void bucket_give_back(struct bucket *b, const struct bucket_rate *rate);

struct bucket_table {
    struct bucket *places;
    uint32_t *chains; /* as many as places, a power of two */
    uint32_t cap, n, newest, oldest;
    struct bucket_rate rate;
};

/* cap is a power of two. */
MUST_CHECK int bucket_table_init(struct bucket_table *t, uint32_t cap, struct bucket_rate rate);
void bucket_table_done(struct bucket_table *t);
/* The bucket of an id, made full when there is none. Valid until the next call. */
struct bucket *bucket_table_need(struct bucket_table *t, uint64_t id, uint64_t now_ms);
/* The same, NULL when there is none; nothing is moved. */
struct bucket *bucket_table_find(const struct bucket_table *t, uint64_t id);

#endif
