/* The plugins that tests run over (test_plugins.h). A file system of its own is an image file with a loop device,
 * mounted where only this process sees it: all of it is gone with the process, however that ends. */
#include "storage/test_plugins.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"

#define IMAGE_BYTES ((off_t)256 << 20)

const struct test_plugin *test_plugin;
static char top[64]; /* "": this process may use /tmp */

static int run(const char *const *argv)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

static void prepare_tmp(char *ret, size_t cap, char *reason, size_t reason_cap)
{
    snprintf(ret, cap, "/tmp");
}

/* Memory does not wait for a disk at every sync. */
static int image_open(char path[64])
{
    snprintf(path, 64, "/dev/shm/holm-btrfs-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);

    return fd >= 0 && ftruncate(fd, IMAGE_BYTES) < 0 ? -1 : fd;
}

static int attach(const char *image, const char *folder)
{
    const char *const argv[] = {"mount", "-t", "btrfs", "-o", "loop", image, folder, NULL};

    return run(argv);
}

static int image_fd = -1; /* of what is mounted */

bool test_btrfs_mount(const char *folder, const char *option, char *reason, size_t reason_cap)
{
    char image[64];

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        snprintf(reason, reason_cap, "no root, or no mounts of its own");
        return false;
    }
    util_close_fd(&image_fd);
    image_fd = image_open(image);
    const char *const mkfs[] = {"mkfs.btrfs", "-q", image, option, NULL};
    if (image_fd < 0)
        snprintf(reason, reason_cap, "/dev/shm cannot be written to");
    else if (run(mkfs) != 0)
        snprintf(reason, reason_cap, "mkfs.btrfs does not work");
    else if (attach(image, folder) != 0)
        snprintf(reason, reason_cap, "no loop devices, or no btrfs in the kernel");
    unlink(image); /* the mount holds the file and the device */
    return !reason[0];
}

/* Only what holds data: most of it is a hole. */
static int copy_image(int from, int to)
{
    off_t at = 0, end;

    while ((at = lseek(from, at, SEEK_DATA)) >= 0 && (end = lseek(from, at, SEEK_HOLE)) > at)
        while (at < end) {
            char block[65536];
            size_t want = end - at < (off_t)sizeof(block) ? (size_t)(end - at) : sizeof(block);
            if (pread(from, block, want, at) != (ssize_t)want || pwrite(to, block, want, at) != (ssize_t)want)
                return -1;
            at += (off_t)want;
        }
    return 0;
}

int test_btrfs_power_cut(const char *folder)
{
    char image[64];
    int fd = image_open(image);
    int r = fd < 0 ? -1 : copy_image(image_fd, fd);

    /* The kernel takes no second file system of this name while it has the first. */
    if (r == 0)
        r = umount(folder) == 0 ? attach(image, folder) : -1;
    unlink(image);
    util_close_fd(&image_fd);
    image_fd = fd;
    return r;
}

static void prepare_btrfs(char *ret, size_t cap, char *reason, size_t reason_cap)
{
    if (test_btrfs_mount("/mnt", NULL, reason, reason_cap))
        snprintf(ret, cap, "/mnt");
}

static const struct test_plugin plugins[] = {
    {.type = "dir", .n_races = 300, .prepare = prepare_tmp},
    {.type = "btrfs", .raw_file = "disk.raw", .n_races = 40, .can_copy_raw = true, .prepare = prepare_btrfs},
};

int test_plugin_folder(char *dst, size_t cap)
{
    snprintf(dst, cap, "%s/holm-%s-XXXXXX", top, test_plugin->type);
    return mkdtemp(dst) ? 0 : -1;
}

int test_plugin_folder_remove(const char *path)
{
    struct err e = ERR_INIT;

    /* What is mounted for these tests goes as a whole, and snapshots that are read-only cannot be emptied. */
    return streq(top, "/tmp") ? fs_remove_tree(AT_FDCWD, path, &e) : 0;
}

struct storage *test_plugin_storage(const char *folder, const char *more)
{
    struct storage *s = NULL;
    struct err e = ERR_INIT;
    char json[300];

    snprintf(json, sizeof(json),
             "{\"type\":\"%s\",\"path\":\"store\",\"content\":\"images,iso,vztmpl,backup,snippets,import,boot\"%s}",
             test_plugin->type, more);
    assert_int_equal(storage_new("local", json, folder, &s, &e), 0);
    return s;
}

const char *test_plugin_path(const char *folder, const char *below)
{
    static char paths[4][600];
    static unsigned i;
    char *path = paths[i++ % 4];
    int n = snprintf(path, sizeof(paths[0]), "%s/store/%s", folder, below);

    if (test_plugin->raw_file && str_starts(below, "images/") && str_ends(below, ".raw"))
        snprintf(path + n - strlen(".raw"), 32, "/%s", test_plugin->raw_file);
    return path;
}

static int run_one(const struct test_plugin *p, const struct CMUnitTest *tests, size_t n)
{
    char reason[80] = "";

    test_plugin = p;
    top[0] = 0;
    p->prepare(top, sizeof(top), reason, sizeof(reason));
    if (top[0])
        return _cmocka_run_group_tests(p->type, tests, n, NULL, NULL);
    fprintf(stderr, "[  SKIPPED ] %zu test(s) of the plugin %s: %s\n", n, p->type, reason);
    return 0;
}

int test_plugins_run(const struct CMUnitTest *tests, size_t n)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_SIZE(plugins); i++)
        failed += run_one(&plugins[i], tests, n);
    return failed;
}

int test_plugin_run(const char *type, const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(plugins); i++)
        if (streq(plugins[i].type, type))
            return run_one(&plugins[i], tests, n);
    return 1;
}
