/* Saved state of devices: the input is a record as a file or a peer could hold it. What is accepted is written out and
 * read again as the same; a device that took a record, or refused it, works after a reset. */
#include "device_end.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define STATE_MAX (1u << 20)

static const char *const kinds[] = {"rng", "disk", "balloon", "net", "vconsole", "vsock"};
static struct end devices[ARRAY_SIZE(kinds)];

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
    for (size_t i = 0; i < ARRAY_SIZE(kinds) && !devices[i].kind; i++)
        end_init(&devices[i], kinds[i], 0);
    round_trip(&devices[data[0] % ARRAY_SIZE(kinds)].harness, data + 1, n - 1);
    return 0;
}
