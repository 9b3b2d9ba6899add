/* The terminal protocol of console clients: the same bytes mean the same whole, in single bytes and in pieces of a size
 * that the input names. */
#include "base/buf.h"
#include "guest/monitor/termproxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void meaning(const uint8_t *data, size_t n, size_t piece, struct buf *ret)
{
    struct termproxy t;
    struct termproxy_out out;

    termproxy_init(&t);
    for (size_t at = 0; at < n; at += piece) {
        const uint8_t *p = data + at;
        size_t left = n - at < piece ? n - at : piece;
        while (left) {
            size_t used = termproxy_feed(&t, p, left, &out);
            if (used == 0 || used > left || (out.event == TERMPROXY_DATA && (out.len == 0 || out.len > used)))
                abort();
            if (out.event == TERMPROXY_DATA)
                buf_append(ret, out.data, out.len);
            else if (out.event == TERMPROXY_RESIZE)
                buf_printf(ret, "<%u %u>", out.columns, out.rows);
            else if (out.event == TERMPROXY_KEEP_ALIVE)
                buf_append_str(ret, "<>");
            if (out.event == TERMPROXY_RESIZE && (!out.columns || !out.rows || out.columns > 9999 || out.rows > 9999))
                abort();
            p += used;
            left -= used;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    autobuf struct buf whole, bytes, pieces;

    buf_init(&whole, 1 << 22);
    buf_init(&bytes, 1 << 22);
    buf_init(&pieces, 1 << 22);
    if (n < 2)
        return 0;
    size_t piece = 1u + data[0] % 31u;
    meaning(data + 1, n - 1, n - 1, &whole);
    meaning(data + 1, n - 1, 1, &bytes);
    meaning(data + 1, n - 1, piece, &pieces);
    if (whole.len != bytes.len || whole.len != pieces.len || memcmp(buf_str(&whole), buf_str(&bytes), whole.len) ||
        memcmp(buf_str(&whole), buf_str(&pieces), whole.len))
        abort();
    return 0;
}
