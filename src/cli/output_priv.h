/* Printing what the API answered: as a table for people, or as data for programs. */
#ifndef HOLM_CLI_OUTPUT_PRIV_H
#define HOLM_CLI_OUTPUT_PRIV_H

#include "cli/command_priv.h"

#define OUTPUT_MAX (256u * 1024u * 1024u)

/* Prints data (NULL = nothing) on standard output in the wanted format. columns: the command's, may be NULL. */
MUST_CHECK int output_data(const struct cli *c, const char *columns, json_t *data, struct err *e);
/* The answer to a dry run: its steps. */
MUST_CHECK int output_plan(const struct cli *c, json_t *data, struct err *e);
MUST_CHECK int output_json(const struct cli *c, json_t *data, struct err *e);
/* Writes and empties b. */
MUST_CHECK int output_flush(struct buf *b, struct err *e);
/* One line for people: nothing with -o json and the like. */
MUST_CHECK int output_line(const struct cli *c, const char *text, struct err *e);

/* table.c */
struct table;
MUST_CHECK int table_print(const struct cli *c, json_t *rows, const char *const *columns, size_t n_columns,
                           struct buf *out, struct err *e);
void table_print_object(const struct cli *c, json_t *object, struct buf *out);

/* format.c: a value as people read it; key decides the unit. is_exact: as programs want it (csv, name). */
void format_value(const char *key, const json_t *value, bool is_exact, struct buf *out);
bool format_is_right_aligned(const char *key, const json_t *value);
void format_bytes(double bytes, struct buf *out);
void format_duration(uint64_t seconds, struct buf *out);
/* Escape sequence that colours this value ("running" …), or NULL. */
const char *format_colour(const char *key, const json_t *value);

#define COLUMNS_MAX 64u
/* Splits "a,b"; names point into *ret_copy, which the caller frees. */
MUST_CHECK int columns_split(const char *list, char **ret_copy, const char **names, size_t *ret_n, struct err *e);
/* The keys of the rows in order of appearance. */
size_t columns_of_rows(json_t *rows, const char **names);

#endif
