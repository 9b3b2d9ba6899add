/* Cleaning text for a terminal; see text_priv.h. Pure. A guest's name, a task's log and an error all come from outside:
 * an escape sequence in one of them must not reach the terminal of an administrator. */
#include <wchar.h>

#include "base/util.h"
#include "cli/text_priv.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* Length of the UTF-8 sequence at s, 0 if it is not valid. */
static size_t decode(const unsigned char *s, size_t n, uint32_t *ret_point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80             ? 1
                 : (s[0] & 0xE0) == 0xC0 ? 2
                 : (s[0] & 0xF0) == 0xE0 ? 3
                 : (s[0] & 0xF8) == 0xF0 ? 4
                                         : 0;

    if (len == 0 || len > n)
        return 0;
    uint32_t point = len == 1 ? s[0] : s[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3F);
    }
    if (point < least[len] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
        return 0;
    *ret_point = point;
    return len;
}

/* C0, DEL, C1, line and paragraph separator, direction marks, embeddings, overrides and isolates. */
static bool is_unsafe(uint32_t p)
{
    return p < 0x20 || (p >= 0x7F && p <= 0x9F) || p == 0x200E || p == 0x200F || (p >= 0x2028 && p <= 0x202E) ||
           (p >= 0x2066 && p <= 0x2069) || p == 0x61C || p == 0xFEFF;
}

static void append_clean(struct buf *b, const char *s, size_t n, bool keeps_lines)
{
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t len = decode((const unsigned char *)s + i, n - i, &point);

        if (len && !is_unsafe(point))
            buf_append(b, s + i, len);
        else if (len && point == '\n')
            buf_append_char(b, keeps_lines ? '\n' : ' ');
        else if (len && point == '\t')
            buf_append_char(b, ' ');
        else
            buf_append_str(b, REPLACEMENT);
        i += len ? len : 1;
    }
}

void text_append_clean(struct buf *b, const char *s, size_t n)
{
    append_clean(b, s, n, false);
}

void text_append_clean_lines(struct buf *b, const char *s, size_t n)
{
    append_clean(b, s, n, true);
}

void text_append_json(struct buf *b, const char *json, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t len = decode((const unsigned char *)json + i, n - i, &point);

        if (len && (!is_unsafe(point) || point < 0x20)) /* the writer's own line ends; others are escaped by it */
            buf_append(b, json + i, len);
        else
            buf_printf(b, "\\u%04X", len ? point : 0xFFFD);
        i += len ? len : 1;
    }
}

static size_t width_of(uint32_t point)
{
    int w = wcwidth((wchar_t)point);

    return w < 0 ? 1 : (size_t)w;
}

size_t text_width(const char *s)
{
    size_t n = strlen(s), width = 0;

    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t len = decode((const unsigned char *)s + i, n - i, &point);

        width += len ? width_of(point) : 1;
        i += len ? len : 1;
    }
    return width;
}

size_t text_fit(const char *s, size_t columns)
{
    size_t n = strlen(s), width = 0, i = 0;

    while (i < n) {
        uint32_t point;
        size_t len = decode((const unsigned char *)s + i, n - i, &point);
        size_t w = len ? width_of(point) : 1;

        if (width + w > columns)
            break;
        width += w;
        i += len ? len : 1;
    }
    return i;
}
