/* A worker's request: the payload of a WORK frame. The first byte of the input is the number of descriptors. */
#include "worker/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct work_request q;
    struct err e = ERR_INIT;

    if (n == 0 || n > FRAME_PAYLOAD_MAX)
        return 0;
    size_t n_fds = data[0] % 6;
    autofree uint8_t *exact = malloc(n);
    if (!exact)
        return 0;
    memcpy(exact, data + 1, n - 1);
    int r = work_request_parse(exact, n - 1, n_fds, &q, &e);
    if (r < 0) {
        if (!e.code[0] || e.num != r)
            abort();
        return 0;
    }
    if (!q.verb || q.n_args < q.verb->min_args || q.n_args > q.verb->max_args || n_fds != q.verb->n_fds)
        abort();
    for (size_t i = 0; i < q.n_args; i++)
        if (strlen(q.args[i]) > WORK_ARG_BYTES_MAX)
            abort();
    if (q.secret && q.secret[q.secret_len] != 0)
        abort();
    work_request_done(&q);
    return 0;
}
