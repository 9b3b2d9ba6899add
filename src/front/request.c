/* What a request head asks for: a file of the page, a call to holmd, a WebSocket, an upload; and the REQUEST frame for
 * holmd. Refusals follow Proxmox VE's server (reason phrases included) where it has one. */
#include "front/front_priv.h"

#include "front/credentials.h"
#include "proto/text.h"

#define USER_AGENT_MAX      256u
#define IDEMPOTENCY_KEY_MAX 64u

static bool is_method(const struct exchange *x, const char *method)
{
    return streq(x->head.method, method);
}

/* What follows "/nodes/N/storage/S"; NULL for another path. */
static const char *below_storage(const char *path)
{
    if (!str_starts(path, "/nodes/"))
        return NULL;
    const char *p = strchr(path + 7, '/');
    return p && str_starts(p, "/storage/") ? strchr(p + 9, '/') : NULL;
}

static bool is_upload_path(const char *path)
{
    const char *rest = below_storage(path);

    return rest && streq(rest, "/upload");
}

/* "…/uploads/ID": a piece of a file. */
static bool is_piece_path(const char *path)
{
    const char *rest = below_storage(path);

    return rest && str_starts(rest, "/uploads/") && !strchr(rest + 9, '/');
}

/* Consoles, and the event stream. */
static bool is_websocket_path(const char *path)
{
    return str_ends(path, "websocket") || streq(path, "/cluster/events");
}

static void add_header(struct buf *frame, enum field_tag tag, const struct http1_head *h, const char *name, size_t max)
{
    const char *value = http1_head_get(h, name);

    if (value && value[0])
        field_bytes(frame, tag, value, strnlen(value, max));
}

static int add_credentials(struct exchange *x, struct err *e)
{
    struct credentials c;
    int r = credentials_read(&x->head, &c, e);

    if (r == 0 && c.ticket.len)
        field_str(&x->frame, FIELD_TICKET, c.ticket.data);
    if (r == 0 && c.is_cookie)
        field_u8(&x->frame, FIELD_TICKET_COOKIE, 1);
    if (r == 0 && c.token.len)
        field_str(&x->frame, FIELD_TOKEN, c.token.data);
    credentials_done(&c);
    return r;
}

int request_begin_frame(struct conn *c, struct err *e)
{
    static const char *const kinds[] = {
        [EXCHANGE_PLAIN] = "plain", [EXCHANGE_WEBSOCKET] = "websocket", [EXCHANGE_UPLOAD] = "upload"};
    struct exchange *x = c->x;
    const struct http1_head *h = &x->head;
    const char *key = http1_head_get(h, "idempotency-key");

    if (key && strlen(key) > IDEMPOTENCY_KEY_MAX)
        return err_set(e, -EINVAL, "http.idempotency-key", "Idempotency-Key is longer than %u bytes",
                       IDEMPOTENCY_KEY_MAX);
    conn_open_stream(c);
    x->frame_start = frame_begin(&x->frame, FRAME_REQUEST, c->stream, 0, 0);
    field_str(&x->frame, FIELD_METHOD, h->method);
    field_str(&x->frame, FIELD_PATH, x->path);
    field_str(&x->frame, FIELD_FORMAT, x->format);
    int r = add_credentials(x, e);
    if (r < 0)
        return r;
    field_str(&x->frame, FIELD_PEER, c->peer);
    field_str(&x->frame, FIELD_KIND, kinds[x->kind]);
    field_str(&x->frame, FIELD_HOST, h->host);
    add_header(&x->frame, FIELD_CSRF, h, "csrfpreventiontoken", 512);
    add_header(&x->frame, FIELD_ORIGIN, h, "origin", 512);
    add_header(&x->frame, FIELD_USER_AGENT, h, "user-agent", USER_AGENT_MAX);
    add_header(&x->frame, FIELD_IDEMPOTENCY_KEY, h, "idempotency-key", IDEMPOTENCY_KEY_MAX);
    params_init(&x->params, &x->frame);
    return params_add_urlencoded(&x->params, h->query, strlen(h->query), e);
}

int request_send_frame(struct conn *c, struct err *e)
{
    struct exchange *x = c->x;

    frame_end(&x->frame, x->frame_start);
    if (x->frame.is_failed)
        return err_set(e, -E2BIG, "param.size", "parameters too large");
    if (link_queued_bytes(c->front->link) > c->front->options.limits.link_queue_bytes)
        return err_set(e, -EBUSY, "front.busy", "server is busy");
    upstream_send(c->front, &x->frame);
    mem_wipe(x->frame.data, x->frame.cap); /* it may hold a password */
    buf_done(&x->frame);
    return 0;
}

/* Answers a request that was not sent to holmd. */
static void refuse(struct conn *c, const struct err *e)
{
    c->stream = 0;
    reply_from_err(c, e->num == -EBUSY ? 503 : 400, e);
}

static int add_body(struct exchange *x, struct err *e)
{
    const char *type = http1_head_get(&x->head, "content-type");
    size_t n = type ? strcspn(type, "; \t") : 0;

    if (x->body.len == 0)
        return 0;
    if (n && text_equal_nocase(type, n, "application/json"))
        return params_add_json(&x->params, x->body.data, x->body.len, e);
    return params_add_urlencoded(&x->params, x->body.data, x->body.len, e);
}

void request_on_body(struct conn *c)
{
    struct err e = ERR_INIT;
    int r = request_begin_frame(c, &e);

    if (r == 0)
        r = add_body(c->x, &e);
    if (r == 0)
        r = request_send_frame(c, &e);
    if (r < 0) {
        refuse(c, &e);
        return;
    }
    if (c->x->body.data)
        mem_wipe(c->x->body.data, c->x->body.cap);
    buf_done(&c->x->body);
    c->front->body_bytes -= c->x->counted_body;
    c->x->counted_body = 0;
    conn_set_phase(c, CONN_WAIT, c->front->options.limits.reply_timeout_ms);
}

static bool is_body_type(const char *type)
{
    size_t n = type ? strcspn(type, "; \t") : 0;

    return n == 0 || text_equal_nocase(type, n, "application/x-www-form-urlencoded") ||
           text_equal_nocase(type, n, "application/json");
}

/* Large bodies share a pool; small ones always fit, so that a few slow senders cannot lock out a login. */
static bool reserve_body(struct conn *c)
{
    struct front *f = c->front;
    const struct front_limits *l = &f->options.limits;
    uint64_t n = c->x->head.content_length;

    if (n <= l->body_small_bytes)
        return true;
    if (f->body_bytes + n > l->body_total_bytes)
        return false;
    c->x->counted_body = n;
    f->body_bytes += n;
    return true;
}

static void send_continue(struct conn *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (c->x->head.expects_continue && c->x->head.content_length)
        bufferevent_write(c->bev, text, sizeof(text) - 1);
}

static void start_body(struct conn *c)
{
    struct exchange *x = c->x;
    const struct front_limits *l = &c->front->options.limits;
    const char *type = http1_head_get(&x->head, "content-type");
    char detail[160];

    if (x->head.content_length == 0) {
        request_on_body(c);
        return;
    }
    if (!is_body_type(type)) {
        snprintf(detail, sizeof(detail), "upload 'Content-Type '%.80s' not implemented", type);
        reply_error(c, 506, detail, NULL);
    } else if (x->head.content_length > l->body_bytes) {
        reply_error(c, 501, "for data too large", NULL);
    } else if (!reserve_body(c)) {
        reply_error(c, 503, "server is busy", NULL);
    } else {
        send_continue(c);
        x->body_left = x->head.content_length;
        conn_set_phase(c, CONN_BODY, l->body_window_ms);
    }
}

/* is_piece: the body is the file's bytes and nothing else. */
static void start_upload(struct conn *c, bool is_piece)
{
    struct err e = ERR_INIT;

    if (!c->x->head.content_length) {
        reply_error(c, 411, "Length Required", "an upload needs a Content-Length");
        return;
    }
    c->x->kind = EXCHANGE_UPLOAD;
    c->x->body_left = c->x->head.content_length;
    if (request_begin_frame(c, &e) < 0 || upload_new(c, is_piece, &e) < 0) {
        refuse(c, &e);
        return;
    }
    send_continue(c);
    conn_set_phase(c, CONN_UPLOAD, c->front->options.limits.body_window_ms);
    if (is_piece)
        upload_ask(c);
}

static void start_websocket(struct conn *c)
{
    struct exchange *x = c->x;
    const struct http1_head *h = &x->head;
    const char *version = http1_head_get(h, "sec-websocket-version"), *key = http1_head_get(h, "sec-websocket-key");

    if (!http1_head_has_token(h, "upgrade", "websocket", NULL) ||
        !http1_head_has_token(h, "connection", "upgrade", NULL)) {
        buf_append_str(&x->headers, "Upgrade: websocket\r\n");
        reply_error(c, 426, "this path needs a WebSocket", NULL);
    } else if (!version || !streq(version, "13")) {
        buf_append_str(&x->headers, "Sec-WebSocket-Version: 13\r\n");
        reply_error(c, 426, "WebSocket version 13 is needed", NULL);
    } else if (!key || !websocket_key_is_valid(key) || h->is_http10) {
        reply_error(c, 400, "malformed WebSocket handshake", NULL);
    } else {
        x->kind = EXCHANGE_WEBSOCKET;
        x->wants_binary = http1_head_has_token(h, "sec-websocket-protocol", "binary", NULL);
        request_on_body(c);
    }
}

static bool has_type(const struct exchange *x, const char *wanted)
{
    const char *type = http1_head_get(&x->head, "content-type");

    return type && text_equal_nocase(type, strcspn(type, "; \t"), wanted);
}

static void route_call(struct conn *c)
{
    struct exchange *x = c->x;
    char reason[100];

    if (is_method(x, "GET") || is_method(x, "DELETE")) {
        snprintf(reason, sizeof(reason), "Unexpected content for method '%s'", x->head.method);
        if (x->head.content_length)
            reply_error(c, 501, reason, NULL);
        else if (is_method(x, "GET") && is_websocket_path(x->path))
            start_websocket(c);
        else
            request_on_body(c);
    } else if (is_method(x, "POST") && is_upload_path(x->path) && has_type(x, "multipart/form-data")) {
        start_upload(c, false);
    } else if (is_method(x, "PUT") && is_piece_path(x->path) && has_type(x, "application/octet-stream")) {
        start_upload(c, true);
    } else if (is_method(x, "POST") || is_method(x, "PUT")) {
        start_body(c);
    } else {
        snprintf(reason, sizeof(reason), "method '%s' not available", x->head.method);
        reply_error(c, 501, reason, NULL);
    }
}

/* Splits "/api2/FORMAT/rest". */
static void route_api(struct conn *c)
{
    struct exchange *x = c->x;
    const char *format = x->head.path + 5;
    char reason[160];

    format += *format == '/';
    size_t n = strcspn(format, "/");
    if (n == 0) {
        reply_error(c, 501, "no such uri", NULL);
        return;
    }
    if ((n == 4 && memcmp(format, "json", n) == 0) || (n == 5 && memcmp(format, "extjs", n) == 0)) {
        memcpy(x->format, format, n);
        x->path = format[n] ? format + n : "/";
        route_call(c);
        return;
    }
    snprintf(reason, sizeof(reason), "no formatter for uri %.100s", x->head.path);
    reply_error(c, 501, reason, NULL);
}

static void route_file(struct conn *c)
{
    struct exchange *x = c->x;

    if (!is_method(x, "GET") && !is_method(x, "HEAD")) {
        reply_error(c, 501, "method not available", NULL);
    } else if (x->head.content_length) {
        reply_error(c, 501, "Unexpected content for method", NULL);
    } else {
        struct site_file *file = site_find(c->front->site, x->head.path);
        if (file)
            reply_file(c, file);
        else
            reply_error(c, 404, "no such file", NULL);
    }
}

/* The description of the API lies beside the API, but is a file. */
static bool is_call(const char *path)
{
    return (streq(path, "/api2") || str_starts(path, "/api2/")) && !streq(path, OPENAPI_PATH);
}

void request_on_head(struct conn *c)
{
    struct exchange *x = c->x;

    c->had_request = true;
    c->is_closing = !x->head.is_keep_alive || c->front->is_retiring;
    x->is_head_method = is_method(x, "HEAD");
    x->accepts_gzip = http1_head_accepts_gzip(&x->head);
    if (!c->is_tls)
        reply_redirect(c);
    else if (is_call(x->head.path))
        route_api(c);
    else
        route_file(c);
}
