/* The steps that copy and merge images, with the real holm-block (HOLM_BLOCK_PATH) and images of qemu-img: what they
 * make is right, a second run changes nothing, an undo takes away what was made and nothing else. */
#include <event2/event.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "guest/block_steps.h"

#define SIZE (UINT64_C(8) << 20)
#define MARK "UPID:test"

struct fixture {
    char root[64];
    struct event_base *base;
    struct state *state;
    struct guest_steps steps;
    struct storage *s;
    struct volume_id v;
    struct err e;
};

static struct volume_id id_of(const char *text)
{
    struct volume_id v;
    struct err e = ERR_INIT;

    assert_int_equal(volume_id_parse(text, &v, &e), 0);
    return v;
}

static void on_commit(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct fixture *f = arg;

    assert_int_equal(r, 0);
    event_base_loopbreak(f->base);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct workers_options o = {.path = HOLM_BLOCK_PATH, .uid = 65534, .gid = 65534, .max_at_once = 1, .max_queued = 1};
    char path[80], config[200];

    *state = f;
    log_init("test", LOG_ERROR);
    snprintf(f->root, sizeof(f->root), "/var/tmp/holm-steps-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    snprintf(path, sizeof(path), "%s/state", f->root);
    assert_int_equal(fs_mkdirs(AT_FDCWD, path, 0700, &f->e), 0);
    f->base = event_base_new();
    assert_int_equal(state_open_sqlite(f->base, path, &f->state, &f->e), 0);
    struct state_txn *t = state_txn_new();
    snprintf(config, sizeof(config), "{\"type\":\"dir\",\"path\":\"%s/store\",\"content\":\"images\"}", f->root);
    state_txn_put(t, "shared/storage/local", config);
    state_commit(f->state, t, on_commit, f);
    event_base_dispatch(f->base);
    assert_int_equal(storage_mgr_new(f->base, f->state, f->root, "n1", &f->steps.storages, &f->e), 0);
    assert_int_equal(workers_new(f->base, &o, &f->steps.blocks, &f->e), 0);
    assert_int_equal(storage_mgr_ref(f->steps.storages, "local", &f->s, &f->e), 0);
    f->v = id_of("local:100/vm-100-disk-0.qcow2");
    return volume_create(f->s, &f->v, SIZE, NULL, &f->e);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    storage_unref(f->s);
    workers_free(f->steps.blocks);
    storage_mgr_free(f->steps.storages);
    state_close(f->state);
    event_base_free(f->base);
    int r = fs_remove_tree(AT_FDCWD, f->root, &f->e);
    free(f);
    return r;
}

/* Layers are those of disk-0. */
static const char *path_of(const struct fixture *f, const struct volume_id *v)
{
    static char paths[2][400];
    static unsigned turn;
    char *path = paths[turn++ % 2], layer[40];

    snprintf(layer, sizeof(layer), "snap-%u-disk-0-%u.qcow2", v->vmid, v->layer);
    snprintf(path, sizeof(paths[0]), "%s/store/images/%u/%s", f->root, v->vmid, v->layer ? layer : v->name);
    return path;
}

static bool exists(const struct fixture *f, const struct volume_id *v)
{
    return access(path_of(f, v), F_OK) == 0;
}

static int run_program(const char *const *argv)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void put(const struct fixture *f, const struct volume_id *v, char byte, unsigned at_kib)
{
    char command[64];

    snprintf(command, sizeof(command), "write -P 0x%02x %uk 64k", byte, at_kib);
    const char *argv[] = {"qemu-io",     "-f", v->format == VOLUME_RAW ? "raw" : "qcow2", "-c", command,
                          path_of(f, v), NULL};
    assert_int_equal(run_program(argv), 0);
}

static void assert_same(const char *a, const char *b)
{
    const char *argv[] = {"qemu-img", "compare", a, b, NULL};

    assert_int_equal(run_program(argv), 0);
}

static const char *flattened(const struct fixture *f, const struct volume_id *v)
{
    static char path[100];

    snprintf(path, sizeof(path), "%s/flat", f->root);
    const char *argv[] = {"qemu-img", "convert", "-O", "qcow2", path_of(f, v), path, NULL};
    assert_int_equal(run_program(argv), 0);
    return path;
}

static int run(struct fixture *f, const struct task_step_type *type, json_t *step)
{
    assert_non_null(step);
    f->e = (struct err)ERR_INIT;
    int r = type->run(&f->steps, json_object_get(step, "args"), MARK, &f->e);
    json_decref(step);
    return r;
}

/* disk-0 on layer 2 on layer 1, something of its own in each */
static void make_chain(struct fixture *f, struct volume_id *one, struct volume_id *two)
{
    *one = volume_layer(&f->v, 1);
    *two = volume_layer(&f->v, 2);
    put(f, &f->v, 1, 0);
    put(f, &f->v, 1, 1024);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    put(f, &f->v, 2, 1024);
    put(f, &f->v, 2, 2048);
    assert_int_equal(volume_freeze(f->s, &f->v, 2, &f->e), 0);
    put(f, &f->v, 3, 2048);
    put(f, &f->v, 3, 4096);
}

static void test_copy(void **state)
{
    static const char *const targets[] = {"local:101/vm-101-disk-0.qcow2", "local:101/vm-101-disk-1.raw"};
    struct fixture *f = *state;
    struct volume_id one, two;

    make_chain(f, &one, &two);
    struct volume_id below[] = {two, one};
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        struct volume_id to = id_of(targets[i]);
        for (int turn = 0; turn < 2; turn++)
            assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&f->v, below, 2, &to, SIZE, 0)), 0);
        assert_same(flattened(f, &f->v), path_of(f, &to));
        json_t *step = guest_step_volume_copy(&f->v, below, 2, &to, SIZE, 0);
        assert_int_equal(step_volume_copy.undo(&f->steps, json_object_get(step, "args"), "UPID:other", &f->e), 0);
        assert_true(exists(f, &to));
        assert_int_equal(step_volume_copy.undo(&f->steps, json_object_get(step, "args"), MARK, &f->e), 0);
        assert_false(exists(f, &to));
        json_decref(step);
    }
    /* a layer is copied, too, and a raw image by itself */
    struct volume_id to = id_of(targets[1]), raw = id_of("local:100/vm-100-disk-1.raw"),
                     copy = id_of("local:101/vm-101-disk-2.raw");
    assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&two, &one, 1, &to, SIZE, 0)), 0);
    assert_same(flattened(f, &two), path_of(f, &to));
    assert_int_equal(volume_create(f->s, &raw, SIZE * 4, NULL, &f->e), 0);
    put(f, &raw, 9, 30000);
    assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&raw, NULL, 0, &copy, SIZE * 4, 0)), 0);
    assert_same(path_of(f, &raw), path_of(f, &copy));
}

static void test_copy_refused(void **state)
{
    struct fixture *f = *state;
    struct volume_id one, two, to = id_of("local:101/vm-101-disk-0.qcow2"), none = id_of("local:100/vm-100-disk-7.raw");

    make_chain(f, &one, &two);
    struct volume_id wrong[] = {one, two}, right[] = {two, one};
    assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&f->v, wrong, 2, &to, SIZE, 0)), -EINVAL);
    assert_string_equal(f->e.code, "image.chain");
    assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&f->v, NULL, 0, &to, SIZE, 0)), -EINVAL);
    assert_string_equal(f->e.code, "image.external");
    assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&f->v, right, 2, &to, SIZE * 2, 0)), -EINVAL);
    assert_string_equal(f->e.code, "image.size");
    assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&none, NULL, 0, &to, SIZE, 0)), -ENOENT);
    assert_false(exists(f, &to));
    /* somebody else's is left alone */
    assert_int_equal(volume_create(f->s, &to, SIZE, "UPID:other", &f->e), 0);
    assert_int_equal(run(f, &step_volume_copy, guest_step_volume_copy(&f->v, right, 2, &to, SIZE, 0)), -EEXIST);
    assert_true(exists(f, &to));
}

static void test_merge(void **state)
{
    struct fixture *f = *state;
    struct volume_id one, two;
    struct volume_attachment a;

    make_chain(f, &one, &two);
    const char *flat = flattened(f, &f->v);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(run(f, &step_volume_merge, guest_step_volume_merge(&two, 0, &one, 1)), 0);
        assert_false(exists(f, &two));
        assert_same(path_of(f, &f->v), flat);
    }
    assert_int_equal(volume_open_on(f->s, &f->v, &one, true, &a, &f->e), 0);
    close(a.fd);
    /* the lowest; grown meanwhile */
    assert_int_equal(volume_grow(f->s, &f->v, SIZE * 2, &f->e), 0);
    flat = flattened(f, &f->v);
    assert_int_equal(run(f, &step_volume_merge, guest_step_volume_merge(&one, 0, NULL, 0)), 0);
    assert_int_equal(run(f, &step_volume_merge, guest_step_volume_merge(&one, 0, NULL, 0)), 0);
    assert_same(path_of(f, &f->v), flat);
    assert_int_equal(volume_open(f->s, &f->v, true, &a, &f->e), 0);
    assert_int_equal(a.size_bytes, SIZE * 2);
    close(a.fd);
}

/* A layer into the one below it: what stands on the upper one, by its name, reads as before. */
static void test_merge_of_layers(void **state)
{
    struct fixture *f = *state;
    struct volume_id one, two;

    make_chain(f, &one, &two);
    const char *flat = flattened(f, &f->v);
    assert_int_equal(run(f, &step_volume_merge, guest_step_volume_merge(&two, 1, NULL, 0)), -EINVAL);
    assert_string_equal(f->e.code, "image.chain"); /* the other way round */
    assert_int_equal(run(f, &step_volume_merge, guest_step_volume_merge(&one, 2, NULL, 0)), 0);
    assert_false(exists(f, &one));
    assert_same(path_of(f, &f->v), flat);
    assert_int_equal(run(f, &step_volume_merge, guest_step_volume_merge(&one, 2, NULL, 0)), 0);
}

int main(void)
{
    const char *argv[] = {"qemu-io", "--version", NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copy_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merge_of_layers, set_up, tear_down),
    };

    if (getuid() != 0 || run_program(argv) != 0)
        return 77; /* skipped: needs root and QEMU's tools */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
