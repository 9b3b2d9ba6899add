/* The storage plugins, one row each. A test walks this table (hooks present, types unique, keys documented). */
#include "storage/storage_priv.h"

const struct storage_ops *const storage_plugins[] = {
    &storage_btrfs_ops,
    &storage_dir_ops,
    NULL,
};

const struct storage_ops *storage_plugin_find(const char *type)
{
    for (size_t i = 0; storage_plugins[i]; i++)
        if (streq(storage_plugins[i]->type, type))
            return storage_plugins[i];
    return NULL;
}
