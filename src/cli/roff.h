/* Source of manual pages, as man(7) has it; for the programs that make them when Holm is built. */
#ifndef HOLM_CLI_ROFF_H
#define HOLM_CLI_ROFF_H

#include "base/buf.h"
#include "base/err.h"

#define ROFF_PAGE_MAX (1024u * 1024u)

/* Text of ours: what roff would take for its own is escaped. Ends no line. */
void roff_text(struct buf *out, const char *text);
/* ".MACRO text", the text as one argument; NULL for none. */
void roff_macro(struct buf *out, const char *macro, const char *text);
/* Title and the section NAME; name as "holm vm". */
void roff_head(struct buf *out, const char *name, const char *section, const char *what);
/* A paragraph under a bold name and an italic value (NULL = none). */
void roff_item(struct buf *out, const char *name, const char *value, const char *text);
/* Writes the page as dir/name. */
MUST_CHECK int roff_write(const char *dir, const char *name, struct buf *page, struct err *e);

#endif
