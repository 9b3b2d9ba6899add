/* The one checker of names and the one opener of outside paths; see path.h. */
#include "base/path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

int path_name_check(const char *name, size_t max, struct err *e)
{
    size_t n = strlen(name);

    if (n == 0 || n > max)
        return err_set(e, -EINVAL, "name.invalid", "a name has 1 to %zu characters", max);
    if (name[0] == '.' || name[0] == '-' || name[n - 1] == '.' || name[n - 1] == ' ')
        return err_set(e, -EINVAL, "name.invalid",
                       "a name does not begin with '.' or '-', nor end with '.' or a blank");
    for (size_t i = 0; i < n; i++)
        if (name[i] <= 0x20 || name[i] >= 0x7f || name[i] == '/' || name[i] == '\\')
            return err_set(e, -EINVAL, "name.invalid", "character %zu of the name is not allowed", i + 1);
    return 0;
}

int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct err *e)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };

    for (int tries = 0; tries < 16; tries++) {
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR) /* EAGAIN: a rename raced with the walk */
            break;
    }
    return err_errno(e, errno, "open %s", path);
}
