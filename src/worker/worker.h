/* holm-worker's inside: a request, a verb, the sandbox. One process does one request, so there is one thread and no
 * state that outlives it. Everything in a request is checked against the verb's row before the verb runs. */
#ifndef HOLM_WORKER_WORKER_H
#define HOLM_WORKER_WORKER_H

#include "proto/frame.h"

#define WORK_ARGS_MAX      66u   /* a certificate: one common name, 64 names, one to spare */
#define WORK_ARG_BYTES_MAX 1024u /* one argument */
#define WORK_SECRET_MAX    4096u
#define WORK_FDS_MAX       4u

struct work_request;

/* What a verb may use; the sandbox is made from it. */
struct work_limits {
    uint64_t memory_bytes; /* address space above what the program has when it begins */
    uint64_t cpu_s;
    uint64_t cpu_bytes_per_s; /* and a second more for so many bytes of total_bytes; 0 = no more */
    bool writes_files;        /* files may grow to total_bytes; otherwise to nothing */
};

struct work_verb {
    const char *name;
    unsigned min_args, max_args;
    unsigned n_fds;
    bool needs_secret, needs_total;
    struct work_limits limits;
    const int *calls; /* allowed system calls, ends with -1; those of sandbox.c's common list come on top */
    /* Before the last door closes: loads what would need a file or a forbidden call later. May be NULL. */
    int (*prepare)(const struct work_request *q, struct err *e);
    /* Appends answer fields; RESULT is appended by the caller. */
    int (*run)(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
};

struct work_request {
    const struct work_verb *verb;
    uint32_t stream;
    const char *args[WORK_ARGS_MAX];
    size_t n_args;
    uint8_t *secret; /* NUL-terminated; secret_len bytes before it */
    size_t secret_len;
    uint64_t total_bytes;
    char *memory; /* the arguments' text */
};

/* verbs.c; ends with a row without name. */
extern const struct work_verb work_verbs[];
const struct work_verb *work_verb_find(const char *name);

/* Parses a WORK payload with n_fds descriptors; pure. -EPROTO "work.request" for what is malformed or does not fit the
 * verb, -ENOSYS "work.verb" for an unknown one. On success work_request_done is due. */
MUST_CHECK int work_request_parse(const void *payload, size_t n, size_t n_fds, struct work_request *ret, struct err *e);
void work_request_done(struct work_request *q);

/* sandbox.c, in this order. early: no new privileges, no dump, no core, few descriptors, no path at all. */
MUST_CHECK int sandbox_early(struct err *e);
MUST_CHECK int sandbox_limits(const struct work_request *q, struct err *e);
MUST_CHECK int sandbox_seal(const struct work_verb *verb, struct err *e);

int verb_argon2id_prepare(const struct work_request *q, struct err *e);
int verb_argon2id_hash(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
int verb_argon2id_verify(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
int verb_cert_prepare(const struct work_request *q, struct err *e);
int verb_cert_make(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
int verb_cert_info_prepare(const struct work_request *q, struct err *e);
int verb_cert_info(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
int verb_cert_check(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
int verb_receive_prepare(const struct work_request *q, struct err *e);
int verb_append_prepare(const struct work_request *q, struct err *e);
int verb_append(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
int verb_verify(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);
int verb_receive(const struct work_request *q, const int *fds, struct buf *answer, struct err *e);

#endif
