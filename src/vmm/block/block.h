/* Disk images for a device: asynchronous reads and writes of a raw file or block device. An image is opened once and
 * worked through one or more queues; a queue belongs to the thread of its loop. io_uring with one ring for each queue
 * where the host has it, else a small pool of threads: the same interface, the same order of completions (none). */
#ifndef HOLM_VMM_BLOCK_BLOCK_H
#define HOLM_VMM_BLOCK_BLOCK_H

#include <sys/uio.h>

#include "vmm/loop.h"

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

struct block_request {
    enum block_op op;
    bool may_unmap;          /* WRITE_ZEROES may leave a hole */
    uint64_t offset, length; /* bytes; READ and WRITE: length is the sum of the pieces */
    struct iovec *iov;       /* changed while a short transfer goes on */
    unsigned n_iov;
    /* On the queue's thread, from block_queue_poll: 0 or -errno. The request may be reused then. */
    void (*done)(struct block_request *q, int result);
    uint64_t moved; /* of READ and WRITE, private */
    bool is_retried;
    struct block_request *next;
};

struct block_image {
    int fd;
    int direct_fd; /* the same past the host's cache, for what is aligned to 4 KiB; -1: all goes through the cache */
    _Atomic bool is_cached;       /* direct_fd was of no use */
    bool is_read_only, is_device; /* a block device */
    _Atomic uint64_t size_bytes;
    uint32_t sector_bytes;
};

/* Takes the descriptor over. -EINVAL "disk.kind" for what is neither a file nor a block device. */
MUST_CHECK int block_image_open(struct block_image *image, int fd, bool is_read_only, struct err *e);
void block_image_close(struct block_image *image);
/* Where this request goes now. */
int block_image_fd(const struct block_image *image, const struct block_request *r);
/* True, once for each request, if `result` says that what lies below the file takes nothing past the cache, which some
 * file systems notice only then: it is to be tried again. */
bool block_image_is_retried(struct block_image *image, struct block_request *r, int result);
/* Looks at the size again (it was resized by the host): 1 if it changed. */
MUST_CHECK int block_image_refresh(struct block_image *image, struct err *e);

/* Makes it at least `bytes` long (a file grows here, a block device must have grown already) and looks at its size: 1
 * if that changed. -EINVAL "disk.size" for less than it has; -EROFS for a file that is only read and too short. */
MUST_CHECK int block_image_grow(struct block_image *image, uint64_t bytes, struct err *e);

struct block_queue;
enum block_engine { BLOCK_URING, BLOCK_THREADS };
/* depth: the most requests at a time. wanted URING falls back to threads where the host refuses a ring. The loop is the
 * queue's alone: a ring waits in its place. woken: its on_ready is called when something is done, or a watched source
 * is ready; it calls block_queue_poll and then looks at everything. */
MUST_CHECK int block_queue_new(struct block_image *image, struct loop *l, struct loop_source *woken, unsigned depth,
                               enum block_engine wanted, struct block_queue **ret_queue, struct err *e);
/* Nothing is on its way, and the loop has ended. */
void block_queue_free(struct block_queue *q);
/* Each time that something is written to this eventfd, or its timer goes off; nobody needs to read that away. */
MUST_CHECK int block_queue_watch(struct block_queue *q, struct loop_source *s);
/* On the loop's thread. At most `depth` requests may be on their way; they begin when the loop waits again. */
void block_queue_submit(struct block_queue *q, struct block_request *r);
/* Begins them now, and calls `done` of those that are done without waiting. */
void block_queue_rush(struct block_queue *q);
/* Calls `done` of what is done. */
void block_queue_poll(struct block_queue *q);

#endif
