/* Inside the qemu engine: what its files share while they build one command line. */
#ifndef HOLM_ENGINE_QEMU_PRIV_H
#define HOLM_ENGINE_QEMU_PRIV_H

#include "base/json.h"
#include "base/propstr.h"
#include "engine/engine.h"

extern const struct engine engine_qemu;

/* Descriptors of QEMU: channels the monitor makes have fixed numbers, attachments follow. The monitor's own (below 10)
 * and the lock are not named here. */
enum { QEMU_FD_QMP = 10, QEMU_FD_SERIAL = 11, QEMU_FD_AGENT = 15, QEMU_FD_TPM = 16, QEMU_FD_FIRST = 20 };
#define QEMU_SERIAL_MAX     4u
#define QEMU_BOOT_ORDER_MAX 64u

/* qemu_slots.c: the PCI address of each device follows from its key alone. */
enum qemu_kind {
    QEMU_VGA,
    QEMU_BALLOON,
    QEMU_RNG,
    QEMU_AGENT,
    QEMU_SCSI,        /* controller that several scsiN share */
    QEMU_SCSI_SINGLE, /* controller of one scsiN */
    QEMU_SATA,
    QEMU_VIRTIO,
    QEMU_NET,
    QEMU_PANIC,
    QEMU_USB_INPUT, /* controller of the tablet */
    QEMU_BRIDGE,    /* index = its number, from 1 */
    QEMU_IOMMU,
    QEMU_AUDIO,
    QEMU_WATCHDOG,
};
#define QEMU_BRIDGES 3u
/* Behind this one are devices that come while the guest runs: a root bus of q35 takes none. */
#define QEMU_HOTPLUG_BUS  "hotplug0"
#define QEMU_HOTPLUG_SLOT 0x1bu
struct qemu_addr {
    unsigned bridge; /* 0: the root bus */
    unsigned slot;
};
/* -E2BIG for an index that has no place. */
MUST_CHECK int qemu_addr_of(enum qemu_kind kind, unsigned index, struct qemu_addr *ret);

struct qemu_build {
    const struct engine_host *host;
    const struct engine_vm *vm;
    struct engine_launch *out;
    struct buf devices; /* ARG fields; written after the bridges that they need */
    const char *root_bus;
    bool is_q35, is_kvm;
    bool is_live; /* a device for a guest that runs: PCI ones go where this machine can take them */
    int next_fd;
    uint32_t bridges;          /* bit per bridge in use */
    uint32_t scsi_controllers; /* bit per controller written */
    bool has_sata;
    char boot_order[QEMU_BOOT_ORDER_MAX][16];
    size_t n_boot;
};

const char *qemu_config(const struct qemu_build *q, const char *key);
/* Appends to the command line. */
void qemu_arg(struct qemu_build *q, const char *arg);
void qemu_argf(struct qemu_build *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* s with each comma doubled, for options that are not JSON. */
void qemu_append_escaped(struct buf *b, const char *s);
/* Hands a descriptor to QEMU; ret_number is its number there. */
MUST_CHECK int qemu_add_fd(struct qemu_build *q, int fd, int *ret_number, struct err *e);
/* Position in the boot order from 1; 0 when not booted from. */
unsigned qemu_boot_index(const struct qemu_build *q, const char *key);

/* One -device or -object option in JSON. */
struct qemu_json {
    struct buf text;
    struct jw w;
};
void qemu_device_begin(struct qemu_json *d, const char *driver, const char *id);
MUST_CHECK int qemu_device_at(struct qemu_build *q, struct qemu_json *d, enum qemu_kind kind, unsigned index,
                              struct err *e);
void qemu_device_end(struct qemu_build *q, struct qemu_json *d);
void qemu_json_begin(struct qemu_json *d);
void qemu_json_end(struct qemu_build *q, const char *option, struct qemu_json *d);

/* qemu_cpu.c: the value of -cpu; also the check of the key. custom: what its custom model stands for, or NULL. */
MUST_CHECK int qemu_cpu(bool is_kvm, const char *value, const char *custom, struct buf *ret, struct err *e);
/* qemu_memory.c: -m, -numa and memory objects; the checks look at the whole configuration. */
MUST_CHECK int qemu_add_memory(struct qemu_build *q, struct err *e);
MUST_CHECK int qemu_check_memory(const struct config_item *config, size_t n, struct err *e);
/* NUMA nodes of a guest that has them. */
unsigned qemu_count_nodes(const struct engine_vm *vm);
void qemu_add_backend(struct qemu_build *q, const char *id, uint64_t mib);
/* qemu_hotplug.c: MiB on the board of a guest whose memory is hotplugged, and the most it can get. */
#define QEMU_STATIC_MIB      1024u
#define QEMU_HOTPLUG_MAX_MIB (512u * 1024u)
#define QEMU_DIMM_SLOTS      255u
MUST_CHECK int qemu_check_hotplug(const struct config_item *config, size_t n, uint64_t memory_mib, struct err *e);
/* model: the value of -cpu. CPUs number `from` to `to`, from 1. */
MUST_CHECK int qemu_add_cpu_devices(struct qemu_build *q, const char *model, unsigned from, unsigned to);
MUST_CHECK int qemu_add_dimms(struct qemu_build *q, unsigned n_nodes, struct err *e);
/* One more, for a guest that has `now`. -EOPNOTSUPP: waits for a start. */
MUST_CHECK int qemu_grow_cpus(struct qemu_build *q, uint64_t now, struct err *e);
MUST_CHECK int qemu_grow_memory(struct qemu_build *q, uint64_t now_mib, unsigned *ret_index, struct err *e);
MUST_CHECK int qemu_last_dimm(uint64_t now_mib, uint64_t wanted_mib, unsigned *ret_index, struct err *e);
/* qemu_usb.c */
MUST_CHECK int qemu_add_usb(struct qemu_build *q, bool has_display, struct err *e);
MUST_CHECK int qemu_usb_device(struct qemu_build *q, const struct engine_usb *u, struct err *e);
void qemu_usb_tablet(struct qemu_build *q);
MUST_CHECK int qemu_check_usb(const char *key, const char *value, struct err *e);
bool qemu_has_old_usb(const struct config_item *config, size_t n);
unsigned qemu_usb_fdset(unsigned index);
/* qemu_firmware.c */
MUST_CHECK int qemu_add_firmware(struct qemu_build *q, struct err *e);
MUST_CHECK int qemu_add_tpm(struct qemu_build *q, struct err *e);
MUST_CHECK int qemu_check_efidisk(const char *key, const char *value, struct err *e);
MUST_CHECK int qemu_check_tpm(const char *key, const char *value, struct err *e);
/* qemu_extra.c */
bool qemu_is_windows(const struct qemu_build *q);
void qemu_append_hyperv(const struct qemu_build *q, struct buf *model);
MUST_CHECK int qemu_add_machine_options(struct qemu_build *q, struct err *e);
MUST_CHECK int qemu_add_extra_devices(struct qemu_build *q, struct err *e);
MUST_CHECK int qemu_check_machine_options(const struct propstr *p, bool is_q35, struct err *e);
MUST_CHECK int qemu_check_watchdog(const char *value, struct err *e);
MUST_CHECK int qemu_check_audio(const char *value, struct err *e);
/* Appends each word of the key args; with q NULL it only checks. */
MUST_CHECK int qemu_split_args(const char *value, struct qemu_build *q, struct err *e);
/* qemu_disk.c */
MUST_CHECK int qemu_add_disks(struct qemu_build *q, struct err *e);
MUST_CHECK int qemu_check_disk(const char *key, const char *value, struct err *e);
/* qemu_net.c */
MUST_CHECK int qemu_add_nets(struct qemu_build *q, struct err *e);
/* The device without its other end. */
MUST_CHECK int qemu_net_device(struct qemu_build *q, const struct engine_net *n, struct err *e);
MUST_CHECK int qemu_check_net(const char *key, const char *value, struct err *e);
/* qemu_launch.c */
MUST_CHECK int qemu_launch(const struct engine_host *h, const struct engine_vm *vm, struct engine_launch *ret,
                           struct err *e);
MUST_CHECK int qemu_smbios(const char *value, const char *uuid, struct buf *ret, struct err *e);
MUST_CHECK int qemu_boot_order(const char *value, struct qemu_build *q, struct err *e);
/* qemu_display.c */
MUST_CHECK int qemu_add_display(struct qemu_build *q, struct err *e);
MUST_CHECK int qemu_check_display(const char *vga, struct err *e);
bool qemu_has_display(const char *vga); /* of the value of `vga`; NULL: the default */
/* qemu_live.c */
MUST_CHECK int qemu_live(const struct engine_vm *vm, enum engine_live what, const char *key, uint64_t size_bytes,
                         struct engine_script *ret, struct err *e);
MUST_CHECK int qemu_count(const char *key, const char *answer, size_t n, uint64_t *ret, struct err *e);
MUST_CHECK int qemu_has_image(const char *answer, size_t n, const char *key, const char *on, enum engine_place *ret,
                              struct err *e);
/* The descriptor set of a drive follows from its key, so that it is found again. */
#define QEMU_NODE_MAX 32u /* the longest name of a node, with its zero */
/* qemu_live.c: what scripts are made of. fmt gives the arguments, a JSON object; keys of the configuration need no
 * escaping. */
#define QEMU_SCRIPT_MAX (256u * 1024u)
void qemu_step(struct engine_script *s, char kind, const char *command, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The image number i of the disk and its descriptors; kind: of the two steps. */
void qemu_drop_image(struct engine_script *s, const char kind[2], const struct engine_disk *d, size_t i);
/* The nodes of vm->disks[0], as commands. */
enum qemu_disk_part { QEMU_WHOLE_DISK, QEMU_DISK_NODES, QEMU_DISK_OVERLAY, QEMU_DISK_COPY };
MUST_CHECK int qemu_disk_options(const struct engine_vm *vm, struct engine_script *s, enum qemu_disk_part part,
                                 struct err *e);
/* qemu_images.c */
MUST_CHECK int qemu_live_images(const struct engine_vm *vm, enum engine_live what, uint64_t number,
                                struct engine_script *s, struct err *e);
MUST_CHECK int qemu_saved(const char *answer, size_t n, struct engine_save *ret, struct err *e);
MUST_CHECK int qemu_sweep(const char *answer, size_t n, const struct engine_disk *d, struct engine_script *ret,
                          struct err *e);
MUST_CHECK int qemu_job(const char *answer, size_t n, const char *key, struct engine_job *ret, struct err *e);
#define QEMU_COPY "copy" /* in its place: what a disk is copied to */
/* Of the drive's image that stands on this one (engine_disk_on): the set of its descriptors, and its node. */
uint64_t qemu_fdset(enum engine_disk_bus bus, unsigned index, const char *on);
void qemu_image_node(const char *key, const char *on, char dst[QEMU_NODE_MAX]);
void qemu_image_file(const char *key, const char *on, char dst[QEMU_NODE_MAX + 8]);
/* Arguments of blockdev-reopen for a qcow2 image of a running disk. */
struct qemu_reopen {
    size_t image, below;            /* numbers in the disk: its own, and that of the one that it stands on now */
    int fd;                         /* one of its descriptors */
    bool is_read_only, is_new_file; /* of the format's node; the file's node changes with it */
    bool is_top;                    /* it is, or will be, what the guest writes to */
};
MUST_CHECK int qemu_image_reopen(const struct engine_disk *d, const struct qemu_reopen *o, struct buf *ret_arguments,
                                 struct err *e);
/* The nodes of the disk's uppermost image alone, standing on nothing yet; or (is_copy) of what it is copied to, in
 * which zeroes take no room. */
MUST_CHECK int qemu_add_overlay(struct qemu_build *q, const struct engine_disk *d, bool is_copy, struct err *e);
/* The arguments of a reopening of the topmost node, which every limit of the drive hangs on, onto this image. */
void qemu_move_throttle(const struct engine_disk *d, struct buf *ret_arguments);
/* qemu_check.c */
MUST_CHECK int qemu_check_config(const struct engine_host *h, const struct config_item *config, size_t n,
                                 struct err *e);
/* qemu.c: "pc-q35-7.2" -> true and is_q35; the version as 7002. */
bool qemu_machine_parse(const char *machine, bool *ret_is_q35, unsigned *ret_version);

#endif
