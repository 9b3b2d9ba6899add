/* Where a connection may lead. Asked twice: for every address that a name has, and again by the socket that is about to
 * connect, so that a name which changes its meaning in between gains nothing. Pure. */
#include <netinet/in.h>

#include "fetch/fetch.h"

struct range4 {
    uint32_t network;
    unsigned bits;
};

/* IANA special-purpose registry, what is not meant to be reached over a network, and the addresses at which clouds hand
 * out their machines' credentials. Private networks are left out on purpose: mirrors live there. */
static const struct range4 refused4[] = {
    {0x00000000, 8},  /* this network */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local, with the metadata service 169.254.169.254 */
    {0xc0000000, 24}, /* protocol assignments, with 192.0.0.192 of Oracle */
    {0x6464c8c8, 32}, /* 100.100.200.200, Alibaba */
    {0x646464c8, 32}, /* 100.100.100.200, Alibaba */
    {0xa83f8110, 32}, /* 168.63.129.16, Azure */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved, broadcast */
};

struct range6 {
    uint8_t network[16];
    unsigned bits;
};

static const struct range6 refused6[] = {
    {{0xfe, 0x80}, 10},                                                        /* link-local */
    {{0xfe, 0xc0}, 10},                                                        /* site-local, deprecated */
    {{0xff}, 8},                                                               /* multicast */
    {{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128}, /* AWS metadata */
    {{0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128}, /* Google metadata */
    {{0x01, 0x00}, 64},                                                        /* discard */
};

/* IPv6 addresses that lead to an IPv4 one, and where it stands in them. */
static const struct {
    uint8_t network[16];
    unsigned bits, at;
} wrapped[] = {
    {{0}, 96, 12},                                        /* compatible; with :: and ::1 */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12}, /* mapped */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, 96, 12}, /* translated */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12},                   /* NAT64 */
    {{0x20, 0x02}, 16, 2},                                /* 6to4 */
};

static bool is_allowed4(uint32_t a)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused4); i++)
        if (((a ^ refused4[i].network) >> (32 - refused4[i].bits)) == 0)
            return false;
    return true;
}

static bool is_in6(const uint8_t *a, const uint8_t *network, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;

    return memcmp(a, network, bytes) == 0 &&
           (!rest || ((a[bytes] ^ network[bytes]) & (uint8_t)(0xff << (8 - rest))) == 0);
}

static bool is_allowed6(const uint8_t *a)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused6); i++)
        if (is_in6(a, refused6[i].network, refused6[i].bits))
            return false;
    for (size_t i = 0; i < ARRAY_SIZE(wrapped); i++) {
        const uint8_t *p = a + wrapped[i].at;
        if (is_in6(a, wrapped[i].network, wrapped[i].bits) &&
            !is_allowed4((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]))
            return false;
    }
    return true;
}

bool fetch_address_is_allowed(const struct sockaddr *addr, bool is_local_allowed)
{
    if (addr->sa_family == AF_INET)
        return is_local_allowed ||
               is_allowed4(ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr));
    if (addr->sa_family == AF_INET6)
        return is_local_allowed || is_allowed6(((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr.s6_addr);
    return false;
}
