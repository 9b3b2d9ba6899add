/* The engine `vmm`: Holm's own hypervisor (src/vmm), a direct machine without firmware. Its row in the table. Pure. */

#include "engine/vmm_priv.h"

static int check_host(const struct engine_host *h, struct err *e)
{
    if (!h->vmm_path[0])
        return err_set(e, -ENOENT, "engine.missing", "holm-vmm is not installed on this node");
    if (h->has_kvm)
        return 0;
    err_set(e, -ENODEV, "engine.kvm", "the engine vmm needs hardware KVM: %s", h->accel_reason);
    err_hint(e, "engine=qemu can emulate a processor");
    return e->num;
}

static int resolve(const struct engine_host *h, const struct config_item *config, size_t n, struct engine_choice *ret,
                   struct err *e)
{
    *ret = (struct engine_choice){.engine = "vmm", .machine = "direct"};
    return 0;
}

const struct engine engine_vmm = {
    .name = "vmm",
    .driver = "vmm",
    .caps = ENGINE_CAP_PAUSE | ENGINE_CAP_RESET | ENGINE_CAP_SHUTDOWN | ENGINE_CAP_SERIAL_CONSOLE |
            ENGINE_CAP_DIRECT_KERNEL | ENGINE_CAP_TAP | ENGINE_CAP_DIRECT,
    .check_host = check_host,
    .resolve = resolve,
    .check_config = vmm_check_config,
    .launch = vmm_launch,
    .live = vmm_live,
};
