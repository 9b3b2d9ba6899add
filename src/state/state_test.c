/* The store over real SQLite files: commits, conflicts, watches, leases, limits, damage, dump and load. */
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fs.h"
#include "state/state.h"

struct fixture {
    char dir[32];
    struct event_base *base;
    struct state *state;
    int result;
    uint64_t revision;
    struct err err;
    char seen[4096]; /* "key=value;" of watch events */
};

static int setup(void **arg)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct err e = ERR_INIT;

    snprintf(f->dir, sizeof(f->dir), "/tmp/holm-state-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->base = event_base_new();
    assert_int_equal(state_open_sqlite(f->base, f->dir, &f->state, &e), 0);
    *arg = f;
    return 0;
}

static int teardown(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;

    state_close(f->state);
    event_base_free(f->base);
    if (fs_remove_tree(AT_FDCWD, f->dir, &e) < 0)
        return -1;
    free(f);
    return 0;
}

static void on_done(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct fixture *f = arg;

    f->result = r;
    f->revision = revision;
    f->err = *e;
    event_base_loopbreak(f->base);
}

static int commit(struct fixture *f, struct state_txn *t)
{
    f->result = 1;
    state_commit(f->state, t, on_done, f);
    assert_int_equal(f->result, 1); /* never before returning */
    event_base_dispatch(f->base);
    return f->result;
}

static void on_watch(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct fixture *f = arg;
    size_t n = strlen(f->seen);

    snprintf(f->seen + n, sizeof(f->seen) - n, "%s=%s;", key, value ? value : "-");
}

static int put(struct fixture *f, const char *key, const char *value)
{
    struct state_txn *t = state_txn_new();

    state_txn_put(t, key, value);
    return commit(f, t);
}

static void test_watch(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    struct state_watch *w;

    assert_int_equal(put(f, "shared/a/1", "\"x\""), 0);
    assert_int_equal(put(f, "shared/ab", "\"no\""), 0);
    assert_int_equal(state_watch(f->state, "shared/a/", on_watch, f, &w, &e), 0);
    assert_string_equal(f->seen, "shared/a/1=\"x\";");
    struct state_txn *t = state_txn_new();
    state_txn_put(t, "shared/a/2", "2");
    state_txn_delete(t, "shared/a/1");
    state_txn_put(t, "shared/b/1", "3");
    assert_int_equal(commit(f, t), 0);
    assert_string_equal(f->seen, "shared/a/1=\"x\";shared/a/2=2;shared/a/1=-;");
    state_unwatch(w);
}

static void test_conflict(void **arg)
{
    struct fixture *f = *arg;
    struct state_txn *t = state_txn_new();

    state_txn_expect(t, "shared/k", 0);
    state_txn_put(t, "shared/k", "1");
    assert_int_equal(commit(f, t), 0);
    uint64_t revision = f->revision;
    t = state_txn_new();
    state_txn_expect(t, "shared/k", 0);
    state_txn_put(t, "shared/k", "2");
    state_txn_put(t, "shared/other", "2");
    assert_int_equal(commit(f, t), -EAGAIN);
    assert_string_equal(f->err.code, "state.conflict");
    t = state_txn_new();
    state_txn_expect(t, "shared/other", 0); /* nothing of the failed one was kept */
    state_txn_expect(t, "shared/k", revision);
    state_txn_put(t, "shared/k", "3");
    assert_int_equal(commit(f, t), 0);
}

static void test_limits(void **arg)
{
    struct fixture *f = *arg;
    struct state_txn *t = state_txn_new();
    char key[STATE_KEY_MAX + 2];

    for (unsigned i = 0; i <= STATE_TXN_OPS_MAX; i++) {
        snprintf(key, sizeof(key), "shared/n/%u", i);
        state_txn_put(t, key, "1");
    }
    assert_int_equal(commit(f, t), -E2BIG);
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = 0;
    assert_int_equal(put(f, key, "1"), -E2BIG);
    assert_int_equal(commit(f, NULL), -ENOMEM);
}

static void test_reopen(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    struct state_watch *w;
    struct state *second = NULL;

    assert_int_equal(put(f, "shared/x", "\"kept\""), 0);
    assert_int_equal(state_open_sqlite(f->base, f->dir, &second, &e), -EBUSY);
    assert_string_equal(e.code, "state.in-use");
    state_close(f->state);
    f->state = NULL;
    assert_int_equal(state_open_sqlite(f->base, f->dir, &f->state, &e), 0);
    assert_int_equal(state_watch(f->state, "shared/", on_watch, f, &w, &e), 0);
    assert_string_equal(f->seen, "shared/x=\"kept\";");
}

static void on_watch_stop(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct fixture *f = arg;

    on_watch(arg, key, value, revision);
    if (!value)
        event_base_loopbreak(f->base);
}

static void test_lease(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    struct state_watch *w;
    uint64_t lease;

    assert_int_equal(state_lease_grant(f->state, 2000, &lease, &e), 0);
    struct state_txn *t = state_txn_new();
    state_txn_put(t, "local/l", "1");
    state_txn_set_lease(t, lease);
    assert_int_equal(commit(f, t), 0);
    assert_int_equal(state_lease_keepalive(f->state, lease, &e), 0);
    assert_int_equal(state_watch(f->state, "local/", on_watch_stop, f, &w, &e), 0);
    event_base_dispatch(f->base); /* until the key goes */
    assert_string_equal(f->seen, "local/l=1;local/l=-;");
    assert_int_equal(state_lease_keepalive(f->state, lease, &e), -ENOENT);
}

/* ---- commits from inside a scan ---- */

#define N_SCANNED 300u

struct deletions {
    struct fixture *f;
    size_t n_seen, n_gone, n_done;
};

static void on_deletion(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct deletions *d = arg;

    assert_int_equal(r, 0);
    if (++d->n_done == N_SCANNED)
        event_base_loopbreak(d->f->base);
}

/* As the journal's recovery does. */
static void delete_it(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct deletions *d = arg;
    struct state_txn *t = value ? state_txn_new() : NULL;

    d->n_gone += !value;
    if (!value)
        return;
    d->n_seen++;
    state_txn_delete(t, key);
    state_commit(d->f->state, t, on_deletion, d);
}

static void copy_file(const char *from, const char *to, const char *name)
{
    char source[80], target[80];
    struct err e = ERR_INIT;
    autobuf struct buf b;

    buf_init(&b, 1 << 24);
    snprintf(source, sizeof(source), "%s/%s", from, name);
    snprintf(target, sizeof(target), "%s/%s", to, name);
    assert_int_equal(fs_read_file(AT_FDCWD, source, &b, &e), 0);
    int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(fs_write_all(fd, b.data, b.len, &e), 0);
    close(fd);
}

/* What a watch's first calls commit is written behind its scan, whole: a daemon that is killed next finds it. */
static void test_commits_in_a_scan(void **arg)
{
    struct fixture *f = *arg, killed = {.base = f->base};
    struct deletions d = {.f = f};
    struct err e = ERR_INIT;
    struct state_watch *w;

    for (unsigned i = 0; i < N_SCANNED; i += 50) {
        struct state_txn *t = state_txn_new();
        for (unsigned k = i; k < i + 50; k++) {
            char key[32];
            snprintf(key, sizeof(key), "local/k/%u", k);
            state_txn_put(t, key, "1");
        }
        assert_int_equal(commit(f, t), 0);
    }
    assert_int_equal(state_watch(f->state, "local/k/", delete_it, &d, &w, &e), 0);
    assert_int_equal(d.n_seen, N_SCANNED);
    event_base_dispatch(f->base);
    assert_int_equal(d.n_done, N_SCANNED);
    assert_int_equal(d.n_gone, N_SCANNED);
    snprintf(killed.dir, sizeof(killed.dir), "/tmp/holm-state-XXXXXX");
    assert_non_null(mkdtemp(killed.dir));
    copy_file(f->dir, killed.dir, "holm.db");
    copy_file(f->dir, killed.dir, "holm.db-wal");
    copy_file(f->dir, killed.dir, "made");
    assert_int_equal(state_open_sqlite(killed.base, killed.dir, &killed.state, &e), 0);
    assert_int_equal(state_watch(killed.state, "local/k/", on_watch, &killed, &w, &e), 0);
    assert_string_equal(killed.seen, "");
    state_close(killed.state);
    assert_int_equal(fs_remove_tree(AT_FDCWD, killed.dir, &e), 0);
}

static void damage(struct fixture *f, off_t size, const char *bytes)
{
    char path[64];

    state_close(f->state);
    f->state = NULL;
    snprintf(path, sizeof(path), "%s/holm.db", f->dir);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    if (size >= 0)
        assert_int_equal(ftruncate(fd, size), 0);
    if (bytes)
        assert_int_equal(pwrite(fd, bytes, strlen(bytes), 0), strlen(bytes));
    close(fd);
}

static void test_damage(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;

    for (int i = 0; i < 100; i++) {
        char key[40];
        snprintf(key, sizeof(key), "shared/k/%d", i);
        assert_int_equal(put(f, key, "\"some value that fills pages\""), 0);
    }
    damage(f, 5000, NULL); /* a truncated file */
    assert_true(state_open_sqlite(f->base, f->dir, &f->state, &e) < 0);
    assert_string_equal(e.code, "state.damaged");
    assert_true(e.hint[0] != 0);
    f->state = NULL;
    damage(f, -1, "this is no database at all, whatever it was");
    assert_true(state_open_sqlite(f->base, f->dir, &f->state, &e) < 0);
    assert_string_equal(e.code, "state.damaged");
    f->state = NULL;
}

static void test_dump_load(void **arg)
{
    struct fixture *f = *arg;
    struct err e = ERR_INIT;
    struct state_watch *w;
    struct buf b;

    assert_int_equal(put(f, "shared/a", "{\"v\":1}"), 0);
    assert_int_equal(put(f, "local/j", "1"), 0);
    buf_init(&b, 1);
    assert_int_equal(state_dump(f->dir, &b, &e), 0); /* beside a running daemon */
    assert_non_null(strstr(buf_str(&b), "\"shared/a\":{\"v\":1}"));
    assert_null(strstr(buf_str(&b), "local/"));
    assert_int_equal(state_load(f->dir, buf_str(&b), b.len, &e), -EBUSY);
    assert_int_equal(put(f, "shared/b", "2"), 0);
    state_close(f->state);
    assert_int_equal(state_load(f->dir, "{}", 2, &e), -EINVAL);
    assert_int_equal(state_load(f->dir, buf_str(&b), b.len, &e), 0);
    buf_done(&b);
    assert_int_equal(state_open_sqlite(f->base, f->dir, &f->state, &e), 0);
    assert_int_equal(state_watch(f->state, "shared/", on_watch, f, &w, &e), 0);
    assert_string_equal(f->seen, "shared/a={\"v\":1};");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conflict, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commits_in_a_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dump_load, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
