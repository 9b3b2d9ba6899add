/* Header lines that tell a browser what it must not do with a reply; on every one, errors and redirects included. */
#include "front/front_priv.h"

void headers_append_common(const struct conn *c, struct buf *b)
{
    uint32_t hsts_s = c->front->options.hsts_s;

    buf_append_str(b, "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
                      "Cross-Origin-Resource-Policy: same-origin\r\n");
    /* Over plain HTTP it would not count (RFC 6797, 7.2). */
    if (hsts_s && c->is_tls)
        buf_printf(b, "Strict-Transport-Security: max-age=%u\r\n", hsts_s);
}

void headers_append_page(struct buf *b)
{
    /* Inline styles are what the terminal sets its cell sizes with; scripts come from files only. */
    buf_append_str(b, "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' "
                      "'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
                      "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; "
                      "frame-ancestors 'none'\r\n"
                      "Cross-Origin-Opener-Policy: same-origin\r\n");
}

/* Replies of the API hold secrets (tickets, tokens) and are no pages: nothing in them is to run, be framed or kept. */
void headers_append_api(struct buf *b)
{
    buf_append_str(b, "Cache-Control: no-store, max-age=0\r\nPragma: no-cache\r\n"
                      "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n");
}
