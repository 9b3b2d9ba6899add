/* The limits of a disk: bytes and requests a second, of reads, of writes and of both together, shared by its queues.
 * Each is an option (a key below); with `_max` behind it the rate that a burst may have after a pause, with
 * `_max_length` for how many seconds (1). What moves no data counts as a request only. Any thread. */
#ifndef HOLM_VMM_DEV_DISK_LIMIT_H
#define HOLM_VMM_DEV_DISK_LIMIT_H

#include "base/propstr.h"
#include "vmm/throttle.h"

#define DISK_LIMITS 6u
#define DISK_LIMIT_KEYS                                                                                                \
    "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "bps_max", "bps_rd_max", "bps_wr_max", "iops_max",        \
        "iops_rd_max", "iops_wr_max", "bps_max_length", "bps_rd_max_length", "bps_wr_max_length", "iops_max_length",   \
        "iops_rd_max_length", "iops_wr_max_length"

struct disk_limits {
    _Atomic bool is_on;
    struct throttle buckets[2 * DISK_LIMITS]; /* the lasting rates, then those of bursts */
};

void disk_limits_init(struct disk_limits *l);
void disk_limits_done(struct disk_limits *l);
/* From these options instead of what was; those of other things are passed over. Also while others use it. -EINVAL
 * "option.value": nothing is changed. */
MUST_CHECK int disk_limits_set(struct disk_limits *l, const struct propstr *p, struct err *e);
/* 0: a request goes now, and counts; else how many nanoseconds from now on it is worth asking again. */
uint64_t disk_limits_take(struct disk_limits *l, bool is_write, uint64_t bytes);

#endif
