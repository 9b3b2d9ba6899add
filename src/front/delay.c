/* Replies that are held back on purpose (failed logins). Waiting costs the client, not the others: such a connection
 * gives up its place among max_connections and goes on in a ring of its own, where the newest push out the oldest,
 * whose reply then goes at once. It ends after its reply. When that is on its way the connection moves to a second,
 * smaller ring, so that a client that does not take it, or does not close, is closed when others follow. */
#include "front/front_priv.h"

static void enter(struct delay_ring *ring, struct conn *c)
{
    c->ring = ring;
    list_add_tail(&ring->conns, &c->ring_link);
    ring->n++;
}

void delay_forget(struct conn *c)
{
    list_remove(&c->ring_link);
    c->ring->n--;
    c->ring = NULL;
}

static struct conn *oldest(const struct delay_ring *ring)
{
    return list_is_empty(&ring->conns) ? NULL : container_of(ring->conns.next, struct conn, ring_link);
}

void delay_start(struct conn *c, uint32_t ms)
{
    struct front *f = c->front;

    while (f->delayed.n >= f->options.limits.max_delayed && f->delayed.n)
        delay_end(oldest(&f->delayed));
    conn_leave_place(c);
    enter(&f->delayed, c);
    c->is_closing = true;
    conn_set_phase(c, CONN_DELAY, ms);
}

void delay_end(struct conn *c)
{
    struct front *f = c->front;

    delay_forget(c);
    enter(&f->leaving, c);
    while (f->leaving.n > f->options.limits.max_leaving && f->leaving.n > 1)
        conn_close(oldest(&f->leaving));
    reply_send(c);
}

bool delay_spare(struct front *f)
{
    struct conn *c = oldest(&f->leaving);

    if (!c)
        c = oldest(&f->delayed);
    if (c)
        conn_close(c);
    return c;
}

void delay_close_all(struct front *f)
{
    while (delay_spare(f))
        continue;
}
