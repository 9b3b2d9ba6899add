/* gen-man-holm: writes the manual pages of the command line into a folder when Holm is built: holm.1 and a page for
 * each noun (holm-vm.1). All that is in them stands in the command table. Not installed.
 *
 * usage: gen-man-holm DIR */
#include <fcntl.h>
#include <sys/stat.h>

#include "cli/command_priv.h"
#include "cli/roff.h"

static const struct {
    enum cli_exit code;
    const char *text;
} exits[] = {
    {EXIT_OK, "Done."},
    {EXIT_FAILED, "Failed."},
    {EXIT_PARTIAL, "Done for some of the guests."},
    {EXIT_NOT_FOUND, "What was named does not exist."},
    {EXIT_AUTH, "Not logged in."},
    {EXIT_DENIED, "Not permitted."},
    {EXIT_CONFLICT, "It exists already, is in use, or was changed by somebody else."},
    {EXIT_TASK_FAILED, "The task failed."},
    {EXIT_TIMEOUT, "It did not end in time."},
    {EXIT_USAGE, "Wrong usage."},
    {EXIT_UNREACHABLE, "Holm is not running."},
    {EXIT_INTERRUPTED, "Interrupted."},
};

static void put_option(struct buf *out, const struct cli_opt *o)
{
    char name[72], text[512];
    bool is_flag = o->kind == OPT_FLAG || o->kind == OPT_NO;

    snprintf(name, sizeof(name), "--%s", o->name);
    snprintf(text, sizeof(text), "%s%s%s%s.", o->help, o->choices ? ": " : "", o->choices ? o->choices : "",
             o->is_required ? " (required)" : "");
    roff_item(out, name, is_flag ? NULL : o->value ? o->value : "VALUE", text);
}

static void put_api(struct buf *out, const struct cli_command *cmd)
{
    if (!cmd->method || !cmd->path)
        return;
    buf_append_str(out, ".PP\nAPI: \\fB");
    roff_text(out, cmd->method);
    buf_append_char(out, ' ');
    roff_text(out, cmd->path);
    buf_append_str(out, "\\fR\n");
    if (cmd->force_path) {
        buf_append_str(out, ".PP\nWith \\-\\-force: \\fB");
        roff_text(out, cmd->force_path);
        buf_append_str(out, "\\fR\n");
    }
}

static void put_flags(struct buf *out, unsigned flags)
{
    static const struct {
        unsigned flag;
        const char *text;
    } texts[] = {{CMD_ASKS, "Asks first, unless -y is given."},
                 {CMD_TASK, "Follows the task to its end, unless --no-wait is given."},
                 {CMD_DRY_RUN, "With --dry-run it shows what it would do."},
                 {CMD_ROOT, "Only root may do this."}};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (flags & texts[i].flag) {
            buf_append_str(out, ".PP\n");
            roff_text(out, texts[i].text);
            buf_append_char(out, '\n');
        }
}

static void put_command(struct buf *out, const struct cli_command *cmd)
{
    struct buf synopsis;

    buf_init(&synopsis, 4096);
    help_synopsis(cmd, &synopsis);
    roff_macro(out, "SS", buf_str(&synopsis));
    buf_done(&synopsis);
    roff_text(out, cmd->help);
    buf_append_char(out, '\n');
    for (const struct cli_opt *o = cmd->opts; o && o->name; o++)
        put_option(out, o);
    if (cmd->flags & CMD_ANY_KEY)
        roff_item(out, "--KEY", "VALUE", "Any other key of the API.");
    if (cmd->flags & CMD_PASSTHROUGH) {
        roff_item(out, "-d", "KEY=VALUE", "Any parameter of the API.");
        roff_item(out, "--data-file", "KEY=FILE", "Its value from a file, - for standard input.");
    }
    put_flags(out, cmd->flags);
    put_api(out, cmd);
    buf_append_str(out, ".PP\nExample:\n.PP\n.RS\n.nf\n");
    roff_text(out, cmd->example);
    buf_append_str(out, "\n.fi\n.RE\n");
}

static void put_see_also(struct buf *out, const char *except)
{
    roff_macro(out, "SH", "SEE ALSO");
    if (except)
        buf_append_str(out, ".BR holm (1),\n");
    for (size_t i = 0; i < noun_count; i++)
        if (!except || !streq(noun_table[i].name, except))
            buf_printf(out, ".BR holm\\-%s (1),\n", noun_table[i].name);
    buf_append_str(out, ".BR holmd (8)\n");
}

static void make_noun(const struct cli_noun *noun, struct buf *out)
{
    char name[80];

    snprintf(name, sizeof(name), "holm %s", noun->name);
    roff_head(out, name, "1", noun->help);
    roff_macro(out, "SH", "SYNOPSIS");
    buf_printf(out, "\\fBholm %s\\fR%s\n", noun->name,
               command_find(noun->name, "") ? " [arguments] [options]" : " \\fIverb\\fR [arguments] [options]");
    roff_macro(out, "SH", "DESCRIPTION");
    buf_append_str(out, "The options that every command takes, and the exit codes, are in\n.BR holm (1).\n");
    roff_macro(out, "SH", "COMMANDS");
    for (size_t i = 0; i < command_count; i++)
        if (streq(command_table[i].noun, noun->name))
            put_command(out, &command_table[i]);
    put_see_also(out, noun->name);
}

static void make_holm(struct buf *out)
{
    roff_head(out, "holm", "1", "command line of the Holm virtualization platform");
    roff_macro(out, "SH", "SYNOPSIS");
    buf_append_str(out, "\\fBholm\\fR \\fInoun\\fR \\fIverb\\fR [arguments] [options]\n");
    roff_macro(out, "SH", "DESCRIPTION");
    buf_append_str(out, "Talks to the\n.BR holmd (8)\nof this host over its local socket. Who calls is what the kernel "
                        "says; root is root@pam.\n");
    roff_macro(out, "SH", "NOUNS");
    for (size_t i = 0; i < noun_count; i++) {
        buf_printf(out, ".TP\n.BR holm\\-%s (1)\n", noun_table[i].name);
        roff_text(out, noun_table[i].help);
        buf_append_char(out, '\n');
    }
    roff_macro(out, "SH", "OPTIONS OF EVERY COMMAND");
    for (const struct cli_opt *o = global_opts; o->name; o++)
        put_option(out, o);
    roff_macro(out, "SH", "EXIT STATUS");
    for (size_t i = 0; i < ARRAY_SIZE(exits); i++) {
        char code[8];
        snprintf(code, sizeof(code), "%d", (int)exits[i].code);
        roff_item(out, code, NULL, exits[i].text);
    }
    roff_macro(out, "SH", "ENVIRONMENT");
    roff_item(out, "HOLM_ROOT", NULL, "Folder of the Holm to talk to, where --root is not given.");
    put_see_also(out, NULL);
}

static int write_all(const char *dir, struct err *e)
{
    struct buf page;
    char name[80];

    buf_init(&page, ROFF_PAGE_MAX);
    make_holm(&page);
    int r = roff_write(dir, "holm.1", &page, e);
    for (size_t i = 0; r == 0 && i < noun_count; i++) {
        snprintf(name, sizeof(name), "holm-%s.1", noun_table[i].name);
        buf_reset(&page);
        make_noun(&noun_table[i], &page);
        r = roff_write(dir, name, &page, e);
    }
    buf_done(&page);
    return r;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;

    if (argc != 2) {
        fprintf(stderr, "usage: gen-man-holm DIR\n");
        return EXIT_USAGE;
    }
    int r = mkdir(argv[1], 0755) < 0 && errno != EEXIST ? err_errno(&e, errno, "create %s", argv[1]) : 0;
    if (r == 0)
        r = write_all(argv[1], &e);
    /* The folder is what the build looks at. */
    if (r == 0 && utimensat(AT_FDCWD, argv[1], NULL, 0) < 0)
        r = err_errno(&e, errno, "touch %s", argv[1]);
    if (r < 0)
        fprintf(stderr, "gen-man-holm: %s\n", e.text);
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}
