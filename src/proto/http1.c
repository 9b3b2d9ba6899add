/* HTTP/1.1 request heads: collecting bytes up to the empty line, then cutting the lines up in place. See http1.h;
 * the meaning of single headers is in http1_fields.c. */
#include "proto/http1_priv.h"

#include "proto/text.h"

void http1_head_init(struct http1_head *h)
{
    *h = (struct http1_head){.host = "", .query = ""};
    buf_init(&h->bytes, HTTP1_HEAD_MAX);
}

void http1_head_done(struct http1_head *h)
{
    free(TAKE_PTR(h->path));
    buf_done(&h->bytes);
}

bool http1_head_is_begun(const struct http1_head *h)
{
    return h->n_lines || h->line_bytes || h->saw_cr;
}

int http1_refuse(struct http1_head *h, unsigned status, struct err *e, const char *text)
{
    h->status = status;
    return err_set(e, -EPROTO, "http.malformed", "%s", text);
}

/* 1 = the head ended with this byte, 2 = an empty line before the request was skipped. */
static int take_byte(struct http1_head *h, unsigned char c, struct err *e)
{
    if (h->saw_cr) {
        if (c != '\n')
            return http1_refuse(h, 400, e, "bare CR in request head");
        h->saw_cr = false;
        if (h->line_bytes == 0)
            return h->n_lines ? 1 : 2;
        h->line_bytes = 0;
        if (++h->n_lines > HTTP1_HEADERS_MAX + 1)
            return http1_refuse(h, 431, e, "too many http header lines");
        return 0;
    }
    if (c == '\r') {
        h->saw_cr = true;
        return 0;
    }
    if (c == '\n')
        return http1_refuse(h, 400, e, "bare LF in request head");
    if ((c < 0x20 && c != '\t') || c == 0x7f)
        return http1_refuse(h, 400, e, "control character in request head");
    h->line_bytes++;
    return 0;
}

static bool is_token_char(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c);
}

static int parse_version(struct http1_head *h, const char *version, struct err *e)
{
    if (streq(version, "HTTP/1.1"))
        return 0;
    if (streq(version, "HTTP/1.0")) {
        h->is_http10 = true;
        return 0;
    }
    if (str_starts(version, "HTTP/"))
        return http1_refuse(h, 505, e, "http protocol version not supported");
    return http1_refuse(h, 400, e, "malformed request line");
}

static int parse_request_line(struct http1_head *h, char *line, struct err *e)
{
    size_t n = 0;

    while (line[n] >= 'A' && line[n] <= 'Z')
        n++;
    if (n == 0 || n > 20 || line[n] != ' ')
        return http1_refuse(h, 400, e, "malformed request method");
    line[n] = 0;
    h->method = line;
    char *target = line + n + 1;
    char *space = strchr(target, ' ');
    if (!space || strchr(space + 1, ' '))
        return http1_refuse(h, 400, e, "malformed request line");
    *space = 0;
    int r = parse_version(h, space + 1, e);
    if (r < 0)
        return r;
    if (target[0] != '/' || strpbrk(target, "#\t"))
        return http1_refuse(h, 400, e, "malformed request target");
    h->target = target;
    return http1_parse_target(h, e);
}

static int parse_header(struct http1_head *h, char *line, struct err *e)
{
    size_t n = 0;

    if (line[0] == ' ' || line[0] == '\t')
        return http1_refuse(h, 400, e, "folded header line");
    for (; is_token_char(line[n]); n++)
        if (line[n] >= 'A' && line[n] <= 'Z')
            line[n] = (char)(line[n] + 32);
    if (n == 0 || line[n] != ':')
        return http1_refuse(h, 400, e, "malformed header line");
    line[n] = 0;
    char *value = line + n + 1;
    value += strspn(value, " \t");
    size_t len = strlen(value);
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    value[len] = 0;
    if (h->n_headers == HTTP1_HEADERS_MAX)
        return http1_refuse(h, 431, e, "too many http header lines");
    h->headers[h->n_headers++] = (struct http1_header){.name = line, .value = value};
    return 0;
}

/* All bytes are here and each line ends in CRLF: the last one is empty. */
static int parse_head(struct http1_head *h, struct err *e)
{
    char *line = h->bytes.data, *end;
    int r = 0;

    for (size_t i = 0; r == 0 && (end = strchr(line, '\r')) != line; i++, line = end + 2) {
        *end = 0;
        r = i == 0 ? parse_request_line(h, line, e) : parse_header(h, line, e);
    }
    return r < 0 ? r : http1_check_fields(h, e);
}

int http1_head_feed(struct http1_head *h, const char *data, size_t n, size_t *ret_used, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        int r = take_byte(h, (unsigned char)data[i], e);
        if (r < 0)
            return r;
        buf_append_char(&h->bytes, data[i]);
        if (h->bytes.is_failed)
            return http1_refuse(h, 431, e, "http header too large");
        if (r == 1) {
            *ret_used = i + 1;
            r = parse_head(h, e);
            return r < 0 ? r : 1;
        }
        /* One empty line before a request is tolerated: old clients send it after a form. */
        if (r == 2) {
            buf_reset(&h->bytes);
            if (++h->leading_lines > 1)
                return http1_refuse(h, 400, e, "empty request line");
        }
    }
    *ret_used = n;
    return 0;
}
