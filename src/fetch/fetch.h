/* holm-fetch's inside. One process serves one request: "get" copies what a URL names into a descriptor, "head" asks
 * what it is. Everything that a server says is hostile: bounded, and never a path, a descriptor or an address that was
 * not checked. One thread; names are resolved in a child process, because resolving needs files and this process has
 * none. */
#ifndef HOLM_FETCH_FETCH_H
#define HOLM_FETCH_FETCH_H

#include <sys/socket.h>

#include "proto/frame.h"

#define FETCH_URL_MAX       1000u
#define FETCH_HOST_MAX      255u
#define FETCH_REDIRECTS_MAX 5u
#define FETCH_ADDRESSES_MAX 16u
#define FETCH_HEADERS_MAX   65536u /* bytes of all header lines of one reply */
#define FETCH_CA_MAX        (4u * 1024u * 1024u)
#define FETCH_CONNECT_S     20L
#define FETCH_STALL_S       20L /* so long below FETCH_SLOW bytes a second: given up */
#define FETCH_SLOW          1024L
#define FETCH_BOMB_RATIO    256u /* unpacked to packed, beyond FETCH_BOMB_FREE */
#define FETCH_BOMB_FREE     (64u * 1024u * 1024u)
#define FETCH_FDS           2u

enum fetch_packing { FETCH_PLAIN, FETCH_GZ, FETCH_ZST };

struct fetch_request {
    uint32_t stream;
    bool is_head, is_local_allowed, is_insecure;
    char url[FETCH_URL_MAX + 1];
    char checksum[160]; /* "sha256:HEX" or "" */
    enum fetch_packing packing;
    uint64_t limit_bytes; /* of the file, unpacked */
    int ca_fd, out_fd;    /* out_fd: get only */
};

/* request.c, pure. fds: the CA certificates (PEM), then for "get" the file. */
MUST_CHECK int fetch_request_parse(const void *payload, size_t n, const int *fds, size_t n_fds,
                                   struct fetch_request *ret, struct err *e);
/* http or https, no user name or password, no control characters, at most FETCH_URL_MAX bytes. */
MUST_CHECK int fetch_url_check(const char *url, struct err *e);

/* address.c, pure. May a connection lead there? Loopback, link-local, multicast, unspecified, reserved and the metadata
 * services of clouds may not, in whatever form an IPv6 address wraps an IPv4 one, unless is_local_allowed. */
bool fetch_address_is_allowed(const struct sockaddr *addr, bool is_local_allowed);

/* resolve.c: a child process that turns names into addresses. */
struct resolver {
    int fd;
    pid_t pid;
};
MUST_CHECK int resolver_start(struct resolver *ret, struct err *e);
/* ret_addrs: FETCH_ADDRESSES_MAX entries. */
MUST_CHECK int resolver_ask(const struct resolver *r, const char *host, struct sockaddr_storage *ret_addrs,
                            size_t *ret_n, struct err *e);
void resolver_end(struct resolver *r);

/* sandbox.c */
MUST_CHECK int fetch_sandbox_early(struct err *e);
MUST_CHECK int fetch_sandbox_seal(const struct fetch_request *q, struct err *e);
MUST_CHECK int fetch_sandbox_resolver(struct err *e);

/* sink.c: where the bytes of the body go. */
struct sink;
MUST_CHECK int sink_new(const struct fetch_request *q, struct sink **ret, struct err *e);
MUST_CHECK int sink_take(struct sink *s, const void *data, size_t n, struct err *e);
/* The end of the body: packed data must be whole, the checksum right; then the file is synced. ret_bytes: its size. */
MUST_CHECK int sink_finish(struct sink *s, uint64_t *ret_bytes, struct err *e);
void sink_free(struct sink *s);

/* hop.c: one request to one server; no redirect is followed. */
struct fetch_hop {
    long status;
    char redirect[FETCH_URL_MAX + 1]; /* absolute; "" = none */
    int64_t size_bytes;               /* -1: not said */
    char mime[128], file_name[256];
};
struct fetch_ca {
    char *data;
    size_t n;
};
/* The body of a reply with status 200 goes to sink (NULL: HEAD). */
MUST_CHECK int fetch_hop(const struct fetch_request *q, const struct resolver *names, const struct fetch_ca *ca,
                         const char *url, struct sink *sink, struct fetch_hop *ret, struct err *e);
/* Name of the file that a Content-Disposition header proposes, or "". Pure. */
void fetch_disposition_name(const char *value, size_t n, char *dst, size_t cap);

/* transfer.c: the whole request; appends the answer's fields. */
MUST_CHECK int fetch_transfer(const struct fetch_request *q, const struct resolver *names, struct buf *answer,
                              struct err *e);

#endif
