/* What the "dir" plugin lends to plugins that keep their volumes in a folder as well (btrfs.c): a storage of such a
 * type begins with a struct dir_storage, its row in table.c names hooks of dir for what is the same, and a struct
 * dir_kind says what is not. The rest of dir is its own (dir_priv.h). */
#ifndef HOLM_STORAGE_DIR_BASE_H
#define HOLM_STORAGE_DIR_BASE_H

#include <sys/stat.h>

#include "storage/storage_priv.h"

/* What differs from dir. */
struct dir_kind {
    uint32_t fs_magic; /* statfs(2): the path lies on such a file system */
    const char *fs_name, *fs_hint;
    /* A raw image is not a file NAME.raw but a folder NAME of a kind of its own, with this file in it. */
    const char *raw_file;
    /* An open folder is of that kind: else -EINVAL "volume.type". */
    int (*raw_check)(int fd, struct err *e);
    /* Removes such a folder with what is in it, in one step. Whoever calls it syncs `folder`. */
    int (*raw_remove)(int folder, const char *name, struct err *e);
};

struct dir_storage {
    const struct dir_kind *kind; /* NULL: dir itself */
    char *path;                  /* absolute */
    char *mountpoint;            /* path is used only while something is mounted here; NULL: always */
    bool is_falloc, has_no_base_made, has_no_folder_made;
};

#define DIR_TEMP_MAX (VOLUME_FILE_MAX + 40u)
#define DIR_PATH_MAX 4096u

/* dir.c: reads the keys of dir_keys into d, which is zeroed but for its kind. dir_close frees it, whatever it is the
 * beginning of. */
MUST_CHECK int dir_load(const struct storage *s, struct dir_storage *d, const json_t *config, const char *root_dir,
                        struct err *e);
/* Turns -ENOSPC, -EDQUOT and -EFBIG into "storage.full" and "volume.size" with numbers; others pass. */
int dir_explain(int r, const struct storage *s, uint64_t needed_bytes, struct err *e);
/* Opens a regular file of a folder; anything else (link, device, folder) is -EINVAL "volume.type". -ENOENT
 * "volume.missing". */
MUST_CHECK int dir_file_open(int folder, const char *name, int flags, struct stat *ret_st, int *ret_fd, struct err *e);

/* dir_place.c: where a volume lies. */
/* Its name in the folder that it belongs to, of a file or of a folder of the kind. */
struct volume_file dir_entry(const struct storage *s, const struct volume_id *v);
/* The folder that holds its bytes, and the name of the file in it. -ENOENT "volume.missing". */
MUST_CHECK int dir_place_open(const struct storage *s, const struct volume_id *v, int *ret_folder,
                              struct volume_file *ret_file, struct err *e);
/* Its file, as dir_file_open. -ENOENT "volume.missing". */
MUST_CHECK int dir_volume_open(const struct storage *s, const struct volume_id *v, int flags, struct stat *ret_st,
                               int *ret_fd, struct err *e);

/* dir_temp.c */
/* A hidden name that no volume has, and no other call gives. dir_sweep removes what a crash leaves of that name. */
void dir_temp_make_name(const char *for_name, char dst[DIR_TEMP_MAX]);
bool dir_temp_is(const char *name);
/* The path of an open file as /proc tells it: to be looked at, not to be opened. */
MUST_CHECK int dir_fd_path(int fd, char dst[DIR_PATH_MAX], struct err *e);
/* Runs fn in the folder that v belongs to, made if it is missing; once more if the folder went away meanwhile, with its
 * last volume. ret_folder may be NULL. */
typedef int (*dir_folder_fn)(void *arg, int folder, struct err *e);
MUST_CHECK int dir_in_folder(const struct storage *s, const struct volume_id *v, dir_folder_fn fn, void *arg,
                             int *ret_folder, struct err *e);

/* dir_write.c */
/* Gives a new, empty file of an image its size or its header. */
MUST_CHECK int dir_fill(struct storage *s, const struct volume_id *v, int fd, uint64_t size_bytes, struct err *e);
/* -EEXIST "volume.exists" if there is one of this name. */
MUST_CHECK int dir_check_absent(const struct storage *s, const struct volume_id *v, struct err *e);
/* Keeps the mark with a new file; NULL: none. */
MUST_CHECK int dir_mark_set(int fd, const char *mark, struct err *e);
/* Takes the mark, the notes and the protection of an image off a copy of it that came with them. */
MUST_CHECK int dir_copy_clean(int fd, struct err *e);
/* Removes images/VMID if it is empty. */
void dir_owner_tidy(const struct storage *s, uint32_t vmid);
/* dir_note.c: -EPERM "volume.protected" if this volume is there and protected. */
MUST_CHECK int dir_check_unprotected(const struct storage *s, const struct volume_id *v, struct err *e);

/* hooks */
extern const char *const dir_keys[];
void dir_close(struct storage *s);
const char *dir_path(const struct storage *s);
int dir_volume_path(const struct storage *s, const struct volume_id *v, char *dst, size_t cap, struct err *e);
int dir_space(struct storage *s, struct storage_space *ret, struct err *e);
int dir_stat(struct storage *s, const struct volume_id *v, struct volume_info *ret, struct err *e);
MUST_CHECK int dir_grow(struct storage *s, const struct volume_id *v, uint64_t size_bytes, struct err *e);
int dir_open_volume(struct storage *s, const struct volume_id *v, const struct volume_id *below, bool is_read_only,
                    struct volume_attachment *ret, struct err *e);
int dir_list(struct storage *s, uint32_t contents, uint32_t vmid, volume_list_fn add, void *arg, struct err *e);
int dir_create(struct storage *s, const struct volume_id *v, uint64_t size_bytes, const char *mark, struct err *e);
int dir_make_begin(struct storage *s, const struct volume_id *v, uint64_t size_bytes, int *ret_fd, struct err *e);
int dir_make_finish(struct storage *s, const struct volume_id *v, int fd, const char *mark, struct err *e);
int dir_remove(struct storage *s, const struct volume_id *v, const char *mark, struct err *e);
int dir_receive_begin(struct storage *s, const struct volume_id *v, int *ret_fd, struct err *e);
int dir_receive_finish(struct storage *s, const struct volume_id *v, int fd, bool is_replace, struct err *e);
void dir_receive_abort(struct storage *s, const struct volume_id *v, int fd);
int dir_part_create(struct storage *s, const struct volume_id *v, const char *id, struct err *e);
int dir_part_open(struct storage *s, const struct volume_id *v, const char *id, uint64_t size_bytes, int *ret_fd,
                  struct err *e);
int dir_part_finish(struct storage *s, const struct volume_id *v, const char *id, int fd, struct err *e);
int dir_part_remove(struct storage *s, const struct volume_id *v, const char *id, struct err *e);
int dir_parts(struct storage *s, storage_part_fn fn, void *arg, struct err *e);
int dir_sweep(struct storage *s, int64_t older_than_s, size_t *ret_removed, struct err *e);
int dir_note_get(struct storage *s, const struct volume_id *v, struct volume_note *ret, struct err *e);
int dir_note_set(struct storage *s, const struct volume_id *v, const struct volume_note *note, struct err *e);
int dir_freeze(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e);
int dir_unfreeze(struct storage *s, const struct volume_id *v, const struct volume_id *layer, struct err *e);
int dir_fork(struct storage *s, const struct volume_id *from, const struct volume_id *to, const char *mark,
             struct err *e);
int dir_exchange(struct storage *s, const struct volume_id *v, const struct volume_id *layer,
                 const struct volume_id *marked, const char *mark, struct err *e);
int dir_replace_by(struct storage *s, const struct volume_id *child, const struct volume_id *layer, struct err *e);
int dir_rename(struct storage *s, const struct volume_id *from, const struct volume_id *to, struct err *e);
int dir_layers(struct storage *s, uint32_t vmid, volume_list_fn add, void *arg, struct err *e);

#endif
