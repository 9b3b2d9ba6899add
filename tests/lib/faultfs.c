/* Makes file system calls fail on purpose: a shared library for tests, loaded with LD_PRELOAD or linked.
 *
 * HOLM_FAULT is a comma list of   op:N[:once|sticky]:ERRNO[:substring]
 *     op        open tmpfile write pwrite fsync rename link ftruncate fallocate mkdir unlink setxattr getxattr ioctl,
 * or any (all but unlink, because a clean-up that cannot unlink must leave something) N         the N-th matching call
 * fails; 0 only counts sticky    all later ones fail too (default: once) ERRNO     ENOSPC EDQUOT EIO EROFS EACCES
 * EMFILE EINTR EFBIG EOPNOTSUPP ENOENT EEXIST, or a number substring a call counts only if its path contains it; a
 * descriptor's path is that of /proc/self/fd. HOLM_FAULT=@FILE: the list is the file's only line, and is read again,
 * with all counts from 0, when the file is another one. HOLM_FAULT_LOG=FILE: each matching call appends "op count
 * path". A program that links the library arms it itself with faultfs_arm and reads faultfs_count. "open" counts
 * openat2 through syscall() too; a vectored or positioned write is a write or a pwrite. Reads, mmap and io_uring are
 * not seen. */
#undef _FILE_OFFSET_BITS /* both open and open64 are defined below */
#include "faultfs.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#define RULES_MAX 4

/* REAL(name) is the next definition of the same function. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

struct rule {
    char op[16];
    unsigned long nth;
    bool is_sticky;
    int error;
    char substring[256];
    unsigned long count;
};

static struct rule rules[RULES_MAX];
static unsigned n_rules;
static bool is_read;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
    const char *name;
    int value;
} errors[] = {{"ENOSPC", ENOSPC},         {"EDQUOT", EDQUOT}, {"EIO", EIO},       {"EROFS", EROFS},
              {"EACCES", EACCES},         {"EMFILE", EMFILE}, {"EINTR", EINTR},   {"EFBIG", EFBIG},
              {"EOPNOTSUPP", EOPNOTSUPP}, {"ENOENT", ENOENT}, {"EEXIST", EEXIST}, {"ENOMEM", ENOMEM},
              {"ENOTSUP", ENOTSUP}};

static int error_number(const char *text)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (strcmp(errors[i].name, text) == 0)
            return errors[i].value;
    return (int)strtol(text, NULL, 10);
}

/* One rule; its text is cut up. False if it makes no sense. */
static bool parse_rule(char *text, struct rule *r)
{
    char *op = strsep(&text, ":"), *nth = strsep(&text, ":"), *word = strsep(&text, ":");

    memset(r, 0, sizeof(*r));
    if (!nth || !word)
        return false;
    if (strcmp(word, "once") == 0 || strcmp(word, "sticky") == 0) {
        r->is_sticky = word[0] == 's';
        word = strsep(&text, ":");
    }
    if (!word)
        return false;
    snprintf(r->op, sizeof(r->op), "%s", op);
    r->nth = strtoul(nth, NULL, 10);
    r->error = error_number(word);
    snprintf(r->substring, sizeof(r->substring), "%s", text ? text : "");
    return r->error > 0;
}

static int arm_locked(const char *spec)
{
    char *copy = strdup(spec ? spec : ""), *rest = copy;

    is_read = true;
    n_rules = 0;
    for (char *item; copy && (item = strsep(&rest, ","));)
        if (*item && (n_rules == RULES_MAX || !parse_rule(item, &rules[n_rules++]))) {
            n_rules = 0;
            free(copy);
            return -EINVAL;
        }
    free(copy);
    return 0;
}

int faultfs_arm(const char *spec)
{
    pthread_mutex_lock(&lock);
    int r = arm_locked(spec);
    pthread_mutex_unlock(&lock);
    return r;
}

unsigned long faultfs_count(void)
{
    pthread_mutex_lock(&lock);
    unsigned long n = n_rules ? rules[0].count : 0;
    pthread_mutex_unlock(&lock);
    return n;
}

/* By the real functions: the library must not count its own calls. */
static void note(const char *op, unsigned long count, const char *path)
{
    const char *file = getenv("HOLM_FAULT_LOG");
    char line[600];

    if (!file)
        return;
    int fd = REAL(open)(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    int n = snprintf(line, sizeof(line), "%s %lu %.500s\n", op, count, path);
    if (fd >= 0 && n > 0 && REAL(write)(fd, line, (size_t)n) < 0)
        return;
    if (fd >= 0)
        close(fd);
}

static bool is_op(const struct rule *r, const char *op)
{
    return strcmp(r->op, op) == 0 || (strcmp(r->op, "any") == 0 && strcmp(op, "unlink") != 0) ||
           (strcmp(r->op, "open") == 0 && strcmp(op, "tmpfile") == 0);
}

static bool is_from_file(void)
{
    const char *spec = getenv("HOLM_FAULT");

    return spec && spec[0] == '@';
}

/* A list in a file is changed while the program runs, by a new file in the old one's place. */
static int arm_again_locked(const char *file)
{
    static struct stat last;
    struct stat st;
    char line[1024];

    if (stat(file, &st) < 0 || (st.st_ino == last.st_ino && st.st_mtim.tv_sec == last.st_mtim.tv_sec &&
                                st.st_mtim.tv_nsec == last.st_mtim.tv_nsec))
        return 0;
    int fd = REAL(open)(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return -EIO;
    line[n] = 0;
    line[strcspn(line, "\n")] = 0;
    last = st;
    return arm_locked(line);
}

/* The error this call is to fail with, or 0. */
static int check(const char *op, const char *path)
{
    int saved = errno, error = 0;

    pthread_mutex_lock(&lock);
    const char *spec = getenv("HOLM_FAULT");
    if (is_from_file() ? arm_again_locked(spec + 1) < 0 : !is_read && arm_locked(spec) < 0) {
        fprintf(stderr, "faultfs: HOLM_FAULT is not understood\n");
        abort();
    }
    for (unsigned i = 0; i < n_rules; i++) {
        struct rule *r = &rules[i];
        if (!is_op(r, op) || !strstr(path, r->substring))
            continue;
        r->count++;
        note(op, r->count, path);
        if (!error && r->nth && (r->count == r->nth || (r->is_sticky && r->count > r->nth)))
            error = r->error;
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return error;
}

static void fd_path(int fd, char *dst, size_t cap)
{
    char link[40];
    ssize_t n = -1;

    if (fd == AT_FDCWD) {
        if (!getcwd(dst, cap))
            dst[0] = 0;
        return;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, dst, cap - 1);
    dst[n > 0 ? n : 0] = 0;
}

static int check_fd(const char *op, int fd)
{
    char path[4096];

    if (is_read && !n_rules && !is_from_file())
        return 0;
    fd_path(fd, path, sizeof(path));
    return check(op, path);
}

static int check_at(const char *op, int dirfd, const char *name)
{
    char path[8192];

    if (is_read && !n_rules && !is_from_file())
        return 0;
    path[0] = 0;
    if (name[0] != '/')
        fd_path(dirfd, path, 4096);
    size_t n = strlen(path);
    snprintf(path + n, sizeof(path) - n, "/%.4000s", name);
    return check(op, path);
}

static const char *open_op(int flags)
{
    return (flags & O_TMPFILE) == O_TMPFILE ? "tmpfile" : "open";
}

#define FAIL_IF(call)                                                                                                  \
    do {                                                                                                               \
        int fault_ = (call);                                                                                           \
        if (fault_) {                                                                                                  \
            errno = fault_;                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
    } while (0)

#define MODE_ARG(flags, last)                                                                                          \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list ap;                                                                                                    \
        va_start(ap, last);                                                                                            \
        mode = va_arg(ap, mode_t);                                                                                     \
        va_end(ap);                                                                                                    \
    }

#define DEFINE_OPEN(fn)                                                                                                \
    int fn(const char *path, int flags, ...)                                                                           \
    {                                                                                                                  \
        MODE_ARG(flags, flags)                                                                                         \
        FAIL_IF(check_at(open_op(flags), AT_FDCWD, path));                                                             \
        return REAL(fn)(path, flags, mode);                                                                            \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(fn)                                                                                              \
    int fn(int dirfd, const char *path, int flags, ...)                                                                \
    {                                                                                                                  \
        MODE_ARG(flags, flags)                                                                                         \
        FAIL_IF(check_at(open_op(flags), dirfd, path));                                                                \
        return REAL(fn)(dirfd, path, flags, mode);                                                                     \
    }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

/* What _FORTIFY_SOURCE makes of an open without a mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open(path, flags);
}
int __open64_2(const char *path, int flags)
{
    return open64(path, flags);
}
int __openat_2(int dirfd, const char *path, int flags)
{
    return openat(dirfd, path, flags);
}
int __openat64_2(int dirfd, const char *path, int flags)
{
    return openat64(dirfd, path, flags);
}

long syscall(long number, ...)
{
    long a[6];
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_openat2) {
        const struct open_how *how = (const struct open_how *)a[2];
        FAIL_IF(check_at(open_op((int)how->flags), (int)a[0], (const char *)a[1]));
    }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t write(int fd, const void *p, size_t n)
{
    FAIL_IF(check_fd("write", fd));
    return REAL(write)(fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    FAIL_IF(check_fd("write", fd));
    return REAL(writev)(fd, v, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    FAIL_IF(check_fd("pwrite", fd));
    return REAL(pwrite)(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    FAIL_IF(check_fd("pwrite", fd));
    return REAL(pwrite64)(fd, p, n, at);
}

int fsync(int fd)
{
    FAIL_IF(check_fd("fsync", fd));
    return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    FAIL_IF(check_fd("fsync", fd));
    return REAL(fdatasync)(fd);
}

int syncfs(int fd)
{
    FAIL_IF(check_fd("fsync", fd));
    return REAL(syncfs)(fd);
}

int ftruncate(int fd, off_t n)
{
    FAIL_IF(check_fd("ftruncate", fd));
    return REAL(ftruncate)(fd, n);
}

int ftruncate64(int fd, off64_t n)
{
    FAIL_IF(check_fd("ftruncate", fd));
    return REAL(ftruncate64)(fd, n);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    FAIL_IF(check_fd("fallocate", fd));
    return REAL(fallocate)(fd, mode, at, n);
}

int fallocate64(int fd, int mode, off64_t at, off64_t n)
{
    FAIL_IF(check_fd("fallocate", fd));
    return REAL(fallocate64)(fd, mode, at, n);
}

int rename(const char *from, const char *to)
{
    FAIL_IF(check_at("rename", AT_FDCWD, to));
    return REAL(rename)(from, to);
}

int renameat(int fromfd, const char *from, int tofd, const char *to)
{
    FAIL_IF(check_at("rename", tofd, to));
    return REAL(renameat)(fromfd, from, tofd, to);
}

int renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags)
{
    FAIL_IF(check_at("rename", tofd, to));
    return REAL(renameat2)(fromfd, from, tofd, to, flags);
}

int link(const char *from, const char *to)
{
    FAIL_IF(check_at("link", AT_FDCWD, to));
    return REAL(link)(from, to);
}

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
    FAIL_IF(check_at("link", tofd, to));
    return REAL(linkat)(fromfd, from, tofd, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    FAIL_IF(check_at("mkdir", AT_FDCWD, path));
    return REAL(mkdir)(path, mode);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    FAIL_IF(check_at("mkdir", dirfd, path));
    return REAL(mkdirat)(dirfd, path, mode);
}

int unlink(const char *path)
{
    FAIL_IF(check_at("unlink", AT_FDCWD, path));
    return REAL(unlink)(path);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    FAIL_IF(check_at("unlink", dirfd, path));
    return REAL(unlinkat)(dirfd, path, flags);
}

int fsetxattr(int fd, const char *name, const void *value, size_t n, int flags)
{
    FAIL_IF(check_fd("setxattr", fd));
    return REAL(fsetxattr)(fd, name, value, n, flags);
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t n)
{
    FAIL_IF(check_fd("getxattr", fd));
    return REAL(fgetxattr)(fd, name, value, n);
}

int fremovexattr(int fd, const char *name)
{
    FAIL_IF(check_fd("setxattr", fd));
    return REAL(fremovexattr)(fd, name);
}

/* Of btrfs: what makes subvolumes and sets their flags; removing one is what unlink is of a file. */
int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;

    va_start(ap, request);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    if (request == BTRFS_IOC_SNAP_DESTROY)
        FAIL_IF(check_fd("unlink", fd));
    else if (_IOC_TYPE(request) == BTRFS_IOCTL_MAGIC)
        FAIL_IF(check_fd("ioctl", fd));
    return REAL(ioctl)(fd, request, arg);
}
