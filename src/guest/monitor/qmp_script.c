/* The verb "script": commands of QMP one after another, as holmd's engine wrote them (src/engine/qemu_live.c). Each is
 * an ARG field, "KINDcommand {arguments}":
 *     +  must succeed        -  may fail        f  as +, the next descriptor of the request goes along
 *     wID  waits until QEMU has let go of device ID (the guest must agree: UNPLUG_MS)
 *     u  runs only after a failure, all of them in order, whatever they answer
 * The answer's BODY is what the last command returned. holmd is trusted here; QEMU's answers are not. */
#include "guest/monitor/qmp_priv.h"

#include "proto/frame.h"

#define STEPS_MAX   256u
#define DELETED_MAX 16u
#define UNPLUG_MS   5000u

struct script {
    struct qmp *q;
    struct request *rq;
    char *steps[STEPS_MAX];
    size_t n_steps, next, next_fd;
    char deleted[DELETED_MAX][48]; /* devices that went while it runs */
    size_t n_deleted;
    struct loop_timer limit; /* of a wait */
    json_t *last;            /* what the last command returned */
};

static void run_next(struct script *s);

static void script_free(struct script *s)
{
    for (size_t i = 0; i < SCRIPTS_MAX; i++)
        if (s->q->scripts[i] == s)
            s->q->scripts[i] = NULL;
    loop_timer_stop(&s->limit);
    for (size_t i = 0; i < s->n_steps; i++)
        free(s->steps[i]);
    json_decref(s->last);
    free(s);
}

static int answer(struct script *s, struct err *e)
{
    autofree char *text = s->last ? json_dumps(s->last, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    if (s->last && !text)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return text ? request_body(s->rq, text, strlen(text), e) : 0;
}

static void nobody_waits(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
}

/* "command {arguments}" without its kind. */
static void send_step(struct qmp *q, char *step, int fd, answer_fn fn, struct request *rq)
{
    char *arguments = strchr(step, ' ');

    if (arguments)
        *arguments++ = 0;
    qmp_send(q, step, arguments, fd, fn, rq);
}

static void end(struct script *s, int r, const struct err *why)
{
    struct request *rq = s->rq;
    struct monitor *m = s->q->m;
    struct err e = *why;

    for (size_t i = 0; r < 0 && i < s->n_steps; i++)
        if (s->steps[i][0] == 'u')
            send_step(s->q, s->steps[i] + 1, -1, nobody_waits, NULL);
    if (r == 0)
        r = answer(s, &e);
    rq->ctx = NULL;
    script_free(s);
    request_finish(m, rq, r, &e);
}

static void on_step(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *why)
{
    struct script *s = rq->ctx;
    struct err e;
    int r = qmp_answer_result(m, why, &e);

    if (r < 0 && (!m || s->steps[s->next - 1][0] != '-')) {
        end(s, r, &e);
        return;
    }
    json_decref(s->last);
    s->last = r == 0 ? json_incref(m->data) : NULL;
    run_next(s);
}

static bool is_deleted(const struct script *s, const char *id)
{
    for (size_t i = 0; i < s->n_deleted; i++)
        if (streq(s->deleted[i], id))
            return true;
    return false;
}

static void on_wait_over(void *arg)
{
    struct script *s = arg;
    struct err e = ERR_INIT;
    int r = err_set(&e, -ETIMEDOUT, "guest.unplug", "the guest does not let go of %s", s->steps[s->next - 1] + 1);

    end(s, r, &e);
}

static void run_next(struct script *s)
{
    static const struct err none = ERR_INIT;

    while (s->next < s->n_steps) {
        char *step = s->steps[s->next++];
        if (*step == 'u' || (*step == 'w' && is_deleted(s, step + 1)))
            continue;
        if (*step == 'w') {
            loop_timer_set(&s->q->m->loop, &s->limit, UNPLUG_MS);
            return;
        }
        send_step(s->q, step + 1, *step == 'f' ? s->rq->fds[s->next_fd++] : -1, on_step, s->rq);
        return;
    }
    end(s, 0, &none);
}

void script_device_deleted(struct qmp *q, const char *id)
{
    for (size_t i = 0; i < SCRIPTS_MAX; i++) {
        struct script *s = q->scripts[i];
        if (!s || !*id || s->n_deleted == DELETED_MAX)
            continue;
        snprintf(s->deleted[s->n_deleted++], sizeof(s->deleted[0]), "%s", id);
        if (list_is_empty(&s->limit.node) || !streq(s->steps[s->next - 1] + 1, id))
            continue;
        loop_timer_stop(&s->limit);
        run_next(s);
    }
}

void script_close_all(struct qmp *q)
{
    struct err e = ERR_INIT;

    err_set(&e, -EPIPE, "guest.gone", "the guest has ended");
    for (size_t i = 0; i < SCRIPTS_MAX; i++)
        if (q->scripts[i])
            end(q->scripts[i], e.num, &e);
}

static int take_steps(struct script *s, struct err *e)
{
    struct field_reader fr;
    struct field f;
    size_t n_fds = 0;

    field_reader_init(&fr, s->rq->payload.data, s->rq->payload.len);
    while (field_next(&fr, &f) == 1) {
        if (f.tag != FIELD_ARG)
            continue;
        if (s->n_steps == STEPS_MAX || f.len < 2 || !memchr("+-fwu", f.data[0], 5))
            return err_set(e, -EINVAL, "guest.verb", "not a script");
        if (field_dup_str(&f, &s->steps[s->n_steps]) < 0)
            return err_set(e, -ENOMEM, NULL, "out of memory");
        n_fds += s->steps[s->n_steps++][0] == 'f';
    }
    return n_fds == s->rq->n_fds ? 0 : err_set(e, -EINVAL, "guest.verb", "a script and its descriptors do not agree");
}

void script_begin(struct qmp *q, struct request *rq)
{
    struct script *s = calloc(1, sizeof(*s));
    struct err e = ERR_INIT;
    size_t slot = 0;
    int r;

    while (slot < SCRIPTS_MAX && q->scripts[slot])
        slot++;
    if (!s || slot == SCRIPTS_MAX) {
        free(s);
        r = err_set(&e, -EBUSY, "guest.busy", "the guest is busy with %u changes already", SCRIPTS_MAX);
        request_finish(q->m, rq, r, &e);
        return;
    }
    *s = (struct script){.q = q, .rq = rq};
    loop_timer_init(&s->limit, on_wait_over, s);
    q->scripts[slot] = s;
    rq->ctx = s;
    r = take_steps(s, &e);
    if (r < 0)
        end(s, r, &e);
    else
        run_next(s);
}
