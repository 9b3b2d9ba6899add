/* What only the btrfs plugin does: subvolumes and their flags, what is not one, what Proxmox VE leaves beside them,
 * full disks and power cuts. What it shares with dir is tested for both in dir_test.c, layer_test.c and fault_test.c.
 */
#include "storage/test_plugins.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"

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
    f->v = id_of("local:100/vm-100-disk-0.raw");
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    storage_unref(f->s);
    free(f);
    return 0;
}

#define assert_refused(call, wanted)                                                                                   \
    do {                                                                                                               \
        f->e = (struct err)ERR_INIT;                                                                                   \
        assert_true((call) < 0);                                                                                       \
        assert_string_equal(f->e.code, wanted);                                                                        \
    } while (0)

static void put(struct fixture *f, const struct volume_id *v, char byte)
{
    struct volume_attachment a;
    char bytes[4096];

    assert_int_equal(volume_open(f->s, v, false, &a, &f->e), 0);
    memset(bytes, byte, sizeof(bytes));
    assert_int_equal(pwrite(a.fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(fsync(a.fd), 0);
    close(a.fd);
}

static bool holds(struct fixture *f, const struct volume_id *v, char byte)
{
    struct volume_attachment a;
    char bytes[4096];

    assert_int_equal(volume_open(f->s, v, true, &a, &f->e), 0);
    assert_int_equal(pread(a.fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    close(a.fd);
    return bytes[0] == byte && memcmp(bytes, bytes + 1, sizeof(bytes) - 1) == 0;
}

static bool is_there(struct fixture *f, const struct volume_id *v)
{
    struct volume_info info;

    return volume_stat(f->s, v, &info, &f->e) == 0;
}

static int count(void *arg, const struct volume_info *info)
{
    ++*(unsigned *)arg;
    return 0;
}

static unsigned images(struct fixture *f)
{
    unsigned n = 0;

    assert_int_equal(volume_list(f->s, STORAGE_CONTENT_images, 0, count, &n, &f->e), 0);
    return n;
}

static int open_at(const struct fixture *f, const char *below, int flags)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/store/images/%s", f->root, below);
    return open(path, flags | O_CLOEXEC, 0600);
}

static void test_not_btrfs(void **state)
{
    struct fixture *f = *state;
    struct storage_space space;
    struct storage *s = NULL;
    char path[64] = "/dev/shm/holm-none-XXXXXX", json[200];

    assert_non_null(mkdtemp(path));
    snprintf(json, sizeof(json), "{\"type\":\"btrfs\",\"path\":\"%s/new\"}", path);
    assert_int_equal(storage_new("local", json, "/", &s, &f->e), 0);
    assert_refused(storage_space_get(s, &space, &f->e), "storage.filesystem");
    assert_true(f->e.hint[0]);
    assert_refused(volume_create(s, &f->v, SIZE, NULL, &f->e), "storage.filesystem");
    storage_unref(s);
    assert_int_equal(rmdir(path), 0); /* nothing was left in it */
}

static void test_nocow(void **state)
{
    struct fixture *f = *state;
    struct storage *s = test_plugin_storage(f->root, ",\"nocow\":1");
    struct volume_id w = id_of("local:100/vm-100-disk-1.raw"), copy = id_of("local:101/vm-101-disk-0.raw");
    const struct volume_id *volumes[] = {&f->v, &w, &copy};

    assert_int_equal(volume_create(f->s, &f->v, SIZE, NULL, &f->e), 0);
    assert_int_equal(volume_create(s, &w, SIZE, NULL, &f->e), 0);
    assert_int_equal(volume_fork(f->s, &w, &copy, NULL, &f->e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
        struct volume_attachment a;
        int flags = 0;
        assert_int_equal(volume_open(s, volumes[i], true, &a, &f->e), 0);
        assert_int_equal(ioctl(a.fd, FS_IOC_GETFLAGS, &flags), 0);
        assert_int_equal(flags & FS_NOCOW_FL ? 1 : 0, i > 0);
        close(a.fd);
    }
    storage_unref(s);
}

/* A frozen layer cannot be written to, whoever tries; a copy of it can. */
static void test_read_only(void **state)
{
    struct fixture *f = *state;
    struct volume_id one = volume_layer(&f->v, 1), two = volume_layer(&f->v, 2), far = id_of("local:101/vm-101-x.raw");
    struct volume_id far_one = volume_layer(&far, 1);
    struct volume_attachment a;

    assert_int_equal(volume_create(f->s, &f->v, SIZE, NULL, &f->e), 0);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    assert_int_equal(volume_open(f->s, &one, false, &a, &f->e), -EROFS);
    assert_int_equal(volume_fork(f->s, &one, &two, NULL, &f->e), 0);
    put(f, &two, 2);
    assert_int_equal(volume_rename(f->s, &one, &far_one, &f->e), 0);
    assert_int_equal(volume_open(f->s, &far_one, false, &a, &f->e), -EROFS);
    assert_int_equal(volume_delete(f->s, &far_one, NULL, &f->e), 0);
}

/* Plain folders and files in a subvolume's place, and Proxmox VE's snapshots: neither listed nor touched. */
static void test_others(void **state)
{
    struct fixture *f = *state;
    struct volume_id plain = id_of("local:100/vm-100-disk-1.raw"), at = id_of("local:100/vm-100-disk-0@x.raw");
    struct volume_info info;

    assert_int_equal(volume_create(f->s, &f->v, SIZE, NULL, &f->e), 0);
    autoclose int folder = open_at(f, "100", O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(folder, "vm-100-disk-1", 0700), 0);
    close(open_at(f, "100/vm-100-disk-1/disk.raw", O_WRONLY | O_CREAT));
    close(open_at(f, "100/vm-100-disk-2.raw", O_WRONLY | O_CREAT));
    assert_int_equal(mkdirat(folder, ".vm-100-disk-3.1.1.tmp", 0700), 0);
    autoclose int source = open_at(f, "100/vm-100-disk-0", O_RDONLY | O_DIRECTORY);
    struct btrfs_ioctl_vol_args_v2 args = {.fd = source, .flags = BTRFS_SUBVOL_RDONLY, .name = "vm-100-disk-0@before"};
    assert_int_equal(ioctl(folder, BTRFS_IOC_SNAP_CREATE_V2, &args), 0);
    assert_int_equal(images(f), 1);
    assert_refused(volume_stat(f->s, &plain, &info, &f->e), "volume.type");
    assert_true(f->e.hint[0]);
    assert_refused(volume_delete(f->s, &plain, NULL, &f->e), "volume.type");
    assert_refused(volume_create(f->s, &plain, SIZE, NULL, &f->e), "volume.exists");
    assert_refused(volume_create(f->s, &at, SIZE, NULL, &f->e), "volume.name");
    assert_refused(volume_fork(f->s, &f->v, &at, NULL, &f->e), "volume.name");
    assert_refused(volume_rename(f->s, &f->v, &at, &f->e), "volume.name");
    size_t n = 0;
    assert_int_equal(storage_sweep(f->s, INT32_MAX, &n, &f->e), 0);
    assert_int_equal(n, 0);
    assert_int_equal(images(f), 1);
}

/* ---- a full disk ---- */

/* Takes the last byte, by ever smaller writes. */
static void fill_up(const struct fixture *f)
{
    static char block[1 << 20];
    char path[200];

    snprintf(path, sizeof(path), "%s/filler", f->root);
    autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    memset(block, 0x5a, sizeof(block));
    for (size_t n = sizeof(block); n >= 4096;)
        if (write(fd, block, n) != (ssize_t)n || fsync(fd) < 0)
            n /= 2;
}

static unsigned entries(const struct fixture *f, const char *below)
{
    int fd = open_at(f, below, O_RDONLY | O_DIRECTORY);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    unsigned n = 0;

    for (struct dirent *de; d && (de = readdir(d));)
        n += de->d_name[0] != '.' || strlen(de->d_name) > 2;
    if (d)
        closedir(d);
    return n;
}

/* Data and what describes it share the space here, so that there is no room for either. */
static void test_full(void **state)
{
    struct fixture *f = *state;
    struct volume_id one = volume_layer(&f->v, 1), far = id_of("local:101/vm-101-disk-0.raw");
    char reason[80] = "";

    assert_true(test_btrfs_mount("/srv", "--mixed", reason, sizeof(reason)));
    snprintf(f->root, sizeof(f->root), "/srv");
    storage_unref(f->s);
    f->s = test_plugin_storage(f->root, "");
    assert_int_equal(volume_create(f->s, &f->v, SIZE, NULL, &f->e), 0);
    put(f, &f->v, 1);
    fill_up(f);
    struct volume_id w = id_of("local:102/vm-102-disk-0.raw");
    assert_refused(volume_create(f->s, &w, SIZE, "mark", &f->e), "storage.full");
    assert_int_equal(f->e.num, -ENOSPC);
    assert_true(f->e.hint[0]);
    assert_refused(volume_freeze(f->s, &f->v, 1, &f->e), "storage.full");
    assert_refused(volume_fork(f->s, &f->v, &far, "mark", &f->e), "storage.full");
    assert_int_equal(entries(f, ""), 1);
    assert_int_equal(entries(f, "100"), 1);
    assert_true(holds(f, &f->v, 1) && !is_there(f, &one));
    assert_int_equal(volume_delete(f->s, &f->v, NULL, &f->e), 0); /* a full disk can be emptied */
    assert_int_equal(entries(f, ""), 0);
    assert_int_equal(unlink("/srv/filler"), 0);
    assert_int_equal(volume_create(f->s, &w, SIZE, "mark", &f->e), 0);
    storage_unref(f->s);
    f->s = NULL;
    assert_int_equal(umount("/srv"), 0);
}

/* ---- a power cut ---- */

/* Each verb is durable when it returns: what it did is there after the cut, whole. */
static void test_power_cut(void **state)
{
    struct fixture *f = *state;
    struct volume_id one = volume_layer(&f->v, 1), two = volume_layer(&f->v, 2), far = id_of("local:101/vm-101-x.raw");
    struct volume_note note = {.notes = "kept"}, found;
    struct volume_info info;
    char reason[80] = "";

    assert_true(test_btrfs_mount("/srv", NULL, reason, sizeof(reason)));
    snprintf(f->root, sizeof(f->root), "/srv");
    storage_unref(f->s);
    f->s = test_plugin_storage(f->root, "");
    assert_int_equal(volume_create(f->s, &f->v, SIZE, "mark", &f->e), 0);
    assert_int_equal(test_btrfs_power_cut("/srv"), 0);
    assert_int_equal(volume_stat(f->s, &f->v, &info, &f->e), 0);
    assert_int_equal(info.size_bytes, SIZE);
    put(f, &f->v, 1);
    assert_int_equal(volume_note_set(f->s, &f->v, &note, &f->e), 0);
    assert_int_equal(volume_freeze(f->s, &f->v, 1, &f->e), 0);
    put(f, &f->v, 2);
    assert_int_equal(volume_grow(f->s, &f->v, 2 * SIZE, &f->e), 0);
    assert_int_equal(test_btrfs_power_cut("/srv"), 0);
    assert_true(holds(f, &f->v, 2) && holds(f, &one, 1));
    assert_int_equal(volume_stat(f->s, &f->v, &info, &f->e), 0);
    assert_int_equal(info.size_bytes, 2 * SIZE);
    assert_int_equal(volume_note_get(f->s, &f->v, &found, &f->e), 0);
    assert_string_equal(found.notes, "kept");
    assert_int_equal(volume_fork(f->s, &one, &two, "task", &f->e), 0);
    assert_int_equal(volume_exchange(f->s, &f->v, 2, "task", false, &f->e), 0);
    assert_int_equal(test_btrfs_power_cut("/srv"), 0);
    assert_true(holds(f, &f->v, 1) && holds(f, &two, 2));
    assert_int_equal(volume_exchange(f->s, &f->v, 2, "task", false, &f->e), 0); /* is done already: the mark is kept */
    assert_true(holds(f, &f->v, 1));
    assert_int_equal(volume_rename(f->s, &two, &far, &f->e), 0);
    assert_int_equal(volume_delete(f->s, &one, NULL, &f->e), 0);
    assert_int_equal(test_btrfs_power_cut("/srv"), 0);
    assert_true(holds(f, &far, 2) && !is_there(f, &two) && !is_there(f, &one));
    assert_int_equal(entries(f, "100"), 1);
    storage_unref(f->s);
    f->s = NULL;
    assert_int_equal(umount("/srv"), 0);
}

#define with_folder(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_folder(test_not_btrfs), with_folder(test_nocow), with_folder(test_read_only),
        with_folder(test_others),    with_folder(test_full),  with_folder(test_power_cut),
    };
    return test_plugin_run("btrfs", tests, ARRAY_SIZE(tests));
}
