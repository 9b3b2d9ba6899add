/* Tickets of graphical consoles, for those who take console tickets of either kind. */
#ifndef HOLM_API_CONSOLE_VNC_H
#define HOLM_API_CONSOLE_VNC_H

#include "api/common.h"

#define API_VNC_PATH_SIZE 24

/* Without the password in front, if there is one. */
const char *api_vnc_signed_part(const char *ticket, bool *ret_has_password);
/* What a graphical ticket is bound to. */
void api_vnc_path(uint32_t vmid, char dst[API_VNC_PATH_SIZE]);
/* Ends the call with the guest's screen; ticket: the signed part, checked already. */
MUST_CHECK int api_vnc_open(struct api_call *c, const struct guest *g, const char *ticket, struct err *e);

#endif
