/* The API: routes generated from the files in api, one dispatcher, one handler per method. Runs on the loop thread;
 * nothing here blocks (storage and files are asked in pool threads through api_offload).
 *
 * A handler is
 *     int api_NAME(struct api_call *c, const struct api_NAME_args *a, struct err *e)
 * where NAME is the route's "handler" and the args struct is generated from its parameters: already validated, strings
 * NULL and has_x false when absent. It returns
 *     0          c->out holds exactly one JSON value (nothing written = null): the reply
 *     API_LATER  somebody calls api_finish(c, …) later, exactly once, on the loop
 *     negative   the error in e
 * Error codes decide the HTTP status: param.* 400, auth.failed/auth.expired/auth.csrf 401, auth.denied 403,
 * auth.limited 429, route.* 501, anything else 500. The text is what PVE's clients match; see doc/guide/api.md. */
#ifndef HOLM_API_API_H
#define HOLM_API_API_H

#include "auth/auth.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "state/state.h"

struct event_base;
struct guest_mgr;
struct storage_mgr;
struct task_mgr;
struct pool;
struct workers;
struct engine_host;
struct idempotency;
struct auth_limit;
struct password_gate;
struct lasting;
struct audit;
struct audit_digests;
struct stats;
struct settings;
struct net_mgr;
struct fronts;
struct uploads;
struct events;

/* Everything a handler may use; one per daemon. */
struct api {
    struct event_base *base;
    struct state *state;
    struct auth *auth;
    struct task_mgr *tasks;
    struct guest_mgr *guests;
    struct storage_mgr *storages;
    struct net_mgr *networks;
    struct pool *pool;
    struct workers *workers;  /* holm-worker */
    struct workers *fetchers; /* holm-fetch: downloads, and short questions that must not wait behind them */
    struct workers *probers;
    struct auth_limit *limit;
    struct password_gate *passwords, *pam_passwords; /* holm-worker and holm-pam, for passwords only */
    struct lasting *lasting;
    struct events *events;
    struct uploads *uploads; /* in pieces */
    struct idempotency *idempotency;
    struct audit *audit;
    struct audit_digests *digests;
    bool is_verifying; /* the audit log */
    struct stats *stats;
    struct settings *settings;
    const struct engine_host *host;
    const char *node;
    const char *root_dir;
    const char *images_list; /* the catalogue of cloud images that comes with Holm */
    const char *address;     /* the node's own, as shown in /cluster/status */
    struct fronts *fronts;   /* holm-front's processes */
    /* Has them take the certificate that is there now: new ones take over, the old ones serve what they have begun. */
    int (*renew_fronts)(struct fronts *f, struct err *e);
    unsigned console_port;          /* last label handed out, 5900-5999 */
    struct list_node console_waits; /* see console_wait.c */
};

#define API_LATER 1

/* What audit.c and dispatch.c remember of a call until its record is written. */
struct api_audit {
    bool is_begun, is_replay;
    bool is_half_login; /* the password was right, the second factor is still to come */
    int slot;
    int64_t time_ms;
    uint64_t id;
    const char *object; /* key of what it changes, "" */
    char before[65];
    int result; /* of the call */
    int fd;     /* a console waiting for its record */
    const char *mode;
};

struct api_route;
struct api_raw_param {
    char kind; /* enum param_kind */
    const char *key, *value;
};

/* An indexed or configuration parameter ("scsi0", "memory"): value as the client wrote it, validated. */
struct api_kv {
    const char *key, *value;
};

struct api_call;
struct api_call_ops {
    /* Sends the reply; the call is freed afterwards. */
    void (*reply)(struct api_call *c);
    /* A console: hands over one end of a byte stream instead of a reply. */
    void (*upgrade)(struct api_call *c, int fd, const char *mode);
    /* A call in `lasting` may go on no longer: a console is cut, an upload comes to an end with is_revoked set. */
    void (*revoke)(struct api_call *c);
    /* An upload: the fd that takes the file part; api_call_upload_done is called at its end. */
    void (*upload)(struct api_call *c, int fd);
};

struct api_call {
    struct api *api;
    const struct api_call_ops *ops;
    void *owner; /* the connection's */
    uint32_t stream;
    const struct api_route *route;
    struct auth_subject who;
    char method[8];
    const char *path; /* after /api2/FORMAT */
    bool is_extjs;
    bool is_local; /* came over the local socket */
    bool is_gone;  /* the client went away: finish all the same, nothing is sent */
    bool is_dry_run;
    bool has_secret; /* set by the handler: the reply is not kept for an Idempotency-Key */
    bool is_revoked; /* while it lasted, its caller lost the right to it */
    struct list_node lasting_node;
    uint32_t lasting_round;
    bool is_cookie; /* the ticket came in a cookie: a page of another site may have sent it */
    const char *peer, *ticket, *token, *csrf, *kind, *origin, *host, *file_name, *idempotency_key;
    char idempotency_state_key[96];
    struct api_audit audit;
    struct api_raw_param *raw;
    size_t n_raw;
    struct arena arena;
    struct buf body; /* the value of "data" */
    struct jw out;
    bool has_total;
    uint64_t total;
    struct buf param_errors; /* "name":"text",… JSON members */
    const char *error_param; /* the parameter that the call's one error is about, whatever its status */
    unsigned status;         /* filled for ops->reply */
    uint64_t begun_ms;
    uint32_t delay_ms;      /* the reply is not sent sooner than so long after begun_ms */
    unsigned retry_after_s; /* of a 429 */
    bool is_counted;        /* an attempt at a password or code is open: access_limit.h */
    bool is_known_peer;     /* the account has logged in from this address before */
    const char *header;     /* "Name: value" of the reply, or NULL */
    struct err error;
    void (*on_upload_done)(struct api_call *c, int result, void *arg);
    void *on_upload_arg;
};

/* Records a parameter error; returns -EINVAL with code param.invalid in e, so a handler may collect several and return.
 */
int api_param_error(struct api_call *c, struct err *e, const char *param, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Ends a call that answered API_LATER (or any call, by the dispatcher). */
void api_finish(struct api_call *c, int r, const struct err *e);

/* Ends a console's call with one end of a byte stream (taken), once its audit record is written. Returns API_LATER. */
int api_upgrade(struct api_call *c, int fd, const char *mode);

/* Commits a transaction and ends the call: data null, or what the handler already wrote to c->out. Returns API_LATER.
 */
int api_commit(struct api_call *c, struct state_txn *t);

/* Runs work in a pool thread, then finish on the loop; finish writes c->out and returns like a handler. ctx comes from
 * c->arena or is the caller's. Returns API_LATER. */
int api_offload(struct api_call *c, int (*work)(void *ctx, struct err *e),
                int (*finish)(struct api_call *c, void *ctx, int r, struct err *e), void *ctx);

/* False for a request that a page of another site made a browser send (its Origin header says so). */
bool api_is_own_origin(const struct api_call *c);

/* Permission on a path or an "auth.denied" error. */
MUST_CHECK int api_require(struct api_call *c, const char *path, priv_mask mask, bool any, struct err *e);
/* root@pam itself, or the error PVE gives. */
MUST_CHECK int api_require_root(struct api_call *c, struct err *e);
/* Parameter of any route by its name, as the client sent it; NULL if absent. */
const char *api_raw_get(const struct api_call *c, const char *key);

/* Takes a new request (fields of a REQUEST frame already decoded into c): authenticates, finds the route, validates,
 * checks permission, calls the handler. Always ends in ops->reply, ops->upgrade or ops->upload. */
void api_dispatch(struct api_call *c);
void api_call_free(struct api_call *c);

#endif
