/* A virtual CPU: a thread that runs the guest and takes its exits to the buses. Pausing, resetting and ending are asked
 * for by the main thread (vcpu_all_*), which returns when every vCPU has left the guest. */
#ifndef HOLM_VMM_VCPU_H
#define HOLM_VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/bus.h"
#include "vmm/kvm.h"
#include "vmm/thread.h"

/* What a guest did that concerns the whole machine; told on the vCPU's thread. */
enum vcpu_event {
    VCPU_SHUTDOWN, /* a triple fault: the classic way to reset */
    VCPU_FAILED,   /* KVM could not go on: text in the error */
};

struct vcpu;
struct vcpu_set {
    struct kvm *kvm;
    struct bus *mmio, *pio;
    struct vcpu *vcpus;
    unsigned n_vcpus;
    void (*on_event)(void *context, enum vcpu_event event, const struct err *e);
    void *context;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under lock: how many are outside of the guest, what all of them are to do. */
    unsigned n_parked;
    bool is_paused, is_ending;
};

#define VCPUS_MAX 64u

/* Makes n vCPUs (no thread yet). kvm, mmio and pio outlive the set. */
MUST_CHECK int vcpu_set_init(struct vcpu_set *s, struct kvm *kvm, struct bus *mmio, struct bus *pio, unsigned n,
                             struct err *e);
/* Their threads; each waits, paused, for vcpu_set_resume. */
MUST_CHECK int vcpu_set_start(struct vcpu_set *s, struct err *e);
/* The KVM descriptor of a vCPU: only while it is paused or has no thread. */
int vcpu_fd(const struct vcpu_set *s, unsigned index);
/* Returns when no vCPU is in the guest or in a device any more. Not from a vCPU's thread. */
void vcpu_set_pause(struct vcpu_set *s);
void vcpu_set_resume(struct vcpu_set *s);
/* Ends the threads and frees everything; harmless on what init did not finish. */
void vcpu_set_done(struct vcpu_set *s);
/* Exits that came to this program, of all vCPUs since the start; for statistics. */
uint64_t vcpu_set_exits(const struct vcpu_set *s);

#endif
