/* The list of container templates that can be downloaded: a text, one template a line:
 *     NAME URL ALGORITHM:HEX [HEADLINE…]
 * '-' for the checksum: none is known. Lines that begin with '#' are comments; a line that is wrong is left out. */
#ifndef HOLM_API_TEMPLATE_LIST_H
#define HOLM_API_TEMPLATE_LIST_H

#include "base/util.h"

#define TEMPLATE_ROWS_MAX 1000u

struct template_row {
    char *name, *url;
    char *checksum; /* NULL: none is known */
    char *headline; /* "" */
};
struct template_list {
    struct template_row rows[TEMPLATE_ROWS_MAX];
    size_t n;
};
/* text is cut into pieces, and the rows point into it; NULL: an empty list. */
void template_list_parse(char *text, struct template_list *ret);

#endif
