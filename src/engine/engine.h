/* What can run a guest. An engine is one file of this folder and one row of table.c. The daemon half (this header)
 * turns a guest's configuration and opened attachments into a launch order for holm-guest, whose driver of the same
 * engine (src/guest/monitor) then runs it. Engines are pure here: no I/O beyond probing the host once.
 * What an engine cannot do is a missing capability bit, never a stub. */
#ifndef HOLM_ENGINE_ENGINE_H
#define HOLM_ENGINE_ENGINE_H

#include "base/buf.h"
#include "base/err.h"

enum engine_cap {
    ENGINE_CAP_PAUSE = 1 << 0,
    ENGINE_CAP_RESET = 1 << 1,
    ENGINE_CAP_SHUTDOWN = 1 << 2, /* asks the guest (ACPI power button) */
    ENGINE_CAP_SERIAL_CONSOLE = 1 << 3,
    ENGINE_CAP_DIRECT_KERNEL = 1 << 4,
    ENGINE_CAP_DISK_BOOT = 1 << 5,
    ENGINE_CAP_QCOW2 = 1 << 6,
    ENGINE_CAP_USER_NET = 1 << 7,
    ENGINE_CAP_TAP = 1 << 8,
    ENGINE_CAP_AGENT = 1 << 9,
    ENGINE_CAP_GRAPHICS = 1 << 10,
    ENGINE_CAP_DIRECT = 1 << 11, /* takes raw disks a second time: engine_disk.direct_fd */
};

/* What was found on this host, once at the start of the daemon. */
struct engine_host {
    bool has_kvm;           /* /dev/kvm opens AND the CPU shows vmx or svm */
    char accel_reason[160]; /* "hardware KVM", or why TCG: shown in the task log */
    int kvm_gid;            /* group of /dev/kvm, -1 */
    char qemu_path[128];    /* "" when missing */
    char qemu_version[32];
    char vmm_path[4200]; /* of holm-vmm: the daemon knows where its programs are; "" when missing */
    uint32_t n_cpus;
    uint64_t memory_bytes;
};
/* Fills everything but qemu_version and vmm_path; fast, runs nothing. */
void engine_host_probe(struct engine_host *ret);
/* Runs `qemu-system-x86_64 --version` (blocks, at most 10 s) and fills qemu_version. */
MUST_CHECK int engine_host_probe_qemu(struct engine_host *h, struct err *e);

/* One configuration value, as PVE writes it. */
struct config_item {
    const char *key, *value;
};

enum engine_disk_bus { DISK_VIRTIO, DISK_SCSI, DISK_SATA, DISK_IDE };

/* What a disk stands on: it is only read. */
struct engine_below {
    int fd;
    bool is_qcow2;
    char name[16];    /* of the layer in this disk: "3", "base1" */
    const char *file; /* ENGINE_MERGE: what the image that stands on it calls it */
};

struct engine_disk {
    char key[16]; /* "virtio0" */
    enum engine_disk_bus bus;
    unsigned index;
    bool is_cdrom, is_read_only, is_qcow2;
    int fd;        /* open; -1 for an empty cdrom drive */
    int direct_fd; /* the same file past the host's cache; 0: the file system cannot, or the engine did not ask */
    uint64_t size_bytes;
    const char *options; /* the property string, verbatim */
    char origin[12];     /* "v0123456" of its volume's id: names what stands on nothing; "" for media */
    char serial[61];
    struct engine_below *below; /* the uppermost first; engine_disk_done */
    size_t n_below;
};
/* The name of what the image number `i` of the disk (0: its own) stands on; of its lowest, which stands on nothing, the
 * disk's origin. While the guest runs this, and not its own name, tells its images apart: it is what a new overlay and
 * a merge leave alone. */
const char *engine_disk_on(const struct engine_disk *d, size_t i);
/* Closes all of its descriptors. */
void engine_disk_done(struct engine_disk *d);

#define ENGINE_QUEUES_MAX     16u
#define ENGINE_FDS_MAX        480u /* of a guest: every layer of its disks is one */
#define ENGINE_SCRIPT_FDS_MAX 64u
struct engine_net {
    char key[16]; /* "net0" */
    unsigned index;
    const char *model; /* "virtio" */
    char mac[18];
    unsigned n_taps;                                              /* queues of a tap; 0: user mode */
    int tap_fds[ENGINE_QUEUES_MAX], vhost_fds[ENGINE_QUEUES_MAX]; /* vhost: -1 where the host has none */
    bool is_link_down;
    uint32_t mtu;
};

struct engine_usb {
    char key[16]; /* "usb0" */
    unsigned index;
    int fd; /* the device of the host, opened for reading and writing */
};

/* Everything an engine needs to start a guest. */
struct engine_vm {
    uint32_t vmid;
    const char *name;
    char uuid[37], vmgenid[37];
    const char *machine;   /* as resolved at creation: "pc-q35-7.2" */
    bool has_kvm;          /* live: of the host, as the launch has it from engine_host */
    const char *cpu_model; /* what the name of a custom model in `cpu` stands for, a property string; or NULL */
    uint64_t memory_mib;
    uint32_t sockets, cores, vcpus;
    const struct config_item *config; /* the whole configuration, for everything else */
    size_t n_config;
    const struct engine_disk *disks;
    size_t n_disks;
    const struct engine_net *nets;
    size_t n_nets;
    const struct engine_usb *usbs;
    size_t n_usbs;
    int kernel_fd, initrd_fd; /* -1 if absent */
    bool is_efi;              /* firmware is UEFI: these two are open */
    int efi_code_fd, efi_vars_fd;
    bool is_efi_smm, is_efi_vars_qcow2;
    int tpm_fd; /* state of a TPM, -1: none */
    bool is_tpm_v2;
    uint32_t hugepage_mib; /* size of the pages its memory is made of; 0: ordinary ones */
    int ram_fd;            /* memory that ENGINE_SAVE wrote: it goes on from there; 0: none */
    const char *cmdline;
    bool is_paused; /* start with vCPUs stopped */
};

/* The order for holm-guest: a payload of fields (see doc/formats.md, "launch"): DRIVER, VMID, ARG* (the first is the
 * program's path), ENV*, FD_TARGET* in the order of fds, CHANNEL* ("serial0=11": the monitor makes a socketpair and
 * gives the program one end at descriptor 11) and VERB* (what the driver does once the program answers: "link-down
 * net0", "resume"). A helper is a second program that lives as long as the first: HELPER_ARG*, HELPER_FD* (like
 * FD_TARGET and in one order with them; the helper has them from descriptor 4 on) and HELPER_PEER (the program's
 * descriptor of a socket pair whose other end is the helper's descriptor 3). */
struct engine_launch {
    struct buf payload;
    int fds[ENGINE_FDS_MAX]; /* not owned: they stay the attachments' */
    size_t n_fds;
    int own_fd; /* one of fds that engine_launch_done closes; -1: none */
    bool needs_kvm_group;
    char note[200]; /* for the task log: which accelerator and why */
};

/* The key `hotplug`: what may change while the guest runs, as bits; without the key disks, interfaces and USB. */
enum engine_hotplug_bit {
    ENGINE_HOTPLUG_DISK = 1 << 0,
    ENGINE_HOTPLUG_NETWORK = 1 << 1,
    ENGINE_HOTPLUG_CPU = 1 << 2,
    ENGINE_HOTPLUG_MEMORY = 1 << 3,
    ENGINE_HOTPLUG_USB = 1 << 4,
    ENGINE_HOTPLUG_CLOUDINIT = 1 << 5,
};
uint32_t engine_hotplug(const struct config_item *config, size_t n);

/* Changes of a running guest. */
enum engine_live {
    ENGINE_PLUG,   /* the drive or interface in vm->disks[0] or vm->nets[0] comes */
    ENGINE_UNPLUG, /* the device of the key goes; vm->disks[0]: the names of its images */
    ENGINE_MEDIUM, /* the drive of the key gets the medium of vm->disks[0], or none (fd -1) */
    ENGINE_LINK,   /* the cable of interface vm->nets[0]: is_link_down */
    ENGINE_LIMIT,  /* the drive of the key gets the limits in vm->disks[0].options */
    ENGINE_RESIZE, /* the disk of the key has size_bytes */
    ENGINE_COUNT,  /* tells what engine->count reads: of "vcpus" or "memory" */
    ENGINE_GROW,   /* one more CPU or module of memory; size_bytes: how many CPUs or MiB there are now */
    ENGINE_SHRINK, /* the last of them goes; vm->memory_mib is what is wanted in the end */
    ENGINE_PROBE,  /* succeeds if the device of the key is there */
    /* Its images (ADR 6), for engines with has_image */
    ENGINE_IMAGES,  /* tells what engine->has_image reads */
    ENGINE_OVERLAY, /* the image in vm->disks[0] is opened, standing on nothing yet */
    ENGINE_SWITCH,  /* the overlays of all vm->disks take over, at one moment */
    /* vm->disks[0]'s image number size_bytes (0: its own; i: below[i - 1]) is closed; fails if it is not open, or in
     * use. What ENGINE_MERGE wrote to, but for the disk's own image, is only read again. */
    ENGINE_LEAVE,
    ENGINE_FORGET, /* that image was closed while the guest stood still; it goes on, and its descriptors go now */
    /* A job begins: that image is brought into the one that it stands on. Descriptors for writing: that one's, and that
     * of the image which stands on it, if there is one (-1: it is open for writing already). */
    ENGINE_MERGE,
    ENGINE_PIVOT,  /* that job, which is ENGINE_JOB_READY, ends: from then on the lower one is written to */
    ENGINE_CANCEL, /* it gives up; both stay what they were */
    /* A job begins: what the guest sees of the disk is copied into the image of vm->disks[0] (its descriptor and
     * format; the names are the source's), at size_bytes a second at most, 0: as fast as it goes. */
    ENGINE_COPY,
    ENGINE_COPY_END,  /* that job, which is ENGINE_JOB_READY, ends: the copy is what the disk is now */
    ENGINE_COPY_DROP, /* the copy is closed, its job forgotten; each may be gone already */
    ENGINE_MOVE,      /* vm->disks[0]'s image, opened by ENGINE_OVERLAY, takes the place of whatever the disk has */
    ENGINE_DISMISS,   /* it is done, and forgotten */
    ENGINE_JOBS,      /* tells what engine->job reads */
    /* Its memory, for engines with `saved` */
    ENGINE_SAVE,        /* begins to write it to the script's descriptor (vm->ram_fd), while the guest runs */
    ENGINE_SAVE_REST,   /* it stands still (ENGINE_SAVE_STILL): what is left */
    ENGINE_SAVE_CANCEL, /* no more of it; the guest is as it was. Also after a daemon's death */
    ENGINE_SAVED,       /* tells what engine->saved reads */
};

/* Of an image of a drive. */
enum engine_place {
    ENGINE_PLACE_NONE, /* it is not open */
    ENGINE_PLACE_OPEN,
    ENGINE_PLACE_TOP, /* what the guest writes to */
};

enum engine_save_state {
    ENGINE_SAVE_RUNNING,
    ENGINE_SAVE_STILL, /* all is written but the last; CPUs stand still, until ENGINE_SAVE_REST */
    ENGINE_SAVE_DONE,  /* and they stand still yet */
    ENGINE_SAVE_FAILED,
};
struct engine_save {
    enum engine_save_state state;
    uint64_t done_bytes, total_bytes;
    char error[160];
};

/* A job on the images of a drive. */
enum engine_job_state {
    ENGINE_JOB_NONE,
    ENGINE_JOB_RUNNING,
    ENGINE_JOB_READY, /* both are the same, and are kept so until ENGINE_PIVOT or ENGINE_CANCEL */
    ENGINE_JOB_DONE,  /* until ENGINE_DISMISS */
};
struct engine_job {
    enum engine_job_state state;
    uint64_t done_bytes, total_bytes;
    char error[160]; /* ENGINE_JOB_DONE: "" for success */
};

/* What the monitor's driver is to do (verb "script"): ARG fields as its page says, and their descriptors. */
struct engine_script {
    struct buf fields;
    int fds[ENGINE_SCRIPT_FDS_MAX]; /* not owned: they stay the attachments' */
    size_t n_fds;
};

struct engine_choice {
    char engine[16];
    char machine[32];
};

struct engine {
    const char *name;   /* "qemu": value of the key `engine` */
    const char *driver; /* name of the monitor driver */
    uint32_t caps;
    /* Can this engine run here at all? 0 or an error with a hint (a missing package). */
    int (*check_host)(const struct engine_host *h, struct err *e);
    /* Resolves what is fixed at creation (machine version) from the configuration. */
    int (*resolve)(const struct engine_host *h, const struct config_item *config, size_t n, struct engine_choice *ret,
                   struct err *e);
    /* Refuses what this engine cannot do, before anything is made: "param.unsupported" with the key named in the text.
     */
    int (*check_config)(const struct engine_host *h, const struct config_item *config, size_t n, struct err *e);
    /* A guest with this value of `vga` (NULL: none given) has a screen that can be looked at. NULL: no guest has. */
    bool (*has_display)(const char *vga);
    /* Builds the launch order; ret is initialised by the callee and freed with engine_launch_done. */
    int (*launch)(const struct engine_host *h, const struct engine_vm *vm, struct engine_launch *ret, struct err *e);
    /* Builds a change of a running guest; NULL: this engine changes none. vm: machine, config and the device at hand.
     * -EOPNOTSUPP "engine.live" for what only a new start can do. ret is initialised by the callee; buf_done on it. */
    int (*live)(const struct engine_vm *vm, enum engine_live what, const char *key, uint64_t size_bytes,
                struct engine_script *ret, struct err *e);
    /* Reads the answer (JSON) to ENGINE_COUNT: CPUs, or MiB. NULL: this engine counts neither. */
    int (*count)(const char *key, const char *answer, size_t n, uint64_t *ret, struct err *e);
    /* Reads the answer to ENGINE_IMAGES: where is the drive's image that stands on this one (engine_disk_on)? on NULL:
     * is there such a drive at all? The function is NULL where images of a running guest stay as they are. */
    int (*has_image)(const char *answer, size_t n, const char *key, const char *on, enum engine_place *ret,
                     struct err *e);
    /* Reads the answer to ENGINE_IMAGES: a change that closes what is open of the drive but no image of it. NULL: disks
     * of its running guests are not copied either (ENGINE_COPY, ENGINE_MOVE). */
    int (*sweep)(const char *answer, size_t n, const struct engine_disk *d, struct engine_script *ret, struct err *e);
    /* Reads the answer to ENGINE_JOBS. NULL: its images are merged when the guest does not run. */
    int (*job)(const char *answer, size_t n, const char *key, struct engine_job *ret, struct err *e);
    /* Reads the answer to ENGINE_SAVED. NULL: snapshots of its guests are without memory. */
    int (*saved)(const char *answer, size_t n, struct engine_save *ret, struct err *e);
};

/* Null-terminated table of table.c. */
extern const struct engine *const engine_table[];
const struct engine *engine_find(const char *name);
/* `auto`, NULL or "" choose by the rules of doc/guide/engines.md. */
MUST_CHECK int engine_choose(const struct engine_host *h, const char *wanted, const struct config_item *config,
                             size_t n, const struct engine **ret, struct err *e);
void engine_launch_done(struct engine_launch *l);
/* "param.unsupported": this engine ("qemu") cannot do what the key asks for. */
int engine_unsupported(struct err *e, const char *engine, const char *key, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* "virtio" and "virtio12": the number, or -1. */
int engine_key_index(const char *key, const char *stem);
const char *config_item_get(const struct config_item *config, size_t n, const char *key);
/* The file of a drive is a cloud-init volume, or asks for one: "local:cloudinit". */
bool engine_is_cloudinit(const char *file);
/* The key `memory`, "2048" or "current=2048"; 512 without it. */
uint64_t engine_memory_mib(const struct config_item *config, size_t n);
/* The key `sockets`, or its older name `smp`. */
uint32_t engine_sockets(const struct config_item *config, size_t n);
/* Free huge pages of this size (2, 1024) on this host, now. Reads a file. */
uint64_t engine_host_free_hugepages(uint32_t page_mib);

#endif
