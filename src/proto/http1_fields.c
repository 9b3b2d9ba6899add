/* What a complete request head means: the path, the host, the body's length, keep-alive. See http1.h. */
#include "proto/http1_priv.h"

#include "proto/text.h"

/* Headers of which two would be read differently by different servers, or that decide about access. */
static const char *const single_headers[] = {
    "host",          "content-length",    "content-type",          "authorization",       "origin",
    "expect",        "sec-websocket-key", "sec-websocket-version", "csrfpreventiontoken", "idempotency-key",
    "if-none-match",
};

static bool is_dot_segment(const char *s, size_t n)
{
    return (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.');
}

/* Drops empty segments in place; -EINVAL for dot segments and control characters. */
static int normalise_path(char *path)
{
    char *out = path;
    const char *p = path;

    while (*p) {
        while (*p == '/')
            p++;
        size_t n = strcspn(p, "/");
        if (n == 0)
            break;
        if (is_dot_segment(p, n))
            return -EINVAL;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
                return -EINVAL;
        *out++ = '/';
        memmove(out, p, n);
        out += n;
        p += n;
    }
    if (out == path)
        *out++ = '/';
    *out = 0;
    return 0;
}

int http1_parse_target(struct http1_head *h, struct err *e)
{
    size_t n = strcspn(h->target, "?");
    autobuf struct buf path;

    buf_init(&path, HTTP1_HEAD_MAX);
    h->query = h->target[n] ? h->target + n + 1 : "";
    if (text_percent_decode(h->target, n, false, &path, e) < 0)
        return http1_refuse(h, 400, e, "malformed percent-encoding in path");
    if (memchr(path.data, 0, path.len) || !text_is_utf8(path.data, path.len))
        return http1_refuse(h, 400, e, "path is not valid UTF-8");
    h->path = buf_take(&path);
    if (!h->path || normalise_path(h->path) < 0)
        return http1_refuse(h, 400, e, "malformed path");
    return 0;
}

const char *http1_head_get(const struct http1_head *h, const char *name)
{
    for (size_t i = 0; i < h->n_headers; i++)
        if (streq(h->headers[i].name, name))
            return h->headers[i].value;
    return NULL;
}

/* Looks for token in one comma-separated value. */
static const char *find_token(const char *value, const char *token)
{
    for (const char *p = value; *p;) {
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ",; \t");
        if (n && text_equal_nocase(p, n, token))
            return p + n;
        p += strcspn(p, ",");
    }
    return NULL;
}

bool http1_head_has_token(const struct http1_head *h, const char *name, const char *token, const char **ret_params)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        const char *after = streq(h->headers[i].name, name) ? find_token(h->headers[i].value, token) : NULL;
        if (!after)
            continue;
        if (ret_params)
            *ret_params = after;
        return true;
    }
    return false;
}

bool http1_head_accepts_gzip(const struct http1_head *h)
{
    const char *p;

    if (!http1_head_has_token(h, "accept-encoding", "gzip", &p))
        return false;
    p += strspn(p, " \t;");
    if (p[0] != 'q' || p[1] != '=')
        return true;
    /* "0", "0." and "0.000" are zero. */
    p += 2;
    size_t zeros = strspn(p, "0.");
    return zeros == 0 || (p[zeros] >= '1' && p[zeros] <= '9');
}

static int check_single(struct http1_head *h, struct err *e)
{
    for (size_t s = 0; s < ARRAY_SIZE(single_headers); s++) {
        size_t count = 0;
        for (size_t i = 0; i < h->n_headers; i++)
            count += streq(h->headers[i].name, single_headers[s]);
        if (count > 1)
            return http1_refuse(h, 400, e, "repeated header");
    }
    return 0;
}

static int check_host(struct http1_head *h, struct err *e)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    const char *host = http1_head_get(h, "host");

    if (!host)
        return h->is_http10 ? 0 : http1_refuse(h, 400, e, "missing Host header");
    if (!host[0] || strlen(host) > 255 || host[strspn(host, allowed)])
        return http1_refuse(h, 400, e, "malformed Host header");
    h->host = host;
    return 0;
}

static int check_length(struct http1_head *h, struct err *e)
{
    const char *text = http1_head_get(h, "content-length");

    if (http1_head_get(h, "transfer-encoding"))
        return http1_refuse(h, 501, e, "chunked transfer encoding not supported");
    if (!text)
        return 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] || str_to_u64(text, &h->content_length) < 0)
        return http1_refuse(h, 400, e, "malformed Content-Length");
    h->has_length = true;
    return 0;
}

int http1_check_fields(struct http1_head *h, struct err *e)
{
    int r = check_single(h, e);

    if (r == 0)
        r = check_host(h, e);
    if (r == 0)
        r = check_length(h, e);
    if (r < 0)
        return r;
    const char *expect = http1_head_get(h, "expect");
    if (expect && !text_equal_nocase(expect, strlen(expect), "100-continue"))
        return http1_refuse(h, 417, e, "Expectation Failed");
    h->expects_continue = expect && !h->is_http10;
    h->is_keep_alive = h->is_http10 ? http1_head_has_token(h, "connection", "keep-alive", NULL)
                                    : !http1_head_has_token(h, "connection", "close", NULL);
    return 0;
}
