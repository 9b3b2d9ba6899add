/* Copies a stream into a file, up to a limit, with its SHA-256 and, if asked, a second digest that must match: uploads
 * and downloads, whose bytes no privileged process looks at. And the same without a copy, for a file that is there.
 *
 * fds[0] is read until its end, fds[1] is written from where it stands and synced. A failed fsync is final. What was
 * written before an error stays in the file, which has no name yet: its owner drops it. */
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <inttypes.h>

#include "base/fs.h"
#include "worker/worker.h"

#define CHUNK_BYTES (256u * 1024u)

/* PVE's names ("checksum-algorithm" of an upload); what the request may name. */
static const char *const algorithms[] = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"};

struct digest {
    EVP_MD_CTX *ctx;
    uint8_t value[EVP_MAX_MD_SIZE];
    unsigned len;
};

struct copy {
    struct digest sha256, wanted;
    uint8_t expected[EVP_MAX_MD_SIZE];
    unsigned expected_len; /* 0: no second digest */
    uint64_t done_bytes;
};

int verb_receive_prepare(const struct work_request *q, struct err *e)
{
    if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_DIGESTS, NULL))
        return err_set(e, -EIO, "work.crypto", "the crypto library does not start");
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int digest_open(struct digest *d, const char *name, struct err *e)
{
    const EVP_MD *md = EVP_get_digestbyname(name);

    d->ctx = EVP_MD_CTX_new();
    if (!md || !d->ctx || !EVP_DigestInit_ex(d->ctx, md, NULL))
        return err_set(e, -EIO, "work.crypto", "digest %s cannot be computed", name);
    d->len = (unsigned)EVP_MD_get_size(md);
    return 0;
}

/* "algorithm:hex" */
static int parse_expected(struct copy *c, const char *text, struct err *e)
{
    const char *colon = strchr(text, ':');
    const char *name = NULL;

    for (size_t i = 0; colon && i < ARRAY_SIZE(algorithms); i++)
        if (strlen(algorithms[i]) == (size_t)(colon - text) && str_starts(text, algorithms[i]))
            name = algorithms[i];
    if (!name)
        return err_set(e, -EINVAL, "image.checksum", "unknown checksum algorithm");
    int r = digest_open(&c->wanted, name, e);
    if (r < 0)
        return r;
    const char *hex = colon + 1;
    if (strlen(hex) != 2 * (size_t)c->wanted.len)
        return err_set(e, -EINVAL, "image.checksum", "a %s checksum has %u characters", name, 2 * c->wanted.len);
    for (unsigned i = 0; i < c->wanted.len; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return err_set(e, -EINVAL, "image.checksum", "a checksum is hexadecimal");
        c->expected[i] = (uint8_t)(high << 4 | low);
    }
    c->expected_len = c->wanted.len;
    return 0;
}

static int take_chunk(struct copy *c, int fd, const uint8_t *p, size_t n, uint64_t limit, struct err *e)
{
    if (n > limit - c->done_bytes)
        return err_set(e, -EFBIG, "image.too-large", "more than the %" PRIu64 " bytes that are allowed", limit);
    int r = fd < 0 ? 0 : fs_write_all(fd, p, n, e);
    if (r < 0)
        return r;
    c->done_bytes += n;
    if (!EVP_DigestUpdate(c->sha256.ctx, p, n) || (c->expected_len && !EVP_DigestUpdate(c->wanted.ctx, p, n)))
        return err_set(e, -EIO, "work.crypto", "digest failed");
    return 0;
}

/* out -1: nothing is written. */
static int copy_all(struct copy *c, int in, int out, uint64_t limit, struct err *e)
{
    static uint8_t chunk[CHUNK_BYTES];
    int r = 0;

    while (r == 0) {
        ssize_t n = read(in, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "read");
        if (n == 0)
            break;
        r = take_chunk(c, out, chunk, (size_t)n, limit, e);
    }
    if (r == 0 && out >= 0 && fsync(out) < 0)
        r = err_errno(e, errno, "fsync");
    return r;
}

static int finish(struct copy *c, struct buf *answer, struct err *e)
{
    char hex[2 * EVP_MAX_MD_SIZE + 1];

    if (!EVP_DigestFinal_ex(c->sha256.ctx, c->sha256.value, NULL) ||
        (c->expected_len && !EVP_DigestFinal_ex(c->wanted.ctx, c->wanted.value, NULL)))
        return err_set(e, -EIO, "work.crypto", "digest failed");
    if (c->expected_len && memcmp(c->wanted.value, c->expected, c->expected_len) != 0)
        return err_set(e, -EBADMSG, "image.checksum", "the checksum does not match what was received");
    for (unsigned i = 0; i < c->sha256.len; i++)
        snprintf(hex + 2 * i, 3, "%02x", c->sha256.value[i]);
    field_u64(answer, FIELD_DONE_BYTES, c->done_bytes);
    field_str(answer, FIELD_TEXT, hex);
    return 0;
}

static int run(const struct work_request *q, int in, int out, struct buf *answer, struct err *e)
{
    struct copy c = {.done_bytes = 0};
    int r = digest_open(&c.sha256, "sha256", e);

    if (r == 0 && q->n_args)
        r = parse_expected(&c, q->args[0], e);
    if (r == 0)
        r = copy_all(&c, in, out, q->total_bytes, e);
    if (r == 0)
        r = finish(&c, answer, e);
    EVP_MD_CTX_free(c.sha256.ctx);
    EVP_MD_CTX_free(c.wanted.ctx);
    return r;
}

/* TOTAL_BYTES: the most that is taken; ARG: a checksum, optional. Answers DONE_BYTES and TEXT: the SHA-256, hex. */
int verb_receive(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    return fds[1] < 0 ? err_set(e, -EBADF, NULL, "no file") : run(q, fds[0], fds[1], answer, e);
}

/* The same of fds[0], from where it stands, with a checksum. */
int verb_verify(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    return run(q, fds[0], -1, answer, e);
}
