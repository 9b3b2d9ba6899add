/* AML writer; see aml.h. Lengths of blocks take always three bytes, which the grammar allows: they are filled in at the
 * end without moving anything. */
#include "vmm/x86/aml.h"

static void u8(struct buf *b, uint8_t v)
{
    buf_append(b, &v, 1);
}
static void u16(struct buf *b, uint16_t v)
{
    buf_append(b, &v, 2);
}
static void u32(struct buf *b, uint32_t v)
{
    buf_append(b, &v, 4);
}
static void u64(struct buf *b, uint64_t v)
{
    buf_append(b, &v, 8);
}

static void name(struct buf *b, const char *n)
{
    buf_append_str(b, n);
}

/* PkgLength in the form of three bytes: it counts itself (20.2.4). */
static struct aml_block begin(struct buf *b)
{
    struct aml_block block = {.length_at = b->len};

    buf_append(b, "\0\0\0", 3);
    return block;
}

void aml_end(struct buf *b, struct aml_block block)
{
    size_t length = b->len - block.length_at;

    if (b->is_failed || length >= 1u << 20) {
        b->is_failed = true;
        return;
    }
    b->data[block.length_at] = (char)(0x80 | (length & 0xf));
    b->data[block.length_at + 1] = (char)(length >> 4);
    b->data[block.length_at + 2] = (char)(length >> 12);
}

struct aml_block aml_scope(struct buf *b, const char *n)
{
    struct aml_block block;

    u8(b, 0x10);
    block = begin(b);
    name(b, n);
    return block;
}

struct aml_block aml_device(struct buf *b, const char *n)
{
    struct aml_block block;

    u16(b, 0x825b);
    block = begin(b);
    name(b, n);
    return block;
}

struct aml_block aml_method(struct buf *b, const char *n, unsigned n_args)
{
    struct aml_block block;

    u8(b, 0x14);
    block = begin(b);
    name(b, n);
    u8(b, (uint8_t)n_args);
    return block;
}

struct aml_block aml_if_arg(struct buf *b, unsigned arg, uint8_t value)
{
    struct aml_block block;

    u8(b, 0xa0);
    block = begin(b);
    u8(b, 0x93); /* equal */
    u8(b, (uint8_t)(0x68 + arg));
    u8(b, 0x0a);
    u8(b, value);
    return block;
}

static void number(struct buf *b, uint64_t v)
{
    if (v <= UINT8_MAX) {
        u8(b, 0x0a);
        u8(b, (uint8_t)v);
    } else if (v <= UINT32_MAX) {
        u8(b, 0x0c);
        u32(b, (uint32_t)v);
    } else {
        u8(b, 0x0e);
        u64(b, v);
    }
}

static void name_of(struct buf *b, const char *n)
{
    u8(b, 0x08);
    name(b, n);
}

void aml_name_number(struct buf *b, const char *n, uint64_t value)
{
    name_of(b, n);
    number(b, value);
}

void aml_name_string(struct buf *b, const char *n, const char *value)
{
    name_of(b, n);
    u8(b, 0x0d);
    buf_append(b, value, strlen(value) + 1);
}

static uint32_t hex(const char *s, unsigned n)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v = v << 4 | (uint32_t)(s[i] <= '9' ? s[i] - '0' : s[i] - 'A' + 10);
    return v;
}

/* Three letters of five bits and four hexadecimal digits, most significant byte first (19.6.36). */
void aml_name_eisa(struct buf *b, const char *n, const char *id)
{
    uint32_t v = (uint32_t)(id[0] - 0x40) << 26 | (uint32_t)(id[1] - 0x40) << 21 | (uint32_t)(id[2] - 0x40) << 16;

    name_of(b, n);
    u8(b, 0x0c);
    u32(b, __builtin_bswap32(v | hex(id + 3, 4)));
}

void aml_name_package(struct buf *b, const char *n, const uint8_t *values, uint8_t n_values)
{
    struct aml_block block;

    name_of(b, n);
    u8(b, 0x12);
    block = begin(b);
    u8(b, n_values);
    for (uint8_t i = 0; i < n_values; i++)
        number(b, values[i]);
    aml_end(b, block);
}

void aml_notify(struct buf *b, const char *n, uint8_t value)
{
    u8(b, 0x86);
    name(b, n);
    number(b, value);
}

struct aml_resources aml_resources_begin(struct buf *b, const char *n)
{
    struct aml_resources r;

    name_of(b, n);
    u8(b, 0x11);
    r.length_at = begin(b).length_at;
    u8(b, 0x0b); /* the size of the buffer, a word */
    u16(b, 0);
    r.begin = b->len;
    return r;
}

void aml_resources_end(struct buf *b, struct aml_resources r)
{
    size_t length;

    u16(b, 0x0079); /* end tag; a checksum of zero counts as right */
    length = b->len - r.begin;
    if (!b->is_failed) {
        b->data[r.begin - 2] = (char)length;
        b->data[r.begin - 1] = (char)(length >> 8);
    }
    aml_end(b, (struct aml_block){.length_at = r.length_at});
}

void aml_resource_bus(struct buf *b, uint16_t first, uint16_t last)
{
    u8(b, 0x88); /* word address space */
    u16(b, 13);
    u8(b, 2);    /* bus numbers */
    u8(b, 0x0c); /* fixed at both ends */
    u8(b, 0);
    u16(b, 0);
    u16(b, first);
    u16(b, last);
    u16(b, 0);
    u16(b, (uint16_t)(last - first + 1));
}

void aml_resource_memory(struct buf *b, uint64_t base, uint64_t length, bool is_prefetchable)
{
    u8(b, 0x8a); /* quad word address space */
    u16(b, 43);
    u8(b, 0);
    u8(b, 0x0c);
    u8(b, is_prefetchable ? 0x07 : 0x01); /* writable, cacheable or not */
    u64(b, 0);
    u64(b, base);
    u64(b, base + length - 1);
    u64(b, 0);
    u64(b, length);
}

void aml_resource_fixed_memory(struct buf *b, uint32_t base, uint32_t length)
{
    u8(b, 0x86);
    u16(b, 9);
    u8(b, 1);
    u32(b, base);
    u32(b, length);
}

void aml_resource_port(struct buf *b, uint16_t base, uint8_t length)
{
    u8(b, 0x47);
    u8(b, 1); /* all 16 address lines */
    u16(b, base);
    u16(b, base);
    u8(b, 1);
    u8(b, length);
}

void aml_resource_interrupt(struct buf *b, uint32_t gsi)
{
    u8(b, 0x89);
    u16(b, 6);
    u8(b, 0x03); /* consumer, edge, active high, exclusive */
    u8(b, 1);
    u32(b, gsi);
}
