/* A request of holm-pam: the payload of a WORK frame. */
#include "pam/pam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct pam_request q;
    struct err e = ERR_INIT;

    if (n > FRAME_PAYLOAD_MAX)
        return 0;
    int r = pam_request_parse(data, n, &q, &e);
    if (r < 0) {
        if (!e.code[0] || e.num != r)
            abort();
        return 0;
    }
    if (!q.verb || q.name[0] == '-' || (q.verb->min_args > 0) != (q.name[0] != 0))
        abort();
    if (strpbrk(q.name, "/ \t\n:@!\\$") || strpbrk(q.host, "/ \t\n@!\\$"))
        abort();
    return 0;
}
