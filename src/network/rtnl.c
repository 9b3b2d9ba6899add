/* See rtnl_priv.h. */
#include "network/rtnl_priv.h"

#include <sys/socket.h>
#include <sys/time.h>

#define ANSWER_MAX   65536u
#define TIMEOUT_S    10
#define MESSAGES_MAX 200000u /* of one dump */

int rtnl_open(struct rtnl *ret, struct err *e)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        return err_errno(e, errno, "open rtnetlink");
    *ret = (struct rtnl){.fd = TAKE_FD(fd)};
    return 0;
}

void rtnl_close(struct rtnl *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -EBADF;
}

static void *reserve(struct rtnl_message *m, size_t n)
{
    size_t at = NLMSG_ALIGN(m->header.nlmsg_len);

    if (m->is_full || n > sizeof(m->bytes) || at + NLMSG_ALIGN(n) > sizeof(m->bytes)) {
        m->is_full = true;
        return NULL;
    }
    memset(m->bytes + at, 0, NLMSG_ALIGN(n));
    m->header.nlmsg_len = (uint32_t)(at + n);
    return m->bytes + at;
}

void rtnl_begin(struct rtnl_message *m, uint16_t type, uint16_t flags, const void *body, size_t n)
{
    memset(&m->header, 0, sizeof(m->header));
    m->is_full = false;
    m->header.nlmsg_len = NLMSG_HDRLEN;
    m->header.nlmsg_type = type;
    m->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    void *p = reserve(m, n);
    if (p)
        memcpy(p, body, n);
}

void rtnl_put(struct rtnl_message *m, uint16_t type, const void *data, size_t n)
{
    struct rtattr *a = reserve(m, RTA_LENGTH(n));

    if (!a)
        return;
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(n);
    if (n)
        memcpy(RTA_DATA(a), data, n);
}

void rtnl_put_u8(struct rtnl_message *m, uint16_t type, uint8_t v)
{
    rtnl_put(m, type, &v, sizeof(v));
}

void rtnl_put_u16(struct rtnl_message *m, uint16_t type, uint16_t v)
{
    rtnl_put(m, type, &v, sizeof(v));
}

void rtnl_put_u32(struct rtnl_message *m, uint16_t type, uint32_t v)
{
    rtnl_put(m, type, &v, sizeof(v));
}

void rtnl_put_str(struct rtnl_message *m, uint16_t type, const char *s)
{
    rtnl_put(m, type, s, strlen(s) + 1);
}

size_t rtnl_nest(struct rtnl_message *m, uint16_t type)
{
    size_t at = NLMSG_ALIGN(m->header.nlmsg_len);

    rtnl_put(m, type, NULL, 0);
    return at;
}

void rtnl_nest_end(struct rtnl_message *m, size_t at)
{
    if (!m->is_full)
        ((struct rtattr *)(void *)(m->bytes + at))->rta_len = (uint16_t)(m->header.nlmsg_len - at);
}

static int send_message(struct rtnl *n, struct rtnl_message *m)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    if (m->is_full)
        return -EMSGSIZE;
    m->header.nlmsg_seq = ++n->sequence;
    ssize_t sent;
    do
        sent = sendto(n->fd, m->bytes, m->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* The next datagram of the kernel (port 0); its length. */
static ssize_t receive(struct rtnl *n, char *buffer, size_t cap)
{
    struct sockaddr_nl from;
    ssize_t got;

    do {
        socklen_t len = sizeof(from);
        got = recvfrom(n->fd, buffer, cap, MSG_TRUNC, (struct sockaddr *)&from, &len);
    } while ((got < 0 && errno == EINTR) || (got >= 0 && from.nl_pid != 0));
    if (got < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return (size_t)got > cap ? -EMSGSIZE : got;
}

/* 1: more to come; 0 or negative: the end. */
static int take_one(const struct nlmsghdr *h, int (*fn)(void *arg, const struct nlmsghdr *h), void *arg)
{
    if (h->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *x = NLMSG_DATA(h);
        return h->nlmsg_len < NLMSG_LENGTH(sizeof(*x)) ? -EBADMSG : x->error;
    }
    if (h->nlmsg_type == NLMSG_DONE)
        return 0;
    int r = fn ? fn(arg, h) : 0;
    return r < 0 ? r : 1;
}

static int converse(struct rtnl *n, struct rtnl_message *m, int (*fn)(void *arg, const struct nlmsghdr *h), void *arg)
{
    autofree char *buffer = malloc(ANSWER_MAX);
    int r = buffer ? send_message(n, m) : -ENOMEM;

    if (r < 0)
        return r;
    for (unsigned count = 0; count < MESSAGES_MAX; count++) {
        ssize_t got = receive(n, buffer, ANSWER_MAX);
        if (got < 0)
            return (int)got;
        unsigned left = (unsigned)got;
        for (const struct nlmsghdr *h = (const void *)buffer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_seq != n->sequence)
                continue;
            r = take_one(h, fn, arg);
            if (r <= 0)
                return r;
        }
    }
    return -EBADMSG;
}

int rtnl_do(struct rtnl *n, struct rtnl_message *m)
{
    m->header.nlmsg_flags |= NLM_F_ACK;
    return converse(n, m, NULL, NULL);
}

int rtnl_dump(struct rtnl *n, struct rtnl_message *m, int (*fn)(void *arg, const struct nlmsghdr *h), void *arg)
{
    m->header.nlmsg_flags |= NLM_F_DUMP;
    return converse(n, m, fn, arg);
}

static void index_attrs(const struct rtattr *a, size_t n, const struct rtattr **ret, size_t max)
{
    unsigned left = (unsigned)n;

    memset(ret, 0, max * sizeof(*ret));
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        unsigned type = a->rta_type & NLA_TYPE_MASK;
        if (type < max)
            ret[type] = a;
    }
}

void rtnl_attrs(const struct nlmsghdr *h, size_t fixed, const struct rtattr **ret, size_t max)
{
    size_t head = NLMSG_SPACE(fixed);

    if (h->nlmsg_len < head) {
        memset(ret, 0, max * sizeof(*ret));
        return;
    }
    index_attrs((const struct rtattr *)(const void *)((const char *)h + head), h->nlmsg_len - head, ret, max);
}

void rtnl_attrs_nested(const struct rtattr *a, const struct rtattr **ret, size_t max)
{
    if (a)
        index_attrs(RTA_DATA(a), RTA_PAYLOAD(a), ret, max);
    else
        memset(ret, 0, max * sizeof(*ret));
}

void rtnl_copy(const struct rtattr *a, void *dst, size_t n)
{
    if (a && RTA_PAYLOAD(a) >= n)
        memcpy(dst, RTA_DATA(a), n);
    else
        memset(dst, 0, n);
}

uint32_t rtnl_u32(const struct rtattr *a)
{
    uint32_t v;

    rtnl_copy(a, &v, sizeof(v));
    return v;
}

void rtnl_str(const struct rtattr *a, char *dst, size_t cap)
{
    size_t n = a ? strnlen(RTA_DATA(a), RTA_PAYLOAD(a)) : 0;

    n = n < cap ? n : cap - 1;
    if (n)
        memcpy(dst, RTA_DATA(a), n);
    dst[n] = 0;
}
