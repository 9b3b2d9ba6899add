/* The network device on the harness, with sockets of datagrams in the tap's place: every way a frame may take, queues
 * that are full, and drivers that break the rules. Numbers of pitfalls are those of doc/vmm.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <linux/virtio_net.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "vmm/dev/net.h"
#include "vmm/harness.h"

#define BIT(n)  (1ull << (n))
#define HEADER  12u
#define MAX     65553u /* of a frame */
#define WAIT_MS 20000
#define GOOD    0x0f
#define BROKEN  0x4f

#define MERGED BIT(VIRTIO_NET_F_MRG_RXBUF)
#define ALL    (UINT64_MAX & ~VIRTQ_F_EVENT_IDX)

enum { RX, TX };

struct net {
    struct harness h;
    int peers[8];
    unsigned n;
    int type;
};

static uint8_t pattern(unsigned i, unsigned seed)
{
    return (uint8_t)(i * 7 + i / 251 + seed * 13);
}

static void fill(uint8_t *p, unsigned n, unsigned seed)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = pattern(i, seed);
}

static void assert_filled(const uint8_t *p, unsigned n, unsigned seed)
{
    for (unsigned i = 0; i < n; i++)
        if (p[i] != pattern(i, seed))
            fail_msg("byte %u of %u is wrong (seed %u)", i, n, seed);
}

static void begin(struct net *t, unsigned n, int type, const char *more)
{
    char text[200] = "fds=";
    struct err e = ERR_INIT;

    *t = (struct net){.n = n, .type = type};
    for (unsigned i = 0; i < n; i++) {
        int pair[2], bytes = 1 << 20;

        assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
        t->peers[i] = pair[0];
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d", i ? ":" : "", pair[1]);
    }
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", more);
    if (harness_init(&t->h, "net", text, &e) < 0)
        fail_msg("%s: %s", text, e.text);
}

static void end(struct net *t)
{
    harness_done(&t->h);
    for (unsigned i = 0; i < t->n; i++)
        if (t->peers[i] >= 0)
            close(t->peers[i]);
}

static struct net_counters counters(struct net *t)
{
    struct net_counters c;

    net_counters(t->h.device, &c);
    return c;
}

/* What the peer gets: bytes with the header, 0 if nothing comes (`ms`: how long to wait). */
static size_t peer_get(struct net *t, unsigned i, uint8_t *to, size_t cap, int ms)
{
    struct pollfd p = {.fd = t->peers[i], .events = POLLIN};
    ssize_t n;

    if (poll(&p, 1, ms) <= 0)
        return 0;
    n = recv(t->peers[i], to, cap, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

/* A frame of n bytes behind a header (NULL: zeroes). False: the socket is full. */
static bool peer_put(struct net *t, unsigned i, const struct virtio_net_hdr_v1 *header, unsigned n, unsigned seed)
{
    static uint8_t packet[HEADER + 200000];

    memset(packet, 0, HEADER);
    if (header)
        memcpy(packet, header, HEADER);
    fill(packet + HEADER, n, seed);
    return send(t->peers[i], packet, HEADER + n, MSG_DONTWAIT) == (ssize_t)(HEADER + n);
}

/* Makes a frame in guest memory: the header lies right before it. */
static uint64_t make_frame(struct net *t, const struct virtio_net_hdr_v1 *header, unsigned n, unsigned seed)
{
    uint64_t gpa = harness_alloc(&t->h, HEADER + n);

    assert_true(gpa);
    if (header)
        memcpy(harness_at(&t->h, gpa), header, HEADER);
    fill((uint8_t *)harness_at(&t->h, gpa) + HEADER, n, seed);
    return gpa;
}

static void add_tx(struct net *t, unsigned queue, uint64_t gpa, unsigned n)
{
    struct harness_piece piece = {gpa, HEADER + n, false};

    harness_add(&t->h, queue, &piece, 1);
}

static uint64_t add_rx(struct net *t, unsigned queue, uint32_t bytes)
{
    struct harness_piece piece = {harness_alloc(&t->h, bytes), bytes, true};

    assert_true(piece.gpa);
    memset(harness_at(&t->h, piece.gpa), 0xee, bytes);
    harness_add(&t->h, queue, &piece, 1);
    return piece.gpa;
}

static void wait_used(struct net *t, unsigned queue, uint32_t *ret_written)
{
    uint16_t head;

    if (!harness_wait(&t->h, queue, &head, ret_written))
        fail_msg("queue %u: no chain comes back", queue);
}

static void wait_status(struct net *t, uint8_t wanted)
{
    uint64_t until = clock_boot_ms() + WAIT_MS;

    while (harness_status(&t->h) != wanted && clock_boot_ms() < until) {
        (void)poll(NULL, 0, 1);
        harness_turn(&t->h);
    }
    assert_int_equal(harness_status(&t->h), wanted);
}

static void wait_drops(struct net *t, uint64_t rx, uint64_t tx)
{
    uint64_t until = clock_boot_ms() + WAIT_MS;
    struct net_counters c = counters(t);

    for (; (c.rx_dropped < rx || c.tx_dropped < tx) && clock_boot_ms() < until; c = counters(t))
        (void)poll(NULL, 0, 1);
    assert_int_equal(c.rx_dropped, rx);
    assert_int_equal(c.tx_dropped, tx);
}

/* A frame each way passes: the device lives. */
static void assert_works(struct net *t)
{
    uint8_t packet[HEADER + 100];
    uint32_t written;
    uint64_t gpa;

    add_tx(t, TX, make_frame(t, NULL, 100, 1), 100);
    harness_kick(&t->h, TX);
    wait_used(t, TX, &written);
    assert_int_equal(peer_get(t, 0, packet, sizeof(packet), WAIT_MS), sizeof(packet));
    assert_filled(packet + HEADER, 100, 1);
    gpa = add_rx(t, RX, 2000);
    harness_kick(&t->h, RX);
    assert_true(peer_put(t, 0, NULL, 90, 2));
    wait_used(t, RX, &written);
    assert_int_equal(written, HEADER + 90);
    assert_filled((uint8_t *)harness_at(&t->h, gpa) + HEADER, 90, 2);
}

/* --- Options and configuration --------------------------------------------------------------------------------------
 */

static void test_config(void **state)
{
    const uint8_t mac[] = {0x52, 0x54, 0x00, 0xab, 0x0c, 0x01};
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, ",mac=52:54:00:aB:0c:01,mtu=9000");
    uint64_t f = harness_offered(&t.h);
    assert_true(f & BIT(VIRTIO_NET_F_MTU));
    assert_false(f & BIT(VIRTIO_NET_F_MQ));
    assert_true(f & BIT(VIRTIO_NET_F_MRG_RXBUF));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(harness_read(&t.h, 0x2000 + i, 1), mac[i]);
    assert_int_equal(harness_read(&t.h, 0x2006, 2), VIRTIO_NET_S_LINK_UP);
    assert_int_equal(harness_read(&t.h, 0x2008, 2), 1);
    assert_int_equal(harness_read(&t.h, 0x200a, 2), 9000);
    assert_int_equal(harness_read(&t.h, 0x200c, 4), 0);
    end(&t);
    begin(&t, 8, SOCK_DGRAM, ",queues=8,link_down=on");
    assert_true(harness_offered(&t.h) & BIT(VIRTIO_NET_F_MQ));
    assert_int_equal(harness_read(&t.h, 0x2000, 1) & 3, 2); /* an address of its own making */
    assert_int_equal(harness_read(&t.h, 0x2006, 2), 0);
    assert_int_equal(harness_read(&t.h, 0x2008, 2), 8);
    end(&t);
}

static void test_bad_options(void **state)
{
    static const char *const texts[] = {"",
                                        "mac=52:54:00:00:00:01",
                                        "fd=%d,tap=t0",
                                        "fd=%d,queues=2",
                                        "fd=%d,mac=52:54:00:00:00",
                                        "fd=%d,mac=53:54:00:00:00:01",
                                        "fd=%d,mac=52:54:00:00:00:0g",
                                        "fd=%d,mtu=67",
                                        "fd=%d,mtu=65536",
                                        "fd=%d,rate=-1",
                                        "fd=%d,rate=nan",
                                        "fd=%d,rate=1x",
                                        "fd=%d,rate=1e9",
                                        "fd=%d,speed=1",
                                        "fd=%d,link_down=maybe",
                                        "fds=%d:%d",
                                        "fds=%d:",
                                        "fd=99999",
                                        "fd=1000",
                                        "fds=901:902:903:904:905:906:907:908:909",
                                        "tap=a-name-that-is-too-long",
                                        "tap=t0,queues=9"};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (size_t i = 0; i <= ARRAY_SIZE(texts); i++) {
        struct err e = ERR_INIT;
        struct harness h;
        char text[200];
        int good[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, good), 0);
        if (i < ARRAY_SIZE(texts)) {
            const char *s = texts[i];
            size_t n = 0;

            for (; *s && n < sizeof(text) - 16; s++)
                if (s[0] == '%')
                    n += (size_t)snprintf(text + n, 16, "%d", good[(s++, 1)]);
                else
                    text[n++] = *s;
            text[n] = '\0';
        } else {
            snprintf(text, sizeof(text), "fd=%d", pair[1]); /* a stream has no datagrams */
        }
        if (harness_init(&h, "net", text, &e) == 0)
            fail_msg("taken: %s", text);
        assert_true(e.num < 0 && e.text[0]);
        close(good[0]);
        close(good[1]);
    }
    close(pair[0]);
}

/* --- From the guest -------------------------------------------------------------------------------------------------
 */

/* Any layout of the pieces (5.1.6.2 with version 1): the header alone, split, or together with the frame. */
static void test_tx_layouts(void **state)
{
    static const unsigned first[] = {1, 5, 11, 12, 13, 14, 40};
    uint8_t packet[HEADER + 3000];
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
    for (unsigned i = 0; i < ARRAY_SIZE(first); i++) {
        uint64_t gpa = make_frame(&t, NULL, 3000, i);
        struct harness_piece p[] = {{gpa, first[i], false},
                                    {gpa + first[i], 1, false},
                                    {gpa + first[i] + 1, HEADER + 3000 - first[i] - 1, false}};

        harness_add(&t.h, TX, p, 3);
        harness_kick(&t.h, TX);
        wait_used(&t, TX, &written);
        assert_int_equal(written, 0);
        assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), WAIT_MS), sizeof(packet));
        assert_filled(packet + HEADER, 3000, i);
    }
    assert_int_equal(counters(&t).tx_packets, ARRAY_SIZE(first));
    assert_int_equal(counters(&t).tx_bytes, 3000 * ARRAY_SIZE(first));
    end(&t);
}

/* Of the largest size, in as many pieces as a queue has, and through an indirect table. */
static void test_tx_many_pieces(void **state)
{
    static uint8_t packet[HEADER + MAX];
    struct harness_piece p[256];
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_DGRAM, "");
    assert_int_equal(harness_start(&t.h, ALL, 3, 256), GOOD);
    uint64_t gpa = make_frame(&t, NULL, MAX, 3);
    for (unsigned i = 0; i < 256; i++)
        p[i] = (struct harness_piece){gpa + 256 * i, i < 255 ? 256 : HEADER + MAX - 255 * 256, false};
    harness_add(&t.h, TX, p, 256);
    harness_kick(&t.h, TX);
    wait_used(&t, TX, &written);
    assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), WAIT_MS), sizeof(packet));
    assert_filled(packet + HEADER, MAX, 3);
    end(&t);
}

static void tell(void *arg, const char *name, uint64_t value)
{
    if (streq(name, "tx-packets"))
        *(uint64_t *)arg = value;
}

/* More than a turn handles, with one ring of the bell. */
static void test_tx_burst(void **state)
{
    uint8_t packet[HEADER + 60];
    uint64_t told = 0;
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, ALL, 3, 256), GOOD);
    uint64_t gpa = make_frame(&t, NULL, 60, 1);
    for (unsigned i = 0; i < 250; i++)
        add_tx(&t, TX, gpa, 60);
    harness_kick(&t.h, TX);
    for (unsigned i = 0; i < 250; i++)
        assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), WAIT_MS), sizeof(packet));
    for (unsigned i = 0; i < 250; i++)
        wait_used(&t, TX, &written);
    virtio_ops_of(t.h.device)->counters(virtio_device(t.h.device), tell, &told);
    assert_int_equal(told, 250);
    end(&t);
}

struct header_case {
    uint64_t features;
    struct virtio_net_hdr_v1 in, out;
    bool is_dropped;
};

#define CSUM   VIRTIO_NET_HDR_F_NEEDS_CSUM
#define F_CSUM BIT(VIRTIO_NET_F_CSUM)
#define F_TSO4 (F_CSUM | BIT(VIRTIO_NET_F_HOST_TSO4))
#define F_TSO6 (F_CSUM | BIT(VIRTIO_NET_F_HOST_TSO6))
#define F_ECN  (F_TSO4 | BIT(VIRTIO_NET_F_HOST_ECN))
#define G_CSUM BIT(VIRTIO_NET_F_GUEST_CSUM)
#define G_TSO4 (G_CSUM | BIT(VIRTIO_NET_F_GUEST_TSO4))
#define G_TSO6 (G_CSUM | BIT(VIRTIO_NET_F_GUEST_TSO6))
#define TCP4   VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6   VIRTIO_NET_HDR_GSO_TCPV6
#define ECN    VIRTIO_NET_HDR_GSO_ECN
#define FRAME  1000u

/* {features, {flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers}, what comes out, dropped} */
static const struct header_case tx_cases[] = {
    {ALL, {0}, {0}, false},
    /* Only what means something passes. */
    {ALL, {0xfe & ~CSUM, 0, 77, 88, {{99, 11}}, 22}, {0}, false},
    {ALL, {CSUM, 0, 77, 88, {{34, 16}}, 22}, {CSUM, 0, 0, 0, {{34, 16}}, 0}, false},
    {ALL, {CSUM | 6, 0, 0, 0, {{34, 16}}, 22}, {CSUM, 0, 0, 0, {{34, 16}}, 0}, false},
    /* A checksum where it may be, and not behind the end. */
    {0, {CSUM, 0, 0, 0, {{34, 16}}, 0}, {0}, true},
    {ALL, {CSUM, 0, 0, 0, {{FRAME - 18, 16}}, 0}, {CSUM, 0, 0, 0, {{FRAME - 18, 16}}, 0}, false},
    {ALL, {CSUM, 0, 0, 0, {{FRAME - 17, 16}}, 0}, {0}, true},
    {ALL, {CSUM, 0, 0, 0, {{65535, 65535}}, 0}, {0}, true},
    {ALL, {CSUM, 0, 0, 0, {{34, 65535}}, 0}, {0}, true},
    {ALL, {CSUM, 0, 0, 0, {{13, 16}}, 0}, {0}, true},
    /* Segments: agreed, with a checksum, of a size that makes sense. */
    {F_TSO4, {CSUM, TCP4, 54, 500, {{34, 16}}, 0}, {CSUM, TCP4, 54, 500, {{34, 16}}, 0}, false},
    {F_TSO6, {CSUM, TCP6, 74, 500, {{54, 16}}, 0}, {CSUM, TCP6, 74, 500, {{54, 16}}, 0}, false},
    {F_TSO6, {CSUM, TCP4, 54, 500, {{34, 16}}, 0}, {0}, true},
    {F_TSO4, {CSUM, TCP6, 54, 500, {{34, 16}}, 0}, {0}, true},
    {F_TSO4, {0, TCP4, 54, 500, {{34, 16}}, 0}, {0}, true},
    {F_TSO4, {CSUM, TCP4, 54, 0, {{34, 16}}, 0}, {0}, true},
    {F_TSO4, {CSUM, TCP4, 54, 1, {{34, 16}}, 0}, {0}, true},
    {F_TSO4, {CSUM, TCP4, 54, 0xffff, {{34, 16}}, 0}, {0}, true},
    {F_TSO4, {CSUM, TCP4, 65535, 500, {{34, 16}}, 0}, {CSUM, TCP4, FRAME, 500, {{34, 16}}, 0}, false},
    {F_TSO4, {CSUM, TCP4 | ECN, 54, 500, {{34, 16}}, 0}, {0}, true},
    {F_ECN, {CSUM, TCP4 | ECN, 54, 500, {{34, 16}}, 0}, {CSUM, TCP4 | ECN, 54, 500, {{34, 16}}, 0}, false},
    {ALL, {CSUM, ECN, 54, 500, {{34, 16}}, 0}, {0}, true},
    {ALL, {CSUM, VIRTIO_NET_HDR_GSO_UDP, 54, 500, {{34, 16}}, 0}, {0}, true},
    {ALL, {CSUM, 2, 54, 500, {{34, 16}}, 0}, {0}, true},
    {ALL, {CSUM, 0x7f, 54, 500, {{34, 16}}, 0}, {0}, true},
    {ALL, {CSUM, 5, 54, 500, {{34, 6}}, 0}, {0}, true}, /* USO: a socket offers none */
};

static void test_tx_headers(void **state)
{
    uint8_t packet[HEADER + FRAME];
    uint64_t dropped;
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    for (unsigned i = 0; i < ARRAY_SIZE(tx_cases); i++) {
        const struct header_case *c = &tx_cases[i];

        harness_reset(&t.h);
        assert_int_equal(harness_start(&t.h, c->features, 3, 32), GOOD);
        dropped = counters(&t).tx_dropped;
        add_tx(&t, TX, make_frame(&t, &c->in, FRAME, i), FRAME);
        harness_kick(&t.h, TX);
        wait_used(&t, TX, &written); /* dropped or not, it comes back */
        size_t n = peer_get(&t, 0, packet, sizeof(packet), 0);
        if (n != (c->is_dropped ? 0 : sizeof(packet)))
            fail_msg("case %u: %zu bytes come", i, n);
        assert_int_equal(counters(&t).tx_dropped, dropped + c->is_dropped);
        if (n && memcmp(packet, &c->out, HEADER) != 0)
            fail_msg("case %u: another header", i);
    }
    end(&t);
}

/* Frames that are none are dropped, counted and given back. */
static void test_tx_sizes(void **state)
{
    static const struct {
        unsigned bytes;
        bool is_dropped;
    } cases[] = {{0, true}, {1, true}, {13, true}, {14, false}, {MAX, false}, {MAX + 1, true}, {200000, true}};
    static uint8_t packet[HEADER + 200000];
    uint64_t n_dropped = 0;
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_DGRAM, "");
    assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        add_tx(&t, TX, make_frame(&t, NULL, cases[i].bytes, i), cases[i].bytes);
        harness_kick(&t.h, TX);
        wait_used(&t, TX, &written);
        n_dropped += cases[i].is_dropped;
        assert_int_equal(counters(&t).tx_dropped, n_dropped);
        assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), 0), cases[i].is_dropped ? 0 : HEADER + cases[i].bytes);
    }
    assert_int_equal(harness_status(&t.h), GOOD);
    end(&t);
}

/* Chains against the rules: this device needs a reset, and works after it. Pitfall 24: memory that is a device's own
 * registers is no memory. */
static void test_hostile_chains(void **state)
{
    static const struct {
        unsigned queue, n;
        struct harness_piece pieces[3]; /* gpa 0: memory is found for it */
    } cases[] = {
        {TX, 1, {{0, 11, false}}},                          /* no whole header */
        {TX, 1, {{0, 200, true}}},                          /* to be written */
        {TX, 2, {{0, 200, false}, {0, 50, true}}},          /* both */
        {TX, 1, {{0xc0000000, 100, false}}},                /* a BAR */
        {TX, 2, {{0, 12, false}, {0xc0003000, 64, false}}}, /* its doorbells */
        {TX, 1, {{0xfee00000, 100, false}}},                /* interrupts */
        {TX, 1, {{UINT64_MAX - 50, 100, false}}},           /* around the end */
        {TX, 1, {{HARNESS_MEMORY_GPA + 100, 0, false}}},    /* of no length */
        {TX, 1, {{HARNESS_MEMORY_GPA, UINT32_MAX, false}}}, /* longer than memory */
        {RX, 1, {{0, 2000, false}}},                        /* to be read */
        {RX, 2, {{0, 12, false}, {0, 2000, true}}},         /* both */
        {RX, 1, {{0, 11, true}}},                           /* no room for a header */
        {RX, 1, {{0xc0000000, 2000, true}}},                /* a BAR */
        {RX, 2, {{0, 2000, true}, {0xc0003000, 64, true}}}, /* its doorbells */
        {RX, 1, {{HARNESS_MEMORY_GPA, UINT32_MAX, true}}},  /* longer than memory */
        {2, 2, {{0, 3, false}, {0, 0x400000, true}}},       /* control: longer than memory */
        {2, 1, {{0, 3, false}}},                            /* control: nowhere to answer */
    };
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct harness_piece p[3];
        uint8_t packet[300];

        assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
        memcpy(p, cases[i].pieces, sizeof(p));
        for (unsigned k = 0; k < cases[i].n; k++)
            if (!p[k].gpa)
                p[k].gpa = harness_alloc(&t.h, 4096);
        assert_true(peer_put(&t, 0, NULL, 100, 9));
        harness_add(&t.h, cases[i].queue, p, cases[i].n);
        harness_kick(&t.h, cases[i].queue);
        wait_status(&t, BROKEN);
        assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), 0), 0);
        harness_reset(&t.h);
        /* The peer's packet still waits: the new driver gets it first. */
        assert_int_equal(harness_start(&t.h, MERGED, 3, 32), GOOD);
        uint32_t written;
        add_rx(&t, RX, 2000);
        harness_kick(&t.h, RX);
        wait_used(&t, RX, &written);
        assert_int_equal(written, HEADER + 100);
        assert_works(&t);
        harness_reset(&t.h);
    }
    end(&t);
}

/* Pitfalls 1 and 6: registers of a queue that runs, and of queues that there are not. Nothing changes. */
static void test_registers(void **state)
{
    static const uint16_t queues[] = {RX, TX, 2, 3, 31, 32, 0x7fff, 0x8000, 0xffff};
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
    for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
        harness_write(&t.h, 0x16, 2, queues[i]);
        for (unsigned offset = 0x18; offset < 0x38; offset += 2) {
            if (offset == 0x1a && i < 3)
                continue; /* a vector may change */
            harness_write(&t.h, offset, 2, 0xffff);
            harness_write(&t.h, offset, 2, 0);
        }
        harness_write(&t.h, 0x20, 8, HARNESS_MEMORY_GPA + 1);
        harness_write(&t.h, 0x1a, 2, 0xfffe);
        assert_int_equal(harness_read(&t.h, 0x1a, 2), i < 3 ? 0xffff : 0);
        assert_int_equal(harness_read(&t.h, 0x18, 2), i < 3 ? 32 : 0);
        harness_write(&t.h, 0x3000 + 4ull * queues[i], 2, queues[i]);
        assert_works(&t);
    }
    assert_int_equal(harness_status(&t.h), GOOD);
    end(&t);
}

/* ThreadSanitizer is told that a guest writes whenever it likes. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:^test_hostile_rings$\n";
}

/* Pitfall 4 for a split ring: chains that never end, heads and numbers beyond the queue. */
static void test_hostile_rings(void **state)
{
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    for (unsigned i = 0; i < 12; i++) {
        unsigned queue = i % 2;
        uint64_t gpa;

        assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
        struct harness_queue *q = &t.h.queues[queue];
        uint8_t *desc = harness_at(&t.h, q->desc_gpa);
        uint16_t *avail = harness_at(&t.h, q->avail_gpa);
        gpa = harness_alloc(&t.h, 1000);
        struct harness_piece p[] = {{gpa, 500, queue == RX}, {gpa + 500, 500, queue == RX}};
        harness_add(&t.h, queue, p, 2);
        uint16_t bad[] = {0, 1, 32, 0xffff};
        if (i < 8) { /* the second piece goes on, to the first, itself, one that is none */
            desc[16 + 12] |= 1;
            memcpy(desc + 16 + 14, &bad[i / 2], 2);
        } else if (i < 10) {
            avail[2] = 32;
        } else {
            avail[1] = 40;
        }
        harness_kick(&t.h, queue);
        wait_status(&t, BROKEN);
        harness_reset(&t.h);
    }
    assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
    assert_works(&t);
    end(&t);
}

struct flood {
    struct net *net;
    _Atomic bool is_ending;
};

static void *flood_peer(void *arg)
{
    struct flood *f = arg;
    uint8_t packet[HEADER + 100];

    while (!f->is_ending) {
        struct pollfd p = {.fd = f->net->peers[0], .events = POLLIN | POLLOUT};

        (void)poll(&p, 1, 10);
        while (peer_put(f->net, 0, NULL, 60, 0) && !f->is_ending)
            ;
        while (recv(f->net->peers[0], packet, sizeof(packet), MSG_DONTWAIT) > 0)
            ;
    }
    return NULL;
}

/* Pitfall 13: a flood one way leaves the other its turns. */
static void test_fairness(void **state)
{
    struct flood f = {0};
    pthread_t thread;
    uint32_t written;
    uint16_t head;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, MERGED, 3, 256), GOOD);
    uint64_t frame = make_frame(&t, NULL, 60, 0), room = harness_alloc(&t.h, 256 * 128);
    f.net = &t;
    for (unsigned i = 0; i < 256; i++)
        harness_add(&t.h, RX, &(struct harness_piece){room + i * 128, 128, true}, 1);
    assert_int_equal(pthread_create(&thread, NULL, flood_peer, &f), 0);
    for (unsigned i = 0; i < 200; i++) {
        add_tx(&t, TX, frame, 60);
        harness_kick(&t.h, TX);
        for (unsigned n = 0; n < 200 && harness_take(&t.h, RX, &head, &written); n++)
            harness_add(&t.h, RX, &(struct harness_piece){room + head * 128u, 128, true}, 1);
        harness_kick(&t.h, RX);
        wait_used(&t, TX, &written);
    }
    f.is_ending = true;
    pthread_join(thread, NULL);
    assert_int_equal(counters(&t).tx_packets, 200);
    assert_true(counters(&t).rx_packets > 256);
    end(&t);
}

/* Pitfalls 9 and 26: the peer takes no more. Nothing is read from the driver that has no place to go; when there is
 * place again, every frame comes once, whole and in order. */
static void full_tx(int type, uint64_t features)
{
    static uint8_t packet[HEADER + 30000];
    uint32_t written;
    uint16_t head;
    unsigned n_used = 0;
    struct net t;

    begin(&t, 1, type, "");
    assert_int_equal(harness_start(&t.h, features, 3, 128), GOOD);
    for (unsigned i = 0; i < 100; i++)
        add_tx(&t, TX, make_frame(&t, NULL, 30000, i), 30000);
    harness_kick(&t.h, TX);
    wait_used(&t, TX, &written);
    for (n_used = 1; harness_take(&t.h, TX, &head, &written) || counters(&t).tx_packets > n_used;)
        n_used = (unsigned)counters(&t).tx_packets;
    assert_in_range(n_used, 1, 90); /* a socket's buffer, no more */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), WAIT_MS), sizeof(packet));
        assert_filled(packet + HEADER, 30000, i);
    }
    uint64_t until = clock_boot_ms() + WAIT_MS;
    while (counters(&t).tx_packets < 100 && clock_boot_ms() < until)
        (void)poll(NULL, 0, 1);
    assert_int_equal(counters(&t).tx_packets, 100);
    assert_int_equal(counters(&t).tx_dropped, 0);
    assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), 0), 0);
    end(&t);
}

static void test_tx_full(void **state)
{
    full_tx(SOCK_SEQPACKET, ALL);
    full_tx(SOCK_DGRAM, UINT64_MAX);
}

struct flip {
    uint8_t *header;
    _Atomic bool is_ending;
};

static void *flip_header(void *arg)
{
    struct flip *f = arg;
    static const struct virtio_net_hdr_v1 good = {CSUM, TCP4, 54, 500, {{34, 16}}, 0},
                                          bad = {CSUM, TCP4, 65535, 1, {{65535, 65535}}, 9};

    while (!f->is_ending) {
        __builtin_memcpy(f->header, &bad, HEADER);
        __asm__ volatile("" ::: "memory");
        __builtin_memcpy(f->header, &good, HEADER);
        __asm__ volatile("" ::: "memory");
    }
    return NULL;
}

/* Pitfall 5: a header that changes while it is looked at. What was checked is what goes out. */
__attribute__((no_sanitize("thread"))) static void test_tx_header_changes(void **state)
{
    static uint8_t packet[HEADER + FRAME];
    struct virtio_net_hdr_v1 h;
    struct flip f = {0};
    pthread_t thread;
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
    uint64_t gpa = make_frame(&t, NULL, FRAME, 0);
    f.header = harness_at(&t.h, gpa);
    assert_int_equal(pthread_create(&thread, NULL, flip_header, &f), 0);
    for (unsigned i = 0; i < 1000; i++) {
        add_tx(&t, TX, gpa, FRAME);
        harness_kick(&t.h, TX);
        wait_used(&t, TX, &written);
        if (!peer_get(&t, 0, packet, sizeof(packet), 0))
            continue;
        memcpy(&h, packet, HEADER);
        assert_true(h.csum_start + h.csum_offset + 2u <= FRAME);
        assert_true(h.gso_type == 0 || (h.gso_size >= 48 && h.hdr_len <= FRAME));
        assert_int_equal(h.num_buffers, 0);
    }
    f.is_ending = true;
    pthread_join(thread, NULL);
    end(&t);
}

/* --- To the guest ---------------------------------------------------------------------------------------------------
 */

static void test_rx_headers(void **state)
{
    static const struct header_case cases[] = {
        {ALL, {0, 0, 0, 0, {{0, 0}}, 77}, {0, 0, 0, 0, {{0, 0}}, 1}, false},
        {ALL, {CSUM, 0, 0, 0, {{34, 16}}, 0}, {CSUM, 0, 0, 0, {{34, 16}}, 1}, false},
        {ALL,
         {VIRTIO_NET_HDR_F_DATA_VALID, 0, 0, 0, {{0, 0}}, 0},
         {VIRTIO_NET_HDR_F_DATA_VALID, 0, 0, 0, {{0, 0}}, 1},
         false},
        {0, {VIRTIO_NET_HDR_F_DATA_VALID, 0, 0, 0, {{0, 0}}, 0}, {0, 0, 0, 0, {{0, 0}}, 1}, false},
        {0, {CSUM, 0, 0, 0, {{34, 16}}, 0}, {0}, true},
        {G_TSO4, {CSUM, TCP4, 54, 500, {{34, 16}}, 0}, {CSUM, TCP4, 54, 500, {{34, 16}}, 1}, false},
        {G_TSO6, {CSUM, TCP4, 54, 500, {{34, 16}}, 0}, {0}, true},
        {ALL, {CSUM, TCP6, 54, 0, {{34, 16}}, 0}, {0}, true},
        {ALL, {CSUM, 0, 0, 0, {{34, 65535}}, 0}, {0}, true},
        {ALL, {VIRTIO_NET_HDR_F_RSC_INFO, 0, 0, 0, {{0, 0}}, 0}, {0, 0, 0, 0, {{0, 0}}, 1}, false},
    };
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct header_case *c = &cases[i];
        /* One buffer for a packet of any size and one that is small take different ways. */
        for (unsigned way = 0; way < 2; way++) {
            uint64_t dropped, gpa;

            harness_reset(&t.h);
            assert_int_equal(harness_start(&t.h, c->features, 3, 32), GOOD);
            dropped = counters(&t).rx_dropped;
            gpa = add_rx(&t, RX, way ? 70000 : 2000);
            harness_kick(&t.h, RX);
            assert_true(peer_put(&t, 0, &c->in, FRAME, i));
            if (c->is_dropped) {
                wait_drops(&t, dropped + 1, 0);
                continue;
            }
            wait_used(&t, RX, &written);
            assert_int_equal(written, HEADER + FRAME);
            if (memcmp(harness_at(&t.h, gpa), &c->out, HEADER) != 0)
                fail_msg("case %u: another header", i);
            assert_filled((uint8_t *)harness_at(&t.h, gpa) + HEADER, FRAME, i);
        }
    }
    end(&t);
}

/* A packet over many small buffers, each of several pieces: the first says how many (5.1.6.4). */
static void test_rx_merged(void **state)
{
    static const unsigned sizes[] = {14, 87, 88, 89, 187, 188, 189, 1500, 9000, 20000};
    struct harness_piece p[256][2];
    uint8_t got[HEADER + 20000];
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
        unsigned bytes = HEADER + sizes[s], wanted = (bytes + 99) / 100, at = 0;
        uint16_t head, number;
        uint32_t written;

        harness_reset(&t.h);
        assert_int_equal(harness_start(&t.h, MERGED, 3, 256), GOOD);
        for (unsigned i = 0; i < 128 && 2 * i < 256; i++) {
            /* Three bytes and the rest: a header is spread over pieces and buffers. 128 buffers of 100 bytes are
             * not enough for the largest: it waits for more. */
            uint64_t gpa = harness_alloc(&t.h, 100);
            p[i][0] = (struct harness_piece){gpa, 3, true};
            p[i][1] = (struct harness_piece){gpa + 3, 97, true};
            harness_add(&t.h, RX, p[i], 2);
        }
        harness_kick(&t.h, RX);
        assert_true(peer_put(&t, 0, NULL, sizes[s], s));
        if (wanted > 128) {
            wait_drops(&t, counters(&t).rx_dropped + 1, 0);
            continue;
        }
        for (unsigned i = 0; i < wanted; i++) {
            assert_true(harness_wait(&t.h, RX, &head, &written));
            assert_int_equal(head, 2 * i);
            assert_int_equal(written, i + 1 < wanted ? 100 : bytes - 100 * (wanted - 1));
            memcpy(got + at, harness_at(&t.h, p[i][0].gpa), written);
            at += written;
        }
        memcpy(&number, got + 10, 2);
        assert_int_equal(number, wanted);
        assert_filled(got + HEADER, sizes[s], s);
        assert_int_equal(harness_take(&t.h, RX, &head, &written), 0);
    }
    end(&t);
}

/* The straight way: room for any packet is there, in pages and in one. */
static void test_rx_straight(void **state)
{
    static uint8_t got[HEADER + MAX];
    struct net t;

    begin(&t, 1, SOCK_DGRAM, "");
    assert_int_equal(harness_start(&t.h, MERGED, 3, 256), GOOD);
    uint64_t first = harness_alloc(&t.h, 128 * 1536);
    for (unsigned i = 0; i < 128; i++) {
        uint64_t gpa = first + i * 1536;
        struct harness_piece pieces[] = {{gpa, 5, true}, {gpa + 5, 1531, true}};
        /* Headers in two pieces, in one, and together with the frame. */
        harness_add(&t.h, RX, i % 2 ? &(struct harness_piece){gpa, 1536, true} : pieces, i % 2 ? 1 : 2);
    }
    harness_kick(&t.h, RX);
    static const unsigned sizes[] = {60, MAX, 1524, 1525, 30000};
    unsigned buffer = 0;
    for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
        unsigned bytes = HEADER + sizes[s], wanted = (bytes + 1535) / 1536;
        uint32_t written;
        uint16_t head;

        assert_true(peer_put(&t, 0, NULL, sizes[s], s));
        for (unsigned i = 0, at = 0; i < wanted; i++, at += written, buffer++) {
            assert_true(harness_wait(&t.h, RX, &head, &written));
            assert_int_equal(head, buffer / 2 * 3 + buffer % 2 * 2);
            memcpy(got + at, harness_at(&t.h, first + buffer * 1536), written);
        }
        assert_int_equal(got[10] | got[11] << 8, wanted);
        assert_filled(got + HEADER, sizes[s], s);
    }
    assert_int_equal(counters(&t).rx_packets, ARRAY_SIZE(sizes));
    assert_int_equal(counters(&t).rx_dropped, 0);
    end(&t);
}

/* Packets that are none, and larger than any: dropped, and the next comes through. */
static void test_rx_sizes(void **state)
{
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_DGRAM, "");
    for (unsigned way = 0; way < 2; way++) {
        uint64_t dropped = counters(&t).rx_dropped;

        harness_reset(&t.h);
        assert_int_equal(harness_start(&t.h, way ? MERGED : 0, 3, 32), GOOD);
        add_rx(&t, RX, way ? 100000 : 2000);
        harness_kick(&t.h, RX);
        assert_int_equal(send(t.peers[0], "", 0, MSG_DONTWAIT), 0);
        assert_int_equal(send(t.peers[0], "12345678901", 11, MSG_DONTWAIT), 11);
        assert_true(peer_put(&t, 0, NULL, 13, 0));
        assert_true(peer_put(&t, 0, NULL, MAX + 1, 0));
        assert_true(peer_put(&t, 0, NULL, 150000, 0));
        if (!way)
            assert_true(peer_put(&t, 0, NULL, 1989, 0)); /* one buffer must do, and does not */
        assert_true(peer_put(&t, 0, NULL, 1988, 0));
        wait_used(&t, RX, &written);
        assert_int_equal(written, HEADER + 1988);
        assert_int_equal(counters(&t).rx_dropped, dropped + (way ? 5 : 6));
    }
    end(&t);
}

/* Pitfall 23: the driver gives no buffers for long, and the socket is full. When it gives some, everything that was
 * taken comes, in order; it never stays frozen. */
static void full_rx(uint64_t features)
{
    uint32_t written;
    unsigned n = 0;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, features, 3, 64), GOOD);
    harness_kick(&t.h, RX);
    while (peer_put(&t, 0, NULL, 1500, n))
        n++;
    assert_true(n > 3);
    for (unsigned i = 0; i < n; i++) {
        uint64_t gpa;

        t.h.next_gpa = HARNESS_MEMORY_GPA + (2 << 20); /* the same place again */
        gpa = add_rx(&t, RX, 1512);
        harness_kick(&t.h, RX);
        wait_used(&t, RX, &written);
        assert_int_equal(written, 1512);
        assert_filled((uint8_t *)harness_at(&t.h, gpa) + HEADER, 1500, i);
    }
    assert_int_equal(counters(&t).rx_dropped, 0);
    assert_works(&t);
    end(&t);
}

static void test_rx_full(void **state)
{
    full_rx(0);
    full_rx(MERGED);
    full_rx(MERGED | VIRTQ_F_EVENT_IDX);
}

/* Pitfall 23 too: a packet larger than what the driver offers waits for more; when none comes it does not stop those
 * behind it for ever. */
static void test_rx_waits(void **state)
{
    uint32_t written;
    uint16_t head;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, MERGED, 3, 64), GOOD);
    uint64_t gpa[3];
    gpa[0] = add_rx(&t, RX, 1000);
    harness_kick(&t.h, RX);
    assert_true(peer_put(&t, 0, NULL, 2500, 4));
    gpa[1] = add_rx(&t, RX, 1000);
    harness_kick(&t.h, RX);
    assert_int_equal(harness_take(&t.h, RX, &head, &written), 0);
    gpa[2] = add_rx(&t, RX, 1000);
    harness_kick(&t.h, RX);
    for (unsigned i = 0, at = HEADER; i < 3; i++) {
        wait_used(&t, RX, &written);
        assert_int_equal(written, i < 2 ? 1000 : 512);
        for (unsigned k = i ? 0 : HEADER; k < written; k++, at++)
            assert_int_equal(((uint8_t *)harness_at(&t.h, gpa[i]))[k], pattern(at - HEADER, 4));
    }
    add_rx(&t, RX, 1000);
    harness_kick(&t.h, RX);
    assert_true(peer_put(&t, 0, NULL, 2500, 5));
    assert_true(peer_put(&t, 0, NULL, 500, 6));
    wait_used(&t, RX, &written);
    assert_int_equal(written, 512);
    assert_int_equal(counters(&t).rx_dropped, 1);
    end(&t);
}

/* A driver that rings only when it was asked to: no packet is left behind, either way (2.7.10, 2.7.13.4). */
static void ask_before_ringing(uint64_t features)
{
    uint8_t packet[HEADER + 60];
    unsigned n_rings = 0;
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, features, 3, 16), GOOD);
    uint64_t frame = make_frame(&t, NULL, 60, 0), room = harness_alloc(&t.h, 2000);
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned queue = RX; queue <= TX; queue++) {
            struct harness_queue *q = &t.h.queues[queue];
            struct harness_piece piece = {queue == TX ? frame : room, queue == TX ? HEADER + 60 : 2000, queue == RX};
            uint16_t *used = harness_at(&t.h, q->used_gpa);
            bool is_asked;

            harness_add(&t.h, queue, &piece, 1);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            is_asked = features & VIRTQ_F_EVENT_IDX
                           ? __atomic_load_n(&used[2 + 4 * q->size], __ATOMIC_RELAXED) == (uint16_t)(q->avail - 1)
                           : !(__atomic_load_n(&used[0], __ATOMIC_RELAXED) & 1);
            n_rings += is_asked;
            if (is_asked)
                harness_kick(&t.h, queue);
        }
        assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), WAIT_MS), sizeof(packet));
        wait_used(&t, TX, &written);
        assert_true(peer_put(&t, 0, NULL, 60, 0));
        wait_used(&t, RX, &written);
    }
    assert_true(n_rings > 0);
    end(&t);
}

static void test_doorbells(void **state)
{
    ask_before_ringing(MERGED);
    ask_before_ringing(MERGED | VIRTQ_F_EVENT_IDX);
}

/* --- The control queue ----------------------------------------------------------------------------------------------
 */

static uint8_t command(struct net *t, unsigned queue, uint8_t class, uint8_t what, const void *data, uint32_t n)
{
    struct harness_piece p[] = {{harness_alloc(&t->h, 2), 2, false},
                                {harness_alloc(&t->h, n + 1), n, false},
                                {harness_alloc(&t->h, 1), 1, true}};
    uint8_t *head = harness_at(&t->h, p[0].gpa), *ack = harness_at(&t->h, p[2].gpa);
    uint32_t written;

    head[0] = class;
    head[1] = what;
    memcpy(harness_at(&t->h, p[1].gpa), data, n);
    *ack = 0xee;
    if (!n)
        p[1] = p[2];
    harness_add(&t->h, queue, p, n ? 3 : 2);
    harness_kick(&t->h, queue);
    wait_used(t, queue, &written);
    assert_int_equal(written, 1);
    return *ack;
}

static void test_commands(void **state)
{
    static const uint8_t mac[] = {2, 1, 2, 3, 4, 5}, group[] = {3, 1, 2, 3, 4, 5}, on = 1, two = 2;
    static const uint8_t tables[] = {1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 0, 0, 0, 0};
    static const uint8_t many[] = {0, 0, 0, 0x80, 2, 1, 2, 3, 4, 5, 0, 0, 0, 0};
    uint64_t offloads = G_TSO4, too_much = G_TSO4 | BIT(VIRTIO_NET_F_GUEST_TSO6), other = MERGED;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, ALL & ~BIT(VIRTIO_NET_F_GUEST_TSO6), 3, 32), GOOD);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), VIRTIO_NET_OK);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1), VIRTIO_NET_OK);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &two, 1), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, &on, 1), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 0), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6), VIRTIO_NET_OK);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 5), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, group, 6), VIRTIO_NET_ERR);
    assert_int_equal(harness_read(&t.h, 0x2000, 4), 0x03020102);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, 14), VIRTIO_NET_OK);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, 13), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, many, 14), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, tables, 2), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, &on, 0), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, tables, 2), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, 0x77, 0x77, many, 14), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_OK);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 7), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &too_much, 8), VIRTIO_NET_ERR);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &other, 8), VIRTIO_NET_ERR);
    /* Off: what the peer still sends that way is dropped. */
    struct virtio_net_hdr_v1 h = {CSUM, TCP4, 54, 500, {{34, 16}}, 0};
    offloads = 0;
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_OK);
    add_rx(&t, RX, 2000);
    harness_kick(&t.h, RX);
    assert_true(peer_put(&t, 0, &h, 1000, 0));
    wait_drops(&t, 1, 0);
    assert_int_equal(harness_status(&t.h), GOOD);
    end(&t);
}

/* Pitfall 25: numbers of queues that there are not. Only pairs that are on receive. */
static void test_pairs(void **state)
{
    static const uint16_t bad[] = {0, 5, 0x7fff, 0x8000, 0xffff};
    uint8_t packet[HEADER + 100];
    uint16_t n = 4;
    uint32_t written;
    struct net t;

    begin(&t, 4, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, ALL, 9, 16), GOOD);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(command(&t, 8, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &bad[i], 2),
                         VIRTIO_NET_ERR);
    uint64_t gpa = add_rx(&t, 6, 2000);
    harness_kick(&t.h, 6);
    assert_true(peer_put(&t, 3, NULL, 100, 7));
    assert_works(&t);
    assert_int_equal(counters(&t).rx_packets, 1); /* the first pair's */
    assert_int_equal(command(&t, 8, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &n, 2), VIRTIO_NET_OK);
    wait_used(&t, 6, &written);
    assert_filled((uint8_t *)harness_at(&t.h, gpa) + HEADER, 100, 7);
    for (unsigned i = 0; i < 4; i++) {
        add_tx(&t, 2 * i + 1, make_frame(&t, NULL, 100, i), 100);
        harness_kick(&t.h, 2 * i + 1);
        wait_used(&t, 2 * i + 1, &written);
        assert_int_equal(peer_get(&t, i, packet, sizeof(packet), WAIT_MS), sizeof(packet));
        assert_filled(packet + HEADER, 100, i);
    }
    /* Without MQ the control queue is the third (5.1.2). */
    harness_reset(&t.h);
    assert_int_equal(harness_start(&t.h, ALL & ~BIT(VIRTIO_NET_F_MQ), 3, 16), GOOD);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "", 1), VIRTIO_NET_OK);
    assert_int_equal(command(&t, 2, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &n, 2), VIRTIO_NET_ERR);
    assert_works(&t);
    end(&t);
}

/* --- The cable, the rate, the end -----------------------------------------------------------------------------------
 */

static void test_link(void **state)
{
    uint8_t packet[HEADER + 100];
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, ALL, 3, 32), GOOD);
    assert_works(&t);
    uint64_t generation = harness_read(&t.h, 0x15, 1);
    net_set_link(t.h.device, false);
    assert_int_equal(harness_read(&t.h, 0x2006, 2), 0);
    assert_true(harness_read(&t.h, 0x15, 1) != generation);
    assert_true(harness_read(&t.h, 0x1000, 1) & 2); /* the driver is told */
    add_tx(&t, TX, make_frame(&t, NULL, 100, 1), 100);
    harness_kick(&t.h, TX);
    wait_used(&t, TX, &written);
    assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), 0), 0);
    assert_true(peer_put(&t, 0, NULL, 100, 1));
    add_rx(&t, RX, 2000);
    harness_kick(&t.h, RX);
    wait_drops(&t, 1, 1);
    net_set_link(t.h.device, true);
    assert_int_equal(harness_read(&t.h, 0x2006, 2), VIRTIO_NET_S_LINK_UP);
    assert_true(peer_put(&t, 0, NULL, 200, 3));
    wait_used(&t, RX, &written);
    assert_int_equal(written, HEADER + 200);
    assert_works(&t);
    end(&t);
}

static uint64_t cpu_ms(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* The peer is gone for good, like a tap that is removed: the cable is out, frames come back, and no thread spins. */
static void test_gone(void **state)
{
    uint64_t until = clock_boot_ms() + WAIT_MS, cpu;
    uint32_t written;
    struct net t;

    for (unsigned way = 0; way < 3; way++) {
        begin(&t, 1, SOCK_SEQPACKET, "");
        assert_int_equal(harness_start(&t.h, ALL, 3, 64), GOOD);
        if (way == 1) /* it is interested in reading */
            add_rx(&t, RX, 2000);
        harness_kick(&t.h, RX);
        for (unsigned i = 0; way == 2 && i < 60; i++) /* it waits to send */
            add_tx(&t, TX, make_frame(&t, NULL, 40000, i), 40000);
        harness_kick(&t.h, TX);
        if (way == 2)
            wait_used(&t, TX, &written);
        close(t.peers[0]);
        t.peers[0] = -1;
        while (harness_read(&t.h, 0x2006, 2) && clock_boot_ms() < until)
            (void)poll(NULL, 0, 1);
        assert_int_equal(harness_read(&t.h, 0x2006, 2), 0);
        for (unsigned i = 0; way == 2 && i < 59; i++)
            wait_used(&t, TX, &written);
        cpu = cpu_ms();
        (void)poll(NULL, 0, 200);
        assert_true(cpu_ms() - cpu < 100);
        add_tx(&t, TX, make_frame(&t, NULL, 100, 1), 100);
        harness_kick(&t.h, TX);
        wait_used(&t, TX, &written);
        assert_int_equal(harness_status(&t.h), GOOD);
        end(&t);
    }
}

/* A driver that goes away and comes back: nothing is written to its memory in between, and no thread spins. */
static void test_reset(void **state)
{
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, "");
    for (unsigned round = 0; round < 30; round++) {
        assert_int_equal(harness_start(&t.h, round % 2 ? UINT64_MAX : ALL, 3, 64), GOOD);
        for (unsigned i = 0; i < 30; i++)
            add_rx(&t, RX, 3000);
        for (unsigned i = 0; i < 30; i++)
            add_tx(&t, TX, make_frame(&t, NULL, 5000, i), 5000);
        harness_kick(&t.h, RX);
        harness_kick(&t.h, TX);
        while (peer_put(&t, 0, NULL, 20000, round))
            ;
        harness_reset(&t.h); /* clears memory */
        assert_true(memcmp(t.h.ram, t.h.ram + 1, HARNESS_MEMORY_BYTES - 1) == 0 && t.h.ram[0] == 0);
    }
    uint64_t cpu = cpu_ms();
    (void)poll(NULL, 0, 200);
    assert_true(cpu_ms() - cpu < 100);
    for (unsigned i = 0; i < HARNESS_MEMORY_BYTES; i += 64)
        assert_int_equal(t.h.ram[i], 0);
    static uint8_t packet[HEADER + 5000];
    while (peer_get(&t, 0, packet, sizeof(packet), 0))
        ;
    /* What waited in the socket comes to the driver that starts, or is too large for it. */
    assert_int_equal(harness_start(&t.h, 0, 3, 64), GOOD);
    net_set_link(t.h.device, false);
    uint64_t until = clock_boot_ms() + WAIT_MS;
    while (!peer_put(&t, 0, NULL, 100, 0) && clock_boot_ms() < until)
        (void)poll(NULL, 0, 1);
    uint64_t seen;
    do {
        seen = counters(&t).rx_dropped;
        (void)poll(NULL, 0, 20);
    } while (counters(&t).rx_dropped != seen && clock_boot_ms() < until);
    net_set_link(t.h.device, true);
    assert_works(&t);
    end(&t);
}

static void test_rate(void **state)
{
    static uint8_t packet[HEADER + 8192];
    uint64_t began;
    uint32_t written;
    struct net t;

    begin(&t, 1, SOCK_SEQPACKET, ",rate=1");
    assert_int_equal(harness_start(&t.h, ALL, 3, 128), GOOD);
    /* 512 KiB: 128 at once, the rest at 1 MiB a second. */
    began = clock_boot_ms();
    for (unsigned i = 0; i < 64; i++)
        add_tx(&t, TX, make_frame(&t, NULL, 8192, i), 8192);
    harness_kick(&t.h, TX);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(peer_get(&t, 0, packet, sizeof(packet), WAIT_MS), sizeof(packet));
    assert_true(clock_boot_ms() - began >= 350);
    for (unsigned i = 0; i < 64; i++)
        wait_used(&t, TX, &written);
    t.h.next_gpa = HARNESS_MEMORY_GPA + (1 << 20);
    began = clock_boot_ms();
    for (unsigned i = 0; i < 64; i++)
        add_rx(&t, RX, HEADER + 8192);
    harness_kick(&t.h, RX);
    for (unsigned i = 0; i < 64; i++) {
        struct pollfd p = {.fd = t.peers[0], .events = POLLOUT};
        while (!peer_put(&t, 0, NULL, 8192, i))
            assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    }
    for (unsigned i = 0; i < 64; i++)
        wait_used(&t, RX, &written);
    assert_true(clock_boot_ms() - began >= 350);
    /* Off while frames wait: hours become nothing. */
    net_set_rate(t.h.device, 1);
    t.h.next_gpa = HARNESS_MEMORY_GPA + (1 << 20);
    for (unsigned i = 0; i < 64; i++)
        add_tx(&t, TX, make_frame(&t, NULL, 8192, i), 8192);
    harness_kick(&t.h, TX);
    wait_used(&t, TX, &written);
    net_set_rate(t.h.device, 0);
    for (unsigned i = 0; i < 63; i++)
        wait_used(&t, TX, &written);
    end(&t);
}

/* --- Saved state ----------------------------------------------------------------------------------------------------
 */

static int load(struct net *t, const struct buf *b, size_t n)
{
    struct state_reader r = {.at = (const uint8_t *)b->data, .end = (const uint8_t *)b->data + n};
    struct err e = ERR_INIT;
    int result = virtio_load(t->h.device, &r, &e);

    return result < 0 ? result : state_reader_end(&r, "net", &e);
}

static void test_save(void **state)
{
    static const uint8_t mac[] = {2, 1, 2, 3, 4, 5};
    uint16_t n = 2;
    uint64_t gpa;
    uint32_t written;
    struct buf b;
    struct net t;

    begin(&t, 2, SOCK_SEQPACKET, "");
    assert_int_equal(harness_start(&t.h, UINT64_MAX, 5, 32), GOOD);
    assert_int_equal(command(&t, 4, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6), VIRTIO_NET_OK);
    assert_int_equal(command(&t, 4, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &n, 2), VIRTIO_NET_OK);
    assert_works(&t);
    /* Buffers that wait for packets at that moment, and one that waits for more of them. */
    for (unsigned i = 0; i < 5; i++)
        gpa = add_rx(&t, RX, 1000);
    add_rx(&t, 2, 1000);
    harness_kick(&t.h, RX);
    harness_kick(&t.h, 2);
    buf_init(&b, 4096);
    virtio_save(t.h.device, &b);
    assert_false(b.is_failed);
    for (size_t i = 0; i < b.len; i++)
        assert_true(load(&t, &b, i) < 0);
    harness_write(&t.h, 0x14, 1, 0);
    assert_int_equal(load(&t, &b, b.len), 0);
    assert_int_equal(harness_status(&t.h), GOOD);
    assert_int_equal(harness_read(&t.h, 0x2000, 4), 0x03020102);
    assert_true(peer_put(&t, 1, NULL, 100, 3));
    wait_used(&t, 2, &written); /* two pairs are on */
    assert_int_equal(written, HEADER + 100);
    assert_true(peer_put(&t, 0, NULL, 4500, 4));
    for (unsigned i = 0; i < 5; i++)
        wait_used(&t, RX, &written);
    assert_int_equal(written, HEADER + 500);
    assert_int_equal(((uint8_t *)harness_at(&t.h, gpa))[0], pattern(4000 - HEADER, 4));
    assert_works(&t);
    buf_done(&b);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_tx_layouts),
        cmocka_unit_test(test_tx_many_pieces),
        cmocka_unit_test(test_tx_burst),
        cmocka_unit_test(test_tx_headers),
        cmocka_unit_test(test_tx_sizes),
        cmocka_unit_test(test_hostile_chains),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_hostile_rings),
        cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_tx_full),
        cmocka_unit_test(test_tx_header_changes),
        cmocka_unit_test(test_rx_headers),
        cmocka_unit_test(test_rx_merged),
        cmocka_unit_test(test_rx_straight),
        cmocka_unit_test(test_rx_sizes),
        cmocka_unit_test(test_rx_full),
        cmocka_unit_test(test_rx_waits),
        cmocka_unit_test(test_doorbells),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_save),
    };

    signal(SIGPIPE, SIG_IGN); /* as holm-vmm does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
