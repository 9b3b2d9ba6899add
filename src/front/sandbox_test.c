/* The filter of holm-front, tried from inside: a child enters the sandbox and makes one call. Every number that the
 * table does not hold must be the end of the process. */
#include "front/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/asan.h"
#include "front/calls.h"

#define NUMBER_LAST 460 /* and some that do not exist yet: unknown is forbidden, too */
#define NOBODY      65534u
#define INSIDE_OK   7

struct attempt {
    long number, args[6];
};

static void enter(void)
{
    struct err e = ERR_INIT;

    if (sandbox_enter(NULL, NOBODY, NOBODY, 64, &e) < 0) {
        (void)!write(STDERR_FILENO, e.text, strlen(e.text));
        _exit(1);
    }
}

/* Returns how the child ended: its wait status. */
static int try(const struct attempt *a)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        enter();
        syscall(a->number, a->args[0], a->args[1], a->args[2], a->args[3], a->args[4], a->args[5]);
        _exit(INSIDE_OK);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void assert_killed(const struct attempt *a)
{
    int status = try(a);

    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        fail_msg("call %ld (%ld, %ld, %ld): status %#x", a->number, a->args[0], a->args[1], a->args[2], status);
}

static bool is_listed(long number, bool is_allowed)
{
    size_t n;
    const struct front_call *calls = front_calls(&n);

    for (size_t i = 0; i < n; i++)
        if (calls[i].number == number && !(is_allowed && calls[i].refusal))
            return true;
    return false;
}

/* uretprobe and uprobe belong to the kernel's own trampolines: no filter sees them, elsewhere they do nothing. */
static bool is_probe(long number)
{
#ifdef __x86_64__
    return number == 335 || number == 336;
#else
    return false;
#endif
}

static void test_numbers(void **state)
{
    unsigned n_killed = 0;

    for (long number = 0; number <= NUMBER_LAST; number++) {
        struct attempt a = {.number = number};
        if (is_listed(number, false) || is_probe(number))
            continue;
        assert_killed(&a);
        n_killed++;
    }
    assert_true(n_killed > NUMBER_LAST - 50);
}

/* These are what the table must never hold; named, so that a new row has to be argued with this test. */
static void test_named(void **state)
{
    static const long never[] = {
        SYS_openat,
        SYS_openat2,
        SYS_socket,
        SYS_connect,
        SYS_bind,
        SYS_listen,
        SYS_socketpair,
        SYS_execve,
        SYS_execveat,
        SYS_clone,
        SYS_clone3,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_kill,
        SYS_tgkill,
        SYS_pidfd_open,
        SYS_pidfd_getfd,
        SYS_pidfd_send_signal,
        SYS_bpf,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_unshare,
        SYS_setns,
        SYS_prctl,
        SYS_seccomp,
        SYS_setuid,
        SYS_setresuid,
        SYS_capset,
        SYS_io_uring_setup,
        SYS_userfaultfd,
        SYS_perf_event_open,
        SYS_memfd_create,
        SYS_keyctl,
        SYS_pkey_mprotect,
        SYS_personality,
        SYS_setrlimit,
        SYS_prlimit64,
        SYS_reboot,
        SYS_dup,
        SYS_dup3,
        SYS_name_to_handle_at,
        SYS_open_by_handle_at,
        SYS_landlock_create_ruleset,
#ifdef __x86_64__
        SYS_open,
        SYS_creat,
        SYS_fork,
        SYS_vfork,
        SYS_modify_ldt,
        SYS_arch_prctl,
        SYS_ioperm,
        SYS_iopl,
#endif
    };

    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        if (is_listed(never[i], true))
            fail_msg("call %ld is in the table", never[i]);
}

static void test_arguments(void **state)
{
    const long page = 4096, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    const struct attempt attempts[] = {
        {SYS_mmap, {0, page, PROT_READ | PROT_EXEC, anonymous, -1, 0}},
        {SYS_mmap, {0, page, PROT_READ | PROT_WRITE | PROT_EXEC, anonymous, -1, 0}},
        {SYS_mmap, {0, page, PROT_EXEC, anonymous, -1, 0}},
        {SYS_mprotect, {0, page, PROT_EXEC}},
        {SYS_mprotect, {0, page, PROT_READ | PROT_EXEC}},
        {SYS_fcntl, {0, F_DUPFD, 9}},
        {SYS_fcntl, {0, F_SETOWN, 1}},
        {SYS_fcntl, {0, F_SETFD, 0}},
        {SYS_fcntl, {0, F_SETLK, 0}},
        {SYS_ioctl, {0, TIOCSTI, 0}},
        {SYS_ioctl, {0, TIOCCONS, 0}},
        {SYS_setsockopt, {0, SOL_SOCKET, SO_ATTACH_FILTER}},
        {SYS_setsockopt, {0, IPPROTO_TCP, TCP_ULP}},
        {SYS_setsockopt, {0, IPPROTO_IP, TCP_NODELAY}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
        assert_killed(&attempts[i]);
}

#ifdef __x86_64__
/* The other two call interfaces of the processor: 32-bit numbers, and x32. */
static void test_foreign_interfaces(void **state)
{
    int status = 0;
    struct attempt x32 = {.number = 0x40000000 | SYS_getpid};
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        long getpid_32 = 20;
        enter();
        __asm__ volatile("int $0x80" : "+a"(getpid_32) : : "memory", "r8", "r9", "r10", "r11");
        _exit(INSIDE_OK);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    assert_killed(&x32);
}
#endif

static void test_allowed(void **state)
{
    const struct attempt attempts[] = {
        {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {SYS_fcntl, {0, F_GETFL}},
        {SYS_ioctl, {-1, FIONREAD, 0}},
        {SYS_setsockopt, {-1, IPPROTO_TCP, TCP_NODELAY}},
        {SYS_accept4, {-1}},
        {SYS_getrandom, {0, 0, 0}},
        {SYS_getpid},
    };

    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        int status = try(&attempts[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), INSIDE_OK);
    }
}

static void test_table(void **state)
{
    size_t n;
    const struct front_call *calls = front_calls(&n);

    assert_true(n > 20 && n < 50);
    for (size_t i = 0; i < n; i++) {
        assert_true(calls[i].number >= 0);
        assert_non_null(calls[i].name);
        assert_true(strlen(calls[i].reason) > 6);
        for (size_t k = 0; k < i; k++)
            assert_false(calls[k].number == calls[i].number && !calls[k].only[0].op);
    }
}

#if HAS_ASAN
/* Runs go inside the sandbox and returns what it wrote to its standard error. */
static void report_of(void (*go)(void), char *text, size_t cap)
{
    int out[2], status;
    size_t n = 0;

    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], STDERR_FILENO);
        enter();
        go();
        _exit(INSIDE_OK);
    }
    close(out[1]);
    for (ssize_t got; n < cap - 1 && (got = read(out[0], text + n, cap - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void read_freed(void)
{
    volatile char *p = malloc(10);
    volatile uintptr_t address = (uintptr_t)p;

    free((void *)p);
    if (*(volatile char *)address)
        _exit(1);
}

static void read_beyond(void)
{
    static volatile char few[4], more[4];
    volatile size_t at = 5;

    if (few[at] || more[0])
        _exit(1);
}

/* A finding of a sanitizer must not be hidden by the filter: the report's first line comes out. */
static void test_reports_are_seen(void **state)
{
    char text[4096];

    report_of(read_freed, text, sizeof(text));
    assert_non_null(strstr(text, "ERROR: AddressSanitizer: heap-use-after-free"));
    report_of(read_beyond, text, sizeof(text));
    assert_non_null(strstr(text, "runtime error: index 5 out of bounds"));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_allowed),
#ifdef __x86_64__
        cmocka_unit_test(test_foreign_interfaces),
#endif
#if HAS_ASAN
        cmocka_unit_test(test_reports_are_seen),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
