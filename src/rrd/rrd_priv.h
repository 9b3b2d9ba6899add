/* The file's layout (doc/formats.md): a header block, then the rings one after the other. All little-endian. */
#ifndef HOLM_RRD_RRD_PRIV_H
#define HOLM_RRD_RRD_PRIV_H

#include "rrd/rrd.h"

#define RRD_MAGIC        "HOLMRRD1"
#define RRD_HEADER_BYTES 4096u
#define RRD_ROW_HEAD     8u /* slot number, checksum */

struct rrd_archive {
    uint32_t step_s, rows;
};
extern const struct rrd_archive rrd_archives[RRD_ARCHIVES];

/* Bytes of a row; where the row of a slot lies. */
size_t rrd_row_size(unsigned n_ds);
uint64_t rrd_row_offset(unsigned n_ds, unsigned archive, int64_t slot);

/* A row in memory <-> its bytes. Decoding gives false when the bytes are not this slot's row. */
void rrd_row_encode(struct buf *b, uint32_t slot, unsigned n_ds, const float *average, const float *max);
bool rrd_row_decode(const unsigned char *p, uint32_t slot, unsigned n_ds, bool is_max, float *ret);
void rrd_header_encode(struct buf *b, const struct rrd *r);
/* False: not a header of n_ds values. */
bool rrd_header_decode(const unsigned char *p, size_t n, struct rrd *r);

#endif
