/* The serial port: the input is a program of a driver (registers of any size) and of who is at the other end of the
 * descriptors: he sends, reads, stops reading or hangs up. The port never waits, never keeps more than it says, and is
 * as after power on when it is reset. */
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "program.h"
#include "vmm/dev/serial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct port {
    struct loop loop;
    struct serial *serial;
    int in, out, irq, peer; /* in and out are one; peer -1: gone */
    unsigned n_lines;       /* long ones, of which an input has only a few */
};

static void turn(struct port *t)
{
    struct epoll_event events[4];

    for (unsigned rounds = 0; rounds < 4; rounds++) {
        int n = epoll_wait(t->loop.epoll_fd, events, 4, 0);

        for (int i = 0; i < n; i++) {
            struct loop_source *s = events[i].data.ptr;

            if (s->is_added)
                s->on_ready(s->context, events[i].events);
        }
    }
}

/* kind: bit 0 nothing comes in, bit 1 nothing goes out. */
static void set_up(struct port *t, unsigned kind)
{
    struct err e = ERR_INIT;
    int pair[2], bytes = 4096;

    if (loop_init(&t->loop, &e) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    signal(SIGPIPE, SIG_IGN); /* as holm-vmm does */
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    t->in = t->out = pair[0];
    t->peer = pair[1];
    t->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->irq < 0 || serial_new(&t->loop, kind & 1 ? -1 : t->in, kind & 2 ? -1 : t->out, t->irq, &t->serial, &e) < 0)
        abort();
}

static void tear_down(struct port *t)
{
    serial_free(t->serial);
    loop_done(&t->loop);
    close(t->in);
    if (t->peer >= 0)
        close(t->peer);
    close(t->irq);
}

static void check_fresh(struct port *t)
{
    static const uint8_t fresh[8] = {0, 0, 1, 0, 0, 0x60, 0xb0, 0}; /* PC16550D, table II; the lines are connected */

    for (unsigned i = 0; i < 8; i++)
        if (serial_ops.read(t->serial, i, 1) != fresh[i])
            abort();
}

/* Bytes that come in or go out, many at a time. */
static void peer(struct port *t, struct program *p, unsigned how)
{
    char bytes[512];
    size_t n = 1 + take(p, 1) * 2;

    switch (how % 4) {
    case 0:
    case 1:
        memset(bytes, (int)take(p, 1), sizeof(bytes));
        (void)send(t->peer, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 2:
        (void)recv(t->peer, bytes, n, MSG_DONTWAIT);
        break;
    default:
        if (how == 3 && t->peer >= 0) {
            close(t->peer);
            t->peer = -1;
        }
        break;
    }
    turn(t);
}

static void step(struct port *t, struct program *p)
{
    unsigned what = (unsigned)take(p, 1), which = what >> 3 & 7, size;

    switch (what & 7) {
    case 0:
    case 1:
        serial_ops.write(t->serial, which, 1, take(p, 1));
        break;
    case 2:
    case 3:
        if (serial_ops.read(t->serial, which, 1) > 0xff)
            abort();
        break;
    case 4: /* of a size that the port has not */
        size = 1u << take(p, 1) % 4;
        serial_ops.write(t->serial, which & (8 - size), size, take(p, 8));
        if (serial_ops.read(t->serial, which & (8 - size), size) != UINT64_MAX && size != 1)
            abort();
        break;
    case 5: /* a long line of the guest's */
        for (unsigned n = t->n_lines++ < 10 ? (unsigned)take(p, 1) * 64 : 0; n; n--)
            serial_ops.write(t->serial, 0, 1, n & 0x7f);
        break;
    case 6:
        peer(t, p, what >> 3);
        break;
    default:
        if (what == 0xff) {
            serial_reset(t->serial);
            check_fresh(t);
        } else if (what == 0xf7) {
            serial_flush(t->serial);
        }
        turn(t);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct program p = {data, data + n};
    struct port t = {0};

    set_up(&t, (unsigned)take(&p, 1));
    for (unsigned i = 0; p.at < p.end && i < 500; i++)
        step(&t, &p);
    turn(&t);
    serial_reset(t.serial);
    check_fresh(&t);
    serial_flush(t.serial);
    tear_down(&t);
    return 0;
}
