/* The kinds of devices a machine can have: one file of this folder and one row of table.c each. */
#ifndef HOLM_VMM_DEV_TABLE_H
#define HOLM_VMM_DEV_TABLE_H

#include "vmm/virtio.h"

#define DEVICE_ID_MAX 31u /* bytes of id= */

struct device_type {
    const char *option; /* "disk": --disk on the command line */
    const char *usage, *help;
    /* Opens what the options name and makes the device. Unknown keys are refused. */
    int (*new)(struct virtio_host *h, const struct propstr *options, struct virtio **ret_virtio, struct err *e);
    const char *default_key; /* of the property string; NULL: none */
};

/* Ends with NULL. */
extern const struct device_type *const device_table[];
const struct device_type *device_type_find(const char *option);
/* -EINVAL "option.value" if a key of the property string is not among those of `known` (which ends with NULL), nor
 * "id", the name that control verbs call it by and the machine keeps. */
MUST_CHECK int device_check_keys(const struct propstr *p, const char *const *known, struct err *e);
/* The descriptor that key "fd" names, or the file that `path_key` does, opened with flags; -1 if neither is there. */
MUST_CHECK int device_open(const struct propstr *p, const char *path_key, int flags, int *ret_fd, struct err *e);

extern const struct device_type device_balloon, device_console, device_disk, device_net, device_rng, device_vsock;

#endif
