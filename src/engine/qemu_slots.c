/* The PCI slot map of a guest. An address follows from the configuration key alone, so that adding or removing one
 * device never moves another: a guest's names of disks and network interfaces (enp0s16) rest on it, and Windows on its
 * licence. The map is part of the contract with guests that already exist: it only ever grows.
 *
 *   root bus  02 vga  03 balloon  04 rng  05 agent  06 SCSI controller  07 SATA  08-0f virtio0-7  10-15 net0-5
 *             16 bridge 1  17 bridge 2  18 bridge 3  19 panic device  1a USB of the tablet  1b bridge for hotplug
 *             1c IOMMU  1d sound card  1e watchdog
 *             (00, 01, 1f: the chipset; the rest is free)
 *   bridge 1  01-1a net6-31
 *   bridge 2  01-08 virtio8-15   09-0c further SCSI controllers (lsi: seven drives each)
 *   bridge 3  01-1e scsi1-30 of virtio-scsi-single (scsi0 has the root slot 06)
 *
 * Bridges exist only when something is behind them. Pure. Documented in doc/guide/engines.md. */
#include "engine/qemu_priv.h"

static const struct run {
    enum qemu_kind kind;
    unsigned first_index, count;
    unsigned bridge, first_slot;
} runs[] = {
    {QEMU_VGA, 0, 1, 0, 0x02},       {QEMU_BALLOON, 0, 1, 0, 0x03},     {QEMU_RNG, 0, 1, 0, 0x04},
    {QEMU_AGENT, 0, 1, 0, 0x05},     {QEMU_SCSI, 0, 1, 0, 0x06},        {QEMU_SCSI, 1, 4, 2, 0x09},
    {QEMU_SATA, 0, 1, 0, 0x07},      {QEMU_VIRTIO, 0, 8, 0, 0x08},      {QEMU_VIRTIO, 8, 8, 2, 0x01},
    {QEMU_NET, 0, 6, 0, 0x10},       {QEMU_NET, 6, 26, 1, 0x01},        {QEMU_BRIDGE, 1, QEMU_BRIDGES, 0, 0x16},
    {QEMU_PANIC, 0, 1, 0, 0x19},     {QEMU_SCSI_SINGLE, 0, 1, 0, 0x06}, {QEMU_SCSI_SINGLE, 1, 30, 3, 0x01},
    {QEMU_IOMMU, 0, 1, 0, 0x1c},     {QEMU_AUDIO, 0, 1, 0, 0x1d},       {QEMU_WATCHDOG, 0, 1, 0, 0x1e},
    {QEMU_USB_INPUT, 0, 1, 0, 0x1a},
};

int qemu_addr_of(enum qemu_kind kind, unsigned index, struct qemu_addr *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        const struct run *run = &runs[i];
        if (run->kind != kind || index < run->first_index || index - run->first_index >= run->count)
            continue;
        *ret = (struct qemu_addr){run->bridge, run->first_slot + index - run->first_index};
        return 0;
    }
    return -E2BIG;
}
