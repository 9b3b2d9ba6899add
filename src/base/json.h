/* Writing JSON into a buf without building a tree, and a cheap check of foreign JSON before a parser sees it.
 * The writer puts commas itself; nesting is limited to 32. Strings are written as UTF-8; bytes that are not valid
 * UTF-8 become U+FFFD, so that the output is always valid. */
#ifndef HOLM_BASE_JSON_H
#define HOLM_BASE_JSON_H

#include "base/buf.h"

struct jw {
    struct buf *out;
    unsigned depth;
    uint32_t has_item; /* bit per depth: a comma is due */
    bool after_key;
};

void jw_init(struct jw *w, struct buf *out);
void jw_object(struct jw *w);
void jw_object_end(struct jw *w);
void jw_array(struct jw *w);
void jw_array_end(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, const char *s);
void jw_strn(struct jw *w, const char *s, size_t n);
void jw_int(struct jw *w, int64_t v);
void jw_u64(struct jw *w, uint64_t v);
void jw_num(struct jw *w, double v); /* shortest of %.17g that reads back; non-finite becomes 0 */
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, const char *json, size_t n); /* one complete value, trusted */

/* key and value in one call. The API's booleans are 1 and 0: use jw_kv_int. */
void jw_kv_str(struct jw *w, const char *key, const char *value);
void jw_kv_int(struct jw *w, const char *key, int64_t value);
void jw_kv_u64(struct jw *w, const char *key, uint64_t value);
void jw_kv_num(struct jw *w, const char *key, double value);

/* Depth of nesting of a JSON text, counted outside strings; used to refuse deep input before parsing. */
unsigned json_depth(const char *text, size_t n);

/* About how many values a JSON text has: arrays, objects and commas outside strings. A parsed one costs up to 300 bytes
 * where its text has three, so this is what bounds the memory of a tree. */
size_t json_values(const char *text, size_t n);

/* text is exactly one JSON value (RFC 8259) of valid UTF-8, nested at most depth_max (<= 32) deep. Pure, allocates
 * nothing: for JSON that goes on to somebody else as it is. */
bool json_is_value(const char *text, size_t n, unsigned depth_max);

#endif
