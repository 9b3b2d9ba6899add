/* Sockets between guest and host on the harness: a good driver and programs of the host, then both at their worst. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "vmm/harness.h"

enum { RX, TX, EVENTS };

#define CID         3u
#define NEEDS_RESET 0x40
#define QUEUE       64u
#define RX_BYTES    (44 + 1000u)
#define BUFFER      (64u << 10)
#define BIG         (1u << 30) /* credit without end */
#define TURNS       12u

struct bench {
    struct harness h;
    char folder[64], path[96];
    uint64_t rx_gpa[QUEUE]; /* of each descriptor */
    uint64_t tx_gpa;
    struct virtio_vsock_hdr got; /* the last packet */
    uint8_t data[RX_BYTES];
};

static void settle(struct bench *b)
{
    for (unsigned i = 0; i < TURNS; i++)
        harness_turn(&b->h);
}

static void ring(struct bench *b, unsigned queue)
{
    harness_kick(&b->h, queue);
    settle(b);
}

/* A buffer in two pieces, the header's cut in two. */
static void give_at(struct bench *b, uint64_t gpa)
{
    struct harness_piece pieces[] = {{gpa, 20, true}, {gpa + 20, RX_BYTES - 20, true}};
    uint16_t head = harness_add(&b->h, RX, pieces, 2);

    b->rx_gpa[head] = gpa;
}

static void give(struct bench *b, unsigned n)
{
    while (n--)
        give_at(b, harness_alloc(&b->h, RX_BYTES));
}

static void start(struct bench *b, unsigned n_buffers)
{
    assert_int_equal(harness_start(&b->h, UINT64_MAX, 3, QUEUE), 0x0f);
    b->tx_gpa = harness_alloc(&b->h, 128u << 10);
    give(b, n_buffers);
    ring(b, RX);
}

static int make(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct err e = ERR_INIT;
    char text[160];

    snprintf(b->folder, sizeof(b->folder), "/tmp/vsock.XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->path, sizeof(b->path), "%s/s", b->folder);
    snprintf(text, sizeof(text), "cid=%u,socket=%s", CID, b->path);
    if (harness_init(&b->h, "vsock", text, &e) < 0)
        fail_msg("%s", e.text);
    *state = b;
    return 0;
}

static int setup(void **state)
{
    make(state);
    start(*state, 16);
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    harness_done(&b->h);
    assert_int_equal(unlink(b->path), 0);
    assert_int_equal(rmdir(b->folder), 0);
    free(b);
    return 0;
}

static uint64_t counter_value;
static void tell(void *arg, const char *name, uint64_t value)
{
    if (streq(name, arg))
        counter_value = value;
}
static uint64_t counter(struct bench *b, const char *name)
{
    counter_value = UINT64_MAX;
    virtio_ops_of(b->h.device)->counters(virtio_device(b->h.device), tell, (void *)(uintptr_t)name);
    return counter_value;
}

/* --- the guest --- */

static struct virtio_vsock_hdr header(uint16_t op, uint32_t guest_port, uint32_t host_port, uint32_t length)
{
    return (struct virtio_vsock_hdr){.src_cid = CID,
                                     .dst_cid = 2,
                                     .src_port = guest_port,
                                     .dst_port = host_port,
                                     .len = length,
                                     .type = 1,
                                     .op = op,
                                     .buf_alloc = BIG};
}

/* Sends header and data, in pieces that respect no border. */
static void send_raw(struct bench *b, const struct virtio_vsock_hdr *hdr, const void *data, uint32_t length)
{
    uint32_t all = 44 + length, written, first = all < 50 ? all - 1 : 50;
    struct harness_piece pieces[] = {
        {b->tx_gpa, 10, false}, {b->tx_gpa + 10, first - 10, false}, {b->tx_gpa + first, all - first, false}};
    uint16_t head;

    memcpy(harness_at(&b->h, b->tx_gpa), hdr, 44);
    if (length)
        memcpy(harness_at(&b->h, b->tx_gpa + 44), data, length);
    harness_add(&b->h, TX, pieces, 3);
    ring(b, TX);
    assert_int_equal(harness_take(&b->h, TX, &head, &written), 1);
    assert_int_equal(written, 0);
}

static void send_op(struct bench *b, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
    struct virtio_vsock_hdr hdr = header(op, guest_port, host_port, 0);

    send_raw(b, &hdr, NULL, 0);
}

static void send_data(struct bench *b, uint32_t guest_port, uint32_t host_port, const void *data, uint32_t length)
{
    struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_RW, guest_port, host_port, length);

    send_raw(b, &hdr, data, length);
}

/* The next packet for the guest; its buffer is given again. */
static bool take(struct bench *b)
{
    uint32_t written;
    uint16_t head;

    if (!harness_take(&b->h, RX, &head, &written))
        return false;
    memcpy(&b->got, harness_at(&b->h, b->rx_gpa[head]), 44);
    assert_int_equal(written, 44 + b->got.len);
    assert_true(written <= RX_BYTES);
    memcpy(b->data, (uint8_t *)harness_at(&b->h, b->rx_gpa[head]) + 44, b->got.len);
    give_at(b, b->rx_gpa[head]);
    assert_int_equal(b->got.dst_cid, CID);
    assert_int_equal(b->got.src_cid >> 32, 0);
    return true;
}

static void expect(struct bench *b, uint16_t op)
{
    if (!take(b))
        fail_msg("no packet, wanted %u", op);
    ring(b, RX);
    assert_int_equal(b->got.op, op);
}

static void expect_none(struct bench *b)
{
    settle(b);
    if (take(b))
        fail_msg("a packet: %u", b->got.op);
}

/* --- programs of the host --- */

static int dial(struct bench *b)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    memcpy(address.sun_path, b->path, strlen(b->path));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    settle(b);
    return fd;
}

static void say(struct bench *b, int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    settle(b);
}

static void expect_line(int fd, const char *wanted)
{
    char line[64] = "";
    ssize_t n = recv(fd, line, strlen(wanted), MSG_DONTWAIT);

    assert_int_equal(n, strlen(wanted));
    assert_string_equal(line, wanted);
}

static void expect_end(int fd)
{
    char c;

    assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), 0);
    close(fd);
}

/* A link that a program made: its ports are those of b->got. */
static int call(struct bench *b, uint32_t guest_port, uint32_t *ret_port)
{
    char text[64];
    int fd = dial(b);

    snprintf(text, sizeof(text), "CONNECT %u\n", guest_port);
    say(b, fd, text);
    expect(b, VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(b->got.dst_port, guest_port);
    *ret_port = b->got.src_port;
    send_op(b, VIRTIO_VSOCK_OP_RESPONSE, guest_port, *ret_port);
    snprintf(text, sizeof(text), "OK %u\n", *ret_port);
    expect_line(fd, text);
    return fd;
}

/* --- a good driver and good programs --- */

static void test_host_calls(void **state)
{
    struct bench *b = *state;
    uint32_t port;
    int fd = dial(b);
    char line[32], data[64];

    assert_int_equal(harness_read(&b->h, 0x2000, 8), CID);
    /* In two parts, with bytes for the guest behind it. */
    say(b, fd, "CONNE");
    expect_none(b);
    say(b, fd, "CT 1234\nearly");
    expect(b, VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(b->got.src_cid, 2);
    assert_int_equal(b->got.dst_port, 1234);
    assert_int_equal(b->got.type, 1);
    assert_int_equal(b->got.buf_alloc, BUFFER);
    port = b->got.src_port;
    expect_none(b);
    send_op(b, VIRTIO_VSOCK_OP_RESPONSE, 1234, port);
    snprintf(line, sizeof(line), "OK %u\n", port);
    expect_line(fd, line);
    expect(b, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(b->got.len, 5);
    assert_memory_equal(b->data, "early", 5);
    send_data(b, 1234, port, "hello", 5);
    assert_int_equal(recv(fd, data, sizeof(data), 0), 5);
    assert_memory_equal(data, "hello", 5);
    /* Asked for, and exact (5.10.6.3). */
    send_op(b, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1234, port);
    expect(b, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    assert_int_equal(b->got.fwd_cnt, 5);
    /* The program sends no more, but still hears; then it goes. */
    say(b, fd, "end");
    shutdown(fd, SHUT_WR);
    settle(b);
    expect(b, VIRTIO_VSOCK_OP_RW);
    expect(b, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(b->got.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    send_data(b, 1234, port, "reply", 5);
    assert_int_equal(recv(fd, data, sizeof(data), 0), 5);
    close(fd);
    settle(b);
    expect(b, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(b->got.flags, 3);
    send_op(b, VIRTIO_VSOCK_OP_RST, 1234, port);
    expect_none(b);
    assert_int_equal(counter(b, "links"), 0);
    assert_int_equal(counter(b, "from-guest-bytes"), 10);
    assert_int_equal(counter(b, "to-guest-bytes"), 8);
    assert_int_equal(harness_status(&b->h), 0x0f);
}

static void test_guest_calls(void **state)
{
    struct bench *b = *state;
    char data[64];
    int first = dial(b), second = dial(b);

    say(b, first, "LISTEN 5000\n");
    expect_line(first, "OK 5000\n");
    say(b, second, "LISTEN 5000\n");
    expect_line(second, "OK 5000\n");
    send_op(b, VIRTIO_VSOCK_OP_REQUEST, 77, 5000);
    expect(b, VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(b->got.dst_port, 77);
    assert_int_equal(b->got.src_port, 5000);
    expect_line(first, "CONNECT 77\n");
    send_op(b, VIRTIO_VSOCK_OP_REQUEST, 78, 5000);
    expect(b, VIRTIO_VSOCK_OP_RESPONSE);
    expect_line(second, "CONNECT 78\n");
    /* Nobody waits any more, and nobody ever did. */
    send_op(b, VIRTIO_VSOCK_OP_REQUEST, 79, 5000);
    expect(b, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(b->got.dst_port, 79);
    send_op(b, VIRTIO_VSOCK_OP_REQUEST, 79, 5001);
    expect(b, VIRTIO_VSOCK_OP_RST);
    /* Each hears its own. */
    send_data(b, 78, 5000, "two", 3);
    send_data(b, 77, 5000, "one", 3);
    assert_int_equal(recv(first, data, sizeof(data), 0), 3);
    assert_memory_equal(data, "one", 3);
    assert_int_equal(recv(second, data, sizeof(data), 0), 3);
    assert_memory_equal(data, "two", 3);
    say(b, second, "back");
    expect(b, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(b->got.dst_port, 78);
    /* The guest closes: what it sent before is there first. */
    struct virtio_vsock_hdr bye = header(VIRTIO_VSOCK_OP_SHUTDOWN, 77, 5000, 0);
    send_data(b, 77, 5000, "last", 4);
    bye.flags = 3;
    send_raw(b, &bye, NULL, 0);
    expect(b, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(recv(first, data, sizeof(data), 0), 4);
    expect_end(first);
    /* It sends no more, but hears. */
    bye = header(VIRTIO_VSOCK_OP_SHUTDOWN, 78, 5000, 0);
    bye.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
    send_raw(b, &bye, NULL, 0);
    assert_int_equal(recv(second, data, 1, 0), 0);
    say(b, second, "still");
    expect(b, VIRTIO_VSOCK_OP_RW);
    close(second);
    settle(b);
    expect(b, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(harness_status(&b->h), 0x0f);
}

/* A program that sent much and left before the guest read: the guest gets all of it, then the end. */
static void test_program_leaves(void **state)
{
    struct bench *b = *state;
    uint32_t port, n = 0;
    uint8_t all[100000];
    int fd = call(b, 9, &port);

    for (unsigned i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)(i * 7 >> 3);
    assert_int_equal(send(fd, all, sizeof(all), 0), sizeof(all));
    close(fd);
    settle(b);
    for (;;) {
        while (!take(b))
            ring(b, RX);
        ring(b, RX);
        if (b->got.op == VIRTIO_VSOCK_OP_RW) {
            assert_memory_equal(b->data, all + n, b->got.len);
            n += b->got.len;
        } else {
            assert_int_equal(b->got.op, VIRTIO_VSOCK_OP_SHUTDOWN);
            if (b->got.flags == 3)
                break;
        }
    }
    assert_int_equal(n, sizeof(all));
    /* What the guest sends meanwhile is taken and forgotten. */
    send_data(b, 9, port, "x", 1);
    send_op(b, VIRTIO_VSOCK_OP_RST, 9, port);
    assert_int_equal(counter(b, "links"), 0);
}

static void test_lines(void **state)
{
    static const char *const bad[] = {"HELLO 5\n",
                                      "CONNECT\n",
                                      "CONNECT \n",
                                      "CONNECT -1\n",
                                      "CONNECT 5 \n",
                                      "CONNECT 4294967295\n",
                                      "CONNECT 99999999999999999\n",
                                      "LISTEN x\n",
                                      "\n",
                                      "CONNECT 000000000000000000000000000000000005\n",
                                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
    struct bench *b = *state;
    char c;
    int fd;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        fd = dial(b);
        say(b, fd, bad[i]);
        assert_true(recv(fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
        close(fd);
    }
    fd = dial(b);
    assert_int_equal(send(fd, "CONNECT 5\0\n", 11, 0), 11);
    settle(b);
    expect_end(fd);
    fd = dial(b);
    close(fd);
    settle(b);
    expect_none(b);
    assert_int_equal(counter(b, "links"), 0);
    /* No driver, no call; but waiting for one is well. */
    harness_reset(&b->h);
    fd = dial(b);
    say(b, fd, "CONNECT 5\n");
    expect_end(fd);
    fd = dial(b);
    say(b, fd, "LISTEN 5\n");
    expect_line(fd, "OK 5\n");
    start(b, 8);
    send_op(b, VIRTIO_VSOCK_OP_REQUEST, 6, 5);
    expect(b, VIRTIO_VSOCK_OP_RESPONSE);
    close(fd);
}

/* --- credit --- */

/* Pitfall 9: a program that reads in fits, a socket that takes parts of packets: no byte is lost, doubled or moved, and
 * a guest that keeps to its credit is never reset. */
static void test_credit_of_guest(void **state)
{
    struct bench *b = *state;
    uint32_t port, sent = 0, known = 0, received = 0, seed = 1;
    static uint8_t data[BUFFER];
    int fd = call(b, 9, &port);

    for (unsigned round = 0; received < 2u << 20; round++) {
        for (;;) { /* as much as the credit lets */
            uint32_t room = BUFFER - (sent - known), n;

            seed = seed * 1664525 + 1013904223;
            n = seed >> 16 & 0xffff;
            n = n < room ? n : room;
            if (!n)
                break;
            for (uint32_t i = 0; i < n; i++)
                data[i] = (uint8_t)((sent + i) * 2654435761u >> 24);
            send_data(b, 9, port, data, n);
            sent += n;
            while (take(b)) {
                assert_int_equal(b->got.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
                known = b->got.fwd_cnt;
            }
            ring(b, RX);
            if (sent - received > 1u << 20)
                break;
        }
        assert_true(sent - known <= BUFFER);
        ssize_t n = recv(fd, data, 1 + round * 7919 % sizeof(data), MSG_DONTWAIT);
        for (ssize_t i = 0; i < n; i++, received++)
            assert_int_equal(data[i], (uint8_t)(received * 2654435761u >> 24));
        settle(b);
        while (take(b)) {
            assert_int_equal(b->got.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
            assert_true(b->got.fwd_cnt - known <= BUFFER + (1u << 20));
            known = b->got.fwd_cnt;
        }
        ring(b, RX);
    }
    assert_int_equal(counter(b, "reset"), 0);
    close(fd);
}

/* More than it may send: that link is reset, the others go on. */
static void test_credit_broken(void **state)
{
    struct bench *b = *state;
    static uint8_t data[60000];
    uint32_t port, other_port;
    int fd = call(b, 9, &port), other = call(b, 10, &other_port);
    unsigned n = 0;

    while (counter(b, "reset") == 0 && n++ < 100) {
        send_data(b, 9, port, data, sizeof(data));
        while (take(b) && b->got.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE)
            ;
    }
    assert_true(n > 1 && n < 100);
    assert_int_equal(b->got.op, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(b->got.dst_port, 9);
    send_data(b, 10, other_port, "x", 1);
    assert_int_equal(recv(other, data, 8, 0), 1);
    assert_int_equal(harness_status(&b->h), 0x0f);
    close(fd);
    close(other);
}

/* The guest's word: exactly that much, also when its counters wrap or are nonsense. */
static void test_credit_of_host(void **state)
{
    struct bench *b = *state;
    struct virtio_vsock_hdr hdr;
    uint32_t port, got = 0;
    char data[5000];
    int fd = dial(b);

    memset(data, 'd', sizeof(data));
    say(b, fd, "CONNECT 9\n");
    expect(b, VIRTIO_VSOCK_OP_REQUEST);
    port = b->got.src_port;
    hdr = header(VIRTIO_VSOCK_OP_RESPONSE, 9, port, 0);
    hdr.buf_alloc = 1500;
    send_raw(b, &hdr, NULL, 0);
    assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
    settle(b);
    for (unsigned i = 1; i <= 3; i++) {
        while (take(b)) {
            assert_int_equal(b->got.op, VIRTIO_VSOCK_OP_RW);
            got += b->got.len;
            ring(b, RX);
        }
        assert_int_equal(got, 1500 * i);
        hdr.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
        hdr.fwd_cnt = got;
        hdr.buf_alloc = i < 3 ? 1500 : 100;
        send_raw(b, &hdr, NULL, 0);
    }
    expect(b, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(b->got.len, 100);
    /* It claims to have forwarded what it never got; then nothing at all may be sent. */
    hdr.fwd_cnt = got + 1000000;
    hdr.buf_alloc = 1500;
    send_raw(b, &hdr, NULL, 0);
    expect_none(b);
    hdr.fwd_cnt = got + 100;
    hdr.buf_alloc = UINT32_MAX;
    send_raw(b, &hdr, NULL, 0);
    expect(b, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(b->got.len, 5000 - 4600);
    close(fd);
}

/* --- a bad driver --- */

static void test_bad_packets(void **state)
{
    struct bench *b = *state;
    struct virtio_vsock_hdr hdr;
    uint32_t port;
    int fd;

    /* Not of this guest: no answer. */
    hdr = header(VIRTIO_VSOCK_OP_REQUEST, 9, 5, 0);
    hdr.src_cid = 4;
    send_raw(b, &hdr, NULL, 0);
    hdr.src_cid = CID | 1ull << 32;
    send_raw(b, &hdr, NULL, 0);
    expect_none(b);
    /* Not for the host, or of another type: RST from whom it was for. */
    hdr = header(VIRTIO_VSOCK_OP_REQUEST, 9, 5, 0);
    hdr.dst_cid = 7;
    send_raw(b, &hdr, NULL, 0);
    expect(b, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(b->got.src_cid, 7);
    hdr = header(VIRTIO_VSOCK_OP_REQUEST, 9, 5, 0);
    hdr.type = 2;
    send_raw(b, &hdr, NULL, 0);
    expect(b, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(b->got.type, 2);
    /* For no link: RST, except for RST. */
    for (uint16_t op = 0; op < 12; op++) {
        send_op(b, op, 9, 5);
        if (op == VIRTIO_VSOCK_OP_RST)
            expect_none(b);
        else
            expect(b, VIRTIO_VSOCK_OP_RST);
    }
    /* Against the rules of a link: it ends, whatever it was. */
    const uint16_t bad[] = {0, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE, 8, 0xffff};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        fd = call(b, 9, &port);
        send_op(b, bad[i], 9, port);
        expect(b, VIRTIO_VSOCK_OP_RST);
        expect_end(fd);
        assert_int_equal(counter(b, "links"), 0);
    }
    /* Data before its answer, and after it said that there is no more. */
    fd = dial(b);
    say(b, fd, "CONNECT 9\n");
    expect(b, VIRTIO_VSOCK_OP_REQUEST);
    send_data(b, 9, b->got.src_port, "x", 1);
    expect(b, VIRTIO_VSOCK_OP_RST);
    expect_end(fd);
    fd = call(b, 9, &port);
    hdr = header(VIRTIO_VSOCK_OP_SHUTDOWN, 9, port, 0);
    hdr.flags = 0xfffffffe;
    send_raw(b, &hdr, NULL, 0);
    send_data(b, 9, port, "x", 1);
    expect(b, VIRTIO_VSOCK_OP_RST);
    close(fd);
    assert_int_equal(harness_status(&b->h), 0x0f);
}

/* What is no packet at all breaks the device, and only until it is reset. */
static void test_no_packets(void **state)
{
    struct bench *b = *state;

    for (unsigned i = 0; i < 5; i++) {
        struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_REQUEST, 9, 5, i == 1 ? 5 : i == 2 ? UINT32_MAX : 0);
        struct harness_piece pieces[] = {{b->tx_gpa, i == 0 ? 43 : 48, false}, {b->tx_gpa, 64, true}};
        struct harness_piece small = {b->tx_gpa, 44, true};

        memcpy(harness_at(&b->h, b->tx_gpa), &hdr, 44);
        if (i == 4) { /* no room for a packet; the rest of the buffers first */
            harness_reset(&b->h);
            start(b, 0);
            harness_add(&b->h, RX, &small, 1);
            send_op(b, VIRTIO_VSOCK_OP_REQUEST, 9, 5);
        } else {
            harness_add(&b->h, TX, pieces, i == 3 ? 2 : 1);
            ring(b, TX);
        }
        assert_int_equal(harness_status(&b->h), 0x0f | NEEDS_RESET);
        harness_reset(&b->h);
        start(b, 8);
        send_op(b, VIRTIO_VSOCK_OP_REQUEST, 9, 5);
        expect(b, VIRTIO_VSOCK_OP_RST);
    }
}

/* Without room to answer, no more is heard than can be remembered; with room, nothing was lost. */
static void test_flood(void **state)
{
    struct bench *b = *state;
    uint32_t written, n_heard = 0, n_answers = 0;
    uint16_t head;

    harness_reset(&b->h);
    start(b, 0);
    for (unsigned i = 0; i < 60; i++) {
        struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_RW, 100 + i, 5, 0);
        struct harness_piece piece = {harness_alloc(&b->h, 44), 44, false};

        memcpy(harness_at(&b->h, piece.gpa), &hdr, 44);
        harness_add(&b->h, TX, &piece, 1);
    }
    ring(b, TX);
    while (harness_take(&b->h, TX, &head, &written))
        n_heard++;
    assert_int_equal(n_heard, 60);
    for (unsigned i = 0; i < 60; i++) {
        struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_RW, 200 + i, 5, 0);
        struct harness_piece piece = {harness_alloc(&b->h, 44), 44, false};

        memcpy(harness_at(&b->h, piece.gpa), &hdr, 44);
        harness_add(&b->h, TX, &piece, 1);
    }
    ring(b, TX);
    while (harness_take(&b->h, TX, &head, &written))
        n_heard++;
    assert_int_equal(n_heard, 64);
    /* What it waits for is the driver: the loop has nothing to do until then. */
    struct pollfd loop = {.fd = b->h.loop.epoll_fd, .events = POLLIN};
    assert_int_equal(poll(&loop, 1, 0), 0);
    for (unsigned i = 0; i < 20; i++) {
        give(b, 10);
        ring(b, RX);
        while (harness_take(&b->h, RX, &head, &written))
            n_answers++;
    }
    assert_int_equal(n_answers, 120);
    assert_int_equal(poll(&loop, 1, 0), 0);
}

/* ThreadSanitizer is told that a guest writes whenever it likes. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:^flip$\n";
}

/* Pitfall 5: the header changes while it is looked at. Each time one or the other counts, not a mixture. */
static _Atomic bool is_flipping;
static void *flip(void *at)
{
    struct virtio_vsock_hdr *hdr = at;

    for (uint32_t i = 0; is_flipping; i++) {
        __atomic_store_n((uint32_t *)((uint8_t *)hdr + offsetof(struct virtio_vsock_hdr, len)), i & 1 ? 4 : 0,
                         __ATOMIC_RELAXED);
        __atomic_store_n((uint32_t *)((uint8_t *)hdr + offsetof(struct virtio_vsock_hdr, buf_alloc)), i * 77777,
                         __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_header_changes(void **state)
{
    struct bench *b = *state;
    struct virtio_vsock_hdr hdr;
    uint32_t port, written;
    uint16_t head;
    char data[4096];
    int fd = call(b, 9, &port);
    size_t received = 0;
    pthread_t thread;

    hdr = header(VIRTIO_VSOCK_OP_RW, 9, port, 4);
    memcpy(harness_at(&b->h, b->tx_gpa), &hdr, 44);
    memcpy(harness_at(&b->h, b->tx_gpa + 44), "abcd", 4);
    is_flipping = true;
    assert_int_equal(pthread_create(&thread, NULL, flip, harness_at(&b->h, b->tx_gpa)), 0);
    for (unsigned i = 0; i < 3000; i++) {
        struct harness_piece piece = {b->tx_gpa, 48, false};
        ssize_t n;

        harness_add(&b->h, TX, &piece, 1);
        harness_kick(&b->h, TX);
        assert_int_equal(harness_take(&b->h, TX, &head, &written), 1);
        n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        assert_true(n < 0 || n == 4);
        if (n == 4)
            assert_memory_equal(data, "abcd", 4);
        received += n > 0 ? (size_t)n : 0;
    }
    is_flipping = false;
    pthread_join(thread, NULL);
    assert_int_equal(counter(b, "from-guest-bytes"), received);
    assert_int_equal(counter(b, "reset"), 0);
    close(fd);
}

/* --- limits, resets, saving --- */

static void test_reset_with_links(void **state)
{
    struct bench *b = *state;
    static uint8_t data[60000];
    uint32_t port;
    int open = call(b, 9, &port), waiting = dial(b), calling = dial(b), line = dial(b);

    for (unsigned i = 0; i < 5; i++)
        send_data(b, 9, port, data, i < 4 ? 60000 : 30000); /* some of it is kept here */
    say(b, waiting, "LISTEN 5\n");
    say(b, calling, "CONNECT 5\n");
    say(b, line, "CONN");
    assert_int_equal(counter(b, "links"), 4);
    harness_reset(&b->h);
    settle(b);
    assert_int_equal(counter(b, "links"), 2);
    expect_end(calling);
    while (recv(open, data, sizeof(data), MSG_DONTWAIT) > 0)
        ;
    expect_end(open);
    /* Two resets without a look of the loop in between. */
    start(b, 8);
    open = call(b, 9, &port);
    harness_write(&b->h, 0x14, 1, 0);
    harness_reset(&b->h);
    start(b, 8);
    expect_end(open);
    expect_line(waiting, "OK 5\n");
    send_op(b, VIRTIO_VSOCK_OP_REQUEST, 6, 5);
    expect(b, VIRTIO_VSOCK_OP_RESPONSE);
    expect_line(waiting, "CONNECT 6\n");
    say(b, line, "ECT 6\n");
    expect(b, VIRTIO_VSOCK_OP_REQUEST);
    close(waiting);
    close(line);
}

/* 256 programs at once; the next waits until one goes. None of them, saying nothing, stays for ever. */
static void test_limit_of_links(void **state)
{
    struct bench *b = *state;
    int fds[256], more;

    for (unsigned i = 0; i < 256; i++)
        fds[i] = dial(b);
    assert_int_equal(counter(b, "links"), 256);
    more = dial(b);
    settle(b);
    assert_int_equal(counter(b, "links"), 256);
    say(b, more, "LISTEN 7\n");
    close(fds[100]);
    settle(b);
    expect_line(more, "OK 7\n");
    assert_int_equal(counter(b, "links"), 256);
    for (unsigned i = 0; i < 256; i++)
        if (i != 100)
            close(fds[i]);
    settle(b);
    for (unsigned i = 0; i < 40; i++)
        settle(b);
    assert_int_equal(counter(b, "links"), 1);
    close(more);
}

/* A guest that answers nothing, a program that says nothing: both are given up. */
static void test_limit_of_time(void **state)
{
    struct bench *b = *state;
    int calling = dial(b), silent = dial(b);
    struct pollfd p = {.fd = b->h.loop.epoll_fd, .events = POLLIN};

    say(b, calling, "CONNECT 9\n");
    expect(b, VIRTIO_VSOCK_OP_REQUEST);
    for (unsigned i = 0; i < 60 && counter(b, "links"); i++) {
        (void)poll(&p, 1, 1000);
        settle(b);
    }
    assert_int_equal(counter(b, "links"), 0);
    expect_end(calling);
    expect_end(silent);
    expect(b, VIRTIO_VSOCK_OP_RST);
    /* And the clock stands still again. */
    assert_int_equal(poll(&p, 1, 1500), 0);
}

/* One that floods takes every second turn, not all. */
static void test_fairness(void **state)
{
    struct bench *b = *state;
    static uint8_t data[100000];
    uint32_t port, other_port;
    int fd = call(b, 9, &port), other = call(b, 10, &other_port);
    unsigned n = 0;

    harness_turn(&b->h);
    assert_true(send(fd, data, sizeof(data), 0) > 50000);
    settle(b);
    assert_int_equal(send(other, "x", 1, 0), 1);
    settle(b);
    /* What lay ready before it was sent, and a turn each. */
    for (; n < 40; n++) {
        while (!take(b))
            ring(b, RX);
        ring(b, RX);
        if (b->got.op == VIRTIO_VSOCK_OP_RW && b->got.dst_port == 10)
            break;
    }
    assert_true(n <= 18);
    close(fd);
    close(other);
}

/* A driver that gives one buffer at a time hears all of them, too. */
static void test_fairness_one_by_one(void **state)
{
    struct bench *b = *state;
    static uint8_t data[60000];
    unsigned n_heard[3] = {0};
    uint32_t port;
    int fds[3];

    for (unsigned i = 0; i < 3; i++)
        fds[i] = call(b, 9 + i, &port);
    for (unsigned i = 0; i < 3; i++)
        assert_true(send(fds[i], data, sizeof(data), 0) > 50000);
    settle(b);
    for (unsigned i = 0; i < 60; i++) {
        ring(b, RX);
        assert_true(take(b));
        if (i >= 20 && b->got.op == VIRTIO_VSOCK_OP_RW)
            n_heard[b->got.dst_port - 9]++;
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_in_range(n_heard[i], 10, 16);
        close(fds[i]);
    }
}

static void load_into(struct bench *to, struct bench *from, const struct buf *saved)
{
    struct state_reader r = {(const uint8_t *)saved->data, (const uint8_t *)saved->data + saved->len, false};
    struct err e = ERR_INIT;

    memcpy(to->h.ram, from->h.ram, HARNESS_MEMORY_BYTES);
    memcpy(to->h.queues, from->h.queues, sizeof(to->h.queues));
    memcpy(to->rx_gpa, from->rx_gpa, sizeof(to->rx_gpa));
    to->h.next_gpa = from->h.next_gpa;
    to->tx_gpa = from->tx_gpa;
    assert_int_equal(virtio_load(to->h.device, &r, &e), 0);
    assert_int_equal(state_reader_end(&r, "vsock", &e), 0);
    settle(to);
}

/* Pitfall 21: the restored guest learns that its links are gone before anything else happens; packets of old links are
 * answered by RST; the machine that was saved goes on with its own. */
static void test_save_and_load(void **state)
{
    struct bench *b = *state, *other;
    struct virtio_vsock_hdr hdr;
    uint32_t port, written;
    uint16_t head;
    void *made;
    struct buf saved;
    int fd = call(b, 9, &port);

    make(&made);
    other = made;
    buf_init(&saved, 4096);
    /* On its way when the machine stands still. */
    hdr = header(VIRTIO_VSOCK_OP_RW, 9, port, 0);
    memcpy(harness_at(&b->h, b->tx_gpa), &hdr, 44);
    struct harness_piece piece = {b->tx_gpa, 44, false}, event = {harness_alloc(&b->h, 16), 16, true};
    harness_add(&b->h, TX, &piece, 1);
    virtio_save(b->h.device, &saved);
    load_into(other, b, &saved);
    /* No buffer for the event yet: nothing is heard. */
    assert_int_equal(harness_take(&other->h, TX, &head, &written), 0);
    memset(harness_at(&other->h, event.gpa), 0xff, 16);
    harness_add(&other->h, EVENTS, &event, 1);
    ring(other, EVENTS);
    assert_int_equal(harness_take(&other->h, EVENTS, &head, &written), 1);
    assert_int_equal(written, 4);
    assert_int_equal(*(uint32_t *)harness_at(&other->h, event.gpa), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    assert_int_equal(harness_take(&other->h, TX, &head, &written), 1);
    expect(other, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(other->got.dst_port, 9);
    /* New links work, and no second event comes. */
    event.gpa = harness_alloc(&other->h, 16);
    harness_add(&other->h, EVENTS, &event, 1);
    ring(other, EVENTS);
    close(call(other, 11, &port));
    assert_int_equal(harness_take(&other->h, EVENTS, &head, &written), 0);
    /* An event that does not fit is the driver's fault. */
    load_into(other, b, &saved);
    event = (struct harness_piece){b->tx_gpa, 3, true};
    harness_add(&other->h, EVENTS, &event, 1);
    ring(other, EVENTS);
    assert_int_equal(harness_status(&other->h), 0x0f | NEEDS_RESET);
    /* The first goes on. */
    ring(b, TX);
    assert_int_equal(harness_take(&b->h, TX, &head, &written), 1);
    expect_none(b);
    assert_int_equal(counter(b, "links"), 1);
    for (size_t n = 0; n < saved.len; n++) {
        struct state_reader r = {(const uint8_t *)saved.data, (const uint8_t *)saved.data + n, false};
        struct err e = ERR_INIT;

        assert_int_equal(virtio_load(other->h.device, &r, &e), -EBADMSG);
    }
    buf_done(&saved);
    teardown(&made);
    close(fd);
}

static void test_options(void **state)
{
    static const char *const bad[] = {"3",
                                      "cid=2,socket=/tmp/x",
                                      "cid=4294967295,socket=/tmp/x",
                                      "socket=/tmp/x",
                                      "cid=3,socket=/nonexistent/x",
                                      "cid=3,fd=0,socket=/tmp/x",
                                      "cid=3,fd=999",
                                      "cid=3,socket=/tmp/x,port=5"};
    struct bench *b = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct harness h;
    struct err e = ERR_INIT;
    struct stat st;
    char text[200];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(harness_init(&h, "vsock", bad[i], &e) < 0);
    /* For this user only; and never in place of what is there. */
    assert_int_equal(stat(b->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600 & ~022);
    snprintf(text, sizeof(text), "cid=3,socket=%s", b->path);
    assert_int_equal(harness_init(&h, "vsock", text, &e), -EADDRINUSE);
    assert_int_equal(access(b->path, F_OK), 0);
    snprintf(text, sizeof(text), "cid=3,socket=/tmp/%0120d", 1);
    assert_int_equal(harness_init(&h, "vsock", text, &e), -ENAMETOOLONG);
    /* A descriptor that does not listen, and one that does. */
    snprintf(text, sizeof(text), "cid=3,fd=%d", dup(fd));
    assert_int_equal(harness_init(&h, "vsock", text, &e), -EINVAL);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/t", b->folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    snprintf(text, sizeof(text), "cid=3,fd=%d", fd);
    assert_int_equal(harness_init(&h, "vsock", text, &e), 0);
    harness_done(&h);
    /* What nobody listens at any more gives way; a file does not. */
    snprintf(text, sizeof(text), "cid=3,socket=%s", address.sun_path);
    assert_int_equal(harness_init(&h, "vsock", text, &e), 0);
    harness_done(&h);
    assert_int_equal(unlink(address.sun_path), 0);
    close(open(address.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(harness_init(&h, "vsock", text, &e), -EADDRINUSE);
    assert_int_equal(unlink(address.sun_path), 0);
}

static void test_noise(void **state)
{
    struct bench *b = *state;
    uint32_t seed = 7;
    int fds[4] = {-1, -1, -1, -1};
    char data[4096];

    for (unsigned round = 0; round < 3000; round++) {
        int *fd = &fds[round % 4];
        struct virtio_vsock_hdr hdr;
        uint16_t head;
        uint32_t written;

        seed = seed * 1664525 + 1013904223;
        if (*fd < 0) {
            *fd = dial(b);
            say(b, *fd, seed & 1 << 20 ? "CONNECT 9\n" : "LISTEN 1073741825\n");
        } else if ((seed >> 10) % 7 == 0) {
            close(*fd);
            *fd = -1;
        } else if ((seed >> 10) % 3 == 0) {
            (void)send(*fd, data, seed >> 20, MSG_NOSIGNAL);
        } else {
            (void)!read(*fd, data, seed >> 20);
        }
        hdr = header((seed >> 4) % 9, 9, (1u << 30) + 1 + (seed >> 8) % 30, seed >> 25 & 1 ? (seed >> 12) % 3000 : 0);
        hdr.flags = seed >> 28;
        hdr.buf_alloc = seed >> 14;
        hdr.fwd_cnt = seed >> 18;
        memcpy(harness_at(&b->h, b->tx_gpa), &hdr, 44);
        struct harness_piece piece = {b->tx_gpa, 44 + hdr.len, false};
        harness_add(&b->h, TX, &piece, 1);
        harness_kick(&b->h, TX);
        assert_int_equal(harness_take(&b->h, TX, &head, &written), 1);
        while (take(b))
            harness_kick(&b->h, RX);
        if (round % 500 == 499) {
            harness_reset(&b->h);
            start(b, 16);
        }
    }
    assert_int_equal(harness_status(&b->h), 0x0f);
    for (unsigned i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_host_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guest_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_credit_of_guest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_credit_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_credit_of_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_packets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_packets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_with_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fairness, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fairness_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_and_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
