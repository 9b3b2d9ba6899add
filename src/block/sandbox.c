/* What holm-block takes from itself and from QEMU; each step can only take away. Both run as the unprivileged user.
 *
 * QEMU keeps what a program of many threads needs, reads its libraries and no other file, and has no way to the
 * network, to other processes or to parts of the kernel that no image needs; its own filter (-sandbox) forbids to start
 * programs. We keep the descriptors, and the right to end QEMU. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <seccomp.h>

#include "base/asan.h"
#include "base/landlock.h"
#include "base/proc.h"
#include "block/block.h"

#define DESCRIPTORS_MAX   (2 * BLOCK_FDS_MAX + 128) /* QEMU has each twice */
#define MEMORY_BYTES      (UINT64_C(512) << 20)
#define QEMU_MEMORY_BYTES (UINT64_C(4) << 30)

static const char *const qemu_paths[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache", NULL};

static const int not_for_qemu[] = {
    SCMP_SYS(socket),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(kill),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(kcmp),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    -1,
};

static const int calls[] = {
    /* memory, time, the end */
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(wait4),
    /* descriptors it has */
    SCMP_SYS(close),
    SCMP_SYS(poll),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(write),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(fsync),
    SCMP_SYS(sync_file_range),
#if HAS_ASAN
    SCMP_SYS(sched_yield),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getrandom),
#endif
    -1,
};

static int ignore_signals(void)
{
    /* A file at its limit or a reader that went away is an error of a call, not the end. */
    return signal(SIGXFSZ, SIG_IGN) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -errno : 0;
}

int sandbox_early(struct err *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "prctl");
    int r = ignore_signals();
    if (r < 0)
        return err_errno(e, -r, "signal");
    json_object_seed(0); /* reads a file, once */
    r = proc_limit(RLIMIT_CORE, 0, e);
    return r < 0 ? r : proc_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, e);
}

static int load(scmp_filter_ctx ctx, int r)
{
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r;
}

int sandbox_child(const struct block_work *w)
{
    struct err e = ERR_INIT;
    int r = ignore_signals();

    if (r == 0)
        r = proc_limit(RLIMIT_FSIZE, w->written_bytes, &e);
    if (r == 0)
        r = landlock_allow_reading(qemu_paths, &e);
    if (r < 0)
        return r;
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return -ENOMEM;
    for (const int *c = not_for_qemu; r == 0 && *c != -1; c++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), *c, 0);
    r = load(ctx, r);
    return r < 0 ? r : proc_limit(RLIMIT_AS, QEMU_MEMORY_BYTES, &e); /* last: ours may be more already (ASan) */
}

int sandbox_seal(const struct block_work *w, pid_t qemu, struct err *e)
{
    int r = landlock_deny_paths(e);

    if (r == 0 && !HAS_ASAN)
        r = proc_limit(RLIMIT_AS, MEMORY_BYTES, e);
    if (r == 0)
        r = proc_limit(RLIMIT_FSIZE, qemu ? 0 : w->written_bytes, e);
    if (r < 0)
        return r;
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!ctx)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (const int *c = calls; r == 0 && *c != -1; c++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *c, 0);
    if (r == 0 && qemu > 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)qemu));
    r = load(ctx, r);
    return r < 0 ? err_errno(e, -r, "seccomp") : 0;
}
