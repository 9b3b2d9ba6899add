/* Puts a kernel into guest memory and says how the first vCPU is to enter it. Formats: Linux bzImage with the 64-bit
 * entry (kernel: Documentation/arch/x86/boot.rst), ELF with a PVH note (xen: docs/misc/pvh.pandoc), ELF of Linux.
 * The files are the user's, who may be mistaken or somebody else's victim: every offset is checked, and a wrong file is
 * one clear error before the guest runs. */
#ifndef HOLM_VMM_X86_BOOT_H
#define HOLM_VMM_X86_BOOT_H

#include "vmm/memory.h"

struct boot_source {
    int kernel_fd;
    int initrd_fd; /* -1: none */
    const char *cmdline;
};

struct boot_entry {
    bool is_long_mode; /* else 32-bit protected mode without paging (PVH) */
    uint64_t rip;
    uint64_t rsi, rbx; /* where the kernel finds what it is told */
};

/* -EINVAL "kernel.format", -ENOSPC "kernel.memory", -EINVAL "cmdline.length". Guest memory is changed even then. */
MUST_CHECK int boot_load(const struct memory *m, const struct boot_source *source, struct boot_entry *ret_entry,
                         struct err *e);

#endif
