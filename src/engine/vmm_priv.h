/* Inside the engine vmm: what its files share. */
#ifndef HOLM_ENGINE_VMM_PRIV_H
#define HOLM_ENGINE_VMM_PRIV_H

#include "base/propstr.h"
#include "engine/engine.h"

extern const struct engine engine_vmm;

/* Devices of one machine: holm-vmm's OPTIONS_DEVICES_MAX. */
#define VMM_DEVICES_MAX     28u
#define VMM_NET_QUEUES_MAX  8u
#define VMM_DISK_QUEUES_MAX 16u
#define VMM_CPUS_MAX        64u
#define VMM_CMDLINE_MAX     4095u

#define VMM_RATE_MAX          (1ull << 50)
#define VMM_BURST_SECONDS_MAX 3600u

/* Descriptors of holm-vmm; the monitor's own (below 10) are not named here. */
enum { VMM_FD_CONTROL = 10, VMM_FD_SERIAL = 11, VMM_FD_CONFIG = 19, VMM_FD_FIRST = 20 };

/* vmm_launch.c: a limit of a drive as holm-vmm has it; name: "bps", "iops_rd". Values that are no numbers count as 0.
 */
struct vmm_limit {
    uint64_t rate, max, seconds;
    bool is_twice; /* in bytes and in megabytes */
};
struct vmm_limit vmm_limit(const struct propstr *p, const char *name);
/* vmm_check.c */
MUST_CHECK int vmm_check_config(const struct engine_host *h, const struct config_item *config, size_t n, struct err *e);
/* vmm_launch.c */
MUST_CHECK int vmm_launch(const struct engine_host *h, const struct engine_vm *vm, struct engine_launch *ret,
                          struct err *e);
MUST_CHECK int vmm_live(const struct engine_vm *vm, enum engine_live what, const char *key, uint64_t size_bytes,
                        struct engine_script *ret, struct err *e);

#endif
