/* The console device on the harness: bytes both ways, readers and drivers that are full, and a driver that breaks the
 * rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vmm/harness.h"

#define GOOD   0x0f
#define BROKEN 0x4f

enum { RX, TX };

struct console {
    struct harness h;
    int peer;
};

static int setup(void **state)
{
    struct console *t = calloc(1, sizeof(*t));
    struct err e = ERR_INIT;
    int pair[2], bytes = 4096;
    char text[32];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    t->peer = pair[0];
    snprintf(text, sizeof(text), "fd=%d", pair[1]);
    if (harness_init(&t->h, "vconsole", text, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(harness_start(&t->h, UINT64_MAX, 2, 16), GOOD);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct console *t = *state;

    harness_done(&t->h);
    if (t->peer >= 0)
        close(t->peer);
    free(t);
    return 0;
}

static uint8_t pattern(unsigned i)
{
    return (uint8_t)(i * 3 + i / 241);
}

static uint64_t add(struct console *t, unsigned queue, uint32_t bytes)
{
    struct harness_piece p = {harness_alloc(&t->h, bytes), bytes, queue == RX};
    uint8_t *at = harness_at(&t->h, p.gpa);

    for (unsigned i = 0; queue == TX && i < bytes; i++)
        at[i] = pattern(i);
    harness_add(&t->h, queue, &p, 1);
    return p.gpa;
}

/* Lets the device work until nothing moves any more: the main loop has nothing that is ready. */
static void turn(struct console *t)
{
    for (unsigned i = 0; i < 64; i++)
        harness_turn(&t->h);
}

static void test_out(void **state)
{
    struct console *t = *state;
    uint8_t got[100];
    uint32_t written;
    uint16_t head;

    uint64_t gpa = harness_alloc(&t->h, 100);
    struct harness_piece p[] = {{gpa, 1, false}, {gpa + 1, 60, false}, {gpa + 61, 39, false}};
    for (unsigned i = 0; i < 100; i++)
        ((uint8_t *)harness_at(&t->h, gpa))[i] = pattern(i);
    harness_add(&t->h, TX, p, 3);
    harness_kick(&t->h, TX);
    turn(t);
    assert_int_equal(harness_take(&t->h, TX, &head, &written), 1);
    assert_int_equal(written, 0);
    assert_int_equal(recv(t->peer, got, sizeof(got), MSG_DONTWAIT), 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(got[i], pattern(i));
}

/* The reader is full: the driver's buffer waits, where it is, and goes on when there is place; no byte twice. */
static void test_out_full(void **state)
{
    struct console *t = *state;
    static uint8_t got[300000];
    uint32_t written;
    uint16_t head;
    size_t n = 0;

    add(t, TX, sizeof(got));
    harness_kick(&t->h, TX);
    turn(t);
    assert_int_equal(harness_take(&t->h, TX, &head, &written), 0);
    for (unsigned i = 0; i < 100000 && n < sizeof(got); i++) {
        ssize_t part = recv(t->peer, got + n, sizeof(got) - n < 1000 ? sizeof(got) - n : 1000, MSG_DONTWAIT);

        if (part > 0)
            n += (size_t)part;
        harness_turn(&t->h);
    }
    turn(t);
    assert_int_equal(n, sizeof(got));
    assert_int_equal(harness_take(&t->h, TX, &head, &written), 1);
    for (unsigned i = 0; i < sizeof(got); i++)
        assert_int_equal(got[i], pattern(i));
    assert_int_equal(recv(t->peer, got, 1, MSG_DONTWAIT), -1);
}

/* Nothing is read that the driver has no place for: the writer waits. */
static void test_in(void **state)
{
    struct console *t = *state;
    static uint8_t bytes[5000];
    uint32_t written;
    uint16_t head;
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = pattern(i);
    assert_int_equal(send(t->peer, bytes, sizeof(bytes), 0), sizeof(bytes));
    turn(t);
    while (n < sizeof(bytes)) {
        uint64_t gpa;

        t->h.next_gpa = HARNESS_MEMORY_GPA + (1 << 20);
        gpa = add(t, RX, 700);
        harness_kick(&t->h, RX);
        turn(t);
        assert_int_equal(harness_take(&t->h, RX, &head, &written), 1);
        assert_in_range(written, 1, 700);
        for (unsigned i = 0; i < written; i++)
            assert_int_equal(((uint8_t *)harness_at(&t->h, gpa))[i], pattern(n + i));
        n += written;
    }
    /* One that waits gets what comes later. */
    add(t, RX, 700);
    harness_kick(&t->h, RX);
    turn(t);
    assert_int_equal(harness_take(&t->h, RX, &head, &written), 0);
    assert_int_equal(send(t->peer, "abc", 3, 0), 3);
    turn(t);
    assert_int_equal(harness_take(&t->h, RX, &head, &written), 1);
    assert_int_equal(written, 3);
}

/* Whoever listened is gone: the guest writes on as if he were there. */
static void test_gone(void **state)
{
    struct console *t = *state;
    uint32_t written;
    uint16_t head;

    add(t, RX, 100);
    add(t, TX, 300000);
    harness_kick(&t->h, RX);
    harness_kick(&t->h, TX);
    close(t->peer);
    t->peer = -1;
    turn(t);
    assert_int_equal(harness_take(&t->h, TX, &head, &written), 1);
    add(t, TX, 100);
    harness_kick(&t->h, TX);
    turn(t);
    assert_int_equal(harness_take(&t->h, TX, &head, &written), 1);
    assert_int_equal(harness_take(&t->h, RX, &head, &written), 0);
    /* Nothing is ready for ever. */
    struct pollfd p = {.fd = t->h.loop.epoll_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(harness_status(&t->h), GOOD);
}

static void test_hostile(void **state)
{
    static const struct {
        unsigned queue, n;
        struct harness_piece pieces[2];
    } cases[] = {{TX, 1, {{0, 10, true}}},
                 {TX, 2, {{0, 10, false}, {0, 10, true}}},
                 {TX, 1, {{0xc0000000, 10, false}}},
                 {RX, 1, {{0, 10, false}}},
                 {RX, 2, {{0, 10, false}, {0, 10, true}}},
                 {RX, 1, {{HARNESS_MEMORY_GPA, UINT32_MAX, true}}}};
    struct console *t = *state;
    uint32_t written;
    uint16_t head;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct harness_piece p[2];

        memcpy(p, cases[i].pieces, sizeof(p));
        for (unsigned k = 0; k < cases[i].n; k++)
            if (!p[k].gpa)
                p[k].gpa = harness_alloc(&t->h, 10);
        assert_int_equal(send(t->peer, "x", 1, 0), 1);
        harness_add(&t->h, cases[i].queue, p, cases[i].n);
        harness_kick(&t->h, cases[i].queue);
        turn(t);
        assert_int_equal(harness_status(&t->h), BROKEN);
        harness_reset(&t->h);
        assert_int_equal(harness_start(&t->h, 0, 2, 16), GOOD);
        add(t, RX, 10);
        harness_kick(&t->h, RX);
        turn(t);
        assert_int_equal(harness_take(&t->h, RX, &head, &written), 1);
        assert_int_equal(written, 1);
    }
}

/* In the middle of a buffer: the rest follows after the state was loaded, without a byte twice. */
static void test_save(void **state)
{
    struct console *t = *state;
    static uint8_t got[100000];
    struct err e = ERR_INIT;
    uint32_t written;
    uint16_t head;
    size_t n = 0;
    struct buf b;

    add(t, TX, sizeof(got));
    harness_kick(&t->h, TX);
    turn(t);
    buf_init(&b, 4096);
    virtio_save(t->h.device, &b);
    struct state_reader r = {.at = (const uint8_t *)b.data, .end = (const uint8_t *)b.data + b.len};
    assert_int_equal(virtio_load(t->h.device, &r, &e), 0);
    assert_int_equal(state_reader_end(&r, "vconsole", &e), 0);
    for (unsigned i = 0; i < 100000 && n < sizeof(got); i++) {
        ssize_t part = recv(t->peer, got + n, sizeof(got) - n < 1000 ? sizeof(got) - n : 1000, MSG_DONTWAIT);

        n += part > 0 ? (size_t)part : 0;
        harness_turn(&t->h);
    }
    turn(t);
    assert_int_equal(n, sizeof(got));
    for (unsigned i = 0; i < sizeof(got); i++)
        assert_int_equal(got[i], pattern(i));
    assert_int_equal(harness_take(&t->h, TX, &head, &written), 1);
    buf_done(&b);
}

/* A plain file is always ready, and cannot be watched. */
static void test_file(void **state)
{
    int fd = memfd_create("console", MFD_CLOEXEC);
    uint8_t got[5000];
    struct err e = ERR_INIT;
    struct console t = {0};
    char text[32];
    uint32_t written;
    uint16_t head;

    assert_int_equal(write(fd, "input", 5), 5);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    snprintf(text, sizeof(text), "fd=%d", fd);
    assert_int_equal(harness_init(&t.h, "vconsole", text, &e), 0);
    assert_int_equal(harness_start(&t.h, 0, 2, 16), GOOD);
    add(&t, RX, 100);
    add(&t, RX, 100);
    harness_kick(&t.h, RX);
    turn(&t);
    assert_int_equal(harness_take(&t.h, RX, &head, &written), 1);
    assert_int_equal(written, 5);
    add(&t, TX, 5000);
    harness_kick(&t.h, TX);
    turn(&t);
    assert_int_equal(harness_take(&t.h, TX, &head, &written), 1);
    assert_int_equal(pread(fd, got, sizeof(got), 5), 5000);
    assert_int_equal(got[4999], pattern(4999));
    struct pollfd p = {.fd = t.h.loop.epoll_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    harness_done(&t.h);
}

static void test_bad_options(void **state)
{
    static const char *const texts[] = {"", "none", "fd=70000", "fd=x", "stdio,fd=1", "stdio,size=80"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct err e = ERR_INIT;
        struct harness h;

        assert_true(harness_init(&h, "vconsole", texts[i], &e) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save, setup, teardown),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad_options),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
