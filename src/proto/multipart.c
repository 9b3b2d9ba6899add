/* Incremental multipart/form-data; see multipart.h. The delimiter is CR LF "--" boundary, and a boundary holds no CR:
 * after a mismatch the search goes on at the byte that did not fit, and what had matched was data. */
#include "proto/multipart.h"

#include "proto/text.h"

static int malformed(struct err *e, const char *text)
{
    return err_set(e, -EINVAL, "multipart.malformed", "malformed upload: %s", text);
}

int multipart_init(struct multipart *m, const char *content_type, struct err *e)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'()+_,-./:=?"; /* RFC 2046, 5.1.1, no blank */
    static const char type[] = "multipart/form-data";
    char boundary[MULTIPART_BOUNDARY_MAX + 1];

    *m = (struct multipart){.n_matched = 2, .part = MULTIPART_PREAMBLE};
    buf_init(&m->value, MULTIPART_VALUE_MAX);
    buf_init(&m->head, MULTIPART_HEAD_MAX);
    size_t n = strcspn(content_type, "; \t");
    if (!text_equal_nocase(content_type, n, type))
        return malformed(e, "not multipart/form-data");
    int r = text_header_param(content_type, "boundary", boundary, sizeof(boundary), e);
    if (r < 0)
        return malformed(e, "no usable boundary");
    if (!boundary[0] || boundary[strspn(boundary, allowed)])
        return malformed(e, "no usable boundary");
    m->delimiter_len = (size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
    return 0;
}

void multipart_done(struct multipart *m)
{
    buf_done(&m->value);
    buf_done(&m->head);
}

/* The value of a part header in m->head, copied to dst; -ENOENT if absent. Lines end in CRLF. */
static int part_header(const struct multipart *m, const char *name, char *dst, size_t cap, struct err *e)
{
    int r = -ENOENT;

    for (const char *line = m->head.data, *end; (end = strstr(line, "\r\n")) && end > line; line = end + 2) {
        size_t n = strcspn(line, ":\r");
        if (line[n] != ':' || n == 0)
            return malformed(e, "bad part header");
        if (!text_equal_nocase(line, n, name))
            continue;
        const char *value = line + n + 1 + strspn(line + n + 1, " \t");
        size_t len = (size_t)(end - value);
        if (r == 0 || value > end || len >= cap)
            return malformed(e, "bad part header");
        memcpy(dst, value, len);
        dst[len] = 0;
        r = 0;
    }
    return r;
}

static int check_part_head(struct multipart *m, struct err *e)
{
    char value[1024];
    int r = part_header(m, "content-transfer-encoding", value, sizeof(value), e);

    if (r == 0 && !text_equal_nocase(value, strlen(value), "binary") &&
        !text_equal_nocase(value, strlen(value), "8bit") && !text_equal_nocase(value, strlen(value), "7bit"))
        return malformed(e, "part with a transfer encoding");
    if (r == 0 || r == -ENOENT)
        r = part_header(m, "content-disposition", value, sizeof(value), e);
    if (r == -ENOENT)
        return malformed(e, "part without Content-Disposition");
    if (r < 0)
        return r;
    if (!text_equal_nocase(value, strcspn(value, "; \t"), "form-data"))
        return malformed(e, "part is not form-data");
    if (text_header_param(value, "name", m->name, sizeof(m->name), e) < 0 || !m->name[0])
        return malformed(e, "part without a name");
    r = text_header_param(value, "filename", m->file_name, sizeof(m->file_name), e);
    if (r < 0 && r != -ENOENT)
        return malformed(e, "bad file name");
    bool is_file = streq(m->name, MULTIPART_FILE_FIELD);
    if (is_file != (r == 0))
        return malformed(e, is_file ? "file part without a file name" : "the file part must be named 'filename'");
    if (!text_is_utf8(m->file_name, strlen(m->file_name)))
        return malformed(e, "file name is not valid UTF-8");
    return 0;
}

static int begin_part(struct multipart *m, struct err *e)
{
    m->file_name[0] = 0;
    if (memchr(m->head.data, 0, m->head.len))
        return malformed(e, "NUL in part header");
    int r = check_part_head(m, e);
    if (r < 0)
        return r;
    if (m->had_file)
        return malformed(e, "something follows the file part");
    m->state = MULTIPART_IN_DATA;
    m->n_matched = 0;
    buf_reset(&m->value);
    m->had_file = streq(m->name, MULTIPART_FILE_FIELD);
    m->part = m->had_file ? MULTIPART_IS_FILE : MULTIPART_IS_FIELD;
    if (!m->had_file && ++m->n_fields > MULTIPART_FIELDS_MAX)
        return malformed(e, "too many fields");
    return m->had_file ? MULTIPART_FILE_BEGIN : MULTIPART_MORE;
}

static int feed_head(struct multipart *m, const char *p, size_t n, size_t *used, struct err *e)
{
    while (*used < n) {
        buf_append_char(&m->head, p[(*used)++]);
        if (m->head.is_failed)
            return malformed(e, "part header too large");
        if (m->head.len >= 4 && memcmp(m->head.data + m->head.len - 4, "\r\n\r\n", 4) == 0)
            return begin_part(m, e);
        if (m->head.len == 2 && memcmp(m->head.data, "\r\n", 2) == 0)
            return malformed(e, "part without headers");
    }
    return MULTIPART_MORE;
}

static int feed_after_delimiter(struct multipart *m, char c, struct err *e)
{
    if (!m->after) {
        if (c != '-' && c != '\r')
            return malformed(e, "bad boundary line");
        m->after = c;
        return MULTIPART_MORE;
    }
    if (c != (m->after == '-' ? '-' : '\n'))
        return malformed(e, "bad boundary line");
    buf_reset(&m->head);
    m->state = m->after == '-' ? MULTIPART_AT_END : MULTIPART_IN_HEAD;
    return m->after == '-' ? MULTIPART_END : MULTIPART_MORE;
}

static int feed_tail(struct multipart *m, const char *p, size_t n, size_t *used, struct err *e)
{
    while (*used < n)
        if (m->n_tail >= 2 || p[(*used)++] != "\r\n"[m->n_tail++])
            return malformed(e, "something follows the end");
    return MULTIPART_MORE;
}

/* Part content that is known not to be a delimiter. */
static int give_data(struct multipart *m, const char *p, size_t n, struct err *e)
{
    if (n == 0)
        return MULTIPART_MORE;
    if (m->part == MULTIPART_PREAMBLE)
        return malformed(e, "does not begin with the boundary");
    if (m->part == MULTIPART_IS_FILE) {
        m->data = p;
        m->data_len = n;
        return MULTIPART_FILE_DATA;
    }
    buf_append(&m->value, p, n);
    return m->value.is_failed ? malformed(e, "field too large") : MULTIPART_MORE;
}

static int end_part(struct multipart *m)
{
    int event = m->part == MULTIPART_IS_FILE    ? MULTIPART_FILE_END
                : m->part == MULTIPART_IS_FIELD ? MULTIPART_FIELD
                                                : MULTIPART_MORE;

    m->state = MULTIPART_AFTER_DELIMITER;
    m->after = 0;
    m->n_matched = 0;
    return event;
}

/* Where the delimiter, or as much of it as fits, begins in p; n if nowhere. Other CRs do not cut the data up. */
static size_t find_delimiter(const struct multipart *m, const char *p, size_t n)
{
    for (const char *cr = p; (cr = memchr(cr, '\r', n - (size_t)(cr - p))); cr++) {
        size_t left = n - (size_t)(cr - p);
        if (memcmp(cr, m->delimiter, left < m->delimiter_len ? left : m->delimiter_len) == 0)
            return (size_t)(cr - p);
    }
    return n;
}

static int feed_data(struct multipart *m, const char *p, size_t n, size_t *used, struct err *e)
{
    if (m->n_matched == 0) {
        const char *start = p + *used;
        size_t len = find_delimiter(m, start, n - *used);
        *used += len;
        m->n_matched = *used < n;
        *used += m->n_matched;
        return give_data(m, start, len, e);
    }
    while (*used < n && p[*used] == m->delimiter[m->n_matched]) {
        (*used)++;
        if (++m->n_matched == m->delimiter_len)
            return end_part(m);
    }
    if (*used == n)
        return MULTIPART_MORE;
    size_t len = m->n_matched;
    m->n_matched = 0;
    return give_data(m, m->delimiter, len, e);
}

int multipart_feed(struct multipart *m, const char *data, size_t n, size_t *ret_used, struct err *e)
{
    size_t used = 0;
    int r = MULTIPART_MORE;

    while (used < n && r == MULTIPART_MORE) {
        switch (m->state) {
        case MULTIPART_IN_DATA:
            r = feed_data(m, data, n, &used, e);
            break;
        case MULTIPART_AFTER_DELIMITER:
            r = feed_after_delimiter(m, data[used++], e);
            break;
        case MULTIPART_IN_HEAD:
            r = feed_head(m, data, n, &used, e);
            break;
        case MULTIPART_AT_END:
            r = feed_tail(m, data, n, &used, e);
            break;
        }
    }
    *ret_used = used;
    return r;
}
