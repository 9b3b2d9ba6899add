/* The memory map of the `direct` machine, x86-64. doc/vmm.md draws it. */
#ifndef HOLM_VMM_X86_LAYOUT_H
#define HOLM_VMM_X86_LAYOUT_H

/* Low memory: what the first instructions need; free for the guest as soon as it has read it. */
#define LAYOUT_GDT         0x500ull
#define LAYOUT_PVH_INFO    0x6000ull
#define LAYOUT_ZERO_PAGE   0x7000ull
#define LAYOUT_PAGE_TABLE  0x9000ull /* six pages */
#define LAYOUT_CMDLINE     0x20000ull
#define LAYOUT_CMDLINE_MAX 4096u
#define LAYOUT_LOW_END     0x9fc00ull
#define LAYOUT_ACPI        0xe0000ull /* where a kernel looks for the root pointer */
#define LAYOUT_ACPI_END    0x100000ull
#define LAYOUT_HIGH        0x100000ull

/* The hole below 4 GiB: RAM goes on above it. */
#define LAYOUT_HOLE       0xc0000000ull
#define LAYOUT_PCI32      0xc0000000ull /* memory of PCI devices */
#define LAYOUT_PCI32_SIZE 0x20000000ull
#define LAYOUT_ECAM       0xe0000000ull /* configuration of PCI bus 0: its only one, so the guest looks nowhere else */
#define LAYOUT_ECAM_SIZE  0x100000ull
#define LAYOUT_IOAPIC     0xfec00000ull
#define LAYOUT_LAPIC      0xfee00000ull
#define LAYOUT_PCI64_SIZE 0x1000000000ull /* 64 GiB above the end of RAM */

/* Ports. */
#define LAYOUT_PORT_POWER  0x600u /* ACPI's sleep control, sleep status, reset (power.c) */
#define LAYOUT_PORT_SERIAL 0x3f8u
#define LAYOUT_PORT_I8042  0x60u
#define LAYOUT_PORT_PANIC  0x505u /* pvpanic */

/* Pins of the IOAPIC. */
#define LAYOUT_GSI_SERIAL 4u
#define LAYOUT_GSI_EVENTS 5u /* the ACPI device that tells of the power button */

#endif
