/* Property strings: whatever is accepted must read back to the same items when written out again. */
#include "base/buf.h"
#include "base/propstr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_round_trip(const struct propstr *p)
{
    struct propstr again;
    struct err e = ERR_INIT;
    autobuf struct buf text;

    buf_init(&text, 2 * PROPSTR_BYTES_MAX);
    for (size_t i = 0; i < p->n; i++)
        buf_printf(&text, "%s%s=%s", i ? "," : "", p->items[i].key, p->items[i].value);
    if (text.len > PROPSTR_BYTES_MAX)
        return;
    if (propstr_parse(buf_str(&text), NULL, &again, &e) < 0 || again.n != p->n)
        abort();
    for (size_t i = 0; i < p->n; i++)
        if (!streq(p->items[i].key, again.items[i].key) || !streq(p->items[i].value, again.items[i].value))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct propstr p;
    struct err e = ERR_INIT;
    autofree char *text = malloc(n + 1);
    uint64_t bytes;
    bool flag;

    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    if (propstr_parse(text, "file", &p, &e) < 0) {
        if (!e.code[0] || p.n != 0)
            abort();
        return 0;
    }
    if (p.n > PROPSTR_ITEMS_MAX)
        abort();
    check_round_trip(&p);
    for (size_t i = 0; i < p.n; i++)
        if (propstr_size(p.items[i].value, &bytes) == 0 && propstr_bool(p.items[i].value, &flag) == 0 && bytes > 1)
            abort();
    return 0;
}
