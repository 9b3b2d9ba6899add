/* Time series of one object (a guest, a node, a storage) in a file of fixed size: four rings of rows, each row the
 * average and the maximum of every value over one step. Proxmox VE keeps the same in files of rrdtool; the formats have
 * nothing in common, the replies of rrddata do.
 *
 * Two halves. The accumulator (struct rrd) lives in memory on the loop thread: samples go in, finished rows come out as
 * a list of writes. Reading and writing the file blocks and belongs into a pool thread. Each row and the header carry a
 * checksum, so a torn write or a foreign file gives a gap and never a wrong number. Nothing is synced: a power cut may
 * cost the last minute. */
#ifndef HOLM_RRD_RRD_H
#define HOLM_RRD_RRD_H

#include "base/buf.h"
#include "base/err.h"

#define RRD_DS_MAX   24u /* values of one object */
#define RRD_ARCHIVES 4u
#define RRD_ROWS_MAX 512u /* of a reply */

struct rrd_cell {
    double sum;
    float max;
    uint32_t n;
};

/* One archive's row that is being filled. */
struct rrd_slot {
    int64_t number; /* time / step; 0 = none yet */
    struct rrd_cell cells[RRD_DS_MAX];
};

struct rrd {
    unsigned n_ds;
    struct rrd_slot slots[RRD_ARCHIVES];
    struct buf rows;     /* finished and not yet taken */
    bool has_new_minute; /* a row of the finest archive is finished: time to write */
};

void rrd_init(struct rrd *r, unsigned n_ds);
void rrd_done(struct rrd *r);
/* One sample of all values at a wall clock second; NAN is unknown. A clock that goes back begins the row anew. */
void rrd_add(struct rrd *r, int64_t now_s, const double *values);
/* What is to be written now, as rrd_write takes it: the finished rows and the state of the unfinished ones. */
void rrd_take(struct rrd *r, struct buf *ret_writes);

/* Blocking. Makes the file where it is missing. */
MUST_CHECK int rrd_write(int dirfd, const char *name, const struct buf *writes, struct err *e);
/* Blocking. The unfinished rows of an earlier life; a file that is missing, damaged or of another shape leaves r fresh.
 */
MUST_CHECK int rrd_load(int dirfd, const char *name, struct rrd *r, struct err *e);

struct rrd_series {
    int64_t start_s; /* of the first row */
    uint32_t step_s;
    unsigned n_rows, n_ds;
    float *values; /* n_rows * n_ds, NAN where nothing is known */
};
void rrd_series_done(struct rrd_series *s);
/* Blocking. timeframe is "hour" (a minute each), "day" (5 min), "week" (30 min), "month" (3 h), "year" (a day) or
 * "decade" (as year); the last row is the last that ended before now_s. -EINVAL for another word. A file that is
 * missing gives rows of NAN. */
MUST_CHECK int rrd_read(int dirfd, const char *name, unsigned n_ds, const char *timeframe, bool is_max, int64_t now_s,
                        struct rrd_series *ret, struct err *e);

#endif
