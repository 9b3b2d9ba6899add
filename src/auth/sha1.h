/* HMAC-SHA-1 (RFC 2104, RFC 3174): for one-time passwords only, where authenticators know nothing newer. */
#ifndef HOLM_AUTH_SHA1_H
#define HOLM_AUTH_SHA1_H

#include <stddef.h>

#define SHA1_BYTES 20u

void sha1(const unsigned char *data, size_t n, unsigned char ret[SHA1_BYTES]);
/* Keys of more than 64 bytes are hashed first; data of at most 64 bytes (a counter). */
void sha1_hmac(const unsigned char *key, size_t key_n, const unsigned char *data, size_t n,
               unsigned char ret[SHA1_BYTES]);

#endif
