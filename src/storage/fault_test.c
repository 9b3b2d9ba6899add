/* Disk full, I/O errors and missing features of a file system at every system call of a creation and a receive: the
 * operation fails or succeeds as a whole, and a failure leaves nothing behind. Linked with tests/lib/faultfs. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "faultfs.h"
#include "storage/test_plugins.h"

struct fixture {
    char root[64];
    struct storage *s;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (test_plugin_folder(f->root, sizeof(f->root)) < 0)
        return -1;
    f->s = test_plugin_storage(f->root, "");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    faultfs_arm(NULL);
    storage_unref(f->s);
    int r = test_plugin_folder_remove(f->root);
    free(f);
    return r;
}

static struct volume_id id_of(const char *text)
{
    struct volume_id v;
    struct err e = ERR_INIT;
    assert_int_equal(volume_id_parse(text, &v, &e), 0);
    return v;
}

static unsigned n_files;
static char a_file[256];

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (type != FTW_D) {
        n_files++;
        snprintf(a_file, sizeof(a_file), "%s", path);
    }
    return 0;
}

/* Files of any kind and name below the root. */
static unsigned files(const struct fixture *f)
{
    n_files = 0;
    assert_int_equal(nftw(f->root, count_file, 16, FTW_PHYS), 0);
    return n_files;
}

static bool has_owner_folder(const struct fixture *f, const char *below)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/store/%s", f->root, below);
    return access(path, F_OK) == 0;
}

static const char *const errors[] = {"ENOSPC", "EIO", "EDQUOT", "EROFS"};

typedef int (*operation)(struct storage *s, struct err *e);

/* Runs op with the n-th call failing, n = 1 until it is not reached any more; a failed operation leaves no file. extra:
 * more rules. Returns the number of calls. */
static unsigned long walk(const struct fixture *f, struct storage *s, operation op, const struct volume_id *v,
                          const char *mode, const char *error, const char *extra)
{
    for (unsigned long n = 1;; n++) {
        struct err e = ERR_INIT;
        char spec[300];
        snprintf(spec, sizeof(spec), "any:%lu:%s:%s:%s%s", n, mode, error, f->root, extra);
        assert_int_equal(faultfs_arm(spec), 0);
        int r = op(s, &e);
        unsigned long reached = faultfs_count();
        assert_int_equal(faultfs_arm(NULL), 0);
        if (r < 0 && files(f) != 0)
            fail_msg("%s of call %lu (%s): %s is left", error, n, e.text, a_file);
        if (r < 0 && has_owner_folder(f, "images/100") && strcmp(mode, "once") == 0)
            fail_msg("%s of call %lu (%s): the owner's folder is left", error, n, e.text);
        if (r < 0 && (!e.code[0] || !e.text[0] || e.num != r))
            fail_msg("%s of call %lu: bad error", error, n);
        if (r < 0 && (streq(error, "ENOSPC") || streq(error, "EDQUOT")) &&
            (r != -ENOSPC || !streq(e.code, "storage.full")))
            fail_msg("%s of call %lu: %s %s", error, n, e.code, e.text);
        if (r == 0) {
            /* whole, and of the right size */
            struct volume_info info;
            assert_int_equal(volume_stat(s, v, &info, &e), 0);
            assert_int_equal(info.size_bytes, v->content == STORAGE_CONTENT_images ? 1 << 20 : 3000);
            assert_int_equal(files(f), 1);
            assert_int_equal(volume_delete(s, v, "mark", &e), 0);
            if (files(f) != 0)
                fail_msg("%s of call %lu: not removed by its mark", error, n);
        }
        if (reached < n) {
            assert_int_equal(r, 0);
            return n - 1;
        }
        /* the owner's folder may stay when its removal was made to fail; the next run starts clean all the same */
        struct volume_id owner = id_of("local:100/vm-100-disk-9.raw");
        assert_int_equal(volume_delete(s, &owner, NULL, &e), 0);
    }
}

static int create_raw(struct storage *s, struct err *e)
{
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw");
    return volume_create(s, &v, 1 << 20, "mark", e);
}

static int create_qcow2(struct storage *s, struct err *e)
{
    struct volume_id v = id_of("local:100/vm-100-disk-0.qcow2");
    return volume_create(s, &v, 1 << 20, "mark", e);
}

static void walk_all(const struct fixture *f, struct storage *s, operation op, const char *name, unsigned long at_least)
{
    struct volume_id v = id_of(name);
    char no_tmpfile[100];

    snprintf(no_tmpfile, sizeof(no_tmpfile), ",tmpfile:1:sticky:EOPNOTSUPP:%s", f->root);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        assert_true(walk(f, s, op, &v, "once", errors[i], "") >= at_least);
        assert_true(walk(f, s, op, &v, "sticky", errors[i], "") >= at_least);
        assert_true(walk(f, s, op, &v, "once", errors[i], no_tmpfile) >= at_least);
        assert_true(walk(f, s, op, &v, "sticky", errors[i], no_tmpfile) >= at_least);
    }
}

static void test_create_raw(void **state)
{
    struct fixture *f = *state;
    walk_all(f, f->s, create_raw, "local:100/vm-100-disk-0.raw", 10);
}

static void test_create_qcow2(void **state)
{
    struct fixture *f = *state;
    walk_all(f, f->s, create_qcow2, "local:100/vm-100-disk-0.qcow2", 13);
}

static void test_create_preallocated(void **state)
{
    struct fixture *f = *state;
    struct storage *s = test_plugin_storage(f->root, ",\"preallocation\":\"falloc\"");
    struct err e = ERR_INIT;

    walk_all(f, s, create_raw, "local:100/vm-100-disk-0.raw", 10);
    assert_int_equal(faultfs_arm("fallocate:1:EOPNOTSUPP"), 0);
    assert_int_equal(create_raw(s, &e), -EOPNOTSUPP);
    assert_string_equal(e.code, "storage.preallocation");
    assert_int_equal(faultfs_arm("fallocate:1:EINTR"), 0); /* interrupted: tried again */
    assert_int_equal(create_raw(s, &e), 0);
    storage_unref(s);
}

/* ---- layers and copies ---- */

/* Makes a second image of the first one, 100/vm-100-disk-0; undo removes it again, whatever became of it. */
struct verb {
    const char *ending;
    bool is_fork;
};

static int make_second(const struct verb *verb, struct storage *s, bool is_undo, struct err *e)
{
    char name[64];
    snprintf(name, sizeof(name), "local:100/vm-100-disk-0.%s", verb->ending);
    struct volume_id v = id_of(name);
    snprintf(name, sizeof(name), "local:101/vm-101-disk-0.%s", verb->ending);
    struct volume_id to = id_of(name);

    if (verb->is_fork)
        return is_undo ? volume_delete(s, &to, "mark", e) : volume_fork(s, &v, &to, "mark", e);
    return is_undo ? volume_unfreeze(s, &v, 1, e) : volume_freeze(s, &v, 1, e);
}

/* The n-th call fails, n = 1 until it is not reached any more: a failure leaves the first image alone as it was. */
static unsigned long walk_second(const struct fixture *f, const struct verb *verb, const char *error, const char *extra)
{
    for (unsigned long n = 1;; n++) {
        struct err e = ERR_INIT;
        char spec[300];
        snprintf(spec, sizeof(spec), "any:%lu:once:%s:%s%s", n, error, f->root, extra);
        assert_int_equal(faultfs_arm(spec), 0);
        int r = make_second(verb, f->s, false, &e);
        unsigned long reached = faultfs_count();
        assert_int_equal(faultfs_arm(NULL), 0);
        if (files(f) != (r < 0 ? 1 : 2))
            fail_msg("%s of call %lu (%d %s): %u files, one is %s", error, n, r, e.text, n_files, a_file);
        if (r < 0 && has_owner_folder(f, "images/101"))
            fail_msg("%s of call %lu (%s): the owner's folder is left", error, n, e.text);
        if (r < 0 && streq(error, "ENOSPC") && (r != -ENOSPC || !streq(e.code, "storage.full")))
            fail_msg("%s of call %lu: %d %s %s", error, n, r, e.code, e.text);
        assert_int_equal(make_second(verb, f->s, true, &e), 0);
        assert_int_equal(files(f), 1);
        if (reached < n)
            return n - 1;
    }
}

static void test_layers(void **state)
{
    struct fixture *f = *state;
    static const struct verb verbs[] = {{"raw", false}, {"raw", true}, {"qcow2", false}, {"qcow2", true}};
    char no_tmpfile[100];

    snprintf(no_tmpfile, sizeof(no_tmpfile), ",tmpfile:1:sticky:EOPNOTSUPP:%s", f->root);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        bool is_raw = streq(verbs[i].ending, "raw");
        struct volume_id v = id_of(is_raw ? "local:100/vm-100-disk-0.raw" : "local:100/vm-100-disk-0.qcow2");
        struct err e = ERR_INIT;
        assert_int_equal(volume_create(f->s, &v, 1 << 20, NULL, &e), 0);
        assert_true(walk_second(f, &verbs[i], "ENOSPC", "") >= 8);
        assert_true(walk_second(f, &verbs[i], "EIO", no_tmpfile) >= 8);
        assert_int_equal(volume_delete(f->s, &v, NULL, &e), 0);
    }
}

static bool is_replacing;

static int receive_iso(struct storage *s, struct err *e)
{
    struct volume_id v = id_of("local:iso/x.iso");
    autoclose int fd = -EBADF;
    char data[3000] = {1};
    int r = volume_receive_begin(s, &v, &fd, e);

    if (r < 0)
        return r;
    r = fs_write_all(fd, data, sizeof(data), e);
    if (r == 0)
        return volume_receive_finish(s, &v, fd, is_replacing, e);
    /* As the worker's caller does; the shape of its error is not what is tested here. */
    volume_receive_abort(s, &v, fd);
    return r == -ENOSPC || r == -EDQUOT ? err_set(e, -ENOSPC, "storage.full", "write") : r;
}

static void test_receive(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:iso/x.iso");
    char no_tmpfile[100];

    snprintf(no_tmpfile, sizeof(no_tmpfile), ",tmpfile:1:sticky:EOPNOTSUPP:%s", f->root);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
        for (int named = 0; named < 2; named++) {
            /* received files carry no mark: removed here by name */
            for (unsigned long n = 1;; n++) {
                struct err e = ERR_INIT;
                char spec[300];
                snprintf(spec, sizeof(spec), "any:%lu:once:%s:%s%s", n, errors[i], f->root, named ? no_tmpfile : "");
                assert_int_equal(faultfs_arm(spec), 0);
                int r = receive_iso(f->s, &e);
                unsigned long reached = faultfs_count();
                assert_int_equal(faultfs_arm(NULL), 0);
                if (r < 0 && files(f) != 0)
                    fail_msg("%s of call %lu (%s): %s is left", errors[i], n, e.text, a_file);
                assert_int_equal(volume_delete(f->s, &v, NULL, &e), 0);
                assert_int_equal(files(f), 0);
                if (reached < n)
                    break;
            }
        }
}

/* Replacing: whatever fails, exactly one file is there, and it is the old or the new one, whole. */
static void test_receive_replaces(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:iso/x.iso");
    struct volume_info info;
    struct err e = ERR_INIT;
    unsigned long n = 0, reached;
    unsigned n_old = 0, n_new = 0;

    is_replacing = true;
    do {
        autoclose int fd = -EBADF;
        char spec[300];
        n++;
        assert_int_equal(volume_delete(f->s, &v, NULL, &e), 0);
        assert_int_equal(volume_receive_begin(f->s, &v, &fd, &e), 0);
        assert_int_equal(fs_write_all(fd, "old", 3, &e), 0);
        assert_int_equal(volume_receive_finish(f->s, &v, fd, false, &e), 0);
        snprintf(spec, sizeof(spec), "any:%lu:once:EIO:%s", n, f->root);
        assert_int_equal(faultfs_arm(spec), 0);
        int r = receive_iso(f->s, &e);
        reached = faultfs_count();
        assert_int_equal(faultfs_arm(NULL), 0);
        if (files(f) != 1)
            fail_msg("EIO of call %lu: %u files", n, n_files);
        assert_int_equal(volume_stat(f->s, &v, &info, &e), 0);
        assert_true(info.size_bytes == 3000 || (r < 0 && info.size_bytes == 3));
        *(info.size_bytes == 3 ? &n_old : &n_new) += 1;
    } while (reached >= n);
    assert_true(n_old > 5 && n_new >= 1);
    is_replacing = false;
}

/* A failing removal of the old name: nothing is lost but the space. */
static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw");
    struct err e = ERR_INIT;

    assert_int_equal(create_raw(f->s, &e), 0);
    assert_int_equal(faultfs_arm("unlink:1:EIO"), 0);
    assert_int_equal(volume_delete(f->s, &v, NULL, &e), -EIO);
    assert_int_equal(files(f), 1);
    assert_int_equal(faultfs_arm("fsync:1:EIO"), 0); /* gone, but not surely so: said, and tried again */
    assert_int_equal(volume_delete(f->s, &v, NULL, &e), -EIO);
    assert_int_equal(faultfs_arm(NULL), 0);
    assert_int_equal(volume_delete(f->s, &v, NULL, &e), 0);
    assert_false(has_owner_folder(f, "images/100"));
}

/* A file system without extended attributes: the mark still tells our volume from others', until somebody writes. */
static void test_no_xattr(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw");
    struct volume_attachment a;
    struct err e = ERR_INIT;
    const char *spec = "setxattr:1:sticky:EOPNOTSUPP,getxattr:1:sticky:EOPNOTSUPP";

    assert_int_equal(faultfs_arm(spec), 0);
    assert_int_equal(create_raw(f->s, &e), 0);
    assert_int_equal(volume_delete(f->s, &v, "other mark", &e), 0);
    assert_int_equal(files(f), 1);
    assert_int_equal(volume_delete(f->s, &v, "mark", &e), 0);
    assert_int_equal(files(f), 0);
    assert_int_equal(create_raw(f->s, &e), 0);
    assert_int_equal(volume_open(f->s, &v, false, &a, &e), 0);
    assert_int_equal(fs_write_all(a.fd, "data", 4, &e), 0);
    close(a.fd);
    assert_int_equal(volume_delete(f->s, &v, "mark", &e), 0);
    assert_int_equal(files(f), 1); /* somebody's data */
    assert_int_equal(volume_delete(f->s, &v, NULL, &e), 0);
    assert_int_equal(files(f), 0);
}

#define with_folder(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_folder(test_create_raw), with_folder(test_create_qcow2),     with_folder(test_create_preallocated),
        with_folder(test_receive),    with_folder(test_receive_replaces), with_folder(test_delete),
        with_folder(test_no_xattr),   with_folder(test_layers),
    };
    return test_plugins_run(tests, ARRAY_SIZE(tests));
}
