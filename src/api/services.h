/* The host's services as the API names them, and systemctl. */
#ifndef HOLM_API_SERVICES_H
#define HOLM_API_SERVICES_H

#include "base/buf.h"
#include "base/err.h"

struct service {
    const char *id;   /* what clients say: PVE's names, and those of Holm's own */
    const char *unit; /* of systemd */
    bool is_ours;     /* holmd: who answers can be restarted, but not stopped */
};

/* Ends with a row without id. */
extern const struct service services[];
const struct service *service_find(const char *id); /* NULL if there is none */

/* systemd is the init of this host; "services.absent" otherwise. Looks into /run, which is in memory. */
MUST_CHECK int systemctl_check(struct err *e);
/* Runs systemctl with these arguments (after its name, ended by NULL), output and complaints into out, which is
 * initialised. Gives its exit status. Blocking: pool threads. */
MUST_CHECK int systemctl_run(const char *const *args, uint32_t timeout_ms, struct buf *out, int *ret_status,
                             struct err *e);
/* "KEY=value" among the lines from text to end: at most cap - 1 bytes of the value; false (and "") if it is not there.
 */
bool systemctl_property(const char *text, const char *end, const char *key, char *dst, size_t cap);

#endif
