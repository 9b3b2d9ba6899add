/* Source NAT for bridges that ask for it: one nftables table for this instance, replaced as a whole by the program nft,
 * and IPv4 forwarding, which is switched off again if it was off before. Blocking; pool thread. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/proc.h"
#include "network/apply_priv.h"

#define FORWARD      "/proc/sys/net/ipv4/ip_forward"
#define FORWARD_NOTE "ip_forward" /* in the run folder: what it was before */
#define NFT_LIMIT_MS 10000

static bool has_nat(const struct net_config *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].is_nat)
            return true;
    return false;
}

/* Names and addresses are checked ones; the table's name is ours alone. */
static void write_rules(const struct net_config *c, uint32_t instance, struct buf *b)
{
    buf_printf(b, "add table ip holm_%04x\ndelete table ip holm_%04x\n", instance, instance);
    if (!has_nat(c))
        return;
    buf_printf(b, "table ip holm_%04x {\n chain postrouting {\n  type nat hook postrouting priority 100;\n", instance);
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].is_nat)
            buf_printf(b, "  ip saddr %s ip daddr != %s oifname != \"%s\" masquerade\n", c->items[i].cidr,
                       c->items[i].cidr, c->items[i].name);
    buf_printf(b, " }\n}\n");
}

static const char *find_nft(void)
{
    static const char *const paths[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

static int wait_for_nft(pid_t pid, int pidfd, struct err *e)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int status = 0;

    if (poll(&p, 1, NFT_LIMIT_MS) <= 0)
        proc_pidfd_kill(pidfd, SIGKILL);
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return err_set(e, -EIO, "net.nft", "nft did not take the rules for NAT; its words are in the daemon's log");
}

static int run_nft(const struct buf *rules, struct err *e)
{
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    const char *path = find_nft();
    int pidfd = -EBADF;
    pid_t pid;

    if (!path) {
        err_set(e, -ENOENT, "net.nft", "the program nft is not there");
        return err_hint(e, "NAT needs it: apt install nftables");
    }
    autoclose int input = memfd_create("nft", MFD_CLOEXEC);
    if (input < 0 || rules->is_failed || write(input, rules->data, rules->len) != (ssize_t)rules->len ||
        lseek(input, 0, SEEK_SET) < 0)
        return err_set(e, -EIO, NULL, "cannot write the rules for NAT");
    struct proc_spawn s = {.path = path, .argv = argv, .fds = {{input, 0}}, .n_fds = 1};
    int r = proc_spawn_start(&s, &pid, &pidfd, e);
    if (r < 0)
        return r;
    r = wait_for_nft(pid, pidfd, e);
    close(pidfd);
    return r;
}

static int write_forward(const char *value, struct err *e)
{
    autoclose int fd = open(FORWARD, O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, value, 1) != 1 ? err_errno(e, errno, "write %s", FORWARD) : 0;
}

static int read_first(int dirfd, const char *path, char *ret)
{
    autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

    return fd < 0 || read(fd, ret, 1) != 1 ? -errno : 0;
}

/* The note is there before anything else, and until all is undone: a crash in between is put right by the next apply.
 */
static int forward(int run_dirfd, struct err *e)
{
    char now = '0', noted;
    int r = read_first(AT_FDCWD, FORWARD, &now);

    if (r < 0)
        return err_errno(e, -r, "read %s", FORWARD);
    if (read_first(run_dirfd, FORWARD_NOTE, &noted) < 0 &&
        (r = fs_replace_durable(run_dirfd, FORWARD_NOTE, &now, 1, 0600, e)) < 0)
        return r;
    return now == '0' ? write_forward("1", e) : 0;
}

static int forward_no_more(int run_dirfd, struct err *e)
{
    char noted = '1';
    int r = read_first(run_dirfd, FORWARD_NOTE, &noted) == 0 && noted == '0' ? write_forward("0", e) : 0;

    return r < 0 ? r : fs_unlink_if_exists(run_dirfd, FORWARD_NOTE, e);
}

int net_nat_apply(const struct net_config *wanted, uint32_t instance, int run_dirfd, struct err *e)
{
    bool is_wanted = has_nat(wanted);
    struct buf rules;

    if (!is_wanted && faccessat(run_dirfd, FORWARD_NOTE, F_OK, 0) < 0)
        return 0;
    int r = is_wanted ? forward(run_dirfd, e) : 0;
    if (r < 0)
        return r;
    buf_init(&rules, 128u * 1024u);
    write_rules(wanted, instance, &rules);
    r = run_nft(&rules, e);
    buf_done(&rules);
    return r == 0 && !is_wanted ? forward_no_more(run_dirfd, e) : r;
}
