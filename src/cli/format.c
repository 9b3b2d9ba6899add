/* Values as people read them. Which key holds bytes, a time or a yes/no is one table; anything else is shown as it is.
 * Only numbers are converted: memory "current=512" of a configuration stays what it is. Pure. */
#include <inttypes.h>
#include <math.h>
#include <time.h>

#include "cli/output_priv.h"
#include "cli/text_priv.h"

enum value_kind { KIND_PLAIN, KIND_BYTES, KIND_TIME, KIND_DURATION, KIND_SHARE, KIND_BOOL };

static const struct {
    const char *key;
    enum value_kind kind;
} kinds[] = {
    {"mem", KIND_BYTES},       {"maxmem", KIND_BYTES},      {"memhost", KIND_BYTES},   {"disk", KIND_BYTES},
    {"maxdisk", KIND_BYTES},   {"diskread", KIND_BYTES},    {"diskwrite", KIND_BYTES}, {"netin", KIND_BYTES},
    {"netout", KIND_BYTES},    {"size", KIND_BYTES},        {"used", KIND_BYTES},      {"avail", KIND_BYTES},
    {"available", KIND_BYTES}, {"total", KIND_BYTES},       {"free", KIND_BYTES},      {"done-bytes", KIND_BYTES},
    {"swap", KIND_BYTES},      {"total-bytes", KIND_BYTES}, {"starttime", KIND_TIME},  {"endtime", KIND_TIME},
    {"received", KIND_BYTES},  {"expires", KIND_TIME},      {"ctime", KIND_TIME},      {"expire", KIND_TIME},
    {"uptime", KIND_DURATION}, {"cpu", KIND_SHARE},         {"wait", KIND_SHARE},      {"used_fraction", KIND_SHARE},
    {"enable", KIND_BOOL},     {"enabled", KIND_BOOL},      {"active", KIND_BOOL},     {"autostart", KIND_BOOL},
    {"shared", KIND_BOOL},     {"template", KIND_BOOL},     {"propagate", KIND_BOOL},  {"privsep", KIND_BOOL},
    {"special", KIND_BOOL},    {"onboot", KIND_BOOL},
};

/* "memory.total" is a total. */
static enum value_kind kind_of(const char *key)
{
    const char *dot = strrchr(key, '.');

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (streq(kinds[i].key, dot ? dot + 1 : key))
            return kinds[i].kind;
    return KIND_PLAIN;
}

void format_bytes(double bytes, struct buf *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;

    while (fabs(bytes) >= 1023.95 && unit + 1 < ARRAY_SIZE(units)) {
        bytes /= 1024;
        unit++;
    }
    bool is_round = unit == 0 || fabs(bytes - round(bytes)) < 0.05 || bytes >= 100;
    buf_printf(out, is_round ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

void format_duration(uint64_t seconds, struct buf *out)
{
    uint64_t days = seconds / 86400;

    if (days)
        buf_printf(out, "%" PRIu64 "d ", days);
    buf_printf(out, "%02u:%02u:%02u", (unsigned)(seconds / 3600 % 24), (unsigned)(seconds / 60 % 60),
               (unsigned)(seconds % 60));
}

static void format_time(double seconds, struct buf *out)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    char text[32];

    if (seconds == 0)
        buf_append_str(out, "never");
    else if (fabs(seconds) < 1e11 && localtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
        buf_append_str(out, text);
    else
        buf_printf(out, "%.0f", seconds);
}

static void format_plain_number(const json_t *value, struct buf *out)
{
    if (json_is_integer(value))
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        buf_printf(out, "%.6g", json_real_value(value));
}

static void format_number(const char *key, const json_t *value, struct buf *out)
{
    double v = json_number_value(value);

    switch (kind_of(key)) {
    case KIND_BYTES:
        return format_bytes(v, out);
    case KIND_TIME:
        return format_time(v, out);
    case KIND_DURATION:
        return v >= 0 && v < 1e15 ? format_duration((uint64_t)v, out) : format_plain_number(value, out);
    case KIND_SHARE:
        return buf_printf(out, "%.1f%%", v * 100);
    case KIND_BOOL:
        return buf_append_str(out, v != 0 ? "yes" : "no");
    case KIND_PLAIN:
        return format_plain_number(value, out);
    }
}

/* Members of a pool, groups of a user: the name of each. */
static void format_list(const json_t *list, struct buf *out)
{
    static const char *const names[] = {"id", "name", "tokenid", "subdir"};

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        buf_append_str(out, i ? ", " : "");
        for (size_t k = 0; json_is_object(item) && k < ARRAY_SIZE(names); k++) {
            const json_t *name = json_object_get(item, names[k]);
            if (name)
                item = name;
        }
        format_value("", item, true, out);
    }
}

static void format_raw(const json_t *value, struct buf *out)
{
    autofree char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

    if (text)
        text_append_clean(out, text, strlen(text));
}

void format_value(const char *key, const json_t *value, bool is_exact, struct buf *out)
{
    if (!value || json_is_null(value))
        return;
    if (json_is_string(value))
        text_append_clean(out, json_string_value(value), json_string_length(value));
    else if (json_is_integer(value) && is_exact)
        format_plain_number(value, out);
    else if (json_is_number(value) && !is_exact)
        format_number(key, value, out);
    else if (json_is_boolean(value) && !is_exact)
        buf_append_str(out, json_is_true(value) ? "yes" : "no");
    else if (json_is_array(value))
        format_list(value, out);
    else
        format_raw(value, out);
}

bool format_is_right_aligned(const char *key, const json_t *value)
{
    enum value_kind k = kind_of(key);

    return json_is_number(value) && k != KIND_TIME && k != KIND_BOOL;
}

const char *format_colour(const char *key, const json_t *value)
{
    static const struct {
        const char *text, *colour;
    } colours[] = {{"running", "\033[32m"}, {"online", "\033[32m"}, {"OK", "\033[32m"},      {"available", "\033[32m"},
                   {"stopped", "\033[90m"}, {"paused", "\033[33m"}, {"offline", "\033[31m"}, {"error", "\033[31m"},
                   {"unknown", "\033[33m"}, {"RUNNING", "\033[36m"}};
    const char *text = json_string_value(value);

    if (!text || !(streq(key, "status") || streq(key, "exitstatus") || streq(key, "qmpstatus")))
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
        if (streq(colours[i].text, text))
            return colours[i].colour;
    return str_starts(text, "WARNINGS") ? "\033[33m" : "\033[31m";
}
