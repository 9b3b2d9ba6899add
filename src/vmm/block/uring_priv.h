/* The ring of a disk's queue, for its test. */
#ifndef HOLM_VMM_BLOCK_URING_PRIV_H
#define HOLM_VMM_BLOCK_URING_PRIV_H

#include <liburing.h>

#include "vmm/block/queue_priv.h"

/* A ring that takes requests of a disk and no others, and registers nothing more. -errno. */
MUST_CHECK int uring_ring_new(struct io_uring *ring, unsigned depth);

#endif
