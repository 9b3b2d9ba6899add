/* Following a task to its end. */
#ifndef HOLM_CLI_FOLLOW_PRIV_H
#define HOLM_CLI_FOLLOW_PRIV_H

#include "cli/client_priv.h"

#define UPID_TEXT_MAX 256u

bool upid_is_valid(const char *text);
/* The node that runs it; upid must be valid. */
void upid_node(const char *upid, char *dst, size_t cap);

/* Shows the task's log on standard error while it runs. 0 when it ended well or with warnings; code "cli.task" with its
 * error otherwise. ret_status (referenced; may come back NULL) is the last answer of …/status. */
MUST_CHECK int follow_task(struct cli *c, const char *upid, json_t **ret_status, struct err *e);

/* One page of a log from line `start`; calls fn for each line. ret_n: lines that were there. */
MUST_CHECK int follow_log_page(struct cli *c, const char *upid, uint64_t start, unsigned max,
                               void (*fn)(void *arg, const char *line), void *arg, uint64_t *ret_n, struct err *e);

#endif
