/* Uploads in pieces: what is known of each part, in memory and durably as local/upload/ID, the files being parts of the
 * storages (storage.h). A part goes away when it is finished or given up, a day after its last piece, and with its
 * storage; what a crash left of one without the other goes at the start. Loop thread. */
#ifndef HOLM_API_UPLOADS_H
#define HOLM_API_UPLOADS_H

#include "api/api.h"
#include "base/list.h"
#include "storage/storage.h"

#define UPLOAD_LIFE_S       86400
#define UPLOADS_PER_USER    16u  /* on one storage */
#define UPLOADS_PER_STORAGE 128u /* of everybody */

#define UPLOAD_SHA256_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct uploads;

struct upload_part {
    struct list_node node;
    char id[VOLUME_PART_ID_LEN + 1];
    struct volume_id volume;
    char user[AUTH_USER_MAX + 1];
    uint64_t size_bytes, received_bytes; /* received: durable */
    char sha256[65];                     /* of what was received */
    char digest[256];                    /* the same, to be carried on: holm-worker's, "append" */
    char checksum[160];                  /* "md5:HEX" that the whole must have, or "" */
    int64_t at_s;                        /* of the last piece */
    bool is_busy;                        /* somebody works on it, and alone may change or free it */
    struct storage *storage;             /* as it was last seen; NULL before uploads_start */
};

MUST_CHECK int uploads_new(struct api *api, struct uploads **ret, struct err *e);
void uploads_free(struct uploads *u);
/* Before the first client: brings the rows and the files together. Blocks, as storage_mgr_sweep. */
void uploads_start(struct uploads *u);
/* Those of a storage in the order they were begun: begin with NULL. */
struct upload_part *uploads_next(struct uploads *u, const char *storage, const struct upload_part *after);
struct upload_part *uploads_find(struct uploads *u, const char *storage, const char *id);
/* A new one, busy, in memory only. "upload.limit" when there are too many. */
MUST_CHECK int uploads_add(struct uploads *u, const struct volume_id *v, const char *user, struct storage *s,
                           struct upload_part **ret, struct err *e);
/* Its row as it is now; done as in state_commit. */
void uploads_save(struct uploads *u, const struct upload_part *p, state_done_fn done, void *arg);
/* The row's end, then the memory's; the file is somebody else's by now. done may be NULL. */
void uploads_forget(struct uploads *u, struct upload_part *p, void (*done)(void *arg, int r, const struct err *e),
                    void *arg);
/* File, row and memory. It must be busy with the caller; on failure it is there, and no longer busy. done may be NULL.
 */
void uploads_remove(struct uploads *u, struct upload_part *p, void (*done)(void *arg, int r, const struct err *e),
                    void *arg);
/* The caller is done with it; it may go at once, if its storage went meanwhile. */
void uploads_release(struct uploads *u, struct upload_part *p);

#endif
