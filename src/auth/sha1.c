/* SHA-1 and its HMAC, because libsodium leaves it out and one-time passwords (RFC 4226) are defined with it. HMAC does
 * not need the collision resistance that SHA-1 has lost; nothing else may use this file. Pure. */
#include "auth/sha1.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"

#define BLOCK_BYTES 64u

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

/* RFC 3174, 6.1 */
static void add_block(uint32_t h[5], const unsigned char *block)
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

    for (unsigned t = 0; t < 16; t++, block += 4)
        w[t] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (unsigned t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (unsigned t = 0; t < 80; t++) {
        uint32_t f = t < 20 ? (b & c) | (~b & d) : t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        uint32_t k = t < 20 ? 0x5a827999 : t < 40 ? 0x6ed9eba1 : t < 60 ? 0x8f1bbcdc : 0xca62c1d6;
        uint32_t next = rotate(a, 5) + f + e + w[t] + k;
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
    mem_wipe(w, sizeof(w));
}

static void put_be(unsigned char *dst, unsigned n, uint64_t v)
{
    for (unsigned i = 0; i < n; i++)
        dst[i] = (unsigned char)(v >> (8 * (n - 1 - i)));
}

void sha1(const unsigned char *data, size_t n, unsigned char ret[SHA1_BYTES])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char last[2 * BLOCK_BYTES] = {0};
    uint64_t n_bits = (uint64_t)n * 8;

    for (; n >= BLOCK_BYTES; n -= BLOCK_BYTES, data += BLOCK_BYTES)
        add_block(h, data);
    /* The rest, a one bit, zeros, and the length at the end of one block or, when it does not fit, of two. */
    size_t end = n + 9 <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    if (n)
        memcpy(last, data, n);
    last[n] = 0x80;
    put_be(last + end - 8, 8, n_bits);
    for (size_t i = 0; i < end; i += BLOCK_BYTES)
        add_block(h, last + i);
    for (unsigned i = 0; i < 5; i++)
        put_be(ret + 4 * i, 4, h[i]);
    mem_wipe(last, sizeof(last));
}

void sha1_hmac(const unsigned char *key, size_t key_n, const unsigned char *data, size_t n,
               unsigned char ret[SHA1_BYTES])
{
    unsigned char inner[2 * BLOCK_BYTES] = {0}, outer[BLOCK_BYTES + SHA1_BYTES] = {0};

    assert(n <= BLOCK_BYTES);
    if (key_n > BLOCK_BYTES)
        sha1(key, key_n, inner);
    else if (key_n)
        memcpy(inner, key, key_n);
    for (unsigned i = 0; i < BLOCK_BYTES; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    if (n)
        memcpy(inner + BLOCK_BYTES, data, n);
    sha1(inner, BLOCK_BYTES + n, outer + BLOCK_BYTES);
    sha1(outer, sizeof(outer), ret);
    mem_wipe(inner, sizeof(inner));
    mem_wipe(outer, sizeof(outer));
}
