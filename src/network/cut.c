/* Which addresses an apply takes away, and how many open TCP connections use each: whoever sits at the other end,
 * perhaps the one who asked, is told before it happens. Reads /proc; pool thread. */
#include <arpa/inet.h>
#include <stdio.h>

#include "network/apply_priv.h"

#define LINES_MAX   200000u
#define ESTABLISHED "01"

static bool has_address(const struct net_config *c, const struct net_address *a)
{
    for (size_t i = 0; i < c->n; i++) {
        const char *both[] = {c->items[i].cidr, c->items[i].cidr6};
        struct net_address other;
        for (size_t k = 0; k < ARRAY_SIZE(both); k++)
            if (both[k][0] && net_address_parse(both[k], &other) == 0 && other.family == a->family &&
                memcmp(other.bytes, a->bytes, sizeof(a->bytes)) == 0)
                return true;
    }
    return false;
}

/* As the kernel writes it: words of four bytes in the host's order; an IPv4 address in tcp6 is a mapped one. */
static void as_in_proc(const struct net_address *a, bool is_six, char dst[33])
{
    unsigned char bytes[16] = {[10] = 0xff, [11] = 0xff};
    size_t n = is_six ? 16 : 4, from = is_six && a->family == AF_INET ? 12 : 0;

    memcpy(bytes + from, a->bytes, a->family == AF_INET ? 4 : 16);
    for (size_t i = 0; i < n; i += 4) {
        uint32_t word;
        memcpy(&word, bytes + i, sizeof(word));
        snprintf(dst + 2 * i, 9, "%08X", word);
    }
}

static unsigned count_in(const char *path, const char *wanted)
{
    FILE *f = fopen(path, "re");
    char line[512], local[80], state[8];
    unsigned n = 0;

    for (unsigned i = 0; f && i < LINES_MAX && fgets(line, sizeof(line), f); i++)
        if (sscanf(line, " %*s %79s %*s %7s", local, state) == 2 && streq(state, ESTABLISHED) &&
            str_starts(local, wanted) && local[strlen(wanted)] == ':')
            n++;
    if (f)
        fclose(f);
    return n;
}

static unsigned connections(const struct net_address *a)
{
    char text[33];
    unsigned n = 0;

    if (a->family == AF_INET) {
        as_in_proc(a, false, text);
        n = count_in("/proc/thread-self/net/tcp", text);
    }
    as_in_proc(a, true, text);
    return n + count_in("/proc/thread-self/net/tcp6", text);
}

size_t net_cuts_find(const struct net_config *old, const struct net_config *wanted, struct net_cut *ret, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < old->n; i++) {
        const struct net_iface *it = &old->items[i];
        const char *both[] = {it->cidr, it->cidr6};
        struct net_address a;
        for (size_t k = 0; k < ARRAY_SIZE(both) && n < cap; k++) {
            if (!both[k][0] || net_address_parse(both[k], &a) < 0 || has_address(wanted, &a))
                continue;
            ret[n] = (struct net_cut){.n_connections = connections(&a)};
            snprintf(ret[n].name, sizeof(ret[n].name), "%s", it->name);
            snprintf(ret[n++].cidr, sizeof(ret->cidr), "%s", both[k]);
        }
    }
    return n;
}
