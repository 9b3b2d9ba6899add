/* What holm-fetch takes from itself. early: before it reads anything. seal: when the request is known and before the
 * first byte of a server; from then on there is no call that opens a path, starts a program, sends a signal or looks at
 * another process, and sockets are of the Internet. Where the kernel has Landlock the same holds for paths from early
 * on.
 *
 * The resolver keeps what the C library needs to look up names, and loses what starts programs or changes files. */
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/asan.h"
#include "base/landlock.h"
#include "base/proc.h"
#include "fetch/fetch.h"

#define DESCRIPTORS_MAX 32u
#define MEMORY_BYTES    (UINT64_C(512) << 20)
#define CPU_S           120u
#define CPU_BYTES_PER_S (UINT64_C(10) << 20) /* TLS, a digest and unpacking, on the slowest host we know of */

static const int calls[] = {
    /* memory, locks, time, the end */
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(sched_yield),
    /* descriptors it has */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fsync),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fcntl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(socketpair),
    SCMP_SYS(eventfd2),
    /* connections */
    SCMP_SYS(connect),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(shutdown),
#if HAS_ASAN
    SCMP_SYS(sigaltstack),
#endif
    -1,
};

/* What a resolver of names has no use for. */
static const int not_for_resolver[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(kill),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(tgkill),
    SCMP_SYS(tkill),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchownat),
    SCMP_SYS(mount),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(listen),
    SCMP_SYS(mknodat),
    SCMP_SYS(keyctl),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(fork),
    -1,
};

static int common_early(struct err *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "prctl");
    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_errno(e, errno, "signal");
    int r = proc_limit(RLIMIT_CORE, 0, e);
    return r < 0 ? r : proc_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, e);
}

int fetch_sandbox_early(struct err *e)
{
    int r = common_early(e);

    return r < 0 ? r : landlock_deny_paths(e);
}

static int load(scmp_filter_ctx ctx, int r, struct err *e)
{
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r < 0 ? err_errno(e, -r, "seccomp") : 0;
}

static int allow_sockets(scmp_filter_ctx ctx)
{
    int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET));

    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET6));
    /* The library asks whether its socket takes input without waiting: FIONBIO and FIONREAD of ioctl. */
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, 0x5421));
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, 0x541b));
    return r;
}

int fetch_sandbox_seal(const struct fetch_request *q, struct err *e)
{
    int r = proc_limit(RLIMIT_CPU, CPU_S + 2 * (q->limit_bytes / CPU_BYTES_PER_S), e);

    if (r == 0 && !HAS_ASAN)
        r = proc_limit(RLIMIT_AS, MEMORY_BYTES, e);
    if (r == 0)
        r = proc_limit(RLIMIT_FSIZE, q->limit_bytes, e);
    if (r < 0)
        return r;
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!ctx)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (const int *c = calls; r == 0 && *c != -1; c++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *c, 0);
    return load(ctx, r == 0 ? allow_sockets(ctx) : r, e);
}

int fetch_sandbox_resolver(struct err *e)
{
    int r = common_early(e);

    if (r == 0)
        r = proc_limit(RLIMIT_FSIZE, 0, e);
    if (r == 0)
        r = proc_limit(RLIMIT_CPU, CPU_S, e);
    if (r < 0)
        return r;
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (const int *c = not_for_resolver; r == 0 && *c != -1; c++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), *c, 0);
    return load(ctx, r, e);
}
