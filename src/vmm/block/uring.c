/* A queue over io_uring: one ring, completions told through an eventfd. On the queue's thread only. */
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/block/uring_priv.h"

struct uring_queue {
    struct block_queue base;
    struct io_uring ring;
};

static void prepare(struct uring_queue *u, struct block_request *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    uint64_t at = r->offset + r->moved;
    int fd = u->base.image->fd;

    if (!sqe) { /* full of what was not handed over yet */
        (void)io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
    }
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

static void uring_submit(struct block_queue *q, struct block_request *r)
{
    prepare((struct uring_queue *)q, r);
}

static void uring_kick(struct block_queue *q)
{
    struct uring_queue *u = (struct uring_queue *)q;

    /* The kernel may take only some of them, or none while it has no memory: then the next poll tries again. */
    while (io_uring_sq_ready(&u->ring))
        if (io_uring_submit(&u->ring) <= 0) {
            loop_wake(q->event_fd);
            return;
        }
}

static unsigned uring_poll(struct block_queue *q, bool is_waiting)
{
    struct uring_queue *u = (struct uring_queue *)q;
    struct io_uring_cqe *cqe;
    unsigned n = 0;
    int result;

    if (is_waiting)
        (void)io_uring_submit_and_wait(&u->ring, 1);
    else
        loop_drain(q->event_fd);
    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct block_request *r = io_uring_cqe_get_data(cqe);
        int moved = cqe->res;

        io_uring_cqe_seen(&u->ring, cqe);
        if (!block_request_advance(r, moved, &result)) {
            prepare(u, r);
            continue;
        }
        q->n_on_way--;
        n++;
        r->done(r, result);
    }
    uring_kick(q);
    return n;
}

static void uring_free(struct block_queue *q)
{
    struct uring_queue *u = (struct uring_queue *)q;

    io_uring_queue_exit(&u->ring);
    close(q->event_fd);
    free(u);
}

static const struct block_engine_ops uring_ops = {
    .submit = uring_submit, .kick = uring_kick, .poll = uring_poll, .free = uring_free};

/* The kernel keeps to the list even where no filter of system calls looks: a ring could open and connect, too. */
static const uint8_t allowed[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};

/* Not io_uring_register_restrictions and the like: liburing 2.3 as Debian has it declares but does not export them. */
static int ring_register(const struct io_uring *ring, unsigned what, const void *rules, unsigned n)
{
    return syscall(SYS_io_uring_register, ring->ring_fd, what, rules, n) < 0 ? -errno : 0;
}

int uring_ring_new(struct io_uring *ring, unsigned depth, int event_fd)
{
    struct io_uring_restriction rules[ARRAY_SIZE(allowed)] = {0};
    int r = io_uring_queue_init(depth, ring, IORING_SETUP_R_DISABLED);

    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        rules[i].opcode = IORING_RESTRICTION_SQE_OP;
        rules[i].sqe_op = allowed[i];
    }
    r = io_uring_register_eventfd(ring, event_fd);
    if (r == 0)
        r = ring_register(ring, IORING_REGISTER_RESTRICTIONS, rules, ARRAY_SIZE(rules));
    if (r == 0)
        r = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (r < 0)
        io_uring_queue_exit(ring);
    return r;
}

int block_uring_new(struct block_image *image, unsigned depth, struct block_queue **ret_queue, struct err *e)
{
    struct uring_queue *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    u->base = (struct block_queue){
        .ops = &uring_ops, .engine = BLOCK_URING, .image = image, .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (u->base.event_fd < 0) {
        r = -errno;
        free(u);
        return err_errno(e, -r, "eventfd");
    }
    r = uring_ring_new(&u->ring, depth, u->base.event_fd);
    if (r < 0) {
        close(u->base.event_fd);
        free(u);
        return err_errno(e, -r, "make an io_uring");
    }
    *ret_queue = &u->base;
    return 0;
}
