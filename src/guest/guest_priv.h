/* Inside the guest folder. */
#ifndef HOLM_GUEST_GUEST_PRIV_H
#define HOLM_GUEST_GUEST_PRIV_H

#include "guest/chain.h"
#include "guest/cpu_models.h"
#include "guest/guest.h"
#include "link/link_event.h"

#define GUESTS_MAX     32768u
#define GUEST_SLOTS    65536u
#define GUEST_UID_BASE 0x40000000u
#define STILL_KEY      "local/still/"

struct guest_mgr {
    struct guest_env env;
    struct guest **guests; /* by vmid */
    size_t n, cap;
    uint32_t *reserved;
    size_t n_reserved;
    struct state_watch *watch, *still_watch;
    struct cpu_models *cpu_models;
    struct pool *text_queue; /* one thread: text copies in order */
    int text_dirfd;          /* DIR/etc/nodes/NODE/qemu-server */
    size_t n_early_texts;    /* written before is_text_settled, at the start */
    bool is_text_settled;
    int run_dirfd;        /* DIR/run/guest */
    uint8_t *uid_slots;   /* bit per slot: in use */
    char cgroup_dir[512]; /* where guest cgroups are made, "" = none */
    struct event *sampler;
    bool is_counting; /* a job of counters.c is under way */
    uint32_t net_round;
    /* reconcile */
    struct list_node adoptions; /* struct adopt of reconcile.c */
    size_t n_reconciling;
    bool is_reconciling;
    void (*reconciled)(void *arg);
    void *reconciled_arg;
    struct list_node waiters; /* of lifecycle tasks: see lifecycle.c */
    void (*observer)(void *arg, uint32_t vmid);
    void *observer_arg;
};

/* A running monitor, from the daemon's side. */
struct monitor {
    struct guest_mgr *mgr;
    uint32_t vmid;
    pid_t pid; /* holm-guest */
    int pidfd;
    struct event *exit_event;
    struct link_event *link;
    unsigned char cookie[32];
    uint32_t uid_slot;
    bool is_child; /* we started it: wait for it */
    bool is_settled;
    uint32_t next_stream;
    struct list_node commands; /* waiting for GUEST_RESULT */
    char last_text[200];       /* last "failed" or "exited" explanation */
    bool is_exit_known;
    uint32_t exit_status;
};

/* model.c */
struct guest *guest_add(struct guest_mgr *m, uint32_t vmid);
void guest_drop(struct guest_mgr *m, struct guest *g);

/* summary.c: after every change of what a guest is configured or runs with. */
void guest_summary_forget(struct guest *g);
/* Tells the observer: its summary may be another now, or it came or went. */
void guest_tell(struct guest_mgr *m, uint32_t vmid);

/* text.c: the copies under DIR/etc, written in order by one thread. */
void guest_text_write(struct guest_mgr *m, const struct guest *g);
void guest_text_remove(struct guest_mgr *m, uint32_t vmid);
int guest_text_reconcile(struct guest_mgr *m, struct err *e);

/* rundir.c: blocking. */
int rundir_make(struct guest_mgr *m, uint32_t vmid, uint32_t uid, int *ret_dirfd, int *ret_lock_fd, struct err *e);
/* Waits until nobody holds the lock (at most timeout_ms), then removes folder and cgroup. -EBUSY when still held. */
int rundir_clear(struct guest_mgr *m, uint32_t vmid, uint32_t timeout_ms, struct err *e);
struct rundir_record {
    pid_t pid;
    uint64_t start_ticks;
    unsigned char cookie[32];
    uint32_t uid;
};
/* 0; -ENOENT: no record yet or any more. */
int rundir_read(struct guest_mgr *m, uint32_t vmid, struct rundir_record *ret, struct err *e);
bool rundir_is_locked(struct guest_mgr *m, uint32_t vmid);
/* Connects to the monitor's socket. */
int rundir_connect(struct guest_mgr *m, uint32_t vmid, int *ret_fd, struct err *e);
/* The guest's cgroup.procs for joining; "" when the host has no usable hierarchy. */
int rundir_cgroup(struct guest_mgr *m, uint32_t vmid, char *procs, size_t cap, struct err *e);
void rundir_cgroup_kill(struct guest_mgr *m, uint32_t vmid);
void rundir_find_cgroup_base(struct guest_mgr *m);
/* The daemon ends: the folder goes, unless guests are in it. */
void rundir_leave_cgroup_base(struct guest_mgr *m);

/* monitor.c */
typedef void (*monitor_result_fn)(void *arg, int r, const void *payload, size_t n, const struct err *e);
int monitor_attach(struct guest_mgr *m, struct guest *g, int link_fd, pid_t pid, int pidfd,
                   const unsigned char cookie[32], uint32_t uid_slot, bool is_child, struct err *e);
void monitor_free(struct monitor *mon);
/* The daemon ends: nobody who waits for an answer gets one, and so does nothing more to the guest. */
void monitor_abandon(struct monitor *mon);
/* Sends a verb; fn is called once with the answer, or with -EPIPE when the monitor goes. fn may be NULL. */
void monitor_command(struct monitor *mon, const char *verb, monitor_result_fn fn, void *arg);
struct monitor_console {
    const char *channel, *hello; /* hello NULL: raw bytes */
    const char *password;        /* not NULL: a viewer of the screen */
};
MUST_CHECK int monitor_console(struct monitor *mon, const struct monitor_console *what, int fd, struct err *e);
/* The same with fields and descriptors (the caller keeps his own). */
void monitor_call(struct monitor *mon, const char *verb, const struct buf *fields, const int *fds, size_t n_fds,
                  monitor_result_fn fn, void *arg);
void monitor_hello(struct monitor *mon);

/* lifecycle.c */
void guest_state_changed(struct guest_mgr *m, struct guest *g, const char *event, const char *text);
/* As guest_resume, if it still waits for room then. */
MUST_CHECK int guest_go_on(struct guest_mgr *m, const struct guest_op *op, struct task **ret, struct err *e);
/* room.c: every few seconds. */
void guest_room_look(struct guest_mgr *m);
/* launch.c: the blocking half of a start. */
struct launch_result {
    int control_fd, pidfd;
    pid_t pid;
    unsigned char cookie[32];
    char note[200];
    char warning[200]; /* what the guest runs without, "" */
};
struct launch_job {
    struct guest_mgr *mgr;
    uint32_t vmid;
    uint32_t uid_slot;
    const struct engine *engine;
    char engine_machine[32], uuid[37];
    char *cpu_model; /* what the custom model of its `cpu` stands for, or NULL */
    struct config config;
    struct chains chains;
    char ram[VOLUME_ID_MAX + 1]; /* volume of its memory; "": it boots */
    struct launch_result result;
    int r;
    struct err err;
    struct task *task;
};
void launch_run(void *job); /* pool thread */
void launch_job_free(struct launch_job *j);

/* counters.c */
void guest_counters_sample(struct guest_mgr *m);

/* The drive, interface or USB device of one key, opened; blocking. Descriptors are the caller's. */
struct launch_device {
    struct engine_disk disk;
    struct engine_net net;
    struct engine_usb usb;
};
int launch_device(struct guest_mgr *m, uint32_t vmid, uint32_t uid_slot, const struct config_item *it,
                  const struct chains *chains, struct launch_device *ret, struct err *e);

/* The same of a drive, without opening anything: its key, place and names of images. False for what is no drive. */
bool launch_drive(const struct config_item *it, struct engine_disk *ret);
/* The name of what of it stands on nothing: two volumes of one drive have the same once in 3.9 million pairs, which a
 * move then refuses. */
void launch_origin(const struct volume_id *v, struct engine_disk *d);

/* bulk.c: how long a shutdown may take by the key `startup`; 0: it does not say */
uint32_t guest_down_s(const struct guest *g);

/* still.c: an adopted guest that was held still is woken; at once for another one. */
void still_settle(struct guest_mgr *m, uint32_t vmid, guest_live_done_fn fn, void *arg);

/* uid slots */
int guest_uid_take(struct guest_mgr *m, uint32_t *ret_slot);
void guest_uid_mark(struct guest_mgr *m, uint32_t slot, bool is_used);
uint32_t guest_uid(const struct guest_mgr *m, uint32_t slot);

/* reconcile.c */
/* An adopted guest has told its status: nothing of it is unknown any more. */
void guest_adopted(struct guest_mgr *m, uint32_t vmid);
void guest_adoptions_free(struct guest_mgr *m);           /* the daemon ends */
void guest_cleanup(struct guest_mgr *m, struct guest *g); /* after the monitor's end */
#endif
