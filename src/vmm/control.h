/* Verbs for a machine from whoever started it, as lines of JSON over a connected stream socket (doc/vmm-api.md). The
 * peer is trusted to steer the machine, but not to be correct: lines, nesting and answers are bounded, nothing waits
 * for it, and when it breaks the rules, does not read or goes away, the connection ends and the machine goes on. Main
 * loop only. */
#ifndef HOLM_VMM_CONTROL_H
#define HOLM_VMM_CONTROL_H

#include "vmm/machine.h"
#include "vmm/virtio.h"

#define CONTROL_LINE_MAX 4096u       /* of a request, with its line end */
#define CONTROL_OUT_MAX  (64u << 10) /* answers and events that wait for the peer */
#define CONTROL_PROTOCOL 1           /* of the verb "version" */

struct control;

/* What verbs do to the machine. A test has its own struct machine. */
struct control_ops {
    enum machine_state (*state)(const struct machine *m);
    void (*pause)(struct machine *m);
    int (*resume)(struct machine *m, struct err *e);
    int (*reset)(struct machine *m, struct err *e);
    void (*power_button)(struct machine *m);
    void (*end)(struct machine *m);
    uint64_t (*exits)(const struct machine *m); /* of all vCPUs, that came to this program */
    /* The device at a place; NULL after the last. */
    struct virtio *(*device)(const struct machine *m, unsigned index, const char **ret_id);
};

/* fd stays the caller's, and becomes non-blocking. SIGPIPE is ignored in this process. */
MUST_CHECK int control_new(struct loop *l, int fd, const struct control_ops *ops, struct machine *m,
                           struct control **ret_control, struct err *e);
/* Sends what the peer takes without waiting. */
void control_free(struct control *c);
/* {"event":NAME}, {"event":"state","state":…} (reason: of the end, or NULL). Harmless without a connection or with c
 * NULL. */
void control_event(struct control *c, const char *name);
void control_state_event(struct control *c, const char *reason);

#endif
