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
static void prepare_btrfs(char *ret, size_t cap, char *reason, size_t reason_cap)
{
    char folder[] = "/dev/shm/holm-btrfs-XXXXXX", image[64];

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        snprintf(reason, reason_cap, "no root, or no mounts of its own");
        return;
    }
    if (!mkdtemp(folder)) {
        snprintf(reason, reason_cap, "/dev/shm cannot be written to");
        return;
    }
    snprintf(image, sizeof(image), "%s/image", folder);
    int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool is_sized = fd >= 0 && ftruncate(fd, IMAGE_BYTES) == 0;
    if (fd >= 0)
        close(fd);
    const char *const mkfs[] = {"mkfs.btrfs", "-q", image, NULL};
    const char *const attach[] = {"mount", "-t", "btrfs", "-o", "loop", image, "/mnt", NULL};
    if (!is_sized || run(mkfs) != 0)
        snprintf(reason, reason_cap, "mkfs.btrfs does not work");
    else if (run(attach) != 0)
        snprintf(reason, reason_cap, "no loop devices, or no btrfs in the kernel");
    else
        snprintf(ret, cap, "/mnt");
    /* The mount holds the file and the device. */
    unlink(image);
    rmdir(folder);
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

int test_plugins_run(const struct CMUnitTest *tests, size_t n)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_SIZE(plugins); i++) {
        char reason[80] = "";
        test_plugin = &plugins[i];
        top[0] = 0;
        plugins[i].prepare(top, sizeof(top), reason, sizeof(reason));
        if (top[0])
            failed += _cmocka_run_group_tests(plugins[i].type, tests, n, NULL, NULL);
        else
            fprintf(stderr, "[  SKIPPED ] %zu test(s) of the plugin %s: %s\n", n, plugins[i].type, reason);
    }
    return failed;
}
