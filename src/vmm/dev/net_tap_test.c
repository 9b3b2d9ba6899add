/* The network device on taps of this host, in a network namespace of the test's own; skipped where that or /dev/net/tun
 * is not to be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "vmm/dev/net.h"
#include "vmm/harness.h"

#define HEADER    12u
#define WAIT_MS   20000
#define GOOD      0x0f
#define ETHERTYPE 0x88b5u /* for experiments (IEEE 802) */

enum { RX, TX };

static bool has_taps;

static int setup(void **state)
{
    int fd;

    if (has_taps)
        return 0;
    if (unshare((geteuid() ? CLONE_NEWUSER : 0) | CLONE_NEWNET) < 0)
        return 0;
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    has_taps = fd >= 0;
    if (fd >= 0)
        close(fd);
    return 0;
}

/* A socket that sees what passes the other end of the tap, which is set up. */
static int open_peer(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

    assert_true(fd >= 0);
    assert_int_equal(str_copy(request.ifr_name, sizeof(request.ifr_name), name), 0);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    assert_int_equal(ioctl(fd, SIOCGIFINDEX, &request), 0);
    address.sll_ifindex = request.ifr_ifindex;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void make_frame(uint8_t *p, unsigned n, unsigned type)
{
    memset(p, 0xff, 12);
    p[6] = 2;
    p[12] = (uint8_t)(type >> 8);
    p[13] = (uint8_t)type;
    for (unsigned i = 14; i < n; i++)
        p[i] = (uint8_t)(i * 5 + i / 251);
}

/* The next of our frames (the host has words of its own to say): its length. */
static size_t peer_get(int peer, uint8_t *to, size_t cap, unsigned type)
{
    uint64_t until = clock_boot_ms() + WAIT_MS;

    while (clock_boot_ms() < until) {
        struct pollfd p = {.fd = peer, .events = POLLIN};
        struct sockaddr_ll from = {0};
        socklen_t size = sizeof(from);
        ssize_t n;

        (void)poll(&p, 1, 100);
        n = recvfrom(peer, to, cap, 0, (struct sockaddr *)&from, &size);
        if (n > 14 && from.sll_pkttype != PACKET_OUTGOING && (unsigned)(to[12] << 8 | to[13]) == type)
            return (size_t)n;
    }
    return 0;
}

static uint64_t add(struct harness *h, unsigned queue, uint32_t bytes)
{
    struct harness_piece piece = {harness_alloc(h, bytes), bytes, queue % 2 == RX};

    assert_true(piece.gpa);
    harness_add(h, queue, &piece, 1);
    return piece.gpa;
}

static void begin(struct harness *h, const char *text, uint64_t features, unsigned n_queues)
{
    struct err e = ERR_INIT;

    if (harness_init(h, "net", text, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    assert_int_equal(harness_start(h, features, n_queues, 32), GOOD);
}

/* A frame of ours for the guest, which other packets of the host may come before. */
static uint8_t *receive(struct harness *h, uint64_t *gpas, unsigned n, uint32_t *ret_written)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t *packet;
        uint16_t head;

        assert_true(harness_wait(h, RX, &head, ret_written));
        packet = harness_at(h, gpas[i]);
        if ((unsigned)(packet[HEADER + 12] << 8 | packet[HEADER + 13]) == ETHERTYPE)
            return packet;
    }
    return NULL;
}

static void test_both_ways(void **state)
{
    uint8_t frame[1000], got[2000];
    struct harness h;
    uint64_t gpas[16];
    uint32_t written;
    uint16_t head;
    int peer;

    if (!has_taps)
        skip();
    begin(&h, "tap=t0", UINT64_MAX, 3);
    peer = open_peer("t0");
    make_frame(frame, sizeof(frame), ETHERTYPE);
    memcpy((uint8_t *)harness_at(&h, add(&h, TX, HEADER + sizeof(frame))) + HEADER, frame, sizeof(frame));
    harness_kick(&h, TX);
    assert_int_equal(harness_wait(&h, TX, &head, &written), 1);
    assert_int_equal(peer_get(peer, got, sizeof(got), ETHERTYPE), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    for (unsigned i = 0; i < 16; i++)
        gpas[i] = add(&h, RX, 2000);
    harness_kick(&h, RX);
    assert_int_equal(send(peer, frame, sizeof(frame), 0), sizeof(frame));
    uint8_t *packet = receive(&h, gpas, 16, &written);
    assert_non_null(packet);
    assert_int_equal(written, HEADER + sizeof(frame));
    assert_memory_equal(packet + HEADER, frame, sizeof(frame));
    close(peer);
    harness_done(&h);
}

/* A large segment goes to the host as one, to be cut there; without the feature it does not go. */
static void test_large_segments(void **state)
{
    static const uint8_t ip_tcp[] = {0x45, 0, 0x4e, 0x12, 0, 0, 0x40, 0, 64, 6, 0, 0, 10,   0,    0,  1, 10, 0, 0, 2,
                                     0,    7, 0,    7,    0, 0, 0,    1, 0,  0, 0, 1, 0x50, 0x10, 16, 0, 0,  0, 0, 0};
    static uint8_t got[30000];
    const struct virtio_net_hdr_v1 header = {
        VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, 1448, {{34, 16}}, 0};
    struct net_counters c;
    struct harness h;
    uint32_t written;
    uint16_t head;
    int peer;

    if (!has_taps)
        skip();
    for (unsigned is_on = 0; is_on < 2; is_on++) {
        begin(&h, "tap=t0", is_on ? UINT64_MAX : 1ull << VIRTIO_NET_F_CSUM, 3);
        peer = open_peer("t0");
        uint8_t *packet = harness_at(&h, add(&h, TX, HEADER + 14 + 0x4e12));
        memcpy(packet, &header, HEADER);
        make_frame(packet + HEADER, 14 + 0x4e12, ETH_P_IP);
        memcpy(packet + HEADER + 14, ip_tcp, sizeof(ip_tcp));
        harness_kick(&h, TX);
        assert_int_equal(harness_wait(&h, TX, &head, &written), 1);
        if (is_on)
            assert_int_equal(peer_get(peer, got, sizeof(got), ETH_P_IP), 14 + 0x4e12);
        net_counters(h.device, &c);
        assert_int_equal(c.tx_packets, is_on);
        assert_int_equal(c.tx_dropped, !is_on);
        close(peer);
        harness_done(&h);
    }
}

static void command(struct harness *h, unsigned queue, uint8_t class, uint16_t value)
{
    struct harness_piece p[] = {{harness_alloc(h, 4), 4, false}, {harness_alloc(h, 1), 1, true}};
    uint8_t bytes[] = {class, 0, (uint8_t)value, (uint8_t)(value >> 8)};
    uint32_t written;
    uint16_t head;

    memcpy(harness_at(h, p[0].gpa), bytes, sizeof(bytes));
    *(uint8_t *)harness_at(h, p[1].gpa) = 0xee;
    harness_add(h, queue, p, 2);
    harness_kick(h, queue);
    assert_int_equal(harness_wait(h, queue, &head, &written), 1);
    assert_int_equal(*(uint8_t *)harness_at(h, p[1].gpa), VIRTIO_NET_OK);
}

/* Queues that are off get nothing: a tap would spread packets over all that are attached. */
static void test_queues(void **state)
{
    uint64_t until = clock_boot_ms() + WAIT_MS;
    struct net_counters c = {0};
    uint8_t frame[100];
    struct harness h;
    int peer;

    if (!has_taps)
        skip();
    begin(&h, "tap=t1,queues=4", UINT64_MAX, 9);
    peer = open_peer("t1");
    for (unsigned pair = 0; pair < 4; pair++)
        for (unsigned i = 0; i < 32; i++)
            add(&h, 2 * pair, 1600);
    for (unsigned pair = 0; pair < 4; pair++)
        harness_kick(&h, 2 * pair);
    make_frame(frame, sizeof(frame), ETHERTYPE);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t wanted = (round + 1) * 16;

        for (unsigned i = 0; i < 16; i++) {
            frame[7] = (uint8_t)i;
            frame[20] = (uint8_t)(i * 37);
            assert_int_equal(send(peer, frame, sizeof(frame), 0), sizeof(frame));
        }
        while (c.rx_packets < wanted && clock_boot_ms() < until) {
            (void)poll(NULL, 0, 1);
            net_counters(h.device, &c);
        }
        assert_true(c.rx_packets >= wanted); /* and words of the host's own */
        command(&h, 8, VIRTIO_NET_CTRL_MQ, round ? 1 : 4);
    }
    close(peer);
    harness_done(&h);
}

static void delete_link(int peer)
{
    struct sockaddr_ll address;
    socklen_t size = sizeof(address);
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
        uint8_t answer[512];
    } m = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                      .nlmsg_type = RTM_DELLINK,
                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK}};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    assert_int_equal(getsockname(peer, (struct sockaddr *)&address, &size), 0);
    m.info.ifi_index = address.sll_ifindex;
    assert_int_equal(send(fd, &m, m.header.nlmsg_len, 0), m.header.nlmsg_len);
    assert_true(recv(fd, &m, sizeof(m), 0) >= (ssize_t)sizeof(m.header) + 4);
    assert_int_equal(m.info.ifi_family | m.info.ifi_type, 0); /* no error */
    close(fd);
}

static uint64_t cpu_ms(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static void test_removed(void **state)
{
    uint64_t until = clock_boot_ms() + WAIT_MS, cpu;
    struct net_counters c;
    struct harness h;
    uint32_t written;
    uint16_t head;
    int peer;

    if (!has_taps)
        skip();
    for (unsigned has_buffers = 0; has_buffers < 2; has_buffers++) {
        begin(&h, "tap=t2", UINT64_MAX, 3);
        peer = open_peer("t2");
        for (unsigned i = 0; has_buffers && i < 30; i++) /* the host has words of its own to say */
            add(&h, RX, 2000);
        harness_kick(&h, RX);
        assert_int_equal(harness_read(&h, 0x2006, 2), VIRTIO_NET_S_LINK_UP);
        delete_link(peer);
        if (!has_buffers) { /* nobody looks at the tap: the next frame shows it */
            add(&h, TX, 100);
            harness_kick(&h, TX);
            assert_int_equal(harness_wait(&h, TX, &head, &written), 1);
        }
        while (harness_read(&h, 0x2006, 2) && clock_boot_ms() < until)
            (void)poll(NULL, 0, 1);
        assert_int_equal(harness_read(&h, 0x2006, 2), 0);
        cpu = cpu_ms();
        (void)poll(NULL, 0, 200);
        assert_true(cpu_ms() - cpu < 100);
        add(&h, TX, 100);
        harness_kick(&h, TX);
        assert_int_equal(harness_wait(&h, TX, &head, &written), 1);
        net_counters(h.device, &c);
        assert_int_equal(c.tx_dropped, has_buffers ? 1 : 2);
        assert_int_equal(harness_status(&h), GOOD);
        close(peer);
        harness_done(&h);
    }
}

/* A tap that is handed over must be made for this; one that is down takes nothing, and the guest goes on. */
static void test_handed_over(void **state)
{
    static const short flags[] = {IFF_TAP, IFF_TAP | IFF_NO_PI, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR,
                                  IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    struct net_counters c;
    uint32_t written;
    uint16_t head;

    if (!has_taps)
        skip();
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
        struct ifreq request = {.ifr_flags = flags[i]};
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
        struct err e = ERR_INIT;
        struct harness h;
        char text[32];
        int r;

        assert_int_equal(str_copy(request.ifr_name, sizeof(request.ifr_name), "t3"), 0);
        assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
        snprintf(text, sizeof(text), "fd=%d", fd);
        r = harness_init(&h, "net", text, &e);
        assert_int_equal(r, i + 1 < ARRAY_SIZE(flags) ? -EINVAL : 0);
        if (r < 0)
            continue; /* which closed it */
        assert_int_equal(harness_start(&h, UINT64_MAX, 3, 32), GOOD);
        add(&h, TX, 100);
        harness_kick(&h, TX);
        assert_int_equal(harness_wait(&h, TX, &head, &written), 1);
        net_counters(h.device, &c);
        assert_int_equal(c.tx_dropped, 1);
        assert_int_equal(harness_read(&h, 0x2006, 2), VIRTIO_NET_S_LINK_UP);
        harness_done(&h);
    }
}

/* By name: a tap that is made for one queue has no two. */
static void test_wrong_tap(void **state)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    struct err e = ERR_INIT;
    struct harness h;
    int fd;

    if (!has_taps)
        skip();
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    assert_int_equal(str_copy(request.ifr_name, sizeof(request.ifr_name), "t4"), 0);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    assert_true(harness_init(&h, "net", "tap=t4,queues=2", &e) < 0);
    assert_non_null(strstr(e.hint, "multi_queue"));
    e = (struct err)ERR_INIT;
    assert_true(harness_init(&h, "net", "tap=t4", &e) < 0); /* in use */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_both_ways, setup),   cmocka_unit_test_setup(test_large_segments, setup),
        cmocka_unit_test_setup(test_queues, setup),      cmocka_unit_test_setup(test_removed, setup),
        cmocka_unit_test_setup(test_handed_over, setup), cmocka_unit_test_setup(test_wrong_tap, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
