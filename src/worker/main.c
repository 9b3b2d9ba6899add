/* holm-worker: one request over the socket at descriptor 3, then the end. Started by holmd with its own uid and gid.
 *
 * Order: give up what can be given up, read the request (the only bytes that are parsed before the seal; the parser is
 * pure and bounded), take the verb's limits, let the verb load what it needs, seal, work, answer. Every failure up to
 * the seal is answered too, so that the daemon can say why. Exit status 0: an answer was sent. */
#include "link/link.h"
#include "worker/worker.h"

#define CONTROL_FD 3

static int work(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    int r = sandbox_limits(q, e);

    if (r == 0 && q->verb->prepare)
        r = q->verb->prepare(q, e);
    if (r == 0)
        r = sandbox_seal(q->verb, e);
    return r < 0 ? r : q->verb->run(q, fds, answer, e);
}

static int send_answer(uint32_t stream, int r, const struct err *why, const struct buf *fields)
{
    autobuf struct buf frame;
    struct err e = ERR_INIT;
    int none = -1; /* no descriptors */

    buf_init(&frame, FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE);
    size_t at = frame_begin(&frame, FRAME_WORK_RESULT, stream, FRAME_LAST, 0);
    field_err(&frame, r, why);
    if (r == 0 && fields->len)
        buf_append(&frame, fields->data, fields->len);
    frame_end(&frame, at);
    r = link_write_frame(CONTROL_FD, &frame, &none, 0, &e);
    if (frame.data)
        mem_wipe(frame.data, frame.len);
    return r;
}

static int serve(struct err *e)
{
    autobuf struct buf payload, fields;
    struct frame_header h = {0};
    struct work_request q = {0};
    int fds[WORK_FDS_MAX];
    size_t n_fds = 0;

    buf_init(&payload, FRAME_PAYLOAD_MAX);
    buf_init(&fields, FRAME_PAYLOAD_MAX / 2);
    int r = sandbox_early(e);
    if (r == 0)
        r = link_read_frame(CONTROL_FD, &h, &payload, fds, WORK_FDS_MAX, &n_fds, e);
    if (r == 0 && h.type != FRAME_WORK)
        r = err_set(e, -EPROTO, "work.request", "not a work frame");
    if (r == 0)
        r = work_request_parse(payload.data, payload.len, n_fds, &q, e);
    /* The request's own copies are enough; a password is not kept twice. */
    if (payload.data)
        mem_wipe(payload.data, payload.len);
    if (r == 0)
        r = work(&q, fds, &fields, e);
    if (r == 0 && fields.is_failed)
        r = err_set(e, -EMSGSIZE, "work.answer", "the answer is too large");
    work_request_done(&q);
    r = send_answer(h.stream, r, e, &fields);
    if (fields.data)
        mem_wipe(fields.data, fields.len);
    return r;
}

int main(void)
{
    struct err e = ERR_INIT;

    /* Not exit(): what runs at exit may make calls that are forbidden by now. */
    _exit(serve(&e) < 0 ? 1 : 0);
}
