/* Where a stranger's qcow2 image has its data: every table that a reader of the guest's bytes would follow is looked
 * at before anybody follows it. In a sound image each cluster has one use, so that neither reading it takes longer nor
 * what is read becomes larger than the file; compressed data alone may grow, and that is capped.
 *
 * Not looked at: what is inside refcount blocks (readers do not need them), internal snapshots and bitmaps (they are
 * not imported). Section names are those of QEMU's docs/interop/qcow2.txt. Pure but for the caller's read function;
 * memory is bounded by QCOW2_CLUSTERS_MAX. */
#include <endian.h>

#include "image/qcow2.h"

#define CHUNK_BYTES 65536u
#define CHUNK_WORDS (CHUNK_BYTES / 8)

/* Section "L1 and L2 table entries": the same bits in both. */
#define ENTRY_OFFSET     UINT64_C(0x00fffffffffffe00)
#define ENTRY_COPIED     (UINT64_C(1) << 63)
#define ENTRY_COMPRESSED (UINT64_C(1) << 62)
#define ENTRY_ZERO       UINT64_C(1)

struct walk {
    uint64_t file_bytes, cluster_bytes;
    unsigned cluster_bits, version;
    bool is_extended_l2;
    uint8_t *used; /* a bit for each cluster of the file */
    uint64_t compressed_bytes;
    uint64_t l1[CHUNK_WORDS], l2[CHUNK_WORDS];
    qcow2_read_fn read;
    void *arg;
};

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "image.tables", "not a sound qcow2 image: %s", what);
}

static int check_aligned(const struct walk *w, uint64_t at, const char *what, struct err *e)
{
    if (at % w->cluster_bytes)
        return err_set(e, -EINVAL, "image.tables", "not a sound qcow2 image: %s is between two clusters", what);
    if (at >= w->file_bytes)
        return err_set(e, -EINVAL, "image.tables", "the image is not complete: %s is beyond the file's end", what);
    return 0;
}

static int take(struct walk *w, uint64_t at, uint64_t n_bytes, const char *what, struct err *e)
{
    uint64_t first = at >> w->cluster_bits, n = (n_bytes + w->cluster_bytes - 1) >> w->cluster_bits;
    uint64_t all = (w->file_bytes + w->cluster_bytes - 1) >> w->cluster_bits;
    int r = check_aligned(w, at, what, e);

    if (r < 0)
        return r;
    if (n > all - first)
        return err_set(e, -EINVAL, "image.tables", "the image is not complete: %s goes beyond the file's end", what);
    for (uint64_t i = first; i < first + n; i++) {
        if (w->used[i / 8] & (1u << (i % 8)))
            return err_set(e, -EINVAL, "image.tables", "not a sound qcow2 image: %s is where something else is", what);
        w->used[i / 8] |= (uint8_t)(1u << (i % 8));
    }
    return 0;
}

/* ---- L2 ---- */

/* Section "Compressed Clusters Descriptor". Several share a cluster of the file. */
static int check_compressed(struct walk *w, uint64_t entry, uint64_t bitmap, struct err *e)
{
    unsigned offset_bits = 62 - (w->cluster_bits - 8);
    uint64_t offset = entry & ((UINT64_C(1) << offset_bits) - 1);

    if (bitmap || (entry & ENTRY_COPIED))
        return bad(e, "a compressed cluster");
    if (offset < w->cluster_bytes || offset >= w->file_bytes)
        return bad(e, "place of a compressed cluster");
    w->compressed_bytes += w->cluster_bytes;
    if (w->compressed_bytes > QCOW2_BOMB_FREE && w->compressed_bytes / QCOW2_BOMB_RATIO > w->file_bytes)
        return err_set(e, -EFBIG, "image.bomb", "the image unpacks to more than %u times its size", QCOW2_BOMB_RATIO);
    return 0;
}

/* Sections "Standard Cluster Descriptor" and "Extended L2 Entries". */
static int check_standard(struct walk *w, uint64_t entry, uint64_t bitmap, struct err *e)
{
    uint64_t offset = entry & ENTRY_OFFSET;
    uint32_t allocated = (uint32_t)bitmap, zero = (uint32_t)(bitmap >> 32);
    bool is_zero = entry & ENTRY_ZERO;

    if (entry & ~(ENTRY_OFFSET | ENTRY_COPIED | ENTRY_ZERO))
        return bad(e, "reserved bits of a cluster");
    if (is_zero && (w->version < 3 || w->is_extended_l2))
        return bad(e, "a cluster of zeros");
    if ((allocated & zero) || (!offset && allocated))
        return bad(e, "a cluster's parts");
    if (!offset)
        return entry & ENTRY_COPIED ? bad(e, "a cluster without a place") : 0;
    return take(w, offset, w->cluster_bytes, "a cluster of data", e);
}

static int check_l2_chunk(struct walk *w, size_t n_words, struct err *e)
{
    size_t step = w->is_extended_l2 ? 2 : 1;
    int r = 0;

    for (size_t i = 0; r == 0 && i < n_words; i += step) {
        uint64_t entry = be64toh(w->l2[i]), bitmap = step == 2 ? be64toh(w->l2[i + 1]) : 0;
        if (!entry && !bitmap)
            continue;
        r = entry & ENTRY_COMPRESSED ? check_compressed(w, entry, bitmap, e) : check_standard(w, entry, bitmap, e);
    }
    return r;
}

static int check_l2(struct walk *w, uint64_t at, struct err *e)
{
    int r = take(w, at, w->cluster_bytes, "an L2 table", e);

    for (uint64_t done = 0; r == 0 && done < w->cluster_bytes;) {
        uint64_t left = w->cluster_bytes - done;
        size_t n = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        r = w->read(w->arg, at + done, w->l2, n, e);
        if (r == 0)
            r = check_l2_chunk(w, n / 8, e);
        done += n;
    }
    return r;
}

/* ---- L1, refcount table ---- */

typedef int (*entry_fn)(struct walk *w, uint64_t entry, struct err *e);

static int check_l1_entry(struct walk *w, uint64_t entry, struct err *e)
{
    if (entry & ~(ENTRY_OFFSET | ENTRY_COPIED))
        return bad(e, "reserved bits of an L1 table");
    return entry & ENTRY_OFFSET ? check_l2(w, entry & ENTRY_OFFSET, e) : 0;
}

/* Section "Refcount table". */
static int check_reftable_entry(struct walk *w, uint64_t entry, struct err *e)
{
    if (entry & 511)
        return bad(e, "reserved bits of a refcount table");
    return entry ? take(w, entry, w->cluster_bytes, "a refcount block", e) : 0;
}

static int each_entry(struct walk *w, uint64_t at, uint64_t n_bytes, entry_fn check, struct err *e)
{
    int r = 0;

    for (uint64_t done = 0; r == 0 && done < n_bytes;) {
        size_t n = n_bytes - done < CHUNK_BYTES ? (size_t)(n_bytes - done) : CHUNK_BYTES;
        r = w->read(w->arg, at + done, w->l1, n, e);
        for (size_t i = 0; r == 0 && i < n / 8; i++)
            if (w->l1[i])
                r = check(w, be64toh(w->l1[i]), e);
        done += n;
    }
    return r;
}

static int walk_all(struct walk *w, const struct qcow2_info *info, struct err *e)
{
    int r = take(w, 0, w->cluster_bytes, "the header", e);

    if (r == 0 && info->l1_bytes)
        r = take(w, info->l1_offset, info->l1_bytes, "the L1 table", e);
    if (r == 0)
        r = take(w, info->reftable_offset, info->reftable_bytes, "the refcount table", e);
    if (r == 0)
        r = each_entry(w, info->reftable_offset, info->reftable_bytes, check_reftable_entry, e);
    return r < 0 ? r : each_entry(w, info->l1_offset, info->l1_bytes, check_l1_entry, e);
}

int qcow2_tables_check(const struct qcow2_info *info, uint64_t file_bytes, qcow2_read_fn read_fn, void *arg,
                       struct err *e)
{
    uint64_t n_clusters = file_bytes >> info->cluster_bits;

    if (info->has_data_file)
        return bad(e, "its clusters are in another file");
    if (n_clusters >= QCOW2_CLUSTERS_MAX)
        return err_set(e, -EFBIG, "image.tables", "the image has more than %u clusters", QCOW2_CLUSTERS_MAX);
    struct walk *w = calloc(1, sizeof(*w));
    uint8_t *used = calloc(n_clusters / 8 + 1, 1);
    if (!w || !used) {
        free(w);
        free(used);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    w->file_bytes = file_bytes;
    w->cluster_bits = info->cluster_bits;
    w->cluster_bytes = UINT64_C(1) << info->cluster_bits;
    w->version = info->version;
    w->is_extended_l2 = info->is_extended_l2;
    w->used = used;
    w->read = read_fn;
    w->arg = arg;
    int r = walk_all(w, info, e);
    free(used);
    free(w);
    return r;
}
