/* The ports by which a guest turns itself off, resets itself or says that it panicked: ACPI's sleep and reset registers
 * of a hardware-reduced machine (ACPI 6.4, 4.8.3.7), the keyboard controller's reset line, and pvpanic. */
#ifndef HOLM_VMM_X86_POWER_H
#define HOLM_VMM_X86_POWER_H

#include "vmm/bus.h"

enum power_event { POWER_OFF, POWER_RESET, POWER_PANIC };

struct power {
    void (*on_event)(void *context, enum power_event event); /* on a vCPU's thread */
    void *context;
};

MUST_CHECK int power_attach(struct power *p, struct bus *pio);

#endif
