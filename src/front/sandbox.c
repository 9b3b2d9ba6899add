/* Shedding privileges in steps, each of which only takes away; see sandbox.h. */
#include "front/sandbox.h"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/landlock.h"
#include "base/proc.h"
#include "base/asan.h"
#include "front/calls.h"

/* What is held at the worst: replies, bodies and the link's queue at their caps, TLS state of every connection, and
 * as much again for the allocator. Beyond, malloc fails and one connection ends instead of the host's memory. */
#define DATA_MAX_BYTES (UINT64_C(512) << 20)

#if HAS_ASAN
/* The leak checker traces this process through /proc, which an empty root does not have: off unless asked for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* At its end it starts a process, opens files and traces: a run that asks for it has neither Landlock nor filter. The
 * environment is clean when holmd starts this program. */
static bool is_leak_checked(void)
{
    const char *options = getenv("ASAN_OPTIONS");

    return options && strstr(options, "detect_leaks=1");
}
#else
static bool is_leak_checked(void)
{
    return false;
}
#endif

/* Things the C library opens lazily, while it still can: the time zone. */
static void warm_up(void)
{
    time_t now = time(NULL);
    struct tm tm;

    tzset();
    if (!gmtime_r(&now, &tm))
        return;
}

static int limit_resources(unsigned descriptors, struct err *e)
{
    struct stat st;
    int r = proc_limit(RLIMIT_CORE, 0, e); /* a core would hold the private key */

    if (r == 0)
        r = proc_limit(RLIMIT_NOFILE, descriptors, e);
    if (r == 0 && !is_leak_checked())
        r = proc_limit(RLIMIT_NPROC, 0, e);
    /* Uploads go into pipes. The log may be a file. */
    if (r == 0 && (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode)))
        r = proc_limit(RLIMIT_FSIZE, 0, e);
    if (r == 0 && !HAS_ASAN)
        r = proc_limit(RLIMIT_DATA, DATA_MAX_BYTES, e);
    return r;
}

static int drop_root(const char *chroot_dir, uid_t uid, gid_t gid, struct err *e)
{
    if (uid == 0 || gid == 0)
        return err_set(e, -EPERM, "front.root", "refuses to serve as root: --uid and --gid are needed");
    /* The new root has no files, so there is nothing to open even if a path gets in. */
    if (chroot_dir && (chroot(chroot_dir) < 0 || chdir("/") < 0))
        return err_errno(e, errno, "chroot to %s", chroot_dir);
    /* Nothing may come back through a file with capabilities or a user namespace either. */
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_errno(e, errno, "drop capability %d", cap);
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_errno(e, errno, "change to uid %u", (unsigned)uid);
    if (setresuid(0, 0, 0) == 0)
        return err_set(e, -EPERM, "front.root", "could become root again");
    return 0;
}

int sandbox_enter(const char *chroot_dir, uid_t uid, gid_t gid, unsigned descriptors, struct err *e)
{
    int r = 0;

    warm_up();
    if (geteuid() == 0)
        r = drop_root(chroot_dir, uid, gid, e);
    if (r == 0)
        r = limit_resources(descriptors, e);
    if (r < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(e, errno, "set no_new_privs");
    /* After the change of user: that clears it. A parent that died before shows as a closed link. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return err_errno(e, errno, "set the parent death signal");
    if (is_leak_checked())
        return 0;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "prctl");
    r = landlock_deny_paths(e);
    return r < 0 ? r : front_calls_load(e);
}
