/* The qcow2 readers, of header and tables. The first eight bytes of the input are the length of the file it claims to
 * be the beginning of; the rest of that reads as zero. */
#include "image/qcow2.h"

#define WALKED_MAX (UINT64_C(1) << 22) /* larger ones are only slower */

struct file {
    const uint8_t *data;
    size_t n;
    uint64_t n_reads;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int read_file(void *arg, uint64_t offset, void *data, size_t n, struct err *e)
{
    struct file *f = arg;
    size_t have = offset < f->n ? f->n - (size_t)offset : 0;

    have = have < n ? have : n;
    memset(data, 0, n);
    if (have)
        memcpy(data, f->data + offset, have);
    f->n_reads++;
    return 0;
}

/* Every table is read once: no more of them than the file has clusters, in at most 32 pieces; L1 and refcount table
 * have at most a megabyte. */
static void walk(const struct qcow2_info *info, const uint8_t *data, size_t n, uint64_t file_bytes)
{
    struct file f = {.data = data, .n = n};
    struct err e = ERR_INIT;

    file_bytes = file_bytes < WALKED_MAX ? file_bytes : WALKED_MAX;
    if (info->l1_offset >= file_bytes || info->reftable_offset >= file_bytes || info->l1_bytes > WALKED_MAX / 8 ||
        info->reftable_bytes > WALKED_MAX / 8)
        return;
    int r = qcow2_tables_check(info, file_bytes, read_file, &f, &e);
    if (f.n_reads > 18 + ((file_bytes >> info->cluster_bits) + 1) * 32 || (r < 0 && (!e.code[0] || !e.text[0])))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint64_t file_bytes;
    struct qcow2_info info;
    struct err e = ERR_INIT;

    if (n < sizeof(file_bytes))
        return 0;
    memcpy(&file_bytes, data, sizeof(file_bytes));
    data += sizeof(file_bytes);
    n -= sizeof(file_bytes);
    const uint8_t *all = data;
    size_t n_all = n;
    if (n > QCOW2_HEADER_BYTES)
        n = QCOW2_HEADER_BYTES;
    /* An exact copy, so that one byte too far is seen. */
    autofree uint8_t *exact = malloc(n ? n : 1);
    if (!exact)
        return 0;
    memcpy(exact, data, n);
    int r = qcow2_header_parse(exact, n, file_bytes, &info, &e);
    if (r == 0 && (info.size_bytes % 512 || info.cluster_bits < 9 || info.cluster_bits > 21))
        abort();
    if (r == 0)
        walk(&info, all, n_all, file_bytes);
    if (r == 0)
        r = qcow2_check_standalone(&info, &e);
    if (r < 0 && (!e.code[0] || !e.text[0] || e.num != r))
        abort();
    return 0;
}
