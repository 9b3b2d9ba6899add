/* The generic command: one API call by the table, and the pieces that special commands reuse. */
#ifndef HOLM_CLI_RUN_PRIV_H
#define HOLM_CLI_RUN_PRIV_H

#include "cli/follow_priv.h"
#include "cli/guest_priv.h"
#include "cli/output_priv.h"

/* What fills the placeholders of a path. guest may be NULL. */
struct run_scope {
    struct cli *c;
    const struct cli_command *cmd;
    const struct cli_args *args;
    const struct guest_ref *guest;
};

MUST_CHECK int run_path(const struct run_scope *s, const char *path_template, struct buf *ret_path, struct err *e);
/* One call of the command's row with the given path template: parameters are the API options, and those positional
 * arguments that the path does not use. */
MUST_CHECK int run_call(const struct run_scope *s, const char *path_template, struct reply *ret, struct err *e);
/* After a call that may have started a task: follows it, or prints its UPID with --no-wait. ret_result (referenced) is
 * what -o json prints: the task's last state, {"upid":…}, or data itself when it is no UPID. */
MUST_CHECK int run_finish(struct cli *c, json_t *data, json_t **ret_result, struct err *e);

#endif
