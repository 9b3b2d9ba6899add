/* Addresses and default routes; see link_priv.h. And the snapshot that the API shows. */
#include "network/link_priv.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static size_t address_bytes(int family)
{
    return family == AF_INET ? 4 : 16;
}

int net_address_parse(const char *cidr, struct net_address *ret)
{
    char text[INET6_ADDRSTRLEN];
    const char *slash = strchr(cidr, '/');
    struct net_address a = {.family = strchr(cidr, ':') ? AF_INET6 : AF_INET};
    uint64_t prefix;

    if (!slash || (size_t)(slash - cidr) >= sizeof(text) || str_to_u64(slash + 1, &prefix) < 0)
        return -EINVAL;
    memcpy(text, cidr, (size_t)(slash - cidr));
    text[slash - cidr] = 0;
    if (prefix > address_bytes(a.family) * 8 || inet_pton(a.family, text, a.bytes) != 1)
        return -EINVAL;
    a.prefix = (unsigned)prefix;
    *ret = a;
    return 0;
}

static int change(struct rtnl *n, uint16_t type, uint16_t flags, uint32_t index, const struct net_address *a)
{
    struct ifaddrmsg body = {.ifa_family = (uint8_t)a->family, .ifa_prefixlen = (uint8_t)a->prefix, .ifa_index = index};
    size_t size = address_bytes(a->family);
    struct rtnl_message m;

    rtnl_begin(&m, type, flags, &body, sizeof(body));
    rtnl_put(&m, IFA_LOCAL, a->bytes, size);
    rtnl_put(&m, IFA_ADDRESS, a->bytes, size);
    if (type == RTM_NEWADDR && a->family == AF_INET && a->prefix < 31) {
        uint32_t address, mask = htonl(a->prefix ? ~UINT32_C(0) << (32 - a->prefix) : 0);
        memcpy(&address, a->bytes, sizeof(address));
        rtnl_put_u32(&m, IFA_BROADCAST, address | ~mask);
    }
    return rtnl_do(n, &m);
}

int net_address_add(struct rtnl *n, uint32_t index, const struct net_address *a)
{
    int r = change(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, a);

    return r == -EEXIST ? 0 : r;
}

int net_address_delete(struct rtnl *n, uint32_t index, const struct net_address *a)
{
    int r = change(n, RTM_DELADDR, 0, index, a);

    return r == -EADDRNOTAVAIL || r == -ENODEV ? 0 : r;
}

struct each {
    int (*fn)(void *arg, uint32_t index, const struct net_address *a);
    void *arg;
};

static int take_address(void *arg, const struct nlmsghdr *h)
{
    const struct each *each = arg;
    const struct ifaddrmsg *body = NLMSG_DATA(h);
    const struct rtattr *a[RTNL_ATTRS_MAX];

    if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
        return 0;
    if (body->ifa_family != AF_INET && (body->ifa_family != AF_INET6 || body->ifa_scope == RT_SCOPE_LINK))
        return 0;
    rtnl_attrs(h, sizeof(*body), a, RTNL_ATTRS_MAX);
    struct net_address address = {.family = body->ifa_family, .prefix = body->ifa_prefixlen};
    rtnl_copy(a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], address.bytes, address_bytes(address.family));
    return each->fn(each->arg, body->ifa_index, &address);
}

int net_address_each(struct rtnl *n, int (*fn)(void *arg, uint32_t index, const struct net_address *a), void *arg)
{
    struct ifaddrmsg body = {.ifa_family = AF_UNSPEC};
    struct each each = {.fn = fn, .arg = arg};
    struct rtnl_message m;

    rtnl_begin(&m, RTM_GETADDR, 0, &body, sizeof(body));
    return rtnl_dump(n, &m, take_address, &each);
}

int net_gateway_set(struct rtnl *n, uint32_t index, const char *gateway, bool is_added)
{
    int family = strchr(gateway, ':') ? AF_INET6 : AF_INET;
    struct rtmsg body = {.rtm_family = (uint8_t)family,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_STATIC,
                         .rtm_scope = RT_SCOPE_UNIVERSE,
                         .rtm_type = RTN_UNICAST};
    unsigned char bytes[16];
    struct rtnl_message m;

    if (inet_pton(family, gateway, bytes) != 1)
        return -EINVAL;
    rtnl_begin(&m, is_added ? RTM_NEWROUTE : RTM_DELROUTE, is_added ? NLM_F_CREATE | NLM_F_EXCL : 0, &body,
               sizeof(body));
    rtnl_put(&m, RTA_GATEWAY, bytes, address_bytes(family));
    rtnl_put_u32(&m, RTA_OIF, index);
    int r = rtnl_do(n, &m);
    return r == (is_added ? -EEXIST : -ESRCH) ? 0 : r;
}

/* ---- the snapshot ---- */

static int show_address(void *arg, uint32_t index, const struct net_address *a)
{
    struct net_links *links = arg;
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < links->n; i++) {
        struct net_link *l = &links->items[i];
        if (l->index != index || !inet_ntop(a->family, a->bytes, text, sizeof(text)))
            continue;
        if (a->family == AF_INET && !l->cidr[0])
            snprintf(l->cidr, sizeof(l->cidr), "%.15s/%u", text, a->prefix);
        else if (a->family == AF_INET6 && !l->cidr6[0])
            snprintf(l->cidr6, sizeof(l->cidr6), "%s/%u", text, a->prefix);
    }
    return 0;
}

int net_links_snapshot(struct net_link **ret, size_t *ret_n, struct err *e)
{
    struct net_links links = {0};
    struct rtnl n;
    int r = rtnl_open(&n, e);

    if (r < 0)
        return r;
    r = net_links_read(&n, &links, e);
    if (r == 0 && (r = net_address_each(&n, show_address, &links)) < 0)
        r = err_errno(e, -r, "list addresses");
    rtnl_close(&n);
    if (r < 0) {
        net_links_done(&links);
        return r;
    }
    *ret = links.items;
    *ret_n = links.n;
    return 0;
}
