/* Shares of the host's CPUs that a guest may use: keys cpulimit, cpuunits, affinity. */
#ifndef HOLM_GUEST_LIMITS_H
#define HOLM_GUEST_LIMITS_H

#include <sched.h>

#include "guest/guest.h"

struct guest_limits {
    uint32_t limit_permille; /* of one CPU; 0: none */
    uint32_t units;          /* 0: the host's default */
    bool has_affinity;
    cpu_set_t affinity;
};
/* Pure. */
MUST_CHECK int limits_parse(const struct config *c, struct guest_limits *ret, struct err *e);
/* "0-3,7" into a set. */
MUST_CHECK int limits_parse_cpus(const char *text, cpu_set_t *ret, struct err *e);
/* Value of cgroup v2's cpu.weight. */
uint32_t limits_weight(uint32_t units);

/* The controller `cpu` of this host. Writes the limits for guest vmid; procs gets the file for joining ("" when the
 * guest's ordinary cgroup serves), note why a limit is not in force ("" when all are). Blocking. */
MUST_CHECK int limits_apply(const struct guest_limits *l, const char *cgroup_dir, uint32_t instance, uint32_t vmid,
                            char *procs, size_t procs_cap, char *note, size_t note_cap, struct err *e);
/* Its half for cgroup v2: base is the folder of all guests, whose guest-ID exists. */
MUST_CHECK int limits_apply_unified(const struct guest_limits *l, const char *base, uint32_t vmid, struct err *e);
/* Removes what limits_apply made; nothing there is success. -EBUSY: still in use. */
MUST_CHECK int limits_remove(uint32_t instance, uint32_t vmid, struct err *e);
/* For proc_spawn: pins the calling process; arg is a struct guest_limits. */
int limits_pin(void *arg);

#endif
