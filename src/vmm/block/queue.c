/* A queue of requests to an image: chooses how it works; see block.h. */
#include <limits.h>

#include "vmm/block/queue_priv.h"

int block_queue_new(struct block_image *image, struct loop *l, struct loop_source *woken, unsigned depth,
                    enum block_engine wanted, struct block_queue **ret_queue, struct err *e)
{
    const struct block_queue base = {.image = image, .loop = l, .woken = woken};

    if (wanted == BLOCK_URING && block_uring_new(&base, depth, ret_queue, e) == 0)
        return 0;
    return block_threads_new(&base, ret_queue, e);
}

void block_queue_free(struct block_queue *q)
{
    if (q)
        q->ops->free(q);
}

int block_queue_watch(struct block_queue *q, struct loop_source *s)
{
    return q->ops->watch(q, s);
}

void block_queue_submit(struct block_queue *q, struct block_request *r)
{
    r->moved = 0;
    r->is_retried = false;
    q->ops->submit(q, r);
}

void block_queue_rush(struct block_queue *q)
{
    if (q->ops->rush)
        q->ops->rush(q);
}

void block_queue_poll(struct block_queue *q)
{
    q->ops->poll(q);
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
