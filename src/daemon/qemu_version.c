/* QEMU's version, which names the machine types: asked of the program once per program file and remembered in
 * DIR/var/qemu-version, because starting QEMU costs more than starting holmd. Blocking; before the loop runs. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "engine/engine.h"

/* "PATH INODE SIZE MTIME_NS": changes with every upgrade of the package. */
static int identify(const struct engine_host *h, char *dst, size_t cap)
{
    struct stat st;

    if (!h->qemu_path[0] || stat(h->qemu_path, &st) < 0)
        return -ENOENT;
    snprintf(dst, cap, "%s %" PRIu64 " %" PRIu64 " %" PRIu64, h->qemu_path, (uint64_t)st.st_ino, (uint64_t)st.st_size,
             (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
    return 0;
}

static bool read_cache(int dir, const char *id, struct engine_host *h)
{
    struct err e = ERR_INIT;
    struct buf b;
    bool found = false;

    buf_init(&b, 1024);
    if (fs_read_file(dir, "qemu-version", &b, &e) == 0 && b.data) {
        char *newline = strchr(b.data, '\n');
        if (newline) {
            *newline++ = 0;
            newline[strcspn(newline, "\n")] = 0;
            found = streq(b.data, id) && *newline && str_copy(h->qemu_version, sizeof(h->qemu_version), newline) == 0;
        }
    }
    buf_done(&b);
    return found;
}

void qemu_version_find(const char *root, struct engine_host *h)
{
    char path[4096], id[512], text[600];
    struct err e = ERR_INIT;

    snprintf(path, sizeof(path), "%s/var", root);
    autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || identify(h, id, sizeof(id)) < 0) {
        log_warn("QEMU is not installed: guests cannot be started (package qemu-system-x86)");
        return;
    }
    if (read_cache(dir, id, h))
        return;
    if (engine_host_probe_qemu(h, &e) < 0) {
        log_err(LOG_WARN, &e, "version of QEMU");
        return;
    }
    snprintf(text, sizeof(text), "%s\n%s\n", id, h->qemu_version);
    if (fs_replace_durable(dir, "qemu-version", text, strlen(text), 0600, &e) < 0)
        log_err(LOG_WARN, &e, "remember the version of QEMU");
}
