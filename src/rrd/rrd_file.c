/* The file: writing what the accumulator gave out, reading its header and its rings. Blocking, pool threads. */
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "rrd/rrd_priv.h"

/* name, the ring it is read from, how many of its rows make one of the reply, rows of the reply */
static const struct timeframe {
    const char *name;
    unsigned archive, merge, rows;
} timeframes[] = {
    {"hour", 0, 1, 60},   {"day", 0, 5, 288},  {"week", 1, 1, 336},
    {"month", 2, 1, 248}, {"year", 3, 2, 365}, {"decade", 3, 2, 365},
};

int rrd_write(int dirfd, const char *name, const struct buf *writes, struct err *e)
{
    const unsigned char *p = (const unsigned char *)writes->data;
    size_t left = writes->is_failed ? 0 : writes->len;
    int r = 0;

    autoclose int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "open statistics %s", name);
    while (r == 0 && left >= 12) {
        uint64_t at;
        uint32_t n;
        memcpy(&at, p, sizeof(at));
        memcpy(&n, p + 8, sizeof(n));
        at = le64toh(at);
        n = le32toh(n);
        if (n > left - 12)
            break;
        r = fs_write_all_at(fd, p + 12, n, at, e);
        p += 12 + n;
        left -= 12 + n;
    }
    return r;
}

int rrd_load(int dirfd, const char *name, struct rrd *r, struct err *e)
{
    unsigned char header[RRD_HEADER_BYTES];

    autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_errno(e, errno, "open statistics %s", name);
    ssize_t n = pread(fd, header, sizeof(header), 0);
    if (n < 0)
        return err_errno(e, errno, "read statistics %s", name);
    if (rrd_header_decode(header, (size_t)n, r))
        return 0;
    /* Of another version or damaged: its rows would not be found either. */
    return unlinkat(dirfd, name, 0) < 0 ? err_errno(e, errno, "remove statistics %s", name) : 0;
}

void rrd_series_done(struct rrd_series *s)
{
    free(s->values);
    memset(s, 0, sizeof(*s));
}

static const struct timeframe *find_timeframe(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(timeframes); i++)
        if (streq(timeframes[i].name, name))
            return &timeframes[i];
    return NULL;
}

/* A whole ring; what the file does not have stays zero and decodes as no row. */
static int read_ring(int fd, unsigned n_ds, unsigned archive, unsigned char *ring, size_t size, struct err *e)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = pread(fd, ring + have, size - have, (off_t)(rrd_row_offset(n_ds, archive, 0) + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "read statistics");
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return 0;
}

/* One row of the reply out of `merge` rows of the ring, the first of them `slot`. */
static void merge_rows(const unsigned char *ring, const struct timeframe *t, int64_t slot, unsigned n_ds, bool is_max,
                       float *ret)
{
    const uint32_t rows = rrd_archives[t->archive].rows;
    float row[RRD_DS_MAX];
    unsigned n[RRD_DS_MAX] = {0};

    for (unsigned i = 0; i < n_ds; i++)
        ret[i] = NAN;
    for (int64_t s = slot; s < slot + t->merge; s++) {
        if (!rrd_row_decode(ring + (uint64_t)s % rows * rrd_row_size(n_ds), (uint32_t)s, n_ds, is_max, row))
            continue;
        for (unsigned i = 0; i < n_ds; i++) {
            if (isnan(row[i]))
                continue;
            if (is_max)
                ret[i] = n[i] && ret[i] > row[i] ? ret[i] : row[i];
            else
                ret[i] = n[i] ? ret[i] + (row[i] - ret[i]) / (float)(n[i] + 1) : row[i];
            n[i]++;
        }
    }
}

int rrd_read(int dirfd, const char *name, unsigned n_ds, const char *timeframe, bool is_max, int64_t now_s,
             struct rrd_series *ret, struct err *e)
{
    const struct timeframe *t = find_timeframe(timeframe);

    *ret = (struct rrd_series){.n_ds = n_ds};
    if (!t || n_ds > RRD_DS_MAX)
        return err_set(e, -EINVAL, "rrd.timeframe", "there is no timeframe '%s'", timeframe);
    const struct rrd_archive *a = &rrd_archives[t->archive];
    size_t size = a->rows * rrd_row_size(n_ds);
    autofree unsigned char *ring = calloc(1, size);
    ret->step_s = a->step_s * t->merge;
    ret->n_rows = t->rows;
    ret->start_s = (now_s / ret->step_s - t->rows) * ret->step_s;
    ret->values = calloc((size_t)t->rows * n_ds, sizeof(float));
    autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int r = !ring || !ret->values       ? err_set(e, -ENOMEM, NULL, "out of memory")
            : fd < 0 && errno != ENOENT ? err_errno(e, errno, "open statistics %s", name)
            : fd >= 0                   ? read_ring(fd, n_ds, t->archive, ring, size, e)
                                        : 0;
    for (unsigned i = 0; r == 0 && i < t->rows; i++)
        merge_rows(ring, t, ret->start_s / a->step_s + (int64_t)i * t->merge, n_ds, is_max, ret->values + i * n_ds);
    if (r < 0)
        rrd_series_done(ret);
    return r;
}
