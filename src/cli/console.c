/* vm console: couples the terminal with the guest's serial port. The daemon hands over a descriptor with the raw byte
 * stream, so nothing lies between the guest and the terminal here; the guest's bytes are the one thing that is passed
 * to the terminal as it is, because a console is for that.
 *
 * On a terminal: raw mode, restored on every way out; Ctrl-] leaves, and so does ~. at the start of a line (~~ sends
 * one ~). Without a terminal it is a pipe, which ends some time after its input (--idle) or when the guest's end goes.
 */
#include <fcntl.h>
#include <poll.h>
#include <termios.h>

#include "base/clock.h"
#include "base/fs.h"
#include "cli/run_priv.h"

#define ESCAPE_BYTE 0x1D /* Ctrl-] */
#define CHUNK       4096u
#define INPUT_MAX   (64u * 1024u)

struct console {
    struct cli *c;
    int fd;
    bool is_terminal; /* standard input */
    bool is_input_over;
    uint64_t idle_ms, last_ms;
    struct buf to_guest;
    bool is_line_start, is_tilde_held, is_left;
};

static struct termios saved;
static bool is_saved;

static void restore_terminal(void)
{
    if (is_saved)
        (void)!tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    is_saved = false;
}

static int make_raw(struct err *e)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return err_errno(e, errno, "terminal");
    is_saved = true;
    atexit(restore_terminal);
    raw = saved;
    cfmakeraw(&raw);
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0 ? err_errno(e, errno, "terminal") : 0;
}

/* One typed byte: to the guest, or part of a way out. */
static void take_key(struct console *k, unsigned char ch)
{
    if (ch == ESCAPE_BYTE || (k->is_tilde_held && ch == '.')) {
        k->is_left = true;
        return;
    }
    if (k->is_line_start && ch == '~' && !k->is_tilde_held) {
        k->is_tilde_held = true;
        return;
    }
    if (k->is_tilde_held && ch != '~')
        buf_append_char(&k->to_guest, '~');
    k->is_tilde_held = false;
    buf_append_char(&k->to_guest, (char)ch);
    k->is_line_start = ch == '\r' || ch == '\n';
}

static int read_input(struct console *k, struct err *e)
{
    unsigned char chunk[CHUNK];
    ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : err_errno(e, errno, "standard input");
    if (n == 0) {
        k->is_input_over = true;
        k->last_ms = clock_boot_ms();
        k->is_left = k->is_terminal;
    }
    for (ssize_t i = 0; i < n && !k->is_left; i++) {
        if (k->is_terminal)
            take_key(k, chunk[i]);
        else
            buf_append_char(&k->to_guest, (char)chunk[i]);
    }
    return 0;
}

/* 1 = the guest's end is gone. */
static int read_guest(struct console *k, struct err *e)
{
    char chunk[CHUNK];
    ssize_t n = read(k->fd, chunk, sizeof(chunk));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 0 && errno != ECONNRESET && errno != EIO)
        return err_errno(e, errno, "console");
    if (n <= 0)
        return 1;
    k->last_ms = clock_boot_ms();
    int r = fs_write_all(STDOUT_FILENO, chunk, (size_t)n, e);
    return r < 0 ? err_wrap(e, r, "standard output") : 0;
}

static int write_guest(struct console *k, struct err *e)
{
    ssize_t n = write(k->fd, k->to_guest.data, k->to_guest.len);

    if (n > 0)
        buf_consume(&k->to_guest, (size_t)n);
    if (n >= 0 || errno == EINTR || errno == EAGAIN)
        return 0;
    return errno == EPIPE || errno == ECONNRESET ? 1 : err_errno(e, errno, "console");
}

/* Milliseconds until something is due, -1 = nothing; 0 = now: the end. */
static int time_left(const struct console *k)
{
    uint64_t now = clock_boot_ms(), until = k->c->deadline_ms;

    if (k->is_input_over && !k->to_guest.len && (!until || k->last_ms + k->idle_ms < until))
        until = k->last_ms + k->idle_ms;
    if (!until)
        return -1;
    return until <= now ? 0 : until - now > 60000 ? 60000 : (int)(until - now);
}

static int step(struct console *k, int wait_ms, struct err *e)
{
    struct pollfd p[] = {
        {.fd = k->is_input_over || k->to_guest.len > INPUT_MAX - CHUNK * 2 ? -1 : STDIN_FILENO, .events = POLLIN},
        {.fd = k->fd, .events = (short)(POLLIN | (k->to_guest.len ? POLLOUT : 0))},
        {.fd = signals_fd(), .events = POLLIN},
    };
    int n = poll(p, ARRAY_SIZE(p), wait_ms), r = 0;

    if (n < 0)
        return errno == EINTR ? 0 : err_errno(e, errno, "poll");
    if (p[0].revents)
        r = read_input(k, e);
    if (r == 0 && p[1].revents & POLLOUT)
        r = write_guest(k, e);
    if (r == 0 && p[1].revents & (POLLIN | POLLHUP | POLLERR))
        r = read_guest(k, e);
    return r;
}

static int couple(struct console *k, struct err *e)
{
    int r = 0;

    while (r == 0 && !k->is_left) {
        int wait_ms = time_left(k);
        if (signals_pending())
            return signals_error(e);
        if (wait_ms == 0 && k->c->deadline_ms && clock_boot_ms() >= k->c->deadline_ms)
            return err_set(e, -ETIMEDOUT, "cli.timeout", "the console was left after the time given");
        if (wait_ms == 0)
            return 0;
        r = step(k, wait_ms, e);
    }
    return r < 0 ? r : 0;
}

/* What was typed before the way out still goes to the guest, if it takes it soon. */
static void send_rest(struct console *k)
{
    struct pollfd p = {.fd = k->fd, .events = POLLOUT};
    struct err none = ERR_INIT;

    while (k->to_guest.len && poll(&p, 1, 500) > 0 && !(p.revents & (POLLERR | POLLHUP)))
        if (write_guest(k, &none) != 0)
            return;
}

static int serve(struct cli *c, const struct cli_args *a, int fd, struct err *e)
{
    struct console k = {.c = c, .fd = fd, .is_terminal = isatty(STDIN_FILENO), .is_line_start = true, .idle_ms = 1000};
    const char *idle = args_get(a, "idle", true);
    uint64_t seconds;

    if (idle && str_to_u64(idle, &seconds) == 0)
        k.idle_ms = seconds > 1000000 ? 1000000000 : seconds * 1000;
    buf_init(&k.to_guest, INPUT_MAX);
    (void)!fcntl(fd, F_SETFL, O_NONBLOCK);
    if (k.is_terminal && !c->is_quiet)
        fprintf(stderr, "Connected. Ctrl-] or ~. leaves the console.\n");
    int r = k.is_terminal ? make_raw(e) : 0;
    if (r == 0)
        r = couple(&k, e);
    send_rest(&k);
    restore_terminal();
    if (k.is_terminal && !c->is_quiet)
        fprintf(stderr, "\r\nThe console is closed.\n");
    buf_done(&k.to_guest);
    return r;
}

/* The ticket of a console is bound to the user and the guest and good for one use. */
static int open_console(struct cli *c, const struct run_scope *s, struct reply *ret, struct err *e)
{
    autoreply struct reply ticket = REPLY_INIT;
    struct cli_command proxy = *s->cmd;
    struct run_scope scope = *s;
    char port[24] = "";

    proxy.method = "POST";
    scope.cmd = &proxy;
    int r = run_call(&scope, "/nodes/{node}/qemu/{vmid}/termproxy", &ticket, e);
    if (r < 0)
        return r;
    const char *text = json_string_value(json_object_get(ticket.data, "ticket"));
    json_t *number = json_object_get(ticket.data, "port");
    if (json_is_integer(number))
        snprintf(port, sizeof(port), "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    else if (json_is_string(number))
        snprintf(port, sizeof(port), "%s", json_string_value(number));
    if (!text || !*port)
        return err_set(e, -EPROTO, "cli.protocol", "the daemon gave no ticket for the console");
    struct cli_param params[] = {{"port", port}, {"vncticket", (char *)text}};
    struct buf path;
    buf_init(&path, 1024);
    r = run_path(s, s->cmd->path, &path, e);
    struct request q = {
        .method = "GET", .path = buf_str(&path), .kind = "websocket", .params = params, .n_params = ARRAY_SIZE(params)};
    if (r == 0)
        r = call_api(c, &q, ret, e);
    buf_done(&path);
    return r;
}

int vm_console_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    autoreply struct reply console = REPLY_INIT;
    struct guest_ref guest;
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a, .guest = &guest};
    int r = guest_resolve(c, a->pos[0], &guest, e);

    if (r == 0)
        r = open_console(c, &s, &console, e);
    if (r < 0)
        return r;
    if (console.fd < 0 || console.is_upload)
        return err_set(e, -EPROTO, "cli.protocol", "the daemon opened no console");
    if (!streq(console.mode, "raw"))
        return err_set(e, -EOPNOTSUPP, NULL, "this console is not a serial one (%.20s)", console.mode);
    return serve(c, a, console.fd, e);
}
