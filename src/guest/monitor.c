/* The daemon's end of a holm-guest: commands and their answers, events, the monitor's exit. Loop thread. */
#include <event2/event.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "engine/engine.h"
#include "guest/guest_priv.h"

#define MONITOR_QUEUE_BYTES (4u * 1024u * 1024u)
#define STAT_MAX            64u

struct command {
    struct list_node node;
    uint32_t stream;
    monitor_result_fn fn;
    void *arg;
};

static struct guest *guest_of(struct monitor *mon)
{
    return guest_find(mon->mgr, mon->vmid);
}

static void fail_commands(struct monitor *mon, const struct err *e)
{
    LIST_FOREACH_SAFE(c, &mon->commands, struct command, node)
    {
        list_remove(&c->node);
        if (c->fn)
            c->fn(c->arg, e->num, NULL, 0, e);
        free(c);
    }
}

void monitor_abandon(struct monitor *mon)
{
    /* Whoever asked cannot be told any more, and what he asked for is not freed: it stays in reach. */
    static struct list_node abandoned = {&abandoned, &abandoned};

    if (!mon)
        return;
    LIST_FOREACH_SAFE(c, &mon->commands, struct command, node)
    {
        list_remove(&c->node);
        list_add_tail(&abandoned, &c->node);
    }
}

void monitor_free(struct monitor *mon)
{
    struct err e = ERR_INIT;

    if (!mon)
        return;
    err_set(&e, -EPIPE, "guest.gone", "the guest's monitor has ended");
    fail_commands(mon, &e);
    link_event_free(mon->link);
    if (mon->exit_event)
        event_free(mon->exit_event);
    if (mon->pidfd >= 0)
        close(mon->pidfd);
    free(mon);
}

static void copy_field(const struct link_frame *f, enum field_tag tag, char *dst, size_t cap)
{
    struct field fl;

    dst[0] = 0;
    if (field_find(f->data, f->len, tag, &fl))
        snprintf(dst, cap, "%.*s", (int)fl.len, (const char *)fl.data);
    for (char *c = dst; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

static uint64_t number_field(const struct link_frame *f, enum field_tag tag)
{
    struct field fl;
    uint64_t v = 0;

    if (field_find(f->data, f->len, tag, &fl) && field_get_u64(&fl, &v) < 0)
        return 0;
    return v;
}

/* It does not run, though nobody paused it: what ends a pause ends this, too. */
static bool is_halted(const char *state)
{
    return streq(state, "io-error") || streq(state, "panicked") || streq(state, "internal-error") ||
           streq(state, "watchdog");
}

/* Why it stopped, if that was a full storage: see room.c. */
static void take_full_disk(struct guest *g, const struct link_frame *f)
{
    bool was_full = g->full_disk[0];

    copy_field(f, FIELD_FULL_DISK, g->full_disk, sizeof(g->full_disk));
    if (g->full_disk[0] && !was_full)
        g->full_since_ms = clock_boot_ms();
}

/* State and process of the guest, from GUEST_STATUS and GUEST_EVENT alike. */
static void take_state(struct monitor *mon, struct guest *g, const struct link_frame *f)
{
    char state[24];
    uint64_t pid = number_field(f, FIELD_PID), started = number_field(f, FIELD_BOOT_MS);

    copy_field(f, FIELD_STATE, state, sizeof(state));
    if (pid)
        g->pid = (uint32_t)pid;
    if (started)
        g->started_boot_ms = started;
    if (streq(state, "running") || streq(state, "paused") || is_halted(state)) {
        g->state = streq(state, "running") ? GUEST_RUNNING : GUEST_PAUSED;
        if (!g->started_boot_ms)
            g->started_boot_ms = clock_boot_ms();
    }
    if (state[0]) {
        snprintf(g->qmp_status, sizeof(g->qmp_status), "%s", state);
        take_full_disk(g, f);
    }
}

static void on_event(struct monitor *mon, const struct link_frame *f)
{
    struct guest *g = guest_of(mon);
    char event[32], text[200];
    struct field fl;

    if (!g)
        return;
    copy_field(f, FIELD_EVENT, event, sizeof(event));
    copy_field(f, FIELD_TEXT, text, sizeof(text));
    if (streq(event, "exited") || streq(event, "failed")) {
        snprintf(mon->last_text, sizeof(mon->last_text), "%s", text);
        if (field_find(f->data, f->len, FIELD_EXIT_STATUS, &fl) && field_get_u32(&fl, &mon->exit_status) == 0)
            mon->is_exit_known = true;
        g->state = GUEST_STOPPING;
    } else {
        take_state(mon, g, f);
    }
    log_info("guest %u: %s%s%s", g->vmid, event, text[0] ? ": " : "", text);
    guest_state_changed(mon->mgr, g, event, text);
}

static void on_result(struct monitor *mon, const struct link_frame *f)
{
    LIST_FOREACH(c, &mon->commands, struct command, node)
    {
        if (c->stream != f->stream)
            continue;
        struct err e = ERR_INIT;
        int r = field_get_err(f->data, f->len, &e);
        list_remove(&c->node);
        if (c->fn)
            c->fn(c->arg, r, f->data, f->len, &e);
        free(c);
        return;
    }
}

static void on_frame(struct link_event *le, struct link_frame *f, void *arg)
{
    struct monitor *mon = arg;
    struct guest *g = guest_of(mon);

    if (f->type == FRAME_GUEST_RESULT) {
        on_result(mon, f);
    } else if (f->type == FRAME_GUEST_EVENT) {
        on_event(mon, f);
    } else if (f->type == FRAME_GUEST_STATUS && g) {
        take_state(mon, g, f);
        guest_state_changed(mon->mgr, g, "status", "");
        guest_adopted(mon->mgr, mon->vmid);
        if (!mon->is_child && !mon->is_settled && (g->state == GUEST_RUNNING || g->state == GUEST_PAUSED)) {
            mon->is_settled = true;
            guest_live_settle(mon->mgr, g->vmid);
        }
    }
}

static void on_link_closed(struct link_event *le, const struct err *e, void *arg)
{
    struct monitor *mon = arg;
    struct guest *g = guest_of(mon);
    struct err gone = ERR_INIT;

    /* The process decides, not the connection: its end comes through the pidfd. */
    mon->link = NULL;
    link_event_free(le);
    err_set(&gone, -EPIPE, "guest.gone", "the guest's monitor has ended");
    fail_commands(mon, &gone);
    if (e->num)
        log_err(LOG_WARN, e, "link to the monitor of guest %u", mon->vmid);
    if (g && g->state != GUEST_STOPPING)
        g->state = GUEST_LOST;
}

static const struct link_event_ops link_ops = {.on_frame = on_frame, .on_closed = on_link_closed};

static void on_monitor_exit(evutil_socket_t fd, short what, void *arg)
{
    struct monitor *mon = arg;
    struct guest *g = guest_of(mon);

    event_del(mon->exit_event);
    if (mon->is_child) {
        int status;
        if (waitpid(mon->pid, &status, WNOHANG) == mon->pid && WIFSIGNALED(status) && !mon->is_exit_known)
            snprintf(mon->last_text, sizeof(mon->last_text), "the monitor was ended by signal %d", WTERMSIG(status));
    }
    if (g) {
        g->state = GUEST_STOPPING;
        guest_cleanup(mon->mgr, g);
    }
}

void monitor_hello(struct monitor *mon)
{
    struct buf b;

    buf_init(&b, 4096);
    size_t at = frame_begin(&b, FRAME_GUEST_HELLO, 0, 0, 0);
    field_u32(&b, FIELD_VERSION, FRAME_VERSION);
    field_bytes(&b, FIELD_COOKIE, mon->cookie, sizeof(mon->cookie));
    frame_end(&b, at);
    if (link_event_send(mon->link, &b, NULL, 0) < 0)
        log_warn("monitor of guest %u does not answer", mon->vmid);
    buf_done(&b);
}

int monitor_attach(struct guest_mgr *m, struct guest *g, int link_fd, pid_t pid, int pidfd,
                   const unsigned char cookie[32], uint32_t uid_slot, bool is_child, struct err *e)
{
    struct monitor *mon = calloc(1, sizeof(*mon));

    if (!mon) {
        close(link_fd);
        close(pidfd);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    *mon = (struct monitor){
        .mgr = m, .vmid = g->vmid, .pid = pid, .pidfd = pidfd, .uid_slot = uid_slot, .is_child = is_child};
    memcpy(mon->cookie, cookie, sizeof(mon->cookie));
    list_init(&mon->commands);
    mon->exit_event = event_new(m->env.base, pidfd, EV_READ, on_monitor_exit, mon);
    mon->link = link_event_new(m->env.base, link_fd, MONITOR_QUEUE_BYTES, &link_ops, mon);
    if (!mon->exit_event || event_add(mon->exit_event, NULL) < 0 || !mon->link) {
        monitor_free(mon);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    g->monitor = mon;
    monitor_hello(mon);
    return 0;
}

static struct command *command_new(struct monitor *mon, monitor_result_fn fn, void *arg)
{
    struct command *c = calloc(1, sizeof(*c));

    if (c) {
        c->stream = ++mon->next_stream;
        c->fn = fn;
        c->arg = arg;
        list_add_tail(&mon->commands, &c->node);
    }
    return c;
}

static void command_drop(struct command *c)
{
    list_remove(&c->node);
    free(c);
}

void monitor_call(struct monitor *mon, const char *verb, const struct buf *fields, const int *fds, size_t n_fds,
                  monitor_result_fn fn, void *arg)
{
    struct err e = ERR_INIT;
    struct command *c = mon && mon->link ? command_new(mon, fn, arg) : NULL;
    struct buf b;

    if (!c) {
        err_set(&e, -EPIPE, "guest.gone", "the guest's monitor cannot be reached");
        if (fn)
            fn(arg, e.num, NULL, 0, &e);
        return;
    }
    buf_init(&b, FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE);
    size_t at = frame_begin(&b, FRAME_GUEST_COMMAND, c->stream, 0, (uint8_t)n_fds);
    field_str(&b, FIELD_VERB, verb);
    if (fields)
        buf_append(&b, fields->data, fields->len);
    frame_end(&b, at);
    if (b.is_failed || (fields && fields->is_failed)) {
        command_drop(c);
        err_set(&e, -E2BIG, "guest.too-long", "the command for the guest is too long");
        if (fn)
            fn(arg, e.num, NULL, 0, &e);
    } else if (link_event_send(mon->link, &b, fds, n_fds) < 0) {
        /* A failed send closes the link, which answers every command. */
        log_debug("command to guest %u was not sent", mon->vmid);
    }
    if (b.data)
        mem_wipe(b.data, b.len); /* a password for the agent may be in it */
    buf_done(&b);
}

void monitor_command(struct monitor *mon, const char *verb, monitor_result_fn fn, void *arg)
{
    monitor_call(mon, verb, NULL, NULL, 0, fn, arg);
}

static void put_console(struct buf *b, const struct monitor_console *what)
{
    field_str(b, FIELD_CHANNEL, what->channel);
    field_str(b, FIELD_MODE, what->password ? "vnc" : what->hello ? "termproxy" : "raw");
    if (what->password)
        field_str(b, FIELD_SECRET, what->password);
    if (what->hello)
        field_str(b, FIELD_HELLO_TEXT, what->hello);
    field_u8(b, FIELD_HISTORY, 1);
}

int monitor_console(struct monitor *mon, const struct monitor_console *what, int fd, struct err *e)
{
    struct command *c = mon && mon->link ? command_new(mon, NULL, NULL) : NULL;
    struct buf b;

    if (!c)
        return err_set(e, -EPIPE, "guest.gone", "the guest's monitor cannot be reached");
    buf_init(&b, 8192);
    size_t at = frame_begin(&b, FRAME_CONSOLE_ATTACH, c->stream, 0, 1);
    put_console(&b, what);
    frame_end(&b, at);
    int r = link_event_send(mon->link, &b, &fd, 1);
    if (r == -EMSGSIZE)
        command_drop(c);
    buf_done(&b);
    return r < 0 ? err_set(e, r, "guest.gone", "the guest's monitor cannot be reached") : 0;
}

static int open_console(struct guest_mgr *m, uint32_t vmid, const struct monitor_console *what, int *ret_fd,
                        struct err *e)
{
    struct guest *g = guest_find(m, vmid);
    int pair[2];

    if (!g || !g->monitor || (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED))
        return err_set(e, -ESRCH, "guest.stopped", "VM %u not running", vmid);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    int r = monitor_console(g->monitor, what, pair[1], e);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    *ret_fd = pair[0];
    return 0;
}

int guest_console(struct guest_mgr *m, uint32_t vmid, const char *channel, const char *hello, int *ret_fd,
                  struct err *e)
{
    const struct monitor_console what = {.channel = channel, .hello = hello};

    return open_console(m, vmid, &what, ret_fd, e);
}

int guest_viewer(struct guest_mgr *m, uint32_t vmid, const char *password, int *ret_fd, struct err *e)
{
    const struct monitor_console what = {.channel = "vnc", .password = password};

    return open_console(m, vmid, &what, ret_fd, e);
}

bool guest_has_display(const struct guest *g)
{
    const struct engine *engine = engine_find(g->engine);
    /* Of an adopted guest it is not known what it was started with. */
    const struct config *config = g->running.n ? &g->running : &g->config;

    return engine && engine->has_display && engine->has_display(config_get(config, "vga"));
}
