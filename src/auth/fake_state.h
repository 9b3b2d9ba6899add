/* For tests and fuzz harnesses of this folder: a store in memory whose watches are called at once. It takes the place
 * of the real one by defining the functions that auth calls; expectations are collected, not checked. */
#ifndef HOLM_AUTH_FAKE_STATE_H
#define HOLM_AUTH_FAKE_STATE_H

#include "auth/auth_priv.h"

#define FAKE_WATCHES_MAX 32u

enum fake_kind { FAKE_PUT, FAKE_DELETE, FAKE_EXPECT };

struct state_watch {
    const char *prefix;
    state_watch_fn fn;
    void *arg;
};

struct state_txn {
    struct {
        enum fake_kind kind;
        char *key, *value;
        uint64_t revision;
    } ops[STATE_TXN_OPS_MAX];
    size_t n;
    int broken;
};

static struct state_watch fake_watches[FAKE_WATCHES_MAX];
static uint64_t fake_revision;

int state_watch(struct state *s, const char *prefix, state_watch_fn fn, void *arg, struct state_watch **ret,
                struct err *e)
{
    for (size_t i = 0; i < FAKE_WATCHES_MAX; i++) {
        if (fake_watches[i].prefix)
            continue;
        fake_watches[i] = (struct state_watch){.prefix = prefix, .fn = fn, .arg = arg};
        *ret = &fake_watches[i];
        return 0;
    }
    return err_set(e, -ENOMEM, NULL, "too many watches");
}

void state_unwatch(struct state_watch *w)
{
    if (w)
        w->prefix = NULL;
}

struct state_txn *state_txn_new(void)
{
    return calloc(1, sizeof(struct state_txn));
}

void state_txn_free(struct state_txn *t)
{
    for (size_t i = 0; t && i < t->n; i++) {
        free(t->ops[i].key);
        free(t->ops[i].value);
    }
    free(t);
}

static inline void fake_add(struct state_txn *t, enum fake_kind kind, const char *key, const char *value,
                            uint64_t revision)
{
    if (!*key || strlen(key) > STATE_KEY_MAX || t->n == STATE_TXN_OPS_MAX)
        t->broken = -E2BIG;
    if (t->broken)
        return;
    t->ops[t->n].kind = kind;
    t->ops[t->n].key = strdup(key);
    t->ops[t->n].value = value ? strdup(value) : NULL;
    t->ops[t->n++].revision = revision;
}

void state_txn_put(struct state_txn *t, const char *key, const char *value)
{
    fake_add(t, FAKE_PUT, key, value, 0);
}

void state_txn_delete(struct state_txn *t, const char *key)
{
    fake_add(t, FAKE_DELETE, key, NULL, 0);
}

void state_txn_expect(struct state_txn *t, const char *key, uint64_t revision)
{
    fake_add(t, FAKE_EXPECT, key, NULL, revision);
}

size_t state_txn_count(const struct state_txn *t)
{
    return t->n;
}

static inline void fake_feed(const char *key, const char *value)
{
    fake_revision++;
    for (size_t i = 0; i < FAKE_WATCHES_MAX; i++) {
        const char *prefix = fake_watches[i].prefix;
        if (prefix && (str_ends(prefix, "/") ? str_starts(key, prefix) : streq(key, prefix)))
            fake_watches[i].fn(fake_watches[i].arg, key, value, fake_revision);
    }
}

/* Takes and applies a transaction. */
static inline void fake_commit(struct state_txn *t)
{
    for (size_t i = 0; t && !t->broken && i < t->n; i++)
        if (t->ops[i].kind != FAKE_EXPECT)
            fake_feed(t->ops[i].key, t->ops[i].kind == FAKE_PUT ? t->ops[i].value : NULL);
    state_txn_free(t);
}

#endif
