/* Text that came from the daemon, made fit for a terminal. */
#ifndef HOLM_CLI_TEXT_PRIV_H
#define HOLM_CLI_TEXT_PRIV_H

#include "base/buf.h"

/* Appends s with every control character, direction override and invalid byte replaced by U+FFFD; a tab becomes a
 * blank. One line in, one line out: line ends become blanks too. */
void text_append_clean(struct buf *b, const char *s, size_t n);
/* The same, keeping line ends. */
void text_append_clean_lines(struct buf *b, const char *s, size_t n);
/* JSON text in which DEL, C1 controls and direction overrides are written as \u escapes; means the same. */
void text_append_json(struct buf *b, const char *json, size_t n);
/* Columns that clean text takes on a terminal. */
size_t text_width(const char *s);
/* Bytes of s that fit in so many columns. */
size_t text_fit(const char *s, size_t columns);

#endif
