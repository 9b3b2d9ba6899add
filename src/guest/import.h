/* A file of the host as the source of a disk: import-from with a path, which root alone may say. Pool threads and
 * threads of long steps. */
#ifndef HOLM_GUEST_IMPORT_H
#define HOLM_GUEST_IMPORT_H

#include "storage/storage.h"

#define IMPORT_PATH_MAX 4000u

/* By the path's ending: .raw and .img, .qcow2. VOLUME_OTHER for everything else. */
enum volume_format import_format(const char *path);
/* Opens it for reading. Refuses what is no regular file ("volume.type"), has another ending ("import.format") or is a
 * qcow2 image that is not whole by itself ("image.external" and the like). */
MUST_CHECK int import_open(const char *path, struct volume_attachment *ret, struct err *e);

#endif
