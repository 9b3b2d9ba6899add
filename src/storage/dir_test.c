/* Plugins that keep volumes below a folder, each on a real one: what is made has the size and the place it should, what
 * is in the way is refused, and no link leads out. Failing system calls are in fault_test.c. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fp.h"
#include "base/fs.h"
#include "storage/test_plugins.h"

struct fixture {
    char root[64];
    struct storage *s;
    struct err e;
};

static struct storage *open_storage(struct fixture *f, const char *more)
{
    return test_plugin_storage(f->root, more);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (test_plugin_folder(f->root, sizeof(f->root)) < 0)
        return -1;
    f->s = open_storage(f, "");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
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

static const char *path_of(struct fixture *f, const char *below)
{
    return test_plugin_path(f->root, below);
}

static bool exists(struct fixture *f, const char *below)
{
    return access(path_of(f, below), F_OK) == 0;
}

#define assert_refused(call, wanted)                                                                                   \
    do {                                                                                                               \
        f->e = (struct err)ERR_INIT;                                                                                   \
        assert_true((call) < 0);                                                                                       \
        assert_string_equal(f->e.code, wanted);                                                                        \
    } while (0)

static void test_create_raw(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw");
    struct volume_info info;
    struct stat st;

    assert_int_equal(volume_create(f->s, &v, UINT64_C(3) << 40, "UPID:x:", &f->e), 0);
    assert_int_equal(stat(path_of(f, "images/100/vm-100-disk-0.raw"), &st), 0);
    assert_int_equal(st.st_size, INT64_C(3) << 40);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(path_of(f, "images/100"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(volume_stat(f->s, &v, &info, &f->e), 0);
    assert_int_equal(info.size_bytes, UINT64_C(3) << 40);
    assert_true(info.used_bytes < 65536);
    assert_true(info.ctime_s > 0);
    assert_refused(volume_create(f->s, &v, 512, NULL, &f->e), "volume.exists");
    assert_int_equal(f->e.num, -EEXIST);
    assert_int_equal(volume_stat(f->s, &v, &info, &f->e), 0);
    assert_int_equal(info.size_bytes, UINT64_C(3) << 40);
}

static void test_create_sizes(void **state)
{
    struct fixture *f = *state;
    static const uint64_t sizes[] = {512, 1024, 65536, 1 << 20, (1 << 20) + 512, UINT64_C(1) << 40};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (int q = 0; q < 2; q++) {
            char text[80];
            struct volume_info info;
            struct volume_attachment a;
            snprintf(text, sizeof(text), "local:100/vm-100-disk-%zu.%s", i, q ? "qcow2" : "raw");
            struct volume_id v = id_of(text);
            assert_int_equal(volume_create(f->s, &v, sizes[i], NULL, &f->e), 0);
            assert_int_equal(volume_stat(f->s, &v, &info, &f->e), 0);
            assert_int_equal(info.size_bytes, sizes[i]);
            assert_int_equal(volume_open(f->s, &v, false, &a, &f->e), 0);
            assert_int_equal(a.size_bytes, sizes[i]);
            assert_int_equal(a.format, q ? VOLUME_QCOW2 : VOLUME_RAW);
            assert_int_equal(fcntl(a.fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
            assert_true(fcntl(a.fd, F_GETFD) & FD_CLOEXEC);
            close(a.fd);
        }
    /* more than the file system can address (tmpfs knows no such size): nothing is left, not even the owner's folder */
    struct volume_id v = id_of("local:200/vm-200-disk-0.raw");
    autoclose int probe = open(f->root, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (probe >= 0 && ftruncate(probe, INT64_MAX / 512 * 512) == 0)
        return;
    assert_refused(volume_create(f->s, &v, INT64_MAX / 512 * 512, NULL, &f->e), "volume.size");
    assert_false(exists(f, "images/200"));
}

static void test_qcow2_is_clean(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-0.qcow2");

    assert_int_equal(volume_create(f->s, &v, UINT64_C(10) << 30, NULL, &f->e), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *const argv[] = {
            "qemu-img", "check", "-q", "-f", "qcow2", path_of(f, "images/100/vm-100-disk-0.qcow2"), NULL};
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 127)
        skip();
    assert_int_equal(status, 0);
}

static void test_preallocation(void **state)
{
    struct fixture *f = *state;
    struct storage *s = open_storage(f, ",\"preallocation\":\"falloc\"");
    struct volume_id raw = id_of("local:100/vm-100-disk-0.raw"), qcow2 = id_of("local:100/vm-100-disk-1.qcow2");
    struct volume_info info;
    struct storage_space space;

    assert_int_equal(volume_create(s, &raw, 4 << 20, NULL, &f->e), 0);
    assert_int_equal(volume_stat(s, &raw, &info, &f->e), 0);
    assert_int_equal(info.size_bytes, 4 << 20);
    assert_true(info.used_bytes >= 4 << 20);
    assert_refused(volume_create(s, &qcow2, 4 << 20, NULL, &f->e), "storage.preallocation");
    assert_int_equal(volume_delete(s, &raw, NULL, &f->e), 0);
    assert_int_equal(storage_space_get(s, &space, &f->e), 0);
    assert_true(space.total_bytes >= space.used_bytes && space.total_bytes >= space.available_bytes);
    char needed[32];
    uint64_t size = (space.total_bytes + (1 << 30)) / 512 * 512;
    snprintf(needed, sizeof(needed), "%" PRIu64 " bytes needed", size);
    assert_refused(volume_create(s, &raw, size, NULL, &f->e), "storage.full");
    assert_int_equal(f->e.num, -ENOSPC);
    assert_non_null(strstr(f->e.text, needed));
    assert_non_null(strstr(f->e.text, "available"));
    assert_true(f->e.hint[0]);
    assert_false(exists(f, "images/100"));
    storage_unref(s);
}

static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct volume_id a = id_of("local:100/vm-100-disk-0.raw"), b = id_of("local:100/vm-100-disk-1.raw");

    assert_int_equal(volume_delete(f->s, &a, NULL, &f->e), 0); /* missing, even its folder */
    assert_int_equal(volume_create(f->s, &a, 512, "task-a", &f->e), 0);
    assert_int_equal(volume_create(f->s, &b, 512, NULL, &f->e), 0);
    assert_int_equal(volume_delete(f->s, &a, "task-b", &f->e), 0);
    assert_true(exists(f, "images/100/vm-100-disk-0.raw"));
    assert_int_equal(volume_delete(f->s, &b, "task-a", &f->e), 0);
    assert_true(exists(f, "images/100/vm-100-disk-1.raw")); /* carries no mark at all */
    assert_int_equal(volume_delete(f->s, &a, "task-a", &f->e), 0);
    assert_false(exists(f, "images/100/vm-100-disk-0.raw"));
    assert_int_equal(volume_delete(f->s, &a, "task-a", &f->e), 0);
    assert_int_equal(volume_delete(f->s, &b, NULL, &f->e), 0);
    assert_false(exists(f, "images/100"));
    assert_true(exists(f, "images"));
}

struct seen {
    char text[2000];
    unsigned n;
    unsigned stop_at;
};

static int note_volume(void *arg, const struct volume_info *info)
{
    struct seen *seen = arg;
    char id[VOLUME_ID_MAX + 1];
    size_t at = strlen(seen->text);
    volume_id_format(&info->id, id, sizeof(id));
    snprintf(seen->text + at, sizeof(seen->text) - at, "%s=%" PRIu64 " ", id, info->size_bytes);
    return ++seen->n == seen->stop_at ? -ECANCELED : 0;
}

/* A file of exactly this name, whatever a raw image is. */
static void put(struct fixture *f, const char *below, const void *data, size_t n)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/store/%s", f->root, below);
    autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, data, n, &f->e), 0);
}

static void test_list(void **state)
{
    struct fixture *f = *state;
    static const char *const images[] = {"local:1000/vm-1000-disk-0.raw", "local:200/vm-200-disk-1.qcow2",
                                         "local:200/vm-200-disk-0.raw", "local:200/base-200-disk-9.raw"};
    struct seen all = {.n = 0}, some = {.n = 0}, one = {.n = 0}, none = {.n = 0};

    assert_int_equal(volume_list(f->s, 255, 0, note_volume, &none, &f->e), 0);
    assert_string_equal(none.text, "");
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        struct volume_id v = id_of(images[i]);
        assert_int_equal(volume_create(f->s, &v, 1024, NULL, &f->e), 0);
    }
    assert_int_equal(mkdir(path_of(f, "template"), 0755), 0);
    assert_int_equal(mkdir(path_of(f, "template/iso"), 0755), 0);
    put(f, "template/iso/b.iso", "bbb", 3);
    put(f, "template/iso/a.iso", "a", 1);
    /* none of these is a volume */
    put(f, "template/iso/readme.txt", "", 0);
    put(f, "template/iso/.a.iso.1.1.tmp", "", 0);
    put(f, "template/iso/with blank.iso", "", 0);
    assert_int_equal(symlink("/etc/passwd", path_of(f, "template/iso/link.iso")), 0);
    assert_int_equal(mkdir(path_of(f, "template/iso/folder.iso"), 0755), 0);
    assert_int_equal(mkfifo(path_of(f, "template/iso/pipe.iso"), 0600), 0);
    put(f, "images/200/vm-201-disk-0.raw", "", 0);
    put(f, "images/vm-300-disk-0.raw", "", 0);
    assert_int_equal(mkdir(path_of(f, "images/099"), 0755), 0);
    put(f, "images/200/vm-200-broken.qcow2", "not an image", 12);

    assert_int_equal(volume_list(f->s, 255, 0, note_volume, &all, &f->e), 0);
    assert_string_equal(all.text, "local:200/base-200-disk-9.raw=1024 local:200/vm-200-broken.qcow2=0 "
                                  "local:200/vm-200-disk-0.raw=1024 local:200/vm-200-disk-1.qcow2=1024 "
                                  "local:1000/vm-1000-disk-0.raw=1024 local:iso/a.iso=1 local:iso/b.iso=3 ");
    assert_int_equal(volume_list(f->s, 255, 1000, note_volume, &one, &f->e), 0);
    assert_string_equal(one.text, "local:1000/vm-1000-disk-0.raw=1024 ");
    some.stop_at = 2;
    assert_int_equal(volume_list(f->s, STORAGE_CONTENT_rootdir, 0, note_volume, &some, &f->e), -ECANCELED);
    assert_int_equal(some.n, 2);
    memset(&none, 0, sizeof(none));
    assert_int_equal(volume_list(f->s, STORAGE_CONTENT_images, 4711, note_volume, &none, &f->e), 0);
    assert_int_equal(none.n, 0);
}

static void test_name_next(void **state)
{
    struct fixture *f = *state;
    struct volume_id v, w;
    static const char *const taken[] = {
        "vm-100-disk-1.qcow2",  "local:100/vm-100-disk-2.raw", "other:100/vm-100-disk-3.raw", "nonsense:", "",
        "vm-100-disk-99999.raw"};

    assert_int_equal(volume_name_next(f->s, 100, VOLUME_RAW, NULL, 0, &v, &f->e), 0);
    assert_string_equal(v.name, "vm-100-disk-0.raw");
    assert_int_equal(volume_create(f->s, &v, 512, NULL, &f->e), 0);
    assert_int_equal(volume_name_next(f->s, 100, VOLUME_QCOW2, NULL, 0, &w, &f->e), 0);
    assert_string_equal(w.name, "vm-100-disk-1.qcow2");
    assert_int_equal(volume_name_next(f->s, 100, VOLUME_QCOW2, taken, ARRAY_SIZE(taken), &w, &f->e), 0);
    assert_string_equal(w.name, "vm-100-disk-3.qcow2");
    assert_int_equal(volume_name_next(f->s, 101, VOLUME_RAW, NULL, 0, &w, &f->e), 0);
    assert_string_equal(w.name, "vm-101-disk-0.raw");
    assert_refused(volume_name_next(f->s, 100, VOLUME_OTHER, NULL, 0, &w, &f->e), "storage.format");
    assert_refused(volume_name_next(f->s, 99, VOLUME_RAW, NULL, 0, &w, &f->e), "volume.name");
    static char names[1024][32];
    const char *all[1024];
    for (unsigned i = 0; i < 1024; i++) {
        snprintf(names[i], sizeof(names[i]), "vm-100-disk-%u.raw", i);
        all[i] = names[i];
    }
    assert_refused(volume_name_next(f->s, 100, VOLUME_RAW, all, 1024, &w, &f->e), "storage.names");
}

/* Links, pipes and folders in the place of a volume, a link in the place of a folder: refused, and what is outside is
 * neither read nor changed. */
static void test_in_the_way(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw"), iso = id_of("local:iso/x.iso");
    struct volume_info info;
    struct volume_attachment a;
    char outside[100];
    int fd = -1;

    assert_int_equal(volume_create(f->s, &v, 512, NULL, &f->e), 0);
    assert_int_equal(unlink(path_of(f, "images/100/vm-100-disk-0.raw")), 0);
    snprintf(outside, sizeof(outside), "%s/outside", f->root);
    assert_int_equal(mkdir(outside, 0700), 0);
    for (int kind = 0; kind < 3; kind++) {
        const char *at = path_of(f, "images/100/vm-100-disk-0.raw");
        assert_int_equal(kind == 0   ? symlink("../../../outside", at)
                         : kind == 1 ? mkfifo(at, 0600)
                                     : mkdir(at, 0700),
                         0);
        assert_refused(volume_stat(f->s, &v, &info, &f->e), "volume.type");
        assert_refused(volume_open(f->s, &v, false, &a, &f->e), "volume.type");
        assert_refused(volume_delete(f->s, &v, NULL, &f->e), "volume.type");
        assert_refused(volume_create(f->s, &v, 512, NULL, &f->e), "volume.exists");
        assert_int_equal(remove(at), 0);
    }
    if (test_plugin->raw_file) {
        assert_refused(volume_stat(f->s, &v, &info, &f->e), "volume.type"); /* nothing in its folder */
        assert_int_equal(rmdir(path_of(f, "images/100/vm-100-disk-0")), 0);
    }
    assert_int_equal(rmdir(path_of(f, "images/100")), 0);
    assert_int_equal(symlink(outside, path_of(f, "images/100")), 0);
    assert_true(volume_create(f->s, &v, 512, NULL, &f->e) < 0);
    assert_true(volume_stat(f->s, &v, &info, &f->e) < 0);
    assert_int_equal(symlink(outside, path_of(f, "template")), 0);
    assert_true(volume_receive_begin(f->s, &iso, &fd, &f->e) < 0);
    assert_true(volume_list(f->s, STORAGE_CONTENT_iso, 0, note_volume, &(struct seen){.n = 0}, &f->e) < 0);
    assert_int_equal(rmdir(outside), 0); /* still empty */
}

static void test_open_refused(void **state)
{
    struct fixture *f = *state;
    struct volume_id q = id_of("local:100/vm-100-disk-0.qcow2"), missing = id_of("local:300/vm-300-disk-0.raw");
    struct volume_attachment a;
    struct volume_info info;
    uint8_t backing[] = {0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 11};

    assert_int_equal(volume_create(f->s, &q, 65536, NULL, &f->e), 0);
    autoclose int fd = open(path_of(f, "images/100/vm-100-disk-0.qcow2"), O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, backing, sizeof(backing), 8), sizeof(backing));
    assert_int_equal(pwrite(fd, "/etc/shadow", 11, 512), 11);
    assert_refused(volume_open(f->s, &q, true, &a, &f->e), "image.external");
    assert_int_equal(volume_stat(f->s, &q, &info, &f->e), 0);
    assert_int_equal(ftruncate(fd, 50), 0);
    assert_refused(volume_open(f->s, &q, true, &a, &f->e), "image.header");
    assert_refused(volume_stat(f->s, &q, &info, &f->e), "image.header");
    assert_refused(volume_stat(f->s, &missing, &info, &f->e), "volume.missing");
    assert_refused(volume_open(f->s, &missing, true, &a, &f->e), "volume.missing");
    /* A raw image that begins like a qcow2 one is raw, at its full size. */
    struct volume_id raw = id_of("local:100/vm-100-disk-1.raw");
    assert_int_equal(volume_create(f->s, &raw, 1 << 20, NULL, &f->e), 0);
    assert_int_equal(volume_open(f->s, &raw, false, &a, &f->e), 0);
    assert_int_equal(pwrite(a.fd, "QFI\xfb\0\0\0\3", 8, 0), 8);
    close(a.fd);
    assert_int_equal(volume_open(f->s, &raw, true, &a, &f->e), 0);
    assert_int_equal(a.size_bytes, 1 << 20);
    assert_int_equal(a.format, VOLUME_RAW);
    assert_true(a.is_read_only);
    assert_int_equal(fcntl(a.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(a.fd);
}

static void receive(struct fixture *f, const struct volume_id *v, const char *text, bool is_replace, int expected)
{
    autoclose int fd = -EBADF;
    assert_int_equal(volume_receive_begin(f->s, v, &fd, &f->e), 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text), &f->e), 0);
    int r = volume_receive_finish(f->s, v, fd, is_replace, &f->e);
    if (r != expected)
        fail_msg("%d %s", r, f->e.text);
}

static void assert_content(struct fixture *f, const char *below, const char *text)
{
    autobuf struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(fs_read_file(AT_FDCWD, path_of(f, below), &b, &f->e), 0);
    assert_string_equal(buf_str(&b), text);
}

static void test_receive(void **state)
{
    struct fixture *f = *state;
    struct volume_id iso = id_of("local:iso/x.iso");
    autoclose int fd = -EBADF, foreign = -EBADF, p = -EBADF;
    struct seen seen = {.n = 0};

    receive(f, &iso, "first", false, 0);
    assert_content(f, "template/iso/x.iso", "first");
    receive(f, &iso, "second", false, -EEXIST);
    assert_string_equal(f->e.code, "volume.exists");
    assert_content(f, "template/iso/x.iso", "first");
    receive(f, &iso, "third", true, 0);
    assert_content(f, "template/iso/x.iso", "third");
    /* given up */
    assert_int_equal(volume_receive_begin(f->s, &iso, &fd, &f->e), 0);
    volume_receive_abort(f->s, &iso, fd);
    /* a file or a thing that this storage did not begin */
    foreign = open(path_of(f, "template/iso/x.iso"), O_RDWR | O_CLOEXEC);
    assert_refused(volume_receive_finish(f->s, &iso, foreign, true, &f->e), "volume.type");
    p = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_refused(volume_receive_finish(f->s, &iso, p, true, &f->e), "volume.type");
    assert_content(f, "template/iso/x.iso", "third");
    assert_int_equal(volume_list(f->s, STORAGE_CONTENT_iso, 0, note_volume, &seen, &f->e), 0);
    assert_string_equal(seen.text, "local:iso/x.iso=5 ");
    /* an image, received: its owner's folder goes when it is given up */
    struct volume_id image = id_of("local:400/vm-400-disk-0.raw");
    autoclose int other = -EBADF;
    assert_int_equal(volume_receive_begin(f->s, &image, &other, &f->e), 0);
    assert_true(exists(f, "images/400"));
    volume_receive_abort(f->s, &image, other);
    assert_false(exists(f, "images/400"));
    if (test_plugin->raw_file) { /* with the folder went the file */
        assert_refused(volume_receive_finish(f->s, &image, other, false, &f->e), "volume.type");
        assert_false(exists(f, "images/400"));
        return;
    }
    /* the folder goes away meanwhile: it is made again */
    assert_int_equal(volume_receive_finish(f->s, &image, other, false, &f->e), 0);
    assert_true(exists(f, "images/400/vm-400-disk-0.raw"));
}

static void test_receive_image(void **state)
{
    struct fixture *f = *state;
    struct volume_id image = id_of("local:400/vm-400-disk-0.raw");
    struct volume_note note = {.is_protected = true};
    struct seen seen = {.n = 0};
    int fd = -1;

    receive(f, &image, "first", false, 0);
    receive(f, &image, "second", false, -EEXIST);
    assert_content(f, "images/400/vm-400-disk-0.raw", "first");
    receive(f, &image, "third", true, 0);
    assert_content(f, "images/400/vm-400-disk-0.raw", "third");
    assert_int_equal(volume_note_set(f->s, &image, &note, &f->e), 0);
    assert_refused(volume_receive_begin(f->s, &image, &fd, &f->e), "volume.protected");
    assert_int_equal(volume_list(f->s, STORAGE_CONTENT_images, 0, note_volume, &seen, &f->e), 0);
    assert_string_equal(seen.text, "local:400/vm-400-disk-0.raw=5 ");
    assert_int_equal(volume_delete(f->s, &image, NULL, &f->e), 0);
    assert_false(exists(f, "images/400")); /* nothing hidden in it */
}

static void test_sweep(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw");
    size_t n = 0;
    int64_t later = time(NULL) + 10;

    assert_int_equal(volume_create(f->s, &v, 512, NULL, &f->e), 0);
    put(f, "images/100/.vm-100-disk-1.raw.77.3.tmp", "x", 1);
    assert_int_equal(mkdir(path_of(f, "images/101"), 0700), 0);
    assert_int_equal(mkdir(path_of(f, "images/notes"), 0700), 0);
    assert_int_equal(mkdir(path_of(f, "images/102"), 0700), 0);
    put(f, "images/102/.a.1.1.tmp", "x", 1);
    assert_int_equal(mkdir(path_of(f, "template"), 0755), 0);
    assert_int_equal(mkdir(path_of(f, "template/iso"), 0755), 0);
    put(f, "template/iso/.x.iso.1.1.tmp", "x", 1);
    put(f, "template/iso/keep.tmp", "x", 1);
    put(f, "template/iso/.keep", "x", 1);
    assert_int_equal(symlink("/etc/passwd", path_of(f, "template/iso/.l.1.1.tmp")), 0);
    assert_int_equal(storage_sweep(f->s, later - 1000, &n, &f->e), 0); /* all are younger */
    assert_int_equal(n, 0);
    struct storage *shared = open_storage(f, ",\"shared\":1");
    assert_int_equal(storage_sweep(shared, later, &n, &f->e), 0); /* within the day that is added */
    assert_int_equal(n, 0);
    storage_unref(shared);
    assert_int_equal(storage_sweep(f->s, later, &n, &f->e), 0);
    assert_int_equal(n, 5);
    assert_true(exists(f, "images/100/vm-100-disk-0.raw") && exists(f, "images/notes"));
    assert_true(exists(f, "template/iso/keep.tmp") && exists(f, "template/iso/.keep"));
    assert_false(exists(f, "images/101") || exists(f, "images/102") || exists(f, "template/iso/.x.iso.1.1.tmp"));
    assert_int_equal(storage_sweep(f->s, later, &n, &f->e), 0);
    assert_int_equal(n, 0);
}

/* Runs create (or delete) in a child that is killed at a fail point. */
static void killed_at(struct fixture *f, const char *point, const struct volume_id *v, bool is_delete)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        char spec[80];
        snprintf(spec, sizeof(spec), "%s=kill", point);
        setenv("HOLM_FP", spec, 1);
        fp_init();
        int r = is_delete ? volume_delete(f->s, v, NULL, &f->e) : volume_create(f->s, v, 65536, "mark", &f->e);
        _exit(r == 0 ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"local:100/vm-100-disk-0.qcow2", "local:100/vm-100-disk-0.raw"};
    struct volume_info info;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct volume_id v = id_of(names[i]);
        killed_at(f, "storage.create.written", &v, false);
        assert_int_equal(volume_stat(f->s, &v, &info, &f->e), -ENOENT);
        assert_true(exists(f, "images/100")); /* what the sweep is for */
        assert_int_equal(storage_sweep(f->s, time(NULL) + 10, NULL, &f->e), 0);
        assert_false(exists(f, "images/100"));
        killed_at(f, "storage.create.linked", &v, false);
        assert_int_equal(volume_stat(f->s, &v, &info, &f->e), 0);
        assert_int_equal(info.size_bytes, 65536);
        assert_int_equal(volume_delete(f->s, &v, "other", &f->e), 0);
        assert_int_equal(volume_stat(f->s, &v, &info, &f->e), 0); /* it carries its mark already */
        killed_at(f, "storage.delete.unlinked", &v, true);
        assert_int_equal(volume_stat(f->s, &v, &info, &f->e), -ENOENT);
        assert_int_equal(volume_delete(f->s, &v, "mark", &f->e), 0);
        assert_false(exists(f, "images/100"));
    }
}

struct racer {
    struct storage *s;
    const char *name;
    int result;
    struct err e;
};

static void *create_and_delete(void *arg)
{
    struct racer *racer = arg;
    struct err e = ERR_INIT;
    struct volume_id v = id_of(racer->name);

    for (int i = 0; i < (int)test_plugin->n_races && racer->result == 0; i++) {
        racer->result = volume_create(racer->s, &v, 512, NULL, &e);
        if (racer->result == 0)
            racer->result = volume_delete(racer->s, &v, NULL, &e);
    }
    racer->e = e;
    return NULL;
}

/* The owner's folder comes and goes under two threads: neither of them may notice. */
static void test_owner_folder_race(void **state)
{
    struct fixture *f = *state;
    struct racer racers[] = {{.s = f->s, .name = "local:100/vm-100-disk-0.raw"},
                             {.s = f->s, .name = "local:100/vm-100-disk-1.raw"}};
    pthread_t threads[2];

    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_and_delete, &racers[i]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 2; i++)
        if (racers[i].result < 0)
            fail_msg("%d %s", racers[i].result, racers[i].e.text);
    assert_false(exists(f, "images/100"));
}

static void test_path_is_a_file(void **state)
{
    struct fixture *f = *state;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw");
    struct storage_space space;
    char path[100];

    snprintf(path, sizeof(path), "%s/store", f->root);
    autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(volume_create(f->s, &v, 512, NULL, &f->e) == -ENOTDIR);
    assert_true(storage_space_get(f->s, &space, &f->e) == -ENOTDIR);
    assert_true(storage_sweep(f->s, 0, NULL, &f->e) == -ENOTDIR);
}

#define with_folder(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_folder(test_create_raw),     with_folder(test_create_sizes),  with_folder(test_qcow2_is_clean),
        with_folder(test_preallocation),  with_folder(test_delete),        with_folder(test_list),
        with_folder(test_name_next),      with_folder(test_in_the_way),    with_folder(test_open_refused),
        with_folder(test_receive),        with_folder(test_receive_image), with_folder(test_sweep),
        with_folder(test_path_is_a_file), with_folder(test_killed),        with_folder(test_owner_folder_race),
    };
    return test_plugins_run(tests, ARRAY_SIZE(tests));
}
