/* A queue of requests to an image: chooses how it works; see block.h. */
#include <limits.h>

#include "vmm/block/queue_priv.h"

int block_queue_new(struct block_image *image, struct loop *l, unsigned depth, enum block_engine wanted,
                    struct block_queue **ret_queue, struct err *e)
{
    (void)l;
    if (wanted == BLOCK_URING && block_uring_new(image, depth, ret_queue, e) == 0)
        return 0;
    return block_threads_new(image, depth, ret_queue, e);
}

void block_queue_free(struct block_queue *q)
{
    if (!q)
        return;
    block_queue_drain(q);
    q->ops->free(q);
}

enum block_engine block_queue_engine(const struct block_queue *q)
{
    return q->engine;
}

void block_queue_submit(struct block_queue *q, struct block_request *r)
{
    r->moved = 0;
    q->n_on_way++;
    q->ops->submit(q, r);
}

void block_queue_kick(struct block_queue *q)
{
    q->ops->kick(q);
}

int block_queue_fd(const struct block_queue *q)
{
    return q->event_fd;
}

unsigned block_queue_poll(struct block_queue *q)
{
    return q->ops->poll(q, false);
}

void block_queue_drain(struct block_queue *q)
{
    q->ops->kick(q);
    while (q->n_on_way)
        (void)q->ops->poll(q, true);
}

bool block_request_advance(struct block_request *r, int n, int *ret_result)
{
    *ret_result = n < 0 ? n : 0;
    if (n == -EINTR || n == -EAGAIN)
        return false;
    if (r->op != BLOCK_READ && r->op != BLOCK_WRITE)
        return true;
    if (n <= 0) {
        /* A read past the end of a file that shrank is an error of the disk, as is a write that moves nothing. */
        *ret_result = n < 0 ? n : -EIO;
        return true;
    }
    r->moved += (uint64_t)n;
    if (r->moved >= r->length)
        return true;
    while (n > 0) {
        size_t part = r->iov->iov_len < (size_t)n ? r->iov->iov_len : (size_t)n;

        r->iov->iov_base = (uint8_t *)r->iov->iov_base + part;
        r->iov->iov_len -= part;
        n -= (int)part;
        if (!r->iov->iov_len) {
            r->iov++;
            r->n_iov--;
        }
    }
    return false;
}
