/* The TLS side of holm-front: 1.2 and 1.3, HTTP/1.1 only by ALPN (HTTP/2 has no reason phrase, which clients read),
 * no renegotiation, no compression, session tickets instead of a session cache. */
#ifndef HOLM_FRONT_TLS_H
#define HOLM_FRONT_TLS_H

#include <openssl/ssl.h>

#include "base/err.h"

/* Reads certificate chain and key (PEM) from the descriptors and closes them. */
MUST_CHECK int tls_context_new(int cert_fd, int key_fd, SSL_CTX **ret, struct err *e);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, 4.2.2); dst has 29 bytes. */
MUST_CHECK int tls_websocket_accept(const char *key, char *dst, size_t cap);

#endif
