/* The kernel loader on files made for it: what boots, where it is put and what it is told, and everything that is wrong
 * with a file: one clear error each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <asm/bootparam.h>
#include <elf.h>
#include <sys/mman.h>

#include "vmm/x86/boot.h"
#include "vmm/x86/layout.h"

#define RAM_BYTES (32u << 20)
#define CODE      "the kernel's code"

struct file {
    uint8_t bytes[8192];
    size_t n;
};

static struct memory memory;

static int setup(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    return memory_init(&memory, RAM_BYTES, LAYOUT_HOLE, 0, &e);
}
static int teardown(void **state)
{
    (void)state;
    memory_done(&memory);
    return 0;
}

static int file_fd(const void *p, size_t n)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    return fd;
}

static int boot(const struct file *f, uint64_t initrd_bytes, const char *cmdline, struct boot_entry *entry,
                struct err *e)
{
    struct boot_source source = {.kernel_fd = file_fd(f->bytes, f->n), .initrd_fd = -1, .cmdline = cmdline};
    int r;

    *e = (struct err)ERR_INIT;
    if (initrd_bytes) {
        source.initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
        assert_int_equal(ftruncate(source.initrd_fd, (off_t)initrd_bytes), 0);
        assert_int_equal(pwrite(source.initrd_fd, "ramdisk", 7, 0), 7);
    }
    memory_clear(&memory);
    r = boot_load(&memory, &source, entry, e);
    close(source.kernel_fd);
    if (source.initrd_fd >= 0)
        close(source.initrd_fd);
    return r;
}

static void bzimage(struct file *f)
{
    struct setup_header *h = (struct setup_header *)(void *)(f->bytes + 0x1f1);

    *f = (struct file){.n = 1024 + 2048};
    h->setup_sects = 1;
    h->boot_flag = 0xaa55;
    h->jump = 0x6aeb;
    h->header = 0x53726448;
    h->version = 0x020f;
    h->loadflags = LOADED_HIGH;
    h->initrd_addr_max = 0x7fffffff;
    h->kernel_alignment = 0x200000;
    h->relocatable_kernel = 1;
    h->xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G;
    h->cmdline_size = 2047;
    h->pref_address = 0x1000000;
    h->init_size = 0x100000;
    memcpy(f->bytes + 1024, CODE, sizeof(CODE));
}
#define BZIMAGE(f) ((struct setup_header *)(void *)((f)->bytes + 0x1f1))

static const struct boot_params *zero_page(void)
{
    return memory_at(&memory, LAYOUT_ZERO_PAGE, sizeof(struct boot_params));
}

static void test_bzimage(void **state)
{
    struct boot_entry entry;
    struct err e;
    struct file f;

    (void)state;
    bzimage(&f);
    assert_int_equal(boot(&f, 0, "quiet", &entry, &e), 0);
    assert_true(entry.is_long_mode);
    assert_int_equal(entry.rip, 0x1000200);
    assert_int_equal(entry.rsi, LAYOUT_ZERO_PAGE);
    assert_string_equal(memory_at(&memory, 0x1000000, 64), CODE);
    assert_string_equal(memory_at(&memory, LAYOUT_CMDLINE, 64), "quiet");
    assert_int_equal(zero_page()->hdr.cmd_line_ptr, LAYOUT_CMDLINE);
    assert_int_equal(zero_page()->hdr.type_of_loader, 0xff);
    assert_int_equal(zero_page()->hdr.ramdisk_size, 0);
    assert_int_equal(zero_page()->acpi_rsdp_addr, LAYOUT_ACPI);
    /* The map of memory: ordered, apart, all of RAM above 1 MiB. */
    for (unsigned i = 1; i < zero_page()->e820_entries; i++)
        assert_true(zero_page()->e820_table[i].addr >=
                    zero_page()->e820_table[i - 1].addr + zero_page()->e820_table[i - 1].size);
    assert_int_equal(zero_page()->e820_table[2].addr + zero_page()->e820_table[2].size, RAM_BYTES);
    /* Where it would like to be is no memory: lower, if it may move, else an error. */
    BZIMAGE(&f)->pref_address = 0x10000000;
    assert_int_equal(boot(&f, 0, "", &entry, &e), 0);
    assert_int_equal(entry.rip, LAYOUT_HIGH + 0x200);
    BZIMAGE(&f)->pref_address = UINT64_MAX - 4095;
    assert_int_equal(boot(&f, 0, "", &entry, &e), 0);
    assert_int_equal(entry.rip, LAYOUT_HIGH + 0x200);
    BZIMAGE(&f)->relocatable_kernel = 0;
    assert_int_equal(boot(&f, 0, "", &entry, &e), 0);
    assert_int_equal(entry.rip, LAYOUT_HIGH + 0x200);
    BZIMAGE(&f)->init_size = RAM_BYTES;
    assert_int_equal(boot(&f, 0, "", &entry, &e), -ENOSPC);
    assert_string_equal(e.code, "kernel.memory");
    assert_true(e.hint[0]);
    BZIMAGE(&f)->init_size = 0;
    assert_int_equal(boot(&f, 0, "", &entry, &e), 0);
}

static void test_bad_bzimages(void **state)
{
    struct boot_entry entry;
    struct file f, good;
    struct err e;

    (void)state;
    bzimage(&good);
    for (unsigned i = 0; i < 8; i++) {
        f = good;
        if (i == 0)
            BZIMAGE(&f)->version = 0x20b;
        else if (i == 1)
            BZIMAGE(&f)->xloadflags = 0;
        else if (i == 2)
            BZIMAGE(&f)->setup_sects = 255;
        else if (i == 3)
            f.n = 1024;
        else if (i == 4)
            f.n = 0x1f1 + 40;
        else if (i == 5)
            BZIMAGE(&f)->boot_flag = 0;
        else if (i == 6)
            BZIMAGE(&f)->header = 0;
        else
            f.n = 0;
        assert_int_equal(boot(&f, 0, "", &entry, &e), -EINVAL);
        assert_string_equal(e.code, "kernel.format");
    }
    /* Any length of a good file: never more than an error. */
    for (size_t n = 0; n < good.n; n += n < 700 ? 1 : 97) {
        f = good;
        f.n = n;
        if (boot(&f, 0, "", &entry, &e) == 0)
            assert_true(n > 1024);
        else
            assert_string_equal(e.code, "kernel.format");
    }
}

static void test_initrd(void **state)
{
    struct boot_entry entry;
    struct err e;
    struct file f;

    (void)state;
    bzimage(&f);
    assert_int_equal(boot(&f, 100000, "", &entry, &e), 0);
    assert_int_equal(zero_page()->hdr.ramdisk_image, (RAM_BYTES - 100000) & ~4095u);
    assert_int_equal(zero_page()->hdr.ramdisk_size, 100000);
    assert_memory_equal(memory_at(&memory, zero_page()->hdr.ramdisk_image, 7), "ramdisk", 7);
    /* The kernel says how high it may be. */
    BZIMAGE(&f)->xloadflags = XLF_KERNEL_64;
    BZIMAGE(&f)->initrd_addr_max = 0x17fffff;
    assert_int_equal(boot(&f, 4096, "", &entry, &e), 0);
    assert_int_equal(zero_page()->hdr.ramdisk_image, 0x17ff000);
    BZIMAGE(&f)->initrd_addr_max = 0x1000fff; /* within the kernel */
    assert_int_equal(boot(&f, 4096, "", &entry, &e), -ENOSPC);
    assert_string_equal(e.code, "initrd.memory");
    bzimage(&f);
    /* Just fits, just does not: the kernel ends at 0x1100000. */
    assert_int_equal(boot(&f, RAM_BYTES - 0x1100000, "", &entry, &e), 0);
    assert_int_equal(boot(&f, RAM_BYTES - 0x1100000 + 1, "", &entry, &e), -ENOSPC);
    assert_int_equal(boot(&f, RAM_BYTES, "", &entry, &e), -ENOSPC);
    assert_int_equal(boot(&f, 1ull << 40, "", &entry, &e), -ENOSPC);
}

static void test_cmdline(void **state)
{
    static char text[8192];
    struct boot_entry entry;
    struct err e;
    struct file f;

    (void)state;
    bzimage(&f);
    memset(text, 'x', sizeof(text) - 1);
    text[2047] = 0;
    assert_int_equal(boot(&f, 0, text, &entry, &e), 0);
    BZIMAGE(&f)->cmdline_size = 2046;
    assert_int_equal(boot(&f, 0, text, &entry, &e), -EINVAL);
    assert_string_equal(e.code, "cmdline.length");
    BZIMAGE(&f)->cmdline_size = UINT32_MAX;
    memset(text, 'x', sizeof(text) - 1);
    text[LAYOUT_CMDLINE_MAX - 1] = 0;
    assert_int_equal(boot(&f, 0, text, &entry, &e), 0);
    text[LAYOUT_CMDLINE_MAX - 1] = 'x';
    assert_int_equal(boot(&f, 0, text, &entry, &e), -EINVAL);
}

static void place(struct file *f, size_t at, const void *p, size_t n)
{
    assert_true(at + n <= sizeof(f->bytes));
    memcpy(&f->bytes[at], p, n);
}

/* An ELF file of one segment and one note. */
static void elf(struct file *f, uint64_t paddr, uint64_t entry, bool has_note)
{
    static const uint32_t note[] = {5, 3, 1, 0x756e694c, 0x78, 0x636261, 4, 4, 18, 0x006e6558, LAYOUT_HIGH + 8};
    Elf64_Ehdr h = {.e_machine = EM_X86_64,
                    .e_phoff = sizeof(h),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = 2,
                    .e_entry = entry};
    Elf64_Phdr p[2] = {
        {.p_type = PT_LOAD, .p_offset = 512, .p_filesz = sizeof(CODE), .p_memsz = 8192, .p_paddr = paddr},
        {.p_type = PT_NOTE, .p_offset = 1024, .p_filesz = has_note ? sizeof(note) : 0}};

    *f = (struct file){.n = 2048};
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    place(f, 0, &h, sizeof(h));
    place(f, sizeof(h), p, sizeof(p));
    place(f, 512, CODE, sizeof(CODE));
    place(f, 1024, note, sizeof(note));
}
#define ELF(f)     ((Elf64_Ehdr *)(void *)(f)->bytes)
#define SEGMENT(f) ((Elf64_Phdr *)(void *)((f)->bytes + sizeof(Elf64_Ehdr)))
#define NOTE(f)    (SEGMENT(f) + 1)

static void test_elf(void **state)
{
    struct boot_entry entry;
    const uint32_t *info;
    struct err e;
    struct file f;

    (void)state;
    elf(&f, LAYOUT_HIGH, LAYOUT_HIGH + 100, true);
    assert_int_equal(boot(&f, 5000, "hello", &entry, &e), 0);
    assert_false(entry.is_long_mode);
    assert_int_equal(entry.rip, LAYOUT_HIGH + 8);
    assert_int_equal(entry.rbx, LAYOUT_PVH_INFO);
    info = memory_at(&memory, LAYOUT_PVH_INFO, 64);
    assert_int_equal(info[0], 0x336ec578);
    assert_int_equal(info[3], 1);
    assert_string_equal(memory_at(&memory, LAYOUT_HIGH, 64), CODE);
    elf(&f, LAYOUT_HIGH, LAYOUT_HIGH + 100, false);
    assert_int_equal(boot(&f, 0, "", &entry, &e), 0);
    assert_true(entry.is_long_mode);
    assert_int_equal(entry.rip, LAYOUT_HIGH + 100);
    assert_int_equal(zero_page()->hdr.header, 0x53726448);
}

static void test_bad_elfs(void **state)
{
    struct boot_entry entry;
    struct err e;
    struct file f;

    (void)state;
    for (unsigned i = 0; i < 18; i++) {
        const char *code = "kernel.format";

        elf(&f, LAYOUT_HIGH, LAYOUT_HIGH + 100, i >= 15);
        switch (i) {
        case 0:
            ELF(&f)->e_machine = EM_AARCH64;
            break;
        case 1:
            ELF(&f)->e_ident[EI_CLASS] = ELFCLASS32;
            break;
        case 2:
            ELF(&f)->e_phnum = 0;
            break;
        case 3:
            ELF(&f)->e_phnum = UINT16_MAX;
            break;
        case 4:
            ELF(&f)->e_phentsize = 32;
            break;
        case 5:
            ELF(&f)->e_phoff = UINT64_MAX;
            break;
        case 6:
            ELF(&f)->e_phoff = 2000;
            break;
        case 7:
            SEGMENT(&f)->p_offset = UINT64_MAX - 5;
            break;
        case 8:
            SEGMENT(&f)->p_filesz = 4096;
            break;
        case 9:
            SEGMENT(&f)->p_memsz = 5;
            break;
        case 10:
            SEGMENT(&f)->p_paddr = LAYOUT_HIGH - 1;
            break;
        case 11:
            SEGMENT(&f)->p_memsz = UINT64_MAX;
            break;
        case 12:
            SEGMENT(&f)->p_memsz = RAM_BYTES;
            code = "kernel.memory";
            break;
        case 13: /* outside of what was loaded */
            ELF(&f)->e_entry = LAYOUT_HIGH + 8192;
            break;
        case 14:
            ELF(&f)->e_entry = 0x7000;
            break;
        case 15:
            NOTE(&f)->p_offset = UINT64_MAX;
            break;
        case 16:
            NOTE(&f)->p_offset = 2040;
            break;
        default:
            SEGMENT(&f)->p_type = PT_NULL;
            break;
        }
        assert_int_equal(boot(&f, 0, "", &entry, &e), i == 12 ? -ENOSPC : -EINVAL);
        assert_string_equal(e.code, code);
    }
}

/* Notes that are no notes: sizes of every kind, and none that makes the loader read on for ever. */
static void test_notes(void **state)
{
    static const uint32_t sizes[] = {0, 1, 3, 4, 5, 44, 1000, 0x7fffffff, 0xfffffff0, UINT32_MAX};
    struct boot_entry entry;
    struct err e;
    struct file f;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (size_t j = 0; j < ARRAY_SIZE(sizes); j++)
            for (uint32_t length = 0; length < 44; length += 11) {
                elf(&f, LAYOUT_HIGH, LAYOUT_HIGH + 100, true);
                memcpy(f.bytes + 1024, &sizes[i], 4);
                memcpy(f.bytes + 1028, &sizes[j], 4);
                NOTE(&f)->p_filesz = length ? length : 44;
                assert_int_equal(boot(&f, 0, "", &entry, &e), 0);
            }
}

static void test_little_memory(void **state)
{
    struct boot_source source = {.kernel_fd = -1, .initrd_fd = -1, .cmdline = ""};
    struct boot_entry entry;
    struct memory small;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(memory_init(&small, 4u << 20, LAYOUT_HOLE, 0, &e), 0);
    assert_int_equal(boot_load(&small, &source, &entry, &e), -ENOSPC);
    memory_done(&small);
    assert_true(boot_load(&memory, &source, &entry, &e) < 0); /* no file at all */
    source.kernel_fd = file_fd("MZ", 2);
    assert_int_equal(boot_load(&memory, &source, &entry, &e), -EINVAL);
    close(source.kernel_fd);
}

/* A kernel above 4 GiB could not run its first instruction. */
static void test_above_4_gib(void **state)
{
    struct memory large;
    struct boot_entry entry;
    struct err e = ERR_INIT;
    struct file f;
    struct boot_source source = {.initrd_fd = -1, .cmdline = ""};

    (void)state;
    assert_int_equal(memory_init(&large, 64u << 20, 32u << 20, 0, &e), 0);
    elf(&f, 1ull << 32, (1ull << 32) + 100, false);
    source.kernel_fd = file_fd(f.bytes, f.n);
    assert_int_equal(boot_load(&large, &source, &entry, &e), -EINVAL);
    close(source.kernel_fd);
    bzimage(&f);
    BZIMAGE(&f)->pref_address = 1ull << 32;
    source.kernel_fd = file_fd(f.bytes, f.n);
    assert_int_equal(boot_load(&large, &source, &entry, &e), 0);
    assert_int_equal(entry.rip, LAYOUT_HIGH + 0x200);
    close(source.kernel_fd);
    memory_done(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bzimage), cmocka_unit_test(test_bad_bzimages),  cmocka_unit_test(test_initrd),
        cmocka_unit_test(test_cmdline), cmocka_unit_test(test_elf),           cmocka_unit_test(test_bad_elfs),
        cmocka_unit_test(test_notes),   cmocka_unit_test(test_little_memory), cmocka_unit_test(test_above_4_gib),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
