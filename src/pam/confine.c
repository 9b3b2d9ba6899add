/* What holm-pam takes from itself before it reads anything. It stays root: modules read the shadow file, and change it.
 * What no module needs goes: the network (a module that asks a server does so through its own daemon, as sssd does),
 * raw devices, kernel modules, other people's processes, new privileges by setuid programs, core dumps. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <cap-ng.h>

#include "base/asan.h"
#include "base/proc.h"
#include "pam/pam.h"

#define CONTROL_FD      3
#define DESCRIPTORS_MAX 64u
#define CPU_S           10u
#define ADDRESS_SPACE   (UINT64_C(1) << 30)

static int set_limits(struct err *e)
{
    int r = proc_limit(RLIMIT_CORE, 0, e);

    if (r == 0)
        r = proc_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, e);
    if (r == 0)
        r = proc_limit(RLIMIT_CPU, CPU_S, e);
    if (r == 0 && !HAS_ASAN)
        r = proc_limit(RLIMIT_AS, ADDRESS_SPACE, e);
    return r;
}

/* Files of any owner, and to become another user; not more, also not through a setuid program. */
static bool is_kept(unsigned capability)
{
    static const unsigned kept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
                                    CAP_FSETID, CAP_SETGID,       CAP_SETUID,          CAP_AUDIT_WRITE};

    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (kept[i] == capability)
            return true;
    return false;
}

static int drop_capabilities(struct err *e)
{
    if (capng_get_caps_process() < 0)
        return err_set(e, -EIO, NULL, "cannot read my capabilities");
    /* As many as a set can hold: the kernel may know more than its header did; unknown ones are not there to drop. */
    for (unsigned i = 0; i < 64; i++)
        if (!is_kept(i))
            capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE | CAPNG_BOUNDING_SET, i);
    return capng_apply(CAPNG_SELECT_BOTH) < 0 ? err_set(e, -EPERM, NULL, "cannot drop capabilities") : 0;
}

static int clean_environment(struct err *e)
{
    if (clearenv() == 0 && setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) == 0 && setenv("LANG", "C", 1) == 0)
        return 0;
    return err_set(e, -ENOMEM, NULL, "out of memory");
}

int pam_confine(struct err *e)
{
    umask(077);
    if (chdir("/") < 0)
        return err_errno(e, errno, "chdir");
    if (syscall(SYS_close_range, CONTROL_FD + 1, ~0u, 0) < 0)
        return err_errno(e, errno, "close_range");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "prctl");
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_errno(e, errno, "signal");
    int r = clean_environment(e);
    if (r == 0)
        r = set_limits(e);
    if (r == 0 && unshare(CLONE_NEWNET | CLONE_NEWPID) < 0) {
        r = err_errno(e, errno, "make namespaces for PAM");
        err_hint(e, "holmd needs CAP_SYS_ADMIN; in a container it may have been taken away");
    }
    return r < 0 ? r : drop_capabilities(e);
}
