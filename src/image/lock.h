/* The lock that QEMU and its tools keep on an image (QEMU: block/file-posix.c, docs/system/qemu-block-drivers "Disk
 * image file locking"): ranges of bytes at 100 for what its owner does, at 200 for what it lets nobody else do. An
 * image of ours that a guest writes to has it, so that a tool started by hand does not write to it as well.
 *
 * The locks belong to the open file: to everybody who got this descriptor or a copy, and they last as long as one is
 * open. */
#ifndef HOLM_IMAGE_LOCK_H
#define HOLM_IMAGE_LOCK_H

#include "base/err.h"

/* fd is open for reading and writing. -EBUSY "image.busy" if somebody else has the image open in a way that does not go
 * with this; with is_mine that is not looked at. */
MUST_CHECK int image_lock(int fd, bool is_mine, struct err *e);

#endif
