/* rtnetlink without a library: messages are built in a fixed buffer, asked one at a time, and answers are read with
 * every length checked. Blocking (the kernel answers at once, but waits for its lock); pool threads. */
#ifndef HOLM_NETWORK_RTNL_PRIV_H
#define HOLM_NETWORK_RTNL_PRIV_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "base/err.h"

#define RTNL_MESSAGE_MAX 2048u
#define RTNL_ATTRS_MAX   80u

struct rtnl {
    int fd;
    uint32_t sequence;
};

/* A request under construction; too much in it sticks and fails in rtnl_do. */
struct rtnl_message {
    union {
        struct nlmsghdr header;
        char bytes[RTNL_MESSAGE_MAX];
    };
    bool is_full;
};

MUST_CHECK int rtnl_open(struct rtnl *ret, struct err *e);
void rtnl_close(struct rtnl *n);

/* flags besides NLM_F_REQUEST. body is the fixed part (struct ifinfomsg …). */
void rtnl_begin(struct rtnl_message *m, uint16_t type, uint16_t flags, const void *body, size_t n);
void rtnl_put(struct rtnl_message *m, uint16_t type, const void *data, size_t n);
void rtnl_put_u8(struct rtnl_message *m, uint16_t type, uint8_t v);
void rtnl_put_u16(struct rtnl_message *m, uint16_t type, uint16_t v);
void rtnl_put_u32(struct rtnl_message *m, uint16_t type, uint32_t v);
void rtnl_put_str(struct rtnl_message *m, uint16_t type, const char *s);
size_t rtnl_nest(struct rtnl_message *m, uint16_t type);
void rtnl_nest_end(struct rtnl_message *m, size_t at);

/* Asks and waits for the acknowledgement: 0 or the kernel's -errno. */
MUST_CHECK int rtnl_do(struct rtnl *n, struct rtnl_message *m);
/* A dump: fn is called for each answer; a negative result of it ends the dump with it. */
MUST_CHECK int rtnl_dump(struct rtnl *n, struct rtnl_message *m, int (*fn)(void *arg, const struct nlmsghdr *h),
                         void *arg);

/* Attributes after a fixed part of n bytes; those above max are left out. */
void rtnl_attrs(const struct nlmsghdr *h, size_t fixed, const struct rtattr **ret, size_t max);
void rtnl_attrs_nested(const struct rtattr *a, const struct rtattr **ret, size_t max);
/* Value of at least n bytes; zeros if absent. */
void rtnl_copy(const struct rtattr *a, void *dst, size_t n);
uint32_t rtnl_u32(const struct rtattr *a);
/* Always terminated; "" if absent. */
void rtnl_str(const struct rtattr *a, char *dst, size_t cap);

#endif
