/* The command line of holm-front; holmd writes it, people do not. */
#ifndef HOLM_FRONT_OPTIONS_H
#define HOLM_FRONT_OPTIONS_H

#include <sys/types.h>

#include "base/err.h"
#include "front/caps.h"

#define FRONT_LISTEN_MAX 8

struct front_options {
    int listen_fds[FRONT_LISTEN_MAX]; /* listening stream sockets */
    size_t n_listen_fds;
    int link_fd;         /* stream socket to holmd */
    int cert_fd, key_fd; /* PEM; read once */
    int web_fd;          /* folder of the web page, or -EBADF */
    const char *node;
    const char *chroot_dir; /* used while still root */
    uint32_t hsts_s;        /* max-age of Strict-Transport-Security, 0 = not sent */
    uid_t uid;
    gid_t gid;
    struct front_limits limits;
};

MUST_CHECK int front_options_parse(int argc, char **argv, struct front_options *ret, struct err *e);

#endif
