/* Processes: start a child with exactly the given fds, a clean environment, its own uid, session and cgroup; name a
 * process by pid AND start time, so that a reused pid is never taken for it. */
#ifndef HOLM_BASE_PROC_H
#define HOLM_BASE_PROC_H

#include <sys/types.h>

#include "base/err.h"

#define PROC_FDS_MAX 512

struct proc_spawn {
    const char *path;        /* executable; opened by the parent's view of the file system */
    const char *const *argv; /* NULL-terminated */
    const char *const *envp; /* NULL = only PATH and LANG=C */
    uid_t uid;               /* 0 keeps root; another also gets no_new_privs and an empty bounding set */
    gid_t gid;
    gid_t extra_gids[4];
    size_t n_extra_gids;
    bool is_new_session; /* setsid, so that it outlives us */
    bool dies_with_parent;
    const char *cgroup_procs[8]; /* cgroup.procs files to join, NULL-terminated */
    /* fds[i].source becomes descriptor fds[i].target (>= 0) in the child; all others are closed. 0, 1, 2 default to
     * /dev/null, /dev/null and the parent's 2. */
    struct {
        int source, target;
    } fds[PROC_FDS_MAX];
    size_t n_fds;
    /* Runs in the child after fds and before credentials are dropped; only async-signal-safe calls. May be NULL. */
    int (*before_exec)(void *arg);
    void *before_exec_arg;
};

/* Returns the pid; ret_pidfd (may be NULL) gets a pidfd. Reports a failed exec as an error. */
MUST_CHECK int proc_spawn_start(const struct proc_spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *e);

/* Start time in clock ticks since boot (/proc/PID/stat field 22); -ESRCH if there is no such process or it is a zombie.
 */
MUST_CHECK int proc_start_time(pid_t pid, uint64_t *ret_ticks);

/* pidfd of a process that is still the one with this start time; -ESRCH otherwise. */
MUST_CHECK int proc_open_checked(pid_t pid, uint64_t start_ticks);

int proc_pidfd_kill(int pidfd, int signal_number);

/* User plus system CPU time in ticks and resident bytes from /proc/PID/stat. */
MUST_CHECK int proc_usage(pid_t pid, uint64_t *ret_cpu_ticks, uint64_t *ret_rss_bytes);

/* Sets both limits of this process (RLIMIT_…); a lower hard limit that is already there stays. */
MUST_CHECK int proc_limit(int resource, uint64_t value, struct err *e);

#endif
