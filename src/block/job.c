/* A job of QEMU's: the graph, the job, its progress, its end. See graph.c for which job it is. */
#include "block/block.h"

static int add_image(struct qemu *q, const struct block_work *w, size_t i, struct err *e)
{
    autobuf struct buf set, node;

    buf_init(&set, 64);
    buf_init(&node, 8192);
    buf_printf(&set, "{\"fdset-id\":%zu}", i);
    graph_image(&node, w, i);
    if (set.is_failed || node.is_failed)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = qemu_call(q, "add-fd", set.data, w->fds[i], NULL, e);
    return r < 0 ? r : qemu_call(q, "blockdev-add", node.data, -1, NULL, e);
}

/* What is stood upon comes first. */
static int build(struct qemu *q, const struct block_work *w, struct err *e)
{
    int r = qemu_call(q, "qmp_capabilities", NULL, -1, NULL, e);

    for (size_t i = w->n_fds; r == 0 && i-- > 0;)
        r = add_image(q, w, i, e);
    return r;
}

static int start(struct qemu *q, const struct block_work *w, struct err *e)
{
    autobuf struct buf job;

    buf_init(&job, 1024);
    graph_job(&job, &w->q);
    if (job.is_failed)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return qemu_call(q, graph_job_command(&w->q), job.data, -1, NULL, e);
}

static int ask_progress(struct qemu *q, struct err *e)
{
    struct qmp_message m;
    uint64_t done, total;
    int r = qemu_call(q, "query-block-jobs", NULL, -1, &m, e);

    if (r < 0)
        return r;
    const json_t *job = json_array_get(m.data, 0);
    if (qmp_get_u64(job, "offset", &done) && qmp_get_u64(job, "len", &total))
        block_tell_progress(done < total ? done : total, total);
    qmp_message_done(&m);
    return 0;
}

/* It is ready when everything is copied and synced; nobody writes, so it can be completed then. */
static int follow(struct qemu *q, struct err *e)
{
    bool is_completing = false;
    int r = 0;

    while (r >= 0 && !q->is_over) {
        r = qemu_listen(q, BLOCK_PROGRESS_MS, e);
        if (r < 0 || q->is_over)
            break;
        if (q->is_ready && !is_completing) {
            is_completing = true;
            r = qemu_call(q, "block-job-complete", "{\"device\":\"job\"}", -1, NULL, e);
        } else if (!q->is_ready) {
            r = ask_progress(q, e);
        }
    }
    return r < 0 ? r : q->failure[0] ? qemu_failure(q->failure, e) : 0;
}

static int run(struct qemu *q, const struct block_work *w, struct err *e)
{
    int written = w->fds[block_written(&w->q)];
    int r = sandbox_seal(w, q->pid, e);

    if (r == 0)
        r = build(q, w, e);
    if (r == 0)
        r = start(q, w, e);
    if (r == 0)
        r = follow(q, e);
    if (r == 0)
        r = qemu_end(q, e);
    if (r == 0 && fsync(written) < 0)
        r = block_io_error(errno, "fsync", e);
    return r;
}

int job_run(const struct block_work *w, struct err *e)
{
    struct qemu q;
    int r = qemu_start(&q, w, e);

    if (r == 0)
        r = run(&q, w, e);
    qemu_kill(&q);
    return r;
}
