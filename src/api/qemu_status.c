/* State of virtual machines and the operations on it; text consoles. PVE: qemu-server, API2/Qemu.pm. */
#include <jansson.h>

#include "api/common.h"
#include "api/console_vnc.h"

#define BLOCKSTATS_MAX 256u

static int find(struct api_call *c, const char *node, int64_t vmid, struct guest **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : guest_get(c->api->guests, (uint32_t)vmid, ret, e);
}

int api_qemu_status_index(struct api_call *c, const struct api_qemu_status_index_args *a, struct err *e)
{
    static const char *const names[] = {"current", "reboot", "reset",   "resume", "shutdown",
                                        "start",   "stop",   "suspend", NULL};
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    return r < 0 ? r : api_reply_index(c, "subdir", names);
}

/* "/machine/peripheral/virtio0/virtio-backend" and "virtio0" are the drive virtio0. */
static bool drive_of(json_t *device, char *ret, size_t cap)
{
    static const char prefix[] = "/machine/peripheral/";
    const char *qdev = json_string_value(json_object_get(device, "qdev"));

    if (!qdev)
        return false;
    if (str_starts(qdev, prefix))
        qdev += strlen(prefix);
    snprintf(ret, cap, "%.*s", (int)strcspn(qdev, "/"), qdev);
    return guest_is_drive_key(ret);
}

/* QEMU's numbers of each drive, as it gives them. */
static void write_blockstats(struct jw *w, json_t *devices)
{
    json_t *device, *value;
    const char *key;
    char drive[24];
    size_t i;

    jw_key(w, "blockstat");
    jw_object(w);
    json_array_foreach(devices, i, device)
    {
        if (i == BLOCKSTATS_MAX || !drive_of(device, drive, sizeof(drive)))
            continue;
        jw_key(w, drive);
        jw_object(w);
        json_object_foreach(json_object_get(device, "stats"), key, value)
        {
            if (json_is_integer(value))
                jw_kv_int(w, key, json_integer_value(value));
        }
        jw_object_end(w);
    }
    jw_object_end(w);
}

static int write_current(struct api_call *c, const struct guest *g)
{
    json_t *blockstats = g->blockstats ? json_loads(g->blockstats, 0, NULL) : NULL;
    struct jw *w = &c->out;

    jw_object(w);
    guest_status_members(w, c->api->guests, g, true);
    if (blockstats)
        write_blockstats(w, blockstats);
    json_decref(blockstats);
    if (guest_has_agent(g))
        jw_kv_int(w, "agent", 1);
    jw_key(w, "ha");
    jw_object(w);
    jw_kv_int(w, "managed", 0);
    jw_object_end(w);
    jw_object_end(w);
    return 0;
}

struct asked {
    struct api_call *call;
    uint32_t vmid;
};

/* An answer that does not come leaves the one before. */
static void on_blockstats(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    const struct asked *asked = arg;
    struct api_call *c = asked->call;
    struct err gone = ERR_INIT;
    struct guest *g;
    int found = guest_get(c->api->guests, asked->vmid, &g, &gone);

    if (found == 0) {
        char *copy = r == 0 ? strndup(body, n) : NULL;
        g->is_block_asked = false;
        if (copy) {
            free(g->blockstats);
            g->blockstats = copy;
        }
        found = write_current(c, g);
    }
    api_finish(c, found, &gone);
}

int api_qemu_status_current(struct api_call *c, const struct api_qemu_status_current_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    if (g->is_block_asked || (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED))
        return write_current(c, g);
    struct asked *asked = arena_alloc(&c->arena, sizeof(*asked));
    if (!asked)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *asked = (struct asked){c, g->vmid};
    g->is_block_asked = true;
    guest_control(c->api->guests, g->vmid, "query-blockstats", NULL, on_blockstats, asked);
    return API_LATER;
}

typedef int (*operation)(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);

/* Common to all: the guest exists, skiplock is for root, a lock refuses. must_run: PVE refuses at once, not in the
 * task. */
static int operate(struct api_call *c, const char *node, int64_t vmid, bool is_lock_skipped, bool must_run,
                   const struct guest_op *more, operation fn, struct err *e)
{
    struct guest_op op = *more;
    struct guest *g;
    struct task *t = NULL;
    int r = find(c, node, vmid, &g, e);

    if (r == 0 && is_lock_skipped)
        r = api_require_root(c, e);
    if (r < 0)
        return r;
    const char *lock = config_get(&g->config, "lock");
    if (lock && !is_lock_skipped)
        return err_set(e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (must_run && !guest_is_running(g))
        return err_set(e, -ESRCH, "guest.stopped", "VM %u not running", g->vmid);
    op.vmid = g->vmid;
    op.user = api_user(c);
    r = fn(c->api->guests, &op, &t, e);
    return api_reply_task(c, r, t);
}

/* A parameter whose function does not exist here is refused, never ignored. */
static int refuse(struct api_call *c, struct err *e, const char *name, bool is_set)
{
    return is_set ? api_param_error(c, e, name, "this is not supported") : 0;
}

int api_qemu_start(struct api_call *c, const struct api_qemu_start_args *a, struct err *e)
{
    struct guest_op op = {.timeout_s = a->has_timeout ? (uint32_t)a->timeout : 0};
    const char *const refused[] = {"machine",      "migratedfrom",  "migration_network", "migration_type",
                                   "stateuri",     "targetstorage", "force-cpu",         "with-conntrack-state",
                                   "nets-host-mtu"};

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (refuse(c, e, refused[i], api_raw_get(c, refused[i]) != NULL) < 0)
            return e->num;
    return operate(c, a->node, a->vmid, a->skiplock, false, &op, guest_start, e);
}

int api_qemu_stop(struct api_call *c, const struct api_qemu_stop_args *a, struct err *e)
{
    struct guest_op op = {.timeout_s = a->has_timeout ? (uint32_t)a->timeout : 0, .is_forced = true};

    if (refuse(c, e, "migratedfrom", a->migratedfrom != NULL) < 0 ||
        refuse(c, e, "keepActive", a->has_keepActive && a->keepActive) < 0)
        return e->num;
    return operate(c, a->node, a->vmid, a->skiplock, false, &op, guest_stop, e);
}

int api_qemu_shutdown(struct api_call *c, const struct api_qemu_shutdown_args *a, struct err *e)
{
    struct guest_op op = {.timeout_s = a->has_timeout ? (uint32_t)a->timeout : 0, .is_forced = a->forceStop};

    if (refuse(c, e, "keepActive", a->has_keepActive && a->keepActive) < 0)
        return e->num;
    return operate(c, a->node, a->vmid, a->skiplock, false, &op, guest_shutdown, e);
}

int api_qemu_reboot(struct api_call *c, const struct api_qemu_reboot_args *a, struct err *e)
{
    struct guest_op op = {.timeout_s = a->has_timeout ? (uint32_t)a->timeout : 0};

    return operate(c, a->node, a->vmid, false, true, &op, guest_reboot, e);
}

int api_qemu_reset(struct api_call *c, const struct api_qemu_reset_args *a, struct err *e)
{
    struct guest_op op = {0};

    return operate(c, a->node, a->vmid, a->skiplock, true, &op, guest_reset, e);
}

int api_qemu_suspend(struct api_call *c, const struct api_qemu_suspend_args *a, struct err *e)
{
    struct guest_op op = {0};

    if (refuse(c, e, "todisk", a->has_todisk && a->todisk) < 0 ||
        refuse(c, e, "statestorage", a->statestorage != NULL) < 0)
        return e->num;
    return operate(c, a->node, a->vmid, a->skiplock, true, &op, guest_suspend, e);
}

int api_qemu_resume(struct api_call *c, const struct api_qemu_resume_args *a, struct err *e)
{
    struct guest_op op = {0};

    if (refuse(c, e, "nocheck", a->has_nocheck && a->nocheck) < 0)
        return e->num;
    return operate(c, a->node, a->vmid, a->skiplock, true, &op, guest_resume, e);
}

/* ---- text console ---- */

#define CONSOLE_PORT_FIRST 5900u
#define CONSOLE_PORTS      100u

/* The serial port a console means: the one asked for, the one vga names, or the first there is. */
static const char *serial_channel(const struct guest *g, const char *wanted)
{
    static const char *const names[] = {"serial0", "serial1", "serial2", "serial3"};
    const char *vga = config_get(&g->config, "vga");

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!config_get(&g->config, names[i]))
            continue;
        if (wanted ? streq(wanted, names[i]) : (!vga || !str_starts(vga, "serial") || str_starts(vga, names[i])))
            return names[i];
    }
    return NULL;
}

static void console_task(struct task *t, void *arg)
{
    task_end(t, 0, NULL); /* the session itself is no task: it ends with its connection */
}

static int give_terminal(struct api_call *c, const void *args, struct err *e)
{
    const struct api_qemu_termproxy_args *a = args;
    char path[40], ticket[512], id[16];
    struct jw *w = &c->out;
    struct guest *g;
    struct task *t;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    const char *channel = serial_channel(g, a->serial);
    if (!channel)
        return err_set(e, -ENODEV, "guest.no-serial", "unable to find a serial interface");
    if (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -ESRCH, "guest.stopped", "VM %u not running", g->vmid);
    unsigned port = CONSOLE_PORT_FIRST + c->api->console_port++ % CONSOLE_PORTS;
    snprintf(path, sizeof(path), "/vms/%u/%s", g->vmid, channel);
    c->has_secret = true;
    r = auth_console_ticket_make(c->api->auth, &c->who, path, port, ticket, sizeof(ticket), e);
    snprintf(id, sizeof(id), "%u", g->vmid);
    struct task_spec spec = {.type = "vncproxy", .id = id, .user = api_user(c), .begin = console_task};
    if (r == 0)
        r = task_start(c->api->tasks, &spec, &t, e);
    if (r < 0)
        return r;
    jw_object(w);
    jw_kv_str(w, "user", api_user(c));
    jw_kv_str(w, "ticket", ticket);
    jw_kv_int(w, "port", port);
    jw_kv_str(w, "upid", task_upid(t));
    jw_object_end(w);
    return 0;
}

int api_qemu_termproxy(struct api_call *c, const struct api_qemu_termproxy_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    return serial_channel(g, a->serial) ? api_console_wait(c, g, give_terminal, a, e) : give_terminal(c, a, e);
}

/* A local caller needs no ticket: the socket's credentials are his, and the bytes are raw. */
static int attach(struct api_call *c, struct guest *g, const char *channel, const char *hello, struct err *e)
{
    int fd;
    int r = guest_console(c->api->guests, g->vmid, channel, hello, &fd, e);

    if (r < 0)
        return r;
    return api_upgrade(c, fd, hello ? "binary" : "raw");
}

int api_qemu_vncwebsocket(struct api_call *c, const struct api_qemu_vncwebsocket_args *a, struct err *e)
{
    char path[40], hello[AUTH_USER_MAX + AUTH_TOKEN_MAX + 520];
    struct guest *g;
    bool is_vnc;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    const char *ticket = api_vnc_signed_part(a->vncticket, &is_vnc);
    if (c->is_local && is_vnc)
        return api_vnc_open(c, g, ticket, e);
    if (c->is_local) {
        const char *channel = serial_channel(g, NULL);
        return channel ? attach(c, g, channel, NULL, e)
                       : err_set(e, -ENODEV, "guest.no-serial", "unable to find a serial interface");
    }
    api_vnc_path(g->vmid, path);
    if (auth_console_ticket_use(c->api->auth, ticket, &c->who, path, (unsigned)a->port, e) == 0)
        return api_vnc_open(c, g, ticket, e);
    for (unsigned i = 0; i < 4; i++) {
        char channel[16];
        snprintf(channel, sizeof(channel), "serial%u", i);
        snprintf(path, sizeof(path), "/vms/%u/%s", g->vmid, channel);
        if (!config_get(&g->config, channel) ||
            auth_console_ticket_use(c->api->auth, a->vncticket, &c->who, path, (unsigned)a->port, e) < 0)
            continue;
        snprintf(hello, sizeof(hello), "%s:%s", api_user(c), a->vncticket);
        return attach(c, g, channel, hello, e);
    }
    return err_set(e, -EACCES, "auth.failed", "permission denied - invalid PVEVNC ticket");
}
