/* Certificates and a key that somebody uploads: bytes before the first NUL, and after it. */
#include <sys/mman.h>

#include "worker/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int text_fd(const uint8_t *data, size_t n)
{
    int fd = memfd_create("pem", MFD_CLOEXEC);

    if (fd < 0 || pwrite(fd, data, n, 0) != (ssize_t)n)
        abort();
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool is_prepared;
    struct work_request q = {.n_args = 1, .args = {"x.pem"}};
    struct err e = ERR_INIT;
    struct buf answer;

    if (!is_prepared && verb_cert_info_prepare(&q, &e) < 0)
        abort();
    is_prepared = true;
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    size_t first = end ? (size_t)(end - data) : n;
    int fds[] = {text_fd(data, first), text_fd(data + first, n - first)};
    buf_init(&answer, FRAME_PAYLOAD_MAX);
    int r = verb_cert_check(&q, fds, &answer, &e);
    if (r < 0 && (!e.code[0] || e.num != r))
        abort();
    close(fds[0]);
    close(fds[1]);
    buf_done(&answer);
    return 0;
}
