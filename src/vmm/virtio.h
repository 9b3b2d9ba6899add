/* virtio devices over PCI, modern only. This part is the same for all: features, status, queues, interrupts; a device
 * is a row of dev/table.c and a file there. Source: virtio 1.2, chapters 2 and 4.1.
 *
 * Threads: registers are read and written by vCPU threads under the function's lock, and so start and stop are called.
 * A device works its queues on its own threads; it ends that work in `stop`, which returns when none of them touches a
 * queue any more. virtio_signal, virtio_fail and virtio_config_changed take no lock: any thread calls them. */
#ifndef HOLM_VMM_VIRTIO_H
#define HOLM_VMM_VIRTIO_H

#include "base/propstr.h"
#include "vmm/loop.h"
#include "vmm/pci.h"
#include "vmm/state.h"
#include "vmm/virtq.h"

#define VIRTIO_QUEUES_MAX 32u
#define VIRTIO_VERSION_1  (1ull << 32)

struct virtio;
/* How a device tells numbers by name ("read-bytes"); names are constants of it. */
typedef void (*virtio_tell_fn)(void *arg, const char *name, uint64_t value);

struct virtio_ops {
    const char *name; /* "disk": also its option on the command line */
    uint16_t id;      /* virtio 1.2, chapter 5 */
    uint32_t class_code;
    uint16_t queue_size; /* the largest its queues may have */
    /* It works on the main loop only, and its stop forgets what it knew of the driver: saving, which happens on the
     * same thread, does not stop it. */
    bool is_on_main;
    unsigned n_connections; /* descriptors that it may open while the machine runs */
    /* Its configuration space, little-endian; short or outside reads give zeroes. config_write NULL: read-only. */
    size_t (*config)(void *device, uint8_t *bytes, size_t cap);
    void (*config_write)(void *device, size_t offset, const uint8_t *bytes, size_t n);
    /* DRIVER_OK with these features: queues are enabled or not for good. An error makes the device need a reset. */
    int (*start)(void *device, uint64_t features);
    void (*stop)(void *device);
    void (*save)(void *device, struct buf *b);
    void (*load)(void *device, struct state_reader *r);
    void (*free)(void *device);
    /* Verbs of the control connection (control.c), on the main thread; they return at once. NULL: it has no such. */
    void (*counters)(void *device, virtio_tell_fn tell, void *arg);          /* "stats": since the start */
    int (*resize)(void *device, uint64_t bytes, struct err *e);              /* "disk-resize": make it larger */
    int (*limit)(void *device, const struct propstr *limits, struct err *e); /* "disk-limit": instead of what was */
    int (*balloon)(void *device, uint64_t target_bytes, struct err *e);  /* "balloon": RAM the guest shall have left */
    void (*balloon_stats)(void *device, virtio_tell_fn tell, void *arg); /* "balloon-stats": what the guest told last */
    int (*link)(void *device, bool is_up, struct err *e);                /* "net-link": the cable */
};

/* What a device is made in. Outlives it. */
struct virtio_host {
    struct kvm *kvm; /* NULL in tests */
    const struct memory *memory;
    struct pci_bus *pci;
    struct loop *main; /* for devices without a thread of their own */
};

/* features: what it offers beyond the queue features. The device is owned from here on, also on failure. */
MUST_CHECK int virtio_new(struct virtio_host *h, const struct virtio_ops *ops, void *device, uint64_t features,
                          unsigned n_queues, struct virtio **ret_virtio, struct err *e);
/* Stops and frees the device too. */
void virtio_free(struct virtio *v);
/* As after power on. With its function's lock not held and no vCPU running. */
void virtio_reset(struct virtio *v);

const struct virtio_ops *virtio_ops_of(const struct virtio *v);
void *virtio_device(const struct virtio *v);
unsigned virtio_slot(const struct virtio *v);
struct virtq *virtio_queue(struct virtio *v, unsigned index);
/* Readable when the driver rang for the queue. */
int virtio_doorbell(const struct virtio *v, unsigned index);
/* Interrupts the driver for what was pushed, if it wants that. */
void virtio_signal(struct virtio *v, unsigned index);
/* The driver broke the rules: this device needs a reset (2.1.2), everything else goes on. */
void virtio_fail(struct virtio *v);
bool virtio_is_failed(const struct virtio *v);
void virtio_config_changed(struct virtio *v);
bool virtio_is_running(const struct virtio *v); /* between DRIVER_OK and reset */

/* Stops the device for as long as it is written down; afterwards it goes on (start follows save without a reset). */
void virtio_save(struct virtio *v, struct buf *b);
MUST_CHECK int virtio_load(struct virtio *v, struct state_reader *r, struct err *e);

/* A register access by offset into the BAR, as a driver makes it: for tests without a machine. */
uint64_t virtio_test_read(struct virtio *v, uint64_t offset, unsigned size);
void virtio_test_write(struct virtio *v, uint64_t offset, unsigned size, uint64_t value);
/* Counts what a vector raised (pci_interrupt_fd). */
int virtio_test_interrupt_fd(struct virtio *v, unsigned vector);

#endif
