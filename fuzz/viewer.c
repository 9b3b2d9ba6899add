/* Viewers of a screen, QEMU's end and the answers to the door's commands, all led by the input: who comes, says what,
 * reads, hangs up, in which order the commands end. What arrives is what was sent, one viewer is in the door at a time,
 * each command is one that the door gives, and at the end nothing is left. The commands are played by this file. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/monitor/monitor.h"

#define PEERS_MAX 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A viewer's far end, and QEMU's end of it. Bytes are numbered by their sender, so order and loss show. */
struct peer {
    int fd, qemu_fd;
    uint8_t said, heard, qemu_said, qemu_heard;
};

static struct monitor m;
static struct peer peers[PEERS_MAX];
static size_t n_peers;
static struct request *asked; /* the command under way */
static int got_fd = -1;       /* QEMU's, by vnc-getfd, not yet given to a client */

struct request *request_own(const char *text,
                            void (*on_done)(struct monitor *, struct request *, int, const struct err *))
{
    struct request *rq = calloc(1, sizeof(*rq));

    if (!rq)
        abort();
    rq->on_done = on_done;
    rq->fd = -1;
    snprintf(rq->verb, sizeof(rq->verb), "%.20s", text);
    return rq;
}

static void finish(struct request *rq, int r)
{
    struct err e = ERR_INIT;

    if (r < 0)
        err_set(&e, r, "guest.refused", "no");
    rq->on_done(&m, rq, r, &e);
    free(rq);
}

void request_run(struct monitor *mon, struct request *rq)
{
    if (str_starts(rq->verb, "vnc-expire n")) { /* nobody waits for this one */
        finish(rq, 0);
        return;
    }
    if (asked || !str_starts(rq->verb, "vnc-"))
        abort();
    if (streq(rq->verb, "vnc-getfd")) {
        if (got_fd >= 0)
            close(got_fd);
        got_fd = fcntl(rq->fd, F_DUPFD_CLOEXEC, 0);
    }
    asked = rq;
}

static void answer(bool is_good)
{
    struct request *rq = TAKE_PTR(asked);
    static unsigned next;

    if (!rq)
        return;
    if (is_good && streq(rq->verb, "vnc-add") && got_fd >= 0 && n_peers) {
        struct peer *p = &peers[next++ % n_peers];
        if (p->qemu_fd >= 0)
            close(p->qemu_fd);
        p->qemu_fd = TAKE_FD(got_fd);
        p->qemu_said = p->qemu_heard = 0;
    }
    finish(rq, is_good ? 0 : -EIO);
}

static void add(void)
{
    struct err e = ERR_INIT;
    int pair[2];

    if (n_peers == PEERS_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
        return;
    if (viewer_add(&m, pair[0], n_peers & 1 ? "12345678" : "", &e) < 0)
        close(pair[1]);
    else
        peers[n_peers++] = (struct peer){.fd = pair[1], .qemu_fd = -1};
}

static void say(int fd, uint8_t *count, size_t n)
{
    uint8_t bytes[8192];

    n = n < sizeof(bytes) ? n : sizeof(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(*count + i);
    ssize_t sent = fd < 0 ? 0 : send(fd, bytes, n, MSG_NOSIGNAL);
    *count = (uint8_t)(*count + (sent > 0 ? (size_t)sent : 0));
}

/* The pairing of this file's peers with the viewers is a guess, but each stream is numbered from 0. */
static void hear(int fd, uint8_t *count)
{
    uint8_t bytes[4096];
    ssize_t got = fd < 0 ? 0 : recv(fd, bytes, sizeof(bytes), 0);

    for (ssize_t i = 0; i < got; i++)
        if (bytes[i] != (uint8_t)(*count)++)
            abort();
}

static void turn(void)
{
    struct loop_timer now;

    loop_timer_init(&now, (void (*)(void *))(uintptr_t)loop_timer_stop, &now);
    loop_timer_set(&m.loop, &now, 0);
    loop_once(&m.loop);
    loop_timer_stop(&now);
}

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(TAKE_FD(*fd));
}

static void step(uint8_t op, uint8_t arg)
{
    struct peer *p = n_peers ? &peers[(op >> 4) % n_peers] : NULL;

    switch (p ? op & 15 : 0) {
    case 0:
        add();
        break;
    case 1:
        say(p->fd, &p->said, (size_t)arg * 64 + 1);
        break;
    case 2:
        say(p->qemu_fd, &p->qemu_said, arg);
        break;
    case 3:
        say(p->qemu_fd, &p->qemu_said, (size_t)arg * 64);
        break;
    case 4:
        hear(p->fd, &p->heard);
        break;
    case 5:
        hear(p->qemu_fd, &p->qemu_heard);
        break;
    case 6:
        hang_up(&p->fd);
        break;
    case 7:
        hang_up(&p->qemu_fd);
        break;
    case 8:
        answer(false);
        break;
    case 9:
        if (m.viewers.door) { /* its time is over */
            loop_timer_stop(&m.viewers.limit);
            m.viewers.limit.fn(m.viewers.limit.arg);
        }
        break;
    case 10:
        if (arg == 77)
            viewers_close(&m);
        break;
    case 11:
        (void)!shutdown(p->fd, arg % 3);
        break;
    case 12:
        turn();
        break;
    default:
        answer(true);
        break;
    }
}

static void end(void)
{
    viewers_close(&m);
    answer(true);
    if (m.n_clients || m.loop.n || !list_is_empty(&m.viewers.list) || m.viewers.door || asked)
        abort();
    for (size_t i = 0; i < n_peers; i++) {
        hang_up(&peers[i].fd);
        hang_up(&peers[i].qemu_fd);
    }
    hang_up(&got_fd);
    n_peers = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    signal(SIGPIPE, SIG_IGN);
    m = (struct monitor){.pid = 1};
    loop_init(&m.loop);
    viewers_init(&m);
    for (size_t i = 0; i + 1 < n && i < 400; i += 2) {
        step(data[i], data[i + 1]);
        if ((data[i] & 15) > 2)
            turn();
    }
    turn();
    end();
    return 0;
}
