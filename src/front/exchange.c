/* Memory of one request and its reply; see front_priv.h. */
#include "front/front_priv.h"

struct exchange *exchange_new(void)
{
    struct exchange *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    http1_head_init(&x->head);
    buf_init(&x->frame, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX);
    buf_init(&x->body, FRAME_PAYLOAD_MAX);
    buf_init(&x->headers, 16384);
    return x;
}

void exchange_free(struct front *f, struct exchange *x)
{
    if (!x)
        return;
    f->body_bytes -= x->counted_body;
    f->reply_bytes -= x->counted_reply;
    upload_free(x->upload);
    http1_head_done(&x->head);
    /* Passwords come in bodies and go on in the frame. */
    if (x->body.data)
        mem_wipe(x->body.data, x->body.cap);
    if (x->frame.data)
        mem_wipe(x->frame.data, x->frame.cap);
    buf_done(&x->frame);
    buf_done(&x->body);
    buf_done(&x->headers);
    buf_done(&x->reply);
    free(x);
}
