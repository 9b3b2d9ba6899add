/* See power.h. Nothing is kept here: each write is an event of the machine. */
#include "vmm/x86/power.h"

#include "vmm/x86/layout.h"

#define SLEEP_ENABLE   0x20u
#define SLEEP_TYPE_OFF 5u
#define KEYBOARD_RESET 0xfeu
#define PANICKED       0x01u

static uint64_t acpi_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void acpi_register_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct power *p = device;

    (void)size;
    if (offset == 0 && (value & SLEEP_ENABLE) && (value >> 2 & 7) == SLEEP_TYPE_OFF)
        p->on_event(p->context, POWER_OFF);
    else if (offset == 2 && value == 1)
        p->on_event(p->context, POWER_RESET);
}
static const struct bus_ops acpi_ops = {.read = acpi_read, .write = acpi_register_write};

/* Only its output buffer and status are empty, and the pulse on the reset line works. */
static void keyboard_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct power *p = device;

    (void)size;
    if (offset == 4 && value == KEYBOARD_RESET)
        p->on_event(p->context, POWER_RESET);
}
static const struct bus_ops keyboard_ops = {.read = acpi_read, .write = keyboard_write};

static uint64_t panic_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return PANICKED;
}

static void panic_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct power *p = device;

    (void)offset;
    (void)size;
    if (value & PANICKED)
        p->on_event(p->context, POWER_PANIC);
}
static const struct bus_ops panic_ops = {.read = panic_read, .write = panic_write};

int power_attach(struct power *p, struct bus *pio)
{
    int r = bus_add(pio, LAYOUT_PORT_POWER, 3, &acpi_ops, p);

    if (r == 0)
        r = bus_add(pio, LAYOUT_PORT_I8042, 5, &keyboard_ops, p);
    return r < 0 ? r : bus_add(pio, LAYOUT_PORT_PANIC, 1, &panic_ops, p);
}
