/* CPUID, MSRs, registers; see cpu.h. Numbers: Intel SDM 2A (CPUID), 3 (system registers); AMD APM 3 appendix E. */
#include "vmm/x86/cpu.h"

#include <sys/ioctl.h>

#include "vmm/x86/layout.h"

#define CPUID_MAX 256u

/* No guests of guests: that code of the host's kernel is not for a guest to reach. */
#define CPUID_VMX (1u << 5) /* 1, ecx */
#define CPUID_SVM (1u << 2) /* 0x80000001, ecx */

#define MSR_MISC_ENABLE  0x1a0u
#define MSR_MTRR_DEFAULT 0x2ffu
#define MSR_TSC          0x10u

#define CR0_PE   0x1ull
#define CR0_ET   0x10ull
#define CR0_NE   0x20ull
#define CR0_PG   0x80000000ull
#define CR4_PAE  0x20ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull

struct cpuid_table {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[CPUID_MAX];
};

static int vcpu_ioctl(const struct vcpu_set *s, unsigned i, unsigned long request, void *arg, const char *name,
                      struct err *e)
{
    return ioctl(vcpu_fd(s, i), request, arg) < 0 ? err_errno(e, errno, "%s of vCPU %u", name, i) : 0;
}
#define VCPU_IOCTL(s, i, request, arg, e) vcpu_ioctl(s, i, request, arg, #request, e)

/* Bits that number `n` things; CPUID wants the width of an id. */
static uint32_t width_of(uint32_t n)
{
    uint32_t bits = 0;

    while (1u << bits < n)
        bits++;
    return bits;
}

void cpu_adapt_cpuid(struct kvm_cpuid_entry2 *c, uint32_t id, uint32_t n, bool has_deadline)
{
    switch (c->function) {
    case 1:
        c->ebx = (c->ebx & 0x0000ffff) | n << 16 | id << 24;
        c->ecx |= 1u << 31; /* there is a hypervisor */
        c->ecx &= ~CPUID_VMX;
        if (has_deadline)
            c->ecx |= 1u << 24; /* the local timer needs no calibration */
        c->edx = n > 1 ? c->edx | 1u << 28 : c->edx & ~(1u << 28);
        break;
    case 4:
        c->eax = (c->eax & 0x03ffffff) | (n - 1) << 26;
        /* The caches: the last level is shared by all, the others are a core's own. */
        c->eax = (c->eax & ~0x03ffc000u) | ((c->eax >> 5 & 7) >= 3 ? n - 1 : 0) << 14;
        break;
    case 0xb:
    case 0x1f:
        c->edx = id;
        c->eax = c->index == 0 ? 0 : c->index == 1 ? width_of(n) : 0;
        c->ebx = c->index == 0 ? 1 : c->index == 1 ? n : 0;
        c->ecx = c->index | (c->index == 0 ? 1u << 8 : c->index == 1 ? 2u << 8 : 0);
        break;
    case 0x80000001:
        c->ecx &= ~CPUID_SVM;
        break;
    case 0x8000000a: /* of SVM */
        c->eax = c->ebx = c->ecx = c->edx = 0;
        break;
    case 0x80000008:
        c->ecx = (c->ecx & ~0xf0ffu) | width_of(n) << 12 | (n - 1);
        break;
    case 0x8000001e:
        c->eax = id;
        c->ebx = (c->ebx & ~0xffffu) | id;
        break;
    default:
        break;
    }
}

static int give_cpuid(struct kvm *kvm, const struct vcpu_set *s, struct err *e)
{
    struct cpuid_table offered = {.head.nent = CPUID_MAX}, own;
    bool has_deadline = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    int r = 0;

    if (ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, &offered) < 0)
        return err_errno(e, errno, "KVM_GET_SUPPORTED_CPUID");
    for (unsigned i = 0; i < s->n_vcpus && r == 0; i++) {
        own = offered;
        for (unsigned j = 0; j < own.head.nent; j++)
            cpu_adapt_cpuid(&own.entries[j], i, s->n_vcpus, has_deadline);
        r = VCPU_IOCTL(s, i, KVM_SET_CPUID2, &own, e);
    }
    return r;
}

struct msr_table {
    struct kvm_msrs head;
    struct kvm_msr_entry entries[CPU_MSRS_MAX];
};

/* The MSRs worth keeping. The kernel's list names more than a processor may have: KVM_GET_MSRS stops before such a one,
 * so one call finds all up to there. */
static int list_msrs(struct cpus *c, struct err *e)
{
    struct {
        struct kvm_msr_list head;
        uint32_t indices[CPU_MSRS_MAX];
    } list = {.head.nmsrs = CPU_MSRS_MAX};
    struct msr_table msrs;

    if (ioctl(c->kvm->fd, KVM_GET_MSR_INDEX_LIST, &list) < 0)
        return err_errno(e, errno, "KVM_GET_MSR_INDEX_LIST");
    c->n_msrs = 0;
    for (uint32_t first = 0; first < list.head.nmsrs; first++) {
        int n;

        msrs.head = (struct kvm_msrs){.nmsrs = list.head.nmsrs - first};
        for (uint32_t i = 0; i < msrs.head.nmsrs; i++)
            msrs.entries[i] = (struct kvm_msr_entry){.index = list.indices[first + i]};
        n = ioctl(vcpu_fd(c->set, 0), KVM_GET_MSRS, &msrs);
        for (; n > 0; n--)
            c->msrs[c->n_msrs++] = list.indices[first++];
    }
    return 0;
}

int cpu_state_get(const struct cpus *c, unsigned i, struct cpu_state *ret_state, struct err *e)
{
    struct msr_table msrs = {.head.nmsrs = c->n_msrs};
    const struct vcpu_set *s = c->set;
    struct cpu_state *state = ret_state;
    int n, r;

    if ((r = VCPU_IOCTL(s, i, KVM_GET_MP_STATE, &state->mp_state, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_GET_REGS, &state->regs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_GET_SREGS, &state->sregs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_GET_XSAVE, &state->xsave, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_GET_XCRS, &state->xcrs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_GET_DEBUGREGS, &state->debugregs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_GET_LAPIC, &state->lapic, e)) < 0)
        return r;
    for (uint32_t j = 0; j < c->n_msrs; j++)
        msrs.entries[j].index = c->msrs[j];
    n = ioctl(vcpu_fd(s, i), KVM_GET_MSRS, &msrs);
    if (n != (int)c->n_msrs)
        return err_set(e, -EIO, "kvm.msrs", "MSR %#x of vCPU %u cannot be read", n >= 0 ? c->msrs[n] : 0, i);
    state->n_msrs = c->n_msrs;
    memcpy(state->msrs, msrs.entries, c->n_msrs * sizeof(state->msrs[0]));
    return VCPU_IOCTL(s, i, KVM_GET_VCPU_EVENTS, &state->events, e);
}

/* One after the other: a processor of another kind refuses some, and which one is worth saying. */
static int set_msrs(const struct cpus *c, unsigned i, const struct cpu_state *state, struct err *e)
{
    struct msr_table msrs = {.head.nmsrs = state->n_msrs};
    int n;

    memcpy(msrs.entries, state->msrs, state->n_msrs * sizeof(state->msrs[0]));
    n = ioctl(vcpu_fd(c->set, i), KVM_SET_MSRS, &msrs);
    if (n != (int)state->n_msrs)
        return err_set(e, -EIO, "kvm.msrs", "MSR %#x of vCPU %u cannot be set", n >= 0 ? state->msrs[n].index : 0, i);
    return 0;
}

int cpu_state_set(const struct cpus *c, unsigned i, const struct cpu_state *given, struct err *e)
{
    struct cpu_state state = *given; /* the kernel's calls take no const */
    const struct vcpu_set *s = c->set;
    int r;

    /* The order matters: features before what depends on them, the pending events and the run state last. */
    if ((r = VCPU_IOCTL(s, i, KVM_SET_SREGS, &state.sregs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_SET_REGS, &state.regs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_SET_XCRS, &state.xcrs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_SET_XSAVE, &state.xsave, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_SET_DEBUGREGS, &state.debugregs, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_SET_LAPIC, &state.lapic, e)) < 0 || (r = set_msrs(c, i, &state, e)) < 0 ||
        (r = VCPU_IOCTL(s, i, KVM_SET_VCPU_EVENTS, &state.events, e)) < 0)
        return r;
    return VCPU_IOCTL(s, i, KVM_SET_MP_STATE, &state.mp_state, e);
}

/* What firmware would have set before a kernel runs. */
static void firmware_msrs(struct cpu_state *state)
{
    for (uint32_t i = 0; i < state->n_msrs; i++) {
        if (state->msrs[i].index == MSR_MISC_ENABLE)
            state->msrs[i].data |= 1; /* fast strings */
        if (state->msrs[i].index == MSR_MTRR_DEFAULT)
            state->msrs[i].data = 1u << 11 | 6; /* on, all memory write-back */
        if (state->msrs[i].index == MSR_TSC)
            state->msrs[i].data = 0;
    }
}

int cpus_init(struct cpus *c, struct kvm *kvm, const struct vcpu_set *s, struct err *e)
{
    int r;

    *c = (struct cpus){.kvm = kvm, .set = s, .fresh_ioapic.chip_id = KVM_IRQCHIP_IOAPIC};
    c->fresh = calloc(s->n_vcpus, sizeof(*c->fresh));
    if (!c->fresh)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    r = give_cpuid(kvm, s, e);
    if (r == 0)
        r = list_msrs(c, e);
    for (unsigned i = 0; i < s->n_vcpus && r == 0; i++) {
        r = cpu_state_get(c, i, &c->fresh[i], e);
        firmware_msrs(&c->fresh[i]);
    }
    if (r == 0)
        r = kvm_vm_ioctl(kvm, KVM_GET_IRQCHIP, &c->fresh_ioapic, "KVM_GET_IRQCHIP", e);
    return r;
}

void cpus_done(struct cpus *c)
{
    free(c->fresh);
    c->fresh = NULL;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool is_code, bool is_long)
{
    return (struct kvm_segment){.selector = selector,
                                .limit = 0xffffffff,
                                .type = type,
                                .present = 1,
                                .s = 1,
                                .g = 1,
                                .db = !is_long || !is_code,
                                .l = is_long && is_code};
}

/* The first instruction of the kernel: what its boot protocol promises it. */
static int set_entry(const struct vcpu_set *s, const struct boot_entry *entry, struct err *e)
{
    struct kvm_regs regs = {.rflags = 2, .rip = entry->rip, .rsi = entry->rsi, .rbx = entry->rbx};
    struct kvm_sregs sregs;
    bool is_long = entry->is_long_mode;
    int r = VCPU_IOCTL(s, 0, KVM_GET_SREGS, &sregs, e);

    if (r < 0)
        return r;
    sregs.cs = segment(0x10, 11, true, is_long);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(0x18, 3, false, is_long);
    sregs.tr = (struct kvm_segment){.selector = 0x20, .limit = 0x67, .type = 11, .present = 1};
    sregs.ldt = (struct kvm_segment){.unusable = 1};
    sregs.gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = 5 * 8 - 1};
    sregs.idt = (struct kvm_dtable){0};
    sregs.cr0 = CR0_PE | CR0_ET | CR0_NE | (is_long ? CR0_PG : 0);
    sregs.cr3 = is_long ? LAYOUT_PAGE_TABLE : 0;
    sregs.cr4 = is_long ? CR4_PAE : 0;
    sregs.efer = is_long ? EFER_LME | EFER_LMA : 0;
    r = VCPU_IOCTL(s, 0, KVM_SET_SREGS, &sregs, e);
    return r < 0 ? r : VCPU_IOCTL(s, 0, KVM_SET_REGS, &regs, e);
}

int cpus_reset(const struct cpus *c, const struct boot_entry *entry, struct err *e)
{
    struct kvm_irqchip ioapic = c->fresh_ioapic;
    int r = kvm_vm_ioctl(c->kvm, KVM_SET_IRQCHIP, &ioapic, "KVM_SET_IRQCHIP", e);

    for (unsigned i = 0; i < c->set->n_vcpus && r == 0; i++)
        r = cpu_state_set(c, i, &c->fresh[i], e);
    return r < 0 ? r : set_entry(c->set, entry, e);
}
