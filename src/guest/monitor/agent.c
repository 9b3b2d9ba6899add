/* The guest's agent (qemu-guest-agent) behind its channel: one command at a time, the others wait in a queue. Before
 * each one guest-sync-delimited with an id of our own: what the agent, or whoever sits in the guest in its place, said
 * before is thrown away up to that answer, so an answer that came too late is never taken for the next one's.
 *
 * A request's payload: BODY the command in JSON, MODE what becomes of the answer (agent_message.h), DELAY_MS how long
 * to wait for it. Commands come from holmd; answers are hostile, and between commands nothing is kept of them. */
#include <sys/random.h>

#include "guest/monitor/agent_message.h"
#include "guest/monitor/monitor.h"
#include "proto/frame.h"

#define QUEUE_MAX     16u
#define SYNC_MS       3000u
#define SYNC_LINE_MAX 256u

enum agent_phase { AGENT_IDLE, AGENT_SYNC, AGENT_COMMAND };

struct agent {
    struct monitor *m;
    struct channel *channel;
    struct agent_lines lines;
    struct request *queue[QUEUE_MAX]; /* the first is under way */
    size_t n;
    enum agent_phase phase;
    enum agent_mode mode;
    uint64_t sync_id;
    struct loop_timer limit;
};

static void begin_next(struct agent *a);

static void finish_first(struct agent *a, int r, const struct err *e)
{
    struct request *rq = a->queue[0];

    loop_timer_stop(&a->limit);
    agent_lines_reset(&a->lines);
    a->phase = AGENT_IDLE;
    memmove(a->queue, a->queue + 1, --a->n * sizeof(*a->queue));
    request_finish(a->m, rq, r, e);
    begin_next(a);
}

/* The answer of a command that has none. */
static void finish_silent(struct agent *a)
{
    struct err e = ERR_INIT;
    int r = request_body(a->queue[0], "{}", 2, &e);

    finish_first(a, r, &e);
}

static bool take_field(const struct request *rq, enum field_tag tag, struct field *f)
{
    return field_find(rq->payload.data, rq->payload.len, tag, f);
}

static void begin_next(struct agent *a)
{
    char line[120], mode[8];
    struct field f;
    struct err e = ERR_INIT;
    struct request *rq = a->n ? a->queue[0] : NULL;
    uint64_t id;

    if (!rq || a->phase != AGENT_IDLE)
        return;
    if (!take_field(rq, FIELD_MODE, &f) || field_get_str(&f, mode, sizeof(mode)) < 0 ||
        agent_mode_parse(mode, &a->mode) < 0 || !take_field(rq, FIELD_BODY, &f) ||
        getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
        int r = err_set(&e, -EINVAL, "guest.verb", "not a command for the agent");
        finish_first(a, r, &e);
        return;
    }
    a->sync_id = id >> 2; /* the agent's integers have a sign */
    a->phase = AGENT_SYNC;
    int n = snprintf(line, sizeof(line), "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%llu}}\n",
                     (unsigned long long)a->sync_id);
    channel_write(a->channel, (const uint8_t *)line, (size_t)n);
    loop_timer_set(&a->m->loop, &a->limit, SYNC_MS);
}

static void send_command(struct agent *a)
{
    struct request *rq = a->queue[0];
    struct field f;
    uint32_t limit_ms = 10000;

    if (take_field(rq, FIELD_DELAY_MS, &f) && field_get_u32(&f, &limit_ms) < 0)
        limit_ms = 10000;
    a->phase = AGENT_COMMAND;
    loop_timer_set(&a->m->loop, &a->limit, limit_ms);
    if (!take_field(rq, FIELD_BODY, &f))
        return; /* begin_next has seen it */
    channel_write(a->channel, f.data, f.len);
    channel_write(a->channel, (const uint8_t *)"\n", 1);
}

/* Nobody answers: said to all who wait. One after the other they would wait longer than their clients do. */
static void finish_absent(struct agent *a)
{
    struct request *waiting[QUEUE_MAX];
    size_t n = a->n;
    struct err e = ERR_INIT;
    int r = err_set(&e, -ENOTCONN, "agent.absent", "QEMU guest agent is not running");

    memcpy(waiting, a->queue, n * sizeof(*waiting));
    agent_lines_reset(&a->lines);
    a->phase = AGENT_IDLE;
    a->n = 0;
    for (size_t i = 0; i < n; i++)
        request_finish(a->m, waiting[i], r, &e);
}

static void on_limit(void *arg)
{
    struct agent *a = arg;
    struct err e = ERR_INIT;

    if (a->phase == AGENT_SYNC) {
        finish_absent(a);
        return;
    }
    if (a->mode == AGENT_NONE) {
        finish_silent(a);
        return;
    }
    int r = err_set(&e, -ETIMEDOUT, "agent.timeout", "the guest agent does not answer - got timeout");
    finish_first(a, r, &e);
}

static int take_answer(struct agent *a, const struct agent_message *msg, struct err *e)
{
    struct request *rq = a->queue[0];
    autobuf struct buf body;
    bool is_eof = false;

    buf_init(&body, 2 * AGENT_LINE_MAX);
    if (msg->kind != AGENT_RETURN)
        return err_set(e, -EIO, "agent.refused", "Agent error: %s",
                       msg->kind == AGENT_ERROR && msg->text[0] ? msg->text : "not an answer");
    int r = agent_message_body(msg, a->mode, &body, &is_eof, e);
    if (r == 0 && body.is_failed)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = request_body(rq, buf_str(&body), body.len, e);
    if (r == 0 && a->mode == AGENT_READ)
        request_stat(rq, "eof", is_eof);
    return r;
}

static void on_line(struct agent *a)
{
    struct agent_message msg;
    struct err e = ERR_INIT;
    const struct buf *line = &a->lines.line;

    if (a->phase == AGENT_SYNC) {
        bool is_sync = line->len <= SYNC_LINE_MAX && agent_message_parse(buf_str(line), line->len, &msg, &e) == 0;
        bool is_ours = is_sync && agent_message_is_sync(&msg, a->sync_id);
        if (is_sync)
            agent_message_done(&msg);
        agent_lines_reset(&a->lines);
        if (is_ours)
            send_command(a);
        return;
    }
    int r = a->lines.is_too_long ? err_set(&e, -EMSGSIZE, "agent.malformed",
                                           "the agent's answer is longer than %u bytes", AGENT_LINE_MAX)
                                 : agent_message_parse(buf_str(line), line->len, &msg, &e);
    if (r == 0) {
        r = take_answer(a, &msg, &e);
        agent_message_done(&msg);
    }
    finish_first(a, r, &e);
}

static void on_bytes(void *arg, const uint8_t *p, size_t n)
{
    struct agent *a = arg;

    while (n && a->phase != AGENT_IDLE) {
        bool is_complete;
        size_t used = agent_lines_feed(&a->lines, p, n, &is_complete);
        p += used;
        n -= used;
        if (is_complete)
            on_line(a);
    }
}

int agent_open(struct monitor *m, struct channel *c, struct err *e)
{
    struct agent *a = calloc(1, sizeof(*a));

    if (!a)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *a = (struct agent){.m = m, .channel = c};
    agent_lines_init(&a->lines);
    loop_timer_init(&a->limit, on_limit, a);
    c->on_bytes = on_bytes;
    c->on_bytes_arg = a;
    m->agent = a;
    return 0;
}

void agent_command(struct monitor *m, struct request *rq)
{
    struct agent *a = m->agent;
    struct err e = ERR_INIT;

    if (!a || a->n == QUEUE_MAX) {
        int r = !a ? err_set(&e, -ENODEV, "agent.absent", "the guest was started without a channel for its agent")
                   : err_set(&e, -EBUSY, "guest.busy", "%u commands wait for the agent already", QUEUE_MAX);
        request_finish(m, rq, r, &e);
        return;
    }
    a->queue[a->n++] = rq;
    begin_next(a);
}

void agent_close(struct monitor *m)
{
    struct agent *a = TAKE_PTR(m->agent);
    struct err e = ERR_INIT;
    struct err none = ERR_INIT;

    if (!a)
        return;
    err_set(&e, -EPIPE, "guest.gone", "the guest has ended");
    a->channel->on_bytes = NULL;
    loop_timer_stop(&a->limit);
    for (size_t i = 0; i < a->n; i++) {
        /* A guest that ends because it was told to has obeyed. */
        bool has_obeyed = i == 0 && a->phase == AGENT_COMMAND && a->mode == AGENT_NONE &&
                          request_body(a->queue[i], "{}", 2, &none) == 0;
        request_finish(m, a->queue[i], has_obeyed ? 0 : e.num, has_obeyed ? &none : &e);
    }
    agent_lines_done(&a->lines);
    free(a);
}
