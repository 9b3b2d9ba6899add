/* A 16550A serial port, the console of early boot. Source: the National Semiconductor PC16550D data sheet.
 * Registers are used by vCPU threads, the descriptors by the main loop; a lock inside keeps them apart. */
#ifndef HOLM_VMM_DEV_SERIAL_H
#define HOLM_VMM_DEV_SERIAL_H

#include "vmm/bus.h"
#include "vmm/loop.h"

struct serial;
/* in_fd and out_fd stay the caller's and are non-blocking (-1: nothing comes, nothing is kept); irq_fd raises its line.
 * What the guest writes faster than the reader takes is lost once 64 KiB wait: a guest never waits for a reader. */
MUST_CHECK int serial_new(struct loop *l, int in_fd, int out_fd, int irq_fd, struct serial **ret_serial, struct err *e);
void serial_free(struct serial *s);
void serial_reset(struct serial *s);
/* Writes what waits, as far as out_fd takes it: before the program ends. */
void serial_flush(struct serial *s);
extern const struct bus_ops serial_ops; /* eight ports; the device is a struct serial */

#endif
