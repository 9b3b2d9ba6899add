/* Viewers of the guest's screen; see viewer.c. Part of struct monitor. */
#ifndef HOLM_GUEST_MONITOR_VIEWER_H
#define HOLM_GUEST_MONITOR_VIEWER_H

#include "base/err.h"
#include "guest/monitor/loop.h"

#define VIEWER_PASSWORD_MAX 8u /* more does not count in VNC */

struct monitor;
struct viewer;

struct viewers {
    struct list_node list; /* at most CLIENTS_MAX, consoles included */
    struct viewer *door;   /* showing its password, or NULL */
    unsigned step;         /* of the one in the door */
    bool is_asking;        /* a command of a step is under way, even if its viewer is gone */
    bool is_closed;
    struct loop_timer limit;
};

void viewers_init(struct monitor *m);
/* Takes fd. The viewer must show the password in the way of VNC (RFC 6143, 7.2.2). */
MUST_CHECK int viewer_add(struct monitor *m, int fd, const char *password, struct err *e);
/* All of them, and no new ones: the hypervisor has ended. */
void viewers_close(struct monitor *m);

#endif
