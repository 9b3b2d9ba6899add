/* Writes small CD-ROM images: a few files in one folder, as cloud-init's NoCloud wants them. Pure: bytes in, bytes out,
 * the same bytes for the same input (no dates, no random numbers).
 *
 * ECMA-119 (ISO 9660) says what the structures are; its section numbers are at each of them. The names as the caller
 * gave them are in a second tree, Joliet (the supplementary volume descriptor of ECMA-119 8.5, with UCS-2 names), which
 * Linux, the BSDs and Windows all prefer to the first one, where names are upper case.
 *
 * Not here: folders, Rock Ridge, boot records, reading. Called by src/guest (pool threads). */
#ifndef HOLM_IMAGE_ISO9660_H
#define HOLM_IMAGE_ISO9660_H

#include "base/buf.h"
#include "base/err.h"

#define ISO9660_SECTOR_BYTES 2048u
#define ISO9660_FILES_MAX    8u
#define ISO9660_NAME_MAX     24u /* of a file: letters, digits, '-', '_' and one '.' */
#define ISO9660_LABEL_MAX    16u
#define ISO9660_FILE_MAX     (1u << 20)

struct iso9660_file {
    const char *name;
    const void *data;
    size_t n;
};

/* Appends the image to out, whose max caps it: a multiple of ISO9660_SECTOR_BYTES. -EINVAL "image.iso" for a name, a
 * label or a number of files that the limits above do not allow, and for two names that are the same in upper case. */
MUST_CHECK int iso9660_write(const char *label, const struct iso9660_file *files, size_t n, struct buf *out,
                             struct err *e);

#endif
