/* For tests and fuzz harnesses of this folder: a store in memory whose watches are called at once. It takes the place
 * of state.c by defining the functions that auth calls; transactions are the real ones. */
#ifndef HOLM_AUTH_FAKE_STATE_H
#define HOLM_AUTH_FAKE_STATE_H

#include "auth/auth_priv.h"
#include "state/state_priv.h"

#define FAKE_WATCHES_MAX 32u

struct state_watch {
    const char *prefix;
    state_watch_fn fn;
    void *arg;
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

static inline void fake_feed(const char *key, const char *value)
{
    fake_revision++;
    for (size_t i = 0; i < FAKE_WATCHES_MAX; i++) {
        const char *prefix = fake_watches[i].prefix;
        if (prefix && (str_ends(prefix, "/") ? str_starts(key, prefix) : streq(key, prefix)))
            fake_watches[i].fn(fake_watches[i].arg, key, value, fake_revision);
    }
}

/* Takes and applies a transaction; expectations are not looked at. */
static inline void fake_commit(struct state_txn *t)
{
    for (size_t i = 0; t && !t->broken && i < t->n_ops; i++)
        if (t->ops[i].kind == STATE_OP_PUT || t->ops[i].kind == STATE_OP_DELETE)
            fake_feed(t->ops[i].key, t->ops[i].kind == STATE_OP_PUT ? t->ops[i].value : NULL);
    state_txn_free(t);
}

#endif
