/* The cookie that a browser's session lives in, for pages that need not read the ticket: POST /access/ticket with
 * cookie=1 sets it, DELETE /access/ticket clears it. Extension of Holm; PVE's page keeps the ticket in a script. Loop
 * thread. */
#include "api/access_common.h"

/* __Host-: browsers take it only with Secure and Path=/ and without Domain, so neither a plain page of this host nor
 * another host of its domain can plant one. */
#define COOKIE_NAME  "__Host-HolmAuthCookie"
#define COOKIE_RULES "Path=/; Secure; HttpOnly; SameSite=Strict"

static void append_escaped(struct buf *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool is_plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._~", *p);
        if (is_plain)
            buf_append_char(b, *p);
        else
            buf_printf(b, "%%%02X", (unsigned char)*p);
    }
}

int access_cookie(struct api_call *c, const char *ticket, struct err *e)
{
    struct buf line;

    /* Else a page of another site could log its visitor in as somebody else, or out. */
    if (!api_is_own_origin(c))
        return err_set(e, -EPERM, "auth.denied", "Permission check failed (request from another site)");
    buf_init(&line, 4096);
    buf_append_str(&line, "Set-Cookie: " COOKIE_NAME "=");
    if (ticket)
        append_escaped(&line, ticket);
    buf_append_str(&line, ticket ? "; " COOKIE_RULES : "; Max-Age=0; " COOKIE_RULES);
    c->header = line.is_failed ? NULL : arena_strdup(&c->arena, buf_str(&line));
    buf_done(&line);
    return c->header ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

/* Nothing on this side ends: tickets live until they expire, so the page also forgets what it knows. */
int api_access_ticket_delete(struct api_call *c, const struct api_access_ticket_delete_args *a, struct err *e)
{
    return access_cookie(c, NULL, e);
}
