/* One record as a line: {"v":1,"seq":N,…,"prev":"HEX","hash":"HEX"}. The hash is SHA-256 over the line's bytes before
 * `,"hash":`, so it covers the hash of the record before and can be checked with sha256sum. Pure; any thread. */
#include <inttypes.h>
#include <sodium.h>

#include "audit/audit_priv.h"

#define HEX_LEN     64u
#define PREV_KEY    ",\"prev\":\""
#define HASH_KEY    "\",\"hash\":\""
#define LINE_END    "\"}"
#define LINE_BEGIN  "{\"v\":1,\"seq\":"
#define PREV_LEN    (sizeof(PREV_KEY) - 1)
#define HASH_LEN    (sizeof(HASH_KEY) - 1)
#define END_LEN     (sizeof(LINE_END) - 1)
#define BEGIN_LEN   (sizeof(LINE_BEGIN) - 1)
#define SUFFIX_LEN  (PREV_LEN + HEX_LEN + HASH_LEN + HEX_LEN + END_LEN)
#define HASHED_TAIL (HASH_LEN - 1 + HEX_LEN + END_LEN) /* all but the quote that ends prev */

const char audit_first_hash[AUDIT_HASH_HEX] = "0000000000000000000000000000000000000000000000000000000000000000";

static void hash_hex(const char *p, size_t n, char hex[AUDIT_HASH_HEX])
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const unsigned char *)p, n);
    sodium_bin2hex(hex, AUDIT_HASH_HEX, hash, sizeof(hash));
}

void audit_line_append(struct buf *out, const char *body, struct audit_chain *chain)
{
    size_t start = out->len, n = strlen(body);

    buf_printf(out, LINE_BEGIN "%" PRIu64, ++chain->seq);
    if (n > 2) { /* without its braces */
        buf_append_char(out, ',');
        buf_append(out, body + 1, n - 2);
    }
    buf_printf(out, PREV_KEY "%s\"", chain->hash);
    if (out->is_failed)
        return;
    hash_hex(out->data + start, out->len - start, chain->hash);
    buf_printf(out, ",\"hash\":\"%s" LINE_END "\n", chain->hash);
}

static bool take_hex(const char *p, char dst[AUDIT_HASH_HEX])
{
    memcpy(dst, p, HEX_LEN);
    dst[HEX_LEN] = 0;
    return strspn(dst, "0123456789abcdef") == HEX_LEN;
}

bool audit_line_read(const char *line, size_t n, struct audit_line *ret)
{
    char right[AUDIT_HASH_HEX];

    if (n < BEGIN_LEN + 1 + SUFFIX_LEN || n >= AUDIT_LINE_MAX || memcmp(line, LINE_BEGIN, BEGIN_LEN) != 0 ||
        !audit_line_number(line, n, "\"seq\":", &ret->seq))
        return false;
    const char *suffix = line + n - SUFFIX_LEN, *hash = suffix + PREV_LEN + HEX_LEN;
    if (memcmp(suffix, PREV_KEY, PREV_LEN) != 0 || memcmp(hash, HASH_KEY, HASH_LEN) != 0 ||
        memcmp(line + n - END_LEN, LINE_END, END_LEN) != 0 || !take_hex(suffix + PREV_LEN, ret->prev) ||
        !take_hex(hash + HASH_LEN, ret->hash))
        return false;
    hash_hex(line, n - HASHED_TAIL, right);
    ret->is_hash_right = streq(right, ret->hash);
    return true;
}

bool audit_line_number(const char *line, size_t n, const char *key, uint64_t *ret)
{
    const char *p = memmem(line, n, key, strlen(key)), *end = line + n;
    uint64_t value = 0;
    unsigned digits = 0;

    if (!p)
        return false;
    for (p += strlen(key); p < end && *p >= '0' && *p <= '9' && digits < 19; p++, digits++)
        value = value * 10 + (uint64_t)(*p - '0');
    *ret = value;
    return digits > 0;
}
