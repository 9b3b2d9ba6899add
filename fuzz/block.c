/* A request of holm-block: the payload of a WORK frame, and what the program would tell QEMU then. */
#include "base/json.h"
#include "block/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void need(bool is_right)
{
    if (!is_right)
        abort();
}

static void look_at_graph(const struct block_work *w)
{
    struct buf b;

    for (size_t i = 0; i<w->n_fds; i += w->n_fds> 8 ? w->n_fds / 8 : 1) {
        buf_init(&b, 8192);
        graph_image(&b, w, i);
        need(!b.is_failed && json_is_value(b.data, b.len, 4));
        buf_done(&b);
    }
    buf_init(&b, 1024);
    graph_job(&b, &w->q);
    need(!b.is_failed && json_is_value(b.data, b.len, 4));
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct block_work w;
    struct err e = ERR_INIT;

    if (n < 2 || n > FRAME_PAYLOAD_MAX)
        return 0;
    w = (struct block_work){.n_fds = (size_t)(data[0] | data[1] << 8) % (BLOCK_FDS_MAX + 2)};
    int r = block_request_parse(data + 2, n - 2, w.n_fds, &w.q, &e);
    if (r < 0) {
        need(e.code[0] && e.num == r);
        return 0;
    }
    need(w.q.n >= 1 && w.q.n <= BLOCK_IMAGES_MAX && block_written(&w.q) < w.n_fds);
    look_at_graph(&w);
    return 0;
}
