/* Guest physical memory: anonymous mappings without reservation, one for each memslot. Called by the machine at the
 * start and by devices on any thread; see memory.h. */
#include "vmm/memory.h"

#include <inttypes.h>
#include <sys/mman.h>

#include <linux/mman.h>

#define FOUR_GIB   (1ull << 32)
#define HUGE_BYTES (2ull << 20)

/* Address space where guest and host addresses agree below 2 MiB: then the kernel can back both with huge pages, and
 * tables of nested pages are filled a huge page at a time. Not the first one, of which a guest uses little: tables and
 * what is left of a PC. */
static void *map_aligned(uint64_t gpa, uint64_t size_bytes, int flags)
{
    uint8_t *space = mmap(NULL, size_bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0), *host;
    size_t before, small = gpa == 0 && size_bytes > HUGE_BYTES ? HUGE_BYTES : 0;

    if (space == MAP_FAILED)
        return MAP_FAILED;
    before = (size_t)(-(uintptr_t)space & (HUGE_BYTES - 1));
    host = space + before;
    if (before)
        munmap(space, before);
    munmap(host + size_bytes, HUGE_BYTES - before);
    (void)madvise(host + small, size_bytes - small, MADV_HUGEPAGE);
    return host;
}

static int region_map(struct memory *m, uint64_t gpa, uint64_t size_bytes, struct err *e)
{
    struct memory_region *region = &m->regions[m->n_regions];
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *host;

    if (m->page_bytes) {
        /* Reserved now: a page that is missing later would kill the guest with SIGBUS. */
        flags &= ~MAP_NORESERVE;
        flags |= MAP_HUGETLB | (m->page_bytes == 1ull << 30 ? MAP_HUGE_1GB : MAP_HUGE_2MB);
    }
    host = m->page_bytes ? mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, flags, -1, 0)
                         : map_aligned(gpa, size_bytes, flags);
    if (host == MAP_FAILED && m->page_bytes)
        return err_set(e, -ENOMEM, "memory.hugepages",
                       "the host has not %" PRIu64 " free huge pages of %" PRIu64 " MiB", size_bytes / m->page_bytes,
                       m->page_bytes >> 20);
    if (host == MAP_FAILED)
        return err_errno(e, errno, "map %" PRIu64 " MiB of guest memory", size_bytes >> 20);
    *region = (struct memory_region){.gpa = gpa, .size_bytes = size_bytes, .host = host};
    m->n_regions++;
    m->size_bytes += size_bytes;
    /* The guest's memory is no business of a core file. */
    (void)madvise(host, size_bytes, MADV_DONTDUMP);
    return 0;
}

int memory_init(struct memory *m, uint64_t size_bytes, uint64_t hole_gpa, uint64_t page_bytes, struct err *e)
{
    uint64_t low = size_bytes < hole_gpa ? size_bytes : hole_gpa, unit = page_bytes ? page_bytes : 4096;
    int r;

    *m = (struct memory){.page_bytes = page_bytes};
    if (!size_bytes || size_bytes % unit || hole_gpa % unit)
        return err_set(e, -EINVAL, "memory.size", "guest memory of %" PRIu64 " bytes is no multiple of its pages",
                       size_bytes);
    r = region_map(m, 0, low, e);
    if (r == 0 && size_bytes > low)
        r = region_map(m, FOUR_GIB, size_bytes - low, e);
    if (r < 0)
        memory_done(m);
    return r;
}

void memory_init_fake(struct memory *m, uint64_t gpa, void *host, uint64_t size_bytes)
{
    *m = (struct memory){
        .regions = {{.gpa = gpa, .size_bytes = size_bytes, .host = host}}, .n_regions = 1, .size_bytes = size_bytes};
}

void memory_done(struct memory *m)
{
    for (unsigned i = 0; i < m->n_regions; i++)
        munmap(m->regions[i].host, m->regions[i].size_bytes);
    *m = (struct memory){0};
}

void *memory_at(const struct memory *m, uint64_t gpa, uint64_t length)
{
    for (unsigned i = 0; i < m->n_regions && length; i++) {
        const struct memory_region *region = &m->regions[i];
        uint64_t offset = gpa - region->gpa;

        if (gpa >= region->gpa && offset < region->size_bytes && length <= region->size_bytes - offset)
            return region->host + offset;
    }
    return NULL;
}

int memory_read(const struct memory *m, uint64_t gpa, void *to, size_t length)
{
    const void *from = memory_at(m, gpa, length);

    if (!from)
        return -EFAULT;
    memcpy(to, from, length);
    return 0;
}

int memory_write(const struct memory *m, uint64_t gpa, const void *from, size_t length)
{
    void *to = memory_at(m, gpa, length);

    if (!to)
        return -EFAULT;
    memcpy(to, from, length);
    return 0;
}

int memory_load(const struct memory *m, uint64_t gpa, int fd, off_t offset, uint64_t length)
{
    uint8_t *to = memory_at(m, gpa, length);

    if (!to)
        return length ? -EFAULT : 0;
    while (length) {
        ssize_t n = pread(fd, to, length, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENODATA;
        to += n;
        offset += n;
        length -= (uint64_t)n;
    }
    return 0;
}

int memory_discard(const struct memory *m, uint64_t gpa, uint64_t length)
{
    uint64_t unit = m->page_bytes ? m->page_bytes : 4096;
    uint64_t start = (gpa + unit - 1) / unit * unit, end = gpa + length;
    uint8_t *host;

    if (end < gpa || start < gpa)
        return -EFAULT;
    end -= end % unit;
    if (end <= start)
        return 0;
    host = memory_at(m, start, end - start);
    if (!host)
        return -EFAULT;
    return madvise(host, end - start, MADV_DONTNEED) < 0 ? -errno : 0;
}

int memory_discard_at(const struct memory *m, void *host, uint64_t length)
{
    for (unsigned i = 0; i < m->n_regions; i++) {
        const struct memory_region *region = &m->regions[i];
        uint64_t offset = (uint64_t)((uintptr_t)host - (uintptr_t)region->host);

        if ((uint8_t *)host >= region->host && offset < region->size_bytes)
            return memory_discard(m, region->gpa + offset, length);
    }
    return -EFAULT;
}

void memory_clear(const struct memory *m)
{
    for (unsigned i = 0; i < m->n_regions; i++)
        /* Huge pages of older kernels are not given back. */
        if (madvise(m->regions[i].host, m->regions[i].size_bytes, MADV_DONTNEED) < 0)
            memset(m->regions[i].host, 0, m->regions[i].size_bytes);
}
