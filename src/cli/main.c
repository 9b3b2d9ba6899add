/* holm: the command line. Parses by the table in commands.c, talks to holmd over ROOT/run/holm.sock (client.c), prints
 * (output.c), and turns the error it ends with into an exit code (fail.c). Runs as whoever calls it; the daemon learns
 * who that is from the kernel. Under the name of one of Proxmox VE's tools it is that tool (compat.c). */
#include <locale.h>

#include "base/clock.h"
#include "cli/compat_priv.h"
#include "cli/output_priv.h"

#define TIMEOUT_MAX_S (100u * 365u * 86400u)

static int print_help(const struct cli_args *a, const struct cli_command *cmd, struct err *e)
{
    struct buf out;

    buf_init(&out, 256 * 1024);
    if (cmd)
        help_command(cmd, &out);
    else if (a->noun)
        help_noun(noun_find(a->noun), &out);
    else
        help_all(&out);
    return output_flush(&out, e);
}

static int check_root(const struct cli_command *cmd, struct err *e)
{
    if (!(cmd->flags & CMD_ROOT) || geteuid() == 0)
        return 0;
    err_set(e, -EPERM, "cli.denied", "only root may do this");
    return err_hint(e, "run the command as root");
}

static int run(struct cli *c, int argc, char **argv, struct cli_args *a, struct err *e)
{
    const struct cli_command *cmd = NULL;
    int r = args_parse(c, argc, argv, a, &cmd, e);

    if (r < 0)
        return r;
    if (c->timeout_s)
        c->deadline_ms = clock_boot_ms() + (c->timeout_s < TIMEOUT_MAX_S ? c->timeout_s : TIMEOUT_MAX_S) * 1000;
    if (a->is_help)
        return print_help(a, cmd, e);
    r = check_root(cmd, e);
    return r < 0 ? r : command_run(c, cmd, a, e);
}

int main(int argc, char **argv)
{
    const char *root = getenv("HOLM_ROOT");
    struct cli c = {.root = root && *root ? root : "/var/lib/holm", .is_waiting = true};
    struct cli_args a = {0};
    struct err e = ERR_INIT;

    (void)!setlocale(LC_CTYPE, "C.UTF-8");
    signals_init();
    const char *name = argc ? strrchr(argv[0], '/') : NULL;
    name = name ? name + 1 : argc ? argv[0] : "";
    if (compat_is_tool(name))
        return compat_main(&c, name, argc, argv);
    int r = run(&c, argc - 1, argv + 1, &a, &e);
    if (r < 0) {
        if (!e.num)
            err_set(&e, r, NULL, "failed");
        fail_print(&c, &e);
    }
    args_done(&a);
    json_decref(c.param_errors);
    client_free(c.client);
    return r < 0 ? (int)fail_exit_code(&e) : EXIT_OK;
}
