/* Where an exit goes: the table of address ranges that devices answer for, one for memory and one for ports.
 * Lookups of vCPU threads share a lock that adding and removing take alone; a callback runs without it and may change
 * the bus. So a callback may still come just after its range was removed: devices live as long as the machine. */
#ifndef HOLM_VMM_BUS_H
#define HOLM_VMM_BUS_H

#include <pthread.h>

#include "base/err.h"

/* size: 1, 2, 4 or 8 bytes, wholly inside the range. Values are little-endian numbers. */
struct bus_ops {
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct bus_range {
    uint64_t base, length;
    const struct bus_ops *ops;
    void *device;
};

#define BUS_RANGES_MAX 128u

struct bus {
    pthread_rwlock_t lock;
    struct bus_range ranges[BUS_RANGES_MAX]; /* by base, apart from each other */
    unsigned n_ranges;
};

void bus_init(struct bus *b);
void bus_done(struct bus *b);
/* -EEXIST if it would overlap, -ENOSPC. Nothing changed then. */
MUST_CHECK int bus_add(struct bus *b, uint64_t base, uint64_t length, const struct bus_ops *ops, void *device);
void bus_remove(struct bus *b, uint64_t base);
/* An access nobody answers for reads as ones and writes into nothing, as on a real bus; so does one of another size. */
uint64_t bus_read(struct bus *b, uint64_t address, unsigned size);
void bus_write(struct bus *b, uint64_t address, unsigned size, uint64_t value);

#endif
