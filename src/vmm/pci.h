/* PCI Express: one bus of endpoints on the root complex, their configuration space, BARs and MSI-X. A device of this
 * bus is one function with one memory BAR of its own and MSI-X; nothing else is built because nothing else is needed.
 * Source: PCI Express Base 5.0, chapter 7; PCI Local Bus 3.0, 6.8.2 (MSI-X).
 * Configuration and BARs are used by vCPU threads, under the function's lock; pci_interrupt by any thread. */
#ifndef HOLM_VMM_PCI_H
#define HOLM_VMM_PCI_H

#include "vmm/bus.h"
#include "vmm/kvm.h"

#define PCI_SLOTS       32u
#define PCI_VECTORS_MAX 64u
#define PCI_BAR_BYTES   0x8000u /* of each function */
/* MSI-X lies in the upper part of the BAR; a device's own registers end below. */
#define PCI_MSIX_TABLE   0x6000u
#define PCI_MSIX_PENDING 0x7000u

struct pci_bus;
struct pci_function;

/* What a device adds to the common part. The lock of the function is held in all of them. */
struct pci_ops {
    uint64_t (*bar_read)(void *device, uint64_t offset, unsigned size);
    void (*bar_write)(void *device, uint64_t offset, unsigned size, uint64_t value);
    /* The BAR lies at gpa now (0: nowhere): doorbells go along. */
    void (*bar_moved)(void *device, uint64_t gpa);
    /* Reads and writes of the device's own capabilities (those given at pci_function_new). NULL: none does anything. */
    void (*config_read)(void *device, unsigned offset, uint8_t *bytes, unsigned size);
    void (*config_write)(void *device, unsigned offset, const uint8_t *bytes, unsigned size);
};

struct pci_identity {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint8_t revision;
    uint32_t class_code; /* 24 bits */
    unsigned n_vectors;  /* of MSI-X */
};

/* kvm NULL: interrupts only count (tests). */
MUST_CHECK int pci_bus_new(struct kvm *kvm, struct bus *mmio, uint64_t ecam_gpa, uint64_t window_gpa,
                           struct pci_bus **ret_bus, struct err *e);
/* Interrupt vectors of all functions: each may yet become a line with a descriptor. */
unsigned pci_bus_vectors(const struct pci_bus *b);
void pci_bus_free(struct pci_bus *b);
/* All functions, as after power on: BARs at their first places. */
void pci_bus_reset(struct pci_bus *b);

/* A function in the next free slot. capabilities: vendor-specific ones, each with its length in the third byte, laid
 * out after the common ones. Its lock is created here and may be used by the device for its own state. */
MUST_CHECK int pci_function_new(struct pci_bus *b, const struct pci_identity *id, const struct pci_ops *ops,
                                void *device, const uint8_t *const *capabilities, unsigned n_capabilities,
                                struct pci_function **ret_function, struct err *e);
pthread_mutex_t *pci_function_lock(struct pci_function *f);
unsigned pci_function_slot(const struct pci_function *f);

/* Raises a vector of MSI-X, or remembers it while it is masked. Out of range: nothing. */
void pci_interrupt(struct pci_function *f, unsigned vector);
/* A descriptor that raises the vector when one is written to it, for those who bypass us (vhost), or -1. Without KVM it
 * counts what was raised. Not under the function's lock. */
int pci_interrupt_fd(struct pci_function *f, unsigned vector);

#endif
