/* What a storage plugin is: a row of functions. For files of this folder only; everyone else uses storage.h.
 *
 * The generic part (storage.c) has checked, before a plugin's function runs: the volume belongs to this storage, the
 * storage is not disabled, the content is allowed where something new is made, sizes are positive multiples of 512.
 * A plugin never sees a name that volume_id_parse would refuse. Every hook is required: what a plugin cannot do it
 * says by its caps and formats, and by an error with a code of its own. */
#ifndef HOLM_STORAGE_STORAGE_PRIV_H
#define HOLM_STORAGE_STORAGE_PRIV_H

#include <jansson.h>
#include <stdatomic.h>

#include "storage/storage.h"

#define STORAGE_JSON_MAX  65536u
#define STORAGE_NODES_MAX 4096u /* bytes of the "nodes" list */
#define VOLUME_LIST_MAX   65536u
#define VOLUME_MARK_MAX   255u
#define VOLUME_DISKS_MAX  1024u /* disk numbers tried by volume_name_next */

struct storage_ops {
    const char *type;
    uint32_t contents;         /* it can hold these */
    uint32_t default_contents; /* when the configuration names none */
    uint32_t formats;          /* 1 << enum volume_format */
    uint32_t caps;
    const char *const
        *keys; /* configuration keys of its own, NULL-terminated; others than the common ones are refused */

    /* Reads its keys into s->priv; touches no disk. */
    int (*open)(struct storage *s, const json_t *config, const char *root_dir, struct err *e);
    void (*close)(struct storage *s); /* frees s->priv, which may be NULL */
    const char *(*path)(const struct storage *s);
    /* Where the volume's bytes lie, for people to look at; no disk is touched. */
    int (*volume_path)(const struct storage *s, const struct volume_id *v, char *dst, size_t cap, struct err *e);

    int (*space)(struct storage *s, struct storage_space *ret, struct err *e);
    int (*create)(struct storage *s, const struct volume_id *v, uint64_t size_bytes, const char *mark, struct err *e);
    int (*make_begin)(struct storage *s, const struct volume_id *v, uint64_t size_bytes, int *ret_fd, struct err *e);
    int (*make_finish)(struct storage *s, const struct volume_id *v, int fd, const char *mark, struct err *e);
    int (*remove)(struct storage *s, const struct volume_id *v, const char *mark, struct err *e);
    int (*grow)(struct storage *s, const struct volume_id *v, uint64_t size_bytes, struct err *e);
    int (*stat)(struct storage *s, const struct volume_id *v, struct volume_info *ret, struct err *e);
    /* below: what a qcow2 image has to stand on; NULL: on nothing. */
    int (*open_volume)(struct storage *s, const struct volume_id *v, const struct volume_id *below, bool is_read_only,
                       struct volume_attachment *ret, struct err *e);
    int (*freeze)(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e);
    int (*unfreeze)(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e);
    int (*fork)(struct storage *s, const struct volume_id *from, const struct volume_id *to, const char *mark,
                struct err *e);
    /* `marked` is one of the two. */
    int (*exchange)(struct storage *s, const struct volume_id *v, const struct volume_id *layer,
                    const struct volume_id *marked, const char *mark, struct err *e);
    int (*rename)(struct storage *s, const struct volume_id *from, const struct volume_id *to, struct err *e);
    int (*replace_by)(struct storage *s, const struct volume_id *child, const struct volume_id *layer, struct err *e);
    int (*layers)(struct storage *s, uint32_t vmid, volume_list_fn add, void *arg, struct err *e);
    /* Unsorted; size_bytes and the like filled. add copies; a negative result of add is returned as it is. */
    int (*list)(struct storage *s, uint32_t contents, uint32_t vmid, volume_list_fn add, void *arg, struct err *e);
    int (*receive_begin)(struct storage *s, const struct volume_id *v, int *ret_fd, struct err *e);
    int (*receive_finish)(struct storage *s, const struct volume_id *v, int fd, bool is_replace, struct err *e);
    void (*receive_abort)(struct storage *s, const struct volume_id *v, int fd);
    int (*part_create)(struct storage *s, const struct volume_id *v, const char *id, struct err *e);
    int (*part_open)(struct storage *s, const struct volume_id *v, const char *id, uint64_t size_bytes, int *ret_fd,
                     struct err *e);
    int (*part_finish)(struct storage *s, const struct volume_id *v, const char *id, int fd, struct err *e);
    int (*part_remove)(struct storage *s, const struct volume_id *v, const char *id, struct err *e);
    int (*parts)(struct storage *s, storage_part_fn fn, void *arg, struct err *e);
    int (*note_get)(struct storage *s, const struct volume_id *v, struct volume_note *ret, struct err *e);
    int (*note_set)(struct storage *s, const struct volume_id *v, const struct volume_note *note, struct err *e);
    int (*sweep)(struct storage *s, int64_t older_than_s, size_t *ret_removed, struct err *e);
};

struct storage {
    atomic_uint n_refs;
    const struct storage_ops *ops;
    char id[STORAGE_ID_MAX + 1];
    char *json;
    char *nodes; /* comma list, NULL = all */
    uint32_t contents;
    enum volume_format default_format;
    uint64_t limits_kib[STORAGE_LIMITS]; /* of each enum storage_work; 0: none */
    bool is_shared;
    bool is_disabled;
    void *priv; /* the plugin's */
};

/* table.c: the plugins, NULL-terminated. */
extern const struct storage_ops *const storage_plugins[];
const struct storage_ops *storage_plugin_find(const char *type);

/* config.c: fills a zeroed struct storage from its configuration. On failure storage_unref cleans up. */
MUST_CHECK int storage_config_load(struct storage *s, const char *json, const char *root_dir, struct err *e);
/* A key's value as PVE writes booleans: true, 1, "1". Absent: ret is left alone. */
MUST_CHECK int storage_config_bool(const json_t *config, const char *key, bool *ret, struct err *e);
/* NULL when absent; -EINVAL when not a string or empty. */
MUST_CHECK int storage_config_str(const json_t *config, const char *key, const char **ret, struct err *e);

/* volid.c: fills content, vmid, name and format; the storage part is copied. name is a file name found on disk. */
MUST_CHECK int volume_id_make(const char *storage, enum storage_content c, uint32_t vmid, const char *name,
                              struct volume_id *ret, struct err *e);
/* The file of an image or layer: "vm-100-disk-0.qcow2", "snap-100-disk-0-3.qcow2"; of anything else its name. */
#define VOLUME_FILE_MAX (VOLUME_NAME_MAX + 16u)
struct volume_file {
    char name[VOLUME_FILE_MAX];
};
struct volume_file volume_file(const struct volume_id *v);
/* The layer whose file this is: -EINVAL if it is none's. */
MUST_CHECK int volume_layer_of_file(const char *storage, uint32_t vmid, const char *name, struct volume_id *ret);
#define VMID_MIN 100u
#define VMID_MAX 999999999u
MUST_CHECK int volume_vmid_parse(const char *s, size_t n, uint32_t *ret);

/* the plugins */
extern const struct storage_ops storage_btrfs_ops;
extern const struct storage_ops storage_dir_ops;

#endif
