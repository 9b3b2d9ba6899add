/* Shared by the files of the "dir" plugin alone: how things are opened. doc/storage.md shows the layout.
 * dir.c: configuration, folders, space; dir_place.c: where a volume lies; dir_read.c: stat, open, list; dir_write.c:
 * create, receive, remove; dir_layer.c: layers and copies; dir_note.c: notes and protection; dir_temp.c: temporary
 * files and publishing them; dir_part.c: parts; dir_sweep.c: what a crash left. */
#ifndef HOLM_STORAGE_DIR_PRIV_H
#define HOLM_STORAGE_DIR_PRIV_H

#include "image/qcow2.h"
#include "storage/dir_base.h"

#define DIR_BACKING_MAX (VOLUME_FILE_MAX + 16u)
#define DIR_MARK_XATTR  "user.holm.task"
#define DIR_FOLDER_MAX  32u /* "images/999999999", "template/cache" */

static inline const struct dir_storage *dir_of(const struct storage *s)
{
    return s->priv;
}

/* The root folder, made when it is missing. */
MUST_CHECK int dir_root_open(const struct storage *s, int *ret_fd, struct err *e);
/* "images/100", "template/iso", …; "images" for vmid 0. */
void dir_folder_name(enum storage_content c, uint32_t vmid, char dst[DIR_FOLDER_MAX]);
/* Opens that folder beneath the root. is_create: missing ones are made, durably; otherwise -ENOENT. */
MUST_CHECK int dir_folder_open(const struct storage *s, enum storage_content c, uint32_t vmid, bool is_create,
                               int *ret_fd, struct err *e);
/* Calls fn with each name of a folder, but "." and "..", until it returns negative. */
typedef int (*dir_name_fn)(void *arg, int folder, const char *name, struct err *e);
MUST_CHECK int dir_each(int folder, dir_name_fn fn, void *arg, struct err *e);

/* dir_place.c */
/* A name in a folder of this content and owner is this volume's, or (is_layer) one of its layers'; ret_st is of its
 * file. -ENOENT: of none, or it is gone. */
MUST_CHECK int dir_volume_of(const struct storage *s, int folder, const char *name, bool is_layer,
                             struct volume_id *volume, struct stat *ret_st);
/* Removes it from the folder that it belongs to, in one step; the folder is not synced. */
MUST_CHECK int dir_entry_remove(const struct storage *s, int folder, const struct volume_id *v, struct err *e);
/* The name by which an image of v's folder refers to below: its file, or "../VMID/FILE". */
void dir_backing_name(const struct storage *s, const struct volume_id *v, const struct volume_id *below,
                      char dst[DIR_BACKING_MAX]);

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
/* Gives a synced temporary file its name, durably. -EEXIST "volume.exists" unless is_replace. fp: fail point after the
 * name appeared. On failure the temporary name, if any, is gone; so is the new one, unless it replaced another. */
MUST_CHECK int dir_publish(const struct storage *s, const struct volume_id *v, struct dir_temp *t, int temp_folder,
                           bool is_replace, const char *fp, struct err *e);

/* dir_note.c: `to` has the notes, the protection and the mark of `from` and none of its own. */
MUST_CHECK int dir_note_copy(int from, int to, struct err *e);
/* dir_write.c: does a volume of this name carry the mark? False if there is none. */
MUST_CHECK int dir_is_marked(const struct storage *s, const struct volume_id *v, const char *mark, bool *ret,
                             struct err *e);
/* dir_read.c: the header of an open qcow2 image. */
MUST_CHECK int dir_header_read(int fd, const struct stat *st, struct qcow2_info *ret, struct err *e);
/* dir_write.c: keeps the mark, syncs and publishes a file that is whole. */
MUST_CHECK int dir_finish(const struct storage *s, const struct volume_id *v, struct dir_temp *t, int folder,
                          const char *mark, struct err *e);
/* dir_note.c */
MUST_CHECK int dir_note_clear(int fd, struct err *e);

#endif
