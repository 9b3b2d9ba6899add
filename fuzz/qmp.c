/* One line from QEMU: parsed or refused, and every value that is taken out of it is of its type and bounded. */
#include "guest/monitor/qmp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_text(const char *s, size_t cap)
{
    if (strnlen(s, cap) == cap)
        abort();
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    autofree char *line = malloc(n ? n : 1);
    struct qmp_message m;
    struct err e = ERR_INIT;
    char text[20];
    uint64_t a, b;

    if (!line)
        return 0;
    memcpy(line, data, n);
    if (qmp_message_parse(line, n, &m, &e) < 0) {
        if (m.root || !e.code[0])
            abort();
        return 0;
    }
    check_text(m.name, sizeof(m.name));
    check_text(m.text, sizeof(m.text));
    qmp_get_text(m.data, "status", text, sizeof(text));
    check_text(text, sizeof(text));
    qmp_sum_blockstats(m.data, &a, &b);
    if (qmp_get_u64(m.data, "actual", &a) && a > INT64_MAX)
        abort();
    qmp_message_done(&m);
    return 0;
}
