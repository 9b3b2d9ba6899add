/* Property strings; see propstr.h. Pure, any thread. Called wherever a configuration value is read. */
#include "base/propstr.h"

#include <ctype.h>
#include <strings.h>

#define KEY_BYTES_MAX 64u

static bool key_is_valid(const char *key)
{
    size_t n = strlen(key);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)key[i]) && !strchr("_.-", key[i]))
            return false;
    return n > 0 && n <= KEY_BYTES_MAX;
}

static bool is_blank(const char *s)
{
    return s[strspn(s, " \t")] == 0;
}

/* part is one item; it is cut in two at its first '='. */
static int add_item(struct propstr *p, char *part, const char *default_key, struct err *e)
{
    char *value = strchr(part, '=');
    const char *key = default_key;

    if (is_blank(part))
        return 0;
    if (value) {
        *value++ = 0;
        key = part;
    } else {
        value = part;
    }
    if (!key)
        return err_set(e, -EINVAL, "param.format", "value without a key: '%.64s'", value);
    if (!key_is_valid(key))
        return err_set(e, -EINVAL, "param.format", "invalid property name '%.64s'", key);
    if (!*value)
        return err_set(e, -EINVAL, "param.format", "property '%s' has no value", key);
    if (propstr_get(p, key))
        return err_set(e, -EINVAL, "param.format", "duplicate key in comma-separated list property: %s", key);
    if (p->n == PROPSTR_ITEMS_MAX)
        return err_set(e, -EINVAL, "param.format", "more than %u properties", PROPSTR_ITEMS_MAX);
    p->items[p->n++] = (struct propstr_item){key, value};
    return 0;
}

int propstr_parse(const char *text, const char *default_key, struct propstr *ret, struct err *e)
{
    size_t n = strnlen(text, PROPSTR_BYTES_MAX + 1);

    ret->n = 0;
    if (n > PROPSTR_BYTES_MAX)
        return err_set(e, -EINVAL, "param.format", "property string longer than %u bytes", PROPSTR_BYTES_MAX);
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return err_set(e, -EINVAL, "param.format", "control character in a property string");
    memcpy(ret->text, text, n + 1);
    for (char *part = ret->text, *next; part; part = next) {
        next = strchr(part, ',');
        if (next)
            *next++ = 0;
        int r = add_item(ret, part, default_key, e);
        if (r < 0) {
            ret->n = 0;
            return r;
        }
    }
    return 0;
}

const char *propstr_get(const struct propstr *p, const char *key)
{
    for (size_t i = 0; i < p->n; i++)
        if (streq(p->items[i].key, key))
            return p->items[i].value;
    return NULL;
}

static int wrong(const char *key, const char *value, const char *expected, struct err *e)
{
    return err_set(e, -EINVAL, "param.format", "%s: '%.64s' is not %s", key, value, expected);
}

int propstr_get_bool(const struct propstr *p, const char *key, bool fallback, bool *ret, struct err *e)
{
    const char *s = propstr_get(p, key);
    bool v = fallback;

    if (s && propstr_bool(s, &v) < 0)
        return wrong(key, s, "a boolean", e);
    *ret = v;
    return 0;
}

int propstr_get_u64(const struct propstr *p, const char *key, uint64_t fallback, uint64_t *ret, struct err *e)
{
    const char *s = propstr_get(p, key);
    uint64_t v = fallback;

    if (s && str_to_u64(s, &v) < 0)
        return wrong(key, s, "a number", e);
    *ret = v;
    return 0;
}

int propstr_get_size(const struct propstr *p, const char *key, uint64_t fallback_bytes, uint64_t *ret_bytes,
                     struct err *e)
{
    const char *s = propstr_get(p, key);
    uint64_t v = fallback_bytes;

    if (s && propstr_size(s, &v) < 0)
        return wrong(key, s, "a size", e);
    *ret_bytes = v;
    return 0;
}

int propstr_bool(const char *s, bool *ret)
{
    static const char *const yes[] = {"1", "on", "yes", "true"}, *const no[] = {"0", "off", "no", "false"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcasecmp(s, yes[i]) == 0) {
            *ret = true;
            return 0;
        }
        if (strcasecmp(s, no[i]) == 0) {
            *ret = false;
            return 0;
        }
    }
    return -EINVAL;
}

/* The part of one unit that the digits after the point make up. Twelve digits are more than one byte in a tebibyte. */
static const char *parse_fraction(const char *s, unsigned __int128 *ret_numerator, uint64_t *ret_denominator)
{
    unsigned __int128 numerator = 0;
    uint64_t denominator = 1;

    for (size_t digits = 0; isdigit((unsigned char)*s); s++) {
        if (digits++ >= 13)
            continue;
        numerator = numerator * 10 + (unsigned)(*s - '0');
        denominator *= 10;
    }
    *ret_numerator = numerator;
    *ret_denominator = denominator;
    return s;
}

int propstr_size(const char *s, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    unsigned __int128 whole = 0, numerator = 0;
    uint64_t denominator = 1;
    unsigned shift = 0;

    if (!isdigit((unsigned char)*s))
        return -EINVAL;
    for (; isdigit((unsigned char)*s); s++) {
        whole = whole * 10 + (unsigned)(*s - '0');
        if (whole > UINT64_MAX)
            return -ERANGE;
    }
    if (*s == '.') {
        if (!isdigit((unsigned char)s[1]))
            return -EINVAL;
        s = parse_fraction(s + 1, &numerator, &denominator);
    }
    if (*s) {
        const char *unit = strchr(units, *s);
        if (!unit || s[1])
            return -EINVAL;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    unsigned __int128 bytes = (whole << shift) + (numerator << shift) / denominator;
    if (bytes > UINT64_MAX)
        return -ERANGE;
    *ret_bytes = (uint64_t)bytes;
    return 0;
}
