/* See disk_limit.h: two buckets (throttle.h) for each limit. */
#include "vmm/dev/disk_limit.h"

#define VALUE_MAX   (1ull << 50)
#define SECONDS_MAX 3600u

/* Bytes, then requests; of both, reads, writes. */
static const char *const names[DISK_LIMITS] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};

struct limit {
    uint64_t rate, max, seconds;
};

void disk_limits_init(struct disk_limits *l)
{
    for (unsigned i = 0; i < ARRAY_SIZE(l->buckets); i++)
        throttle_init(&l->buckets[i]);
}

void disk_limits_done(struct disk_limits *l)
{
    for (unsigned i = 0; i < ARRAY_SIZE(l->buckets); i++)
        throttle_done(&l->buckets[i]);
}

static int read_limit(const struct propstr *p, const char *name, struct limit *ret, struct err *e)
{
    char max[24], length[24];
    int r = propstr_get_u64(p, name, 0, &ret->rate, e);

    snprintf(max, sizeof(max), "%s_max", name);
    snprintf(length, sizeof(length), "%s_max_length", name);
    if (r == 0)
        r = propstr_get_u64(p, max, 0, &ret->max, e);
    if (r == 0)
        r = propstr_get_u64(p, length, 1, &ret->seconds, e);
    if (r < 0)
        return r;
    if (ret->rate > VALUE_MAX || ret->max > VALUE_MAX || ret->seconds < 1 || ret->seconds > SECONDS_MAX)
        return err_set(e, -EINVAL, "option.value", "%s: at most 2^50, bursts of 1 to %u seconds", name, SECONDS_MAX);
    if ((ret->max && (!ret->rate || ret->max < ret->rate)) || (!ret->max && propstr_get(p, length)))
        return err_set(e, -EINVAL, "option.value", "%s is above %s, and its length needs both", max, name);
    return 0;
}

int disk_limits_set(struct disk_limits *l, const struct propstr *p, struct err *e)
{
    struct limit limits[DISK_LIMITS];
    bool is_on = false;
    int r = 0;

    for (unsigned i = 0; i < DISK_LIMITS && r == 0; i++)
        r = read_limit(p, names[i], &limits[i], e);
    for (unsigned i = 0; i < DISK_LIMITS && r == 0; i++) {
        const struct limit *s = &limits[i];
        /* What a burst of so many seconds takes beyond the rate; without one, a tenth of a second's. */
        uint64_t least = s->rate / 10, burst = s->max ? (s->max - s->rate) * s->seconds : 0;

        throttle_set(&l->buckets[i], s->rate, burst > least ? burst : least);
        throttle_set(&l->buckets[DISK_LIMITS + i], s->max, s->max / 10);
        is_on = is_on || s->rate;
    }
    l->is_on = r == 0 ? is_on : l->is_on;
    return r;
}

static bool is_about(unsigned bucket, bool is_write)
{
    return bucket % 3 == 0 || bucket % 3 == 1 + (unsigned)is_write;
}

/* Queues that ask at once may all go: what is too much, later ones wait for. */
uint64_t disk_limits_take(struct disk_limits *l, bool is_write, uint64_t bytes)
{
    uint64_t longest = 0, wait;

    if (!l->is_on)
        return 0;
    for (unsigned i = 0; i < ARRAY_SIZE(l->buckets); i++)
        if (is_about(i, is_write) && (wait = throttle_wait(&l->buckets[i])) > longest)
            longest = wait;
    for (unsigned i = 0; i < ARRAY_SIZE(l->buckets) && !longest; i++)
        if (is_about(i, is_write))
            throttle_charge(&l->buckets[i], i % DISK_LIMITS < 3 ? bytes : 1);
    return longest;
}
