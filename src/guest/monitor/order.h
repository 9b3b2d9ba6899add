/* The launch order: what holmd wants run, read once from a sealed memory file. */
#ifndef HOLM_GUEST_MONITOR_ORDER_H
#define HOLM_GUEST_MONITOR_ORDER_H

#include "base/buf.h"
#include "base/err.h"

#define ORDER_ARGS_MAX     4096u
#define ORDER_ENVS_MAX     32u
#define ORDER_FDS_MAX      480u
#define ORDER_CHANNELS_MAX 8u
#define ORDER_VERBS_MAX    40u
#define COOKIE_BYTES       32u

#define ORDER_HELPER_ARGS_MAX 32u
#define ORDER_HELPER_FDS_MAX  4u

struct order_channel {
    char name[16];
    int target; /* descriptor in the hypervisor */
};

struct order {
    /* a second program, see engine.h; no arguments: none */
    char *helper_args[ORDER_HELPER_ARGS_MAX + 1];
    size_t n_helper_args;
    int helper_fds[ORDER_HELPER_FDS_MAX];
    size_t n_helper_fds;
    int helper_peer;
    char driver[16];
    uint32_t vmid;
    unsigned char cookie[COOKIE_BYTES];
    char *args[ORDER_ARGS_MAX + 1], *envs[ORDER_ENVS_MAX + 1]; /* owned, NULL-terminated */
    char *verbs[ORDER_VERBS_MAX];
    size_t n_args, n_envs, n_verbs;
    int fds[ORDER_FDS_MAX]; /* open at these numbers, in the monitor and then in the hypervisor */
    size_t n_fds;
    struct order_channel channels[ORDER_CHANNELS_MAX];
    size_t n_channels;
};

/* ret is big (about 40 KiB): allocate it. On error nothing is left to free. */
MUST_CHECK int order_parse(const void *payload, size_t n, struct order *ret, struct err *e);
void order_done(struct order *o);

#endif
