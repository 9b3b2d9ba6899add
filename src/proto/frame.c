/* Encoding and decoding of frames and fields; see frame.h. Pure. */
#include "proto/frame.h"

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

const char *frame_type_name(uint8_t type)
{
    switch (type) {
#define FRAME_CASE(name, number)                                                                                       \
    case number:                                                                                                       \
        return #name;
        FRAME_TYPES(FRAME_CASE)
#undef FRAME_CASE
    default:
        return NULL;
    }
}

int frame_header_parse(const uint8_t *p, struct frame_header *ret, struct err *e)
{
    struct frame_header h = {
        .length = (uint32_t)get_le(p, 4),
        .type = p[5],
        .n_fds = p[6],
        .flags = p[7],
        .stream = (uint32_t)get_le(p + 8, 4),
    };

    if (p[4] != FRAME_VERSION)
        return err_set(e, -EPROTO, "frame.version", "frame version %u, expected %u", p[4], FRAME_VERSION);
    if (h.length > FRAME_PAYLOAD_MAX || h.n_fds > FRAME_FDS_MAX || get_le(p + 12, 4) != 0)
        return err_set(e, -EPROTO, "frame.malformed", "malformed frame header");
    if (!frame_type_name(h.type))
        return err_set(e, -EPROTO, "frame.type", "unknown frame type %u", h.type);
    *ret = h;
    return 0;
}

void frame_header_write(uint8_t *p, const struct frame_header *h)
{
    put_le(p, h->length, 4);
    p[4] = FRAME_VERSION;
    p[5] = h->type;
    p[6] = h->n_fds;
    p[7] = h->flags;
    put_le(p + 8, h->stream, 4);
    put_le(p + 12, 0, 4);
}

size_t frame_begin(struct buf *b, enum frame_type type, uint32_t stream, uint8_t flags, uint8_t n_fds)
{
    struct frame_header h = {.type = (uint8_t)type, .n_fds = n_fds, .flags = flags, .stream = stream};
    uint8_t bytes[FRAME_HEADER_SIZE];
    size_t begin = b->len;

    frame_header_write(bytes, &h);
    buf_append(b, bytes, sizeof(bytes));
    return begin;
}

void frame_end(struct buf *b, size_t begin)
{
    if (b->is_failed)
        return;
    size_t n = b->len - begin - FRAME_HEADER_SIZE;
    if (n > FRAME_PAYLOAD_MAX) {
        b->is_failed = true;
        return;
    }
    put_le((uint8_t *)b->data + begin, n, 4);
}

static void field_head(struct buf *b, enum field_tag tag, size_t n)
{
    uint8_t head[8];

    if (n > FRAME_PAYLOAD_MAX) {
        b->is_failed = true;
        return;
    }
    put_le(head, (uint64_t)tag, 2);
    put_le(head + 2, 0, 2);
    put_le(head + 4, n, 4);
    buf_append(b, head, sizeof(head));
}

void field_bytes(struct buf *b, enum field_tag tag, const void *p, size_t n)
{
    field_head(b, tag, n);
    buf_append(b, p, n);
}

void field_str(struct buf *b, enum field_tag tag, const char *s)
{
    field_bytes(b, tag, s, strlen(s));
}

static void field_uint(struct buf *b, enum field_tag tag, uint64_t v, size_t n)
{
    uint8_t bytes[8];

    put_le(bytes, v, n);
    field_bytes(b, tag, bytes, n);
}

void field_u8(struct buf *b, enum field_tag tag, uint8_t v)
{
    field_uint(b, tag, v, 1);
}

void field_u16(struct buf *b, enum field_tag tag, uint16_t v)
{
    field_uint(b, tag, v, 2);
}

void field_u32(struct buf *b, enum field_tag tag, uint32_t v)
{
    field_uint(b, tag, v, 4);
}

void field_u64(struct buf *b, enum field_tag tag, uint64_t v)
{
    field_uint(b, tag, v, 8);
}

void field_param(struct buf *b, enum param_kind kind, const char *key, const char *value, size_t value_len)
{
    uint8_t head[3];
    size_t key_len = strlen(key);

    if (key_len > UINT16_MAX) {
        b->is_failed = true;
        return;
    }
    field_head(b, FIELD_PARAM, sizeof(head) + key_len + value_len);
    head[0] = (uint8_t)kind;
    put_le(head + 1, key_len, 2);
    buf_append(b, head, sizeof(head));
    buf_append(b, key, key_len);
    buf_append(b, value, value_len);
}

void field_err(struct buf *b, int r, const struct err *e)
{
    field_u32(b, FIELD_RESULT, r < 0 ? (uint32_t)-r : 0);
    if (r >= 0)
        return;
    field_str(b, FIELD_CODE, e->code);
    field_str(b, FIELD_TEXT, e->text);
    if (e->hint[0])
        field_str(b, FIELD_HINT, e->hint);
}

void field_reader_init(struct field_reader *r, const void *payload, size_t n)
{
    r->p = payload;
    r->end = r->p + n;
}

int field_next(struct field_reader *r, struct field *ret)
{
    size_t left = (size_t)(r->end - r->p);

    if (left == 0)
        return 0;
    if (left < 8 || get_le(r->p + 2, 2) != 0)
        return -EPROTO;
    size_t n = (size_t)get_le(r->p + 4, 4);
    if (n > left - 8)
        return -EPROTO;
    *ret = (struct field){.tag = (uint16_t)get_le(r->p, 2), .data = r->p + 8, .len = n};
    r->p += 8 + n;
    return 1;
}

int field_get_u64(const struct field *f, uint64_t *ret)
{
    if (f->len != 1 && f->len != 2 && f->len != 4 && f->len != 8)
        return -EPROTO;
    *ret = get_le(f->data, f->len);
    return 0;
}

int field_get_u32(const struct field *f, uint32_t *ret)
{
    if (f->len != 1 && f->len != 2 && f->len != 4)
        return -EPROTO;
    *ret = (uint32_t)get_le(f->data, f->len);
    return 0;
}

int field_get_str(const struct field *f, char *dst, size_t cap)
{
    if (f->len >= cap || memchr(f->data, 0, f->len))
        return -EPROTO;
    memcpy(dst, f->data, f->len);
    dst[f->len] = 0;
    return 0;
}

int field_dup_str(const struct field *f, char **ret)
{
    if (memchr(f->data, 0, f->len))
        return -EPROTO;
    char *s = malloc(f->len + 1);
    if (!s)
        return -ENOMEM;
    memcpy(s, f->data, f->len);
    s[f->len] = 0;
    *ret = s;
    return 0;
}

int field_get_param(const struct field *f, struct param_view *ret)
{
    if (f->len < 3 || (f->data[0] != PARAM_STRING && f->data[0] != PARAM_NUMBER && f->data[0] != PARAM_BOOL))
        return -EPROTO;
    size_t key_len = (size_t)get_le(f->data + 1, 2);
    if (key_len == 0 || key_len > f->len - 3 || memchr(f->data + 3, 0, f->len - 3))
        return -EPROTO;
    *ret = (struct param_view){
        .kind = (enum param_kind)f->data[0],
        .key = (const char *)f->data + 3,
        .key_len = key_len,
        .value = (const char *)f->data + 3 + key_len,
        .value_len = f->len - 3 - key_len,
    };
    return 0;
}

bool field_find(const void *payload, size_t n, enum field_tag tag, struct field *ret)
{
    struct field_reader r;
    struct field f;

    field_reader_init(&r, payload, n);
    while (field_next(&r, &f) == 1)
        if (f.tag == tag) {
            *ret = f;
            return true;
        }
    return false;
}

static void copy_text(const void *payload, size_t n, enum field_tag tag, char *dst, size_t cap)
{
    struct field f;

    if (!field_find(payload, n, tag, &f))
        return;
    size_t len = f.len < cap - 1 ? f.len : cap - 1;
    memcpy(dst, f.data, len);
    dst[len] = 0;
}

int field_get_err(const void *payload, size_t n, struct err *e)
{
    struct field f;
    uint32_t result;

    if (!field_find(payload, n, FIELD_RESULT, &f) || field_get_u32(&f, &result) < 0)
        return err_set(e, -EPROTO, "frame.malformed", "answer without a result");
    if (result == 0)
        return 0;
    int num = result < 4096 ? -(int)result : -EPROTO;
    err_set(e, num, NULL, "%s", "failed");
    copy_text(payload, n, FIELD_CODE, e->code, sizeof(e->code));
    copy_text(payload, n, FIELD_TEXT, e->text, sizeof(e->text));
    copy_text(payload, n, FIELD_HINT, e->hint, sizeof(e->hint));
    return num;
}
