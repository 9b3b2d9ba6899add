/* POST /access/vncticket (PVE: pve-access-control, API2/AccessControl.pm, verify_vnc_ticket): is this console ticket
 * good for that user, path and port, and may he do there what `privs` says? Programs that take console connections ask
 * before they serve one. It answers null or 401 and uses nothing up: a ticket is used by the connection. One that was
 * used is refused, because in Holm a ticket opens one console. Loop thread. */
#include "api/access_common.h"
#include "api/access_limit.h"
#include "api/console_vnc.h"
#include "base/log.h"

#define SERIAL_PORTS 4u

static int refuse(struct api_call *c, const char *user, const char *reason, struct err *e)
{
    log_note("console ticket refused; rhost=%s user=%.80s msg=%s", c->peer ? c->peer : "local", user, reason);
    c->delay_ms = access_limit_delay_ms(c);
    return err_set(e, -EACCES, "auth.failed", "permission denied - invalid PVEVNC ticket");
}

/* Our tickets are bound to the guest's screen or to a serial port: "/vms/100" means any of them. */
static bool is_valid(struct api_call *c, const char *ticket, const struct auth_subject *s, const char *path,
                     unsigned port)
{
    struct auth *auth = c->api->auth;
    char of_guest[AUTH_PATH_MAX + 16];
    struct err e = ERR_INIT;

    ticket = api_vnc_signed_part(ticket, NULL);
    if (auth_console_ticket_check(auth, ticket, s, path, port, &e) == 0)
        return true;
    snprintf(of_guest, sizeof(of_guest), "%s/vnc", path);
    if (auth_console_ticket_check(auth, ticket, s, of_guest, port, &e) == 0)
        return true;
    for (unsigned i = 0; i < SERIAL_PORTS && str_starts(path, "/vms/"); i++) {
        snprintf(of_guest, sizeof(of_guest), "%s/serial%u", path, i);
        if (auth_console_ticket_check(auth, ticket, s, of_guest, port, &e) == 0)
            return true;
    }
    return false;
}

int api_access_vncticket(struct api_call *c, const struct api_access_vncticket_args *a, struct err *e)
{
    char path[AUTH_PATH_MAX];
    struct auth_subject s;
    struct err why = ERR_INIT;

    if (auth_subject_parse(a->authid, &s, &why) < 0)
        return refuse(c, "?", "not a user or token", e);
    if (auth_path_normalize(a->path, path, sizeof(path), &why) < 0 || a->port < 0 || a->port > 65535)
        return refuse(c, s.user, "not a path or port", e);
    if (!is_valid(c, a->vncticket, &s, path, (unsigned)a->port))
        return refuse(c, s.user, "invalid ticket", e);
    priv_mask privs = access_privs_mask(a->privs);
    if (!privs || !auth_has(c->api->auth, &s, path, privs, false))
        return refuse(c, s.user, "no permission", e);
    return 0;
}
