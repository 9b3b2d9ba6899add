/* A set of objects found by key (a hash with chains) and iterated in key order (a sorted vector beside it). The keyed
 * hash keeps people who choose ids from making chains long. Loop thread only. */
#include "auth/auth_priv.h"

#include <sodium.h>

uint64_t auth_hash(const char *key, size_t n)
{
    static unsigned char seed[crypto_shorthash_KEYBYTES];
    static bool has_seed;
    uint64_t hash;

    if (!has_seed) {
        randombytes_buf(seed, sizeof(seed));
        has_seed = true;
    }
    _Static_assert(crypto_shorthash_BYTES == sizeof(hash), "the hash is 64 bits");
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)key, n, seed);
    return hash;
}

struct auth_item *auth_set_find(const struct auth_set *set, const char *key, size_t n)
{
    if (!set->n)
        return NULL;
    uint64_t hash = auth_hash(key, n);
    struct auth_item *i = set->buckets[hash & (set->n_buckets - 1)];
    while (i && (i->hash != hash || strncmp(i->key, key, n) != 0 || i->key[n]))
        i = i->next;
    return i;
}

size_t auth_lower_bound(const struct auth_set *set, const char *key)
{
    size_t low = 0, high = set->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(set->sorted[mid]->key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int grow(struct auth_set *set)
{
    size_t cap = set->cap ? set->cap * 2 : 16;
    struct auth_item **sorted = realloc(set->sorted, cap * sizeof(*sorted));

    if (!sorted)
        return -ENOMEM;
    set->sorted = sorted;
    struct auth_item **buckets = calloc(cap, sizeof(*buckets));
    if (!buckets)
        return -ENOMEM;
    for (size_t i = 0; i < set->n; i++) {
        struct auth_item *item = sorted[i];
        item->next = buckets[item->hash & (cap - 1)];
        buckets[item->hash & (cap - 1)] = item;
    }
    free(set->buckets);
    set->buckets = buckets;
    set->n_buckets = cap;
    set->cap = cap;
    return 0;
}

int auth_set_insert(struct auth_set *set, struct auth_item *item)
{
    if (set->n == set->cap && grow(set) < 0)
        return -ENOMEM;
    size_t at = auth_lower_bound(set, item->key);
    memmove(set->sorted + at + 1, set->sorted + at, (set->n - at) * sizeof(*set->sorted));
    set->sorted[at] = item;
    set->n++;
    item->hash = auth_hash(item->key, strlen(item->key));
    struct auth_item **bucket = &set->buckets[item->hash & (set->n_buckets - 1)];
    item->next = *bucket;
    *bucket = item;
    return 0;
}

struct auth_item *auth_set_remove(struct auth_set *set, const char *key)
{
    struct auth_item *item = auth_set_find(set, key, strlen(key));

    if (!item)
        return NULL;
    struct auth_item **link = &set->buckets[item->hash & (set->n_buckets - 1)];
    while (*link != item)
        link = &(*link)->next;
    *link = item->next;
    size_t at = auth_lower_bound(set, key);
    set->n--;
    memmove(set->sorted + at, set->sorted + at + 1, (set->n - at) * sizeof(*set->sorted));
    return item;
}

void auth_set_done(struct auth_set *set, void (*free_item)(struct auth_item *item))
{
    for (size_t i = 0; i < set->n; i++)
        free_item(set->sorted[i]);
    free(set->sorted);
    free(set->buckets);
    *set = (struct auth_set){0};
}
