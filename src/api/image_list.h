/* The catalogue of cloud images, a text, and the files of checksums that their makers publish. Pure, bounded, any
 * thread; called by images.c.
 *
 *     NAME FORMAT URL ALGORITHM CHECKSUMS-URL
 *
 * One image a line; '#' begins a comment line, empty lines are skipped. Whatever else is refused with its line's
 * number: an image that is missing without a word would be looked for in vain. */
#ifndef HOLM_API_IMAGE_LIST_H
#define HOLM_API_IMAGE_LIST_H

#include "base/err.h"

#define IMAGE_ROWS_MAX   256u /* of all texts together */
#define IMAGE_NAME_MAX   60u
#define IMAGE_URL_MAX    1000u
#define IMAGE_LINE_MAX   4096u
#define IMAGE_DIGEST_MAX 128u /* hex digits of sha512 */

struct image_row {
    const char *name, *format, *url, *algorithm, *sums;
    bool is_own; /* the administrator's */
};
struct image_list {
    struct image_row rows[IMAGE_ROWS_MAX]; /* by name */
    size_t n;
};

/* Adds the rows of a text of n bytes with a zero behind it, which is cut into pieces that the rows point into. Own ones
 * take the place of others; the same name twice in one text is refused, as all that is wrong: -EINVAL "image.list",
 * "WHERE, line 3: …". Then the list is of no use. */
MUST_CHECK int image_list_add(char *text, size_t n, const char *where, bool is_own, struct image_list *l,
                              struct err *e);
const struct image_row *image_list_find(const struct image_list *l, const char *name);

/* "gz", "zst" or NULL, by the address. */
const char *image_compression(const struct image_row *row);

/* The checksum of the row's file in what its checksums' address holds, hostile bytes, as "ALGORITHM:HEX". Understood
 * are "HEX  NAME" (sha256sum) and "SHA256 (NAME) = HEX" (its --tag, and BSD's); where that address is the image's own
 * with an ending more, the checksum counts whatever the name, or without one. Lines of another kind (comments, a
 * signature around them) are skipped. -EBADMSG "image.checksum" if there is none, or there are two. */
#define IMAGE_CHECKSUM_BYTES (IMAGE_DIGEST_MAX + 16u)
MUST_CHECK int image_checksum_find(const struct image_row *row, const char *text, size_t n,
                                   char ret[IMAGE_CHECKSUM_BYTES], struct err *e);

#endif
