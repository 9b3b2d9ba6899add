/* Strict HTTP/1.1 request heads (RFC 9112). Bytes in, struct out: no I/O. The bytes are hostile; whatever two servers
 * could read in two ways is refused: transfer-encoding, duplicate, signed or non-digit Content-Length, folded lines,
 * bare LF or CR, blanks before the colon, NUL and other control characters, targets that are not a path, a missing or
 * repeated Host. A refusal ends the connection; http1_head.status says with which status to answer.
 * Bodies are the caller's: it reads content_length bytes that follow the head. */
#ifndef HOLM_PROTO_HTTP1_H
#define HOLM_PROTO_HTTP1_H

#include "base/buf.h"
#include "base/err.h"

#define HTTP1_HEAD_MAX    8192u /* bytes of request line and headers together */
#define HTTP1_HEADERS_MAX 64u
#define HTTP1_LENGTH_MAX  999999999999999999ull

struct http1_header {
    const char *name;  /* lower case */
    const char *value; /* without blanks around it; may hold bytes >= 0x80, no control character but tab */
};

struct http1_head {
    /* Results, valid once http1_head_feed returned 1; pointers live as long as the head. */
    const char *method; /* upper-case token, not necessarily one we serve */
    const char *target; /* as it came, query included */
    const char *query;  /* after the first '?', raw; "" if none */
    char *path;         /* percent-decoded once, valid UTF-8, begins with '/', no empty, "." or ".." segment and no
                           trailing '/' but in "/" itself */
    const char *host;   /* "" only for HTTP/1.0 */
    bool is_http10;
    bool is_keep_alive;
    bool has_length;
    bool expects_continue;
    uint64_t content_length;
    struct http1_header headers[HTTP1_HEADERS_MAX];
    size_t n_headers;
    unsigned status; /* set with an error: 400, 417, 431, 501, 505 */

    /* Private. */
    struct buf bytes;
    size_t line_bytes, n_lines, leading_lines;
    bool saw_cr;
};

void http1_head_init(struct http1_head *h);
void http1_head_done(struct http1_head *h);

/* Takes bytes up to the end of the head; ret_used says how many. 1 = complete, 0 = more is needed, negative = refused
 * (status is set). Not to be called again after 1 or an error. */
MUST_CHECK int http1_head_feed(struct http1_head *h, const char *data, size_t n, size_t *ret_used, struct err *e);

/* True once a byte other than an empty line came. */
bool http1_head_is_begun(const struct http1_head *h);

/* First header of that (lower-case) name, or NULL. */
const char *http1_head_get(const struct http1_head *h, const char *name);
/* Whether a comma-separated header holds the token, case-insensitively; parameters (";q=0") of it are returned. */
bool http1_head_has_token(const struct http1_head *h, const char *name, const char *token, const char **ret_params);
/* Accept-Encoding names gzip with a quality other than zero. */
bool http1_head_accepts_gzip(const struct http1_head *h);

#endif
