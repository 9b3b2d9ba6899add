// Checks that /dev/kvm of the lab's outer machine is a real one: its version, what a hypervisor needs of it, and a
// guest of a few bytes in real mode that adds two numbers, writes the sum to a port and halts. Prints one line a check.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static int n_failed;

#define EXTENSION(name, least)                                                                                         \
    {                                                                                                                  \
#name, KVM_CAP_##name, least                                                                                   \
    }
static const struct {
    const char *name;
    long id;
    int least;
} NEEDED[] = {
    EXTENSION(IRQCHIP, 1),        EXTENSION(SPLIT_IRQCHIP, 1), EXTENSION(IOEVENTFD, 1),
    EXTENSION(IRQFD, 1),          EXTENSION(IRQ_ROUTING, 256), EXTENSION(SIGNAL_MSI, 1),
    EXTENSION(NR_MEMSLOTS, 32),   EXTENSION(SYNC_MMU, 1),      EXTENSION(READONLY_MEM, 1),
    EXTENSION(IMMEDIATE_EXIT, 1), EXTENSION(GET_TSC_KHZ, 1),   EXTENSION(TSC_DEADLINE_TIMER, 1),
    EXTENSION(ADJUST_CLOCK, 1),   EXTENSION(XSAVE2, 1),        EXTENSION(XCRS, 1),
    EXTENSION(VCPU_EVENTS, 1),    EXTENSION(MP_STATE, 1),      EXTENSION(DIRTY_LOG_RING, 1),
    EXTENSION(NR_VCPUS, 2),       EXTENSION(EXT_CPUID, 1),     EXTENSION(NESTED_STATE, 1),
};

static void check(const char *name, long value, long least)
{
    printf("%s %s %ld\n", value >= least ? "ok" : "FAIL", name, value);
    n_failed += value < least;
}

static int must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

// mov dx, 0x3f8; add al, bl; out dx, al; hlt
static const uint8_t CODE[] = {0xba, 0xf8, 0x03, 0x00, 0xd8, 0xee, 0xf4};

static void run_guest(int kvm)
{
    int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    void *memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memcpy(memory, CODE, sizeof(CODE));
    struct kvm_userspace_memory_region region = {
        .guest_phys_addr = 0x1000, .memory_size = 0x1000, .userspace_addr = (uintptr_t)memory};
    must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    size_t size = (size_t)must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    struct kvm_sregs sregs;
    must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    struct kvm_regs regs = {.rip = 0x1000, .rax = 40, .rbx = 2, .rflags = 2};
    must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
    must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    check("guest leaves by a port", run->exit_reason == KVM_EXIT_IO && run->io.port == 0x3f8, 1);
    check("guest adds 40 and 2", ((uint8_t *)run)[run->io.data_offset] == 42, 1);
    must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    check("guest halts", run->exit_reason == KVM_EXIT_HLT, 1);
}

int main(void)
{
    int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    check("API version", ioctl(kvm, KVM_GET_API_VERSION, 0), 12);
    for (size_t i = 0; i < sizeof(NEEDED) / sizeof(NEEDED[0]); i++)
        check(NEEDED[i].name, ioctl(kvm, KVM_CHECK_EXTENSION, NEEDED[i].id), NEEDED[i].least);
    run_guest(kvm);
    return n_failed != 0;
}
