/* Readers of a console: connections that holmd hands over. A client's place in the ring is a number, so a slow one
 * costs no memory; when the guest has written over its place it is dropped. Bytes from clients are hostile. */
#include <fcntl.h>
#include <poll.h>

#include "guest/monitor/monitor.h"
#include "guest/monitor/termproxy.h"

#define READ_BYTES      16384u
#define WRITES_PER_WAKE 4

enum client_state { CLIENT_HELLO, CLIENT_OPEN };

struct client {
    struct list_node node;
    struct channel *channel;
    int fd;
    enum client_state state;
    bool is_termproxy, is_read_ended;
    char *hello; /* with its line end; NULL once it was right */
    char *got;   /* CLIENT_HELLO_MAX bytes while waiting for it */
    size_t got_bytes;
    uint64_t pos;      /* next byte of the ring to send */
    size_t ok_pending; /* of the answer "OK" */
    struct termproxy parser;
    struct loop_timer hello_timer;
};

static void on_event(void *arg, short revents);

static void client_free(struct client *k)
{
    struct monitor *m = k->channel->m;

    list_remove(&k->node);
    loop_timer_stop(&k->hello_timer);
    loop_unwatch(&m->loop, k->fd);
    close(k->fd);
    if (k->hello)
        mem_wipe(k->hello, strlen(k->hello));
    free(k->hello);
    free(k->got);
    free(k);
    m->n_clients--;
}

static void on_hello_late(void *arg)
{
    client_free(arg);
}

static bool has_output(const struct client *k)
{
    return k->state == CLIENT_OPEN && (k->ok_pending || k->pos < k->channel->total);
}

static void update_events(struct client *k)
{
    bool wants_input = !k->is_read_ended && (k->state == CLIENT_HELLO || channel_has_room(k->channel));

    loop_events(&k->channel->m->loop, k->fd, (short)((wants_input ? POLLIN : 0) | (has_output(k) ? POLLOUT : 0)));
}

/* False when the client is gone or hopelessly behind. */
static bool send_output(struct client *k)
{
    static const char ok[] = "OK";

    for (int i = 0; i < WRITES_PER_WAKE && has_output(k); i++) {
        const uint8_t *p = (const uint8_t *)ok + sizeof(ok) - 1 - k->ok_pending;
        size_t n = k->ok_pending;
        if (!n && k->channel->total - k->pos > RING_BYTES)
            return false;
        if (!n)
            n = channel_peek(k->channel, k->pos, &p);
        ssize_t sent = write(k->fd, p, n);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        if (k->ok_pending)
            k->ok_pending -= (size_t)sent;
        else
            k->pos += (uint64_t)sent;
    }
    return true;
}

static void open_up(struct client *k)
{
    loop_timer_stop(&k->hello_timer);
    if (k->hello)
        mem_wipe(k->hello, strlen(k->hello));
    free(TAKE_PTR(k->hello));
    k->state = CLIENT_OPEN;
    k->ok_pending = k->is_termproxy ? 2 : 0;
}

static void take_input(struct client *k, const uint8_t *p, size_t n)
{
    struct termproxy_out out;

    if (!k->is_termproxy) {
        channel_write(k->channel, p, n);
        return;
    }
    while (n) {
        size_t used = termproxy_feed(&k->parser, p, n, &out);
        /* A serial port has no size: TERMPROXY_RESIZE says nothing to it. */
        if (out.event == TERMPROXY_DATA)
            channel_write(k->channel, out.data, out.len);
        p += used;
        n -= used;
    }
}

/* The first line must be what holmd told us; what follows it is already terminal protocol. False: refused. */
static bool take_hello(struct client *k, const uint8_t *p, size_t n)
{
    size_t want = strlen(k->hello);

    if (n > CLIENT_HELLO_MAX - k->got_bytes)
        n = CLIENT_HELLO_MAX - k->got_bytes;
    memcpy(k->got + k->got_bytes, p, n);
    k->got_bytes += n;
    const char *end = memchr(k->got, '\n', k->got_bytes);
    if (!end)
        return k->got_bytes < CLIENT_HELLO_MAX;
    size_t line = (size_t)(end - k->got) + 1;
    if (line != want || !mem_equal_constant_time(k->got, k->hello, want))
        return false;
    open_up(k);
    take_input(k, (const uint8_t *)k->got + line, k->got_bytes - line);
    free(TAKE_PTR(k->got));
    return true;
}

/* False when the client is to be dropped. */
static bool read_input(struct client *k, bool is_hung_up)
{
    uint8_t bytes[READ_BYTES];
    size_t max = k->state == CLIENT_HELLO ? CLIENT_HELLO_MAX - k->got_bytes : sizeof(bytes);
    ssize_t n = read(k->fd, bytes, max);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
        /* It says no more, but may still listen. */
        k->is_read_ended = true;
        return k->state == CLIENT_OPEN && !is_hung_up;
    }
    if (k->state == CLIENT_HELLO)
        return take_hello(k, bytes, (size_t)n);
    take_input(k, bytes, (size_t)n);
    return true;
}

static void on_event(void *arg, short revents)
{
    struct client *k = arg;
    bool is_alive = true;

    if (revents & POLLIN)
        is_alive = read_input(k, revents & POLLHUP);
    else if (revents & (POLLHUP | POLLERR | POLLNVAL))
        is_alive = false;
    if (is_alive && has_output(k))
        is_alive = send_output(k);
    if (is_alive)
        update_events(k);
    else
        client_free(k);
}

static struct client *client_new(struct channel *c, int fd, const char *hello)
{
    struct client *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    *k = (struct client){.channel = c, .fd = fd, .is_termproxy = hello};
    list_init(&k->node);
    loop_timer_init(&k->hello_timer, on_hello_late, k);
    termproxy_init(&k->parser);
    if (!hello)
        return k;
    size_t n = strlen(hello);
    k->hello = malloc(n + 2);
    k->got = malloc(CLIENT_HELLO_MAX);
    if (!k->hello || !k->got) {
        free(k->hello);
        free(k->got);
        free(k);
        return NULL;
    }
    memcpy(k->hello, hello, n);
    memcpy(k->hello + n, "\n", 2);
    return k;
}

int client_add(struct channel *c, int fd, const char *hello, bool has_history, struct err *e)
{
    int flags = fcntl(fd, F_GETFL);
    struct client *k = NULL;
    int r = 0;

    if (c->is_silent)
        r = err_set(e, -EINVAL, "console.channel", "%s is not a console", c->name);
    else if (c->m->n_clients >= CLIENTS_MAX)
        r = err_set(e, -EBUSY, "console.busy", "%u consoles of this guest are open already", CLIENTS_MAX);
    else if (hello && strlen(hello) + 1 > CLIENT_HELLO_MAX)
        r = err_set(e, -E2BIG, "console.hello", "the greeting is too long");
    else if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        r = err_errno(e, errno, "console");
    else if (!(k = client_new(c, fd, hello)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    else if ((r = loop_watch(&c->m->loop, fd, POLLIN, on_event, k)) < 0)
        r = err_set(e, r, "console.busy", "too many connections");
    if (r < 0) {
        if (k) {
            free(k->hello);
            free(k->got);
            free(k);
        }
        close(fd);
        return r;
    }
    c->m->n_clients++;
    list_add_tail(&c->clients, &k->node);
    k->pos = c->total;
    if (has_history)
        k->pos -= c->total < RING_REPLAY_BYTES ? c->total : RING_REPLAY_BYTES;
    if (hello)
        loop_timer_set(&c->m->loop, &k->hello_timer, CLIENT_HELLO_MS);
    else
        open_up(k);
    update_events(k);
    return 0;
}

void client_close_all(struct channel *c)
{
    LIST_FOREACH_SAFE(k, &c->clients, struct client, node)
    {
        client_free(k);
    }
}

void client_update_all(struct channel *c)
{
    LIST_FOREACH_SAFE(k, &c->clients, struct client, node)
    {
        if (k->state == CLIENT_OPEN && c->total - k->pos > RING_BYTES)
            client_free(k);
        else
            update_events(k);
    }
}

bool client_all_drained(const struct channel *c)
{
    LIST_FOREACH(k, &c->clients, struct client, node)
    {
        if (has_output(k))
            return false;
    }
    return true;
}
