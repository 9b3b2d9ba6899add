/* Makes a qcow2 image larger by its header alone: the L1 table has room up to the end of its last cluster (4 TiB with
 * the usual 64 KiB), and what is behind its end reads as zero. Anything else (snapshots, a table that would have to
 * move) is QEMU's to do, on a running guest. The image was its guest's: nothing in it is believed. Pure. */
#include <endian.h>

#include "image/qcow2.h"

#define SIZE_AT      24u /* section "Header": size, crypt_method, l1_size, then l1_table_offset */
#define L1_SIZE_AT   36u
#define L1_OFFSET_AT 40u

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

static int too_far(struct err *e)
{
    return err_set(e, -EOPNOTSUPP, "image.grow",
                   "this qcow2 image can only be made so much larger while its guest runs");
}

int qcow2_grow_plan(const uint8_t *p, size_t n, uint64_t file_bytes, uint64_t size_bytes, struct qcow2_grow *ret,
                    struct err *e)
{
    struct qcow2_info info;
    int r = qcow2_header_parse(p, n, file_bytes, &info, e);

    if (r == 0)
        r = qcow2_check_use(&info, e);
    if (r < 0)
        return r;
    *ret = (struct qcow2_grow){.is_done = info.size_bytes >= size_bytes};
    if (ret->is_done)
        return 0;
    if (info.n_snapshots || info.is_dirty || size_bytes % 512 || size_bytes > QCOW2_SIZE_MAX)
        return too_far(e);
    uint64_t cluster = UINT64_C(1) << info.cluster_bits, covered = cluster * (cluster / 8);
    uint64_t had = get32(p + L1_SIZE_AT), at = get64(p + L1_OFFSET_AT), needed = (size_bytes + covered - 1) / covered;
    uint64_t room = (had * 8 + cluster - 1) / cluster * cluster / 8;
    if (at < cluster || at > file_bytes || at % cluster || needed > room || (needed > had && !had))
        return too_far(e);
    ret->zero_at = at + had * 8;
    ret->zero_bytes = needed > had ? (needed - had) * 8 : 0;
    ret->write_at = SIZE_AT;
    memcpy(ret->bytes, p + SIZE_AT, sizeof(ret->bytes));
    uint64_t size = htobe64(size_bytes);
    uint32_t l1_size = htobe32((uint32_t)(needed > had ? needed : had));
    memcpy(ret->bytes, &size, sizeof(size));
    memcpy(ret->bytes + L1_SIZE_AT - SIZE_AT, &l1_size, sizeof(l1_size));
    return 0;
}
