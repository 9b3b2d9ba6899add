/* The ACPI tables of the `direct` machine: hardware-reduced, that is without the registers of a PC's chipset.
 * Source: ACPI 6.4, chapters 5 and 6. */
#ifndef HOLM_VMM_X86_ACPI_H
#define HOLM_VMM_X86_ACPI_H

#include "vmm/memory.h"

struct acpi_machine {
    unsigned n_cpus;
    uint64_t pci64_base, pci64_size; /* window for large BARs */
    bool has_serial;
};

/* Writes them to LAYOUT_ACPI. -ENOSPC if they outgrow their place. */
MUST_CHECK int acpi_write(const struct memory *m, const struct acpi_machine *machine, struct err *e);

#endif
