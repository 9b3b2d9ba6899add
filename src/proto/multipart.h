/* multipart/form-data of an upload (RFC 7578), incrementally and in constant memory: small fields first, then one
 * file, nothing after it. The bytes are hostile; there is no preamble, no nesting, no transfer encoding and nothing
 * but an empty line after the end. Pure: the caller reads and writes. */
#ifndef HOLM_PROTO_MULTIPART_H
#define HOLM_PROTO_MULTIPART_H

#include "base/buf.h"
#include "base/err.h"

#define MULTIPART_BOUNDARY_MAX 70u
#define MULTIPART_VALUE_MAX    (64u * 1024u)
#define MULTIPART_HEAD_MAX     (8u * 1024u)
#define MULTIPART_FIELDS_MAX   64u
#define MULTIPART_NAME_MAX     256u
#define MULTIPART_FILE_FIELD   "filename" /* the part of this name is the file */

enum multipart_event {
    MULTIPART_MORE = 0,   /* all input was used */
    MULTIPART_FIELD,      /* name and value are complete */
    MULTIPART_FILE_BEGIN, /* file_name is known */
    MULTIPART_FILE_DATA,  /* data, data_len: valid until the next call */
    MULTIPART_FILE_END,
    MULTIPART_END, /* the closing boundary came; only CR LF may follow */
};

struct multipart {
    char name[MULTIPART_NAME_MAX];
    char file_name[MULTIPART_NAME_MAX];
    struct buf value;
    const char *data;
    size_t data_len;

    /* Private. */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1]; /* CR LF - - boundary */
    size_t delimiter_len, n_matched, n_fields, n_tail;
    struct buf head;
    enum { MULTIPART_IN_DATA, MULTIPART_AFTER_DELIMITER, MULTIPART_IN_HEAD, MULTIPART_AT_END } state;
    enum { MULTIPART_PREAMBLE, MULTIPART_IS_FIELD, MULTIPART_IS_FILE } part;
    char after; /* first byte after a delimiter */
    bool had_file;
};

/* content_type is the whole header. -EINVAL unless it is multipart/form-data with a usable boundary. */
MUST_CHECK int multipart_init(struct multipart *m, const char *content_type, struct err *e);
void multipart_done(struct multipart *m);

/* Takes bytes up to the next event. Returns an enum multipart_event or a negative errno. May return an event with
 * *ret_used == 0; call again with the rest. */
MUST_CHECK int multipart_feed(struct multipart *m, const char *data, size_t n, size_t *ret_used, struct err *e);

#endif
