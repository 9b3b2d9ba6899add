/* The least that runs a guest on KVM, for test_vmm.py: no interrupt controllers, no devices but a port that is written
 * to standard output, nothing given up. minimal_kvm GUEST MIB: GUEST is an ELF file of 64 bits with 32-bit code. */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOLE (3ull << 30)
#define FOUR (4ull << 30)

static int vm, vcpu;

static void must(int r, const char *what)
{
    if (r < 0)
        err(1, "%s", what);
}

static uint8_t *add_memory(uint32_t slot, uint64_t gpa, uint64_t size)
{
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uintptr_t)host};

    must(host == MAP_FAILED ? -1 : 0, "mmap");
    must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    return host;
}

static uint64_t load(const char *path, uint8_t *memory, uint64_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr head;
    Elf64_Phdr part;

    must(fd, path);
    must(pread(fd, &head, sizeof(head), 0) == sizeof(head) ? 0 : -1, path);
    for (unsigned i = 0; i < head.e_phnum; i++) {
        must(pread(fd, &part, sizeof(part), (off_t)(head.e_phoff + i * sizeof(part))) == sizeof(part) ? 0 : -1, path);
        if (part.p_type != PT_LOAD || part.p_paddr > size || part.p_filesz > size - part.p_paddr)
            continue;
        must(pread(fd, memory + part.p_paddr, part.p_filesz, (off_t)part.p_offset) < 0 ? -1 : 0, path);
    }
    close(fd);
    return head.e_entry;
}

static void enter_at(uint64_t entry)
{
    struct kvm_segment flat = {.limit = 0xffffffff, .present = 1, .s = 1, .g = 1, .db = 1, .type = 3, .selector = 0x18};
    struct kvm_regs regs = {.rip = entry, .rflags = 2};
    struct kvm_sregs sregs;

    must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.cs = flat;
    sregs.cs.type = 11;
    sregs.cs.selector = 0x10;
    sregs.cr0 |= 1;
    must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

int main(int argc, char **argv)
{
    uint64_t size = argc == 3 ? strtoull(argv[2], NULL, 10) << 20 : 0, low = size < HOLE ? size : HOLE;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    struct kvm_run *run;
    uint8_t *memory;

    if (!size)
        errx(2, "usage: minimal_kvm GUEST MIB");
    must(kvm, "/dev/kvm");
    must(vm = ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    memory = add_memory(0, 0, low);
    if (size > low)
        add_memory(1, FOUR, size - low);
    must(vcpu = ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    must(run == MAP_FAILED ? -1 : 0, "mmap");
    enter_at(load(argv[1], memory, low));
    for (;;) {
        must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
        if (run->exit_reason == KVM_EXIT_HLT)
            pause();
        else if (run->exit_reason != KVM_EXIT_IO || write(1, (char *)run + run->io.data_offset, 1) < 0)
            errx(1, "exit %u", run->exit_reason);
    }
}
