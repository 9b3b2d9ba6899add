/* Guests by number or name; see guest_priv.h. */
#include "cli/guest_priv.h"
#include "cli/text_priv.h"

bool guest_is_vmid(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n > 0 && n <= 9 && !text[n];
}

static bool is_match(const struct cli *c, json_t *row, const char *name)
{
    const char *type = json_string_value(json_object_get(row, "type"));
    const char *its = json_string_value(json_object_get(row, "name"));
    const char *node = json_string_value(json_object_get(row, "node"));

    return type && its && node && streq(type, "qemu") && streq(its, name) && (!c->node || streq(c->node, node));
}

static int take_row(json_t *row, struct guest_ref *ret, struct err *e)
{
    json_int_t vmid = json_integer_value(json_object_get(row, "vmid"));
    const char *node = json_string_value(json_object_get(row, "node"));

    if (vmid <= 0 || vmid > 999999999 || str_copy(ret->node, sizeof(ret->node), node) < 0)
        return err_set(e, -EPROTO, "cli.protocol", "the daemon's list of guests makes no sense");
    snprintf(ret->vmid, sizeof(ret->vmid), "%d", (int)vmid);
    return 0;
}

static int ambiguous(const struct cli *c, json_t *rows, const char *name, struct err *e)
{
    struct buf b;

    buf_init(&b, 160);
    for (size_t i = 0; i < json_array_size(rows) && b.len < 120; i++) {
        json_t *row = json_array_get(rows, i);
        if (is_match(c, row, name))
            buf_printf(&b, "%s%d", b.len ? ", " : "", (int)json_integer_value(json_object_get(row, "vmid")));
    }
    err_set(e, -EINVAL, "cli.usage", "several virtual machines are called '%s'", name);
    err_hint(e, "say which by number: %s", buf_str(&b));
    buf_done(&b);
    return e->num;
}

static int unknown(json_t *rows, const char *name, struct err *e)
{
    struct suggest s;

    suggest_init(&s, name);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *its = json_string_value(json_object_get(json_array_get(rows, i), "name"));
        suggest_offer(&s, its ? its : "");
    }
    err_set(e, -ENOENT, "cli.not-found", "no virtual machine is called '%s'", name);
    return suggest_result(&s) ? err_hint(e, "did you mean '%s'?", suggest_result(&s))
                              : err_hint(e, "holm vm list shows them");
}

static int resolve_name(struct cli *c, const char *name, struct guest_ref *ret, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    struct cli_param type = {"type", (char[]){"vm"}};
    struct request q = {.method = "GET", .path = "/cluster/resources", .params = &type, .n_params = 1};
    json_t *found = NULL;
    int r = call_api(c, &q, &reply, e);

    if (r < 0)
        return r;
    for (size_t i = 0; i < json_array_size(reply.data); i++) {
        json_t *row = json_array_get(reply.data, i);
        if (!is_match(c, row, name))
            continue;
        if (found)
            return ambiguous(c, reply.data, name, e);
        found = row;
    }
    return found ? take_row(found, ret, e) : unknown(reply.data, name, e);
}

int guest_resolve(struct cli *c, const char *text, struct guest_ref *ret, struct err *e)
{
    int r = cli_connect(c, e);

    if (r < 0)
        return r;
    if (!guest_is_vmid(text))
        return resolve_name(c, text, ret, e);
    snprintf(ret->vmid, sizeof(ret->vmid), "%s", text);
    return str_copy(ret->node, sizeof(ret->node), cli_node(c)) < 0
               ? err_set(e, -EINVAL, "cli.usage", "'%s' is not the name of a node", cli_node(c))
               : 0;
}
