/* A WORK frame's payload, parsed. Pure: bytes in, struct out. The sender is holmd, but a worker believes nobody: each
 * field is bounded and the whole fits the verb's row or is refused. */
#include "worker/worker.h"

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EPROTO, "work.request", "bad work request: %s", what);
}

static int take_verb(const struct field *f, struct work_request *q, struct err *e)
{
    char name[32];

    if (q->verb || field_get_str(f, name, sizeof(name)) < 0)
        return bad(e, "verb");
    q->verb = work_verb_find(name);
    return q->verb ? 0 : err_set(e, -ENOSYS, "work.verb", "no work is called '%s'", name);
}

/* The text goes behind those before it; room is there for the whole payload. */
static int take_arg(const struct field *f, struct work_request *q, size_t *used, struct err *e)
{
    char *dst = q->memory + *used;

    if (q->n_args == WORK_ARGS_MAX || f->len > WORK_ARG_BYTES_MAX || field_get_str(f, dst, f->len + 1) < 0)
        return bad(e, "argument");
    q->args[q->n_args++] = dst;
    *used += f->len + 1;
    return 0;
}

static int take_secret(const struct field *f, struct work_request *q, struct err *e)
{
    if (q->secret || f->len > WORK_SECRET_MAX)
        return bad(e, "secret");
    q->secret = malloc(f->len + 1);
    if (!q->secret)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    memcpy(q->secret, f->data, f->len);
    q->secret[f->len] = 0;
    q->secret_len = f->len;
    return 0;
}

static int take_field(const struct field *f, struct work_request *q, size_t *used, bool *has_total, struct err *e)
{
    switch (f->tag) {
    case FIELD_VERB:
        return take_verb(f, q, e);
    case FIELD_ARG:
        return take_arg(f, q, used, e);
    case FIELD_SECRET:
        return take_secret(f, q, e);
    case FIELD_TOTAL_BYTES:
        if (*has_total || field_get_u64(f, &q->total_bytes) < 0 || q->total_bytes > INT64_MAX)
            return bad(e, "total");
        *has_total = true;
        return 0;
    default:
        return 0; /* a newer peer */
    }
}

static int check_verb(const struct work_request *q, size_t n_fds, bool has_total, struct err *e)
{
    const struct work_verb *v = q->verb;

    if (!v)
        return bad(e, "no verb");
    if (q->n_args < v->min_args || q->n_args > v->max_args)
        return bad(e, "number of arguments");
    if (n_fds != v->n_fds)
        return bad(e, "number of descriptors");
    if ((q->secret != NULL) != v->needs_secret || has_total != v->needs_total)
        return bad(e, "fields that this verb needs");
    return 0;
}

int work_request_parse(const void *payload, size_t n, size_t n_fds, struct work_request *ret, struct err *e)
{
    /* Each argument has a head of eight bytes on the wire, so its NUL always finds room. */
    struct work_request q = {.memory = malloc(n + 1)};
    struct field_reader reader;
    struct field f;
    bool has_total = false;
    size_t used = 0;
    int r, more = 0;

    if (!q.memory)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    field_reader_init(&reader, payload, n);
    for (r = 0; r == 0 && (more = field_next(&reader, &f)) > 0;)
        r = take_field(&f, &q, &used, &has_total, e);
    if (r == 0 && more < 0)
        r = bad(e, "fields");
    if (r == 0)
        r = check_verb(&q, n_fds, has_total, e);
    if (r < 0)
        work_request_done(&q);
    else
        *ret = q;
    return r;
}

void work_request_done(struct work_request *q)
{
    if (q->secret)
        mem_wipe(q->secret, q->secret_len);
    free(q->secret);
    free(q->memory);
    *q = (struct work_request){0};
}
