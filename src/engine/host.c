/* What this machine offers to engines. Called by holmd at its start (engine_host_probe) and from a pool thread
 * (engine_host_probe_qemu, which runs a program). */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "engine/engine.h"

#define QEMU_PATH          "/usr/bin/qemu-system-x86_64"
#define VERSION_TIMEOUT_MS 10000u
#define CPUINFO_BYTES_MAX  (4u * 1024u * 1024u)

/* Does the word stand in the first "flags" line? */
static bool cpu_has_flag(const char *cpuinfo, const char *flag)
{
    const char *line = strstr(cpuinfo, "\nflags");
    size_t n = strlen(flag), len = line ? strcspn(line + 1, "\n") + 1 : 0;

    for (const char *p = line; p && (p = memmem(p, len - (size_t)(p - line), flag, n)); p += n)
        if (p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n' || p[n] == 0))
            return true;
    return false;
}

static bool cpu_has_virtualization(void)
{
    struct err e = ERR_INIT;
    autobuf struct buf text;

    buf_init(&text, CPUINFO_BYTES_MAX);
    if (fs_read_file(AT_FDCWD, "/proc/cpuinfo", &text, &e) < 0)
        return false;
    return cpu_has_flag(buf_str(&text), "vmx") || cpu_has_flag(buf_str(&text), "svm");
}

/* A paravirtual /dev/kvm answers every call but cannot boot an unmodified kernel: the CPU's own flags decide. */
static void probe_kvm(struct engine_host *h)
{
    struct stat st;
    autoclose int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int open_errno = errno;

    h->kvm_gid = stat("/dev/kvm", &st) == 0 ? (int)st.st_gid : -1;
    h->has_kvm = fd >= 0 && cpu_has_virtualization();
    if (h->has_kvm)
        snprintf(h->accel_reason, sizeof(h->accel_reason), "hardware KVM");
    else if (fd >= 0)
        snprintf(h->accel_reason, sizeof(h->accel_reason),
                 "/dev/kvm is there but the CPU shows neither vmx nor svm: it cannot boot unmodified guests");
    else
        snprintf(h->accel_reason, sizeof(h->accel_reason), "/dev/kvm does not open: %s", strerror(open_errno));
}

uint64_t engine_host_free_hugepages(uint32_t page_mib)
{
    struct err ignored = ERR_INIT;
    autobuf struct buf text;
    char path[80];
    uint64_t n;

    snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%ukB/free_hugepages", page_mib * 1024);
    buf_init(&text, 64);
    if (fs_read_file(AT_FDCWD, path, &text, &ignored) < 0 || !text.len)
        return 0;
    text.data[strcspn(text.data, "\n")] = 0;
    return str_to_u64(text.data, &n) == 0 ? n : 0;
}

void engine_host_probe(struct engine_host *ret)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);

    *ret = (struct engine_host){.n_cpus = cpus > 0 ? (uint32_t)cpus : 1};
    if (pages > 0 && page_bytes > 0)
        ret->memory_bytes = (uint64_t)pages * (uint64_t)page_bytes;
    probe_kvm(ret);
    if (access(QEMU_PATH, X_OK) == 0)
        snprintf(ret->qemu_path, sizeof(ret->qemu_path), "%s", QEMU_PATH);
}

/* Reads until end of file, n bytes or the deadline. */
static size_t read_until(int fd, char *text, size_t n, uint64_t deadline_ms)
{
    size_t at = 0;

    while (at < n) {
        uint64_t now = clock_boot_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now)) <= 0)
            break;
        ssize_t got = read(fd, text + at, n - at);
        if (got <= 0)
            break;
        at += (size_t)got;
    }
    return at;
}

/* "QEMU emulator version 7.2.22 (Debian …)" */
static int parse_version(const char *text, char *ret, size_t cap)
{
    static const char before[] = "QEMU emulator version ";
    const char *p = strstr(text, before);
    size_t n = p ? strspn(p + sizeof(before) - 1, "0123456789.") : 0;

    if (n == 0 || n >= cap)
        return -EINVAL;
    memcpy(ret, p + sizeof(before) - 1, n);
    ret[n] = 0;
    return 0;
}

int engine_host_probe_qemu(struct engine_host *h, struct err *e)
{
    const char *argv[] = {h->qemu_path, "--version", NULL};
    char text[512];
    int pipe_fds[2];
    pid_t pid;

    if (!h->qemu_path[0])
        return err_set(e, -ENOENT, "engine.missing", "QEMU is not installed");
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    struct proc_spawn s = {.path = h->qemu_path,
                           .argv = argv,
                           .dies_with_parent = false,
                           .fds = {{.source = pipe_fds[1], .target = 1}},
                           .n_fds = 1};
    int r = proc_spawn_start(&s, &pid, NULL, e);
    close(pipe_fds[1]);
    if (r == 0) {
        size_t n = read_until(pipe_fds[0], text, sizeof(text) - 1, clock_boot_ms() + VERSION_TIMEOUT_MS);
        text[n] = 0;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        if (parse_version(text, h->qemu_version, sizeof(h->qemu_version)) < 0)
            r = err_set(e, -EPROTO, "engine.broken", "%s does not tell its version", h->qemu_path);
    }
    close(pipe_fds[0]);
    return r;
}
