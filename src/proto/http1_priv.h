/* Between http1.c and http1_fields.c. */
#ifndef HOLM_PROTO_HTTP1_PRIV_H
#define HOLM_PROTO_HTTP1_PRIV_H

#include "proto/http1.h"

int http1_refuse(struct http1_head *h, unsigned status, struct err *e, const char *text);
int http1_parse_target(struct http1_head *h, struct err *e);
int http1_check_fields(struct http1_head *h, struct err *e);

#endif
