/* Tasks: what the API starts and reports with a UPID. A task lives on the loop thread; what blocks runs in pool
 * threads.
 *
 * Two kinds. A plan changes what must not be lost or leaked (volumes, configuration): its steps and their undo are
 * written to the journal (local/journal/UPID) as soon as the task is accepted, the final state change is one
 * transaction with the end of the journal entry, and after a crash it is undone or finished before anything else
 * starts. A live task (start, stop, …) changes what is ephemeral and is not journalled: after a crash, reconcile looks
 * at the world.
 *
 * Tasks of one guest run one after the other (FIFO); one that overtakes runs at once and aborts what can be aborted. A
 * plan passes live tasks that have not begun, for it holds the configuration from the moment it is accepted.
 * Every task has a log file DIR/var/tasks/X/UPID, one line per event, ended by TASK OK, TASK WARNINGS: n or TASK ERROR:
 * text, as Proxmox VE writes it. */
#ifndef HOLM_TASK_TASK_H
#define HOLM_TASK_TASK_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "state/state.h"

#define UPID_MAX 256u

struct event_base;
struct pool;
struct task_mgr;
struct task;

/* UPID:NODE:PID:PSTART:START:TYPE:ID:USER: */
struct upid {
    char node[64];
    uint32_t pid;    /* a counter of this daemon's life */
    uint64_t pstart; /* the daemon's start time in clock ticks since boot */
    int64_t starttime;
    char type[32];
    char id[64];
    char user[140]; /* user@realm or user@realm!token */
};
MUST_CHECK int upid_parse(const char *text, struct upid *ret);
void upid_format(const struct upid *u, char *dst, size_t cap);

/* A step of a plan. Both functions run in a pool thread, block, and must be idempotent: after a crash run may be
 * repeated (forward plans) and undo may come without run, or after half of it. mark is the UPID: what run makes carries
 * it, and undo touches only what carries it. */
struct task_step_type {
    const char *name; /* "volume.create" */
    int (*run)(void *ctx, json_t *args, const char *mark, struct err *e);
    int (*undo)(void *ctx, json_t *args, const char *mark, struct err *e); /* NULL: nothing to undo */
    /* run may take hours: it has threads of its own, tells its progress, gives up when it is to, and neither the start
     * nor the end of the daemon waits for it. */
    bool is_long;
};

/* For the run of a long step, in its thread; elsewhere they do nothing. Progress costs next to nothing: the loop looks
 * at it twice a second. */
void task_step_progress(uint64_t done_bytes, uint64_t total_bytes);
/* Readable when somebody has stopped the task: the step is to end soon, with -ECANCELED. -1: none. */
int task_step_abort_fd(void);

enum plan_direction {
    PLAN_UNDO,    /* a crash or error takes everything back (create) */
    PLAN_FORWARD, /* a crash goes on to the end (delete) */
};

struct task_spec {
    const char *type; /* "qmcreate" */
    const char *id;   /* "100" or "" */
    const char *user; /* who, as in the UPID */
    uint32_t vmid;    /* queue; 0 = no queue */
    bool is_overtaking;
    bool is_cancelling; /* one that overtakes: a plan that is at `between` is stopped, too, and waited for */
    /* Plan: steps is an array of {"step":NAME,"args":{…}}, referenced. final is taken. */
    json_t *steps;
    enum plan_direction direction;
    struct state_txn *final;
    struct state_txn *initial; /* committed together with the journal entry; taken */
    json_t *final_deletes;     /* forward plans: the same deletes as keys, for the journal */
    const char *record_key;    /* plan, may be NULL or "": this key gets {"at","data":UPID} with the journal entry */
    /* Plan, all may be NULL: `before` runs on the loop ahead of the first step, `between` behind the last one and ahead
     * of the commit, `after` behind that, while the task still runs; each ends with task_go_on. What fails in `between`
     * undoes the steps; what fails in `after` is how the task ends, but nothing is undone. None runs for a plan that an
     * earlier life of the daemon began. `between` is for plans that are undone, and looks at task_is_cancelled. */
    void (*before)(struct task *t, void *arg);
    void (*between)(struct task *t, void *arg);
    void (*after)(struct task *t, void *arg);
    /* Live: begin runs on the loop when it is this task's turn and ends with task_end. */
    void (*begin)(struct task *t, void *arg);
    /* Another task overtakes: give up soon, through task_end. NULL: cannot be aborted. */
    void (*abort)(struct task *t, void *arg);
    /* Somebody asks that it be stopped (task_cancel): 0, and it ends through task_end, or why it cannot. NULL: as
     * abort. */
    int (*cancel)(struct task *t, void *arg, struct err *e);
    /* The end, after the log's last line was queued; r and e are the result. Also frees arg. May be NULL. */
    void (*ended)(struct task *t, void *arg, int r, const struct err *e);
    void *arg;
};

MUST_CHECK int task_mgr_new(struct event_base *base, struct state *s, struct pool *pool, const char *root_dir,
                            const char *node, struct task_mgr **ret, struct err *e);
/* The daemon is about to end: a long step that fails from now on, for it was cut off, leaves its plan to the journal.
 */
void task_mgr_stop(struct task_mgr *m);
/* As pool_drain, of the threads of long steps. */
bool task_mgr_drain(struct task_mgr *m);
/* The daemon ends: whoever waits for a task or an unlock is told so, nothing is written. Before what they use goes. */
#define TASK_DAEMON_ENDING "daemon.ending" /* code of the error that `ended` gets then */
void task_mgr_abandon(struct task_mgr *m);
void task_mgr_free(struct task_mgr *m);
/* Which steps exist; ctx is handed to them. Before task_mgr_recover. */
void task_mgr_set_steps(struct task_mgr *m, const struct task_step_type *const *types, void *ctx);
/* Finishes or undoes what the journal holds; done runs on the loop when the journal is empty, but for plans that go on
 * with a long step: those keep their guest locked. */
void task_mgr_recover(struct task_mgr *m, void (*done)(void *arg), void *arg);
bool task_mgr_is_recovering(struct task_mgr *m);

/* Takes spec's initial and final, and references; on error too. ret (may be NULL) is valid until the task ends. */
MUST_CHECK int task_start(struct task_mgr *m, const struct task_spec *spec, struct task **ret, struct err *e);
/* Runs fn on the loop when the task is accepted for good: a plan when its journal entry is on disk (r < 0: it could not
 * be written, and the task ends with that error), a live task at once. Once for a task. A UPID that a client has seen
 * before that may be gone after a crash. */
void task_when_accepted(struct task *t, void (*fn)(void *arg, int r, const struct err *e), void *arg);
bool task_is_accepted(const struct task *t);
const char *task_upid(const struct task *t);
void *task_arg(const struct task *t);
uint32_t task_vmid(const struct task *t);
void task_log(struct task *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void task_warn(struct task *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void task_progress(struct task *t, const char *phase, uint64_t done_bytes, uint64_t total_bytes);
/* Ends `before`, `between` or `after` of a plan: r = 0 or the error. */
void task_go_on(struct task *t, int r, const struct err *e);
/* Somebody asked that this plan be stopped. */
bool task_is_cancelled(const struct task *t);
/* Ends a live task: r = 0 or the error. */
void task_end(struct task *t, int r, const struct err *e);

/* Runs fn on the loop when the task has ended, after its own `ended`; NULL takes that back. One for a task, which has
 * not ended yet. */
void task_when_ended(struct task *t, void (*fn)(void *arg, int r, const struct err *e), void *arg);
/* Stops a task that runs or waits; one that has ended is left alone. A plan that can be undone is, after the step it is
 * at; what goes on after a crash (a deletion) goes on here too. -EBUSY "task.unstoppable" for what cannot be stopped,
 * -ENOENT if there is no such task. The task's end may come later. */
MUST_CHECK int task_cancel(struct task_mgr *m, const char *upid, const char *user, struct err *e);
/* Why a live task is aborted or cancelled, for its error. */
const char *task_abort_reason(const struct task *t);

/* Name of the journalled task or hold that has the guest's configuration now ("create", "destroyed", "config"), or
 * NULL. */
const char *task_guest_lock(struct task_mgr *m, uint32_t vmid);
/* Keeps everybody else from the guest's configuration between planning a change and committing it: task_guest_lock
 * shows it, task_when_unlocked waits for its release. Only when nothing holds the guest now; NULL when out of memory.
 */
struct task_hold;
struct task_hold *task_hold(struct task_mgr *m, uint32_t vmid, const char *name);
void task_hold_release(struct task_hold *h);
/* Runs fn on the loop as soon as no journalled task holds the guest; after timeout_ms with -EBUSY "guest.locked" and
 * text "VM is locked (X)". */
void task_when_unlocked(struct task_mgr *m, uint32_t vmid, uint32_t timeout_ms,
                        void (*fn)(void *arg, int r, const struct err *e), void *arg);
/* The same for a running live task and its own guest. Plans that are queued behind it run meanwhile: it may be one of
 * them that it waits for. */
void task_wait_unlocked(struct task *t, uint32_t timeout_ms, void (*fn)(void *arg, int r, const struct err *e),
                        void *arg);
/* A task of this type of this guest is queued or running. */
bool task_guest_has(struct task_mgr *m, uint32_t vmid, const char *type);

/* What the API shows of a task. */
struct task_view {
    struct upid upid;
    const char *text; /* the UPID */
    bool is_running;
    int64_t endtime;
    const char *status; /* "OK", "WARNINGS: n" or the error; NULL while running */
    const char *phase;  /* "" */
    uint64_t done_bytes, total_bytes;
    const char *error_code, *error_hint;
    bool is_dropped; /* set by task_each's callback to stop */
};
/* Called on the loop when a task has ended and what it committed is in force. */
void task_mgr_set_observer(struct task_mgr *m, void (*fn)(void *arg, const struct task_view *v), void *arg);
/* The same also when a task was made; its guest's lock may be another after either. */
void task_mgr_set_listener(struct task_mgr *m, void (*fn)(void *arg, const struct task_view *v), void *arg);
/* Newest first: running ones, then the finished ones that are remembered. fn returns false to stop. */
void task_each(struct task_mgr *m, bool (*fn)(void *arg, const struct task_view *v), void *arg);
/* False if unknown. */
bool task_find(struct task_mgr *m, const char *upid, struct task_view *ret);
/* Lines of the log from `start` (0-based), at most limit (0 = all); calls done on the loop with the text of those lines
 * (newline-separated) and the number of lines in the file. Blocks nowhere. */
MUST_CHECK int task_log_read(struct task_mgr *m, const char *upid, uint64_t start, uint64_t limit,
                             void (*done)(void *arg, int r, const char *text, size_t n, uint64_t total,
                                          const struct err *e),
                             void *arg, struct err *e);

#endif
