/* Memory balloon: virtio 1.2, 5.5. The host asks for memory (num_pages), the guest's driver gives pages, and what lies
 * under them goes back to the host; so do pages that the guest reports as free. All on the main loop, a bounded part in
 * a turn. Which pages a driver names is its own matter: they are its own memory, and those outside of RAM or named
 * twice are no harm. What it says about itself (actual, statistics) is told on as numbers and decides nothing.
 * Memory of huge pages stays: it was reserved, and a page that is missing later would kill the guest.
 * Options: on, target=SIZE (RAM that the guest keeps), stats=SECONDS (0: on request), reporting, deflate-on-oom. */
#include <inttypes.h>
#include <linux/virtio_balloon.h>
#include <stdatomic.h>
#include <sys/timerfd.h>
#include <time.h>

#include "vmm/dev/table.h"

#define N_QUEUES        5u
#define QUEUE_SIZE      128u
#define REQUESTS_A_TURN 64u
#define PAGES_MAX       4096u        /* of one request to inflate: those beyond stay where they are; and of a turn */
#define REPORTED_MAX    (1ull << 28) /* bytes of one report, and of a turn */
#define STATS_MAX       64u          /* of one message */
#define STATS_SECONDS   3600u
#define PFN_SHIFT       VIRTIO_BALLOON_PFN_SHIFT

enum role { ROLE_NONE, ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT };

struct balloon_queue {
    struct balloon *balloon;
    unsigned index;
    enum role role;
    struct loop_source doorbell;
};

struct balloon {
    struct virtio_host *host;
    struct virtio *virtio;
    struct balloon_queue queues[N_QUEUES];
    struct loop_source timer;
    bool has_timer;
    pthread_mutex_t lock; /* the loop's work and verbs against start and stop */
    bool is_running;
    _Atomic uint32_t wanted_pages; /* num_pages */
    _Atomic uint32_t actual_pages; /* as the driver says */
    /* Under lock. The driver's message waits here to be given back, which asks for the next (5.5.6.3). */
    bool has_message;
    uint16_t message;
    bool has_stats[VIRTIO_BALLOON_S_NR];
    uint64_t stats[VIRTIO_BALLOON_S_NR];
    int64_t told_seconds; /* when; of the monotonic clock */
    uint64_t inflated_pages, deflated_pages, reported_bytes, returned_bytes;
};

/* --- Requests --------------------------------------------------------------------------------------------------------
 */

struct run {
    uint64_t first, end; /* pages */
};

static void give_back(struct balloon *d, struct run *run)
{
    uint64_t length = (run->end - run->first) << PFN_SHIFT;

    if (length && !d->host->memory->page_bytes && memory_discard(d->host->memory, run->first << PFN_SHIFT, length) == 0)
        d->returned_bytes += length;
    *run = (struct run){0};
}

/* Drivers name pages upwards or downwards: neighbours go in one call. */
static void take_page(struct balloon *d, struct run *run, uint32_t page)
{
    if (!memory_at(d->host->memory, (uint64_t)page << PFN_SHIFT, 1u << PFN_SHIFT))
        return;
    if (run->end > run->first && page == run->end) {
        run->end++;
    } else if (run->end > run->first && (uint64_t)page + 1 == run->first) {
        run->first--;
    } else {
        give_back(d, run);
        *run = (struct run){page, (uint64_t)page + 1};
    }
}

static bool inflate(struct balloon *d, const struct virtq_chain *c, uint64_t *done)
{
    uint64_t n = c->out_bytes / 4 < PAGES_MAX ? c->out_bytes / 4 : PAGES_MAX;
    uint32_t pages[128];
    struct run run = {0};

    for (uint64_t at = 0; at < n; at += ARRAY_SIZE(pages)) {
        size_t part = n - at < ARRAY_SIZE(pages) ? n - at : ARRAY_SIZE(pages);

        (void)virtq_read(c, at * 4, pages, part * 4);
        for (size_t i = 0; i < part; i++)
            take_page(d, &run, pages[i]);
    }
    give_back(d, &run);
    d->inflated_pages += n;
    *done += n;
    return c->n_in == 0 && c->out_bytes % 4 == 0;
}

/* Pages come back when the guest touches them. */
static bool deflate(struct balloon *d, const struct virtq_chain *c)
{
    d->deflated_pages += c->out_bytes / 4;
    return c->n_in == 0 && c->out_bytes % 4 == 0;
}

/* 5.5.6.3: the driver has at most one message with us. */
static bool take_stats(struct balloon *d, const struct virtq_chain *c)
{
    struct virtio_balloon_stat s;
    struct timespec now;
    uint64_t n = c->out_bytes / sizeof(s);

    if (d->has_message || c->n_in || c->out_bytes % sizeof(s))
        return false;
    for (uint64_t i = 0; i < n && i < STATS_MAX; i++) {
        (void)virtq_read(c, i * sizeof(s), &s, sizeof(s));
        if (s.tag >= VIRTIO_BALLOON_S_NR)
            continue; /* newer than this program */
        d->stats[s.tag] = s.val;
        d->has_stats[s.tag] = true;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    d->told_seconds = now.tv_sec;
    d->has_message = true;
    d->message = c->head;
    return true;
}

/* 5.5.6.7: the pieces themselves are what is free. */
static bool report(struct balloon *d, const struct virtq_chain *c, uint64_t *done)
{
    for (unsigned i = 0; i < c->n_in && *done < REPORTED_MAX; i++) {
        const struct iovec *piece = &c->iov[c->n_out + i];
        uint64_t length = piece->iov_len < REPORTED_MAX ? piece->iov_len : REPORTED_MAX;

        if (!d->host->memory->page_bytes && memory_discard_at(d->host->memory, piece->iov_base, length) == 0)
            d->returned_bytes += length;
        d->reported_bytes += length;
        *done += length;
    }
    return c->n_out == 0;
}

/* One request; false when the driver broke the rules. */
static bool take(struct balloon *d, struct balloon_queue *q, const struct virtq_chain *c, uint64_t *pages,
                 uint64_t *reported)
{
    struct virtq *vq = virtio_queue(d->virtio, q->index);
    bool is_good = false;

    switch (q->role) {
    case ROLE_INFLATE:
        is_good = inflate(d, c, pages);
        break;
    case ROLE_DEFLATE:
        is_good = deflate(d, c);
        break;
    case ROLE_STATS:
        is_good = take_stats(d, c);
        if (is_good)
            return true; /* kept */
        break;
    case ROLE_REPORT:
        is_good = report(d, c, reported);
        break;
    case ROLE_NONE:
        break;
    }
    virtq_push(vq, c->head, 0);
    return is_good;
}

static void work(struct balloon *d, struct balloon_queue *q)
{
    struct virtq *vq = virtio_queue(d->virtio, q->index);
    struct virtq_chain chain;
    uint64_t pages = 0, reported = 0;
    int r = 1;

    for (unsigned i = 0; i < REQUESTS_A_TURN && pages < PAGES_MAX && reported < REPORTED_MAX; i++) {
        r = virtq_pop(vq, &chain);
        if (r > 0 && !take(d, q, &chain, &pages, &reported))
            r = -EPROTO;
        if (r <= 0)
            break;
    }
    if (r < 0)
        virtio_fail(d->virtio);
    if (q->role != ROLE_STATS)
        virtio_signal(d->virtio, q->index);
    if (r > 0)
        loop_wake(q->doorbell.fd); /* the others first */
}

static void on_doorbell(void *context, uint32_t events)
{
    struct balloon_queue *q = context;
    struct balloon *d = q->balloon;

    (void)events;
    loop_drain(q->doorbell.fd);
    pthread_mutex_lock(&d->lock);
    if (d->is_running && !virtio_is_failed(d->virtio))
        work(d, q);
    pthread_mutex_unlock(&d->lock);
}

/* Giving the message back asks for a new one. */
static void ask_locked(struct balloon *d)
{
    for (unsigned i = 0; i < N_QUEUES && d->is_running && d->has_message; i++) {
        if (d->queues[i].role != ROLE_STATS)
            continue;
        d->has_message = false;
        virtq_push(virtio_queue(d->virtio, i), d->message, 0);
        virtio_signal(d->virtio, i);
    }
}

static void on_timer(void *context, uint32_t events)
{
    struct balloon *d = context;

    (void)events;
    loop_drain(d->timer.fd);
    pthread_mutex_lock(&d->lock);
    ask_locked(d);
    pthread_mutex_unlock(&d->lock);
}

/* --- Verbs -----------------------------------------------------------------------------------------------------------
 */

static int balloon_target(void *device, uint64_t target_bytes, struct err *e)
{
    struct balloon *d = device;
    uint64_t size = d->host->memory->size_bytes;

    if (target_bytes > size || !target_bytes)
        return err_set(e, -EINVAL, "balloon.target",
                       "the guest has %" PRIu64 " bytes of memory; it cannot keep %" PRIu64, size, target_bytes);
    d->wanted_pages = (uint32_t)((size - target_bytes) >> PFN_SHIFT);
    virtio_config_changed(d->virtio);
    return 0;
}

/* The driver's word, but no more than it can have. */
static uint64_t actual_bytes(const struct balloon *d)
{
    uint64_t bytes = (uint64_t)d->actual_pages << PFN_SHIFT;

    return bytes < d->host->memory->size_bytes ? bytes : d->host->memory->size_bytes;
}

static void balloon_stats(void *device, virtio_tell_fn tell, void *arg)
{
    static const char *const names[VIRTIO_BALLOON_S_NR] = {[VIRTIO_BALLOON_S_SWAP_IN] = "swap-in-bytes",
                                                           [VIRTIO_BALLOON_S_SWAP_OUT] = "swap-out-bytes",
                                                           [VIRTIO_BALLOON_S_MAJFLT] = "major-faults",
                                                           [VIRTIO_BALLOON_S_MINFLT] = "minor-faults",
                                                           [VIRTIO_BALLOON_S_MEMFREE] = "free-bytes",
                                                           [VIRTIO_BALLOON_S_MEMTOT] = "total-bytes",
                                                           [VIRTIO_BALLOON_S_AVAIL] = "available-bytes",
                                                           [VIRTIO_BALLOON_S_CACHES] = "cache-bytes",
                                                           [VIRTIO_BALLOON_S_HTLB_PGALLOC] = "huge-allocations",
                                                           [VIRTIO_BALLOON_S_HTLB_PGFAIL] = "huge-failures"};
    struct balloon *d = device;
    struct timespec now;

    tell(arg, "memory-bytes", d->host->memory->size_bytes);
    tell(arg, "target-bytes", d->host->memory->size_bytes - ((uint64_t)d->wanted_pages << PFN_SHIFT));
    tell(arg, "actual-bytes", d->host->memory->size_bytes - actual_bytes(d));
    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < VIRTIO_BALLOON_S_NR; i++)
        if (d->has_stats[i])
            tell(arg, names[i], d->stats[i]);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (d->told_seconds)
        tell(arg, "age-seconds", (uint64_t)(now.tv_sec - d->told_seconds));
    ask_locked(d);
    pthread_mutex_unlock(&d->lock);
}

static void balloon_counters(void *device, virtio_tell_fn tell, void *arg)
{
    struct balloon *d = device;

    pthread_mutex_lock(&d->lock);
    tell(arg, "inflated-pages", d->inflated_pages);
    tell(arg, "deflated-pages", d->deflated_pages);
    tell(arg, "reported-bytes", d->reported_bytes);
    tell(arg, "returned-bytes", d->returned_bytes);
    pthread_mutex_unlock(&d->lock);
}

/* --- The device ------------------------------------------------------------------------------------------------------
 */

/* Linux counts only the queues that it uses, the specification (5.5.2) gives each its number: with hints not offered,
 * whatever comes after the statistics is for reports. */
static void give_roles(struct balloon *d, uint64_t features)
{
    bool has_stats = features & 1ull << VIRTIO_BALLOON_F_STATS_VQ;
    bool has_reports = features & 1ull << VIRTIO_BALLOON_F_REPORTING;

    d->queues[0].role = ROLE_INFLATE;
    d->queues[1].role = ROLE_DEFLATE;
    for (unsigned i = 2; i < N_QUEUES; i++)
        d->queues[i].role = i == 2 && has_stats ? ROLE_STATS : has_reports ? ROLE_REPORT : ROLE_NONE;
}

static int balloon_start(void *device, uint64_t features)
{
    struct balloon *d = device;

    pthread_mutex_lock(&d->lock);
    give_roles(d, features);
    d->is_running = true;
    pthread_mutex_unlock(&d->lock);
    for (unsigned i = 0; i < N_QUEUES; i++)
        loop_wake(d->queues[i].doorbell.fd); /* what was rung before */
    return 0;
}

/* A driver that begins anew has nothing in its balloon. */
static void balloon_stop(void *device)
{
    struct balloon *d = device;

    pthread_mutex_lock(&d->lock);
    d->is_running = false;
    d->has_message = false;
    d->actual_pages = 0;
    memset(d->has_stats, 0, sizeof(d->has_stats));
    d->told_seconds = 0;
    pthread_mutex_unlock(&d->lock);
}

static size_t balloon_config(void *device, uint8_t *bytes, size_t cap)
{
    const struct balloon *d = device;
    const uint32_t c[2] = {d->wanted_pages, d->actual_pages};

    memcpy(bytes, c, sizeof(c) < cap ? sizeof(c) : cap);
    return sizeof(c);
}

static void balloon_config_write(void *device, size_t offset, const uint8_t *bytes, size_t n)
{
    struct balloon *d = device;
    uint32_t actual = d->actual_pages;

    for (size_t i = 0; i < n; i++)
        if (offset + i >= 4 && offset + i < 8)
            ((uint8_t *)&actual)[offset + i - 4] = bytes[i];
    d->actual_pages = actual;
}

static void balloon_save(void *device, struct buf *b)
{
    struct balloon *d = device;

    pthread_mutex_lock(&d->lock);
    state_put_u8(b, 1);
    state_put_u32(b, d->wanted_pages);
    state_put_u32(b, d->actual_pages);
    state_put_u8(b, d->has_message);
    state_put_u16(b, d->message);
    pthread_mutex_unlock(&d->lock);
}

static void balloon_load(void *device, struct state_reader *r)
{
    struct balloon *d = device;
    uint32_t wanted, actual;
    bool has_message;
    uint16_t message;

    if (state_get_u8(r) != 1)
        r->is_failed = true;
    wanted = state_get_u32(r);
    actual = state_get_u32(r);
    has_message = state_get_u8(r);
    message = state_get_u16(r);
    if ((uint64_t)wanted << PFN_SHIFT > d->host->memory->size_bytes || (has_message && message >= QUEUE_SIZE))
        r->is_failed = true;
    if (r->is_failed)
        return;
    pthread_mutex_lock(&d->lock);
    d->wanted_pages = wanted;
    d->actual_pages = actual;
    d->has_message = has_message;
    d->message = message;
    pthread_mutex_unlock(&d->lock);
}

static void balloon_free(void *device)
{
    struct balloon *d = device;

    for (unsigned i = 0; i < N_QUEUES; i++)
        loop_remove(d->host->main, &d->queues[i].doorbell);
    if (d->has_timer) {
        loop_remove(d->host->main, &d->timer);
        close(d->timer.fd);
    }
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const struct virtio_ops balloon_ops = {.name = "balloon",
                                              .is_on_main = true,
                                              .id = 5,
                                              .class_code = 0xff0000,
                                              .queue_size = QUEUE_SIZE,
                                              .config = balloon_config,
                                              .config_write = balloon_config_write,
                                              .start = balloon_start,
                                              .stop = balloon_stop,
                                              .save = balloon_save,
                                              .load = balloon_load,
                                              .free = balloon_free,
                                              .counters = balloon_counters,
                                              .balloon = balloon_target,
                                              .balloon_stats = balloon_stats};

static int make_timer(struct balloon *d, uint64_t seconds, struct err *e)
{
    const struct itimerspec every = {.it_value = {.tv_sec = (time_t)seconds},
                                     .it_interval = {.tv_sec = (time_t)seconds}};
    int r, fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd < 0)
        return err_errno(e, errno, "make a timer");
    d->has_timer = true;
    d->timer = (struct loop_source){.fd = fd, .events = EPOLLIN, .on_ready = on_timer, .context = d};
    r = timerfd_settime(fd, 0, &every, NULL) < 0 ? -errno : loop_add(d->host->main, &d->timer);
    return r < 0 ? err_errno(e, -r, "start a timer") : 0;
}

static int watch(struct balloon *d, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < N_QUEUES && r == 0; i++) {
        struct balloon_queue *q = &d->queues[i];

        q->balloon = d;
        q->index = i;
        q->doorbell = (struct loop_source){
            .fd = virtio_doorbell(d->virtio, i), .events = EPOLLIN, .on_ready = on_doorbell, .context = q};
        r = loop_add(d->host->main, &q->doorbell);
    }
    return r < 0 ? err_errno(e, -r, "watch a doorbell") : 0;
}

struct balloon_options {
    bool is_on, has_reports, is_given_in_need;
    uint64_t target_bytes, stats_seconds;
};

static int read_options(const struct propstr *p, uint64_t memory_bytes, struct balloon_options *o, struct err *e)
{
    static const char *const keys[] = {"balloon", "target", "stats", "reporting", "deflate-on-oom", NULL};
    int r;

    if ((r = device_check_keys(p, keys, e)) < 0 || (r = propstr_get_bool(p, "balloon", true, &o->is_on, e)) < 0 ||
        (r = propstr_get_bool(p, "reporting", true, &o->has_reports, e)) < 0 ||
        (r = propstr_get_bool(p, "deflate-on-oom", true, &o->is_given_in_need, e)) < 0 ||
        (r = propstr_get_u64(p, "stats", 0, &o->stats_seconds, e)) < 0 ||
        (r = propstr_get_size(p, "target", memory_bytes, &o->target_bytes, e)) < 0)
        return r;
    if (!o->is_on)
        return err_set(e, -EINVAL, "option.value", "a machine without a balloon has no option --balloon");
    if (o->stats_seconds > STATS_SECONDS)
        return err_set(e, -EINVAL, "option.value", "statistics come every 1 to %u seconds, or 0: on request",
                       STATS_SECONDS);
    return 0;
}

static int balloon_new(struct virtio_host *h, const struct propstr *p, struct virtio **ret_virtio, struct err *e)
{
    struct balloon_options o = {0};
    uint64_t features = 1ull << VIRTIO_BALLOON_F_STATS_VQ;
    struct balloon *d;
    int r = read_options(p, h->memory->size_bytes, &o, e);

    if (r < 0)
        return r;
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->host = h;
    pthread_mutex_init(&d->lock, NULL);
    features |= o.has_reports && !h->memory->page_bytes ? 1ull << VIRTIO_BALLOON_F_REPORTING : 0;
    features |= o.is_given_in_need ? 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM : 0;
    r = virtio_new(h, &balloon_ops, d, features, N_QUEUES, &d->virtio, e);
    if (r < 0)
        return r;
    r = watch(d, e);
    if (r == 0 && o.stats_seconds)
        r = make_timer(d, o.stats_seconds, e);
    if (r == 0)
        r = balloon_target(d, o.target_bytes, e);
    if (r < 0) {
        virtio_free(d->virtio);
        return r;
    }
    *ret_virtio = d->virtio;
    return 0;
}

const struct device_type device_balloon = {.option = "balloon",
                                           .usage =
                                               "on[,target=SIZE][,stats=SECONDS][,reporting=off][,deflate-on-oom=off]",
                                           .help = "gives memory of the guest back to the host",
                                           .new = balloon_new,
                                           .default_key = "balloon"};
