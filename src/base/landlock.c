/* See landlock.h. Called once, by the one thread of a program that is about to read what strangers wrote. */
#include "base/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What each version of Landlock can deny (uapi/linux/landlock.h); the kernel refuses bits it does not know. */
static uint64_t landlock_rights(long version)
{
    uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

#ifdef LANDLOCK_ACCESS_FS_REFER
    if (version >= 2)
        rights |= LANDLOCK_ACCESS_FS_REFER;
#endif
#ifdef LANDLOCK_ACCESS_FS_TRUNCATE
    if (version >= 3)
        rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
#endif
    return rights;
}

/* A path that is not there needs no rule. */
static int allow(int ruleset, const char *path, struct err *e)
{
    autoclose int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "open %s", path);
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "stat %s", path);
    struct landlock_path_beneath_attr rule = {.allowed_access =
                                                  LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                                                  (S_ISDIR(st.st_mode) ? LANDLOCK_ACCESS_FS_READ_DIR : UINT64_C(0)),
                                              .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_errno(e, errno, "landlock");
    return 0;
}

int landlock_allow_reading(const char *const *paths, struct err *e)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int r = 0;

    if (version < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : err_errno(e, errno, "landlock");
    struct landlock_ruleset_attr attr = {.handled_access_fs = landlock_rights(version)};
    autoclose int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    if (fd < 0)
        return err_errno(e, errno, "landlock");
    for (; r == 0 && *paths; paths++)
        r = allow(fd, *paths, e);
    if (r == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        r = err_errno(e, errno, "landlock");
    return r;
}

int landlock_deny_paths(struct err *e)
{
    static const char *const none[] = {NULL};

    return landlock_allow_reading(none, e);
}
