/* The cookie that a browser's session lives in, for pages that need not read the ticket: POST /access/ticket with
 * cookie=1 sets it, PUT renews it, DELETE clears it. Extension of Holm; PVE's page keeps the ticket in a script. Loop
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

int access_session_write(struct api_call *c, const char *user, bool is_cookie, struct err *e)
{
    char ticket[256], csrf[128];
    int r = auth_ticket_make(c->api->auth, user, ticket, sizeof(ticket), e);

    if (r == 0)
        r = auth_csrf_make(c->api->auth, user, csrf, sizeof(csrf), e);
    if (r < 0)
        return r;
    if (!is_cookie)
        jw_kv_str(&c->out, "ticket", ticket);
    else if ((r = access_cookie(c, ticket, e)) < 0)
        return r;
    jw_kv_str(&c->out, "CSRFPreventionToken", csrf);
    return 0;
}

/* The caller is known by then, by the cookie that is still good; a page cannot send the old ticket along, which is what
 * POST wants, since it cannot read it. */
int api_access_ticket_renew(struct api_call *c, const struct api_access_ticket_renew_args *a, struct err *e)
{
    if (!c->is_cookie)
        return err_set(e, -EINVAL, "param.invalid", "only a session that lives in a cookie is renewed like this");
    c->has_secret = true;
    jw_object(&c->out);
    int r = access_session_write(c, c->who.user, true, e);
    if (r < 0)
        return r;
    jw_kv_str(&c->out, "username", c->who.user);
    jw_object_end(&c->out);
    return 0;
}

/* Nothing on this side ends: tickets live until they expire, so the page also forgets what it knows. */
int api_access_ticket_delete(struct api_call *c, const struct api_access_ticket_delete_args *a, struct err *e)
{
    return access_cookie(c, NULL, e);
}
