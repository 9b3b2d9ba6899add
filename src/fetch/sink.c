/* Where the bytes of a body go: through a digest as they came over the wire, unpacked if that is asked for, into the
 * file. What is written is bounded by the request's limit, and what is unpacked also by how much it grew: a bomb is
 * given up long before the limit. A failed fsync is final. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fs.h"
#include "fetch/fetch.h"

#define CHUNK_BYTES (256u * 1024u)
#define ZST_WINDOW  27 /* 128 MiB: what zstd itself unpacks without being told */

static const char *const algorithms[] = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"};

struct sink {
    int fd;
    enum fetch_packing packing;
    uint64_t limit, taken, written;
    EVP_MD_CTX *md;
    uint8_t expected[EVP_MAX_MD_SIZE];
    unsigned expected_len;
    z_stream z;
    ZSTD_DStream *zst;
    bool is_unpacking, is_at_end; /* the packed data ended, and whole */
    uint8_t chunk[CHUNK_BYTES];
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "algorithm:hex" */
static int expect(struct sink *s, const char *text, struct err *e)
{
    const char *colon = strchr(text, ':'), *name = NULL;

    for (size_t i = 0; colon && i < ARRAY_SIZE(algorithms); i++)
        if (strlen(algorithms[i]) == (size_t)(colon - text) && str_starts(text, algorithms[i]))
            name = algorithms[i];
    const EVP_MD *md = name ? EVP_get_digestbyname(name) : NULL;
    if (!md)
        return err_set(e, -EINVAL, "image.checksum", "unknown checksum algorithm");
    s->expected_len = (unsigned)EVP_MD_get_size(md);
    if (strlen(colon + 1) != 2 * (size_t)s->expected_len)
        return err_set(e, -EINVAL, "image.checksum", "a %s checksum has %u characters", name, 2 * s->expected_len);
    for (unsigned i = 0; i < s->expected_len; i++) {
        int high = hex_digit(colon[1 + 2 * i]), low = hex_digit(colon[2 + 2 * i]);
        if (high < 0 || low < 0)
            return err_set(e, -EINVAL, "image.checksum", "a checksum is hexadecimal");
        s->expected[i] = (uint8_t)(high << 4 | low);
    }
    s->md = EVP_MD_CTX_new();
    if (!s->md || !EVP_DigestInit_ex(s->md, md, NULL))
        return err_set(e, -EIO, "work.crypto", "digest %s cannot be computed", name);
    return 0;
}

static int open_unpacker(struct sink *s, struct err *e)
{
    if (s->packing == FETCH_GZ) {
        if (inflateInit2(&s->z, 15 + 16) != Z_OK)
            return err_set(e, -ENOMEM, NULL, "out of memory");
        s->is_unpacking = true;
    } else if (s->packing == FETCH_ZST) {
        s->zst = ZSTD_createDStream();
        if (!s->zst || ZSTD_isError(ZSTD_DCtx_setParameter(s->zst, ZSTD_d_windowLogMax, ZST_WINDOW)))
            return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    return 0;
}

int sink_new(const struct fetch_request *q, struct sink **ret, struct err *e)
{
    struct sink *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    s->fd = q->out_fd;
    s->packing = q->packing;
    s->limit = q->limit_bytes;
    int r = q->checksum[0] ? expect(s, q->checksum, e) : 0;
    if (r == 0)
        r = open_unpacker(s, e);
    if (r < 0)
        sink_free(s);
    else
        *ret = s;
    return r;
}

void sink_free(struct sink *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->md);
    if (s->is_unpacking)
        inflateEnd(&s->z);
    ZSTD_freeDStream(s->zst);
    free(s);
}

static int put(struct sink *s, const void *data, size_t n, struct err *e)
{
    if (n > s->limit - s->written)
        return err_set(e, -EFBIG, "image.too-large", "more than the %" PRIu64 " bytes that are allowed here", s->limit);
    s->written += n;
    if (s->packing != FETCH_PLAIN && s->written > FETCH_BOMB_FREE && s->written / FETCH_BOMB_RATIO > s->taken)
        return err_set(e, -EFBIG, "image.bomb", "the data unpacks to more than %u times its size", FETCH_BOMB_RATIO);
    return fs_write_all(s->fd, data, n, e);
}

static int broken(struct err *e)
{
    return err_set(e, -EBADMSG, "image.compression", "the data is not what its compression says, or damaged");
}

/* Several members one after the other are one file, as gzip has it. */
static int unpack_gz(struct sink *s, const void *data, size_t n, struct err *e)
{
    int r = 0;

    s->z.next_in = (Bytef *)(uintptr_t)data;
    s->z.avail_in = (uInt)n;
    while (r == 0 && (s->z.avail_in || s->z.avail_out == 0)) {
        if (s->is_at_end) {
            if (s->z.avail_in == 0)
                break;
            if (inflateReset(&s->z) != Z_OK)
                return broken(e);
        }
        s->z.next_out = s->chunk;
        s->z.avail_out = CHUNK_BYTES;
        int z = inflate(&s->z, Z_NO_FLUSH);
        if (z == Z_BUF_ERROR)
            break; /* nothing more to be had from this */
        if (z != Z_OK && z != Z_STREAM_END)
            return z == Z_MEM_ERROR ? err_set(e, -ENOMEM, NULL, "out of memory") : broken(e);
        s->is_at_end = z == Z_STREAM_END;
        r = put(s, s->chunk, CHUNK_BYTES - s->z.avail_out, e);
    }
    return r;
}

static int unpack_zst(struct sink *s, const void *data, size_t n, struct err *e)
{
    ZSTD_inBuffer in = {data, n, 0};
    int r = 0;

    for (bool is_full = false; r == 0 && (in.pos < in.size || is_full);) {
        ZSTD_outBuffer out = {s->chunk, CHUNK_BYTES, 0};
        size_t left = ZSTD_decompressStream(s->zst, &out, &in);
        if (ZSTD_isError(left))
            return broken(e);
        s->is_at_end = left == 0;
        is_full = out.pos == out.size && left != 0;
        r = put(s, s->chunk, out.pos, e);
    }
    return r;
}

int sink_take(struct sink *s, const void *data, size_t n, struct err *e)
{
    s->taken += n;
    if (s->taken > s->limit)
        return err_set(e, -EFBIG, "image.too-large", "more than the %" PRIu64 " bytes that are allowed here", s->limit);
    if (s->md && !EVP_DigestUpdate(s->md, data, n))
        return err_set(e, -EIO, "work.crypto", "digest failed");
    switch (s->packing) {
    case FETCH_GZ:
        return unpack_gz(s, data, n, e);
    case FETCH_ZST:
        return unpack_zst(s, data, n, e);
    case FETCH_PLAIN:
        break;
    }
    return put(s, data, n, e);
}

static void to_hex(const uint8_t *p, unsigned n, char *dst)
{
    for (unsigned i = 0; i < n; i++)
        snprintf(dst + 2 * (size_t)i, 3, "%02x", p[i]);
}

static int check_digest(struct sink *s, struct err *e)
{
    char got[2 * EVP_MAX_MD_SIZE + 1], wanted[2 * EVP_MAX_MD_SIZE + 1];
    uint8_t value[EVP_MAX_MD_SIZE];

    if (!s->md)
        return 0;
    if (!EVP_DigestFinal_ex(s->md, value, NULL))
        return err_set(e, -EIO, "work.crypto", "digest failed");
    if (memcmp(value, s->expected, s->expected_len) == 0)
        return 0;
    to_hex(value, s->expected_len, got);
    to_hex(s->expected, s->expected_len, wanted);
    return err_set(e, -EBADMSG, "image.checksum", "checksum mismatch: got '%s' expect '%s'", got, wanted);
}

int sink_finish(struct sink *s, uint64_t *ret_bytes, struct err *e)
{
    int r = check_digest(s, e);

    if (r == 0 && s->packing != FETCH_PLAIN && !s->is_at_end)
        r = broken(e);
    if (r == 0 && fsync(s->fd) < 0)
        r = err_errno(e, errno, "fsync");
    if (r == 0)
        *ret_bytes = s->written;
    return r;
}
