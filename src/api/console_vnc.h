/* Consoles of either kind: tickets of graphical ones, and the wait for a guest that is being started. */
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

/* A guest that is being started says "running" already: answer is called when it does, or does not, or after some
 * seconds, with whatever it finds then; at once for any other guest. It must not ask for more. */
typedef int (*api_console_fn)(struct api_call *c, const void *args, struct err *e);
MUST_CHECK int api_console_wait(struct api_call *c, const struct guest *g, api_console_fn answer, const void *args,
                                struct err *e);
/* When holmd stops. */
void api_console_waits_end(struct api *api);

#endif
