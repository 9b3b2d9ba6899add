/* The newest file: where the chain goes on. Appending is all or nothing: a write that fails is cut back, a sync that
 * fails ends the file (a failed fsync is final for it), and the next try begins a new one. Room for what is coming is
 * reserved ahead, so that a full disk is noticed while records still fit. The appending thread, or the loop before that
 * runs. */
#include <fcntl.h>

#include "audit/audit_priv.h"
#include "base/clock.h"
#include "base/fp.h"
#include "base/fs.h"

#define TAIL_BYTES    (256u * 1024u)
#define RESERVE_BYTES (256u * 1024u)
#define RESERVE_STEP  (1024u * 1024u)
#define BATCH_BYTES   (8u * 1024u * 1024u)

void audit_segment_close(struct audit_segment *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -EBADF;
}

static void abandon(struct audit_segment *s, const char *reason)
{
    audit_segment_close(s);
    s->reason = reason;
}

/* ---- start: the end of the newest file ---- */

struct tail {
    uint64_t good_bytes; /* where the first bad line begins, or the size */
    bool is_torn;        /* what follows is one unfinished line */
    bool is_damaged;
};

/* Walks the lines of the file's end; s->chain becomes the last one's, or the last one that claims to be one. */
static void check_tail(struct audit_segment *s, const char *p, size_t n, uint64_t at, struct tail *t)
{
    bool is_first = true;

    t->good_bytes = at + n;
    while (n) {
        const char *end = memchr(p, '\n', n);
        struct audit_line line;
        size_t len = end ? (size_t)(end - p) : n;
        if (!end) {
            t->is_torn = !t->is_damaged;
            t->good_bytes = t->is_torn ? at : t->good_bytes;
            return;
        }
        bool is_line = audit_line_read(p, len, &line);
        if (!is_line || !line.is_hash_right || (!is_first && !streq(line.prev, s->chain.hash)))
            t->is_damaged = true;
        if (is_line) {
            s->chain.seq = line.seq;
            memcpy(s->chain.hash, line.hash, sizeof(line.hash));
            is_first = false;
        }
        p += len + 1;
        at += len + 1;
        n -= len + 1;
    }
}

static int read_tail(int fd, uint64_t size, struct buf *b, uint64_t *ret_at, struct err *e)
{
    uint64_t at = size > TAIL_BYTES ? size - TAIL_BYTES : 0;

    if (lseek(fd, (off_t)at, SEEK_SET) < 0 || fs_read_fd(fd, b, e) < 0)
        return -EIO;
    if (at) { /* from the first whole line on */
        const char *lf = memchr(buf_str(b), '\n', b->len);
        size_t skip = lf ? (size_t)(lf - b->data) + 1 : b->len;
        buf_consume(b, skip);
        at += skip;
    }
    *ret_at = at;
    return 0;
}

/* True if this file holds the end of the chain; an empty one is removed and the one before is asked. */
static bool open_file(struct audit_segment *s, unsigned number, void (*note)(void *arg, const char *text), void *arg)
{
    char name[AUDIT_NAME_MAX], text[160];
    struct tail t = {0};
    struct err e = ERR_INIT;
    struct stat st;
    struct buf b;
    uint64_t at = 0;

    audit_file_name(number, name);
    s->fd = openat(s->dirfd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    buf_init(&b, TAIL_BYTES + 65536);
    if (s->fd < 0 || fstat(s->fd, &st) < 0 || read_tail(s->fd, (uint64_t)st.st_size, &b, &at, &e) < 0) {
        snprintf(text, sizeof(text), "%s cannot be read: %s", name, e.text[0] ? e.text : strerror(errno));
        note(arg, text);
        abandon(s, "unreadable");
        buf_done(&b);
        return true;
    }
    check_tail(s, buf_str(&b), b.len, at, &t);
    buf_done(&b);
    s->bytes = t.good_bytes;
    if (t.is_torn) {
        snprintf(text, sizeof(text), "%s ended with a torn record; %llu bytes were cut off", name,
                 (unsigned long long)((uint64_t)st.st_size - t.good_bytes));
        note(arg, text);
        if (ftruncate(s->fd, (off_t)t.good_bytes) < 0)
            abandon(s, "torn");
    } else if (t.is_damaged) {
        snprintf(text, sizeof(text), "%s holds a record that was changed or is damaged: run 'holm audit verify'", name);
        note(arg, text);
        abandon(s, "damaged");
    }
    if (s->bytes > 0 || s->fd < 0)
        return true;
    audit_segment_close(s);
    unlinkat(s->dirfd, name, 0);
    return false;
}

int audit_segment_open(struct audit_segment *s, void (*note)(void *arg, const char *text), void *arg, struct err *e)
{
    struct audit_files f;
    bool is_found = false;
    int r = audit_files_read(s->dirfd, &f, e);

    if (r < 0)
        return r;
    s->fd = -EBADF;
    s->reason = "new";
    s->chain.seq = 0;
    memcpy(s->chain.hash, audit_first_hash, sizeof(s->chain.hash));
    for (size_t i = f.n; i-- > 0 && !is_found;)
        if ((is_found = open_file(s, f.numbers[i], note, arg)))
            s->number = f.numbers[i];
    audit_files_done(&f);
    return 0;
}

/* ---- appending ---- */

/* The number of the oldest file that stays when `number` is made. */
static unsigned oldest_kept(const struct audit_segment *s, unsigned number)
{
    return number > s->kept ? number - s->kept + 1 : 1;
}

static void remove_old(const struct audit_segment *s)
{
    char name[AUDIT_NAME_MAX];
    struct audit_files f;
    struct err e = ERR_INIT;

    if (s->number <= s->kept || audit_files_read(s->dirfd, &f, &e) < 0)
        return;
    for (size_t i = 0; i < f.n && f.numbers[i] < oldest_kept(s, s->number); i++) {
        audit_file_name(f.numbers[i], name);
        unlinkat(s->dirfd, name, 0); /* one that stays is found at the next rotation */
    }
    audit_files_done(&f);
}

static void first_body(const struct audit_segment *s, unsigned number, struct buf *out)
{
    buf_printf(out, "{\"time\":%lld,\"event\":\"segment\",\"file\":%u,\"oldest\":%u,\"reason\":\"%s\"}",
               (long long)clock_wall_ms(), number, oldest_kept(s, number), s->reason);
}

static int write_durable(int fd, const struct buf *b, bool *ret_is_sync, struct err *e)
{
    *ret_is_sync = false;
    if (FP("audit.write"))
        return err_set(e, -ENOSPC, NULL, "fail point");
    int r = fs_write_all(fd, b->data, b->len, e);
    if (r < 0)
        return r;
    *ret_is_sync = true;
    return fdatasync(fd) < 0 ? err_errno(e, errno, "fsync") : 0;
}

static int begin_file(struct audit_segment *s, struct err *e)
{
    struct audit_chain chain = s->chain;
    unsigned number = s->number + 1;
    char name[AUDIT_NAME_MAX];
    struct buf body, line;
    bool is_sync;

    audit_file_name(number, name);
    int fd = openat(s->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int error = errno;
        if (error == EEXIST) /* a failed try that could not be removed: the next one takes the next number */
            s->number = number;
        return err_errno(e, error, "create %s", name);
    }
    buf_init(&body, 512);
    buf_init(&line, AUDIT_LINE_MAX);
    first_body(s, number, &body);
    audit_line_append(&line, buf_str(&body), &chain);
    int r = line.is_failed ? err_set(e, -ENOMEM, NULL, "out of memory") : write_durable(fd, &line, &is_sync, e);
    if (r == 0)
        r = fs_sync_dir(s->dirfd, e);
    if (r < 0) {
        close(fd);
        unlinkat(s->dirfd, name, 0);
    } else {
        audit_segment_close(s);
        s->fd = fd;
        s->number = number;
        s->bytes = line.len;
        s->reserved = 0;
        s->chain = chain;
        remove_old(s);
    }
    buf_done(&body);
    buf_done(&line);
    return r;
}

/* The file must end where the last confirmed record does; where that cannot be had, it is left behind. */
static void cut_back(struct audit_segment *s, bool is_sync)
{
    if (ftruncate(s->fd, (off_t)s->bytes) < 0 || is_sync)
        abandon(s, "write-error");
}

int audit_segment_append(struct audit_segment *s, const char *const *bodies, size_t n, struct err *e)
{
    struct buf b;
    bool is_sync = false;

    if (s->fd >= 0 && s->bytes >= s->max_bytes)
        s->reason = "full";
    int r = s->fd < 0 || s->bytes >= s->max_bytes ? begin_file(s, e) : 0;
    if (r < 0)
        return r;
    struct audit_chain chain = s->chain;
    buf_init(&b, BATCH_BYTES);
    for (size_t i = 0; i < n; i++)
        audit_line_append(&b, bodies[i], &chain);
    r = b.is_failed ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
    if (r == 0 && (r = write_durable(s->fd, &b, &is_sync, e)) < 0)
        cut_back(s, is_sync);
    if (r == 0) {
        s->bytes += b.len;
        s->chain = chain;
    }
    buf_done(&b);
    return r;
}

int audit_segment_reserve(struct audit_segment *s, struct err *e)
{
    if (s->fd < 0 || s->bytes + RESERVE_BYTES <= s->reserved)
        return 0;
    /* Beyond the end of the file, which does not move: where the file system cannot, there is nothing to reserve. */
    if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, (off_t)s->bytes, RESERVE_STEP) == 0 || errno == EOPNOTSUPP ||
        errno == ENOSYS) {
        s->reserved = s->bytes + RESERVE_STEP;
        return 0;
    }
    return err_errno(e, errno, "reserve room");
}
