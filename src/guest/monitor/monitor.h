/* Inside holm-guest: the one guest that this process runs, and what its files offer each other. One thread. */
#ifndef HOLM_GUEST_MONITOR_MONITOR_H
#define HOLM_GUEST_MONITOR_MONITOR_H

#include "base/err.h"
#include "guest/monitor/channel.h"
#include "guest/monitor/loop.h"
#include "guest/monitor/order.h"
#include "guest/monitor/output.h"
#include "guest/monitor/viewer.h"

#define MONITOR_RECORD_VERSION 1u
#define LINGER_MS              2000u

#define REQUEST_ANSWER_MAX (960u * 1024u) /* of one answer: it fits a frame */
#define REQUEST_FDS_MAX    64u            /* sixteen queues of a tap, each with vhost; the layers of a disk */

struct agent;
struct control;
struct driver;

struct monitor {
    struct loop loop;
    struct order *order;
    int dir_fd, lock_fd, listen_fd;
    uid_t holmd_uid;
    struct control *control;
    struct channel *channels[ORDER_CHANNELS_MAX];
    size_t n_channels, n_clients;
    struct viewers viewers; /* counted in n_clients */
    const struct driver *driver;
    void *driver_state;
    struct agent *agent; /* NULL: the guest has no channel for one */
    /* the hypervisor */
    pid_t pid;
    int pidfd, output_fd;
    uint64_t start_ticks, started_boot_ms;
    pid_t helper_pid; /* 0: none, or ended */
    int helper_pidfd;
    struct output output;
    char state[24];     /* starting running paused shutdown io-error panicked exited, or QEMU's own word */
    char full_disk[32]; /* of state io-error: the drive for which there was no room; "": it has another reason */
    bool is_up;         /* the driver has brought it up */
    bool is_exited;
    bool is_exit_expected; /* we were told to end it */
    int wait_status;
    uint64_t linger_until_ms;
};

/* A command on its way; finished exactly once. */
struct request {
    uint64_t conn; /* 0: the monitor's own */
    uint32_t stream;
    char verb[32], arg[64];
    int fd;             /* goes with the command, stays the caller's; -1 */
    struct buf stats;   /* STAT and BODY fields of the answer */
    struct buf payload; /* what came with the verb: fields of the frame */
    int fds[REQUEST_FDS_MAX];
    size_t n_fds;
    void *ctx; /* of who runs it; gone before request_finish */
    void (*on_done)(struct monitor *m, struct request *rq, int r, const struct err *e); /* of our own requests */
};

/* A row of drivers.c: how one kind of hypervisor is spoken to. */
struct driver {
    const char *name;    /* DRIVER of the launch order */
    const char *channel; /* the channel that is the driver's own */
    /* Takes the monitor's end of that channel (closed on failure, too). */
    int (*open)(struct monitor *m, int fd, struct err *e);
    /* Finishes rq now or later, with a deadline of its own. */
    void (*command)(struct monitor *m, struct request *rq);
    /* The hypervisor has ended, or we do: everything unfinished fails. */
    void (*close)(struct monitor *m);
};
extern const struct driver *const driver_table[]; /* NULL-terminated */
const struct driver *driver_find(const char *name);
extern const struct driver driver_qmp, driver_vmm;

/* control.c: holmd's connections */
MUST_CHECK int control_open(struct monitor *m, int first_fd, struct err *e);
void control_close(struct monitor *m);
bool control_is_drained(const struct monitor *m);
/* GUEST_EVENT to the controller; text may be NULL. */
void control_event(struct monitor *m, const char *event, const char *text);
void request_stat(struct request *rq, const char *name, uint64_t value);
/* What the answer carries besides: -EMSGSIZE when it is too long. */
MUST_CHECK int request_body(struct request *rq, const void *p, size_t n, struct err *e);
void request_finish(struct monitor *m, struct request *rq, int r, const struct err *e);
/* Our own request: verb and argument in one text. NULL when out of memory. */
struct request *request_own(const char *text,
                            void (*on_done)(struct monitor *, struct request *, int, const struct err *));
/* The verb of rq, by the monitor itself or by its driver. */
void request_run(struct monitor *m, struct request *rq);

/* agent.c: the guest's agent behind its channel. */
MUST_CHECK int agent_open(struct monitor *m, struct channel *c, struct err *e);
void agent_command(struct monitor *m, struct request *rq);
/* The hypervisor has ended, or we do: everything unfinished fails. */
void agent_close(struct monitor *m);

/* child.c */
MUST_CHECK int child_start(struct monitor *m, struct err *e);
void child_kill(struct monitor *m);
/* helper.c: the second program. Its other end of the pair goes to ret_peer, -1 without a helper. */
MUST_CHECK int helper_start(struct monitor *m, int output_fd, int *ret_peer, struct err *e);
/* Reads what is left of its output. */
void child_drain_output(struct monitor *m);

/* record.c: files in the run folder */
MUST_CHECK int record_write_monitor(const struct monitor *m, struct err *e);
void record_write_exit(const struct monitor *m, const char *text);

void monitor_set_state(struct monitor *m, const char *state);
/* Exit code, or 128 + signal. */
uint32_t monitor_exit_status(const struct monitor *m);

#endif
