/* Empty qcow2 images and qcow2 headers; see qcow2.h. Section names are those of QEMU's docs/interop/qcow2.txt.
 *
 * Our images have four parts, each at a cluster boundary: header, refcount table (one cluster, one entry used), one
 * refcount block, L1 table (all zero). One block of 16-bit refcounts covers 32768 clusters and the largest L1 takes
 * 512, so one block always suffices; QEMU adds blocks as the image grows. */
#include "image/qcow2.h"

#include <endian.h>
#include <inttypes.h>

#define MAGIC 0x514649fbu /* "QFI\xfb" */

#define V2_HEADER_BYTES 72u
#define V3_HEADER_BYTES 104u

/* QEMU's limits, which the specification repeats as notes (block/qcow2.h): images beyond cannot be opened anyway. */
#define CLUSTER_BITS_MIN     9u
#define CLUSTER_BITS_MAX     21u
#define EXTL2_BITS_MIN       14u
#define L1_BYTES_MAX         (UINT64_C(32) << 20)
#define REFTABLE_BYTES_MAX   (UINT64_C(8) << 20)
#define SNAPSHOTS_MAX        65536u
#define REFCOUNT_ORDER_MAX   6u
#define REFCOUNT_ORDER_16BIT 4u
#define EXTENSIONS_MAX       32u /* ours: nine kinds exist, each at most once */

enum incompatible_bit {
    INCOMPAT_DIRTY = 1,
    INCOMPAT_CORRUPT = 2,
    INCOMPAT_DATA_FILE = 4,
    INCOMPAT_COMPRESSION = 8,
    INCOMPAT_EXTENDED_L2 = 16,
    INCOMPAT_KNOWN = 31,
};

#define EXTENSION_END            0x00000000u
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSION_DATA_FILE      0x44415441u

/* Byte offsets, section "Header". */
enum header_offset {
    H_MAGIC = 0,
    H_VERSION = 4,
    H_BACKING_OFFSET = 8,
    H_BACKING_SIZE = 16,
    H_CLUSTER_BITS = 20,
    H_SIZE = 24,
    H_CRYPT_METHOD = 32,
    H_L1_SIZE = 36,
    H_L1_OFFSET = 40,
    H_REFTABLE_OFFSET = 48,
    H_REFTABLE_CLUSTERS = 56,
    H_N_SNAPSHOTS = 60,
    H_SNAPSHOTS_OFFSET = 64,
    H_INCOMPATIBLE = 72,
    H_REFCOUNT_ORDER = 96,
    H_HEADER_LENGTH = 100,
    H_COMPRESSION_TYPE = 104,
};

static void put32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return be64toh(v);
}

/* ---- writing ---- */

#define REFTABLE_CLUSTER 1u
#define REFBLOCK_CLUSTER 2u
#define L1_CLUSTER       3u
/* Guest bytes of one L1 entry: an L2 table of one cluster has cluster / 8 entries of one cluster each. */
#define L1_ENTRY_BYTES ((uint64_t)QCOW2_CLUSTER_BYTES / 8 * QCOW2_CLUSTER_BYTES)

static uint32_t l1_entries(uint64_t size_bytes)
{
    return (uint32_t)((size_bytes + L1_ENTRY_BYTES - 1) / L1_ENTRY_BYTES);
}

static uint32_t l1_clusters(uint64_t size_bytes)
{
    return (l1_entries(size_bytes) * 8 + QCOW2_CLUSTER_BYTES - 1) / QCOW2_CLUSTER_BYTES;
}

uint64_t qcow2_empty_file_bytes(uint64_t size_bytes)
{
    if (size_bytes == 0 || size_bytes % 512 != 0 || size_bytes > QCOW2_SIZE_MAX)
        return 0;
    return (uint64_t)(L1_CLUSTER + l1_clusters(size_bytes)) * QCOW2_CLUSTER_BYTES;
}

/* Sections "Header" and "Header extensions". An overlay names the format of what it stands on; the end mark (eight zero
 * bytes) follows, then the name. */
static int write_header(uint64_t size_bytes, const struct qcow2_backing *b, qcow2_write_fn write_fn, void *arg,
                        struct err *e)
{
    uint8_t h[V3_HEADER_BYTES + 3 * 8 + QCOW2_BACKING_MAX] = {0};
    size_t n = V3_HEADER_BYTES + 8;

    put32(h + H_MAGIC, MAGIC);
    put32(h + H_VERSION, 3);
    put32(h + H_CLUSTER_BITS, 16);
    put64(h + H_SIZE, size_bytes);
    put32(h + H_L1_SIZE, l1_entries(size_bytes));
    put64(h + H_L1_OFFSET, (uint64_t)L1_CLUSTER * QCOW2_CLUSTER_BYTES);
    put64(h + H_REFTABLE_OFFSET, (uint64_t)REFTABLE_CLUSTER * QCOW2_CLUSTER_BYTES);
    put32(h + H_REFTABLE_CLUSTERS, 1);
    put32(h + H_REFCOUNT_ORDER, REFCOUNT_ORDER_16BIT);
    put32(h + H_HEADER_LENGTH, V3_HEADER_BYTES);
    if (b) {
        size_t length = strlen(b->name), format = strlen(b->format);

        put32(h + V3_HEADER_BYTES, EXTENSION_BACKING_FORMAT);
        put32(h + V3_HEADER_BYTES + 4, (uint32_t)format);
        memcpy(h + V3_HEADER_BYTES + 8, b->format, format); /* at most 8 bytes, padded with zeros to them */
        n += 2 * 8;
        put64(h + H_BACKING_OFFSET, n);
        put32(h + H_BACKING_SIZE, (uint32_t)length);
        memcpy(h + n, b->name, length);
        n += length;
    }
    return write_fn(arg, 0, h, n, e);
}

/* Section "Host cluster management": every cluster of the file is used once. */
static int write_refcounts(uint32_t n_clusters, qcow2_write_fn write_fn, void *arg, struct err *e)
{
    uint8_t entry[8];
    uint8_t block[2 * (L1_CLUSTER + L1_BYTES_MAX / QCOW2_CLUSTER_BYTES)];

    put64(entry, (uint64_t)REFBLOCK_CLUSTER * QCOW2_CLUSTER_BYTES);
    int r = write_fn(arg, (uint64_t)REFTABLE_CLUSTER * QCOW2_CLUSTER_BYTES, entry, sizeof(entry), e);
    for (uint32_t i = 0; i < n_clusters; i++) {
        block[2 * i] = 0;
        block[2 * i + 1] = 1;
    }
    return r < 0 ? r : write_fn(arg, (uint64_t)REFBLOCK_CLUSTER * QCOW2_CLUSTER_BYTES, block, 2 * n_clusters, e);
}

static int write_image(uint64_t size_bytes, const struct qcow2_backing *b, qcow2_write_fn write_fn, void *arg,
                       struct err *e)
{
    static const uint8_t zeros[QCOW2_CLUSTER_BYTES];
    uint64_t file_bytes = qcow2_empty_file_bytes(size_bytes);

    if (file_bytes == 0)
        return err_set(e, -EINVAL, "image.size", "a qcow2 image has a multiple of 512 bytes, at most %" PRIu64,
                       QCOW2_SIZE_MAX);
    int r = write_header(size_bytes, b, write_fn, arg, e);
    if (r == 0)
        r = write_refcounts((uint32_t)(file_bytes / QCOW2_CLUSTER_BYTES), write_fn, arg, e);
    /* Written, not left as a hole: the file gets its length, and a full disk is noticed now. */
    for (uint64_t at = (uint64_t)L1_CLUSTER * QCOW2_CLUSTER_BYTES; r == 0 && at < file_bytes; at += sizeof(zeros))
        r = write_fn(arg, at, zeros, sizeof(zeros), e);
    return r;
}

int qcow2_write_empty(uint64_t size_bytes, qcow2_write_fn write_fn, void *arg, struct err *e)
{
    return write_image(size_bytes, NULL, write_fn, arg, e);
}

int qcow2_write_overlay(uint64_t size_bytes, const struct qcow2_backing *b, qcow2_write_fn write_fn, void *arg,
                        struct err *e)
{
    size_t length = strlen(b->name);

    if (length == 0 || length > QCOW2_BACKING_MAX || !(streq(b->format, "raw") || streq(b->format, "qcow2")))
        return err_set(e, -EINVAL, "image.backing", "an image cannot stand on a file of this name or format");
    return write_image(size_bytes, b, write_fn, arg, e);
}

/* ---- reading ---- */

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "image.header", "not a usable qcow2 image: %s", what);
}

/* Section "Header", bytes 72-103 and compression_type. */
static int parse_v3(const uint8_t *p, size_t n, struct qcow2_info *info, uint32_t *ret_length, struct err *e)
{
    if (n < V3_HEADER_BYTES)
        return bad(e, "shorter than its header");
    uint64_t incompatible = get64(p + H_INCOMPATIBLE);
    uint32_t length = get32(p + H_HEADER_LENGTH);

    if (incompatible & ~(uint64_t)INCOMPAT_KNOWN)
        return err_set(e, -ENOTSUP, "image.feature", "the image needs features that are not known here (0x%" PRIx64 ")",
                       incompatible & ~(uint64_t)INCOMPAT_KNOWN);
    if (length < V3_HEADER_BYTES || length % 8 != 0 || length > n)
        return bad(e, "header length");
    if (get32(p + H_REFCOUNT_ORDER) > REFCOUNT_ORDER_MAX)
        return bad(e, "refcount width");
    uint8_t compression = length > H_COMPRESSION_TYPE ? p[H_COMPRESSION_TYPE] : 0;
    if ((compression != 0) != ((incompatible & INCOMPAT_COMPRESSION) != 0) || compression > 1)
        return bad(e, "compression type");
    if ((incompatible & INCOMPAT_EXTENDED_L2) && info->cluster_bits < EXTL2_BITS_MIN)
        return bad(e, "cluster size");
    info->is_dirty = incompatible & INCOMPAT_DIRTY;
    info->is_corrupt = incompatible & INCOMPAT_CORRUPT;
    info->has_data_file = incompatible & INCOMPAT_DATA_FILE;
    info->is_extended_l2 = incompatible & INCOMPAT_EXTENDED_L2;
    *ret_length = length;
    return 0;
}

/* Section "Header extensions": walked only to find a data file's name that the feature bit does not announce. end is
 * where the area must be over. */
static int check_extensions(const uint8_t *p, size_t at, size_t end, const struct qcow2_info *info, struct err *e)
{
    for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
        if (end - at < 8)
            return at == end ? 0 : bad(e, "header extensions");
        uint32_t type = get32(p + at);
        uint32_t length = get32(p + at + 4);
        at += 8;
        if (type == EXTENSION_END)
            return 0;
        if (length > end - at)
            return bad(e, "header extensions");
        if (type == EXTENSION_DATA_FILE && !info->has_data_file)
            return bad(e, "names a data file without saying so");
        size_t padded = ((size_t)length + 7) & ~(size_t)7;
        at = padded > end - at ? end : at + padded;
    }
    return bad(e, "too many header extensions");
}

/* The tables: aligned, inside the file, within the limits, L1 large enough for the virtual size. */
static int check_tables(const uint8_t *p, struct qcow2_info *info, uint64_t file_bytes, struct err *e)
{
    uint64_t mask = (UINT64_C(1) << info->cluster_bits) - 1;
    uint64_t l1_offset = get64(p + H_L1_OFFSET), l1_size = get32(p + H_L1_SIZE);
    uint64_t reftable = get64(p + H_REFTABLE_OFFSET);
    uint64_t reftable_bytes = (uint64_t)get32(p + H_REFTABLE_CLUSTERS) << info->cluster_bits;
    /* log2 of the guest bytes of an L1 entry: a cluster of L2 entries of 8 or 16 bytes, each one cluster */
    unsigned l1_shift = 2 * info->cluster_bits - (info->is_extended_l2 ? 4 : 3);
    uint64_t needed = (info->size_bytes >> l1_shift) + ((info->size_bytes & ((UINT64_C(1) << l1_shift) - 1)) != 0);

    if (l1_size * 8 > L1_BYTES_MAX || l1_size < needed)
        return bad(e, "size of the L1 table");
    if ((l1_offset & mask) || (l1_size && (l1_offset == 0 || l1_offset >= file_bytes)))
        return bad(e, "place of the L1 table");
    if (reftable_bytes == 0 || reftable_bytes > REFTABLE_BYTES_MAX)
        return bad(e, "size of the refcount table");
    if ((reftable & mask) || reftable == 0 || reftable >= file_bytes)
        return bad(e, "place of the refcount table");
    if (info->n_snapshots > SNAPSHOTS_MAX)
        return bad(e, "number of snapshots");
    uint64_t snapshots = get64(p + H_SNAPSHOTS_OFFSET);
    if ((snapshots & mask) || (info->n_snapshots && (snapshots == 0 || snapshots >= file_bytes)))
        return bad(e, "place of the snapshot table");
    info->l1_offset = l1_offset;
    info->l1_bytes = l1_size * 8;
    info->reftable_offset = reftable;
    info->reftable_bytes = reftable_bytes;
    return 0;
}

static int check_backing(const uint8_t *p, uint64_t cluster_bytes, struct err *e)
{
    uint64_t offset = get64(p + H_BACKING_OFFSET);
    uint32_t size = get32(p + H_BACKING_SIZE);

    if (offset != 0 && (size > QCOW2_BACKING_MAX || offset > cluster_bytes || size > cluster_bytes - offset))
        return bad(e, "place of the backing file's name");
    return 0;
}

int qcow2_header_parse(const uint8_t *p, size_t n, uint64_t file_bytes, struct qcow2_info *ret, struct err *e)
{
    if (n < V2_HEADER_BYTES || get32(p + H_MAGIC) != MAGIC)
        return bad(e, "no qcow2 header");
    struct qcow2_info info = {
        .size_bytes = get64(p + H_SIZE),
        .version = get32(p + H_VERSION),
        .cluster_bits = get32(p + H_CLUSTER_BITS),
        .n_snapshots = get32(p + H_N_SNAPSHOTS),
        .has_backing_file = get64(p + H_BACKING_OFFSET) != 0,
        .is_encrypted = get32(p + H_CRYPT_METHOD) != 0,
    };
    uint32_t length = V2_HEADER_BYTES;

    if (info.version != 2 && info.version != 3)
        return bad(e, "version");
    if (info.cluster_bits < CLUSTER_BITS_MIN || info.cluster_bits > CLUSTER_BITS_MAX)
        return bad(e, "cluster size");
    if (info.size_bytes > INT64_MAX || info.size_bytes % 512 != 0)
        return bad(e, "virtual size");
    if (get32(p + H_CRYPT_METHOD) > 2)
        return bad(e, "encryption method");
    int r = info.version == 3 ? parse_v3(p, n, &info, &length, e) : 0;
    if (r < 0)
        return r;
    uint64_t cluster_bytes = UINT64_C(1) << info.cluster_bits;
    r = check_tables(p, &info, file_bytes, e);
    if (r == 0)
        r = check_backing(p, cluster_bytes, e);
    /* The extension area ends where the backing file's name begins, or with the first cluster. */
    uint64_t end = info.has_backing_file ? get64(p + H_BACKING_OFFSET) : cluster_bytes;
    if (end > n)
        end = n;
    if (r == 0)
        r = end < length ? bad(e, "header length") : check_extensions(p, length, (size_t)end, &info, e);
    if (r < 0)
        return r;
    size_t name_len = info.has_backing_file ? get32(p + H_BACKING_SIZE) : 0;
    if (end + name_len <= n && !memchr(p + end, 0, name_len))
        memcpy(info.backing, p + end, name_len);
    *ret = info;
    return 0;
}

int qcow2_check_use(const struct qcow2_info *info, struct err *e)
{
    if (info->has_data_file)
        return err_set(e, -EINVAL, "image.external", "the image refers to another file (data file)");
    if (info->is_encrypted)
        return err_set(e, -EINVAL, "image.encrypted", "the image is encrypted, which is not supported");
    if (info->is_corrupt) {
        err_set(e, -EINVAL, "image.corrupt", "the image is marked corrupt");
        return err_hint(e, "check it with 'qemu-img check'");
    }
    return 0;
}

int qcow2_check_standalone(const struct qcow2_info *info, struct err *e)
{
    if (info->has_backing_file)
        return err_set(e, -EINVAL, "image.external", "the image refers to another file (backing file)");
    return qcow2_check_use(info, e);
}

int qcow2_check_overlay(const struct qcow2_info *info, const char *backing, struct err *e)
{
    if (!info->has_backing_file || !streq(info->backing, backing))
        return err_set(e, -EINVAL, "image.chain", "the image does not stand on '%s', as its guest's record says",
                       backing);
    return qcow2_check_use(info, e);
}
