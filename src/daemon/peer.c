/* Requests from holm-front or a local client: frames in, api calls, frames out. The bytes were parsed by the peer; here
 * they are length-prefixed fields, and still bounded and checked, because holm-front may have been taken over and local
 * clients are strangers. */
#include "daemon/daemon.h"

#include <fcntl.h>

#include <sys/socket.h>

#include "api/lasting.h"
#include "base/list.h"
#include "base/log.h"

#define PEER_QUEUE_BYTES (64u * 1024u * 1024u)
#define CALLS_MAX        1024u
#define CALL_ARENA_BYTES (2u * 1024u * 1024u)
#define REPLY_BODY_BYTES (64u * 1024u * 1024u)
#define PARAMS_MAX       1024u
#define BODY_CHUNK       (256u * 1024u)

struct peer {
    struct api *api;
    struct link_event *link; /* NULL: closed, calls are still under way */
    bool is_local;
    bool is_closing; /* its calls are being told: it is freed after that */
    struct auth_subject local;
    void (*on_closed)(void *arg);
    void *arg;
    struct list_node calls;
    size_t n_calls;
};

struct peer_call {
    struct list_node node;
    struct peer *peer;
    struct api_call *call;
    int stream_fd; /* a console's byte stream, open at the peer: shutdown here ends it there */
};

static void peer_release(struct peer *p)
{
    if (!p->link && !p->is_closing && list_is_empty(&p->calls))
        free(p);
}

static void call_end(struct api_call *c)
{
    struct peer_call *pc = c->owner;
    struct peer *p = pc->peer;

    list_remove(&pc->node);
    p->n_calls--;
    if (pc->stream_fd >= 0)
        close(pc->stream_fd);
    free(pc);
    api_call_free(c);
    peer_release(p);
}

static bool can_send(const struct api_call *c)
{
    const struct peer_call *pc = c->owner;

    return pc->peer->link && !c->is_gone;
}

static int send_frame(struct api_call *c, struct buf *b, const int *fds, size_t n_fds)
{
    struct peer_call *pc = c->owner;

    if (!pc->peer->link)
        return -EPIPE;
    return link_event_send(pc->peer->link, b, fds, n_fds);
}

/* The first line of the message, without what would end the status line. */
static void reason_phrase(const struct api_call *c, char *dst, size_t cap)
{
    snprintf(dst, cap, "%s", c->status == 200 ? "OK" : c->error.text);
    for (char *p = dst; *p; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = 0;
            break;
        }
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    }
}

static void reply(struct api_call *c)
{
    struct buf b;
    char reason[600];
    size_t sent = c->body.len < BODY_CHUNK ? c->body.len : BODY_CHUNK;
    int r = 0;

    if (!can_send(c)) {
        call_end(c);
        return;
    }
    buf_init(&b, FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE);
    reason_phrase(c, reason, sizeof(reason));
    size_t at = frame_begin(&b, FRAME_REPLY, c->stream, sent == c->body.len ? FRAME_LAST : 0, 0);
    field_u16(&b, FIELD_STATUS, (uint16_t)c->status);
    field_str(&b, FIELD_REASON, reason);
    field_str(&b, FIELD_CONTENT_TYPE, "application/json;charset=UTF-8");
    if (c->header)
        field_str(&b, FIELD_HEADER, c->header);
    if (c->delay_ms)
        field_u32(&b, FIELD_DELAY_MS, c->delay_ms);
    if (c->status == 429) {
        char header[40];
        snprintf(header, sizeof(header), "Retry-After: %u", c->retry_after_s);
        field_str(&b, FIELD_HEADER, header);
    }
    field_bytes(&b, FIELD_BODY, buf_str(&c->body), sent);
    frame_end(&b, at);
    r = send_frame(c, &b, NULL, 0);
    while (r == 0 && sent < c->body.len) {
        size_t n = c->body.len - sent < BODY_CHUNK ? c->body.len - sent : BODY_CHUNK;
        buf_reset(&b);
        at = frame_begin(&b, FRAME_REPLY_BODY, c->stream, sent + n == c->body.len ? FRAME_LAST : 0, 0);
        field_bytes(&b, FIELD_BODY, c->body.data + sent, n);
        frame_end(&b, at);
        r = send_frame(c, &b, NULL, 0);
        sent += n;
    }
    buf_done(&b);
    call_end(c);
}

/* A console of holm-front stays known until the front says that it ended, so that it can be cut; the local socket's
 * callers are root and keep theirs. Sending may close the link, which ends every call that is a console already. */
static void upgrade(struct api_call *c, int fd, const char *mode)
{
    struct peer_call *pc = c->owner;
    int kept = c->is_local ? -EBADF : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    bool can_cut = kept >= 0, is_sent = false;
    struct buf b;

    buf_init(&b, 4096);
    size_t at = frame_begin(&b, FRAME_UPGRADE, c->stream, FRAME_LAST, 1);
    field_str(&b, FIELD_MODE, mode);
    frame_end(&b, at);
    if (can_send(c) && (can_cut || c->is_local))
        is_sent = send_frame(c, &b, &fd, 1) == 0;
    buf_done(&b);
    if (is_sent && can_cut) {
        pc->stream_fd = kept;
        lasting_add(c);
        return;
    }
    if (can_cut)
        close(kept);
    call_end(c);
}

/* Tells the front, and does not rely on it: a console's stream is cut here, an upload's file gets no name. An upload's
 * call may end while sending. */
static void cut(struct api_call *c)
{
    struct peer_call *pc = c->owner;
    int fd = TAKE_FD(pc->stream_fd);
    struct buf b;

    buf_init(&b, FRAME_HEADER_SIZE);
    frame_end(&b, frame_begin(&b, FRAME_REVOKE, c->stream, FRAME_LAST, 0));
    if (can_send(c) && send_frame(c, &b, NULL, 0) < 0)
        log_debug("a console's client went away");
    buf_done(&b);
    if (fd < 0)
        return;
    shutdown(fd, SHUT_RDWR);
    close(fd);
    call_end(c);
}

static void upload(struct api_call *c, int fd)
{
    struct buf b;

    buf_init(&b, 4096);
    size_t at = frame_begin(&b, FRAME_UPLOAD_GO, c->stream, 0, 1);
    frame_end(&b, at);
    lasting_add(c);
    if ((!can_send(c) || send_frame(c, &b, &fd, 1) < 0) && c->on_upload_done) {
        void (*done)(struct api_call * call, int result, void *arg) = c->on_upload_done;
        c->on_upload_done = NULL;
        done(c, -EPIPE, c->on_upload_arg);
    }
    buf_done(&b);
}

static const struct api_call_ops call_ops = {.reply = reply, .upgrade = upgrade, .upload = upload, .revoke = cut};

static int take_string(struct api_call *c, const struct field *f, const char **ret)
{
    if (memchr(f->data, 0, f->len))
        return -EPROTO;
    *ret = arena_strndup(&c->arena, (const char *)f->data, f->len);
    return *ret ? 0 : -ENOMEM;
}

static int take_param(struct api_call *c, const struct field *f)
{
    struct param_view v;
    int r = field_get_param(f, &v);

    if (r < 0)
        return r;
    if (c->n_raw == PARAMS_MAX)
        return -E2BIG;
    struct api_raw_param *raw = &c->raw[c->n_raw];
    raw->kind = (char)v.kind;
    raw->key = arena_strndup(&c->arena, v.key, v.key_len);
    raw->value = arena_strndup(&c->arena, v.value, v.value_len);
    if (!raw->key || !raw->value)
        return -ENOMEM;
    c->n_raw++;
    return 0;
}

static int take_field(struct peer *p, struct api_call *c, const struct field *f)
{
    const char *format;
    int r = 0;

    switch (f->tag) {
    case FIELD_METHOD:
        return field_get_str(f, c->method, sizeof(c->method));
    case FIELD_PATH:
        return take_string(c, f, &c->path);
    case FIELD_FORMAT:
        r = take_string(c, f, &format);
        c->is_extjs = r == 0 && streq(format, "extjs");
        return r;
    case FIELD_TICKET:
        return take_string(c, f, &c->ticket);
    case FIELD_TICKET_COOKIE:
        c->is_cookie = true;
        return 0;
    case FIELD_TOKEN:
        return take_string(c, f, &c->token);
    case FIELD_CSRF:
        return take_string(c, f, &c->csrf);
    case FIELD_PEER:
        return take_string(c, f, &c->peer);
    case FIELD_KIND:
        return take_string(c, f, &c->kind);
    case FIELD_ORIGIN:
        return take_string(c, f, &c->origin);
    case FIELD_HOST:
        return take_string(c, f, &c->host);
    case FIELD_IDEMPOTENCY_KEY:
        return take_string(c, f, &c->idempotency_key);
    case FIELD_FILE_NAME:
        return take_string(c, f, &c->file_name);
    case FIELD_PARAM:
        return take_param(c, f);
    default:
        return 0; /* a newer peer, or what only logs use */
    }
}

static size_t count_params(const struct link_frame *f)
{
    struct field_reader r;
    struct field fl;
    size_t n = 0;

    field_reader_init(&r, f->data, f->len);
    while (field_next(&r, &fl) == 1)
        n += fl.tag == FIELD_PARAM;
    return n;
}

/* The name of an upload's file counts as the parameter "filename", as in PVE. */
static int add_file_name(struct api_call *c)
{
    if (!c->file_name)
        return 0;
    for (size_t i = 0; i < c->n_raw; i++)
        if (streq(c->raw[i].key, "filename") || streq(c->raw[i].key, "tmpfilename"))
            return -EPROTO;
    c->raw[c->n_raw++] = (struct api_raw_param){.kind = PARAM_STRING, .key = "filename", .value = c->file_name};
    return 0;
}

static int decode(struct peer *p, struct api_call *c, const struct link_frame *f)
{
    struct field_reader r;
    struct field fl;
    int status = 0;
    size_t n_params = count_params(f);

    if (n_params > PARAMS_MAX - 1)
        return -E2BIG;
    c->raw = arena_alloc(&c->arena, (n_params + 1) * sizeof(*c->raw));
    if (!c->raw)
        return -ENOMEM;
    c->kind = "plain";
    field_reader_init(&r, f->data, f->len);
    int more;
    while (status == 0 && (more = field_next(&r, &fl)) != 0)
        status = more < 0 ? more : take_field(p, c, &fl);
    if (status == 0 && streq(c->kind, "upload"))
        status = add_file_name(c);
    if (status == 0 && (!c->path || !c->method[0]))
        status = -EPROTO;
    return status;
}

static struct api_call *call_new(struct peer *p, const struct link_frame *f)
{
    struct api_call *c = calloc(1, sizeof(*c));
    struct peer_call *pc = calloc(1, sizeof(*pc));

    if (!c || !pc) {
        free(c);
        free(pc);
        return NULL;
    }
    *pc = (struct peer_call){.peer = p, .call = c, .stream_fd = -EBADF};
    c->api = p->api;
    c->ops = &call_ops;
    c->owner = pc;
    c->stream = f->stream;
    c->is_local = p->is_local;
    if (p->is_local)
        c->who = p->local;
    arena_init(&c->arena, CALL_ARENA_BYTES);
    buf_init(&c->body, REPLY_BODY_BYTES);
    buf_init(&c->param_errors, 65536);
    jw_init(&c->out, &c->body);
    list_add_tail(&p->calls, &pc->node);
    p->n_calls++;
    return c;
}

static void on_request(struct peer *p, const struct link_frame *f)
{
    struct err e = ERR_INIT;
    struct api_call *c = p->n_calls < CALLS_MAX ? call_new(p, f) : NULL;

    if (!c) {
        err_set(&e, -ENOBUFS, "peer.calls", "too many requests at once");
        peer_close(p);
        return;
    }
    int r = decode(p, c, f);
    if (r == 0) {
        api_dispatch(c);
        return;
    }
    err_set(&e, r, r == -E2BIG ? "param.many" : "param.malformed", "the request cannot be read");
    api_finish(c, r, &e);
}

static struct api_call *find_call(struct peer *p, uint32_t stream)
{
    LIST_FOREACH(pc, &p->calls, struct peer_call, node)
    if (pc->call->stream == stream)
        return pc->call;
    return NULL;
}

static void on_upload_done(struct peer *p, const struct link_frame *f)
{
    struct api_call *c = find_call(p, f->stream);
    struct err e = ERR_INIT;

    if (!c || !c->on_upload_done)
        return;
    void (*done)(struct api_call * call, int result, void *arg) = c->on_upload_done;
    c->on_upload_done = NULL;
    done(c, field_get_err(f->data, f->len, &e), c->on_upload_arg);
}

static void gone(struct api_call *c)
{
    const struct peer_call *pc = c->owner;

    c->is_gone = true;
    if (pc->stream_fd >= 0) {
        call_end(c);
        return;
    }
    if (c->on_upload_done) {
        void (*done)(struct api_call * call, int result, void *arg) = c->on_upload_done;
        c->on_upload_done = NULL;
        done(c, -EPIPE, c->on_upload_arg);
    }
}

static void on_hello(struct peer *p)
{
    struct buf b;

    buf_init(&b, 4096);
    size_t at = frame_begin(&b, FRAME_HELLO, 0, 0, 0);
    field_u32(&b, FIELD_VERSION, FRAME_VERSION);
    field_str(&b, FIELD_NAME, p->api->node);
    frame_end(&b, at);
    if (link_event_send(p->link, &b, NULL, 0) < 0)
        log_debug("a peer went away at once");
    buf_done(&b);
}

static void on_frame(struct link_event *le, struct link_frame *f, void *arg)
{
    struct peer *p = arg;

    if (f->type == FRAME_HELLO) {
        on_hello(p);
    } else if (f->type == FRAME_REQUEST) {
        on_request(p, f);
    } else if (f->type == FRAME_UPLOAD_DONE) {
        on_upload_done(p, f);
    } else if (f->type == FRAME_CANCEL) {
        struct api_call *c = find_call(p, f->stream);
        if (c)
            gone(c);
    }
}

static void on_link_closed(struct link_event *le, const struct err *e, void *arg)
{
    struct peer *p = arg;

    p->link = NULL;
    p->is_closing = true;
    link_event_free(le);
    LIST_FOREACH_SAFE(pc, &p->calls, struct peer_call, node)
    gone(pc->call);
    p->is_closing = false;
    if (p->on_closed)
        p->on_closed(p->arg);
    peer_release(p);
}

static const struct link_event_ops link_ops = {.on_frame = on_frame, .on_closed = on_link_closed};

int peer_new(struct api *api, int fd, const struct auth_subject *local, void (*on_closed)(void *arg), void *arg,
             struct peer **ret, struct err *e)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (!p) {
        close(fd);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    p->api = api;
    p->on_closed = on_closed;
    p->arg = arg;
    list_init(&p->calls);
    if (local) {
        p->is_local = true;
        p->local = *local;
    }
    p->link = link_event_new(api->base, fd, PEER_QUEUE_BYTES, &link_ops, p);
    if (!p->link) {
        free(p);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (ret)
        *ret = p;
    return 0;
}

void peer_close(struct peer *p)
{
    struct link_event *le = p->link;

    if (!le)
        return;
    on_link_closed(le, NULL, p);
}
