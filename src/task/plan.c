/* Plans: the journal around the steps of a task that changes durable things.
 *
 *     journal written (+ initial change) -> the guest's queue -> step 0 … step n-1 -> one commit: final change +
 * journal removed
 *
 * An error undoes the steps in reverse and removes the journal. After a crash the entry is found: an undo plan undoes
 * every step (they are idempotent and touch only what carries the task's mark), a forward plan runs every step again
 * and commits. If the journal cannot be removed (disk full), that is tried again until it can: the guest stays locked.
 * Fail points: TYPE.begin, TYPE.N, TYPE.N.done, TYPE.commit, TYPE.committed, TYPE.undo.N, TYPE.recover. */
#include <event2/event.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/log.h"
#include "task/task_priv.h"

#define RETRY_MS 2000u

static void run_step(struct task *t);
static void undo_step(struct task *t, size_t index);
static void drop_journal(struct task *t);

static bool plan_fp(const struct task *t, const char *point)
{
    char name[64];

    if (!fp_is_armed)
        return false;
    snprintf(name, sizeof(name), "%s.%s", t->upid.type, point);
    return fp_hit(name);
}

bool plan_fp_step(const struct task *t, const char *before, size_t index, const char *after)
{
    char point[32];

    if (!fp_is_armed)
        return false;
    snprintf(point, sizeof(point), "%s%zu%s", before, index, after);
    return plan_fp(t, point);
}

const struct task_step_type *plan_step_find(struct task_mgr *m, const char *name)
{
    for (size_t i = 0; name && m->step_types && m->step_types[i]; i++)
        if (streq(m->step_types[i]->name, name))
            return m->step_types[i];
    return NULL;
}

static const char *step_name(json_t *step)
{
    return json_string_value(json_object_get(step, "step"));
}

static void journal_key(const struct task *t, char *dst, size_t cap)
{
    snprintf(dst, cap, "local/journal/%s", t->text);
}

static char *journal_value(const struct task *t)
{
    json_t *j = json_pack("{s:i, s:i, s:s, s:O}", "format", 1, "vmid", (int)t->vmid, "direction",
                          t->direction == PLAN_FORWARD ? "forward" : "undo", "steps", t->steps);

    if (j && t->final_deletes)
        json_object_set(j, "final-deletes", t->final_deletes);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

/* A long step that was cut off because the daemon ends: the next one finds the plan in the journal. */
static bool is_left_to_journal(const struct task *t, size_t index)
{
    const struct task_step_type *type = plan_step_find(t->mgr, step_name(json_array_get(t->steps, index)));

    return t->mgr->is_stopping && type && type->is_long;
}

static void fail_step(struct task *t, int r, const struct err *e)
{
    if (t->result < 0)
        return;
    t->result = r;
    t->err = *e;
    if (r == -ECANCELED && t->is_cancelled)
        t->result = task_cancel_error(t, &t->err);
}

static void step_done(struct task *t, size_t index, bool is_undo, int r, const struct err *e)
{
    if (r < 0 && !is_undo && is_left_to_journal(t, index))
        return;
    if (r < 0 && is_undo)
        task_warn(t, "undo of step %zu: %s", index, e->text);
    if (r < 0 && !is_undo)
        fail_step(t, r, e);
    if (is_undo)
        index > 0 ? undo_step(t, index - 1) : drop_journal(t);
    else if (r == 0)
        run_step(t);
    else if (t->direction == PLAN_UNDO)
        undo_step(t, index);
    else
        drop_journal(t); /* forward plans can be repeated by the user: what is done is done */
}

/* Nobody waits any more for the recovery of this one. */
static void count_recovered(struct task *t)
{
    struct task_mgr *m = t->mgr;

    if (t->is_counted)
        return;
    t->is_counted = true;
    if (--m->n_recovering == 0) {
        m->is_recovering = false;
        m->recovered(m->recovered_arg);
    }
}

static void submit(struct task *t, size_t index, bool is_undo)
{
    const struct task_step_type *type = plan_step_find(t->mgr, step_name(json_array_get(t->steps, index)));
    struct err e = ERR_INIT;

    if (step_submit(t, index, is_undo, step_done, &e) < 0) {
        /* Nothing was started: end here, the journal brings the rest at the next start. */
        err_set(&e, -EAGAIN, "host.busy", "too much work is waiting");
        task_finish(t, e.num, &e);
    } else if (t->is_recovered && !is_undo && type && type->is_long) {
        count_recovered(t);
    }
}

static void undo_step(struct task *t, size_t index)
{
    submit(t, index, true);
}

/* The commit that ends a plan also says so, with the status it has then: a daemon that dies before the index of tasks
 * has its end must not tell afterwards that the plan was interrupted. The mark goes with a later plan's commit. */
static void mark_end(struct state_txn *txn, const struct task *t)
{
    struct task_mgr *m = t->mgr;
    char key[UPID_MAX + 32], status[32] = "OK";
    const char *written;

    if (t->result < 0)
        return;
    for (size_t i = 0; (written = json_string_value(json_array_get(m->written_ends, i))); i++)
        state_txn_delete(txn, written);
    json_array_clear(m->written_ends);
    if (t->n_warnings)
        snprintf(status, sizeof(status), "WARNINGS: %u", t->n_warnings);
    snprintf(key, sizeof(key), "local/ended/%s", t->text);
    state_txn_put(txn, key, status);
}

static void end_is_written(const struct task *t)
{
    char key[UPID_MAX + 32];

    snprintf(key, sizeof(key), "local/ended/%s", t->text);
    (void)json_array_append_new(t->mgr->written_ends, json_string(key));
}

void plan_recover_end(struct task_mgr *m, const char *upid, const char *status)
{
    LIST_FOREACH(t, &m->finished, struct task, node)
    if (streq(t->text, upid)) {
        if (!t->status) {
            t->status = strdup(status);
            t->n_warnings = str_starts(status, "WARNINGS") ? 1 : 0;
            t->endtime = clock_wall_s();
            task_write_end(t, 0);
        }
        end_is_written(t);
        return;
    }
}

/* All steps have been run. */
static void fail_at_end(struct task *t, int r, const struct err *e)
{
    t->result = r;
    t->err = *e;
    if (t->direction == PLAN_UNDO && json_array_size(t->steps) > 0)
        undo_step(t, json_array_size(t->steps) - 1);
    else
        drop_journal(t);
}

static void on_final(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct task *t = arg;

    if (r == 0) {
        if (plan_fp(t, "committed"))
            task_log(t, "fail point after the commit");
        end_is_written(t);
        t->is_committed = true;
        if (t->after)
            t->after(t, t->arg);
        else
            task_finish(t, 0, &t->err);
        return;
    }
    fail_at_end(t, r, e);
}

static void commit_final(struct task *t)
{
    char key[UPID_MAX + 32];
    struct state_txn *txn = TAKE_PTR(t->final);

    if (!txn)
        txn = state_txn_new();
    t->is_committing = true;
    journal_key(t, key, sizeof(key));
    if (txn) {
        const char *deleted;
        for (size_t i = 0; (deleted = json_string_value(json_array_get(t->final_deletes, i))); i++)
            state_txn_delete(txn, deleted);
        state_txn_delete(txn, key);
        mark_end(txn, t);
    }
    if (plan_fp(t, "commit")) {
        struct err e = ERR_INIT;
        state_txn_free(txn);
        on_final(t, err_set(&e, -EIO, NULL, "fail point"), 0, &e);
        return;
    }
    state_commit(t->mgr->state, txn, on_final, t);
}

/* Somebody asked for the end: what was done is taken back. */
static void back_out(struct task *t)
{
    t->result = task_cancel_error(t, &t->err);
    if (t->next_step > 0)
        undo_step(t, t->next_step - 1);
    else
        drop_journal(t);
}

void plan_give_up(struct task *t)
{
    t->phase = TASK_RUNNING;
    back_out(t);
}

static void run_step(struct task *t)
{
    if (t->is_cancelled && t->direction == PLAN_UNDO) {
        back_out(t);
        return;
    }
    if (t->next_step == json_array_size(t->steps) && t->between && !t->is_between && !t->is_recovered) {
        t->is_between = true;
        t->between(t, t->arg);
        return;
    }
    if (t->next_step == json_array_size(t->steps)) {
        commit_final(t);
        return;
    }
    json_t *step = json_array_get(t->steps, t->next_step);
    autofree char *args = json_dumps(json_object_get(step, "args"), JSON_COMPACT | JSON_SORT_KEYS);
    task_log(t, "step %zu %s %s", t->next_step, step_name(step), args ? args : "");
    submit(t, t->next_step++, false);
}

/* It is this plan's turn. */
void plan_begin(struct task *t)
{
    if (plan_fp(t, "begin")) {
        t->result = err_set(&t->err, -EIO, NULL, "fail point");
        drop_journal(t);
        return;
    }
    if (t->before)
        t->before(t, t->arg);
    else
        run_step(t);
}

void task_go_on(struct task *t, int r, const struct err *e)
{
    if (t->is_committed) {
        task_finish(t, r, e);
        return;
    }
    if (r < 0 && t->is_between) {
        fail_at_end(t, r, e);
        return;
    }
    if (r < 0) {
        t->result = r;
        t->err = *e;
        drop_journal(t);
        return;
    }
    run_step(t);
}

bool task_is_cancelled(const struct task *t)
{
    return t->is_cancelled;
}

static void on_journal_written(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct task *t = arg;

    t->is_journalled = r == 0;
    task_tell_accepted(t, r, e);
    if (r < 0) /* nothing was begun */
        task_finish(t, r, e);
    else if (t->is_cancelled)
        plan_give_up(t);
    else
        task_try_run(t);
}

void plan_write_journal(struct task *t)
{
    char key[UPID_MAX + 32];
    autofree char *value = journal_value(t);
    struct state_txn *txn = value ? state_txn_new() : NULL;

    journal_key(t, key, sizeof(key));
    if (txn)
        state_txn_put(txn, key, value);
    if (txn && t->record_key[0]) {
        char record[UPID_MAX + 80];
        snprintf(record, sizeof(record), "{\"at\":%lld,\"data\":\"%s\"}", (long long)t->upid.starttime, t->text);
        state_txn_put(txn, t->record_key, record);
    }
    if (txn && t->initial)
        state_txn_merge(txn, TAKE_PTR(t->initial));
    state_commit(t->mgr->state, txn, on_journal_written, t);
}

static void retry_drop(evutil_socket_t fd, short what, void *arg)
{
    drop_journal(arg);
}

static void on_dropped(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct task *t = arg;
    struct timeval later = {.tv_sec = RETRY_MS / 1000};

    if (r < 0) {
        log_err(LOG_WARN, e, "journal entry of %s stays, trying again", t->text);
        if (event_base_once(t->mgr->base, -1, EV_TIMEOUT, retry_drop, t, &later) == 0)
            return;
    }
    task_finish(t, t->result, &t->err);
}

/* After an undo, or a forward plan that failed: the entry goes, the task ends with its error. */
static void drop_journal(struct task *t)
{
    char key[UPID_MAX + 32];
    struct state_txn *txn = state_txn_new();

    journal_key(t, key, sizeof(key));
    if (txn)
        state_txn_delete(txn, key);
    state_commit(t->mgr->state, txn, on_dropped, t);
}

static void recovered_one(struct task *t, void *arg, int r, const struct err *e)
{
    log_note("recovered %s: %s", t->text, r < 0 ? e->text : "finished");
    count_recovered(t);
}

/* The entry of the list that load_index made for this UPID becomes the running task again. */
static struct task *adopt_listed(struct task_mgr *m, const char *upid)
{
    LIST_FOREACH(t, &m->finished, struct task, node)
    if (streq(t->text, upid) && !t->status) {
        list_remove(&t->node);
        m->n_finished--;
        return t;
    }
    struct task *t = task_alloc(m);
    if (t && (upid_parse(upid, &t->upid) < 0 || str_copy(t->text, sizeof(t->text), upid) < 0)) {
        task_free(t);
        t = NULL;
    }
    return t;
}

void plan_recover_entry(struct task_mgr *m, const char *upid, const char *json)
{
    json_error_t je;
    json_t *j = json_loads(json, 0, &je);
    json_t *steps = json_object_get(j, "steps");
    struct task *t = json_is_array(steps) ? adopt_listed(m, upid) : NULL;

    if (!t) {
        log_error("journal entry %s cannot be read; it is kept", upid);
        json_decref(j);
        return;
    }
    t->vmid = (uint32_t)json_integer_value(json_object_get(j, "vmid"));
    t->steps = json_incref(steps);
    t->final_deletes = json_incref(json_object_get(j, "final-deletes"));
    const char *direction = json_string_value(json_object_get(j, "direction"));
    t->direction = direction && streq(direction, "forward") ? PLAN_FORWARD : PLAN_UNDO;
    t->is_recovered = t->is_journalled = true;
    t->ended = recovered_one;
    t->phase = TASK_RUNNING;
    json_decref(j);
    list_add_tail(&m->active, &t->node);
    m->n_active++;
    m->n_recovering++;
    if (plan_fp(t, "recover"))
        log_error("fail point in recovery");
    if (t->direction == PLAN_FORWARD) {
        task_log(t, "the daemon was restarted: going on");
        run_step(t);
        return;
    }
    task_log(t, "the daemon was restarted: undoing");
    t->result = err_set(&t->err, -EINTR, "task.interrupted", "interrupted by a restart of the daemon; undone");
    if (json_array_size(t->steps) > 0)
        undo_step(t, json_array_size(t->steps) - 1);
    else
        drop_journal(t);
}
