/* The parts of holmd's own folder. Loop thread. */
#ifndef HOLM_DAEMON_DAEMON_H
#define HOLM_DAEMON_DAEMON_H

#include "api/api.h"
#include "link/link_event.h"

struct options {
    const char *root;
    char address[64];
    unsigned port;
    char node[64];
    char libexec[4000];
    const char *interfaces; /* NULL, or where ifupdown reads the networks */
    const char *web;        /* NULL: no page */
    unsigned n_fronts;
    uint32_t hsts_s; /* 0: no Strict-Transport-Security */
    bool is_verbose;
};
MUST_CHECK int options_parse(int argc, char **argv, struct options *ret, struct err *e);

/* A peer that sends REQUEST frames: holm-front or a local client. */
struct peer;
/* local: who it is (by socket credentials), or NULL for holm-front, whose requests carry their own proofs. Takes fd.
 * on_closed may be NULL. */
MUST_CHECK int peer_new(struct api *api, int fd, const struct auth_subject *local, void (*on_closed)(void *arg),
                        void *arg, struct peer **ret, struct err *e);
/* Cuts the connection; calls under way finish without a reply. */
void peer_close(struct peer *p);

/* The processes of holm-front: holds the listening socket, starts them, starts each again when it ends. */
#define FRONTS_MAX     8u
#define FRONTS_DEFAULT 2u
struct fronts;
MUST_CHECK int fronts_new(struct api *api, const struct options *o, uid_t uid, gid_t gid, struct fronts **ret,
                          struct err *e);
void fronts_free(struct fronts *f);
/* Starts new ones, which read the certificate again, and has the old ones end when they are done with what they have
 * begun (consoles may go on for long). On error the old ones stay. */
MUST_CHECK int fronts_renew(struct fronts *f, struct err *e);

/* Gives up what is not in the table of capabilities.c. Before any thread is started. */
MUST_CHECK int capabilities_drop(struct err *e);

/* DIR/run/holm.sock for the command line. */
struct local;
MUST_CHECK int local_new(struct api *api, const char *root, struct local **ret, struct err *e);
void local_free(struct local *l);

/* Small random number that tells this root from others on the host: DIR/var/instance. */
MUST_CHECK int instance_get(const char *root, uint32_t *ret, struct err *e);

/* DIR/etc/tls/{cert,key}.pem, made by a worker when missing. fds for holm-front. */
MUST_CHECK int certificate_open(struct api *api, const char *root, const char *node, const char *address, int *ret_cert,
                                int *ret_key, struct err *e);

/* event_base_dispatch, or with HOLM_WATCHDOG=MS a loop that reports stretches longer than MS. The descriptor is found
 * right after the base was made. */
int watchdog_find_epoll(void);
void watchdog_dispatch(struct event_base *base, int epoll_fd);

struct engine_host;
/* Fills qemu_version. */
void qemu_version_find(const char *root, struct engine_host *h);

#endif
