/* Names to addresses, in a child process: the C library's resolver opens files and loads modules as the host's
 * configuration says, which the process that talks to web servers must not be able to. The child has no descriptor but
 * its end of a socket, cannot start programs or write files, and sees nothing but host names.
 *
 * On the socket (packets keep their borders): a name; then addresses, each a sockaddr_in6 or sockaddr_in in a
 * sockaddr_storage, or an error text of another length. */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fetch/fetch.h"

#define RESOLVE_MS 20000

struct answer {
    uint32_t n;
    char text[128];
    struct sockaddr_storage addrs[FETCH_ADDRESSES_MAX];
};

static void look_up(const char *host, struct answer *a)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int r = getaddrinfo(host, NULL, &hints, &list);

    memset(a, 0, sizeof(*a));
    if (r != 0)
        snprintf(a->text, sizeof(a->text), "%s", gai_strerror(r));
    for (const struct addrinfo *i = list; i && a->n < FETCH_ADDRESSES_MAX; i = i->ai_next)
        if (i->ai_addrlen <= sizeof(a->addrs[0]))
            memcpy(&a->addrs[a->n++], i->ai_addr, i->ai_addrlen);
    if (list)
        freeaddrinfo(list);
}

static void serve(int fd)
{
    static struct answer a;
    char host[FETCH_HOST_MAX + 1];

    for (;;) {
        ssize_t n = recv(fd, host, sizeof(host) - 1, 0);
        if (n <= 0)
            return;
        host[n] = 0;
        look_up(host, &a);
        if (send(fd, &a, sizeof(a), MSG_NOSIGNAL) != sizeof(a))
            return;
    }
}

int resolver_start(struct resolver *ret, struct err *e)
{
    pid_t parent = getpid();
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "socketpair");
    pid_t pid = fork();
    if (pid < 0) {
        close(pair[0]);
        close(pair[1]);
        return err_errno(e, errno, "fork");
    }
    if (pid == 0) {
        struct err ignored = ERR_INIT;
        close(pair[0]);
        close(3); /* holmd is the other's to talk to */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && fetch_sandbox_resolver(&ignored) == 0)
            serve(pair[1]);
        _exit(0);
    }
    close(pair[1]);
    *ret = (struct resolver){.fd = pair[0], .pid = pid};
    return 0;
}

int resolver_ask(const struct resolver *r, const char *host, struct sockaddr_storage *ret_addrs, size_t *ret_n,
                 struct err *e)
{
    static struct answer a;
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    size_t n = strlen(host);

    if (n == 0 || n > FETCH_HOST_MAX)
        return err_set(e, -EINVAL, "download.url", "the address has no usable host name");
    if (send(r->fd, host, n, MSG_NOSIGNAL) != (ssize_t)n || poll(&p, 1, RESOLVE_MS) <= 0 ||
        recv(r->fd, &a, sizeof(a), 0) != (ssize_t)sizeof(a))
        return err_set(e, -EHOSTUNREACH, "download.resolve", "the name '%s' could not be looked up in time", host);
    a.text[sizeof(a.text) - 1] = 0;
    if (a.n == 0 || a.n > FETCH_ADDRESSES_MAX)
        return err_set(e, -EHOSTUNREACH, "download.resolve", "the name '%s' has no address: %s", host,
                       a.text[0] ? a.text : "none found");
    memcpy(ret_addrs, a.addrs, a.n * sizeof(a.addrs[0]));
    *ret_n = a.n;
    return 0;
}

void resolver_end(struct resolver *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};

    shutdown(r->fd, SHUT_RDWR);
    /* It goes when its socket does; one that is still looking something up goes with this process. */
    (void)!poll(&p, 1, 0);
    close(r->fd);
}
