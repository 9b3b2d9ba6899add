/* The accumulator: samples in, rows and a header out. Pure, loop thread; see rrd.h. */
#include <math.h>
#include <zlib.h>

#include "rrd/rrd_priv.h"

/* A day by minutes, eight days by half hours, 35 days by 3 hours, two years by 12 hours. */
const struct rrd_archive rrd_archives[RRD_ARCHIVES] = {{60, 1440}, {1800, 384}, {10800, 280}, {43200, 740}};

_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE 754");
_Static_assert(RRD_HEADER_BYTES >= 16 + RRD_ARCHIVES * (8 + RRD_DS_MAX * 16) + 4, "the header fits into its block");

void rrd_init(struct rrd *r, unsigned n_ds)
{
    memset(r, 0, sizeof(*r));
    r->n_ds = n_ds < RRD_DS_MAX ? n_ds : RRD_DS_MAX;
    buf_init(&r->rows, 65536);
}

void rrd_done(struct rrd *r)
{
    buf_done(&r->rows);
}

size_t rrd_row_size(unsigned n_ds)
{
    return RRD_ROW_HEAD + (size_t)n_ds * 8;
}

uint64_t rrd_row_offset(unsigned n_ds, unsigned archive, int64_t slot)
{
    uint64_t at = RRD_HEADER_BYTES;

    for (unsigned a = 0; a < archive; a++)
        at += rrd_archives[a].rows * rrd_row_size(n_ds);
    return at + (uint64_t)slot % rrd_archives[archive].rows * rrd_row_size(n_ds);
}

static void put_u32(struct buf *b, uint32_t v)
{
    unsigned char p[4] = {(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                          (unsigned char)(v >> 24)};

    buf_append(b, p, sizeof(p));
}

static void put_u64(struct buf *b, uint64_t v)
{
    put_u32(b, (uint32_t)v);
    put_u32(b, (uint32_t)(v >> 32));
}

static uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const unsigned char *p)
{
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static uint32_t bits_of(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

void rrd_row_encode(struct buf *b, uint32_t slot, unsigned n_ds, const float *average, const float *max)
{
    struct buf row;

    buf_init(&row, RRD_ROW_HEAD + RRD_DS_MAX * 8);
    for (unsigned i = 0; i < n_ds; i++) {
        put_u32(&row, bits_of(average[i]));
        put_u32(&row, bits_of(max[i]));
    }
    put_u32(b, slot);
    put_u32(b, (uint32_t)crc32(slot, (const unsigned char *)row.data, (unsigned)row.len));
    buf_append(b, row.data, row.len);
    buf_done(&row);
}

bool rrd_row_decode(const unsigned char *p, uint32_t slot, unsigned n_ds, bool is_max, float *ret)
{
    if (get_u32(p) != slot || get_u32(p + 4) != (uint32_t)crc32(slot, p + RRD_ROW_HEAD, n_ds * 8))
        return false;
    for (unsigned i = 0; i < n_ds; i++)
        ret[i] = float_of(get_u32(p + RRD_ROW_HEAD + i * 8 + (is_max ? 4 : 0)));
    return true;
}

void rrd_header_encode(struct buf *b, const struct rrd *r)
{
    size_t begin = b->len;

    buf_append(b, RRD_MAGIC, 8);
    put_u32(b, r->n_ds);
    put_u32(b, RRD_ARCHIVES);
    for (unsigned a = 0; a < RRD_ARCHIVES; a++) {
        put_u64(b, (uint64_t)r->slots[a].number);
        for (unsigned i = 0; i < r->n_ds; i++) {
            const struct rrd_cell *c = &r->slots[a].cells[i];
            uint64_t sum;
            memcpy(&sum, &c->sum, sizeof(sum));
            put_u64(b, sum);
            put_u32(b, bits_of(c->max));
            put_u32(b, c->n);
        }
    }
    if (!b->is_failed)
        put_u32(b, (uint32_t)crc32(0, (const unsigned char *)b->data + begin, (unsigned)(b->len - begin)));
}

bool rrd_header_decode(const unsigned char *p, size_t n, struct rrd *r)
{
    size_t size = 16 + RRD_ARCHIVES * (8 + (size_t)r->n_ds * 16);

    if (n < size + 4 || memcmp(p, RRD_MAGIC, 8) != 0 || get_u32(p + 8) != r->n_ds || get_u32(p + 12) != RRD_ARCHIVES ||
        get_u32(p + size) != (uint32_t)crc32(0, p, (unsigned)size))
        return false;
    p += 16;
    for (unsigned a = 0; a < RRD_ARCHIVES; a++) {
        r->slots[a].number = (int64_t)get_u64(p);
        p += 8;
        for (unsigned i = 0; i < r->n_ds; i++, p += 16) {
            struct rrd_cell *c = &r->slots[a].cells[i];
            uint64_t sum = get_u64(p);
            memcpy(&c->sum, &sum, sizeof(sum));
            c->max = float_of(get_u32(p + 8));
            c->n = get_u32(p + 12);
        }
    }
    return true;
}

/* The row of a slot is complete: its bytes, behind the place where they belong. */
static void finish(struct rrd *r, unsigned archive)
{
    const struct rrd_slot *s = &r->slots[archive];
    float average[RRD_DS_MAX], max[RRD_DS_MAX];
    bool is_known = false;

    for (unsigned i = 0; i < r->n_ds; i++) {
        const struct rrd_cell *c = &s->cells[i];
        average[i] = c->n ? (float)(c->sum / c->n) : NAN;
        max[i] = c->n ? c->max : NAN;
        is_known = is_known || c->n;
    }
    if (!is_known)
        return;
    put_u64(&r->rows, rrd_row_offset(r->n_ds, archive, s->number));
    put_u32(&r->rows, (uint32_t)rrd_row_size(r->n_ds));
    rrd_row_encode(&r->rows, (uint32_t)s->number, r->n_ds, average, max);
    if (archive == 0)
        r->has_new_minute = true;
}

void rrd_add(struct rrd *r, int64_t now_s, const double *values)
{
    for (unsigned a = 0; a < RRD_ARCHIVES; a++) {
        struct rrd_slot *s = &r->slots[a];
        int64_t number = now_s / rrd_archives[a].step_s;
        if (number != s->number) {
            if (number > s->number && s->number)
                finish(r, a);
            memset(s, 0, sizeof(*s));
            s->number = number;
        }
        for (unsigned i = 0; i < r->n_ds; i++) {
            struct rrd_cell *c = &s->cells[i];
            if (isnan(values[i]))
                continue;
            c->max = !c->n || (float)values[i] > c->max ? (float)values[i] : c->max;
            c->sum += values[i];
            c->n++;
        }
    }
}

void rrd_take(struct rrd *r, struct buf *ret_writes)
{
    struct buf header;

    buf_init(&header, RRD_HEADER_BYTES);
    rrd_header_encode(&header, r);
    buf_append(ret_writes, r->rows.data, r->rows.len);
    put_u64(ret_writes, 0);
    put_u32(ret_writes, (uint32_t)header.len);
    buf_append(ret_writes, header.data, header.len);
    buf_done(&header);
    buf_reset(&r->rows);
    r->has_new_minute = false;
}
