/* See landlock.h. Called once, by the one thread of a program that is about to read what strangers wrote. */
#include "base/landlock.h"

#include <linux/landlock.h>
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

int landlock_deny_paths(struct err *e)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : err_errno(e, errno, "landlock");
    struct landlock_ruleset_attr attr = {.handled_access_fs = landlock_rights(version)};
    long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    if (fd < 0)
        return err_errno(e, errno, "landlock");
    /* No rule is added: nothing is allowed. */
    int r = syscall(SYS_landlock_restrict_self, (int)fd, 0) < 0 ? err_errno(e, errno, "landlock") : 0;
    close((int)fd);
    return r;
}
