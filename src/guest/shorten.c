/* See still.h, guest_shorten: chains of layers become shorter. Loop thread.
 *
 * Each layer is a plan of its own: its file goes, or is merged, and the record says so in one commit. A plan that is
 * cut off is undone, which leaves two images where there were two (block_steps.c). */
#include "guest/shorten_priv.h"

#include "guest/guest_priv.h"

struct shorten {
    struct guest_mgr *m;
    uint32_t vmid;
    struct task *task;
    char user[160];
    guest_live_done_fn fn;
    void *arg;
};

static void next(struct shorten *s);

static void end(struct shorten *s, int r, const struct err *e)
{
    guest_live_done_fn fn = s->fn;
    void *arg = s->arg;
    struct err copy = *e;

    free(s);
    fn(arg, r, &copy);
}

static void on_one(void *arg, int r, const struct err *e)
{
    struct shorten *s = arg;

    if (r < 0)
        end(s, r, e);
    else
        next(s);
}

/* ---- plans ---- */

static int start(struct guest_mgr *m, const struct guest *g, const char *user, json_t *steps,
                 enum plan_direction direction, const struct layers *layers, struct task **ret, struct err *e)
{
    struct guest_record record = guest_record_of(g);
    char id[16];

    record.layers = layers;
    struct state_txn *txn = guest_txn(m->env.node, g->vmid, g->revision, &record);
    snprintf(id, sizeof(id), "%u", g->vmid);
    struct task_spec spec = {.type = "qmmerge",
                             .id = id,
                             .user = user,
                             .steps = steps,
                             .direction = direction,
                             .initial = direction == PLAN_FORWARD ? txn : NULL,
                             .final = direction == PLAN_FORWARD ? NULL : txn};
    return txn ? task_start(m->env.tasks, &spec, ret, e) : err_set(e, -ENOMEM, NULL, "out of memory");
}

int merge_commit(const struct merge *w, json_t *steps, void (*fn)(void *arg, int r, const struct err *e), void *arg,
                 struct err *e)
{
    struct guest *g = guest_find(w->m, w->vmid);
    struct layers layers = {0};
    struct task *t = NULL;
    int r = !g                                     ? err_set(e, -ENOENT, NULL, "the guest is gone")
            : !steps                               ? err_set(e, -ENOMEM, NULL, "out of memory")
            : layers_copy(&g->layers, &layers) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory")
                                                   : 0;

    if (r == 0) {
        layers_merged(&layers, &w->layer);
        r = start(w->m, g, w->user, steps, PLAN_UNDO, &layers, &t, e);
    }
    layers_done(&layers);
    json_decref(steps);
    if (r == 0)
        task_when_ended(t, fn, arg);
    return r;
}

static int drop(struct shorten *s, const struct guest *g, const struct volume_id *layer, struct err *e)
{
    struct layers layers;
    struct task *t = NULL;
    json_t *steps = json_array();
    int r = steps && json_array_append_new(steps, guest_step_volume_delete(layer)) == 0 &&
                    layers_copy(&g->layers, &layers) == 0
                ? 0
                : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0) {
        layers_dropped(&layers, layer);
        r = start(s->m, g, s->user, steps, PLAN_FORWARD, &layers, &t, e);
        layers_done(&layers);
    }
    json_decref(steps);
    if (r == 0)
        task_when_ended(t, on_one, s);
    return r;
}

/* ---- which ---- */

static int merge_stopped(const struct merge *w, const struct guest *g, struct err *e)
{
    struct chain below;
    json_t *steps = json_array();
    int r = chain_of(w->m, g, &w->layer, &below, e);

    if (r < 0) {
        json_decref(steps);
        return r;
    }
    if (json_array_append_new(steps, guest_step_volume_merge(&w->layer, w->child, below.below, below.n)) < 0) {
        json_decref(steps);
        steps = NULL;
    }
    chain_done(&below);
    return merge_commit(w, steps, w->fn, w->arg, e);
}

static void merge(struct shorten *s, const struct guest *g, const struct volume_id *layer, uint32_t child)
{
    struct merge w = {.m = s->m,
                      .vmid = s->vmid,
                      .task = s->task,
                      .user = s->user,
                      .layer = *layer,
                      .child = child,
                      .fn = on_one,
                      .arg = s};
    const struct config_item *drive;
    struct err e = ERR_INIT;
    size_t index;

    if (s->task)
        task_log(s->task, "merging layer %u of %s", layer->layer, layer->name);
    if (merge_is_live(&w, g, &drive, &index))
        merge_live(&w, drive, index);
    else if (merge_stopped(&w, g, &e) < 0)
        end(s, e.num, &e);
}

static void next(struct shorten *s)
{
    struct guest *g = guest_find(s->m, s->vmid);
    struct volume_id layer;
    struct err e = ERR_INIT;
    uint32_t child = 0;
    enum layers_work work = g ? layers_next(&g->layers, &layer, &child) : LAYERS_NOTHING;

    if (g && g->state != GUEST_STOPPED && g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        work = LAYERS_NOTHING; /* with the next call */
    switch (work) {
    case LAYERS_NOTHING:
        end(s, 0, &e);
        break;
    case LAYERS_DROP:
        if (drop(s, g, &layer, &e) < 0)
            end(s, e.num, &e);
        break;
    case LAYERS_MERGE:
        merge(s, g, &layer, child);
        break;
    }
}

void guest_shorten(struct guest_mgr *m, uint32_t vmid, struct task *t, const char *user, guest_live_done_fn fn,
                   void *arg)
{
    struct shorten *s = calloc(1, sizeof(*s));
    struct err e = ERR_INIT;

    if (!s) {
        fn(arg, err_set(&e, -ENOMEM, NULL, "out of memory"), &e);
        return;
    }
    *s = (struct shorten){.m = m, .vmid = vmid, .task = t, .fn = fn, .arg = arg};
    snprintf(s->user, sizeof(s->user), "%s", user);
    next(s);
}
