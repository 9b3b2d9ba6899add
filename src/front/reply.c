/* Replies: status line with the reason that clients read, headers, gzip, and when the connection ends. */
#include "front/front_priv.h"

#include <time.h>
#include <zlib.h>

#include "base/json.h"

static const char json_type[] = "application/json;charset=UTF-8"; /* clients compare this text */

static const char *default_reason(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    default:
        return status < 400 ? "OK" : "Error";
    }
}

/* One line without control characters; an empty one would be taken for a malformed status line by some. */
static void set_reason(struct exchange *x, const char *text)
{
    size_t n = 0;

    for (; *text && *text != '\n' && *text != '\r' && n < FRONT_REASON_MAX_BYTES; text++)
        x->reason[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
    x->reason[n] = 0;
}

static void append_date(struct buf *b, const char *name)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    struct tm tm = {0};

    gmtime_r(&now, &tm);
    buf_printf(b, "%s: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", name, days + 3 * tm.tm_wday, tm.tm_mday,
               months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void append_status_line(struct conn *c, struct buf *b)
{
    struct exchange *x = c->x;

    if (x->status < 200 || x->status > 599) {
        x->status = 500;
        set_reason(x, "malformed reply");
    }
    buf_printf(b, "HTTP/1.1 %u %s\r\n", x->status, x->reason[0] ? x->reason : default_reason(x->status));
    buf_append_str(b, "Server: holm-api/1\r\n");
    append_date(b, "Date");
    if (c->is_closing)
        buf_append_str(b, "Connection: close\r\n");
    else if (x->head.is_http10)
        buf_append_str(b, "Connection: keep-alive\r\n");
    headers_append_common(c, b);
}

static void append_api_headers(struct exchange *x, struct buf *b)
{
    headers_append_api(b);
    append_date(b, "Expires");
    if (x->content_type[0])
        buf_printf(b, "Content-Type: %s\r\n", x->content_type);
    buf_append(b, buf_str(&x->headers), x->headers.len);
}

/* Compresses x->reply in place when that makes it smaller. */
static bool gzip_reply(struct exchange *x)
{
    z_stream z = {0};
    struct buf out;
    bool is_done = false;

    if (!x->accepts_gzip || x->reply.len <= FRONT_GZIP_MIN_BYTES)
        return false;
    buf_init(&out, x->reply.len);
    if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    char *dst = buf_reserve(&out, x->reply.len - 1);
    if (dst) {
        z.next_in = (unsigned char *)x->reply.data;
        z.avail_in = (unsigned)x->reply.len;
        z.next_out = (unsigned char *)dst;
        z.avail_out = (unsigned)x->reply.len - 1;
        is_done = deflate(&z, Z_FINISH) == Z_STREAM_END;
        out.len = z.total_out;
    }
    deflateEnd(&z);
    if (!is_done) {
        buf_done(&out);
        return false;
    }
    buf_done(&x->reply);
    x->reply = out;
    return true;
}

static void free_body(const void *data, size_t n, void *arg)
{
    free(arg);
}

static void keep_body(const void *data, size_t n, void *arg)
{
}

static void return_file(const void *data, size_t n, void *arg)
{
    site_return(arg);
}

/* Sends head and body; done is called with arg when the body is no longer needed, here or later. */
static void send_parts(struct conn *c, struct buf *head, const char *body, size_t n, evbuffer_ref_cleanup_cb done,
                       void *arg)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);

    bool is_sent = !head->is_failed && evbuffer_add(out, head->data, head->len) == 0;
    if (!n || !is_sent || evbuffer_add_reference(out, body, n, done, arg) < 0) {
        done(body, n, arg);
        is_sent = is_sent && !n;
    }
    if (!is_sent) {
        conn_close(c);
        return;
    }
    conn_set_phase(c, CONN_WRITE, c->front->options.limits.write_timeout_ms);
}

static void send_reply(struct conn *c)
{
    struct exchange *x = c->x;
    struct buf head;

    buf_init(&head, 65536);
    c->is_closing = c->is_closing || x->status >= 400 || c->front->is_retiring;
    bool has_body = x->status != 204 && x->status != 304;
    bool is_gzip = has_body && gzip_reply(x);
    append_status_line(c, &head);
    append_api_headers(x, &head);
    if (is_gzip)
        buf_append_str(&head, "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
    if (has_body)
        buf_printf(&head, "Content-Length: %zu\r\n", x->reply.len);
    buf_append_str(&head, "\r\n");
    size_t n = has_body && !x->is_head_method ? x->reply.len : 0;
    char *body = n ? buf_take(&x->reply) : NULL;
    send_parts(c, &head, body, n, free_body, body);
    buf_done(&head);
}

void reply_ready(struct conn *c)
{
    struct exchange *x = c->x;
    uint32_t delay = x->delay_ms < FRONT_DELAY_MAX_MS ? x->delay_ms : FRONT_DELAY_MAX_MS;

    /* A reply in the middle of an upload refuses it: what is still coming cannot be told from a next request. */
    c->is_closing = c->is_closing || x->body_left;
    upload_abort(c);
    if (delay)
        delay_start(c, delay);
    else
        send_reply(c);
}

void reply_send(struct conn *c)
{
    send_reply(c);
}

void reply_written(struct conn *c)
{
    /* The drained event of a "100 Continue" may come late. */
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
        conn_finish(c);
}

/* {"data":null,"message":"…\n"} for API clients, which parse every body. */
static void error_body(struct exchange *x, const char *text)
{
    struct jw w;
    char line[1024];

    buf_done(&x->reply);
    buf_init(&x->reply, 16384);
    snprintf(line, sizeof(line), "%s\n", text);
    if (x->head.path && !str_starts(x->head.path, "/api2")) {
        snprintf(x->content_type, sizeof(x->content_type), "text/plain; charset=utf-8");
        buf_append_str(&x->reply, line);
        return;
    }
    snprintf(x->content_type, sizeof(x->content_type), "%s", json_type);
    jw_init(&w, &x->reply);
    jw_object(&w);
    jw_key(&w, "data");
    jw_null(&w);
    jw_kv_str(&w, "message", line);
    jw_object_end(&w);
}

void reply_error(struct conn *c, unsigned status, const char *reason, const char *detail)
{
    struct exchange *x = c->x;

    upload_abort(c);
    upstream_cancel(c->front, c->stream);
    c->stream = 0;
    c->is_closing = true;
    x->status = status;
    set_reason(x, reason);
    error_body(x, detail ? detail : reason);
    send_reply(c);
}

void reply_from_err(struct conn *c, unsigned status, const struct err *e)
{
    reply_error(c, status, e->text, NULL);
}

/* The target was checked by the parser; bytes that do not belong in a URL are encoded. */
static void append_target(struct buf *b, const char *target)
{
    for (const char *p = target; *p; p++) {
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || strchr("\"<>\\^`{|}", *p))
            buf_printf(b, "%%%02X", (unsigned char)*p);
        else
            buf_append_char(b, *p);
    }
}

void reply_redirect(struct conn *c)
{
    struct exchange *x = c->x;
    bool is_safe = streq(x->head.method, "GET") || x->is_head_method;

    if (!x->head.host[0]) {
        reply_error(c, 400, "missing Host header", NULL);
        return;
    }
    c->is_closing = true;
    x->status = is_safe ? 301 : 308;
    set_reason(x, is_safe ? "Moved Permanently" : "Permanent Redirect");
    buf_printf(&x->headers, "Location: https://%s", x->head.host);
    append_target(&x->headers, x->head.target);
    buf_append_str(&x->headers, "\r\n");
    buf_init(&x->reply, 16);
    send_reply(c);
}

static void append_file_headers(const struct site_file *file, bool is_gzip, struct buf *b)
{
    buf_printf(b, "Content-Type: %s\r\nCache-Control: %s\r\n", file->content_type,
               file->is_immutable ? "public, max-age=31536000, immutable" : "no-cache");
    buf_printf(b, "ETag: %.*s%s\"\r\n", (int)strlen(file->etag) - 1, file->etag, is_gzip ? "-gz" : "");
    if (file->gzip)
        buf_append_str(b, "Vary: Accept-Encoding\r\n");
    if (is_gzip)
        buf_append_str(b, "Content-Encoding: gzip\r\n");
    headers_append_page(b);
}

/* If-None-Match names the file, in either form. */
static bool is_unchanged(const struct http1_head *h, const struct site_file *file)
{
    const char *known = http1_head_get(h, "if-none-match");
    char bare[sizeof(file->etag)];

    if (!known)
        return false;
    snprintf(bare, sizeof(bare), "%.*s", (int)strlen(file->etag) - 1, file->etag);
    return streq(known, "*") || strstr(known, bare);
}

void reply_file(struct conn *c, struct site_file *file)
{
    struct exchange *x = c->x;
    struct buf head;
    bool is_gzip = file->gzip && x->accepts_gzip;
    size_t n = is_gzip ? file->gzip_len : file->len;

    bool is_same = is_unchanged(&x->head, file), has_body = !is_same && !x->is_head_method;
    const char *body = is_gzip ? file->gzip : has_body ? site_borrow(file) : NULL;
    if (has_body && !body) {
        reply_error(c, 500, "out of memory", NULL);
        return;
    }
    buf_init(&head, 65536);
    x->status = is_same ? 304 : 200;
    append_status_line(c, &head);
    append_file_headers(file, is_gzip, &head);
    if (!is_same)
        buf_printf(&head, "Content-Length: %zu\r\n", n);
    buf_append_str(&head, "\r\n");
    send_parts(c, &head, body, has_body ? n : 0, has_body && !is_gzip ? return_file : keep_body, file);
    buf_done(&head);
}
