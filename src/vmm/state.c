/* Records of saved state; see state.h. */
#include "vmm/state.h"

static void put(struct buf *b, uint64_t v, unsigned n)
{
    for (; n; n--, v >>= 8)
        buf_append_char(b, (char)v);
}

void state_put_u8(struct buf *b, uint8_t v)
{
    put(b, v, 1);
}
void state_put_u16(struct buf *b, uint16_t v)
{
    put(b, v, 2);
}
void state_put_u32(struct buf *b, uint32_t v)
{
    put(b, v, 4);
}
void state_put_u64(struct buf *b, uint64_t v)
{
    put(b, v, 8);
}
void state_put_bytes(struct buf *b, const void *p, uint32_t n)
{
    put(b, n, 4);
    buf_append(b, p, n);
}

static uint64_t get(struct state_reader *r, unsigned n)
{
    uint64_t v = 0;

    if (r->is_failed || (size_t)(r->end - r->at) < n) {
        r->is_failed = true;
        return 0;
    }
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)*r->at++ << 8 * i;
    return v;
}

uint8_t state_get_u8(struct state_reader *r)
{
    return (uint8_t)get(r, 1);
}
uint16_t state_get_u16(struct state_reader *r)
{
    return (uint16_t)get(r, 2);
}
uint32_t state_get_u32(struct state_reader *r)
{
    return (uint32_t)get(r, 4);
}
uint64_t state_get_u64(struct state_reader *r)
{
    return get(r, 8);
}

void state_get_bytes(struct state_reader *r, void *to, uint32_t n)
{
    if (get(r, 4) != n || r->is_failed || (size_t)(r->end - r->at) < n) {
        r->is_failed = true;
        memset(to, 0, n);
        return;
    }
    memcpy(to, r->at, n);
    r->at += n;
}

int state_reader_end(const struct state_reader *r, const char *what, struct err *e)
{
    if (r->is_failed || r->at != r->end)
        return err_set(e, -EBADMSG, "state.format", "the saved state of %s is damaged or of another version", what);
    return 0;
}
