/* One API call with the settings of this run, and paths from their templates. */
#include "cli/client_priv.h"

#include "base/clock.h"

int cli_connect(struct cli *c, struct err *e)
{
    return c->client ? 0 : client_open(c->root, c->deadline_ms, &c->client, e);
}

const char *cli_node(const struct cli *c)
{
    return c->node ? c->node : client_node(c->client);
}

int call_api(struct cli *c, const struct request *q, struct reply *ret_reply, struct err *e)
{
    int r = cli_connect(c, e);

    if (r == 0)
        r = client_call(c->client, q, ret_reply, e);
    if (r < 0 && ret_reply->root) {
        json_decref(c->param_errors);
        c->param_errors = json_incref(json_object_get(ret_reply->root, "errors"));
    }
    return r;
}

int call_get(struct cli *c, const char *path, struct reply *ret_reply, struct err *e)
{
    struct request q = {.method = "GET", .path = path};

    return call_api(c, &q, ret_reply, e);
}

static bool is_path_part(const char *s)
{
    if (!*s || streq(s, ".") || streq(s, ".."))
        return false;
    for (; *s; s++)
        if (*s == '/' || (unsigned char)*s < 0x20 || *s == 0x7F)
            return false;
    return true;
}

int call_path(const char *path_template, const char *(*get)(void *arg, const char *key), void *arg,
              struct buf *ret_path, struct err *e)
{
    for (const char *p = path_template; *p;) {
        char key[32];
        size_t n = strcspn(p, "{");

        buf_append(ret_path, p, n);
        p += n;
        if (!*p)
            break;
        n = strcspn(p, "}");
        snprintf(key, sizeof(key), "%.*s", (int)(n - 1), p + 1);
        const char *value = get(arg, key);
        if (!value || !is_path_part(value))
            return err_set(e, -EINVAL, "cli.usage", "'%s' cannot be a %s", value ? value : "", key);
        buf_append_str(ret_path, value);
        p += n + 1;
    }
    return ret_path->is_failed ? err_set(e, -E2BIG, "cli.usage", "the path is too long") : 0;
}
