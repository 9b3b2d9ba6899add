/* The table of system calls; see calls.h. A row is here because a test showed that it is needed. There is no row that
 * opens, connects, executes, makes a process, a thread or memory that can be executed, looks at another process or
 * signals one. Of the thousand things that can be asked of KVM only those that a running machine needs are allowed.
 * The order is that of the filter: what is called for each exit or request comes first. */
#include "vmm/calls.h"

#include <linux/audit.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/asan.h"

#define ROW(call, who, why)                                                                                            \
    {                                                                                                                  \
        .number = SYS_##call, .kinds = (who), .name = #call, .reason = (why)                                           \
    }
#define ROW_IF(call, who, why, ...)                                                                                    \
    {                                                                                                                  \
        .number = SYS_##call, .kinds = (who), .only = {__VA_ARGS__}, .name = #call, .reason = (why)                    \
    }
#define IS(arg, what)                                                                                                  \
    {                                                                                                                  \
        .argument = (arg), .mask = UINT32_MAX, .value = (uint32_t)(what)                                               \
    }
#define HAS_NO(arg, bits)                                                                                              \
    {                                                                                                                  \
        .argument = (arg), .mask = (bits), .value = 0                                                                  \
    }
#define KVM(request, who, why) ROW_IF(ioctl, who, why, IS(1, request))
#define REFUSED(call, num, why)                                                                                        \
    {                                                                                                                  \
        .number = SYS_##call, .kinds = ALL, .refusal = (num), .name = #call, .reason = (why)                           \
    }

#define MAIN  CALLS_MAIN
#define VCPU  CALLS_VCPU
#define DISK  CALLS_DISK
#define BLOCK CALLS_BLOCK
#define NET   CALLS_NET
#define LOOPS (MAIN | DISK | NET)
#define ALL   (MAIN | VCPU | DISK | BLOCK | NET)

static const struct call table[] = {
    /* The guest, and what a guest may change while it runs: doorbells, interrupt lines and their messages. */
    KVM(KVM_RUN, VCPU, "the guest"),
    KVM(KVM_IRQFD, MAIN | VCPU, "an interrupt line is connected to its eventfd, or not any more"),
    KVM(KVM_IOEVENTFD, MAIN | VCPU, "a doorbell moves with the BAR of its device"),
    KVM(KVM_SET_GSI_ROUTING, VCPU, "the message that a line sends"),
    /* Resume, reset and the end: no vCPU runs then. */
    KVM(KVM_KVMCLOCK_CTRL, MAIN, "resume: the guest learns that it was paused"),
    KVM(KVM_SET_IRQCHIP, MAIN, "reset"),
    KVM(KVM_GET_SREGS, MAIN, "reset: the first instruction"),
    KVM(KVM_SET_SREGS, MAIN, "reset"),
    KVM(KVM_SET_REGS, MAIN, "reset"),
    KVM(KVM_SET_XCRS, MAIN, "reset"),
    KVM(KVM_SET_XSAVE, MAIN, "reset"),
    KVM(KVM_SET_DEBUGREGS, MAIN, "reset"),
    KVM(KVM_SET_LAPIC, MAIN, "reset"),
    KVM(KVM_SET_MSRS, MAIN, "reset"),
    KVM(KVM_SET_VCPU_EVENTS, MAIN, "reset"),
    KVM(KVM_SET_MP_STATE, MAIN, "reset"),
    /* Disks. */
    ROW(io_uring_enter, DISK, "requests to the ring of a disk, and waiting for whatever comes"),
    ROW(preadv, BLOCK, "reads of a disk without a ring"),
    ROW(pwritev, BLOCK, "writes of a disk without a ring"),
    ROW(fdatasync, BLOCK, "flush"),
    ROW_IF(fallocate, BLOCK, "discard", IS(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)),
    ROW_IF(fallocate, BLOCK, "write zeroes", IS(1, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)),
    ROW(ftruncate, MAIN, "a disk that grows by order of the host"),
    ROW_IF(ioctl, MAIN, "a disk that grew: the size of its block device", IS(1, BLKGETSIZE64)),
    /* The network: a tap, or a socket that carries frames. */
    ROW(readv, NET | MAIN, "frames from the tap; a connection's bytes into the guest"),
    ROW(writev, NET | MAIN, "frames to the tap; the console's output"),
    ROW_IF(ioctl, VCPU | MAIN, "what the driver lets the tap leave to it", IS(1, TUNSETOFFLOAD)),
    ROW_IF(ioctl, VCPU | MAIN, "how many pairs of queues the driver uses", IS(1, TUNSETQUEUE)),
    ROW_IF(getsockopt, NET, "is the other side gone?", IS(1, SOL_SOCKET), IS(2, SO_ERROR)),
    ROW(timerfd_settime, NET | DISK | MAIN, "limits of the rate; the balloon's and the sockets' clocks"),
    ROW(clock_gettime, NET | DISK | MAIN, "the same, where the kernel gives no page to read the time from"),
    /* Connections between guest and host, on a socket that was given to us. */
    ROW(accept4, MAIN, "a program of the host that wants to talk to the guest"),
    ROW(recvfrom, MAIN, "which port it wants"),
    ROW(sendto, MAIN, "the answer to that"),
    ROW(sendmsg, MAIN, "the guest's bytes"),
    ROW(shutdown, MAIN, "the end of one direction, or of the control connection"),
    /* Loops, and what threads tell each other. */
    ROW(read, ALL & ~BLOCK, "an eventfd is read away; the console's input"),
    ROW(write, ALL, "an eventfd is rung; the console's output; the log"),
    ROW(epoll_wait, LOOPS, "what happened"),
    ROW(epoll_ctl, MAIN | NET, "a console or tap is watched while it has or takes bytes"),
    ROW(futex, ALL, "locks, conditions, the end of a thread"),
    ROW(eventfd2, VCPU, "an interrupt line that the guest uses for the first time"),
    ROW(getrandom, MAIN, "the guest's entropy"),
    /* Kicking a vCPU out of the guest: a signal to a thread of ours. */
    ROW(getpid, MAIN, "which process a thread to be signalled belongs to"),
    ROW_IF(tgkill, MAIN, "the kick", IS(0, CALL_SELF), IS(2, SIGUSR1)),
    ROW(rt_sigreturn, VCPU, "the end of the kick"),
    ROW(rt_sigprocmask, ALL, "libc around a thread's end and around sending a signal"),
    /* Reset loads the kernel again. */
    ROW(fstat, MAIN, "reset: the size of kernel and initial RAM disk, as new C libraries ask"),
    ROW_IF(newfstatat, MAIN, "the same, as older ones do: of a descriptor", IS(3, AT_EMPTY_PATH)),
    ROW(pread64, MAIN, "reset: kernel and initial RAM disk"),
    ROW_IF(madvise, ALL, "reset forgets the guest's memory; a thread's end its stack", IS(2, MADV_DONTNEED)),
    /* Memory of the program: never executable. */
    ROW_IF(mmap, MAIN, "the allocator", HAS_NO(2, PROT_EXEC)),
    ROW(munmap, MAIN, "the allocator; the end"),
    ROW(brk, MAIN, "the allocator"),
    /* The end. */
    ROW(close, MAIN, "the end"),
    ROW(exit, ALL & ~MAIN, "a thread's end"),
    ROW(exit_group, MAIN, "the end"),
#if HAS_ASAN
    ROW(sched_yield, ALL, "AddressSanitizer: its locks"),
    ROW(gettid, ALL, "AddressSanitizer: which thread reports"),
    ROW(sigaltstack, ALL, "AddressSanitizer: the end of a thread"),
    ROW_IF(mmap, ALL & ~MAIN, "AddressSanitizer: its heap", HAS_NO(2, PROT_EXEC)),
    ROW(munmap, ALL & ~MAIN, "AddressSanitizer: its heap"),
    ROW_IF(madvise, ALL, "AddressSanitizer: its heap", IS(2, MADV_NOHUGEPAGE)),
    ROW_IF(madvise, ALL, "AddressSanitizer: its heap", IS(2, MADV_DONTDUMP)),
    ROW(clock_gettime, ALL & ~(MAIN | NET | DISK), "AddressSanitizer: its heap"),
    /* The report of undefined behaviour looks for its own name first; refused, it is printed without. */
    REFUSED(readlink, EACCES, "UndefinedBehaviorSanitizer: the program's name"),
    REFUSED(open, EACCES, "UndefinedBehaviorSanitizer: the program's arguments and environment"),
#endif
};

static const char *const kind_names[CALLS_KINDS] = {"main", "vcpu", "disk", "block", "net"};

const struct call *calls_table(size_t *ret_n)
{
    *ret_n = ARRAY_SIZE(table);
    return table;
}

enum calls_kind calls_kind_find(const char *thread_name)
{
    size_t n = strcspn(thread_name, "0123456789");

    for (unsigned i = 0; i < CALLS_KINDS; i++)
        if (strlen(kind_names[i]) == n && !memcmp(kind_names[i], thread_name, n))
            return (enum calls_kind)(1u << i);
    return 0;
}

const char *calls_kind_name(enum calls_kind kind)
{
    return kind_names[__builtin_ctz(kind)];
}

/* --- The filter: Documentation/userspace-api/seccomp_filter.rst. ------------------------------------------------ */

struct writer {
    struct sock_filter *program;
    unsigned n;
    bool is_full;
};

static unsigned put(struct writer *w, uint16_t code, uint32_t k)
{
    if (w->n == CALLS_PROGRAM_MAX) {
        w->is_full = true;
        return 0;
    }
    w->program[w->n] = (struct sock_filter){.code = code, .k = k};
    return w->n++;
}

/* Makes the comparison at `from` jump to here when it does not hold. */
static void else_here(struct writer *w, unsigned from)
{
    unsigned distance = w->n - from - 1;

    w->is_full |= distance > UINT8_MAX;
    w->program[from].jf = (uint8_t)distance;
}

#define LOAD(field)   put(w, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(field))
#define RETURN(value) put(w, BPF_RET | BPF_K, (value))

static void put_row(struct writer *w, const struct call *c)
{
    unsigned tests[CALL_CONDITIONS], n = 0;

    for (; n < CALL_CONDITIONS && c->only[n].mask; n++) {
        LOAD(offsetof(struct seccomp_data, args) + 8u * c->only[n].argument); /* little-endian: the low half */
        if (c->only[n].mask != UINT32_MAX)
            put(w, BPF_ALU | BPF_AND | BPF_K, c->only[n].mask);
        tests[n] =
            put(w, BPF_JMP | BPF_JEQ | BPF_K, c->only[n].value == CALL_SELF ? (uint32_t)getpid() : c->only[n].value);
    }
    RETURN(c->refusal ? SECCOMP_RET_ERRNO | (uint32_t)c->refusal : SECCOMP_RET_ALLOW);
    while (n)
        else_here(w, tests[--n]);
}

/* The rows of one number, which is in the accumulator. The first one that applies decides; where none does, it is the
 * end. */
static void put_number(struct writer *w, size_t first, enum calls_kind kind)
{
    int number = table[first].number;
    unsigned test = put(w, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number);
    bool is_open = true;

    for (size_t i = first; i < ARRAY_SIZE(table) && is_open; i++)
        if (table[i].number == number && (table[i].kinds & kind)) {
            put_row(w, &table[i]);
            is_open = table[i].only[0].mask;
        }
    if (is_open)
        RETURN(SECCOMP_RET_KILL_PROCESS);
    else_here(w, test);
}

static bool is_first(size_t row, enum calls_kind kind)
{
    if (!(table[row].kinds & kind))
        return false;
    for (size_t i = 0; i < row; i++)
        if (table[i].number == table[row].number && (table[i].kinds & kind))
            return false;
    return true;
}

int calls_compile(enum calls_kind kind, struct sock_filter program[CALLS_PROGRAM_MAX])
{
    struct writer writer = {.program = program}, *w = &writer;
    unsigned test;

    LOAD(offsetof(struct seccomp_data, arch));
    test = put(w, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64);
    program[test].jt = 1; /* over the end of every other interface of the processor */
    RETURN(SECCOMP_RET_KILL_PROCESS);
    LOAD(offsetof(struct seccomp_data, nr)); /* x32 has numbers of its own, which are not in the table */
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (is_first(i, kind))
            put_number(w, i, kind);
    RETURN(SECCOMP_RET_KILL_PROCESS);
    return w->is_full ? -E2BIG : (int)w->n;
}

int calls_load(enum calls_kind kind, struct err *e)
{
    struct sock_filter program[CALLS_PROGRAM_MAX];
    int n = calls_compile(kind, program);
    struct sock_fprog filter = {.len = (unsigned short)n, .filter = program};

    if (n < 0)
        return err_errno(e, -n, "write the system call filter");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        return err_errno(e, errno, "load the system call filter");
    return 0;
}
