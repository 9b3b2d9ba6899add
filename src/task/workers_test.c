/* Programs that are no good workers: half an answer, none, one that is none, and an end while somebody waits. Each is
 * this program under another name; the real ones are tried by src/worker and tests/hostile. */
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "task/workers.h"

#define PATIENCE_MS 60000u /* far less than the workers' own limit, far more than what a busy machine needs */

struct ground {
    struct event_base *base;
    struct workers *workers;
    char folder[32], path[64];
    bool is_done;
    int r;
};

/* What this program does when it is called by one of these names. */
static int play(const char *name)
{
    static const char zeroes[65536];

    if (streq(name, "half") && write(3, "x", 1) != 1)
        return 1;
    if (streq(name, "brief"))
        return write(3, "x", 1) != 1;
    if (streq(name, "crash"))
        return raise(SIGKILL);
    while (streq(name, "flood"))
        if (write(3, zeroes, sizeof(zeroes)) < 0)
            return 0;
    while (!streq(name, "quit"))
        pause();
    return 0;
}

static void begin(struct ground *g, const char *name)
{
    struct err e = ERR_INIT;
    char self[4096] = "";

    *g = (struct ground){.base = event_base_new()};
    snprintf(g->folder, sizeof(g->folder), "/tmp/holm-workers-XXXXXX");
    assert_non_null(mkdtemp(g->folder));
    snprintf(g->path, sizeof(g->path), "%s/%s", g->folder, name);
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    assert_int_equal(symlink(self, g->path), 0);
    struct workers_options o = {.path = g->path, .uid = getuid(), .gid = getgid(), .max_at_once = 1, .max_queued = 4};
    assert_int_equal(workers_new(g->base, &o, &g->workers, &e), 0);
}

static void end(struct ground *g)
{
    workers_free(g->workers);
    event_base_free(g->base);
    unlink(g->path);
    rmdir(g->folder);
}

static void on_done(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct ground *g = arg;

    g->r = r;
    g->is_done = true;
}

static void call(struct ground *g, void *arg, int abort_fd)
{
    struct worker_request q = {.verb = "x", .timeout_ms = 24 * 3600 * 1000, .abort_fd = abort_fd};
    struct err e = ERR_INIT;

    assert_int_equal(workers_call(g->workers, &q, on_done, arg, &e), 0);
}

static void wait_done(struct ground *g)
{
    uint64_t until = clock_boot_ms() + PATIENCE_MS;
    struct timeval limit = {.tv_sec = 1};

    while (!g->is_done && clock_boot_ms() < until) {
        event_base_loopexit(g->base, &limit);
        event_base_loop(g->base, EVLOOP_ONCE);
    }
    assert_true(g->is_done);
}

/* Bytes of the answer's header, and then silence. */
static void test_half_an_answer(void **state)
{
    static const char *const names[] = {"half", "mute"};
    struct ground g;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        int abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        begin(&g, names[i]);
        call(&g, &g, abort_fd);
        assert_int_equal(eventfd_write(abort_fd, 1), 0);
        wait_done(&g);
        assert_int_equal(g.r, -ECANCELED);
        close(abort_fd);
        end(&g);
    }
}

static void test_the_daemon_ends(void **state)
{
    struct ground g;

    begin(&g, "half");
    call(&g, &g, 0);
    workers_cancel(g.workers);
    (void)workers_drain(g.workers);
    assert_true(g.is_done);
    assert_int_equal(g.r, -ECANCELED);
    end(&g);
}

static void test_no_answer(void **state)
{
    static const char *const names[] = {"quit", "brief", "crash", "flood"};
    struct ground g;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        begin(&g, names[i]);
        call(&g, &g, 0);
        wait_done(&g);
        assert_true(g.r < 0 && g.r != -ETIMEDOUT);
        end(&g);
    }
}

/* The one that waits for its turn is given up at once, the one before it goes on. */
static void test_skip(void **state)
{
    int abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct ground g, waiting = {.is_done = false};

    begin(&g, "mute");
    call(&g, &g, abort_fd);
    call(&g, &waiting, 0);
    uint64_t until = clock_boot_ms() + PATIENCE_MS;
    while (!waiting.is_done && clock_boot_ms() < until) {
        workers_skip(g.workers, &waiting);
        event_base_loop(g.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_true(waiting.is_done && !g.is_done);
    assert_int_equal(waiting.r, -ECANCELED);
    assert_int_equal(eventfd_write(abort_fd, 1), 0);
    wait_done(&g);
    close(abort_fd);
    end(&g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_an_answer),
        cmocka_unit_test(test_the_daemon_ends),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_skip),
    };

    if (!strchr(argv[0], '/')) /* as workers are called */
        return play(argv[0]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
