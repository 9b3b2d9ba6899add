/* The two ways a queue works, behind block.h. */
#ifndef HOLM_VMM_BLOCK_QUEUE_PRIV_H
#define HOLM_VMM_BLOCK_QUEUE_PRIV_H

#include "vmm/block/block.h"

struct block_queue;
struct block_engine_ops {
    void (*submit)(struct block_queue *q, struct block_request *r);
    int (*watch)(struct block_queue *q, struct loop_source *s);
    void (*rush)(struct block_queue *q); /* NULL: nothing is ever done at once */
    void (*poll)(struct block_queue *q);
    void (*free)(struct block_queue *q);
};

/* First member of each engine's own structure. */
struct block_queue {
    const struct block_engine_ops *ops;
    struct block_image *image;
    struct loop *loop;
    struct loop_source *woken;
};

/* What they are given is in `base`. */
int block_uring_new(const struct block_queue *base, unsigned depth, struct block_queue **ret_queue, struct err *e);
int block_threads_new(const struct block_queue *base, struct block_queue **ret_queue, struct err *e);

/* A transfer took n bytes (or -errno). True when the request is over, with its result; else it goes on with the rest.
 */
bool block_request_advance(struct block_request *r, int n, int *ret_result);

#endif
