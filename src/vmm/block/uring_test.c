/* The ring of a disk refuses everything that is no request of a disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/block/uring_priv.h"

struct fixture {
    struct io_uring ring;
    int event_fd;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *state = f;
    return uring_ring_new(&f->ring, 8);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    io_uring_queue_exit(&f->ring);
    close(f->event_fd);
    free(f);
    return 0;
}

static int result_of(struct fixture *f)
{
    struct io_uring_cqe *cqe;
    int result;

    assert_int_equal(io_uring_submit(&f->ring), 1);
    assert_int_equal(io_uring_wait_cqe(&f->ring, &cqe), 0);
    result = cqe->res;
    io_uring_cqe_seen(&f->ring, cqe);
    return result;
}

static void test_disk_requests(void **state)
{
    struct fixture *f = *state;
    char bytes[4] = "abc";
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    FILE *file = tmpfile();
    int fd = fileno(file);

    io_uring_prep_writev(io_uring_get_sqe(&f->ring), fd, &iov, 1, 0);
    assert_int_equal(result_of(f), sizeof(bytes));
    memset(bytes, 0, sizeof(bytes));
    io_uring_prep_readv(io_uring_get_sqe(&f->ring), fd, &iov, 1, 0);
    assert_int_equal(result_of(f), sizeof(bytes));
    assert_string_equal(bytes, "abc");
    io_uring_prep_fsync(io_uring_get_sqe(&f->ring), fd, IORING_FSYNC_DATASYNC);
    assert_int_equal(result_of(f), 0);
    io_uring_prep_fallocate(io_uring_get_sqe(&f->ring), fd, 0, 0, 4096);
    assert_int_equal(result_of(f), 0);
    fclose(file);
}

/* A poll that stays armed tells each write, though nobody reads. */
static void test_doorbell(void **state)
{
    struct fixture *f = *state;
    uint64_t one = 1;

    io_uring_prep_poll_multishot(io_uring_get_sqe(&f->ring), f->event_fd, POLLIN);
    assert_int_equal(io_uring_submit(&f->ring), 1);
    for (unsigned i = 0; i < 3; i++) {
        struct io_uring_cqe *cqe;

        assert_int_equal(write(f->event_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(io_uring_wait_cqe(&f->ring, &cqe), 0);
        assert_int_equal(cqe->res, POLLIN);
        assert_true(cqe->flags & IORING_CQE_F_MORE);
        io_uring_cqe_seen(&f->ring, cqe);
    }
}

/* Each number that a request can have, with arguments that would do no harm. */
static void test_others_are_refused(void **state)
{
    struct fixture *f = *state;

    for (unsigned op = 0; op < 64; op++) {
        struct io_uring_sqe *sqe;

        if (op == IORING_OP_READV || op == IORING_OP_WRITEV || op == IORING_OP_FSYNC || op == IORING_OP_FALLOCATE ||
            op == IORING_OP_POLL_ADD)
            continue;
        sqe = io_uring_get_sqe(&f->ring);
        if (!sqe) {
            fail_msg("the ring is full");
            return;
        }
        *sqe = (struct io_uring_sqe){.opcode = (uint8_t)op, .fd = -1};
        /* What the kernel does not know at all is -EINVAL. */
        int result = result_of(f);
        if (result != -EACCES && !(op > IORING_OP_SOCKET && result == -EINVAL))
            fail_msg("request %u: %d", op, result);
    }
}

static void test_nothing_is_registered_later(void **state)
{
    struct fixture *f = *state;
    int fd = f->event_fd;

    assert_int_equal(io_uring_register_files(&f->ring, &fd, 1), -EACCES);
    assert_true(io_uring_unregister_eventfd(&f->ring) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_disk_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doorbell, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_registered_later, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
