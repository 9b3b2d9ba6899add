/* Request parameters, from the query, a form, a JSON object or multipart fields, as PARAM fields of a REQUEST frame.
 * Each parser appends here, so that the limits hold over all of them together: PARAMS_MAX parameters, names of at most
 * PARAM_NAME_MAX bytes, valid UTF-8 without NUL. "_dc" (a cache breaker of web pages) is dropped. Order and repeated
 * names are kept. Errors are -EINVAL or -E2BIG, both the client's fault. Pure. */
#ifndef HOLM_PROTO_PARAMS_H
#define HOLM_PROTO_PARAMS_H

#include "proto/frame.h"

#define PARAMS_MAX      512u
#define PARAM_NAME_MAX  256u
#define PARAM_DEPTH_MAX 8u
#define PARAM_TOTAL_MAX (900u * 1024u) /* leaves room for the other fields of the frame */

struct params {
    struct buf *out; /* not owned */
    size_t start;    /* out->len at the beginning */
    unsigned count;
};

void params_init(struct params *p, struct buf *out);
MUST_CHECK int params_add(struct params *p, enum param_kind kind, const char *name, size_t name_len, const char *value,
                          size_t value_len, struct err *e);

/* application/x-www-form-urlencoded and query strings: '&' or ';' between pairs, '+' is a blank. A name without '='
 * has an empty value. */
MUST_CHECK int params_add_urlencoded(struct params *p, const char *text, size_t n, struct err *e);

/* A JSON object of strings, numbers, booleans, null (skipped) and arrays of those (repeated names). */
MUST_CHECK int params_add_json(struct params *p, const char *text, size_t n, struct err *e);

#endif
