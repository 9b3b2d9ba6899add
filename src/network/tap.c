/* A guest's tap on a bridge: made without persistence, so that the kernel removes it with its last descriptor, whoever
 * held that. Its owner is the guest's user: nobody else attaches to it by its name. Pool threads, at a guest's start.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "network/link_priv.h"

#include <time.h>

#define DIGITS       "0123456789abcdefghijklmnopqrstuv"
#define BUSY_WAIT_MS 2000u

void net_tap_name(uint32_t instance, uint32_t vmid, unsigned index, char dst[IFNAMSIZ])
{
    snprintf(dst, IFNAMSIZ, "h%04x%u%c", instance & 0xffffu, vmid, DIGITS[index % 32]);
}

bool net_tap_name_parse(const char *name, uint32_t instance, uint32_t *ret_vmid, unsigned *ret_index)
{
    char prefix[8], number[12];
    size_t n = strlen(name);
    uint64_t vmid;

    snprintf(prefix, sizeof(prefix), "h%04x", instance & 0xffffu);
    if (!str_starts(name, prefix) || n < 9 || n > 15 || !strchr(DIGITS, name[n - 1]))
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)(n - 6), name + 5);
    if (str_to_u64(number, &vmid) < 0 || vmid < 100 || vmid > 999999999)
        return false;
    *ret_vmid = (uint32_t)vmid;
    *ret_index = (unsigned)(strchr(DIGITS, name[n - 1]) - DIGITS);
    return true;
}

/* Of the interface that takes what a limited guest sends. */
static void ifb_name(const char *tap, char dst[IFNAMSIZ])
{
    snprintf(dst, IFNAMSIZ, "i%s", tap + 1);
}

void net_tap_close(struct net_tap *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        if (t->fds[i] >= 0)
            close(t->fds[i]);
        if (t->vhost_fds[i] >= 0)
            close(t->vhost_fds[i]);
    }
    t->n = 0;
}

/* The tap of the guest's last run goes with its last process, a moment after the lock. */
static int attach(int fd, struct ifreq *request)
{
    uint64_t deadline = clock_boot_ms() + BUSY_WAIT_MS;

    while (ioctl(fd, TUNSETIFF, request) < 0) {
        if (errno != EBUSY || clock_boot_ms() >= deadline)
            return -errno;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); /* there is nothing to poll */
    }
    return 0;
}

static int open_queue(struct net_tap *t, const char *name, const struct net_tap_spec *s, struct err *e)
{
    struct ifreq request = {.ifr_flags =
                                (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (s->n_queues > 1 ? IFF_MULTI_QUEUE : 0))};
    unsigned i = t->n;

    memcpy(request.ifr_name, name, IFNAMSIZ);
    t->fds[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    t->vhost_fds[i] = -1;
    t->n++;
    if (t->fds[i] < 0) {
        err_errno(e, errno, "open /dev/net/tun");
        return err_hint(e, "the kernel's module tun is needed for interfaces with bridge=");
    }
    int r = attach(t->fds[i], &request);
    if (r < 0)
        return err_errno(e, -r, "make tap %s", name);
    if (i == 0 && ioctl(t->fds[i], TUNSETOWNER, (unsigned long)s->owner) < 0)
        return err_errno(e, errno, "owner of tap %s", name);
    t->vhost_fds[i] = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
    return 0;
}

static int find_bridge(struct rtnl *n, const struct net_tap_spec *s, struct net_link *ret, struct err *e)
{
    struct net_links links;
    int r = net_links_read(n, &links, e);

    if (r < 0)
        return r;
    const struct net_link *b = net_links_find(&links, s->bridge);
    if (!b || !streq(b->kind, "bridge"))
        r = err_set(e, -ENODEV, "net.bridge", "bridge '%s' does not exist", s->bridge);
    else
        *ret = *b;
    net_links_done(&links);
    if (r < 0)
        return err_hint(e, "'holm net list' shows the bridges, 'holm net init' makes one");
    if ((s->tag || s->n_trunks) && !ret->is_vlan_aware) {
        err_set(e, -EINVAL, "net.vlan", "%s needs a VLAN-aware bridge, and '%s' is none",
                s->tag ? "tag=" : "trunks=", s->bridge);
        return err_hint(e, "set bridge_vlan_aware of the bridge; the kernel needs VLAN filtering for it");
    }
    if (s->mtu > ret->mtu)
        return err_set(e, -EINVAL, "net.mtu", "mtu %u is more than the %u of bridge '%s'", s->mtu, ret->mtu, s->bridge);
    return 0;
}

static int limit(struct rtnl *n, const char *tap, uint32_t index, const struct net_tap_spec *s, struct err *e)
{
    char name[IFNAMSIZ], alias[NET_ALIAS_SIZE];

    ifb_name(tap, name);
    snprintf(alias, sizeof(alias), "holm-%04x", s->instance);
    int r = net_ifb_create(n, name, alias);
    uint32_t ifb = net_link_index(name);
    if (r == -EEXIST && ifb)
        r = 0;
    if (r == 0)
        r = net_link_set_up(n, ifb, true);
    if (r == 0)
        r = net_shape(n, index, ifb, s->rate_bytes_s);
    if (r == 0)
        return 0;
    err_errno(e, -r, "limit the rate of %s", tap);
    return err_hint(e, "rate= needs the kernel's ifb, tbf, u32 and mirred");
}

/* As a new port: without the VLANs of an earlier one. */
static int put_on(struct rtnl *n, uint32_t index, const struct net_tap_spec *s, const struct net_link *bridge)
{
    int r = net_link_set_master(n, index, bridge->index);

    if (r == 0 && (s->tag || s->n_trunks))
        r = net_port_set_vlans(n, index, s->tag ? s->tag : 1, s->trunks, s->n_trunks);
    return r;
}

static int connect_tap(struct rtnl *n, const char *name, const struct net_tap_spec *s, const struct net_link *bridge,
                       struct net_tap *t, struct err *e)
{
    uint32_t index = net_link_index(name);

    t->mtu = s->mtu ? s->mtu : bridge->mtu;
    int r = index ? net_link_set_mtu(n, index, t->mtu) : -ENODEV;
    net_link_silence_ipv6(n, index);
    if (r == 0)
        r = put_on(n, index, s, bridge);
    if (r < 0)
        return err_errno(e, -r, "put tap %s on bridge '%s'", name, s->bridge);
    if (s->rate_bytes_s && (r = limit(n, name, index, s, e)) < 0)
        return r;
    r = net_link_set_up(n, index, true);
    return r < 0 ? err_errno(e, -r, "switch tap %s on", name) : 0;
}

int net_tap_open(const struct net_tap_spec *s, struct net_tap *ret, struct err *e)
{
    struct net_tap t = {.n = 0};
    struct net_link bridge = {.index = 0};
    char name[IFNAMSIZ] = "";
    struct rtnl n;
    int r = rtnl_open(&n, e);

    if (r < 0)
        return r;
    net_tap_name(s->instance, s->vmid, s->index, name);
    r = find_bridge(&n, s, &bridge, e);
    for (unsigned i = 0; r == 0 && i < s->n_queues; i++)
        r = open_queue(&t, name, s, e);
    if (r == 0)
        r = connect_tap(&n, name, s, &bridge, &t, e);
    rtnl_close(&n);
    if (r < 0) {
        net_tap_close(&t);
        return r;
    }
    *ret = t;
    return 0;
}

int net_tap_check(const struct net_tap_spec *s, struct err *e)
{
    struct net_link bridge = {0};
    struct rtnl n;
    int r = rtnl_open(&n, e);

    if (r < 0)
        return r;
    r = find_bridge(&n, s, &bridge, e);
    rtnl_close(&n);
    return r;
}

static int unlimit(struct rtnl *n, const char *tap, uint32_t index)
{
    char name[IFNAMSIZ];

    ifb_name(tap, name);
    uint32_t ifb = net_link_index(name);
    int r = net_unshape(n, index);
    if (r == 0 && ifb)
        r = net_link_delete(n, ifb);
    return r == -ENODEV ? 0 : r;
}

/* A VLAN-aware bridge gets it anew: what it was in before is forgotten. */
static int change_tap(struct rtnl *n, const char *name, const struct net_tap_spec *s, struct err *e)
{
    struct net_link bridge = {.index = 0};
    uint32_t index = net_link_index(name);
    int r = index ? find_bridge(n, s, &bridge, e) : err_set(e, -ENODEV, "net.tap", "tap %s is not there", name);

    if (r < 0)
        return r;
    r = net_link_set_mtu(n, index, s->mtu ? s->mtu : bridge.mtu);
    if (r == 0 && bridge.is_vlan_aware)
        r = net_link_set_master(n, index, 0);
    if (r == 0)
        r = put_on(n, index, s, &bridge);
    if (r == 0 && !s->rate_bytes_s)
        r = unlimit(n, name, index);
    if (r < 0)
        return err_errno(e, -r, "put tap %s on bridge '%s'", name, s->bridge);
    return s->rate_bytes_s ? limit(n, name, index, s, e) : 0;
}

int net_tap_change(const struct net_tap_spec *s, struct err *e)
{
    char name[IFNAMSIZ];
    struct rtnl n;
    int r = rtnl_open(&n, e);

    if (r < 0)
        return r;
    net_tap_name(s->instance, s->vmid, s->index, name);
    r = change_tap(&n, name, s, e);
    rtnl_close(&n);
    return r;
}

void net_tap_sweep(uint32_t instance, uint32_t vmid)
{
    struct net_links links = {0};
    struct err e = ERR_INIT;
    struct rtnl n;

    if (rtnl_open(&n, &e) < 0)
        return;
    if (net_links_read(&n, &links, &e) == 0)
        for (size_t i = 0; i < links.n; i++) {
            char tap[IFNAMSIZ];
            uint32_t owner;
            unsigned index;
            if (!streq(links.items[i].kind, "ifb") || links.items[i].name[0] != 'i')
                continue;
            snprintf(tap, sizeof(tap), "h%.14s", links.items[i].name + 1);
            if (net_tap_name_parse(tap, instance, &owner, &index) && (!vmid || owner == vmid) &&
                !net_links_find(&links, tap) && net_link_delete(&n, links.items[i].index) < 0)
                continue; /* gone already */
        }
    net_links_done(&links);
    rtnl_close(&n);
}
