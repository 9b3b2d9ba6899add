/* The common part of virtio devices: status, features, queues, configuration, the window through PCI, saved state, and
 * that a driver which sleeps until it is interrupted is always woken. Section numbers: virtio 1.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>

#include "vmm/harness.h"

#define ECAM   0xe0000000ull
#define WINDOW 0xc0000000ull
#define BAR    (WINDOW + 0x8000)

#define STATUS  0x14
#define SELECT  0x16
#define SIZE    0x18
#define VECTOR  0x1a
#define ENABLE  0x1c
#define DESC    0x20
#define VERSION (1ull << 32)

static int setup(void **state)
{
    struct harness *h = calloc(1, sizeof(*h));
    struct err e = ERR_INIT;

    assert_int_equal(harness_init(h, "rng", "", &e), 0);
    pci_bus_reset(h->pci);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_done(*state);
    free(*state);
    return 0;
}

static uint64_t get(struct harness *h, unsigned at, unsigned size)
{
    return harness_read(h, at, size);
}
static void put(struct harness *h, unsigned at, unsigned size, uint64_t v)
{
    harness_write(h, at, size, v);
}

static void accept_features(struct harness *h, uint64_t features)
{
    for (unsigned half = 0; half < 2; half++) {
        put(h, 0x08, 4, half);
        put(h, 0x0c, 4, features >> 32 * half & UINT32_MAX);
    }
}

static void test_2_1_status(void **state)
{
    struct harness *h = *state;

    assert_int_equal(get(h, STATUS, 1), 0);
    put(h, STATUS, 1, 1);
    put(h, STATUS, 1, 3);
    assert_int_equal(get(h, STATUS, 1), 3);
    /* The driver clears no bit but by reset, and never sets "needs reset". */
    put(h, STATUS, 1, 1);
    assert_int_equal(get(h, STATUS, 1), 3);
    put(h, STATUS, 1, 0x43);
    assert_int_equal(get(h, STATUS, 1), 3);
    /* DRIVER_OK without FEATURES_OK is nothing. */
    put(h, STATUS, 1, 7);
    assert_int_equal(get(h, STATUS, 1) & 4, 0);
    assert_false(virtio_is_running(h->device));
    accept_features(h, VERSION);
    put(h, STATUS, 1, 0xb);
    put(h, STATUS, 1, 0xf);
    assert_int_equal(get(h, STATUS, 1), 0xf);
    assert_true(virtio_is_running(h->device));
    put(h, STATUS, 1, 0);
    assert_int_equal(get(h, STATUS, 1), 0);
    assert_false(virtio_is_running(h->device));
}

static void test_2_2_features(void **state)
{
    struct harness *h = *state;
    uint64_t offered = harness_offered(h);

    assert_true(offered & VERSION);
    put(h, 0x00, 4, 2);
    assert_int_equal(get(h, 0x04, 4), 0); /* there is no third half */
    put(h, 0x00, 4, UINT32_MAX);
    assert_int_equal(get(h, 0x04, 4), 0);
    /* 2.2.2: what was not offered, and a driver from before version 1, are refused. */
    for (unsigned bit = 0; bit < 64; bit++) {
        harness_reset(h);
        put(h, STATUS, 1, 3);
        accept_features(h, VERSION | 1ull << bit);
        put(h, STATUS, 1, 0xb);
        assert_int_equal(get(h, STATUS, 1) & 8, offered >> bit & 1 ? 8 : 0);
    }
    harness_reset(h);
    accept_features(h, 0);
    put(h, STATUS, 1, 0xb);
    assert_int_equal(get(h, STATUS, 1), 3);
    /* Once accepted they stay. */
    accept_features(h, VERSION);
    put(h, STATUS, 1, 0xb);
    assert_int_equal(get(h, STATUS, 1), 0xb);
    accept_features(h, UINT64_MAX);
    put(h, 0x08, 4, 0);
    assert_int_equal(get(h, 0x0c, 4), 0);
    put(h, 0x08, 4, 7);
    put(h, 0x0c, 4, UINT32_MAX);
    assert_int_equal(get(h, 0x0c, 4), 0);
}

/* A queue is set up between FEATURES_OK and its being enabled, and never after DRIVER_OK. */
static void test_4_1_4_3_2_queue_setup(void **state)
{
    struct harness *h = *state;
    uint64_t where;

    put(h, SIZE, 2, 8);
    assert_int_equal(get(h, SIZE, 2), 64); /* too early */
    accept_features(h, VERSION);
    put(h, STATUS, 1, 0xb);
    put(h, SIZE, 2, 8);
    assert_int_equal(get(h, SIZE, 2), 8);
    where = harness_alloc(h, 4096);
    put(h, DESC, 4, where & UINT32_MAX);
    put(h, DESC + 4, 4, 1);
    assert_int_equal(get(h, DESC, 8), where | 1ull << 32);
    put(h, DESC, 8, where);
    put(h, 0x28, 8, harness_alloc(h, 4096));
    put(h, 0x30, 8, harness_alloc(h, 4096));
    put(h, ENABLE, 2, 0);
    put(h, ENABLE, 2, 2);
    assert_int_equal(get(h, ENABLE, 2), 0);
    put(h, ENABLE, 2, 1);
    assert_int_equal(get(h, ENABLE, 2), 1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned at = SIZE; at < 0x38; at += 2)
            if (at != VECTOR)
                put(h, at, at < DESC ? 2 : 4, 3);
        assert_int_equal(get(h, SIZE, 2), 8);
        assert_int_equal(get(h, DESC, 8), where);
        assert_int_equal(get(h, ENABLE, 2), 1);
        put(h, STATUS, 1, 0xf);
    }
    assert_int_equal(get(h, STATUS, 1), 0xf);
    /* A reset gives everything back. */
    put(h, STATUS, 1, 0);
    assert_int_equal(get(h, SIZE, 2), 64);
    assert_int_equal(get(h, DESC, 8), 0);
    assert_int_equal(get(h, ENABLE, 2), 0);
}

static void test_bad_queues_fail_the_device_only(void **state)
{
    static const struct {
        uint16_t size;
        uint64_t desc, avail, used;
    } cases[] = {
        {0, 0x100000, 0x101000, 0x102000},
        {3, 0x100000, 0x101000, 0x102000},
        {128, 0x100000, 0x101000, 0x102000},
        {8, 0x100008, 0x101000, 0x102000},
        {8, 0, 0x101000, 0x102000},
        {8, 0x100000, UINT64_MAX - 1, 0x102000},
        {8, 0x100000, 0x101000, 0x500000 - 4},
        {8, UINT64_MAX - 15, 0x101000, 0x102000},
    };
    struct harness *h = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        harness_reset(h);
        accept_features(h, VERSION);
        put(h, STATUS, 1, 0xb);
        put(h, SIZE, 2, cases[i].size);
        put(h, DESC, 8, cases[i].desc);
        put(h, 0x28, 8, cases[i].avail);
        put(h, 0x30, 8, cases[i].used);
        put(h, ENABLE, 2, 1);
        assert_int_equal(get(h, ENABLE, 2), 0);
        assert_int_equal(get(h, STATUS, 1) & 0x40, 0x40);
        put(h, STATUS, 1, 0xf);
        harness_kick(h, 0);
    }
    harness_reset(h);
    assert_int_equal(harness_start(h, UINT64_MAX, 1, 8), 0xf);
}

static void test_numbers_out_of_range(void **state)
{
    struct harness *h = *state;

    for (unsigned queue = 1; queue < 65536; queue += queue < 40 ? 1 : 4099) {
        put(h, SELECT, 2, queue);
        assert_int_equal(get(h, SELECT, 2), queue);
        for (unsigned at = SIZE; at < 0x38; at += 2) {
            assert_int_equal(get(h, at, 2), 0);
            put(h, at, 2, UINT16_MAX);
        }
    }
    put(h, SELECT, 2, 0);
    /* 4.1.4.3.1: a vector that is none reads back as none; the device has two. */
    for (unsigned vector = 0; vector < 65536; vector += vector < 40 ? 1 : 4099) {
        put(h, VECTOR, 2, vector);
        assert_int_equal(get(h, VECTOR, 2), vector < 2 ? vector : 0xffff);
        put(h, 0x10, 2, vector);
        assert_int_equal(get(h, 0x10, 2), vector < 2 ? vector : 0xffff);
    }
    /* Doorbells beyond the last queue, and every other place. */
    for (unsigned at = 0; at < 0x6000; at += 2) {
        if (at == STATUS)
            continue;
        put(h, at, 2, 0);
        (void)get(h, at, 8);
    }
    assert_int_equal(get(h, STATUS, 1), 0);
}

/* 4.1.4.9: all registers through configuration space. */
static void test_4_1_4_9_window(void **state)
{
    struct harness *h = *state;
    uint64_t config = ECAM + 0x8000;
    unsigned at = (unsigned)bus_read(&h->mmio, config + 0x34, 1);

    while (at && !(bus_read(&h->mmio, config + at, 1) == 9 && bus_read(&h->mmio, config + at + 3, 1) == 5))
        at = (unsigned)bus_read(&h->mmio, config + at + 1, 1);
    assert_true(at);
    bus_write(&h->mmio, config + at + 8, 4, STATUS);
    bus_write(&h->mmio, config + at + 12, 4, 1);
    bus_write(&h->mmio, config + at + 16, 1, 3);
    assert_int_equal(get(h, STATUS, 1), 3);
    assert_int_equal(bus_read(&h->mmio, config + at + 16, 1), 3);
    /* The head of the capability is not the guest's to change. */
    bus_write(&h->mmio, config + at, 4, UINT32_MAX);
    assert_int_equal(bus_read(&h->mmio, config + at, 1), 9);
    assert_int_equal(bus_read(&h->mmio, config + at + 3, 1), 5);
    /* Another BAR, odd places and sizes, beyond the registers: nothing happens. */
    static const struct {
        uint32_t bar, offset, size;
    } bad[] = {{1, STATUS, 1},          {0, STATUS + 1, 2}, {0, STATUS, 0},     {0, STATUS, 3},    {0, STATUS, 8},
               {0, STATUS, UINT32_MAX}, {0, 0x6000, 4},     {0, UINT32_MAX, 1}, {0, 0xfffffffc, 4}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        bus_write(&h->mmio, config + at + 4, 1, bad[i].bar);
        bus_write(&h->mmio, config + at + 8, 4, bad[i].offset);
        bus_write(&h->mmio, config + at + 12, 4, bad[i].size);
        bus_write(&h->mmio, config + at + 16, 4, 0);
        (void)bus_read(&h->mmio, config + at + 16, 4);
        assert_int_equal(get(h, STATUS, 1), 3);
    }
    virtio_reset(h->device);
    assert_int_equal(bus_read(&h->mmio, config + at + 8, 4), 0);
}

/* Configuration: a change raises its vector and the generation, when a driver is there. */
static void test_2_5_configuration_change(void **state)
{
    struct harness *h = *state;
    uint64_t before = get(h, 0x15, 1);

    virtio_config_changed(h->device);
    assert_int_equal(get(h, 0x15, 1), (before + 1) & 0xff);
    assert_int_equal(get(h, 0x1000, 1), 0);
    assert_int_equal(harness_start(h, 0, 1, 8), 0xf);
    virtio_config_changed(h->device);
    assert_int_equal(get(h, 0x1000, 1), 2);
    assert_int_equal(get(h, 0x1000, 1), 0); /* reading it clears it (4.1.4.5.1) */
    virtio_fail(h->device);
    virtio_fail(h->device);
    assert_int_equal(get(h, STATUS, 1), 0x4f);
    assert_int_equal(get(h, 0x1000, 1), 2);
    /* This kind has no configuration of its own. */
    assert_int_equal(get(h, 0x2000, 4), 0);
    put(h, 0x2000, 4, 1);
}

/* MSI-X on, vector 1 for the queue; a descriptor that counts what a driver is woken by. */
static int listen_to(struct harness *h)
{
    put(h, SELECT, 2, 0);
    bus_write(&h->mmio, ECAM + 0x8000 + 0x42, 2, 0x8000);
    bus_write(&h->mmio, BAR + 0x6000 + 12, 4, 0);
    bus_write(&h->mmio, BAR + 0x6000 + 16 + 12, 4, 0);
    return virtio_test_interrupt_fd(h->device, 1);
}

static bool was_woken(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

/* With and without EVENT_IDX: after each batch, however its size falls to the limit of a turn, the interrupt asked for
 * comes, and none when nothing was done. */
static void test_interrupts(void **state)
{
    struct harness *h = *state;

    for (unsigned i = 0; i < 2; i++) {
        int fd;

        harness_reset(h);
        pci_bus_reset(h->pci);
        assert_int_equal(harness_start(h, i ? VIRTQ_F_EVENT_IDX : 0, 1, 64), 0xf);
        fd = listen_to(h);
        harness_kick(h, 0);
        assert_false(was_woken(fd)); /* nothing was there */
        for (unsigned batch = 1; batch <= 64; batch += 7) {
            struct harness_queue *q = &h->queues[0];
            struct harness_piece piece = {HARNESS_MEMORY_GPA + 0x200000, 16, true};
            uint16_t *avail = harness_at(h, q->avail_gpa);
            uint32_t written;
            uint16_t head;

            /* "When the last of these is done" (2.7.7.2). */
            avail[2 + q->size] = (uint16_t)(q->used_seen + batch - 1);
            for (unsigned k = 0; k < batch; k++)
                harness_add(h, 0, &piece, 1);
            harness_kick(h, 0);
            for (unsigned turns = 0; turns < 10; turns++)
                harness_turn(h);
            assert_true(was_woken(fd));
            for (unsigned k = 0; k < batch; k++)
                assert_int_equal(harness_take(h, 0, &head, &written), 1);
            assert_int_equal(harness_take(h, 0, &head, &written), 0);
            assert_int_equal(get(h, STATUS, 1), 0xf);
        }
        /* And not when the driver asks for a later one. */
        struct harness_piece piece = {HARNESS_MEMORY_GPA + 0x200000, 16, true};
        uint16_t *avail = harness_at(h, h->queues[0].avail_gpa);
        avail[2 + h->queues[0].size] = (uint16_t)(h->queues[0].used_seen + 5);
        avail[0] = 1;
        harness_add(h, 0, &piece, 1);
        harness_kick(h, 0);
        assert_false(was_woken(fd));
    }
}

static void save(struct harness *h, struct buf *b)
{
    buf_reset(b);
    virtio_save(h->device, b);
    assert_false(b->is_failed);
}

static int load(struct harness *h, const void *p, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    struct state_reader r = {.at = exact, .end = exact + n};
    struct err e = ERR_INIT;
    int result;

    memcpy(exact, p, n);
    result = virtio_load(h->device, &r, &e);
    if (result == 0)
        result = state_reader_end(&r, "rng", &e);
    free(exact);
    return result;
}

static void test_save_and_load(void **state)
{
    struct harness *h = *state;
    struct harness_piece piece;
    struct buf first, second;
    uint32_t written;
    uint16_t head;

    buf_init(&first, 65536);
    buf_init(&second, 65536);
    assert_int_equal(harness_start(h, UINT64_MAX, 1, 8), 0xf);
    piece = (struct harness_piece){harness_alloc(h, 64), 64, true};
    for (unsigned i = 0; i < 5; i++) {
        harness_add(h, 0, &piece, 1);
        harness_kick(h, 0);
        assert_int_equal(harness_take(h, 0, &head, &written), 1);
    }
    harness_add(h, 0, &piece, 1); /* rung for before, done after */
    save(h, &first);
    virtio_reset(h->device);
    assert_int_equal(load(h, first.data, first.len), 0);
    save(h, &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    assert_int_equal(get(h, STATUS, 1), 0xf);
    harness_turn(h);
    assert_int_equal(harness_take(h, 0, &head, &written), 1);
    assert_int_equal(written, 64);
    /* Each byte of it wrong, and each length: taken or refused, never half; a refused one leaves a fresh device. */
    for (size_t n = 0; n < first.len; n++)
        assert_int_equal(load(h, first.data, n), -EBADMSG);
    for (size_t i = 0; i < first.len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            first.data[i] = (char)(first.data[i] ^ 1 << bit);
            if (load(h, first.data, first.len) < 0)
                assert_int_equal(get(h, STATUS, 1), 0);
            harness_turn(h);
            first.data[i] = (char)(first.data[i] ^ 1 << bit);
        }
    harness_reset(h);
    assert_int_equal(harness_start(h, UINT64_MAX, 1, 8), 0xf);
    buf_done(&first);
    buf_done(&second);
}

/* A driver may ask for what is not offered; it is refused at FEATURES_OK, and saved in between it goes on as it was. */
static void test_save_before_features_ok(void **state)
{
    struct harness *h = *state;
    struct buf b;

    buf_init(&b, 4096);
    put(h, STATUS, 1, 3);
    accept_features(h, UINT64_MAX);
    save(h, &b);
    assert_int_equal(load(h, b.data, b.len), 0);
    assert_int_equal(get(h, STATUS, 1), 3);
    put(h, STATUS, 1, 0x0b);
    assert_int_equal(get(h, STATUS, 1), 3);
    b.data[1 + 8 + 4 + 4 + 2] = 0x0b; /* the status: no driver could have come this far */
    assert_int_equal(load(h, b.data, b.len), -EBADMSG);
    memset(b.data + 1, 0, 8); /* nor with a device of the old kind */
    assert_int_equal(load(h, b.data, b.len), -EBADMSG);
    buf_done(&b);
}

static void test_refused_devices(void **state)
{
    struct harness h;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(harness_init(&h, "nonsense", "", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "rng", "source=/dev/random", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "rng", "size=1", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "disk", "", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "disk", "raw=/nonexistent", &e), -ENOENT);
    assert_int_equal(harness_init(&h, "disk", "raw=/dev/null", &e), -EINVAL);
    assert_string_equal(e.code, "disk.kind");
    assert_int_equal(harness_init(&h, "disk", "raw=/dev/null,fd=0", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "disk", "raw=/dev/null,queues=17", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "disk", "raw=/dev/null,engine=x", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "disk", "raw=/dev/null,serial=123456789012345678901", &e), -EINVAL);
    assert_int_equal(harness_init(&h, "disk", "raw=/,readonly=on", &e), -EINVAL);
    assert_string_equal(e.code, "disk.kind");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_2_1_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_2_2_features, setup, teardown),
        cmocka_unit_test_setup_teardown(test_4_1_4_3_2_queue_setup, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_queues_fail_the_device_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_out_of_range, setup, teardown),
        cmocka_unit_test_setup_teardown(test_4_1_4_9_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_2_5_configuration_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_and_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_before_features_ok, setup, teardown),
        cmocka_unit_test(test_refused_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
