/* The common checks of every parameter, and the urlencoded parser; see params.h. */
#include "proto/params.h"

#include "proto/text.h"

void params_init(struct params *p, struct buf *out)
{
    *p = (struct params){.out = out, .start = out->len};
}

static int check_text(const char *name, size_t name_len, const char *value, size_t value_len, struct err *e)
{
    if (name_len == 0)
        return err_set(e, -EINVAL, "param.name", "parameter without a name");
    if (name_len > PARAM_NAME_MAX)
        return err_set(e, -EINVAL, "param.name", "parameter name too long");
    if (memchr(name, 0, name_len) || (value_len && memchr(value, 0, value_len)))
        return err_set(e, -EINVAL, "param.nul", "parameter holds a NUL byte");
    if (!text_is_utf8(name, name_len) || !text_is_utf8(value, value_len))
        return err_set(e, -EINVAL, "param.utf8", "parameter is not valid UTF-8");
    return 0;
}

int params_add(struct params *p, enum param_kind kind, const char *name, size_t name_len, const char *value,
               size_t value_len, struct err *e)
{
    char copy[PARAM_NAME_MAX + 1];
    int r = check_text(name, name_len, value, value_len, e);

    if (r < 0)
        return r;
    if (name_len == 3 && memcmp(name, "_dc", 3) == 0)
        return 0;
    if (p->count == PARAMS_MAX)
        return err_set(e, -E2BIG, "param.many", "more than %u parameters", PARAMS_MAX);
    if (p->out->len - p->start + value_len + name_len > PARAM_TOTAL_MAX)
        return err_set(e, -E2BIG, "param.size", "parameters too large");
    memcpy(copy, name, name_len);
    copy[name_len] = 0;
    field_param(p->out, kind, copy, value_len ? value : "", value_len);
    if (p->out->is_failed)
        return err_set(e, -E2BIG, "param.size", "parameters too large");
    p->count++;
    return 0;
}

/* One "name=value"; scratch is reused for each. */
static int add_pair(struct params *p, const char *s, size_t n, struct buf *scratch, struct err *e)
{
    const char *equals = memchr(s, '=', n);
    size_t raw_name = equals ? (size_t)(equals - s) : n;

    buf_reset(scratch);
    int r = text_percent_decode(s, raw_name, true, scratch, e);
    if (r < 0)
        return r;
    size_t name_len = scratch->len;
    if (equals)
        r = text_percent_decode(equals + 1, n - raw_name - 1, true, scratch, e);
    if (r < 0)
        return r;
    return params_add(p, PARAM_STRING, buf_str(scratch), name_len, buf_str(scratch) + name_len, scratch->len - name_len,
                      e);
}

int params_add_urlencoded(struct params *p, const char *text, size_t n, struct err *e)
{
    autobuf struct buf scratch;
    const char *end = text + n;

    buf_init(&scratch, PARAM_TOTAL_MAX);
    while (text < end) {
        const char *stop = text;
        while (stop < end && *stop != '&' && *stop != ';')
            stop++;
        if (stop > text) {
            int r = add_pair(p, text, (size_t)(stop - text), &scratch, e);
            if (r < 0)
                return r;
        }
        text = stop + 1;
    }
    return 0;
}
