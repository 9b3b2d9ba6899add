// Runs a virtual machine monitor in the lab until its guest says something, and tells what that took.
//
//     until [-k] [-t SECONDS] [-n TIMES] [-l LOG] MARKER PROGRAM ARGUMENT...
//
// Copies what the program writes to LOG and, when MARKER was there TIMES times, prints one line of KEY=VALUE words:
// milliseconds since exec, what /sys/kernel/debug/kvm counts for all machines alive at that moment (jobs run one), and
// memory of the process that holds the machine. Then waits for its end, or ends it (-k). Standard input goes to the
// program. Exit status: the program's (0 after -k), 124 after the limit (then two lines of counts show whether it does
// anything), 125 if it ended without the marker.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KVM_FOLDER "/sys/kernel/debug/kvm"

static const char *const COUNTERS[] = {"exits",          "io_exits",          "mmio_exits",
                                       "halt_exits",     "irq_exits",         "irq_injections",
                                       "insn_emulation", "host_state_reload", "signal_exits"};
#define N_COUNTERS (sizeof(COUNTERS) / sizeof(COUNTERS[0]))

struct options {
    const char *marker, *log;
    int limit_s, times;
    bool is_killed;
    char **argv;
};

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static long long read_number(const char *path)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 ? strtoll(text, NULL, 10) : 0;
}

// A line "NAME: 123 kB" of a file of /proc/PID.
static long long read_kib(long pid, const char *file, const char *name)
{
    char path[128], line[256];
    long long value = 0;
    snprintf(path, sizeof(path), "/proc/%ld/%s", pid, file);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            value = strtoll(line + strlen(name) + 1, NULL, 10);
    fclose(f);
    return value;
}

// Private memory of a process without the guest's: mappings of 100 MiB and more, and one of 2 MiB that lies right
// before such a one, where the first huge page of the guest's memory is treated in another way.
static long long own_kib(long pid)
{
    char path[64], line[256];
    unsigned long first = 0, last = 0, begin, end;
    long long sum = 0, here = 0, kib;
    snprintf(path, sizeof(path), "/proc/%ld/smaps", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
            int is_guest = end - begin >= 100ul << 20, is_part = is_guest && last == begin && last - first == 2ul << 20;
            sum += last - first >= 100ul << 20 || is_part ? 0 : here;
            here = 0;
            first = begin;
            last = end;
        } else if (sscanf(line, "Private_Clean: %lld", &kib) == 1 || sscanf(line, "Private_Dirty: %lld", &kib) == 1) {
            here += kib;
        }
    }
    fclose(f);
    return sum + here;
}

// Each machine has a folder PID-FD there.
static void print_counts(void)
{
    long long sums[N_COUNTERS] = {0};
    long pid = 0;
    DIR *folder = opendir(KVM_FOLDER);
    for (struct dirent *d = NULL; folder && (d = readdir(folder));) {
        if (!strchr(d->d_name, '-'))
            continue;
        for (size_t i = 0; i < N_COUNTERS; i++) {
            char path[512];
            snprintf(path, sizeof(path), KVM_FOLDER "/%s/%s", d->d_name, COUNTERS[i]);
            long long n = read_number(path);
            sums[i] += n;
            if (i == 0 && n > 0) // the agent's machine never runs
                pid = strtol(d->d_name, NULL, 10);
        }
    }
    if (folder)
        closedir(folder);
    for (size_t i = 0; i < N_COUNTERS; i++)
        printf(" %s=%lld", COUNTERS[i], sums[i]);
    if (pid)
        printf(" rss_kib=%lld pss_kib=%lld own_kib=%lld threads=%lld", read_kib(pid, "status", "VmRSS"),
               read_kib(pid, "smaps_rollup", "Pss"), own_kib(pid), read_kib(pid, "status", "Threads"));
}

static pid_t start(char **argv, int *ret_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        perror("pipe");
        exit(126);
    }
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        execvp(argv[0], argv);
        perror(argv[0]);
        _exit(127);
    }
    close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

static int wait_status(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A search for the marker over pieces of text as they come.
struct search {
    const char *marker;
    size_t matched;
    int found;
};

static void search_feed(struct search *s, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        // Markers begin with a character that they do not hold again.
        s->matched = text[i] == s->marker[s->matched] ? s->matched + 1 : text[i] == s->marker[0];
        if (s->marker[s->matched])
            continue;
        s->found++;
        s->matched = 0;
    }
}

// Whether a machine that does not answer does nothing, or one thing without end.
static void print_standstill(void)
{
    for (int i = 0; i < 2; i++) {
        sleep(2);
        printf("late:");
        print_counts();
        printf("\n");
    }
    fflush(stdout);
}

static int watch(const struct options *o, pid_t pid, int fd, int log_fd, long long began)
{
    struct search search = {.marker = o->marker};
    bool is_reported = false;
    char text[4096];
    for (;;) {
        long long left = began + o->limit_s * 1000LL - now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n_ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n_ready < 0 && errno == EINTR)
            continue;
        if (n_ready <= 0) {
            print_standstill();
            kill(-pid, SIGKILL);
            wait_status(pid);
            return 124;
        }
        ssize_t n = read(fd, text, sizeof(text));
        if (n <= 0)
            break;
        if (write(log_fd, text, (size_t)n) != n)
            perror("log");
        search_feed(&search, text, (size_t)n);
        if (search.found < o->times || is_reported)
            continue;
        is_reported = true;
        printf("ms=%lld", now_ms() - began);
        print_counts();
        printf("\n");
        fflush(stdout);
        if (!o->is_killed)
            continue;
        kill(-pid, SIGKILL);
        wait_status(pid);
        return 0;
    }
    int status = wait_status(pid);
    if (!is_reported)
        printf("ended with %d without %s\n", status, o->marker);
    return is_reported ? status : 125;
}

int main(int argc, char **argv)
{
    struct options o = {.log = "/dev/null", .limit_s = 120, .times = 1};
    int c;
    while ((c = getopt(argc, argv, "+kt:n:l:")) != -1) {
        if (c == 'k')
            o.is_killed = true;
        else if (c == 't')
            o.limit_s = (int)strtol(optarg, NULL, 10);
        else if (c == 'n')
            o.times = (int)strtol(optarg, NULL, 10);
        else if (c == 'l')
            o.log = optarg;
        else
            return 2;
    }
    if (argc - optind < 2 || !argv[optind][0]) {
        fprintf(stderr, "usage: until [-k] [-t SECONDS] [-n TIMES] [-l LOG] MARKER PROGRAM ARGUMENT...\n");
        return 2;
    }
    o.marker = argv[optind];
    o.argv = argv + optind + 1;
    int log_fd = open(o.log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log_fd < 0) {
        perror(o.log);
        return 126;
    }
    int fd;
    long long began = now_ms();
    pid_t pid = start(o.argv, &fd);
    return watch(&o, pid, fd, log_fd, began);
}
