/* JSON writer; RFC 8259 section 7 for the escapes. */
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#define JW_DEPTH_MAX 31u

void jw_init(struct jw *w, struct buf *out)
{
    *w = (struct jw){.out = out};
}

static void before_value(struct jw *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->has_item & (1u << w->depth))
        buf_append_char(w->out, ',');
    w->has_item |= 1u << w->depth;
}

static void open_level(struct jw *w, char c)
{
    before_value(w);
    buf_append_char(w->out, c);
    assert(w->depth < JW_DEPTH_MAX);
    w->depth++;
    w->has_item &= ~(1u << w->depth);
}

static void close_level(struct jw *w, char c)
{
    assert(w->depth > 0);
    w->depth--;
    buf_append_char(w->out, c);
}

void jw_object(struct jw *w)
{
    open_level(w, '{');
}

void jw_object_end(struct jw *w)
{
    close_level(w, '}');
}

void jw_array(struct jw *w)
{
    open_level(w, '[');
}

void jw_array_end(struct jw *w)
{
    close_level(w, ']');
}

static void append_quoted(struct buf *out, const char *s, size_t n)
{
    size_t start = 0;

    buf_append_char(out, '"');
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') { /* nearly everything */
            i++;
            continue;
        }
        size_t len = c < 0x80 ? 1 : utf8_len(s + i, n - i);
        if (len && c >= 0x20 && c != '"' && c != '\\') {
            i += len;
            continue;
        }
        buf_append(out, s + start, i - start);
        if (!len)
            buf_append_str(out, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            buf_append(out, (char[]){'\\', (char)c}, 2);
        else if (c == '\n')
            buf_append_str(out, "\\n");
        else if (c == '\t')
            buf_append_str(out, "\\t");
        else
            buf_printf(out, "\\u%04x", c);
        start = ++i;
    }
    buf_append(out, s + start, n - start);
    buf_append_char(out, '"');
}

void jw_key(struct jw *w, const char *key)
{
    before_value(w);
    append_quoted(w->out, key, strlen(key));
    buf_append_char(w->out, ':');
    w->after_key = true;
}

void jw_strn(struct jw *w, const char *s, size_t n)
{
    before_value(w);
    append_quoted(w->out, s, n);
}

void jw_str(struct jw *w, const char *s)
{
    jw_strn(w, s, strlen(s));
}

void jw_u64(struct jw *w, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);

    before_value(w);
    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_append(w->out, digits + i, sizeof(digits) - i);
}

void jw_int(struct jw *w, int64_t v)
{
    if (v >= 0) {
        jw_u64(w, (uint64_t)v);
        return;
    }
    before_value(w);
    buf_printf(w->out, "%" PRId64, v);
}

void jw_num(struct jw *w, double v)
{
    char text[40];

    before_value(w);
    if (!isfinite(v) || v == 0) {
        buf_append_char(w->out, '0');
        return;
    }
    snprintf(text, sizeof(text), "%.15g", v);
    if (strtod(text, NULL) != v)
        snprintf(text, sizeof(text), "%.17g", v);
    buf_append_str(w->out, text);
}

void jw_bool(struct jw *w, bool v)
{
    before_value(w);
    buf_append_str(w->out, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
    before_value(w);
    buf_append_str(w->out, "null");
}

void jw_raw(struct jw *w, const char *json, size_t n)
{
    before_value(w);
    buf_append(w->out, json, n);
}

void jw_kv_str(struct jw *w, const char *key, const char *value)
{
    jw_key(w, key);
    jw_str(w, value);
}

void jw_kv_int(struct jw *w, const char *key, int64_t value)
{
    jw_key(w, key);
    jw_int(w, value);
}

void jw_kv_u64(struct jw *w, const char *key, uint64_t value)
{
    jw_key(w, key);
    jw_u64(w, value);
}

void jw_kv_num(struct jw *w, const char *key, double value)
{
    jw_key(w, key);
    jw_num(w, value);
}

static void measure(const char *text, size_t n, unsigned *ret_depth, size_t *ret_values)
{
    unsigned depth = 0, max = 0;
    size_t values = 0;
    bool in_string = false;

    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        in_string = c == '"';
        values += c == '[' || c == '{' || c == ',';
        if (c == '[' || c == '{')
            max = ++depth > max ? depth : max;
        else if ((c == ']' || c == '}') && depth)
            depth--;
    }
    *ret_depth = max;
    *ret_values = values;
}

unsigned json_depth(const char *text, size_t n)
{
    unsigned depth;
    size_t values;

    measure(text, n, &depth, &values);
    return depth;
}

size_t json_values(const char *text, size_t n)
{
    unsigned depth;
    size_t values;

    measure(text, n, &depth, &values);
    return values;
}
