/* What is behind a network device: a tap of this host by name, taps or sockets of datagrams that were handed over. A
 * datagram is a header of virtio (12 bytes) and a frame. Runs once, on the main thread, but for the two settings that
 * follow the driver's wishes. Source: Linux, Documentation/networking/tuntap.rst. */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "vmm/dev/net_priv.h"

/* Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20u
#define TUN_F_USO6 0x40u
#endif
#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

static int bad(struct err *e, const char *why)
{
    return err_set(e, -EINVAL, "option.value", "%s", why);
}

static int open_tap(const char *name, bool is_multi, int *ret_fd, struct err *e)
{
    struct ifreq request = {.ifr_flags = (short)(TAP_FLAGS | (is_multi ? IFF_MULTI_QUEUE : 0))};
    autoclose int fd = -EBADF;

    if (str_copy(request.ifr_name, sizeof(request.ifr_name), name) < 0)
        return bad(e, "the name of a tap has at most 15 bytes");
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_errno(e, errno, "open /dev/net/tun");
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        int error = errno;

        err_errno(e, error, "use tap '%s'", name);
        if (error == EINVAL)
            err_hint(e, is_multi ? "it must be a tap made with multi_queue"
                                 : "it must be a tap made without multi_queue, and nobody else may use it");
        else if (error == EPERM)
            err_hint(e, "ip tuntap add %s mode tap vnet_hdr user NAME", name);
        return e->num;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Settings that a tap starts with: the length of the header, and no offload before the driver agreed. */
static int prepare_tap(struct net *d, int fd, struct err *e)
{
    int header = NET_HEADER;

    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
        return err_errno(e, errno, "set up a tap");
    d->has_uso = ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6) == 0;
    return ioctl(fd, TUNSETOFFLOAD, 0) < 0 ? err_errno(e, errno, "set up a tap") : 0;
}

static int prepare(struct net *d, int fd, struct err *e)
{
    struct ifreq tap = {0};
    int type = 0, flags = fcntl(fd, F_GETFL);
    socklen_t n = sizeof(type);

    if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_set(e, -EBADF, "option.fd", "there is no open descriptor %d", fd);
    if (ioctl(fd, TUNGETIFF, &tap) == 0) {
        d->is_tap = true;
        if ((tap.ifr_flags & TAP_FLAGS) != TAP_FLAGS)
            return bad(e, "a tap must be made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR");
        return prepare_tap(d, fd, e);
    }
    if (d->is_tap || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
        (type != SOCK_DGRAM && type != SOCK_SEQPACKET))
        return bad(e, "the descriptor is neither a tap nor a socket of datagrams");
    d->is_seqpacket = type == SOCK_SEQPACKET;
    return 0;
}

static int take_number(struct net *d, const char *text, struct err *e)
{
    uint64_t n;

    if (d->n_pairs == NET_QUEUES_MAX)
        return bad(e, "a network device has 1 to 8 queues");
    if (str_to_u64(text, &n) < 0 || n > 65535)
        return err_set(e, -EBADF, "option.fd", "there is no open descriptor '%s'", text);
    for (unsigned i = 0; i < d->n_pairs; i++)
        if (d->queues[i].fd == (int)n)
            return bad(e, "each queue needs a descriptor of its own");
    d->queues[d->n_pairs++].fd = (int)n;
    return 0;
}

/* "7:8:9" */
static int take_numbers(struct net *d, const char *list, struct err *e)
{
    autofree char *text = strdup(list);
    int r = text ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");

    for (char *at = text, *end; r == 0 && at; at = end) {
        end = strchr(at, ':');
        if (end)
            *end++ = '\0';
        r = take_number(d, at, e);
    }
    return r;
}

int net_backend_open(struct net *d, const struct propstr *p, uint64_t n_queues, struct err *e)
{
    const char *tap = propstr_get(p, "tap"), *fd = propstr_get(p, "fd"), *fds = propstr_get(p, "fds");
    uint64_t wanted = n_queues ? n_queues : 1;
    int r = 0;

    if (!!tap + !!fd + !!fds != 1)
        return bad(e, "a network device needs one of tap=NAME, fd=N and fds=N:N");
    if (n_queues > NET_QUEUES_MAX)
        return bad(e, "a network device has 1 to 8 queues");
    if (fd || fds)
        r = fd ? take_number(d, fd, e) : take_numbers(d, fds, e);
    for (; r == 0 && tap && d->n_pairs < wanted; d->n_pairs += r == 0)
        r = open_tap(tap, wanted > 1, &d->queues[d->n_pairs].fd, e);
    if (r == 0 && n_queues && d->n_pairs != n_queues)
        r = bad(e, "there must be as many descriptors as queues");
    for (unsigned i = 0; r == 0 && i < d->n_pairs; i++)
        r = prepare(d, d->queues[i].fd, e);
    if (r == 0)
        net_backend_activate(d, 1);
    return r;
}

void net_backend_offload(const struct net *d, uint64_t on)
{
    unsigned flags = 0;

    if (!d->is_tap)
        return; /* what is not allowed is dropped when it comes */
    if (on & NET_BIT(VIRTIO_NET_F_GUEST_CSUM)) {
        flags = TUN_F_CSUM;
        flags |= on & NET_BIT(VIRTIO_NET_F_GUEST_TSO4) ? TUN_F_TSO4 : 0;
        flags |= on & NET_BIT(VIRTIO_NET_F_GUEST_TSO6) ? TUN_F_TSO6 : 0;
        if (flags & (TUN_F_TSO4 | TUN_F_TSO6))
            flags |= on & NET_BIT(VIRTIO_NET_F_GUEST_ECN) ? TUN_F_TSO_ECN : 0;
        flags |= (on & NET_USO) == NET_USO ? TUN_F_USO4 | TUN_F_USO6 : 0; /* Linux has them only together */
    }
    (void)ioctl(d->queues[0].fd, TUNSETOFFLOAD, (unsigned long)flags);
}

/* A queue that nobody reads must not get packets: the tap spreads them over those that are attached. */
void net_backend_activate(struct net *d, unsigned n)
{
    for (unsigned i = 1; d->is_tap && i < d->n_pairs; i++) {
        struct ifreq request = {.ifr_flags = i < n ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

        /* -EINVAL: it is so already. */
        (void)ioctl(d->queues[i].fd, TUNSETQUEUE, &request);
    }
    d->n_active = n;
}
