/* The saved state of a machine: named, versioned records of little-endian numbers, never C structures. A record holds
 * what one device writes; a reader that finds less or more than it wants fails, and then nothing of it counts. */
#ifndef HOLM_VMM_STATE_H
#define HOLM_VMM_STATE_H

#include "base/buf.h"
#include "base/err.h"

void state_put_u8(struct buf *b, uint8_t v);
void state_put_u16(struct buf *b, uint16_t v);
void state_put_u32(struct buf *b, uint32_t v);
void state_put_u64(struct buf *b, uint64_t v);
void state_put_bytes(struct buf *b, const void *p, uint32_t n); /* with its length */

struct state_reader {
    const uint8_t *at, *end;
    bool is_failed; /* sticks: look once at the end */
};
uint8_t state_get_u8(struct state_reader *r);
uint16_t state_get_u16(struct state_reader *r);
uint32_t state_get_u32(struct state_reader *r);
uint64_t state_get_u64(struct state_reader *r);
/* Exactly n bytes; anything else fails. */
void state_get_bytes(struct state_reader *r, void *to, uint32_t n);
/* -EBADMSG unless everything was read and nothing failed. */
MUST_CHECK int state_reader_end(const struct state_reader *r, const char *what, struct err *e);

#endif
