/* GET /nodes/N/network: the interfaces the kernel has. PVE: pve-manager, Network.pm. The kernel answers at once: this
 * runs on the loop. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "api/common.h"

struct interface {
    const char *name;
    unsigned flags;
    char address[INET_ADDRSTRLEN], address6[INET6_ADDRSTRLEN], netmask[INET_ADDRSTRLEN];
    unsigned prefix, prefix6;
};

#define INTERFACES_MAX 1024u

static unsigned prefix_length(const unsigned char *mask, size_t n)
{
    unsigned bits = 0;

    for (size_t i = 0; i < n; i++)
        bits += (unsigned)__builtin_popcount(mask[i]);
    return bits;
}

static bool has_file(const char *interface, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "/sys/class/net/%.40s/%s", interface, name);
    return access(path, F_OK) == 0;
}

/* PVE's words; NULL for what it does not list (loopback, taps of guests). */
static const char *type_of(const struct interface *i)
{
    if (i->flags & IFF_LOOPBACK)
        return NULL;
    if (has_file(i->name, "bridge"))
        return "bridge";
    if (has_file(i->name, "bonding"))
        return "bond";
    if (has_file(i->name, "tun_flags"))
        return NULL;
    return strchr(i->name, '.') ? "vlan" : "eth";
}

/* The first address of each family; link-local IPv6 does not count. */
static void take_address(struct interface *i, const struct ifaddrs *a)
{
    if (a->ifa_addr->sa_family == AF_INET && !i->address[0] && a->ifa_netmask) {
        const struct sockaddr_in *in = (const void *)a->ifa_addr, *mask = (const void *)a->ifa_netmask;
        inet_ntop(AF_INET, &in->sin_addr, i->address, sizeof(i->address));
        inet_ntop(AF_INET, &mask->sin_addr, i->netmask, sizeof(i->netmask));
        i->prefix = prefix_length((const unsigned char *)&mask->sin_addr, 4);
    } else if (a->ifa_addr->sa_family == AF_INET6 && !i->address6[0] && a->ifa_netmask) {
        const struct sockaddr_in6 *in = (const void *)a->ifa_addr, *mask = (const void *)a->ifa_netmask;
        if (IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr))
            return;
        inet_ntop(AF_INET6, &in->sin6_addr, i->address6, sizeof(i->address6));
        i->prefix6 = prefix_length((const unsigned char *)&mask->sin6_addr, 16);
    }
}

static size_t collect(const struct ifaddrs *list, struct interface *all, size_t cap)
{
    size_t n = 0;

    for (const struct ifaddrs *a = list; a; a = a->ifa_next) {
        size_t i = 0;
        while (i < n && !streq(all[i].name, a->ifa_name))
            i++;
        if (i == n) {
            if (n == cap)
                break;
            all[n++] = (struct interface){.name = a->ifa_name, .flags = a->ifa_flags};
        }
        if (a->ifa_addr)
            take_address(&all[i], a);
    }
    return n;
}

static void write_interface(struct jw *w, const struct interface *i, const char *type)
{
    char cidr[INET6_ADDRSTRLEN + 8];

    jw_object(w);
    jw_kv_str(w, "iface", i->name);
    jw_kv_str(w, "type", type);
    jw_kv_int(w, "exists", 1);
    jw_kv_int(w, "active", (i->flags & IFF_UP) != 0);
    jw_kv_str(w, "method", i->address[0] ? "static" : "manual");
    jw_kv_str(w, "method6", i->address6[0] ? "static" : "manual");
    if (i->address[0]) {
        jw_kv_str(w, "address", i->address);
        jw_kv_str(w, "netmask", i->netmask);
        snprintf(cidr, sizeof(cidr), "%s/%u", i->address, i->prefix);
        jw_kv_str(w, "cidr", cidr);
    }
    if (i->address6[0]) {
        jw_kv_str(w, "address6", i->address6);
        jw_kv_int(w, "netmask6", i->prefix6);
        snprintf(cidr, sizeof(cidr), "%s/%u", i->address6, i->prefix6);
        jw_kv_str(w, "cidr6", cidr);
    }
    jw_object_end(w);
}

static bool is_wanted(const char *wanted, const char *type)
{
    bool is_bridge = streq(type, "bridge");

    if (!wanted)
        return true;
    if (str_starts(wanted, "any_") || streq(wanted, "include_sdn"))
        return is_bridge;
    return streq(wanted, type);
}

int api_node_network_list(struct api_call *c, const struct api_node_network_list_args *a, struct err *e)
{
    struct interface *all = arena_alloc(&c->arena, INTERFACES_MAX * sizeof(*all));
    struct ifaddrs *list;
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    if (!all || getifaddrs(&list) < 0)
        return err_errno(e, errno ? errno : ENOMEM, "list network interfaces");
    size_t n = collect(list, all, INTERFACES_MAX);
    jw_array(&c->out);
    for (size_t i = 0; i < n; i++) {
        const char *type = type_of(&all[i]);
        if (type && is_wanted(a->type, type))
            write_interface(&c->out, &all[i], type);
    }
    jw_array_end(&c->out);
    freeifaddrs(list);
    return 0;
}
