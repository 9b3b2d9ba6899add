/* Configuration space, BARs and MSI-X as a guest uses them: through the bus, on a machine without KVM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>

#include "vmm/harness.h"

#define ECAM    0xe0000000ull
#define WINDOW  0xc0000000ull
#define COMMAND 0x04
#define BAR     0x10
#define MSIX    0x40
#define TABLE   0x6000u
#define PENDING 0x7000u

struct fixture {
    struct harness h;
    struct virtio *second;
    struct pci_function *bare; /* with three vectors and nothing behind it */
    unsigned n_moves;
    uint64_t moved_to;
};

static uint64_t bare_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)size;
    return offset;
}
static void bare_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    (void)value;
}
static void bare_moved(void *device, uint64_t gpa)
{
    struct fixture *f = device;

    f->n_moves++;
    f->moved_to = gpa;
}
static const struct pci_ops bare_ops = {.bar_read = bare_read, .bar_write = bare_write, .bar_moved = bare_moved};

static int setup(void **state)
{
    const struct pci_identity id = {.vendor = 0x1234, .device = 0x5678, .class_code = 0xff0000, .n_vectors = 3};
    struct fixture *f = calloc(1, sizeof(*f));
    struct propstr options;
    struct err e = ERR_INIT;

    assert_int_equal(harness_init(&f->h, "rng", "", &e), 0);
    assert_int_equal(propstr_parse("", "source", &options, &e), 0);
    assert_int_equal(device_rng.new(&f->h.host, &options, &f->second, &e), 0);
    assert_int_equal(pci_function_new(f->h.pci, &id, &bare_ops, f, NULL, 0, &f->bare, &e), 0);
    pci_bus_reset(f->h.pci);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    virtio_free(f->second);
    harness_done(&f->h);
    free(f);
    return 0;
}

static uint64_t config(struct fixture *f, unsigned slot, unsigned at, unsigned size)
{
    return bus_read(&f->h.mmio, ECAM + slot * 0x8000ull + at, size);
}
static void set_config(struct fixture *f, unsigned slot, unsigned at, unsigned size, uint64_t value)
{
    bus_write(&f->h.mmio, ECAM + slot * 0x8000ull + at, size, value);
}
static bool answers_at(struct fixture *f, uint64_t gpa)
{
    return (uint32_t)bus_read(&f->h.mmio, gpa, 4) != UINT32_MAX;
}

static void test_identity(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(config(f, 0, 0, 4), 0x00081b36);
    assert_int_equal(config(f, 1, 0, 4), 0x10441af4);
    assert_int_equal(config(f, 1, 8, 4) & 0xff, 1);
    assert_int_equal(config(f, 3, 0, 4), 0x56781234);
    assert_int_equal(config(f, 3, 2, 2), 0x5678);
    assert_int_equal(config(f, 3, 1, 1), 0x12);
    /* Nobody: another slot, function, bus. */
    assert_int_equal((uint32_t)config(f, 4, 0, 4), UINT32_MAX);
    assert_int_equal((uint32_t)bus_read(&f->h.mmio, ECAM + 0x9000, 4), UINT32_MAX);
    assert_int_equal((uint32_t)bus_read(&f->h.mmio, ECAM + 0x100000, 4), UINT32_MAX);
    /* Identity cannot be written; the extended space holds nothing; a word across its end reads as nothing. */
    set_config(f, 3, 0, 4, 0);
    assert_int_equal(config(f, 3, 0, 4), 0x56781234);
    assert_int_equal(config(f, 3, 0x100, 4), 0);
    assert_int_equal(config(f, 3, 0xff, 4), 0);
    set_config(f, 3, 0xfe, 4, UINT32_MAX);
}

/* The list of capabilities ends, stays inside and has MSI-X and the five of virtio (4.1.4). */
static void test_capabilities(void **state)
{
    struct fixture *f = *state;
    unsigned at = (unsigned)config(f, 1, 0x34, 1), n = 0, n_virtio = 0;

    assert_int_equal(config(f, 1, 6, 2) & 0x10, 0x10);
    for (; at && n < 64; n++, at = (unsigned)config(f, 1, at + 1, 1)) {
        assert_true(at >= 0x40 && at % 4 == 0);
        if (config(f, 1, at, 1) == 9) {
            n_virtio++;
            assert_true(at + config(f, 1, at + 2, 1) <= 256);
            assert_int_equal(config(f, 1, at + 4, 1), 0);
            assert_true(config(f, 1, at + 8, 4) + config(f, 1, at + 12, 4) <= PCI_MSIX_TABLE);
        }
    }
    assert_int_equal(n, 7);
    assert_int_equal(n_virtio, 5);
}

static void test_bar_size(void **state)
{
    struct fixture *f = *state;

    set_config(f, 1, COMMAND, 2, 0);
    assert_false(answers_at(f, WINDOW + 0x8000));
    set_config(f, 1, BAR, 4, UINT32_MAX);
    assert_int_equal(config(f, 1, BAR, 4), 0xffff8000);
    set_config(f, 1, BAR, 4, 0xd0000000);
    assert_false(answers_at(f, 0xd0000000));
    set_config(f, 1, COMMAND, 2, 2);
    assert_true(answers_at(f, 0xd0000000));
    /* A host bridge has none. */
    set_config(f, 0, BAR, 4, UINT32_MAX);
    assert_int_equal(config(f, 0, BAR, 4), 0);
    set_config(f, 0, COMMAND, 2, UINT16_MAX);
    assert_int_equal(config(f, 0, COMMAND, 2) & 2, 0);
}

/* Over another device, over configuration space, over the end of addresses: it is nowhere until the place is free. */
static void test_bar_over_others(void **state)
{
    struct fixture *f = *state;

    set_config(f, 1, BAR, 4, WINDOW + 2 * 0x8000);
    assert_false(answers_at(f, WINDOW + 0x8000));
    assert_int_equal(bus_read(&f->h.mmio, WINDOW + 2 * 0x8000 + 0x12, 2), 1); /* the second, as before */
    /* The second leaves (to where the first was): both are there, exchanged. */
    set_config(f, 2, BAR, 4, WINDOW + 0x8000);
    assert_int_equal(bus_read(&f->h.mmio, WINDOW + 0x8000 + 0x12, 2), 1);
    assert_int_equal(bus_read(&f->h.mmio, WINDOW + 2 * 0x8000 + 0x12, 2), 1);
    set_config(f, 3, BAR, 4, ECAM + 0x8000);
    assert_int_equal(f->moved_to, 0);
    assert_int_equal(config(f, 1, 0, 4), 0x10441af4);
    set_config(f, 3, BAR, 4, 0xffff8000);
    assert_int_equal(f->moved_to, 0xffff8000);
    assert_true(answers_at(f, 0xffff8000));
    set_config(f, 3, BAR, 4, 0); /* address 0 is nowhere */
    assert_int_equal(f->moved_to, 0);
}

/* What a guest moved does not outlive a reset, though the first places are others' just then. */
static void test_reset_after_exchange(void **state)
{
    struct fixture *f = *state;

    set_config(f, 1, BAR, 4, 0xd0000000);
    set_config(f, 2, BAR, 4, WINDOW + 0x8000);
    set_config(f, 3, BAR, 4, WINDOW + 2 * 0x8000);
    set_config(f, 1, BAR, 4, WINDOW + 3 * 0x8000);
    pci_bus_reset(f->h.pci);
    for (unsigned slot = 1; slot <= 3; slot++) {
        assert_int_equal(config(f, slot, BAR, 4), WINDOW + slot * 0x8000);
        assert_int_equal(config(f, slot, COMMAND, 2), 6);
        assert_true(answers_at(f, WINDOW + slot * 0x8000));
    }
    assert_int_equal(bus_read(&f->h.mmio, WINDOW + 3 * 0x8000 + 0x123, 1), 0x123); /* the bare one */
}

/* Moving doorbells makes the host's kernel wait for all of its processors: not when everything is where it belongs. */
static void test_reset_moves_only_what_moved(void **state)
{
    struct fixture *f = *state;

    f->n_moves = 0;
    pci_bus_reset(f->h.pci);
    assert_int_equal(f->n_moves, 0);
    set_config(f, 3, BAR, 4, 0xd0000000);
    f->n_moves = 0;
    pci_bus_reset(f->h.pci);
    assert_int_equal(f->n_moves, 2); /* from there, to where it belongs */
    assert_int_equal(f->moved_to, WINDOW + 3 * 0x8000);
    set_config(f, 3, COMMAND, 2, 0);
    assert_int_equal(f->moved_to, 0);
    pci_bus_reset(f->h.pci);
    assert_int_equal(f->moved_to, WINDOW + 3 * 0x8000);
}

static unsigned raised(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? (unsigned)n : 0;
}

static void set_vector(struct fixture *f, unsigned vector, unsigned word, uint32_t value)
{
    bus_write(&f->h.mmio, WINDOW + 3 * 0x8000 + TABLE + vector * 16 + word * 4, 4, value);
}

static uint64_t pending(struct fixture *f)
{
    return bus_read(&f->h.mmio, WINDOW + 3 * 0x8000 + PENDING, 8);
}

static void test_vectors(void **state)
{
    struct fixture *f = *state;
    int fds[3];

    for (unsigned i = 0; i < 3; i++)
        assert_true((fds[i] = pci_interrupt_fd(f->bare, i)) >= 0);
    assert_int_equal(pci_interrupt_fd(f->bare, 3), -1);
    /* Off: it waits. */
    pci_interrupt(f->bare, 1);
    assert_int_equal(raised(fds[1]), 0);
    assert_int_equal(pending(f), 2);
    /* On, but masked each by itself, and all at once. */
    set_config(f, 3, MSIX + 2, 2, 0x8000);
    assert_int_equal(raised(fds[1]), 0);
    set_config(f, 3, MSIX + 2, 2, 0xc000);
    set_vector(f, 1, 3, 0);
    assert_int_equal(raised(fds[1]), 0);
    assert_int_equal(pending(f), 2);
    /* Unmasked: the one that waited comes, once. */
    set_config(f, 3, MSIX + 2, 2, 0x8000);
    assert_int_equal(raised(fds[1]), 1);
    assert_int_equal(pending(f), 0);
    pci_interrupt(f->bare, 1);
    assert_int_equal(raised(fds[1]), 1);
    set_vector(f, 1, 3, 1);
    pci_interrupt(f->bare, 1);
    pci_interrupt(f->bare, 1);
    assert_int_equal(raised(fds[1]), 0);
    set_vector(f, 1, 3, 0);
    assert_int_equal(raised(fds[1]), 1);
    /* Numbers that are none. */
    pci_interrupt(f->bare, 3);
    pci_interrupt(f->bare, 0xffff);
    assert_int_equal(raised(fds[0]) + raised(fds[2]), 0);
    /* A reset forgets what was on its way. */
    pci_interrupt(f->bare, 1);
    pci_interrupt(f->bare, 0);
    pci_bus_reset(f->h.pci);
    assert_int_equal(raised(fds[1]), 0);
    assert_int_equal(pending(f), 0);
    assert_int_equal(config(f, 3, MSIX + 2, 2), 2);
}

static void test_table(void **state)
{
    struct fixture *f = *state;
    struct bus *b = &f->h.mmio;
    uint64_t table = WINDOW + 3 * 0x8000 + TABLE;

    bus_write(b, table + 16, 8, 0x11223344fee01007ull);
    bus_write(b, table + 24, 8, 0xfffffffe0000abcdull);
    assert_int_equal(bus_read(b, table + 16, 8), 0x11223344fee01004ull);
    assert_int_equal(bus_read(b, table + 24, 4), 0xabcd);
    assert_int_equal(bus_read(b, table + 28, 4), 0); /* only the mask bit is kept */
    assert_int_equal(bus_read(b, table + 25, 1), 0xab);
    bus_write(b, table + 24, 2, 0); /* only whole words are taken */
    assert_int_equal(bus_read(b, table + 24, 4), 0xabcd);
    bus_write(b, table + 26, 4, 0);
    assert_int_equal(bus_read(b, table + 24, 4), 0xabcd);
    /* Beyond the last vector. */
    for (unsigned i = 48; i < 0x1000; i += 8) {
        bus_write(b, table + i, 8, UINT64_MAX);
        assert_int_equal(bus_read(b, table + i, 8), 0);
    }
    for (unsigned i = 0; i < 0x1000; i++)
        for (unsigned size = 1; size <= 8; size *= 2)
            if (i + size <= 0x1000)
                (void)bus_read(b, table + 0x1000 + i, size);
    bus_write(b, table + 0x1000, 8, UINT64_MAX); /* the pending bits are not the guest's */
    assert_int_equal(pending(f), 0);
}

static void *raise_always(void *arg)
{
    for (unsigned i = 0; i < 200000; i++)
        pci_interrupt(arg, 0);
    return NULL;
}

/* Masking while another thread raises: none is lost, the last at least comes after the unmask. */
static void test_mask_while_raised(void **state)
{
    struct fixture *f = *state;
    int fd = pci_interrupt_fd(f->bare, 0);
    pthread_t thread;
    unsigned n = 0;

    set_config(f, 3, MSIX + 2, 2, 0x8000);
    assert_int_equal(pthread_create(&thread, NULL, raise_always, f->bare), 0);
    for (unsigned i = 0; i < 20000; i++) {
        set_vector(f, 0, 3, ~i & 1);
        n += raised(fd);
    }
    set_vector(f, 0, 3, 1);
    pthread_join(thread, NULL);
    n += raised(fd);
    pci_interrupt(f->bare, 0);
    assert_int_equal(raised(fd), 0);
    set_vector(f, 0, 3, 0);
    assert_int_equal(raised(fd), 1);
    assert_true(n > 0);
}

static void test_too_many(void **state)
{
    struct fixture *f = *state;
    struct pci_identity id = {.n_vectors = PCI_VECTORS_MAX + 1};
    struct pci_function *function;
    struct err e = ERR_INIT;

    assert_int_equal(pci_function_new(f->h.pci, &id, &bare_ops, f, NULL, 0, &function, &e), -ENOSPC);
    id.n_vectors = PCI_VECTORS_MAX;
    for (unsigned i = 4; i < PCI_SLOTS; i++)
        assert_int_equal(pci_function_new(f->h.pci, &id, &bare_ops, f, NULL, 0, &function, &e), 0);
    assert_int_equal(pci_function_new(f->h.pci, &id, &bare_ops, f, NULL, 0, &function, &e), -ENOSPC);
    assert_string_equal(e.code, "pci.slots");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_capabilities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bar_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bar_over_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_after_exchange, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_moves_only_what_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mask_while_raised, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
