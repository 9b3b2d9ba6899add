/* What a worker takes from itself, in three steps: before it reads anything, when it knows the verb, and right before
 * the verb runs. Each step can only take away.
 *
 * Landlock is used where the kernel has it: no path can be opened any more. Where it is missing, seccomp alone keeps
 * the same promise once the verb is sealed (no open call is in any list). */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <seccomp.h>
#include <signal.h>

#include "base/asan.h"
#include "base/landlock.h"
#include "base/proc.h"
#include "worker/worker.h"

#define DESCRIPTORS_MAX 32u

/* Memory, locks of libc, the answer, the end. No open, no socket, no process. */
static const int common_calls[] = {
    SCMP_SYS(write),
    SCMP_SYS(sendmsg),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(close),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
#if HAS_ASAN
    SCMP_SYS(sched_yield),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
#endif
    -1,
};

int sandbox_early(struct err *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "prctl");
    /* A file at its limit or a reader that went away is an error of a call, not the end. */
    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_errno(e, errno, "signal");
    int r = proc_limit(RLIMIT_CORE, 0, e);
    if (r == 0)
        r = proc_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, e);
    return r < 0 ? r : landlock_deny_paths(e);
}

/* What the program and its libraries take before a verb asks for anything (measured: about 30 MiB); not read from
 * /proc, for no path can be opened any more. */
#define ADDRESS_SPACE_BASE (UINT64_C(128) << 20)

int sandbox_limits(const struct work_request *q, struct err *e)
{
    const struct work_limits *l = &q->verb->limits;
    uint64_t cpu_s = l->cpu_s;
    int r;

    if (l->cpu_bytes_per_s)
        cpu_s += q->total_bytes / l->cpu_bytes_per_s;
    r = proc_limit(RLIMIT_CPU, cpu_s, e);
    if (r == 0 && !HAS_ASAN)
        r = proc_limit(RLIMIT_AS, ADDRESS_SPACE_BASE + l->memory_bytes, e);
    return r < 0 ? r : proc_limit(RLIMIT_FSIZE, l->writes_files ? q->total_bytes : 0, e);
}

static int allow(scmp_filter_ctx ctx, const int *calls)
{
    int r = 0;

    for (; r == 0 && *calls != -1; calls++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *calls, 0);
    return r;
}

int sandbox_seal(const struct work_verb *verb, struct err *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

    if (!ctx)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = allow(ctx, common_calls);
    if (r == 0)
        r = allow(ctx, verb->calls);
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r < 0 ? err_errno(e, -r, "seccomp") : 0;
}
