/* Shedding privileges in steps; see sandbox.h. */
#include "front/sandbox.h"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
/* The leak checker traces this process through /proc, which an empty root does not have: off unless asked for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
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

static void limit_resources(void)
{
    struct rlimit files, none = {0, 0};

    setrlimit(RLIMIT_CORE, &none); /* a core would hold the private key */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int drop_root(const char *chroot_dir, uid_t uid, gid_t gid, struct err *e)
{
    if (uid == 0 || gid == 0)
        return err_set(e, -EPERM, "front.root", "refuses to serve as root: --uid and --gid are needed");
    /* The new root has no files, so there is nothing to open even if a path gets in. */
    if (chroot_dir && (chroot(chroot_dir) < 0 || chdir("/") < 0))
        return err_errno(e, errno, "chroot to %s", chroot_dir);
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_errno(e, errno, "change to uid %u", (unsigned)uid);
    if (setresuid(0, 0, 0) == 0)
        return err_set(e, -EPERM, "front.root", "could become root again");
    return 0;
}

int sandbox_enter(const char *chroot_dir, uid_t uid, gid_t gid, struct err *e)
{
    warm_up();
    limit_resources();
    if (geteuid() == 0) {
        int r = drop_root(chroot_dir, uid, gid, e);
        if (r < 0)
            return r;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(e, errno, "set no_new_privs");
    /* After the change of user: that clears it. A parent that died before shows as a closed link. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return err_errno(e, errno, "set the parent death signal");
#ifndef HAS_ASAN
    prctl(PR_SET_DUMPABLE, 0);
#endif
    return 0;
}
