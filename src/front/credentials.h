/* Who a request says it comes from: the ticket or token in its headers, as Proxmox VE's clients send them. Pure.
 * Nothing is verified here: holmd does that. */
#ifndef HOLM_FRONT_CREDENTIALS_H
#define HOLM_FRONT_CREDENTIALS_H

#include "proto/http1.h"

#define CREDENTIAL_MAX 4096u

struct credentials {
    struct buf ticket, token; /* empty if absent */
    bool is_cookie;           /* where the ticket comes from */
};

void credentials_done(struct credentials *c);

/* Ticket: cookie __Host-HolmAuthCookie (ours: no other site or plain page of the host can set it), else cookie
 * PVEAuthCookie, raw or percent-encoded, among other cookies and attributes; else the header
 * Authorization: "PVEAuthCookie=T" or "PVEAuthCookie T". Token: Authorization "PVEAPIToken=T" or "PVEAPIToken T".
 * (PVE: pve-http-server, extract_auth_value.) -EINVAL when one is too long or holds a control character. */
MUST_CHECK int credentials_read(const struct http1_head *h, struct credentials *ret, struct err *e);

#endif
