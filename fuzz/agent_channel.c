/* The agent's queue with a guest that says anything at any time: commands come, bytes come, right and wrong answers to
 * the synchronisation, time limits pass, the guest ends. Each command is finished exactly once, at most sixteen wait,
 * and what is written to the guest is bounded. The channel and the requests are played by this file. */
#include "guest/monitor/agent_message.h"
#include "guest/monitor/monitor.h"
#include "proto/frame.h"

#define ASKED_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct monitor m;
static struct channel channel;
static size_t n_asked, n_finished;
static unsigned long long sync_id;

void channel_write(struct channel *c, const uint8_t *p, size_t n)
{
    char line[128];

    if (n < sizeof(line) && n && p[0] == 0xff) {
        memcpy(line, p, n);
        line[n] = 0;
        if (sscanf(line + 1, "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%llu}}", &sync_id) != 1)
            abort();
    }
}

void request_stat(struct request *rq, const char *name, uint64_t value)
{
    if (!streq(name, "eof") || value > 1)
        abort();
}

int request_body(struct request *rq, const void *p, size_t n, struct err *e)
{
    if (n > REQUEST_ANSWER_MAX)
        return err_set(e, -EMSGSIZE, "guest.answer", "too long");
    buf_append(&rq->stats, p, n);
    return 0;
}

void request_finish(struct monitor *mon, struct request *rq, int r, const struct err *e)
{
    if ((r < 0) != (e->num < 0))
        abort();
    n_finished++;
    buf_done(&rq->payload);
    buf_done(&rq->stats);
    free(rq);
}

static void ask(uint8_t kind)
{
    static const char *const modes[] = {"json", "read", "exec", "none", "other"};
    struct request *rq = n_asked < ASKED_MAX ? calloc(1, sizeof(*rq)) : NULL;

    if (!rq)
        return;
    buf_init(&rq->payload, 4096);
    buf_init(&rq->stats, REQUEST_ANSWER_MAX + 8192);
    field_str(&rq->payload, FIELD_MODE, modes[kind % ARRAY_SIZE(modes)]);
    if (kind & 0x40)
        field_str(&rq->payload, FIELD_BODY, "{\"execute\":\"guest-ping\"}");
    field_u32(&rq->payload, FIELD_DELAY_MS, kind);
    n_asked++;
    agent_command(&m, rq);
}

static void hear(const void *p, size_t n)
{
    if (channel.on_bytes)
        channel.on_bytes(channel.on_bytes_arg, p, n);
}

static void hear_sync(unsigned long long id)
{
    char line[80];
    int n = snprintf(line, sizeof(line), "\xff{\"return\":%llu}\n", id);

    hear(line, (size_t)n);
}

/* Every timer that is set: its time is over. */
static void pass_time(void)
{
    LIST_FOREACH_SAFE(t, &m.loop.timers, struct loop_timer, node)
    {
        list_remove(&t->node);
        t->fn(t->arg);
        return;
    }
}

static size_t step(const uint8_t *p, size_t n)
{
    static const uint8_t xs[16384] = {'x'};
    size_t len = n > 1 ? p[1] : 0;

    switch (p[0] % 8) {
    case 0:
        ask(n > 1 ? p[1] : 0);
        return 2;
    case 1:
        hear_sync(sync_id);
        return 1;
    case 2:
        hear_sync(sync_id + len);
        return 2;
    case 3:
        pass_time();
        return 1;
    case 4:
        for (size_t i = 0; i < 4; i++)
            hear(xs, sizeof(xs));
        return 1;
    default:
        len = len < n - 2 ? len : n - 2;
        if (n > 2)
            hear(p + 2, len);
        return 2 + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = ERR_INIT;

    n_asked = n_finished = 0;
    m = (struct monitor){.pid = 1};
    channel = (struct channel){.m = &m, .fd = -1};
    loop_init(&m.loop);
    if (agent_open(&m, &channel, &e) < 0)
        return 0;
    for (size_t at = 0; at < n;)
        at += step(data + at, n - at);
    if (n_asked - n_finished > 16)
        abort();
    agent_close(&m);
    if (n_asked != n_finished || !list_is_empty(&m.loop.timers))
        abort();
    return 0;
}
