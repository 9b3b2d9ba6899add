// Reads a block device at random, 4 KiB each, with so many requests under way: the load for figures of virtio-blk. Runs
// in the inner guest. Usage: randread DEVICE REQUESTS DEPTH; prints READS_BEGIN and READS_END, and waits for a line of
// input before each, so that what is outside can read its counters while nothing happens.
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define DEPTH_MAX   128

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void stop_for_input(const char *text)
{
    char line[16];
    puts(text);
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        fail("standard input");
}

// A row of numbers that is the same in every run.
static uint64_t next_random(void)
{
    static uint64_t x = 88172645463325252ULL;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static void submit(aio_context_t context, struct iocb *request, int fd, void *buffer, uint64_t n_blocks)
{
    *request = (struct iocb){.aio_data = (uintptr_t)request,
                             .aio_lio_opcode = IOCB_CMD_PREAD,
                             .aio_fildes = (uint32_t)fd,
                             .aio_buf = (uintptr_t)buffer,
                             .aio_nbytes = BLOCK_BYTES,
                             .aio_offset = (int64_t)(next_random() % n_blocks * BLOCK_BYTES)};
    if (syscall(SYS_io_submit, context, 1L, &request) != 1)
        fail("io_submit");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    long n_left = strtol(argv[2], NULL, 10), depth = strtol(argv[3], NULL, 10), n_started = 0;
    int fd = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
    uint64_t size = 0;
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0 || size < BLOCK_BYTES)
        fail(argv[1]);
    aio_context_t context = 0;
    if (depth < 1 || depth > DEPTH_MAX || syscall(SYS_io_setup, depth, &context) < 0)
        fail("io_setup");
    static struct iocb requests[DEPTH_MAX];
    char *buffers = aligned_alloc(BLOCK_BYTES, (size_t)depth * BLOCK_BYTES);
    stop_for_input("READS_BEGIN");
    long n_all = n_left;
    for (; n_started < depth && n_started < n_all; n_started++)
        submit(context, &requests[n_started], fd, buffers + n_started * BLOCK_BYTES, size / BLOCK_BYTES);
    while (n_left > 0) {
        struct io_event events[DEPTH_MAX];
        long n = syscall(SYS_io_getevents, context, 1L, depth, events, NULL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail("io_getevents");
        for (long i = 0; i < n; i++, n_left--) {
            if (events[i].res != BLOCK_BYTES)
                fail("a read");
            struct iocb *request = (struct iocb *)(uintptr_t)events[i].data; // NOLINT(performance-no-int-to-ptr)
            if (n_started++ < n_all)
                submit(context, request, fd, buffers + (request - requests) * BLOCK_BYTES, size / BLOCK_BYTES);
        }
    }
    stop_for_input("READS_END");
    return 0;
}
