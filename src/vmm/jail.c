/* Shedding privileges in steps, each of which only takes away; see jail.h. There is no namespace of processes: it would
 * need a process more to stand outside of it, and the filters know no call that names a process but our own. */
#include "vmm/jail.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/landlock.h"
#include "base/proc.h"

/* More than threads and workers of io_uring can be, and an end to anything that multiplies. */
#define TASKS_MAX 1024u

/* --- Descriptors ------------------------------------------------------------------------------------------------ */

/* All of ours are closed on exec, as are those an option named. What is not came along by mistake. */
static void close_stranger(int fd, int *highest)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags >= 0 && !(flags & FD_CLOEXEC) && fd > STDERR_FILENO)
        close(fd);
    else if (flags >= 0 && fd > *highest)
        *highest = fd;
}

static int close_strangers(int *ret_highest, struct err *e)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    uint64_t fd;

    *ret_highest = STDERR_FILENO;
    if (!folder)
        return err_errno(e, errno, "open /proc/self/fd");
    while ((entry = readdir(folder)))
        if (str_to_u64(entry->d_name, &fd) == 0 && (int)fd != dirfd(folder))
            close_stranger((int)fd, ret_highest);
    closedir(folder);
    return 0;
}

/* A descriptor that an option named is close-on-exec here, too. */
static int replace_stdio(struct err *e)
{
    autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return err_errno(e, errno, "open /dev/null");
    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
        if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) && dup2(null, fd) < 0)
            return err_errno(e, errno, "put /dev/null in the place of descriptor %d", fd);
    return 0;
}

/* --- Namespaces and the root ------------------------------------------------------------------------------------ */

/* A file system with one inode, its root, which cannot be written. A descriptor of it; nobody else has a way there. */
static int make_root(void)
{
    autoclose int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

    if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return root < 0 ? -errno : root;
}

/* Over the old root, then in its place; the old one, now at the same place, is let go with all that is mounted in it,
 * so that we hold no file system of the host. */
static int change_root(int root)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(root) < 0 ||
        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int leave_host(bool is_root, struct jail_report *report, struct err *e)
{
    autoclose int root = -EBADF;
    int r;

    if (unshare((is_root ? 0 : CLONE_NEWUSER) | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) {
        if (is_root)
            return err_errno(e, errno, "make namespaces");
        snprintf(report->note, sizeof(report->note), "no namespaces, no root of its own: %s", strerrordesc_np(errno));
        return 0;
    }
    root = make_root();
    r = root < 0 ? root : change_root(root);
    return r < 0 ? err_errno(e, -r, "move into an empty root") : 0;
}

/* --- Rights ----------------------------------------------------------------------------------------------------- */

/* Nothing may come back through a file with capabilities or a namespace of users. */
static int drop_bounds(struct err *e)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_errno(e, errno, "drop capability %d", cap);
    return 0;
}

static int drop_capabilities(struct err *e)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || syscall(SYS_capset, &head, none) < 0)
        return err_errno(e, errno, "drop capabilities");
    return 0;
}

static int become(const struct jail_options *o, struct err *e)
{
    if (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 || setresuid(o->uid, o->uid, o->uid) < 0)
        return err_errno(e, errno, "become user %u", (unsigned)o->uid);
    if (setresuid(0, 0, 0) == 0)
        return err_set(e, -EPERM, "jail.root", "could become root again");
    return 0;
}

/* is_alone: nobody else's processes count against ours. */
static int limit(int n_descriptors, bool is_alone, struct err *e)
{
    int r = proc_limit(RLIMIT_CORE, 0, e); /* a core would hold the guest's secrets */

    if (r == 0)
        r = proc_limit(RLIMIT_NOFILE, (uint64_t)n_descriptors, e);
    return r < 0 || !is_alone ? r : proc_limit(RLIMIT_NPROC, TASKS_MAX, e);
}

static int seal(struct err *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "prctl");
    return landlock_deny_paths(e);
}

int jail_enter(const struct jail_options *o, struct jail_report *ret_report, struct err *e)
{
    bool is_root = geteuid() == 0, is_alone;
    int highest, r;

    *ret_report = (struct jail_report){0};
    r = close_strangers(&highest, e);
    if (r == 0)
        r = replace_stdio(e);
    if (r == 0)
        r = leave_host(is_root, ret_report, e);
    is_alone = is_root ? o->uid != JAIL_NOBODY : !*ret_report->note;
    if (r == 0 && !*ret_report->note) /* root, or root of a namespace */
        r = drop_bounds(e);
    if (r == 0 && is_root)
        r = become(o, e);
    if (r == 0)
        r = drop_capabilities(e);
    if (r == 0)
        r = limit(highest + 1 + (int)o->n_descriptors, is_alone, e);
    return r < 0 ? r : seal(e);
}
