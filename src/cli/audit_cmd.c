/* audit verify: asks the daemon, or with --dir reads a folder of audit files itself, also a copy on another machine.
 * A chain that does not hold ends the command with an error. */
#include <fcntl.h>

#include "audit/audit.h"
#include "cli/run_priv.h"

static int verify_dir(const char *dir, json_t **ret, struct err *e)
{
    struct audit_report report;
    autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, -errno, errno == EACCES ? "cli.denied" : "cli.not-found", "open %s: %s", dir,
                       strerror(errno));
    int r = audit_verify(fd, NULL, &report, e);
    if (r == 0 && report.files == 0)
        r = err_set(e, -ENOENT, "cli.not-found", "there are no audit files in %s", dir);
    if (r == 0 && !(*ret = audit_report_json(&report)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    return r;
}

static int show(const struct cli *c, json_t *report, struct err *e)
{
    int r = output_data(c, NULL, report, e);

    if (r < 0 || json_integer_value(json_object_get(report, "ok")) == 1)
        return r;
    return err_set(e, -EBADMSG, "audit.broken", "the audit log was changed or is damaged: file %lld, line %lld: %s",
                   (long long)json_integer_value(json_object_get(report, "broken-file")),
                   (long long)json_integer_value(json_object_get(report, "broken-line")),
                   json_string_value(json_object_get(report, "reason")));
}

int audit_verify_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    const char *dir = args_get(a, "dir", true);
    autoreply struct reply reply = REPLY_INIT;
    json_t *report = NULL;
    int r;

    if (!dir) {
        r = run_call(&s, cmd->path, &reply, e);
        return r < 0 ? r : show(c, reply.data, e);
    }
    r = verify_dir(dir, &report, e);
    if (r == 0)
        r = show(c, report, e);
    json_decref(report);
    return r;
}
