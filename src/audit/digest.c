/* SHA-256 of every stored object that a record may speak of, by its key, kept by watches. Names are strangers' choice:
 * the table is keyed. Loop thread. */
#include <sodium.h>

#include "audit/audit_priv.h"

#define HASH_BYTES crypto_hash_sha256_BYTES

struct entry {
    struct entry *next;
    uint64_t hash;
    unsigned char value[HASH_BYTES];
    char key[];
};

/* Below these lies what requests change and records speak of; nothing secret. Guests have a digest of their own. */
static const char *const prefixes[] = {"shared/auth/", "shared/storage/", "shared/options", "shared/node/",
                                       "local/network/"};

struct audit_digests {
    struct state_watch *watches[ARRAY_SIZE(prefixes)];
    unsigned char secret[crypto_shorthash_KEYBYTES];
    struct entry **buckets;
    size_t n, n_buckets;
};

static uint64_t key_hash(const struct audit_digests *d, const char *key)
{
    uint64_t h;

    crypto_shorthash((unsigned char *)&h, (const unsigned char *)key, strlen(key), d->secret);
    return h;
}

static struct entry **find(const struct audit_digests *d, const char *key, uint64_t hash)
{
    struct entry **at = &d->buckets[hash & (d->n_buckets - 1)];

    while (*at && ((*at)->hash != hash || !streq((*at)->key, key)))
        at = &(*at)->next;
    return at;
}

static void grow(struct audit_digests *d)
{
    size_t n = d->n_buckets * 2;
    struct entry **buckets = calloc(n, sizeof(*buckets)), *next;

    if (!buckets)
        return; /* slower, not wrong */
    for (size_t i = 0; i < d->n_buckets; i++)
        for (struct entry *en = d->buckets[i]; en; en = next) {
            next = en->next;
            en->next = buckets[en->hash & (n - 1)];
            buckets[en->hash & (n - 1)] = en;
        }
    free(d->buckets);
    d->buckets = buckets;
    d->n_buckets = n;
}

static void on_key(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct audit_digests *d = arg;
    uint64_t hash = key_hash(d, key);

    if (str_starts(key, "shared/auth/member/")) /* part of what a pool or user is; whoever asks knows them */
        return;
    struct entry **at = find(d, key, hash), *en = *at;
    if (!value) {
        if (en) {
            *at = en->next;
            free(en);
            d->n--;
        }
        return;
    }
    if (!en) {
        en = calloc(1, sizeof(*en) + strlen(key) + 1);
        if (!en)
            return;
        en->hash = hash;
        memcpy(en->key, key, strlen(key) + 1);
        *at = en;
        if (++d->n > d->n_buckets)
            grow(d);
    }
    crypto_hash_sha256(en->value, (const unsigned char *)value, strlen(value));
}

int audit_digests_new(struct state *s, struct audit_digests **ret, struct err *e)
{
    struct audit_digests *d = calloc(1, sizeof(*d));

    if (d) {
        d->n_buckets = 64;
        d->buckets = calloc(d->n_buckets, sizeof(struct entry *));
    }
    if (!d || !d->buckets) {
        free(d);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    crypto_shorthash_keygen(d->secret);
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(prefixes); i++)
        r = state_watch(s, prefixes[i], on_key, d, &d->watches[i], e);
    if (r < 0)
        audit_digests_free(d);
    else
        *ret = d;
    return r;
}

void audit_digests_free(struct audit_digests *d)
{
    struct entry *next;

    if (!d)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        state_unwatch(d->watches[i]);
    for (size_t i = 0; i < d->n_buckets; i++)
        for (struct entry *en = d->buckets[i]; en; en = next) {
            next = en->next;
            free(en);
        }
    free(d->buckets);
    free(d);
}

/* Several objects: the hash of the sum of each one's, so that their order does not matter. */
static bool digest_of_all(const struct audit_digests *d, const char *prefix, unsigned char hash[HASH_BYTES])
{
    unsigned char one[HASH_BYTES];
    crypto_hash_sha256_state h;
    bool any = false;

    memset(hash, 0, HASH_BYTES);
    for (size_t i = 0; i < d->n_buckets; i++)
        for (const struct entry *en = d->buckets[i]; en; en = en->next) {
            if (!str_starts(en->key, prefix))
                continue;
            crypto_hash_sha256_init(&h);
            crypto_hash_sha256_update(&h, (const unsigned char *)en->key, strlen(en->key) + 1);
            crypto_hash_sha256_update(&h, en->value, sizeof(en->value));
            crypto_hash_sha256_final(&h, one);
            sodium_add(hash, one, HASH_BYTES);
            any = true;
        }
    return any;
}

bool audit_digest(const struct audit_digests *d, const char *key, char hex[AUDIT_HASH_HEX])
{
    unsigned char sum[HASH_BYTES];
    const unsigned char *hash = sum;

    if (str_ends(key, " ")) {
        if (!digest_of_all(d, key, sum))
            return false;
    } else {
        const struct entry *en = *find(d, key, key_hash(d, key));
        if (!en)
            return false;
        hash = en->value;
    }
    sodium_bin2hex(hex, AUDIT_HASH_HEX, hash, HASH_BYTES);
    return true;
}
