/* Frames between processes: header, field walker, every getter on every field, and errors. What was parsed is written
 * again and must come out alike. */
#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_values(const struct field *f)
{
    uint32_t u32;
    uint64_t u64;
    char text[64], *copy = NULL;
    struct param_view v;

    if (field_get_u32(f, &u32) == 0 && (field_get_u64(f, &u64) < 0 || u64 != u32))
        abort();
    if (field_get_str(f, text, sizeof(text)) == 0 && strlen(text) != f->len)
        abort();
    if (field_dup_str(f, &copy) == 0 && strlen(copy) != f->len)
        abort();
    free(copy);
    if (field_get_param(f, &v) == 0) {
        autobuf struct buf again;
        char key[UINT16_MAX + 1];
        buf_init(&again, 2 * FRAME_PAYLOAD_MAX);
        memcpy(key, v.key, v.key_len);
        key[v.key_len] = 0;
        field_param(&again, v.kind, key, v.value, v.value_len);
        if (again.is_failed || again.len != f->len + 8 || memcmp(again.data + 8, f->data, f->len) != 0)
            abort();
    }
}

static void check_payload(const uint8_t *p, size_t n)
{
    autobuf struct buf again;
    struct field_reader r;
    struct field f, found;
    struct err e = ERR_INIT;
    int left;

    buf_init(&again, 2 * FRAME_PAYLOAD_MAX);
    size_t begin = frame_begin(&again, FRAME_REQUEST, 1, 0, 0);
    field_reader_init(&r, p, n);
    while ((left = field_next(&r, &f)) == 1) {
        check_values(&f);
        field_bytes(&again, (enum field_tag)f.tag, f.data, f.len);
        if (!field_find(p, n, (enum field_tag)f.tag, &found))
            abort();
    }
    frame_end(&again, begin);
    if (left == 0 && (again.is_failed || again.len != n + FRAME_HEADER_SIZE ||
                      (n && memcmp(again.data + FRAME_HEADER_SIZE, p, n) != 0)))
        abort();
    int result = field_get_err(p, n, &e);
    buf_reset(&again);
    field_err(&again, result, &e);
    if (result > 0 || again.is_failed)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_header h;
    struct err e = ERR_INIT;
    uint8_t again[FRAME_HEADER_SIZE];

    if (size < FRAME_HEADER_SIZE) {
        check_payload(data, size);
        return 0;
    }
    if (frame_header_parse(data, &h, &e) == 0) {
        if (h.length > FRAME_PAYLOAD_MAX || h.n_fds > FRAME_FDS_MAX || !frame_type_name(h.type))
            abort();
        frame_header_write(again, &h);
        if (memcmp(again, data, sizeof(again)) != 0)
            abort();
    }
    check_payload(data + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE);
    return 0;
}
