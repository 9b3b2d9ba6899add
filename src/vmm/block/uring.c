/* A queue over io_uring. The ring is where its thread waits: for completions, and by polls that stay armed for
 * doorbell, timer and end, so that one system call hands over what was prepared and sleeps; an epoll beside it would
 * cost three more for each wake-up (epoll_wait and reading two eventfds). On the queue's thread only, but for making
 * it. */
#include <linux/falloc.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/block/uring_priv.h"

struct uring_queue {
    struct block_queue base;
    struct io_uring ring;
};

#define IS_SOURCE 1u /* in the user data: a loop_source, no request */

static struct io_uring_sqe *next_entry(struct uring_queue *u)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&u->ring)))
        (void)io_uring_submit(&u->ring); /* full of what was not handed over yet */
    return sqe;
}

static void uring_submit(struct block_queue *q, struct block_request *r)
{
    struct io_uring_sqe *sqe = next_entry((struct uring_queue *)q);
    uint64_t at = r->offset + r->moved;
    int fd = block_image_fd(q->image, r);

    switch (r->op) {
    case BLOCK_READ:
        io_uring_prep_readv(sqe, fd, r->iov, r->n_iov, at);
        break;
    case BLOCK_WRITE:
        io_uring_prep_writev(sqe, fd, r->iov, r->n_iov, at);
        break;
    case BLOCK_FLUSH:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    case BLOCK_DISCARD:
        io_uring_prep_fallocate(sqe, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->offset,
                                (off_t)r->length);
        break;
    case BLOCK_WRITE_ZEROES:
        io_uring_prep_fallocate(sqe, fd,
                                (r->may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE,
                                (off_t)r->offset, (off_t)r->length);
        break;
    default:
        break;
    }
    io_uring_sqe_set_data(sqe, r);
}

static int uring_watch(struct block_queue *q, struct loop_source *s)
{
    struct io_uring_sqe *sqe = next_entry((struct uring_queue *)q);

    io_uring_prep_poll_multishot(sqe, s->fd, POLLIN);
    io_uring_sqe_set_data64(sqe, (uintptr_t)s | IS_SOURCE);
    return 0;
}

/* Whatever the kernel did not take (it has no memory) stays in the ring, and is tried again. */
static int uring_wait(void *waiter, struct epoll_event *ret_events)
{
    struct uring_queue *u = waiter;

    (void)io_uring_submit_and_wait(&u->ring, 1);
    ret_events->data.ptr = u->base.woken;
    return 1;
}

static void on_completion(struct uring_queue *u, uint64_t data, int moved, bool is_armed)
{
    struct block_request *r = (struct block_request *)(uintptr_t)data;           // NOLINT(performance-no-int-to-ptr)
    struct loop_source *s = (struct loop_source *)(uintptr_t)(data - IS_SOURCE); // NOLINT(performance-no-int-to-ptr)
    int result;

    if (data & IS_SOURCE) {
        if (s == &u->base.loop->stop)
            u->base.loop->is_ending = true;
        else if (!is_armed) /* the kernel gives a poll up when completions overflow */
            (void)uring_watch(&u->base, s);
    } else if (!block_image_is_retried(u->base.image, r, moved) && block_request_advance(r, moved, &result)) {
        r->done(r, result);
    } else {
        uring_submit(&u->base, r);
    }
}

static void uring_poll(struct block_queue *q)
{
    struct uring_queue *u = (struct uring_queue *)q;
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct io_uring_cqe copy = *cqe;

        io_uring_cqe_seen(&u->ring, cqe);
        on_completion(u, copy.user_data, copy.res, copy.flags & IORING_CQE_F_MORE);
    }
}

static void uring_rush(struct block_queue *q)
{
    (void)io_uring_submit(&((struct uring_queue *)q)->ring);
    uring_poll(q);
}

static void uring_free(struct block_queue *q)
{
    struct uring_queue *u = (struct uring_queue *)q;

    io_uring_queue_exit(&u->ring);
    free(u);
}

static const struct block_engine_ops uring_ops = {
    .submit = uring_submit, .watch = uring_watch, .rush = uring_rush, .poll = uring_poll, .free = uring_free};

/* The kernel keeps to the list even where no filter of system calls looks: a ring could open and connect, too. */
static const uint8_t allowed[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
                                  IORING_OP_POLL_ADD};

/* Not io_uring_register_restrictions and the like: liburing 2.3 as Debian has it declares but does not export them. */
static int ring_register(const struct io_uring *ring, unsigned what, const void *rules, unsigned n)
{
    return syscall(SYS_io_uring_register, ring->ring_fd, what, rules, n) < 0 ? -errno : 0;
}

int uring_ring_new(struct io_uring *ring, unsigned depth)
{
    struct io_uring_restriction rules[ARRAY_SIZE(allowed)] = {0};
    int r = io_uring_queue_init(depth, ring, IORING_SETUP_R_DISABLED);

    if (r < 0)
        return r;
    if (!(ring->features & IORING_FEAT_RSRC_TAGS)) /* as old as polls that stay armed */
        r = -EOPNOTSUPP;
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        rules[i].opcode = IORING_RESTRICTION_SQE_OP;
        rules[i].sqe_op = allowed[i];
    }
    if (r == 0)
        r = ring_register(ring, IORING_REGISTER_RESTRICTIONS, rules, ARRAY_SIZE(rules));
    if (r == 0)
        r = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (r < 0)
        io_uring_queue_exit(ring);
    return r;
}

int block_uring_new(const struct block_queue *base, unsigned depth, struct block_queue **ret_queue, struct err *e)
{
    struct uring_queue *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    u->base = *base;
    u->base.ops = &uring_ops;
    r = uring_ring_new(&u->ring, depth);
    if (r < 0) {
        free(u);
        return err_errno(e, -r, "make an io_uring");
    }
    base->loop->wait = uring_wait;
    base->loop->waiter = u;
    base->woken->is_added = true;
    *ret_queue = &u->base;
    return uring_watch(&u->base, &base->loop->stop);
}
