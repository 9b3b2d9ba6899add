/* Inside the task folder: the manager's and a task's bodies. */
#ifndef HOLM_TASK_TASK_PRIV_H
#define HOLM_TASK_TASK_PRIV_H

#include "task/task.h"

#define TASK_FINISHED_KEPT 1000u /* remembered in memory */
#define TASK_ACTIVE_MAX    4096u /* queued and running */

enum task_phase { TASK_QUEUED, TASK_RUNNING, TASK_ENDED };

struct task {
    struct list_node node; /* in mgr->active or mgr->finished */
    struct task_mgr *mgr;
    struct upid upid;
    char text[UPID_MAX];
    enum task_phase phase;
    uint32_t vmid;
    bool is_overtaking, is_cancelling, is_aborting;
    bool is_yielding; /* running, but waits for the configuration: plans pass it */
    int64_t endtime;
    char *status;
    char error_code[48];
    char *error_hint;
    unsigned n_warnings;
    char progress_phase[48];
    uint64_t done_bytes, total_bytes;
    /* plan */
    json_t *steps;
    enum plan_direction direction;
    struct state_txn *initial, *final;
    json_t *final_deletes;
    char record_key[96];
    size_t next_step;
    int result;
    struct err err;
    bool is_journalled; /* the entry is on disk */
    void (*accepted)(void *arg, int r, const struct err *e);
    void *accepted_arg;
    bool is_cancelled, is_committing;
    char abort_reason[200]; /* "" until somebody stops it */
    void (*when_ended)(void *arg, int r, const struct err *e);
    void *when_ended_arg;
    void (*before)(struct task *t, void *arg);
    void (*between)(struct task *t, void *arg);
    void (*after)(struct task *t, void *arg);
    bool is_between, is_committed;
    bool is_recovered;     /* continued from the journal of an earlier life */
    bool is_counted;       /* nobody waits for its recovery any more */
    struct step_run *step; /* that runs or is taken back now */
    /* live */
    void (*begin)(struct task *t, void *arg);
    void (*abort)(struct task *t, void *arg);
    int (*cancel)(struct task *t, void *arg, struct err *e);
    void (*ended)(struct task *t, void *arg, int r, const struct err *e);
    void *arg;
};

struct task_log; /* files: log.c */

struct task_mgr {
    struct event_base *base;
    struct state *state;
    struct pool *pool;
    struct task_log *log;
    char node[64];
    uint64_t pstart;
    uint32_t next_pid;
    struct list_node active, finished;
    size_t n_active, n_finished;
    struct list_node waiters; /* task_when_unlocked */
    struct list_node holds;
    struct event *waiter_timer;
    const struct task_step_type *const *step_types;
    void *step_ctx;
    struct pool *long_pool; /* of long steps; NULL: none ran yet */
    bool is_recovering, is_abandoned, is_stopping;
    size_t n_recovering;
    void (*recovered)(void *arg);
    void *recovered_arg;
    json_t *written_ends; /* marks below local/ended/ that are of no more use; the next plan's commit takes them away */
    void (*observer)(void *arg, const struct task_view *v);
    void *observer_arg;
    void (*listener)(void *arg, const struct task_view *v);
    void *listener_arg;
};

/* task.c, for plan.c */
struct task *task_alloc(struct task_mgr *m);
void task_free(struct task *t);
void task_finish(struct task *t, int r, const struct err *e);
/* Its end in the index of tasks and in its log, from t->status. */
void task_write_end(struct task *t, int r);
/* The journal entry is written, or cannot be: tells who waits for that. */
void task_tell_accepted(struct task *t, int r, const struct err *e);
/* Runs a queued task if nothing is in its way. */
void task_try_run(struct task *t);

/* cancel.c */
int task_cancel_error(const struct task *t, struct err *e);

/* plan.c */
void plan_write_journal(struct task *t); /* then task_tell_accepted, and task_try_run or task_finish */
void plan_begin(struct task *t);
/* It waits for its turn and is not to have it. */
void plan_give_up(struct task *t);
/* This plan was committed when the last daemon died, which did not come to write down its end. */
void plan_recover_end(struct task_mgr *m, const char *upid, const char *status);
void plan_recover_entry(struct task_mgr *m, const char *upid, const char *json);
const struct task_step_type *plan_step_find(struct task_mgr *m, const char *name);
/* The fail point TYPE.BEFORE INDEX AFTER. */
bool plan_fp_step(const struct task *t, const char *before, size_t index, const char *after);

/* step.c: one step in a thread; what came of it is told on the loop. */
typedef void (*step_done_fn)(struct task *t, size_t index, bool is_undo, int r, const struct err *e);
int step_submit(struct task *t, size_t index, bool is_undo, step_done_fn done, struct err *e);
/* Its task is stopped: the step is told, if it listens. */
void step_abort(struct task *t);

/* log.c: appends and reads files through a serial queue. */
int task_log_open(struct event_base *base, const char *root_dir, struct task_log **ret, struct err *e);
void task_log_close(struct task_log *l);
void task_log_append(struct task_log *l, const char *upid, const char *line);
void task_log_index(struct task_log *l, const char *line);
/* Calls fn for each line of the index; blocking, at start. */
int task_log_load_index(struct task_log *l, void (*fn)(void *arg, char *line), void *arg, struct err *e);
int task_log_rewrite_index(struct task_log *l, const struct buf *lines, struct err *e);
void task_log_remove(struct task_log *l, const char *upid);
int task_log_lines(struct task_log *l, const char *upid, uint64_t start, uint64_t limit,
                   void (*done)(void *arg, int r, const char *text, size_t n, uint64_t total, const struct err *e),
                   void *arg, struct err *e);

#endif
