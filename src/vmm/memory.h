/* Guest physical memory. The only way from device code to the guest's RAM is a (gpa, length) pair translated here at
 * once; a guest physical address never meets a host pointer anywhere else. Nothing here touches a page: pages come when
 * the guest first uses them.
 * Regions are fixed before the first vCPU runs, so lookups need no lock and any thread may make them. */
#ifndef HOLM_VMM_MEMORY_H
#define HOLM_VMM_MEMORY_H

#include <sys/types.h>

#include "base/err.h"

/* One contiguous piece of RAM: a memslot of KVM. */
struct memory_region {
    uint64_t gpa, size_bytes;
    uint8_t *host;
};

#define MEMORY_REGIONS_MAX 2u

struct memory {
    struct memory_region regions[MEMORY_REGIONS_MAX];
    unsigned n_regions;
    uint64_t size_bytes;
    uint64_t page_bytes; /* 0: ordinary pages; else the size of the huge pages it is made of */
};

/* Reserves size_bytes of guest RAM: below hole_gpa first, the rest from 4 GiB on. page_bytes: 0, 2 MiB or 1 GiB (then
 * the host's huge pages are reserved at once: -ENOMEM "memory.hugepages"). size_bytes is a multiple of the page. */
MUST_CHECK int memory_init(struct memory *m, uint64_t size_bytes, uint64_t hole_gpa, uint64_t page_bytes,
                           struct err *e);
/* One region over memory of the caller's: for tests of devices without KVM. */
void memory_init_fake(struct memory *m, uint64_t gpa, void *host, uint64_t size_bytes);
void memory_done(struct memory *m);

/* The length bytes of RAM at gpa, or NULL if not all of them lie in one region. length 0 is NULL. */
void *memory_at(const struct memory *m, uint64_t gpa, uint64_t length);
/* Copies; -EFAULT without any change if the range is not all RAM. */
MUST_CHECK int memory_read(const struct memory *m, uint64_t gpa, void *to, size_t length);
MUST_CHECK int memory_write(const struct memory *m, uint64_t gpa, const void *from, size_t length);
/* Reads length bytes of a file into RAM: -EFAULT outside of RAM, -ENODATA when the file ends before. */
MUST_CHECK int memory_load(const struct memory *m, uint64_t gpa, int fd, off_t offset, uint64_t length);
/* Gives the whole pages of a range back to the host; they read as zeroes afterwards. */
MUST_CHECK int memory_discard(const struct memory *m, uint64_t gpa, uint64_t length);
/* The same for a range that memory_at gave. */
MUST_CHECK int memory_discard_at(const struct memory *m, void *host, uint64_t length);
/* All of it, as at the start (reset). */
void memory_clear(const struct memory *m);

#endif
