/* Saved state of devices: the input is a record as a file or a peer could hold it. What is accepted is written out and
 * read again as the same; a device that took a record, or refused it, works after a reset. */
#include <sys/mman.h>

#include "vmm/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define STATE_MAX (1u << 20)

static struct harness devices[2];

static void set_up(void)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);
    struct err e = ERR_INIT;
    char text[64];

    if (fd < 0 || ftruncate(fd, 65536) < 0)
        abort();
    snprintf(text, sizeof(text), "fd=%d,queues=2", fd);
    if (harness_init(&devices[0], "rng", "", &e) < 0 || harness_init(&devices[1], "disk", text, &e) < 0)
        abort();
}

/* Rings inside of memory, so that some of the records describe a device at work. */
static void round_trip(struct harness *h, const uint8_t *data, size_t n)
{
    struct state_reader reader = {.at = data, .end = data + n};
    struct err e = ERR_INIT;
    struct buf first, second;

    buf_init(&first, STATE_MAX);
    buf_init(&second, STATE_MAX);
    if (virtio_load(h->device, &reader, &e) < 0) {
        if (!e.code[0] || harness_status(h) != 0)
            abort();
    } else if (!virtio_is_running(h->device)) {
        virtio_save(h->device, &first);
        reader =
            (struct state_reader){.at = (const uint8_t *)first.data, .end = (const uint8_t *)first.data + first.len};
        if (virtio_load(h->device, &reader, &e) < 0 || state_reader_end(&reader, "a device", &e) < 0)
            abort();
        virtio_save(h->device, &second);
        if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
            abort();
    } else {
        harness_turn(h);
    }
    buf_done(&first);
    buf_done(&second);
    harness_write(h, 0x14, 1, 0);
    h->next_gpa = HARNESS_MEMORY_GPA;
    memset(h->queues, 0, sizeof(h->queues));
    if (harness_start(h, UINT64_MAX, 1, 16) != 0x0f)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    if (!devices[0].device)
        set_up();
    round_trip(&devices[data[0] & 1], data + 1, n - 1);
    return 0;
}
