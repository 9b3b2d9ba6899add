/* The qcow2 header reader. The first eight bytes of the input are the length of the file it claims to be part of. */
#include "image/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

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
        r = qcow2_check_standalone(&info, &e);
    if (r < 0 && (!e.code[0] || !e.text[0] || e.num != r))
        abort();
    return 0;
}
