/* Help out of the command table. */
#include "cli/output_priv.h"

static const char *kind_label(const struct cli_opt *o)
{
    if (o->kind == OPT_FLAG || o->kind == OPT_NO)
        return NULL;
    return o->value ? o->value : "VALUE";
}

void help_synopsis(const struct cli_command *cmd, struct buf *out)
{
    buf_printf(out, "holm %s%s%s", cmd->noun, *cmd->verb ? " " : "", cmd->verb);
    for (const struct cli_arg *a = cmd->args; a && a->label; a++)
        buf_printf(out, a->is_optional ? " [%s]%s" : " %s%s", a->label,
                   a->kind == ARG_GUESTS || a->kind == ARG_WORDS ? "..." : "");
    for (const struct cli_opt *o = cmd->opts; o && o->name; o++)
        if (o->is_required)
            buf_printf(out, " --%s %s", o->name, kind_label(o) ? kind_label(o) : "");
    if (cmd->opts || cmd->flags & CMD_PASSTHROUGH)
        buf_append_str(out, " [options]");
}

static void put_option(const struct cli_opt *o, struct buf *out)
{
    struct buf left;

    buf_init(&left, 256);
    buf_printf(&left, "--%s %s", o->name, kind_label(o) ? kind_label(o) : "");
    buf_printf(out, "  %-26s %s%s", buf_str(&left), o->help, o->is_required ? " (required)" : "");
    if (o->choices)
        buf_printf(out, ": %s", o->choices);
    buf_append_char(out, '\n');
    buf_done(&left);
}

void help_command(const struct cli_command *cmd, struct buf *out)
{
    buf_append_str(out, "usage: ");
    help_synopsis(cmd, out);
    buf_printf(out, "\n\n%s\n", cmd->help);
    if (cmd->opts || cmd->flags & CMD_PASSTHROUGH)
        buf_append_str(out, "\noptions:\n");
    for (const struct cli_opt *o = cmd->opts; o && o->name; o++)
        put_option(o, out);
    if (cmd->flags & CMD_ANY_KEY)
        buf_printf(out, "  %-26s %s\n", "--KEY VALUE", "any other key of the API");
    if (cmd->flags & CMD_PASSTHROUGH) {
        buf_printf(out, "  %-26s %s\n", "-d KEY=VALUE", "any parameter of the API");
        buf_printf(out, "  %-26s %s\n", "--data-file KEY=FILE", "its value from a file, - for standard input");
    }
    buf_append_str(out, "\nfor every command:\n");
    for (const struct cli_opt *o = global_opts; o->name; o++)
        if (!streq(o->name, "dry-run") || cmd->flags & CMD_DRY_RUN)
            put_option(o, out);
    if (cmd->flags & CMD_ASKS)
        buf_append_str(out, "\nAsks first, unless -y is given.\n");
    if (cmd->flags & CMD_TASK)
        buf_append_str(out, "\nFollows the task to its end, unless --no-wait is given.\n");
    if (cmd->method && cmd->path)
        buf_printf(out, "\nAPI: %s %s\n", cmd->method, cmd->path);
    if (cmd->force_path)
        buf_printf(out, "with --force: %s %s\n", cmd->method, cmd->force_path);
    buf_printf(out, "\nexample: %s\n", cmd->example);
}

void help_noun(const struct cli_noun *noun, struct buf *out)
{
    const struct cli_command *single = command_find(noun->name, "");

    if (single) {
        help_command(single, out);
        return;
    }
    buf_printf(out, "holm %s: %s\n\n", noun->name, noun->help);
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *cmd = &command_table[i];
        struct buf left;
        if (!streq(cmd->noun, noun->name))
            continue;
        buf_init(&left, 256);
        buf_append_str(&left, cmd->verb);
        for (const struct cli_arg *a = cmd->args; a && a->label; a++)
            buf_printf(&left, a->is_optional ? " [%s]%s" : " %s%s", a->label,
                       a->kind == ARG_GUESTS || a->kind == ARG_WORDS ? "..." : "");
        buf_printf(out, "  %-24s %s\n", buf_str(&left), cmd->help);
        buf_done(&left);
    }
    buf_printf(out, "\nholm %s VERB --help explains one of them.\n", noun->name);
}

void help_all(struct buf *out)
{
    buf_append_str(out, "usage: holm NOUN VERB [arguments] [options]\n\n");
    for (size_t i = 0; i < noun_count; i++)
        buf_printf(out, "  %-10s %s\n", noun_table[i].name, noun_table[i].help);
    buf_append_str(out, "\nfor every command:\n");
    for (const struct cli_opt *o = global_opts; o->name; o++)
        put_option(o, out);
    buf_append_str(out,
                   "\nexit codes: 0 done, 1 failed, 2 partly done, 3 not found, 4 not logged in, 5 not permitted,\n"
                   "  6 conflict or exists, 7 the task failed, 8 too late, 64 wrong usage, 69 Holm is not running,\n"
                   "  130 interrupted\n\nholm help NOUN lists its verbs.\n");
}

int help_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct cli_noun *noun = a->n_pos ? noun_find(a->pos[0]) : NULL;
    const struct cli_command *topic = NULL;
    char verb[64] = "";
    struct buf out;

    if (a->n_pos && !noun) {
        err_set(e, -EINVAL, "cli.usage", "no help on '%s'", a->pos[0]);
        return err_hint(e, "holm help lists the commands");
    }
    if (a->n_pos > 1) {
        snprintf(verb, sizeof(verb), "%s%s%s", a->pos[1], a->n_pos > 2 ? " " : "", a->n_pos > 2 ? a->pos[2] : "");
        topic = command_find(noun->name, verb);
        if (!topic && !command_verb_is_prefix(noun->name, verb))
            return err_set(e, -EINVAL, "cli.usage", "no help on '%s %s'", noun->name, verb);
    }
    buf_init(&out, 256 * 1024);
    if (topic)
        help_command(topic, &out);
    else if (noun)
        help_noun(noun, &out);
    else
        help_all(&out);
    return output_flush(&out, e);
}
