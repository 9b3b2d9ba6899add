/* Addresses that an account has logged in from: what a stranger does elsewhere does not limit it there. Only a success
 * adds one; an account has LIMIT_KNOWN_USER_MAX of them, all together are LIMIT_KNOWN_MAX, and the ones not used for
 * longest leave. Kept in state, so that the owner is not locked out after a restart in the middle of an attack; a pair
 * is written when it is new and at most once in LIMIT_KNOWN_WRITE_S after that, never because of a failure. */
#include "auth/limit_priv.h"

#define LIMIT_STALE_MAX 100u /* removed at one start */

const struct bucket_rate known_rate = {20, 10000};

struct known *known_find(const struct auth_limit *l, const char *pair)
{
    struct auth_item *i = auth_set_find(&l->known, pair, strlen(pair));

    return i ? container_of(i, struct known, item) : NULL;
}

static struct known *add(struct auth_limit *l, const char *pair)
{
    struct known *k = calloc(1, sizeof(*k));

    if (k && (!(k->item.key = strdup(pair)) || auth_set_insert(&l->known, &k->item) < 0)) {
        free(k->item.key);
        free(k);
        return NULL;
    }
    if (k)
        bucket_fill(&k->bucket, &known_rate, l->now_ms());
    return k;
}

static void forget(struct auth_limit *l, const char *pair)
{
    struct auth_item *i = auth_set_remove(&l->known, pair);

    if (!i)
        return;
    free(i->key);
    free(container_of(i, struct known, item));
}

static const struct known *older(const struct known *a, const struct known *b)
{
    return !a || b->last_s < a->last_s ? b : a;
}

/* Who has to leave for a new pair: of the same account when that has its share, else the oldest of all; NULL when
 * there is room. */
static const struct known *find_victim(const struct auth_limit *l, const char *pair)
{
    char prefix[LIMIT_PAIR_CAP];
    const struct known *oldest = NULL;
    size_t n = 0;

    snprintf(prefix, sizeof(prefix), "%.*s", (int)(strcspn(pair, " ") + 1), pair);
    for (size_t i = auth_lower_bound(&l->known, prefix); i < l->known.n && str_starts(l->known.sorted[i]->key, prefix);
         i++, n++)
        oldest = older(oldest, container_of(l->known.sorted[i], struct known, item));
    if (n >= LIMIT_KNOWN_USER_MAX)
        return oldest;
    if (l->known.n < LIMIT_KNOWN_MAX)
        return NULL;
    for (size_t i = 0; i < l->known.n; i++)
        oldest = older(oldest, container_of(l->known.sorted[i], struct known, item));
    return oldest;
}

static void key_of(const char *pair, char *dst, size_t cap)
{
    snprintf(dst, cap, LIMIT_KNOWN_PREFIX "%s", pair);
}

static void make_room(struct auth_limit *l, const char *pair, struct state_txn *t)
{
    const struct known *victim = find_victim(l, pair);
    char key[STATE_KEY_MAX];

    if (!victim)
        return;
    key_of(victim->item.key, key, sizeof(key));
    if (t)
        state_txn_delete(t, key);
    forget(l, victim->item.key);
}

void known_note(struct auth_limit *l, const char *pair)
{
    struct known *k = known_find(l, pair);
    int64_t now = clock_wall_s(), age = k ? now - k->written_s : INT64_MAX;
    char key[STATE_KEY_MAX], value[64];

    if (k)
        k->last_s = now;
    if (age >= 0 && age < LIMIT_KNOWN_WRITE_S)
        return;
    struct state_txn *t = l->state ? state_txn_new() : NULL;
    if (!k) {
        make_room(l, pair, t);
        k = add(l, pair);
    }
    if (!k) {
        state_txn_free(t);
        return;
    }
    k->last_s = k->written_s = now;
    if (!t)
        return;
    key_of(pair, key, sizeof(key));
    snprintf(value, sizeof(value), "{\"format\":1,\"last\":%lld}", (long long)now);
    state_txn_put(t, key, value);
    state_commit(l->state, t, NULL, NULL);
}

bool known_on_key(struct auth_limit *l, struct state_txn *stale, const char *pair, const char *value)
{
    json_t *root = value ? auth_record_parse(value) : NULL;
    int64_t last = json_integer_value(json_object_get(root, "last")), now = clock_wall_s();
    bool is_good = root && strlen(pair) < LIMIT_PAIR_CAP && strchr(pair, ' ') && now - last < LIMIT_KNOWN_LIFE_S &&
                   !find_victim(l, pair);
    struct known *k = is_good ? add(l, pair) : NULL;
    char key[STATE_KEY_MAX];

    if (k)
        k->last_s = k->written_s = last < now ? last : now; /* a clock that went back makes nobody a stranger */
    key_of(pair, key, sizeof(key));
    if (!k && stale && state_txn_count(stale) < LIMIT_STALE_MAX)
        state_txn_delete(stale, key);
    json_decref(root);
    return k;
}

struct load {
    struct auth_limit *limit;
    struct state_txn *stale; /* what nobody needs any more */
};

static void on_key(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct load *load = arg;

    (void)known_on_key(load->limit, load->stale, key + strlen(LIMIT_KNOWN_PREFIX), value);
}

/* Only what is there at the start matters: later changes are this process's own. */
int known_load(struct auth_limit *l, struct err *e)
{
    struct load load = {.limit = l};
    struct state_watch *w = NULL;

    if (!l->state)
        return 0;
    load.stale = state_txn_new();
    int r = state_watch(l->state, LIMIT_KNOWN_PREFIX, on_key, &load, &w, e);
    if (r == 0)
        state_unwatch(w);
    if (r == 0 && load.stale && state_txn_count(load.stale) > 0)
        state_commit(l->state, load.stale, NULL, NULL);
    else
        state_txn_free(load.stale);
    return r;
}
