/* A capped bump allocator: a request's memory, freed at once. Allocation beyond the cap returns NULL. Not
 * thread-safe. */
#ifndef HOLM_BASE_ARENA_H
#define HOLM_BASE_ARENA_H

#include "base/util.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t used_bytes;
    size_t max_bytes;
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_done(struct arena *a);
/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
