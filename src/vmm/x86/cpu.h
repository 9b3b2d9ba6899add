/* What an x86 vCPU is: CPUID, MSRs and the registers at its first instruction. Main thread, vCPUs outside of the guest.
 */
#ifndef HOLM_VMM_X86_CPU_H
#define HOLM_VMM_X86_CPU_H

#include "vmm/vcpu.h"
#include "vmm/x86/boot.h"

#define CPU_MSRS_MAX 512u

/* Everything of a vCPU that the kernel keeps. */
struct cpu_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xsave xsave;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    uint32_t n_msrs;
    struct kvm_msr_entry msrs[CPU_MSRS_MAX];
};

/* The processors of a machine and how they were when they were new, for resets. */
struct cpus {
    struct kvm *kvm;
    const struct vcpu_set *set;
    uint32_t n_msrs;
    uint32_t msrs[CPU_MSRS_MAX]; /* those the kernel can save */
    struct cpu_state *fresh;     /* one for each vCPU */
    struct kvm_irqchip fresh_ioapic;
};

/* One entry of what KVM offers, as vCPU `id` of n has it: one package, a core for each vCPU, one thread each. */
void cpu_adapt_cpuid(struct kvm_cpuid_entry2 *c, uint32_t id, uint32_t n, bool has_deadline);
/* Once, after the vCPUs are made. */
MUST_CHECK int cpus_init(struct cpus *c, struct kvm *kvm, const struct vcpu_set *s, struct err *e);
void cpus_done(struct cpus *c);
MUST_CHECK int cpu_state_get(const struct cpus *c, unsigned index, struct cpu_state *ret_state, struct err *e);
MUST_CHECK int cpu_state_set(const struct cpus *c, unsigned index, const struct cpu_state *state, struct err *e);
/* As after power on: the first vCPU at the kernel's entry, the others waiting for it, no interrupt pending. */
MUST_CHECK int cpus_reset(const struct cpus *c, const struct boot_entry *entry, struct err *e);

#endif
