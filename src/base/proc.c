/* fork + exec with a closed set of fds; /proc/PID/stat; pidfds. See proc.h. */
#include "base/proc.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Descriptors are first moved above this so that a target never overwrites a source still needed. */
#define PROC_FD_HIGH    400
#define PROC_FD_REPORT  (PROC_FD_HIGH - 1)
#define PROC_FD_PROGRAM (PROC_FD_HIGH - 2)

struct child_failure {
    int num;
    char what[16];
};

static int pidfd_open_(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int proc_pidfd_kill(int pidfd, int signal_number)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0) < 0 ? -errno : 0;
}

static int child_fds(const struct proc_spawn *s, int report_fd, int exec_fd)
{
    int high[PROC_FDS_MAX], null_fd = open("/dev/null", O_RDWR);
    bool has_std[3] = {false, false, true};

    if (null_fd < 0)
        return -errno;
    for (size_t i = 0; i < s->n_fds; i++) {
        high[i] = fcntl(s->fds[i].source, F_DUPFD, PROC_FD_HIGH);
        if (high[i] < 0)
            return -errno;
    }
    int report = fcntl(report_fd, F_DUPFD_CLOEXEC, PROC_FD_HIGH);
    int program = fcntl(exec_fd, F_DUPFD_CLOEXEC, PROC_FD_HIGH);
    if (report < 0 || program < 0)
        return -errno;
    for (size_t i = 0; i < s->n_fds; i++) {
        if (dup2(high[i], s->fds[i].target) < 0)
            return -errno;
        if (s->fds[i].target < 3)
            has_std[s->fds[i].target] = true;
    }
    for (int fd = 0; fd < 2; fd++)
        if (!has_std[fd] && dup2(null_fd, fd) < 0)
            return -errno;
    /* Close what is not a target; the report pipe and the program stay just below PROC_FD_HIGH until exec. */
    if (dup3(report, PROC_FD_REPORT, O_CLOEXEC) < 0 || dup3(program, PROC_FD_PROGRAM, O_CLOEXEC) < 0)
        return -errno;
    if (syscall(SYS_close_range, PROC_FD_HIGH, ~0u, 0) < 0)
        return -errno;
    for (int fd = 3; fd < PROC_FD_PROGRAM; fd++) {
        bool keep = false;
        for (size_t i = 0; i < s->n_fds; i++)
            keep = keep || s->fds[i].target == fd;
        if (!keep)
            close(fd);
    }
    return 0;
}

static int child_join_cgroups(const struct proc_spawn *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->cgroup_procs) && s->cgroup_procs[i]; i++) {
        int fd = open(s->cgroup_procs[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        ssize_t n = write(fd, "0", 1);
        int r = n < 0 ? -errno : 0;
        close(fd);
        if (r < 0)
            return r;
    }
    return 0;
}

static int child_credentials(const struct proc_spawn *s)
{
    if (s->uid == 0)
        return 0;
    /* Not even a file with capabilities or another's user id gives any back. */
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
            return -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (setgroups(s->n_extra_gids, s->extra_gids) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
        setresuid(s->uid, s->uid, s->uid) < 0)
        return -errno;
    return 0;
}

static void child_reset_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_fail(int report_fd, const char *what, int num)
{
    struct child_failure f = {.num = num};

    strncpy(f.what, what, sizeof(f.what) - 1);
    if (write(report_fd, &f, sizeof(f)) != (ssize_t)sizeof(f))
        _exit(126);
    _exit(127);
}

static void child_run(const struct proc_spawn *s, int report_fd, int exec_fd, pid_t parent)
{
    static const char *const default_env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", NULL};
    int r;

    child_reset_signals();
    if (s->is_new_session && setsid() < 0)
        child_fail(report_fd, "setsid", -errno);
    if ((r = child_join_cgroups(s)) < 0)
        child_fail(report_fd, "cgroup", r);
    if ((r = child_fds(s, report_fd, exec_fd)) < 0)
        child_fail(report_fd, "fds", r);
    report_fd = PROC_FD_REPORT;
    if (s->before_exec && (r = s->before_exec(s->before_exec_arg)) < 0)
        child_fail(report_fd, "prepare", r);
    if ((r = child_credentials(s)) < 0)
        child_fail(report_fd, "credentials", r);
    if (s->dies_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
    }
    /* By descriptor: the folders above may be closed to the child's uid. */
    execveat(PROC_FD_PROGRAM, "", (char *const *)s->argv, (char *const *)(s->envp ? s->envp : default_env),
             AT_EMPTY_PATH);
    child_fail(report_fd, "exec", -errno);
}

int proc_spawn_start(const struct proc_spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
    int pipe_fds[2];
    pid_t parent = getpid();

    if (s->n_fds > PROC_FDS_MAX)
        return err_set(e, -EINVAL, NULL, "too many descriptors for a child");
    autoclose int exec_fd = open(s->path, O_PATH | O_CLOEXEC);
    if (exec_fd < 0)
        return err_errno(e, errno, "start %s", s->path);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    autoclose int read_end = pipe_fds[0];
    autoclose int write_end = pipe_fds[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(e, errno, "fork");
    if (pid == 0)
        child_run(s, write_end, exec_fd, parent);
    autoclose int pidfd = ret_pidfd ? pidfd_open_(pid) : -EBADF;
    close(TAKE_FD(write_end));
    struct child_failure f;
    ssize_t n;
    do
        n = read(read_end, &f, sizeof(f));
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(f)) {
        waitpid(pid, NULL, 0);
        f.what[sizeof(f.what) - 1] = 0;
        return err_errno(e, -f.num, "start %s (%s)", s->path, f.what);
    }
    *ret_pid = pid;
    if (ret_pidfd)
        *ret_pidfd = TAKE_FD(pidfd);
    return 0;
}

/* Fields of /proc/PID/stat after the command name, which may itself hold blanks and parentheses. */
static int read_stat(pid_t pid, char *text, size_t cap, char **ret_fields)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ESRCH;
    ssize_t n = read(fd, text, cap - 1);
    if (n <= 0)
        return -ESRCH;
    text[n] = 0;
    char *end = strrchr(text, ')');
    if (!end || end[1] != ' ')
        return -ESRCH;
    *ret_fields = end + 2;
    return 0;
}

static uint64_t stat_field(const char *fields, unsigned number)
{
    for (unsigned i = 3; i < number && fields; i++) {
        fields = strchr(fields, ' ');
        if (fields)
            fields++;
    }
    return fields ? strtoull(fields, NULL, 10) : 0;
}

int proc_start_time(pid_t pid, uint64_t *ret_ticks)
{
    char text[1024], *fields;
    int r = read_stat(pid, text, sizeof(text), &fields);

    if (r < 0)
        return r;
    if (fields[0] == 'Z' || fields[0] == 'X')
        return -ESRCH;
    *ret_ticks = stat_field(fields, 22);
    return 0;
}

int proc_open_checked(pid_t pid, uint64_t start_ticks)
{
    uint64_t ticks;
    autoclose int fd = pidfd_open_(pid);

    if (fd < 0)
        return -ESRCH;
    /* Checked after the pidfd is open: from here on the pidfd names this very process. */
    if (proc_start_time(pid, &ticks) < 0 || ticks != start_ticks)
        return -ESRCH;
    return TAKE_FD(fd);
}

int proc_usage(pid_t pid, uint64_t *ret_cpu_ticks, uint64_t *ret_rss_bytes)
{
    char text[1024], *fields;
    int r = read_stat(pid, text, sizeof(text), &fields);

    if (r < 0)
        return r;
    *ret_cpu_ticks = stat_field(fields, 14) + stat_field(fields, 15);
    *ret_rss_bytes = stat_field(fields, 24) * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

int proc_limit(int resource, uint64_t value, struct err *e)
{
    struct rlimit l = {.rlim_cur = value, .rlim_max = value};
    struct rlimit old;

    if (getrlimit((__rlimit_resource_t)resource, &old) == 0 && old.rlim_max < value)
        l.rlim_cur = l.rlim_max = old.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &l) < 0 ? err_errno(e, errno, "set a limit") : 0;
}
