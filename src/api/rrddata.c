/* GET …/rrddata of nodes, guests and storages. PVE: RRD.pm and the rrddata methods. A value that is not known at a time
 * is left out of that row, as PVE leaves it out. */
#include <math.h>

#include "api/common.h"
#include "api/stats.h"
#include "base/clock.h"
#include "rrd/rrd.h"

struct query {
    enum stats_kind kind;
    char file[96];
    const char *timeframe;
    int dirfd;
    bool is_max;
    struct rrd_series series;
};

static int read_series(void *ctx, struct err *e)
{
    struct query *q = ctx;

    return rrd_read(q->dirfd, q->file, stats_count(q->kind), q->timeframe, q->is_max, clock_wall_s(), &q->series, e);
}

static int write_series(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct query *q = ctx;
    const char *const *names = stats_names(q->kind);

    if (r < 0)
        return r;
    jw_array(&c->out);
    for (unsigned row = 0; row < q->series.n_rows; row++) {
        jw_object(&c->out);
        jw_kv_int(&c->out, "time", q->series.start_s + (int64_t)row * q->series.step_s);
        for (unsigned i = 0; i < q->series.n_ds; i++) {
            float v = q->series.values[row * q->series.n_ds + i];
            if (!isnan(v))
                jw_kv_num(&c->out, names[i], (double)v);
        }
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    rrd_series_done(&q->series);
    return 0;
}

static int answer(struct api_call *c, enum stats_kind kind, const char *id, const char *timeframe, const char *cf,
                  struct err *e)
{
    struct query *q = arena_alloc(&c->arena, sizeof(*q));

    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *q = (struct query){
        .kind = kind, .timeframe = timeframe, .dirfd = stats_dirfd(c->api->stats), .is_max = cf && streq(cf, "MAX")};
    stats_file(kind, id, q->file, sizeof(q->file));
    return api_offload(c, read_series, write_series, q);
}

int api_node_rrddata(struct api_call *c, const struct api_node_rrddata_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : answer(c, STATS_NODE, "", a->timeframe, a->cf, e);
}

int api_qemu_rrddata(struct api_call *c, const struct api_qemu_rrddata_args *a, struct err *e)
{
    struct guest *g;
    char id[16];
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = guest_get(c->api->guests, (uint32_t)a->vmid, &g, e);
    if (r < 0)
        return r;
    snprintf(id, sizeof(id), "%u", (unsigned)a->vmid);
    return answer(c, STATS_QEMU, id, a->timeframe, a->cf, e);
}

int api_storage_rrddata(struct api_call *c, const struct api_storage_rrddata_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    if (!storage_mgr_find(c->api->storages, a->storage))
        return err_set(e, -ENOENT, "storage.missing", "storage '%s' does not exist", a->storage);
    return answer(c, STATS_STORAGE, a->storage, a->timeframe, a->cf, e);
}
