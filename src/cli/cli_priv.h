/* What every file of the command line shares: the settings of this run and the exit codes.
 *
 * One process, one command, one thread. Functions return 0 or a negative errno with the error in e, whose code decides
 * the exit code (fail.c); text that came from the daemon is cleaned before a terminal sees it (text.c). */
#ifndef HOLM_CLI_CLI_PRIV_H
#define HOLM_CLI_CLI_PRIV_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

enum cli_exit {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_PARTIAL = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_AUTH = 4,
    EXIT_DENIED = 5,
    EXIT_CONFLICT = 6,
    EXIT_TASK_FAILED = 7,
    EXIT_TIMEOUT = 8,
    EXIT_USAGE = 64,
    EXIT_UNREACHABLE = 69,
    EXIT_INTERRUPTED = 130,
};

enum cli_format { FORMAT_TABLE, FORMAT_JSON, FORMAT_NDJSON, FORMAT_CSV, FORMAT_NAME };

struct client;

struct cli {
    const char *root;    /* --root, HOLM_ROOT or /var/lib/holm */
    const char *node;    /* --node; NULL = the daemon's own */
    const char *columns; /* -c; NULL = the command's */
    enum cli_format format;
    bool is_format_set;
    bool is_quiet, is_waiting, is_dry_run, is_yes, is_colour_off;
    uint64_t timeout_s;   /* 0 = none */
    uint64_t deadline_ms; /* CLOCK_BOOTTIME; 0 = none */
    struct client *client;
    json_t *param_errors; /* of the last refused call; for -o json */
};

/* Connects at the first call. */
MUST_CHECK int cli_connect(struct cli *c, struct err *e);
const char *cli_node(const struct cli *c); /* after cli_connect */

/* fail.c: the exit code of an error; printing it with its hint on standard error. */
enum cli_exit fail_exit_code(const struct err *e);
void fail_print(const struct cli *c, const struct err *e);
/* Turns an HTTP status and the daemon's message into an error; returns e->num. */
int fail_from_reply(struct err *e, unsigned status, const char *reason, const json_t *root);

/* signals.c: set by SIGINT, SIGTERM and SIGHUP; every wait ends when it is. A second signal kills. */
void signals_init(void);
int signals_pending(void); /* signal number or 0 */
int signals_fd(void);      /* readable from then on; waits poll it */
MUST_CHECK int signals_error(struct err *e);

#endif
