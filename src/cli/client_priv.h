/* The connection to a running holmd over its local socket, one request at a time. */
#ifndef HOLM_CLI_CLIENT_PRIV_H
#define HOLM_CLI_CLIENT_PRIV_H

#include "cli/command_priv.h"

/* What a daemon may send for one request; a larger answer ends it. */
#define REPLY_BYTES_MAX (64u * 1024u * 1024u)
#define REPLY_DEPTH_MAX 64u

struct client;

struct request {
    const char *method, *path;
    const char *kind;      /* NULL = "plain" */
    const char *file_name; /* uploads */
    const struct cli_param *params;
    size_t n_params;
    bool is_dry_run;
};

struct reply {
    json_t *root;    /* the whole body; NULL when there was none */
    json_t *data;    /* borrowed from root; NULL for null */
    unsigned status; /* 0: no reply came */
    int fd;          /* UPGRADE, UPLOAD_GO; -1 otherwise */
    bool is_upload;
    char mode[32];
};
#define REPLY_INIT                                                                                                     \
    {                                                                                                                  \
        .fd = -EBADF                                                                                                   \
    }
void reply_done(struct reply *r);
#define autoreply __attribute__((cleanup(reply_done)))

/* "ROOT/run/holm.sock"; waits for the daemon's greeting. deadline_ms: CLOCK_BOOTTIME, 0 = a default per request. */
MUST_CHECK int client_open(const char *root, uint64_t deadline_ms, struct client **ret, struct err *e);
void client_free(struct client *c);
const char *client_node(const struct client *c);

/* Sends the request and waits for its reply. A status from 400 on is an error (fail_from_reply); ret_reply is set on
 * success, its root on such an error too. */
MUST_CHECK int client_call(struct client *c, const struct request *q, struct reply *ret_reply, struct err *e);
/* Ends an upload whose fd was written: result 0 or a negative errno; waits for the reply. */
MUST_CHECK int client_upload_end(struct client *c, int result, struct reply *ret_reply, struct err *e);
/* Lets ms pass; ends early with an error when the daemon goes away or a signal comes. */
MUST_CHECK int client_sleep(struct client *c, unsigned ms, struct err *e);

/* call.c: a plain call with the settings of this run; keeps parameter errors for fail_print. */
MUST_CHECK int call_api(struct cli *c, const struct request *q, struct reply *ret_reply, struct err *e);
MUST_CHECK int call_get(struct cli *c, const char *path, struct reply *ret_reply, struct err *e);
/* A path from its template: {node}, {vmid} and the rest through get. Values hold no '/' and no control character. */
MUST_CHECK int call_path(const char *path_template, const char *(*get)(void *arg, const char *key), void *arg,
                         struct buf *ret_path, struct err *e);

#endif
