/* Kernel loader: which format it is, where its pieces go, what it is told. See boot.h. Runs on the main thread at the
 * start and at each reset, with no vCPU in the guest. Fuzzed by fuzz/kernel.c. */
#include "vmm/x86/boot.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "vmm/x86/layout.h"

#define PAGE             4096u
#define HEADERS_MAX      64u
#define NOTES_MAX        (64u << 10)
#define PVH_NOTE         18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_MAGIC        0x336ec578u
#define BZIMAGE_VERSION  0x020c /* the first that tells of a 64-bit entry */
#define BZIMAGE_ENTRY_64 0x200u

/* What is known of a kernel once it lies in memory. */
struct kernel {
    enum { KERNEL_LINUX, KERNEL_PVH } protocol;
    uint64_t entry;
    uint64_t end;        /* first byte after what it needs at its place */
    uint64_t initrd_max; /* last byte an initial RAM disk may have */
    unsigned cmdline_max;
    struct setup_header header; /* LINUX: what the zero page starts from */
};

/* xen/interface/hvm/start_info.h, version 1 */
struct pvh_info {
    uint32_t magic, version, flags, n_modules;
    uint64_t modules, cmdline, rsdp, memory_map;
    uint32_t n_memory_map, reserved;
};
struct pvh_module {
    uint64_t address, size, cmdline, reserved;
};
struct pvh_range {
    uint64_t address, size;
    uint32_t type, reserved;
};

struct range {
    uint64_t gpa, size;
    uint32_t type; /* of e820: 1 RAM, 2 reserved, 3 ACPI */
};

static int bad_kernel(struct err *e, const char *why)
{
    return err_set(e, -EINVAL, "kernel.format", "this kernel cannot be booted: %s", why);
}

static int read_file(int fd, void *to, size_t length, off_t offset)
{
    ssize_t n = pread(fd, to, length, offset);

    return n < 0 ? -errno : n == (ssize_t)length ? 0 : -ENODATA;
}

static int file_size(int fd, uint64_t *ret_size, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "look at the file");
    if (!S_ISREG(st.st_mode) || st.st_size <= 0)
        return err_set(e, -EINVAL, "kernel.format", "it is empty or no ordinary file");
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int no_room(const struct memory *m, struct err *e)
{
    err_set(e, -ENOSPC, "kernel.memory", "the kernel does not fit into %" PRIu64 " MiB of memory", m->size_bytes >> 20);
    err_hint(e, "give the guest more memory");
    return -ENOSPC;
}

/* The first instructions run where memory is mapped to itself, which is below 4 GiB. */
static bool is_low_memory(const struct memory *m, uint64_t gpa, uint64_t length)
{
    return memory_at(m, gpa, length) && gpa < m->regions[0].size_bytes;
}

static int load_bzimage(const struct memory *m, int fd, uint64_t size, struct kernel *k, struct err *e)
{
    struct setup_header h;
    uint64_t offset, length, at;

    if (read_file(fd, &h, sizeof(h), 0x1f1) < 0)
        return bad_kernel(e, "its file ends within the header");
    if (h.version < BZIMAGE_VERSION || !(h.xloadflags & XLF_KERNEL_64))
        return bad_kernel(e, "it is no 64-bit kernel, or older than 3.8");
    offset = ((uint64_t)(h.setup_sects ? h.setup_sects : 4) + 1) * 512;
    if (offset >= size)
        return bad_kernel(e, "its file ends before the code");
    length = size - offset;
    at = h.relocatable_kernel && h.pref_address >= LAYOUT_HIGH ? h.pref_address : LAYOUT_HIGH;
    k->end = at + (h.init_size > length ? h.init_size : length);
    if (!is_low_memory(m, at, k->end - at) && h.relocatable_kernel) {
        at = LAYOUT_HIGH;
        k->end = at + (h.init_size > length ? h.init_size : length);
    }
    if (!is_low_memory(m, at, k->end - at))
        return no_room(m, e);
    if (memory_load(m, at, fd, (off_t)offset, length) < 0)
        return bad_kernel(e, "its file cannot be read to the end");
    k->protocol = KERNEL_LINUX;
    k->entry = at + BZIMAGE_ENTRY_64;
    k->initrd_max = h.initrd_addr_max ? h.initrd_addr_max : 0x37ffffff;
    if (h.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G)
        k->initrd_max = UINT32_MAX;
    k->cmdline_max = h.cmdline_size ? h.cmdline_size : 255;
    k->header = h;
    k->header.code32_start = (uint32_t)at;
    return 0;
}

/* The note's 32-bit entry, or 0. A note is: name size, value size, type, name, value, each padded to four bytes. */
static uint32_t pvh_entry(const uint8_t *notes, size_t length)
{
    size_t at = 0;

    while (length - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        size_t name, value, end;
        uint32_t entry;

        memcpy(&note, notes + at, sizeof(note));
        name = at + sizeof(note);
        if (note.n_namesz > length || note.n_descsz > length)
            return 0;
        value = name + ((note.n_namesz + 3u) & ~3u);
        end = value + ((note.n_descsz + 3u) & ~3u);
        if (end > length)
            return 0;
        if (note.n_type == PVH_NOTE && note.n_namesz == 4 && !memcmp(notes + name, "Xen", 4) && note.n_descsz >= 4) {
            memcpy(&entry, notes + value, 4);
            return entry;
        }
        at = end;
    }
    return 0;
}

static int read_notes(int fd, const Elf64_Phdr *p, uint32_t *ret_entry)
{
    autofree uint8_t *notes = NULL;

    if (p->p_filesz > NOTES_MAX)
        return 0;
    notes = malloc(p->p_filesz + 1);
    if (!notes)
        return -ENOMEM;
    if (read_file(fd, notes, p->p_filesz, (off_t)p->p_offset) < 0)
        return -ENODATA;
    if (!*ret_entry)
        *ret_entry = pvh_entry(notes, p->p_filesz);
    return 0;
}

static int load_segment(const struct memory *m, int fd, uint64_t size, const Elf64_Phdr *p, struct kernel *k,
                        struct err *e)
{
    uint64_t end = p->p_paddr + p->p_memsz;

    if (p->p_offset > size || p->p_filesz > size - p->p_offset || p->p_filesz > p->p_memsz)
        return bad_kernel(e, "a segment lies outside of its file");
    if (!p->p_memsz)
        return 0;
    if (end < p->p_paddr || p->p_paddr < LAYOUT_HIGH)
        return bad_kernel(e, "a segment wants to lie below 1 MiB");
    if (!memory_at(m, p->p_paddr, p->p_memsz))
        return no_room(m, e);
    if (memory_load(m, p->p_paddr, fd, (off_t)p->p_offset, p->p_filesz) < 0)
        return bad_kernel(e, "its file cannot be read to the end");
    k->end = end > k->end ? end : k->end;
    return 0;
}

/* How Linux is told things when it has no header of its own: the few fields that matter. */
static void plain_header(struct setup_header *h)
{
    *h = (struct setup_header){.boot_flag = 0xaa55, .header = 0x53726448, .version = 0x020f, .loadflags = LOADED_HIGH};
}

static int load_elf(const struct memory *m, int fd, uint64_t size, const Elf64_Ehdr *elf, struct kernel *k,
                    struct err *e)
{
    Elf64_Phdr headers[HEADERS_MAX];
    uint32_t pvh = 0;
    int r = 0;

    if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_ident[EI_DATA] != ELFDATA2LSB || elf->e_machine != EM_X86_64)
        return bad_kernel(e, "it is an ELF file for another processor");
    if (elf->e_phentsize != sizeof(headers[0]) || !elf->e_phnum || elf->e_phnum > HEADERS_MAX || elf->e_phoff > size ||
        read_file(fd, headers, elf->e_phnum * sizeof(headers[0]), (off_t)elf->e_phoff) < 0)
        return bad_kernel(e, "its ELF program headers are damaged");
    for (unsigned i = 0; i < elf->e_phnum && r == 0; i++) {
        if (headers[i].p_type == PT_LOAD)
            r = load_segment(m, fd, size, &headers[i], k, e);
        else if (headers[i].p_type == PT_NOTE && read_notes(fd, &headers[i], &pvh) < 0)
            r = bad_kernel(e, "its ELF notes are damaged");
    }
    if (r < 0)
        return r;
    k->protocol = pvh ? KERNEL_PVH : KERNEL_LINUX;
    k->entry = pvh ? pvh : elf->e_entry;
    if (!is_low_memory(m, k->entry, 1) || k->entry < LAYOUT_HIGH || k->entry >= k->end)
        return bad_kernel(e, "its entry lies outside of it");
    k->initrd_max = UINT32_MAX;
    k->cmdline_max = LAYOUT_CMDLINE_MAX - 1;
    plain_header(&k->header);
    return 0;
}

static int load_kernel(const struct memory *m, int fd, struct kernel *k, struct err *e)
{
    uint64_t size = 0;
    Elf64_Ehdr elf;
    struct {
        uint16_t flag;
        uint16_t jump;
        uint32_t magic;
    } mark;
    int r = file_size(fd, &size, e);

    if (r < 0)
        return r;
    if (read_file(fd, &elf, sizeof(elf), 0) == 0 && !memcmp(elf.e_ident, ELFMAG, SELFMAG))
        return load_elf(m, fd, size, &elf, k, e);
    if (read_file(fd, &mark, sizeof(mark), 0x1fe) == 0 && mark.flag == 0xaa55 && mark.magic == 0x53726448)
        return load_bzimage(m, fd, size, k, e);
    return bad_kernel(e, "it is neither a Linux bzImage nor an ELF file");
}

/* As high as it may be, so that the kernel can unpack itself below. */
static int load_initrd(const struct memory *m, int fd, const struct kernel *k, struct range *ret_initrd, struct err *e)
{
    uint64_t size = 0, top = m->regions[0].size_bytes, at;
    int r = file_size(fd, &size, e);

    if (r < 0)
        return err_wrap(e, r, "initial RAM disk");
    if (top > k->initrd_max)
        top = k->initrd_max + 1;
    at = size < top ? (top - size) & ~(uint64_t)(PAGE - 1) : 0;
    if (at < k->end || !memory_at(m, at, size)) {
        err_set(e, -ENOSPC, "initrd.memory", "the initial RAM disk of %" PRIu64 " MiB does not fit beside the kernel",
                size >> 20);
        err_hint(e, "give the guest more memory");
        return -ENOSPC;
    }
    if (memory_load(m, at, fd, 0, size) < 0)
        return err_set(e, -EIO, "initrd.read", "the initial RAM disk cannot be read to the end");
    *ret_initrd = (struct range){.gpa = at, .size = size};
    return 0;
}

/* What is RAM and what is not, in the words of e820. */
static unsigned memory_map(const struct memory *m, struct range *map)
{
    unsigned n = 0;

    map[n++] = (struct range){0, LAYOUT_LOW_END, 1};
    map[n++] = (struct range){LAYOUT_ACPI, LAYOUT_ACPI_END - LAYOUT_ACPI, 2};
    map[n++] = (struct range){LAYOUT_HIGH, m->regions[0].size_bytes - LAYOUT_HIGH, 1};
    map[n++] = (struct range){LAYOUT_ECAM, LAYOUT_ECAM_SIZE, 2};
    if (m->n_regions > 1)
        map[n++] = (struct range){m->regions[1].gpa, m->regions[1].size_bytes, 1};
    return n;
}
#define MEMORY_MAP_MAX 5

static int tell_linux(const struct memory *m, const struct kernel *k, const struct range *initrd, uint32_t cmdline_size)
{
    struct boot_params zero = {0};
    struct range map[MEMORY_MAP_MAX];

    zero.hdr = k->header;
    zero.hdr.type_of_loader = 0xff; /* a loader without a number of its own */
    zero.hdr.cmd_line_ptr = LAYOUT_CMDLINE;
    zero.hdr.cmdline_size = cmdline_size;
    zero.hdr.ramdisk_image = (uint32_t)initrd->gpa;
    zero.hdr.ramdisk_size = (uint32_t)initrd->size;
    zero.acpi_rsdp_addr = LAYOUT_ACPI;
    zero.e820_entries = (uint8_t)memory_map(m, map);
    for (unsigned i = 0; i < zero.e820_entries; i++)
        zero.e820_table[i] = (struct boot_e820_entry){.addr = map[i].gpa, .size = map[i].size, .type = map[i].type};
    return memory_write(m, LAYOUT_ZERO_PAGE, &zero, sizeof(zero));
}

static int tell_pvh(const struct memory *m, const struct range *initrd)
{
    struct {
        struct pvh_info info;
        struct pvh_module module;
        struct pvh_range ranges[MEMORY_MAP_MAX];
    } told = {0};
    struct range map[MEMORY_MAP_MAX];
    unsigned n = memory_map(m, map);

    told.info = (struct pvh_info){
        .magic = PVH_MAGIC,
        .version = 1,
        .n_modules = initrd->size ? 1 : 0,
        .modules = LAYOUT_PVH_INFO + offsetof(__typeof__(told), module),
        .cmdline = LAYOUT_CMDLINE,
        .rsdp = LAYOUT_ACPI,
        .memory_map = LAYOUT_PVH_INFO + offsetof(__typeof__(told), ranges),
        .n_memory_map = n,
    };
    told.module = (struct pvh_module){.address = initrd->gpa, .size = initrd->size};
    for (unsigned i = 0; i < n; i++)
        told.ranges[i] = (struct pvh_range){.address = map[i].gpa, .size = map[i].size, .type = map[i].type};
    return memory_write(m, LAYOUT_PVH_INFO, &told, sizeof(told));
}

/* Flat segments and, for the 64-bit entry, the first 4 GiB mapped to themselves. Intel SDM 3, 4.5. */
static int write_tables(const struct memory *m)
{
    static const uint64_t gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x008f8b000000ffff};
    uint64_t page[512] = {LAYOUT_PAGE_TABLE + PAGE + 3};
    int r = memory_write(m, LAYOUT_GDT, gdt, sizeof(gdt));

    if (r == 0)
        r = memory_write(m, LAYOUT_PAGE_TABLE, page, sizeof(page));
    memset(page, 0, sizeof(page));
    for (unsigned i = 0; i < 4; i++)
        page[i] = LAYOUT_PAGE_TABLE + (2 + i) * PAGE + 3;
    if (r == 0)
        r = memory_write(m, LAYOUT_PAGE_TABLE + PAGE, page, sizeof(page));
    for (unsigned i = 0; i < 4 && r == 0; i++) {
        for (unsigned j = 0; j < 512; j++)
            page[j] = ((uint64_t)i << 30 | (uint64_t)j << 21) | 0x83;
        r = memory_write(m, LAYOUT_PAGE_TABLE + (2 + i) * PAGE, page, sizeof(page));
    }
    return r;
}

int boot_load(const struct memory *m, const struct boot_source *source, struct boot_entry *ret_entry, struct err *e)
{
    struct kernel k = {0};
    struct range initrd = {0};
    size_t cmdline_size = strlen(source->cmdline);
    int r;

    if (m->regions[0].size_bytes < 8u << 20)
        return no_room(m, e);
    r = load_kernel(m, source->kernel_fd, &k, e);
    if (r == 0 && source->initrd_fd >= 0)
        r = load_initrd(m, source->initrd_fd, &k, &initrd, e);
    if (r < 0)
        return r;
    if (cmdline_size > k.cmdline_max || cmdline_size >= LAYOUT_CMDLINE_MAX)
        return err_set(e, -EINVAL, "cmdline.length", "the kernel's command line of %zu bytes is too long",
                       cmdline_size);
    r = memory_write(m, LAYOUT_CMDLINE, source->cmdline, cmdline_size + 1);
    if (r == 0)
        r = k.protocol == KERNEL_PVH ? tell_pvh(m, &initrd) : tell_linux(m, &k, &initrd, (uint32_t)cmdline_size);
    if (r == 0)
        r = write_tables(m);
    if (r < 0)
        return no_room(m, e);
    *ret_entry = (struct boot_entry){
        .is_long_mode = k.protocol == KERNEL_LINUX, .rip = k.entry, .rsi = LAYOUT_ZERO_PAGE, .rbx = LAYOUT_PVH_INFO};
    return 0;
}
