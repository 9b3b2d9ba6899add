/* A 16550A serial port; see serial.h. Only what drivers look at: no line speed, no errors, a FIFO each way. */
#include "vmm/dev/serial.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#define OUT_MAX (64u << 10)
#define IN_MAX  64u /* like the FIFO of a 16750; the rest waits in the pipe */

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
#define IER_RECEIVED  0x01u
#define IER_SENT      0x02u
#define IIR_NONE      0x01u
#define IIR_SENT      0x02u
#define IIR_RECEIVED  0x04u
#define IIR_FIFO      0xc0u
#define FCR_ENABLE    0x01u
#define FCR_CLEAR_IN  0x02u
#define LCR_DIVISOR   0x80u
#define MCR_OUT2      0x08u
#define MCR_LOOP      0x10u
#define LSR_READY     0x01u
#define LSR_SENT      0x60u
#define MSR_CONNECTED 0xb0u /* clear to send, data set ready, carrier */

struct serial {
    pthread_mutex_t lock;
    struct loop *loop;
    struct loop_source in, out, wake;
    int irq_fd;
    bool has_in, has_out, is_out_ours;
    uint8_t ier, lcr, mcr, scr, fcr, divisor[2];
    bool is_sent_pending; /* "I can send again" was not read yet */
    uint8_t received[IN_MAX];
    unsigned received_at, n_received;
    char *sent;
    size_t n_sent;
};

static uint8_t interrupt_of(const struct serial *s)
{
    if (s->n_received && (s->ier & IER_RECEIVED))
        return IIR_RECEIVED;
    if (s->is_sent_pending && (s->ier & IER_SENT))
        return IIR_SENT;
    return IIR_NONE;
}

/* An edge for each new reason; drivers read the reasons until there is none. OUT2 is the gate to the line of a PC. */
static void raise(struct serial *s)
{
    if (interrupt_of(s) != IIR_NONE && (s->mcr & MCR_OUT2))
        loop_wake(s->irq_fd);
}

/* Room appeared: go on reading. On any thread: the loop itself changes its sources. */
static void wake_loop(struct serial *s)
{
    loop_wake(s->wake.fd);
}

static void transmit(struct serial *s, uint8_t byte)
{
    bool was_empty = s->n_sent == 0;

    if (s->mcr & MCR_LOOP) {
        if (s->n_received < IN_MAX)
            s->received[(s->received_at + s->n_received++) % IN_MAX] = byte;
    } else if (s->has_out && s->n_sent < OUT_MAX) {
        s->sent[s->n_sent++] = (char)byte;
        if (was_empty)
            wake_loop(s);
    }
    s->is_sent_pending = true;
    raise(s);
}

static uint8_t receive(struct serial *s)
{
    uint8_t byte = 0;

    if (!s->n_received)
        return 0;
    byte = s->received[s->received_at];
    s->received_at = (s->received_at + 1) % IN_MAX;
    if (s->n_received-- == IN_MAX)
        wake_loop(s);
    return byte;
}

static uint8_t read_register(struct serial *s, unsigned which)
{
    uint8_t v;

    switch (which) {
    case RBR_THR:
        return s->lcr & LCR_DIVISOR ? s->divisor[0] : receive(s);
    case IER:
        return s->lcr & LCR_DIVISOR ? s->divisor[1] : s->ier;
    case IIR_FCR:
        v = interrupt_of(s);
        if (v == IIR_SENT)
            s->is_sent_pending = false;
        return v | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
    case LCR:
        return s->lcr;
    case MCR:
        return s->mcr;
    case LSR:
        return LSR_SENT | (s->n_received ? LSR_READY : 0);
    case MSR: /* in the loop the outputs come back as inputs */
        return s->mcr & MCR_LOOP
                   ? (uint8_t)((s->mcr & 2) << 3 | (s->mcr & 1) << 5 | (s->mcr & 4) << 4 | (s->mcr & 8) << 4)
                   : MSR_CONNECTED;
    default:
        return s->scr;
    }
}

static void write_register(struct serial *s, unsigned which, uint8_t v)
{
    switch (which) {
    case RBR_THR:
        if (s->lcr & LCR_DIVISOR)
            s->divisor[0] = v;
        else
            transmit(s, v);
        break;
    case IER:
        if (s->lcr & LCR_DIVISOR) {
            s->divisor[1] = v;
            break;
        }
        if (!(s->ier & IER_SENT) && (v & IER_SENT))
            s->is_sent_pending = true;
        s->ier = v & 0x0f;
        raise(s);
        break;
    case IIR_FCR:
        s->fcr = v;
        if (v & FCR_CLEAR_IN)
            s->n_received = 0;
        wake_loop(s);
        break;
    case LCR:
        s->lcr = v;
        break;
    case MCR:
        s->mcr = v & 0x1f;
        raise(s);
        break;
    case SCR:
        s->scr = v;
        break;
    default:
        break;
    }
}

static uint64_t ports_read(void *device, uint64_t offset, unsigned size)
{
    struct serial *s = device;
    uint8_t v;

    if (size != 1)
        return UINT64_MAX;
    pthread_mutex_lock(&s->lock);
    v = read_register(s, (unsigned)offset);
    pthread_mutex_unlock(&s->lock);
    return v;
}

static void ports_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct serial *s = device;

    if (size != 1)
        return;
    pthread_mutex_lock(&s->lock);
    write_register(s, (unsigned)offset, (uint8_t)value);
    pthread_mutex_unlock(&s->lock);
}

const struct bus_ops serial_ops = {.read = ports_read, .write = ports_write};

/* Under lock. False when out_fd takes no more now. */
static bool write_out(struct serial *s)
{
    while (s->n_sent) {
        ssize_t n = write(s->out.fd, s->sent, s->n_sent);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0) { /* nobody will read this any more */
            s->n_sent = 0;
            break;
        }
        s->n_sent -= (size_t)n;
        memmove(s->sent, s->sent + n, s->n_sent);
    }
    return true;
}

static void watch(struct serial *s, struct loop_source *source, bool is_on)
{
    /* A descriptor that cannot be watched (a plain file) is always ready, and then nothing waits. */
    if (!is_on)
        loop_remove(s->loop, source);
    else if (!source->is_added && loop_add(s->loop, source) < 0)
        source->is_added = false;
}

static void on_out(void *context, uint32_t events)
{
    struct serial *s = context;

    (void)events;
    pthread_mutex_lock(&s->lock);
    watch(s, &s->out, !write_out(s));
    pthread_mutex_unlock(&s->lock);
}

static void on_in(void *context, uint32_t events)
{
    struct serial *s = context;
    uint8_t bytes[IN_MAX];
    ssize_t n = 0;

    (void)events;
    pthread_mutex_lock(&s->lock);
    if (s->n_received < IN_MAX)
        n = read(s->in.fd, bytes, IN_MAX - s->n_received);
    for (ssize_t i = 0; i < n; i++)
        s->received[(s->received_at + s->n_received++) % IN_MAX] = bytes[i];
    /* At its end, or full: no more until the guest made room. */
    if ((n == 0 && s->n_received < IN_MAX) || (n < 0 && errno != EAGAIN && errno != EINTR))
        s->has_in = false;
    watch(s, &s->in, s->has_in && s->n_received < IN_MAX);
    raise(s);
    pthread_mutex_unlock(&s->lock);
}

static void on_wake(void *context, uint32_t events)
{
    struct serial *s = context;

    (void)events;
    loop_drain(s->wake.fd);
    pthread_mutex_lock(&s->lock);
    watch(s, &s->in, s->has_in && s->n_received < IN_MAX);
    if (s->has_out)
        watch(s, &s->out, !write_out(s));
    pthread_mutex_unlock(&s->lock);
}

int serial_new(struct loop *l, int in_fd, int out_fd, int irq_fd, struct serial **ret_serial, struct err *e)
{
    struct serial *s = calloc(1, sizeof(*s));
    int r;

    if (s)
        s->sent = malloc(OUT_MAX);
    if (!s || !s->sent) {
        free(s);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    pthread_mutex_init(&s->lock, NULL);
    s->loop = l;
    s->irq_fd = irq_fd;
    s->has_in = in_fd >= 0;
    s->has_out = out_fd >= 0;
    s->in = (struct loop_source){.fd = in_fd, .events = EPOLLIN, .on_ready = on_in, .context = s};
    s->out = (struct loop_source){.fd = out_fd, .events = EPOLLOUT, .on_ready = on_out, .context = s};
    s->wake = (struct loop_source){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = EPOLLIN, .on_ready = on_wake, .context = s};
    /* One descriptor for both ways (a socket) is watched twice: under a number of its own for the way out. */
    if (in_fd >= 0 && in_fd == out_fd) {
        s->out.fd = fcntl(out_fd, F_DUPFD_CLOEXEC, 0);
        s->is_out_ours = s->out.fd >= 0;
    }
    r = s->wake.fd < 0 || (s->has_out && s->out.fd < 0) ? -errno : loop_add(l, &s->wake);
    if (r < 0) {
        serial_free(s);
        return err_errno(e, -r, "make the serial port");
    }
    serial_reset(s);
    *ret_serial = s;
    return 0;
}

void serial_free(struct serial *s)
{
    if (!s)
        return;
    loop_remove(s->loop, &s->in);
    loop_remove(s->loop, &s->out);
    loop_remove(s->loop, &s->wake);
    if (s->wake.fd >= 0)
        close(s->wake.fd);
    if (s->is_out_ours)
        close(s->out.fd);
    pthread_mutex_destroy(&s->lock);
    free(s->sent);
    free(s);
}

void serial_reset(struct serial *s)
{
    pthread_mutex_lock(&s->lock);
    s->ier = s->lcr = s->mcr = s->scr = s->fcr = 0;
    s->is_sent_pending = false;
    s->n_received = 0;
    wake_loop(s);
    pthread_mutex_unlock(&s->lock);
}

void serial_flush(struct serial *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->has_out)
        (void)write_out(s);
    pthread_mutex_unlock(&s->lock);
}
