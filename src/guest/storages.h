/* The configured storages as a copy of state keys shared/storage/ID, with a sample of their space that is refreshed in
 * threads of their own, so that a hanging storage holds neither the loop nor the work on other storages. Find and list
 * on the loop thread; storage_mgr_ref may be called from any thread. */
#ifndef HOLM_GUEST_STORAGES_H
#define HOLM_GUEST_STORAGES_H

#include "state/state.h"
#include "storage/storage.h"

struct event_base;
struct storage_mgr;

struct storage_entry {
    struct storage *storage;
    struct storage_space space; /* last sample */
    uint64_t revision;          /* of its configuration */
    bool is_active;             /* the last sample succeeded, and the next one does not take too long */
    char problem[200];          /* why not */
    uint64_t sampled_boot_ms;   /* 0: never */
    bool is_sampling;
    uint64_t sampling_since_ms; /* boot time; under the manager's lock */
};

#define STORAGES_MAX 64u

MUST_CHECK int storage_mgr_new(struct event_base *base, struct state *s, const char *root_dir, const char *node,
                               struct storage_mgr **ret, struct err *e);
void storage_mgr_free(struct storage_mgr *m);
size_t storage_mgr_count(struct storage_mgr *m);
const struct storage_entry *storage_mgr_at(struct storage_mgr *m, size_t i); /* ordered by name */
const struct storage_entry *storage_mgr_find(struct storage_mgr *m, const char *id);
/* A reference to drop with storage_unref, or -ENOENT "storage 'x' does not exist"; refused when it is disabled, not of
 * this node, or has not answered for a while. Any thread. */
MUST_CHECK int storage_mgr_ref(struct storage_mgr *m, const char *id, struct storage **ret, struct err *e);
/* Removes what an interrupted write left in every storage; blocking, at start. */
void storage_mgr_sweep(struct storage_mgr *m);
/* The transaction that defines the storage "local" on an empty root, NULL if there is one. */
struct state_txn *storage_mgr_first(struct storage_mgr *m);

#endif
