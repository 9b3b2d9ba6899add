/* Configuration space, BARs and MSI-X of a bus with three devices: the input is a program of accesses by a guest. After
 * a reset every device answers at its first place again, wherever the guest had put them. */
#include "program.h"
#include "vmm/harness.h"

#define ECAM    0xe0000000ull
#define WINDOW  0xc0000000ull
#define DEVICES 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct harness harness; /* with the first device */
static struct virtio *others[DEVICES - 1];

static void set_up(void)
{
    const struct device_type *type = device_type_find("rng");
    struct propstr options;
    struct err e = ERR_INIT;

    if (harness_init(&harness, "rng", "", &e) < 0 || propstr_parse("", "source", &options, &e) < 0)
        abort();
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        if (type->new (&harness.host, &options, &others[i], &e) < 0)
            abort();
    /* Somebody counts the interrupts of one vector; there is no such thing of one that is not there. */
    if (virtio_test_interrupt_fd(others[1], 0) < 0 || virtio_test_interrupt_fd(others[1], 7) >= 0)
        abort();
}

static void step(struct program *p)
{
    struct bus *b = &harness.mmio;
    unsigned what = (unsigned)take(p, 1), slot = what >> 3 & 7, size = (unsigned)take(p, 1);
    uint64_t at, value;

    size = size % 16 ? 1u << size % 4 : size >> 4;
    switch (what & 7) {
    case 0:
        at = take(p, 1);
        bus_write(b, ECAM + ((uint64_t)slot << 15) + at, size, take(p, 4));
        break;
    case 1:
        (void)bus_read(b, ECAM + ((uint64_t)slot << 15) + take(p, 1), size);
        break;
    case 2: /* any place of configuration space */
        at = take(p, 3);
        bus_write(b, ECAM + at, size, take(p, 4));
        (void)bus_read(b, ECAM + at, size);
        break;
    case 3: /* the BAR to one of a few places, some of them taken */
        at = take(p, 1);
        at = at & 0x80 ? ECAM + (at & 7) * 0x8000 : WINDOW + (at & 7) * 0x8000;
        bus_write(b, ECAM + ((uint64_t)slot << 15) + 0x10, 4, at);
        break;
    case 4: /* MSI-X tables wherever they are */
        at = WINDOW + slot * 0x8000ull + 0x6000;
        value = take(p, 2);
        at += value & 0x8000 ? value % 0x28 : value % 0x2000;
        bus_write(b, at, size, take(p, 8));
        break;
    case 5:
        at = WINDOW + slot * 0x8000ull + take(p, 2) % 0x8000;
        (void)bus_read(b, at, size);
        break;
    case 6: /* MSI-X on, off, masked */
        bus_write(b, ECAM + ((uint64_t)slot << 15) + 0x42, 2, take(p, 2));
        break;
    default:
        if (slot == 6) { /* a driver that wants to be interrupted */
            harness.next_gpa = HARNESS_MEMORY_GPA;
            (void)harness_start(&harness, UINT64_MAX, 1, 16);
            harness_write(&harness, 0x10, 2, size & 1);
        }
        virtio_fail(slot & 1 ? harness.device : others[0]);
        virtio_config_changed(others[1]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct program p = {data, data + n};

    if (!harness.device)
        set_up();
    virtio_reset(harness.device);
    virtio_reset(others[0]);
    virtio_reset(others[1]);
    pci_bus_reset(harness.pci);
    for (unsigned i = 1; i <= DEVICES; i++) {
        uint64_t place = WINDOW + i * 0x8000ull;

        /* The number of queues, and all vectors masked. */
        if (bus_read(&harness.mmio, ECAM + i * 0x8000ull + 0x10, 4) != place ||
            bus_read(&harness.mmio, place + 0x12, 2) != 1 || bus_read(&harness.mmio, place + 0x600c, 4) != 1)
            abort();
    }
    for (unsigned i = 0; p.at < p.end && i < 500; i++)
        step(&p);
    if (n && data[n - 1] == 0xff) { /* all is gone, wherever it was put; the next input makes it anew */
        virtio_free(others[0]);
        virtio_free(others[1]);
        harness_done(&harness);
        harness.device = NULL;
    }
    return 0;
}
