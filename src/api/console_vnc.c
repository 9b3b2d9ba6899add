/* Graphical consoles: POST vncproxy gives a ticket and the password that goes with it, GET vncwebsocket opens the
 * screen with them (qemu_status.c asks here first). spiceproxy says that there is no SPICE. PVE: qemu-server,
 * API2/Qemu.pm.
 *
 * A ticket looks as PVE's: the password, a colon, the signed part. VNC takes the first eight characters of what it is
 * given as the password, so clients that use the whole ticket are right, too. The port is a label: nothing listens.
 * Loop thread; the certificate is read in the pool. */
#include "api/certificates.h"
#include "api/console_vnc.h"

#include <fcntl.h>

#include "base/fs.h"

#define PORT_FIRST     5900u
#define PORTS          100u
#define CERT_BYTES_MAX (256u * 1024u)
#define PASSWORD_CHARS (AUTH_VNC_PASSWORD_SIZE - 1)

const char *api_vnc_signed_part(const char *ticket, bool *ret_has_password)
{
    bool has_password = strlen(ticket) > PASSWORD_CHARS && str_starts(ticket + PASSWORD_CHARS, ":PVEVNC:");

    if (ret_has_password)
        *ret_has_password = has_password;
    return has_password ? ticket + PASSWORD_CHARS + 1 : ticket;
}

void api_vnc_path(uint32_t vmid, char dst[API_VNC_PATH_SIZE])
{
    snprintf(dst, API_VNC_PATH_SIZE, "/vms/%u/vnc", vmid);
}

/* Running, and with a screen; what to do instead is in the text. */
static int check_guest(const struct guest *g, struct err *e)
{
    if (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -ESRCH, "guest.stopped", "VM %u not running", g->vmid);
    if (guest_has_display(g))
        return 0;
    const char *vga = config_get(g->running.n ? &g->running : &g->config, "vga");
    if (vga && str_starts(vga, "serial"))
        return err_set(e, -ENODEV, "guest.no-display",
                       "VM %u has no graphical display, its vga is %.7s: use termproxy for its text console", g->vmid,
                       vga);
    return err_set(e, -ENODEV, "guest.no-display", "VM %u has no graphical display (vga: none)", g->vmid);
}

struct proxy {
    const char *root_dir;
    uint32_t vmid;
    struct buf cert;
};

static int read_cert(void *ctx, struct err *e)
{
    struct proxy *p = ctx;

    return certificate_read(p->root_dir, &p->cert, e);
}

static void session_task(struct task *t, void *arg)
{
    task_end(t, 0, NULL); /* the session itself is no task: it ends with its connection */
}

static int write_answer(struct api_call *c, const struct guest *g, const char *cert, struct err *e)
{
    char path[API_VNC_PATH_SIZE], ticket[512], password[AUTH_VNC_PASSWORD_SIZE], id[16];
    unsigned port = PORT_FIRST + c->api->console_port++ % PORTS;
    struct jw *w = &c->out;
    struct task *t;

    api_vnc_path(g->vmid, path);
    int r = auth_console_ticket_make(c->api->auth, &c->who, path, port, ticket + PASSWORD_CHARS + 1,
                                     sizeof(ticket) - PASSWORD_CHARS - 1, e);
    if (r < 0)
        return r;
    auth_console_password(c->api->auth, ticket + PASSWORD_CHARS + 1, password);
    memcpy(ticket, password, PASSWORD_CHARS);
    ticket[PASSWORD_CHARS] = ':';
    snprintf(id, sizeof(id), "%u", g->vmid);
    struct task_spec spec = {.type = "vncproxy", .id = id, .user = api_user(c), .begin = session_task};
    r = task_start(c->api->tasks, &spec, &t, e);
    if (r < 0)
        return r;
    jw_object(w);
    jw_kv_str(w, "user", api_user(c));
    jw_kv_str(w, "ticket", ticket);
    jw_kv_int(w, "port", port);
    jw_kv_str(w, "upid", task_upid(t));
    jw_kv_str(w, "cert", cert);
    jw_kv_str(w, "password", password);
    jw_object_end(w);
    return 0;
}

static int finish_proxy(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct proxy *p = ctx;
    struct guest *g;

    if (r == 0)
        r = guest_get(c->api->guests, p->vmid, &g, e);
    if (r == 0)
        r = check_guest(g, e);
    if (r == 0)
        r = write_answer(c, g, buf_str(&p->cert), e);
    buf_done(&p->cert);
    return r;
}

static int find(struct api_call *c, const char *node, int64_t vmid, struct guest **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : guest_get(c->api->guests, (uint32_t)vmid, ret, e);
}

static int give_screen(struct api_call *c, const void *args, struct err *e)
{
    const struct api_qemu_vncproxy_args *a = args;
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r == 0)
        r = check_guest(g, e);
    if (r < 0)
        return r;
    struct proxy *p = arena_alloc(&c->arena, sizeof(*p));
    if (!p)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *p = (struct proxy){.root_dir = c->api->root_dir, .vmid = g->vmid};
    buf_init(&p->cert, CERT_BYTES_MAX);
    c->has_secret = true;
    return api_offload(c, read_cert, finish_proxy, p);
}

/* `websocket` and `generate-password` change nothing: there is no other way in, and always a password. */
int api_qemu_vncproxy(struct api_call *c, const struct api_qemu_vncproxy_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    return api_console_wait(c, g, give_screen, a, e);
}

int api_qemu_spiceproxy(struct api_call *c, const struct api_qemu_spiceproxy_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    return r < 0 ? r
                 : err_set(e, -EOPNOTSUPP, "guest.no-spice",
                           "there is no SPICE here: use vncproxy for the screen of VM %u", g->vmid);
}

int api_vnc_open(struct api_call *c, const struct guest *g, const char *ticket, struct err *e)
{
    char password[AUTH_VNC_PASSWORD_SIZE];
    int fd, r = check_guest(g, e);

    if (r < 0)
        return r;
    auth_console_password(c->api->auth, ticket, password);
    r = guest_viewer(c->api->guests, g->vmid, password, &fd, e);
    mem_wipe(password, sizeof(password));
    return r < 0 ? r : api_upgrade(c, fd, c->is_local ? "vnc" : "binary");
}
