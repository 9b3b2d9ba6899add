/* holm-vmm: runs one virtual machine on KVM. By hand: holm-vmm run --kernel … (doc/vmm.md); by holm-guest with the same
 * options in a file of its own and descriptors instead of paths. Exit status: 0 the guest turned itself off, 1 it could
 * not be run or not go on, 2 the options are wrong. */
#include <signal.h>

#include "base/asan.h"
#include "base/log.h"
#include "vmm/machine.h"

#if HAS_ASAN
/* The leak checker starts a process and traces this one, which the jail forbids: off unless asked for, with --jail off.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

static int usage(FILE *to, int status)
{
    options_usage(to);
    return status;
}

static int run(int argc, char **argv)
{
    struct options options = {.kernel_fd = -1, .initrd_fd = -1, .control_fd = -1};
    struct machine *machine = NULL;
    struct err e = ERR_INIT;
    int r, status = 2;

    if (argc == 1 && streq(argv[0], "--help"))
        return usage(stdout, 0);
    r = options_parse(&options, argc, argv, &e);
    if (r == 0) {
        status = 1;
        r = machine_new(&options, &machine, &e);
    }
    if (r == 0)
        r = machine_run(machine, &e);
    if (r < 0)
        log_err(LOG_ERROR, &e, "the machine");
    machine_free(machine);
    options_done(&options);
    return r < 0 ? status : 0;
}

int main(int argc, char **argv)
{
    log_init("holm-vmm", LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 2 && streq(argv[1], "run"))
        return run(argc - 2, argv + 2);
    if (argc == 2 && streq(argv[1], "--version")) {
        printf("holm-vmm %s\n", HOLM_VERSION);
        return 0;
    }
    if (argc == 2 && streq(argv[1], "--help"))
        return usage(stdout, 0);
    return usage(stderr, 2);
}
