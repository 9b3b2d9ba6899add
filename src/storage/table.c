/* The storage plugins, one row each. A test walks this table (hooks present, types unique, keys documented). */
#include "storage/storage_priv.h"

const struct storage_ops *const storage_plugins[] = {
    &storage_btrfs_ops,
    &storage_dir_ops,
    NULL,
};

void storage_types_format(char *dst, size_t cap)
{
    size_t n = 0;

    dst[0] = 0;
    for (size_t i = 0; storage_plugins[i] && n < cap; i++)
        n += (size_t)snprintf(dst + n, cap - n, "%s%s", i ? ", " : "", storage_plugins[i]->type);
}

const struct storage_ops *storage_plugin_find(const char *type)
{
    for (size_t i = 0; storage_plugins[i]; i++)
        if (streq(storage_plugins[i]->type, type))
            return storage_plugins[i];
    return NULL;
}
