/* Bytes through guests' taps: every few seconds one look at all interfaces, in a pool thread; the numbers go to the
 * guests on the loop. What a tap received, the guest sent. */
#include "base/log.h"
#include "guest/guest_priv.h"
#include "network/network.h"
#include "task/pool.h"

struct counting {
    struct guest_mgr *mgr;
    struct net_link *links;
    size_t n;
    int r;
    struct err err;
};

static void count(void *ctx)
{
    struct counting *c = ctx;

    c->r = net_links_snapshot(&c->links, &c->n, &c->err);
}

static void note_nic(struct guest *g, unsigned index, const struct net_link *l)
{
    if (!g->nics)
        g->nics = calloc(GUEST_NICS_MAX, sizeof(*g->nics));
    if (!g->nics || index >= GUEST_NICS_MAX)
        return;
    g->nics[index] = (struct guest_nic){.in = l->tx_bytes, .out = l->rx_bytes, .round = g->net_round};
    snprintf(g->nics[index].name, sizeof(g->nics[index].name), "%s", l->name);
}

static void add_up(struct counting *c)
{
    struct guest_mgr *m = c->mgr;

    for (size_t i = 0; i < c->n; i++) {
        const struct net_link *l = &c->links[i];
        struct guest *g;
        uint32_t vmid;
        unsigned index;
        if (!net_tap_name_parse(l->name, m->env.instance, &vmid, &index) || !(g = guest_find(m, vmid)))
            continue;
        if (g->net_round != m->net_round)
            g->net_in = g->net_out = 0;
        g->net_round = m->net_round;
        g->net_in += l->tx_bytes;
        g->net_out += l->rx_bytes;
        note_nic(g, index, l);
    }
}

static void counted(void *ctx)
{
    struct counting *c = ctx;

    c->mgr->is_counting = false;
    c->mgr->net_round++;
    if (c->r == 0)
        add_up(c);
    else
        log_err(LOG_WARN, &c->err, "counters of taps");
    free(c->links);
    free(c);
}

void guest_counters_sample(struct guest_mgr *m)
{
    struct counting *c;
    struct err e = ERR_INIT;
    bool any = false;

    for (size_t i = 0; i < m->n && !any; i++)
        any = m->guests[i]->state == GUEST_RUNNING;
    if (!any || m->is_counting || !(c = calloc(1, sizeof(*c))))
        return;
    c->mgr = m;
    m->is_counting = pool_submit(m->env.pool, count, counted, c, &e) == 0;
    if (!m->is_counting)
        free(c);
}
