/* What holm-block tells holmd: how far it is, and at the end what came of it. */
#include "block/block.h"
#include "link/link.h"

volatile sig_atomic_t block_child;

static int send_frame(enum frame_type type, uint32_t stream, const struct buf *fields, struct err *e)
{
    autobuf struct buf frame;
    int none = -1;

    buf_init(&frame, FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE);
    size_t at = frame_begin(&frame, type, stream, type == FRAME_WORK_RESULT ? FRAME_LAST : 0, 0);
    buf_append(&frame, fields->data, fields->len);
    frame_end(&frame, at);
    return link_write_frame(BLOCK_CONTROL_FD, &frame, &none, 0, e);
}

void block_tell_progress(uint64_t done_bytes, uint64_t total_bytes)
{
    autobuf struct buf fields;
    struct err ignored = ERR_INIT;

    buf_init(&fields, 64);
    field_u64(&fields, FIELD_DONE_BYTES, done_bytes);
    field_u64(&fields, FIELD_TOTAL_BYTES, total_bytes);
    (void)send_frame(FRAME_WORK_PROGRESS, 1, &fields, &ignored); /* if nobody listens, we are ended */
}

int block_io_error(int num, const char *what, struct err *e)
{
    if (num == ENOSPC || num == EDQUOT)
        return err_set(e, -ENOSPC, "storage.full", "no space left on the storage");
    return err_errno(e, num, "%s", what);
}

int block_answer(uint32_t stream, int r, const struct err *why)
{
    autobuf struct buf fields;
    struct err e = ERR_INIT;

    buf_init(&fields, 4096);
    field_err(&fields, r, why);
    return send_frame(FRAME_WORK_RESULT, stream, &fields, &e);
}
