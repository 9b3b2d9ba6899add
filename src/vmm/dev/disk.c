/* Block device: virtio 1.2, 5.2. A thread, a queue of the driver and a queue of the image belong together; requests go
 * from the driver's memory to the file and back without a copy, all but their header and status.
 * Options: raw=FILE|fd=N, readonly, serial=TEXT (20 bytes), queues=1..16, engine=uring|threads, discard=off,
 * cached=on (else what is aligned goes past the host's cache, through direct-fd=N if the file cannot be opened again),
 * and the limits of disk_limit.h: a request over one stays in the driver's queue, with those behind it, until a timer
 * goes off.
 */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <sys/timerfd.h>

#include "vmm/block/block.h"
#include "vmm/dev/disk_limit.h"
#include "vmm/dev/table.h"

#define QUEUES_MAX      16u
#define QUEUE_SIZE      128u
#define SEGMENTS_MAX    126u       /* pieces of data in a request: the queue's size without header and status */
#define DISCARD_MAX     (1u << 22) /* sectors */
#define RANGES_MAX      16u
#define ID_BYTES        20u
#define REQUESTS_A_TURN 64u
#define QUIET_FROM      4u

struct request {
    struct block_request block;
    struct disk_queue *queue;
    struct request *next_free;
    uint32_t data_bytes; /* written into the driver's memory, without the status */
    uint8_t *status;     /* the last byte of the in part (5.2.6) */
    struct virtio_blk_discard_write_zeroes ranges[RANGES_MAX];
    unsigned n_ranges, range;
    bool is_flush_due; /* after it, for a driver that does not flush */
    struct virtq_chain chain;
};

/* Since the start, for the verb "stats"; written by the queue's thread. */
struct disk_counters {
    _Atomic uint64_t reads, writes, flushes, discards, errors, read_bytes, write_bytes;
};

struct disk_queue {
    struct disk *disk;
    struct disk_counters counters;
    unsigned index;
    struct loop loop;
    struct loop_source doorbell, timer, woken;
    struct block_queue *io;
    pthread_mutex_t lock; /* this thread's work against stop */
    pthread_cond_t idle;
    bool is_running;
    unsigned n_taken; /* requests that are not finished */
    struct request *requests, *free;
};

struct disk {
    struct virtio_host *host;
    struct virtio *virtio;
    struct block_image image;
    bool has_discard; /* what the driver forgets, the file forgets */
    struct disk_limits limits;
    char serial[ID_BYTES + 1];
    unsigned n_queues;
    bool is_write_through; /* the driver knows no flush: what is done is on the disk (5.2.6.2); latched at start */
    struct disk_queue queues[QUEUES_MAX];
};

/* --- Requests --------------------------------------------------------------------------------------------------------
 */

static void finish(struct request *r, uint8_t status)
{
    struct disk_queue *q = r->queue;

    *r->status = status;
    /* The length told counts from the first byte on without a gap (2.7.8.2), so the status only if it comes next. */
    virtq_push(virtio_queue(q->disk->virtio, q->index), r->chain.head,
               r->data_bytes + (r->data_bytes + 1ull == r->chain.in_bytes));
    r->next_free = q->free;
    q->free = r;
    if (--q->n_taken == 0 && !q->is_running)
        pthread_cond_broadcast(&q->idle);
}

static uint8_t status_of(int result)
{
    return result == 0 ? VIRTIO_BLK_S_OK : result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void count_request(struct disk_counters *c, const struct block_request *b, int result)
{
    if (result < 0) {
        count(&c->errors, 1);
        return;
    }
    switch (b->op) {
    case BLOCK_READ:
        count(&c->reads, 1);
        count(&c->read_bytes, b->length);
        break;
    case BLOCK_WRITE:
        count(&c->writes, 1);
        count(&c->write_bytes, b->length);
        break;
    case BLOCK_FLUSH:
        count(&c->flushes, 1);
        break;
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
        count(&c->discards, 1);
        break;
    }
}

static void next_range(struct request *r)
{
    const struct virtio_blk_discard_write_zeroes *range = &r->ranges[r->range++];

    r->block.offset = range->sector * 512;
    r->block.length = (uint64_t)range->num_sectors * 512;
    r->block.may_unmap = r->queue->disk->has_discard && range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    block_queue_submit(r->queue->io, &r->block);
}

static void on_done(struct block_request *block, int result)
{
    struct request *r = container_of(block, struct request, block);

    count_request(&r->queue->counters, block, result);
    if (result == 0 && r->range < r->n_ranges) {
        next_range(r);
        return;
    }
    if (result == 0 && r->is_flush_due) {
        r->is_flush_due = false;
        r->block.op = BLOCK_FLUSH;
        block_queue_submit(r->queue->io, &r->block);
        return;
    }
    if (result < 0)
        r->data_bytes = 0;
    finish(r, status_of(result));
}

/* Whole sectors inside the disk. */
static bool is_inside(const struct disk *d, uint64_t sector, uint64_t bytes)
{
    uint64_t size = d->image.size_bytes;

    return bytes % 512 == 0 && sector <= size / 512 && bytes <= size - sector * 512;
}

/* Data begins after the header of the out part, and ends before the status, the last byte of the in part. */
static void begin_transfer(struct request *r, const struct virtio_blk_outhdr *h, bool is_write)
{
    struct virtq_chain *c = &r->chain;
    uint64_t bytes = is_write ? c->out_bytes - sizeof(*h) : c->in_bytes - 1;
    struct iovec *iov = is_write ? c->iov : c->iov + c->n_out;
    unsigned n = is_write ? c->n_out : c->n_in;
    size_t skip = is_write ? sizeof(*h) : 0;

    if (!is_inside(r->queue->disk, h->sector, bytes)) {
        finish(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    for (; n && skip >= iov->iov_len; n--, iov++)
        skip -= iov->iov_len;
    if (skip) {
        iov->iov_base = (uint8_t *)iov->iov_base + skip;
        iov->iov_len -= skip;
    }
    /* The status stays out of the pieces, wherever the driver put it. */
    if (!is_write && n && --iov[n - 1].iov_len == 0)
        n--;
    r->data_bytes = is_write ? 0 : (uint32_t)bytes;
    r->block.op = is_write ? BLOCK_WRITE : BLOCK_READ;
    r->block.offset = h->sector * 512;
    r->block.length = bytes;
    r->block.iov = iov;
    r->block.n_iov = n;
    if (bytes == 0)
        finish(r, VIRTIO_BLK_S_OK);
    else
        block_queue_submit(r->queue->io, &r->block);
}

/* 5.2.6.2: ranges of sectors to forget or to fill with zeroes. */
static void begin_ranges(struct request *r, bool is_discard)
{
    uint64_t bytes = r->chain.out_bytes - sizeof(struct virtio_blk_outhdr);

    r->n_ranges = (unsigned)(bytes / sizeof(r->ranges[0]));
    r->range = 0;
    if (bytes % sizeof(r->ranges[0]) || !r->n_ranges || bytes > sizeof(r->ranges)) {
        finish(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    (void)virtq_read(&r->chain, sizeof(struct virtio_blk_outhdr), r->ranges, bytes);
    for (unsigned i = 0; i < r->n_ranges; i++) {
        uint32_t flags = r->ranges[i].flags;

        if (flags & (is_discard ? ~0u : ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)) {
            finish(r, VIRTIO_BLK_S_UNSUPP);
            return;
        }
        if (r->ranges[i].num_sectors > DISCARD_MAX || !r->ranges[i].num_sectors ||
            !is_inside(r->queue->disk, r->ranges[i].sector, (uint64_t)r->ranges[i].num_sectors * 512)) {
            finish(r, VIRTIO_BLK_S_IOERR);
            return;
        }
    }
    r->block.op = is_discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
    next_range(r);
}

static void give_id(struct request *r)
{
    char id[ID_BYTES] = {0};

    memcpy(id, r->queue->disk->serial, strnlen(r->queue->disk->serial, sizeof(id)));
    if (r->chain.in_bytes - 1 < sizeof(id)) {
        finish(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    r->data_bytes = (uint32_t)virtq_write(&r->chain, 0, id, sizeof(id));
    finish(r, VIRTIO_BLK_S_OK);
}

static void begin(struct request *r, const struct virtio_blk_outhdr *h)
{
    const struct disk *d = r->queue->disk;

    r->is_flush_due = d->is_write_through && h->type != VIRTIO_BLK_T_IN && h->type != VIRTIO_BLK_T_FLUSH;
    switch (h->type) {
    case VIRTIO_BLK_T_IN:
        begin_transfer(r, h, false);
        return;
    case VIRTIO_BLK_T_GET_ID:
        give_id(r);
        return;
    case VIRTIO_BLK_T_FLUSH:
        r->block.op = BLOCK_FLUSH;
        block_queue_submit(r->queue->io, &r->block);
        return;
    case VIRTIO_BLK_T_OUT:
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        if (d->image.is_read_only)
            finish(r, VIRTIO_BLK_S_IOERR);
        else if (h->type == VIRTIO_BLK_T_DISCARD && !r->queue->disk->has_discard)
            finish(r, VIRTIO_BLK_S_UNSUPP);
        else if (h->type == VIRTIO_BLK_T_OUT)
            begin_transfer(r, h, true);
        else
            begin_ranges(r, h->type == VIRTIO_BLK_T_DISCARD);
        return;
    default:
        finish(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
}

/* --- A queue's thread
 * ------------------------------------------------------------------------------------------------- */

/* 0, or after which time it may come. Flushes and what is refused are free. */
static uint64_t limit(struct disk *d, const struct virtio_blk_outhdr *h, const struct virtq_chain *c)
{
    bool is_in = h->type == VIRTIO_BLK_T_IN, is_out = h->type == VIRTIO_BLK_T_OUT;

    if (!is_in && !is_out && h->type != VIRTIO_BLK_T_DISCARD && h->type != VIRTIO_BLK_T_WRITE_ZEROES)
        return 0;
    return disk_limits_take(&d->limits, !is_in, is_in ? c->in_bytes - 1 : is_out ? c->out_bytes - sizeof(*h) : 0);
}

/* -EPROTO when the driver broke the rules: a request without header or status (5.2.6). -EBUSY: over a limit. */
static int take(struct disk_queue *q, struct request *r)
{
    struct virtio_blk_outhdr h;
    const struct iovec *last;
    uint64_t wait;

    if (r->chain.out_bytes < sizeof(h) || r->chain.in_bytes < 1)
        return -EPROTO;
    (void)virtq_read(&r->chain, 0, &h, sizeof(h));
    wait = limit(q->disk, &h, &r->chain);
    if (wait) {
        throttle_arm(q->timer.fd, wait);
        return -EBUSY;
    }
    q->free = r->next_free;
    q->n_taken++;
    last = &r->chain.iov[r->chain.n_out + r->chain.n_in - 1];
    r->status = (uint8_t *)last->iov_base + last->iov_len - 1;
    r->data_bytes = 0;
    r->n_ranges = r->range = 0;
    begin(r, &h);
    return 1;
}

/* 1: one was taken. 0: there is none. -EBUSY: the timer comes first. */
static int step(struct disk_queue *q, struct virtq *vq)
{
    int r = virtq_pop(vq, &q->free->chain);

    if (r > 0)
        r = take(q, q->free);
    if (r == -EBUSY)
        virtq_unpop(vq);
    return r;
}

/* The driver rings no bell while we look again by ourselves: that costs the guest an exit. With several requests on
 * their way the next of them to be done wakes us soon enough. It hears of what is done when its new requests are on
 * their way, and so of what was done at once or meanwhile in one go: an interrupt is an exit, too. */
static void work(struct disk_queue *q)
{
    struct virtio *v = q->disk->virtio;
    struct virtq *vq = virtio_queue(v, q->index);
    unsigned n = 0, before;
    int r;

    virtq_notify_disable(vq);
    do {
        before = n;
        for (r = 1; n < REQUESTS_A_TURN && q->free && r > 0; n += r > 0)
            r = step(q, vq);
        if (n > before)
            block_queue_rush(q->io);
    } while (r == 0 && (n > before || (q->n_taken < QUIET_FROM && virtq_notify_enable(vq))));
    if (r < 0 && r != -EBUSY)
        virtio_fail(v);
    virtio_signal(v, q->index);
    if (r > 0 && q->free)
        loop_wake(q->doorbell.fd); /* completions have their turn in between */
}

/* The doorbell, the timer, completions: what it was does not matter. */
static void on_woken(void *context, uint32_t events)
{
    struct disk_queue *q = context;

    (void)events;
    pthread_mutex_lock(&q->lock);
    block_queue_poll(q->io);
    if (q->is_running)
        work(q); /* those that waited for a free request, and the interrupt for those that are done */
    pthread_mutex_unlock(&q->lock);
}

/* --- The device
 * --------------------------------------------------------------------------------------------------------- */

static int disk_start(void *device, uint64_t features)
{
    struct disk *d = device;

    d->is_write_through = !(features & 1ull << VIRTIO_BLK_F_FLUSH);
    for (unsigned i = 0; i < d->n_queues; i++) {
        pthread_mutex_lock(&d->queues[i].lock);
        d->queues[i].is_running = true;
        pthread_mutex_unlock(&d->queues[i].lock);
        loop_wake(d->queues[i].doorbell.fd);
    }
    return 0;
}

/* What is on its way is waited for: afterwards nothing writes into the guest's memory (a reset driver owns it again).
 * What waits for a limit is forgotten with the driver; but before the device is written down it is done, as its place
 * in the queue is. A guest cannot ask for that, so it cannot get around a limit. */
static void disk_stop(void *device)
{
    struct disk *d = device;

    for (unsigned i = 0; i < d->n_queues; i++) {
        pthread_mutex_lock(&d->queues[i].lock);
        d->queues[i].is_running = false;
        while (d->queues[i].n_taken)
            pthread_cond_wait(&d->queues[i].idle, &d->queues[i].lock);
        pthread_mutex_unlock(&d->queues[i].lock);
    }
}

static size_t disk_config(void *device, uint8_t *bytes, size_t cap)
{
    const struct disk *d = device;
    struct virtio_blk_config c = {
        .capacity = d->image.size_bytes / 512,
        .seg_max = SEGMENTS_MAX,
        .blk_size = 512,
        .num_queues = (uint16_t)d->n_queues,
        .max_discard_sectors = DISCARD_MAX,
        .max_discard_seg = RANGES_MAX,
        .discard_sector_alignment = 8,
        .max_write_zeroes_sectors = DISCARD_MAX,
        .max_write_zeroes_seg = RANGES_MAX,
        .write_zeroes_may_unmap = d->has_discard,
    };

    memcpy(bytes, &c, sizeof(c) < cap ? sizeof(c) : cap);
    return sizeof(c);
}

static void disk_free(void *device)
{
    struct disk *d = device;

    for (unsigned i = 0; i < d->n_queues; i++) {
        struct disk_queue *q = &d->queues[i];

        if (!q->disk)
            continue;
        loop_done(&q->loop);
        block_queue_free(q->io);
        if (q->timer.fd >= 0)
            close(q->timer.fd);
        pthread_cond_destroy(&q->idle);
        pthread_mutex_destroy(&q->lock);
        free(q->requests);
    }
    block_image_close(&d->image);
    disk_limits_done(&d->limits);
    free(d);
}

static void disk_counters(void *device, virtio_tell_fn tell, void *arg)
{
    static const struct {
        const char *name;
        size_t at;
    } rows[] = {{"reads", offsetof(struct disk_counters, reads)},
                {"writes", offsetof(struct disk_counters, writes)},
                {"flushes", offsetof(struct disk_counters, flushes)},
                {"discards", offsetof(struct disk_counters, discards)},
                {"errors", offsetof(struct disk_counters, errors)},
                {"read-bytes", offsetof(struct disk_counters, read_bytes)},
                {"write-bytes", offsetof(struct disk_counters, write_bytes)}};
    struct disk *d = device;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t sum = 0;

        for (unsigned q = 0; q < d->n_queues; q++)
            sum += atomic_load_explicit((_Atomic uint64_t *)((uint8_t *)&d->queues[q].counters + rows[i].at),
                                        memory_order_relaxed);
        tell(arg, rows[i].name, sum);
    }
}

/* 5.2.4: the driver reads the new capacity after the interrupt for its configuration. */
static int disk_resize(void *device, uint64_t bytes, struct err *e)
{
    struct disk *d = device;
    int r = block_image_grow(&d->image, bytes, e);

    if (r > 0)
        virtio_config_changed(d->virtio);
    return r < 0 ? r : 0;
}

static int disk_limit(void *device, const struct propstr *limits, struct err *e)
{
    static const char *const keys[] = {DISK_LIMIT_KEYS, NULL};
    struct disk *d = device;
    int r = device_check_keys(limits, keys, e);

    if (r == 0)
        r = disk_limits_set(&d->limits, limits, e);
    for (unsigned i = 0; i < d->n_queues && r == 0; i++)
        loop_wake(d->queues[i].doorbell.fd); /* those that wait for an older, lower one */
    return r;
}

static const struct virtio_ops disk_ops = {.name = "disk",
                                           .id = 2,
                                           .class_code = 0x010000,
                                           .queue_size = QUEUE_SIZE,
                                           .config = disk_config,
                                           .start = disk_start,
                                           .stop = disk_stop,
                                           .counters = disk_counters,
                                           .resize = disk_resize,
                                           .limit = disk_limit,
                                           .free = disk_free};

static int make_requests(struct disk_queue *q)
{
    q->requests = calloc(QUEUE_SIZE, sizeof(*q->requests));
    if (!q->requests)
        return -ENOMEM;
    for (unsigned i = 0; i < QUEUE_SIZE; i++) {
        struct request *r = &q->requests[i];

        r->queue = q;
        r->block.done = on_done;
        r->next_free = q->free;
        q->free = r;
    }
    return 0;
}

static int make_queue(struct disk *d, unsigned index, enum block_engine engine, struct err *e)
{
    struct disk_queue *q = &d->queues[index];
    char name[16];
    int r;

    q->disk = d;
    q->index = index;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->idle, NULL);
    q->woken = (struct loop_source){.on_ready = on_woken, .context = q};
    q->doorbell.fd = virtio_doorbell(d->virtio, index);
    q->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    r = loop_init(&q->loop, e);
    if (r == 0 && make_requests(q) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = block_queue_new(&d->image, &q->loop, &q->woken, QUEUE_SIZE, engine, &q->io, e);
    if (r < 0)
        return r;
    if ((r = q->timer.fd < 0 ? -errno : block_queue_watch(q->io, &q->timer)) < 0 ||
        (r = block_queue_watch(q->io, &q->doorbell)) < 0)
        return err_errno(e, -r, "watch a disk");
    snprintf(name, sizeof(name), "disk%u.%u", virtio_slot(d->virtio), index);
    return loop_start(&q->loop, name, e);
}

struct disk_options {
    bool is_read_only, has_discard, is_cached;
    uint64_t n_queues;
    enum block_engine engine;
    const char *serial;
};

static int read_options(const struct propstr *p, struct disk_options *o, struct err *e)
{
    static const char *const keys[] = {"raw",     "fd",        "readonly", "serial",        "queues", "engine",
                                       "discard", "direct-fd", "cached",   DISK_LIMIT_KEYS, NULL};
    const char *engine = propstr_get(p, "engine");
    int r = device_check_keys(p, keys, e);

    if (r == 0)
        r = propstr_get_bool(p, "readonly", false, &o->is_read_only, e);
    if (r == 0)
        r = propstr_get_bool(p, "discard", true, &o->has_discard, e);
    if (r == 0)
        r = propstr_get_bool(p, "cached", false, &o->is_cached, e);
    if (r == 0)
        r = propstr_get_u64(p, "queues", 1, &o->n_queues, e);
    if (r < 0)
        return r;
    o->serial = propstr_get(p, "serial");
    if (o->n_queues < 1 || o->n_queues > QUEUES_MAX)
        return err_set(e, -EINVAL, "option.value", "a disk has 1 to %u queues", QUEUES_MAX);
    if (o->serial && strlen(o->serial) > ID_BYTES)
        return err_set(e, -EINVAL, "option.value", "a serial number has at most %u bytes", ID_BYTES);
    if (engine && !streq(engine, "uring") && !streq(engine, "threads"))
        return err_set(e, -EINVAL, "option.value", "the engine is uring or threads");
    o->engine = engine && streq(engine, "threads") ? BLOCK_THREADS : BLOCK_URING;
    return 0;
}

/* The same file once more, with the same rights, past the host's cache. Not every file system can; another user's file
 * may not be opened again: then whoever gave it gives this one, too. */
static int open_direct(const struct propstr *p, int fd, int *ret_fd, struct err *e)
{
    const char *number = propstr_get(p, "direct-fd");
    char path[32];
    uint64_t n;

    if (number && (str_to_u64(number, &n) < 0 || n > 65535 || fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0))
        return err_set(e, -EBADF, "option.fd", "there is no open descriptor '%s'", number);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *ret_fd = number ? (int)n : open(path, (fcntl(fd, F_GETFL) & O_ACCMODE) | O_DIRECT | O_CLOEXEC | O_NOCTTY);
    return 0;
}

static int open_image(const struct propstr *p, const struct disk_options *o, struct disk *d, struct err *e)
{
    int fd, r = device_open(p, "raw", o->is_read_only ? O_RDONLY : O_RDWR, &fd, e);

    if (r == 0 && fd < 0)
        r = err_set(e, -EINVAL, "option.value", "a disk needs raw=FILE or fd=N");
    if (r == 0)
        r = block_image_open(&d->image, fd, o->is_read_only, e);
    return r < 0 || o->is_cached ? r : open_direct(p, fd, &d->image.direct_fd, e);
}

static int disk_new(struct virtio_host *h, const struct propstr *p, struct virtio **ret_virtio, struct err *e)
{
    uint64_t features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_FLUSH;
    struct disk_options o = {0};
    struct disk *d;
    int r = read_options(p, &o, e);

    if (r < 0)
        return r;
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->host = h;
    d->image.fd = d->image.direct_fd = -1;
    d->n_queues = (unsigned)o.n_queues;
    disk_limits_init(&d->limits);
    if (o.serial)
        memcpy(d->serial, o.serial, strlen(o.serial));
    r = disk_limits_set(&d->limits, p, e);
    if (r == 0)
        r = open_image(p, &o, d, e);
    if (r < 0) {
        disk_free(d);
        return r;
    }
    d->has_discard = o.has_discard && !o.is_read_only;
    features |= o.is_read_only ? 1ull << VIRTIO_BLK_F_RO : 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
    features |= d->has_discard ? 1ull << VIRTIO_BLK_F_DISCARD : 0;
    features |= o.n_queues > 1 ? 1ull << VIRTIO_BLK_F_MQ : 0;
    r = virtio_new(h, &disk_ops, d, features, d->n_queues, &d->virtio, e);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < d->n_queues && r == 0; i++)
        r = make_queue(d, i, o.engine, e);
    if (r < 0) {
        virtio_free(d->virtio);
        return r;
    }
    *ret_virtio = d->virtio;
    return 0;
}

const struct device_type device_disk = {
    .option = "disk",
    .usage = "raw=FILE|fd=N[,readonly=on][,serial=TEXT][,queues=N][,engine=uring|threads][,discard=off][,cached=on][,"
             "LIMIT=N]",
    .help = "a disk: a file or block device; LIMIT: bps, iops, also with _rd, _wr, then _max, _max_length",
    .new = disk_new,
    .default_key = "raw"};
