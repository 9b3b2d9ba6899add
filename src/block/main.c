/* holm-block: one request over the socket at descriptor 3, one copy or commit of images, the end. Started by holmd with
 * the unprivileged user.
 *
 * Order: give up what can be given up, read the request and its descriptors, look at the images' headers (pure, bounded
 * readers), start QEMU unless both are raw, seal, work, answer. QEMU dies with this process, however it ends. Exit
 * status 0: an answer was sent. */
#include "block/block.h"
#include "link/link.h"

/* holmd has no more use for this process: QEMU ends, and is collected by whoever waits for its answers. */
static void on_terminate(int number)
{
    if (block_child > 0)
        kill((pid_t)block_child, SIGKILL);
    else
        _exit(1);
}

/* Descriptors first, in frames of their own. */
static int read_request(struct block_work *w, struct err *e)
{
    autobuf struct buf payload;
    struct frame_header h = {0};
    int r;

    buf_init(&payload, FRAME_PAYLOAD_MAX);
    do {
        size_t n = 0;
        r = link_read_frame(BLOCK_CONTROL_FD, &h, &payload, w->fds + w->n_fds, BLOCK_FDS_MAX - w->n_fds, &n, e);
        if (r < 0)
            return r;
        w->n_fds += n;
        if (h.type != FRAME_WORK && (h.type != FRAME_WORK_FDS || n == 0))
            return err_set(e, -EPROTO, "block.request", "not a work frame");
    } while (h.type != FRAME_WORK);
    w->stream = h.stream;
    return block_request_parse(payload.data, payload.len, w->n_fds, &w->q, e);
}

static int serve(struct block_work *w, struct err *e)
{
    int r = sandbox_early(e);

    if (r == 0)
        r = read_request(w, e);
    if (r == 0)
        r = block_images_check(w, e);
    if (r < 0)
        return r;
    return block_is_plain(&w->q) ? plain_copy(w, e) : job_run(w, e);
}

int main(void)
{
    static struct block_work w;
    struct err e = ERR_INIT;
    int r;

    signal(SIGTERM, on_terminate);
    r = serve(&w, &e);
    /* Not exit(): what runs at exit may make calls that are forbidden by now. */
    _exit(block_answer(w.stream, r, &e) < 0 ? 1 : 0);
}
