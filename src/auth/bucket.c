/* Token buckets in a fixed table; see bucket.h. Places are numbered from 1, so that 0 can mean none. */
#include "auth/bucket.h"

static uint64_t full(const struct bucket_rate *rate)
{
    return (uint64_t)rate->burst * rate->refill_ms;
}

void bucket_fill(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ms)
{
    b->credit_ms = full(rate);
    b->at_ms = now_ms;
}

uint64_t bucket_wait_ms(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ms)
{
    uint64_t since = now_ms > b->at_ms ? now_ms - b->at_ms : 0, room = full(rate) - b->credit_ms;

    b->credit_ms += since < room ? since : room;
    b->at_ms = now_ms;
    return b->credit_ms >= rate->refill_ms ? 0 : rate->refill_ms - b->credit_ms;
}

void bucket_take(struct bucket *b, const struct bucket_rate *rate)
{
    b->credit_ms -= rate->refill_ms;
}

void bucket_give_back(struct bucket *b, const struct bucket_rate *rate)
{
    uint64_t room = full(rate) - b->credit_ms;

    b->credit_ms += rate->refill_ms < room ? rate->refill_ms : room;
}

int bucket_table_init(struct bucket_table *t, uint32_t cap, struct bucket_rate rate)
{
    *t = (struct bucket_table){.cap = cap, .rate = rate};
    t->places = calloc(cap, sizeof(*t->places));
    t->chains = calloc(cap, sizeof(*t->chains));
    return t->places && t->chains ? 0 : -ENOMEM;
}

void bucket_table_done(struct bucket_table *t)
{
    free(t->places);
    free(t->chains);
    *t = (struct bucket_table){0};
}

static uint32_t *chain_of(const struct bucket_table *t, uint64_t id)
{
    return &t->chains[id & (t->cap - 1)];
}

static uint32_t find(const struct bucket_table *t, uint64_t id)
{
    uint32_t at = *chain_of(t, id);

    while (at && t->places[at - 1].id != id)
        at = t->places[at - 1].next;
    return at;
}

static void unlink_age(struct bucket_table *t, struct bucket *b)
{
    if (b->newer)
        t->places[b->newer - 1].older = b->older;
    else
        t->newest = b->older;
    if (b->older)
        t->places[b->older - 1].newer = b->newer;
    else
        t->oldest = b->newer;
}

static void link_newest(struct bucket_table *t, uint32_t at)
{
    struct bucket *b = &t->places[at - 1];

    b->newer = 0;
    b->older = t->newest;
    if (t->newest)
        t->places[t->newest - 1].newer = at;
    else
        t->oldest = at;
    t->newest = at;
}

/* A free place, taken from the oldest when there is none. */
static uint32_t take_place(struct bucket_table *t)
{
    if (t->n < t->cap)
        return ++t->n;
    uint32_t at = t->oldest;
    struct bucket *b = &t->places[at - 1];
    uint32_t *link = chain_of(t, b->id);
    while (*link != at)
        link = &t->places[*link - 1].next;
    *link = b->next;
    unlink_age(t, b);
    return at;
}

struct bucket *bucket_table_need(struct bucket_table *t, uint64_t id, uint64_t now_ms)
{
    uint32_t at = find(t, id);

    if (at) {
        unlink_age(t, &t->places[at - 1]);
    } else {
        at = take_place(t);
        struct bucket *b = &t->places[at - 1];
        *b = (struct bucket){.id = id, .next = *chain_of(t, id)};
        *chain_of(t, id) = at;
        bucket_fill(b, &t->rate, now_ms);
    }
    link_newest(t, at);
    return &t->places[at - 1];
}

struct bucket *bucket_table_find(const struct bucket_table *t, uint64_t id)
{
    uint32_t at = find(t, id);

    return at ? &t->places[at - 1] : NULL;
}
