/* Layers of an image in a folder: what is frozen keeps its bytes, what goes on stands on it and on nothing else, and
 * all of it can be taken back. qemu-io writes and reads, as a guest would; without it those tests are skipped. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fp.h"
#include "base/fs.h"
#include "storage/test_plugins.h"

#define SIZE ((uint64_t)1 << 20)

struct fixture {
    char root[64];
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

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (test_plugin_folder(f->root, sizeof(f->root)) < 0)
        return -1;
    *state = f;
    f->s = test_plugin_storage(f->root, "");
    f->v = id_of("local:100/vm-100-disk-0.qcow2");
    return volume_create(f->s, &f->v, SIZE, "mark", &f->e);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    storage_unref(f->s);
    int r = test_plugin_folder_remove(f->root);
    free(f);
    return r;
}

static const char *path_of(const struct fixture *f, const struct volume_id *v)
{
    char below[300];

    snprintf(below, sizeof(below), "images/%u/%s", v->vmid, volume_file(v).name);
    return test_plugin_path(f->root, below);
}

static bool exists(const struct fixture *f, const struct volume_id *v)
{
    return access(path_of(f, v), F_OK) == 0;
}

static int qemu(const char *program, const char *a, const char *b, const char *path)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execlp(program, program, a, b, path, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void need_qemu(void)
{
    if (qemu("qemu-io", "--version", "--version", "") == 127)
        skip();
}

#define PUT_BYTES 65536u

/* A byte all over the first 64 KiB. */
static void put(struct fixture *f, const struct volume_id *v, char byte)
{
    char command[64], bytes[PUT_BYTES];

    if (v->format == VOLUME_RAW) {
        struct volume_attachment a;
        assert_int_equal(volume_open(f->s, v, false, &a, &f->e), 0);
        memset(bytes, byte, sizeof(bytes));
        assert_int_equal(pwrite(a.fd, bytes, sizeof(bytes), 0), sizeof(bytes));
        close(a.fd);
        return;
    }
    snprintf(command, sizeof(command), "write -P 0x%02x 0 64k", byte);
    assert_int_equal(qemu("qemu-io", "-c", command, path_of(f, v)), 0);
}

static bool holds(struct fixture *f, const struct volume_id *v, char byte)
{
    char command[64], bytes[PUT_BYTES];

    if (v->format == VOLUME_RAW) {
        struct volume_attachment a;
        assert_int_equal(volume_open(f->s, v, true, &a, &f->e), 0);
        assert_int_equal(a.size_bytes, SIZE);
        assert_int_equal(pread(a.fd, bytes, sizeof(bytes), 0), sizeof(bytes));
        close(a.fd);
        return bytes[0] == byte && memcmp(bytes, bytes + 1, sizeof(bytes) - 1) == 0;
    }
    snprintf(command, sizeof(command), "read -P 0x%02x 0 64k", byte);
    return qemu("qemu-io", "-rc", command, path_of(f, v)) == 0;
}

static void assert_clean(const struct fixture *f, const struct volume_id *v)
{
    assert_int_equal(qemu("qemu-img", "check", "-fqcow2", path_of(f, v)), 0);
}

#define assert_refused(call, wanted)                                                                                   \
    do {                                                                                                               \
        f->e = (struct err)ERR_INIT;                                                                                   \
        assert_true((call) < 0);                                                                                       \
        assert_string_equal(f->e.code, wanted);                                                                        \
    } while (0)

static void test_freeze(void **state)
{
    struct fixture *f = *state;
    struct volume_id one = volume_layer(&f->v, 1), two = volume_layer(&f->v, 2);
    struct volume_attachment a;

    need_qemu();
    put(f, &f->v, 1);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    assert_true(holds(f, &f->v, 1));
    put(f, &f->v, 2);
    assert_int_equal(volume_freeze(f->s, &f->v, 2, &f->e), 0);
    put(f, &f->v, 3);
    assert_true(holds(f, &one, 1) && holds(f, &two, 2) && holds(f, &f->v, 3));
    assert_clean(f, &f->v);
    assert_refused(volume_freeze(f->s, &f->v, 2, &f->e), "volume.exists");
    assert_true(holds(f, &two, 2) && holds(f, &f->v, 3));
    /* each opens on what it stands on, and on nothing else */
    assert_refused(volume_open(f->s, &f->v, false, &a, &f->e), "image.external");
    assert_refused(volume_open_on(f->s, &f->v, &one, false, &a, &f->e), "image.chain");
    assert_int_equal(volume_open_on(f->s, &f->v, &two, false, &a, &f->e), 0);
    assert_true(a.size_bytes == SIZE && a.format == VOLUME_QCOW2);
    close(a.fd);
    assert_int_equal(volume_open_on(f->s, &two, &one, true, &a, &f->e), 0);
    close(a.fd);
    assert_refused(volume_open_on(f->s, &one, &two, true, &a, &f->e), "image.chain");
    assert_int_equal(volume_open(f->s, &one, true, &a, &f->e), 0);
    close(a.fd);
}

static void test_unfreeze(void **state)
{
    struct fixture *f = *state;
    struct volume_id one = volume_layer(&f->v, 1);

    need_qemu();
    put(f, &f->v, 1);
    assert_int_equal(volume_unfreeze(f->s, &f->v, 1, &f->e), 0); /* nothing to take back */
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    assert_int_equal(volume_unfreeze(f->s, &f->v, 1, &f->e), 0);
    assert_false(exists(f, &one));
    assert_true(holds(f, &f->v, 1));
    /* half done: the layer is linked, the overlay did not come */
    char from[300];
    snprintf(from, sizeof(from), "%s", path_of(f, &f->v));
    assert_int_equal(link(from, path_of(f, &one)), 0);
    assert_int_equal(volume_unfreeze(f->s, &f->v, 1, &f->e), 0);
    assert_false(exists(f, &one));
    assert_true(holds(f, &f->v, 1));
    assert_int_equal(volume_unfreeze(f->s, &f->v, 1, &f->e), 0);
    assert_true(exists(f, &f->v));
}

/* Back to a layer: a fork of it under the next number changes places with the volume, and back again. */
static void check_reset(struct fixture *f)
{
    struct volume_id one = volume_layer(&f->v, 1), two = volume_layer(&f->v, 2);

    put(f, &f->v, 1);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    put(f, &f->v, 2);
    assert_int_equal(volume_fork(f->s, &one, &two, "task", &f->e), 0);
    assert_refused(volume_fork(f->s, &one, &two, "task", &f->e), "volume.exists");
    assert_int_equal(volume_exchange(f->s, &f->v, 2, "other", false, &f->e), 0);
    assert_int_equal(volume_exchange(f->s, &f->v, 2, "task", true, &f->e), 0);
    assert_true(holds(f, &f->v, 2) && holds(f, &two, 1));
    for (int twice = 0; twice < 2; twice++) { /* again, after a crash */
        assert_int_equal(volume_exchange(f->s, &f->v, 2, "task", false, &f->e), 0);
        assert_true(holds(f, &f->v, 1) && holds(f, &two, 2));
    }
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(volume_exchange(f->s, &f->v, 2, "task", true, &f->e), 0);
        assert_true(holds(f, &f->v, 2) && holds(f, &two, 1));
    }
    assert_int_equal(volume_delete(f->s, &two, "other", &f->e), 0);
    assert_true(exists(f, &two));
    assert_int_equal(volume_delete(f->s, &two, "task", &f->e), 0);
    assert_false(exists(f, &two));
    assert_int_equal(volume_exchange(f->s, &f->v, 2, "task", false, &f->e), 0); /* nothing to exchange with */
}

static void test_reset(void **state)
{
    need_qemu();
    check_reset(*state);
}

/* The fixture's volume is a raw one from here on. */
static void go_raw(struct fixture *f)
{
    assert_int_equal(volume_delete(f->s, &f->v, NULL, &f->e), 0);
    f->v = id_of("local:100/vm-100-disk-0.raw");
    assert_int_equal(volume_create(f->s, &f->v, SIZE, "mark", &f->e), 0);
}

static void test_reset_raw(void **state)
{
    go_raw(*state);
    check_reset(*state);
}

/* Layers and copies of a raw image are its own: nothing of what is written or noted on one is seen on another. */
static void test_freeze_raw(void **state)
{
    struct fixture *f = *state;
    struct volume_note note = {.is_protected = true, .notes = "mine"}, found;
    struct volume_id one, two, clone = id_of("local:101/vm-101-disk-0.raw");

    go_raw(f);
    one = volume_layer(&f->v, 1);
    two = volume_layer(&f->v, 2);
    assert_int_equal(volume_note_set(f->s, &f->v, &note, &f->e), 0);
    put(f, &f->v, 1);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    put(f, &f->v, 2);
    assert_int_equal(volume_freeze(f->s, &f->v, 2, &f->e), 0);
    put(f, &f->v, 3);
    assert_true(holds(f, &one, 1) && holds(f, &two, 2) && holds(f, &f->v, 3));
    assert_refused(volume_freeze(f->s, &f->v, 2, &f->e), "volume.exists");
    assert_true(holds(f, &two, 2) && holds(f, &f->v, 3));
    assert_int_equal(volume_delete(f->s, &one, "mark", &f->e), 0); /* the volume's mark is not the layer's */
    assert_true(exists(f, &one));
    assert_int_equal(volume_fork(f->s, &one, &clone, "task", &f->e), 0);
    put(f, &clone, 4);
    assert_true(holds(f, &one, 1) && holds(f, &clone, 4));
    assert_int_equal(volume_note_get(f->s, &clone, &found, &f->e), 0);
    assert_true(!found.is_protected && !found.notes[0]);
    assert_int_equal(volume_grow(f->s, &clone, 2 * SIZE, &f->e), 0);
    assert_int_equal(volume_unfreeze(f->s, &f->v, 2, &f->e), 0);
    assert_false(exists(f, &two));
    assert_int_equal(volume_delete(f->s, &clone, "task", &f->e), 0);
    assert_int_equal(volume_delete(f->s, &one, NULL, &f->e), 0);
    assert_true(holds(f, &f->v, 3));
}

/* Names change within a guest and between guests, of a volume and of its layers. */
static void test_rename_raw(void **state)
{
    struct fixture *f = *state;
    struct volume_id one, to = id_of("local:101/base-101-disk-5.raw"), to_one = volume_layer(&to, 7);

    go_raw(f);
    one = volume_layer(&f->v, 1);
    put(f, &f->v, 1);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    put(f, &f->v, 2);
    for (int twice = 0; twice < 2; twice++) { /* again, after a crash */
        assert_int_equal(volume_rename(f->s, &f->v, &to, &f->e), 0);
        assert_int_equal(volume_rename(f->s, &one, &to_one, &f->e), 0);
    }
    assert_true(holds(f, &to, 2) && holds(f, &to_one, 1));
    assert_false(exists(f, &f->v) || exists(f, &one));
    assert_int_equal(volume_create(f->s, &f->v, SIZE, NULL, &f->e), 0);
    assert_refused(volume_rename(f->s, &f->v, &to, &f->e), "volume.exists");
    assert_refused(volume_rename(f->s, &f->v, &to_one, &f->e), "volume.exists");
    assert_true(holds(f, &to, 2) && holds(f, &to_one, 1) && holds(f, &f->v, 0));
}

static void test_linked_clone(void **state)
{
    struct fixture *f = *state;
    struct volume_id base = id_of("local:100/base-100-disk-0.qcow2"), raw = id_of("local:100/base-100-disk-1.raw");
    struct volume_id clone = id_of("local:101/vm-101-disk-0.qcow2"), other = id_of("local:101/vm-101-disk-1.qcow2");
    struct volume_id one = volume_layer(&clone, 1);
    struct volume_attachment a;

    need_qemu();
    put(f, &f->v, 7);
    assert_int_equal(volume_rename(f->s, &f->v, &base, &f->e), 0);
    assert_int_equal(volume_rename(f->s, &f->v, &base, &f->e), 0); /* again, after a crash */
    assert_int_equal(volume_fork(f->s, &base, &clone, "task", &f->e), 0);
    assert_true(holds(f, &clone, 7));
    put(f, &clone, 8);
    assert_true(holds(f, &base, 7));
    assert_int_equal(volume_open_on(f->s, &clone, &base, false, &a, &f->e), 0);
    close(a.fd);
    assert_int_equal(volume_freeze(f->s, &clone, 1, &f->e), 0);
    assert_int_equal(volume_open_on(f->s, &one, &base, true, &a, &f->e), 0);
    close(a.fd);
    assert_true(holds(f, &clone, 8));
    /* an overlay on a raw image; the other way round there is none */
    assert_int_equal(volume_create(f->s, &raw, SIZE, NULL, &f->e), 0);
    assert_int_equal(volume_fork(f->s, &raw, &other, NULL, &f->e), 0);
    assert_true(holds(f, &other, 0));
    struct volume_id flat = id_of("local:101/vm-101-disk-2.raw");
    assert_refused(volume_fork(f->s, &base, &flat, NULL, &f->e), "storage.format");
    assert_refused(volume_rename(f->s, &clone, &other, &f->e), "volume.exists");
}

/* A raw image has a layer where the file system can copy by reference, and a clear word where it cannot. */
static void test_raw(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-1.raw"), one = volume_layer(&v, 1);

    struct volume_id small = id_of("local:100/vm-100-disk-2.raw"), copy = volume_layer(&small, 1);

    /* a small one everywhere */
    assert_int_equal(volume_create(f->s, &small, SIZE, NULL, &f->e), 0);
    assert_int_equal(volume_freeze(f->s, &small, 1, &f->e), 0);
    assert_true(exists(f, &copy));
    assert_int_equal(volume_create(f->s, &v, 64 * SIZE, NULL, &f->e), 0);
    f->e = (struct err)ERR_INIT;
    if (volume_freeze(f->s, &v, 1, &f->e) < 0) {
        assert_false(test_plugin->can_copy_raw);
        assert_string_equal(f->e.code, "volume.snapshot");
        assert_true(f->e.hint[0]);
        assert_false(exists(f, &one));
        return;
    }
    assert_true(exists(f, &one));
    assert_int_equal(volume_unfreeze(f->s, &v, 1, &f->e), 0);
    assert_false(exists(f, &one));
    assert_true(exists(f, &v));
}

/* ---- kills ---- */

enum verb { FREEZE, FORK, EXCHANGE, RENAME, DELETE };

static int do_verb(struct fixture *f, enum verb verb)
{
    struct volume_id two = volume_layer(&f->v, 2), other = id_of("local:101/vm-101-disk-0.raw");

    switch (verb) {
    case FREEZE:
        return volume_freeze(f->s, &f->v, 1, &f->e);
    case FORK:
        return volume_fork(f->s, &f->v, &two, "task", &f->e);
    case EXCHANGE:
        return volume_exchange(f->s, &f->v, 2, "task", false, &f->e);
    case RENAME:
        return volume_rename(f->s, &f->v, &other, &f->e);
    case DELETE:
        return volume_delete(f->s, &two, "task", &f->e);
    }
    return -EINVAL;
}

static void killed_at(struct fixture *f, const char *point, enum verb verb)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        char spec[80];
        snprintf(spec, sizeof(spec), "%s=kill", point);
        setenv("HOLM_FP", spec, 1);
        fp_init();
        _exit(do_verb(f, verb) == 0 ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Entries of the guest's folder, hidden ones too. */
static unsigned entries(struct fixture *f, const char *below)
{
    char path[300];
    unsigned n = 0;

    snprintf(path, sizeof(path), "%s/store/images/%s", f->root, below);
    DIR *d = opendir(path);
    for (struct dirent *de; d && (de = readdir(d));)
        n += !streq(de->d_name, ".") && !streq(de->d_name, "..");
    if (d)
        closedir(d);
    return n;
}

/* Killed in the middle, then taken back (or done again) as the journal would, then the daemon starts: finished or
 * undone, and nothing hidden is left. */
static void test_killed_raw(void **state)
{
    struct fixture *f = *state;
    struct volume_id one, two, other = id_of("local:101/vm-101-disk-0.raw");
    int64_t later = time(NULL) + 10;

    go_raw(f);
    one = volume_layer(&f->v, 1);
    two = volume_layer(&f->v, 2);
    put(f, &f->v, 1);
    static const char *const points[] = {"storage.create.written", "storage.create.linked"};
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        killed_at(f, points[i], FREEZE);
        assert_int_equal(exists(f, &one), i);
        assert_int_equal(volume_unfreeze(f->s, &f->v, 1, &f->e), 0);
        killed_at(f, points[i], FORK);
        assert_int_equal(exists(f, &two), i);
        assert_int_equal(volume_delete(f->s, &two, "task", &f->e), 0);
        assert_int_equal(storage_sweep(f->s, later, NULL, &f->e), 0);
        assert_int_equal(entries(f, "100"), 1);
    }
    assert_int_equal(do_verb(f, FORK), 0);
    put(f, &two, 2);
    killed_at(f, "storage.exchange.done", EXCHANGE);
    assert_int_equal(do_verb(f, EXCHANGE), 0); /* is done already */
    assert_true(holds(f, &f->v, 2) && holds(f, &two, 1));
    assert_int_equal(volume_exchange(f->s, &f->v, 2, "task", true, &f->e), 0);
    killed_at(f, "storage.delete.unlinked", DELETE);
    assert_int_equal(do_verb(f, DELETE), 0);
    killed_at(f, "storage.rename.done", RENAME);
    assert_int_equal(do_verb(f, RENAME), 0);
    assert_true(holds(f, &other, 1));
    assert_int_equal(storage_sweep(f->s, later, NULL, &f->e), 0);
    assert_int_equal(entries(f, "101"), 1);
    assert_int_equal(entries(f, ""), 1);
}

struct found {
    unsigned n;
    uint32_t sum;
};

static int found_layer(void *arg, const struct volume_info *info)
{
    struct found *l = arg;

    l->n++;
    l->sum += info->id.layer;
    assert_string_equal(info->id.name, "vm-100-disk-0.qcow2");
    return 0;
}

static int found_volume(void *arg, const struct volume_info *info)
{
    assert_int_equal(info->id.layer, 0);
    ++*(unsigned *)arg;
    return 0;
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    struct found l = {0};
    unsigned n = 0;

    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(volume_freeze(f->s, &f->v, i * 10, &f->e), 0);
    assert_int_equal(volume_layers(f->s, 100, found_layer, &l, &f->e), 0);
    assert_int_equal(l.n, 3);
    assert_int_equal(l.sum, 60);
    assert_int_equal(volume_layers(f->s, 101, found_layer, &l, &f->e), 0);
    assert_int_equal(l.n, 3);
    assert_int_equal(volume_list(f->s, STORAGE_CONTENT_images, 0, found_volume, &n, &f->e), 0);
    assert_int_equal(n, 1);
}

static void test_names(void **state)
{
    static const char *const layers[] = {"snap-100-disk-0-1.qcow2", "snap-100-disk-0-999999.raw",
                                         "basesnap-100-disk-0-7.raw", "snap-100-state-x-y-2.raw"};
    static const char *const others[] = {"vm-100-disk-0.raw",
                                         "snap-100-disk-0-0.raw",
                                         "snap-100-disk-0-01.raw",
                                         "snap-101-disk-0-1.raw",
                                         "snap-100-1.raw",
                                         "snap-100--1.raw",
                                         "snap-100-disk-0-1.iso",
                                         "snap-100-disk-0-1",
                                         "snap-100-disk-0-.raw",
                                         "snap-100-disk-0-1x.raw",
                                         "snap-100-disk-0-+1.raw",
                                         "snap-",
                                         "snap-100-a-1000000.raw",
                                         "snap-.raw",
                                         "-1.raw",
                                         "snap-100-/../x-1.raw",
                                         "",
                                         "snap--1.raw"};
    struct volume_id v;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
        if (volume_layer_of_file("local", 100, layers[i], &v) < 0)
            fail_msg("%s", layers[i]);
        assert_true(v.layer > 0 && v.vmid == 100);
        assert_string_equal(volume_file(&v).name, layers[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (volume_layer_of_file("local", 100, others[i], &v) == 0)
            fail_msg("%s", others[i]);
    /* nobody names a layer by its file */
    assert_int_equal(volume_id_parse("local:100/snap-100-disk-0-1.qcow2", &v, &e), -EINVAL);
    assert_int_equal(volume_id_parse("local:100/basesnap-100-disk-0-1.qcow2", &v, &e), -EINVAL);
}

/* The overlay goes, the layer below takes its name and what was said of it; twice is once. */
static void test_replace(void **state)
{
    struct fixture *f = *state;
    struct volume_id one = volume_layer(&f->v, 1), two = volume_layer(&f->v, 2);
    struct volume_note note = {.is_protected = true, .notes = "mine"}, found;
    struct volume_attachment a;

    need_qemu();
    put(f, &f->v, 1);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    assert_int_equal(volume_freeze(f->s, &f->v, 2, &f->e), 0);
    put(f, &f->v, 3);
    put(f, &two, 2);
    assert_int_equal(volume_note_set(f->s, &f->v, &note, &f->e), 0);
    assert_refused(volume_replace_by(f->s, &f->v, 0, 1, &f->e), "image.chain");
    assert_refused(volume_replace_by(f->s, &f->v, 1, 1, &f->e), "volume.name");
    for (int i = 0; i < 2; i++)
        assert_int_equal(volume_replace_by(f->s, &f->v, 0, 2, &f->e), 0);
    assert_false(exists(f, &two));
    assert_true(holds(f, &f->v, 2) && holds(f, &one, 1));
    assert_int_equal(volume_note_get(f->s, &f->v, &found, &f->e), 0);
    assert_true(found.is_protected && streq(found.notes, "mine"));
    assert_int_equal(volume_open_on(f->s, &f->v, &one, true, &a, &f->e), 0);
    close(a.fd);
    assert_int_equal(unlink(path_of(f, &one)), 0);
    assert_refused(volume_replace_by(f->s, &f->v, 0, 1, &f->e), "volume.missing");
}

/* A file in two steps: nobody sees it before the second, and nothing is left of one that is given up. */
static void test_make(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:101/vm-101-disk-0.qcow2");
    struct volume_info info;
    int fd;

    assert_int_equal(volume_make_begin(f->s, &v, SIZE, &fd, &f->e), 0);
    assert_false(exists(f, &v));
    volume_receive_abort(f->s, &v, fd);
    close(fd);
    assert_int_equal(volume_make_begin(f->s, &v, SIZE, &fd, &f->e), 0);
    assert_int_equal(volume_make_finish(f->s, &v, fd, "UPID:x", &f->e), 0);
    close(fd);
    assert_int_equal(volume_stat(f->s, &v, &info, &f->e), 0);
    assert_int_equal(info.size_bytes, SIZE);
    assert_refused(volume_make_begin(f->s, &v, SIZE, &fd, &f->e), "volume.exists");
    assert_int_equal(volume_delete(f->s, &v, "UPID:y", &f->e), 0);
    assert_true(exists(f, &v));
    assert_int_equal(volume_delete(f->s, &v, "UPID:x", &f->e), 0);
    assert_false(exists(f, &v));
    assert_refused(volume_make_begin(f->s, &v, 100, &fd, &f->e), "volume.size");
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct volume_id raw = id_of("local:100/vm-100-disk-9.raw"), far = f->v;
    struct volume_attachment a;

    assert_refused(volume_freeze(f->s, &f->v, 0, &f->e), "volume.name");
    assert_refused(volume_freeze(f->s, &f->v, VOLUME_LAYER_MAX + 1, &f->e), "volume.layer");
    assert_refused(volume_freeze(f->s, &raw, 1, &f->e), "volume.missing");
    assert_refused(volume_fork(f->s, &raw, &far, NULL, &f->e), "volume.missing");
    assert_int_equal(volume_create(f->s, &raw, SIZE, NULL, &f->e), 0);
    assert_refused(volume_open_on(f->s, &raw, &f->v, true, &a, &f->e), "image.chain");
    assert_refused(volume_rename(f->s, &raw, &f->v, &f->e), "storage.format");
    snprintf(far.storage, sizeof(far.storage), "other");
    assert_refused(volume_fork(f->s, &f->v, &far, NULL, &f->e), "volume.storage");
}

#define with_volume(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_volume(test_freeze),       with_volume(test_unfreeze),   with_volume(test_reset),
        with_volume(test_linked_clone), with_volume(test_replace),    with_volume(test_make),
        with_volume(test_freeze_raw),   with_volume(test_reset_raw),  with_volume(test_rename_raw),
        with_volume(test_killed_raw),   with_volume(test_raw),        with_volume(test_lists),
        with_volume(test_refused),      cmocka_unit_test(test_names),
    };
    return test_plugins_run(tests, ARRAY_SIZE(tests));
}
