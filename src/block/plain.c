/* Raw to raw, without QEMU: what is data and not zero is read and written, once. Runs sealed. */
#include "block/block.h"

#include <fcntl.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"

#define CHUNK_BYTES (256u * 1024u)
#define BLOCK_BYTES 4096u
#define FLUSH_BYTES (UINT64_C(16) << 20) /* writing to the disk begins while we still read */
#define NAP_MS      200u

struct copy {
    int from, to;
    uint64_t size, at;
    uint64_t flushed; /* what lies before is on its way to the disk */
    uint64_t moved;   /* bytes of data */
    uint64_t bwlimit, begun_ms, told_ms;
};

static bool is_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && (n == 1 || memcmp(p, p + 1, n - 1) == 0);
}

/* Runs of blocks that are not zero. */
static int write_chunk(const struct copy *c, const uint8_t *p, size_t n, uint64_t at, struct err *e)
{
    size_t begin = 0, i = 0;

    while (i < n) {
        size_t len = n - i < BLOCK_BYTES ? n - i : BLOCK_BYTES;
        bool is_skipped = is_zero(p + i, len);
        if (is_skipped && i > begin && fs_write_all_at(c->to, p + begin, i - begin, at + begin, e) < 0)
            return block_io_error(-e->num, "write the image", e);
        i += len;
        if (is_skipped)
            begin = i;
    }
    if (begin < n && fs_write_all_at(c->to, p + begin, n - begin, at + begin, e) < 0)
        return block_io_error(-e->num, "write the image", e);
    return 0;
}

static void nap(const struct copy *c)
{
    uint64_t due_ms = c->bwlimit ? (uint64_t)((double)c->moved * 1000 / (double)c->bwlimit) : 0;

    for (;;) {
        uint64_t spent_ms = clock_boot_ms() - c->begun_ms;
        if (due_ms <= spent_ms)
            return;
        uint64_t ms = due_ms - spent_ms < NAP_MS ? due_ms - spent_ms : NAP_MS;
        struct timespec t = {.tv_nsec = (long)ms * 1000000};
        nanosleep(&t, NULL);
    }
}

static void after_chunk(struct copy *c)
{
    uint64_t now = clock_boot_ms();

    if (c->at - c->flushed >= FLUSH_BYTES) {
        sync_file_range(c->to, (off_t)c->flushed, (off_t)(c->at - c->flushed), SYNC_FILE_RANGE_WRITE);
        c->flushed = c->at;
    }
    if (now - c->told_ms >= BLOCK_PROGRESS_MS) {
        c->told_ms = now;
        block_tell_progress(c->at, c->size);
    }
    nap(c);
}

static int copy_data(struct copy *c, uint64_t end, struct err *e)
{
    static uint8_t chunk[CHUNK_BYTES];

    while (c->at < end) {
        size_t want = end - c->at < sizeof(chunk) ? (size_t)(end - c->at) : sizeof(chunk);
        ssize_t n = pread(c->from, chunk, want, (off_t)c->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_errno(e, errno, "read the image")
                         : err_set(e, -EIO, "image.size", "the image became shorter");
        int r = write_chunk(c, chunk, (size_t)n, c->at, e);
        if (r < 0)
            return r;
        c->at += (size_t)n;
        c->moved += (size_t)n;
        after_chunk(c);
    }
    return 0;
}

/* Where the next data is, or the end; a file system that cannot tell has data everywhere. */
static uint64_t find(const struct copy *c, int whence, uint64_t otherwise)
{
    off_t at = lseek(c->from, (off_t)c->at, whence);

    return at >= 0 ? ((uint64_t)at < c->size ? (uint64_t)at : c->size) : errno == ENXIO ? c->size : otherwise;
}

int plain_copy(const struct block_work *w, struct err *e)
{
    struct copy c = {.from = w->fds[0],
                     .to = w->fds[1],
                     .size = w->size_bytes,
                     .bwlimit = w->q.bwlimit,
                     .begun_ms = clock_boot_ms()};
    int r = sandbox_seal(w, 0, e);

    while (r == 0 && c.at < c.size) {
        c.at = find(&c, SEEK_DATA, c.at);
        if (c.at < c.size)
            r = copy_data(&c, find(&c, SEEK_HOLE, c.size), e);
    }
    if (r == 0 && fsync(c.to) < 0)
        r = block_io_error(errno, "fsync", e);
    return r;
}
