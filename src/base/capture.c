/* See capture.h. */
#include "base/capture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"

#define INPUT_MAX (32u * 1024u) /* fits into a pipe: writing it never waits for the program */

static int too_slow(const struct capture *c, struct err *e)
{
    return err_set(e, -ETIMEDOUT, "host.slow", "%s did not answer in %u s", c->path, c->timeout_ms / 1000);
}

static int read_all(const struct capture *c, int fd, uint64_t deadline_ms, struct err *e)
{
    uint64_t total = 0;
    char data[16384];

    for (;;) {
        uint64_t now = clock_boot_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = now >= deadline_ms ? 0 : poll(&p, 1, (int)(deadline_ms - now));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return too_slow(c, e);
        ssize_t got = read(fd, data, sizeof(data));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(e, errno, "read from %s", c->path);
        if (got == 0)
            return 0;
        total += (uint64_t)got;
        if (total > c->max_bytes)
            return err_set(e, -EFBIG, "host.output", "%s writes too much", c->path);
        if (!c->take(c->arg, data, (size_t)got))
            return 0;
    }
}

/* Until it has ended by itself; it is not reaped. */
static int wait_end(const struct capture *c, int pidfd, uint64_t deadline_ms, struct err *e)
{
    for (;;) {
        uint64_t now = clock_boot_ms();
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        int n = now >= deadline_ms ? 0 : poll(&p, 1, (int)(deadline_ms - now));
        if (n > 0)
            return 0;
        if (n == 0 || errno != EINTR)
            return too_slow(c, e);
    }
}

static int start(const struct capture *c, int in_fd, int out_fd, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
    autoclose int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct proc_spawn s = {.path = c->path,
                           .argv = c->argv,
                           .uid = c->uid,
                           .gid = (gid_t)c->uid,
                           .fds = {{.source = out_fd, .target = 1},
                                   /* what it complains of is not the daemon's log */
                                   {.source = c->has_errors ? out_fd : null_fd, .target = 2},
                                   {.source = in_fd, .target = 0}},
                           .n_fds = in_fd >= 0 ? 3 : 2};

    if (null_fd < 0)
        return err_errno(e, errno, "open /dev/null");
    return proc_spawn_start(&s, ret_pid, ret_pidfd, e);
}

/* A pipe that already holds the input, for reading. */
static int open_input(const char *input, int *ret_fd, struct err *e)
{
    int fds[2];

    if (strlen(input) > INPUT_MAX)
        return err_set(e, -E2BIG, NULL, "too much input for a program");
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    int r = fs_write_all(fds[1], input, strlen(input), e);
    close(fds[1]);
    if (r < 0) {
        close(fds[0]);
        return r;
    }
    *ret_fd = fds[0];
    return 0;
}

/* Takes its output and makes an end of it. */
static int follow(const struct capture *c, int out_fd, pid_t pid, int pidfd, struct err *e)
{
    uint64_t deadline_ms = clock_boot_ms() + c->timeout_ms;
    int status = 0, r = read_all(c, out_fd, deadline_ms, e);

    if (r == 0 && c->ret_status)
        r = wait_end(c, pidfd, deadline_ms, e);
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (r == 0 && c->ret_status)
        *c->ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return r;
}

int capture_run(const struct capture *c, struct err *e)
{
    autoclose int in_fd = -EBADF;
    int fds[2], pidfd;
    pid_t pid;
    int r = c->input ? open_input(c->input, &in_fd, e) : 0;

    if (r < 0)
        return r;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    r = start(c, in_fd, fds[1], &pid, &pidfd, e);
    close(fds[1]);
    if (r == 0) {
        r = follow(c, fds[0], pid, pidfd, e);
        close(pidfd);
    }
    close(fds[0]);
    return r;
}
