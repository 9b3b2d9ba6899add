/* storage upload: what sending in one go and in pieces share. */
#ifndef HOLM_CLI_UPLOAD_PRIV_H
#define HOLM_CLI_UPLOAD_PRIV_H

#include <sodium.h>
#include <sys/stat.h>

#include "cli/run_priv.h"

struct upload {
    struct cli *c;
    const struct cli_args *args;
    const char *path;    /* ".../upload" */
    const char *name;    /* in the storage */
    const char *content; /* "iso" */
    int file, pipe;
    struct stat st;
    uint64_t done_bytes, total_bytes, shown_ms, start_ms, start_bytes;
    crypto_hash_sha256_state digest; /* of done_bytes, once something was read with is_hashed */
    bool is_shown, is_hashed;
};

/* Sends n bytes of the file, from where it stands, into the pipe that the daemon answered with, and returns what it
 * says in the end. Fewer are sent only if the file ends, which is an error unless n is UINT64_MAX. */
MUST_CHECK int upload_transfer(struct upload *u, struct reply *go, uint64_t n, struct reply *ret_end, struct err *e);
void upload_show(struct upload *u, bool is_last);

/* upload_pieces.c: sends the file so that it can go on after whatever breaks off. -EOPNOTSUPP "cli.no-pieces" if the
 * daemon does not know how. */
MUST_CHECK int upload_pieces(struct upload *u, json_t **ret_result, struct err *e);

#endif
