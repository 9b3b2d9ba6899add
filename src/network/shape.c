/* A rate limit for a tap: a token bucket on its way out, and for what comes in a redirection of everything to an ifb
 * with a bucket of its own (a policer would drop where this delays). Blocking; pool threads. */
#include "network/link_priv.h"

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>

#define HANDLE_ROOT    UINT32_C(0x00010000)
#define HANDLE_INGRESS UINT32_C(0xffff0000)
#define LATENCY_MS     100u
#define BURST_MIN      (16u * 1024u)

static void begin_qdisc(struct rtnl_message *m, uint32_t index, uint32_t parent, uint32_t handle, const char *kind)
{
    struct tcmsg body = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = (int)index, .tcm_parent = parent, .tcm_handle = handle};

    rtnl_begin(m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
    rtnl_put_str(m, TCA_KIND, kind);
}

/* Times in the kernel's ticks of 64 ns; a bucket of 20 ms, and a queue of LATENCY_MS. */
static int bucket(struct rtnl *n, uint32_t index, uint64_t bytes_s)
{
    uint64_t burst = bytes_s / 50 > BURST_MIN ? bytes_s / 50 : BURST_MIN;
    uint64_t queue = bytes_s * LATENCY_MS / 1000 + burst;
    uint64_t ticks = burst * UINT64_C(1000000000) / bytes_s / 64;
    struct tc_tbf_qopt o = {
        .rate = {.rate = bytes_s > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes_s, .linklayer = TC_LINKLAYER_ETHERNET},
        .limit = queue > UINT32_MAX ? UINT32_MAX : (uint32_t)queue,
        .buffer = ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks};
    struct rtnl_message m;

    begin_qdisc(&m, index, TC_H_ROOT, HANDLE_ROOT, "tbf");
    size_t options = rtnl_nest(&m, TCA_OPTIONS);
    rtnl_put(&m, TCA_TBF_PARMS, &o, sizeof(o));
    rtnl_put_u32(&m, TCA_TBF_BURST, burst > UINT32_MAX ? UINT32_MAX : (uint32_t)burst);
    if (bytes_s > UINT32_MAX)
        rtnl_put(&m, TCA_TBF_RATE64, &bytes_s, sizeof(bytes_s));
    rtnl_nest_end(&m, options);
    return rtnl_do(n, &m);
}

static int redirect(struct rtnl *n, uint32_t index, uint32_t to)
{
    /* One key of mask 0 follows it: everything. */
    const struct tc_u32_sel sel = {.flags = TC_U32_TERMINAL, .nkeys = 1};
    unsigned char all[sizeof(sel) + sizeof(struct tc_u32_key)] = {0};
    struct tc_mirred action = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = to};
    struct tcmsg body = {.tcm_family = AF_UNSPEC,
                         .tcm_ifindex = (int)index,
                         .tcm_parent = HANDLE_INGRESS,
                         .tcm_info = TC_H_MAKE(UINT32_C(1) << 16, htons(ETH_P_ALL))};
    struct rtnl_message m;

    memcpy(all, &sel, sizeof(sel));
    rtnl_begin(&m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
    rtnl_put_str(&m, TCA_KIND, "u32");
    size_t options = rtnl_nest(&m, TCA_OPTIONS);
    rtnl_put(&m, TCA_U32_SEL, all, sizeof(all));
    size_t actions = rtnl_nest(&m, TCA_U32_ACT);
    size_t first = rtnl_nest(&m, 1);
    rtnl_put_str(&m, TCA_ACT_KIND, "mirred");
    size_t parameters = rtnl_nest(&m, TCA_ACT_OPTIONS);
    rtnl_put(&m, TCA_MIRRED_PARMS, &action, sizeof(action));
    rtnl_nest_end(&m, parameters);
    rtnl_nest_end(&m, first);
    rtnl_nest_end(&m, actions);
    rtnl_nest_end(&m, options);
    return rtnl_do(n, &m);
}

static int delete_qdisc(struct rtnl *n, uint32_t index, uint32_t parent)
{
    struct tcmsg body = {.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)index, .tcm_parent = parent};
    struct rtnl_message m;

    rtnl_begin(&m, RTM_DELQDISC, 0, &body, sizeof(body));
    int r = rtnl_do(n, &m);
    /* One that nobody set: the kernel's default. */
    return r == -ENOENT || r == -EINVAL || r == -EOPNOTSUPP ? 0 : r;
}

int net_unshape(struct rtnl *n, uint32_t tap_index)
{
    int r = delete_qdisc(n, tap_index, TC_H_INGRESS);

    return r < 0 ? r : delete_qdisc(n, tap_index, TC_H_ROOT);
}

int net_shape(struct rtnl *n, uint32_t tap_index, uint32_t ifb_index, uint64_t bytes_s)
{
    struct rtnl_message m;
    int r = net_unshape(n, tap_index);

    if (r == 0)
        r = bucket(n, tap_index, bytes_s);
    if (r == 0)
        r = bucket(n, ifb_index, bytes_s);
    if (r < 0)
        return r;
    begin_qdisc(&m, tap_index, TC_H_INGRESS, HANDLE_INGRESS, "ingress");
    rtnl_put(&m, TCA_OPTIONS, NULL, 0);
    r = rtnl_do(n, &m);
    return r < 0 ? r : redirect(n, tap_index, ifb_index);
}
