/* api METHOD PATH: one call, its answer as JSON. And version. */
#include <strings.h>

#include "cli/run_priv.h"

/* "/api2/json" may be left in front; the query goes into -d. */
static int check_path(const char *path, const char **ret, struct err *e)
{
    if (str_starts(path, "/api2/json/"))
        path += strlen("/api2/json");
    if (path[0] != '/')
        return err_set(e, -EINVAL, "cli.usage", "a path begins with '/', not '%s'", path);
    if (strchr(path, '?')) {
        err_set(e, -EINVAL, "cli.usage", "a path has no '?'");
        return err_hint(e, "give parameters with -d KEY=VALUE");
    }
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            return err_set(e, -EINVAL, "cli.usage", "control character in the path");
    *ret = path;
    return 0;
}

static int check_method(const char *method, char *dst, size_t cap, struct err *e)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};

    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (strcasecmp(methods[i], method) == 0) {
            snprintf(dst, cap, "%s", methods[i]);
            return 0;
        }
    return err_set(e, -EINVAL, "cli.usage", "a method is GET, POST, PUT or DELETE, not '%s'", method);
}

int api_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    char method[8];
    const char *path = NULL;
    int r = check_method(a->pos[0], method, sizeof(method), e);

    if (r == 0)
        r = check_path(a->pos[1], &path, e);
    if (r == 0 && c->is_dry_run && streq(method, "GET"))
        r = err_set(e, -EINVAL, "cli.usage", "GET changes nothing: there is no --dry-run");
    struct request q = {
        .method = method, .path = path, .params = a->params, .n_params = a->n_params, .is_dry_run = c->is_dry_run};
    if (r == 0)
        r = call_api(c, &q, &reply, e);
    if (r == 0 && reply.fd >= 0)
        r = err_set(e, -EOPNOTSUPP, NULL, "this path is a stream; see holm vm console and holm storage upload");
    if (r == 0)
        r = c->is_format_set ? output_data(c, NULL, reply.data, e) : output_json(c, reply.data, e);
    return r;
}

int version_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    struct err none = ERR_INIT;
    bool is_reachable = call_get(c, cmd->path, &reply, &none) == 0;

    if (none.num == -EINTR) {
        *e = none;
        return e->num;
    }
    json_t *o = json_pack("{s:s}", "client", HOLM_VERSION);
    if (is_reachable && reply.data)
        json_object_set(o, "server", reply.data);
    int r = o ? output_data(c, "client", o, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    json_decref(o);
    return r;
}
