/* A change of a guest's configuration, from the request's parameters to the new configuration and the plan that makes
 * its volumes. Creation is a change of an empty configuration.
 *
 *   change_init   loop: permissions, classes of keys, digest, what the request means
 *   change_plan   pool thread: names, sizes and existence of volumes; fills steps
 *   change_apply  loop: the new state value
 */
#ifndef HOLM_API_QEMU_CHANGE_H
#define HOLM_API_QEMU_CHANGE_H

#include "api/common.h"
#include "guest/chain.h"

struct propstr;

/* The source of a new volume (qemu_import.c). */
struct change_import {
    char key[16];
    char *path;            /* of a file of the host, or NULL: */
    struct volume_id from; /* a volume, */
    struct chain chain;    /* and what it stands on */
};

/* A guest whose disk is copied: nobody else changes or starts it. */
struct change_hold {
    uint32_t vmid;
    struct task_hold *hold;
};

struct change {
    struct api_call *call;
    const struct api_route *route; /* the one whose keys these are */
    struct storage_mgr *storages;
    uint32_t vmid;
    bool is_create, is_forced, is_running;
    bool has_own_only; /* a volume that only its number makes the guest's: it must be younger than the guest */
    const char *pool;  /* creation into a pool: permissions count there too */
    const struct engine *engine;
    char engine_name[16], machine[32], uuid[37];
    int64_t ctime_s;
    uint64_t revision;
    struct config config;  /* in force now */
    struct config pending; /* as it will be */
    struct config set;     /* keys of this request, values completed by planning */
    const char **deleted;  /* keys of this request */
    size_t n_deleted;
    const char *warnings[32]; /* advisory keys of this request */
    size_t n_warnings;
    json_t *steps;
    size_t n_creates, n_removes;
    struct change_import *imports;
    size_t n_imports;
    struct change_hold *holds;
    size_t n_holds;
};

/* Parameters that are not configuration keys, for POST and PUT config; zero for creation. */
struct change_request {
    const struct api_kv *set;
    size_t n_set;
    const char *deleted, *reverted, *digest;
    bool is_forced, is_lock_skipped;
};

struct change *change_new(struct api_call *c, uint32_t vmid);
void change_free(struct change *ch);
MUST_CHECK int change_init(struct change *ch, const struct guest *g, const struct change_request *q, struct err *e);
int change_plan(void *ch, struct err *e);
/* Applies to config/pending: a stopped guest (or a key that a running one takes at once) changes now, the rest waits.
 */
MUST_CHECK int change_apply(struct change *ch, struct err *e);
/* A transaction with the new value; NULL when out of memory. */
struct state_txn *change_txn(struct change *ch);
/* {"plan":[…]} for dry-run. */
int change_reply_plan(struct change *ch);

/* qemu.c: a change that sets, deletes or reverts keys; ends the call. is_async: with a UPID. */
int qemu_update(struct api_call *c, const char *node, uint32_t vmid, const struct change_request *q, bool is_async,
                struct err *e);

/* qemu.c: a key of a configuration in a reply, as the type that its parameter has. */
void qemu_write_value(struct api_call *c, const char *key, const char *value);
/* qemu.c: what may be shown of a value: not the hash of a password. */
const char *qemu_shown(const char *key, const char *value);
/* qemu.c: one key of GET pending and GET cloudinit; value and pending may be NULL. */
void qemu_pending_item(struct jw *w, const char *key, const char *value, const char *pending, bool is_deleted);

/* qemu_change.c: of a new guest, or interface. */
void qemu_random_uuid(char dst[37]);
void qemu_random_mac(char dst[18]);

/* qemu_import.c. add: loop, a drive's value with import-from; an error as change_check_key has it. */
MUST_CHECK int change_import_add(struct change *ch, const char *key, const struct propstr *p, struct err *e);
/* The value without it: no part of a configuration. */
MUST_CHECK int change_import_strip(const char *value, struct buf *out, struct err *e);
const struct change_import *change_import_find(const struct change *ch, const char *key);
/* Pool thread. fixed_bytes: what its size has to be; 0: any. */
MUST_CHECK int change_import_look(struct change *ch, const struct change_import *im, uint64_t fixed_bytes,
                                  uint64_t *ret_bytes, enum volume_format *ret_format, struct err *e);
json_t *change_import_step(const struct change_import *im, const struct volume_id *to, uint64_t size_bytes);
void change_imports_done(struct change *ch);

/* permission of one key (qemu_perm.c) */
MUST_CHECK int change_check_key(struct change *ch, const struct api_param *p, const char *key, const char *value,
                                struct err *e);

#endif
