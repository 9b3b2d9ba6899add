/* Tasks over a real store: UPIDs, queues, plans that succeed, fail, and are found again after a crash. */
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/log.h"
#include "task/pool.h"
#include "task/task.h"

struct fixture {
    char dir[32], state_dir[48];
    struct event_base *base;
    struct state *state;
    struct pool *pool;
    struct task_mgr *mgr;
    char trace[2000]; /* what the steps did */
    unsigned n_ended;
    char status[300];
    bool is_recovered;
    int pipe[2], begun[2];
};

static void note(struct fixture *f, const char *what, json_t *args)
{
    size_t n = strlen(f->trace);

    snprintf(f->trace + n, sizeof(f->trace) - n, "%s%s ", what, json_string_value(json_object_get(args, "x")));
}

static int run_good(void *ctx, json_t *args, const char *mark, struct err *e)
{
    assert_true(str_starts(mark, "UPID:"));
    note(ctx, "+", args);
    return 0;
}

static int undo_good(void *ctx, json_t *args, const char *mark, struct err *e)
{
    note(ctx, "-", args);
    return 0;
}

static int run_bad(void *ctx, json_t *args, const char *mark, struct err *e)
{
    note(ctx, "!", args);
    return err_set(e, -ENOSPC, "storage.full", "no room");
}

/* Waits for a byte: the test decides when the step ends. */
static int run_wait(void *ctx, json_t *args, const char *mark, struct err *e)
{
    struct fixture *f = ctx;
    char c;

    return read(f->pipe[0], &c, 1) == 1 ? 0 : err_set(e, -EIO, NULL, "pipe");
}

/* Says how far it is, waits until somebody wants its end, or for the test's byte. */
static int run_long(void *ctx, json_t *args, const char *mark, struct err *e)
{
    struct fixture *f = ctx;
    struct pollfd p[] = {{.fd = task_step_abort_fd(), .events = POLLIN}, {.fd = f->pipe[0], .events = POLLIN}};

    task_step_progress(3 << 20, 4 << 20);
    if (write(f->begun[1], "x", 1) != 1 || poll(p, 2, -1) < 0)
        return err_set(e, -EIO, NULL, "pipe");
    if (p[0].revents)
        return err_set(e, -ECANCELED, "task.aborted", "given up");
    return run_wait(ctx, args, mark, e);
}

static const struct task_step_type lengthy = {.name = "long", .run = run_long, .undo = undo_good, .is_long = true};
static const struct task_step_type waiting = {.name = "wait", .run = run_wait};
static const struct task_step_type good = {.name = "good", .run = run_good, .undo = undo_good},
                                   bad = {.name = "bad", .run = run_bad, .undo = undo_good};
static const struct task_step_type *const types[] = {&good, &bad, &waiting, &lengthy, NULL};

static void on_recovered(void *arg)
{
    struct fixture *f = arg;

    f->is_recovered = true;
    event_base_loopbreak(f->base);
}

static void open_all(struct fixture *f)
{
    struct err e = ERR_INIT;

    assert_int_equal(state_open_sqlite(f->base, f->state_dir, &f->state, &e), 0);
    assert_int_equal(pool_new(f->base, 2, 100, &f->pool, &e), 0);
    assert_int_equal(task_mgr_new(f->base, f->state, f->pool, f->dir, "n1", &f->mgr, &e), 0);
    task_mgr_set_steps(f->mgr, types, f);
    f->is_recovered = false;
    task_mgr_recover(f->mgr, on_recovered, f);
    if (!f->is_recovered)
        event_base_dispatch(f->base);
    assert_true(f->is_recovered);
}

static void close_all(struct fixture *f)
{
    pool_free(f->pool);
    task_mgr_free(f->mgr);
    state_close(f->state);
}

static int setup(void **arg)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct err e = ERR_INIT;

    log_init("test", LOG_ERROR);
    snprintf(f->dir, sizeof(f->dir), "/tmp/holm-task-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->state_dir, sizeof(f->state_dir), "%s/state", f->dir);
    assert_int_equal(fs_mkdirs(AT_FDCWD, f->state_dir, 0700, &e), 0);
    f->base = event_base_new();
    open_all(f);
    *arg = f;
    return 0;
}

static int teardown(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;

    close_all(f);
    event_base_free(f->base);
    int r = fs_remove_tree(AT_FDCWD, f->dir, &e);
    free(f);
    return r;
}

static void on_ended(struct task *t, void *arg, int r, const struct err *e)
{
    struct fixture *f = arg;

    snprintf(f->status, sizeof(f->status), "%s", r < 0 ? e->text : "OK");
    f->n_ended++;
    event_base_loopbreak(f->base);
}

static void run_until(struct fixture *f, unsigned n_ended)
{
    while (f->n_ended < n_ended)
        event_base_dispatch(f->base);
}

static int start_plan(struct fixture *f, const char *steps, enum plan_direction direction, struct state_txn *final,
                      json_t *final_deletes)
{
    json_error_t je;
    json_t *j = json_loads(steps, 0, &je);
    struct err e = ERR_INIT;
    struct task_spec spec = {.type = "qmcreate",
                             .id = "100",
                             .user = "root@pam",
                             .vmid = 100,
                             .steps = j,
                             .direction = direction,
                             .final = final,
                             .final_deletes = final_deletes,
                             .ended = on_ended,
                             .arg = f};
    int r = task_start(f->mgr, &spec, NULL, &e);

    json_decref(j);
    return r;
}

#define STEP(name, x) "{\"step\":\"" name "\",\"args\":{\"x\":\"" x "\"}}"

static struct state_txn *final_put(void)
{
    struct state_txn *t = state_txn_new();

    state_txn_put(t, "shared/guest/100", "{}");
    return t;
}

static unsigned count_keys(struct fixture *f, const char *prefix);
static void count_one(void *arg, const char *key, const char *value, uint64_t revision)
{
    ++*(unsigned *)arg;
}

static unsigned count_keys(struct fixture *f, const char *prefix)
{
    struct err e = ERR_INIT;
    struct state_watch *w;
    unsigned n = 0;

    assert_int_equal(state_watch(f->state, prefix, count_one, &n, &w, &e), 0);
    state_unwatch(w);
    return n;
}

static void test_plan_ok(void **arg)
{
    struct fixture *f = *arg;

    assert_int_equal(start_plan(f, "[" STEP("good", "a") "," STEP("good", "b") "]", PLAN_UNDO, final_put(), NULL), 0);
    assert_string_equal(task_guest_lock(f->mgr, 100), "create");
    run_until(f, 1);
    assert_string_equal(f->trace, "+a +b ");
    assert_string_equal(f->status, "OK");
    assert_null(task_guest_lock(f->mgr, 100));
    assert_int_equal(count_keys(f, "local/journal/"), 0);
    assert_int_equal(count_keys(f, "shared/guest/100"), 1);
}

static void test_plan_fails(void **arg)
{
    struct fixture *f = *arg;

    assert_int_equal(start_plan(f, "[" STEP("good", "a") "," STEP("bad", "b") "," STEP("good", "c") "]", PLAN_UNDO,
                                final_put(), NULL),
                     0);
    run_until(f, 1);
    assert_string_equal(f->trace, "+a !b -b -a ");
    assert_string_equal(f->status, "no room");
    assert_int_equal(count_keys(f, "local/journal/"), 0);
    assert_int_equal(count_keys(f, "shared/guest/100"), 0);
}

/* An entry as a crash leaves it behind. */
static void plant(struct fixture *f, const char *upid, const char *direction, const char *deletes)
{
    struct state_txn *t = state_txn_new();
    char key[300], value[600];

    snprintf(key, sizeof(key), "local/journal/%s", upid);
    snprintf(
        value, sizeof(value),
        "{\"format\":1,\"vmid\":100,\"direction\":\"%s\",\"steps\":[" STEP("good", "a") "," STEP("good", "b") "]%s}",
        direction, deletes);
    state_txn_put(t, key, value);
    state_txn_put(t, "shared/guest/100", "{}");
    state_commit(f->state, t, NULL, NULL);
    close_all(f);
    f->trace[0] = 0;
    open_all(f);
}

#define OLD_UPID "UPID:n1:00000001:00000001:6B000000:qmdestroy:100:root@pam:"

static void test_recover_undo(void **arg)
{
    struct fixture *f = *arg;
    struct task_view v;

    plant(f, OLD_UPID, "undo", "");
    assert_string_equal(f->trace, "-b -a ");
    assert_int_equal(count_keys(f, "local/journal/"), 0);
    assert_int_equal(count_keys(f, "shared/guest/100"), 1);
    assert_true(task_find(f->mgr, OLD_UPID, &v));
    assert_false(v.is_running);
    assert_string_equal(v.error_code, "task.interrupted");
}

static void test_recover_forward(void **arg)
{
    struct fixture *f = *arg;
    struct task_view v;

    plant(f, OLD_UPID, "forward", ",\"final-deletes\":[\"shared/guest/100\"]");
    assert_string_equal(f->trace, "+a +b ");
    assert_int_equal(count_keys(f, "local/journal/"), 0);
    assert_int_equal(count_keys(f, "shared/guest/100"), 0);
    assert_true(task_find(f->mgr, OLD_UPID, &v));
    assert_string_equal(v.status, "OK");
}

struct live {
    struct fixture *f;
    const char *name;
    struct task *task;
    bool is_aborted;
};

static void live_begin(struct task *t, void *arg)
{
    struct live *l = arg;
    size_t n = strlen(l->f->trace);

    l->task = t;
    snprintf(l->f->trace + n, sizeof(l->f->trace) - n, "%s ", l->name);
    event_base_loopbreak(l->f->base);
}

static void live_abort(struct task *t, void *arg)
{
    struct live *l = arg;
    struct err e = ERR_INIT;

    l->is_aborted = true;
    task_end(t, err_set(&e, -ECANCELED, "task.aborted", "aborted"), &e);
}

static void start_live(struct fixture *f, struct live *l, const char *name, bool is_overtaking)
{
    struct err e = ERR_INIT;
    struct task_spec spec = {.type = name,
                             .id = "100",
                             .user = "u@pve!t",
                             .vmid = 100,
                             .is_overtaking = is_overtaking,
                             .begin = live_begin,
                             .abort = live_abort,
                             .arg = l};

    *l = (struct live){.f = f, .name = name};
    assert_int_equal(task_start(f->mgr, &spec, NULL, &e), 0);
    assert_null(l->task); /* nothing happens before the caller has the UPID */
}

static void test_queue(void **arg)
{
    struct fixture *f = *arg;
    struct live first, second, stop;

    start_live(f, &first, "first", false);
    start_live(f, &second, "second", false);
    while (!first.task)
        event_base_dispatch(f->base);
    event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_null(second.task); /* waits for the first */
    start_live(f, &stop, "stop", true);
    while (!stop.task)
        event_base_dispatch(f->base);
    assert_true(first.is_aborted);
    task_end(stop.task, 0, NULL);
    while (!second.task)
        event_base_dispatch(f->base);
    task_warn(second.task, "look");
    task_end(second.task, 0, NULL);
    struct task_view v;
    assert_true(task_find(f->mgr, task_upid(second.task), &v));
    assert_string_equal(v.status, "WARNINGS: 1");
    assert_string_equal(v.upid.user, "u@pve!t");
}

static bool copy_upid(void *arg, const struct task_view *v)
{
    snprintf(arg, UPID_MAX, "%s", v->text);
    return false; /* the newest */
}

static void newest(struct fixture *f, char upid[UPID_MAX])
{
    task_each(f->mgr, copy_upid, upid);
}

static void test_cancel_plan(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    char upid[UPID_MAX];

    assert_int_equal(pipe(f->pipe), 0);
    assert_int_equal(start_plan(f, "[" STEP("good", "a") "," STEP("wait", "b") "," STEP("good", "c") "]", PLAN_UNDO,
                                final_put(), NULL),
                     0);
    newest(f, upid);
    while (!f->trace[0])
        event_base_loop(f->base, EVLOOP_ONCE);
    assert_int_equal(task_cancel(f->mgr, upid, "a@pve", &e), 0);
    assert_int_equal(task_cancel(f->mgr, upid, "b@pve", &e), 0); /* once is enough */
    assert_int_equal(f->n_ended, 0);
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    run_until(f, 1);
    assert_string_equal(f->trace, "+a -a ");
    assert_string_equal(f->status, "stopped by a@pve");
    assert_int_equal(count_keys(f, "local/journal/"), 0);
    assert_int_equal(count_keys(f, "shared/guest/100"), 0);
    assert_int_equal(task_cancel(f->mgr, upid, "a@pve", &e), 0); /* it has ended */
    assert_int_equal(task_cancel(f->mgr, "UPID:n1:0:0:0:x::y:", "a@pve", &e), -ENOENT);
    close(f->pipe[0]);
    close(f->pipe[1]);
}

static void test_cancel_at_once(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    char upid[UPID_MAX];

    assert_int_equal(start_plan(f, "[" STEP("good", "a") "]", PLAN_UNDO, final_put(), NULL), 0);
    newest(f, upid);
    assert_int_equal(task_cancel(f->mgr, upid, "a@pve", &e), 0); /* not even its journal entry is there */
    run_until(f, 1);
    assert_string_equal(f->trace, "");
    assert_string_equal(f->status, "stopped by a@pve");
    assert_int_equal(count_keys(f, "local/journal/"), 0);
}

static void test_cancel_queued(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    char first_plan[UPID_MAX], upid[UPID_MAX];
    struct live live = {.is_aborted = false};

    assert_int_equal(pipe(f->pipe), 0);
    assert_int_equal(start_plan(f, "[" STEP("wait", "a") "]", PLAN_FORWARD, NULL, NULL), 0);
    newest(f, first_plan);
    assert_int_equal(start_plan(f, "[" STEP("good", "b") "]", PLAN_UNDO, final_put(), NULL), 0);
    newest(f, upid);
    while (count_keys(f, "local/journal/") < 2)
        event_base_loop(f->base, EVLOOP_ONCE);
    assert_int_equal(task_cancel(f->mgr, upid, "a@pve", &e), 0);
    run_until(f, 1);
    assert_string_equal(f->status, "stopped by a@pve");
    assert_int_equal(task_cancel(f->mgr, first_plan, "a@pve", &e), -EBUSY); /* a deletion goes on */
    assert_string_equal(e.code, "task.unstoppable");
    start_live(f, &live, "waits", false);
    newest(f, upid);
    assert_int_equal(task_cancel(f->mgr, upid, "a@pve", &e), 0);
    struct task_view v;
    assert_true(task_find(f->mgr, upid, &v) && !v.is_running);
    assert_string_equal(v.status, "stopped by a@pve");
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    run_until(f, 2);
    event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_null(live.task); /* it never began */
    assert_string_equal(f->status, "OK");
    assert_string_equal(f->trace, "");
    close(f->pipe[0]);
    close(f->pipe[1]);
}

static void on_child_end(void *arg, int r, const struct err *e)
{
    snprintf(arg, 100, "%s", r < 0 ? e->text : "OK");
}

static void test_when_ended(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    char seen[100] = "", upid[UPID_MAX];
    struct live live = {.is_aborted = false};

    start_live(f, &live, "seen", false);
    while (!live.task)
        event_base_dispatch(f->base);
    task_when_ended(live.task, on_child_end, seen);
    newest(f, upid);
    assert_string_equal(seen, "");
    assert_int_equal(task_cancel(f->mgr, upid, "a@pve", &e), 0);
    assert_true(live.is_aborted);
    assert_string_equal(seen, "aborted"); /* as its own abort says */
    struct live other = {.is_aborted = false};
    start_live(f, &other, "unseen", false);
    while (!other.task)
        event_base_dispatch(f->base);
    seen[0] = 0;
    task_when_ended(other.task, on_child_end, seen);
    task_when_ended(other.task, NULL, NULL);
    task_end(other.task, 0, NULL);
    assert_string_equal(seen, "");
}

static void on_unlocked(void *arg, int r, const struct err *e)
{
    struct fixture *f = arg;

    snprintf(f->status, sizeof(f->status), "%s", r < 0 ? e->text : "free");
    event_base_loopbreak(f->base);
}

static void test_unlock(void **arg)
{
    struct fixture *f = *arg;

    assert_int_equal(pipe(f->pipe), 0);
    assert_int_equal(start_plan(f, "[" STEP("wait", "a") "]", PLAN_UNDO, final_put(), NULL), 0);
    task_when_unlocked(f->mgr, 100, 0, on_unlocked, f);
    while (!f->status[0])
        event_base_dispatch(f->base);
    assert_string_equal(f->status, "VM is locked (create)");
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    run_until(f, 1);
    close(f->pipe[0]);
    close(f->pipe[1]);
    f->status[0] = 0;
    task_when_unlocked(f->mgr, 100, 0, on_unlocked, f);
    assert_string_equal(f->status, "free");
}

static void waiting_begin(struct task *t, void *arg)
{
    struct live *l = arg;

    l->task = t;
    task_wait_unlocked(t, 60000, on_unlocked, l->f);
}

/* A plan that is accepted after a live task of its guest, but before that began, does not wait for it: the live task
 * waits for the plan. */
static void test_plan_passes_live(void **arg)
{
    struct fixture *f = *arg;
    struct live first, second, start = {.f = f, .name = "start"};
    struct task_spec spec = {
        .type = "start", .id = "100", .user = "u@pve", .vmid = 100, .begin = waiting_begin, .arg = &start};
    struct err e = ERR_INIT;

    start_live(f, &first, "first", false);
    while (!first.task)
        event_base_dispatch(f->base);
    assert_int_equal(task_start(f->mgr, &spec, NULL, &e), 0);
    start_live(f, &second, "second", false);
    assert_int_equal(start_plan(f, "[" STEP("good", "a") "]", PLAN_UNDO, final_put(), NULL), 0);
    event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_null(start.task); /* the first one runs still, and plans wait for what runs */
    assert_int_equal(f->n_ended, 0);
    task_end(first.task, 0, NULL);
    while (!f->status[0])
        event_base_dispatch(f->base);
    assert_string_equal(f->status, "free");
    assert_int_equal(f->n_ended, 1); /* the plan */
    assert_null(second.task);
    task_end(start.task, 0, NULL);
    while (!second.task)
        event_base_dispatch(f->base);
    task_end(second.task, 0, NULL);
}

struct log_result {
    struct fixture *f;
    char text[400];
    uint64_t total;
    bool is_done;
};

static void on_log(void *arg, int r, const char *text, size_t n, uint64_t total, const struct err *e)
{
    struct log_result *l = arg;

    assert_int_equal(r, 0);
    snprintf(l->text, sizeof(l->text), "%.*s", (int)n, text);
    l->total = total;
    l->is_done = true;
    event_base_loopbreak(l->f->base);
}

static void test_log(void **arg)
{
    struct fixture *f = *arg;
    struct log_result l = {.f = f};
    struct err e = ERR_INIT;
    struct live live;

    start_live(f, &live, "imgcopy", false);
    while (!live.task)
        event_base_dispatch(f->base);
    for (int i = 0; i < 5; i++)
        task_log(live.task, "line %d\nforged", i);
    task_end(live.task, err_set(&e, -EIO, "x", "broke"), &e);
    assert_int_equal(task_log_read(f->mgr, task_upid(live.task), 1, 2, on_log, &l, &e), 0);
    while (!l.is_done)
        event_base_dispatch(f->base);
    assert_string_equal(l.text, "line 1 forged\nline 2 forged\n");
    assert_int_equal(l.total, 6);
}

static void test_upid(void **arg)
{
    static const char *const wrong[] = {"",
                                        "UPID:",
                                        "UPID:n1:00000001:00000001:6B000000:t:1:u@p",
                                        "UPID:n1:0000001:00000001:6B000000:t:1:u@p:",
                                        "UPID:n1:0000000G:00000001:6B000000:t:1:u@p:",
                                        "UPID:n/1:00000001:00000001:6B000000:t:1:u@p:",
                                        "UPID:n1:00000001:00000001:6B000000:t:../1:u@p:",
                                        "UPID:n1:00000001:00000001:6B000000::1:u@p:",
                                        "UPID:n1:00000001:00000001:6B000000:t:1:u@p:x"};
    struct upid u;
    char text[UPID_MAX];

    assert_int_equal(upid_parse(OLD_UPID, &u), 0);
    upid_format(&u, text, sizeof(text));
    assert_string_equal(text, OLD_UPID);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(upid_parse(wrong[i], &u), -EINVAL);
}

/* ---- long steps ---- */

static void begin_long(struct fixture *f, enum plan_direction direction)
{
    char c;

    assert_int_equal(pipe2(f->pipe, O_CLOEXEC), 0);
    assert_int_equal(pipe2(f->begun, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(start_plan(f, "[" STEP("good", "a") "," STEP("long", "b") "]", direction, NULL, NULL), 0);
    while (read(f->begun[0], &c, 1) != 1)
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void end_long(struct fixture *f)
{
    for (int i = 0; i < 2; i++) {
        close(f->pipe[i]);
        close(f->begun[i]);
    }
}

static bool keep_view(void *arg, const struct task_view *v)
{
    *(struct task_view *)arg = *v;
    return false;
}

static struct task_view only_task(struct fixture *f)
{
    struct task_view v = {0};

    task_each(f->mgr, keep_view, &v);
    return v;
}

static void test_long_progress(void **arg)
{
    struct fixture *f = *arg;

    begin_long(f, PLAN_UNDO);
    assert_int_equal(task_step_abort_fd(), -1); /* here is no step */
    while (only_task(f).total_bytes == 0)
        event_base_loop(f->base, EVLOOP_ONCE);
    struct task_view v = only_task(f);
    assert_string_equal(v.phase, "long");
    assert_int_equal(v.done_bytes, 3 << 20);
    assert_int_equal(v.total_bytes, 4 << 20);
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    run_until(f, 1);
    assert_string_equal(f->status, "OK");
    end_long(f);
}

static void test_long_cancel(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;

    begin_long(f, PLAN_UNDO);
    assert_int_equal(task_cancel(f->mgr, only_task(f).text, "root@pam", &e), 0);
    run_until(f, 1);
    assert_string_equal(f->trace, "+a -b -a ");
    assert_string_equal(f->status, "stopped by root@pam");
    end_long(f);
}

/* The daemon ends meanwhile: the next one goes on with the plan, and does not keep anybody waiting for it. */
static void test_long_left_to_journal(void **arg)
{
    struct fixture *f = *arg;
    char c;

    begin_long(f, PLAN_FORWARD);
    task_mgr_stop(f->mgr);
    close(f->pipe[1]); /* cut off */
    while (task_mgr_drain(f->mgr))
        continue;
    assert_int_equal(count_keys(f, "local/journal/"), 1);
    task_mgr_abandon(f->mgr);
    close_all(f);
    close(f->pipe[0]);
    assert_int_equal(pipe2(f->pipe, O_CLOEXEC), 0);
    f->trace[0] = 0;
    open_all(f); /* comes back while the step waits for its byte */
    assert_true(only_task(f).is_running);
    while (read(f->begun[0], &c, 1) != 1)
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_non_null(task_guest_lock(f->mgr, 100));
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    while (task_guest_lock(f->mgr, 100))
        event_base_loop(f->base, EVLOOP_ONCE);
    assert_string_equal(f->trace, "+a ");
    assert_int_equal(count_keys(f, "local/journal/"), 0);
    end_long(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plan_ok, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recover_undo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recover_forward, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_plan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_when_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unlock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan_passes_live, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_left_to_journal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log, setup, teardown),
        cmocka_unit_test(test_upid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
