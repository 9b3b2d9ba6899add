/* The generic command; see run_priv.h. Several guests: every call is made first, so that their tasks run side by side,
 * then each task is followed; when only some succeed the command ends with "partial". */
#include "cli/run_priv.h"

#include "cli/prompt_priv.h"
#include "cli/text_priv.h"

static const char *scope_get(void *arg, const char *key)
{
    const struct run_scope *s = arg;
    bool is_guest = s->guest && streq(key, "vmid");

    if (is_guest)
        return s->guest->vmid;
    for (size_t i = 0; s->cmd->args && s->cmd->args[i].label && i < s->args->n_pos; i++)
        if (s->cmd->args[i].key && streq(s->cmd->args[i].key, key))
            return s->args->pos[i];
    if (streq(key, "node"))
        return s->guest ? s->guest->node : cli_node(s->c);
    return NULL;
}

int run_path(const struct run_scope *s, const char *path_template, struct buf *ret_path, struct err *e)
{
    return call_path(path_template, scope_get, (void *)s, ret_path, e);
}

static bool path_uses(const char *path_template, const char *key)
{
    char placeholder[40];

    snprintf(placeholder, sizeof(placeholder), "{%s}", key);
    return strstr(path_template, placeholder);
}

static bool is_given(const struct cli_param *params, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (streq(params[i].key, key))
            return true;
    return false;
}

/* Options first, then positional arguments, then the row's constant; borrowed. */
static size_t collect(const struct run_scope *s, const char *path_template, struct cli_param *out, size_t cap,
                      char *fixed, size_t fixed_cap)
{
    size_t n = 0;

    for (size_t i = 0; i < s->args->n_params && n < cap; i++)
        if (!s->args->params[i].is_local)
            out[n++] = s->args->params[i];
    for (size_t i = 0; s->cmd->args && s->cmd->args[i].label && i < s->args->n_pos && n < cap; i++) {
        const char *key = s->cmd->args[i].key;
        if (key && !path_uses(path_template, key))
            out[n++] = (struct cli_param){.key = key, .value = (char *)s->args->pos[i]};
    }
    if (s->cmd->fixed && n < cap) {
        snprintf(fixed, fixed_cap, "%s", s->cmd->fixed);
        char *value = strchr(fixed, '=');
        *value++ = 0;
        if (!is_given(out, n, fixed))
            out[n++] = (struct cli_param){.key = fixed, .value = value};
    }
    return n;
}

int run_call(const struct run_scope *s, const char *path_template, struct reply *ret, struct err *e)
{
    struct cli_param params[ARGS_PARAM_MAX + 8];
    struct buf path;
    char fixed[64];
    int r = cli_connect(s->c, e);

    if (r < 0)
        return r;
    buf_init(&path, 2048);
    r = run_path(s, path_template, &path, e);
    struct request q = {.method = s->cmd->method,
                        .path = buf_str(&path),
                        .params = params,
                        .n_params = collect(s, path_template, params, ARRAY_SIZE(params), fixed, sizeof(fixed)),
                        .is_dry_run = s->c->is_dry_run};
    if (r == 0)
        r = call_api(s->c, &q, ret, e);
    buf_done(&path);
    return r;
}

int run_finish(struct cli *c, json_t *data, json_t **ret_result, struct err *e)
{
    const char *upid = json_string_value(data);

    if (!upid || !upid_is_valid(upid)) {
        *ret_result = json_incref(data);
        return 0;
    }
    if (c->is_waiting)
        return follow_task(c, upid, ret_result, e);
    *ret_result = json_pack("{s:s}", "upid", upid);
    return output_line(c, upid, e);
}

/* Rows that the command does not mean: containers in a list of virtual machines, other nodes with --node. */
static void filter_rows(const struct cli *c, const struct cli_command *cmd, json_t *rows)
{
    const char *equals = cmd->only ? strchr(cmd->only, '=') : NULL;
    char key[32] = "";

    if (!equals)
        return;
    snprintf(key, sizeof(key), "%.*s", (int)(equals - cmd->only), cmd->only);
    for (size_t i = json_array_size(rows); i-- > 0;) {
        json_t *row = json_array_get(rows, i);
        const char *value = json_string_value(json_object_get(row, key));
        const char *node = json_string_value(json_object_get(row, "node"));
        if (!value || !streq(value, equals + 1) || (c->node && node && !streq(c->node, node)))
            json_array_remove(rows, i);
    }
}

static int show_result(const struct cli *c, const struct cli_command *cmd, json_t *result, bool is_task, struct err *e)
{
    bool is_data = c->format == FORMAT_JSON || c->format == FORMAT_NDJSON;

    if (is_task && !c->is_dry_run)
        return is_data ? output_json(c, result, e) : 0;
    if (cmd->flags & CMD_FIRST && json_is_array(result))
        result = json_array_get(result, 0);
    filter_rows(c, cmd, result);
    /* A change that answers nothing prints nothing. */
    if (!result && !streq(cmd->method, "GET") && !is_data)
        return 0;
    return c->is_dry_run ? output_plan(c, result, e) : output_data(c, cmd->columns, result, e);
}

static int run_once(struct cli *c, const struct cli_command *cmd, const struct cli_args *a,
                    const struct guest_ref *guest, struct err *e)
{
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a, .guest = guest};
    autoreply struct reply reply = REPLY_INIT;
    json_t *result = NULL;
    int r = run_call(&s, cmd->path, &reply, e);

    if (r == 0)
        r = run_finish(c, reply.data, &result, e);
    if (r == 0)
        r = show_result(c, cmd, result, cmd->flags & CMD_TASK, e);
    json_decref(result);
    return r;
}

/* One guest of several. */
struct one {
    struct guest_ref guest;
    struct reply reply;
    struct err err;
};

static void start_one(struct cli *c, const struct cli_command *cmd, struct cli_args *a, const char *name, struct one *o)
{
    bool is_forced = cmd->force_path && args_get(a, "force", true);
    struct cli_args just_options = *a;
    const struct run_scope s = {.c = c, .cmd = cmd, .args = &just_options, .guest = &o->guest};

    just_options.n_pos = 0;
    o->reply = (struct reply)REPLY_INIT;
    int r = guest_resolve(c, name, &o->guest, &o->err);
    if (r == 0)
        r = run_call(&s, is_forced ? cmd->force_path : cmd->path, &o->reply, &o->err);
    o->err.num = r;
}

static void finish_one(struct cli *c, const struct cli_command *cmd, struct one *o, json_t *results)
{
    json_t *result = NULL;
    int r = o->err.num;

    if (r == 0)
        r = run_finish(c, o->reply.data, &result, &o->err);
    o->err.num = r;
    if (r == 0 && c->is_dry_run)
        o->err.num = show_result(c, cmd, result, true, &o->err);
    else
        json_array_append(results, result ? result : json_null());
    json_decref(result);
}

/* Reports each failure; the result of all of them. */
static int sum_up(struct cli *c, char *const *names, struct one *all, size_t n, struct err *e)
{
    size_t failed = 0;

    for (size_t i = 0; i < n; i++)
        failed += all[i].err.num < 0;
    for (size_t i = 0; i < n; i++) {
        if (all[i].err.num == 0)
            continue;
        if (n == 1 || all[i].err.num == -EINTR) {
            *e = all[i].err;
            return e->num;
        }
        err_wrap(&all[i].err, all[i].err.num, "%s", names[i]);
        fail_print(c, &all[i].err);
    }
    if (failed == 0)
        return 0;
    return err_set(e, -EREMOTEIO, failed < n ? "cli.partial" : "internal", "%zu of %zu failed", failed, n);
}

static int run_guests(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    struct one *all = calloc(a->n_pos, sizeof(*all));
    json_t *results = json_array();
    int r = all && results ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");

    for (size_t i = 0; r == 0 && i < a->n_pos; i++)
        start_one(c, cmd, a, a->pos[i], &all[i]);
    for (size_t i = 0; r == 0 && i < a->n_pos; i++)
        finish_one(c, cmd, &all[i], results);
    if (r == 0)
        r = sum_up(c, (char *const *)a->pos, all, a->n_pos, e);
    bool is_data = (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON) && !c->is_dry_run;
    struct err ignored = ERR_INIT;
    if (is_data && results && (r == 0 || a->n_pos > 1)) {
        int w = output_json(c, a->n_pos == 1 ? json_array_get(results, 0) : results, r == 0 ? e : &ignored);
        r = r == 0 ? w : r;
    }
    for (size_t i = 0; all && i < a->n_pos; i++)
        reply_done(&all[i].reply);
    free(all);
    json_decref(results);
    return r;
}

static bool takes(const struct cli_command *cmd, enum arg_kind kind)
{
    for (const struct cli_arg *arg = cmd->args; arg && arg->label; arg++)
        if (arg->kind == kind)
            return true;
    return false;
}

/* "Really: vm delete 100 101". */
static int confirm(const struct cli *c, const struct cli_command *cmd, const struct cli_args *a, struct err *e)
{
    struct buf b;

    if (!(cmd->flags & CMD_ASKS))
        return 0;
    buf_init(&b, 8192);
    buf_printf(&b, "%s %s", cmd->noun, cmd->verb);
    for (size_t i = 0; i < a->n_pos; i++) {
        buf_append_char(&b, ' ');
        text_append_clean(&b, a->pos[i], strlen(a->pos[i]));
    }
    int r = prompt_confirm(c, buf_str(&b), e);
    buf_done(&b);
    return r;
}

static int check_acl_subject(const struct cli_command *cmd, const struct cli_args *a, struct err *e)
{
    if (!cmd->path || !streq(cmd->path, "/access/acl") || streq(cmd->method, "GET"))
        return 0;
    if (args_get(a, "users", false) || args_get(a, "groups", false) || args_get(a, "tokens", false))
        return 0;
    return err_set(e, -EINVAL, "cli.usage", "one of --user, --group and --token is needed");
}

int command_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    struct guest_ref guest;
    int r = check_acl_subject(cmd, a, e);

    if (r == 0)
        r = confirm(c, cmd, a, e);
    if (r < 0)
        return r;
    if (cmd->run)
        return cmd->run(c, cmd, a, e);
    if (takes(cmd, ARG_GUESTS))
        return run_guests(c, cmd, a, e);
    if (takes(cmd, ARG_UPID) && !upid_is_valid(a->pos[0]))
        return err_set(e, -EINVAL, "cli.usage", "'%s' is not the UPID of a task", a->pos[0]);
    if (takes(cmd, ARG_UPID) && !c->node) {
        static char node[UPID_TEXT_MAX];
        upid_node(a->pos[0], node, sizeof(node));
        c->node = node;
    }
    if (!takes(cmd, ARG_GUEST))
        return run_once(c, cmd, a, NULL, e);
    r = guest_resolve(c, a->pos[0], &guest, e);
    return r < 0 ? r : run_once(c, cmd, a, &guest, e);
}
