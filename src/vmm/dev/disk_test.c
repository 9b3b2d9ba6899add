/* The disk on the harness, once for each engine: every request in pieces of all shapes, what is refused, errors of the
 * host (the threads' system calls are replaced by ours, which fail when told to), resets with requests on their way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "vmm/block/block.h"
#include "vmm/harness.h"

#define DISK_BYTES (16u << 20)
#define NO_STATUS  0xaa
#define FLUSH      (1ull << VIRTIO_BLK_F_FLUSH)

/* --- What the host does: for the threads engine ----------------------------------------------------------------------
 */

static _Atomic int fail_writes, fail_reads, fail_flushes, fail_fallocate; /* an errno, or 0 */
static _Atomic unsigned n_flushes, move_at_most;

static unsigned cut(const struct iovec *iov, int n, struct iovec *to)
{
    size_t room = move_at_most;
    int i = 0;

    for (; i < n && room; i++) {
        to[i] = iov[i];
        if (to[i].iov_len > room)
            to[i].iov_len = room;
        room -= to[i].iov_len;
    }
    return (unsigned)i;
}

static ssize_t move(long number, int fd, const struct iovec *iov, int n, off_t offset, int error)
{
    struct iovec part[256];

    if (error) {
        errno = error;
        return -1;
    }
    if (move_at_most && n <= 256) {
        n = (int)cut(iov, n, part);
        iov = part;
    }
    return syscall(number, fd, iov, n, offset, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return move(SYS_pwritev, fd, iov, n, offset, fail_writes);
}
ssize_t preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
    return move(SYS_preadv, fd, iov, n, offset, fail_reads);
}
int fdatasync(int fd)
{
    n_flushes++;
    errno = fail_flushes;
    return fail_flushes ? -1 : (int)syscall(SYS_fdatasync, fd);
}
int fallocate(int fd, int mode, off_t offset, off_t length)
{
    errno = fail_fallocate;
    return fail_fallocate ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

/* --- A driver --------------------------------------------------------------------------------------------------------
 */

struct fixture {
    struct harness h;
    int fd;
    uint64_t status_gpa;
};

static const char *engine;

static void open_disk(struct fixture *f, int fd, const char *more)
{
    struct err e = ERR_INIT;
    char text[128];

    snprintf(text, sizeof(text), "fd=%d,engine=%s%s", fd, engine, more);
    assert_int_equal(harness_init(&f->h, "disk", text, &e), 0);
}

static int make_file(void)
{
    const char *folder = getenv("TMPDIR");
    int fd = open(folder ? folder : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
    return fd;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int own;

    f->fd = make_file();
    own = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
    open_disk(f, own, ",serial=holm-1,queues=2");
    fail_writes = fail_reads = fail_flushes = fail_fallocate = 0;
    n_flushes = move_at_most = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    harness_done(&f->h);
    close(f->fd);
    free(f);
    return 0;
}

static void start_with(struct fixture *f, uint64_t features)
{
    harness_reset(&f->h);
    assert_int_equal(harness_start(&f->h, features, 2, 64), 0x0f);
    f->status_gpa = harness_alloc(&f->h, 1);
}

/* Adds header, data pieces and status as one chain, and waits: the status. Pieces of the header: its bytes in parts of
 * `part` bytes. */
static int request(struct fixture *f, uint32_t type, uint64_t sector, const struct harness_piece *data, unsigned n_data,
                   unsigned part, uint32_t *ret_written)
{
    struct virtio_blk_outhdr header = {.type = type, .sector = sector};
    uint64_t header_gpa = harness_alloc(&f->h, sizeof(header));
    struct harness_piece pieces[40];
    unsigned n = 0;
    uint16_t head;

    memcpy(harness_at(&f->h, header_gpa), &header, sizeof(header));
    for (unsigned at = 0; at < sizeof(header); at += part)
        pieces[n++] =
            (struct harness_piece){header_gpa + at, part < sizeof(header) - at ? part : sizeof(header) - at, false};
    for (unsigned i = 0; i < n_data; i++)
        pieces[n++] = data[i];
    pieces[n++] = (struct harness_piece){f->status_gpa, 1, true};
    *(uint8_t *)harness_at(&f->h, f->status_gpa) = NO_STATUS;
    harness_add(&f->h, 0, pieces, n);
    harness_kick(&f->h, 0);
    if (!harness_wait(&f->h, 0, &head, ret_written))
        return -1;
    return *(uint8_t *)harness_at(&f->h, f->status_gpa);
}

static int simple(struct fixture *f, uint32_t type, uint64_t sector, uint64_t gpa, uint32_t length)
{
    struct harness_piece data = {gpa, length, type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID};
    uint32_t written;

    return request(f, type, sector, &data, length ? 1 : 0, 16, &written);
}

static void fill(uint8_t *p, size_t n, uint8_t seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

/* --- Tests -----------------------------------------------------------------------------------------------------------
 */

/* Writes and reads back, cut into pieces of sizes that fit nothing; the header in parts, too. */
static void test_pieces(void **state)
{
    static const uint32_t cuts[][8] = {
        {512}, {1, 511}, {511, 513}, {3, 5, 7, 497}, {4096, 1, 4095}, {513, 1, 1, 1, 1, 507}, {65536, 512},
    };
    static const unsigned parts[] = {16, 1, 5, 8, 15};
    struct fixture *f = *state;

    start_with(f, UINT64_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(cuts) * ARRAY_SIZE(parts); i++) {
        const uint32_t *sizes = cuts[i % ARRAY_SIZE(cuts)];
        struct harness_piece pieces[8];
        uint32_t total = 0, written;
        unsigned n = 0, part = parts[i / ARRAY_SIZE(cuts)];
        uint8_t *expected, *on_disk;

        f->h.next_gpa = HARNESS_MEMORY_GPA + 0x100000;
        f->status_gpa = harness_alloc(&f->h, 1);
        for (; n < 8 && sizes[n]; n++) {
            pieces[n] = (struct harness_piece){harness_alloc(&f->h, sizes[n] + 1) + 1, sizes[n], false};
            fill(harness_at(&f->h, pieces[n].gpa), sizes[n], (uint8_t)(i + n));
            total += sizes[n];
        }
        expected = malloc(total);
        on_disk = malloc(total);
        for (unsigned k = 0, at = 0; k < n; at += sizes[k], k++)
            memcpy(expected + at, harness_at(&f->h, pieces[k].gpa), sizes[k]);
        assert_int_equal(request(f, VIRTIO_BLK_T_OUT, i * 200, pieces, n, part, &written), 0);
        assert_int_equal(written, 1);
        assert_int_equal(pread(f->fd, on_disk, total, (off_t)(i * 200 * 512)), total);
        assert_memory_equal(on_disk, expected, total);
        for (unsigned k = 0; k < n; k++) {
            memset(harness_at(&f->h, pieces[k].gpa), 0, sizes[k]);
            pieces[k].is_in = true;
        }
        assert_int_equal(request(f, VIRTIO_BLK_T_IN, i * 200, pieces, n, part, &written), 0);
        assert_int_equal(written, total + 1);
        for (unsigned k = 0, at = 0; k < n; at += sizes[k], k++)
            assert_memory_equal(harness_at(&f->h, pieces[k].gpa), expected + at, sizes[k]);
        free(expected);
        free(on_disk);
    }
}

/* One piece for header and data, one for data and status: where pieces begin means nothing (2.7.4). */
static void test_any_layout(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_OUT, .sector = 9};
    uint32_t written;
    uint64_t gpa;
    uint16_t head;
    uint8_t *p;

    start_with(f, UINT64_MAX);
    gpa = harness_alloc(&f->h, 8192);
    p = harness_at(&f->h, gpa);
    memcpy(p, &header, sizeof(header));
    fill(p + sizeof(header), 1024, 3);
    struct harness_piece out[] = {{gpa, sizeof(header) + 1024, false}, {f->status_gpa, 1, true}};
    harness_add(&f->h, 0, out, 2);
    harness_kick(&f->h, 0);
    assert_int_equal(harness_wait(&f->h, 0, &head, &written), 1);
    header.type = VIRTIO_BLK_T_IN;
    memcpy(p + 4096, &header, sizeof(header));
    struct harness_piece in[] = {{gpa + 4096, sizeof(header), false}, {gpa + 5000, 1025, true}};
    p[5000 - 0 + 1024] = NO_STATUS;
    harness_add(&f->h, 0, in, 2);
    harness_kick(&f->h, 0);
    assert_int_equal(harness_wait(&f->h, 0, &head, &written), 1);
    assert_int_equal(written, 1025);
    assert_int_equal(p[5000 + 1024], 0);
    assert_memory_equal(p + 5000, p + sizeof(header), 1024);
}

static void test_refused(void **state)
{
    static const struct {
        uint32_t type, length;
        uint64_t sector;
        int status;
    } cases[] = {
        {VIRTIO_BLK_T_IN, 511, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_IN, 513, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_OUT, 1, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_IN, 0, 0, VIRTIO_BLK_S_OK},
        {VIRTIO_BLK_T_OUT, 0, 5, VIRTIO_BLK_S_OK},
        {VIRTIO_BLK_T_IN, 512, DISK_BYTES / 512 - 1, VIRTIO_BLK_S_OK},
        {VIRTIO_BLK_T_IN, 1024, DISK_BYTES / 512 - 1, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_IN, 512, DISK_BYTES / 512, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_OUT, 512, UINT64_MAX, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_OUT, 512, UINT64_MAX / 512, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_OUT, 512, UINT64_MAX / 512 + 1, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_OUT, 512, 1ull << 55, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_SCSI_CMD, 512, 0, VIRTIO_BLK_S_UNSUPP},
        {UINT32_MAX, 512, 0, VIRTIO_BLK_S_UNSUPP},
        {VIRTIO_BLK_T_GET_ID, 19, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_GET_ID, 0, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_DISCARD, 15, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_DISCARD, 0, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_DISCARD, 17 * 16, 0, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_WRITE_ZEROES, 16, 0, VIRTIO_BLK_S_IOERR}, /* of no sectors */
    };
    struct fixture *f = *state;
    struct stat st;

    start_with(f, UINT64_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        f->h.next_gpa = HARNESS_MEMORY_GPA + 0x100000;
        assert_int_equal(simple(f, cases[i].type, cases[i].sector, harness_alloc(&f->h, 4096), cases[i].length),
                         cases[i].status);
    }
    assert_int_equal(fstat(f->fd, &st), 0);
    assert_int_equal(st.st_size, DISK_BYTES);
    assert_int_equal(st.st_blocks, 0); /* nothing of it was written */
    assert_int_equal(harness_status(&f->h), 0x0f);
}

/* "The device MUST write at least len bytes … beginning at the first" (2.7.8.2): an error claims no data. */
static void test_2_7_8_2_length_of_an_error(void **state)
{
    struct fixture *f = *state;
    struct harness_piece data;
    uint32_t written;

    start_with(f, UINT64_MAX);
    data = (struct harness_piece){harness_alloc(&f->h, 512), 512, true};
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, DISK_BYTES, &data, 1, 16, &written), VIRTIO_BLK_S_IOERR);
    assert_int_equal(written, 0);
    data = (struct harness_piece){harness_alloc(&f->h, 512), 30, true};
    assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, &data, 1, 16, &written), VIRTIO_BLK_S_OK);
    assert_int_equal(written, 20);
    assert_string_equal(harness_at(&f->h, data.gpa), "holm-1");
}

/* A request without room for its header or its status cannot be answered: the device needs a reset, and then works. */
static void test_5_2_6_no_header_or_status(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++) {
        struct harness_piece pieces[2];
        uint32_t written;
        uint16_t head;

        start_with(f, UINT64_MAX);
        pieces[0] = (struct harness_piece){harness_alloc(&f->h, 64), i == 0 ? 15 : 16, i == 1};
        pieces[1] = (struct harness_piece){f->status_gpa, i == 3 ? 512 : 1, i != 3};
        harness_add(&f->h, 0, pieces, i == 2 ? 1 : 2);
        harness_kick(&f->h, 0);
        for (unsigned k = 0; k < 20000 && !(harness_status(&f->h) & 0x40); k++)
            usleep(1000);
        assert_int_equal(harness_status(&f->h) & 0x40, 0x40);
        assert_int_equal(harness_take(&f->h, 0, &head, &written), 0);
    }
    start_with(f, UINT64_MAX);
    assert_int_equal(simple(f, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
}

static int ranges(struct fixture *f, uint32_t type, const struct virtio_blk_discard_write_zeroes *r, unsigned n)
{
    uint64_t gpa = harness_alloc(&f->h, 4096);

    memcpy(harness_at(&f->h, gpa), r, n * sizeof(*r));
    return simple(f, type, 0, gpa, n * (uint32_t)sizeof(*r));
}

static bool is_zero(int fd, uint64_t at, size_t n)
{
    uint8_t *p = malloc(n);
    bool is_all = pread(fd, p, n, (off_t)at) == (ssize_t)n;

    for (size_t i = 0; i < n && is_all; i++)
        is_all = p[i] == 0;
    free(p);
    return is_all;
}

static void test_ranges(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[1u << 20];
    struct stat before, after;
    struct virtio_blk_discard_write_zeroes many[16];

    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(pwrite(f->fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    start_with(f, UINT64_MAX);
    assert_int_equal(fstat(f->fd, &before), 0);
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, &(struct virtio_blk_discard_write_zeroes){8, 1024, 0}, 1), 0);
    assert_int_equal(fstat(f->fd, &after), 0);
    assert_true(after.st_blocks < before.st_blocks);
    assert_true(is_zero(f->fd, 4096, 1024 * 512));
    assert_false(is_zero(f->fd, 4095, 1));
    assert_false(is_zero(f->fd, 4096 + 1024 * 512, 1));
    /* Several at once, of odd places; may be a hole or not. */
    for (unsigned i = 0; i < 16; i++)
        many[i] = (struct virtio_blk_discard_write_zeroes){1100 + i * 50, 3 + i, i % 2};
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, many, 16), 0);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(is_zero(f->fd, (1100 + i * 50) * 512, (3 + i) * 512));
        assert_false(is_zero(f->fd, (1100 + i * 50 - 1) * 512, 512));
        assert_false(is_zero(f->fd, (1100 + i * 50 + 3 + i) * 512, 512));
    }
    /* 5.2.6.2: flags that are not known, and "may be a hole" of a discard: not supported, and nothing done. */
    many[0] = (struct virtio_blk_discard_write_zeroes){1050, 1, 0};
    many[1] = (struct virtio_blk_discard_write_zeroes){1060, 1, 2};
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, many, 2), VIRTIO_BLK_S_UNSUPP);
    many[1].flags = 1;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, many, 2), VIRTIO_BLK_S_UNSUPP);
    many[1] = (struct virtio_blk_discard_write_zeroes){DISK_BYTES / 512, 1, 0};
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, many, 2), VIRTIO_BLK_S_IOERR);
    many[1] = (struct virtio_blk_discard_write_zeroes){0, UINT32_MAX, 0};
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, many, 2), VIRTIO_BLK_S_IOERR);
    assert_false(is_zero(f->fd, 1050 * 512, 512));
}

static void test_read_only(void **state)
{
    struct fixture f = {0};
    uint64_t gpa;

    (void)state;
    f.fd = make_file();
    open_disk(&f, fcntl(f.fd, F_DUPFD_CLOEXEC, 0), ",readonly=on");
    assert_int_equal(harness_offered(&f.h) >> VIRTIO_BLK_F_RO & 1, 1);
    assert_int_equal(harness_start(&f.h, UINT64_MAX, 1, 64), 0x0f);
    f.status_gpa = harness_alloc(&f.h, 1);
    gpa = harness_alloc(&f.h, 512);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_IN, 0, gpa, 512), 0);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_OUT, 0, gpa, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_DISCARD, 0, gpa, 16), VIRTIO_BLK_S_IOERR);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, gpa, 16), VIRTIO_BLK_S_IOERR);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
    harness_done(&f.h);
    close(f.fd);
}

/* The host's errors reach the driver as errors, on both engines: a descriptor that only reads, a file that shrank. */
static void test_errors_of_the_file(void **state)
{
    struct fixture f = {0};
    char path[64];
    uint64_t gpa;

    (void)state;
    f.fd = make_file();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", f.fd);
    open_disk(&f, open(path, O_RDONLY | O_CLOEXEC), "");
    assert_int_equal(harness_start(&f.h, UINT64_MAX, 1, 64), 0x0f);
    f.status_gpa = harness_alloc(&f.h, 1);
    gpa = harness_alloc(&f.h, 4096);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_OUT, 0, gpa, 4096), VIRTIO_BLK_S_IOERR);
    assert_int_equal(ranges(&f, VIRTIO_BLK_T_DISCARD, &(struct virtio_blk_discard_write_zeroes){0, 8, 0}, 1),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(ftruncate(f.fd, 1024), 0);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_IN, 0, gpa, 1024), 0);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_IN, 0, gpa, 4096), VIRTIO_BLK_S_IOERR); /* half of it is there */
    assert_int_equal(simple(&f, VIRTIO_BLK_T_IN, 100, gpa, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
    harness_done(&f.h);
    close(f.fd);
}

/* Whoever does not flush finds every finished write on the disk (5.2.6.2, stable writes); whoever does decides. */
static void test_5_2_6_2_write_through(void **state)
{
    struct fixture *f = *state;
    uint64_t gpa;

    start_with(f, UINT64_MAX & ~FLUSH);
    gpa = harness_alloc(&f->h, 4096);
    assert_int_equal(simple(f, VIRTIO_BLK_T_OUT, 0, gpa, 512), 0);
    if (streq(engine, "threads"))
        assert_int_equal(n_flushes, 1);
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, &(struct virtio_blk_discard_write_zeroes){0, 8, 0}, 1), 0);
    if (streq(engine, "threads"))
        assert_int_equal(n_flushes, 2);
    assert_int_equal(simple(f, VIRTIO_BLK_T_IN, 0, gpa, 512), 0);
    n_flushes = 0;
    start_with(f, UINT64_MAX);
    assert_int_equal(simple(f, VIRTIO_BLK_T_OUT, 0, gpa, 512), 0);
    assert_int_equal(n_flushes, 0);
    assert_int_equal(simple(f, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
    if (streq(engine, "threads"))
        assert_int_equal(n_flushes, 1);
}

/* ENOSPC, EIO and calls that move a few bytes only. */
static void test_errors_of_the_host(void **state)
{
    struct fixture *f = *state;
    uint64_t gpa;

    if (!streq(engine, "threads"))
        return; /* io_uring makes no calls that a test could answer */
    start_with(f, UINT64_MAX & ~FLUSH);
    gpa = harness_alloc(&f->h, 8192);
    fail_writes = ENOSPC;
    assert_int_equal(simple(f, VIRTIO_BLK_T_OUT, 0, gpa, 512), VIRTIO_BLK_S_IOERR);
    fail_writes = 0;
    fail_flushes = EIO;
    assert_int_equal(simple(f, VIRTIO_BLK_T_OUT, 0, gpa, 512), VIRTIO_BLK_S_IOERR); /* it is not on the disk */
    assert_int_equal(simple(f, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
    fail_flushes = 0;
    fail_reads = EIO;
    assert_int_equal(simple(f, VIRTIO_BLK_T_IN, 0, gpa, 512), VIRTIO_BLK_S_IOERR);
    fail_reads = 0;
    fail_fallocate = EOPNOTSUPP;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, &(struct virtio_blk_discard_write_zeroes){0, 8, 0}, 1),
                     VIRTIO_BLK_S_UNSUPP);
    fail_fallocate = ENOSPC;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, &(struct virtio_blk_discard_write_zeroes){0, 8, 0}, 1),
                     VIRTIO_BLK_S_IOERR);
    fail_fallocate = 0;
    for (unsigned most = 1; most < 3000; most = most * 3 + 1) {
        struct harness_piece pieces[3] = {{gpa, 700, false}, {gpa + 1000, 1, false}, {gpa + 2000, 3395, false}};
        uint32_t written;

        move_at_most = most;
        fill(harness_at(&f->h, gpa), 8192, (uint8_t)most);
        assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 7, pieces, 3, 16, &written), 0);
        uint64_t back = harness_alloc(&f->h, 4096);
        assert_int_equal(simple(f, VIRTIO_BLK_T_IN, 7, back, 4096), 0);
        assert_memory_equal(harness_at(&f->h, back), harness_at(&f->h, gpa), 700);
        assert_memory_equal((uint8_t *)harness_at(&f->h, back) + 700, harness_at(&f->h, gpa + 1000), 1);
        assert_memory_equal((uint8_t *)harness_at(&f->h, back) + 701, harness_at(&f->h, gpa + 2000), 3395);
        f->h.next_gpa = back;
    }
}

/* A chain for each of n requests of 64 KiB on one queue, not waited for. */
static void flood(struct fixture *f, unsigned queue, unsigned n, uint64_t data_gpa)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t header_gpa = HARNESS_MEMORY_GPA + 0x80000 + (queue * 64 + i) * 64;
        struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_IN, .sector = i * 128};
        struct harness_piece pieces[] = {
            {header_gpa, 16, false}, {data_gpa + (i % 8) * 65536, 65536, true}, {header_gpa + 32, 1, true}};

        memcpy(harness_at(&f->h, header_gpa), &header, sizeof(header));
        harness_add(&f->h, queue, pieces, 3);
    }
    harness_kick(&f->h, queue);
}

/* A reset with requests on their way: when the driver sees status 0, nothing of the device writes its memory any more.
 */
static void test_reset_in_flight(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[1u << 20];

    memset(bytes, 'x', sizeof(bytes));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pwrite(f->fd, bytes, sizeof(bytes), i << 20), sizeof(bytes));
    for (unsigned round = 0; round < 200; round++) {
        start_with(f, UINT64_MAX);
        flood(f, 0, 20, HARNESS_MEMORY_GPA + 0x100000);
        flood(f, 1, 20, HARNESS_MEMORY_GPA + 0x200000);
        for (unsigned i = 0; i < round * 20; i++)
            __asm__ volatile("pause");
        harness_write(&f->h, 0x14, 1, 0);
        memset(f->h.ram, 0, HARNESS_MEMORY_BYTES);
        sched_yield();
        for (unsigned i = 0; i < HARNESS_MEMORY_BYTES; i += 512)
            assert_int_equal(f->h.ram[i], 0);
    }
    start_with(f, UINT64_MAX);
    assert_int_equal(simple(f, VIRTIO_BLK_T_IN, 0, HARNESS_MEMORY_GPA + 0x100000, 512), 0);
}

/* Both queues full at once; each request comes back once, with its data. */
static void test_two_queues(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[4u << 20];

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i / 512 + i / 131072);
    assert_int_equal(pwrite(f->fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    start_with(f, UINT64_MAX);
    for (unsigned round = 0; round < 30; round++) {
        flood(f, 0, 21, HARNESS_MEMORY_GPA + 0x100000);
        flood(f, 1, 21, HARNESS_MEMORY_GPA + 0x200000);
        for (unsigned queue = 0; queue < 2; queue++) {
            uint64_t seen = 0;

            for (unsigned i = 0; i < 21; i++) {
                uint32_t written;
                uint16_t head;

                assert_int_equal(harness_wait(&f->h, queue, &head, &written), 1);
                assert_int_equal(written, 65537);
                assert_int_equal(seen >> head & 1, 0);
                seen |= 1ull << head;
            }
        }
    }
    assert_int_equal(harness_status(&f->h), 0x0f);
}

/* The same descriptor made available again and again while its requests are on their way (26): no more than the device
 * has room for at a time, and the machine lives. */
static void test_greedy_driver(void **state)
{
    struct fixture *f = *state;
    uint16_t *avail;

    start_with(f, UINT64_MAX);
    flood(f, 0, 1, HARNESS_MEMORY_GPA + 0x100000);
    avail = harness_at(&f->h, f->h.queues[0].avail_gpa);
    for (unsigned i = 0; i < 20000; i++) {
        __atomic_store_n(&avail[2 + i % 64], 0, __ATOMIC_RELAXED);
        __atomic_fetch_add(&avail[1], 30, __ATOMIC_RELEASE);
        harness_kick(&f->h, 0);
        if (harness_status(&f->h) & 0x40)
            break;
    }
    start_with(f, UINT64_MAX);
    assert_int_equal(simple(f, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
}

static uint64_t capacity(struct fixture *f)
{
    return harness_read(&f->h, 0x2000, 8);
}

static void test_configuration(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(capacity(f), DISK_BYTES / 512);
    assert_int_equal(harness_read(&f->h, 0x2000 + 4, 4), 0);
    assert_int_equal(harness_read(&f->h, 0x2000 + offsetof(struct virtio_blk_config, num_queues), 2), 2);
    assert_int_equal(harness_read(&f->h, 0x2000 + offsetof(struct virtio_blk_config, blk_size), 4), 512);
    for (unsigned at = 0; at < 256; at++)
        for (unsigned size = 1; size <= 8; size *= 2) {
            harness_write(&f->h, 0x2000 + at, size, UINT64_MAX);
            (void)harness_read(&f->h, 0x2000 + at, size);
        }
    assert_int_equal(capacity(f), DISK_BYTES / 512);
    assert_int_equal(harness_read(&f->h, 0x20fc, 8), 0);
}

/* A file system may take the second descriptor and refuse what comes through it, as an overlay on one in memory does:
 * here it is a file that takes numbers. */
static void test_direct_refused(void **state)
{
    struct fixture f = {0};
    char more[32], byte = 0;
    uint64_t gpa;

    (void)state;
    f.fd = make_file();
    snprintf(more, sizeof(more), ",direct-fd=%d", open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    open_disk(&f, fcntl(f.fd, F_DUPFD_CLOEXEC, 0), more);
    assert_int_equal(harness_start(&f.h, UINT64_MAX, 1, 64), 0x0f);
    f.status_gpa = harness_alloc(&f.h, 1);
    gpa = (harness_alloc(&f.h, 3 * 4096) + 4095) / 4096 * 4096;
    memset(harness_at(&f.h, gpa), 'x', 4096);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_OUT, 8, gpa, 4096), 0);
    assert_int_equal(pread(f.fd, &byte, 1, 8 * 512), 1);
    assert_int_equal(byte, 'x');
    memset(harness_at(&f.h, gpa), 0, 4096);
    assert_int_equal(simple(&f, VIRTIO_BLK_T_IN, 8, gpa, 4096), 0);
    assert_int_equal(*(char *)harness_at(&f.h, gpa), 'x');
    harness_done(&f.h);
    close(f.fd);
}

/* Past the cache goes what the host can take that way, and nothing else. */
static void test_where_it_goes(void **state)
{
    struct block_image image = {.fd = 7, .direct_fd = 8};
    char *bytes = (char *)0x10000;
    struct iovec two[] = {{bytes, 4096}, {bytes + 8192, 8192}}, one = {bytes, 4096};
    struct block_request r = {.op = BLOCK_READ, .offset = 12288, .length = 12288, .iov = two, .n_iov = 2};

    (void)state;
    assert_int_equal(block_image_fd(&image, &r), 8);
    r.op = BLOCK_WRITE;
    assert_int_equal(block_image_fd(&image, &r), 8);
    r.op = BLOCK_FLUSH;
    assert_int_equal(block_image_fd(&image, &r), 7);
    r.op = BLOCK_WRITE;
    two[1].iov_base = bytes + 8704;
    assert_int_equal(block_image_fd(&image, &r), 7);
    two[1] = (struct iovec){bytes + 8192, 512};
    assert_int_equal(block_image_fd(&image, &r), 7);
    r = (struct block_request){.op = BLOCK_READ, .offset = 512, .length = 4096, .iov = &one, .n_iov = 1};
    assert_int_equal(block_image_fd(&image, &r), 7);
    r.moved = 3584; /* the rest of a short transfer */
    assert_int_equal(block_image_fd(&image, &r), 8);
    image.direct_fd = -1;
    assert_int_equal(block_image_fd(&image, &r), 7);
}

static void test_refresh(void **state)
{
    struct block_image image;
    struct err e = ERR_INIT;
    int fd = make_file();

    (void)state;
    assert_int_equal(block_image_open(&image, fd, false, &e), 0);
    assert_int_equal(block_image_refresh(&image, &e), 0);
    assert_int_equal(ftruncate(fd, DISK_BYTES + 700), 0);
    assert_int_equal(block_image_refresh(&image, &e), 1);
    assert_int_equal(image.size_bytes, DISK_BYTES + 512);
    assert_int_equal(ftruncate(fd, DISK_BYTES + 800), 0);
    assert_int_equal(block_image_refresh(&image, &e), 0);
    block_image_close(&image);
    assert_int_equal(block_image_refresh(&image, &e), -EBADF);
    block_image_close(&image);
    fd = memfd_create("small", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 511), 0);
    assert_int_equal(block_image_open(&image, fd, false, &e), -EINVAL);
    assert_string_equal(e.code, "disk.size");
    block_image_close(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_2_7_8_2_length_of_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_5_2_6_no_header_or_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_errors_of_the_file),
        cmocka_unit_test_setup_teardown(test_5_2_6_2_write_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_of_the_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_queues, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greedy_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_where_it_goes),
        cmocka_unit_test(test_direct_refused),
    };
    int n_failed;

    engine = "uring";
    n_failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
    engine = "threads";
    return n_failed + cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
