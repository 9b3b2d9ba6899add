/* The kernel loader: the input is a few choices and a file. What is accepted begins inside of memory. */
#include <sys/mman.h>
#include <sys/uio.h>

#include "vmm/x86/boot.h"
#include "vmm/x86/layout.h"

#define RAM_BYTES (16u << 20)
#define HIGH_GPA  (1ull << 32)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint8_t *ram, *high;
static int kernel_fd = -1, initrd_fd = -1;

static void set_up(void)
{
    ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    high = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
    initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
    if (ram == MAP_FAILED || high == MAP_FAILED || kernel_fd < 0 || initrd_fd < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct boot_source source = {.initrd_fd = -1, .cmdline = "console=ttyS0"};
    static char cmdline[8192];
    struct boot_entry entry;
    struct err e = ERR_INIT;
    struct memory m;
    int r;

    if (n < 4)
        return 0;
    if (!ram)
        set_up();
    memory_init_fake(&m, 0, ram, RAM_BYTES >> (data[0] & 3));
    if (data[0] & 4)
        m.regions[m.n_regions++] = (struct memory_region){.gpa = HIGH_GPA, .size_bytes = RAM_BYTES, .host = high};
    memset(cmdline, 'x', sizeof(cmdline));
    cmdline[data[1] * 32u] = 0;
    source.cmdline = cmdline;
    /* The end of the file may be a hole that the input need not spell out. */
    if (ftruncate(kernel_fd, 0) < 0 || pwrite(kernel_fd, data + 4, n - 4, 0) != (ssize_t)(n - 4) ||
        ftruncate(kernel_fd, (off_t)(n - 4 + (uint64_t)data[2] * 8192)) < 0 ||
        ftruncate(initrd_fd, (off_t)data[3] * 65536) < 0)
        abort();
    source.kernel_fd = kernel_fd;
    source.initrd_fd = data[0] & 8 ? initrd_fd : -1;
    r = boot_load(&m, &source, &entry, &e);
    if (r < 0 && (!e.code[0] || !e.text[0] || e.num != r))
        abort();
    if (r == 0 && (entry.rip < LAYOUT_HIGH || entry.rip >= m.regions[0].size_bytes))
        abort();
    (void)madvise(ram, RAM_BYTES, MADV_DONTNEED);
    (void)madvise(high, RAM_BYTES, MADV_DONTNEED);
    return 0;
}
