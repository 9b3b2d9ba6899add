/* Shared by the files of the "dir" plugin: where things lie and how they are opened. doc/storage.md shows the layout.
 * dir.c: configuration, folders, space; dir_read.c: stat, open, list; dir_write.c: create, receive, remove;
 * dir_layer.c: layers and copies; dir_note.c: notes and protection; dir_temp.c: temporary files and publishing them;
 * dir_sweep.c: what a crash left. */
#ifndef HOLM_STORAGE_DIR_PRIV_H
#define HOLM_STORAGE_DIR_PRIV_H

#include <sys/stat.h>

#include "image/qcow2.h"
#include "storage/storage_priv.h"

struct dir_storage {
    char *path;       /* absolute */
    char *mountpoint; /* path is used only while something is mounted here; NULL: always */
    bool is_falloc, has_no_base_made, has_no_folder_made;
};

#define DIR_BACKING_MAX (VOLUME_FILE_MAX + 16u)
#define DIR_MARK_XATTR  "user.holm.task"
#define DIR_FOLDER_MAX  32u /* "images/999999999", "template/cache" */
#define DIR_TEMP_MAX    (VOLUME_FILE_MAX + 40u)

/* The root folder, made when it is missing. */
MUST_CHECK int dir_root_open(const struct storage *s, int *ret_fd, struct err *e);
/* "images/100", "template/iso", …; "images" for vmid 0. */
void dir_folder_name(enum storage_content c, uint32_t vmid, char dst[DIR_FOLDER_MAX]);
/* Opens that folder beneath the root. is_create: missing ones are made, durably; otherwise -ENOENT. */
MUST_CHECK int dir_folder_open(const struct storage *s, enum storage_content c, uint32_t vmid, bool is_create,
                               int *ret_fd, struct err *e);
/* Opens a regular file of a folder; anything else (link, device, folder) is -EINVAL "volume.type". -ENOENT
 * "volume.missing". */
MUST_CHECK int dir_file_open(int folder, const char *name, int flags, struct stat *ret_st, int *ret_fd, struct err *e);
/* Calls fn with each name of a folder, but "." and "..", until it returns negative. */
typedef int (*dir_name_fn)(void *arg, int folder, const char *name, struct err *e);
MUST_CHECK int dir_each(int folder, dir_name_fn fn, void *arg, struct err *e);
/* Turns -ENOSPC, -EDQUOT and -EFBIG into "storage.full" and "volume.size" with numbers; others pass. */
int dir_explain(int r, const struct storage *s, uint64_t needed_bytes, struct err *e);

/* dir_temp.c */
struct dir_temp {
    int fd;
    char name[DIR_TEMP_MAX]; /* empty: an anonymous file */
};
/* A new empty file for v, and the folder that v belongs to, made if missing. */
MUST_CHECK int dir_temp_open(const struct storage *s, const struct volume_id *v, int *ret_folder, struct dir_temp *ret,
                             struct err *e);
/* Finds the temporary name of a descriptor that dir_temp_open made (empty if anonymous). */
MUST_CHECK int dir_temp_name(int folder, int fd, char *ret_name, struct err *e);
void dir_temp_remove(int folder, const struct dir_temp *t);
bool dir_temp_is(const char *name);
/* Gives a synced temporary file its name, durably. -EEXIST "volume.exists" unless is_replace. fp: fail point after the
 * name appeared. On failure the temporary name, if any, is gone; so is the new one, unless it replaced another. */
MUST_CHECK int dir_publish(const struct storage *s, const struct volume_id *v, struct dir_temp *t, int temp_folder,
                           bool is_replace, const char *fp, struct err *e);

/* hooks */
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
/* dir_note.c: `to` has the notes, the protection and the mark of `from` and none of its own. */
MUST_CHECK int dir_note_copy(int from, int to, struct err *e);
/* dir_write.c: is there a file of this name that carries the mark? */
MUST_CHECK int dir_is_marked(int folder, const struct volume_id *v, const char *mark, bool *ret, struct err *e);
int dir_rename(struct storage *s, const struct volume_id *from, const struct volume_id *to, struct err *e);
int dir_layers(struct storage *s, uint32_t vmid, volume_list_fn add, void *arg, struct err *e);
/* dir_read.c: the header of an open qcow2 image. */
MUST_CHECK int dir_header_read(int fd, const struct stat *st, struct qcow2_info *ret, struct err *e);
/* The name by which an image of v's folder refers to below: its file, or "../VMID/FILE". */
void dir_backing_name(const struct volume_id *v, const struct volume_id *below, char dst[DIR_BACKING_MAX]);
/* dir_write.c: keeps the mark, syncs and publishes a file that is whole. */
MUST_CHECK int dir_finish(const struct storage *s, const struct volume_id *v, struct dir_temp *t, int folder,
                          const char *mark, struct err *e);
/* -EPERM "volume.protected" if a volume of this name is there and protected. */
MUST_CHECK int dir_check_unprotected(int folder, const char *name, struct err *e);
/* Removes images/VMID if it is empty. */
void dir_owner_tidy(const struct storage *s, uint32_t vmid);

#endif
