/* The kinds of devices, and what their options have in common; see table.h. */
#include "vmm/dev/table.h"

#include <fcntl.h>

const struct device_type *const device_table[] = {
    &device_disk,
    &device_rng,
    NULL,
};

const struct device_type *device_type_find(const char *option)
{
    for (size_t i = 0; device_table[i]; i++)
        if (streq(device_table[i]->option, option))
            return device_table[i];
    return NULL;
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known; known++)
        if (streq(key, *known))
            return true;
    return false;
}

int device_check_keys(const struct propstr *p, const char *const *known, struct err *e)
{
    for (size_t i = 0; i < p->n; i++)
        if (!streq(p->items[i].key, "id") && !is_known(p->items[i].key, known))
            return err_set(e, -EINVAL, "option.value", "there is no '%s' here", p->items[i].key);
    return 0;
}

int device_open(const struct propstr *p, const char *path_key, int flags, int *ret_fd, struct err *e)
{
    const char *path = propstr_get(p, path_key), *number = propstr_get(p, "fd");
    uint64_t n = 0;

    *ret_fd = -1;
    if (path && number)
        return err_set(e, -EINVAL, "option.value", "'%s' and 'fd' exclude each other", path_key);
    if (number) {
        if (str_to_u64(number, &n) < 0 || n > 65535 || fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0)
            return err_set(e, -EBADF, "option.fd", "there is no open descriptor '%s'", number);
        *ret_fd = (int)n;
    } else if (path) {
        *ret_fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
        if (*ret_fd < 0)
            return err_errno(e, errno, "open '%s'", path);
    }
    return 0;
}
