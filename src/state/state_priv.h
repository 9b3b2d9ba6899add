/* Between the store's generic half (state.c: queue, watches, leases) and a backend (sqlite.c). */
#ifndef HOLM_STATE_STATE_PRIV_H
#define HOLM_STATE_STATE_PRIV_H

#include "state/state.h"

enum state_op_kind { STATE_OP_PUT, STATE_OP_DELETE, STATE_OP_EXPECT, STATE_OP_DELETE_LEASE };

struct state_op {
    enum state_op_kind kind;
    char *key;         /* NULL for DELETE_LEASE */
    char *value;       /* PUT */
    uint64_t revision; /* EXPECT */
    uint64_t lease;    /* PUT, DELETE_LEASE */
};

struct state_txn {
    struct state_txn *next;
    struct state_op *ops;
    size_t n_ops;
    size_t bytes;
    int broken; /* first failure while collecting: -E2BIG or -ENOMEM */
    state_done_fn done;
    void *arg;
    int result; /* filled by the writer */
    uint64_t revision;
    struct err err;
};

struct state_backend;
typedef int (*state_scan_fn)(void *arg, const char *key, const char *value, uint64_t revision, struct err *e);

struct state_backend_ops {
    /* Writer thread. Commits all transactions with one sync; sets result, revision and err of each. A DELETE_LEASE
     * is replaced by the DELETEs it stood for, so that watches see them. */
    void (*commit)(struct state_backend *b, struct state_txn *first);
    /* Any thread while no commit runs. Keys in ascending order. */
    int (*scan)(struct state_backend *b, const char *prefix, state_scan_fn fn, void *arg, struct err *e);
    void (*close)(struct state_backend *b);
};

struct state_backend {
    const struct state_backend_ops *ops;
};

int sqlite_backend_open(const char *dir, bool is_read_only, struct state_backend **ret, struct err *e);
int state_new(struct event_base *base, struct state_backend *b, struct state **ret, struct err *e);
int state_txn_add(struct state_txn *t, struct state_op op, const char *key, const char *value);
/* "a/b/" matches what begins with it, "a/b" only itself. */
bool state_prefix_matches(const char *prefix, const char *key);

#endif
