/* Calendar events: what is accepted has a next instant that is later than the one before, or none at all. */
#include "base/calendar.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct calendar c;
    struct err e = ERR_INIT;
    autofree char *text = malloc(n + 1);
    int64_t at = 1717588800, next;

    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    if (calendar_parse(text, &c, &e) < 0) {
        if (!e.code[0])
            abort();
        return 0;
    }
    if (!c.seconds || !c.minutes || !c.hours || !c.days || !c.months || !c.weekdays)
        abort();
    for (int i = 0; i < 3 && calendar_next(&c, at, &next); i++) {
        if (next <= at)
            abort();
        at = next;
    }
    return 0;
}
