/* From an error to what the user sees of it: exit code, "error:" and "hint:" lines, or an object with -o json.
 * The daemon's messages are Proxmox VE's, which other clients match by text too; so are the exit codes here. */
#include "cli/cli_priv.h"
#include "cli/text_priv.h"

static const struct {
    const char *code;
    enum cli_exit exit;
} exits[] = {
    {"cli.usage", EXIT_USAGE},       {"cli.unreachable", EXIT_UNREACHABLE},
    {"cli.timeout", EXIT_TIMEOUT},   {"cli.interrupted", EXIT_INTERRUPTED},
    {"cli.denied", EXIT_DENIED},     {"cli.partial", EXIT_PARTIAL},
    {"cli.task", EXIT_TASK_FAILED},  {"cli.not-found", EXIT_NOT_FOUND},
    {"cli.conflict", EXIT_CONFLICT}, {"cli.auth", EXIT_AUTH},
    {"cli.parameter", EXIT_USAGE},
};

enum cli_exit fail_exit_code(const struct err *e)
{
    if (!e->num)
        return EXIT_OK;
    for (size_t i = 0; i < ARRAY_SIZE(exits); i++)
        if (streq(exits[i].code, e->code))
            return exits[i].exit;
    return EXIT_FAILED;
}

/* What the daemon's words mean. The first that is found counts. */
static const struct {
    const char *text, *code, *hint;
} meanings[] = {
    {"already exists", "cli.conflict", NULL},
    {"already running", "cli.conflict", NULL},
    {"refusing to override", "cli.conflict", NULL},
    {"is locked (", "cli.conflict", "another task works on it; see holm task list --source active"},
    {"detected modified configuration", "cli.conflict", "somebody else changed it; look at it again"},
    {"is not empty", "cli.conflict", NULL},
    {"is running - destroy failed", "cli.conflict", "stop it first: holm vm stop"},
    {"Configuration file '", "cli.not-found", "holm vm list shows the virtual machines"},
    {"does not exist", "cli.not-found", NULL},
    {"no such ", "cli.not-found", NULL},
    {"not defined in schema", "cli.parameter", NULL}, /* before "not defined": an unknown parameter */
    {"not defined", "cli.not-found", NULL},
    {"not found", "cli.not-found", NULL},
    {"got timeout", "cli.timeout", NULL},
};

static bool classify_text(struct err *e, int num, const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (!strstr(text, meanings[i].text))
            continue;
        err_set(e, num, meanings[i].code, "%s", text);
        if (meanings[i].hint)
            err_hint(e, "%s", meanings[i].hint);
        return true;
    }
    return false;
}

static int classify_status(struct err *e, unsigned status, const char *text, bool has_errors)
{
    if (status == 401)
        return err_set(e, -EACCES, "cli.auth", "%s", text);
    if (status == 403) {
        err_set(e, -EPERM, "cli.denied", "%s", text);
        return err_hint(e, "only root may do everything; others get permissions with holm acl add");
    }
    if (status == 400 && has_errors)
        return classify_text(e, -EINVAL, text) ? e->num : err_set(e, -EINVAL, "cli.parameter", "%s", text);
    if (status == 504)
        return err_set(e, -ETIMEDOUT, "cli.timeout", "%s", text);
    if (status >= 595)
        return err_set(e, -EHOSTUNREACH, "cli.unreachable", "%s", text);
    if (classify_text(e, -EREMOTEIO, text))
        return e->num;
    return status == 404 ? err_set(e, -ENOENT, "cli.not-found", "%s", text) : err_set(e, -EREMOTEIO, NULL, "%s", text);
}

/* "name: text; name: text" */
static void append_param_errors(struct buf *b, json_t *errors)
{
    const char *key;
    json_t *value;
    bool is_first = true;

    json_object_foreach(errors, key, value)
    {
        const char *text = json_string_value(value);
        buf_append_str(b, is_first ? "" : "; ");
        text_append_clean(b, key, strlen(key));
        buf_append_str(b, ": ");
        text_append_clean(b, text ? text : "refused", strlen(text ? text : "refused"));
        is_first = false;
    }
}

int fail_from_reply(struct err *e, unsigned status, const char *reason, const json_t *root)
{
    json_t *errors = json_object_get(root, "errors");
    const char *message = json_string_value(json_object_get(root, "message"));
    struct buf b;

    buf_init(&b, 2048);
    if (json_object_size(errors)) {
        append_param_errors(&b, errors);
    } else {
        const char *text = message && *message ? message : reason;
        size_t n = strnlen(text, 1500);
        while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
            n--;
        text_append_clean(&b, text, n);
        if (!n)
            buf_printf(&b, "the daemon answered %u", status);
    }
    int r = classify_status(e, status, buf_str(&b), json_object_size(errors) > 0);
    buf_done(&b);
    return r;
}

/* e's texts may hold what the user typed or a cut character: make them fit for JSON. */
static json_t *clean_string(const char *s)
{
    struct buf b;

    buf_init(&b, 4096);
    text_append_clean(&b, s, strlen(s));
    json_t *v = json_string(buf_str(&b));
    buf_done(&b);
    return v;
}

static void print_object(const struct cli *c, const struct err *e)
{
    json_t *o = json_object(), *body = json_object();
    struct buf b;

    json_object_set_new(body, "message", clean_string(e->text));
    json_object_set_new(body, "exit", json_integer(fail_exit_code(e)));
    json_object_set_new(body, "code", json_string(e->code));
    if (e->hint[0])
        json_object_set_new(body, "hint", clean_string(e->hint));
    if (json_object_size(c->param_errors))
        json_object_set(body, "errors", c->param_errors);
    json_object_set_new(o, "error", body);
    autofree char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    buf_init(&b, 1024 * 1024);
    if (text)
        text_append_json(&b, text, strlen(text));
    fprintf(stderr, "%s\n", buf_str(&b));
    buf_done(&b);
}

void fail_print(const struct cli *c, const struct err *e)
{
    struct buf b;

    if (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON)
        return print_object(c, e);
    buf_init(&b, 8192);
    buf_append_str(&b, "error: ");
    text_append_clean(&b, e->text, strlen(e->text));
    if (e->hint[0]) {
        buf_append_str(&b, "\nhint: ");
        text_append_clean(&b, e->hint, strlen(e->hint));
    }
    fprintf(stderr, "%s\n", buf_str(&b));
    buf_done(&b);
}
