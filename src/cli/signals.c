/* Ctrl-C and friends. The handler only notes the signal: waits are poll() calls, which it interrupts, and whoever waits
 * asks signals_pending(). The handler is one-shot, so a second Ctrl-C ends the process at once if something hangs. */
#include <signal.h>

#include "cli/cli_priv.h"

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

void signals_init(void)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

int signals_pending(void)
{
    return caught;
}

int signals_error(struct err *e)
{
    return err_set(e, -EINTR, "cli.interrupted", "interrupted");
}
