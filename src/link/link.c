/* Non-blocking frame link over a unix stream socket; see link.h.
 *
 * Descriptors: the kernel keeps ancillary data attached to the byte it was sent with, and never merges two batches in
 * one recvmsg. They are queued in order and handed to the frames that announce them. */
#include "link/link.h"

#include <fcntl.h>
#include <sys/socket.h>

#define READ_CHUNK     65536u
#define QUEUED_FDS_MAX 128u

struct out_frame {
    struct out_frame *next;
    size_t len, sent;
    size_t n_fds;
    int fds[FRAME_FDS_MAX];
    uint8_t data[];
};

struct link {
    int fd;
    const struct link_ops *ops;
    void *arg;
    struct buf in;
    int in_fds[QUEUED_FDS_MAX];
    size_t n_in_fds;
    struct out_frame *out_head, **out_tail;
    size_t out_bytes, max_out_bytes;
    bool is_closed, is_in_callback, is_free_wanted;
};

struct link *link_new(int fd, size_t max_queue_bytes, const struct link_ops *ops, void *arg)
{
    struct link *l = calloc(1, sizeof(*l));
    int flags = fcntl(fd, F_GETFL);

    if (!l || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        free(l);
        close(fd);
        return NULL;
    }
    l->fd = fd;
    l->ops = ops;
    l->arg = arg;
    l->max_out_bytes = max_queue_bytes;
    l->out_tail = &l->out_head;
    buf_init(&l->in, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + READ_CHUNK);
    return l;
}

static void out_frame_free(struct out_frame *f)
{
    for (size_t i = 0; i < f->n_fds; i++)
        if (f->fds[i] >= 0)
            close(f->fds[i]);
    free(f);
}

static void close_now(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -EBADF;
    for (size_t i = 0; i < l->n_in_fds; i++)
        close(l->in_fds[i]);
    l->n_in_fds = 0;
    for (struct out_frame *f = l->out_head, *next; f; f = next) {
        next = f->next;
        out_frame_free(f);
    }
    l->out_head = NULL;
    l->out_tail = &l->out_head;
    l->out_bytes = 0;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    l->is_closed = true;
    close_now(l);
    if (l->is_in_callback) { /* freed by the dispatcher when it returns */
        l->is_free_wanted = true;
        return;
    }
    buf_done(&l->in);
    free(l);
}

int link_fd(const struct link *l)
{
    return l->fd;
}

bool link_wants_write(const struct link *l)
{
    return l->out_head;
}

bool link_is_closed(const struct link *l)
{
    return l->is_closed;
}

size_t link_queued_bytes(const struct link *l)
{
    return l->out_bytes;
}

/* Runs with is_in_callback set, so that a free inside is put off to the outermost caller. */
static void end_link(struct link *l, const struct err *why)
{
    if (l->is_closed)
        return;
    l->is_closed = true;
    bool was = l->is_in_callback;
    l->is_in_callback = true;
    l->ops->on_closed(l, why, l->arg);
    l->is_in_callback = was;
    close_now(l);
    if (!was && l->is_free_wanted) {
        buf_done(&l->in);
        free(l);
    }
}

void link_close(struct link *l, const struct err *why)
{
    static const struct err orderly = ERR_INIT;

    end_link(l, why ? why : &orderly);
}

/* Takes the descriptors out of a received message; too many end the link. */
static int take_fds(struct link *l, struct msghdr *m)
{
    int r = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (l->n_in_fds == QUEUED_FDS_MAX) {
                close(fd);
                r = -EPROTO;
            } else {
                l->in_fds[l->n_in_fds++] = fd;
            }
        }
    }
    return m->msg_flags & MSG_CTRUNC ? -EPROTO : r;
}

/* Hands over every complete frame in l->in. */
static int dispatch(struct link *l, struct err *e)
{
    size_t at = 0;
    int r = 0;

    while (!l->is_closed && l->in.len - at >= FRAME_HEADER_SIZE) {
        struct frame_header h;
        r = frame_header_parse((const uint8_t *)l->in.data + at, &h, e);
        if (r < 0)
            break;
        if (l->in.len - at < FRAME_HEADER_SIZE + h.length)
            break;
        if (h.n_fds > l->n_in_fds) {
            r = err_set(e, -EPROTO, "frame.fds", "frame announces %u descriptors, %zu came", h.n_fds, l->n_in_fds);
            break;
        }
        int fds[FRAME_FDS_MAX];
        memcpy(fds, l->in_fds, h.n_fds * sizeof(int));
        l->n_in_fds -= h.n_fds;
        memmove(l->in_fds, l->in_fds + h.n_fds, l->n_in_fds * sizeof(int));
        struct link_frame f = {.type = h.type,
                               .flags = h.flags,
                               .stream = h.stream,
                               .data = (const uint8_t *)l->in.data + at + FRAME_HEADER_SIZE,
                               .len = h.length,
                               .fds = fds,
                               .n_fds = h.n_fds};
        l->ops->on_frame(l, &f, l->arg);
        for (size_t i = 0; i < h.n_fds; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        at += FRAME_HEADER_SIZE + h.length;
    }
    buf_consume(&l->in, at);
    /* Give the memory of a rare large frame back: links are many and idle. */
    if (l->in.len == 0 && l->in.cap > READ_CHUNK + 1)
        buf_done(&l->in);
    return r;
}

/* 1 = got bytes, 0 = nothing now, negative = ended. is_last: the buffer was not filled; what else there may be (after
 * descriptors, the end) polls readable again, and an idle link is spared a read that finds nothing. */
static int read_some(struct link *l, bool *is_last, struct err *e)
{
    union {
        char bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    char *p = buf_reserve(&l->in, l->in.cap > 4096 ? READ_CHUNK : 4000);

    if (!p)
        return err_set(e, -ENOMEM, NULL, "no memory for a frame");
    struct iovec iov = {.iov_base = p, .iov_len = l->in.cap - l->in.len - 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(l->fd, &m, MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return err_errno(e, errno, "receive");
    if (take_fds(l, &m) < 0)
        return err_set(e, -EPROTO, "frame.fds", "too many descriptors");
    if (n == 0) {
        e->num = 0;
        return -EPIPE;
    }
    l->in.len += (size_t)n;
    *is_last = (size_t)n < iov.iov_len;
    return 1;
}

void link_on_readable(struct link *l)
{
    struct err e = ERR_INIT;
    bool is_last = false;
    int r = 0;

    if (l->is_closed)
        return;
    bool was = l->is_in_callback;
    l->is_in_callback = true;
    /* Bounded per wake-up, so that one peer cannot hold the loop. */
    for (int i = 0; i < 8 && !l->is_closed && !is_last; i++) {
        r = read_some(l, &is_last, &e);
        if (r <= 0)
            break;
        r = dispatch(l, &e);
        if (r < 0)
            break;
    }
    if (r < 0)
        end_link(l, &e);
    l->is_in_callback = was;
    if (!was && l->is_free_wanted) {
        buf_done(&l->in);
        free(l);
    }
}

/* 1 = the frame is out, 0 = would block, negative errno. */
static int send_some(int fd, struct out_frame *f)
{
    union {
        char bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = f->data + f->sent, .iov_len = f->len - f->sent};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (f->sent == 0 && f->n_fds) {
        memset(&control, 0, sizeof(control));
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(f->n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(f->n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), f->fds, f->n_fds * sizeof(int));
    }
    ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return -errno;
    f->sent += (size_t)n;
    return f->sent == f->len;
}

static int flush_out(struct link *l)
{
    while (l->out_head) {
        struct out_frame *f = l->out_head;
        size_t before = f->sent;
        int r = send_some(l->fd, f);
        l->out_bytes -= f->sent - before;
        if (r < 0)
            return r;
        if (r == 0 && f->sent == before)
            return 0;
        if (r == 1) {
            l->out_head = f->next;
            if (!l->out_head)
                l->out_tail = &l->out_head;
            out_frame_free(f);
        }
    }
    return 0;
}

void link_on_writable(struct link *l)
{
    struct err e = ERR_INIT;

    if (l->is_closed)
        return;
    int r = flush_out(l);
    if (r < 0) {
        err_errno(&e, -r, "send");
        end_link(l, &e);
        return;
    }
    if (!l->out_head && l->ops->on_interest)
        l->ops->on_interest(l, l->arg);
}

static int send_failed(struct link *l, int r)
{
    struct err e = ERR_INIT;

    err_errno(&e, -r, "send");
    link_close(l, &e);
    return r;
}

/* What the socket takes of a frame before anything is queued: most frames go out whole, without a copy. */
static ssize_t send_directly(struct link *l, const struct buf *frame, size_t n_fds)
{
    struct iovec iov = {.iov_base = frame->data, .iov_len = frame->len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (l->out_head || n_fds)
        return 0;
    ssize_t n = sendmsg(l->fd, &m, MSG_NOSIGNAL); /* the call that filters of jailed programs know */
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int link_send(struct link *l, const struct buf *frame, const int *fds, size_t n_fds)
{
    struct err e = ERR_INIT;

    if (l->is_closed)
        return -EPIPE;
    if (frame->is_failed || n_fds > FRAME_FDS_MAX)
        return -EMSGSIZE;
    if (l->out_bytes + frame->len > l->max_out_bytes) {
        err_set(&e, -ENOBUFS, "link.slow", "the peer does not read its frames");
        link_close(l, &e);
        return -ENOBUFS;
    }
    ssize_t sent = send_directly(l, frame, n_fds);
    if (sent < 0)
        return send_failed(l, (int)sent);
    size_t left = frame->len - (size_t)sent;
    if (!left)
        return 0;
    struct out_frame *f = malloc(sizeof(*f) + left);
    if (!f)
        return sent ? send_failed(l, -ENOMEM) : -ENOMEM; /* half a frame is the end of a link */
    *f = (struct out_frame){.len = left, .n_fds = n_fds};
    memcpy(f->data, frame->data + sent, left);
    for (size_t i = 0; i < n_fds; i++)
        f->fds[i] = -1;
    for (size_t i = 0; i < n_fds; i++) {
        f->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
        if (f->fds[i] < 0) {
            int r = -errno;
            out_frame_free(f);
            return r;
        }
    }
    *l->out_tail = f;
    l->out_tail = &f->next;
    l->out_bytes += f->len;
    int r = flush_out(l);
    if (r < 0)
        return send_failed(l, r);
    if (l->out_head && l->ops->on_interest)
        l->ops->on_interest(l, l->arg);
    return 0;
}

int link_write_frame(int fd, const struct buf *frame, const int *fds, size_t n_fds, struct err *e)
{
    if (frame->is_failed || n_fds > FRAME_FDS_MAX)
        return err_set(e, -EMSGSIZE, "frame.size", "frame too large");
    struct out_frame *f = malloc(sizeof(*f) + frame->len);
    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *f = (struct out_frame){.len = frame->len, .n_fds = n_fds};
    memcpy(f->data, frame->data, frame->len);
    for (size_t i = 0; i < n_fds; i++)
        f->fds[i] = fds[i];
    int r;
    do
        r = send_some(fd, f);
    while (r == 0);
    free(f);
    return r < 0 ? err_errno(e, -r, "send") : 0;
}

/* Reads exactly n bytes, collecting descriptors. */
static int read_exact(int fd, uint8_t *p, size_t n, int *fds, size_t cap_fds, size_t *n_fds, struct err *e)
{
    while (n) {
        union {
            char bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
            struct cmsghdr align;
        } control;
        struct iovec iov = {.iov_base = p, .iov_len = n};
        struct msghdr m = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
        ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(e, errno, "receive");
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            size_t count = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
                               ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                               : 0;
            for (size_t i = 0; i < count; i++) {
                int got_fd;
                memcpy(&got_fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                if (*n_fds < cap_fds)
                    fds[(*n_fds)++] = got_fd;
                else
                    close(got_fd);
            }
        }
        if (got == 0)
            return err_set(e, -EPIPE, "link.closed", "the other side closed the connection");
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

int link_read_frame(int fd, struct frame_header *ret_header, struct buf *ret_payload, int *ret_fds, size_t cap_fds,
                    size_t *ret_n_fds, struct err *e)
{
    uint8_t head[FRAME_HEADER_SIZE];
    size_t n_fds = 0;
    struct frame_header h;

    buf_reset(ret_payload);
    int r = read_exact(fd, head, sizeof(head), ret_fds, cap_fds, &n_fds, e);
    if (r == 0)
        r = frame_header_parse(head, &h, e);
    if (r == 0) {
        char *p = buf_reserve(ret_payload, h.length);
        r = !p ? err_set(e, -ENOMEM, NULL, "no memory for a frame")
               : read_exact(fd, (uint8_t *)p, h.length, ret_fds, cap_fds, &n_fds, e);
        if (r == 0)
            ret_payload->len = h.length;
    }
    if (r < 0) {
        for (size_t i = 0; i < n_fds; i++)
            close(ret_fds[i]);
        return r;
    }
    *ret_header = h;
    *ret_n_fds = n_fds;
    return 0;
}
