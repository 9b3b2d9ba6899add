/* The table of address ranges; see bus.h. Looked up on every exit that the kernel does not answer itself. */
#include "vmm/bus.h"

void bus_init(struct bus *b)
{
    pthread_rwlock_init(&b->lock, NULL);
    b->n_ranges = 0;
}

void bus_done(struct bus *b)
{
    pthread_rwlock_destroy(&b->lock);
}

/* Index of the first range whose base is above address. */
static unsigned index_above(const struct bus *b, uint64_t address)
{
    unsigned low = 0, high = b->n_ranges;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (b->ranges[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int insert(struct bus *b, struct bus_range range)
{
    unsigned i = index_above(b, range.base);

    if (b->n_ranges == BUS_RANGES_MAX)
        return -ENOSPC;
    if (!range.length || range.base + (range.length - 1) < range.base)
        return -EINVAL;
    if (i > 0 && range.base - b->ranges[i - 1].base < b->ranges[i - 1].length)
        return -EEXIST;
    if (i < b->n_ranges && b->ranges[i].base - range.base < range.length)
        return -EEXIST;
    memmove(&b->ranges[i + 1], &b->ranges[i], (b->n_ranges - i) * sizeof(b->ranges[0]));
    b->ranges[i] = range;
    b->n_ranges++;
    return 0;
}

int bus_add(struct bus *b, uint64_t base, uint64_t length, const struct bus_ops *ops, void *device)
{
    int r;

    pthread_rwlock_wrlock(&b->lock);
    r = insert(b, (struct bus_range){.base = base, .length = length, .ops = ops, .device = device});
    pthread_rwlock_unlock(&b->lock);
    return r;
}

void bus_remove(struct bus *b, uint64_t base)
{
    unsigned i;

    pthread_rwlock_wrlock(&b->lock);
    i = index_above(b, base);
    if (i > 0 && b->ranges[i - 1].base == base) {
        memmove(&b->ranges[i - 1], &b->ranges[i], (b->n_ranges - i) * sizeof(b->ranges[0]));
        b->n_ranges--;
    }
    pthread_rwlock_unlock(&b->lock);
}

/* A copy, so that the device is called without the lock: it may change the bus. Devices live as long as the machine. */
static bool find(struct bus *b, uint64_t address, unsigned size, struct bus_range *ret_range)
{
    bool is_found = false;
    unsigned i;

    /* The rest of an access that crosses a page may have any size; no device answers to those. */
    if (!size || size > 8 || (size & (size - 1)))
        return false;
    pthread_rwlock_rdlock(&b->lock);
    i = index_above(b, address);
    if (i > 0) {
        *ret_range = b->ranges[i - 1];
        is_found =
            address - ret_range->base < ret_range->length && size <= ret_range->length - (address - ret_range->base);
    }
    pthread_rwlock_unlock(&b->lock);
    return is_found;
}

uint64_t bus_read(struct bus *b, uint64_t address, unsigned size)
{
    struct bus_range range;

    return find(b, address, size, &range) ? range.ops->read(range.device, address - range.base, size) : UINT64_MAX;
}

void bus_write(struct bus *b, uint64_t address, unsigned size, uint64_t value)
{
    struct bus_range range;

    if (find(b, address, size, &range))
        range.ops->write(range.device, address - range.base, size, value);
}
