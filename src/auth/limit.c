/* Limits on guessing; see limit.h. What counts where is decided here, bucket.c counts, known.c remembers. */
#include "auth/limit_priv.h"

#include <arpa/inet.h>

/* burst, then one more in so many milliseconds */
static const struct bucket_rate address_rate = {30, 10000};
static const struct bucket_rate pair_rate = {10, 30000};
static const struct bucket_rate account_rate = {60, 15000};
static const struct bucket_rate forged_rate = {100, 1000};

void limit_address(const char *address, char dst[LIMIT_ADDRESS_CAP])
{
    struct in6_addr six;
    struct in_addr four;
    char text[INET6_ADDRSTRLEN];

    if (inet_pton(AF_INET, address, &four) == 1) {
        inet_ntop(AF_INET, &four, dst, LIMIT_ADDRESS_CAP);
    } else if (inet_pton(AF_INET6, address, &six) != 1) {
        snprintf(dst, LIMIT_ADDRESS_CAP, "unknown");
    } else if (IN6_IS_ADDR_V4MAPPED(&six)) {
        inet_ntop(AF_INET, &six.s6_addr[12], dst, LIMIT_ADDRESS_CAP);
    } else {
        memset(&six.s6_addr[8], 0, 8);
        inet_ntop(AF_INET6, &six, text, sizeof(text));
        snprintf(dst, LIMIT_ADDRESS_CAP, "%s/64", text);
    }
}

/* Longer names than this are nobody's; they share what they have up to here. */
bool limit_pair(const char *user, const char *address, char dst[LIMIT_PAIR_CAP])
{
    char at[LIMIT_ADDRESS_CAP];

    limit_address(address, at);
    snprintf(dst, LIMIT_PAIR_CAP, "%.*s %s", (int)LIMIT_USER_MAX, user, at);
    return strlen(user) <= AUTH_USER_MAX;
}

int auth_limit_new(struct state *s, struct auth_limit **ret, struct err *e)
{
    struct auth_limit *l = calloc(1, sizeof(*l));

    if (!l || bucket_table_init(&l->addresses, LIMIT_TABLE_PLACES, address_rate) < 0 ||
        bucket_table_init(&l->pairs, LIMIT_TABLE_PLACES, pair_rate) < 0 ||
        bucket_table_init(&l->accounts, LIMIT_TABLE_PLACES, account_rate) < 0 ||
        bucket_table_init(&l->forged, LIMIT_TABLE_PLACES, forged_rate) < 0) {
        auth_limit_free(l);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    l->state = s;
    l->now_ms = clock_boot_ms;
    int r = known_load(l, e);
    if (r < 0) {
        auth_limit_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

static void free_known(struct auth_item *i)
{
    free(i->key);
    free(container_of(i, struct known, item));
}

void auth_limit_free(struct auth_limit *l)
{
    if (!l)
        return;
    auth_set_done(&l->known, free_known);
    bucket_table_done(&l->addresses);
    bucket_table_done(&l->pairs);
    bucket_table_done(&l->accounts);
    bucket_table_done(&l->forged);
    free(l);
}

/* The buckets that an attempt takes from. */
struct attempt {
    struct {
        struct bucket *bucket;
        const struct bucket_rate *rate;
    } of[3];
    size_t n;
};

static void add(struct attempt *a, struct bucket *b, const struct bucket_rate *rate)
{
    a->of[a->n].bucket = b;
    a->of[a->n++].rate = rate;
}

static uint64_t id_of(const char *text)
{
    return auth_hash(text, strlen(text));
}

static void find_buckets(struct auth_limit *l, const char *address, const char *user, uint64_t now, struct attempt *a)
{
    char pair[LIMIT_PAIR_CAP], at[LIMIT_ADDRESS_CAP], name[LIMIT_USER_MAX + 1];
    struct known *k = limit_pair(user, address, pair) ? known_find(l, pair) : NULL;

    if (k) {
        add(a, &k->bucket, &known_rate);
        return;
    }
    limit_address(address, at);
    snprintf(name, sizeof(name), "%s", user);
    add(a, bucket_table_need(&l->addresses, id_of(at), now), &address_rate);
    add(a, bucket_table_need(&l->pairs, id_of(pair), now), &pair_rate);
    add(a, bucket_table_need(&l->accounts, id_of(name), now), &account_rate);
}

int auth_limit_check(struct auth_limit *l, const char *address, const char *user, unsigned *ret_wait_s, struct err *e)
{
    struct attempt a = {.n = 0};
    uint64_t now = l->now_ms(), wait = 0;

    *ret_wait_s = 0;
    if (!address)
        return 0;
    find_buckets(l, address, user, now, &a);
    for (size_t i = 0; i < a.n; i++) {
        uint64_t w = bucket_wait_ms(a.of[i].bucket, a.of[i].rate, now);
        wait = w > wait ? w : wait;
    }
    if (wait) {
        *ret_wait_s = (unsigned)((wait + 999) / 1000);
        return err_set(e, -EBUSY, "auth.limited", "too many failed attempts, try again in %u s", *ret_wait_s);
    }
    for (size_t i = 0; i < a.n; i++)
        bucket_take(a.of[i].bucket, a.of[i].rate);
    return 0;
}

void auth_limit_undo(struct auth_limit *l, const char *address, const char *user)
{
    struct attempt a = {.n = 0};

    if (!address)
        return;
    find_buckets(l, address, user, l->now_ms(), &a);
    for (size_t i = 0; i < a.n; i++)
        bucket_give_back(a.of[i].bucket, a.of[i].rate);
}

void auth_limit_succeeded(struct auth_limit *l, const char *address, const char *user)
{
    char pair[LIMIT_PAIR_CAP];

    if (!address)
        return;
    auth_limit_undo(l, address, user);
    if (!limit_pair(user, address, pair))
        return;
    known_note(l, pair);
    struct known *k = known_find(l, pair);
    if (k)
        bucket_fill(&k->bucket, &known_rate, l->now_ms());
}

bool auth_limit_forged(struct auth_limit *l, const char *address)
{
    char at[LIMIT_ADDRESS_CAP];
    uint64_t now = l->now_ms();

    if (!address)
        return true;
    limit_address(address, at);
    struct bucket *b = bucket_table_need(&l->forged, id_of(at), now);
    if (bucket_wait_ms(b, &forged_rate, now))
        return false;
    bucket_take(b, &forged_rate);
    return true;
}

bool auth_limit_is_known(const struct auth_limit *l, const char *address, const char *user)
{
    char pair[LIMIT_PAIR_CAP];

    return !address || (limit_pair(user, address, pair) && known_find(l, pair));
}
