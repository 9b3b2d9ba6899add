/* The kernel's side of a virtual machine: /dev/kvm, the VM and what belongs to the whole of it. Source: the kernel's
 * Documentation/virt/kvm/api.rst. Everything here happens on the main thread before the first vCPU runs, except the
 * doorbells and interrupt lines, which any thread may change. */
#ifndef HOLM_VMM_KVM_H
#define HOLM_VMM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>

#include "vmm/memory.h"

#define KVM_GSI_MAX 640u /* pins, and vectors of the largest machine */

struct kvm {
    int fd, vm_fd;
    size_t vcpu_map_bytes; /* of the shared run structure */
    pthread_mutex_t routes_lock;
    /* Routes of the interrupt lines that exist: pins of the IOAPIC, then messages. */
    struct kvm_irq_routing_entry routes[KVM_GSI_MAX];
    unsigned n_routes;
    bool are_gsis_taken[KVM_GSI_MAX];
};

/* dev_fd: /dev/kvm, opened by the caller and owned from here on. The VM gets this memory: it must live as long. */
MUST_CHECK int kvm_init(struct kvm *k, int dev_fd, const struct memory *m, struct err *e);
void kvm_done(struct kvm *k);
/* ioctl on the VM; the error names it. */
MUST_CHECK int kvm_vm_ioctl(struct kvm *k, unsigned long request, void *arg, const char *name, struct err *e);

/* Doorbell: a write to gpa wakes event_fd and does not leave the kernel. Without one the write is an exit as others. */
int kvm_doorbell_set(struct kvm *k, uint64_t gpa, int event_fd, bool is_on);

/* An interrupt line that sends a message (MSI). kvm_line_new: the number of a free line, or -ENOSPC. */
MUST_CHECK int kvm_line_new(struct kvm *k);
void kvm_line_free(struct kvm *k, unsigned gsi);
MUST_CHECK int kvm_line_route(struct kvm *k, unsigned gsi, uint64_t address, uint32_t data);
/* Writing to event_fd raises the line (level: a rising edge only, which is all we use). */
int kvm_line_attach(struct kvm *k, unsigned gsi, int event_fd, bool is_on);

#endif
