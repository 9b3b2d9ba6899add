/* Client frames: the whole input at once and in pieces must give the same data and answers. */
#include "base/buf.h"
#include "proto/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct buf data, sent;
    int result;
};

static void on_data(void *arg, const uint8_t *p, size_t n)
{
    buf_append(&((struct seen *)arg)->data, p, n);
}

static void on_send(void *arg, const uint8_t *p, size_t n)
{
    buf_append(&((struct seen *)arg)->sent, p, n);
}

static void run(struct seen *s, const uint8_t *p, size_t n, unsigned seed)
{
    static const struct websocket_ops ops = {.on_data = on_data, .send = on_send};
    struct err e = ERR_INIT;
    struct websocket *w = websocket_new(&ops, s);

    buf_init(&s->data, 1u << 20);
    buf_init(&s->sent, 1u << 20);
    s->result = w ? 0 : -ENOMEM;
    while (n && s->result == 0) {
        size_t piece = seed ? 1 + seed % 7 : n;
        seed = seed * 1103515245u + 12345u;
        piece = piece < n ? piece : n;
        s->result = websocket_feed(w, p, piece, &e);
        p += piece;
        n -= piece;
    }
    websocket_free(w);
}

static bool is_same(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && memcmp(buf_str(a), buf_str(b), a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, split;

    if (size < 1)
        return 0;
    run(&whole, data + 1, size - 1, 0);
    run(&split, data + 1, size - 1, data[0] + 1u);
    if (whole.result != split.result || !is_same(&whole.data, &split.data) || !is_same(&whole.sent, &split.sent))
        abort();
    char key[26] = "";
    memcpy(key, data, size < 25 ? size : 25);
    (void)websocket_key_is_valid(key);
    buf_done(&whole.data);
    buf_done(&whole.sent);
    buf_done(&split.data);
    buf_done(&split.sent);
    return 0;
}
