/* A running guest's folder DIR/run/guest/ID (lock, monitor record, socket, exit file) and its cgroup. Blocking; pool
 * threads and the start of the daemon.
 *
 * The lock is a flock that holmd takes on a fresh descriptor and hands to the monitor and QEMU: it is held as long as
 * any of them lives, whoever their parent is, and that is what "running" rests on. */
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "guest/guest_priv.h"
#include "guest/limits.h"

static void dir_name(uint32_t vmid, char name[16])
{
    snprintf(name, 16, "%u", vmid);
}

static int open_rundir(struct guest_mgr *m, uint32_t vmid)
{
    char name[16];

    dir_name(vmid, name);
    return openat(m->run_dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int rundir_make(struct guest_mgr *m, uint32_t vmid, uint32_t uid, int *ret_dirfd, int *ret_lock_fd, struct err *e)
{
    char name[16];

    dir_name(vmid, name);
    if (mkdirat(m->run_dirfd, name, 0700) < 0)
        return err_errno(e, errno, "make run folder of guest %u", vmid);
    autoclose int dir = open_rundir(m, vmid);
    if (dir < 0)
        return err_errno(e, errno, "open run folder of guest %u", vmid);
    /* The lock belongs to root, so the guest's own user cannot replace what it means. */
    autoclose int lock = openat(dir, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return err_errno(e, errno, "lock guest %u", vmid);
    if (fchown(dir, uid, uid) < 0)
        return err_errno(e, errno, "hand over run folder of guest %u", vmid);
    *ret_dirfd = TAKE_FD(dir);
    *ret_lock_fd = TAKE_FD(lock);
    return 0;
}

bool rundir_is_locked(struct guest_mgr *m, uint32_t vmid)
{
    autoclose int dir = open_rundir(m, vmid);
    autoclose int lock = dir < 0 ? -EBADF : openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    return lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0;
}

static void cgroup_name(struct guest_mgr *m, uint32_t vmid, const char *file, char *path, size_t cap)
{
    snprintf(path, cap, "%s/guest-%u%s%s", m->cgroup_dir, vmid, *file ? "/" : "", file);
}

/* A busy cgroup means that something of the guest still runs. */
static int remove_cgroup(struct guest_mgr *m, uint32_t vmid, struct err *e)
{
    char path[600];
    int r = limits_remove(m->env.instance, vmid, e);

    if (r < 0 || !m->cgroup_dir[0])
        return r;
    cgroup_name(m, vmid, "", path, sizeof(path));
    if (rmdir(path) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove cgroup of guest %u", vmid);
    return 0;
}

int rundir_clear(struct guest_mgr *m, uint32_t vmid, uint32_t timeout_ms, struct err *e)
{
    uint64_t deadline = clock_boot_ms() + timeout_ms;
    char name[16];
    int r;

    dir_name(vmid, name);
    while (rundir_is_locked(m, vmid)) {
        if (clock_boot_ms() >= deadline)
            return err_set(e, -EBUSY, "guest.alive", "processes of guest %u are still there", vmid);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* a lock cannot be polled with a time limit */
    }
    /* The kernel empties a cgroup a moment after its last process is gone. */
    while ((r = remove_cgroup(m, vmid, e)) == -EBUSY && clock_boot_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    return r < 0 ? r : fs_remove_tree(m->run_dirfd, name, e);
}

/* Lines "name value" of the file "monitor" (doc/formats.md); written by the monitor's user, so nothing in it is
 * believed without the process check that follows. */
int rundir_read(struct guest_mgr *m, uint32_t vmid, struct rundir_record *ret, struct err *e)
{
    struct rundir_record rec = {0};
    struct stat st;
    struct buf b;
    bool has_cookie = false;

    autoclose int dir = open_rundir(m, vmid);
    if (dir < 0 || fstat(dir, &st) < 0)
        return err_errno(e, errno, "run folder of guest %u", vmid);
    rec.uid = st.st_uid;
    autoclose int fd = openat(dir, "monitor", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "monitor record of guest %u", vmid);
    buf_init(&b, 4096);
    int r = fs_read_fd(fd, &b, e);
    char *save = NULL;
    for (char *line = r == 0 && b.data ? strtok_r(b.data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        char *value = strchr(line, ' ');
        uint64_t n;
        if (!value)
            continue;
        *value++ = 0;
        if (streq(line, "pid") && str_to_u64(value, &n) == 0 && n > 1 && n < INT32_MAX)
            rec.pid = (pid_t)n;
        else if (streq(line, "start") && str_to_u64(value, &n) == 0)
            rec.start_ticks = n;
        else if (streq(line, "cookie"))
            has_cookie = sodium_hex2bin(rec.cookie, sizeof(rec.cookie), value, strlen(value), NULL, NULL, NULL) == 0;
    }
    buf_done(&b);
    if (r == 0 && (!rec.pid || !has_cookie))
        return err_set(e, -ENOENT, "guest.record", "monitor record of guest %u is not complete", vmid);
    if (r == 0)
        *ret = rec;
    return r;
}

int rundir_connect(struct guest_mgr *m, uint32_t vmid, int *ret_fd, struct err *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    autoclose int dir = open_rundir(m, vmid);

    if (dir < 0)
        return err_errno(e, errno, "run folder of guest %u", vmid);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/sock", dir);
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_errno(e, errno, "connect to the monitor of guest %u", vmid);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* The cgroup v2 hierarchy, pure or beside v1, and our place in it: guests live below the daemon's own cgroup, because
 * above it the limits and the delegation are somebody else's. */
void rundir_find_cgroup_base(struct guest_mgr *m)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    struct buf b;
    struct err e = ERR_INIT;
    char own[300] = "";

    buf_init(&b, 16384);
    if (fs_read_file(AT_FDCWD, "/proc/self/cgroup", &b, &e) == 0) {
        const char *line = str_starts(buf_str(&b), "0::") ? buf_str(&b) : strstr(buf_str(&b), "\n0::");
        if (line) {
            line = strstr(line, "0::") + 3;
            snprintf(own, sizeof(own), "%.*s", (int)strcspn(line, "\n"), line);
        }
    }
    buf_done(&b);
    for (size_t i = 0; own[0] && i < ARRAY_SIZE(mounts); i++) {
        char probe[400];
        snprintf(probe, sizeof(probe), "%s/cgroup.controllers", mounts[i]);
        if (access(probe, R_OK) < 0)
            continue;
        snprintf(m->cgroup_dir, sizeof(m->cgroup_dir), "%s%s/holm-%04x", mounts[i], streq(own, "/") ? "" : own,
                 m->env.instance);
        if (mkdir(m->cgroup_dir, 0755) == 0 || errno == EEXIST)
            return;
    }
    m->cgroup_dir[0] = 0;
    log_note("no writable cgroup v2 hierarchy: guests stay in the daemon's cgroup");
}

void rundir_leave_cgroup_base(struct guest_mgr *m)
{
    if (m->cgroup_dir[0] && rmdir(m->cgroup_dir) < 0 && errno != EBUSY && errno != ENOTEMPTY && errno != ENOENT)
        log_warn("remove %s: %s", m->cgroup_dir, strerror(errno));
}

int rundir_cgroup(struct guest_mgr *m, uint32_t vmid, char *procs, size_t cap, struct err *e)
{
    char path[600];

    procs[0] = 0;
    if (!m->cgroup_dir[0])
        return 0;
    cgroup_name(m, vmid, "", path, sizeof(path));
    /* Somebody may have swept up the empty folder. */
    if ((mkdir(m->cgroup_dir, 0755) < 0 && errno != EEXIST) || (mkdir(path, 0755) < 0 && errno != EEXIST))
        return err_errno(e, errno, "make cgroup of guest %u", vmid);
    cgroup_name(m, vmid, "cgroup.procs", procs, cap);
    return 0;
}

void rundir_cgroup_kill(struct guest_mgr *m, uint32_t vmid)
{
    char path[600];

    if (!m->cgroup_dir[0])
        return;
    cgroup_name(m, vmid, "cgroup.kill", path, sizeof(path));
    autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) < 0)
        log_warn("cgroup.kill of guest %u: %s", vmid, strerror(errno));
}
