/* Entropy device: gives the guest random bytes of the host. Source: virtio 1.2, 5.4. On the main loop; at most 64 KiB
 * for a request and 16 requests for a turn, so that a greedy guest takes no more of the host than its own time. */
#include <sys/random.h>

#include "vmm/dev/table.h"

#define REQUEST_MAX  (64u << 10)
#define REQUESTS_MAX 16u

struct rng {
    struct virtio_host *host;
    struct virtio *virtio;
    struct loop_source doorbell;
    pthread_mutex_t lock; /* the loop's work against stop */
    bool is_running;
};

static uint32_t fill(const struct virtq_chain *c)
{
    uint8_t bytes[256];
    uint64_t done = 0, wanted = c->in_bytes < REQUEST_MAX ? c->in_bytes : REQUEST_MAX;

    while (done < wanted) {
        size_t part = wanted - done < sizeof(bytes) ? wanted - done : sizeof(bytes);

        if (getrandom(bytes, part, 0) != (ssize_t)part) /* never for so few bytes, once the host has booted */
            break;
        done += virtq_write(c, done, bytes, part);
    }
    return (uint32_t)done;
}

static void work(struct rng *d)
{
    struct virtq *q = virtio_queue(d->virtio, 0);
    struct virtq_chain chain;
    int r = 0;

    for (unsigned i = 0; i < REQUESTS_MAX && (r = virtq_pop(q, &chain)) > 0; i++)
        virtq_push(q, chain.head, fill(&chain));
    if (r < 0)
        virtio_fail(d->virtio);
    virtio_signal(d->virtio, 0);
    if (r > 0)
        loop_wake(d->doorbell.fd); /* the others first */
}

static void on_doorbell(void *context, uint32_t events)
{
    struct rng *d = context;

    (void)events;
    loop_drain(d->doorbell.fd);
    pthread_mutex_lock(&d->lock);
    if (d->is_running)
        work(d);
    pthread_mutex_unlock(&d->lock);
}

static int rng_start(void *device, uint64_t features)
{
    struct rng *d = device;

    (void)features;
    pthread_mutex_lock(&d->lock);
    d->is_running = true;
    pthread_mutex_unlock(&d->lock);
    loop_wake(d->doorbell.fd); /* what was rung before */
    return 0;
}

static void rng_stop(void *device)
{
    struct rng *d = device;

    pthread_mutex_lock(&d->lock);
    d->is_running = false;
    pthread_mutex_unlock(&d->lock);
}

static void rng_free(void *device)
{
    struct rng *d = device;

    loop_remove(d->host->main, &d->doorbell);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const struct virtio_ops rng_ops = {.name = "rng",
                                          .id = 4,
                                          .class_code = 0xff0000,
                                          .queue_size = 64,
                                          .start = rng_start,
                                          .stop = rng_stop,
                                          .free = rng_free};

static int rng_new(struct virtio_host *h, const struct propstr *options, struct virtio **ret_virtio, struct err *e)
{
    static const char *const keys[] = {"source", NULL};
    struct rng *d;
    int r = device_check_keys(options, keys, e);
    const char *source = propstr_get(options, "source");

    if (r < 0)
        return r;
    if (source && !streq(source, "host"))
        return err_set(e, -EINVAL, "option.value", "the only source is 'host'");
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    d->host = h;
    pthread_mutex_init(&d->lock, NULL);
    r = virtio_new(h, &rng_ops, d, 0, 1, &d->virtio, e);
    if (r < 0)
        return r;
    d->doorbell = (struct loop_source){
        .fd = virtio_doorbell(d->virtio, 0), .events = EPOLLIN, .on_ready = on_doorbell, .context = d};
    r = loop_add(h->main, &d->doorbell);
    if (r < 0) {
        virtio_free(d->virtio);
        return err_errno(e, -r, "watch a doorbell");
    }
    *ret_virtio = d->virtio;
    return 0;
}

const struct device_type device_rng = {.option = "rng",
                                       .usage = "source=host",
                                       .help = "random bytes of the host",
                                       .new = rng_new,
                                       .default_key = "source"};
