/* The filters of holm-vmm's threads: the programs in an interpreter against the table, then in the kernel: a child
 * takes the filter of a kind and makes one call. Every number that its rows do not hold must be its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/falloc.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/asan.h"
#include "vmm/thread.h"

#define NUMBER_LAST 475 /* and some that do not exist yet: unknown is forbidden, too */
#define X32         0x40000000u
#define INSIDE_OK   7

struct attempt {
    enum calls_kind kind;
    long number, args[6];
};

/* --- The interpreter ----------------------------------------------------------------------------------------------
 */

static uint32_t interpret(const struct sock_filter *program, unsigned n, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (unsigned at = 0; at < n; at++) {
        const struct sock_filter *i = &program[at];

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k % 4 == 0 && i->k + 4 <= sizeof(*data));
            memcpy(&a, (const uint8_t *)data + i->k, 4);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            fail_msg("instruction %u has code %#x", at, i->code);
        }
    }
    fail_msg("the program has no end");
    return 0;
}

/* What the table says, read without the program. */
static uint32_t expected(enum calls_kind kind, const struct seccomp_data *data)
{
    size_t n;
    const struct call *table = calls_table(&n);

    if (data->arch != AUDIT_ARCH_X86_64)
        return SECCOMP_RET_KILL_PROCESS;
    for (size_t i = 0; i < n; i++) {
        bool holds = table[i].number == data->nr && (table[i].kinds & kind);

        for (unsigned j = 0; j < CALL_CONDITIONS; j++) {
            const struct call_condition *c = &table[i].only[j];
            uint32_t value = c->value == CALL_SELF ? (uint32_t)getpid() : c->value;

            holds = holds && (!c->mask || ((uint32_t)data->args[c->argument] & c->mask) == value);
        }
        if (holds)
            return table[i].refusal ? SECCOMP_RET_ERRNO | (uint32_t)table[i].refusal : SECCOMP_RET_ALLOW;
    }
    return SECCOMP_RET_KILL_PROCESS;
}

/* All values that a condition names, their neighbours, and some of no meaning. */
static unsigned interesting(uint64_t *values, unsigned cap)
{
    size_t n_rows;
    const struct call *table = calls_table(&n_rows);
    unsigned n = 0;

    values[n++] = 0;
    values[n++] = UINT64_MAX;
    values[n++] = (uint64_t)getpid();
    values[n++] = PROT_EXEC | PROT_READ;
    for (size_t i = 0; i < n_rows; i++)
        for (unsigned j = 0; j < CALL_CONDITIONS && table[i].only[j].mask; j++) {
            assert_true(n + 3 <= cap);
            values[n++] = table[i].only[j].value;
            values[n++] = table[i].only[j].value ^ 1u;
            values[n++] = table[i].only[j].value | table[i].only[j].mask;
        }
    return n;
}

static void compare_number(enum calls_kind kind, const struct sock_filter *program, unsigned n, uint32_t number)
{
    uint64_t values[256];
    unsigned n_values = interesting(values, 250);

    for (unsigned argument = 0; argument < 3; argument++)
        for (unsigned i = 0; i < n_values; i++)
            for (unsigned others = 0; others < 2; others++) {
                struct seccomp_data data = {.nr = (int)number, .arch = AUDIT_ARCH_X86_64};

                data.args[0] = others ? (uint64_t)getpid() : 1;
                data.args[2] = others ? SIGUSR1 : 0;
                data.args[argument] = values[i];
                if (interpret(program, n, &data) != expected(kind, &data))
                    fail_msg("%s: call %#x, argument %u = %#lx", calls_kind_name(kind), number, argument,
                             (unsigned long)values[i]);
            }
}

static void test_programs(void **state)
{
    for (unsigned k = 0; k < CALLS_KINDS; k++) {
        enum calls_kind kind = (enum calls_kind)(1u << k);
        struct sock_filter program[CALLS_PROGRAM_MAX];
        int n = calls_compile(kind, program);

        assert_in_range(n, 10, CALLS_PROGRAM_MAX);
        for (uint32_t number = 0; number <= NUMBER_LAST; number++)
            compare_number(kind, program, (unsigned)n, number);
        compare_number(kind, program, (unsigned)n, X32 | SYS_write);
        compare_number(kind, program, (unsigned)n, UINT32_MAX);
        for (uint32_t number = 0; number <= NUMBER_LAST; number++) {
            struct seccomp_data data = {.nr = (int)number, .arch = AUDIT_ARCH_I386};

            assert_int_equal(interpret(program, (unsigned)n, &data), SECCOMP_RET_KILL_PROCESS);
        }
    }
}

/* --- In the kernel ------------------------------------------------------------------------------------------------
 */

static void enter(enum calls_kind kind)
{
    struct err e = ERR_INIT;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || calls_load(kind, &e) < 0) {
        (void)!write(STDERR_FILENO, e.text, strlen(e.text));
        _exit(1);
    }
}

/* How the child ended: its wait status. It ends by a forbidden call too where exit_group is none of its calls. */
static int try(const struct attempt *a)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        enter(a->kind);
        syscall(a->number, a->args[0], a->args[1], a->args[2], a->args[3], a->args[4], a->args[5]);
        syscall(a->kind == CALLS_MAIN ? SYS_exit_group : SYS_exit, INSIDE_OK);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool is_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static void assert_killed(const struct attempt *a)
{
    int status = try(a);

    if (!is_killed(status))
        fail_msg("%s: call %ld (%#lx, %#lx, %#lx): status %#x", calls_kind_name(a->kind), a->number,
                 (unsigned long)a->args[0], (unsigned long)a->args[1], (unsigned long)a->args[2], (unsigned)status);
}

static bool is_listed(enum calls_kind kind, long number)
{
    size_t n;
    const struct call *table = calls_table(&n);

    for (size_t i = 0; i < n; i++)
        if (table[i].number == number && (table[i].kinds & kind))
            return true;
    return false;
}

/* uretprobe and uprobe belong to the kernel's own trampolines: no filter sees them, elsewhere they do nothing. */
static bool is_probe(long number)
{
    return number == 335 || number == 336;
}

static void test_others_kill(void **state)
{
    for (unsigned k = 0; k < CALLS_KINDS; k++) {
        unsigned n_killed = 0;

        for (long number = 0; number <= NUMBER_LAST; number++) {
            struct attempt a = {.kind = (enum calls_kind)(1u << k), .number = number};

            if (is_listed(a.kind, number) || is_probe(number))
                continue;
            assert_killed(&a);
            n_killed++;
        }
        assert_true(n_killed > NUMBER_LAST - 50);
    }
}

/* Each row lets its call through: whatever becomes of it, it is no violation. */
static void test_rows_live(void **state)
{
    size_t n;
    const struct call *table = calls_table(&n);

    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < CALLS_KINDS; k++) {
            struct attempt a = {.kind = (enum calls_kind)(1u << k), .number = table[i].number, .args = {-1}};
            int status;

            if (!(table[i].kinds & a.kind))
                continue;
            for (unsigned j = 0; j < CALL_CONDITIONS && table[i].only[j].mask; j++)
                a.args[table[i].only[j].argument] =
                    table[i].only[j].value == CALL_SELF ? 0 : (long)table[i].only[j].value;
            if (table[i].only[0].value == CALL_SELF) /* of the child: the interpreter looks at that one */
                continue;
            status = try(&a);
            if (is_killed(status))
                fail_msg("%s: %s is killed", calls_kind_name(a.kind), table[i].name);
        }
}

static void test_arguments(void **state)
{
    const long page = 4096, anonymous = MAP_PRIVATE | MAP_ANONYMOUS, parent = getpid();
    const struct attempt attempts[] = {
        {CALLS_MAIN, SYS_mmap, {0, page, PROT_READ | PROT_EXEC, anonymous, -1, 0}},
        {CALLS_MAIN, SYS_mmap, {0, page, PROT_READ | PROT_WRITE | PROT_EXEC, anonymous, -1, 0}},
        {CALLS_MAIN, SYS_madvise, {0, page, MADV_HUGEPAGE}},
        {CALLS_MAIN, SYS_madvise, {0, page, MADV_DODUMP}},
        {CALLS_MAIN, SYS_ioctl, {-1, KVM_RUN}},
        {CALLS_MAIN, SYS_ioctl, {-1, KVM_CREATE_VM}},
        {CALLS_MAIN, SYS_ioctl, {-1, KVM_CREATE_VCPU}},
        {CALLS_MAIN, SYS_ioctl, {-1, KVM_CREATE_DEVICE}},
        {CALLS_MAIN, SYS_ioctl, {-1, TIOCSTI}},
        {CALLS_MAIN, SYS_ioctl, {-1, TIOCLINUX}},
        {CALLS_MAIN, SYS_tgkill, {parent, parent, SIGUSR1}},
        {CALLS_MAIN, SYS_tgkill, {1, 1, SIGUSR1}},
        {CALLS_MAIN, SYS_tgkill, {parent, parent, SIGKILL}},
        {CALLS_VCPU, SYS_ioctl, {-1, KVM_SET_USER_MEMORY_REGION}},
        {CALLS_VCPU, SYS_ioctl, {-1, KVM_SET_REGS}},
        {CALLS_VCPU, SYS_ioctl, {-1, KVM_CREATE_VM}},
        {CALLS_VCPU, SYS_ioctl, {-1, TIOCSTI}},
        {CALLS_VCPU, SYS_madvise, {0, page, MADV_FREE}},
        {CALLS_DISK, SYS_ioctl, {-1, KVM_RUN}},
        {CALLS_NET, SYS_ioctl, {-1, TUNSETIFF}},
        {CALLS_VCPU, SYS_ioctl, {-1, TUNSETIFF}},
        {CALLS_NET, SYS_getsockopt, {-1, SOL_SOCKET, SO_PEERCRED}},
        {CALLS_NET, SYS_getsockopt, {-1, IPPROTO_TCP, SO_ERROR}},
        {CALLS_BLOCK, SYS_fallocate, {-1, 0, 0, page}},
        {CALLS_BLOCK, SYS_fallocate, {-1, FALLOC_FL_COLLAPSE_RANGE, 0, page}},
        {CALLS_BLOCK, SYS_fallocate, {-1, FALLOC_FL_PUNCH_HOLE, 0, page}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
        assert_killed(&attempts[i]);
}

/* The other two call interfaces of the processor: 32-bit numbers, and x32. */
static void test_foreign_interfaces(void **state)
{
    int status = 0;
    struct attempt x32 = {.kind = CALLS_MAIN, .number = X32 | SYS_getpid};
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        long getpid_32 = 20;

        enter(CALLS_MAIN);
        __asm__ volatile("int $0x80" : "+a"(getpid_32) : : "memory", "r8", "r9", "r10", "r11");
        _exit(INSIDE_OK);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(is_killed(status));
    assert_killed(&x32);
}

/* --- The table ----------------------------------------------------------------------------------------------------
 */

/* What no row may ever hold; named, so that a new row has to be argued with this test. */
static void test_never(void **state)
{
    static const long never[] = {
        SYS_open,
        SYS_openat,
        SYS_openat2,
        SYS_creat,
        SYS_open_by_handle_at,
        SYS_socket,
        SYS_socketpair,
        SYS_connect,
        SYS_bind,
        SYS_listen,
        SYS_execve,
        SYS_execveat,
        SYS_fork,
        SYS_vfork,
        SYS_clone,
        SYS_clone3,
        SYS_ptrace,
        SYS_kill,
        SYS_tkill,
        SYS_process_vm_readv,
        SYS_pidfd_open,
        SYS_setns,
        SYS_pidfd_getfd,
        SYS_pidfd_send_signal,
        SYS_process_vm_writev,
        SYS_bpf,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_unshare,
        SYS_setuid,
        SYS_setresuid,
        SYS_capset,
        SYS_prctl,
        SYS_arch_prctl,
        SYS_seccomp,
        SYS_io_uring_setup,
        SYS_userfaultfd,
        SYS_io_uring_register,
        SYS_memfd_create,
        SYS_keyctl,
        SYS_pkey_mprotect,
        SYS_personality,
        SYS_perf_event_open,
        SYS_setrlimit,
        SYS_prlimit64,
        SYS_ioperm,
        SYS_iopl,
        SYS_modify_ldt,
        SYS_mremap,
        SYS_dup,
        SYS_dup3,
        SYS_landlock_create_ruleset,
        SYS_finit_module,
        SYS_kexec_load,
        SYS_shmat,
        SYS_remap_file_pages,
    };

    for (unsigned k = 0; k < CALLS_KINDS; k++)
        for (size_t i = 0; i < ARRAY_SIZE(never); i++)
            if (is_listed((enum calls_kind)(1u << k), never[i]) && !(HAS_ASAN && never[i] == SYS_open))
                fail_msg("call %ld is in the table", never[i]);
}

static void test_table(void **state)
{
    size_t n;
    const struct call *table = calls_table(&n);

    for (size_t i = 0; i < n; i++) {
        assert_true(table[i].kinds && table[i].kinds < 1u << CALLS_KINDS);
        assert_true(strlen(table[i].reason) > 3);
        for (size_t j = 0; j < i; j++)
            if (table[j].number == table[i].number && !table[j].only[0].mask && (table[j].kinds & table[i].kinds))
                fail_msg("row %zu (%s) is never reached", i, table[i].name);
    }
}

static void test_kinds(void **state)
{
    struct thread stranger = {.name = "stranger"};
    struct err e = ERR_INIT;

    assert_int_equal(calls_kind_find("vcpu63"), CALLS_VCPU);
    assert_int_equal(calls_kind_find("disk2.15"), CALLS_DISK);
    assert_int_equal(calls_kind_find("block"), CALLS_BLOCK);
    assert_int_equal(calls_kind_find("net12.7"), CALLS_NET);
    assert_int_equal(calls_kind_find("disks"), 0);
    assert_int_equal(calls_kind_find("dis"), 0);
    assert_int_equal(calls_kind_find(""), 0);
    assert_string_equal(calls_kind_name(CALLS_BLOCK), "block");
    assert_int_equal(thread_start(&stranger, &e), -EINVAL);
}

/* For the test that each row is needed (tests/system/test_vmm.py): kind, call, number, and each condition. */
static int list(void)
{
    size_t n;
    const struct call *table = calls_table(&n);

    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < CALLS_KINDS; k++) {
            if (!(table[i].kinds & 1u << k))
                continue;
            printf("%s %s", calls_kind_name((enum calls_kind)(1u << k)), table[i].name);
            for (unsigned j = 0; j < CALL_CONDITIONS && table[i].only[j].mask; j++)
                if (table[i].only[j].value != CALL_SELF)
                    printf(" %u:%#x:%#x", table[i].only[j].argument, table[i].only[j].mask, table[i].only[j].value);
            printf("\n");
        }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),       cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_never),       cmocka_unit_test(test_programs),
        cmocka_unit_test(test_others_kill), cmocka_unit_test(test_rows_live),
        cmocka_unit_test(test_arguments),   cmocka_unit_test(test_foreign_interfaces),
    };

    if (argc == 2 && streq(argv[1], "--list"))
        return list();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
