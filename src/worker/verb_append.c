/* One piece of a file that comes in several: copies a stream to the end of what is there, and carries on the SHA-256 of
 * all of it, so that nobody has to read the file again to know what it holds.
 *
 * fds[0] is read until its end, fds[1] is written from where it stands and synced; a failed fsync is final. An error
 * leaves the file longer than it was: its owner cuts it. libsodium's digest, because its state is plain data that can
 * be kept between two processes; it comes from holmd, which got it from the worker of the piece before. */
#include <sodium.h>

#include "base/fs.h"
#include "worker/worker.h"

#define CHUNK_BYTES (256u * 1024u)
#define STATE_WORDS 8u
#define STATE_BYTES (STATE_WORDS * 4u + 64u)

int verb_append_prepare(const struct work_request *q, struct err *e)
{
    return sodium_init() < 0 ? err_set(e, -EIO, "work.crypto", "the crypto library does not start") : 0;
}

/* "" for an empty file; else the words and the rest of a block, in hex. How many bytes there were is told apart. */
static int digest_load(crypto_hash_sha256_state *h, const char *hex, uint64_t n_bytes, struct err *e)
{
    uint8_t raw[STATE_BYTES];
    size_t n = 0;

    crypto_hash_sha256_init(h);
    if (!*hex && !n_bytes)
        return 0;
    if (sodium_hex2bin(raw, sizeof(raw), hex, strlen(hex), NULL, &n, NULL) < 0 || n != sizeof(raw))
        return err_set(e, -EINVAL, "upload.digest", "not the state of a digest");
    for (size_t i = 0; i < STATE_WORDS; i++)
        h->state[i] = (uint32_t)raw[4 * i] << 24 | (uint32_t)raw[4 * i + 1] << 16 | (uint32_t)raw[4 * i + 2] << 8 |
                      raw[4 * i + 3];
    memcpy(h->buf, raw + STATE_WORDS * 4u, 64);
    h->count = n_bytes << 3;
    return 0;
}

static void digest_save(const crypto_hash_sha256_state *h, char hex[2 * STATE_BYTES + 1])
{
    uint8_t raw[STATE_BYTES];

    for (size_t i = 0; i < STATE_WORDS; i++)
        for (size_t k = 0; k < 4; k++)
            raw[4 * i + k] = (uint8_t)(h->state[i] >> (24 - 8 * k));
    memcpy(raw + STATE_WORDS * 4u, h->buf, 64);
    sodium_bin2hex(hex, 2 * STATE_BYTES + 1, raw, sizeof(raw));
}

static int copy(crypto_hash_sha256_state *h, const int *fds, uint64_t limit, uint64_t *ret_done, struct err *e)
{
    static uint8_t chunk[CHUNK_BYTES];
    uint64_t done = 0;

    for (;;) {
        ssize_t n = read(fds[0], chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "read");
        if (n == 0)
            break;
        if ((uint64_t)n > limit - done)
            return err_set(e, -EFBIG, "upload.too-large", "more than the %llu bytes that are taken at once",
                           (unsigned long long)limit);
        int r = fs_write_all(fds[1], chunk, (size_t)n, e);
        if (r < 0)
            return r;
        crypto_hash_sha256_update(h, chunk, (unsigned long long)n);
        done += (uint64_t)n;
    }
    *ret_done = done;
    return fsync(fds[1]) < 0 ? err_errno(e, errno, "fsync") : 0;
}

/* TOTAL_BYTES: the length that the file may reach; ARG: its length now, the state of its digest. Answers DONE_BYTES of
 * this piece and TEXT: the SHA-256 of the whole file, hex, a blank, and the new state. */
int verb_append(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    crypto_hash_sha256_state h, end;
    uint8_t sum[crypto_hash_sha256_BYTES];
    char text[2 * sizeof(sum) + 1 + 2 * STATE_BYTES + 1];
    uint64_t begin = 0, done = 0;

    if (str_to_u64(q->args[0], &begin) < 0 || begin > q->total_bytes)
        return err_set(e, -EINVAL, "upload.offset", "not where the file ends");
    int r = digest_load(&h, q->args[1], begin, e);
    if (r == 0)
        r = copy(&h, fds, q->total_bytes - begin, &done, e);
    if (r < 0)
        return r;
    end = h;
    crypto_hash_sha256_final(&end, sum);
    sodium_bin2hex(text, 2 * sizeof(sum) + 1, sum, sizeof(sum));
    text[2 * sizeof(sum)] = ' ';
    digest_save(&h, text + 2 * sizeof(sum) + 1);
    field_u64(answer, FIELD_DONE_BYTES, done);
    field_str(answer, FIELD_TEXT, text);
    return 0;
}
