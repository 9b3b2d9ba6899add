/* PCI: configuration space by ECAM, one BAR and MSI-X for each function; see pci.h. */
#include "vmm/pci.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

#include "vmm/loop.h"

#define CONFIG_BYTES 256u /* capabilities end here; the extended space reads as "none" */

#define COMMAND        0x04u
#define STATUS         0x06u
#define BAR0           0x10u
#define CAPABILITIES   0x34u
#define FIRST_FREE     0x40u
#define COMMAND_MEMORY 0x0002u
#define COMMAND_MASTER 0x0004u
#define COMMAND_BITS   0x0406u /* memory, master, interrupt disable */

#define CAP_MSIX    0x11u
#define CAP_EXPRESS 0x10u
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK   0x4000u

struct vector {
    uint64_t address;
    uint32_t data, control; /* control bit 0: masked */
    int gsi, event_fd;      /* -1 until it is first used */
    bool is_attached;
    /* Looked at by any thread, without the lock. */
    _Atomic bool is_silent, is_pending;
};

struct pci_function {
    struct pci_bus *bus;
    pthread_mutex_t lock; /* of everything here and of the device */
    unsigned slot;
    const struct pci_ops *ops;
    void *device;
    uint8_t config[CONFIG_BYTES], fresh[CONFIG_BYTES];
    unsigned own_at, msix_at; /* where the device's capabilities and MSI-X begin */
    uint64_t mapped_at;       /* of the BAR; 0: nowhere */
    unsigned n_vectors;
    struct vector vectors[PCI_VECTORS_MAX];
};

struct pci_bus {
    struct kvm *kvm;
    struct bus *mmio;
    uint64_t ecam_gpa, window_gpa;
    struct pci_function *functions[PCI_SLOTS];
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}
static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)v);
    put16(p + 2, (uint16_t)(v >> 16));
}

/* --- MSI-X ----------------------------------------------------------------------------------------------------- */

static bool is_masked(const struct pci_function *f, const struct vector *v)
{
    uint16_t control = get16(f->config + f->msix_at + 2);

    return !(control & MSIX_ENABLE) || (control & MSIX_MASK) || (v->control & 1);
}

static int make_line(struct pci_function *f, struct vector *v)
{
    if (v->gsi < 0 && f->bus->kvm)
        v->gsi = kvm_line_new(f->bus->kvm);
    if (v->event_fd < 0)
        v->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return v->gsi < 0 && f->bus->kvm ? v->gsi : v->event_fd < 0 ? -errno : 0;
}

/* Brings the kernel in line with what the guest set; a vector it cannot have stays silent, which the guest sees as a
 * device without interrupts: its own driver reports it. */
static void sync_vector(struct pci_function *f, struct vector *v)
{
    bool is_on = !is_masked(f, v);

    if (f->bus->kvm) {
        if (is_on && make_line(f, v) == 0 && kvm_line_route(f->bus->kvm, (unsigned)v->gsi, v->address, v->data) == 0 &&
            !v->is_attached)
            v->is_attached = kvm_line_attach(f->bus->kvm, (unsigned)v->gsi, v->event_fd, true) == 0;
        if (!is_on && v->is_attached) {
            kvm_line_attach(f->bus->kvm, (unsigned)v->gsi, v->event_fd, false);
            v->is_attached = false;
        }
    }
    /* Whoever raises it meanwhile sees that it is on, or leaves the mark that is seen here. */
    atomic_store(&v->is_silent, !is_on);
    if (is_on && atomic_exchange(&v->is_pending, false))
        pci_interrupt(f, (unsigned)(v - f->vectors));
}

static void sync_vectors(struct pci_function *f)
{
    for (unsigned i = 0; i < f->n_vectors; i++)
        sync_vector(f, &f->vectors[i]);
}

void pci_interrupt(struct pci_function *f, unsigned vector)
{
    struct vector *v;

    if (vector >= f->n_vectors)
        return;
    v = &f->vectors[vector];
    if (atomic_load(&v->is_silent)) {
        atomic_store(&v->is_pending, true);
        if (atomic_load(&v->is_silent) || !atomic_exchange(&v->is_pending, false))
            return;
    }
    if (v->event_fd >= 0)
        loop_wake(v->event_fd);
}

int pci_interrupt_fd(struct pci_function *f, unsigned vector)
{
    int fd = -1;

    if (vector >= f->n_vectors)
        return -1;
    pthread_mutex_lock(&f->lock);
    if (make_line(f, &f->vectors[vector]) == 0)
        fd = f->vectors[vector].event_fd;
    pthread_mutex_unlock(&f->lock);
    return fd;
}

static uint64_t table_read(struct pci_function *f, uint64_t offset, unsigned size)
{
    uint8_t entry[16];
    const struct vector *v;
    uint64_t value = 0;

    if (offset / 16 >= f->n_vectors || offset % size)
        return 0;
    v = &f->vectors[offset / 16];
    put32(entry, (uint32_t)v->address);
    put32(entry + 4, (uint32_t)(v->address >> 32));
    put32(entry + 8, v->data);
    put32(entry + 12, v->control);
    memcpy(&value, entry + offset % 16, size);
    return value;
}

static void table_write(struct pci_function *f, uint64_t offset, unsigned size, uint64_t value)
{
    struct vector *v;

    if (offset / 16 >= f->n_vectors || (size != 4 && size != 8) || offset % size)
        return;
    v = &f->vectors[offset / 16];
    for (; size; size -= 4, offset += 4, value >>= 32) {
        uint32_t word = (uint32_t)value;

        switch (offset % 16) {
        case 0:
            v->address = (v->address & ~0xffffffffull) | (word & ~3u);
            break;
        case 4:
            v->address = (uint32_t)v->address | (uint64_t)word << 32;
            break;
        case 8:
            v->data = word;
            break;
        default:
            v->control = word & 1;
            break;
        }
    }
    sync_vector(f, v);
}

static uint64_t pending_read(const struct pci_function *f, uint64_t offset, unsigned size)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < f->n_vectors; i++)
        bits |= (uint64_t)f->vectors[i].is_pending << i;
    return offset < 8 ? bits >> 8 * offset & (size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1) : 0;
}

/* --- The BAR --------------------------------------------------------------------------------------------------- */

static uint64_t bar_read(void *function, uint64_t offset, unsigned size)
{
    struct pci_function *f = function;
    uint64_t value;

    pthread_mutex_lock(&f->lock);
    if (offset >= PCI_MSIX_PENDING)
        value = pending_read(f, offset - PCI_MSIX_PENDING, size);
    else if (offset >= PCI_MSIX_TABLE)
        value = table_read(f, offset - PCI_MSIX_TABLE, size);
    else
        value = f->ops->bar_read(f->device, offset, size);
    pthread_mutex_unlock(&f->lock);
    return value;
}

static void bar_write(void *function, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_function *f = function;

    pthread_mutex_lock(&f->lock);
    if (offset >= PCI_MSIX_TABLE && offset < PCI_MSIX_PENDING)
        table_write(f, offset - PCI_MSIX_TABLE, size, value);
    else if (offset < PCI_MSIX_TABLE)
        f->ops->bar_write(f->device, offset, size, value);
    pthread_mutex_unlock(&f->lock);
}

static const struct bus_ops bar_ops = {.read = bar_read, .write = bar_write};

static uint64_t bar_address(const struct pci_function *f)
{
    return get32(f->config + BAR0) & ~(uint64_t)(PCI_BAR_BYTES - 1);
}

/* Maps the BAR where command and BAR registers say. A place that is taken (a guest may choose any) is no place until it
 * is left: true when this one left a place. */
static bool sync_bar(struct pci_function *f)
{
    uint64_t wanted = get16(f->config + COMMAND) & COMMAND_MEMORY ? bar_address(f) : 0, before = f->mapped_at;

    if (wanted == before)
        return false;
    if (before) {
        bus_remove(f->bus->mmio, f->mapped_at);
        f->ops->bar_moved(f->device, 0);
    }
    f->mapped_at = 0;
    if (wanted && bus_add(f->bus->mmio, wanted, PCI_BAR_BYTES, &bar_ops, f) == 0) {
        f->mapped_at = wanted;
        f->ops->bar_moved(f->device, wanted);
    }
    return before != 0;
}

/* Those that found their place taken look again. One lock at a time, and never under another's. */
static void sync_bars(struct pci_bus *b)
{
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (b->functions[i]) {
            pthread_mutex_lock(&b->functions[i]->lock);
            (void)sync_bar(b->functions[i]);
            pthread_mutex_unlock(&b->functions[i]->lock);
        }
}

/* --- Configuration space --------------------------------------------------------------------------------------- */

static void config_read(struct pci_function *f, unsigned offset, uint8_t *bytes, unsigned size)
{
    memcpy(bytes, f->config + offset, size);
    if (offset >= f->own_at && f->ops->config_read)
        f->ops->config_read(f->device, offset - f->own_at, bytes, size);
}

/* Byte by byte, by the register each belongs to; true when the BAR left a place. */
static bool config_write(struct pci_function *f, unsigned offset, const uint8_t *bytes, unsigned size)
{
    bool has_bar = f->n_vectors != 0, is_place_free;
    uint16_t command;
    uint32_t bar;

    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;

        if (at == COMMAND || at == COMMAND + 1 || (has_bar && at >= BAR0 && at < BAR0 + 4) || at == 0x3c || at == 0x0c)
            f->config[at] = bytes[i];
        else if (at == f->msix_at + 3)
            f->config[at] = (uint8_t)((f->config[at] & 0x3f) | (bytes[i] & 0xc0));
    }
    command = get16(f->config + COMMAND) & (has_bar ? COMMAND_BITS : COMMAND_BITS & ~COMMAND_MEMORY);
    put16(f->config + COMMAND, command);
    bar = get32(f->config + BAR0) & ~(PCI_BAR_BYTES - 1);
    put32(f->config + BAR0, bar);
    is_place_free = sync_bar(f);
    if (offset + size > f->msix_at && offset < f->msix_at + 4)
        sync_vectors(f);
    if (offset >= f->own_at && f->ops->config_write)
        f->ops->config_write(f->device, offset - f->own_at, bytes, size);
    return is_place_free;
}

static struct pci_function *function_at(struct pci_bus *b, uint64_t offset)
{
    /* Bus 0, function 0 of each slot only. */
    return offset >> 12 & 7 || offset >> 20 ? NULL : b->functions[offset >> 15 & 31];
}

static uint64_t ecam_read(void *bus, uint64_t offset, unsigned size)
{
    struct pci_function *f = function_at(bus, offset);
    unsigned at = offset & 0xfff;
    uint8_t bytes[8] = {0};
    uint64_t value = 0;

    if (!f || size > 4)
        return UINT64_MAX;
    if (at + size <= CONFIG_BYTES) {
        pthread_mutex_lock(&f->lock);
        config_read(f, at, bytes, size);
        pthread_mutex_unlock(&f->lock);
    }
    memcpy(&value, bytes, size);
    return value;
}

static void ecam_write(void *bus, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_function *f = function_at(bus, offset);
    unsigned at = offset & 0xfff;
    uint8_t bytes[8];
    bool is_place_free;

    if (!f || size > 4 || at + size > CONFIG_BYTES)
        return;
    memcpy(bytes, &value, sizeof(bytes));
    pthread_mutex_lock(&f->lock);
    is_place_free = config_write(f, at, bytes, size);
    pthread_mutex_unlock(&f->lock);
    if (is_place_free)
        sync_bars(bus);
}

static const struct bus_ops ecam_ops = {.read = ecam_read, .write = ecam_write};

/* --- Making and resetting -------------------------------------------------------------------------------------- */

static const struct pci_ops host_bridge_ops;

static uint64_t nothing_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}
static void nothing_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    (void)value;
}
static void nothing_moved(void *device, uint64_t gpa)
{
    (void)device;
    (void)gpa;
}
static const struct pci_ops host_bridge_ops = {
    .bar_read = nothing_read, .bar_write = nothing_write, .bar_moved = nothing_moved};

int pci_bus_new(struct kvm *kvm, struct bus *mmio, uint64_t ecam_gpa, uint64_t window_gpa, struct pci_bus **ret_bus,
                struct err *e)
{
    /* A host bridge without anything: a guest expects one in slot 0. */
    const struct pci_identity bridge = {.vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000};
    struct pci_bus *b = calloc(1, sizeof(*b));
    struct pci_function *f;
    int r;

    if (!b)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *b = (struct pci_bus){.kvm = kvm, .mmio = mmio, .ecam_gpa = ecam_gpa, .window_gpa = window_gpa};
    r = bus_add(mmio, ecam_gpa, (uint64_t)PCI_SLOTS << 15, &ecam_ops, b);
    if (r < 0)
        err_errno(e, -r, "place PCI's configuration space");
    else
        r = pci_function_new(b, &bridge, &host_bridge_ops, NULL, NULL, 0, &f, e);
    if (r < 0) {
        pci_bus_free(b);
        return r;
    }
    *ret_bus = b;
    return 0;
}

static void function_free(struct pci_function *f)
{
    for (unsigned i = 0; i < f->n_vectors; i++)
        if (f->vectors[i].event_fd >= 0)
            close(f->vectors[i].event_fd);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void pci_bus_free(struct pci_bus *b)
{
    for (unsigned i = 0; b && i < PCI_SLOTS; i++)
        if (b->functions[i])
            function_free(b->functions[i]);
    free(b);
}

unsigned pci_bus_vectors(const struct pci_bus *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PCI_SLOTS; i++)
        n += b->functions[i] ? b->functions[i]->n_vectors : 0;
    return n;
}

static void function_reset(struct pci_function *f)
{
    memcpy(f->config, f->fresh, CONFIG_BYTES);
    for (unsigned i = 0; i < f->n_vectors; i++) {
        struct vector *v = &f->vectors[i];

        v->address = 0;
        v->data = 0;
        v->control = 1;
        sync_vector(f, v);
        v->is_pending = false;
        if (v->event_fd >= 0)
            loop_drain(v->event_fd);
    }
    if (f->mapped_at == bar_address(f))
        return;
    /* Off the bus for now: its place may still be another's, which is not yet reset. */
    put16(f->config + COMMAND, 0);
    (void)sync_bar(f);
    memcpy(f->config, f->fresh, CONFIG_BYTES);
}

void pci_bus_reset(struct pci_bus *b)
{
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (b->functions[i]) {
            pthread_mutex_lock(&b->functions[i]->lock);
            function_reset(b->functions[i]);
            pthread_mutex_unlock(&b->functions[i]->lock);
        }
    sync_bars(b);
}

/* Links a capability of length bytes in; returns where it begins. */
static unsigned add_capability(uint8_t *config, unsigned *at, unsigned *link, const uint8_t *bytes, unsigned length)
{
    unsigned begin = *at;

    memcpy(config + begin, bytes, length);
    config[begin + 1] = 0;
    config[*link] = (uint8_t)begin;
    *link = begin + 1;
    *at = (begin + length + 3) & ~3u;
    return begin;
}

static void write_common(struct pci_function *f, const struct pci_identity *id)
{
    uint8_t *c = f->config;

    put16(c, id->vendor);
    put16(c + 2, id->device);
    put32(c + 8, id->class_code << 8 | id->revision);
    put16(c + 0x2c, id->subsystem_vendor);
    put16(c + 0x2e, id->subsystem);
    if (!id->n_vectors)
        return;
    /* On from the start, as firmware leaves it. */
    put16(c + COMMAND, COMMAND_MEMORY | COMMAND_MASTER);
    put16(c + STATUS, 0x0010);
    put32(c + BAR0, (uint32_t)(f->bus->window_gpa + f->slot * (uint64_t)PCI_BAR_BYTES));
}

int pci_function_new(struct pci_bus *b, const struct pci_identity *id, const struct pci_ops *ops, void *device,
                     const uint8_t *const *capabilities, unsigned n_capabilities, struct pci_function **ret_function,
                     struct err *e)
{
    unsigned slot = 0, at = FIRST_FREE, link = CAPABILITIES;
    struct pci_function *f;

    while (slot < PCI_SLOTS && b->functions[slot])
        slot++;
    if (slot == PCI_SLOTS || id->n_vectors > PCI_VECTORS_MAX)
        return err_set(e, -ENOSPC, "pci.slots", "there is room for %u PCI devices", PCI_SLOTS - 1);
    f = calloc(1, sizeof(*f));
    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *f = (struct pci_function){.bus = b, .slot = slot, .ops = ops, .device = device, .n_vectors = id->n_vectors};
    pthread_mutex_init(&f->lock, NULL);
    write_common(f, id);
    f->own_at = CONFIG_BYTES;
    f->msix_at = CONFIG_BYTES;
    if (id->n_vectors) {
        uint8_t msix[12] = {CAP_MSIX}, express[60] = {CAP_EXPRESS, 0, 0x92}; /* version 2, integrated endpoint */

        put16(msix + 2, (uint16_t)(id->n_vectors - 1));
        put32(msix + 4, PCI_MSIX_TABLE);
        put32(msix + 8, PCI_MSIX_PENDING);
        f->msix_at = add_capability(f->config, &at, &link, msix, sizeof(msix));
        (void)add_capability(f->config, &at, &link, express, sizeof(express));
        f->own_at = at;
    }
    for (unsigned i = 0; i < n_capabilities; i++)
        (void)add_capability(f->config, &at, &link, capabilities[i], capabilities[i][2]);
    for (unsigned i = 0; i < f->n_vectors; i++)
        f->vectors[i] = (struct vector){.control = 1, .gsi = -1, .event_fd = -1, .is_silent = true};
    memcpy(f->fresh, f->config, CONFIG_BYTES);
    b->functions[slot] = f;
    *ret_function = f;
    return 0;
}

pthread_mutex_t *pci_function_lock(struct pci_function *f)
{
    return &f->lock;
}

unsigned pci_function_slot(const struct pci_function *f)
{
    return f->slot;
}
