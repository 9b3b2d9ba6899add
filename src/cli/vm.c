/* vm create: picks a number if none is given and prints it at the end, so that scripts can take it from there. */
#include "cli/run_priv.h"

static int next_vmid(struct cli *c, char *dst, size_t cap, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    int r = call_get(c, "/cluster/nextid", &reply, e);

    if (r < 0)
        return r;
    if (json_is_string(reply.data))
        snprintf(dst, cap, "%s", json_string_value(reply.data));
    else
        snprintf(dst, cap, "%d", (int)json_integer_value(reply.data));
    return guest_is_vmid(dst) ? 0 : err_set(e, -EPROTO, "cli.protocol", "the daemon's next free number makes no sense");
}

static int print_created(const struct cli *c, const char *vmid, json_t *result, struct err *e)
{
    if (c->format != FORMAT_JSON && c->format != FORMAT_NDJSON)
        return c->is_waiting ? output_line(c, vmid, e) : 0; /* without waiting the UPID was printed */
    json_t *o = json_is_object(result) ? json_copy(result) : json_object();
    json_object_set_new(o, "vmid", json_integer(atoll(vmid)));
    int r = output_json(c, o, e);
    json_decref(o);
    return r;
}

static int finish(struct cli *c, const char *vmid, json_t *data, struct err *e)
{
    json_t *result = NULL;
    int r = run_finish(c, data, &result, e);

    if (r == 0)
        r = print_created(c, vmid, result, e);
    json_decref(result);
    return r;
}

int vm_create_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    autoreply struct reply reply = REPLY_INIT;
    char vmid[16] = "";
    int r = a->n_pos && !guest_is_vmid(a->pos[0])
                ? err_set(e, -EINVAL, "cli.usage", "'%s' is not a number; a name is given with --name", a->pos[0])
                : 0;

    if (r == 0 && !a->n_pos) {
        r = next_vmid(c, vmid, sizeof(vmid), e);
        a->pos[a->n_pos++] = vmid;
    }
    if (r == 0)
        r = run_call(&s, cmd->path, &reply, e);
    if (r == 0 && c->is_dry_run)
        r = output_plan(c, reply.data, e);
    else if (r == 0)
        r = finish(c, a->pos[0], reply.data, e);
    a->n_pos = a->pos[0] == vmid ? 0 : a->n_pos; /* vmid ends here */
    return r;
}
