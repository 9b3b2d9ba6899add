/* Ctrl-C and friends. The handler notes the signal and makes signals_fd() readable; whoever waits polls that too, so
 * that a signal just before the wait is not missed, and asks signals_pending(). The handler is one-shot: a second
 * Ctrl-C ends the process at once if something hangs. */
#include <signal.h>
#include <sys/eventfd.h>

#include "cli/cli_priv.h"

static volatile sig_atomic_t caught;
static int wake_fd = -EBADF;

static void on_signal(int number)
{
    int saved_errno = errno;
    uint64_t one = 1;

    caught = number;
    (void)!write(wake_fd, &one, sizeof(one));
    errno = saved_errno;
}

void signals_init(void)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

int signals_pending(void)
{
    return caught;
}

int signals_fd(void)
{
    return wake_fd;
}

int signals_error(struct err *e)
{
    return err_set(e, -EINTR, "cli.interrupted", "interrupted");
}
