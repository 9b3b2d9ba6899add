/* The connection to holmd; see client_priv.h. Who we are the daemon learns from the kernel (SO_PEERCRED), so nothing
 * secret is sent for that.
 *
 * The daemon is trusted with much, but not with our memory or time: a reply is capped, a malformed frame ends the
 * connection, every wait has a deadline and ends at a signal, and descriptors nobody asked for are closed (by link). */
#include "cli/client_priv.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/json.h"
#include "link/link.h"

#define QUEUE_MAX     (4u * 1024u * 1024u)
#define REPLY_WAIT_MS 120000u /* without --timeout */
#define HELLO_WAIT_MS 10000u
#define NODE_NAME_MAX 64u

struct client {
    struct link *link;
    struct err closed; /* why the link ended */
    uint64_t deadline_ms;
    char node[NODE_NAME_MAX];
    bool has_hello;
    /* the request under way */
    uint32_t stream;
    bool is_ended; /* the last frame of the reply or an upgrade came */
    bool has_head; /* REPLY was seen */
    bool had_fd;   /* UPGRADE or UPLOAD_GO was seen */
    unsigned status;
    char reason[512];
    struct buf body;
    struct reply answer; /* fd, mode, is_upload */
};

void reply_done(struct reply *r)
{
    json_decref(r->root);
    if (r->fd >= 0)
        close(r->fd);
    *r = (struct reply)REPLY_INIT;
}

static void refuse(struct client *c, const char *what)
{
    struct err e = ERR_INIT;

    err_set(&e, -EPROTO, "cli.protocol", "the daemon sent something unexpected: %s", what);
    link_close(c->link, &e);
}

static bool is_node_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");

    return n > 0 && !s[n] && s[0] != '-';
}

static void take_hello(struct client *c, const struct link_frame *f)
{
    struct field v;
    uint32_t version = 0;

    if (c->has_hello || !field_find(f->data, f->len, FIELD_VERSION, &v) || field_get_u32(&v, &version) < 0 || !version)
        return refuse(c, "greeting");
    if (!field_find(f->data, f->len, FIELD_NAME, &v) || field_get_str(&v, c->node, sizeof(c->node)) < 0 ||
        !is_node_name(c->node))
        return refuse(c, "node name");
    c->has_hello = true;
}

static void take_head(struct client *c, const struct link_frame *f)
{
    struct field v;
    uint32_t status = 0;

    if (c->has_head || !field_find(f->data, f->len, FIELD_STATUS, &v) || field_get_u32(&v, &status) < 0 ||
        status < 100 || status > 599)
        return refuse(c, "reply");
    c->has_head = true;
    c->status = status;
    if (field_find(f->data, f->len, FIELD_REASON, &v) && field_get_str(&v, c->reason, sizeof(c->reason)) < 0)
        c->reason[0] = 0;
}

/* BODY may be repeated and comes in REPLY and REPLY_BODY. */
static void take_body(struct client *c, const struct link_frame *f)
{
    struct field_reader r;
    struct field v;
    int got;

    field_reader_init(&r, f->data, f->len);
    while ((got = field_next(&r, &v)) > 0)
        if (v.tag == FIELD_BODY)
            buf_append(&c->body, v.data, v.len);
    if (got < 0)
        return refuse(c, "malformed fields");
    if (c->body.is_failed)
        return refuse(c, "a reply that is too large");
    c->is_ended = f->flags & FRAME_LAST;
}

static void take_fd(struct client *c, struct link_frame *f)
{
    struct field v;

    if (f->n_fds != 1 || f->fds[0] < 0)
        return refuse(c, "no descriptor");
    if (field_find(f->data, f->len, FIELD_MODE, &v) && field_get_str(&v, c->answer.mode, sizeof(c->answer.mode)) < 0)
        return refuse(c, "mode");
    c->answer.fd = TAKE_FD(f->fds[0]);
    c->answer.is_upload = f->type == FRAME_UPLOAD_GO;
    c->had_fd = true;
    c->is_ended = f->type == FRAME_UPGRADE;
}

static void on_frame(struct link *l, struct link_frame *f, void *arg)
{
    struct client *c = arg;

    if (f->type == FRAME_HELLO)
        return take_hello(c, f);
    if (!c->has_hello || f->stream != c->stream || c->is_ended)
        return refuse(c, "a frame nobody asked for");
    if (f->type == FRAME_REPLY)
        take_head(c, f);
    else if (f->type == FRAME_UPGRADE || f->type == FRAME_UPLOAD_GO)
        return c->has_head || c->had_fd ? refuse(c, "descriptor") : take_fd(c, f);
    else if (f->type != FRAME_REPLY_BODY || !c->has_head)
        return refuse(c, "frame");
    if (!link_is_closed(l))
        take_body(c, f);
}

static void on_closed(struct link *l, const struct err *e, void *arg)
{
    struct client *c = arg;

    c->closed = *e;
    if (e->num == 0 || e->num == -ECONNRESET || e->num == -EPIPE)
        err_set(&c->closed, -EPIPE, "cli.unreachable", "Holm closed the connection");
}

static const struct link_ops ops = {.on_frame = on_frame, .on_closed = on_closed};

/* One poll: 0, or an error for a signal, the end of the link, or time. until_ms 0 = only the poll's own limit. */
static int pump(struct client *c, uint64_t until_ms, bool is_sleeping, struct err *e)
{
    uint64_t now = clock_boot_ms();
    uint64_t left = until_ms > now ? until_ms - now : 0;

    if (signals_pending())
        return signals_error(e);
    if (link_is_closed(c->link)) {
        *e = c->closed;
        return e->num;
    }
    if (!left)
        return is_sleeping ? -ETIME : err_set(e, -ETIMEDOUT, "cli.timeout", "no answer in time");
    struct pollfd p[] = {
        {.fd = link_fd(c->link), .events = (short)(POLLIN | (link_wants_write(c->link) ? POLLOUT : 0))},
        {.fd = signals_fd(), .events = POLLIN},
    };
    int n = poll(p, ARRAY_SIZE(p), left > 60000 ? 60000 : (int)left);
    if (n < 0 && errno != EINTR)
        return err_errno(e, errno, "poll");
    if (n > 0 && p[0].revents & POLLOUT)
        link_on_writable(c->link);
    if (n > 0 && p[0].revents & (POLLIN | POLLHUP | POLLERR) && !link_is_closed(c->link))
        link_on_readable(c->link);
    return 0;
}

static uint64_t limit(const struct client *c, uint64_t wait_ms)
{
    return c->deadline_ms ? c->deadline_ms : clock_boot_ms() + wait_ms;
}

int client_sleep(struct client *c, unsigned ms, struct err *e)
{
    uint64_t until = clock_boot_ms() + ms;
    int r = 0;

    if (c->deadline_ms && clock_boot_ms() >= c->deadline_ms)
        return err_set(e, -ETIMEDOUT, "cli.timeout", "not finished in time");
    while (r == 0)
        r = pump(c, until, true, e);
    return r == -ETIME ? 0 : r;
}

static int fill_address(const char *root, struct sockaddr_un *a, int *dir_fd, struct err *e)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((size_t)snprintf(a->sun_path, sizeof(a->sun_path), "%s/run/holm.sock", root) < sizeof(a->sun_path))
        return 0;
    /* Too long for a socket address: go through the open folder. */
    autofree char *dir = NULL;
    if (asprintf(&dir, "%s/run", root) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir_fd < 0)
        return -errno;
    snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/holm.sock", *dir_fd);
    return 0;
}

static int connect_failed(const char *root, int r, struct err *e)
{
    if (r == -EACCES || r == -EPERM) {
        err_set(e, r, "cli.denied", "you may not talk to Holm in %s", root);
        return err_hint(e, "run the command as root");
    }
    if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR) {
        err_set(e, r, "cli.unreachable", "Holm is not running (%s)", root);
        return err_hint(e, "start it (systemctl start holmd), or name its folder with --root or HOLM_ROOT");
    }
    return err_errno(e, -r, "connect to Holm in %s", root);
}

static int connect_root(const char *root, int *ret_fd, struct err *e)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    autoclose int dir_fd = -EBADF;
    struct sockaddr_un a;

    if (fd < 0)
        return err_errno(e, errno, "socket");
    int r = fill_address(root, &a, &dir_fd, e);
    if (r == 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        r = -errno;
    if (r < 0)
        return connect_failed(root, r, e);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int send_hello(struct client *c, struct err *e)
{
    struct buf b;

    buf_init(&b, 256);
    size_t at = frame_begin(&b, FRAME_HELLO, 0, 0, 0);
    field_u32(&b, FIELD_VERSION, 1);
    field_str(&b, FIELD_ROLE, "cli");
    frame_end(&b, at);
    int r = link_send(c->link, &b, NULL, 0);
    buf_done(&b);
    return r < 0 ? err_set(e, r, "cli.unreachable", "Holm closed the connection") : 0;
}

int client_open(const char *root, uint64_t deadline_ms, struct client **ret, struct err *e)
{
    struct client *c = calloc(1, sizeof(*c));
    int fd = -EBADF;

    if (!c)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    c->deadline_ms = deadline_ms;
    c->answer.fd = -EBADF;
    buf_init(&c->body, REPLY_BYTES_MAX);
    int r = connect_root(root, &fd, e);
    if (r == 0 && !(c->link = link_new(fd, QUEUE_MAX, &ops, c)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = send_hello(c, e);
    uint64_t until = limit(c, HELLO_WAIT_MS);
    while (r == 0 && !c->has_hello)
        r = pump(c, until, false, e);
    if (r < 0) {
        client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    link_free(c->link);
    reply_done(&c->answer);
    buf_done(&c->body);
    free(c);
}

const char *client_node(const struct client *c)
{
    return c->node;
}

static void write_request(const struct client *c, const struct request *q, struct buf *b)
{
    size_t at = frame_begin(b, FRAME_REQUEST, c->stream, 0, 0);

    field_str(b, FIELD_METHOD, q->method);
    field_str(b, FIELD_PATH, q->path);
    field_str(b, FIELD_FORMAT, "json");
    field_str(b, FIELD_KIND, q->kind ? q->kind : "plain");
    field_str(b, FIELD_USER_AGENT, "holm/" HOLM_VERSION);
    if (q->file_name)
        field_str(b, FIELD_FILE_NAME, q->file_name);
    for (size_t i = 0; i < q->n_params; i++)
        if (!q->params[i].is_local)
            field_param(b, PARAM_STRING, q->params[i].key, q->params[i].value, strlen(q->params[i].value));
    if (q->is_dry_run)
        field_param(b, PARAM_STRING, "dry-run", "1", 1);
    frame_end(b, at);
}

static int send_request(struct client *c, const struct request *q, struct err *e)
{
    struct buf b;

    c->stream++;
    c->is_ended = c->has_head = c->had_fd = false;
    c->status = 0;
    c->reason[0] = 0;
    buf_reset(&c->body);
    reply_done(&c->answer);
    buf_init(&b, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX);
    write_request(c, q, &b);
    int r = b.is_failed ? err_set(e, -E2BIG, "cli.usage", "the request is too large") : link_send(c->link, &b, NULL, 0);
    if (b.data)
        mem_wipe(b.data, b.cap);
    buf_done(&b);
    if (r < 0 && !e->num)
        *e = c->closed.num ? c->closed : (struct err){.num = r};
    if (r < 0 && !e->text[0])
        return err_set(e, -EPIPE, "cli.unreachable", "Holm closed the connection");
    return r;
}

static int parse_body(struct client *c, struct reply *ret, struct err *e)
{
    json_error_t je;

    if (!c->body.len)
        return 0;
    if (json_depth(c->body.data, c->body.len) > REPLY_DEPTH_MAX)
        return err_set(e, -EPROTO, "cli.protocol", "the daemon's answer is nested too deep");
    ret->root = json_loadb(c->body.data, c->body.len, JSON_DECODE_ANY, &je);
    if (ret->root && !json_is_object(ret->root)) {
        json_decref(ret->root);
        ret->root = NULL;
    }
    if (!ret->root && c->status < 400)
        return err_set(e, -EPROTO, "cli.protocol", "the daemon's answer is not the JSON that was expected");
    ret->data = json_object_get(ret->root, "data");
    if (json_is_null(ret->data))
        ret->data = NULL;
    return 0;
}

/* Waits for the end of the request under way. */
static int await(struct client *c, struct reply *ret, struct err *e)
{
    uint64_t until = limit(c, REPLY_WAIT_MS);
    int r = 0;

    while (r == 0 && !c->is_ended && c->answer.fd < 0)
        r = pump(c, until, false, e);
    if (r < 0)
        return r;
    *ret = c->answer;
    c->answer = (struct reply)REPLY_INIT;
    ret->status = c->status;
    if (ret->fd >= 0)
        return 0;
    r = parse_body(c, ret, e);
    if (r == 0 && c->status >= 400)
        r = fail_from_reply(e, c->status, c->reason, ret->root);
    return r;
}

int client_call(struct client *c, const struct request *q, struct reply *ret_reply, struct err *e)
{
    int r = send_request(c, q, e);

    return r < 0 ? r : await(c, ret_reply, e);
}

int client_upload_end(struct client *c, int result, struct reply *ret_reply, struct err *e)
{
    struct buf b;

    buf_init(&b, 256);
    size_t at = frame_begin(&b, FRAME_UPLOAD_DONE, c->stream, 0, 0);
    field_u32(&b, FIELD_RESULT, (uint32_t)-result);
    frame_end(&b, at);
    int r = link_send(c->link, &b, NULL, 0);
    buf_done(&b);
    if (r < 0)
        return err_set(e, r, "cli.unreachable", "Holm closed the connection");
    return await(c, ret_reply, e);
}
