/* UTF-8, percent-encoding and header parameters; see text.h. */
#include "proto/text.h"

bool text_is_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = utf8_len(s + i, n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int text_percent_decode(const char *s, size_t n, bool plus_is_space, struct buf *out, struct err *e)
{
    char *dst = buf_reserve(out, n);
    size_t used = 0;

    if (!dst)
        return err_set(e, -E2BIG, "http.size", "text too long");
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '%') {
            int high = i + 2 < n ? hex_value(s[i + 1]) : -1;
            int low = i + 2 < n ? hex_value(s[i + 2]) : -1;
            if (high < 0 || low < 0)
                return err_set(e, -EINVAL, "http.percent", "malformed percent-encoding");
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        dst[used++] = c;
    }
    out->len += used;
    out->data[out->len] = 0;
    return 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool text_equal_nocase(const char *a, size_t n_a, const char *b)
{
    if (strlen(b) != n_a)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* Reads one parameter value at *at into dst (dst NULL: skips it). -EINVAL when unterminated or too long. */
static int read_value(const char **at, char *dst, size_t cap)
{
    const char *p = *at;
    bool is_quoted = *p == '"';
    size_t n = 0;

    if (is_quoted)
        p++;
    for (; *p && (is_quoted ? *p != '"' : *p != ';' && *p != ' ' && *p != '\t'); p++) {
        if (is_quoted && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
            p++;
        if (!is_quoted && *p == '"')
            return -EINVAL;
        if (dst && n + 1 >= cap)
            return -EINVAL;
        if (dst)
            dst[n++] = *p;
    }
    if (is_quoted && *p != '"')
        return -EINVAL;
    if (dst)
        dst[n] = 0;
    *at = is_quoted ? p + 1 : p;
    return 0;
}

int text_header_param(const char *value, const char *name, char *dst, size_t cap, struct err *e)
{
    const char *p = value + strcspn(value, ";\"");
    bool is_found = false;

    while (*p == ';') {
        p = skip_blanks(p + 1);
        if (*p == 0 || *p == ';')
            continue;
        size_t n = strcspn(p, "=; \t\"");
        bool is_it = text_equal_nocase(p, n, name);
        if (n == 0 || p[n] != '=' || (is_it && is_found))
            return err_set(e, -EINVAL, "http.header", "malformed header parameter");
        p += n + 1;
        if (read_value(&p, is_it ? dst : NULL, cap) < 0)
            return err_set(e, -EINVAL, "http.header", "malformed or too long header parameter");
        is_found = is_found || is_it;
        p = skip_blanks(p);
    }
    if (*p)
        return err_set(e, -EINVAL, "http.header", "malformed header parameter");
    return is_found ? 0 : err_set(e, -ENOENT, "http.header", "header parameter '%s' is missing", name);
}
