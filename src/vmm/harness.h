/* A device without a machine: guest memory that is an ordinary buffer, a PCI bus without KVM, and the driver's side of
 * virtio to play a good or a hostile driver with. For unit tests and fuzzing only; not part of holm-vmm. */
#ifndef HOLM_VMM_HARNESS_H
#define HOLM_VMM_HARNESS_H

#include "vmm/dev/table.h"

#define HARNESS_MEMORY_GPA   0x100000ull
#define HARNESS_MEMORY_BYTES (4u << 20)

struct harness_queue {
    uint16_t size, next_free, avail, used_seen;
    uint64_t desc_gpa, avail_gpa, used_gpa;
};

struct harness {
    uint8_t *ram; /* all bytes of it may be read and written by a test as a guest would */
    struct memory memory;
    struct bus mmio;
    struct loop loop; /* the main loop; run by harness_turn */
    struct pci_bus *pci;
    struct virtio_host host;
    struct virtio *device;
    struct harness_queue queues[VIRTIO_QUEUES_MAX];
    uint64_t next_gpa; /* for harness_alloc */
};

/* kind and text as on the command line: "disk", "fd=7,readonly=on". */
MUST_CHECK int harness_init(struct harness *h, const char *kind, const char *text, struct err *e);
void harness_done(struct harness *h);

/* Registers, as a driver reaches them (virtio 1.2, 4.1.4.3). */
uint64_t harness_read(struct harness *h, uint64_t offset, unsigned size);
void harness_write(struct harness *h, uint64_t offset, unsigned size, uint64_t value);

/* Acknowledge, features (what is offered of `wanted`), queues of `size` entries each, DRIVER_OK. The status at the end.
 */
uint8_t harness_start(struct harness *h, uint64_t wanted, unsigned n_queues, uint16_t size);
uint64_t harness_offered(struct harness *h);
uint8_t harness_status(struct harness *h);
void harness_reset(struct harness *h);

/* Room in guest memory, aligned to 4096; zeroed. 0 when there is no more. */
uint64_t harness_alloc(struct harness *h, uint32_t bytes);
void *harness_at(struct harness *h, uint64_t gpa); /* host address in ram */

struct harness_piece {
    uint64_t gpa;
    uint32_t length;
    bool is_in; /* the device writes it */
};
/* Adds a chain of n pieces (n <= free entries) and makes it available; its head. Does not ring. */
uint16_t harness_add(struct harness *h, unsigned queue, const struct harness_piece *pieces, unsigned n);
/* Rings and lets the main loop do what is ready, without waiting. */
void harness_kick(struct harness *h, unsigned queue);
void harness_turn(struct harness *h);
/* A finished chain: 1 with its head and number of bytes written, 0 if there is none yet. */
int harness_take(struct harness *h, unsigned queue, uint16_t *ret_head, uint32_t *ret_written);
/* The same, waiting (with turns of the loop) at most some seconds for devices with threads. */
int harness_wait(struct harness *h, unsigned queue, uint16_t *ret_head, uint32_t *ret_written);

#endif
