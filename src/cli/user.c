/* user create (with a role in one go) and user password. Passwords come from a file, standard input or a prompt. */
#include "cli/prompt_priv.h"
#include "cli/run_priv.h"

static int ask_password(struct cli_args *a, const char *who, struct err *e)
{
    autofree char *password = NULL;
    int r = prompt_new_password(who, &password, e);

    if (r < 0)
        return r;
    r = args_add(a, "password", password, false, e);
    mem_wipe(password, strlen(password));
    return r;
}

static int grant_role(struct cli *c, const char *user, const char *role, const char *path, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    struct cli_param params[] = {{"path", (char *)path}, {"users", (char *)user}, {"roles", (char *)role}};
    struct request q = {.method = "PUT", .path = "/access/acl", .params = params, .n_params = ARRAY_SIZE(params)};
    struct err why = ERR_INIT;
    int r = call_api(c, &q, &reply, &why);

    if (r == 0)
        return 0;
    err_set(e, r, "cli.partial", "user '%s' was created, but did not get the role: %s", user, why.text);
    return err_hint(e, "holm acl add %.60s --user %.60s --role %.40s", path, user, role);
}

/* Holm keeps the passwords of every realm but the host's. */
static bool has_own_password(const char *user)
{
    return !str_ends(user, "@pam");
}

int user_create_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    autoreply struct reply reply = REPLY_INIT;
    const char *user = a->pos[0], *role = args_get(a, "role", true), *path = args_get(a, "path", true);
    int r = 0;

    if (path && !role)
        return err_set(e, -EINVAL, "cli.usage", "--path goes with --role");
    if (!args_get(a, "password", false) && has_own_password(user) && prompt_is_possible())
        r = ask_password(a, user, e);
    if (r == 0)
        r = run_call(&s, cmd->path, &reply, e);
    if (r == 0 && role)
        r = grant_role(c, user, role, path ? path : "/", e);
    if (r == 0 && (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON))
        r = output_json(c, reply.data, e);
    return r;
}

int user_password_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    autoreply struct reply reply = REPLY_INIT;
    int r = args_get(a, "password", false) ? 0 : ask_password(a, a->pos[0], e);

    if (r == 0)
        r = run_call(&s, cmd->path, &reply, e);
    if (r == 0 && (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON))
        r = output_json(c, reply.data, e);
    return r;
}
