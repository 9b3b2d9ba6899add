/* Uploads: the first byte seeds the split. Whole and split input must give the same fields and file bytes. With an odd
 * second byte the input's first line is the Content-Type instead. */
#include "proto/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(struct multipart *m, int event, struct buf *out)
{
    if (event == MULTIPART_FIELD)
        buf_printf(out, "[F%s=%zu]", m->name, m->value.len);
    else if (event == MULTIPART_FILE_BEGIN)
        buf_printf(out, "[B%s]", m->file_name);
    else if (event == MULTIPART_FILE_DATA)
        buf_append(out, m->data, m->data_len);
    else if (event != MULTIPART_MORE)
        buf_printf(out, "[%d]", event);
}

static int run(const char *type, const char *p, size_t n, unsigned seed, struct buf *out)
{
    struct multipart m;
    struct err e = ERR_INIT;
    int r = multipart_init(&m, type, &e);

    buf_init(out, 1u << 20);
    for (size_t at = 0; at < n && r >= 0;) {
        size_t used = 0, piece = seed ? 1 + seed % 11 : n;
        seed = seed * 1103515245u + 12345u;
        r = multipart_feed(&m, p + at, n - at < piece ? n - at : piece, &used, &e);
        if (r >= 0)
            note(&m, r, out);
        if (r == MULTIPART_MORE && used == 0)
            abort();
        at += used;
    }
    multipart_done(&m);
    return r < 0 ? r : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char type[200] = "multipart/form-data; boundary=B";
    struct buf whole, split;

    if (size < 2)
        return 0;
    const char *p = (const char *)data + 2;
    size_t n = size - 2;
    const char *line = data[1] & 1 ? memchr(p, '\n', n) : NULL;
    if (line && (size_t)(line - p) < sizeof(type)) {
        memcpy(type, p, (size_t)(line - p));
        type[line - p] = 0;
        n -= (size_t)(line + 1 - p);
        p = line + 1;
    }
    int r = run(type, p, n, 0, &whole);
    int r_split = run(type, p, n, data[0] + 1u, &split);
    if (r != r_split || whole.len != split.len || memcmp(buf_str(&whole), buf_str(&split), whole.len) != 0)
        abort();
    buf_done(&whole);
    buf_done(&split);
    return 0;
}
