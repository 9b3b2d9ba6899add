/* The serial port: registers as a 16550A driver uses them, a reader that is slow or gone, input that ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "vmm/dev/serial.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct fixture {
    struct loop loop;
    struct serial *serial;
    int irq, in[2], out[2]; /* pipes: [0] is read, [1] written */
};

static uint8_t get(struct fixture *f, unsigned which)
{
    return (uint8_t)serial_ops.read(f->serial, which, 1);
}
static void put(struct fixture *f, unsigned which, uint8_t v)
{
    serial_ops.write(f->serial, which, 1, v);
}

/* What is ready now; false when nothing was. */
static bool turn(struct fixture *f)
{
    struct epoll_event events[4];
    int n = epoll_wait(f->loop.epoll_fd, events, 4, 0);

    for (int i = 0; i < n; i++) {
        struct loop_source *s = events[i].data.ptr;

        if (s->is_added)
            s->on_ready(s->context, events[i].events);
    }
    return n > 0;
}

/* Until nothing is ready: that it comes to rest is half of what is tested (no busy loop). */
static void settle(struct fixture *f)
{
    unsigned i = 0;

    while (turn(f))
        assert_true(++i < 1000);
}

static unsigned interrupts(struct fixture *f)
{
    uint64_t n = 0;

    return read(f->irq, &n, sizeof(n)) == (ssize_t)sizeof(n) ? (unsigned)n : 0;
}

static void begin(struct fixture *f, int in, int out)
{
    struct err e = ERR_INIT;

    assert_int_equal(loop_init(&f->loop, &e), 0);
    f->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(serial_new(&f->loop, in, out, f->irq, &f->serial, &e), 0);
}

static void end(struct fixture *f)
{
    serial_free(f->serial);
    loop_done(&f->loop);
    close(f->irq);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(pipe2(f->in, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(pipe2(f->out, O_NONBLOCK | O_CLOEXEC), 0);
    begin(f, f->in[0], f->out[1]);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    end(f);
    for (unsigned i = 0; i < 2; i++) {
        close(f->in[i]);
        close(f->out[i]);
    }
    free(f);
    return 0;
}

static void test_registers(void **state)
{
    struct fixture *f = *state;

    put(f, SCR, 0x5a);
    assert_int_equal(get(f, SCR), 0x5a);
    put(f, LCR, 0x83);
    put(f, DATA, 0x01);
    put(f, IER, 0x02);
    assert_int_equal(get(f, DATA), 0x01);
    assert_int_equal(get(f, IER), 0x02);
    put(f, LCR, 0x03);
    assert_int_equal(get(f, IER), 0);
    assert_int_equal(get(f, DATA), 0);
    assert_int_equal(get(f, LSR), 0x60);
    assert_int_equal(get(f, MSR), 0xb0);
    put(f, IER, 0xff);
    assert_int_equal(get(f, IER), 0x0f);
    put(f, IIR, 1);
    assert_int_equal(get(f, IIR) & 0xc0, 0xc0);
    put(f, LSR, 0xff);
    put(f, MSR, 0xff);
    assert_int_equal(get(f, LSR), 0x60);
    /* Only bytes. */
    assert_true(serial_ops.read(f->serial, 0, 2) == UINT64_MAX);
    serial_ops.write(f->serial, SCR, 4, 0);
    assert_int_equal(get(f, SCR), 0x5a);
    serial_reset(f->serial);
    assert_int_equal(get(f, SCR) | get(f, IER) | get(f, LCR), 0);
}

/* How a driver finds out what it has before it (8250_core, autoconfig): the loop gives back what is sent. */
static void test_loopback(void **state)
{
    struct fixture *f = *state;

    put(f, MCR, 0x1a);
    assert_int_equal(get(f, MSR) & 0xf0, 0x90);
    put(f, DATA, 'x');
    assert_int_equal(get(f, LSR) & 1, 1);
    assert_int_equal(get(f, DATA), 'x');
    assert_int_equal(get(f, LSR) & 1, 0);
    for (unsigned i = 0; i < 1000; i++)
        put(f, DATA, (uint8_t)i);
    put(f, IIR, 2); /* clears what was received */
    assert_int_equal(get(f, LSR) & 1, 0);
}

static void test_input(void **state)
{
    struct fixture *f = *state;
    char bytes[300];
    unsigned n = 0;

    memset(bytes, 'a', sizeof(bytes));
    settle(f);
    put(f, MCR, 8);
    put(f, IER, 1);
    assert_int_equal(interrupts(f), 0);
    assert_int_equal(write(f->in[1], bytes, sizeof(bytes)), sizeof(bytes));
    settle(f);
    assert_true(interrupts(f) > 0);
    assert_int_equal(get(f, IIR) & 0x0f, 4);
    /* More than the port holds comes in pieces, and all of it. */
    while (get(f, LSR) & 1) {
        assert_int_equal(get(f, DATA), 'a');
        n++;
        settle(f);
    }
    assert_int_equal(n, sizeof(bytes));
    assert_int_equal(get(f, IIR) & 0x0f, 1);
    /* Its end. */
    close(f->in[1]);
    f->in[1] = -1;
    settle(f);
    assert_int_equal(get(f, LSR) & 1, 0);
}

static void test_sent_interrupt(void **state)
{
    struct fixture *f = *state;

    put(f, MCR, 8);
    put(f, IER, 2);
    assert_int_equal(interrupts(f), 1);
    assert_int_equal(get(f, IIR) & 0x0f, 2);
    assert_int_equal(get(f, IIR) & 0x0f, 1);
    put(f, DATA, 'x');
    assert_int_equal(interrupts(f), 1);
    /* Without the gate no line. */
    put(f, MCR, 0);
    put(f, DATA, 'x');
    assert_int_equal(interrupts(f), 0);
    put(f, MCR, 8);
    assert_int_equal(interrupts(f), 1);
}

/* A reader that does not read: the guest goes on, 64 KiB wait, the rest is lost; then all that waits comes, in order.
 */
static void slow_reader(struct fixture *f, int reader)
{
    static uint8_t bytes[1u << 20];
    size_t n = 0;
    ssize_t part;

    settle(f);
    for (unsigned i = 0; i < 400000; i++) {
        put(f, DATA, (uint8_t)(i % 251));
        if (i % 1000 == 0)
            settle(f);
    }
    for (;;) {
        part = read(reader, bytes + n, 4096);
        if (part > 0)
            n += (size_t)part;
        else if (!turn(f))
            break;
    }
    assert_true(n >= 65536 && n < 400000);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], i % 251);
    /* And it works as before. */
    put(f, DATA, 0xee);
    settle(f);
    assert_int_equal(read(reader, bytes, sizeof(bytes)), 1);
    assert_int_equal(bytes[0], 0xee);
}

static void test_slow_reader(void **state)
{
    struct fixture *f = *state;

    slow_reader(f, f->out[0]);
}

/* One socket for both ways: it is watched for reading and for room at once. */
static void test_socket(void **state)
{
    struct fixture f;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    begin(&f, pair[0], pair[0]);
    slow_reader(&f, pair[1]);
    assert_int_equal(write(pair[1], "k", 1), 1);
    settle(&f);
    assert_int_equal(get(&f, DATA), 'k');
    close(pair[1]);
    settle(&f);
    put(&f, DATA, 'x'); /* nobody reads it */
    settle(&f);
    end(&f);
    close(pair[0]);
}

/* A terminal whose other side is gone reads as an error, for ever: that is no reason to spin. */
static void test_terminal_hung_up(void **state)
{
    struct fixture f;
    int master, slave;

    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(fcntl(slave, F_SETFL, O_NONBLOCK), 0);
    begin(&f, slave, slave);
    settle(&f);
    close(master);
    settle(&f);
    put(&f, DATA, 'x');
    settle(&f);
    end(&f);
    close(slave);
}

static void test_no_descriptors(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, -1, -1);
    settle(&f);
    for (unsigned i = 0; i < 100000; i++)
        put(&f, DATA, 'x');
    settle(&f);
    assert_int_equal(get(&f, DATA), 0);
    serial_flush(f.serial);
    end(&f);
}

/* Any register at any time by a guest's random driver, while input comes. */
static void test_random_driver(void **state)
{
    struct fixture *f = *state;
    uint32_t random = 12345;

    for (unsigned i = 0; i < 50000; i++) {
        random = random * 1664525 + 1013904223;
        if (random & 0x10000000)
            put(f, random >> 16 & 7, (uint8_t)(random >> 8));
        else
            (void)get(f, random >> 16 & 7);
        if (i % 64 == 0) {
            (void)!write(f->in[1], "0123456789", 10);
            settle(f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_input, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sent_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_terminal_hung_up),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test_setup_teardown(test_random_driver, setup, teardown),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
