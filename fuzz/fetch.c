/* holm-fetch without a network: a request frame, then what servers and the name server say. The sockets that the HTTP
 * library opens are pairs whose far end has said everything already; every address that it connects to must be one that
 * may be connected to, for whoever must not reach this host. The file stays within its limit. */
#include <fcntl.h>
#include <signal.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/fetch.h"
#include "link/link.h"

#define LIMIT_BYTES 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const uint8_t *rest; /* what is still to be said, in pieces: two bytes of length, then the bytes */
static size_t n_rest;
static int peers[16];
static size_t n_peers, n_asked;
static struct fetch_request request;

static const uint8_t *take(size_t *ret_n)
{
    const uint8_t *p = rest + 2;
    size_t len = n_rest >= 2 ? (size_t)rest[0] << 8 | rest[1] : 0;

    if (n_rest < 2) {
        *ret_n = 0;
        return rest;
    }
    len = len < n_rest - 2 ? len : n_rest - 2;
    rest += 2 + len;
    n_rest -= 2 + len;
    *ret_n = len;
    return p;
}

/* In the place of the system's. */
int socket(int family, int type, int protocol)
{
    int pair[2];
    size_t len;
    const uint8_t *p = take(&len);

    if ((family != AF_INET && family != AF_INET6) || n_peers == ARRAY_SIZE(peers) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -1;
    (void)!write(pair[1], p, len);
    shutdown(pair[1], SHUT_WR);
    peers[n_peers++] = pair[1];
    return pair[0];
}

int connect(int fd, const struct sockaddr *a, socklen_t n)
{
    if (!fetch_address_is_allowed(a, request.is_local_allowed))
        abort();
    return 0;
}

int resolver_ask(const struct resolver *r, const char *host, struct sockaddr_storage *ret_addrs, size_t *ret_n,
                 struct err *e)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    size_t len;
    const uint8_t *p = take(&len);

    if (!*host || strlen(host) > FETCH_HOST_MAX || ++n_asked > FETCH_REDIRECTS_MAX + 1)
        abort();
    *ret_n = 0;
    if (len >= 4) {
        memcpy(&four.sin_addr, p, 4);
        memcpy(&ret_addrs[(*ret_n)++], &four, sizeof(four));
    }
    if (len >= 20) {
        memcpy(&six.sin6_addr, p + 4, 16);
        memcpy(&ret_addrs[(*ret_n)++], &six, sizeof(six));
    }
    return *ret_n ? 0 : err_set(e, -EHOSTUNREACH, "download.resolve", "no such name");
}

int link_write_frame(int fd, const struct buf *frame, const int *fds, size_t n_fds, struct err *e)
{
    return frame->is_failed ? -ENOMEM : 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static void check_file(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size > LIMIT_BYTES)
        abort();
}

static void transfer(struct fetch_request *q)
{
    autoclose int ca = open("/dev/null", O_RDONLY | O_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
    struct resolver names = {.fd = -1};
    struct err e = ERR_INIT;
    autobuf struct buf answer;

    buf_init(&answer, 16384);
    q->ca_fd = ca;
    q->out_fd = out;
    q->limit_bytes = LIMIT_BYTES;
    request = *q;
    int r = fetch_transfer(q, &names, &answer, &e);
    if (r < 0 && !e.code[0] && !e.text[0])
        abort();
    check_file(out);
    while (n_peers)
        close(peers[--n_peers]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int fds[2] = {7, 8};
    struct fetch_request q;
    struct err e = ERR_INIT;
    char name[64];
    size_t len;

    rest = data;
    n_rest = n;
    n_asked = 0;
    const uint8_t *payload = take(&len);
    fetch_disposition_name((const char *)data, n, name, sizeof(name));
    for (unsigned n_fds = 1; n_fds <= 2; n_fds++)
        if (fetch_request_parse(payload, len, fds, n_fds, &q, &e) == 0)
            transfer(&q);
    return 0;
}
