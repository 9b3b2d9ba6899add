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

/* The typed readers: each accepts the value as the plain function does, or gives an error and leaves the result. */
static void check_typed(const struct propstr *p, const char *key, const char *value)
{
    struct err e = ERR_INIT;
    uint64_t bytes = 0, size = 0, number = 0;
    bool flag = false, is_on = false;

    if ((propstr_get_bool(p, key, false, &flag, &e) == 0) != (propstr_bool(value, &is_on) == 0) || flag != is_on)
        abort();
    if ((propstr_get_size(p, key, 0, &bytes, &e) == 0) != (propstr_size(value, &size) == 0) || bytes != size)
        abort();
    if (propstr_get_u64(p, key, 0, &number, &e) < 0 && (number != 0 || !e.code[0]))
        abort();
    if (propstr_bool(value, &is_on) == 0 && propstr_size(value, &size) == 0 && size > 1)
        abort();
}

static void check_absent(const struct propstr *p)
{
    struct err e = ERR_INIT;
    uint64_t bytes, number;
    bool flag;

    if (propstr_get_bool(p, "", true, &flag, &e) < 0 || !flag || propstr_get_size(p, "", 7, &bytes, &e) < 0 ||
        bytes != 7 || propstr_get_u64(p, "", 9, &number, &e) < 0 || number != 9)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct propstr p;
    struct err e = ERR_INIT;
    autofree char *text = malloc(n + 1);

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
        check_typed(&p, p.items[i].key, p.items[i].value);
    check_absent(&p);
    return 0;
}
