/* Storages and volumes. A storage is a row of configuration (shared/storage/ID) served by a plugin: one file of this
 * folder and one row of table.c. Plugins know nothing of guests, tasks or the API.
 *
 * Everything that takes a struct storage blocks and may be called from any pool thread: the struct is an immutable
 * snapshot, references are counted. A volume is named STORE:VOLID as in Proxmox VE:
 *     STORE:100/vm-100-disk-0.qcow2   an image of guest 100      STORE:iso/NAME      STORE:boot/NAME (kernels, initrds)
 *     STORE:vztmpl/NAME  STORE:snippets/NAME  STORE:import/NAME  STORE:backup/NAME
 * The format of an image comes from its name's ending, never from its bytes. */
#ifndef HOLM_STORAGE_STORAGE_H
#define HOLM_STORAGE_STORAGE_H

#include "base/err.h"

/* name, bit number; the names are PVE's, "boot" is ours */
#define STORAGE_CONTENTS(X)                                                                                            \
    X(images, 0)                                                                                                       \
    X(rootdir, 1)                                                                                                      \
    X(vztmpl, 2)                                                                                                       \
    X(iso, 3)                                                                                                          \
    X(backup, 4)                                                                                                       \
    X(snippets, 5)                                                                                                     \
    X(import, 6)                                                                                                       \
    X(boot, 7)

enum storage_content {
#define STORAGE_CONTENT_ENUM(name, bit) STORAGE_CONTENT_##name = 1 << bit,
    STORAGE_CONTENTS(STORAGE_CONTENT_ENUM)
#undef STORAGE_CONTENT_ENUM
};

enum storage_cap {
    STORAGE_CAP_SNAPSHOT = 1,
    STORAGE_CAP_CLONE = 2,
    STORAGE_CAP_THIN = 4,
    STORAGE_CAP_SHARED = 8,
    STORAGE_CAP_RESIZE = 16,
};

enum volume_format { VOLUME_RAW, VOLUME_QCOW2, VOLUME_OTHER };

#define STORAGE_ID_MAX  64u
#define VOLUME_NAME_MAX 200u
#define VOLUME_ID_MAX   (STORAGE_ID_MAX + VOLUME_NAME_MAX + 16u)

struct storage_ops;
struct storage;

struct volume_id {
    char storage[STORAGE_ID_MAX + 1];
    enum storage_content content;
    uint32_t vmid;                  /* owner of an image, 0 otherwise */
    uint32_t layer;                 /* 0: the volume itself; else one of its layers, which text never names (ADR 6) */
    char name[VOLUME_NAME_MAX + 1]; /* file name, one checked component */
    enum volume_format format;
};

struct volume_info {
    struct volume_id id;
    uint64_t size_bytes; /* virtual size */
    uint64_t used_bytes; /* allocated on the host */
    int64_t ctime_s;
};

struct storage_space {
    uint64_t total_bytes, used_bytes, available_bytes;
};

/* An opened volume as an engine takes it. */
struct volume_attachment {
    int fd;
    enum volume_format format;
    bool is_read_only;
    uint64_t size_bytes;
};

/* "iso,images" <-> mask. Unknown name: -EINVAL. */
MUST_CHECK int storage_contents_parse(const char *list, uint32_t *ret_mask, struct err *e);
/* Comma list in the table's order into dst (cap >= 80). */
void storage_contents_format(uint32_t mask, char *dst, size_t cap);
const char *storage_content_name(enum storage_content c);
const char *volume_format_name(enum volume_format f);

/* PVE's rules for a storage id: 2 to STORAGE_ID_MAX letters, digits, '-', '_', '.'; begins with a letter, ends with a
 * letter or digit. */
MUST_CHECK int storage_id_check(const char *id, struct err *e);

/* Strict: every component goes through path_name_check; an image's owner in the folder and in the name must agree. */
MUST_CHECK int volume_id_parse(const char *text, struct volume_id *ret, struct err *e);
void volume_id_format(const struct volume_id *v, char *dst, size_t cap);

/* Whether there are storages of this type, and they have this key in their configuration: "type" all have. */
bool storage_type_takes(const char *type, const char *key);
/* "btrfs, dir" into dst. */
void storage_types_format(char *dst, size_t cap);

/* json: the value of shared/storage/ID: {"type":"dir","path":"/…","content":"iso,images",…}. Relative paths are below
 * root_dir. The plugin checks its own keys. Reference count 1. */
MUST_CHECK int storage_new(const char *id, const char *json, const char *root_dir, struct storage **ret, struct err *e);
struct storage *storage_ref(struct storage *s);
void storage_unref(struct storage *s);

const char *storage_name(const struct storage *s);
const char *storage_type(const struct storage *s);
uint32_t storage_contents(const struct storage *s);
uint32_t storage_caps(const struct storage *s);
bool storage_is_shared(const struct storage *s);
/* What `bwlimit` of a storage speaks of. */
enum storage_work { STORAGE_WORK_CLONE, STORAGE_WORK_MOVE, STORAGE_LIMITS };
/* The least of what was wished for and what both storages allow. KiB a second, 0: as fast as it goes. PVE: pve-storage,
 * PVE/Storage.pm, get_bandwidth_limit. */
uint64_t storage_limit_kib(enum storage_work w, const struct storage *from, const struct storage *to,
                           uint64_t wish_kib);
bool storage_is_enabled(const struct storage *s);
/* False if the configuration's "nodes" leaves this node out. */
bool storage_is_on_node(const struct storage *s, const char *node);
bool storage_has_format(const struct storage *s, enum volume_format f);
/* Of new images that name none. */
enum volume_format storage_default_format(const struct storage *s);
const char *storage_path(const struct storage *s); /* NULL when the plugin has none */
/* The file with the volume's bytes, as GET of a volume shows it; whether it is there is not looked at. */
MUST_CHECK int volume_path(const struct storage *s, const struct volume_id *v, char *dst, size_t cap, struct err *e);
/* The configuration as it was given: for GET /storage. */
const char *storage_json(const struct storage *s);

MUST_CHECK int storage_space_get(struct storage *s, struct storage_space *ret, struct err *e);

/* A name that is free now: "vm-100-disk-N" with the format's ending. Not a reservation: alloc fails with -EEXIST when
 * somebody was quicker; holmd reserves names in memory. */
MUST_CHECK int volume_name_next(struct storage *s, uint32_t vmid, enum volume_format f, const char *const *taken,
                                size_t n_taken, struct volume_id *ret, struct err *e);
/* Makes an empty volume of exactly size_bytes (a multiple of 512), durable on return. mark (a task's UPID) is kept with
 * the volume, so that an undo removes only what that task made. -EEXIST if it exists, -ENOSPC "storage.full". After a
 * crash it is there whole or not at all. */
MUST_CHECK int volume_create(struct storage *s, const struct volume_id *v, uint64_t size_bytes, const char *mark,
                             struct err *e);
/* The same in two steps, for one that somebody fills: a file without a name, as long as it has to be and empty, whose
 * descriptor is given to whoever writes; finish makes it durable and visible, -EEXIST if there is one by now. Given up
 * by volume_receive_abort; a crash before the end leaves nothing (see storage_sweep). */
MUST_CHECK int volume_make_begin(struct storage *s, const struct volume_id *v, uint64_t size_bytes, int *ret_fd,
                                 struct err *e);
MUST_CHECK int volume_make_finish(struct storage *s, const struct volume_id *v, int fd, const char *mark,
                                  struct err *e);
/* Removes it; a missing one is success. With mark: only if it carries this mark (another one's volume is left,
 * success). */
MUST_CHECK int volume_delete(struct storage *s, const struct volume_id *v, const char *mark, struct err *e);
/* Makes an image larger (a multiple of 512); one that is so large already is left alone, success. Not while a guest has
 * a qcow2 image open. Durable on return; -EOPNOTSUPP where the storage cannot. */
MUST_CHECK int volume_grow(struct storage *s, const struct volume_id *v, uint64_t size_bytes, struct err *e);
MUST_CHECK int volume_stat(struct storage *s, const struct volume_id *v, struct volume_info *ret, struct err *e);
MUST_CHECK int volume_open(struct storage *s, const struct volume_id *v, bool is_read_only,
                           struct volume_attachment *ret, struct err *e);

/* What people wrote on a volume; it goes away with it. A protected one is not replaced by an upload or download
 * ("volume.protected"); whoever deletes on a client's word asks for it first. */
#define VOLUME_NOTES_MAX 2048u
struct volume_note {
    bool is_protected;
    char notes[VOLUME_NOTES_MAX + 1];
};
MUST_CHECK int volume_note_get(struct storage *s, const struct volume_id *v, struct volume_note *ret, struct err *e);
/* -EOPNOTSUPP "volume.notes" where the file system keeps no extended attributes. */
MUST_CHECK int volume_note_set(struct storage *s, const struct volume_id *v, const struct volume_note *note,
                               struct err *e);

/* Calls fn for each volume whose content is in the mask (and whose owner is vmid, if not 0), sorted by name. fn returns
 * negative to stop. */
typedef int (*volume_list_fn)(void *arg, const struct volume_info *info);
MUST_CHECK int volume_list(struct storage *s, uint32_t contents, uint32_t vmid, volume_list_fn fn, void *arg,
                           struct err *e);

/* Layers (ADR 6): what an image held earlier, kept beside it under a number of the caller's, from 1. For an image with
 * a layer's number every verb above works on that file; lists leave layers out. All of these are durable on return, and
 * whole or not at all after a crash. -EOPNOTSUPP "volume.snapshot", with a hint, where the storage cannot. */
#define VOLUME_LAYER_MAX 999999u
struct volume_id volume_layer(const struct volume_id *v, uint32_t layer);
/* What the volume holds becomes the new layer; the volume goes on, standing on it (qcow2) or as a copy of its own (raw,
 * which nobody may write to meanwhile). */
MUST_CHECK int volume_freeze(struct storage *s, const struct volume_id *v, uint32_t layer, struct err *e);
/* Takes volume_freeze back, also half of it: the volume holds the layer again and what was written to it since is gone.
 */
MUST_CHECK int volume_unfreeze(struct storage *s, const struct volume_id *v, uint32_t layer, struct err *e);
/* Makes `to`, an image of this storage that does not exist, with what `from` holds: standing on it, if `to` is qcow2,
 * else a copy by reference. from must not change while `to` stands on it. */
MUST_CHECK int volume_fork(struct storage *s, const struct volume_id *from, const struct volume_id *to,
                           const char *mark, struct err *e);
/* The volume and its layer change places, if the layer carries this mark (or, is_back, the volume): so once for each
 * volume_fork with this mark. */
MUST_CHECK int volume_exchange(struct storage *s, const struct volume_id *v, uint32_t layer, const char *mark,
                               bool is_back, struct err *e);
/* Another owner or number, with the same ending; never over one that is there. Done already: success. */
MUST_CHECK int volume_rename(struct storage *s, const struct volume_id *from, const struct volume_id *to,
                             struct err *e);
/* The layer takes the place of the image that stands on it, its layer `child` or (0) the volume itself, and has what
 * was said of that one: notes, protection, the mark. The caller has brought all that the child holds into the layer. No
 * such layer: success, if the child does not stand on it. */
MUST_CHECK int volume_replace_by(struct storage *s, const struct volume_id *v, uint32_t child, uint32_t layer,
                                 struct err *e);
/* As volume_open, for an image that stands on `below` and on nothing else. */
MUST_CHECK int volume_open_on(struct storage *s, const struct volume_id *v, const struct volume_id *below,
                              bool is_read_only, struct volume_attachment *ret, struct err *e);
/* Calls fn for each layer of the guest's images, in no order. */
MUST_CHECK int volume_layers(struct storage *s, uint32_t vmid, volume_list_fn fn, void *arg, struct err *e);

/* Receiving a file (upload): an anonymous temporary file in the storage, linked under its name at the end. The fd is
 * given to whoever writes; finish makes it durable and visible (is_replace: an existing one may be replaced). */
MUST_CHECK int volume_receive_begin(struct storage *s, const struct volume_id *v, int *ret_fd, struct err *e);
MUST_CHECK int volume_receive_finish(struct storage *s, const struct volume_id *v, int fd, bool is_replace,
                                     struct err *e);
/* Gives a begun receive up. Where the file system has no anonymous files this removes the temporary name; the fd stays
 * the caller's to close. Call it before closing whenever finish was not reached. */
void volume_receive_abort(struct storage *s, const struct volume_id *v, int fd);

/* Receiving a file in pieces, over days and restarts: a part is an empty file that grows under a hidden name made of an
 * id of the caller's (hex digits), in the folder of the volume that it is to become. The caller keeps, durably, how
 * long a part is, and removes those that it gave up; the storage forgets none. Not for images.
 *
 * volume_part_open: a descriptor that stands at size_bytes, which is the file's end: what was written behind it is cut
 * off. -EBUSY "upload.busy" while another descriptor of it, or a copy of one, is open in whatever process; -ENOENT
 * "upload.missing". volume_part_finish: whole or not at all after a crash the part is the volume then, in the place of
 * one that was there and is not protected; on failure the part stays. */
#define VOLUME_PART_ID_LEN 32u
bool volume_part_id_is_valid(const char *id);
MUST_CHECK int volume_part_create(struct storage *s, const struct volume_id *v, const char *id, struct err *e);
MUST_CHECK int volume_part_open(struct storage *s, const struct volume_id *v, const char *id, uint64_t size_bytes,
                                int *ret_fd, struct err *e);
MUST_CHECK int volume_part_finish(struct storage *s, const struct volume_id *v, const char *id, int fd, struct err *e);
/* A missing one is success. Only storage, content and vmid of v are looked at. */
MUST_CHECK int volume_part_delete(struct storage *s, const struct volume_id *v, const char *id, struct err *e);
struct storage_part {
    enum storage_content content;
    char id[VOLUME_PART_ID_LEN + 1];
    int64_t mtime_s;
};
/* Calls fn for each part, in no order; negative to stop. */
typedef int (*storage_part_fn)(void *arg, const struct storage_part *part);
MUST_CHECK int storage_parts(struct storage *s, storage_part_fn fn, void *arg, struct err *e);

/* Removes what a crash can leave behind: named temporary files and empty owner folders, last changed before
 * older_than_s (seconds since 1970: the daemon's start; a shared storage adds a day, other nodes may be at work).
 * Called once at start. ret_removed may be NULL. */
MUST_CHECK int storage_sweep(struct storage *s, int64_t older_than_s, size_t *ret_removed, struct err *e);

#endif
