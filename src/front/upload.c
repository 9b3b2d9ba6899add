/* Uploads: small fields become parameters of the REQUEST, the file's bytes go straight into the pipe that holmd hands
 * over, and are never held: when the pipe is full the client is not read. Whatever goes wrong after the REQUEST is told
 * by UPLOAD_DONE with an error, so that holmd never takes half a file for a whole one. A piece of a file (PUT
 * uploads/ID) goes the same way without multipart: its parameters are in the query, the whole body is bytes. */
#include "front/front_priv.h"

#define PIECE_MAX 16384u

enum upload_state {
    UPLOAD_FIELDS,   /* before the file part */
    UPLOAD_ASKED,    /* the REQUEST is out, the pipe has not come */
    UPLOAD_FILE,     /* bytes flow */
    UPLOAD_TAIL,     /* the file part has ended */
    UPLOAD_REPORTED, /* UPLOAD_DONE is out */
};

struct upload {
    struct multipart parser;
    enum upload_state state;
    bool is_piece;
    bool is_ended; /* the closing boundary came */
    int fd;
    struct event *writable;
    struct buf pending; /* bytes the pipe did not take yet */
};

int upload_new(struct conn *c, bool is_piece, struct err *e)
{
    struct upload *u = calloc(1, sizeof(*u));

    if (!u)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    u->fd = -EBADF;
    buf_init(&u->pending, PIECE_MAX + MULTIPART_BOUNDARY_MAX + 8);
    u->is_piece = is_piece;
    int r = is_piece ? 0 : multipart_init(&u->parser, http1_head_get(&c->x->head, "content-type"), e);
    if (r < 0) {
        upload_free(u);
        return r;
    }
    c->x->upload = u;
    return 0;
}

static void close_pipe(struct upload *u)
{
    if (u->writable)
        event_free(TAKE_PTR(u->writable));
    if (u->fd >= 0)
        close(TAKE_FD(u->fd));
}

void upload_free(struct upload *u)
{
    if (!u)
        return;
    close_pipe(u);
    multipart_done(&u->parser);
    buf_done(&u->pending);
    free(u);
}

bool upload_is_granted(const struct conn *c)
{
    return c->x && c->x->upload && c->x->upload->state >= UPLOAD_FILE;
}

/* Tells holmd once how the upload ended; before the pipe is closed, so that its end is never seen first. */
static void report(struct conn *c, int r, const struct err *e)
{
    struct upload *u = c->x->upload;
    struct buf frame;

    if (u->state == UPLOAD_FIELDS || u->state == UPLOAD_REPORTED)
        return;
    if (c->stream) {
        buf_init(&frame, 4096);
        size_t at = frame_begin(&frame, FRAME_UPLOAD_DONE, c->stream, 0, 0);
        field_err(&frame, r, e);
        frame_end(&frame, at);
        upstream_send(c->front, &frame);
        buf_done(&frame);
    }
    u->state = UPLOAD_REPORTED;
    close_pipe(u);
}

void upload_abort(struct conn *c)
{
    struct err e = ERR_INIT;

    if (!c->x || !c->x->upload)
        return;
    if (c->x->upload->state == UPLOAD_FIELDS)
        c->stream = 0; /* holmd has not heard of it */
    report(c, err_set(&e, -ECONNRESET, "upload.aborted", "the upload was cut off"), &e);
}

static void fail(struct conn *c, const struct err *e)
{
    if (c->x->upload->state == UPLOAD_FIELDS)
        c->stream = 0;
    report(c, e->num, e);
    reply_from_err(c, e->num == -EBUSY ? 503 : 400, e);
}

/* Writes what the pipe takes. 0 with the rest in pending, or -errno. */
static int write_some(struct conn *c, const char *p, size_t n)
{
    struct upload *u = c->x->upload;

    while (n) {
        ssize_t done = write(u->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN)
            break;
        if (done < 0)
            return -errno;
        p += done;
        n -= (size_t)done;
    }
    if (n == 0)
        return 0;
    buf_append(&u->pending, p, n);
    c->is_paused = true;
    return event_add(u->writable, NULL) < 0 ? -EIO : 0;
}

/* holmd's reader gave up: its reply says why, so wait for that and take nothing more from the client. */
static void on_write_error(struct conn *c, int r)
{
    struct err e = ERR_INIT;

    report(c, err_errno(&e, -r, "write the uploaded file"), &e);
    c->is_closing = true;
    c->is_paused = false;
    conn_set_phase(c, CONN_WAIT, c->front->options.limits.reply_timeout_ms);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct upload *u = c->x->upload;
    struct buf rest = u->pending;

    buf_init(&u->pending, rest.max);
    c->is_paused = false;
    int r = write_some(c, rest.data, rest.len);
    buf_done(&rest);
    if (r < 0)
        on_write_error(c, r);
    else if (!c->is_paused)
        conn_process(c);
}

/* The file part begins: everything before it goes to holmd as the request. */
void upload_ask(struct conn *c)
{
    struct upload *u = c->x->upload;
    struct err e = ERR_INIT;

    if (!u->is_piece)
        field_str(&c->x->frame, FIELD_FILE_NAME, u->parser.file_name);
    if (request_send_frame(c, &e) < 0) {
        fail(c, &e);
        return;
    }
    u->state = UPLOAD_ASKED;
    conn_set_phase(c, CONN_WAIT, c->front->options.limits.reply_timeout_ms);
}

void upload_on_go(struct conn *c, int fd)
{
    struct upload *u = c->x->upload;

    if (!u || u->state != UPLOAD_ASKED || evutil_make_socket_nonblocking(fd) < 0) {
        close(fd);
        return;
    }
    u->fd = fd;
    u->writable = event_new(c->front->base, fd, EV_WRITE, on_writable, c);
    u->state = UPLOAD_FILE;
    conn_set_phase(c, CONN_UPLOAD, c->front->options.limits.body_window_ms);
    conn_process(c);
}

static void on_multipart_event(struct conn *c, int event)
{
    struct upload *u = c->x->upload;
    struct err e = ERR_INIT;
    int r;

    switch (event) {
    case MULTIPART_FIELD:
        if (params_add(&c->x->params, PARAM_STRING, u->parser.name, strlen(u->parser.name), buf_str(&u->parser.value),
                       u->parser.value.len, &e) < 0)
            fail(c, &e);
        break;
    case MULTIPART_FILE_BEGIN:
        upload_ask(c);
        break;
    case MULTIPART_FILE_DATA:
        r = write_some(c, u->parser.data, u->parser.data_len);
        if (r < 0)
            on_write_error(c, r);
        break;
    case MULTIPART_FILE_END:
        u->state = UPLOAD_TAIL;
        break;
    case MULTIPART_END:
        u->is_ended = true;
        break;
    default:
        break;
    }
}

/* All bytes of the body are here. */
static void finish(struct conn *c)
{
    struct upload *u = c->x->upload;
    struct err e = ERR_INIT;

    if (u->is_piece)
        u->state = UPLOAD_TAIL;
    else if (!u->is_ended)
        err_set(&e, -EINVAL, "multipart.malformed", "malformed upload: ends early");
    else if (u->state == UPLOAD_FIELDS)
        err_set(&e, -EINVAL, "multipart.malformed", "malformed upload: no file part");
    if (e.num) {
        fail(c, &e);
        return;
    }
    report(c, 0, &e);
    conn_set_phase(c, CONN_WAIT, c->front->options.limits.upload_timeout_ms);
}

static int feed(struct conn *c, const char *p, size_t n, size_t *ret_used, struct err *e)
{
    struct upload *u = c->x->upload;

    if (!u->is_piece)
        return multipart_feed(&u->parser, p, n, ret_used, e);
    u->parser.data = p;
    u->parser.data_len = n;
    *ret_used = n;
    return MULTIPART_FILE_DATA;
}

/* One piece of input. False when there is nothing to do now. */
static bool take_piece(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    struct evbuffer_iovec piece;
    struct err e = ERR_INIT;
    size_t used = 0;

    if (evbuffer_peek(in, -1, NULL, &piece, 1) <= 0 || piece.iov_len == 0)
        return false;
    size_t n = piece.iov_len < PIECE_MAX ? piece.iov_len : PIECE_MAX;
    if (n > c->x->body_left)
        n = (size_t)c->x->body_left;
    int event = feed(c, piece.iov_base, n, &used, &e);
    if (event < 0) {
        fail(c, &e);
        return false;
    }
    c->progress += used;
    c->x->body_left -= used;
    on_multipart_event(c, event); /* its data lies in the piece */
    if (!conn_is_dead(c))
        evbuffer_drain(in, used);
    return true;
}

void upload_process(struct conn *c)
{
    while (c->phase == CONN_UPLOAD && !c->is_paused) {
        if (c->x->body_left == 0) {
            finish(c);
            return;
        }
        if (!take_piece(c))
            return;
    }
}
