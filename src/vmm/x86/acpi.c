/* ACPI tables: root pointer, XSDT, FADT, MADT, MCFG and a DSDT with the PCI bus, the serial port and the power button.
 * Called when the machine is made and at each reset. */
#include "vmm/x86/acpi.h"

#include "vmm/x86/aml.h"
#include "vmm/x86/layout.h"

#define REVISION_OF_FADT 6

struct __attribute__((packed)) header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision;
    char creator[4];
    uint32_t creator_revision;
};

struct __attribute__((packed)) address {
    uint8_t space, width, offset, access;
    uint64_t address;
};

_Static_assert(sizeof(struct header) == 36, "ACPI 6.4, 5.2.6");

struct tables {
    struct buf bytes;
    uint64_t base; /* of the guest's memory that the first byte goes to */
    uint64_t listed[4];
    unsigned n_listed;
};

static uint8_t checksum(const char *p, size_t n)
{
    uint8_t sum = 0;

    while (n--)
        sum = (uint8_t)(sum + (uint8_t)*p++);
    return (uint8_t)-sum;
}

/* Where the next table begins; tables start at multiples of 16. */
static size_t table_begin(struct tables *t, const char *signature, uint8_t revision)
{
    struct header h = {.revision = revision, .oem_revision = 1, .creator_revision = 1};
    size_t at;

    while (t->bytes.len % 16)
        buf_append_char(&t->bytes, 0);
    at = t->bytes.len;
    memcpy(h.signature, signature, 4);
    memcpy(h.oem, "HOLM  ", 6);
    memcpy(h.oem_table, "HOLMVMM ", 8);
    memcpy(h.creator, "HOLM", 4);
    buf_append(&t->bytes, &h, sizeof(h));
    return at;
}

static uint64_t table_end(struct tables *t, size_t at)
{
    struct header *h;

    if (t->bytes.is_failed)
        return 0;
    h = (struct header *)(void *)(t->bytes.data + at);
    h->length = (uint32_t)(t->bytes.len - at);
    h->checksum = checksum(t->bytes.data + at, h->length);
    return t->base + at;
}

static void list(struct tables *t, uint64_t gpa)
{
    t->listed[t->n_listed++] = gpa;
}

/* PCI: one bus, its memory windows, and its configuration space kept from other use. */
static void describe_pci(struct buf *b, const struct acpi_machine *machine)
{
    struct aml_block device = aml_device(b, "PCI0");
    struct aml_resources windows;

    aml_name_eisa(b, "_HID", "PNP0A08");
    aml_name_eisa(b, "_CID", "PNP0A03");
    aml_name_number(b, "_SEG", 0);
    aml_name_number(b, "_BBN", 0);
    aml_name_number(b, "_UID", 0);
    aml_name_number(b, "_ADR", 0);
    windows = aml_resources_begin(b, "_CRS");
    aml_resource_bus(b, 0, 0);
    aml_resource_memory(b, LAYOUT_PCI32, LAYOUT_PCI32_SIZE, false);
    aml_resource_memory(b, machine->pci64_base, machine->pci64_size, true);
    aml_resources_end(b, windows);
    aml_end(b, device);

    device = aml_device(b, "MBRD");
    aml_name_eisa(b, "_HID", "PNP0C02");
    aml_name_number(b, "_UID", 0);
    windows = aml_resources_begin(b, "_CRS");
    aml_resource_fixed_memory(b, LAYOUT_ECAM, LAYOUT_ECAM_SIZE);
    aml_resources_end(b, windows);
    aml_end(b, device);
}

static void describe_serial(struct buf *b)
{
    struct aml_block device = aml_device(b, "COM1");
    struct aml_resources resources;

    aml_name_eisa(b, "_HID", "PNP0501");
    aml_name_number(b, "_UID", 1);
    resources = aml_resources_begin(b, "_CRS");
    aml_resource_port(b, LAYOUT_PORT_SERIAL, 8);
    aml_resource_interrupt(b, LAYOUT_GSI_SERIAL);
    aml_resources_end(b, resources);
    aml_end(b, device);
}

/* The power button, and the device whose interrupt says that it was pressed (5.6.9). */
static void describe_power(struct buf *b)
{
    struct aml_block device = aml_device(b, "PWRB"), method, branch;
    struct aml_resources resources;

    aml_name_eisa(b, "_HID", "PNP0C0C");
    aml_name_number(b, "_UID", 0);
    aml_end(b, device);

    device = aml_device(b, "GED_");
    aml_name_string(b, "_HID", "ACPI0013");
    aml_name_number(b, "_UID", 0);
    resources = aml_resources_begin(b, "_CRS");
    aml_resource_interrupt(b, LAYOUT_GSI_EVENTS);
    aml_resources_end(b, resources);
    method = aml_method(b, "_EVT", 1);
    branch = aml_if_arg(b, 0, LAYOUT_GSI_EVENTS);
    aml_notify(b, "PWRB", 0x80);
    aml_end(b, branch);
    aml_end(b, method);
    aml_end(b, device);
}

static uint64_t write_dsdt(struct tables *t, const struct acpi_machine *machine)
{
    static const uint8_t soft_off[] = {5, 0, 0, 0};
    size_t at = table_begin(t, "DSDT", 2);
    struct buf *b = &t->bytes;
    struct aml_block scope = aml_scope(b, "\\_SB_");

    describe_pci(b, machine);
    if (machine->has_serial)
        describe_serial(b);
    describe_power(b);
    aml_end(b, scope);
    aml_name_package(b, "\\_S5_", soft_off, sizeof(soft_off));
    return table_end(t, at);
}

static void put_at(struct tables *t, size_t at, const void *p, size_t n)
{
    if (!t->bytes.is_failed)
        memcpy(t->bytes.data + at, p, n);
}

/* FADT by offsets of 5.2.9: nearly all of it is the chipset's and stays zero. */
static void write_fadt(struct tables *t, uint64_t dsdt)
{
    static const char zeroes[240];
    const struct address reset = {.space = 1, .width = 8, .access = 1, .address = LAYOUT_PORT_POWER + 2},
                         control = {.space = 1, .width = 8, .access = 1, .address = LAYOUT_PORT_POWER},
                         status = {.space = 1, .width = 8, .access = 1, .address = LAYOUT_PORT_POWER + 1};
    /* Button is a device, reset register is there, no chipset; no legacy devices, no VGA, no CMOS clock. */
    uint32_t flags = 1u << 4 | 1u << 5 | 1u << 10 | 1u << 20;
    uint16_t boot_arch = 1u << 2 | 1u << 5;
    uint8_t reset_value = 1, minor = 4;
    size_t at = table_begin(t, "FACP", REVISION_OF_FADT);

    buf_append(&t->bytes, zeroes, sizeof(zeroes));
    put_at(t, at + 109, &boot_arch, 2);
    put_at(t, at + 112, &flags, 4);
    put_at(t, at + 116, &reset, sizeof(reset));
    put_at(t, at + 128, &reset_value, 1);
    put_at(t, at + 131, &minor, 1);
    put_at(t, at + 140, &dsdt, 8);
    put_at(t, at + 244, &control, sizeof(control));
    put_at(t, at + 256, &status, sizeof(status));
    put_at(t, at + 268, "HOLM\0\0\0\0", 8);
    list(t, table_end(t, at));
}

static void write_madt(struct tables *t, unsigned n_cpus)
{
    struct __attribute__((packed)) {
        uint32_t lapic, flags;
    } head = {LAYOUT_LAPIC, 0};
    struct __attribute__((packed)) {
        uint8_t type, length, id, reserved;
        uint32_t address, first_gsi;
    } ioapic = {1, 12, 0, 0, LAYOUT_IOAPIC, 0};
    size_t at = table_begin(t, "APIC", 5);

    buf_append(&t->bytes, &head, sizeof(head));
    for (unsigned i = 0; i < n_cpus; i++) {
        struct __attribute__((packed)) {
            uint8_t type, length, uid, id;
            uint32_t flags;
        } cpu = {0, 8, (uint8_t)i, (uint8_t)i, 1};

        buf_append(&t->bytes, &cpu, sizeof(cpu));
    }
    buf_append(&t->bytes, &ioapic, sizeof(ioapic));
    list(t, table_end(t, at));
}

static void write_mcfg(struct tables *t)
{
    struct __attribute__((packed)) {
        uint64_t reserved, base;
        uint16_t segment;
        uint8_t first_bus, last_bus;
        uint32_t reserved_too;
    } space = {0, LAYOUT_ECAM, 0, 0, 0, 0};
    size_t at = table_begin(t, "MCFG", 1);

    buf_append(&t->bytes, &space, sizeof(space));
    list(t, table_end(t, at));
}

/* The root pointer comes first: that is where a kernel finds it without being told. */
static void write_root(struct tables *t, uint64_t xsdt)
{
    struct __attribute__((packed)) {
        char signature[8];
        uint8_t checksum;
        char oem[6];
        uint8_t revision;
        uint32_t rsdt, length;
        uint64_t xsdt;
        uint8_t extended_checksum, reserved[3];
    } root = {.revision = 2, .length = sizeof(root), .xsdt = xsdt};

    memcpy(root.signature, "RSD PTR ", 8);
    memcpy(root.oem, "HOLM  ", 6);
    root.checksum = checksum((const char *)&root, 20);
    root.extended_checksum = checksum((const char *)&root, sizeof(root));
    put_at(t, 0, &root, sizeof(root));
}

int acpi_write(const struct memory *m, const struct acpi_machine *machine, struct err *e)
{
    struct tables t = {.base = LAYOUT_ACPI};
    static const char room[48];
    uint64_t xsdt;
    size_t at;
    int r;

    buf_init(&t.bytes, LAYOUT_ACPI_END - LAYOUT_ACPI);
    buf_append(&t.bytes, room, sizeof(room));
    write_fadt(&t, write_dsdt(&t, machine));
    write_madt(&t, machine->n_cpus);
    write_mcfg(&t);
    at = table_begin(&t, "XSDT", 1);
    buf_append(&t.bytes, t.listed, t.n_listed * sizeof(t.listed[0]));
    xsdt = table_end(&t, at);
    write_root(&t, xsdt);
    r = t.bytes.is_failed ? -ENOSPC : memory_write(m, LAYOUT_ACPI, t.bytes.data, t.bytes.len);
    buf_done(&t.bytes);
    return r < 0 ? err_set(e, r, "acpi.size", "the ACPI tables do not fit into the guest's memory") : 0;
}
