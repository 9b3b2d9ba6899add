/* Virtual machines as holmd knows them: configuration (a copy of state keys shared/guest/ID), what runs now, and the
 * operations on them. Loop thread; what blocks is done in pool threads inside. */
#ifndef HOLM_GUEST_GUEST_H
#define HOLM_GUEST_GUEST_H

#include "base/json.h"
#include "base/list.h"
#include "engine/engine.h"
#include "guest/snapshots.h"
#include "guest/storages.h"
#include "state/state.h"
#include "task/task.h"
#include "task/workers.h"

struct guest_mgr;

enum guest_state {
    GUEST_STOPPED,
    GUEST_STARTING, /* a monitor is being started or adopted */
    GUEST_RUNNING,
    GUEST_PAUSED,
    GUEST_STOPPING, /* the monitor has ended or lost us; cleaning up */
    GUEST_LOST,     /* something of it still lives that we cannot talk to: never called stopped */
};

struct monitor;

/* Bytes through one tap; round: of the last count that saw it. */
#define GUEST_NICS_MAX 32u
struct guest_nic {
    char name[16];
    uint64_t in, out;
    uint32_t round;
};

struct guest {
    uint32_t vmid;
    char type[8]; /* "qemu" */
    char engine[16], machine[32];
    char uuid[37];
    struct config config;  /* in force */
    struct config pending; /* value "" with a key in it that begins with '!' means: delete that key */
    struct layers layers;
    struct snapshots snapshots;
    char digest[GUEST_DIGEST_SIZE];
    uint64_t revision;
    int64_t ctime_s;
    bool is_dropped; /* its key was deleted while it still ran */
    bool is_still;   /* the state says that somebody held it still (still.c) */
    /* runtime */
    enum guest_state state;
    char qmp_status[24];
    char full_disk[32];     /* it is io-error because this drive's storage was full; "": it is not */
    uint64_t full_since_ms; /* boot time, as the next two */
    uint64_t go_on_next_ms; /* room.c: not before */
    uint32_t n_go_ons;      /* in a row */
    uint32_t pid;
    uint64_t started_boot_ms;
    struct monitor *monitor;
    struct config running; /* the configuration it was started with; empty for an adopted one */
    uint64_t cpu_ticks, cpu_sample_ms, rss_bytes;
    double cpu_fraction; /* of its CPUs */
    uint64_t disk_read, disk_write, net_in, net_out;
    char *blockstats;       /* the hypervisor's last word on its drives, JSON; NULL: none yet */
    bool is_block_asked;    /* it is being asked: one question at a time, however many clients look */
    struct guest_nic *nics; /* GUEST_NICS_MAX of them, by the number of netN; NULL: none was ever counted */
    uint32_t net_round;     /* of the last sample that saw a tap of it */
    uint64_t balloon_bytes, hypervisor_version; /* 7002022: 7.2.22; 0: not known */
    /* summary.c: members of its summary that last, as text */
    char *lasting;
    size_t lasting_len;
    bool is_lasting_of_running, has_lasting_lock;
};

struct guest_env {
    struct event_base *base;
    struct state *state;
    struct pool *pool;
    struct task_mgr *tasks;
    struct storage_mgr *storages;
    const struct engine_host *host;
    const char *root_dir, *node, *guest_program;
    uint32_t instance; /* names taps and cgroups, and its uid range */
};

MUST_CHECK int guest_mgr_new(const struct guest_env *env, struct guest_mgr **ret, struct err *e);
/* The daemon ends: questions to guests have no answer from now on. What was begun with a running guest is left as a
 * kill would leave it, for whoever adopts it. Before task_mgr_abandon, whose tasks free what asked. */
void guest_mgr_abandon(struct guest_mgr *m);
void guest_mgr_free(struct guest_mgr *m);
/* Looks at what runs (run/guest), adopts it or clears it away; writes text copies. done: once, when all is known. */
void guest_mgr_reconcile(struct guest_mgr *m, void (*done)(void *arg), void *arg);
/* After reconcile: starts the guests that start with the host, if the host was booted since the last time; the first
 * after delay_s. */
void guest_mgr_autostart(struct guest_mgr *m, uint32_t delay_s);
const struct guest_env *guest_env(const struct guest_mgr *m);

/* Called on the loop when a guest came, went, changed its configuration or its state; what it reads then may be half
 * done: it is to look when the loop turns. */
void guest_mgr_set_observer(struct guest_mgr *m, void (*fn)(void *arg, uint32_t vmid), void *arg);

struct guest *guest_find(struct guest_mgr *m, uint32_t vmid);
/* 0 or -ENOENT with PVE's text "Configuration file 'nodes/N/qemu-server/ID.conf' does not exist". */
MUST_CHECK int guest_get(struct guest_mgr *m, uint32_t vmid, struct guest **ret, struct err *e);
/* In order of vmid. */
struct guest *guest_at(struct guest_mgr *m, size_t i);
size_t guest_count(struct guest_mgr *m);
/* First number from `from` on that is neither defined nor reserved; 0 if none. */
uint32_t guest_next_id(struct guest_mgr *m, uint32_t from);
/* Keeps a number for a creation that is under way. -EEXIST if taken. */
MUST_CHECK int guest_reserve(struct guest_mgr *m, uint32_t vmid);
void guest_release(struct guest_mgr *m, uint32_t vmid);

const char *guest_name(const struct guest *g);
bool guest_is_running(const struct guest *g);    /* anything but stopped */
const char *guest_status(const struct guest *g); /* "running" or "stopped" */
uint64_t guest_memory_bytes(const struct guest *g);
uint64_t guest_memory_used(const struct guest *g); /* last sample; 0 when it does not run */
uint32_t guest_cpus(const struct guest *g);
uint64_t guest_disk_bytes(const struct guest *g); /* size of the boot disk */
uint64_t guest_uptime_s(const struct guest *g);
/* Value of a key with pending changes applied; NULL if absent. */
const char *guest_config_value(const struct guest *g, const char *key);
/* Configuration with pending changes applied. */
MUST_CHECK int guest_config_wanted(const struct guest *g, struct config *ret);

/* Applies pending to config; a volume of the guest that loses its drive is kept as unusedN. */
MUST_CHECK int guest_config_merge(struct config *config, const struct config *pending, uint32_t vmid);

/* The volume of a drive's value is kept as unusedN, if it is the guest's and nothing names it. */
MUST_CHECK int guest_config_keep(struct config *c, const char *old_value, uint32_t vmid);
/* The size= of a drive's value in bytes; 0 without one. */
uint64_t guest_config_size(const char *value);
/* Writes the size of a volume into each drive's value that names it; a drive without size= gets one. */
MUST_CHECK int guest_config_resize(struct config *c, const struct volume_id *v, uint64_t size_bytes);

/* One object as in GET /cluster/resources; pool: NULL for none. */
void guest_summary_write(struct jw *w, struct guest_mgr *m, struct guest *g, const char *pool);
/* Members of GET status/current and of GET /nodes/N/qemu, inside an open object. */
void guest_status_members(struct jw *w, struct guest_mgr *m, const struct guest *g, bool is_full);

/* What the state keeps of a guest. Nothing here is owned. */
struct guest_record {
    const char *engine, *machine, *uuid;
    int64_t ctime_s;
    const struct config *config, *pending;
    const struct layers *layers;       /* NULL: none */
    const struct snapshots *snapshots; /* NULL: none */
};
/* As it is; valid as long as the guest is and does not change. */
struct guest_record guest_record_of(const struct guest *g);
/* The value of its key. malloc; NULL when out of memory. */
char *guest_value(const char *node, const struct guest_record *r);
/* The same as a transaction that fails if the guest is not at this revision any more; NULL when out of memory. */
struct state_txn *guest_txn(const char *node, uint32_t vmid, uint64_t revision, const struct guest_record *r);

/* Drives. A key like "scsi0"; false for anything else. */
bool guest_is_drive_key(const char *key);
bool guest_is_index_key(const char *key, const char *stem); /* "net3" of "net" */
/* Volume of a drive's or unusedN's value; false for none, cdrom, or a new one that is not made yet. */
bool guest_drive_volume(const char *value, struct volume_id *ret);
bool guest_drive_is_cdrom(const char *value);

/* Operations: each starts a task and gives its UPID. */
struct guest_op {
    uint32_t vmid;
    const char *user;
    uint32_t timeout_s; /* 0: default */
    bool is_forced;     /* shutdown: end it when the time is over; stop: abort running shutdown tasks */
    const char *ram;    /* start: volume with its memory, which it goes on with; NULL: it boots */
};
MUST_CHECK int guest_start(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
MUST_CHECK int guest_stop(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
MUST_CHECK int guest_shutdown(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
MUST_CHECK int guest_reboot(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
MUST_CHECK int guest_reset(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
MUST_CHECK int guest_suspend(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
MUST_CHECK int guest_resume(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);

/* Many guests in their startup order: one task, which starts the tasks of the single ones. */
enum guest_bulk_action { GUEST_BULK_START, GUEST_BULK_SHUTDOWN, GUEST_BULK_SUSPEND };
struct guest_bulk {
    const char *type; /* of the task: "startall" */
    const char *user;
    enum guest_bulk_action action;
    const char *vmids;  /* only these, separated by comma, semicolon or blank; NULL: all */
    bool is_forced;     /* start: also without onboot; shutdown: end those that do not end in time */
    uint32_t workers;   /* at once; 0: one */
    uint32_t timeout_s; /* of a start; of a shutdown for a guest without its own `down`; 0: default */
    uint32_t delay_s;   /* before the first */
};
MUST_CHECK int guest_bulk(struct guest_mgr *m, const struct guest_bulk *o, struct task **ret, struct err *e);

/* One end of a console's byte stream. hello is the line a termproxy client must send; NULL = raw bytes. */
MUST_CHECK int guest_console(struct guest_mgr *m, uint32_t vmid, const char *channel, const char *hello, int *ret_fd,
                             struct err *e);

/* The same for the screen: bytes of RFB, after the viewer has shown this password of at most 8 characters to QEMU. */
MUST_CHECK int guest_viewer(struct guest_mgr *m, uint32_t vmid, const char *password, int *ret_fd, struct err *e);
/* It was started with a screen that can be looked at. */
bool guest_has_display(const struct guest *g);

/* Questions to a running guest (ask.c). fn is called once, on the loop; body: JSON that was checked (or bytes of a
 * file, for "read"), valid during the call only. */
typedef void (*guest_answer_fn)(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e);
/* Is there an agent in the configuration? "enabled=1", "1", with further options. */
bool guest_has_agent(const struct guest *g);
/* Runs a command of the guest agent. arguments: a JSON object of our own making, or NULL; mode: agent_message.h of the
 * monitor. -EINVAL "agent.absent", -ESRCH: fn is not called. */
MUST_CHECK int guest_agent(struct guest_mgr *m, uint32_t vmid, const char *command, const char *arguments,
                           const char *mode, uint32_t limit_ms, guest_answer_fn fn, void *arg, struct err *e);
/* Runs a script of the guest's engine; the script stays the caller's. */
void guest_script(struct guest_mgr *m, uint32_t vmid, const struct engine_script *s, guest_answer_fn fn, void *arg);
/* One command of the hypervisor's control protocol. */
void guest_control(struct guest_mgr *m, uint32_t vmid, const char *command, const char *arguments, guest_answer_fn fn,
                   void *arg);

/* Applies what is pending and can be applied while the guest runs (live.c). The caller holds the configuration
 * (task_hold) until fn is called, once; failed is called for each key that was refused, and may be NULL. */
typedef void (*guest_live_failed_fn)(void *arg, const char *key, const char *text);
typedef void (*guest_live_done_fn)(void *arg, int r, const struct err *e);
void guest_live_apply(struct guest_mgr *m, uint32_t vmid, guest_live_failed_fn failed, guest_live_done_fn fn,
                      void *arg);

/* Brings a configuration in line with what is there: sizes of disks, and devices that came or went just before a crash.
 */
void guest_live_settle(struct guest_mgr *m, uint32_t vmid);

/* Steps of plans: volume.copy, create, delete, fork, freeze, grow, merge, rename, replace, reset,
 * unfreeze. Their ctx: */
struct guest_steps {
    struct storage_mgr *storages;
    struct workers *blocks; /* holm-block; NULL: steps that need it fail */
};
extern const struct task_step_type *const guest_step_types[];
json_t *guest_step_volume_create(const struct volume_id *v, uint64_t size_bytes);
/* Filled with the variables of a firmware (a name of engine/firmware.h). */
json_t *guest_step_volume_template(const struct volume_id *v, uint64_t size_bytes, const char *template);
json_t *guest_step_volume_delete(const struct volume_id *v);
/* rename_step.c: the same image with another owner; never over one that is there. */
json_t *guest_step_volume_rename(const struct volume_id *from, const struct volume_id *to);
json_t *guest_step_volume_grow(const struct volume_id *v, uint64_t size_bytes);
/* `to`, of the same storage, stands on from, or is a copy by reference. */
json_t *guest_step_volume_fork(const struct volume_id *from, const struct volume_id *to);
json_t *guest_step_volume_freeze(const struct volume_id *v, uint32_t layer);
/* Takes volume.freeze back, for a plan that goes on after a crash. */
json_t *guest_step_volume_unfreeze(const struct volume_id *v, uint32_t layer);
/* Back to the layer `from`; what the volume holds until then gets the number `layer`. */
json_t *guest_step_volume_reset(const struct volume_id *v, uint32_t from, uint32_t layer);
/* block_steps.c. `to`, a new image of size_bytes, with what `from` (with its layer's number) holds; below: all that it
 * stands on, uppermost first. Nobody writes to any of them meanwhile. bwlimit: bytes a second, 0: none. NULL when out
 * of memory. */
#define GUEST_IMAGES_MAX 480u /* of a chain, for these two steps */
json_t *guest_step_volume_copy(const struct volume_id *from, const struct volume_id *below, size_t n_below,
                               const struct volume_id *to, uint64_t size_bytes, uint64_t bwlimit);
/* The same from a file of the host (import.h). */
json_t *guest_step_volume_import(const char *path, const struct volume_id *to, uint64_t size_bytes);
/* The layer's only child, another layer of the image or (0) the image itself, is brought into the layer, which then
 * takes its name; below: all that the layer stands on. qcow2 only, and no guest may use either. What is undone holds
 * the same, as two images. */
json_t *guest_step_volume_merge(const struct volume_id *layer, uint32_t child, const struct volume_id *below,
                                size_t n_below);
/* The same where a hypervisor has merged them: the names only. */
json_t *guest_step_volume_replace(const struct volume_id *layer, uint32_t child);

#endif
