/* Who may have a password hashed, compared or shown to PAM, and when; see access_limit.h. argon2id is made to be slow
 * and PAM may be, so this is what a flood of logins can occupy: its share of the workers, and no more than a queue.
 * Loop thread. */
#include "api/access_limit.h"
#include "auth/auth.h"
#include "base/list.h"
#include "task/workers.h"

#define LANE_WAITING_MAX 64u
#define LANE_ONE_MAX     16u /* of them of one user or address */
#define BUSY_WAIT_S      5u

enum lane_name { LANE_KNOWN, LANE_STRANGER, LANES };

struct lane {
    struct list_node waiting;
    unsigned n_waiting, n_running;
};

struct password_gate {
    struct workers *workers;
    unsigned running_max; /* of each lane */
    struct lane lanes[LANES];
};

struct job {
    struct list_node node;
    struct password_gate *gate;
    struct lane *lane;
    struct api_call *call;
    struct worker_request request; /* what it points to lives as long as the call */
    worker_done_fn done;
    void *arg;
};

int password_gate_new(struct workers *w, unsigned max_at_once, struct password_gate **ret, struct err *e)
{
    struct password_gate *g = calloc(1, sizeof(*g));

    if (!g)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    g->workers = w;
    g->running_max = max_at_once / LANES;
    for (size_t i = 0; i < LANES; i++)
        list_init(&g->lanes[i].waiting);
    *ret = g;
    return 0;
}

/* The workers were drained: no job is left. */
void password_gate_free(struct password_gate *g)
{
    free(g);
}

static bool is_logged_in(const struct api_call *c)
{
    return c->is_local || c->who.user[0];
}

/* Whose place in the queue it is. */
static const char *owner_of(const struct api_call *c)
{
    return is_logged_in(c) ? c->who.user : c->peer ? c->peer : "";
}

static void start_waiting(struct password_gate *g, struct lane *lane);

static void on_done(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct job *j = arg;
    struct password_gate *g = j->gate;
    struct lane *lane = j->lane;

    lane->n_running--;
    j->done(j->arg, r, a, e);
    free(j);
    start_waiting(g, lane);
}

static int start(struct job *j, struct err *e)
{
    int r = workers_call(j->gate->workers, &j->request, on_done, j, e);

    j->lane->n_running += r == 0;
    return r;
}

/* Nobody waits for the result any more: no work is spent on it. */
static int start_unless_gone(struct job *j, struct err *e)
{
    return j->call->is_gone ? err_set(e, -ECANCELED, "client.gone", "the client went away") : start(j, e);
}

static void start_waiting(struct password_gate *g, struct lane *lane)
{
    while (lane->n_running < g->running_max && !list_is_empty(&lane->waiting)) {
        struct job *j = container_of(lane->waiting.next, struct job, node);
        struct err e = ERR_INIT;
        list_remove(&j->node);
        lane->n_waiting--;
        int r = start_unless_gone(j, &e);
        if (r == 0)
            continue;
        j->done(j->arg, r, NULL, &e);
        free(j);
    }
}

static bool has_room(const struct lane *lane, const char *owner)
{
    unsigned n = 0;

    LIST_FOREACH(j, &lane->waiting, struct job, node)
    n += streq(owner_of(j->call), owner);
    return lane->n_waiting < LANE_WAITING_MAX && n < LANE_ONE_MAX;
}

int password_gate_submit(struct password_gate *g, struct api_call *c, const struct worker_request *q,
                         worker_done_fn done, void *arg, struct err *e)
{
    struct lane *lane = &g->lanes[is_logged_in(c) || c->is_known_peer ? LANE_KNOWN : LANE_STRANGER];
    struct job *j = calloc(1, sizeof(*j));

    if (!j)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *j = (struct job){.gate = g, .lane = lane, .call = c, .request = *q, .done = done, .arg = arg};
    list_init(&j->node);
    int r = 0;
    if (lane->n_running < g->running_max) {
        r = start(j, e);
    } else if (has_room(lane, owner_of(c))) {
        list_add_tail(&lane->waiting, &j->node);
        lane->n_waiting++;
    } else {
        c->retry_after_s = BUSY_WAIT_S;
        r = err_set(e, -EBUSY, "auth.limited", "too many logins at once, try again in %u s", BUSY_WAIT_S);
    }
    if (r < 0)
        free(j);
    return r;
}
