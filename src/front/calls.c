/* The table of system calls that holm-front may make after sandbox_enter; see calls.h. A row is here because a test
 * showed that it is needed; its reason says for what. There is no row that opens, connects, executes, makes a process
 * or memory that can be executed, looks at another process or signals one. Descriptors come from accept4 on a socket
 * that holmd made, and from holmd over the link. */
#include "front/calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/asan.h"

#define ROW(call, why, ...)                                                                                            \
    {                                                                                                                  \
        .number = SCMP_SYS(call), .name = #call, .reason = why, .only = { __VA_ARGS__ }                                \
    }

#if HAS_ASAN
#define REFUSED(call, num, why, ...)                                                                                   \
    {                                                                                                                  \
        .number = SCMP_SYS(call), .name = #call, .reason = why, .refusal = num, .only = { __VA_ARGS__ }                \
    }
#endif

static const struct front_call calls[] = {
    /* Clients. */
    ROW(accept4, "a client"),
    ROW(getpeername, "the client's address, for limits and logs"),
    ROW(recvfrom, "a look at the first byte: TLS or not"),
    ROW(read, "bytes of clients, consoles, and of the loop's own wake-up pipe"),
    ROW(readv, "the same, into a chain of buffers"),
    ROW(write, "bytes to clients, uploads and the log"),
    ROW(writev, "the same, from a chain of buffers"),
    ROW(shutdown, "the end of our side, before a client has read everything"),
    ROW(close, "the end"),
    ROW(setsockopt, "replies leave at once", SCMP_A1(SCMP_CMP_EQ, IPPROTO_TCP), SCMP_A2(SCMP_CMP_EQ, TCP_NODELAY)),
    ROW(ioctl, "how much there is to read", SCMP_A1(SCMP_CMP_EQ, FIONREAD)),
    ROW(fcntl, "descriptors from holmd: are they non-blocking?", SCMP_A1(SCMP_CMP_EQ, F_GETFL)),
    ROW(fcntl, "…make them so", SCMP_A1(SCMP_CMP_EQ, F_SETFL)),
    /* The link to holmd. */
    ROW(sendmsg, "frames to holmd"),
    ROW(recvmsg, "frames and descriptors from holmd"),
    /* The loop. */
    ROW(epoll_ctl, "what to wait for"),
#ifdef __x86_64__
    ROW(epoll_wait, "what happened"),
    ROW(poll, "is a client waiting while descriptors are short?"),
    ROW(time, "dates in replies, where the kernel gives no page to read it from"),
#else
    ROW(epoll_pwait, "what happened"),
    ROW(ppoll, "is a client waiting while descriptors are short?"),
#endif
    ROW(clock_gettime, "timers, where the kernel gives no page to read it from"),
    ROW(gettimeofday, "the same, for libevent"),
    ROW(rt_sigaction, "the end restores the handler of SIGTERM"),
    ROW(rt_sigprocmask, "libevent and libc around handlers"),
    ROW(rt_sigreturn, "the end of a handler"),
    ROW(restart_syscall, "a wait that a stop signal interrupted"),
    ROW(exit_group, "the end"),
    /* OpenSSL. */
    ROW(getrandom, "keys and nonces"),
    ROW(getpid, "OpenSSL and the log ask who they are"),
    ROW(futex, "locks and once-only initialisation in libraries"),
    /* Memory: writable or executable, never both, and nothing new that can be executed. */
    ROW(mmap, "large buffers", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
    ROW(mprotect, "the allocator's own heaps", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
    ROW(munmap, "large buffers"),
    ROW(mremap, "large buffers that grow"),
    ROW(madvise, "buffers go back to the system"),
    ROW(brk, "small buffers"),
#if HAS_ASAN
    ROW(sched_yield, "AddressSanitizer: its locks"),
    ROW(gettid, "AddressSanitizer: which thread reports"),
    ROW(sigaltstack, "AddressSanitizer: the end of a thread"),
#endif
#if HAS_ASAN && defined(__x86_64__)
    /* The report of undefined behaviour looks for its own name first; refused, it is printed without. */
    REFUSED(readlink, EACCES, "UndefinedBehaviorSanitizer: the program's name"),
    REFUSED(open, EACCES, "UndefinedBehaviorSanitizer: the program's arguments and environment"),
    REFUSED(ioctl, ENOTTY, "sanitizers: colours for a report?", SCMP_A1(SCMP_CMP_EQ, TCGETS)),
#endif
};

const struct front_call *front_calls(size_t *ret_n)
{
    *ret_n = ARRAY_SIZE(calls);
    return calls;
}

static int add_row(scmp_filter_ctx ctx, const struct front_call *c)
{
    unsigned n = 0;

    while (n < ARRAY_SIZE(c->only) && c->only[n].op)
        n++;
    return seccomp_rule_add_array(ctx, c->refusal ? SCMP_ACT_ERRNO(c->refusal) : SCMP_ACT_ALLOW, c->number, n, c->only);
}

int front_calls_load(struct err *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r;

    if (!ctx)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
        r = add_row(ctx, &calls[i]);
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r < 0 ? err_errno(e, -r, "load the system call filter") : 0;
}
