/* qcow2: an empty image is written, a header is read, tables are looked at. All is pure (no file, no global state) and
 * follows QEMU's docs/interop/qcow2.txt ("the specification" below; its sections are named where they are used).
 *
 * Not here: the data path, snapshots, repair. A header may come from a stranger (an upload, an image a broken
 * guest process wrote): the reader is total, looks at QCOW2_HEADER_BYTES at most and follows no offset. */
#ifndef HOLM_IMAGE_QCOW2_H
#define HOLM_IMAGE_QCOW2_H

#include "base/err.h"

/* What the reader needs of the file's beginning: header and header extensions (an extension beyond is refused). */
#define QCOW2_HEADER_BYTES 4096u

#define QCOW2_CLUSTER_BYTES 65536u /* of the images we write */
/* L1 of 32 MiB, the most that QEMU opens ("Header", note at size): 4 Mi entries of 512 MiB each. */
#define QCOW2_SIZE_MAX (UINT64_C(1) << 51)

/* Writes n bytes at an offset; 0 or a negative errno with e filled. */
typedef int (*qcow2_write_fn)(void *arg, uint64_t offset, const void *data, size_t n, struct err *e);

/* Writes an empty version 3 image of exactly size_bytes (a positive multiple of 512, at most QCOW2_SIZE_MAX) through
 * write_fn. Offsets that are never written must read as zero. -EINVAL "image.size". */
MUST_CHECK int qcow2_write_empty(uint64_t size_bytes, qcow2_write_fn write_fn, void *arg, struct err *e);
/* Length of the file that qcow2_write_empty makes; 0 for a size it refuses. */
uint64_t qcow2_empty_file_bytes(uint64_t size_bytes);

#define QCOW2_BACKING_MAX 1023u /* "Backing file name": bytes, without a zero */

/* The same, standing on another image: what is not written in this one reads as that one's bytes. name: of its file, as
 * seen from this one's folder, 1 to QCOW2_BACKING_MAX bytes; format: "raw" or "qcow2". Both are for people and their
 * tools: Holm's engines are told what an image stands on. */
struct qcow2_backing {
    const char *name, *format;
};
MUST_CHECK int qcow2_write_overlay(uint64_t size_bytes, const struct qcow2_backing *b, qcow2_write_fn write_fn,
                                   void *arg, struct err *e);

struct qcow2_info {
    uint64_t size_bytes; /* virtual */
    unsigned version;
    unsigned cluster_bits;
    uint32_t n_snapshots;
    bool has_backing_file;
    /* Its name; "" for one that lies beyond the bytes that were given, or holds a zero byte. */
    char backing[QCOW2_BACKING_MAX + 1];
    bool has_data_file;
    bool is_encrypted;
    bool is_dirty;
    bool is_corrupt;
    bool is_extended_l2;
    uint64_t l1_offset, l1_bytes, reftable_offset, reftable_bytes; /* of the active state; they begin in the file */
};

/* p: the first n bytes of the file (QCOW2_HEADER_BYTES, or all of a shorter one); file_bytes: its length. -EINVAL
 * "image.header" for anything that is not a sound header, -ENOTSUP "image.feature" for an incompatible feature nobody
 * here knows. */
MUST_CHECK int qcow2_header_parse(const uint8_t *p, size_t n, uint64_t file_bytes, struct qcow2_info *ret,
                                  struct err *e);
/* -EINVAL when the image is not whole by itself: backing file or data file ("image.external"), encryption
 * ("image.encrypted"), marked corrupt ("image.corrupt"). */
MUST_CHECK int qcow2_check_standalone(const struct qcow2_info *info, struct err *e);
/* The same, whatever other image it stands on. */
MUST_CHECK int qcow2_check_use(const struct qcow2_info *info, struct err *e);
/* The same for an image that stands on the file of this name and on no other: else "image.chain". */
MUST_CHECK int qcow2_check_overlay(const struct qcow2_info *info, const char *backing, struct err *e);

#define QCOW2_CLUSTERS_MAX (1u << 30) /* of a file that is walked: a bit of memory for each */
#define QCOW2_BOMB_RATIO   256u       /* unpacked to packed, beyond QCOW2_BOMB_FREE */
#define QCOW2_BOMB_FREE    (UINT64_C(1) << 30)

/* Reads n bytes at an offset; those beyond the file's end are zero. 0 or a negative errno with e filled. */
typedef int (*qcow2_read_fn)(void *arg, uint64_t offset, void *data, size_t n, struct err *e);

/* qcow2_tables.c: follows every table of an image by itself, whose header is info, as a reader of its bytes would. What
 * it takes is bounded by the file's length. -EINVAL "image.tables": a cluster with two uses, a place outside of the
 * file (a file that is cut off) or between clusters, bits that mean nothing. -EFBIG "image.bomb": compressed clusters
 * that grow beyond the limits above. */
MUST_CHECK int qcow2_tables_check(const struct qcow2_info *info, uint64_t file_bytes, qcow2_read_fn read_fn, void *arg,
                                  struct err *e);

/* What makes an image larger (qcow2_grow.c). */
struct qcow2_grow {
    bool is_done;                 /* it is that large already */
    uint64_t zero_at, zero_bytes; /* these bytes must be zero now (a file that ends before reads as zero) */
    uint64_t write_at;            /* then these are written, in one go */
    uint8_t bytes[16];
};
/* p, n, file_bytes as for qcow2_header_parse. -EOPNOTSUPP "image.grow" when the header alone does not do it. */
MUST_CHECK int qcow2_grow_plan(const uint8_t *p, size_t n, uint64_t file_bytes, uint64_t size_bytes,
                               struct qcow2_grow *ret, struct err *e);

#endif
