/* A split virtqueue, seen from the device: the one place that reads descriptors of a guest. Source: virtio 1.2, 2.7.
 * Every descriptor is copied once, checked, and its (address, length) translated together; a chain is bounded by the
 * queue's size as it was latched when the queue was enabled. What a driver does wrong marks the queue broken and the
 * caller's device then needs a reset; nothing else of the machine is touched.
 * A queue belongs to one thread at a time. */
#ifndef HOLM_VMM_VIRTQ_H
#define HOLM_VMM_VIRTQ_H

#include <sys/uio.h>

#include "vmm/memory.h"

#define VIRTQ_SIZE_MAX 256u

#define VIRTQ_F_INDIRECT  (1ull << 28)
#define VIRTQ_F_EVENT_IDX (1ull << 29)

struct virtq {
    /* What the driver set; changed only while the queue is off. */
    uint16_t size, size_max;
    uint64_t desc_gpa, avail_gpa, used_gpa;
    bool is_enabled, is_broken;
    bool has_event_idx, has_indirect;
    const struct memory *memory;
    /* Latched at virtq_enable. */
    void *desc, *avail, *used;
    uint16_t next_avail, next_used, signalled_used;
    bool is_quiet; /* doorbells are not wanted: virtq_notify_disable */
};

/* One request of the driver: what it wrote for us first (out), then where we may write (in). */
struct virtq_chain {
    uint16_t head;
    unsigned n_out, n_in;
    uint64_t out_bytes, in_bytes;
    struct iovec iov[VIRTQ_SIZE_MAX]; /* n_out, then n_in */
};

void virtq_init(struct virtq *q, const struct memory *m, uint16_t size_max);
/* As before the driver set anything. */
void virtq_reset(struct virtq *q);
/* Latches size and addresses. -EINVAL: size is no power of two up to size_max, or the rings are not all in RAM or not
 * aligned; the queue stays off. */
MUST_CHECK int virtq_enable(struct virtq *q, uint64_t features);

/* The next request. 1: in ret_chain; 0: there is none; -EPROTO: the driver broke the rules, is_broken is set. */
MUST_CHECK int virtq_pop(struct virtq *q, struct virtq_chain *ret_chain);
/* Puts the last request back, to be popped again (a device that is out of room). */
void virtq_unpop(struct virtq *q);
/* Requests waiting, at most the queue's size; 0 for a broken queue. What is not 0 may be a driver's mistake: pop it. */
unsigned virtq_waiting(struct virtq *q);
/* Gives a request back with the number of bytes written into its in part. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/* The same for several that the driver must see at once: put as 0, 1, ..., then publish how many. */
void virtq_put(struct virtq *q, unsigned ahead, uint16_t head, uint32_t written);
void virtq_publish(struct virtq *q, unsigned n);
/* Is the driver to be interrupted for what was pushed since the last time this was asked? */
bool virtq_should_signal(struct virtq *q);
/* Asks for a doorbell at the next request, or for none. After turning it on, look once more: true if there is one. */
bool virtq_notify_enable(struct virtq *q);
void virtq_notify_disable(struct virtq *q);

/* Bytes of the out or in part, from `offset` on: how many were copied. For headers and small things. */
size_t virtq_read(const struct virtq_chain *c, uint64_t offset, void *to, size_t length);
size_t virtq_write(const struct virtq_chain *c, uint64_t offset, const void *from, size_t length);

#endif
